"""Registers: last-writer-wins (one value, or a map of them) and multi-value.

A last-writer-wins *cell* is ``(clock, device, seq, index, packed value)``. Cells are compared as they stand, so the order
is total: two cells that compare equal are the same write. Each type is a state (``merge``) and takes single operations
(``apply``); both ways lead to the same value, in any order and however often they are repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.context import Dot, DotContext, Dotted, Event
from mycelnode.crdt.values import ABSENT, pack, unpack
from mycelnode.encoding import Value
from mycelnode.errors import ValueRefused

Cell = tuple[int, DeviceId, int, int, bytes]

MV_LABEL = pack(None)  # a multi-value register has one place for versions


class LWWRegister:
    """One value; the write with the greatest stamp stays.

    >>> here, there = LWWRegister(), LWWRegister()
    >>> first, second = here.set("tea", 1, b"a"), there.set("coffee", 2, b"b")
    >>> here.apply(second); there.apply(first); here.get(), here == there
    ('coffee', True)
    """

    __slots__ = ("cell",)

    def __init__(self) -> None:
        self.cell: Cell | None = None

    def get(self, default: Value = None) -> Value:
        """The value, or ``default`` if none was ever set."""
        return default if self.cell is None else unpack(self.cell[4])

    def set(self, value: Value, clock: int, device: DeviceId) -> Cell:
        """Write, at a reading of the device's hybrid clock; returns the operation for the other replicas."""
        cell = (clock, device, 0, 0, pack(value))
        self.write(cell)
        return cell

    def apply(self, cell: Cell) -> None:
        """An operation from another replica."""
        self.write(cell)

    def write(self, cell: Cell) -> bytes | None:
        """Take ``cell`` if it is the later one; returns the packed value it replaced (`ABSENT` if none), None if it lost."""
        old = self.cell
        if old is not None and old >= cell:
            return None
        self.cell = cell
        return ABSENT if old is None else old[4]

    def merge(self, other: LWWRegister) -> None:
        """Take in another replica's state."""
        if other.cell is not None:
            self.write(other.cell)

    def copy(self) -> LWWRegister:
        """An independent copy."""
        twin = LWWRegister()
        twin.cell = self.cell
        return twin

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LWWRegister) and self.cell == other.cell

    __hash__ = None  # type: ignore[assignment]


class MapWrite(NamedTuple):
    """An operation on an `LWWMap`."""

    key: str
    cell: Cell


class LWWMap:
    """A map from text to values; per key the write or removal with the greatest stamp stays. It is not an OR-Set: a later
    removal beats a concurrent earlier write.

    >>> here, there = LWWMap(), LWWMap()
    >>> there.apply(here.put("milk", 2, 1, b"a"))
    >>> here.apply(there.remove("milk", 2, b"b")); dict(here.items())
    {}
    """

    __slots__ = ("cells", "live")

    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}
        self.live = 0

    def get(self, key: str, default: Value = None) -> Value:
        """The value under ``key``."""
        cell = self.cells.get(key)
        return default if cell is None or cell[4] == ABSENT else unpack(cell[4])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self.cells and self.cells[key][4] != ABSENT

    def __iter__(self) -> Iterator[str]:
        return (key for key, cell in self.cells.items() if cell[4] != ABSENT)

    def __len__(self) -> int:
        return self.live

    def items(self) -> Iterator[tuple[str, Value]]:
        """All keys with their values."""
        return ((key, unpack(cell[4])) for key, cell in self.cells.items() if cell[4] != ABSENT)

    def put(self, key: str, value: Value, clock: int, device: DeviceId) -> MapWrite:
        """Write ``key``; returns the operation for the other replicas."""
        return self._local(key, (clock, device, 0, 0, pack(value)))

    def remove(self, key: str, clock: int, device: DeviceId) -> MapWrite:
        """Remove ``key``; returns the operation. What remains is a tombstone with its stamp."""
        return self._local(key, (clock, device, 0, 0, ABSENT))

    def _local(self, key: str, cell: Cell) -> MapWrite:
        self.write(key, cell)
        return MapWrite(key, cell)

    def apply(self, operation: MapWrite) -> None:
        """An operation from another replica."""
        self.write(operation.key, operation.cell)

    def write(self, key: str, cell: Cell) -> bytes | None:
        """Take ``cell`` if it is the later one; returns the packed value it replaced (`ABSENT` if none), None if it lost."""
        cells = self.cells
        old = cells.get(key)
        if old is None:
            cells[key] = cell
            self.live += cell[4] != ABSENT
            return ABSENT
        if old >= cell:
            return None
        cells[key] = cell
        self.live += (cell[4] != ABSENT) - (old[4] != ABSENT)
        return old[4]

    def merge(self, other: LWWMap) -> None:
        """Take in another replica's state."""
        for key, cell in other.cells.items():
            self.write(key, cell)

    def copy(self) -> LWWMap:
        """An independent copy."""
        twin = LWWMap()
        twin.cells, twin.live = dict(self.cells), self.live
        return twin

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LWWMap) and self.cells == other.cells

    __hash__ = None  # type: ignore[assignment]


class Assigned(NamedTuple):
    """An operation on an `MVRegister`: a new version, and the versions that its writer saw and replaced."""

    dot: Dot
    value: bytes
    replaced: Sequence[Dot]


class MVRegister:
    """A register that keeps concurrent versions, all of them, until somebody who saw them assigns a new one.

    >>> here, there = MVRegister(), MVRegister()
    >>> first, second = here.assign("tea", b"a"), there.assign("coffee", b"b")
    >>> here.apply(second); here.values()
    ['tea', 'coffee']
    >>> there.apply(first); here.apply(there.assign("both", b"b")); here.values()
    ['both']
    """

    __slots__ = ("context", "dotted", "versions")

    def __init__(self, context: DotContext | None = None) -> None:
        self.context = DotContext() if context is None else context
        self.dotted = Dotted()
        self.versions: dict[Dot, bytes] = {}

    def packed(self) -> list[bytes]:
        """The packed values of all current versions, without repetition, in the order of their bytes."""
        return sorted(set(self.versions.values()))

    def values(self) -> list[Value]:
        """All current versions; one unless devices wrote concurrently."""
        return [unpack(value) for value in self.packed()]

    def dots(self) -> Sequence[Dot]:
        """The current versions' dots: what a new version replaces."""
        return sorted(self.versions)

    def assign(self, value: Value, device: DeviceId) -> Assigned:
        """Replace every version seen here; returns the operation for the other replicas."""
        operation = Assigned(self.context.next(device), pack(value), self.dots())
        self.apply(operation)
        return operation

    def apply(self, operation: Assigned) -> None:
        """An operation from another replica."""
        dot, value, replaced = operation
        if dot[1] < 1 or dot[2]:
            raise ValueRefused("a version's dot is (device, number from 1, 0)")
        self.replace(replaced)
        if not self.context.seen(dot):
            self.write(dot, value)
            self.context.add(dot)
            self.dotted.settle((dot[0], dot[1]))

    def replace(self, dots: Sequence[Dot]) -> list[Event]:
        """Take the versions of ``dots`` away; returns the events not seen yet, see `Dotted.remove`."""
        unseen = self.dotted.remove(MV_LABEL, dots, self.context)
        for dot in dots:
            self.versions.pop(dot, None)
        return unseen

    def write(self, dot: Dot, value: bytes) -> None:
        """Add a version, unless it was replaced before it came. Of two values under one floating dot the greater bytes stay."""
        if self.dotted.add(MV_LABEL, dot):
            self.versions[dot] = max(value, self.versions.get(dot, ABSENT))

    def merge(self, other: MVRegister) -> None:
        """Take in another replica's state."""
        self.absorb(other)
        self.context.merge(other.context)

    def absorb(self, other: MVRegister) -> None:
        """Take in the versions; the contexts are merged by the caller, who may share one among many."""
        self.dotted.merge(self.context, other.dotted, other.context)
        versions = {}
        for dot in self.dotted.dots(MV_LABEL):
            versions[dot] = max(self.versions.get(dot, ABSENT), other.versions.get(dot, ABSENT))
        self.versions = versions

    def copy(self, context: DotContext) -> MVRegister:
        """An independent copy, with a context that was copied already."""
        twin = MVRegister(context)
        twin.dotted, twin.versions = self.dotted.copy(), dict(self.versions)
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MVRegister):
            return False
        return (self.versions, self.dotted, self.context) == (other.versions, other.dotted, other.context)

    __hash__ = None  # type: ignore[assignment]
