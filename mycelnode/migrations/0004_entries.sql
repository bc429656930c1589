-- Entries in a table with row ids. Without them SQLite keeps only about a quarter of a page of a row in its place, so that every
-- entry of more than 1,000 bytes took a page of its own besides.
CREATE TABLE entries_with_ids (
    device INTEGER NOT NULL REFERENCES devices (no),
    branch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    entry BLOB NOT NULL,
    signature BLOB,
    replaced INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device, branch, seq)
) STRICT;
INSERT INTO entries_with_ids SELECT device, branch, seq, hash, entry, signature, replaced FROM entries ORDER BY device, branch, seq;
DROP TABLE entries;
ALTER TABLE entries_with_ids RENAME TO entries;
