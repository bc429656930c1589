"""What a device of the world of releases keeps: the tables of the product's store, changed by transactions that are synced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mycelnode.crdt.changelog import DeviceId
from mycelnode.protocols.release_records import Record
from mycelnode.protocols.release_steps import Kept
from mycelnode.protocols.release_units import Handed

DAY_MS: Final = 86_400_000

Mark = tuple[bytes, int]  # what counts no more, and the label of the window in which it was handed over


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn as a device keeps it. ``number`` is the same wherever the same turn comes in; ``habit``: what its key is made of."""

    number: int
    habit: int
    day: int
    dated: bool
    ingested: int  # Unix ms, by the device's clock


@dataclass(slots=True)
class Disk:
    """All of it is on the disk: what was not committed is nowhere."""

    salt: bytes
    records: dict[bytes, Record] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)
    turns: dict[int, Turn] = field(default_factory=dict)
    marks: dict[bytes, frozenset[int]] = field(default_factory=dict)  # → labels
    rows: dict[tuple[int, DeviceId], tuple[Handed, ...]] = field(default_factory=dict)  # (window, device) → its part
    outputs: dict[int, dict[bytes, int]] = field(default_factory=dict)

    def image(self) -> Disk:
        """A copy: what a file system's snapshot has, or a machine's image."""
        twin = Disk(self.salt, dict(self.records), read_kept(self.kept), dict(self.turns), dict(self.marks))
        twin.rows, twin.outputs = dict(self.rows), dict(self.outputs)
        return twin

    def labels(self, mark: bytes) -> frozenset[int]:
        """Of the windows in which something was handed over."""
        return self.marks.get(mark, frozenset())

    def note(self, marks: Iterable[Mark]) -> None:
        """Grow."""
        for mark, label in marks:
            known = self.marks.get(mark, frozenset())
            if label not in known:
                self.marks[mark] = known | {label}


def read_kept(kept: Kept) -> Kept:
    """What a process reads when it begins: changes in its memory are none on the disk."""
    got = {start: set(devices) for start, devices in kept.got.items()}
    return Kept(dict(kept.opened), dict(kept.agreed), dict(kept.frozen), got, set(kept.drawn))


def turn_mark(secret: bytes, number: int) -> bytes:
    """Of a turn, under a secret of the mesh."""
    return hashlib.blake2b(b"turn %d" % number, key=secret, digest_size=32).digest()


def day_mark(secret: bytes, key: bytes, day: int) -> bytes:
    """Of a day of a habit."""
    return hashlib.blake2b(b"day %d " % day + key, key=secret, digest_size=32).digest()
