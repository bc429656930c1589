"""What one peer wants of us, and what it is to be told: the serving half of Bitswap (docs/protocols/bitswap.md).

One `Ledger` a peer. It holds names, never blocks: these are read when a message is made. Whatever a peer asks for, its ledger
stays within the bounds below, of about half a megabyte.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mycelnode.protocols.bitswap_frames import Entry, name_of, spellings

MAX_WANTS: Final = 1024  # of one peer, of blocks that are not here; the oldest make room, as in Kubo
MAX_QUEUED: Final = 1024  # blocks that one peer is still to be sent
MAX_QUEUED_BYTES: Final = 256 << 20  # of these together: a peer that asks for more is asked to look elsewhere
MAX_PRESENCES: Final = 2048  # answers without a block that one peer has not been sent yet
SMALL_BYTES: Final = 1024  # a block this small is sent to who only asked whether it is here
ANSWER_BYTES: Final = 256 << 10  # of blocks in one message, unless the first alone is larger
ANSWER_PRESENCES: Final = 1024  # in one message


@dataclass(frozen=True, slots=True)
class Answer:
    """What one message is to say: is the block of a CID here, and the blocks to be read and sent, by CID."""

    presences: tuple[tuple[bytes, bool], ...] = ()
    blocks: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Ledger:
    """What one peer wants. All CIDs are as the peer wrote them, so that it knows them again."""

    wants: OrderedDict[bytes, Entry] = field(default_factory=OrderedDict)  # not here
    blocks: OrderedDict[bytes, int] = field(default_factory=OrderedDict)  # here, to be sent → bytes
    presences: OrderedDict[bytes, bool] = field(default_factory=OrderedDict)  # to be told
    queued_bytes: int = 0

    def hear(self, entries: tuple[Entry, ...], *, full: bool, held: Mapping[bytes, int]) -> None:
        """A want-list came. ``full``: it replaces what was wanted before. ``held``: of the blocks named, those here → bytes."""
        if full:
            self.wants.clear()
            self.blocks.clear()
            self.queued_bytes = 0
        for entry in entries:
            self._drop(entry.cid)
            if entry.cancel:
                self.presences.pop(entry.cid, None)
                continue
            name = name_of(entry.cid)
            size = None if name is None else held.get(name)
            if size is not None:
                self._serve(entry, size)
                continue
            if entry.send_dont_have:
                self._tell(entry.cid, False)
            if name is not None:  # of other kinds there will never be any here
                self.wants[entry.cid] = entry
                if len(self.wants) > MAX_WANTS:
                    self.wants.popitem(last=False)

    def arrived(self, name: bytes, size: int) -> bool:
        """The block called ``name`` is here now. Was it wanted?"""
        wanted = [self.wants.pop(cid) for cid in spellings(name) if cid in self.wants]
        for entry in wanted:
            self._serve(entry, size)
        return bool(wanted)

    def _serve(self, entry: Entry, size: int) -> None:
        if entry.want_have and size > SMALL_BYTES:
            self._tell(entry.cid, True)
        elif len(self.blocks) < MAX_QUEUED and self.queued_bytes + size <= MAX_QUEUED_BYTES:
            self.presences.pop(entry.cid, None)
            self.blocks[entry.cid] = size
            self.queued_bytes += size
        else:
            self._tell(entry.cid, False)

    def _tell(self, cid: bytes, here: bool) -> None:
        self.presences.pop(cid, None)
        self.presences[cid] = here
        if len(self.presences) > MAX_PRESENCES:
            self.presences.popitem(last=False)

    def _drop(self, cid: bytes) -> None:
        self.wants.pop(cid, None)
        self.queued_bytes -= self.blocks.pop(cid, 0)

    @property
    def next_bytes(self) -> int:
        """How large the blocks of the next message are together; 0 if there are none."""
        return max(1, sum(self.blocks[cid] for cid in self._next())) if self.blocks else 0

    def _next(self) -> list[bytes]:
        found, total = list[bytes](), 0
        for cid, size in self.blocks.items():
            if found and total + size > ANSWER_BYTES:
                break
            found.append(cid)
            total += size
        return found

    def next(self, *, blocks: bool) -> Answer:
        """What the next message is to say, with or without ``blocks``; it counts as said."""
        presences = tuple(self.presences.popitem(last=False) for _ in range(min(len(self.presences), ANSWER_PRESENCES)))
        given = self._next() if blocks else []
        for cid in given:
            self._drop(cid)
        return Answer(presences, tuple(given))
