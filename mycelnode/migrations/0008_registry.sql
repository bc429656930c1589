-- A copy of the registry of patterns on NEAR, as it was at a final block. It is made from the registry's changes, and made anew when
-- the chain or the contract has begun anew.
CREATE TABLE registry_copy ( -- of what it is a copy, and how far it is
    only INTEGER PRIMARY KEY CHECK (only = 1),
    chain TEXT NOT NULL, -- the network, and the hash of its first block
    contract TEXT NOT NULL,
    instance TEXT NOT NULL, -- when the contract was made, in nanoseconds
    reputation TEXT NOT NULL, -- the contract that has the scores
    next_seq INTEGER NOT NULL, -- the changes before this one are here
    seq INTEGER NOT NULL, -- the changes before this one were there
    height INTEGER NOT NULL, -- of the final block that this was read at
    looked INTEGER NOT NULL -- Unix ms, when that was
) STRICT;

CREATE TABLE registry_patterns (
    id INTEGER PRIMARY KEY,
    creator TEXT NOT NULL, -- the account that has registered it, which may be anybody's
    cid BLOB NOT NULL,
    domain TEXT NOT NULL,
    price TEXT NOT NULL, -- yoctoNEAR, in decimal digits
    version INTEGER NOT NULL,
    retired INTEGER, -- Unix ms
    seq INTEGER NOT NULL
) STRICT;
CREATE INDEX registry_patterns_by_cid ON registry_patterns (cid);
CREATE INDEX registry_patterns_by_seq ON registry_patterns (seq);

CREATE TABLE registry_scores ( -- of creators whose patterns are in the library
    creator TEXT PRIMARY KEY,
    score INTEGER NOT NULL,
    ratings INTEGER NOT NULL,
    asked INTEGER NOT NULL -- Unix ms
) STRICT;

ALTER TABLE patterns ADD COLUMN near TEXT; -- the NEAR account that the manifest names; empty: none; null: not read yet
CREATE INDEX patterns_by_near ON patterns (near, cid, price) WHERE near <> ''; -- has all that a look at the registry needs
CREATE INDEX patterns_without_near ON patterns (no) WHERE near IS NULL;
