"""Real inputs for every decoder: a small mesh in memory writes, forks, revokes, rescues and syncs, and what crosses its wires is
taken down. Always the same, so that a failing input can be found again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mycelnode.crdt.changelog import DeviceId, Head, SignedHead
from mycelnode.crdt.document import from_verb
from mycelnode.crdt.operations import RESCUE
from mycelnode.crdt.snapshots import Confirmation
from mycelnode.crdt.statements import AWAY, ENROL, FENCE
from mycelnode.encoding import encode
from mycelnode.protocols.admission import Admission, enrolment_chain
from mycelnode.protocols.pairing import Enrol, Invite, InviteBook, Inviter, Joiner, Welcome
from mycelnode.protocols.sync_frames import BYE, LACKS, PING, PONG, REFUSED, WANT
from tests.protocols.world import START_MS, CheapKey, Device, Link, cheap_verify

ROOT = CheapKey("root")
NAMES = ("laptop", "phone", "tablet", "clone")
VERBS: tuple[list[Any], ...] = (
    ["set", "title", "Travel plans"],
    ["put", "notes", "shopping", {"milk": 2, "list": [1, None, True, 2.5, b"x"], 7: "seven"}],
    ["put", "notes", "gone", 1],
    ["delete", "notes", "gone"],
    ["append", "log", ["seen", 1]],
    ["add", "tags", "home"],
    ["add", "tags", b"\x00\x01"],
    ["remove", "tags", "home"],
    ["count", "cups", 3],
    ["count", "cups", -1],
    ["assign", "draft", "one"],
    ["assign", "draft", "two"],
    ["put", "mycel.names", "12D3KooW", "phone"],
)


class _Device(Device):
    """With keys that cost nothing: an input may be signed anew after it was changed, as an insider would."""

    def _replica(self) -> Any:
        from mycelnode.protocols.replica import Replica

        return Replica(
            ROOT.verify_key,
            self.key.verify_key,
            lambda message: self.key.sign(message).signature,
            cheap_verify,
            self.store,
        )


def device(name: str) -> _Device:
    """One device of the mesh, with nothing in it."""
    return _Device(ROOT, CheapKey(name))  # type: ignore[arg-type]


@dataclass
class World:
    """What the samples are taken from."""

    laptop: _Device
    phone: _Device
    tablet: _Device
    frames: list[list[bytes]]  # of each end of each session
    admissions: list[bytes]


@cache
def world() -> World:
    """Three devices that have met; the tablet's key was used on two of them, and the phone was revoked."""
    laptop, phone, tablet = (device(name) for name in NAMES[:3])
    laptop.learn(laptop.root_statement(ENROL, laptop.id, None))
    for other in (phone, tablet):
        laptop.enrol(other)
        other.learn(*laptop.replica.statements.values())
    for verb in VERBS:
        write(laptop, verb)
    frames: list[list[bytes]] = []
    admissions = _exchange(laptop, phone)
    for one, other, fresh in ((laptop, phone, True), (laptop, tablet, False)):
        frames += meet(one, other, fresh=fresh)
    write(phone, ["put", "notes", "from", "phone"])
    write(phone, ["remove", "tags", b"\x00\x01"])
    write(phone, ["assign", "draft", "three"])
    clone = tablet.clone()
    write(tablet, ["count", "cups", 5])
    write(clone, ["count", "cups", 6])
    tip = tablet.replica.logs.tip(tablet.id)
    frames += meet(laptop, phone)
    for owner in (laptop, phone, tablet, laptop, phone, tablet):
        owner.tend()
        frames += meet(laptop, phone)
        frames += meet(laptop, tablet)
    assert laptop.replica.snapshots.complete
    frames += meet(laptop, clone, parting=True)
    operations = [["put", "x", "y", 1], ["count", "cups", 2]]
    rescue = [
        RESCUE,
        tablet.id,
        tip.seq,
        tip.hash,
        START_MS << 16,
        [from_verb(_document(laptop), o) for o in operations],
    ]
    laptop.write(rescue)
    laptop.revoke(phone)
    laptop.learn(laptop.root_statement(AWAY, tablet.id, None), laptop.root_statement(FENCE, tablet.id, tip))
    frames += meet(laptop, phone, parting=True)
    admissions += _exchange(phone, laptop)
    return World(laptop, phone, tablet, frames, admissions)


def _document(owner: Device) -> Any:
    return owner.replica.document


def write(owner: Device, verb: list[Any]) -> None:
    """One transaction, in people's words."""
    owner.write(from_verb(owner.replica.document, verb))


def meet(one: Device, other: Device, *, fresh: bool = False, parting: bool = False) -> list[list[bytes]]:
    """Two devices meet; the frames that each of them received."""
    link = _Recorded(one, other, fresh=fresh)
    link.run(parting=parting)
    return link.heard


class _Recorded(Link):
    def __init__(self, left: Device, right: Device, *, fresh: bool = False) -> None:
        super().__init__(left, right, fresh=fresh)
        self.heard: list[list[bytes]] = [[], []]

    def _deliver(self, end: int, frame: bytes) -> None:
        self.heard[end].append(frame)
        super()._deliver(end, frame)


def _exchange(one: Device, other: Device) -> list[bytes]:
    asking, answering = Admission(one.replica, other.id), Admission(other.replica, one.id)
    request = asking.request()
    return [request, answering.respond(request)[0]]


# --- inputs ------------------------------------------------------------------------------------------------------------------


def entries() -> list[bytes]:
    """Entries of logs."""
    found = world()
    return [row.entry for rows in found.laptop.store.rows.values() for row in rows.values()]


def statements() -> list[bytes]:
    """Statements on who belongs to the mesh."""
    return [statement.encoded for statement in world().laptop.replica.statements.values()]


def records() -> list[bytes]:
    """A snapshot that was proposed, and its confirmations."""
    found = sorted(world().laptop.store.records.values(), key=lambda record: isinstance(record, Confirmation))
    return [record.encoded for record in found]


def states() -> list[bytes]:
    """Folded documents."""
    found = world()
    return [owner.replica.document.encode_state() for owner in (found.laptop, found.phone, found.tablet)]


def blocks() -> list[bytes]:
    """The blocks of states, without their lengths."""
    return [block for state in states() for block in blocks_of(state)]


def blocks_of(state: bytes) -> list[bytes]:
    """The blocks of a state."""
    found, place = [], 1
    while place < len(state):
        size = int.from_bytes(state[place : place + 4], "big")
        found.append(state[place + 4 : place + 4 + size])
        place += 4 + size
    return found


def heads() -> list[bytes]:
    """Signed heads."""
    branches = [branch for held in world().laptop.replica.logs.durable.values() for branch in held]
    return [encode(branch.tip.to_wire()) for branch in branches if branch.tip is not None]


def sessions() -> list[bytes]:
    """What one end of a session hears, as lists of frames, without the greeting."""
    return [encode(heard[1:]) for heard in world().frames]


def frames() -> list[bytes]:
    """Single frames of sessions."""
    more = [[PING, 1, True], [PING, 2, False], [PONG, 1], [REFUSED, world().phone.id], [BYE, "so long"]]
    laptop = world().laptop
    more += [[LACKS, laptop.id, 0, laptop.replica.logs.hash_at(laptop.id, 0, 0)], [WANT, bytes(32), 0]]
    return [*dict.fromkeys(frame for heard in world().frames for frame in heard), *map(encode, more)]


def logs() -> list[bytes]:
    """Lists of entries that one device may sign."""
    items = entries()
    return [encode(items[start : start + 4]) for start in range(0, len(items), 3)]


def invite() -> Invite:
    """An invite of the laptop."""
    addresses = ("/ip4/192.168.1.5/tcp/4101", "/ip6/fe80::1/tcp/4101")
    return Invite(ROOT.verify_key, world().laptop.id, addresses, b"0123456789abcdef", START_MS // 1000 + 600)


def pairing() -> tuple[list[bytes], list[bytes]]:
    """What an inviter and what a joiner hears."""
    laptop, joiner = world().laptop, CheapKey("new").verify_key
    book = InviteBook()
    book.open(invite(), START_MS / 1000)
    asked, answered = Inviter(book, laptop.id, joiner, bytes(32)), Joiner(invite(), joiner, "new", b"\x01" * 32)
    to_inviter, to_joiner = [answered.start()], list[bytes]()
    while True:
        answer = asked.receive(to_inviter[-1], wall_seconds=START_MS / 1000, now=0)
        if isinstance(answer, Enrol):
            book.claim(answer)
            answer = asked.enrolled(enrolment_chain(laptop.replica, laptop.id), "laptop")
        assert answer is not None
        to_joiner.append(answer)
        reply = answered.receive(answer)
        if isinstance(reply, Welcome):
            to_inviter.append(answered.confirm())
            return to_inviter, to_joiner
        to_inviter.append(reply)


def signed(key: CheapKey, owner: DeviceId, start: Head, items: list[bytes]) -> tuple[list[bytes], SignedHead]:
    """``items`` as the continuation of a log, signed by its device."""
    from mycelnode.crdt.changelog import chain, sign_head

    head = start
    for item in items:
        head = Head(head.seq + 1, chain(head.hash, item))
    return items, sign_head(ROOT.verify_key, owner, head, lambda message: key.sign(message).signature)
