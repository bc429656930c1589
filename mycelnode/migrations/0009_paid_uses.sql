-- Which request a use that is paid for answers: made again after it was interrupted, it is not paid again.
CREATE TABLE paid_uses (
    request TEXT PRIMARY KEY, -- as whoever asked called it, or else the payment
    cid TEXT NOT NULL,
    payment TEXT NOT NULL, -- the id of the intent, as it was first wanted
    served INTEGER NOT NULL, -- 1: whoever asked has had the pattern
    begun INTEGER NOT NULL -- Unix ms
) STRICT;
CREATE INDEX paid_uses_by_cid ON paid_uses (cid, served);
CREATE INDEX payments_by_pattern ON payments (about);
