"""How many of a person's habits a year releases, for windows of a quarter or of the year: by the formulas, no release is drawn.

``python -m benchmarks.ours.windows [SHARE]`` prints for habits of so many days a week how many releases of them a year has to
expect, and how likely there is any. A habit scatters: not each of its days has the same key, and only days of one key add up. SHARE
is that of its largest key, in percent, where that was measured; without it, a few are shown.

``--year`` simulates people who have the habits of `benchmarks/habits.jsonl`, and prints how many of these a year has to expect
released, by what counts as the same habit (`benchmarks.ours.year`).

A habit of d days a week has each day with d/7, independently; a window's days of one key are then binomial, and each number of days
is released with its probability. A second window releases the same habit anew, so quarters may release one up to four times.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

from benchmarks.ours import keys
from benchmarks.ours.world import Numbers, job
from benchmarks.ours.year import LABELS, WEEK, YEAR, Habits, Year
from mycelnode.privacy.accounting import CHOICES, Choice

WINDOWS = {"quarter": 4, "year": 1}  # of a year
A_WEEK = (0.5, 1.0, 2.0, 3.0, 5.0)  # days
OFTEN = 1  # days a week
SIMULATED = (1.0, 2.0)  # days a week of a simulated person's habits
PEOPLE = 20  # whose years are simulated: what is printed is the mean
SHARES = (100, 67, 50, 33)  # of the largest key, in percent: a habit of 1, 1.5, 2 or 3 keys


@dataclass(frozen=True)
class Expected:
    """Of one habit in one year: in how many windows, and how likely at all, its largest key is released."""

    releases: float
    at_all: float


def spread(days: int, share: float) -> list[float]:
    """How likely each number of successes is, of so many trials."""
    return [comb(days, k) * share**k * (1 - share) ** (days - k) for k in range(days + 1)]


def expected(choice: Choice, windows: int, a_week: float, percent: float) -> Expected:
    """Exact but for the rounding of floats."""
    days = spread(YEAR // windows, a_week / WEEK * percent / 100)
    once = sum(share * float(choice.probability(many)) for many, share in enumerate(days))
    return Expected(windows * once, 1 - (1 - once) ** windows)


async def measure(_: Path) -> Numbers:
    """What the table shows: how likely a year releases a habit of `OFTEN` days a week, scattered over keys as was measured."""
    percent = 100 * keys.figures(keys.turns()["heldout"]).together
    return {window: expected(CHOICES["standard"], many, OFTEN, percent).at_all for window, many in WINDOWS.items()}


def simulated(habits: Habits, a_week: float, people: int = PEOPLE) -> dict[tuple[str, str], float]:
    """Window, and what counts as the same habit → how many habits a year of such a person is expected to release."""
    years = [Year(habits, a_week, seed) for seed in range(people)]
    return {
        (window, name): sum(year.released(label, many, CHOICES["standard"]) for year in years) / people
        for window, many in WINDOWS.items()
        for name, label in LABELS.items()
    }


def _year() -> None:
    columns = [f"{window}, {name}" for window in WINDOWS for name in LABELS]
    print(f"{'':<21}{'habits':>8}" + "".join(f"{column:>17}" for column in columns))
    for split, habits in keys.turns().items():
        for a_week in SIMULATED:
            cells = "".join(f"{cell:>17.1f}" for cell in simulated(habits, a_week).values())
            print(f"{split:<9}{f'{a_week:g} a week':<12}{len(habits):>8}{cells}")


def main(arguments: Sequence[str]) -> None:
    """The program."""
    shares = [float(argument) for argument in arguments] or SHARES
    print(f"{'':<26}" + "".join(f"{f'{a_week:g} days a week':>18}" for a_week in A_WEEK))
    for name, choice in CHOICES.items():
        for window, windows in WINDOWS.items():
            for percent in shares:
                cells = [expected(choice, windows, a_week, percent) for a_week in A_WEEK]
                shown = "".join(f"{f'{cell.releases:.2f} ({cell.at_all:.0%})':>18}" for cell in cells)
                print(f"{name:<9}{window:<8}{f'{percent:g} %':>9}{shown}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--job"]:
        del sys.argv[1]
        job(measure)
    elif sys.argv[1:] == ["--year"]:
        _year()
    else:
        main(sys.argv[1:])
