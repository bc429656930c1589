"""Token buckets: how often somebody may do something, for a bounded number of somebodies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` at once, and ``per_second`` of them come back."""

    burst: float
    per_second: float


class Buckets:
    """A bucket for each key, at most ``most`` of them; the one that was used longest ago is forgotten for another.

    To be forgotten fills a bucket up, so ``most`` must be more than those who can be busy at once.
    """

    def __init__(self, rate: Rate, most: int) -> None:
        self.rate, self.most = rate, most
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # key → tokens left, and when

    def __len__(self) -> int:
        return len(self._levels)

    def _level(self, key: Hashable, now: float) -> float:
        left, then = self._levels.get(key, (self.rate.burst, now))
        return min(self.rate.burst, left + max(0.0, now - then) * self.rate.per_second)

    def _put(self, key: Hashable, level: float, now: float) -> None:
        self._levels[key] = (level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self.most:
            self._levels.popitem(last=False)

    def has(self, key: Hashable, now: float, amount: float = 1.0) -> bool:
        """Would `take` give it? Nothing is taken."""
        return self._level(key, now) >= amount

    def take(self, key: Hashable, now: float, amount: float = 1.0) -> bool:
        """Take so many, if there are so many."""
        level = self._level(key, now)
        if level >= amount:
            self._put(key, level - amount, now)
        return level >= amount

    def owe(self, key: Hashable, now: float, amount: float = 1.0) -> float:
        """Take so many, there or not; returns the seconds until what is owed is paid."""
        level = self._level(key, now) - amount
        self._put(key, level, now)
        return max(0.0, -level / self.rate.per_second)

    def forget(self, key: Hashable) -> None:
        """Whoever has that key is gone."""
        self._levels.pop(key, None)
