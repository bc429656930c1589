"""Thresholds and probabilities are those of the formula, by exact sums, and hold ε and δ for one day more or less."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest

from mycelnode.privacy.accounting import CHOICES, DEFAULT, USUAL, Choice
from tests.privacy.table import TABLE, Line

TAIL = 400  # beyond which what is left of the noise is less than any digit here


@pytest.fixture(params=CHOICES)
def choice(request: pytest.FixtureRequest) -> Choice:
    return CHOICES[str(request.param)]


def summed(choice: Choice, days: int) -> Decimal:
    """P(N + Z > τ), by adding up the noise."""
    with localcontext() as context:
        context.prec = 60
        share = (1 - choice.base) / (1 + choice.base)
        least = choice.threshold + 1 - days
        return sum((share * choice.base ** abs(z) for z in range(least, least + 2 * TAIL)), Decimal(0))


def test_the_probability_is_that_of_the_noise(choice: Choice) -> None:
    for days in range(1, 60):
        assert abs(choice.probability(days) - summed(choice, days)) < Decimal("1e-40"), days


def test_the_threshold_is_the_least_that_holds_delta(choice: Choice) -> None:
    lower = choice.base ** (choice.threshold - 1) / (1 + choice.base)
    assert choice.probability(1) <= choice.delta < lower


def test_one_day_more_or_less_changes_a_probability_by_no_more_than_epsilon(choice: Choice) -> None:
    with localcontext() as context:
        context.prec = 60
        most = (1 / choice.base) * (1 + Decimal("1e-25"))  # e^ε
        for days in range(1, choice.threshold + 15):
            one, more = choice.probability(days), choice.probability(days + 1)
            assert one < more <= most * one, days
            assert 1 - one <= most * (1 - more), days


def test_the_figures_of_the_docs() -> None:
    assert {name: (one.epsilon, one.delta, one.threshold, one.support) for name, one in CHOICES.items()} == {
        "strict": (Fraction(1, 2), Decimal("1e-6"), 27, 33),
        "standard": (Fraction(1), Decimal("1e-6"), 14, 17),
        "loose": (Fraction(2), Decimal("1e-9"), 11, 13),
    }
    assert CHOICES[DEFAULT].support == 17


@pytest.mark.parametrize("line", TABLE, ids=lambda line: str(line.choice.epsilon))
def test_the_figures_of_an_independent_table(line: Line) -> None:
    assert (line.choice.threshold, line.choice.support) == (line.threshold, line.support)


def test_the_probabilities_of_two_and_a_millionth() -> None:
    """By hand: a = e^-2; P(1) = a^7/(1 + a), P(8) = 1 - a/(1 + a), P(9) = 1 - a²/(1 + a)."""
    choice = TABLE[-1].choice
    found = [round(choice.probability(days), 10) for days in (1, 8, 9)]
    assert found == [Decimal("7.324E-7"), Decimal("0.8807970780"), Decimal("0.9838676388")]


def test_below_its_support_it_is_not_usual(choice: Choice) -> None:
    assert choice.probability(choice.support - 1) < USUAL <= choice.probability(choice.support)
    assert choice.probability(0) == 0
