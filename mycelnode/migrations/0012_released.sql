-- What release decisions let out, as it was sampled, in no order that says anything; and what became of it.
CREATE TABLE released (
    id TEXT PRIMARY KEY, -- of window and key: what people call it
    window TEXT NOT NULL,
    key BLOB NOT NULL,
    n INTEGER NOT NULL, -- the very number that passed
    choice TEXT NOT NULL, -- of ε and δ
    version BLOB NOT NULL, -- of the keys
    due INTEGER NOT NULL, -- Unix ms: not before that is it public
    confirmed INTEGER, -- Unix ms: when a person said that it may be
    price TEXT, -- yoctoNEAR, as the person said then
    register INTEGER NOT NULL DEFAULT 0,
    cid TEXT -- once it is public
) STRICT, WITHOUT ROWID;
CREATE INDEX released_by_window ON released (window);
