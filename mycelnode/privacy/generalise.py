"""A text with everything taken out that is not public: what has a telling form, then what no public list of words has.

The rules come in this order: your dictionary; what libraries and shapes find (`mycelnode.privacy.detectors`); then, word by
word, the closed vocabulary: nobody has to know a name for it to go. Code in fences has rules of its own (`mycelnode.privacy.code`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mycelnode.errors import TextRefused
from mycelnode.privacy import code
from mycelnode.privacy.detectors import Found, detect
from mycelnode.privacy.owner import Dictionary
from mycelnode.privacy.phrases import recovery_phrases
from mycelnode.privacy.rules import apply
from mycelnode.privacy.units import units
from mycelnode.privacy.vocabulary import vocabulary

MAX_CHARS: Final = 1_000_000  # of one text: more is no turn, and would take seconds
MAX_BLOCKS: Final = 64  # of code in one text: what comes after takes the text rules, which are quicker
NOBODY: Final = Dictionary()

_FENCE = re.compile(r"^(?P<mark>`{3,}|~{3,})(?P<language>[A-Za-z0-9]+)[ \t]*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Slot:
    """A piece of the input, in code points and half-open, that ``text`` stands for in the output."""

    type: str
    start: int
    end: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Generalised:
    """``output``: the input with its slots replaced. ``dropped``: why no turn with this text may ever be used; empty if it may."""

    output: str
    slots: tuple[Slot, ...]
    dropped: str = ""


def generalise(text: str, owner: Dictionary = NOBODY, *, language: str = "") -> Generalised:
    """What is left of a text when only public words may stay. It depends on nothing but its arguments and what ships.

    ``language``: the whole text is code in this language (see `mycelnode.privacy.code.LANGUAGES`). Raises `TextRefused` if it is
    longer than `MAX_CHARS`.

    >>> generalise("please ask Rohan Patel for his IBAN DE89 3704 0044 0532 0130 00").output
    'please ask [NAME] for his [TEXT] [IBAN]'
    """
    if len(text) > MAX_CHARS:
        raise TextRefused(f"the text has {len(text):,} characters, and {MAX_CHARS:,} are the most of one")
    dropped = tuple(recovery_phrases(text))
    blocks = [(0, 0, len(text), language)] if language else list(_fenced(text))
    slots: list[Slot] = []
    done = 0
    numbers = code.Numbers()
    for opening, start, end, of in blocks:
        slots += _shifted(_prose(text[done:opening], owner), done)
        found = code.slots(text[start:end], of, numbers, owner)
        if found is None or any(phrase.start < end and start < phrase.end for phrase in dropped):
            slots += _shifted(_prose(text[start:end], owner), start)
        else:
            slots += [Slot("CODE", start + one.start, start + one.end, one.reason, one.text) for one in found]
        done = end
    slots += _shifted(_prose(text[done:], owner), done)
    slots = list(_over(slots, dropped))
    return Generalised(replaced(text, slots), tuple(slots), dropped[0].reason if dropped else "")


def replaced(text: str, slots: Iterable[Slot]) -> str:
    """The text with each slot's words in place of its own. ``slots``: in order, without overlaps."""
    parts, done = [], 0
    for slot in slots:
        parts += [text[done : slot.start], slot.text]
        done = slot.end
    return "".join([*parts, text[done:]])


def _prose(text: str, owner: Dictionary) -> Iterator[Slot]:
    found = detect(text)
    own = list(owner.find(text))
    row = units(text, _with(own, found), vocabulary())
    apply(row, text)
    current: Slot | None = None
    for unit in row:
        if not unit.type:
            continue
        if current and unit.type == current.type and text[current.end : unit.start].strip(" \t") == "":
            reason = current.reason if unit.reason in current.reason else f"{current.reason}; {unit.reason}"
            current = Slot(current.type, current.start, unit.end, reason, current.text)
            continue
        if current:
            yield current
        current = Slot(unit.type, unit.start, unit.end, unit.reason, f"[{unit.type}]")
    if current:
        yield current


def _with(own: Sequence[Found], found: Sequence[Found]) -> list[Found]:
    """The finds with those of the dictionary: where they overlap, one grows over the other, and is plain text."""
    merged: list[Found] = []
    for item in sorted((*own, *found)):
        if merged and item.start < merged[-1].end:
            last = merged[-1]
            says = last if last.reason == "in your dictionary" or item.reason != "in your dictionary" else item
            merged[-1] = Found(last.start, max(last.end, item.end), says.type, says.reason)
        else:
            merged.append(item)
    return merged


def _shifted(slots: Iterable[Slot], by: int) -> Iterator[Slot]:
    for slot in slots:
        yield Slot(slot.type, slot.start + by, slot.end + by, slot.reason, slot.text)


def _over(slots: Sequence[Slot], spans: Sequence[Found]) -> Iterator[Slot]:
    """Each span as one slot, in place of those in it."""
    wholes = [Slot(span.type, span.start, span.end, span.reason, f"[{span.type}]") for span in spans]
    starts = [whole.start for whole in wholes]
    ends = {whole.start: whole.end for whole in wholes}
    for slot in sorted((*slots, *wholes), key=lambda one: (one.start, one.type != "PHRASE", one.end)):
        at = bisect_right(starts, slot.start) - 1
        if at >= 0 and slot.start < wholes[at].end and slot is not wholes[at]:
            continue
        following = starts[at + 1] if at + 1 < len(starts) else slot.end
        end = min(slot.end, following) if slot.start not in ends else slot.end
        yield Slot(slot.type, slot.start, end, slot.reason, slot.text)


def _fenced(text: str) -> Iterator[tuple[int, int, int, str]]:
    """Blocks of Markdown that name a language with rules of its own: where the fence stands, and the code, to where it ends."""
    done = 0
    blocks = 0
    while blocks < MAX_BLOCKS and (opening := _FENCE.search(text, done)):
        mark = opening["mark"]
        closing = text.find(f"\n{mark}", opening.end() - 1)
        end = len(text) if closing < 0 else closing + 1
        if opening["language"].lower() in code.LANGUAGES:
            blocks += 1
            yield opening.start(), opening.end(), max(end, opening.end()), opening["language"].lower()
        done = len(text) if closing < 0 else closing + 1 + len(mark)
