"""From a file to turns that can be kept: whichever kind of file it is, and with what is left out and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from mycelnode.errors import TurnRefused
from mycelnode.privacy.exports import turns_of
from mycelnode.privacy.interactions import Turn, checked, from_json
from mycelnode.privacy.pieces import Event, Flaw, Piece

SOURCE: Final = "import"  # of a turn in our own form that does not say where it comes from


def turns_in(events: Iterable[Event], now: int, source: str | None = None) -> Iterator[Turn | Flaw | None]:
    """The turns in what a file was cut into; None now and then while there is none.

    ``now``: the wall clock, Unix ms. ``source``: what all of them are said to come from, instead of what the file says.
    """
    for event in events:
        if not isinstance(event, Piece):
            yield event
            continue
        for found in _turns(event):
            try:
                if isinstance(found, TurnRefused):
                    raise found
                yield checked(replace(found, source=source) if source else found, now)
            except TurnRefused as refused:
                yield Flaw(refused.reason, str(refused), event.where)


def _turns(piece: Piece) -> Iterator[Turn | TurnRefused]:
    conversation = turns_of(piece.value)
    if conversation is not None:
        yield from conversation
        return
    try:
        yield from_json(piece.value, SOURCE)
    except TurnRefused as refused:
        yield refused


@dataclass(slots=True)
class Tally:
    """What became of the turns of a file; ``skipped``: reason → how many, and the first of them in words."""

    new: int = 0
    known: int = 0
    skipped: dict[str, tuple[int, str]] = field(default_factory=dict)

    def skip(self, reason: str, said: str, count: int = 1) -> None:
        """Count what is left out."""
        before, first = self.skipped.get(reason, (0, said))
        self.skipped[reason] = (before + count, first)
