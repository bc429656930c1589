"""All randomness there is, or the likeliest of it: a sampler is played through, so its probabilities are known, not estimated."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable
from fractions import Fraction
from functools import cache

from mycelnode.privacy.noise import Below

MANY = 1_000  # answers to one question that are played one by one
AHEAD = 50  # questions that are looked at to tell whether two answers have the same effect


class More(Exception):
    """A sampler asks for a number that is not written down yet."""


def scripted(script: tuple[int, ...]) -> Below:
    """Answers as written; raises `More` after the last."""
    ahead = iter(script)

    def below(limit: int) -> int:
        found = next(ahead, None)
        if found is None:
            raise More(limit)
        return found

    return below


def outcomes(sampler: Callable[[Below], Hashable], plays: int) -> tuple[dict[Hashable, Fraction], Fraction]:
    """What it makes of its randomness, the likeliest first: at least how likely each outcome is, and what is left.

    Of more than `MANY` possible answers those are taken as one that lie between two with the same effect.
    """
    at_least: defaultdict[Hashable, Fraction] = defaultdict(Fraction)
    waiting: list[tuple[Fraction, tuple[int, ...]]] = [(Fraction(-1), ())]
    while waiting and plays > 0:
        share, script = heapq.heappop(waiting)
        plays -= 1
        try:
            at_least[sampler(scripted(script))] -= share
        except More as more:
            limit = int(more.args[0])
            pieces, played = (
                _pieces(sampler, script, limit) if limit > MANY else ([(number, 1) for number in range(limit)], 0)
            )
            plays -= played
            for number, width in pieces:
                heapq.heappush(waiting, (share * Fraction(width, limit), (*script, number)))
    return at_least, -sum((share for share, _ in waiting), Fraction(0))


def _pieces(
    sampler: Callable[[Below], Hashable], script: tuple[int, ...], limit: int
) -> tuple[list[tuple[int, int]], int]:
    """(first, width) of the answers that have one effect; and how often that took a play."""

    @cache
    def effect(answer: int) -> Hashable:
        written, asked = (*script, answer), 0

        def below(limit: int) -> int:  # the highest number to whatever else is asked
            nonlocal asked
            asked += 1
            if asked > len(script) + AHEAD:
                raise More(limit)
            return written[asked - 1] if asked <= len(written) else limit - 1

        try:
            return sampler(below), asked
        except More:
            return None

    found, waiting = [], [(0, limit - 1)]
    while waiting:
        low, high = waiting.pop()
        if effect(low) == effect(high):
            found.append((low, high - low + 1))
            continue
        middle = (low + high) // 2
        waiting += [(low, middle), (middle + 1, high)]
    return found, effect.cache_info().currsize
