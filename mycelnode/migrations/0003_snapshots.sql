-- Bounded history: entries may be replaced by their digests (and then stand for nothing but their place in the chain), and the
-- folded state of a complete snapshot stands for them. Sizes are what the entries of a branch take, about.
ALTER TABLE entries ADD COLUMN replaced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE branches ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE branches ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
UPDATE branches SET size = (
    SELECT coalesce(sum(length(entry) + 100), 0) FROM entries
    WHERE entries.device = branches.device AND entries.branch = branches.branch
);

CREATE TABLE snapshots ( -- proposals and confirmations
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
    record BLOB NOT NULL
) STRICT;

CREATE TABLE states ( -- the encoded state of a proposal that we agreed to, or fold from
    id BLOB PRIMARY KEY CHECK (length(id) = 32),
    state BLOB NOT NULL
) STRICT;
