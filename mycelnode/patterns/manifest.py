"""A manifest: a pattern with its creator's signature, as one DAG-CBOR block that anybody can check without asking anyone.

`{"content": {"pattern": …, "privacy": …, "near"?: account, "succeeds"?: [{creator, signature}, …]}, "signature": 64 bytes}`, where
the signature is the creator's, Ed25519 over `mycel-manifest ‖ DAG-CBOR(content)`. Other fields of the content are signed and kept;
there are none beside these two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mycelnode.errors import EncodingError, PatternRefused
from mycelnode.identity import verify
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.fields import Extra, Fields, present
from mycelnode.patterns.pattern import KEY_BYTES, Pattern

MAX_STATEMENT_CHARS: Final = 64
MAX_STATEMENT_VERSION: Final = 1_000_000
MAX_SUCCESSIONS: Final = 16  # keys that a creator had before
SIGNATURE_BYTES: Final = 64
NO_PRIVACY: Final = "none"

_SIGNED: Final = b"mycel-manifest"
_PASSED_ON: Final = b"mycel-creator"
_DECIMAL: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?(e-[1-9][0-9]?)?")
# https://nomicon.io/DataStructures/Account
_ACCOUNT: Final = re.compile(r"(?=.{2,64}\Z)(([a-z0-9]+[-_])*[a-z0-9]+\.)*([a-z0-9]+[-_])*[a-z0-9]+")

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Privacy:
    """What was promised about the person's data: a differentially private release, or nothing (``mechanism`` is "none").

    ``epsilon`` and ``delta`` are decimal text, as a float would say more digits than were meant. ``unit``: of what one is hidden.
    """

    mechanism: str = NO_PRIVACY
    unit: str = ""
    epsilon: str = ""
    delta: str = ""
    version: int = 0
    extra: Extra = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Privacy:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "the privacy statement")
        mechanism = fields.line("dp", MAX_STATEMENT_CHARS)
        if mechanism == NO_PRIVACY:
            return cls(extra=fields.rest())
        return cls(
            mechanism,
            fields.line("unit", MAX_STATEMENT_CHARS),
            fields.word("epsilon", _DECIMAL, "a decimal number as text"),
            fields.word("delta", _DECIMAL, "a decimal number as text"),
            fields.number("version", 1, MAX_STATEMENT_VERSION),
            fields.rest(),
        )

    def write(self) -> dict[str, Any]:
        """The map of it."""
        if self.mechanism == NO_PRIVACY:
            return {**self.extra, "dp": NO_PRIVACY}
        said = {"unit": self.unit, "epsilon": self.epsilon, "delta": self.delta, "version": self.version}
        return {**self.extra, "dp": self.mechanism, **said}


@dataclass(frozen=True, slots=True)
class Succession:
    """The word of a creator's former key that another one took its place: Ed25519 over `mycel-creator ‖ the key after it`."""

    creator: bytes
    signature: bytes

    @classmethod
    def sign(cls, creator: bytes, sign: Sign, successor: bytes) -> Succession:
        """Pass on from ``creator``, whose ``sign`` it is, to the key ``successor``."""
        return cls(creator, sign(_PASSED_ON + successor))

    @classmethod
    def read(cls, value: Any) -> Succession:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "a former key of the creator")
        return cls(fields.binary("creator", KEY_BYTES), fields.binary("signature", SIGNATURE_BYTES))

    def write(self) -> dict[str, Any]:
        """The map of it."""
        return {"creator": self.creator, "signature": self.signature}

    def names(self, successor: bytes) -> bool:
        """Did that key say so?"""
        return verify(self.creator, _PASSED_ON + successor, self.signature)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A pattern as it is published. Made by `sign`, or read and verified by `read`; ``block`` is the whole of it."""

    pattern: Pattern
    privacy: Privacy
    near: str | None  # the account that is paid
    signature: bytes
    block: bytes
    succeeds: tuple[Succession, ...] = ()  # the creator's former keys, the last one first, each naming the one after it
    extra: Extra = field(default_factory=dict)

    @property
    def cid(self) -> Cid:
        """Its name."""
        return Cid.of(DAG_CBOR, self.block)

    @classmethod
    def sign(
        cls,
        pattern: Pattern,
        sign: Sign,
        *,
        privacy: Privacy | None = None,
        near: str | None = None,
        succeeds: Sequence[Succession] = (),
    ) -> Manifest:
        """Make one. ``sign`` is of the pattern's creator. Raises `PatternRefused` if it is not, or if it would not be read."""
        content: dict[str, Any] = {
            "pattern": pattern.write(),
            "privacy": (privacy or Privacy()).write(),
            **present(near=near, succeeds=[former.write() for former in succeeds]),
        }
        try:
            signature = sign(_SIGNED + dagcbor.encode(content))
            return cls.read(dagcbor.encode({"content": content, "signature": signature}))
        except EncodingError as error:
            raise PatternRefused(f"the pattern cannot be published: {error}") from error

    @classmethod
    def read(cls, block: bytes) -> Manifest:
        """From a block of anyone. Raises `PatternRefused` in a sentence, also where the signature is not its creator's."""
        try:
            whole = Fields(dagcbor.decode(block), "a manifest")
        except EncodingError as error:
            raise PatternRefused(f"this block is no manifest: {error}") from error
        content, signature = whole.any("content"), whole.binary("signature", SIGNATURE_BYTES)
        if whole.rest():
            raise PatternRefused("a manifest has a field that is not signed")
        fields = Fields(content, "the content of a manifest")
        pattern = Pattern.read(fields.any("pattern"))
        privacy = Privacy.read(fields.any("privacy"))
        near = fields.any("near") if "near" in content else None
        if "near" in content and not (type(near) is str and _ACCOUNT.fullmatch(near)):
            raise fields.refused("near", "the name of a NEAR account")
        succeeds = fields.each("succeeds", MAX_SUCCESSIONS, Succession.read)
        later = pattern.creator
        for former in succeeds:
            if not former.names(later):
                raise fields.refused("succeeds", "the word of each former key for the one after it")
            later = former.creator
        if not verify(pattern.creator, _SIGNED + dagcbor.encode(content), signature):
            raise PatternRefused("the signature of a manifest is not its creator's")
        return cls(pattern, privacy, near, signature, block, succeeds, fields.rest())
