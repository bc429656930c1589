-- The device that decides a window tells the others by which dictionary it is read; and why nothing of a device counts is kept.
ALTER TABLE release_opened ADD COLUMN told_by BLOB; -- which device has told us these terms

CREATE TABLE release_left_out ( -- of which devices nothing counts in a window
    start INTEGER NOT NULL,
    device BLOB NOT NULL,
    said TEXT NOT NULL, -- why
    PRIMARY KEY (start, device)
) STRICT, WITHOUT ROWID;

-- From here on `release_parts.mark` is that by which a turn is known in `turns`, whichever of the mesh's secrets is in use.
