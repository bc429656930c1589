"""The canonical key of a turn: which habit it is one day of. docs/keys.md says it in plain words.

A key is a function of one turn, of the owner's dictionary, and of what ships: no clock, no memory, no other turn, no setting goes
in. All that is in a key is out of closed tables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from mycelnode.encoding import as_list, as_text, blake2b, decode, encode
from mycelnode.errors import EncodingError
from mycelnode.privacy import instruction
from mycelnode.privacy.frames import frame
from mycelnode.privacy.frametables import FILES, IMPLIED, tables
from mycelnode.privacy.instruction import Instruction
from mycelnode.privacy.lists import FUNCTION, words
from mycelnode.privacy.owner import Dictionary
from mycelnode.privacy.phrases import recovery_phrases

MAX_KEY_BYTES: Final = 1_024
MAX_NAMES: Final = 5
MAX_WORD_CHARS: Final = 32
SENSITIVE: Final = frozenset(("health", "sex", "religion", "politics", "money", "law", "crime"))
LATIN_SHARE: Final = 0.8  # of the letters
KNOWN_SHARE: Final = 0.4  # of the words that are asked with: English, for all we know
NOBODY: Final = Dictionary()

_NAMED: Final = frozenset(("coding", "data"))  # domains in which a tool makes a difference
_SPOKEN: Final = frozenset(("translate", "practice"))  # where a language that people speak does
_MODULES: Final = ("key", "frames", "frametables", "instruction", "owner", "lists", "phrases")
_LOOKS: Final = (  # code that is not marked with its language
    ("python", re.compile(r"^[ \t]*(?:def \w+\(|import \w+$|from [\w.]+ import |print\()", re.MULTILINE)),
    ("sql", re.compile(r"\bselect\b.{1,400}\bfrom\b", re.IGNORECASE | re.DOTALL)),
    ("cpp", re.compile(r"^[ \t]*#include\b", re.MULTILINE)),
    ("rust", re.compile(r"\bfn \w+.*\{|\blet mut ")),
    ("java", re.compile(r"\bpublic (?:static |class |void )")),
    ("javascript", re.compile(r"\b(?:const|let|function) \w+|=>")),
)


@dataclass(frozen=True, slots=True)
class Key:
    """A habit: what is done, and to what (``frame``), its ``domain``, and at most five ``names`` of tools or languages.

    >>> key = key_of("Could you write unit tests for this? I use pytest", "…")
    >>> key.title
    'write a test (python)'
    """

    frame: tuple[str, str]
    domain: str
    names: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Canonical CBOR, at most `MAX_KEY_BYTES`."""
        return encode([list(self.frame), self.domain, list(self.names)])

    @classmethod
    def decode(cls, data: bytes) -> Key:
        """The inverse. Raises `EncodingError` for what this version would never make."""
        parts, domain, names = as_list(decode(data, max_bytes=MAX_KEY_BYTES, max_depth=2), 3)
        action, thing = (as_text(one, MAX_WORD_CHARS) for one in as_list(parts, 2))
        found = tuple(as_text(one, MAX_WORD_CHARS) for one in as_list(names))
        known = tables()
        if action not in known.usual or thing not in known.about or known.about[thing].domain != domain:
            raise EncodingError("not a key of this version")
        if len(found) > MAX_NAMES or len(set(found)) < len(found) or not known.families.issuperset(found):
            raise EncodingError("not a key of this version")
        return cls((action, thing), domain, found)

    @property
    def title(self) -> str:
        """In words for people."""
        action, thing = (part.replace("_", " ") for part in self.frame)
        article = "" if thing.endswith("s") or thing in _NO_ARTICLE else "an " if thing[0] in "aeiou" else "a "
        names = f" ({', '.join(self.names)})" if self.names else ""
        return f"{action} {article}{thing}{names}"

    @property
    def sensitive(self) -> bool:
        """Is it about health, sex, religion, politics, money, law or crime?"""
        return self.domain in SENSITIVE


_NO_ARTICLE: Final = words("code data software vocabulary music furniture grammar homework sleep news text")


def key_of(request: str, answer: str, owner: Dictionary = NOBODY) -> Key | None:
    """The key of a turn; None if it has none (`why_none`)."""
    return _read(request, answer, owner)[0]


def why_none(request: str, answer: str, owner: Dictionary = NOBODY) -> str:
    """Why a turn has no key, in a word: phrase, script, language or task. Empty if it has one."""
    return _read(request, answer, owner)[1]


def _read(request: str, answer: str, owner: Dictionary) -> tuple[Key | None, str]:
    if any(True for text in (request, answer) for _ in recovery_phrases(text)):
        return None, "phrase"
    asked = instruction.read(request, owner)
    count, latin = instruction.letters(request)
    if count and latin < LATIN_SHARE * count:
        return None, "script"
    if not _english(asked):
        return None, "language"
    tool = _tool(asked, answer)
    found = frame(asked.clauses, tool)
    if found is None:
        return None, "task"
    names = _names(found.action, found.thing, found.domain, tool, asked)
    return Key((found.action, found.thing), found.domain, names), ""


def _english(asked: Instruction) -> bool:
    asking = [word for clause in asked.clauses for word in clause if word]
    known = sum(word in FUNCTION or word in _CUT or word in tables().first for word in asking)
    return bool(asking) and known >= KNOWN_SHARE * len(asking)


_CUT: Final = words("s t m re ve ll d don doesn isn won didn")  # what is left of I'm, it's, don't


def _tool(asked: Instruction, answer: str) -> str:
    """The family of tools that is named first, or that the code is in, or that of the answer; "" if there is none."""
    known = tables()
    said = {word for clause in asked.clauses for word in clause}
    pairs = zip(asked.chunks, asked.chunks[1:], strict=False)
    for name in (*asked.chunks, *(f"{one} {two}" for one, two in pairs)):
        tool = known.tools.get(name)
        if tool is not None and (not tool.beside or tool.beside & said or asked.code):
            return tool.family
    for name in asked.fences:
        if name in known.tools:
            return known.tools[name].family
    for family, looks in _LOOKS:
        if looks.search(asked.code):
            return family
    named = (known.tools[name].family for name in instruction.fences(answer) if name in known.tools)
    return next(named, "")


def _names(action: str, thing: str, domain: str, tool: str, asked: Instruction) -> tuple[str, ...]:
    known = tables()
    if action in _SPOKEN or thing == "vocabulary":
        spoken = [word for clause in asked.clauses for word in clause if word in known.tongues and word != "english"]
        return tuple(spoken[-1:]) or (("english",) if action == "translate" else ())
    if thing in IMPLIED:
        return (IMPLIED[thing],) if IMPLIED[thing] else ()
    return (tool,) if tool and (domain in _NAMED or thing == "usage") else ()


@cache
def version() -> bytes:
    """32 bytes: of the code and the tables that a key depends on. Devices with another version do not count together."""
    root = files("mycelnode.privacy")
    parts: Sequence[bytes] = [
        *((root / f"{name}.py").read_bytes() for name in _MODULES),
        *((root / "data" / name).read_bytes() for name in FILES),
    ]
    return blake2b(encode([blake2b(part) for part in parts]))
