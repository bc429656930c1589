"""Whole devices in memory, as the real node is one: what it keeps on disk, connections with admission, several at once."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.document import Document
from mycelnode.crdt.snapshots import Confirmation
from mycelnode.errors import BusyError, EncodingError
from mycelnode.protocols.admission import Admission
from mycelnode.protocols.folding import Base, Progress
from mycelnode.protocols.replica import Replica
from mycelnode.protocols.state_transfer import Partial
from mycelnode.protocols.sync import SyncSession
from mycelnode.protocols.sync_frames import Accept, Leave, Proposal, StartFrom
from tests.protocols.world import Device

FRAMES = 20_000  # in one meeting; more is an endless loop


class Broken(AssertionError):
    """A promise was broken; ``kind`` says which."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


class Key:
    """A signing key that costs no CPU: everybody could forge, nobody here does."""

    def __init__(self, name: str) -> None:
        self.verify_key = hashlib.blake2b(name.encode(), digest_size=32).digest()

    def sign(self, message: bytes) -> Any:
        return SimpleNamespace(signature=hashlib.blake2b(self.verify_key + message).digest())


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    return hashlib.blake2b(key + message).digest() == signature


@dataclass
class Node(Device):
    """A device with what the real node keeps on disk beside its logs: clock, and the folded state with its base."""

    root: Any
    key: Any
    name: str = ""
    fact: tuple[bytes, Base | None] | None = None
    clock_fact: int = 0
    links: list[Link] = field(default_factory=list)

    def _replica(self) -> Replica:
        root, device = bytes(self.root.verify_key), bytes(self.key.verify_key)
        return Replica(root, device, lambda m: self.key.sign(m).signature, verify, self.store)

    def commit(self) -> Progress:
        progress = super().commit()
        self.progressed.clear()
        self.clock_fact = self.replica.clock.last
        if progress.base_checked is False:
            raise Broken("base", f"{self.name} was given a state that its logs do not fold to")
        for link in self.links:
            link.moved(self, progress)
        return progress

    def start(self, state: bytes, cut: dict[DeviceId, Head], giver: DeviceId) -> None:
        """As `Mesh.start_from`."""
        document = Document.decode_state(state)
        if dict(document.applied) != {device: head.seq for device, head in cut.items() if head.seq}:
            raise EncodingError("a state does not belong to its cut")
        digest = document.digest()  # now: the replica goes on with this very document
        self.replica.start_from(document, cut, giver, self.now)
        self.fact = (state, Base(cut, digest, giver))

    def restart(self) -> None:
        """As `Mesh._load`."""
        before = self.replica
        self.replica, self.partial = self._replica(), Partial()
        self.replica.logs.durable = dict(before.logs.durable)
        records = sorted(self.store.records.values(), key=lambda record: isinstance(record, Confirmation))
        document, base = (None, None) if self.fact is None else (Document.decode_state(self.fact[0]), self.fact[1])
        self.replica.load(
            before.statements.values(),
            document,
            base,
            clock=self.clock_fact,
            records=records,
            states=list(self.store.states),
            now=self.now,
        )

    def checkpoint(self) -> None:
        self.fact = (self.replica.document.encode_state(), self.replica.base)

    def twin(self, name: str) -> Node:
        other = Node(self.root, self.key, name=name)
        other.wall, other.skew_ms, other.source.least = self.wall, self.skew_ms, self.source.least
        other.store, other.clock_fact = self.store.copy(), self.clock_fact
        other.replica = other._replica()
        other.replica.logs.durable = {device: list(branches) for device, branches in self.replica.logs.durable.items()}
        other._load(self.replica)
        return other

    def session(self, peer: Node) -> SyncSession:
        """As `SyncDriver._session`."""
        replica = self.replica
        return SyncSession(replica, peer.id, self.source, self.partial, wall=self.now, now=0.0)

    def head_of(self, device: DeviceId, back: int) -> Head | None:
        logs = self.replica.logs
        number, _ = self.replica.counted(device)
        seq = max(0, logs.tip(device, number).seq - back)
        digest = logs.hash_at(device, number, seq)
        return Head(seq, digest) if digest and seq else None


class Link:
    """A connection of two admitted devices, driven as `SyncDriver` drives it."""

    def __init__(self, left: Node, right: Node) -> None:
        self.ends = (left, right)
        self.sessions = (left.session(right), right.session(left))
        self.wire: tuple[list[bytes], list[bytes]] = ([], [])
        self.time = 0.0
        self.left = False
        self.frames = 0
        for node in self.ends:
            node.links.append(self)

    def moved(self, node: Node, progress: Progress) -> None:
        for mine, session in zip(self.ends, self.sessions, strict=True):
            if mine is node:
                session.progress(progress.logs, now=self.time)

    def step(self, rng: random.Random) -> bool:
        """Move one frame, or time; False when it is over."""
        moves = [(0, 0), (0, 1), (1, 0), (1, 1)]
        rng.shuffle(moves)
        for deliver, end in moves:
            if deliver and self.wire[end]:
                self._deliver(end, self.wire[end].pop(0))
                return self._count()
            frame = None if deliver else self.sessions[end].next_frame(now=self.time)
            if frame is not None:
                self.wire[1 - end].append(frame)
                return self._count()
        if self.done():
            return False
        self.time += 0.3
        for session in self.sessions:
            session.tick(now=self.time)
        if self.time > 60:
            says = [(s.ready, s.lacking(), s.awaiting(), s.closing) for s in self.sessions]
            raise Broken("stuck", f"{self.ends[0].name}-{self.ends[1].name} not in step after a minute: {says}")
        return True

    def _count(self) -> bool:
        self.frames += 1
        if self.frames > FRAMES:
            raise Broken("loop", f"{self.ends[0].name}-{self.ends[1].name}")
        return not self.left

    def done(self) -> bool:
        return all(s.ready and not s.lacking() and not s.awaiting() for s in self.sessions) or all(
            s.finished for s in self.sessions
        )

    def _deliver(self, end: int, frame: bytes) -> None:
        mine = self.ends[end]
        for proposal in self.sessions[end].receive(frame, wall=mine.now, now=self.time):
            if isinstance(proposal, Leave):
                self.left = True
                return
            try:
                self._carry_out(mine, proposal)
            except BusyError:
                if isinstance(proposal, Accept):
                    self.sessions[end].refuse(proposal.device)
            mine.commit()

    @staticmethod
    def _carry_out(mine: Node, proposal: Proposal) -> None:
        match proposal:
            case StartFrom(state, cut, giver):
                mine.start(state, cut, giver)
            case _:
                mine.carry_out(proposal)

    def cut(self) -> None:
        for node, session in zip(self.ends, self.sessions, strict=True):
            node.links.remove(self)
            session.over()


def admit(dialler: Node, other: Node) -> bool:
    """As `SyncDriver.greet`: does each take the other for a member?"""
    asks, answers = Admission(dialler.replica, other.id), Admission(other.replica, dialler.id)
    answer, theirs = answers.respond(asks.request())
    for node, verdict in ((other, theirs), (dialler, asks.conclude(answer))):
        if verdict.learn:
            node.replica.learn(verdict.learn)
            node.commit()
    return theirs.admitted and bool(verdict.admitted and verdict.admits_us)


class Shim:
    """What `rescue` needs of a mesh."""

    def __init__(self, node: Node) -> None:
        self.node, self.replica = node, node.replica

    def now(self) -> int:
        return self.node.now

    async def commit(self, propose: Callable[[Replica], Head], store: object = None, *, size: int) -> Head:
        head = propose(self.replica)
        self.node.commit()
        return head
