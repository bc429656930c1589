"""A tester of releases: it sees only what is decided, about N days and about one day less, and tells when ε does not hold.

For an event E it asks whether ln((P(E) − δ)/P(E')) > ε could be chance, with the exact bounds of Clopper and Pearson for both
probabilities and one error for all events together (Bonferroni). A point estimate would exceed ε in half of all honest tests.
"""

from __future__ import annotations

import math
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mycelnode.privacy.accounting import Choice
from mycelnode.privacy.noise import Below

ALPHA = 1e-6  # that an honest product fails, over all events of a test
BEYOND = 12  # scales above the largest count up to which numbers are looked at by themselves
Product = Callable[[Mapping[bytes, int], Choice, Below], Mapping[bytes, int]]
Side = Counter[int | None]  # how often each number was released; None: refused


class Pool:
    """The system's randomness, taken in large pieces: `secrets.randbelow` asks for it anew each time, most of what a draw takes."""

    def __init__(self) -> None:
        self._bytes, self._at = b"", 0

    def __call__(self, limit: int) -> int:
        bits = (limit - 1).bit_length()
        if bits > 8:
            return secrets.randbelow(limit)
        while True:
            if self._at == len(self._bytes):
                self._bytes, self._at = os.urandom(1 << 16), 0
            found = self._bytes[self._at] & ((1 << bits) - 1)
            self._at += 1
            if found < limit:
                return found


def play(
    product: Product, choice: Choice, days: Iterable[int], runs: int, below: Below | None = None
) -> dict[int, Side]:
    """What is decided in so many runs about one habit for each number of days; one without any has no key."""
    keys = {b"%03d" % many: many for many in days}
    counts, below = {key: many for key, many in keys.items() if many}, below or Pool()
    seen: dict[int, Side] = {many: Counter() for many in keys.values()}
    for _ in range(runs):
        released = product(counts, choice, below)
        for key, many in keys.items():
            seen[many][released.get(key)] += 1
    return seen


@dataclass(frozen=True)
class Found:
    """An event by which N days are told from another number of days better than ε and δ allow."""

    days: int
    other: int
    event: str
    loss: float  # at least


def broken(sides: Mapping[int, Side], choice: Choice, alpha: float = ALPHA) -> list[Found]:
    """The events by which neighbours among ``sides`` are told apart, in both orders."""
    pairs = [pair for many in sides if many + 1 in sides for pair in ((many, many + 1), (many + 1, many))]
    last = max(sides) + math.ceil(BEYOND / choice.epsilon)
    named = {many: _events(side, choice.threshold, last) for many, side in sides.items()}
    share = alpha / (2 * len(pairs) * len(next(iter(named.values()))))  # of each bound
    found = []
    for days, other in pairs:
        runs, others = sides[days].total(), sides[other].total()
        for event, seen in named[days].items():
            loss = _loss(seen, runs, named[other][event], others, choice, share)
            if loss > choice.epsilon:
                found.append(Found(days, other, event, loss))
    return found


def _events(side: Side, threshold: int, last: int) -> dict[str, int]:
    events = {"refused": side[None]}
    above = sum(many for n, many in side.items() if n is not None and n > last)
    for n in range(last, threshold, -1):
        above += side[n]
        events |= {f"n = {n}": side[n], f"n ≥ {n}": above}
    low = sum(many for n, many in side.items() if n is not None and n <= threshold)
    return {**events, "below the threshold": low}


def _loss(seen: int, runs: int, other: int, others: int, choice: Choice, share: float) -> float:
    """ln((p − δ)/q) with p as low and q as high as they can be; −∞ where even the frequencies show nothing."""
    delta = float(choice.delta)
    if (
        seen / runs - delta <= math.exp(choice.epsilon) * other / others
    ):  # the bounds lie on either side of the frequencies
        return -math.inf
    room = lower(seen, runs, share) - delta
    return math.log(room / upper(other, others, share)) if room > 0 else -math.inf


def lower(seen: int, runs: int, alpha: float) -> float:
    """The Clopper–Pearson bound: with any probability below it, so many or more are seen with at most ``alpha``."""
    if not seen:
        return 0.0
    low, high = 0.0, seen / runs
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if at_least(seen, runs, middle) <= alpha else (low, middle)
    return low


def upper(seen: int, runs: int, alpha: float) -> float:
    """The same from above."""
    return 1 - lower(runs - seen, runs, alpha)


def at_least(seen: int, runs: int, share: float) -> float:
    """P(X ≥ seen) of a binomial X, as the regularised incomplete beta function I_share(seen, runs − seen + 1)."""
    if not seen or share <= 0:
        return float(not seen)
    return _beta(share, seen, runs - seen + 1)


def _beta(x: float, a: float, b: float) -> float:
    """By its continued fraction, after Lentz (W. Press et al., Numerical Recipes, §6.4)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a + 1) - math.lgamma(b)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 100_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + step * d), 1 + step / c
            value *= d * c
        if abs(d * c - 1) < 1e-13:
            break
    return math.exp(front) * value


def said(found: Sequence[Found]) -> str:
    """For the message of a test."""
    worst = max(found, key=lambda one: one.loss, default=None)
    return (
        ""
        if worst is None
        else f"{len(found)} events, at worst {worst.event} of {worst.days} beside {worst.other} days: ε ≥ {worst.loss:.3f}"
    )
