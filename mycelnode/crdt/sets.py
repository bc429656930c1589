"""Sets: grow-only, and observed-remove where a concurrent add wins.

Elements are any plain values; they are told apart by their canonical bytes, so ``1``, ``True`` and ``1.0`` are three elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.context import Dot, DotContext, Dotted, Event
from mycelnode.crdt.values import pack, unpack
from mycelnode.encoding import Value
from mycelnode.errors import ValueRefused


class GSet:
    """A grow-only set: what was added stays.

    >>> here, there = GSet(), GSet()
    >>> new = there.apply(here.add("x")); list(there), "x" in there
    (['x'], True)
    """

    __slots__ = ("packed",)

    def __init__(self) -> None:
        self.packed: dict[bytes, None] = {}  # a dict keeps the order of adding, which is kind to readers

    def __contains__(self, element: object) -> bool:
        return _packed(element) in self.packed

    def __iter__(self) -> Iterator[Value]:
        return map(unpack, self.packed)

    def __len__(self) -> int:
        return len(self.packed)

    def add(self, element: Value) -> bytes:
        """Add; returns the operation for the other replicas."""
        label = pack(element)
        self.apply(label)
        return label

    def apply(self, label: bytes) -> bool:
        """An operation from another replica; True if the element is new."""
        if label in self.packed:
            return False
        self.packed[label] = None
        return True

    def merge(self, other: GSet) -> None:
        """Take in another replica's state."""
        self.packed.update(other.packed)

    def copy(self) -> GSet:
        """An independent copy."""
        twin = GSet()
        twin.packed = dict(self.packed)
        return twin

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GSet) and self.packed == other.packed

    __hash__ = None  # type: ignore[assignment]


class Added(NamedTuple):
    """An add to an `ORSet`."""

    label: bytes
    dot: Dot


class Removed(NamedTuple):
    """A remove from an `ORSet`: of the adds that its author saw."""

    label: bytes
    dots: Sequence[Dot]


class ORSet:
    """An observed-remove set: a remove takes away the adds that its author has seen, so a concurrent add wins.

    >>> here, there = ORSet(), ORSet()
    >>> there.apply(here.add("x", b"a"))
    >>> gone, again = there.remove("x"), here.add("x", b"a")  # at the same time
    >>> here.apply(gone); there.apply(again); "x" in here, here == there
    (True, True)
    """

    __slots__ = ("context", "dotted")

    def __init__(self, context: DotContext | None = None) -> None:
        self.context = DotContext() if context is None else context
        self.dotted = Dotted()

    def __contains__(self, element: object) -> bool:
        return _packed(element) in self.dotted.alive

    def __iter__(self) -> Iterator[Value]:
        return map(unpack, self.dotted.alive)

    def __len__(self) -> int:
        return len(self.dotted.alive)

    def add(self, element: Value, device: DeviceId) -> Added:
        """Add, as ``device``'s next event; returns the operation. Adding again counts against a concurrent remove."""
        operation = Added(pack(element), self.context.next(device))
        self.apply(operation)
        return operation

    def remove(self, element: Value) -> Removed:
        """Remove the adds of ``element`` seen here; returns the operation."""
        label = pack(element)
        operation = Removed(label, sorted(self.dotted.dots(label)))
        self.apply(operation)
        return operation

    def apply(self, operation: Added | Removed) -> None:
        """An operation from another replica."""
        if isinstance(operation, Removed):
            self.discard(operation.label, operation.dots)
            return
        label, dot = operation
        if dot[1] < 1 or dot[2]:
            raise ValueRefused("an add's dot is (device, number from 1, 0)")
        if not self.context.seen(dot):
            self.insert(label, dot)
            self.context.add(dot)
            self.dotted.settle((dot[0], dot[1]))

    def insert(self, label: bytes, dot: Dot) -> bool:
        """An add; True if the element is new."""
        new = label not in self.dotted.alive
        return self.dotted.add(label, dot) and new

    def discard(self, label: bytes, dots: Sequence[Dot]) -> list[Event]:
        """A remove; returns the events not seen yet, see `Dotted.remove`."""
        return self.dotted.remove(label, dots, self.context)

    def merge(self, other: ORSet) -> None:
        """Take in another replica's state."""
        self.absorb(other)
        self.context.merge(other.context)

    def absorb(self, other: ORSet) -> None:
        """Take in the elements; the contexts are merged by the caller, who may share one among many."""
        self.dotted.merge(self.context, other.dotted, other.context)

    def copy(self, context: DotContext) -> ORSet:
        """An independent copy, with a context that was copied already."""
        twin = ORSet(context)
        twin.dotted = self.dotted.copy()
        return twin

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ORSet) and (self.dotted, self.context) == (other.dotted, other.context)

    __hash__ = None  # type: ignore[assignment]


def _packed(element: object) -> bytes:
    try:
        return pack(element)
    except ValueRefused:
        return b""  # cannot be in any set
