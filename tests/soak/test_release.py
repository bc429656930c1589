"""`make soak`: 100,000 release decisions a side do not tell one day more or less apart; a scale of 0.95 would be seen.

N and SEED do not change it: the size belongs to the statement, and the randomness is the system's.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from scipy.stats import beta

from mycelnode.privacy.accounting import CHOICES, Choice
from mycelnode.privacy.release import decide
from tests.privacy import wrong
from tests.privacy.distinguisher import ALPHA, Product, broken, lower, play, said, upper

RUNS = 100_000
MOST = 25  # days
LIKELY = Choice(Fraction(2), Decimal("1e-2"))
SHARE = ALPHA / len(CHOICES)

pytestmark = pytest.mark.timeout(1_200)


def days_of(choice: Choice) -> range:
    """None to 25, and more where those reach no further than the threshold: above it a refusal tells most."""
    return range(max(MOST, choice.threshold + 6) + 1)


@pytest.mark.parametrize("name", CHOICES)
def test_neighbours_are_not_told_apart(name: str) -> None:
    choice = CHOICES[name]
    found = broken(play(decide, choice, days_of(choice), RUNS), choice, SHARE)
    assert not found, said(found)


WRONG = [
    (wrong.narrow, "standard", RUNS),
    (wrong.narrow, "loose", RUNS),
    (wrong.narrow, "strict", 5 * RUNS),  # where 0.95 is a fortieth of ε off
    (wrong.zero_twice, "strict", RUNS),
    (wrong.redrawing, "strict", RUNS),
]


@pytest.mark.parametrize(("product", "name", "runs"), WRONG, ids=lambda one: getattr(one, "__name__", str(one)))
def test_the_tester_sees_what_is_wrong(product: Product, name: str, runs: int) -> None:
    """The sides around the threshold are played, and judged as strictly as if all were."""
    choice = CHOICES[name]
    near = range(choice.threshold - 2, choice.threshold + 4)
    share = SHARE * len(near) / len(days_of(choice))
    assert broken(play(product, choice, near, runs), choice, share)


@pytest.mark.parametrize("product", [decide, wrong.sparing], ids=["ours", "sparing"])
def test_a_likely_delta(product: Product) -> None:
    """Where δ can be seen, so can that a single day gets no noise: then two days are told from it."""
    found = broken(play(product, LIKELY, range(8), RUNS), LIKELY)
    assert bool(found) == (product is wrong.sparing), said(found)


@pytest.mark.parametrize(
    ("product", "epsilon"),
    [(decide, Fraction(1, 2)), *((one, Fraction(many)) for one in (decide, wrong.not_below) for many in (1, 2))],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_a_single_day_is_released_as_often_as_delta_says_at_most(product: Product, epsilon: Fraction) -> None:
    choice = Choice(epsilon, Decimal("1e-2"))
    released = RUNS - play(product, choice, [1], RUNS)[1][None]
    low, high = lower(released, RUNS, ALPHA), upper(released, RUNS, ALPHA)
    if product is decide:
        assert low <= choice.probability(1) <= min(Decimal(high), choice.delta)
    else:
        assert low > choice.delta


@pytest.mark.parametrize("alpha", [0.05, 1e-6, 1e-11])
def test_the_bounds_are_those_of_another_tool(alpha: float) -> None:
    for seen in (1, 2, 30, 777, 26_894, 50_000, 73_106, 99_999, RUNS):
        assert math.isclose(lower(seen, RUNS, alpha), beta.ppf(alpha, seen, RUNS - seen + 1), rel_tol=1e-8)
        if seen < RUNS:
            assert math.isclose(upper(seen, RUNS, alpha), beta.isf(alpha, seen + 1, RUNS - seen), rel_tol=1e-8)
