"""Membership statements: enrol, revoke, fence, away (signed), and fork (derived from a log held in two versions).

A statement by a device is also an entry of that device's log, ``[0, statement bytes]``; its place there, ``position``, is inside
what is signed, so that "beyond a fence" can be judged from the statement and the chain of hashes alone. Statements travel by
themselves too, whatever fence they lie behind, and are kept for ever. A statement by the mesh root stands in no log.

Wire form: canonical CBOR ``[body, signature]`` with ``body = [kind, subject, head, author, position, info]`` encoded as bytes; the
signature covers ``b"mycel-statement" ‖ root key ‖ body``, so a statement of one mesh is worth nothing in another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from mycelnode.crdt.changelog import DeviceId, Head, Sign, Verify, chain
from mycelnode.encoding import as_bytes, as_int, as_list, as_map, as_text, blake2b, decode, encode
from mycelnode.errors import EncodingError, LogError

ENROL: Final = "enrol"
REVOKE: Final = "revoke"
FENCE: Final = "fence"
AWAY: Final = "away"
FORK: Final = "fork"  # never signed, never sent: see `derived_fork`
SIGNED_KINDS: Final = (ENROL, REVOKE, FENCE, AWAY)

MAX_STATEMENT = 2048  # bytes: a statement is two keys, two heads, a name
MAX_NAME = 64  # characters of a device's name

TIME: Final = "time"  # in a device's statement: Unix ms by its own clock, for people who look for the moment of a theft

_CONTEXT = b"mycel-statement"


@dataclass(frozen=True)
class Statement:
    """One statement about ``subject``.

    ``head``: the head of the subject's log that a revoke or fence names (None: its empty log). ``author``: a device key, or the
    root key. ``position``: (seq of the carrying entry, chain hash before it) in the author's log; None if the root is the author.
    ``info``: for an enrolment ``{"name": str, "invite": bytes}``; for the others ``{"reason": str}`` at most; by a device also
    ``"time"``.
    """

    kind: str
    subject: DeviceId
    head: Head | None
    author: bytes
    position: Head | None
    info: Mapping[str, Any] = field(default_factory=dict, hash=False)
    signature: bytes = b""

    @cached_property
    def body(self) -> bytes:
        """The signed part."""
        head = None if self.head is None else [self.head.seq, self.head.hash]
        position = None if self.position is None else [self.position.seq, self.position.hash]
        return encode([self.kind, self.subject, head, self.author, position, dict(self.info)])

    @cached_property
    def encoded(self) -> bytes:
        """The wire form."""
        return encode([self.body, self.signature])

    @cached_property
    def id(self) -> bytes:
        """32 bytes that name this statement: the hash of its wire form."""
        return blake2b(self.encoded)

    @property
    def entry(self) -> bytes:
        """The log entry that carries it."""
        return encode([0, self.encoded])

    @cached_property
    def at(self) -> Head | None:
        """The head of the author's log right after the carrying entry; None for a root statement."""
        if self.position is None:
            return None
        return Head(self.position.seq, chain(self.position.hash, self.entry))

    def signed(self, root: bytes, sign: Sign) -> Statement:
        """The same statement with its author's signature."""
        signature = sign(_CONTEXT + root + self.body)
        return Statement(self.kind, self.subject, self.head, self.author, self.position, self.info, signature)

    def verify(self, root: bytes, verify: Verify) -> None:
        """Raise `LogError` unless the author signed this for the mesh of ``root`` and the parts fit together."""
        if self.kind not in SIGNED_KINDS:
            raise LogError(f"a statement of kind {self.kind!r} is never signed")
        if self.subject == root:
            raise LogError("the root is no device: it is not enrolled, revoked, fenced or away")
        if (self.author == root) != (self.position is None):
            raise LogError("a statement stands in its author's log, unless the root signed it")
        if self.position is not None and self.position.seq < 1:
            raise LogError("log positions start at 1")
        if not verify(self.author, _CONTEXT + root + self.body, self.signature):
            raise LogError("the signature of a statement is wrong")


def derived_fork(device: DeviceId, common: Head | None) -> Statement:
    """What two verified branches of ``device``'s log amount to: ``common`` is the last entry that they share."""
    return Statement(FORK, device, common, device, None)


def decode_statement(data: bytes) -> Statement:
    """Read a wire form. Raises `EncodingError`; the signature is checked by `Statement.verify`, not here."""
    body, signature = as_list(decode(data, max_bytes=MAX_STATEMENT, max_depth=4), 2)
    kind, subject, head, author, position, info = as_list(
        decode(as_bytes(body), max_bytes=MAX_STATEMENT, max_depth=3), 6
    )
    if kind not in SIGNED_KINDS:
        raise EncodingError("not a known kind of statement")
    return Statement(
        kind,
        as_bytes(subject, 32),
        _head(head),
        as_bytes(author, 32),
        _head(position),
        {as_text(key, 32): _info(item) for key, item in as_map(info).items()},
        as_bytes(signature, 64),
    )


def _head(value: Any) -> Head | None:
    if value is None:
        return None
    seq, digest = as_list(value, 2)
    return Head(as_int(seq), as_bytes(digest, 32))


def _info(value: Any) -> str | bytes | int:
    if not isinstance(value, (str, bytes, int)):
        raise EncodingError("a statement's info holds plain values only")
    return value


OnChain = Callable[[DeviceId, Head, Head], "bool | None"]
"""``on_chain(device, at, head)``: is ``at`` on the chain of ``device`` that ends in ``head``? None: what is held does not tell."""
