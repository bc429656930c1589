"""A simulated network: who can reach whom, and connections that are late, break with frames under way, or fall silent.

A connection carries messages in order, as TCP under Noise does, until it is *reset* (both ends are told) or *lost* (nothing comes
through any more and nobody is told: a partition, a power cut, a half-open connection). An *odd* one also repeats and reorders
messages, which no transport of ours does: it may end sessions, and must not do harm.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

from mycel_simnet.virtual.clock import Clock
from mycel_simnet.virtual.keys import Broken

MAX_MESSAGES = 20_000  # on one connection; more is an endless loop
DIAL_SECONDS = 0.02

Cut = Literal["reset", "lost"]


class Ear(Protocol):
    """One end of a connection."""

    def heard(self, kind: str, payload: bytes) -> None:
        """A message came."""
        ...

    def over(self) -> None:
        """The connection is over."""
        ...


class Line:
    """One connection. End 0 dialled. ``budget``: messages until it breaks."""

    def __init__(self, network: Network, budget: int | None, cut: Cut, *, odd: bool) -> None:
        self.network, self.budget, self.odd = network, budget, odd
        self.open, self.lost = True, False
        self.sent = 0
        self.ears: list[Ear] = []
        self._cut: Cut = cut
        self._last = [0.0, 0.0]

    def send(self, end: int, kind: str, payload: bytes) -> None:
        """From ``end`` to the other."""
        if not self.open or self.lost:
            return
        if self.budget is not None and self.sent >= self.budget:
            self.cut(self._cut)
            return
        self.sent += 1
        if self.sent > MAX_MESSAGES:
            raise Broken("loop", f"more than {MAX_MESSAGES} messages on one connection")
        rng, now = self.network.rng, self.network.clock.now
        due = now + self.network.latency()
        if not (self.odd and rng.random() < 0.15):  # else it may overtake
            due = self._last[end] = max(self._last[end], due)
        for _ in range(2 if self.odd and rng.random() < 0.1 else 1):
            self.network.clock.at(due - now, lambda: self._deliver(1 - end, kind, payload))

    def _deliver(self, end: int, kind: str, payload: bytes) -> None:
        if self.open and not self.lost:
            self.ears[end].heard(kind, payload)

    def hang_up(self, end: int) -> None:
        """A clean end: what ``end`` has sent arrives first."""
        if self.open and not self.lost:
            now = self.network.clock.now
            self.network.clock.at(max(self._last[end], now) - now, lambda: self.cut("reset"))

    def cut(self, how: Cut) -> None:
        """Break it, with all that is under way."""
        if not self.open:
            return
        if how == "lost":
            self.lost = True
            return
        self.open = False
        self.network.lines.discard(self)
        for ear in self.ears:
            ear.over()

    def left(self, end: int) -> None:
        """One end has given up; of a lost line the other does not hear."""
        if self.lost:
            self.ears[end].over()
            if all(getattr(ear, "ended", False) for ear in self.ears):
                self.open = False
                self.network.lines.discard(self)
        else:
            self.cut("reset")


class Place(Protocol):
    """Something that listens at an address."""

    @property
    def reachable(self) -> bool:
        """Is it there at all?"""
        ...

    def accept(self, line: Line, dialler: Any) -> Ear | None:
        """Somebody connects; None: refused."""
        ...


class Network:
    """All lines, and which places see each other: those in one of ``groups``. ``free``: devices look for each other;
    ``odd``: all lines are."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock, self.rng = clock, rng
        self.lines: set[Line] = set()
        self.free = self.odd = False
        self._group: dict[int, int] = {}

    def latency(self) -> float:
        """Seconds for one message."""
        return self.rng.random() * 0.04

    def join(self, groups: Iterable[Iterable[Any]]) -> None:
        """From now on, these see each other."""
        self._group = {id(place): number for number, group in enumerate(groups) for place in group}

    def sees(self, one: Any, other: Any) -> bool:
        """Can a message get through?"""
        group = self._group.get(id(one))
        return group is not None and group == self._group.get(id(other))

    def dial(
        self,
        dialler: Any,
        place: Place,
        connected: Callable[[Line], Ear],
        failed: Callable[[], None],
        *,
        budget: int | None = None,
        cut: Cut = "reset",
        odd: bool = False,
    ) -> None:
        """Connect ``dialler`` with ``place``, in a moment. ``connected`` makes the dialler's end."""

        def arrive() -> None:
            line = Line(self, budget, cut, odd=odd or self.odd)
            answerer = place.accept(line, dialler) if place.reachable and self.sees(dialler, place) else None
            if answerer is None:
                failed()
                return
            self.lines.add(line)
            line.ears.append(connected(line))
            line.ears.append(answerer)

        self.clock.at(DIAL_SECONDS + self.latency(), arrive)
