-- A person's turns with their assistant. Their text is sealed, each under a key of its own.
CREATE TABLE turn_keys ( -- overwritten in place and used again, never deleted or moved: a moved key would leave a copy behind
    slot INTEGER PRIMARY KEY,
    used INTEGER NOT NULL, -- 0: the key is zeros, and the next turn gets this slot
    wrapped BLOB NOT NULL -- 72 bytes, always: a key of another length would be moved
) STRICT;
CREATE INDEX turn_keys_free ON turn_keys (slot) WHERE used = 0;

CREATE TABLE turns (
    no INTEGER PRIMARY KEY,
    mark BLOB NOT NULL UNIQUE, -- HMAC(mesh secret, turn): what the turn is known by
    time INTEGER NOT NULL, -- of the request, Unix ms
    dated INTEGER NOT NULL, -- 0: nobody said when it was, and time is that of the ingestion
    ingested INTEGER NOT NULL, -- Unix ms, written once: it decides the window
    source TEXT NOT NULL,
    success INTEGER NOT NULL, -- 0: unknown, 1: yes, 2: no
    influenced INTEGER NOT NULL, -- bits: by what, besides the person and the assistant
    size INTEGER NOT NULL, -- of the text, bytes of UTF-8
    slot INTEGER NOT NULL UNIQUE REFERENCES turn_keys (slot),
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX turns_by_time ON turns (time, no);
CREATE INDEX turns_by_ingestion ON turns (ingested);
CREATE INDEX turns_by_source ON turns (source);

CREATE TABLE tombstones ( -- of turns, and of days of habits, that count no more; they only grow
    mark BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
