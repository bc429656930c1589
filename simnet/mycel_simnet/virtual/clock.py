"""Virtual time: what happens at which moment, in an order that depends on nothing but the story."""

from __future__ import annotations

import heapq
from collections.abc import Callable

START_MS = 1_760_000_000_000  # Unix ms at second 0
MAX_MOMENTS = 400_000  # in one run; more is an endless loop


class Endless(AssertionError):
    """Work made new work without end."""


class Clock:
    """``now`` is the monotonic clock in seconds. *Work* is what must happen for everything to come to rest; heartbeats are none."""

    def __init__(self) -> None:
        self.now = 0.0
        self.work = 0  # moments to come that are work
        self._moments: list[tuple[float, int, bool, Callable[[], None]]] = []
        self._number = 0

    def wall(self, skew_ms: int = 0) -> int:
        """Unix ms by a clock that is ``skew_ms`` ahead."""
        return START_MS + round(self.now * 1000) + skew_ms

    def at(self, delay: float, call: Callable[[], None], *, work: bool = True) -> None:
        """Let ``call`` happen in ``delay`` seconds."""
        self._number += 1
        self.work += work
        heapq.heappush(self._moments, (self.now + max(delay, 0.0), self._number, work, call))

    def step(self) -> None:
        """The next moment."""
        due, _, work, call = heapq.heappop(self._moments)
        self.now = max(self.now, due)
        self.work -= work
        call()

    def settle(self, until: Callable[[], bool] = lambda: False, *, seconds: float = 600.0) -> bool:
        """Until no work is left (True), or ``until`` says so or ``seconds`` have passed (False)."""
        end = self.now + seconds
        for _ in range(MAX_MOMENTS):
            if not self.work:
                return True
            if until() or self._moments[0][0] > end:
                return False
            self.step()
        raise Endless(f"still busy after {MAX_MOMENTS} moments")

    def run(self, seconds: float) -> None:
        """All that happens in the next ``seconds``."""
        end = self.now + seconds
        for _ in range(MAX_MOMENTS):
            if not self._moments or self._moments[0][0] > end:
                self.now = end
                return
            self.step()
        raise Endless(f"still busy after {MAX_MOMENTS} moments")

    def leap(self, seconds: float) -> None:
        """Everybody sleeps for ``seconds``; what was due meanwhile happens late."""
        self.now += seconds
