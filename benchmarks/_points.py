"""One figure of the measurement at scale, and how a scene says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Shown = Callable[[str, float], None]
"""``shown(what, part done)``: for a progress bar."""


@dataclass(frozen=True, slots=True)
class Point:
    """One figure: ``value`` in ``unit`` for the curve at ``x``; ``floor`` is what nobody could go below, where that is clear."""

    curve: str
    x: int
    value: float
    unit: str
    floor: float | None = None
