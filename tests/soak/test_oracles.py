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
from tests.privacy.table import TABLE

RUNS = 100_000
COMPOSED = (1, 2, 4, 12, 40)  # windows: of one year, of ten

# ε at δ = 10⁻⁵ of dp-accounting, as it was computed before there was any code: σ, the share that is sampled, how often
GAUSSIAN = {
    (1, 1, 1): 4.377178,
    (1, 1, 100): 91.817290,
    (5, 1, 100): 9.997256,
    (10, 1, 100): 4.377178,
    (20, 1, 100): 1.993091,
    (1, 0.01, 100): 0.718037,
    (1, 0.01, 1000): 1.828244,
    (2, 0.1, 100): 2.337400,
    (0.8, 0.02, 500): 4.668013,
}
LAPLACE = {10: 4.220347, 50: 0.714572}  # by the scale, a hundred times
TIMES, DELTA = 100, 1e-5
DIGITS = 2e-6  # 1.993091 is exact, and dp-accounting, which rounds up, has 1.9930921

ASKED = dict.fromkeys([*CHOICES.values(), *(line.choice for line in TABLE)])

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True, scope="module")
def features() -> None:
    dp.enable_features("contrib")


def thresholding(choice: Choice, threshold: int) -> Any:
    space = dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T=int)), dp.l01inf_distance(dp.absolute_distance(T=int))
    return dp.m.make_laplace_threshold(*space, scale=float(1 / choice.epsilon), threshold=threshold)


@pytest.mark.parametrize("choice", ASKED, ids=lambda choice: f"{choice.epsilon}, {choice.delta}")
def test_opendp_has_our_epsilon_and_delta(choice: Choice) -> None:
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


@pytest.mark.parametrize(("case", "epsilon"), GAUSSIAN.items(), ids=str)
def test_dp_accounting_is_what_it_was(case: tuple[float, float, int], epsilon: float) -> None:
    """Nothing of ours is Gaussian, or sampled: this holds the tool by which sums are judged to figures that are known."""
    sigma, share, times = case
    loss = pld.from_gaussian_mechanism(sigma, sampling_prob=share).self_compose(times)
    assert loss.get_epsilon_for_delta(DELTA) == pytest.approx(epsilon, abs=DIGITS)


@pytest.mark.parametrize(("scale", "epsilon"), LAPLACE.items())
def test_a_sum_of_epsilons_is_more_than_a_hundred_windows_lose(scale: int, epsilon: float) -> None:
    """Where δ is spent on it, a hundred windows lose less than half of what the budget adds up."""
    loss = pld.from_laplace_mechanism(scale).self_compose(TIMES).get_epsilon_for_delta(DELTA)
    assert loss == pytest.approx(epsilon, abs=DIGITS)
    whole = pld.from_discrete_laplace_mechanism(1 / scale).self_compose(TIMES).get_epsilon_for_delta(DELTA)
    assert whole < TIMES / scale / 2
