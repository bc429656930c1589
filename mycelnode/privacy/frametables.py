"""The closed tables that a habit's key is made of: what is done, to what, with which tool. Read once, from ``data/``.

Nothing can be in a key that is not in these tables; they ship with the program, and a change of them is another version of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from mycelnode.privacy.lists import FUNCTION

FILES: Final = ("actions.txt", "objects.txt", "tools.txt", "tongues.txt")
LONGEST: Final = 6  # words of one entry
TONGUE: Final = "TONGUE"  # in an entry: any language that people speak
STRONG, WEAK, FAINT = 6, 2, 1  # how much a word counts, one that is marked with "~", and one with "~~"
MORE: Final = 1  # and each further word of an entry


@dataclass(frozen=True, slots=True)
class Thing:
    """What a turn may be about: its domain, and what may be done to it, the usual first."""

    domain: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A family of tools, and beside which words its name counts; beside any, if there are none."""

    family: str
    beside: frozenset[str]


Entry = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """``actions``: words → the action; ``usual``: action → the thing if none is named; ``things``: words → the thing, and how much
    they count; ``about``: what is known of a thing; ``first``: words that an entry begins with."""

    actions: Mapping[Entry, str]
    usual: Mapping[str, str]
    things: Mapping[Entry, tuple[str, int]]
    about: Mapping[str, Thing]
    tools: Mapping[str, Tool]
    tongues: frozenset[str]
    first: frozenset[str]

    @property
    def families(self) -> frozenset[str]:
        """All tools that a key may name."""
        return frozenset(tool.family for tool in self.tools.values())

    @property
    def domains(self) -> tuple[str, ...]:
        """All domains, sorted."""
        return tuple(sorted({thing.domain for thing in self.about.values()}))


def is_common(word: str) -> bool:
    """Is that a word by which requests are understood, or a small one, so that much is lost without it?"""
    said = word.casefold()
    known = tables()
    return said in FUNCTION or (said,) in known.actions or (said,) in known.things


def _rows(name: str) -> Iterator[list[str]]:
    """A line that begins with a space goes on with the row before it."""
    text = (files("mycelnode.privacy") / "data" / name).read_text(encoding="utf-8").replace("\n ", " ")
    return (line.split() for line in text.splitlines() if line and not line.startswith("#"))


def _entry(word: str) -> Entry:
    return tuple(word.split("_"))


@cache
def tables() -> Tables:
    """What ships."""
    actions: dict[Entry, str] = {}
    usual: dict[str, str] = {}
    for action, thing, *named in _rows("actions.txt"):
        usual[action] = thing
        for word in named:
            actions.setdefault(_entry(word), action)
    things: dict[Entry, tuple[str, int]] = {}
    about: dict[str, Thing] = {}
    for domain, thing, may, *named in _rows("objects.txt"):
        about[thing] = Thing(domain, tuple(may.split(",")))
        for word in named:
            entry = _entry(word.lstrip("~"))
            weight = FAINT if word.startswith("~~") else WEAK if word.startswith("~") else STRONG
            things.setdefault(entry, (thing, weight + MORE * (len(entry) - 1)))
    for thing in about:  # a thing is known by its own name as well, unless the tables say something else of that
        things.setdefault(_entry(thing), (thing, WEAK))
    tools: dict[str, Tool] = {}
    for family, *named in _rows("tools.txt"):
        cut = named.index("~") if "~" in named else len(named)
        beside = frozenset(named[cut + 1 :])
        for word in named[:cut]:
            only = beside if word == family and beside else frozenset[str]()
            tools[word.replace("_", " ")] = Tool(family, only)
    tongues = frozenset(word for row in _rows("tongues.txt") for word in row)
    first = frozenset(entry[0] for entry in (*actions, *things))
    return Tables(actions, usual, things, about, tools, tongues, first)
