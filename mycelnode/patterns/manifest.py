"""A manifest: a pattern with its creator's signature, as one DAG-CBOR block that anybody can check without asking anyone.

`{"content": {"pattern": …, "privacy": …, "near"?: account}, "signature": 64 bytes}`, where the signature is the creator's, Ed25519
over `mycel-manifest ‖ DAG-CBOR(content)`. Other fields of the content are signed and kept; there are none beside these two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mycelnode.errors import EncodingError, PatternRefused
from mycelnode.identity import verify
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.fields import Extra, Fields
from mycelnode.patterns.pattern import Pattern

MAX_STATEMENT_CHARS: Final = 64
MAX_STATEMENT_VERSION: Final = 1_000_000
SIGNATURE_BYTES: Final = 64
NO_PRIVACY: Final = "none"

_SIGNED: Final = b"mycel-manifest"
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
class Manifest:
    """A pattern as it is published. Made by `sign`, or read and verified by `read`; ``block`` is the whole of it."""

    pattern: Pattern
    privacy: Privacy
    near: str | None  # the account that is paid
    signature: bytes
    block: bytes
    extra: Extra = field(default_factory=dict)

    @property
    def cid(self) -> Cid:
        """Its name."""
        return Cid.of(DAG_CBOR, self.block)

    @classmethod
    def sign(cls, pattern: Pattern, sign: Sign, *, privacy: Privacy | None = None, near: str | None = None) -> Manifest:
        """Make one. ``sign`` is of the pattern's creator. Raises `PatternRefused` if it is not, or if it would not be read."""
        content: dict[str, Any] = {"pattern": pattern.write(), "privacy": (privacy or Privacy()).write()}
        if near is not None:
            content["near"] = near
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
        if not verify(pattern.creator, _SIGNED + dagcbor.encode(content), signature):
            raise PatternRefused("the signature of a manifest is not its creator's")
        return cls(pattern, privacy, near, signature, block, fields.rest())
