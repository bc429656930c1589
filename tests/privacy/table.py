"""What was computed by others before there was any code, at δ = 10⁻⁶: what the product, PyDP and OpenDP are held to."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from mycelnode.privacy.accounting import Choice


class Line(NamedTuple):
    """``support``: days from which on 95 % are released; ``best``: with the best mechanism that there is for this ε and δ."""

    choice: Choice
    threshold: int
    support: int
    best: int


TABLE: Final = (
    Line(Choice(Fraction(1, 2), Decimal("1e-6")), 27, 33, 30),
    Line(Choice(Fraction(1), Decimal("1e-6")), 14, 17, 16),
    Line(Choice(Fraction(2), Decimal("1e-6")), 7, 9, 9),
)
