"""A pattern: what was learned, and for what it is good, as its creator says it and everybody may check.

`Pattern.read` is the boundary: whatever comes from a peer, a file or a chain goes through it, and what it returns is within its
bounds. Fields that it does not know are kept, on every level; another major version of the format is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from mycelnode.errors import PatternRefused
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.fields import Extra, Fields, present
from mycelnode.patterns.solutions import MAX_LINE_CHARS, MAX_TEXT_CHARS, READERS, Solution

FORMAT: Final = "mycel-pattern"
MAJOR, MINOR = 1, 0
MAX_TITLE_CHARS: Final = 120
MAX_REQUIRES: Final = 32
MAX_MODELS: Final = 32
MAX_LINEAGE: Final = 16
MAX_VERSION: Final = (1 << 31) - 1
MAX_COUNT: Final = (1 << 53) - 1
MAX_YOCTO: Final = (1 << 128) - 1  # what a balance on NEAR can be
MAX_CREATED_MS: Final = 253_402_300_799_999  # the end of the year 9999
KEY_BYTES: Final = 32

_FORMAT: Final = re.compile(FORMAT + r"/(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")
DOMAIN: Final = re.compile(r"[a-z0-9_-]{1,32}")  # as the registry contract has it
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")  # BCP 47, but for what nobody uses
_PRICE: Final = re.compile(r"0|[1-9][0-9]{0,38}")


@dataclass(frozen=True, slots=True)
class Quality:
    """What its creator saw of it. A claim: a reputation is made of what others saw."""

    uses: int = 0
    successes: int = 0
    models: tuple[str, ...] = ()  # with which it was used
    extra: Extra = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Quality:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "the quality of a pattern")
        uses = fields.number("uses", 0, MAX_COUNT, 0)
        successes = fields.number("successes", 0, uses, 0)
        return cls(uses, successes, fields.lines("models", MAX_MODELS, MAX_LINE_CHARS), fields.rest())

    def write(self) -> dict[str, Any]:
        """The map of it."""
        known = {"uses": self.uses, "successes": self.successes} if self.uses else {}
        return {**self.extra, **known, **present(models=list(self.models))}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Everything that a creator signs. ``price`` is per use, in yoctoNEAR; ``created`` in Unix ms; ``creator`` an Ed25519 key.

    >>> (await node.patterns.get(cid)).pattern.title
    'Sort the post'
    """

    title: str
    domain: str
    solution: Solution
    creator: bytes
    created: int
    description: str = ""
    language: str = "en"  # of its text
    trigger: str = ""  # when it is of use
    requires: tuple[str, ...] = ()  # of the context
    price: int = 0
    version: int = 1
    quality: Quality = field(default_factory=Quality)
    derived_from: tuple[Cid, ...] = ()
    supersedes: Cid | None = None
    files: Cid | None = None  # a UnixFS folder: what travels with it
    minor: int = MINOR  # of the format
    extra: Extra = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """prompt, code, adapter or workflow."""
        return self.solution.kind

    @classmethod
    def read(cls, value: Any) -> Pattern:
        """From the map of a manifest. Raises `PatternRefused`, in a sentence."""
        fields = Fields(value, "a pattern")
        minor = _minor(fields.any("format"))
        kind = fields.any("kind")
        reader = READERS.get(kind) if type(kind) is str else None
        if reader is None:
            raise fields.refused("kind", f"one of {', '.join(READERS)}")
        return cls(
            title=fields.line("title", MAX_TITLE_CHARS),
            domain=fields.word("domain", DOMAIN, "1 to 32 small letters, digits, _ or -"),
            solution=reader(fields.any("solution")),
            creator=fields.binary("creator", KEY_BYTES),
            created=fields.number("created", 0, MAX_CREATED_MS),
            description=fields.text("description", MAX_TEXT_CHARS, ""),
            language=fields.word("language", LANGUAGE, "a language tag such as en or pt-BR", "en"),
            trigger=fields.text("trigger", MAX_TEXT_CHARS, ""),
            requires=fields.lines("requires", MAX_REQUIRES, MAX_LINE_CHARS),
            price=read_price(fields.any("price", "0")),
            version=fields.number("version", 1, MAX_VERSION, 1),
            quality=Quality.read(fields.any("quality", {})),
            derived_from=fields.each("derived_from", MAX_LINEAGE, _link),
            supersedes=fields.link("supersedes"),
            files=fields.link("files"),
            minor=minor,
            extra=fields.rest(),
        )

    def write(self) -> dict[str, Any]:
        """The map of it; what is not said is left out, so that a pattern has one encoding."""
        known = present(
            format=f"{FORMAT}/{MAJOR}.{self.minor}",
            title=self.title,
            description=self.description,
            kind=self.kind,
            domain=self.domain,
            language=self.language,
            trigger=self.trigger,
            requires=list(self.requires),
            price=str(self.price),
            creator=self.creator,
            created=self.created,
            version=self.version,
            derived_from=list(self.derived_from),
            supersedes=self.supersedes,
            files=self.files,
        )
        quality = self.quality.write()
        return {**self.extra, **known, "solution": self.solution.write(), **({"quality": quality} if quality else {})}


def read_price(value: Any) -> int:
    """A price in yoctoNEAR from its decimal string, as which it stands everywhere but in memory. Raises `PatternRefused`."""
    if type(value) is not str or not _PRICE.fullmatch(value) or int(value) > MAX_YOCTO:
        raise PatternRefused("a pattern: 'price' must be an amount in yoctoNEAR, in decimal digits as text")
    return int(value)


def _minor(value: Any) -> int:
    found = _FORMAT.fullmatch(value) if type(value) is str else None
    if found is None:
        raise PatternRefused(f"this is no pattern: its 'format' must be {FORMAT}/{MAJOR}.{MINOR}")
    if int(found[1]) != MAJOR:
        raise PatternRefused(
            f"this pattern is of version {found[1]} of the format, and this mycelnode reads version {MAJOR}"
            + ("; a newer mycelnode reads it" if int(found[1]) > MAJOR else "")
        )
    return int(found[2])


def _link(value: Any) -> Cid:
    if type(value) is not Cid:
        raise PatternRefused("a pattern: 'derived_from' must be a list of CIDs")
    return value
