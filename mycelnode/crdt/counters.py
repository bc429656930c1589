"""A counter that every device may raise and lower, each change counted once: also one that was re-issued by a rescue.

The changes of one device are counted in the order of its log, so a running total and the number of the last change say all.
Rescued changes come by themselves, each named by its entry and its index there. When a rescued entry counts after all, both
would be there; for that, a tag of the hash of every entry that changed the counter is kept (8 bytes an entry).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

from mycelnode.crdt.changelog import DeviceId
from mycelnode.errors import ValueRefused

MAX_DELTA = 1 << 53  # |delta|: what a JSON reader can hold exactly
TAG_BYTES = (
    8  # two entries with one place and one tag can only be made by the device itself, and cost it only its own rescue
)

Source = tuple[DeviceId, int, int]  # an entry: (device, seq, tag of its hash)


class Counted(NamedTuple):
    """An operation on a `PNCounter`: ``device``'s total after its ``seq``-th change."""

    device: DeviceId
    seq: int
    total: int


class PNCounter:
    """A counter; concurrent changes add up.

    >>> here, there = PNCounter(), PNCounter()
    >>> three, less = here.add(3, b"a"), there.add(-1, b"b")
    >>> here.apply(less); there.apply(three); there.apply(three); here.value, there.value
    (2, 2)
    """

    __slots__ = ("_counted", "rescued", "tags", "totals")

    def __init__(self) -> None:
        self.totals: dict[DeviceId, tuple[int, int]] = {}  # device → (seq of its last change, total)
        self.tags: dict[DeviceId, tuple[array[int], array[int]]] = {}  # device → (seqs, tags), ascending
        self.rescued: dict[Source, dict[int, int]] = {}  # entry → index → delta
        self._counted = 0

    @property
    def value(self) -> int:
        """The sum of all changes known here."""
        return self._counted

    def add(self, delta: int, device: DeviceId) -> Counted:
        """Change the counter by ``delta``, |delta| ≤ `MAX_DELTA`; returns the operation for the other replicas."""
        if type(delta) is not int or abs(delta) > MAX_DELTA:
            raise ValueRefused(f"a counter changes by a whole number of at most {MAX_DELTA}")
        seq, total = self.totals.get(device, (0, 0))
        operation = Counted(device, seq + 1, total + delta)
        self.apply(operation)
        return operation

    def apply(self, operation: Counted) -> None:
        """An operation from another replica. A later one of the same device includes all before it."""
        device, seq, total = operation
        known, before = self.totals.get(device, (0, 0))
        if seq > known:
            self.totals[device] = (seq, total)
            self._counted += total - before

    def count(self, source: Source, delta: int) -> None:
        """A change in a device's log, in the order of the log."""
        device, seq, mark = source
        last, total = self.totals.get(device, (0, 0))
        self.totals[device] = (seq, total + delta)
        self._counted += delta
        if seq != last:
            seqs, tags = self.tags.setdefault(device, (array("Q"), array("Q")))
            seqs.append(seq)
            tags.append(mark)
            self._counted -= sum(self.rescued.get(source, {}).values())

    def count_rescued(self, source: Source, index: int, delta: int) -> None:
        """A change that was re-issued by a rescue; counted once, and not if its entry counts itself."""
        changes = self.rescued.setdefault(source, {})
        before = changes.get(index)
        if before is not None and before >= delta:
            return  # of two different claims about one operation the greater stays, in whatever order they come
        changes[index] = delta
        if not self.holds(source):
            self._counted += delta - (before or 0)

    def holds(self, source: Source) -> bool:
        """Is ``source`` among the entries counted in their own log?"""
        device, seq, mark = source
        if device not in self.tags:
            return False
        seqs, tags = self.tags[device]
        place = bisect_left(seqs, seq)
        return place < len(seqs) and seqs[place] == seq and tags[place] == mark

    def merge(self, other: PNCounter) -> None:
        """Take in another replica's state."""
        for device, (seq, total) in other.totals.items():
            if seq > self.totals.get(device, (0, 0))[0]:
                self.totals[device] = (seq, total)
                if device in other.tags:
                    seqs, tags = other.tags[device]
                    self.tags[device] = (seqs[:], tags[:])
        for source, changes in other.rescued.items():
            mine = self.rescued.setdefault(source, {})
            for index, delta in changes.items():
                mine[index] = max(delta, mine.get(index, delta))
        self.recount()

    def copy(self) -> PNCounter:
        """An independent copy."""
        twin = PNCounter()
        twin.totals, twin._counted = dict(self.totals), self._counted
        twin.tags = {device: (seqs[:], tags[:]) for device, (seqs, tags) in self.tags.items()}
        twin.rescued = {source: dict(changes) for source, changes in self.rescued.items()}
        return twin

    def recount(self) -> None:
        """Compute `value` anew, after the parts were set from outside."""
        self._counted = sum(total for _, total in self.totals.values())
        self._counted += sum(
            sum(changes.values()) for source, changes in self.rescued.items() if not self.holds(source)
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PNCounter):
            return False
        return (self.totals, self.tags, self.rescued) == (other.totals, other.tags, other.rescued)

    __hash__ = None  # type: ignore[assignment]


def source_of(device: DeviceId, seq: int, entry_hash: bytes) -> Source:
    """How a counter names an entry."""
    return (device, seq, int.from_bytes(entry_hash[:TAG_BYTES], "big"))
