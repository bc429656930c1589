"""The closed public vocabulary: which words may stay in a text. Loaded when it is first asked for.

What ships in ``data/`` is made by `make vocabulary` from public lists (sources and licences: ``data/LICENCES.md``).
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from mycelnode.privacy.lists import FUNCTION, PARTICLES, TITLES, TOOLS

WORDS: Final = "words.xz"
PYTHON: Final = "python.xz"
# Of what the shipped lists unpack to: they come with the program, and a damaged file is told instead of filling the memory.
MAX_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Four lists that have no word in common, lower case. What is in none of them, or in `names` only, is not public."""

    plain: frozenset[str]
    family: frozenset[str]  # words that are a name of a family or a place as well
    given: frozenset[str]  # words that are a given name as well
    names: frozenset[str]  # no words: they give a slot its type

    @property
    def words(self) -> frozenset[str]:
        """All that may stay."""
        return self.plain | self.family | self.given


def _lists(name: str) -> list[frozenset[str]]:
    packed = (files("mycelnode.privacy") / "data" / name).read_bytes()
    text = lzma.LZMADecompressor(memlimit=1 << 27).decompress(packed, MAX_BYTES).decode()
    return [frozenset(part.split("\n")) for part in text.split("\n\n")]


@cache
def vocabulary() -> Vocabulary:
    """The words that ship, read once."""
    plain, family, given, names = _lists(WORDS)
    tools = frozenset(word for word in TOOLS if word.islower())
    around = (TITLES | PARTICLES | tools & names) - FUNCTION
    family = (family | around & (plain | tools)) - FUNCTION
    given = given - family - FUNCTION
    plain = (plain | tools | FUNCTION) - family - given
    return Vocabulary(plain, family, given, names - plain - family)


@cache
def python_names() -> frozenset[str]:
    """Names of Python and its standard library, read once."""
    return _lists(PYTHON)[0]
