"""One end of a connection between two devices: admission, then a sync session, as `mycelnode.p2p.sync_driver` runs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.network import Line
from mycelnode.crdt.changelog import DeviceId
from mycelnode.errors import BusyError, EncodingError, LogError, MycelError, PeerMisbehaved
from mycelnode.protocols.admission import Admission, Verdict
from mycelnode.protocols.folding import Progress
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

if TYPE_CHECKING:
    from mycel_simnet.virtual.node import Node

ASK, ANSWER, OPEN, SYNC = "ask", "answer", "open", "sync"
EXCHANGE_SECONDS = 10.0  # as in `mycelnode.p2p.sync_driver`
SLOW = 0.25  # how often a frame takes a while to be written
SOON = 1.0  # seconds: what a session waits for no longer than this is work, the rest are heartbeats


class Talk:
    """The machines on one connection, at one end."""

    def __init__(
        self, node: Node, line: Line, end: int, peer: DeviceId, tried: Callable[[str | None], None] = lambda why: None
    ) -> None:
        self.node, self.line, self.end, self.peer = node, line, end, peer
        self.since = self.began = node.clock.now
        self.session: SyncSession | None = None
        self.ended = False
        self._tried = tried  # told once: None when a session begins, else why none did
        self._asks: Admission | None = None
        self._promoted = peer in node.device.replica.membership.members
        self._inbox: deque[tuple[str, bytes]] = deque()
        self._busy = self._sending = False
        self._timer = 0
        self.node.clock.at(EXCHANGE_SECONDS, self._late, work=False)

    def _late(self) -> None:
        if self.session is None:
            self.end_it("no session in time")

    @property
    def dialled_here(self) -> bool:
        """Was it us who connected?"""
        return self.end == 0

    @property
    def idle(self) -> bool:
        """Is nothing read or written here at the moment?"""
        return not (self._inbox or self._busy or self._sending)

    def greet(self) -> None:
        """As `SyncDriver.greet`: we dialled."""
        self._asks = Admission(self.node.device.replica, self.peer)
        self.line.send(self.end, ASK, self._asks.request())

    # --- what comes ----------------------------------------------------------------------------------------------------------

    def heard(self, kind: str, payload: bytes) -> None:
        """A message came."""
        if not self.ended:
            self._inbox.append((kind, payload))
            self._read()

    def _read(self) -> None:
        while self._inbox and not self._busy and not self.ended:
            kind, payload = self._inbox.popleft()
            try:
                self._take(kind, payload)
            except PeerMisbehaved as error:
                self._blame(error)
        if not self.ended:
            self.pump()
            self.node.shown()

    def _blame(self, error: MycelError) -> None:
        moment = "no snapshot stands for" in str(
            error
        )  # one of us has just heard that a snapshot is void: it ends by itself
        if not self.line.odd and not moment:
            raise Broken("refused", f"{self.node.name} on what {self.node.name_of(self.peer)} sent: {error}") from error
        self.end_it(str(error))

    def _take(self, kind: str, payload: bytes) -> None:
        if kind == SYNC and self.session is not None:
            self._take_frame(self.session, payload)
        elif kind == ASK:
            answer, verdict = Admission(self.node.device.replica, self.peer).respond(payload)
            self._learn(verdict, lambda: self._answer(answer, verdict))
        elif kind == ANSWER and self._asks is not None:
            verdict, self._asks = self._asks.conclude(payload), None
            self._learn(verdict, lambda: self._concluded(verdict))
        elif kind == OPEN:
            if self._promoted:  # strangers are not offered the protocol
                self._begin()
            else:
                self.end_it("not for strangers")

    def _learn(self, verdict: Verdict, then: Callable[[], None]) -> None:
        if not verdict.learn:
            then()
            return
        self._busy = True
        self.node.device.commit(
            lambda replica: replica.learn(verdict.learn),
            done=lambda _: self._go_on(then),
            failed=lambda error: self._go_on(lambda: self._blame(error)),
        )

    def _go_on(self, then: Callable[[], None]) -> None:
        self._busy = False
        if not self.ended:
            then()
            self._read()

    def _answer(self, answer: bytes, verdict: Verdict) -> None:
        self._promoted = self._promoted or verdict.admitted
        self.line.send(self.end, ANSWER, answer)

    def _concluded(self, verdict: Verdict) -> None:
        if not verdict.admitted:
            self.end_it("it is no member of this mesh")
        elif not verdict.admits_us:
            self.end_it("it does not take us for a member")
        else:
            self._promoted = True
            self.line.send(self.end, OPEN, b"")
            self._begin()

    def _begin(self) -> None:
        device = self.node.device
        if self.session is None and not self.ended:
            self.session = SyncSession(
                device.replica, self.peer, device.source, device.partial, wall=device.now, now=self.node.clock.now
            )
            self._conclude(None)
            self.node.session_began(self)
            self.pump()

    # --- a session -------------------------------------------------------------------------------------------------------------

    def _take_frame(self, session: SyncSession, frame: bytes) -> None:
        device = self.node.device
        doubted = device.replica.clock_wrong(device.now)
        proposals = session.receive(frame, wall=device.now, now=self.node.clock.now)
        if device.replica.clock_wrong(device.now) != doubted:
            device.commit(lambda replica: None)  # as `Mesh.recheck`: the committer looks at what is held
        self._carry_out(session, proposals)

    def _carry_out(self, session: SyncSession, proposals: list[Proposal]) -> None:
        if not proposals:
            return
        proposal, rest = proposals[0], proposals[1:]
        if isinstance(proposal, Leave):
            self.end_it(proposal.reason)
            return
        self._busy = True

        def done(_: object) -> None:
            self._go_on(lambda: self._carry_out(session, rest))

        def failed(error: MycelError) -> None:
            self._go_on(lambda: self._failed(session, proposal, error, rest))

        device = self.node.device
        match proposal:
            case Accept(author, start, entries, head):
                size = sum(map(len, entries))
                device.commit(lambda r: r.accept(author, start, entries, head), size=size, done=done, failed=failed)
            case Learn(statements):
                device.commit(lambda r: r.learn(statements), done=done, failed=failed)
            case Unproved(giver):
                device.commit(lambda r: r.give_up_base(giver), done=done, failed=failed)
            case LearnRecords(records):
                device.commit(lambda r: r.learn_records(records), done=done, failed=failed)
            case StartFrom(state, cut, giver):
                try:
                    device.start_from(state, cut, giver, done, failed)
                except EncodingError as error:
                    failed(error)
            case LearnState(snapshot, state):
                try:
                    device.learn_state(snapshot, state, done, failed)
                except EncodingError as error:
                    failed(error)

    def _failed(self, session: SyncSession, proposal: Proposal, error: MycelError, rest: list[Proposal]) -> None:
        if isinstance(error, LogError | EncodingError):
            self._blame(error)
            return
        if not isinstance(error, BusyError):
            raise Broken("crash", f"{self.node.name}: {type(error).__name__}: {error}") from error
        if isinstance(proposal, Accept):
            session.refuse(proposal.device)
        self._carry_out(session, rest)

    def moved(self, progress: Progress) -> None:
        """Something is newly on disk here."""
        if self.session is not None:
            self.session.progress(sorted(progress.logs), now=self.node.clock.now)
            if progress.membership_changed:
                self.session.reopen()  # a fence may have chosen a version of a log that was refused
            self.pump()

    def pump(self) -> None:
        """Woken: look at the time, and send what there is to say."""
        if self.session is not None and not self._sending and not self.ended:
            self.session.tick(now=self.node.clock.now)
            self._send(self.session)

    def _send(self, session: SyncSession) -> None:
        clock, rng = self.node.clock, self.node.rng
        while not session.finished:
            frame = session.next_frame(now=clock.now)
            if frame is None:
                self._wait(session)
                return
            self.line.send(self.end, SYNC, frame)
            if self.ended:
                return
            if rng.random() < SLOW:
                self._sending = True
                clock.at(rng.random() * 0.02, self._sent)
                return
        if self.line.lost:
            self.end_it("nobody hears us")
        else:
            self.line.hang_up(self.end)

    def _sent(self) -> None:
        self._sending = False
        if self.session is not None and not self.ended:
            self._send(self.session)

    def _wait(self, session: SyncSession) -> None:
        self._timer += 1
        timer, clock = self._timer, self.node.clock
        delay = session.next_due(now=clock.now) - clock.now + 0.001

        def due() -> None:
            if timer == self._timer:
                self.pump()

        clock.at(delay, due, work=delay < SOON)

    def in_step(self) -> bool:
        """Does each end hold what the other has, as far as this one knows?"""
        session = self.session
        return session is not None and session.ready and not session.lacking() and not session.awaiting()

    # --- the end -----------------------------------------------------------------------------------------------------------------

    def end_it(self, why: str) -> None:
        """We hang up, for this reason."""
        if not self.ended:
            self._close(why)
            self.line.left(self.end)

    def over(self) -> None:
        """The connection is over, whoever ended it."""
        self._close("the connection broke")

    def _close(self, why: str) -> None:
        if self.ended:
            return
        self.ended = True
        if self.session is not None:
            self.session.over()
        self.node.talk_over(self)
        self._conclude(why)

    def _conclude(self, why: str | None) -> None:
        tried, self._tried = self._tried, lambda why: None
        tried(why)

    def __repr__(self) -> str:
        says: Any = self.session and (
            self.session.ready,
            self.session.lacking(),
            self.session.awaiting(),
            self.session.closing,
        )
        return f"<{self.node.name} to {self.node.name_of(self.peer)} {says}>"
