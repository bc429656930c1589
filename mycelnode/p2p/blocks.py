"""The blockstore as Bitswap sees it: by the 36 bytes of a CID; and what a block names."""

from __future__ import annotations

from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.dag import links_of


class ByName:
    """A `BlockStore` on top of a `Blockstore`."""

    def __init__(self, store: Blockstore) -> None:
        self._store = store

    def get(self, cid: bytes) -> bytes | None:
        """As `Blockstore.get`."""
        return self._store.get(Cid.from_bytes(cid))

    def size(self, cid: bytes) -> int | None:
        """As `Blockstore.size`."""
        return self._store.size(Cid.from_bytes(cid))

    def put(self, cid: bytes, block: bytes) -> None:
        """As `Blockstore.put`."""
        self._store.put(Cid.from_bytes(cid), block)


def links(cid: bytes, block: bytes) -> list[bytes]:
    """What a block names. Raises `BlockRefused` if it cannot be read."""
    return [link.binary for link in links_of(Cid.from_bytes(cid), block)]
