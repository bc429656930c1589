"""One day more or less is not seen in what is decided, but for ε and δ; and the tester sees decisions that are wrong.

The size is small: `make soak` plays 100,000 runs a side for up to 25 days and more, and sees a scale of 0.95.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest

from mycelnode.privacy.accounting import CHOICES, Choice
from mycelnode.privacy.release import decide
from tests.privacy import wrong
from tests.privacy.distinguisher import ALPHA, Product, at_least, broken, lower, play, said, upper

RUNS = 4_000
LIKELY = Choice(Fraction(2), Decimal("1e-2"))  # a δ that is seen
LIKELY_RUNS = 60_000


def days_of(choice: Choice) -> list[int]:
    """Where most happens: beside none, and around the threshold."""
    return [0, 1, 2, *range(choice.threshold, choice.threshold + 3)]


@pytest.mark.parametrize("name", CHOICES)
def test_neighbours_are_not_told_apart(name: str) -> None:
    choice = CHOICES[name]
    found = broken(play(decide, choice, days_of(choice), RUNS), choice, ALPHA / len(CHOICES))
    assert not found, said(found)


@pytest.mark.parametrize("product", [wrong.zero_twice, wrong.redrawing], ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", ["standard", "loose"])
def test_the_tester_sees_what_is_wrong(product: Product, name: str) -> None:
    choice = CHOICES[name]
    assert broken(play(product, choice, days_of(choice)[3:], RUNS), choice, ALPHA / len(CHOICES))


@pytest.mark.parametrize("product", [decide, wrong.not_below], ids=["ours", "not_below"])
def test_a_single_day_is_released_as_often_as_delta_says_at_most(product: Product) -> None:
    """For a δ that can be seen; those of the product are held by the formula, `test_release.py`."""
    released = LIKELY_RUNS - play(product, LIKELY, [1], LIKELY_RUNS)[1][None]
    low, high = lower(released, LIKELY_RUNS, ALPHA), upper(released, LIKELY_RUNS, ALPHA)
    if product is decide:
        assert low <= LIKELY.probability(1) <= high
        assert LIKELY.probability(1) <= LIKELY.delta
    else:
        assert low > LIKELY.delta


@pytest.mark.parametrize(("seen", "runs"), [(0, 10), (1, 10), (3, 10), (10, 10), (7, 60), (59, 60), (1, 60)])
@pytest.mark.parametrize("alpha", [0.05, 1e-6, 1e-11])
def test_the_bounds_are_exact(seen: int, runs: int, alpha: float) -> None:
    """By adding up the binomial distribution in fractions."""

    def tail(share: Fraction) -> Fraction:
        return sum(
            (math.comb(runs, k) * share**k * (1 - share) ** (runs - k) for k in range(seen, runs + 1)), Fraction(0)
        )

    bound = lower(seen, runs, alpha)
    assert upper(runs - seen, runs, alpha) == 1 - bound
    if not seen:
        assert bound == 0
        return
    exact = Fraction(alpha)
    assert tail(Fraction(bound) * (1 - Fraction(1, 10**9))) <= exact <= tail(Fraction(bound) * (1 + Fraction(1, 10**9)))
    assert at_least(seen, runs, bound) == pytest.approx(alpha, rel=1e-9)
