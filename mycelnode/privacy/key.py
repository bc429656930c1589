"""The canonical key of a turn: which habit it is one day of. docs/keys.md says it in plain words.

A key is a function of one turn, of the owner's dictionary, and of what ships: no clock, no memory, no other turn, no setting goes
in. All that is in a key is out of closed tables.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from mycelnode.encoding import as_list, as_text, blake2b, decode, encode
from mycelnode.errors import EncodingError
from mycelnode.privacy import instruction, phrases
from mycelnode.privacy.framerules import Frame, made
from mycelnode.privacy.frames import INTO_TONGUE, Answer, frame
from mycelnode.privacy.frametables import FILES, tables
from mycelnode.privacy.instruction import Instruction
from mycelnode.privacy.languages import ENGLISH, english, spoken
from mycelnode.privacy.lists import FUNCTION, TYPES, words
from mycelnode.privacy.owner import Dictionary
from mycelnode.privacy.textforms import fails, form_of

MAX_KEY_BYTES: Final = 1_024
MAX_NAMES: Final = 1  # each further one would make more keys of one habit
MAX_WORD_CHARS: Final = 32
SENSITIVE: Final = frozenset(("health", "sex", "religion", "politics", "money", "law", "crime"))
MAX_TURN_CHARS: Final = (
    200_000  # of request and answer: a longer turn is no day of a habit, and all of it is read for phrases
)
MAX_ANSWER_CHARS: Final = 2_000  # of an answer that are looked at: what it is shows at its beginning
LATIN_SHARE: Final = 0.8  # of the letters
NOBODY: Final = Dictionary()

_NAMED: Final = frozenset(("coding", "data"))  # domains in which a tool makes a difference
# Things that have one tool unless another one is named, of a few; "": a tool makes no difference.
_IMPLIED: Final[Mapping[str, tuple[str, ...]]] = {
    "formula": ("excel", "sheets"), "query": ("sql",), "git": ("git",), "container": ("docker", "kubernetes"), "page": ("css",),
    "command": ("bash", "powershell"), "regex": ("",), "commit_message": ("",), "pull_request": ("",), "log": ("",),
    "config": ("",), "component": ("javascript",), "naming": ("",), "docs": ("",), "number": ("",), "api": ("",), "database": ("",),
    "bug": ("",), "test_data": ("",), "algorithm": ("",), "data": ("",),
}  # fmt: skip
_ANY_TOOL: Final = words("review refactor explain optimize")  # is much the same, whatever it is written in
_SHELLS: Final = ("bash", "powershell")  # what is written in them is a command, long or short
_MODULES: Final = (
    "key",
    "textforms",
    "framehits",
    "framerules",
    "frames",
    "frametables",
    "inflection",
    "instruction",
    "languages",
    "owner",
    "phrases",
)
_LOOKS: Final = (  # code that is not marked with its language
    ("javascript", re.compile(r"\bReferenceError\b|Cannot read propert|\bnode_modules\b|\bconsole\.log\b")),
    ("python", re.compile(r"^[ \t]*+(?:def \w+\(|import \w+$|from [\w.]+ import |print\()", re.MULTILINE)),
    (
        "python",
        re.compile(r"Traceback \(|\b(?:Type|Value|Key|Index|Attribute|ModuleNotFound|Import|Name|UnboundLocal)Error\b"),
    ),
    ("sql", re.compile(r"\bselect\b.{1,400}?\bfrom\b", re.IGNORECASE | re.DOTALL)),
    ("cpp", re.compile(r"^[ \t]*+#include\b", re.MULTILINE)),
    ("rust", re.compile(r"\bfn \w++[^\n{]{0,200}\{|\blet mut ")),
    ("java", re.compile(r"\bpublic (?:static |class |void )")),
    ("javascript", re.compile(r"\b(?:const|let|function) \w+ ?[=(]|=>")),
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
        key = cls._shaped(data)
        one = Frame(*key.frame, key.domain)
        if not made(one) or (key.names or ("",))[0] not in _nameable(one):
            raise EncodingError("not a key of this version")
        return key

    @classmethod
    def stored(cls, data: bytes) -> Key:
        """A key that this device stored, maybe when it had an earlier version: its words are all in the tables, but this version
        need not make it. So an update loses nothing that a window has been spent on. Raises `EncodingError`."""
        key = cls._shaped(data)
        known = tables()
        about = known.about.values()
        if (
            key.frame[0] not in {action for thing in about for action in thing.actions}
            or key.frame[1] not in known.about
            or key.domain not in known.domains
            or not {*key.names} <= known.families | known.tongues
        ):
            raise EncodingError("a key with words that this version does not know")
        return key

    @classmethod
    def _shaped(cls, data: bytes) -> Key:
        parts, domain, names = as_list(decode(data, max_bytes=MAX_KEY_BYTES, max_depth=2), 3)
        action, thing = (as_text(one, MAX_WORD_CHARS) for one in as_list(parts, 2))
        found = tuple(as_text(one, MAX_WORD_CHARS) for one in as_list(names))
        if len(found) > MAX_NAMES:
            raise EncodingError("not a key: too many names")
        return cls((action, thing), as_text(domain, MAX_WORD_CHARS), found)

    @property
    def title(self) -> str:
        """In words for people."""
        action, thing = (part.replace("_", " ") for part in self.frame)
        article = (
            "" if thing.endswith("s") or thing.split()[-1] in _NO_ARTICLE else "an " if thing[0] in "aeiou" else "a "
        )
        action = _WORDED.get(action, action)
        names = f" ({', '.join(self.names)})" if self.names else ""
        return f"{action} {article}{thing}{names}"

    @property
    def sensitive(self) -> bool:
        """Is it about health, sex, religion, politics, money, law or crime?"""
        now = tables().about.get(self.frame[1])
        return self.domain in SENSITIVE or (now is not None and now.domain in SENSITIVE)


_WORDED: Final = {"reply": "reply to", "prepare": "prepare for"}
_NO_ARTICLE: Final = words(
    "code data software vocabulary music furniture sleep news text git maths diet sex religion crime cleaning gardening naming"
)


def key_of(request: str, answer: str, owner: Dictionary = NOBODY) -> Key | None:
    """The key of a turn; None if it has none (`why_none`)."""
    return _read(request, answer, owner)[0]


def why_none(request: str, answer: str, owner: Dictionary = NOBODY) -> str:
    """Why a turn has no key, in a word: long, phrase, script, language or task. Empty if it has one."""
    return _read(request, answer, owner)[1]


def _read(request: str, answer: str, owner: Dictionary) -> tuple[Key | None, str]:
    if len(request) + len(answer) > MAX_TURN_CHARS:
        return None, "long"
    if any(True for text in (request, answer) for _ in phrases.recovery_phrases(text)):
        return None, "phrase"
    asked = instruction.read(request, owner)
    count, latin = instruction.letters(asked.text)
    if count and latin < LATIN_SHARE * count:
        return None, "script"
    answered = instruction.read(answer[:MAX_ANSWER_CHARS], owner)
    if not english(_words(asked), _words(answered)):
        return None, "language"
    tool = _tool(asked, answer)
    given = Answer(answered.clauses, form_of(answer[:MAX_ANSWER_CHARS]), _spoken(answered) != ENGLISH)
    found = frame(asked.clauses, given, code=asked.code, failed=fails(asked.text))
    if found is None:
        return None, "task"
    if tool in _SHELLS and (found.action, found.thing) == ("write", "code"):
        found = Frame("find", "command", found.domain)
    return Key((found.action, found.thing), found.domain, _names(found, tool, asked, answered)), ""


def _words(said: Instruction) -> list[str]:
    return [word for clause in said.clauses if not clause.detail for word in clause.words if word]


def _tool(asked: Instruction, answer: str) -> str:
    """The family of tools that is named first, or that the code is in, or that of the answer; "" if there is none."""
    known = tables().tools
    for before, name, after in zip(["", *asked.chunks], asked.chunks, [*asked.chunks[1:], ""], strict=False):
        for said in (f"{name} {after}", name):
            tool = known.get(said)
            if tool is not None and (not tool.beside or before in _BEFORE_TOOLS or after in tool.beside):
                return tool.family
    for name in asked.fences:
        if name in known:
            return known[name].family
    for family, looks in _LOOKS:
        if looks.search(asked.text):
            return family
    return next((known[name].family for name in instruction.fences(answer) if name in known), "")


_BEFORE_TOOLS: Final = words("in with using")


def _names(found: Frame, tool: str, asked: Instruction, answered: Instruction) -> tuple[str, ...]:
    """At most one: the tool where it makes a difference, or the language that people speak that it is about."""
    if found.action == "translate":
        return (_target(asked, answered),)
    may = _nameable(found)
    name = tool if tool in may else _IMPLIED.get(found.thing, ("",))[0]
    if name not in may:
        name = ""
    return (name,) if name else ()


def _nameable(found: Frame) -> Collection[str]:
    """What a key of this frame may name; "" if it may name nothing."""
    if found.action == "translate":
        return tables().tongues
    if found.action in _ANY_TOOL and found.domain in _NAMED:
        return ("",)
    if found.thing in _IMPLIED:
        return _IMPLIED[found.thing]
    return tables().families | {""} if found.domain in _NAMED else ("",)


def _target(asked: Instruction, answered: Instruction) -> str:
    """Into what is translated: the language after "to" or "into", or before "translation"; else that of the answer."""
    for clause in asked.clauses:
        row = [*clause.words, "", ""]
        for before, word, after in zip(["", *row], row, row[1:], strict=False):
            if word in tables().tongues and (before in INTO_TONGUE or after in ("translation", "version")):
                return word
    return _spoken(answered)


def _spoken(answered: Instruction) -> str:
    return spoken([word for clause in answered.clauses for word in clause.words])


@cache
def version() -> bytes:
    """32 bytes: of the code and the tables that a key depends on. Devices with another version do not count together."""
    root = files("mycelnode.privacy")
    parts: Sequence[bytes] = [
        *((root / f"{name}.py").read_bytes() for name in _MODULES),
        *((root / "data" / name).read_bytes() for name in FILES),
        *(" ".join(sorted(listed)).encode() for listed in (FUNCTION, TYPES, phrases.listed())),
    ]
    return blake2b(encode([blake2b(part) for part in parts]))
