"""Rules about several units: passwords after their word, what is spelled out, addresses, organisations, and names beside names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from mycelnode.privacy import lists
from mycelnode.privacy.lists import FUNCTION, SHORT
from mycelnode.privacy.units import GIVEN, JOINTS, PASSPHRASE, PLAIN, Unit, runs

SPELLED: Final = 3  # number words, letters or words that spell letters, in a row
AHEAD: Final = 6  # units between the word password and what assigns it, an address's number and its street
ORGANISATION: Final = 4  # words of a name before its legal form
MAX_PASSPHRASE: Final = 24
ROUNDS: Final = 16  # of the rules about neighbours: two are usual, and a text made for it could want thousands

_LOOSE: Final = frozenset(" \t,-–.\n")
_TIGHT: Final = frozenset(" \t")
_BRACKETS: Final = _TIGHT | frozenset("()[]{}<>")  # as in "rowan [at] example (dot) com"
_LISTED: Final = frozenset(("and", "or"))
_DAYS: Final = lists.MONTHS | lists.WEEKDAYS
_NO_PART: Final = FUNCTION | lists.SIGNS  # of an address
_BEFORE: Final = lists.TITLES | lists.PARTICLES
_SPREADING: Final = frozenset(("NAME", "ORG", "ADDRESS", "TEXT"))  # beside which an ambiguous word is taken for a name


def apply(row: list[Unit], text: str) -> None:
    """All of them, in order; they turn words into slots and never the other way."""
    _passwords(row, text)
    _said_aloud(row)
    _spelled(row)
    _word_salad(row)
    for _ in range(ROUNDS):  # what became a slot may be beside a word of another rule
        before = [unit.type for unit in row]
        _passwords(row, text)
        _dates(row)
        _addresses(row)
        _organisations(row)
        _beside(row)
        if before == [unit.type for unit in row]:
            break


def _only(space: str, allowed: frozenset[str]) -> bool:
    return all(char in allowed for char in space)


def _passwords(row: Sequence[Unit], text: str) -> None:
    """What follows ``password is`` or ``token:`` is one, whatever it looks like."""
    for place, unit in enumerate(row):
        surely = unit.word in lists.PASSWORDS
        if not (surely or unit.word in lists.SECRETS) or (unit.type and unit.type != "TEXT"):
            continue
        for at in range(place + 1, min(place + 1 + AHEAD, len(row))):
            space = row[at].space
            if ":" in space or "=" in space or "→" in space or '"' in space or "“" in space or "`" in space:
                _value(row, at, text, sure=True)
                break
            if "." in space or "\n" in space or row[at].type:
                if at == place + 1 and row[at].type in ("TEXT", "CODE", "NUMBER"):
                    row[at].type, row[at].reason = "PASSWORD", "after a word for a secret"
                break
            if surely and row[at].word in lists.ASSIGNED and at + 1 < len(row):
                _value(row, at + 1, text, sure=False)
                break


def _value(row: Sequence[Unit], at: int, text: str, *, sure: bool) -> None:
    first = row[at]
    if first.type:
        first.type, first.reason = "PASSWORD", "after a word for a secret"
    elif not sure and (first.word in lists.NOT_A_VALUE or first.word in FUNCTION):
        return
    quoted = first.space[-1:] in ('"', "'", "“", "‘", "`")
    for unit in row[at : at + MAX_PASSPHRASE]:
        if unit is not first and (
            (quoted and any(mark in unit.space for mark in "\"'”’`"))
            or (not quoted and (not _only(unit.space, _TIGHT) or unit.word in FUNCTION or unit.type))
        ):
            break
        unit.slot("PASSWORD", "after a word for a secret")


def _said_aloud(row: Sequence[Unit]) -> None:
    """Words with the signs of an address between them, and what says that it is one: ``little underscore shop dot com slash sale``.

    Mail addresses with no other signs than "dot" and "at" are slots already, whatever words are in them (`detectors.emails`); here
    words that bind a sentence are no parts, or "put an underscore in the name" would be an address.
    """
    first = 0
    while first < len(row):
        last = first
        while _goes_on(row[last : last + 3]):
            last += 2
        signs = [unit.word for unit in row[first + 1 : last : 2]]
        dotted = [part.word for sign, part in zip(signs, row[first + 2 : last + 1 : 2], strict=True) if sign == "dot"]
        at = "at" in signs
        if "underscore" in signs or len(dotted) > 1 or (dotted and at) or not lists.DOMAINS.isdisjoint(dotted):
            while last + 1 < len(row) and row[last + 1].word in lists.NUMBERS and _only(row[last + 1].space, _TIGHT):
                last += 1
            for unit in row[first : last + 1]:
                if unit.type in ("", "NAME", "TEXT", "CODE", "NUMBER"):
                    unit.type, unit.reason = "EMAIL" if at else "TEXT", "an address said aloud"
        first = last + 1 if last > first else first + 1


def _goes_on(three: Sequence[Unit]) -> bool:
    """A part of an address, a sign, and the next part."""
    joined = (
        len(three) == 3 and three[1].word in lists.SIGNS and all(_only(unit.space, _BRACKETS) for unit in three[1:])
    )
    return joined and all(part.type or part.word not in _NO_PART for part in three[::2])


def _spelled(row: Sequence[Unit]) -> None:
    spells = [
        unit.word in lists.NUMBERS or unit.word in lists.SPELLING or (len(unit.word) == 1 and unit.word.isalpha())
        for unit in row
    ]
    for place, unit in enumerate(row):
        if place and spells[place] and not _only(unit.space, _LOOSE):
            spells[place - 1] &= place > 1 and spells[place - 2]  # the row ends here
    for run in runs(row, spells, SPELLED):
        for unit in run:
            unit.slot("TEXT", "spelled out")


def _word_salad(row: Sequence[Unit]) -> None:
    """Many words without one that binds them are no sentence, but may be a passphrase."""
    start = 0
    for place in range(len(row) + 1):
        unit = row[place] if place < len(row) else None
        binds = unit is None or unit.type or unit.tool or not FUNCTION.isdisjoint(JOINTS.split(unit.word))
        if binds or (place > start and not _only(row[place].space, _TIGHT)):
            if place - start >= PASSPHRASE:
                for salad in row[start:place]:
                    salad.slot("TEXT", "many words in a row that nothing binds")
            start = place + 1 if binds else place


def _dates(row: Sequence[Unit]) -> None:
    for before, unit in pairwise(row):
        for one, other in ((before, unit), (unit, before)):
            if one.word in _DAYS and other.type in ("NUMBER", "DATE", "CODE"):
                one.slot("DATE", "a month or a day beside a number")


def _addresses(row: Sequence[Unit]) -> None:
    """A number, some words and a kind of street, in this order or the other; and the parts of a house."""
    for place, unit in enumerate(row):
        if unit.type in ("NUMBER", "CODE"):
            for at in range(place + 1, min(place + AHEAD, len(row))):
                if "\n" in row[at].space or row[at].word in FUNCTION:
                    break
                if row[at].word in lists.STREETS and (at > place + 1 or row[at].word in lists.STREETS_FOR_SURE):
                    _address(row[place : at + 1])
            _short_address(row, place)
            for side in (place - 1, place + 1):
                if (
                    0 <= side < len(row)
                    and row[side].word in lists.STREET_PARTS
                    and _only(row[max(side, place)].space, _TIGHT | {"."})
                ):
                    _address(row[min(side, place) : max(side, place) + 1])
        elif unit.word in lists.STREETS_FIRST:
            for at in range(place + 1, min(place + AHEAD, len(row))):
                if "\n" in row[at].space:
                    break
                if row[at].type in ("NUMBER", "CODE"):
                    _address(row[place : at + 1])
                    break
        elif unit.word in lists.STREETS_FOR_SURE and place and _only(unit.space, _TIGHT):
            before = row[place - 1]
            if before.type in _SPREADING or (before.name != PLAIN and before.word not in FUNCTION):
                _address(row[place - 1 : place + 1])


def _short_address(row: Sequence[Unit], place: int) -> None:
    """A number, what is no public word, one that is, and a comma: whatever that street is a kind of."""
    at = place + 1
    while at < min(place + AHEAD, len(row)) and row[at].type in _SPREADING and _only(row[at].space, _TIGHT):
        at += 1
    if not place + 1 < at < len(row) - 1 or row[at].type or row[at].word in FUNCTION:
        return
    if _only(row[at].space, _TIGHT) and row[at + 1].space.startswith(","):
        _address(row[place : at + 1])


def _address(part: Sequence[Unit]) -> None:
    for unit in part:
        if unit.type in ("", "NUMBER", "CODE", "NAME", "TEXT"):
            unit.type, unit.reason = "ADDRESS", "part of an address"


def _organisations(row: Sequence[Unit]) -> None:
    """Words before a legal form; names before a kind of organisation."""
    for place, unit in enumerate(row):
        sure = unit.word in lists.LEGAL_FOR_SURE
        if not place or not (
            sure or unit.word in lists.ORGANISATIONS or (unit.word in lists.LEGAL and unit.word not in FUNCTION)
        ):
            continue
        start = place
        while start > 0 and place - start < ORGANISATION:
            before, space = row[start - 1], row[start].space
            joined = before.word == "and" and start - 1 > 0 and row[start - 2].type in _SPREADING
            if not all(char in " \t,&-" for char in space) or (
                not before.type and before.word in FUNCTION and not joined
            ):
                break
            if not sure and before.type not in _SPREADING and before.name == PLAIN and not joined:
                break
            start -= 1
        if start < place and (sure or any(one.type in _SPREADING for one in row[start:place])):
            for one in row[start : place + 1]:
                if one.type in ("", "NAME", "TEXT"):
                    one.type, one.reason = "ORG", "before a legal form" if sure else "the name of an organisation"


def _beside(row: Sequence[Unit]) -> None:
    """A word that is a name as well, beside what is one, until nothing changes."""
    waiting = [place for place, unit in enumerate(row) if unit.type]
    while waiting:
        place = waiting.pop()
        for side in _neighbours(row, place):
            unit = row[side]
            if not unit.type and _may_be_name(unit, row[place]):
                unit.slot("NAME", "a name as well, beside a slot")
                waiting.append(side)


def _neighbours(row: Sequence[Unit], place: int) -> list[int]:
    found = []
    if place and _only(row[place].space, _TIGHT):
        found.append(place - 1)
    if place + 1 < len(row) and (_only(row[place + 1].space, _TIGHT) or row[place + 1].space.strip() == ","):
        found.append(place + 1)
    listed = place + 2 < len(row) and row[place + 1].word in _LISTED and not row[place + 1].type
    if listed and all(_only(row[at].space, _TIGHT) for at in (place + 1, place + 2)):
        found.append(place + 2)
    if place > 0 and len(row[place - 1].word) == 1 and row[place].space.strip() == ".":
        found.append(place - 1)
    return found


def _may_be_name(unit: Unit, beside: Unit) -> bool:
    if len(unit.word) == 1 and unit.word not in SHORT:
        return True  # an initial, or a letter of a number
    if beside.type not in _SPREADING:
        return False
    if unit.word in FUNCTION:
        taken = unit.name == GIVEN and unit.capital and unit.start < beside.start
        return taken or (unit.name == GIVEN and unit.word not in lists.GIVEN_AND_FUNCTION)
    if unit.word in lists.PLACES:
        return unit.start < beside.start
    if unit.start < beside.start and beside.capital and not unit.capital and unit.word not in _BEFORE:
        return False  # "ask Rohan": who writes names with capitals does so with the first one, too
    return unit.name != PLAIN
