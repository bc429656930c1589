"""Runs one `SyncSession` per connected member over libp2p streams: bytes in, bytes out, proposals to the committer; nothing is
decided here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import peer_id
from mycelnode.errors import BusyError, EncodingError, LogError, MycelError, PeerMisbehaved
from mycelnode.mesh import Mesh
from mycelnode.p2p.framing import FrameStream
from mycelnode.p2p.host import Connection, Host, Stream
from mycelnode.protocols import admission
from mycelnode.protocols.admission import Admission, Verdict
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.state_transfer import Partial, StateSource
from mycelnode.protocols.sync import SyncSession
from mycelnode.protocols.sync_frames import (
    PROTOCOL,
    SILENT_AFTER,
    Accept,
    Learn,
    LearnRecords,
    LearnState,
    Leave,
    Proposal,
    StartFrom,
    Unproved,
)

EXCHANGE_SECONDS = 10.0  # for one admission exchange
GOODBYE_SECONDS = 2.0  # for a session to say goodbye to a peer that has fallen silent

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Link:
    """A running session and the means to wake and stop it."""

    session: SyncSession
    scope: trio.CancelScope
    wake: trio.Event = field(default_factory=trio.Event)
    short: bool = False  # was something refused for want of disk?

    def nudge(self) -> None:
        """Let the sender look for something to say."""
        self.wake.set()


class SyncDriver:
    """All sessions of one node. ``changed`` is called when a session begins or ends."""

    def __init__(self, mesh: Mesh, host: Host, changed: Callable[[str, bool], None]) -> None:
        self.mesh, self.host, self._changed = mesh, host, changed
        self.links: dict[str, Link] = {}
        self.lags: dict[str, int] = {}  # what each peer lacked when last heard of
        self._source = StateSource(mesh.offer)
        self._partial = Partial()
        self._moved = trio.Event()
        host.set_handler(admission.PROTOCOL, self._serve_admission, strangers=True)
        host.set_handler(PROTOCOL, self._serve_sync)
        mesh.listeners.append(self._on_progress)

    def close(self) -> None:
        """Stop listening to the mesh; the sessions end with their nursery."""
        self.mesh.listeners.remove(self._on_progress)

    # --- beginning -----------------------------------------------------------------------------------------------------

    async def greet(self, line: Connection, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """On a connection that we dialled: the admission exchange, then a session until the connection ends. Started when that
        began.

        Raises `PeerMisbehaved` when either end does not take the other for a member, `NetworkError` when the line breaks.
        """
        try:
            verdict = await self._ask_admission(line)
            if not verdict.admitted:
                raise PeerMisbehaved("it is no member of this mesh")
            if not verdict.admits_us:
                raise PeerMisbehaved("it does not take us for a member")
            self.host.promote(line.peer)
            stream = await self.host.open_stream(line, PROTOCOL, deadline=EXCHANGE_SECONDS)
        except BaseException:
            line.cut()
            raise
        await self._serve_sync(stream, task_status.started)

    async def _ask_admission(self, line: Connection) -> Verdict:
        machine = Admission(self.mesh.replica, line.key)
        stream = await self.host.open_stream(line, admission.PROTOCOL, deadline=EXCHANGE_SECONDS)
        frames = FrameStream(stream, admission.MAX_MESSAGE)
        try:
            await frames.send(machine.request(), deadline=EXCHANGE_SECONDS)
            answer = await frames.receive(deadline=EXCHANGE_SECONDS)
            if answer is None:
                raise PeerMisbehaved("the other device left without an answer")
            verdict = machine.conclude(answer)
            await self._learn(verdict)
            return verdict
        finally:
            with trio.CancelScope(shield=True):
                await frames.aclose()

    async def _serve_admission(self, stream: Stream) -> None:
        frames = FrameStream(stream, admission.MAX_MESSAGE)
        try:
            request = await frames.receive(deadline=EXCHANGE_SECONDS)
            if request is not None:
                answer, verdict = Admission(self.mesh.replica, stream.key).respond(request)
                await self._learn(verdict)
                if verdict.admitted:
                    self.host.promote(stream.peer)
                await frames.send(answer, deadline=EXCHANGE_SECONDS)
        finally:
            with trio.CancelScope(shield=True):
                await frames.aclose()

    async def _learn(self, verdict: Verdict) -> None:
        if verdict.learn:
            await self.mesh.commit(lambda replica: replica.learn(verdict.learn))

    # --- one session -----------------------------------------------------------------------------------------------------

    async def _serve_sync(self, stream: Stream, began: Callable[[], None] = lambda: None) -> None:
        peer = stream.peer
        old = self.links.get(peer)
        if old is not None:
            old.scope.cancel()  # a newer connection's stream replaces it
        with trio.CancelScope() as scope:
            link = Link(self._session(stream.key), scope)
            self.links[peer] = link
            self._changed(peer, True)
            self._stir()
            began()
            try:
                await self._run(link, FrameStream(stream))
            finally:
                link.session.over()
                with suppress(MycelError):  # the disk may have failed; `status` can do without
                    self.lags[peer] = link.session.lacking()
                if self.links.get(peer) is link:
                    del self.links[peer]
                    stream.cut()  # without a session a connection is of no use, and it may be dead
                    self._changed(peer, False)
                self._stir()

    def _session(self, peer: DeviceId) -> SyncSession:
        clock = self.mesh.clock
        return SyncSession(
            self.mesh.replica, peer, self._source, self._partial, wall=clock.wall(), now=clock.monotonic()
        )

    async def _run(self, link: Link, frames: FrameStream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send, link, frames, nursery.cancel_scope)
                await self._receive(link, frames)
                nursery.cancel_scope.cancel()
        except* MycelError as group:
            for error in group.exceptions:
                _log.info("session with %s ended: %s", peer_id(link.session.peer), error)
        except* Exception:  # a fault of ours, or one that a peer found: it costs this session and no other
            _log.exception("a session with %s failed", peer_id(link.session.peer))
        finally:
            with trio.CancelScope(shield=True):
                await frames.aclose()

    async def _send(self, link: Link, frames: FrameStream, scope: trio.CancelScope) -> None:
        session, clock = link.session, self.mesh.clock
        while not session.finished:
            frame = session.next_frame(now=clock.monotonic())
            if frame is not None:
                await frames.send(frame)
                continue
            link.wake = trio.Event()
            with trio.move_on_after(max(0.0, session.next_due(now=clock.monotonic()) - clock.monotonic())):
                await link.wake.wait()
            session.tick(now=clock.monotonic())
            if link.short and self.mesh.has_room():
                session.reopen(room=True)
        scope.cancel()

    async def _receive(self, link: Link, frames: FrameStream) -> None:
        clock = self.mesh.clock
        while True:
            frame = await frames.receive(deadline=SILENT_AFTER + GOODBYE_SECONDS)  # also while a send is stuck
            if frame is None:
                return
            doubted = self.mesh.replica.clock_wrong(clock.wall())
            proposals = link.session.receive(frame, wall=clock.wall(), now=clock.monotonic())
            if self.mesh.replica.clock_wrong(clock.wall()) != doubted:
                await self.mesh.recheck()
            for proposal in proposals:
                if isinstance(proposal, Leave):
                    _log.info("%s said goodbye: %s", peer_id(link.session.peer), proposal.reason)
                    return
                await self._carry_out(link, proposal)
            link.nudge()
            self._stir()

    async def _carry_out(self, link: Link, proposal: Proposal) -> None:
        try:
            if isinstance(proposal, (Accept, StartFrom, LearnState)) and not self.mesh.has_room():
                link.short = True
                raise BusyError("the disk is nearly full: what is left is for what this device writes itself")
            match proposal:
                case Accept(device, start, entries, head):
                    size = sum(map(len, entries))
                    await self.mesh.commit(lambda replica: replica.accept(device, start, entries, head), size=size)
                case Learn(statements):
                    await self.mesh.commit(lambda replica: replica.learn(statements))
                case StartFrom(state, cut, giver):
                    await self.mesh.start_from(state, cut, giver)
                case Unproved(giver):
                    await self.mesh.commit(lambda replica: replica.give_up_base(giver))
                case LearnRecords(records):
                    await self.mesh.commit(lambda replica: replica.learn_records(records))
                case LearnState(snapshot, state):
                    await self.mesh.learn_state(snapshot, state)
        except (LogError, EncodingError) as error:
            raise PeerMisbehaved(f"what it sent does not verify: {error}") from error
        except BusyError as error:
            _log.info("not stored: %s", error)
            if isinstance(proposal, Accept):
                link.session.refuse(proposal.device)

    # --- together --------------------------------------------------------------------------------------------------------

    def _on_progress(self, progress: Progress) -> None:
        now = self.mesh.clock.monotonic()
        for link in self.links.values():
            link.session.progress(progress.logs, now=now)
            if progress.membership_changed:
                link.session.reopen()  # a fence may have chosen a version of a log that was refused
            link.nudge()
        self._stir()

    async def in_step(self, peers: Iterable[str], deadline: float) -> set[str]:
        """Those of ``peers`` with which we are in step: what either end had on disk when this was called is on disk at both.

        Returns when that holds for all that are connected and stay so, or after ``deadline`` seconds for those of which it holds by
        then.
        """
        asked = {peer: self.links[peer] for peer in peers if peer in self.links}
        marks = {peer: link.session.mark() for peer, link in asked.items()}
        done: set[str] = set()
        for link in asked.values():
            link.nudge()
        with trio.move_on_after(deadline):
            while True:
                for peer, link in list(asked.items()):
                    if self.links.get(peer) is not link:
                        del asked[peer]
                    elif peer not in done and link.session.reached(marks[peer]):
                        done.add(peer)
                if done >= asked.keys():
                    break
                await self._moved.wait()
        return done

    async def answering(self, deadline: float) -> set[str]:
        """The connected peers that answer within ``deadline`` seconds."""
        asked = {peer: (link, link.session.ping()) for peer, link in self.links.items()}
        for link, _ in asked.values():
            link.nudge()
        alive: set[str] = set()
        with trio.move_on_after(deadline):
            while len(alive) < len(asked):
                await self._moved.wait()
                alive |= {peer for peer, (link, nonce) in asked.items() if link.session.ponged(nonce)}
        return alive

    async def moved(self) -> None:
        """Wait until a session has made progress, begun or ended."""
        await self._moved.wait()

    def _stir(self) -> None:
        self._moved.set()
        self._moved = trio.Event()
