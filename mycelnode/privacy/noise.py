"""Discrete Laplace noise, drawn exactly: integers and the system's randomness, no floating point at any place.

Floating-point noise gives the true answer away by which numbers it can reach (I. Mironov, CCS 2012, 650–661). This is the sampler
of C. Canonne, G. Kamath and T. Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), algorithms 1 and 2: each
decision in it is a comparison of a uniform integer. How long a draw takes depends on what is drawn; nobody who could time it is
meant to be on this device.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from fractions import Fraction
from typing import Final

Below = Callable[[int], int]  # a uniform integer in 0 … n − 1

_ONE: Final = Fraction(1)


def discrete_laplace(epsilon: Fraction, below: Below = secrets.randbelow) -> int:
    """An integer z with probability (1 − a)/(1 + a) · a^|z|, where a = e^(−``epsilon``), for an epsilon above 0.

    ``below``: the randomness; another one than the system's is for tests.

    >>> abs(discrete_laplace(Fraction(1))) < 200
    True
    """
    if epsilon <= 0:
        raise ValueError("epsilon is above 0")
    steps, unit = epsilon.numerator, epsilon.denominator
    while True:
        fine = below(unit)  # together with `coarse`: a geometric number at the scale of `unit`
        if not _happens(Fraction(fine, unit), below):
            continue
        coarse = 0
        while _happens(_ONE, below):
            coarse += 1
        size = (fine + unit * coarse) // steps
        negative = below(2) == 1
        if size or not negative:  # 0 has one sign
            return -size if negative else size


def _happens(gamma: Fraction, below: Below) -> bool:
    """True with probability e^(−``gamma``), for a gamma in 0…1: the parity of how often ever rarer things happen in a row."""
    times = 1
    while below(gamma.denominator * times) < gamma.numerator:
        times += 1
    return times % 2 == 1
