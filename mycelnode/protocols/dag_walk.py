"""Which blocks of a DAG are still to be fetched, and whether it is as large as was said: pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from mycelnode.errors import DagRefused, MycelError
from mycelnode.protocols.bitswap_frames import name_of

Links = Callable[[bytes, bytes], Iterable[bytes]]  # (CID, block) → the CIDs that it names
_RAW: Final = 0x55


class DagWalk:
    """Each block is visited once, however often it is named, so that a small DAG cannot pretend to be endless.

    ``max_blocks`` and ``max_bytes`` bound what is visited; the first is known before the blocks are fetched.
    """

    def __init__(self, root: bytes, links: Links, max_blocks: int, max_bytes: int) -> None:
        self._links, self._max_blocks, self._max_bytes = links, max_blocks, max_bytes
        self._known = {root}
        self._waiting = deque([root])
        self._under_way = set[bytes]()
        self.blocks = 0  # visited
        self.size = 0  # bytes of these

    @property
    def known(self) -> int:
        """How many blocks the DAG has, as far as it is known."""
        return len(self._known)

    @property
    def under_way(self) -> int:
        """How many `next` gave and that have not `ended`."""
        return len(self._under_way)

    @property
    def over(self) -> bool:
        """Is nothing left to do?"""
        return not (self._waiting or self._under_way)

    @staticmethod
    def leaf(name: bytes) -> bool:
        """Does this block name no other, by its CID alone?"""
        return name[1] == _RAW

    def next(self) -> bytes | None:
        """A block to visit, or None if none is known that is not under way."""
        if not self._waiting:
            return None
        name = self._waiting.popleft()
        self._under_way.add(name)
        return name

    def ended(self, name: bytes) -> None:
        """Nothing more is done for this block."""
        self._under_way.discard(name)

    def take(self, name: bytes, size: int, data: bytes) -> None:
        """A block of ``size`` bytes is here; ``data`` (of a leaf: nothing) tells what is below it. Raises `DagRefused`."""
        self.blocks += 1
        self.size += size
        if self.size > self._max_bytes:
            raise DagRefused(f"it has more than the {self._max_bytes} bytes that are allowed")
        if self.leaf(name):
            return
        try:
            found = [_ours(cid) for cid in self._links(name, data)]
        except MycelError as error:
            raise DagRefused(f"a block of it cannot be read: {error}") from error
        for link in found:
            if link not in self._known:
                if len(self._known) >= self._max_blocks:
                    raise DagRefused(f"it has more than the {self._max_blocks} blocks that are allowed")
                self._known.add(link)
                self._waiting.append(link)


def _ours(cid: bytes) -> bytes:
    name = name_of(cid)
    if name is None:
        raise DagRefused("it names a block of a kind that is not used here")
    return name
