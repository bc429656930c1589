"""Two devices in one process, machine to machine: the sessions and the committers are the product's, the line is a variable.

Every frame and its bytes are counted, and the processor time of either end. Time stands still between frames and jumps to the next
moment at which a session wants to be called, so nothing here waits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mycelnode.mesh import Mesh
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.state_transfer import Partial, StateSource
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

FRAMING_BYTES = 12  # of length and hash around each frame (docs/protocols/host.md)


@dataclass
class Cost:
    """What one meeting took."""

    frames: int = 0
    bytes: int = 0
    cpu: float = 0.0  # seconds, both ends
    reads: Counter[str] = field(default_factory=Counter)  # SQL statements of the readers, by their text
    kinds: Counter[int] = field(default_factory=Counter)  # bytes by code of the frame


async def carry_out(mesh: Mesh, proposal: Proposal) -> None:
    """As `mycelnode.p2p.sync_driver` does."""
    match proposal:
        case Accept(device, start, entries, head):
            size = sum(map(len, entries))
            await mesh.commit(lambda replica: replica.accept(device, start, entries, head), size=size)
        case Learn(statements):
            await mesh.commit(lambda replica: replica.learn(statements))
        case LearnRecords(records):
            await mesh.commit(lambda replica: replica.learn_records(records))
        case LearnState(snapshot, state):
            await mesh.learn_state(snapshot, state)
        case StartFrom(state, cut, giver):
            await mesh.start_from(state, cut, giver)
        case Unproved(giver):
            await mesh.commit(lambda replica: replica.give_up_base(giver))
        case Leave(reason):
            raise AssertionError(f"a device left: {reason}")


class Wire:
    """A connection of two open meshes. ``newcomer``: the second takes a state to begin with."""

    def __init__(self, left: Mesh, right: Mesh, *, newcomer: bool = False, count_reads: bool = False) -> None:
        self.meshes = (left, right)
        self.cost = Cost()
        self.now = 0.0
        self.usable_after: Cost | None = None  # the newcomer had its state
        self._count_reads = count_reads
        source = [StateSource(mesh.offer) for mesh in self.meshes]
        partial = (None, Partial() if newcomer else None)
        self.sessions = tuple(
            SyncSession(
                mine.replica, theirs.identity.device, source[end], partial[end], wall=mine.clock.wall(), now=0.0
            )
            for end, (mine, theirs) in enumerate((self.meshes, self.meshes[::-1]))
        )

    async def run(self) -> Cost:
        """Until both are in step as of now."""
        with self._listening(0), self._listening(1), self._counting():
            began = time.process_time()
            marks = [session.mark() for session in self.sessions]
            idle = False
            while not all(session.reached(mark) for session, mark in zip(self.sessions, marks, strict=True)):
                moved = False
                for end in (0, 1):
                    moved = await self._move(end) or moved
                if not moved:
                    if idle:
                        self.now = max(self.now + 0.001, min(s.next_due(now=self.now) for s in self.sessions))
                    idle = True
                    for session in self.sessions:
                        session.tick(now=self.now)
                else:
                    idle = False
            self.cost.cpu += time.process_time() - began
        for session in self.sessions:
            session.over()
        return self.cost

    async def _move(self, end: int) -> bool:
        frame = self.sessions[end].next_frame(now=self.now)
        if frame is None:
            return False
        self.cost.frames += 1
        self.cost.bytes += len(frame) + FRAMING_BYTES
        self.cost.kinds[frame[1]] += len(frame) + FRAMING_BYTES
        other = 1 - end
        mesh, session = self.meshes[other], self.sessions[other]
        for proposal in session.receive(frame, wall=mesh.clock.wall(), now=self.now):
            await carry_out(mesh, proposal)
            if isinstance(proposal, StartFrom):
                self.usable_after = Cost(self.cost.frames, self.cost.bytes, self.cost.cpu)
        return True

    @contextmanager
    def _listening(self, end: int) -> Iterator[None]:
        def progress(done: Progress) -> None:
            self.sessions[end].progress(done.logs, now=self.now)

        listeners = self.meshes[end].listeners
        listeners.append(progress)
        try:
            yield
        finally:
            listeners.remove(progress)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        if not self._count_reads:
            yield
            return
        for mesh in self.meshes:
            mesh.database.read.set_trace_callback(lambda statement: self.cost.reads.update([statement]))
        try:
            yield
        finally:
            for mesh in self.meshes:
                mesh.database.read.set_trace_callback(None)
