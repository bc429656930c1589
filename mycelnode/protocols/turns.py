"""Who may begin a session now: limits for each peer, and for all of them together, since new peer ids cost nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Allowed:
    """Sessions at one time and begun within `WINDOW_SECONDS`."""

    peer_at_once: int = 2  # the end of one may be on its way when the next begins
    peer_begun: int = 6
    at_once: int = 8
    begun: int = 120  # also how many are remembered


class Turns:
    """``now`` is seconds of a clock that never jumps."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._begun: deque[tuple[float, str]] = deque()
        self._running: list[str] = []

    def begin(self, peer: str, now: float) -> bool:
        """May a session with ``peer`` begin? Then `end` is to be called after it."""
        allowed = self._allowed
        while self._begun and self._begun[0][0] <= now - WINDOW_SECONDS:
            self._begun.popleft()
        full = len(self._running) >= allowed.at_once or len(self._begun) >= allowed.begun
        if full or self._running.count(peer) >= allowed.peer_at_once:
            return False
        if sum(each == peer for _, each in self._begun) >= allowed.peer_begun:
            return False
        self._begun.append((now, peer))
        self._running.append(peer)
        return True

    def end(self, peer: str) -> None:
        """A session is over."""
        self._running.remove(peer)
