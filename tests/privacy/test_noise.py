"""The noise has the distribution that it says it has, and the check would see one that is nearly right."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest

from mycelnode.privacy import noise
from mycelnode.privacy.noise import discrete_laplace
from tests.privacy.distinguisher import Pool
from tests.privacy.randomness import outcomes

DRAWS = 80_000  # so a scale of 0.95 is off by 11 sigmas, and not by 8
PLAYS = 20_000
SIGMAS = 6.5  # an honest sampler is beyond that once in a billion runs
SEEN = 8  # up to which size each number is looked at by itself
SYSTEM = Pool()
EPSILONS = [Fraction(1, 2), Fraction(1), Fraction(2), Fraction(3, 7)]


def off(draw: Callable[[], int], epsilon: Fraction) -> str:
    """What is too frequent or too rare among many draws; nothing if nothing is."""
    a = math.exp(-float(epsilon))
    seen = Counter(draw() for _ in range(DRAWS))
    beyond = {sign: sum(many for z, many in seen.items() if sign * z > SEEN) for sign in (1, -1)}
    checked = [(str(z), seen[z], (1 - a) / (1 + a) * a ** abs(z)) for z in range(-SEEN, SEEN + 1)]
    checked += [(f"beyond {sign * SEEN}", many, a ** (SEEN + 1) / (1 + a)) for sign, many in beyond.items()]
    for what, many, share in checked:
        spread = math.sqrt(DRAWS * share * (1 - share))
        if abs(many - DRAWS * share) > SIGMAS * spread + SIGMAS:
            return f"{what}: {many} times, and {DRAWS * share:.0f} are expected"
    return ""


@pytest.mark.parametrize("epsilon", EPSILONS, ids=str)
def test_it_has_its_distribution(epsilon: Fraction) -> None:
    assert off(lambda: discrete_laplace(epsilon, SYSTEM), epsilon) == ""


def too_narrow() -> int:
    return discrete_laplace(Fraction(20, 19), SYSTEM)  # a scale of 0.95


def zero_twice() -> int:
    """Whoever gives each size a sign, and forgets that 0 has but one."""
    size = abs(discrete_laplace(Fraction(1), SYSTEM))
    return size if size or secrets.randbelow(2) else zero_twice()


def one_sided() -> int:
    return abs(discrete_laplace(Fraction(1), SYSTEM))


@pytest.mark.parametrize("wrong", [too_narrow, zero_twice, one_sided])
def test_the_check_sees_one_that_is_wrong(wrong: Callable[[], int]) -> None:
    assert off(wrong, Fraction(1)) != ""


@pytest.mark.parametrize(
    ("epsilon", "enough"),
    [(Fraction(1, 2), 0.12), (Fraction(1), 0.03), (Fraction(2), 0.12), (Fraction(2, 3), 0.35)],
    ids=str,
)
def test_over_all_randomness_it_is_what_the_formula_says(epsilon: Fraction, enough: float) -> None:
    at_least, left = outcomes(lambda below: discrete_laplace(epsilon, below), PLAYS)
    assert left < enough
    a = math.exp(-float(epsilon))
    for z in range(-SEEN, SEEN + 1):
        share = (1 - a) / (1 + a) * a ** abs(z)
        assert at_least.get(z, 0) - 1e-12 <= share <= at_least.get(z, 0) + left + 1e-12, z


@pytest.mark.parametrize("gamma", [Fraction(0), Fraction(1, 2), Fraction(1)], ids=str)  # all that the choices ask for
def test_a_coin_is_exact(gamma: Fraction) -> None:
    """Of its randomness nearly nothing is left: here an error would show that no whole draw lets see, be it 10⁻⁴⁰."""
    at_least, left = outcomes(lambda below: noise._happens(gamma, below), 3_000)
    assert left < Fraction(1, 10**40)
    with localcontext() as context:
        context.prec = 60
        share = Fraction((Decimal(-gamma.numerator) / gamma.denominator).exp())
    assert abs(at_least.get(True, 0) - share) < Fraction(1, 10**40)


@pytest.mark.parametrize("epsilon", [Fraction(0), Fraction(-1)])
def test_without_an_epsilon_there_is_no_noise(epsilon: Fraction) -> None:
    with pytest.raises(ValueError, match="above 0"):
        discrete_laplace(epsilon)
