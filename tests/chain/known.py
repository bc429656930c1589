"""What the registry has of a pattern."""

from __future__ import annotations

import hashlib

from mycelnode.patterns.cid import DAG_CBOR, Cid


def cid_of(text: str) -> tuple[str, str]:
    """(hash, CID) of a manifest."""
    cid = Cid(DAG_CBOR, hashlib.sha256(text.encode()).digest())
    return cid.digest.hex(), str(cid)


DIGEST, CID = cid_of("a pattern")
PATTERN = {
    "id": 7,
    "creator": "alice.near",
    "pattern_hash": DIGEST,
    "metadata_cid": CID,
    "domain": "mail",
    "price_per_use": "5",
    "version": 1,
    "registered_at": "1",
    "updated_at": "1",
    "retired_at": None,
    "uses": 0,
    "ratings": 0,
    "seq": 3,
}
