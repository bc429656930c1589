"""`/mycel/sync/1`: keep two connected members in step. One `SyncSession` per connection; docs/protocols/sync.md has the states.

Both ends say what they *have* (device → tips of its log, ids of statements), send what the other lacks, and push as it happens.
What was received is announced (again a HAVE, of the logs concerned) only when it is on disk. Frames are made when the driver
asks for one (`next_frame`), and bytes sent but not yet on the peer's disk are bounded, so nothing queues up. What arrives
becomes a proposal that the driver carries out before it reads the next frame.

Frames are canonical CBOR lists ``[code, …]``; see `sync_frames`. ``wall`` is Unix ms, ``now`` monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mycelnode.crdt.changelog import MAX_SEQ, DeviceId, Head, SignedHead, genesis
from mycelnode.crdt.statements import decode_statement
from mycelnode.encoding import Digest, as_bytes, as_int, as_list, as_map, as_text, decode, encode
from mycelnode.errors import EncodingError, LogError, PeerMisbehaved
from mycelnode.protocols.admission import statements_about
from mycelnode.protocols.logset import MAX_CHOOSING, MAX_LOGS, Row
from mycelnode.protocols.peer_view import PROBE_FANOUT, PeerView
from mycelnode.protocols.replica import Replica
from mycelnode.protocols.shares import MAX_STATEMENTS
from mycelnode.protocols.state_exchange import StateExchange
from mycelnode.protocols.state_transfer import Partial, StateSource
from mycelnode.protocols.sync_frames import (
    BATCH_BYTES,
    BYE,
    ENTRIES,
    FORWARD_DELAY,
    HAVE,
    HELLO,
    IDS_PER_FRAME,
    LACKS,
    MAX_BATCH_BYTES,
    MAX_FRAME,
    MAX_ITEMS,
    MAX_QUEUED,
    PING,
    PING_AFTER,
    PONG,
    PROBE,
    PROBED,
    REFUSED,
    SILENT_AFTER,
    SNAPSHOT,
    STATE,
    STATEMENTS,
    STATEMENTS_PER_FRAME,
    VERSION,
    WANT,
    WINDOW_BYTES,
    Accept,
    Learn,
    Leave,
    Proposal,
)


@dataclass(frozen=True, slots=True)
class Holdings:
    """The tips of all logs, and the ids of statements."""

    tips: frozenset[tuple[DeviceId, Head]]
    statements: frozenset[bytes]


class _Sent(NamedTuple):
    """Entries sent that are not known to be on the peer's disk."""

    device: DeviceId
    branch: int
    seq: int  # of the last of them
    size: int  # bytes


@dataclass(slots=True)
class _Mark:
    """A moment to be in step with: what was on disk at our end then, and, once the peer has answered, at its end."""

    ours: Holdings
    theirs: Holdings | None = None


class SyncSession:
    """The machine of one connection with ``peer``. ``source`` and ``partial`` (None: takes no state) are the node's, shared by its
    sessions."""

    def __init__(
        self, replica: Replica, peer: DeviceId, source: StateSource, partial: Partial | None, *, wall: int, now: float
    ) -> None:
        self.replica, self.peer, self.view = replica, peer, PeerView(replica.logs)
        self.closing: str | None = None
        self._states = StateExchange(replica, peer, source, partial)
        self._queue: list[list[Any]] = [[HELLO, VERSION, wall, *self._states.greeting()]]
        self._greeted = self._heard = self._told = self._gone = False
        self._statements_said = 0  # of replica.order
        self._announce: set[DeviceId] = set()
        self._ids_said = 0
        self._due: dict[DeviceId, float] = {}  # logs the peer may lack something of, and from when to send it
        self._flight: list[_Sent] = []
        self._refused: set[DeviceId] = set()  # logs of which the peer takes no more
        self._full: set[DeviceId] = set()  # logs of which we take no more
        self._asked: dict[DeviceId, int] = {}  # logs that lack entries here, and after which seq we asked for them
        self._fills: dict[DeviceId, Head] = {}  # the same of the peer's
        self._sent_at = self._heard_at = now
        self._nonce, self._pongs = 0, set[int]()
        self._marks: dict[int, _Mark] = {}

    # --- what the driver tells -----------------------------------------------------------------------------------------

    def receive(self, frame: bytes, *, wall: int, now: float) -> list[Proposal]:
        """Handle one frame. Raises `PeerMisbehaved`: the driver cuts the connection."""
        self._heard_at = now
        try:
            message = as_list(decode(frame, max_bytes=MAX_FRAME, max_depth=6, max_items=MAX_ITEMS))
            code = as_int(message[0] if message else None, 0, 255)
            if (code == HELLO) == self._greeted:
                raise EncodingError("a greeting comes first, and once")
            handler = _HANDLERS.get(code)  # a code we do not know is a newer peer's
            proposals = [] if handler is None else handler(self, message, wall, now)
        except (EncodingError, LogError, ValueError) as error:
            raise PeerMisbehaved(f"the other device sent something malformed: {error}") from error
        if len(self._queue) > MAX_QUEUED:
            raise PeerMisbehaved("the other device asks faster than it reads the answers")
        self._look_at_our_log()
        return proposals

    def progress(self, logs: Iterable[DeviceId], *, now: float) -> None:
        """Entries of these logs are newly on disk here."""
        for device in logs:
            self._announce.add(device)
            self._due.setdefault(device, now if device == self.replica.device else now + FORWARD_DELAY)
        self._look_at_our_log()

    def _look_at_our_log(self) -> None:
        """Has the peer said how much it holds of our own log, and do we hold all of that?"""
        if self._heard and not self.replica.own_log_shown:
            self.replica.own_log_shown = not self.view.unknown_tips(self.replica.device)

    def tick(self, *, now: float) -> None:
        """Time passes: heartbeats, giving up on a silent peer, parting from one that is no member any more."""
        self._states.source.expire(now)
        if now - self._heard_at > SILENT_AFTER:
            self.close("nothing was heard for too long")
        elif now - self._sent_at > PING_AFTER:
            self.ping()
        if self._greeted and not self._member():
            if not self._clone():
                self.close("not a member")
            elif self.ready and (self.peer in self._refused or not self._lacking(self.peer)):
                self.close("this device's key was used on another copy too")

    def refuse(self, device: DeviceId) -> None:
        """Entries of this log could not be taken: a bound is reached. The peer is told to send no more of it."""
        if device not in self._full:
            self._full.add(device)
            self._due.setdefault(device, self._heard_at)  # where do our versions leave the peer's?
            self._queue.append([REFUSED, device])

    def reopen(self, *, room: bool = False) -> None:
        """Begin anew with what was refused, if there may be place for it now: for a version of a log, or ``room`` on the disk."""
        if room or any(map(self.replica.takes_versions, self._full)):
            self.close("there may be room again")

    def over(self) -> None:
        """The connection has ended, however it did."""
        self._states.over()

    def close(self, reason: str) -> None:
        """Part: statements still owed and a BYE go out, then `next_frame` has nothing more and `finished` is true."""
        self.closing = self.closing or reason

    def ping(self, *, flush: bool = False) -> int:
        """Ask for a sign of life; ``flush``: also for a full HAVE, and for what the peer was leaving to others to send."""
        self._nonce += 1
        self._queue.append([PING, self._nonce, flush])
        return self._nonce

    def mark(self) -> int:
        """Ask to be told when the peer holds what is on disk here now, and we what is on its disk when it reads this: `reached`."""
        durable = self.replica.logs.durable
        tips = frozenset((device, branch.head) for device, branches in durable.items() for branch in branches)
        number = self.ping(flush=True)
        self._marks[number] = _Mark(Holdings(tips, frozenset(self.replica.statements)))
        while len(self._marks) > MAX_QUEUED:  # nobody can be waiting for that many
            del self._marks[min(self._marks)]
        return number

    def reached(self, mark: int) -> bool:
        """Are we in step with the peer as of ``mark``? Whatever was written since does not matter."""
        found, logs = self._marks.get(mark), self.replica.logs
        if found is None or found.theirs is None:
            return False
        return (
            self.replica.knows_of(found.theirs.statements)
            and (found.ours.statements & self.replica.statements.keys()) <= self.view.statements
            and all(logs.on_disk(device, tip) for device, tip in found.theirs.tips if device not in self._full)
            and not self.replica.holes
            and all(
                self.view.holds(device, tip)
                for device, tip in found.ours.tips
                if self._may_have(device) and device not in self._refused
            )
        )

    # --- what the driver asks ------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Has our BYE been handed out?"""
        return self._gone

    def ponged(self, nonce: int) -> bool:
        """Has the peer handled everything sent before that ping?"""
        return nonce in self._pongs

    @property
    def ready(self) -> bool:
        """Have both ends said what they have?"""
        return self._heard and self._told

    def lacking(self) -> int:
        """How many entries and statements held here are not known to be on the peer's disk."""
        logs = self.replica.logs.durable.keys() - self._refused
        return sum(map(self._lacking, logs)) + len(self.replica.statements.keys() - self.view.statements)

    def awaiting(self) -> bool:
        """Does the peer have something on disk that is not held here?"""
        unknown = any(map(self.view.unknown_tips, self.view.tips.keys() - self._full))
        return unknown or not self.replica.knows_of(self.view.statements)

    def next_frame(self, *, now: float) -> bytes | None:
        """The next frame to send, or None: nothing to say, or too much is under way. Call again after `receive` or `next_due`."""
        message = self._next(now)
        if message is None:
            return None
        self._sent_at = now
        return encode(message)

    def next_due(self, *, now: float) -> float:
        """When `tick` and `next_frame` should be called again at the latest (monotonic seconds)."""
        if self._states.drafting and self._member():
            return now
        due = min(self._sent_at + PING_AFTER, self._heard_at + SILENT_AFTER)
        if self._due and self.ready and not self._window_full():
            due = min(due, *self._due.values())
        return max(now, due)

    # --- sending -------------------------------------------------------------------------------------------------------

    def _next(self, now: float) -> list[Any] | None:
        if self._gone:
            return None
        if self._queue:
            return self._queue.pop(0)
        if not self._greeted and self.closing is None:
            return None
        if self._greeted and (self._heard or not self._member()):
            message = self._next_statements()
            if message is not None:
                return message
        if self.closing is not None:
            self._gone = True
            return [BYE, self.closing]
        if not self._member() and not self._clone():
            return None
        return self._next_snapshot() or self._next_have() or self._next_state() or self._next_entries(now)

    def _next_statements(self) -> list[Any] | None:
        """Those that the peer may lack; also what had to make room after we had said that we have it."""
        while statements := self.replica.order[self._statements_said : self._statements_said + STATEMENTS_PER_FRAME]:
            promised = {s.id for s in statements[: max(0, self._ids_said - self._statements_said)]}
            self._statements_said += len(statements)
            about = None if self._member() else {s.id for s in statements_about(self.replica, self.peer)}
            may = self.replica.statements.keys() | promised if about is None else about
            new = [
                s for s in statements if s.id in may and not (s.id in self.view.statements or s.id in self.view.shown)
            ]
            self.view.shown.update(s.id for s in new)
            if new:
                return [STATEMENTS, [s.encoded for s in new]]
        return None

    def _next_have(self) -> list[Any] | None:
        said = self.replica.order[self._ids_said : self._ids_said + IDS_PER_FRAME]
        ids = [statement.id for statement in said if statement.id in self.replica.statements]
        devices = self._announce if self._told else self.replica.logs.durable.keys()
        if self._told and not devices and not said:
            return None
        message = [HAVE, self._tips(devices), ids]
        self._told, self._announce, self._ids_said = True, set(), self._ids_said + len(said)
        return message

    def _next_snapshot(self) -> list[Any] | None:
        return self._states.next_snapshot() if self._heard and self._member() else None

    def _tips(self, devices: Iterable[DeviceId]) -> dict[DeviceId, list[list[Any]]]:
        durable = self.replica.logs.durable
        shown = filter(self._may_have, devices)
        return {
            d: [list(branch.head) for branch in durable[d] if branch.tip is not None] for d in shown if d in durable
        }

    def _next_state(self) -> list[Any] | None:
        informed = self._heard and self.replica.knows_of(self.view.statements)
        return (
            self._states.next_want(lambda: self.ready and not self.awaiting())
            or self._next_fill()
            or self._states.next_state(informed=informed, now=self._heard_at)
        )

    def _next_fill(self) -> list[Any] | None:
        """Where entries were replaced here, and no state is to be had for them: ask for them. And answer who asks so."""
        for device in self.replica.holes:
            if device not in self.replica.unfilled and (not self._heard or self._states.stands_for(device)):
                continue
            seq = self.replica.document.applied.get(device, 0)
            if self._asked.get(device) != seq:
                self._asked[device] = seq
                digest = self.replica.document.applied_hash(device) or genesis(self.replica.root, device).hash
                return [LACKS, device, seq, digest]
        while self._fills:
            device, head = self._fills.popitem()
            number = self.replica.logs.find(device, head)
            rows = [] if number is None else self._run(device, number, head.seq)
            if rows and not isinstance(rows[0].entry, Digest):
                return self._entries(device, head, rows)
        return None

    def _next_entries(self, now: float) -> list[Any] | None:
        if not self._heard or self._window_full() or self._states.drafting:  # the state comes before the logs
            return None
        ready = [device for device, due in self._due.items() if due <= now]
        for device in sorted(ready, key=self.replica.device.__ne__):  # our own first: a flood must not hold it up
            search = self.view.next_search(device, full=device in self._full)
            if search is not None:
                return [PROBE, device, *search.tip, search.positions()]
            if self.view.settled(device) and self._may_have(device) and device not in self._refused:
                for number in range(len(self.replica.logs.durable.get(device, ()))):
                    message = self._batch(device, number)
                    if message is not None:
                        self._due[device] = self._due.pop(device)  # in turn
                        return message
            del self._due[device]
        return None

    def _batch(self, device: DeviceId, number: int) -> list[Any] | None:
        """The next signed run of entries on our branch ``number`` that the peer lacks."""
        logs = self.replica.logs
        sent = max((s.seq for s in self._flight if (s.device, s.branch) == (device, number)), default=0)
        start = max(self.view.known_seq(device, number), sent)
        rows = self._run(device, number, start)
        if not rows:
            return None
        self._flight.append(_Sent(device, number, rows[-1].seq, sum(len(row.entry) for row in rows)))
        return self._entries(device, Head(start, logs.hash_at(device, number, start) or b""), rows)

    def _run(self, device: DeviceId, number: int, start: int) -> list[Row]:
        """The entries after ``start``, as many as fit in a frame, up to one whose head is signed."""
        logs, rows, size = self.replica.logs, list[Row](), 0
        while start + len(rows) < logs.durable[device][number].head.seq:
            more = logs.rows(device, number, start + len(rows), BATCH_BYTES)
            size += sum(len(row.entry) for row in more)
            if not more or size > MAX_BATCH_BYTES:
                break
            rows += more
            if any(row.signature for row in more):
                break
        while rows and rows[-1].signature is None:
            rows.pop()
        return rows

    @staticmethod
    def _entries(device: DeviceId, start: Head, rows: Sequence[Row]) -> list[Any]:
        last = rows[-1]
        items = [[bytes(row.entry)] if isinstance(row.entry, Digest) else row.entry for row in rows]
        return [ENTRIES, device, start.seq, start.hash, items, [last.seq, last.hash, last.signature]]

    def _window_full(self) -> bool:
        return sum(sent.size for sent in self._flight) >= WINDOW_BYTES

    def _lacking(self, device: DeviceId) -> int:
        branches = self.replica.logs.durable.get(device, ())
        return sum(branch.head.seq - self.view.known_seq(device, number) for number, branch in enumerate(branches))

    # --- who the peer is -----------------------------------------------------------------------------------------------

    def _member(self) -> bool:
        return self.peer in self.replica.membership.members

    def _clone(self) -> bool:
        """Enrolled, not revoked, but its key has signed two histories: it is shown its own log, so that it can stop and say so."""
        held = self.replica.membership
        return self.peer in held.forked and self.peer not in held.revoked

    def _may_have(self, device: DeviceId) -> bool:
        return self._member() or (self._clone() and device in (self.peer, self.replica.device))

    # --- receiving -----------------------------------------------------------------------------------------------------

    def _on_hello(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        _, version, clock, want, snapshots = as_list(message, 5)
        as_int(version, 1)
        self._greeted = True
        self.replica.skews[self.peer] = as_int(clock) - wall
        self._states.greeted(want, snapshots)
        return []

    def _on_have(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        _, tips, ids = as_list(message, 3)
        if len(as_map(tips)) > MAX_LOGS or len(as_list(ids)) > IDS_PER_FRAME:
            raise EncodingError("more logs or statements than one mesh holds")
        for device, heads in as_map(tips).items():
            if len(as_list(heads)) > MAX_CHOOSING:
                raise EncodingError("more versions of one log than are kept")
            self.view.tips[as_bytes(device, 32)] = tuple(map(_head, heads))
            self._due.setdefault(device, now)
        found: list[Proposal] = []
        if not self._heard:
            found = self._states.shown(self.view.tips)
            for device in self.replica.logs.durable:
                self._due.setdefault(device, now)
        if len(self.view.tips) > MAX_LOGS or len(self.view.statements) > 2 * MAX_STATEMENTS:
            raise EncodingError("more logs or statements than one mesh holds")
        self.view.statements.update(as_bytes(item, 32) for item in ids)
        self._flight = [sent for sent in self._flight if self.view.known_seq(sent.device, sent.branch) < sent.seq]
        self._heard = True
        return found

    def _on_statements(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        items = as_list(as_list(message, 2)[1])
        if len(items) > STATEMENTS_PER_FRAME:
            raise EncodingError("too many statements in one frame")
        statements = [decode_statement(as_bytes(item)) for item in items]
        self.view.statements.update(statement.id for statement in statements)
        if len(self.view.statements) > 2 * MAX_STATEMENTS:
            raise EncodingError("more statements than one mesh holds")
        return [Learn(statements)] if statements else []

    def _on_entries(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        _, device, seq, digest, entries, head = as_list(message, 6)
        if not self._may_have(as_bytes(device, 32)) or device in self._full:
            return []
        start = Head(as_int(seq, 0, MAX_SEQ), as_bytes(digest, 32))
        items = [_entry(item) for item in as_list(entries)]
        return [Accept(device, start, items, SignedHead.from_wire(head))]

    def _on_ping(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        _, nonce, flush = as_list(message, 3)
        if flush is True and (self._member() or self._clone()):
            self._due = dict.fromkeys(self._due, now)
            self._announce = set(self.replica.logs.durable)
            while (have := self._next_have()) is not None:
                self._queue.append(have)
        self._queue.append([PONG, as_int(nonce)])
        return []

    def _on_pong(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        nonce = as_int(as_list(message, 2)[1])
        if nonce <= self._nonce:
            self._pongs = {n for n in self._pongs if n > nonce - MAX_QUEUED} | {nonce}
            if self._heard:
                tips = frozenset((device, tip) for device, tips in self.view.tips.items() for tip in tips)
                for mark in [mark for number, mark in self._marks.items() if number <= nonce and mark.theirs is None]:
                    mark.theirs = Holdings(tips, frozenset(self.view.statements))
        return []

    def _on_probe(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        _, device, seq, digest, positions = as_list(message, 5)
        if len(as_list(positions)) > PROBE_FANOUT:
            raise EncodingError("too many positions in one probe")
        logs, device = self.replica.logs, as_bytes(device, 32)
        number = logs.find(device, Head(as_int(seq), as_bytes(digest, 32)))
        answers = [[as_int(p), None if number is None else logs.hash_at(device, number, p)] for p in positions]
        self._queue.append([PROBED, device, answers])
        return []

    def _on_probed(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        _, device, answers = as_list(message, 3)
        search = self.view.searches.get(as_bytes(device, 32))
        if search is None or len(as_list(answers)) > PROBE_FANOUT:
            raise EncodingError("an answer to a probe that was not sent")
        pairs = [(as_int(p), None if h is None else as_bytes(h, 32)) for p, h in (as_list(a, 2) for a in answers)]
        before = (search.low, search.high)
        if self.view.narrow(device, pairs):
            self._due[device] = now
        elif (search.low, search.high) == before:
            raise EncodingError("an answer to a probe that says nothing")
        else:
            self._queue.append([PROBE, device, *search.tip, search.positions()])
        return []

    def _on_state(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        return self._states.on_state(message)

    def _on_snapshot(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        return self._states.on_snapshot(message)

    def _on_want(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        return self._states.on_want(message, now)

    def _on_refused(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        device = as_bytes(as_list(message, 2)[1], 32)
        if device in self.replica.logs.durable:
            self._refused.add(device)
        self._flight = [sent for sent in self._flight if sent.device != device]
        return []

    def _on_lacks(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        _, device, seq, digest = as_list(message, 4)
        if as_bytes(device, 32) in self.replica.logs.durable and self._may_have(device):
            self._fills[device] = Head(as_int(seq, 0, MAX_SEQ), as_bytes(digest, 32))
            self._states.say_again(device, self._fills[device])
        return []

    def _on_bye(self, message: Sequence[Any], wall: int, now: float) -> list[Proposal]:
        return [Leave(as_text(as_list(message, 2)[1], 200))]


def _entry(value: Any) -> bytes:
    """An entry, or the digest of one that was replaced by state."""
    return Digest(as_bytes(as_list(value, 1)[0], 32)) if isinstance(value, list) else as_bytes(value)


def _head(value: Any) -> Head:
    seq, digest = as_list(value, 2)
    return Head(as_int(seq, 0, MAX_SEQ), as_bytes(digest, 32))


_Handler = Callable[[SyncSession, Sequence[Any], int, float], list[Proposal]]
_HANDLERS: Final[dict[int, _Handler]] = {
    HELLO: SyncSession._on_hello,
    HAVE: SyncSession._on_have,
    STATEMENTS: SyncSession._on_statements,
    ENTRIES: SyncSession._on_entries,
    PING: SyncSession._on_ping,
    PONG: SyncSession._on_pong,
    PROBE: SyncSession._on_probe,
    PROBED: SyncSession._on_probed,
    STATE: SyncSession._on_state,
    BYE: SyncSession._on_bye,
    REFUSED: SyncSession._on_refused,
    SNAPSHOT: SyncSession._on_snapshot,
    WANT: SyncSession._on_want,
    LACKS: SyncSession._on_lacks,
}
