"""What crosses the wire in `/mycel/sync/1`, its bounds, and the proposals that frames amount to. The machine is in `sync`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mycelnode.crdt.changelog import DeviceId, Head, SignedHead
from mycelnode.crdt.snapshots import Record
from mycelnode.crdt.statements import Statement
from mycelnode.protocols.logset import MAX_RUN_BYTES

PROTOCOL: Final = "/mycel/sync/1"
VERSION: Final = 1

HELLO: Final = (
    1  # [1, version, wall clock, null | [digest | null, offset], [[snapshot id, state?], …]]: wants a state; has these
)
HAVE: Final = 2  # [2, {device: [[seq, hash], …]}, [statement id, …]]: on disk here; all of it first, then what is new
STATEMENTS: Final = 3  # [3, [statement, …]]
ENTRIES: Final = 4  # [4, device, start seq, start hash, [entry | [digest], …], [seq, hash, signature]]
PING: Final = 5  # [5, nonce, flush?]: answered when everything before it was handled
PONG: Final = 6  # [6, nonce]
PROBE: Final = 7  # [7, device, seq, hash, [position, …]]: your hashes on the chain that ends in (seq, hash)?
PROBED: Final = 8  # [8, device, [[position, hash | null], …]]
STATE: Final = 9  # [9, digest, size, offset, piece, {device: [seq, hash, signature]}]
BYE: Final = 10  # [10, reason]
REFUSED: Final = 11  # [11, device]: no more entries of that log are taken on this connection
SNAPSHOT: Final = (
    12  # [12, proposal, [confirmation, …], state?]: complete, stands for entries that may be gone; is its state here?
)
WANT: Final = 13  # [13, snapshot id, offset]: asks for its state
LACKS: Final = 14  # [14, device, seq, hash]: the entries after this are missing, and no snapshot stands for them

MAX_FRAME = 1 << 20  # bytes
MAX_ITEMS = 100_000  # in a frame: more than entries of ten bytes each, of which there are no shorter ones, fill it with
BATCH_BYTES = MAX_RUN_BYTES  # entries per frame; in any log, signatures stand at most this far apart
MAX_BATCH_BYTES = MAX_FRAME - (64 << 10)  # room for the framing of small entries
WINDOW_BYTES = 4 << 20  # sent, and not yet known to be on the peer's disk
STATEMENTS_PER_FRAME = 256
IDS_PER_FRAME = 4096
PING_AFTER = 5.0  # seconds without sending
SILENT_AFTER = 15.0  # seconds without receiving: the other end is gone or frozen
FORWARD_DELAY = 0.25  # seconds before passing on what its author has probably pushed to everybody itself
MAX_QUEUED = 256  # control frames that a peer can make us owe it


@dataclass(frozen=True, slots=True)
class Accept:
    """Proposal: entries for `Replica.accept`."""

    device: DeviceId
    start: Head
    entries: Sequence[bytes]
    head: SignedHead


@dataclass(frozen=True, slots=True)
class Learn:
    """Proposal: statements for `Replica.learn`."""

    statements: Sequence[Statement]


@dataclass(frozen=True, slots=True)
class StartFrom:
    """Proposal: the folded state of ``giver``, to store and to begin with."""

    state: bytes
    cut: dict[DeviceId, Head]
    giver: DeviceId


@dataclass(frozen=True, slots=True)
class Unproved:
    """Proposal: ``giver`` has not the logs any more whose state it gave us, for `Replica.give_up_base`."""

    giver: DeviceId


@dataclass(frozen=True, slots=True)
class LearnRecords:
    """Proposal: a snapshot and its confirmations, for `Replica.learn_records`."""

    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class LearnState:
    """Proposal: the state of a snapshot, for `Replica.learn_state`."""

    snapshot: bytes
    state: bytes


@dataclass(frozen=True, slots=True)
class Leave:
    """Proposal: the peer said goodbye, for this reason."""

    reason: str


Proposal = Accept | Learn | StartFrom | Unproved | LearnRecords | LearnState | Leave
