-- The mesh: logs as branches of entries, statements, invites, and the folded state kept to start quickly.
-- Devices and branches are numbered, so that a row costs its entry plus about 50 bytes.
CREATE TABLE devices (
    no INTEGER PRIMARY KEY,
    device BLOB NOT NULL UNIQUE CHECK (length(device) = 32)
) STRICT;

CREATE TABLE branches (
    device INTEGER NOT NULL REFERENCES devices (no),
    branch INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    base_seq INTEGER NOT NULL,
    base_hash BLOB NOT NULL,
    tip_seq INTEGER NOT NULL,
    tip_hash BLOB NOT NULL,
    tip_signature BLOB NOT NULL,
    PRIMARY KEY (device, branch)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    device INTEGER NOT NULL REFERENCES devices (no),
    branch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    entry BLOB NOT NULL,
    signature BLOB,
    PRIMARY KEY (device, branch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE statements (
    no INTEGER PRIMARY KEY, -- in the order in which they came: each author is known before its statements
    id BLOB NOT NULL UNIQUE,
    statement BLOB NOT NULL
) STRICT;

CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    invite TEXT NOT NULL,
    used_by BLOB,
    used_name TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE facts ( -- one value per name: the root key, our hybrid clock, the folded state
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
