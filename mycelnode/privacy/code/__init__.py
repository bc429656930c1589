"""Code with everything taken out that its author chose: names, literals and comments become ``SLOT_1`` …, and it still parses.

What stays is the language: keywords, builtins, the standard library and names of public APIs. What does not parse, before or after,
is no code: the text rules are stricter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from mycelnode.privacy.code._json import json_slots
from mycelnode.privacy.code._numbers import Numbers, Piece
from mycelnode.privacy.code._python import python_slots
from mycelnode.privacy.code._shell import shell_slots
from mycelnode.privacy.code._sql import sql_slots
from mycelnode.privacy.lists import TYPES
from mycelnode.privacy.owner import Dictionary

__all__ = ["LANGUAGES", "MAX_CODE_CHARS", "Numbers", "Piece", "slots"]

MAX_CODE_CHARS: Final = 50_000  # of one block: a longer one takes the text rules
LANGUAGES: Final[dict[str, Callable[[str, Numbers], list[Piece]]]] = {
    **dict.fromkeys(("python", "py", "python3"), python_slots),
    **dict.fromkeys(("sql", "postgresql", "postgres", "mysql", "sqlite"), sql_slots),
    "json": json_slots,
    **dict.fromkeys(("shell", "sh", "bash", "zsh"), shell_slots),
}
_GENERALISED = re.compile(rf"\[(?:{'|'.join(sorted(TYPES))})\]")  # by the text rules: it stays with them


def slots(source: str, language: str, numbers: Numbers, owner: Dictionary) -> list[Piece] | None:
    """The slots of a block of code, in order; None if it is none of a language that is known.

    ``numbers``: which name has which number so far; it grows only if there are slots. What is in the ``owner``'s dictionary is no
    public name.
    """
    take = LANGUAGES.get(language)
    if take is None or len(source) > MAX_CODE_CHARS or _GENERALISED.search(source):
        return None
    trial = numbers.copy()
    try:
        found = take(source, trial)
        if _owned(source, found, owner):
            return None
        template = _filled(source, take(source, Numbers()))
        if _filled(template, take(template, Numbers())) != template:  # it parses as well, but as something else
            return None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    numbers.take(trial)
    return found


def _filled(source: str, found: Sequence[Piece]) -> str:
    parts, done = [], 0
    for piece in found:
        parts += [source[done : piece.start], piece.text]
        done = piece.end
    return "".join([*parts, source[done:]])


def _owned(source: str, found: Sequence[Piece], owner: Dictionary) -> bool:
    """Is something of the dictionary left? Then the text rules are to find it."""
    return any(owner.find(_filled(source, [Piece(one.start, one.end, one.reason, " ") for one in found])))
