"""Which words of a request are in the tables, and how much each counts for the thing that it stands for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from mycelnode.privacy.frametables import FAINT, LONGEST, TONGUE, tables
from mycelnode.privacy.inflection import KEPT, forms
from mycelnode.privacy.lists import words

# After these comes what the thing is about, or made of, or for.
ABOUT: Final = words("""about for from in on with of that who which where when and or by using to at between after before under over
    because without instead per i we my our""")
INTO: Final = ("into", "as")  # what it is to become
MAKING: Final = words("write make create generate build code draft compose produce develop implement need give program")
FIRST_MADE: Final = 3  # how much more the thing counts that is to be made
WITH: Final = words("in with using")  # with which tool
ARTICLES: Final = words("a an the")


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry of the tables in a row of words: where, and what it stands for."""

    place: int
    size: int
    action: str  # or ""
    thing: str  # or ""
    weight: int

    @property
    def end(self) -> int:
        """The place after it."""
        return self.place + self.size


def hits(row: Sequence[str]) -> Iterator[Hit]:
    """The longest entries of either kind, from left to right."""
    place = 0
    while place < len(row):
        found = _longest(row, place)
        if found is None:
            place += 1
        else:
            yield found
            place = found.end


def _longest(row: Sequence[str], place: int) -> Hit | None:
    known = tables()
    starts = _starts(row[place])
    if not starts:
        return None
    for size in range(min(LONGEST, len(row) - place), 0, -1):
        part = row[place + 1 : place + size]
        ends = _forms(part[-1]) if part else ("",)
        for start in starts:
            for end in ends:
                entry = (start, *part[:-1], end) if part else (start,)
                if part and TONGUE not in (start, end) and any(word in known.tongues for word in entry):
                    entry = tuple(TONGUE if word in known.tongues else word for word in entry)
                action = known.actions.get(entry, "")
                thing, weight = known.things.get(entry, ("", 0))
                if action or thing:
                    return Hit(place, size, action, thing, weight)
    return None


@lru_cache(KEPT)
def _starts(word: str) -> tuple[str, ...]:
    """The forms of a word that an entry of the tables begins with."""
    return tuple(form for form in _forms(word) if form in tables().first)


def _forms(word: str) -> tuple[str, ...]:
    return (*forms(word), TONGUE) if word in tables().tongues else forms(word)


def weighed(row: Sequence[str], hits: Sequence[Hit]) -> Iterator[tuple[Hit, int]]:
    """Each thing with its weight, of 100 a point: half of it after a word such as "about", two thirds before another thing."""
    things = [hit for hit in hits if hit.thing]
    share = 100
    end = 0
    for number, hit in enumerate(things):
        between = row[end : hit.place]
        if number and not ABOUT.isdisjoint(between):
            share = max(share // 2, 25)
        if number and _becomes(between):
            share = 120
        if hit.place and row[hit.place - 1] in WITH and row[hit.place] in tables().tools:
            share = 120
        made = FIRST_MADE if number == 0 and hit.weight > FAINT and _made(row, hit) else 0
        end = hit.end
        compound = number + 1 < len(things) and things[number + 1].place == hit.end
        yield hit, (hit.weight + made) * share * (2 if compound else 3) // 3


def _made(row: Sequence[str], thing: Hit) -> bool:
    """Is it what is to be made: write a …, I need a …?"""
    before = row[: thing.place]
    return any(form in MAKING for word in before for form in forms(word)) and ABOUT.isdisjoint(before[-3:])


def _becomes(between: Sequence[str]) -> bool:
    return any(one in INTO and other in ARTICLES for one, other in pairwise(between)) or "into" in between[-2:]
