CREATE TABLE released (id TEXT, window TEXT, key BLOB, n INTEGER, due INTEGER) STRICT;
