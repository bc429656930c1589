"""Every machine that bytes from outside drive, fed whole conversations: each may end only as it promises, hold no more than its
bounds, and leave a replica that says the same when it begins anew with what it has stored."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio
from libp2p.peer.id import ID

from mycelnode.crdt.changelog import chain, chain_digests, digest, sign_head
from mycelnode.crdt.document import Document
from mycelnode.crdt.snapshots import decode_record
from mycelnode.crdt.statements import ENROL, decode_statement
from mycelnode.encoding import Digest, as_list, blake2b, decode, encode
from mycelnode.errors import BusyError, EncodingError, LogError, PairingRefused, PeerMisbehaved
from mycelnode.p2p._yamux import Yamux
from mycelnode.protocols.admission import Admission
from mycelnode.protocols.logset import MAX_CHOOSING, MAX_LOGS
from mycelnode.protocols.pairing import Enrol, InviteBook, Inviter, Joiner, Welcome
from mycelnode.protocols.reconnect import MAX_ADDRESSES, MAX_STRANGERS, Reconnect
from mycelnode.protocols.shares import MAX_ENROLMENTS, MAX_OTHERS, MAX_STATEMENTS
from mycelnode.protocols.state_transfer import Partial, StateSource
from mycelnode.protocols.sync import SyncSession
from mycelnode.protocols.sync_frames import (
    ENTRIES,
    HELLO,
    MAX_FRAME,
    MAX_QUEUED,
    SNAPSHOT,
    STATE,
    STATEMENTS,
    Accept,
    Leave,
    Proposal,
    StartFrom,
)
from tests.fuzz import samples
from tests.fuzz.guard import Broken, Target, one_by_one
from tests.protocols.world import START_MS, CheapKey, Device

ANSWERS = 200  # frames said in answer to one; more is an endless loop
PHONE = CheapKey("phone")


# --- devices that are attacked -------------------------------------------------------------------------------------------------


@dataclass
class Victim:
    """A device that is as new for every input: made again only after an input has changed it."""

    make: Callable[[], Device]
    device: Device | None = None
    commits: int = field(default=0)

    def ready(self) -> Device:
        """The device as it is before an input."""
        if self.device is None or self.commits != len(self.device.progressed):
            self.device = self.make()
            self.commits = len(self.device.progressed)
        return self.device


def _member() -> Device:
    """The laptop of a mesh of three who have all written, each a member in good standing."""
    laptop, phone, tablet = (samples.device(name) for name in samples.NAMES[:3])
    laptop.learn(laptop.root_statement(ENROL, laptop.id, None))
    for other in (phone, tablet):
        laptop.enrol(other)
        other.learn(*laptop.replica.statements.values())
    for owner in (laptop, phone, tablet):
        for verb in samples.VERBS:
            samples.write(owner, verb)
    for other in (phone, tablet):
        samples.meet(laptop, other)
    return laptop


def _newcomer() -> Device:
    """A device that was enrolled just now, and holds nothing yet."""
    fresh = samples.device("fresh")
    laptop = _member()
    laptop.enrol(fresh)
    fresh.learn(*laptop.replica.statements.values())
    return fresh


MEMBER, NEWCOMER = Victim(_member), Victim(_newcomer)


# --- a conversation -----------------------------------------------------------------------------------------------------------


def converse(device: Device, peer: bytes, frames: Sequence[bytes], *, newcomer: bool = False) -> None:
    """One session of ``device``, which hears ``frames`` from ``peer``. Raises `PeerMisbehaved`."""
    replica = device.replica
    session = SyncSession(
        replica, peer, StateSource(device._offer, least=0), Partial() if newcomer else None, wall=device.now, now=0
    )
    begun = len(device.progressed)
    try:
        for now, frame in enumerate([encode([HELLO, 1, START_MS, [None, 0], []]), *frames]):
            for proposal in session.receive(frame, wall=device.now, now=now):
                if isinstance(proposal, Leave):
                    return
                _carry_out(device, session, proposal)
            _speak(session, now)
            session.tick(now=now)
            _bounded(session)
    finally:
        session.over()
        if len(device.progressed) > begun:
            healthy(device)


def _carry_out(device: Device, session: SyncSession, proposal: Proposal) -> None:
    """As the driver does."""
    try:
        if isinstance(proposal, StartFrom):
            document = Document.decode_state(proposal.state)
            if dict(document.applied) != {owner: head.seq for owner, head in proposal.cut.items() if head.seq}:
                raise EncodingError("a state does not belong to the cut sent with it")
        device.carry_out(proposal)
    except (LogError, EncodingError) as error:
        raise PeerMisbehaved(str(error)) from error
    except BusyError:
        if isinstance(proposal, Accept):
            session.refuse(proposal.device)
    if device.replica.batch:
        progress = device.commit()
        session.progress(progress.logs, now=session._heard_at)


def _speak(session: SyncSession, now: float) -> None:
    for _ in range(ANSWERS):
        frame = session.next_frame(now=now)
        if frame is None:
            return
        if len(frame) > MAX_FRAME:
            raise Broken(f"session: it says {len(frame)} bytes in one frame")
    raise Broken("session: it does not stop talking")


def _bounded(session: SyncSession) -> None:
    view = session.view
    held = (len(view.tips) <= MAX_LOGS, len(view.statements) <= 3 * MAX_STATEMENTS, len(view.searches) <= MAX_LOGS)
    if not all(held) or len(session._queue) > MAX_QUEUED + 2 or len(session._due) > 2 * MAX_LOGS:
        raise Broken("session: it remembers more than its bounds")


def healthy(device: Device) -> None:
    """What a replica holds, and what follows from it, is the same after a restart; and within its bounds."""
    replica, again = device.replica, device.clone().replica
    if replica.base is None and again.document.digest() != replica.document.digest():
        raise Broken("replica: folded anew, the document differs")
    if again.membership != replica.membership or (replica.base is None and again.held != replica.held):
        raise Broken("replica: begun anew, membership or what is held differs")
    if any(replica.shares.by(author) > MAX_ENROLMENTS + MAX_OTHERS for author in replica.membership.enrolled):
        raise Broken("replica: more statements of a device than its share")
    for owner, branches in replica.logs.durable.items():
        if len(branches) > MAX_CHOOSING:
            raise Broken("replica: more versions of a log than its bound")
        for number, branch in enumerate(branches):
            head = branch.base
            for row in device.store.read(owner, number, branch.base.seq, 1 << 30):
                following = chain_digests(head, [row.entry if isinstance(row.entry, Digest) else digest(row.entry)])
                if (row.seq, row.hash) != (head.seq + 1, *following):
                    raise Broken("replica: a chain is broken")
                head = type(head)(row.seq, row.hash)
            if head != branch.head:
                raise Broken("replica: a log does not end where it says")


# --- targets -----------------------------------------------------------------------------------------------------------------


def _session(data: bytes) -> None:
    converse(MEMBER.ready(), PHONE.verify_key, list(one_by_one(decode(data))))


def _frame(data: bytes) -> None:
    converse(MEMBER.ready(), PHONE.verify_key, [data])


def _stranger(data: bytes) -> None:
    """A session with a key that nobody enrolled."""
    converse(MEMBER.ready(), CheapKey("nobody").verify_key, list(one_by_one(decode(data))))


def _new_session(data: bytes) -> None:
    converse(NEWCOMER.ready(), samples.world().laptop.id, list(one_by_one(decode(data))), newcomer=True)


def _insider_log(data: bytes) -> None:
    """Entries of any content, rightly chained and signed by a member, from anywhere in its log."""
    device, owner = MEMBER.ready(), PHONE.verify_key
    items = list(one_by_one(decode(data)))
    tip = device.replica.logs.tip(owner)
    seq = tip.seq - len(items) % 3
    start = type(tip)(seq, device.replica.logs.hash_at(owner, 0, seq) or b"")
    head = start
    for item in items:
        head = type(head)(head.seq + 1, chain(head.hash, item))
    signed = sign_head(device.replica.root, owner, head, lambda message: PHONE.sign(message).signature)
    converse(device, owner, [encode([ENTRIES, owner, *start, items, signed.to_wire()])])


def _insider_statements(data: bytes) -> None:
    """Statements of any content, rightly signed by a member (or by the phrase, where they say so)."""
    found = []
    for item in one_by_one(decode(data)):
        statement = decode_statement(item)
        key = next(
            (key for key in (*map(CheapKey, samples.NAMES), samples.ROOT) if key.verify_key == statement.author), PHONE
        )
        found.append(statement.signed(samples.ROOT.verify_key, lambda m, key=key: key.sign(m).signature).encoded)
    converse(MEMBER.ready(), PHONE.verify_key, [encode([STATEMENTS, found])])


def _insider_records(data: bytes) -> None:
    """Proposals of snapshots and confirmations of any content, rightly signed by whom they name."""
    found = []
    for item in one_by_one(decode(data)):
        record = decode_record(item)
        key = next((key for key in map(CheapKey, samples.NAMES) if key.verify_key == record.author), None)
        if key is not None:
            record = record.signed(samples.ROOT.verify_key, lambda m, key=key: key.sign(m).signature)
        found.append(record.encoded)
    converse(MEMBER.ready(), PHONE.verify_key, [encode([SNAPSHOT, found[0] if found else b"", found[1:], True])])


def _lying_state(data: bytes) -> None:
    """A folded state of any content, with the digest that it has and a cut that other devices have signed."""
    giver = MEMBER.ready()
    offer = giver._offer()
    assert offer is not None
    applied = Document.decode_state(data).applied
    cut = {owner: head.to_wire() for owner, head in offer.cut.items() if owner in applied}
    frame = encode([STATE, blake2b(data), len(data), 0, data, cut])
    converse(NEWCOMER.ready(), giver.id, [frame], newcomer=True)


def _offered() -> list[bytes]:
    return [MEMBER.ready().replica.document.encode_state()]


def _admission(data: bytes) -> None:
    device = MEMBER.ready()
    _, verdict = Admission(device.replica, PHONE.verify_key).respond(data)
    device.replica.learn(verdict.learn)
    if device.replica.batch:
        device.commit()
        healthy(device)


def _admission_answer(data: bytes) -> None:
    device = MEMBER.ready()
    verdict = Admission(device.replica, PHONE.verify_key).conclude(data)
    device.replica.learn(verdict.learn)
    if device.replica.batch:
        device.commit()
        healthy(device)


def _inviter(data: bytes) -> None:
    laptop, joiner = samples.world().laptop, CheapKey("new").verify_key
    book = InviteBook()
    book.open(samples.invite(), START_MS / 1000)
    machine = Inviter(book, laptop.id, joiner, bytes(32))
    for frame in one_by_one(decode(data)):
        answer = machine.receive(frame, wall_seconds=START_MS / 1000, now=0)
        if isinstance(answer, Enrol):
            book.claim(answer)
            machine.enrolled(list(laptop.replica.statements.values())[:1], "laptop")
        if machine.done:
            return


def _joiner(data: bytes) -> None:
    machine = Joiner(samples.invite(), CheapKey("new").verify_key, "new", b"\x01" * 32)
    machine.start()
    for frame in one_by_one(decode(data)):
        if isinstance(machine.receive(frame), Welcome):
            machine.confirm()
            return


def _reconnect(data: bytes) -> None:
    """What is heard of members and strangers, in any order."""
    machine, now = Reconnect(random.Random(0).random), 0.0
    machine.members({"a": [], "b": ["/ip4/10.0.0.1/tcp/1"]}, {"b": "/ip4/10.0.0.1/tcp/1"}, now)
    for item in as_list(decode(data)):
        code, peer, addrs = as_list(item, 3)
        if type(code) is not int or type(peer) is not str or not isinstance(addrs, list):
            raise EncodingError("no event")
        texts = [addr for addr in addrs if type(addr) is str]
        now += abs(code) % 100
        match code % 7:
            case 0:
                machine.hint(peer, texts, now)
            case 1:
                machine.connected(peer, now, texts[0] if texts else None)
            case 2:
                machine.disconnected(peer, now)
            case 3:
                machine.failed(peer, dict.fromkeys(texts, "refused"), now)
            case 4:
                machine.network_changed(now)
            case 5:
                machine.members({peer: texts, "b": texts}, {}, now)
            case _:
                machine.attempt(peer, now)
        for attempt in machine.due(now):
            if attempt.peer not in machine._members or len(attempt.addrs) > MAX_ADDRESSES:
                raise Broken("reconnect: it dials who is no member, or too many addresses")
        if machine.next_due(now) < now or len(machine._strangers) > MAX_STRANGERS:
            raise Broken("reconnect: the past is due, or it remembers too many strangers")
        machine.report(peer, now)


class _Wire:
    """The encrypted line under a multiplexer: it says ``data`` and ends."""

    def __init__(self, data: bytes) -> None:
        self.data, self.written = data, 0
        self.mycel_raw = self
        self.closed = False

    async def read(self, size: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        taken, self.data = self.data[:size], self.data[size:] if size is not None else b""
        return taken

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written += len(data)

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


def _yamux(data: bytes) -> None:
    logging.disable(logging.CRITICAL)  # libp2p has a line for every frame that it refuses
    try:
        trio.run(_multiplexed, data)
    finally:
        logging.disable(logging.NOTSET)


async def _multiplexed(data: bytes) -> None:
    wire = _Wire(data)
    muxed = Yamux(wire, ID(b"\x00\x24\x08\x01\x12\x20" + bytes(32)), is_initiator=False)
    muxed.end = muxed._alive.cancel  # there is no socket to cut
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def accept() -> None:
                try:
                    while True:
                        await muxed.accept_stream()
                except Exception:  # as libp2p's SwarmConn takes it: the connection is over
                    nursery.cancel_scope.cancel()

            nursery.start_soon(accept)
            await muxed.start()
            nursery.cancel_scope.cancel()
    held = sum(map(len, muxed.stream_buffers.values()))
    if len(muxed.streams) > muxed._max_streams + 1 or held > muxed._max_unread or wire.written > 64 + 24 * len(data):
        raise Broken(f"yamux: {len(muxed.streams)} streams, {held} bytes unread, {wire.written} bytes said")


def _muxed_frames() -> list[bytes]:
    def frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
        return (
            bytes((0, kind)) + flags.to_bytes(2, "big") + stream.to_bytes(4, "big") + length.to_bytes(4, "big") + body
        )

    opened = frame(1, 1, 1, 0) + frame(0, 0, 1, 5, b"hello")
    return [
        opened + frame(0, 4, 1, 0) + frame(3, 0, 0, 0),
        opened + frame(1, 0, 1, 65536) + frame(2, 1, 0, 7) + frame(0, 8, 1, 0),
        b"".join(frame(1, 1, stream, 0) for stream in range(1, 60, 2)),
        frame(0, 1, 3, 1 << 19, bytes(2000)),
    ]


_MISBEHAVED = (PeerMisbehaved, EncodingError)
_EVENTS = [[0, "a", ["/ip4/10.0.0.2/tcp/4"]], [7, "c", ["x"]], [8, "b", []], [3, "a", ["y"]], [4, "", []], [9, "b", []]]

# of real sessions, what was said to a device that stood elsewhere, or that had asked for something else
_UNASKED, _UNSENT, _ELSEWHERE = "was not asked for", "was not sent", "does not connect"

MACHINES: Sequence[Target] = (
    Target(
        "sync-frame",
        _frame,
        _MISBEHAVED,
        samples.frames,
        refused=("a greeting comes first", _UNASKED, _UNSENT, _ELSEWHERE),
        slow=True,
    ),
    Target("sync-session", _session, _MISBEHAVED, samples.sessions, refused=(_UNASKED, _ELSEWHERE), slow=True),
    Target("sync-stranger", _stranger, _MISBEHAVED, samples.sessions, refused=(_UNASKED, _UNSENT), slow=True),
    Target(
        "sync-newcomer",
        _new_session,
        _MISBEHAVED,
        samples.sessions,
        refused=(_UNSENT, _ELSEWHERE),
        slow=True,
        per_byte=2048,
    ),
    Target("insider-log", _insider_log, _MISBEHAVED, samples.logs, slow=True),
    Target(
        "insider-statements",
        _insider_statements,
        _MISBEHAVED,
        lambda: [encode(samples.statements()), *(encode([item]) for item in samples.statements())],
        slow=True,
    ),
    Target("insider-records", _insider_records, _MISBEHAVED, lambda: [encode(samples.records())], slow=True),
    Target("lying-state", _lying_state, _MISBEHAVED, _offered, slow=True, per_byte=2048),
    Target("admission-request", _admission, (PeerMisbehaved,), lambda: samples.world().admissions),
    Target(
        "admission-answer",
        _admission_answer,
        (PeerMisbehaved,),
        lambda: samples.world().admissions,
        refused=("without a decision",),  # the requests
    ),
    Target("pairing-inviter", _inviter, _MISBEHAVED, lambda: [encode(samples.pairing()[0])]),
    Target("pairing-joiner", _joiner, (*_MISBEHAVED, PairingRefused), lambda: [encode(samples.pairing()[1])]),
    Target("reconnect", _reconnect, (EncodingError,), lambda: [encode(_EVENTS)]),
    Target("yamux", _yamux, (), _muxed_frames, slow=True),
)
