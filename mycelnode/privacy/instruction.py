"""The words of a request that say what is to be done, without what was pasted below them. Pure, and linear in the length.

A word with a digit, ``_``, ``@`` or a capital inside is a name of something: it is left out here, and breaks what stands around it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mycelnode.privacy.owner import Dictionary

MAX_CHARS: Final = 20_000  # of a request that are looked at: who asks says it at the beginning, or at the end
MAX_CLAUSES: Final = 60
MAX_CLAUSE_WORDS: Final = 60
BREAK: Final = ""  # stands for what is left out

_FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*([A-Za-z0-9+#]*)[^\n]*\n(.*?)(?:^\1[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_CODE_LINE = re.compile(
    r"^(?:\t| {4}).*$|^>.*$|^.*[{};][ \t]*$|^[ \t]*(?:def|class|import|from|return|SELECT|#include)\b.*$", re.MULTILINE
)
_QUOTED = re.compile(r"“[^”\n]{25,2000}”|\"[^\"\n]{25,2000}\"")
_CLAUSE = re.compile(r"[.?!:;\n]+(?=\s|$)")
_CHUNK = re.compile(r"\S+")
_TRIM: Final = "()[]{}<>\"'`*_,.!?:;…“”‘’-–—/\\|"
_SPLIT = re.compile(r"[-/'’]+")


@dataclass(frozen=True, slots=True)
class Instruction:
    """``clauses``: lower-case words, `BREAK` where something was left out; ``chunks``: what may name a tool, in order;
    ``fences``: the languages that code is marked with; ``code``: whatever looked like code."""

    clauses: Sequence[Sequence[str]]
    chunks: Sequence[str]
    fences: Sequence[str]
    code: str


def read(request: str, owner: Dictionary) -> Instruction:
    """Of a request; hits of the owner's dictionary are left out."""
    text = _cut(_plain(request))
    fences: list[str] = []
    code: list[str] = []

    def take(match: re.Match[str]) -> str:
        fences.append(match[2].lower())
        code.append(match[3])
        return "\n"

    text = _FENCE.sub(take, text)
    code += _CODE_LINE.findall(text)
    text = _QUOTED.sub(" ", _CODE_LINE.sub("", text))
    for found in reversed(list(owner.find(text))):
        text = f"{text[: found.start]} _ {text[found.end :]}"
    chunks: list[str] = []
    clauses = [clause for clause in (_words(part, chunks) for part in _CLAUSE.split(text)[:MAX_CLAUSES]) if clause]
    return Instruction(clauses, chunks, [one for one in fences if one], "\n".join(code))


def fences(text: str) -> list[str]:
    """The languages that code in an answer is marked with."""
    return [match[2].lower() for match in _FENCE.finditer(text[:MAX_CHARS]) if match[2]]


def letters(text: str) -> tuple[int, int]:
    """How many letters there are, and how many of them are Latin."""
    found = [char for char in text[:MAX_CHARS] if char.isalpha()]
    return len(found), sum(char.isascii() or "LATIN" in unicodedata.name(char, "") for char in found)


def _plain(text: str) -> str:
    """One form of each letter; what cannot be seen is gone."""
    cut = text[: 4 * MAX_CHARS] if len(text) <= 4 * MAX_CHARS else text[: 2 * MAX_CHARS] + "\n" + text[-2 * MAX_CHARS :]
    normal = unicodedata.normalize("NFC", cut.replace("\r\n", "\n").replace("\r", "\n"))
    return normal if normal.isascii() else "".join(char for char in normal if unicodedata.category(char) != "Cf")


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    half = MAX_CHARS // 2
    return f"{text[:half]}\n{text[-half:]}"


def _words(clause: str, chunks: list[str]) -> list[str]:
    words: list[str] = []
    for match in _CHUNK.finditer(clause):
        if len(words) >= MAX_CLAUSE_WORDS:
            break
        chunk = match[0].strip(_TRIM)
        if not chunk:
            continue
        chunks.append(chunk.lower() if len(chunk) <= 24 else BREAK)
        words += _of_chunk(chunk)
    return words


def _of_chunk(chunk: str) -> Iterator[str]:
    for part in _SPLIT.split(chunk):
        shouted = part.isupper() or part.islower() or part.istitle()
        yield part.lower() if part.isascii() and part.isalpha() and shouted else BREAK
