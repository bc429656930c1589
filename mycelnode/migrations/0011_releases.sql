-- Release decisions: what is signed about them, what of a window of time was taken from the turns, and what was handed over ever.
-- Windows are named by their first quarter since 1970.
CREATE TABLE release_records ( -- plans, spends and countersignatures: they only grow
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    record BLOB NOT NULL
) STRICT;

CREATE TABLE handed ( -- turns and days of habits (HMACs) that were handed over in a window; they only grow
    mark BLOB NOT NULL,
    label INTEGER NOT NULL, -- of the window: its first quarter, plus one
    PRIMARY KEY (mark, label)
) STRICT, WITHOUT ROWID;

CREATE TABLE release_opened ( -- under which terms a window opened for this device
    start INTEGER PRIMARY KEY,
    version BLOB NOT NULL,
    dictionary BLOB NOT NULL, -- what stands for the entries
    entries BLOB NOT NULL -- of the owner's dictionary, CBOR
) STRICT;

CREATE TABLE release_frozen ( -- for whom the turns of a window were taken
    start INTEGER PRIMARY KEY,
    quarters INTEGER NOT NULL,
    releaser BLOB NOT NULL,
    said TEXT NOT NULL -- why nothing was taken; empty if it was
) STRICT;

CREATE TABLE release_got ( -- whose part of a window is here, to be counted
    start INTEGER NOT NULL,
    device BLOB NOT NULL,
    PRIMARY KEY (start, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE release_parts ( -- until they were handed over, or decided on
    no INTEGER PRIMARY KEY,
    start INTEGER NOT NULL,
    device BLOB NOT NULL, -- whose turn it is
    mark BLOB NOT NULL, -- of the turn, under the secret in use
    sealed BLOB NOT NULL -- under the key of the window
) STRICT;
CREATE INDEX release_parts_by_window ON release_parts (start, device);
CREATE INDEX release_parts_by_mark ON release_parts (mark);

CREATE TABLE release_keys ( -- of the parts of a window, wrapped, in a slot that is overwritten in place
    start INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL UNIQUE REFERENCES turn_keys (slot)
) STRICT;

CREATE TABLE release_drawn ( -- windows that this device decided
    start INTEGER PRIMARY KEY,
    time INTEGER NOT NULL -- Unix ms
) STRICT;
