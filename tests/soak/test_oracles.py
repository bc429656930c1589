"""Noise, thresholds and sums of ε agree with OpenDP and with Google's dp-accounting."""

from __future__ import annotations

from collections import Counter
from typing import Any

import opendp.prelude as dp
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld

from mycelnode.privacy.accounting import CHOICES, Choice
from mycelnode.privacy.release import decide
from tests.privacy.distinguisher import ALPHA, Side, lower, play, upper

RUNS = 100_000
COMPOSED = (1, 2, 4, 12, 40)  # windows: of one year, of ten

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True, scope="module")
def features() -> None:
    dp.enable_features("contrib")


def thresholding(choice: Choice, threshold: int) -> Any:
    space = dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T=int)), dp.l01inf_distance(dp.absolute_distance(T=int))
    return dp.m.make_laplace_threshold(*space, scale=float(1 / choice.epsilon), threshold=threshold)


@pytest.mark.parametrize("name", CHOICES)
def test_opendp_has_our_epsilon_and_delta(name: str) -> None:
    choice = CHOICES[name]
    for less in (0, 1):
        epsilon, delta = thresholding(choice, choice.threshold - less).map((1, 1, 1))
        assert epsilon == pytest.approx(float(choice.epsilon), rel=1e-12)
        assert (delta <= choice.delta) == (less == 0)
        if not less:
            assert delta == pytest.approx(float(choice.probability(1)), rel=1e-9)


def theirs(choice: Choice, days: int) -> Side:
    """Of as many habits of so many days, alone. OpenDP 0.16 releases what is at its threshold, too: so that is one more here."""
    released = thresholding(choice, choice.threshold + 1)({str(number): days for number in range(RUNS)})
    return Counter({None: RUNS - len(released), **Counter(released.values())})


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("above", [-1, 0, 1, 4])
def test_opendp_releases_what_we_do_as_often(name: str, above: int) -> None:
    choice = CHOICES[name]
    days = choice.threshold + above
    sides = theirs(choice, days), play(decide, choice, [days], RUNS)[days]
    a = float(choice.base)
    formula: dict[int | None, float] = {None: 1 - float(choice.probability(days))}
    formula |= {n: (1 - a) / (1 + a) * a ** abs(n - days) for n in range(choice.threshold + 1, choice.threshold + 40)}
    alpha = ALPHA / (2 * len(sides) * len(formula))
    for side in sides:
        assert min(n for n in side if n is not None) == choice.threshold + 1
        for n, share in formula.items():
            assert lower(side[n], RUNS, alpha) <= share <= upper(side[n], RUNS, alpha), n


@pytest.mark.parametrize("name", CHOICES)
def test_a_sum_of_epsilons_is_no_less_than_the_loss(name: str) -> None:
    """What the budget adds up holds for someone with a counted day in each window; for one year nothing better could be said."""
    choice = CHOICES[name]
    loss = pld.from_discrete_laplace_mechanism(float(choice.epsilon))
    for windows in COMPOSED:
        total = float(windows * choice.epsilon)
        at_least = loss.self_compose(windows).get_epsilon_for_delta(float(choice.delta))
        assert at_least <= total + 1e-9
        assert windows > 4 or at_least >= total - 1e-3
