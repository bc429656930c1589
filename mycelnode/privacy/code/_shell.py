"""Shell commands: programs, their commands and flags that are public stay; values, paths, variables and comments become slots."""

from __future__ import annotations

import re
import shlex
from typing import Final

from mycelnode.privacy.code._apis import SHELL_WORDS
from mycelnode.privacy.code._numbers import Numbers, Piece
from mycelnode.privacy.vocabulary import vocabulary

CLUSTER: Final = 3  # letters of flags that are written together; more could be a name

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+|\\\r?\n)|(?P<comment>\#[^\n]*)|(?P<operator>\d?(?:>>?|<)(?:&\d)?|[|&;()]+)"
    r"|(?P<word>(?:[^\s|&;<>()'\"\\]|\\.|'[^']*+'|\"(?:[^\"\\]|\\.)*+\")++)",
    re.DOTALL,
)
_FLAG = re.compile(r"(--?)([A-Za-z]+(?:-[A-Za-z]+)*)(=)?")
_SET = re.compile(r"[A-Za-z_]\w*=")
_PLAIN = re.compile(r"(?:[-./*?{}\[\]!:+,~]|/dev/null)+")
_FILLED = re.compile(r"(--?)?(SLOT_\d+)")


def shell_slots(source: str, numbers: Numbers) -> list[Piece]:
    """The slots of some commands. Raises `ValueError` if a quote is not closed or a character has no place."""
    shlex.split(source, comments=True)
    found: list[Piece] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise ValueError("that is no shell command")
        if match.lastgroup == "comment":
            found.append(Piece(at, match.end(), "a comment", f"# {numbers.slot('comment', match[0])}"))
        elif match.lastgroup == "word":
            found += _word(match[0], at, numbers)
        at = match.end()
    return found


def _word(word: str, at: int, numbers: Numbers) -> list[Piece]:
    end = at + len(word)
    if word in SHELL_WORDS or _PLAIN.fullmatch(word):
        return []
    if filled := _FILLED.fullmatch(word):
        kind = "flag" if filled[1] else "word"
        return [Piece(at + filled.start(2), end, "a value", numbers.slot(kind, filled[2]))]
    if flag := _FLAG.match(word):
        found = []
        value = at + flag.end()
        if flag[3] is None and value != end:
            return [Piece(at, end, "a value", numbers.slot("word", word))]
        if not _public(flag[1], flag[2]):
            start = at + len(flag[1])
            found.append(Piece(start, start + len(flag[2]), "a flag of your own", numbers.slot("flag", flag[2])))
        if value < end:
            found.append(Piece(value, end, "a value", numbers.slot("word", word[flag.end() :])))
        return found
    if assigned := _SET.match(word):
        middle = at + assigned.end()
        found = [Piece(at, middle - 1, "a variable", numbers.slot("word", assigned[0][:-1]))]
        if middle < end:
            found.append(Piece(middle, end, "a value", numbers.slot("word", word[assigned.end() :])))
        return found
    return [Piece(at, end, "a value", numbers.slot("word", word))]


def _public(dashes: str, name: str) -> bool:
    if dashes == "-" or len(name) == 1:
        return len(name) <= CLUSTER
    known = vocabulary()
    return all(part in known.plain or part in known.family or part in SHELL_WORDS for part in name.lower().split("-"))
