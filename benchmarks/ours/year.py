"""A simulated year of people who have habits: how many of these a year is expected to release, by what counts as the same habit.

A person has each habit on so many days a week, each day by chance and for itself, and says it by one of its phrasings, by chance.
Days with the same label in one window add up, each once. The release itself is not drawn: its probability is exact.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from benchmarks.ours.keys import Turn
from mycelnode.privacy.accounting import Choice

WEEK, YEAR = 7, 364  # days: a year of 52 weeks

Habits = Mapping[str, Sequence[Turn]]
Label = Callable[[str, Turn], object]  # what a turn of a habit counts as; None if as nothing
LABELS: dict[str, Label] = {
    "text": lambda _, turn: turn.request.lower(),  # word by word
    "key": lambda _, turn: turn.key,  # the product's
    "perfect": lambda habit, _: habit,
}


class Year:
    """One person's, with as many ``a_week`` days of each habit. ``seed``: the same one is the same year."""

    def __init__(self, habits: Habits, a_week: float, seed: int) -> None:
        chance = random.Random(seed)
        self.said = [
            (name, day, chance.choice(turns))
            for name, turns in habits.items()
            for day in range(YEAR)
            if chance.random() < a_week / WEEK
        ]

    def released(self, label: Label, windows: int, choice: Choice) -> float:
        """How many different habits the year is expected to release, in so many windows.

        What two habits are both counted as stands for that which has more days of it: it is one thing that is released, not two.
        """
        days: dict[object, set[int]] = defaultdict(set)
        whose: dict[object, Counter[str]] = defaultdict(Counter)
        for name, day, turn in self.said:
            found = label(name, turn)
            if found is not None:
                days[found].add(day)
                whose[found][name] += 1
        never: dict[str, float] = defaultdict(lambda: 1.0)
        for found, those in days.items():
            habit = whose[found].most_common(1)[0][0]
            for many in Counter(day * windows // YEAR for day in those).values():
                never[habit] *= 1 - float(choice.probability(many))
        return sum(1 - share for share in never.values())
