"""The closed tables that a habit's key is made of: what is done, to what, with which tool. Read once, from ``data/``.

Nothing can be in a key that is not in these tables; they ship with the program, and a change of them is another version of keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from mycelnode.privacy.lists import words

FILES: Final = ("actions.txt", "objects.txt", "tools.txt", "tongues.txt")
LONGEST: Final = 6  # words of one entry

# Making something, or wanting it: what is done is then what is usually done to make the thing.
MAKING: Final = words("""write implement make create generate build produce give need want get have do prepare draft develop
    code provide show recommend brainstorm list decide find plan design visualize name cook pack schedule automate looking love
    like start send""")
# What may stand for all of these, if it is what is usually done to the thing.
USUAL: Final = words("""write implement plan visualize design recommend list brainstorm prepare find calculate install
    practice explain""")

CODE_THINGS: Final = words("function code script class algorithm type api page database config dependency log command")
TEXT_THINGS: Final = words("""text paragraph email letter post article news report story poem description grammar title message
    presentation resume speech review_text feedback_text job_ad greeting contract_note""")

# Which tool belongs to a thing if none is named; "" for things where a tool makes no difference.
IMPLIED: Final[Mapping[str, str]] = {
    "formula": "excel",
    "query": "sql",
    "regex": "",
    "commit": "",
    "pull_request": "",
    "docs": "",
}
# What is meant if a tool is named, and no thing.
OF_TOOL: Final[Mapping[str, str]] = {
    "excel": "formula",
    "sheets": "formula",
    "sql": "query",
    "bash": "command",
    "powershell": "command",
    "git": "command",
    "docker": "command",
    "kubernetes": "command",
    "css": "page",
    "html": "page",
}


@dataclass(frozen=True, slots=True)
class Thing:
    """To what something is done: its domain, and what is usually done to it."""

    domain: str
    action: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A family of tools, and beside which words its name counts; beside any, if there are none."""

    family: str
    beside: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tables:
    """``actions`` and ``things``: words → the word that stands for them; ``usual``: action → the thing if none is named."""

    actions: Mapping[tuple[str, ...], str]
    usual: Mapping[str, str]
    things: Mapping[tuple[str, ...], str]
    about: Mapping[str, Thing]
    tools: Mapping[str, Tool]
    tongues: frozenset[str]
    first: frozenset[str]  # words that an entry begins with

    @property
    def families(self) -> frozenset[str]:
        """All tools, and languages, that a key may name."""
        return frozenset(tool.family for tool in self.tools.values()) | self.tongues


def _rows(name: str) -> Iterator[list[str]]:
    text = (files("mycelnode.privacy") / "data" / name).read_text(encoding="utf-8")
    return (line.split() for line in text.splitlines() if line and not line.startswith("#"))


def _entries(words: Iterable[str], stands: str) -> Iterator[tuple[tuple[str, ...], str]]:
    return ((tuple(word.split("_")), stands) for word in words)


@cache
def tables() -> Tables:
    """What ships."""
    actions: dict[tuple[str, ...], str] = {}
    usual: dict[str, str] = {}
    for stands, thing, *named in _rows("actions.txt"):
        usual[stands] = thing
        for entry, meaning in _entries(named, stands):
            actions.setdefault(entry, meaning)
    things: dict[tuple[str, ...], str] = {}
    about = {
        "text": Thing("writing", "rewrite"),
        "usage": Thing("general", "explain"),
        "topic": Thing("learning", "quiz"),
    }
    for domain, stands, action, *named in _rows("objects.txt"):
        about[stands] = Thing(domain, action)
        for entry, meaning in _entries(named, stands):
            things.setdefault(entry, meaning)
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
