"""The words of a request that say what is to be done, apart from what was pasted below them. Pure, and linear in the length.

A word with a digit, ``_``, ``@`` or a capital inside is a name of something: it is left out here, and breaks what stands around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from unicodedata import ucd_3_2_0 as unicode  # the same in every Python: a newer one knows more characters

from mycelnode.privacy.lists import TYPES, words
from mycelnode.privacy.owner import Dictionary

MAX_CHARS: Final = 20_000  # of a request that are looked at: who asks says it at the beginning, or at the end
MAX_CLAUSES: Final = 60
MAX_CLAUSE_WORDS: Final = 60
LABEL: Final = 2  # words before a colon that say what follows; more say it all by themselves
BREAK: Final = ""  # stands for what is left out
# What cannot be seen, and is something else for Unicode 3.2.
UNSEEN: Final = dict.fromkeys(map(ord, "\xad\u200b\u2066\u2067\u2068\u2069"))

_FENCE = re.compile(
    r"^(`{3,}+|~{3,}+)[ \t]*+([A-Za-z0-9+#]*+)[^\n]*+\n(.*?)(?:^\1[^\n]*+$|\Z)", re.MULTILINE | re.DOTALL
)
_CODE_LINE = re.compile(
    r"^(?:\t| {4}).*$|^>.*$|^[+-][ \t]?\S.*[()=;{}].*$|^.*[{};][ \t]*$"
    r"|^[ \t]*(?:def|class|import|from|return|SELECT|#include|print|diff)\b[^\n]*[\w()\"';:,{]$",
    re.MULTILINE,
)
_QUOTED = re.compile(r"“[^“”\n]{1,2000}”|\"[^\"\n]{1,2000}\"|`[^`\n]{1,200}`")
_FAILED = re.compile(
    r"[a-z]Error\b|[a-z]Exception\b|\b[Ee]rror:|\b(?:cannot|can't|can not|unable to|failed to|no such) [a-z]"
)
_INLINE = re.compile(r"`([^`\n]{1,400})`")
_SLOT = re.compile(rf"\[(?:{'|'.join(sorted(TYPES))})\]")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_SENTENCE = re.compile(r"[.?!;](?=\s|$)|,[ \t]|[ \t][-–—>]+[ \t]")
_COLON = re.compile(r":(?=\s|$)")
_BULLET = re.compile(r"[ \t]*(?:[-*•+]|\d+[.)])[ \t]")
_CHUNK = re.compile(r"\S+")
_TRIM: Final = "()[]{}<>\"'`*_,.!?:;…“”‘’-–—/\\|"
_SPLIT = re.compile(r"[-/'’;]+")

# Public names that have a capital inside.
SPELLED: Final = words("""JavaScript TypeScript LinkedIn PowerPoint PowerShell SQLite MySQL PostgreSQL MariaDB BigQuery PRs CVs APIs
    LaTeX GitHub GitLab iOS WhatsApp YouTube TikTok NumPy PyTorch FastAPI DataFrame DataFrames""")
ERRORS: Final = ("Error", "Exception")  # how the names of errors end, as a program prints them


@dataclass(frozen=True, slots=True)
class Clause:
    """Lower-case words, `BREAK` where something was left out; ``detail``: pasted, or said after a colon; ``paragraph``: which."""

    words: Sequence[str]
    detail: bool
    paragraph: int


@dataclass(frozen=True, slots=True)
class Instruction:
    """``clauses`` in order; ``chunks``: what may name a tool, in order; ``fences``: the languages that code is marked with;
    ``code``: is there code; ``text``: all that was looked at."""

    clauses: Sequence[Clause]
    chunks: Sequence[str]
    fences: Sequence[str]
    code: bool
    text: str


def read(request: str, owner: Dictionary) -> Instruction:
    """Of a request; hits of the owner's dictionary are left out."""
    text = plain(request)
    for found in reversed(list(owner.find(text))):
        text = f"{text[: found.start]} _ {text[found.end :]}"
    text = whole = _SLOT.sub(" 0 ", text)
    fences: list[str] = []

    def take(match: re.Match[str]) -> str:
        fences.append(match[2].lower())
        return "\n\n"

    text = _FENCE.sub(take, text)
    code = bool(fences)
    parts = []
    for line in text.split("\n"):
        looks = _CODE_LINE.match(line) is not None
        code = code or looks
        parts.append("" if looks else line)
    text = _QUOTED.sub(_quoted, "\n".join(parts))
    chunks: list[str] = []
    clauses: list[Clause] = []
    for number, paragraph in enumerate(_PARAGRAPH.split(text.strip())):
        for clause, detail in _clauses(paragraph):
            if len(clauses) >= MAX_CLAUSES:
                break
            row = _words(clause, chunks)
            if any(row):
                clauses.append(Clause(row, detail, number))
    return Instruction(clauses, chunks, [one for one in fences if one], code, whole)


def _quoted(match: re.Match[str]) -> str:
    """What is quoted is left out; what a program printed when it failed is still that."""
    return " error " if _FAILED.search(match[0]) else " _ "


def _clauses(paragraph: str) -> Iterator[tuple[str, bool]]:
    """Each with whether it is a detail: what follows a colon, or is a point of a list."""
    below = False
    for line in paragraph.split("\n"):
        detail = below or _BULLET.match(line) is not None
        before, *after = _COLON.split(line, 1)
        for part in _SENTENCE.split(before):
            yield part, detail
        if after:
            below = below or not after[0].strip()
            label = len(before.split()) <= LABEL
            for part in _SENTENCE.split(after[0]):
                yield part, detail or not label


def fences(text: str) -> list[str]:
    """The languages that code in an answer is marked with."""
    return [match[2].lower() for match in _FENCE.finditer(text[:MAX_CHARS]) if match[2]]


def code_in(text: str) -> str:
    """All code in a text that is marked as such, in lines."""
    blocks = [match[3] for match in _FENCE.finditer(text)]
    return "\n".join([*blocks, *_INLINE.findall(_FENCE.sub("", text))])


def letters(text: str) -> tuple[int, int]:
    """How many letters there are, and how many of them are Latin. ``text``: `plain`."""
    if text.isascii():
        count = sum(map(str.isalpha, text))
        return count, count
    found = [char for char in text if unicode.category(char)[0] == "L"]
    return len(found), sum(char.isascii() or unicode.name(char, "").startswith("LATIN") for char in found)


def plain(text: str) -> str:
    """What is looked at of a text, in one form of each letter; what cannot be seen is gone, and what is newer is none."""
    cut = text if len(text) <= 2 * MAX_CHARS else f"{text[:MAX_CHARS]}\n{text[-MAX_CHARS:]}"
    cut = cut.replace("\r\n", "\n").replace("\r", "\n")
    if not cut.isascii():
        cut = cut.translate(UNSEEN)
        known = (char if char.isascii() or unicode.category(char) != "Cn" else "_" for char in cut)
        cut = unicode.normalize("NFC", "".join(char for char in known if unicode.category(char) != "Cf"))
    if len(cut) <= MAX_CHARS:
        return cut
    half = MAX_CHARS // 2
    return f"{cut[:half]}\n{cut[-half:]}"


def _words(clause: str, chunks: list[str]) -> list[str]:
    row: list[str] = []
    for match in _CHUNK.finditer(clause):
        if len(row) >= MAX_CLAUSE_WORDS:
            break
        chunk = match[0].strip(_TRIM)
        if not chunk:
            continue
        chunks.append(chunk.lower() if len(chunk) <= 24 else BREAK)
        row += islice(_of_chunk(chunk), MAX_CLAUSE_WORDS - len(row))
    return row


def _of_chunk(chunk: str) -> Iterator[str]:
    for part in _SPLIT.split(chunk):
        if part.endswith(ERRORS):
            yield "error"
            continue
        whole = part.isupper() or part.islower() or part.istitle() or part in SPELLED
        yield part.lower() if part.isascii() and part.isalpha() and whole else BREAK
