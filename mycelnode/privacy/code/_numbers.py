"""Which name in code became which slot: the same one everywhere, in the order in which they come."""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """A part of the source, in code points and half-open, and what stands in its place."""

    start: int
    end: int
    reason: str
    text: str


class Numbers:
    """The numbers of slots. What is told apart by ``kind`` may read the same: a name and a string."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}

    def slot(self, kind: str, text: str) -> str:
        """The slot of a name."""
        return self._given.setdefault((kind, text), f"SLOT_{len(self._given) + 1}")

    def copy(self) -> Numbers:
        """One that grows by itself."""
        other = Numbers()
        other._given = dict(self._given)
        return other

    def take(self, other: Numbers) -> None:
        """Know what the other one knows."""
        self._given = other._given
