"""A tiny world for the machines: devices in memory, links that lose, repeat nothing and can be cut, a clock that tests own."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from mycel_simnet.virtual import keys
from mycel_simnet.virtual.disk import STATES, Disk
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.document import Document
from mycelnode.crdt.snapshots import Confirmation
from mycelnode.crdt.statements import ENROL, REVOKE, Statement
from mycelnode.errors import BusyError
from mycelnode.protocols import tending
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.replica import Replica
from mycelnode.protocols.state_transfer import Offer, Partial, StateSource
from mycelnode.protocols.sync import SyncSession
from mycelnode.protocols.sync_frames import (
    Accept,
    Learn,
    LearnRecords,
    LearnState,
    Leave,
    Proposal,
    StartFrom,
    Unproved,
)


class CheapKey:
    """A key of the virtual world with the face of a `SigningKey`; `cheap_verify` belongs to it."""

    def __init__(self, name: str) -> None:
        self._key = keys.Key(name)
        self.verify_key = self._key.public

    def sign(self, message: bytes) -> Any:
        return SimpleNamespace(signature=self._key.sign(message))


cheap_verify = keys.verify
START_MS = 1_760_000_000_000


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


@dataclass
class Device:
    """One replica with its own disk, signing with ``key``."""

    root: SigningKey
    key: SigningKey = field(default_factory=SigningKey.generate)
    skew_ms: int = 0

    def __post_init__(self) -> None:
        self.store = Disk()
        self.wall = START_MS
        self.replica = self._replica()
        self.progressed: list[Progress] = []
        self.source = StateSource(self._offer, least=0)
        self.partial = Partial()

    def _replica(self) -> Replica:
        root, device = bytes(self.root.verify_key), bytes(self.key.verify_key)
        return Replica(root, device, lambda m: self.key.sign(m).signature, verify, self.store)

    @property
    def id(self) -> DeviceId:
        return self.replica.device

    @property
    def now(self) -> int:
        return self.wall + self.skew_ms

    def commit(self) -> Progress:
        self.store.store(self.store.pages(self.replica.take(), self.replica.clock.last))
        progress = self.replica.durable(self.now)
        self.progressed.append(progress)
        while self.replica.checking:  # as the committer does, between writes
            self.progressed.append(self.replica.tick(self.now))
        return progress

    def write(self, *operations: Any) -> Head:
        self.wall += 1
        head = self.replica.write(operations, self.now)
        self.commit()
        return head

    def put(self, key: str, value: Any, name: str = "m") -> Head:
        return self.write([2, name, key, value])

    def enrol(self, other: Device) -> Statement:
        statement = self.replica.declare(ENROL, other.id, None, {"name": "x"}, self.now)
        self.commit()
        return statement

    def revoke(self, other: Device, head: Head | None = None) -> Statement:
        number, _ = self.replica.counted(other.id)
        statement = self.replica.declare(
            REVOKE, other.id, head or self.replica.logs.tip(other.id, number), {}, self.now
        )
        self.commit()
        return statement

    def learn(self, *statements: Statement) -> None:
        self.replica.learn(statements)
        self.commit()

    def root_statement(self, kind: str, subject: DeviceId, head: Head | None) -> Statement:
        root = bytes(self.root.verify_key)
        return Statement(kind, subject, head, root, None, {}).signed(root, lambda m: self.root.sign(m).signature)

    def map(self, name: str = "m") -> dict[str, Any]:
        return dict(self.replica.document.map(name))

    def clone(self, key: Any = None) -> Device:
        """The same key and a copy of the disk: what restoring a machine image makes. With a new ``key``: what a backup makes."""
        other = type(self)(self.root, key or self.key, self.skew_ms)
        other.wall = self.wall
        other.store = self.store.image()
        other.replica = other._replica()
        other.replica.logs.durable = {device: list(branches) for device, branches in self.replica.logs.durable.items()}
        other._load(self.replica)
        return other

    def _load(self, before: Replica) -> None:
        records = sorted(self.store.records.values(), key=lambda record: isinstance(record, Confirmation))
        clock = before.clock.last
        statements = list(before.statements.values())
        self.replica.load(
            statements, clock=clock, records=records, states=list(self.store.tables[STATES]), now=self.now
        )

    def tend(self, least: int = 0, *, most: int = 1000) -> None:
        """Propose, confirm and prune until nothing is left to do, asked or not."""
        self.replica.own_log_shown = True
        before = set(self.replica.snapshots.proposals)
        for _ in range(most):
            if not tending.tend(self.replica, self.now, least=least):
                return
            self.commit()
            if not self.replica.snapshots.proposals.keys() <= before:
                least = 1 << 60  # one proposal at a time

    def carry_out(self, proposal: Proposal) -> None:
        """What the driver does with what a session proposes; committed by the caller."""
        match proposal:
            case Accept(device, start, entries, head):
                self.replica.accept(device, start, entries, head)
            case Learn(statements):
                self.replica.learn(statements)
            case StartFrom(state, cut, giver):
                document = Document.decode_state(state)
                self.progressed.append(self.replica.start_from(document, cut, giver, self.now))
            case Unproved(giver):
                self.replica.give_up_base(giver)
            case LearnRecords(records):
                self.replica.learn_records(records)
            case LearnState(snapshot, state):
                self.replica.learn_state(snapshot, state, Document.decode_state(state))

    def restart(self) -> None:
        """Everything from disk again."""
        before = self.replica
        self.replica = self._replica()
        self.replica.logs.durable = before.logs.durable
        self._load(before)

    def _offer(self) -> Offer | None:
        return Offer.of(self.replica.document, self.replica.logs)


@dataclass
class CheapDevice(Device):
    """One whose signatures cost no CPU; ``root`` and ``key`` are `CheapKey`s."""

    root: Any
    key: Any

    def _replica(self) -> Replica:
        return Replica(
            self.root.verify_key, self.key.verify_key, lambda m: self.key.sign(m).signature, cheap_verify, self.store
        )


class Link:
    """Two sessions and the wire between them."""

    def __init__(self, left: Device, right: Device, *, fresh: bool = False) -> None:
        self.ends = (left, right)
        self.time = 0.0
        self.sessions = tuple(
            SyncSession(
                mine.replica,
                theirs.id,
                mine.source,
                mine.partial if fresh and mine is right else None,
                wall=mine.now,
                now=0.0,
            )
            for mine, theirs in ((left, right), (right, left))
        )
        self.wire: tuple[list[bytes], list[bytes]] = ([], [])
        self.left: str | None = None
        self.bytes = 0

    def progress(self, end: int, progress: Progress) -> None:
        self.sessions[end].progress(progress.logs, now=self.time)

    def step(self, rng: random.Random) -> bool:
        """Move one frame, from or to a random end; False if nothing can move now."""
        moves = [("send", 0), ("send", 1), ("deliver", 0), ("deliver", 1)]
        rng.shuffle(moves)
        for move, end in moves:
            if move == "send":
                frame = self.sessions[end].next_frame(now=self.time)
                if frame is not None:
                    self.wire[1 - end].append(frame)
                    self.bytes += len(frame)
                    return True
            elif self.wire[end]:
                self._deliver(end, self.wire[end].pop(0))
                return True
        return False

    def _deliver(self, end: int, frame: bytes) -> None:
        mine = self.ends[end]
        for proposal in self.sessions[end].receive(frame, wall=mine.now, now=self.time):
            if isinstance(proposal, Leave):
                self.left = proposal.reason
                return
            try:
                mine.carry_out(proposal)
            except BusyError:
                if isinstance(proposal, Accept):
                    self.sessions[end].refuse(proposal.device)
            self.progress(end, mine.commit())

    def run(self, rng: random.Random | None = None, *, limit: int = 100_000, parting: bool = False) -> None:
        """Until both are in step (``parting``: until one has left); fails rather than loop for ever."""
        rng = rng or random.Random(0)
        for _ in range(limit):
            if self.left is not None:
                return
            if not self.step(rng):
                if not parting and all(s.ready and not s.lacking() and not s.awaiting() for s in self.sessions):
                    return
                if all(s.finished for s in self.sessions):
                    return
                self.time += 0.3
                for session in self.sessions:
                    session.tick(now=self.time)
                if self.time > 60:
                    raise AssertionError(f"not in step after a minute: {self.state()}")
        raise AssertionError(f"still busy after {limit} frames: {self.state()}")

    def state(self) -> str:
        return "; ".join(f"ready={s.ready} lacking={s.lacking()} awaiting={s.awaiting()}" for s in self.sessions)


def mesh(count: int) -> list[Device]:
    """``count`` devices, the first enrolled by the root and the others by the first, all knowing all statements."""
    root = SigningKey.generate()
    devices = [Device(root) for _ in range(count)]
    first = devices[0]
    enrolment = first.root_statement(ENROL, first.id, None)
    first.learn(enrolment)
    for other in devices[1:]:
        first.enrol(other)
    for other in devices[1:]:
        other.learn(*first.replica.statements.values())
    return devices


def sync(left: Device, right: Device, rng: random.Random | None = None) -> Link:
    """Connect two devices until they are in step."""
    link = Link(left, right)
    link.run(rng)
    return link
