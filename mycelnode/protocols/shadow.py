"""A document folded beside the real one, up to a cut, a piece at a time: a long history must not keep a device from answering."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from mycelnode.crdt.changelog import DeviceId, Head, decode_entry
from mycelnode.crdt.document import Document
from mycelnode.encoding import Digest
from mycelnode.errors import MycelError
from mycelnode.protocols.logset import LogSet

PIECE_BYTES = 256 << 10  # of entries or of state in one step: some hundredths of a second


class Shadow:
    """Grows from ``ground``, folded from prefixes of the same logs, to exactly what the entries up to ``cut`` amount to.

    When it is ``done``, ``digest`` is that state's, and ``state`` the state itself if ``encode`` asked for it. ``possible`` turns
    false if the logs held do not lead there.
    """

    def __init__(self, logs: LogSet, cut: Mapping[DeviceId, Head], ground: Document, *, encode: bool) -> None:
        self.logs, self.cut, self.document = logs, cut, ground
        self.done = False
        self.possible = all(device in cut and seq <= cut[device].seq for device, seq in ground.applied.items())
        self._blocks: Iterator[bytes] | None = None
        self._kept: list[bytes] | None = [] if encode else None
        self._hash = hashlib.blake2b(digest_size=32)

    @property
    def digest(self) -> bytes:
        """BLAKE2b-256 of the state."""
        return self._hash.digest()

    @property
    def state(self) -> bytes:
        """The canonical state."""
        return b"".join(self._kept or ())

    def step(self, max_bytes: int = PIECE_BYTES) -> bool:
        """A piece more: of the logs folded, then of the state encoded. Is it done, or not possible?"""
        left = self._fold(max_bytes)
        if self.possible and left > 0:
            self._blocks = self._blocks or self.document.state_blocks()
            for block in self._blocks:
                self._hash.update(block)
                if self._kept is not None:
                    self._kept.append(block)
                left -= len(block)
                if left <= 0:
                    return False
            self.done = True
        return self.done or not self.possible

    def _fold(self, left: int) -> int:
        """Fold up to so many bytes of entries; how many are left when all are folded, else none."""
        for device, head in self.cut.items():
            while self.possible and (done := self.document.applied.get(device, 0)) < head.seq:
                if left <= 0:
                    return 0
                rows = self.logs.rows(device, self.logs.find(device, head) or 0, done, left)
                self.possible = bool(rows) and not isinstance(rows[0].entry, Digest)
                for row in rows:
                    if row.seq > head.seq or isinstance(row.entry, Digest):
                        break
                    self.document.apply(device, row.seq, row.hash, *read_entry(row.entry))
                    left -= len(row.entry)
        return max(left, 1)


def read_entry(entry: bytes) -> tuple[int, list[Any]]:
    """(clock, operations); a signed entry that is no transaction counts as one without operations, alike on every device."""
    try:
        clock, *operations = decode_entry(entry)
    except MycelError:
        return 0, []
    return (clock, operations) if clock else (0, [])
