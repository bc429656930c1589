"""What a release decision promises and how likely it is: threshold, probability and support of a noisy count. Pure.

The unit is one day of one habit; a habit that was seen on N ≥ 1 days is released iff N + Z > τ, where Z is discrete Laplace with
a = e^(−ε) (`mycelnode.privacy.noise`). With or without one unit, every decision is as likely as before up to a factor e^ε, but for
a habit that has no day without it: that is released with probability P(1) = a^τ/(1 + a), which τ is made to hold at or below δ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from functools import cached_property
from typing import Final

USUAL: Final = Decimal("0.95")  # the probability behind "usually"
_EXACT: Final = Context(prec=60)


@dataclass(frozen=True)
class Choice:
    """One of the ε and δ that there are to choose from: another one would tell its owner from everybody else.

    >>> CHOICES["standard"].threshold
    14
    """

    epsilon: Fraction
    delta: Decimal

    @cached_property
    def base(self) -> Decimal:
        """a = e^(−ε)."""
        return _EXACT.exp(_EXACT.divide(Decimal(-self.epsilon.numerator), Decimal(self.epsilon.denominator)))

    @cached_property
    def threshold(self) -> int:
        """τ = ⌈ln(1/(δ(1 + a)))/ε⌉: what a noisy count has to exceed."""
        room = _EXACT.multiply(self.delta, _EXACT.add(1, self.base))
        bound = _EXACT.divide(_EXACT.ln(room), _EXACT.ln(self.base))
        return int(bound.to_integral_value(ROUND_CEILING))

    def probability(self, days: int) -> Decimal:
        """That a habit of so many days is released. Nothing is decided about what has no day.

        >>> round(CHOICES["standard"].probability(17), 3)
        Decimal('0.964')
        """
        if days < 1:
            return Decimal(0)
        above = days - self.threshold
        share = _EXACT.divide(_EXACT.power(self.base, above if above > 0 else 1 - above), _EXACT.add(1, self.base))
        return _EXACT.subtract(1, share) if above > 0 else share

    @cached_property
    def support(self) -> int:
        """Days from which on a habit is released with a probability of 95 % or more."""
        return next(days for days in range(1, 1_000) if self.probability(days) >= USUAL)


CHOICES: Final[Mapping[str, Choice]] = {
    "strict": Choice(Fraction(1, 2), Decimal("1e-6")),
    "standard": Choice(Fraction(1), Decimal("1e-6")),
    "loose": Choice(Fraction(2), Decimal("1e-9")),
}
DEFAULT: Final = "standard"
