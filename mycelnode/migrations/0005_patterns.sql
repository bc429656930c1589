-- The library: an index of the manifests that are known, to search it. The manifests themselves are blocks, outside the database.
CREATE TABLE patterns (
    no INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they came; never given again, as copies in memory go by it
    cid BLOB NOT NULL UNIQUE CHECK (length(cid) = 36),
    title TEXT NOT NULL,
    description TEXT NOT NULL, -- this text and the next two are what is searched: cut, as the manifest has all of it
    trigger TEXT NOT NULL,
    body TEXT NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    language TEXT NOT NULL,
    price TEXT NOT NULL, -- yoctoNEAR in decimal digits
    creator BLOB NOT NULL CHECK (length(creator) = 32),
    formers BLOB NOT NULL, -- the creator's former keys, 32 bytes each
    created INTEGER NOT NULL, -- Unix ms, as the creator says
    version INTEGER NOT NULL,
    supersedes BLOB, -- a CID
    source TEXT NOT NULL, -- from where it came first
    added INTEGER NOT NULL, -- Unix ms, when that was
    kept INTEGER NOT NULL, -- 1: by the person; 0: only seen, and dropped when there are too many
    hidden INTEGER NOT NULL DEFAULT 0 -- 1: its creator has put a later version in its place, which is here, too
) STRICT;
CREATE INDEX patterns_by_share ON patterns (kept, creator, no);
CREATE INDEX patterns_by_age ON patterns (kept, no);
CREATE INDEX patterns_by_supersedes ON patterns (supersedes, creator) WHERE supersedes IS NOT NULL;

CREATE VIRTUAL TABLE pattern_words USING fts5 ( -- of those that are not hidden; `mycelnode.patterns.library` keeps it in step
    title, description, trigger, body,
    content = 'patterns', content_rowid = 'no', tokenize = "porter unicode61 remove_diacritics 2"
);

CREATE TABLE pattern_vectors ( -- by the model that made them: those of different models cannot be compared
    model TEXT NOT NULL,
    no INTEGER NOT NULL REFERENCES patterns (no) ON DELETE CASCADE,
    dim INTEGER NOT NULL,
    vector BLOB NOT NULL CHECK (length(vector) = 4 * dim), -- float32, little-endian, of unit length
    PRIMARY KEY (model, no)
) STRICT;
CREATE INDEX pattern_vectors_by_no ON pattern_vectors (no); -- for the cascade

CREATE TABLE pattern_changes ( -- what copies in memory have to look at again; the last ones only
    change INTEGER PRIMARY KEY AUTOINCREMENT,
    no INTEGER NOT NULL
) STRICT;
CREATE TABLE pattern_counts ( -- how many are kept, and how many only seen: to count them would take longer than to add one
    kept INTEGER PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;
INSERT INTO pattern_counts VALUES (0, 0), (1, 0);

CREATE TRIGGER patterns_added AFTER INSERT ON patterns BEGIN
    INSERT INTO pattern_changes (no) VALUES (new.no);
    UPDATE pattern_counts SET count = count + 1 WHERE kept = new.kept;
END;
CREATE TRIGGER patterns_changed AFTER UPDATE ON patterns BEGIN
    INSERT INTO pattern_changes (no) VALUES (new.no);
    UPDATE pattern_counts SET count = count + (kept = new.kept) - (kept = old.kept);
END;
CREATE TRIGGER patterns_removed AFTER DELETE ON patterns BEGIN
    INSERT INTO pattern_changes (no) VALUES (old.no);
    UPDATE pattern_counts SET count = count - 1 WHERE kept = old.kept;
END;
CREATE TRIGGER pattern_vectors_added AFTER INSERT ON pattern_vectors BEGIN
    INSERT INTO pattern_changes (no) VALUES (new.no);
END;
