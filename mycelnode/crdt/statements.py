"""Membership statements: enrol, revoke, fence, away (signed), and fork (derived from a log held in two versions).

A statement by a device is carried by its log (`carried`). Statements travel by themselves too, whatever fence they lie behind,
and are kept for ever. A statement by the mesh root stands in no log.

Body: ``[kind, subject, head, author, position, info]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from mycelnode.crdt.carried import Carried, head_from_wire, head_to_wire, open_wire
from mycelnode.crdt.changelog import DeviceId, Head, Verify
from mycelnode.encoding import as_bytes, as_list, as_map, as_text
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


@dataclass(frozen=True)
class Statement(Carried):
    """One statement about ``subject``.

    ``head``: the head of the subject's log that a revoke or fence names (None: its empty log). ``author``: a device key, or the
    root key. ``position``: (seq of the carrying entry, chain hash before it) in the author's log; None if the root is the author.
    ``info``: for an enrolment ``{"name": str, "invite": bytes}``; for the others ``{"reason": str}`` at most; by a device also
    ``"time"``.
    """

    CONTEXT: ClassVar[bytes] = b"mycel-statement"

    kind: str
    subject: DeviceId
    head: Head | None
    author: bytes
    position: Head | None
    info: Mapping[str, Any] = field(default_factory=dict, hash=False)
    signature: bytes = b""

    def fields(self) -> list[Any]:
        """See `Carried`."""
        head, position = head_to_wire(self.head), head_to_wire(self.position)
        return [self.kind, self.subject, head, self.author, position, dict(self.info)]

    def verify(self, root: bytes, verify: Verify) -> None:
        """Raise `LogError` unless the author signed this for the mesh of ``root`` and the parts fit together."""
        if self.kind not in SIGNED_KINDS:
            raise LogError(f"a statement of kind {self.kind!r} is never signed")
        if self.subject == root:
            raise LogError("the root is no device: it is not enrolled, revoked, fenced or away")
        if (self.author == root) != (self.position is None):
            raise LogError("a statement stands in its author's log, unless the root signed it")
        self.verify_signature(root, verify)


def derived_fork(device: DeviceId, common: Head | None) -> Statement:
    """What two verified branches of ``device``'s log amount to: ``common`` is the last entry that they share."""
    return Statement(FORK, device, common, device, None)


def decode_statement(data: bytes) -> Statement:
    """Read a wire form. Raises `EncodingError`; the signature is checked by `Statement.verify`, not here."""
    fields, signature = open_wire(data, MAX_STATEMENT, 3)
    kind, subject, head, author, position, info = as_list(fields, 6)
    if kind not in SIGNED_KINDS:
        raise EncodingError("not a known kind of statement")
    return Statement(
        kind,
        as_bytes(subject, 32),
        head_from_wire(head),
        as_bytes(author, 32),
        head_from_wire(position),
        {as_text(key, 32): _info(item) for key, item in as_map(info).items()},
        signature,
    )


def _info(value: Any) -> str | bytes | int:
    if not isinstance(value, (str, bytes, int)):
        raise EncodingError("a statement's info holds plain values only")
    return value


OnChain = Callable[[DeviceId, Head, Head], "bool | None"]
"""``on_chain(device, at, head)``: is ``at`` on the chain of ``device`` that ends in ``head``? None: what is held does not tell."""
