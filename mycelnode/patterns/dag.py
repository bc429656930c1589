"""What a block links to, whatever its codec."""

from __future__ import annotations

from typing import Final

from mycelnode.errors import BlockRefused, EncodingError
from mycelnode.patterns import dagcbor, dagpb
from mycelnode.patterns.cid import DAG_CBOR, DAG_PB, Cid

MAX_BLOCK: Final = dagpb.MAX_BLOCK  # bytes of a block of any kind
_LINK_TAG: Final = b"\xd8\x2a"  # which the encoding of every link in DAG-CBOR begins with


def links_of(cid: Cid, block: bytes) -> tuple[Cid, ...]:
    """The links in a block, each once, in the order in which they stand first. Raises `BlockRefused` if they can't be read."""
    try:
        if cid.codec == DAG_PB:
            found = [link.cid for link in dagpb.decode(block).links]
        elif cid.codec == DAG_CBOR and _LINK_TAG in block:
            found = dagcbor.links(dagcbor.decode(block))
        else:
            return ()
    except EncodingError as error:
        raise BlockRefused(f"block {cid} is not read here: {error}") from error
    return tuple(dict.fromkeys(found))
