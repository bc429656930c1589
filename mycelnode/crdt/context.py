"""Causal context: which events of which devices have been seen, and which adds are alive because no remove has named them.

A *dot* ``(device, seq, index)`` names one operation: the ``index``-th of the ``seq``-th event of a device. The dots of one
event are seen together. A dot with ``seq`` 0 *floats*: it belongs to no device's sequence (rescued operations, where the
first part is the hash of the original entry), so it never counts as seen, and removes that name it are remembered for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from mycelnode.crdt.changelog import DeviceId

Dot = tuple[bytes, int, int]
Event = tuple[bytes, int]


class DotContext:
    """The events seen: all up to a number per device (``vector``), and single ones that came early (``cloud``).

    >>> context = DotContext()
    >>> context.add((b"a", 2, 0)); context.seen((b"a", 1, 0)), context.seen((b"a", 2, 0))
    (False, True)
    >>> context.add((b"a", 1, 0)); context.vector, context.cloud
    ({b'a': 2}, set())
    """

    __slots__ = ("cloud", "vector")

    def __init__(self) -> None:
        self.vector: dict[DeviceId, int] = {}
        self.cloud: set[Event] = set()

    def seen(self, dot: Dot) -> bool:
        """Has the event of ``dot`` been seen?"""
        return self.covers(dot[0], dot[1])

    def covers(self, device: DeviceId, seq: int) -> bool:
        """Has event ``seq`` of ``device`` been seen?"""
        return 0 < seq <= self.vector.get(device, 0) or (device, seq) in self.cloud

    def next(self, device: DeviceId) -> Dot:
        """A dot for the next event of ``device``, who knows all of its own."""
        return (device, self.vector.get(device, 0) + 1, 0)

    def add(self, dot: Dot) -> None:
        """Mark the event of ``dot`` as seen."""
        device, seq, _ = dot
        if seq <= self.vector.get(device, 0):
            return
        self.cloud.add((device, seq))
        self._compact(device)

    def merge(self, other: DotContext) -> None:
        """See all that ``other`` has seen."""
        for device, seq in other.vector.items():
            if seq > self.vector.get(device, 0):
                self.vector[device] = seq
        self.cloud |= other.cloud
        self.compact()

    def compact(self) -> None:
        """Move what has become contiguous from the cloud into the vector."""
        self.cloud = {(device, seq) for device, seq in self.cloud if seq > self.vector.get(device, 0)}
        for device in {device for device, _ in self.cloud}:
            self._compact(device)

    def _compact(self, device: DeviceId) -> None:
        following = self.vector.get(device, 0) + 1
        while (device, following) in self.cloud:
            self.cloud.remove((device, following))
            self.vector[device] = following
            following += 1

    def copy(self) -> DotContext:
        """An independent copy."""
        twin = DotContext()
        twin.vector, twin.cloud = dict(self.vector), set(self.cloud)
        return twin

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DotContext) and (self.vector, self.cloud) == (other.vector, other.cloud)

    __hash__ = None  # type: ignore[assignment]


class Dotted:
    """Labels with the dots of the adds that keep them alive: the common part of OR-Set and multi-value register.

    ``alive``: label → dots. ``killed``: for events not seen yet (or floating), the ``(index, label)`` pairs that a remove
    has named, so that the add, when it comes, finds itself removed. A remove counts only for the label that it names: the
    outcome must not depend on whether a (wrong) remove came before or after the add.
    """

    __slots__ = ("alive", "killed")

    def __init__(self) -> None:
        self.alive: dict[bytes, Collection[Dot]] = {}
        self.killed: dict[Event, set[tuple[int, bytes]]] = {}

    def dots(self, label: bytes) -> Collection[Dot]:
        """The adds that keep ``label`` alive."""
        return self.alive.get(label, ())

    def is_killed(self, label: bytes, dot: Dot) -> bool:
        """Has a remove named this add before it was seen?"""
        return (dot[2], label) in self.killed.get((dot[0], dot[1]), ()) if self.killed else False

    def add(self, label: bytes, dot: Dot) -> bool:
        """An add; True if it is alive."""
        if self.is_killed(label, dot):
            return False
        have = self.alive.get(label)
        if have is None:
            self.alive[label] = (dot,)  # one is the rule, and a tuple is a third of a set's size
        elif isinstance(have, set):
            have.add(dot)
        else:
            self.alive[label] = {*have, dot}
        return True

    def remove(self, label: bytes, dots: Iterable[Dot], context: DotContext) -> list[Event]:
        """A remove of the adds it names; returns the events not seen yet, whose adds must be met later."""
        unseen: list[Event] = []
        for dot in dots:
            self._drop(label, dot)
            if not context.seen(dot):
                self.killed.setdefault((dot[0], dot[1]), set()).add((dot[2], label))
                unseen.append((dot[0], dot[1]))
        return unseen

    def settle(self, event: Event) -> None:
        """``event`` has been seen: what was remembered for it has served."""
        self.killed.pop(event, None)

    def merge(self, context: DotContext, other: Dotted, theirs: DotContext) -> None:
        """Take in ``other``. ``context`` and ``theirs`` are what each side has seen, and are not changed here.

        An add that one side lacks was removed there if that side has seen it, else it is news.
        """
        for label, dot in list(self.pairs()):
            if dot not in other.dots(label) and (theirs.seen(dot) or other.is_killed(label, dot)):
                self._drop(label, dot)
        for label, dot in other.pairs():
            if not context.seen(dot):
                self.add(label, dot)
        for event, named in other.killed.items():
            self.killed.setdefault(event, set()).update(named)
        for event in [event for event in self.killed if context.covers(*event) or theirs.covers(*event)]:
            del self.killed[event]

    def copy(self) -> Dotted:
        """An independent copy."""
        twin = Dotted()
        twin.alive = {label: set(dots) if isinstance(dots, set) else dots for label, dots in self.alive.items()}
        twin.killed = {event: set(named) for event, named in self.killed.items()}
        return twin

    def pairs(self) -> Iterator[tuple[bytes, Dot]]:
        """All living (label, dot)."""
        for label, dots in self.alive.items():
            for dot in dots:
                yield label, dot

    def _drop(self, label: bytes, dot: Dot) -> None:
        have = self.alive.get(label)
        if have is None or dot not in have:
            return
        if len(have) == 1:
            del self.alive[label]
        elif isinstance(have, set):
            have.discard(dot)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dotted):
            return False
        return self.killed == other.killed and set(self.pairs()) == set(other.pairs())

    __hash__ = None  # type: ignore[assignment]
