"""A text as a row of units: each is a word that may stay or a slot. What stands between them is white space and plain punctuation.

Split on white space first. A chunk with a digit, a ``_``, an ``@``, capitals inside or a character that no public word has is
one slot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mycelnode.privacy.detectors import Found
from mycelnode.privacy.lists import (
    ABBREVIATIONS,
    BINDING,
    DATES_FOR_SURE,
    FUNCTION,
    GIVEN_AND_FUNCTION,
    KEPT_WHOLE,
    MONTHS,
    TOOLS,
    WEEKDAYS,
)
from mycelnode.privacy.vocabulary import Vocabulary

PLAIN, FAMILY, GIVEN = 0, 1, 2  # how much a word that may stay is a name as well

SPACES: Final = " \t\n\r\f\v\u00a0\u2000-\u200a\u202f\u205f\u3000"
_CHUNK: Final = re.compile(f"[^{SPACES}]+")
_OPENING: Final = "([{<\"'“‘«„"
_CLOSING: Final = ")]}>\"'”’».,;:!?…"
_MARKS: Final = "*`~#"  # of Markdown
_ROUND: Final = "-–—/\\|+=<>&^%$•·*`~#()[]{}\"'“”‘’«»„.,;:!?…"
JOINTS: Final = re.compile(r"[-–—/,;…&+]")
_SENTENCE_ENDS: Final = frozenset(".!?…\n")
SYMBOLS: Final = 6  # so many in a row, of which `DISTINCT` differ, are no punctuation
DISTINCT: Final = 4
STATE: Final = 2  # capitals that may be a country or a state, as in AT and ME
CHAIN: Final = 3  # words with hyphens between them, or letters
PASSPHRASE: Final = 4  # words in a row without a function word


@dataclass(slots=True)
class Unit:
    """A word that stays (no ``type``), or a slot. ``start`` and ``end`` in code points of the text, half-open."""

    start: int
    end: int
    word: str  # lower case
    type: str = ""
    reason: str = ""
    name: int = PLAIN
    capital: bool = False
    tool: bool = False
    space: str = ""  # what stands before it

    def slot(self, type_: str, reason: str) -> None:
        """It does not stay. A slot that had a reason keeps it."""
        if not self.type:
            self.type, self.reason = type_, reason


def units(text: str, found: Sequence[Found], known: Vocabulary) -> list[Unit]:
    """The units of a text. ``found``: what is a slot already, in order, without overlaps."""
    return _Walk(text, known).run(found)


class _Walk:
    def __init__(self, text: str, known: Vocabulary) -> None:
        self.text, self.known, self.units = text, known, list[Unit]()

    def run(self, found: Sequence[Found]) -> list[Unit]:
        next_ = 0
        done = 0  # up to here all is in units
        for match in _CHUNK.finditer(self.text):
            start, end = match.span()
            at = max(start, done)
            while next_ < len(found) and found[next_].start < end:
                item = found[next_]
                next_ += 1
                if item.end <= at:  # another one has grown over it
                    continue
                begin, stop = self._grown(item, at, end)
                if begin > at:
                    self._chunk(at, begin)
                if self.units and self.units[-1].end > begin:  # it took in what stood before
                    self.units[-1].end = max(self.units[-1].end, stop)
                else:
                    self._add(Unit(begin, stop, "", item.type, item.reason, capital=True))
                at = done = stop
            if at < end:
                if done == at and self.text[at:end].rstrip(_CLOSING) in ("'s", "’s"):
                    continue
                self._chunk(at, end)
        return self.units

    def _grown(self, item: Found, at: int, end: int) -> tuple[int, int]:
        """With the letters that hang on it: half a chunk is not left."""
        begin, stop = max(item.start, at), item.end
        while begin > at and not _divides(self.text[begin - 1]):
            begin -= 1
        while stop < len(self.text) and not _divides(self.text[stop]):
            stop += 1
        return begin, stop

    def _add(self, unit: Unit) -> None:
        unit.space = self.text[self.units[-1].end if self.units else 0 : unit.start]
        self.units.append(unit)

    def _slot(self, start: int, end: int, type_: str, reason: str) -> None:
        word = self.text[start:end]
        self._add(Unit(start, end, word.lower(), type_, reason, capital=any(char.isupper() for char in word)))

    def _begins(self, start: int) -> bool:
        """Does a sentence begin here?"""
        if not self.units:
            return True
        last = self.units[-1]
        between = self.text[last.end : start]
        if "\n" in between:
            return True
        return not _SENTENCE_ENDS.isdisjoint(between) and (bool(last.type) or last.word not in ABBREVIATIONS)

    def _chunk(self, start: int, end: int) -> None:
        text = self.text
        whole = text[start:end]
        if whole in self.known.plain and len(whole) > 1:
            self._add(Unit(start, end, whole, tool=whole in TOOLS))
            return
        start, end = _stripped(text, start, end, _OPENING, _CLOSING)
        core = text[start:end]
        if (core in TOOLS and len(core) > 1) or core.lower() in KEPT_WHOLE:
            self._tool(start, end)
            return
        inner_start, inner_end = _stripped(text, start, end, _MARKS, _MARKS)
        if inner_start < inner_end:
            start, end = inner_start, inner_end
        start, end = _stripped(text, start, end, _OPENING, _CLOSING)
        core = text[start:end]
        word_start, word_end = _stripped(text, start, end, _ROUND, _ROUND)
        word = text[word_start:word_end]
        if not word:
            if len(core) >= SYMBOLS and len(set(core)) >= DISTINCT:
                self._slot(start, end, "PASSWORD", "many symbols")
        elif word in TOOLS and len(word) > 1:
            self._tool(word_start, word_end)
        elif any(char.isdecimal() for char in core):
            digits = all(char.isdecimal() or char in ".,:/-+%()$€£#" for char in core)
            self._slot(start, end, "NUMBER" if digits else "CODE", "has a digit")
        elif "_" in core or "@" in core:
            self._slot(start, end, "CODE", "a name as in a program")
        else:
            self._word(start, end, word_start, word_end)

    def _tool(self, start: int, end: int) -> None:
        word = self.text[start:end].lower()
        state = end - start == STATE and self.text[start:end].isupper()  # ID is a state as well
        name = FAMILY if state or word in self.known.family or word in self.known.names else PLAIN
        self._add(Unit(start, end, word, name=name, tool=True))

    def _word(self, start: int, end: int, word_start: int, word_end: int) -> None:
        """A chunk of letters, with what may stand around and between them."""
        word = self.text[word_start:word_end]
        first = self._begins(word_start)
        lower = word.replace("’", "'").lower()
        stem = lower.removesuffix("'s")
        pieces = [stem] if self._kept(lower) or self._kept(stem) else JOINTS.split(stem)
        bare = word.removesuffix("'s").removesuffix("’s")
        capitals = sum(char.isupper() for char in bare)
        if stem == "i" or (lower.startswith("i'") and self._kept(lower)):
            self._add(Unit(word_start, word_end, lower))
        elif not all(self._kept(piece) for piece in pieces) or (len(pieces) > 1 and not _may_join(pieces)):
            self._unknown(start, word_start + len(bare) if len(bare) < len(word) else end, bare, lower, capitals)
        elif capitals and not (first and capitals == 1 and bare[0].isupper()):
            if bare.isupper() and stem in FUNCTION - GIVEN_AND_FUNCTION and len(bare) > STATE:
                self._add(Unit(word_start, word_end, lower, name=GIVEN))  # said loudly
            else:
                self._slot(word_start, word_start + len(bare), _dated(stem) or "NAME", "a capital inside a sentence")
        elif stem in DATES_FOR_SURE:
            self._slot(word_start, word_start + len(bare), "DATE", "a day or a month")
        elif capitals and stem in self.known.given:
            self._slot(word_start, word_start + len(bare), "NAME", "a given name as well")
        else:
            self._add(Unit(word_start, word_end, lower, name=max(map(self._name, pieces)), capital=bool(capitals)))

    def _unknown(self, start: int, end: int, bare: str, lower: str, capitals: int) -> None:
        if _dated(lower.removesuffix("'s")):
            type_ = "DATE"
        elif any(piece in self.known.names for piece in JOINTS.split(lower.removesuffix("'s"))) or (
            capitals == 1 and bare[0].isupper()
        ):
            type_ = "NAME"
        else:
            type_ = "TEXT"
        self._slot(start, end, type_, "not in the public vocabulary")

    def _kept(self, word: str) -> bool:
        if len(word) == 1:
            return word.isascii() and word.isalpha()
        known = self.known
        return word in known.plain or word in known.family or word in known.given or word in MONTHS or word in WEEKDAYS

    def _name(self, word: str) -> int:
        if word in self.known.given or word in MONTHS or word in GIVEN_AND_FUNCTION:
            return GIVEN
        return FAMILY if word in self.known.family else PLAIN


def _dated(word: str) -> str:
    return "DATE" if word in MONTHS or word in WEEKDAYS else ""


def _may_join(pieces: Sequence[str]) -> bool:
    """``state-of-the-art`` is a word, ``correct-horse-battery-staple`` a password, ``a-n-n-a`` a name."""
    letters = sum(len(piece) == 1 for piece in pieces)
    return letters < CHAIN and (len(pieces) < CHAIN or any(piece in BINDING for piece in pieces))


def _divides(char: str) -> bool:
    return char.isspace() or char in _ROUND


def _stripped(text: str, start: int, end: int, opening: str, closing: str) -> tuple[int, int]:
    while start < end and text[start] in opening:
        start += 1
    while end > start and text[end - 1] in closing:
        end -= 1
    return start, end


def runs(row: Sequence[Unit], belongs: Sequence[bool], least: int) -> Iterator[Sequence[Unit]]:
    """Stretches of at least so many units that belong."""
    start = 0
    for place in range(len(row) + 1):
        if place == len(row) or not belongs[place]:
            if place - start >= least:
                yield row[start:place]
            start = place + 1
