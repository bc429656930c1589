"""The release decision does what the formulas say: over all randomness, at its threshold, key by key; and wrong ones are found."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from mycelnode.privacy.accounting import CHOICES, Choice
from mycelnode.privacy.noise import Below, discrete_laplace
from mycelnode.privacy.release import decide
from tests.privacy import wrong
from tests.privacy.distinguisher import Product
from tests.privacy.randomness import MANY, More, outcomes, scripted

PLAYS = 20_000  # of a sampler, the likeliest first
ENOUGH = Fraction(1, 5)  # what may be left of all randomness then
ROUNDING = Fraction(1, 10**40)
KEYS = [b"%02d" % number for number in range(60)]
SEEN = 40
STANDARD = CHOICES["standard"]


def by_name(one: Any) -> str:
    return getattr(one, "__name__", str(one))


# --- what is decided on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0, -1, True, 1.0, Decimal(2)])
def test_a_habit_counts_on_whole_days_and_one_at_least(days: Any) -> None:
    with pytest.raises(ValueError, match="one day at least"):
        decide({b"k": days, b"l": 3}, STANDARD)


def test_nothing_is_decided_about_nothing() -> None:
    assert decide({}, STANDARD) == {}


def test_draws_are_made_in_the_order_of_the_keys_whatever_counts() -> None:
    one = decide({b"a": 20, b"b": 90, b"c": 60}, STANDARD, random.Random(3).randrange)
    other = decide({b"c": 61, b"b": 21, b"a": 90}, STANDARD, random.Random(3).randrange)
    assert {key: n - {b"a": 20, b"b": 90, b"c": 60}[key] for key, n in one.items()} == {
        key: n - {b"a": 90, b"b": 21, b"c": 61}[key] for key, n in other.items()
    }
    assert len(one) == 3


# --- over all randomness ---------------------------------------------------------------------------------------------


def law(product: Product, choice: Choice, days: int) -> str:
    """What of a decision about so many days isn't as the formula says; nothing if nothing is."""

    largest = 0

    def play(below: Below) -> int | None:
        def noting(limit: int) -> int:
            nonlocal largest
            largest = max(largest, limit)
            return below(limit)

        released = product({b"k": days}, choice, noting)
        assert released.keys() <= {b"k"}
        return released.get(b"k")

    at_least, left = outcomes(play, PLAYS)
    if largest > MANY:
        return f"it asks for one of {largest} numbers, as a float is made"
    a = Fraction(choice.base)
    for n in sorted({n for n in at_least if isinstance(n, int)} | set(range(choice.threshold + 1, days + SEEN))):
        share = (1 - a) / (1 + a) * a ** abs(n - days) if n > choice.threshold else Fraction(0)
        if not at_least.get(n, 0) - ROUNDING <= share <= at_least.get(n, 0) + left + ROUNDING:
            return f"n = {n}: {float(at_least.get(n, 0))} … {float(at_least.get(n, 0) + left)}, and {float(share)} is right"
    refused = 1 - Fraction(choice.probability(days))
    if not at_least.get(None, 0) - ROUNDING <= refused <= at_least.get(None, 0) + left + ROUNDING:
        return f"refused: {float(at_least.get(None, 0))} … {float(at_least.get(None, 0) + left)}, and {float(refused)} is right"
    return "" if left < ENOUGH else f"{float(left):.2f} of all randomness is left"


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("above", [0, 1])
def test_over_all_randomness_a_decision_is_what_the_formula_says(name: str, above: int) -> None:
    choice = CHOICES[name]
    assert law(decide, choice, choice.threshold + above) == ""


FLOATS = [wrong.float_inverse, wrong.float_coins, wrong.float_library]


@pytest.mark.parametrize(
    ("product", "above"),
    [(wrong.zero_twice, 1), (wrong.redrawing, 1), (wrong.not_below, 0), *((one, 0) for one in FLOATS)],
    ids=by_name,
)
def test_what_is_not_so_is_seen(product: Product, above: int) -> None:
    assert law(product, STANDARD, STANDARD.threshold + above) != ""


def test_a_float_has_other_probabilities() -> None:
    """All of its randomness is played: they are parts of 2⁵³, which e^(−1) is not. At 0 no number of runs would show it."""
    at_least, left = outcomes(lambda below: wrong.float_inverse({b"k": 60}, STANDARD, below).get(b"k"), PLAYS)
    assert left == 0
    a = Fraction(STANDARD.base)
    off = {z: abs(at_least.get(60 + z, 0) / ((1 - a) / (1 + a) * a ** abs(z)) - 1) for z in range(-40, 41)}
    assert 0 < off[0] < Fraction(1, 10**12)
    assert off[40] == 1, "what is that far out never happens: whoever sees it knows"


def test_how_much_is_asked_has_no_bound() -> None:
    """Else each probability would be a fraction, and e^(−1) is none: so there are always draws that go on."""
    for product, bounded in ((decide, False), (wrong.float_inverse, True)):
        script: tuple[int, ...] = ()
        while len(script) < 200:
            try:
                product({b"k": 20}, STANDARD, scripted(script))
                break
            except More:
                script = (*script, 0)  # the answer after which a sampler that loops goes on
        assert (len(script) < 200) == bounded


# --- the threshold and δ ---------------------------------------------------------------------------------------------


def released_from(product: Product, choice: Choice) -> int:
    """The least noisy count that is released: with randomness that makes the noise 0."""
    answers = next(
        script for script in _scripts(choice.epsilon) if discrete_laplace(choice.epsilon, scripted(script)) == 0
    )
    return next(days for days in range(1, 100) if product({b"k": days}, choice, scripted(answers)))


def _scripts(epsilon: Fraction) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    waiting: list[tuple[int, ...]] = [()]
    for script in waiting:
        try:
            discrete_laplace(epsilon, scripted(script))
            found.append(script)
        except More as more:
            waiting += [(*script, number) for number in range(int(more.args[0]))]
        if len(found) == 5:
            break
    return found


def single(choice: Choice, least: int) -> Decimal:
    """P(1 + Z ≥ least), what a day beside none is released with, in 60 digits."""
    return Choice(choice.epsilon, choice.delta).base ** (least - 1) / (1 + choice.base)


@pytest.mark.parametrize("name", CHOICES)
def test_a_single_day_is_released_with_delta_at_most_and_a_lower_threshold_would_not_do(name: str) -> None:
    choice = CHOICES[name]
    least = released_from(decide, choice)
    assert least == choice.threshold + 1
    assert single(choice, least) <= choice.delta < single(choice, least - 1)


@pytest.mark.parametrize("name", CHOICES)
def test_at_or_above_is_not_above(name: str) -> None:
    choice = CHOICES[name]
    least = released_from(wrong.not_below, choice)
    assert single(choice, least) > choice.delta


# --- each key by itself ----------------------------------------------------------------------------------------------


def differences(product: Product) -> Counter[int]:
    """The attack on two habits of one person: what is known of the one tells the other."""
    seen: Counter[int] = Counter()
    for _ in range(400):
        released = product({b"known": 40, b"secret": 43}, STANDARD, random.SystemRandom().randrange)
        seen[released[b"secret"] - released[b"known"]] += 1
    return seen


def test_two_habits_do_not_tell_of_each_other() -> None:
    """Two draws are equal with (1 − a)²/(1 + a)² · (1 + a²)/(1 − a²) = 0.28; that 250 of 400 are is no chance."""
    assert max(differences(decide).values()) < 250
    assert differences(wrong.sharing) == {3: 400}, "the attack works"


def questions(product: Product, counts: Mapping[bytes, int]) -> int:
    """How many numbers a decision asks for."""
    asked = 0

    def below(limit: int) -> int:
        nonlocal asked
        asked += 1
        return random.SystemRandom().randrange(limit)

    product(counts, STANDARD, below)
    return asked


def test_a_habit_of_one_day_gets_its_noise_too() -> None:
    for counts in ({b"k": 1}, {b"k": 2}, {b"k": 90}):
        assert questions(decide, counts) > 0
    assert questions(wrong.sparing, {b"k": 1}) == 0
    assert questions(wrong.sparing, {b"k": 2}) > 0


# --- the system's randomness -----------------------------------------------------------------------------------------


def from_the_system(
    product: Callable[..., dict[bytes, int]], monkeypatch: pytest.MonkeyPatch, seed: int
) -> tuple[dict[bytes, int], int]:
    """A decision about 60 habits when the system's randomness is known; and how many bytes of it were asked for."""
    source, asked = random.Random(seed), 0

    def urandom(many: int) -> bytes:
        nonlocal asked
        asked += many
        return source.randbytes(many)

    with monkeypatch.context() as patch:
        patch.setattr(os, "urandom", urandom)
        patch.setattr(random, "_urandom", urandom)
        random.seed(1)  # whoever uses the module's own generator
        return product(dict.fromkeys(KEYS, 60), STANDARD), asked


def the_systems(product: Callable[..., dict[bytes, int]], monkeypatch: pytest.MonkeyPatch) -> bool:
    """All of it depends on what the system gives, a byte or more for each habit, and on nothing else."""
    (one, asked), (again, _), (other, _) = (from_the_system(product, monkeypatch, seed) for seed in (1, 1, 2))
    return one == again != other and asked >= len(KEYS)


def test_all_randomness_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    assert the_systems(decide, monkeypatch)


@pytest.mark.parametrize("product", [wrong.seeded, wrong.fixed, wrong.float_library], ids=by_name)
def test_another_generator_is_seen(product: Callable[..., dict[bytes, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not the_systems(product, monkeypatch)
