"""What was written in a story and what came of it: the record that the end is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mycel_simnet.virtual.disk import ROWS, Disk
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.operations import counter_add, gset_add

MARKS, TOTAL = "sim.marks", "sim.total"


@dataclass(slots=True)
class Write:
    """One transaction: it appends its ``mark``, its number, to a grow-only set, and counts ``delta``."""

    mark: int
    author: DeviceId
    delta: int
    head: Head | None = None  # where it stands in its author's log, once it is acknowledged
    gone: bool = False  # with the only disk that had it

    def operations(self, more: Iterable[Any] = ()) -> Sequence[Any]:
        """As they stand in the log."""
        return [gset_add(MARKS, self.mark), counter_add(TOTAL, self.delta), *more]


@dataclass(slots=True)
class Ledger:
    """All writes of a story, and the keys of which somebody made a second copy."""

    writes: list[Write] = field(default_factory=list)
    copied: set[DeviceId] = field(default_factory=set)

    def write(self, author: DeviceId) -> Write:
        """A transaction that is about to be asked for."""
        number = len(self.writes)
        self.writes.append(Write(number, author, 1 + number % 7))
        return self.writes[-1]

    def lost(self, disk: Disk, others: Iterable[Disk]) -> None:
        """What stands only on ``disk`` goes with it."""
        others = list(others)
        for write in self.writes:
            if write.head is not None and held(disk, write) and not any(held(other, write) for other in others):
                write.gone = True


def held(disk: Disk, write: Write) -> bool:
    """Does the entry of an acknowledged write stand on a disk?"""
    assert write.head is not None
    rows = (disk.tables[ROWS].get((write.author, number, write.head.seq)) for number in range(8))
    return any(row is not None and row.hash == write.head.hash for row in rows)
