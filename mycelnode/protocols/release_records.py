"""What is signed about releases: who decides them and how (plans), that a window was spent, and that the witness saw it.

Records travel between the devices of a person, by themselves; they are no part of any log. Each is ``[body, signature]`` in
canonical CBOR, the signature over ``mycel-release ‖ root key ‖ body``. None holds a habit, a count, or how much was released.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Final, Self

from mycelnode.crdt.changelog import DeviceId, Sign, Verify
from mycelnode.encoding import as_bytes, as_int, as_list, as_text, blake2b, decode, encode
from mycelnode.errors import EncodingError
from mycelnode.protocols.release_window import MAX_QUARTER, YEAR, Window

CHOICES: Final = ("strict", "standard", "loose")  # of ε and δ: `mycelnode.privacy.accounting` has what they mean
KEY_BYTES: Final = 32
ID_BYTES: Final = 32
NONCE_BYTES: Final = 16
VERSION_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MAX_RECORD_BYTES: Final = 512
MAX_NUMBER: Final = 1 << 40  # of plans: those of the root are numbered by the second
MAX_FIELDS: Final = 10  # of a body
MAX_KIND_CHARS: Final = 8

_CONTEXT: Final = b"mycel-release"


@dataclass(frozen=True)
class Record(ABC):
    """The base of the three: who says it, and the signature."""

    KIND: ClassVar[str]

    author: bytes
    signature: bytes = field(default=b"", kw_only=True)

    @abstractmethod
    def fields(self) -> list[Any]:
        """What is signed, after the kind and the author."""

    @classmethod
    @abstractmethod
    def read(cls, author: bytes, fields: Sequence[Any], signature: bytes) -> Self:
        """From those. Raises `EncodingError`."""

    @cached_property
    def body(self) -> bytes:
        """The signed part."""
        return encode([self.KIND, self.author, *self.fields()])

    @cached_property
    def encoded(self) -> bytes:
        """The wire form."""
        return encode([self.body, self.signature])

    @cached_property
    def id(self) -> bytes:
        """32 bytes that name it."""
        return blake2b(self.encoded)

    def signed(self, root: bytes, sign: Sign) -> Self:
        """The same with its author's signature."""
        return replace(self, signature=sign(_CONTEXT + root + self.body))

    def verified(self, root: bytes, verify: Verify) -> bool:
        """Did its author sign this, for the mesh of ``root``?"""
        return verify(self.author, _CONTEXT + root + self.body, self.signature)


@dataclass(frozen=True)
class Plan(Record):
    """From the quarter ``since`` on, windows of ``quarters`` quarters (1 or 4) are decided by ``releaser``, with ``choice``.

    ``witness`` countersigns, if there is one. ``number`` counts plans, ``previous`` is the id of the one before; ``author`` is the
    releaser of that one, whose witness has to see this, or the root key.
    """

    KIND: ClassVar[str] = "plan"

    number: int
    since: int
    quarters: int
    choice: str
    releaser: DeviceId
    witness: DeviceId | None
    previous: bytes | None = None

    def fields(self) -> list[Any]:
        """See `Record`."""
        return [self.number, self.since, self.quarters, self.choice, self.releaser, self.witness, self.previous]

    @classmethod
    def read(cls, author: bytes, fields: Sequence[Any], signature: bytes) -> Self:
        """See `Record`."""
        number, since, quarters, choice, releaser, witness, previous = as_list(fields, 7)
        if witness == releaser:
            raise EncodingError("a plan whose witness is the device that decides")
        return cls(
            author,
            as_int(number, 0, MAX_NUMBER),
            as_int(since, 0, MAX_QUARTER),
            _one_of((1, YEAR), quarters),
            _one_of(CHOICES, choice),
            as_bytes(releaser, KEY_BYTES),
            None if witness is None else as_bytes(witness, KEY_BYTES),
            None if previous is None else as_bytes(previous, ID_BYTES),
            signature=signature,
        )


@dataclass(frozen=True)
class Spend(Record):
    """The window's ε and δ are spent, by ``author``, for what ``digest`` stands for; there is no second one, and no way back.

    ``version``: of the keys. ``nonce``: drawn by the process that is about to decide, and kept nowhere before this record: of two
    copies of a device only one can have it countersigned.
    """

    KIND: ClassVar[str] = "spend"

    window: Window
    choice: str
    version: bytes
    digest: bytes
    nonce: bytes

    def fields(self) -> list[Any]:
        """See `Record`."""
        return [self.window.start, self.window.quarters, self.choice, self.version, self.digest, self.nonce]

    @classmethod
    def read(cls, author: bytes, fields: Sequence[Any], signature: bytes) -> Self:
        """See `Record`."""
        start, quarters, choice, version, digest, nonce = as_list(fields, 6)
        return cls(
            author,
            Window(as_int(start, 0, MAX_QUARTER), as_int(quarters, 1, YEAR)),
            _one_of(CHOICES, choice),
            as_bytes(version, VERSION_BYTES),
            as_bytes(digest, ID_BYTES),
            as_bytes(nonce, NONCE_BYTES),
            signature=signature,
        )


@dataclass(frozen=True)
class Seen(Record):
    """The witness ``author`` saw the record of this id: a spend, and it will see no other of that window, nor of one before; or a
    plan, and it will see no other of that number."""

    KIND: ClassVar[str] = "seen"

    record: bytes

    def fields(self) -> list[Any]:
        """See `Record`."""
        return [self.record]

    @classmethod
    def read(cls, author: bytes, fields: Sequence[Any], signature: bytes) -> Self:
        """See `Record`."""
        (record,) = as_list(fields, 1)
        return cls(author, as_bytes(record, ID_BYTES), signature=signature)


_READERS: Final[dict[str, type[Record]]] = {one.KIND: one for one in (Plan, Spend, Seen)}


def read_record(data: bytes) -> Record:
    """From a wire form. Raises `EncodingError`; the signature is checked by `Record.verified`, not here."""
    body, signature = as_list(decode(data, max_bytes=MAX_RECORD_BYTES, max_depth=2), 2)
    kind, author, *fields = as_list(
        decode(as_bytes(body), max_bytes=MAX_RECORD_BYTES, max_depth=2), *range(3, MAX_FIELDS)
    )
    reader = _READERS.get(as_text(kind, MAX_KIND_CHARS))
    if reader is None:
        raise EncodingError("not a known kind of record")
    return reader.read(as_bytes(author, KEY_BYTES), fields, as_bytes(signature, SIGNATURE_BYTES))


def _one_of(values: Sequence[Any], value: Any) -> Any:
    if not any(value is one or (type(value) is type(one) and value == one) for one in values):
        raise EncodingError("a record has a field that is none of its values")
    return value
