"""What is to be done over the network, and when it is tried again: pure.

Each errand is tried at once, and then, while it fails, at growing intervals; all are due when somebody new could be asked. Those
that have failed least come first, and of these the newest: thousands of things that nobody has hold up nothing new.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

FIRST_SECONDS: Final = 5.0  # before the second try
LONGEST_SECONDS: Final = 3600.0
AT_ONCE: Final = 4  # errands under way

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Errand:
    due: float
    pause: float = FIRST_SECONDS
    failures: int = 0
    under_way: bool = False


class Errands(Generic[Key]):
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._errands: dict[Key, _Errand] = {}

    def __len__(self) -> int:
        return len(self._errands)

    def want(self, keys: Iterable[Key], now: float) -> None:
        """From now on these, and no others. What is under way goes on."""
        wanted = dict.fromkeys(keys)
        self._errands = {key: errand for key, errand in self._errands.items() if key in wanted or errand.under_way} | {
            key: _Errand(now) for key in wanted if key not in self._errands
        }

    def due(self, now: float) -> list[Key]:
        """What is to be tried now; each is under way until it is `done` or has `failed`."""
        room = AT_ONCE - sum(errand.under_way for errand in self._errands.values())
        ready = sorted(
            (errand.failures, -place, key)
            for place, (key, errand) in enumerate(self._errands.items())
            if errand.due <= now and not errand.under_way
        )[: max(0, room)]
        for _, _, key in ready:
            self._errands[key].under_way = True
        return [key for _, _, key in ready]

    def next_due(self) -> float:
        """When there is something to try again; infinity while nothing waits, or all that there is room for is under way."""
        if sum(errand.under_way for errand in self._errands.values()) >= AT_ONCE:
            return math.inf
        return min((errand.due for errand in self._errands.values() if not errand.under_way), default=math.inf)

    def done(self, key: Key, *, again: float | None = None) -> None:
        """It is done; for good, or it is due ``again`` at that time."""
        if again is None:
            self._errands.pop(key, None)
        elif key in self._errands:
            self._errands[key] = _Errand(again)

    def failed(self, key: Key, now: float) -> None:
        """It was not."""
        errand = self._errands.get(key)
        if errand is not None:
            errand.under_way, errand.due = False, now + errand.pause
            errand.failures += 1
            errand.pause = min(LONGEST_SECONDS, 2 * errand.pause)

    def hurry(self, now: float) -> None:
        """There is somebody new to ask."""
        for errand in self._errands.values():
            errand.due, errand.pause = min(errand.due, now), FIRST_SECONDS
