-- The journal of payments: what is to be done on chain, what was signed for it, and what became of it. Lines are never deleted.
CREATE TABLE payments (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, -- of the intent
    network TEXT NOT NULL, -- and the hash of its first block
    state TEXT NOT NULL,
    ended INTEGER NOT NULL, -- 1: nothing more happens to it
    method TEXT NOT NULL, -- empty: a transfer
    receiver TEXT NOT NULL,
    about TEXT NOT NULL, -- the CID of the pattern, if it is about one
    creator TEXT, -- who is paid by a use
    amount TEXT NOT NULL, -- yoctoNEAR, in decimal digits: attached; 0 once it is known that it was not, or came back
    added INTEGER NOT NULL, -- Unix ms
    changed INTEGER NOT NULL,
    entry BLOB NOT NULL -- all of it, in CBOR; `mycelnode.protocols.payment_journal` says how
) STRICT;
CREATE INDEX payments_by_state ON payments (ended, network);
CREATE INDEX payments_by_time ON payments (changed);
