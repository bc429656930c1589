"""Release decisions that are nearly right: what each has wrong has to be found by a test."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable, Mapping
from fractions import Fraction

from mycelnode.privacy.accounting import Choice
from mycelnode.privacy.noise import Below, discrete_laplace

Noise = Callable[[Fraction, Below], int]
_STEPS = 1 << 53  # of a float between 0 and 1


def deciding(noise: Noise) -> Callable[..., dict[bytes, int]]:
    """The right rule, with another noise."""

    def decide(counts: Mapping[bytes, int], choice: Choice, below: Below = secrets.randbelow) -> dict[bytes, int]:
        noisy = {key: counts[key] + noise(choice.epsilon, below) for key in sorted(counts)}
        return {key: n for key, n in noisy.items() if n > choice.threshold}

    decide.__name__ = noise.__name__.strip("_")
    return decide


def _narrow(epsilon: Fraction, below: Below) -> int:
    return discrete_laplace(epsilon * Fraction(20, 19), below)  # a scale of 0.95


def _zero_twice(epsilon: Fraction, below: Below) -> int:
    """Whoever gives each size a sign, and forgets that 0 has but one."""
    while True:
        z = discrete_laplace(epsilon, below)
        if z == 0 or below(2):
            return z


def _inverse(epsilon: Fraction, below: Below) -> int:
    """A float between 0 and 1, sent through the inverse of the distribution function."""
    place, scale = below(_STEPS), float(epsilon)
    tail = (min(place, _STEPS - 1 - place) + 1) / _STEPS
    size = math.floor(-(math.log(tail) + math.log1p(math.exp(-scale))) / scale)  # P(Z ≤ −k) = a^k/(1 + a)
    return size if place >= _STEPS // 2 else -size


def _coins(epsilon: Fraction, below: Below) -> int:
    """A difference of two counts of coins, each of which is a float beside e^(−ε)."""

    def heads() -> int:
        return next(many for many in range(10_000) if below(_STEPS) / _STEPS >= math.exp(-epsilon))

    return heads() - heads()


def _library(epsilon: Fraction, below: Below) -> int:
    """The difference of two exponential variates of the standard library, rounded down."""
    return math.floor(random.expovariate(float(epsilon))) - math.floor(random.expovariate(float(epsilon)))


narrow = deciding(_narrow)
zero_twice = deciding(_zero_twice)
float_inverse = deciding(_inverse)
float_coins = deciding(_coins)
float_library = deciding(_library)


def redrawing(counts: Mapping[bytes, int], choice: Choice, below: Below = secrets.randbelow) -> dict[bytes, int]:
    """Asks once more about what was refused."""
    noise = deciding(discrete_laplace)
    first = noise(counts, choice, below)
    return first | noise({key: many for key, many in counts.items() if key not in first}, choice, below)


def sharing(counts: Mapping[bytes, int], choice: Choice, below: Below = secrets.randbelow) -> dict[bytes, int]:
    """One noise for all keys: each by itself is as it should be."""
    z = discrete_laplace(choice.epsilon, below)
    return {key: counts[key] + z for key in sorted(counts) if counts[key] + z > choice.threshold}


def not_below(counts: Mapping[bytes, int], choice: Choice, below: Below = secrets.randbelow) -> dict[bytes, int]:
    """``≥`` for ``>``."""
    noisy = {key: counts[key] + discrete_laplace(choice.epsilon, below) for key in sorted(counts)}
    return {key: n for key, n in noisy.items() if n >= choice.threshold}


def sparing(counts: Mapping[bytes, int], choice: Choice, below: Below = secrets.randbelow) -> dict[bytes, int]:
    """Spares the draw for a single day, as it will not be released anyway."""
    return deciding(discrete_laplace)({key: many for key, many in counts.items() if many > 1}, choice, below)


def seeded(counts: Mapping[bytes, int], choice: Choice, below: Below = secrets.randbelow) -> dict[bytes, int]:
    """Takes the standard library's generator, begun by the system's randomness."""
    return deciding(discrete_laplace)(counts, choice, random.Random(secrets.randbits(128)).randrange)


_FIXED = random.Random(7)


def fixed(counts: Mapping[bytes, int], choice: Choice, below: Below = secrets.randbelow) -> dict[bytes, int]:
    """Takes a generator that was begun by a number in the source."""
    return deciding(discrete_laplace)(counts, choice, _FIXED.randrange)
