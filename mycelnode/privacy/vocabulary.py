"""The closed public vocabulary: which words may stay in a text. Loaded when it is first asked for.

What ships in ``data/`` is made by `make vocabulary` from public lists (sources and licences: ``data/LICENCES.md``), but for
``modern.txt``, which is written for this project.
"""

from __future__ import annotations

import lzma
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from mycelnode.privacy.lists import FUNCTION, PARTICLES, TITLES, TOOLS

WORDS: Final = "words.xz"
MODERN: Final = "modern.txt"
PYTHON: Final = "python.xz"
# Of what the shipped lists unpack to: they come with the program, and a damaged file is told instead of filling the memory.
MAX_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Four lists that have no word in common, lower case. What is in none of them, or in `names` only, is not public."""

    plain: AbstractSet[str]
    family: AbstractSet[str]  # words that are a name of a family or a place as well
    given: AbstractSet[str]  # words that are a given name as well
    names: AbstractSet[str]  # no words: they give a slot its type

    @property
    def words(self) -> AbstractSet[str]:
        """All that may stay."""
        return self.plain | self.family | self.given


def _lists(name: str) -> list[set[str]]:
    packed = (files("mycelnode.privacy") / "data" / name).read_bytes()
    text = lzma.LZMADecompressor(memlimit=1 << 27).decompress(packed, MAX_BYTES).decode()
    return [set(part.split("\n")) for part in text.split("\n\n")]


def _modern() -> set[str]:
    lines = (files("mycelnode.privacy") / "data" / MODERN).read_text(encoding="utf-8").splitlines()
    return {word for line in lines if not line.startswith("#") for word in line.split()}


@cache
def vocabulary() -> Vocabulary:
    """The words that ship, read once."""
    plain, family, given, names = _lists(WORDS)
    modern = _modern() - plain - family - given
    family.update(modern & names)  # somebody in the world has that name; beside a slot the word goes
    plain.update(modern - names)
    names.difference_update(modern)
    tools = {word for word in TOOLS if word.islower()}
    around = (TITLES | PARTICLES | {tool for tool in tools if tool in names}) - FUNCTION
    # In place: the lists are long, and to copy one takes longer than all of this.
    family.update(word for word in around if word in family or word in plain or word in tools)
    family.difference_update(FUNCTION)
    given.difference_update(FUNCTION, family)
    plain.update(FUNCTION, (tool for tool in tools if tool not in family and tool not in given))
    plain.difference_update(family)
    names.difference_update(FUNCTION, tools, family)
    return Vocabulary(plain, family, given, names)


@cache
def python_names() -> frozenset[str]:
    """Names of Python and its standard library, read once."""
    return frozenset(_lists(PYTHON)[0])
