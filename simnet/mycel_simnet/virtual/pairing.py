"""Pairing on a virtual line: the product's machines for both ends, driven as `mycelnode.p2p.pairing_driver` and `joining` do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mycel_simnet.virtual.disk import FACTS, INVITES, STATEMENTS, Disk, Page
from mycel_simnet.virtual.keys import Key, verify
from mycel_simnet.virtual.network import Ear, Line
from mycel_simnet.virtual.node import Node
from mycelnode.crdt.membership import membership
from mycelnode.crdt.statements import ENROL
from mycelnode.encoding import blake2b
from mycelnode.errors import InviteError, MycelError, PairingRefused, PeerMisbehaved
from mycelnode.protocols.admission import enrolment_chain
from mycelnode.protocols.pairing import Enrol, Invite, InviteBook, Inviter, Joiner, OpenInvite, Welcome, parse_invite

PAIR = "pair"
TTL_SECONDS = 600


class Inviting:
    """The inviter's side of one device; its invites live on disk."""

    def __init__(self, node: Node) -> None:
        self.node, self.book = node, InviteBook()
        for text, used_by, name in node.device.disk.tables[INVITES].values():
            invite = parse_invite(text)
            self.book.invites[invite.id] = OpenInvite(invite, used_by, name)

    def invite(self, secret: bytes, opened: Callable[[Invite], None]) -> None:
        """A new invite, once it is on disk. Raises `MycelError`."""
        device = self.node.device
        device.replica.check_writable()
        invite = Invite(device.root, device.id, (), secret, device.now // 1000 + TTL_SECONDS)
        self.book.open(invite, device.now / 1000)
        device.commit(lambda replica: None, lambda: [_page(OpenInvite(invite))], done=lambda _: opened(invite))

    def accept(self, line: Line, joiner: Any) -> Ear | None:
        """A stranger connects: let in to pair, while an invite is kept."""
        return _Serving(self, line, joiner.key.public) if self.book.any_open(self.node.device.now / 1000) else None


class _Serving:
    """As `PairingDriver._serve`."""

    def __init__(self, inviting: Inviting, line: Line, joiner: bytes) -> None:
        device = inviting.node.device
        self.inviting, self.line, self.life, self.ended = inviting, line, device.lives, False
        self.machine = Inviter(inviting.book, device.id, joiner, blake2b(b"%d" % inviting.node.rng.getrandbits(64)))

    def heard(self, kind: str, payload: bytes) -> None:
        device = self.inviting.node.device
        if self.ended or not device.up or device.lives != self.life:
            return
        try:
            answer = self.machine.receive(payload, wall_seconds=device.now / 1000, now=device.clock.now)
        except PeerMisbehaved:
            self.line.left(1)
            return
        if isinstance(answer, Enrol):
            self._enrol(answer)
        elif answer is not None:
            self.line.send(1, PAIR, answer)

    def _enrol(self, enrol: Enrol) -> None:
        device, entry = self.inviting.node.device, self.inviting.book.claim(enrol)

        def enrolled(_: object = None) -> None:
            chain = enrolment_chain(device.replica, enrol.device)
            self.line.send(1, PAIR, self.machine.enrolled(chain, device.name))

        def failed(error: MycelError) -> None:
            assert entry is not None
            self.inviting.book.release(entry)
            self.line.left(1)

        if entry is None:
            enrolled()
            return
        info = {"name": enrol.name, "invite": enrol.invite.id}
        device.commit(
            lambda replica: replica.declare(ENROL, enrol.device, None, info, device.now),
            lambda: [_page(entry)],
            done=enrolled,
            failed=failed,
        )

    def over(self) -> None:
        self.ended = True


def _page(entry: OpenInvite) -> Page:
    return INVITES, entry.invite.id, (str(entry.invite), entry.used_by, entry.used_name)


class Joining:
    """A folder on its way into a mesh: its key and the invite are stored first, so trying again is safe."""

    def __init__(self, name: str, key: Key, disk: Disk) -> None:
        self.name, self.key, self.disk = name, key, disk
        self.invite: Invite | None = None
        self.joined = False
        self.refused = ""

    def ask(self, inviter: Node, invite: Invite, *, budget: int | None, dies: bool) -> None:
        """Dial, and ask to join. ``dies``: the process is killed before the welcome is stored."""
        self.invite = invite
        end = _Asking(self, inviter, invite, dies=dies)
        inviter.network.dial(self, inviter, end.connected, end.over, budget=budget)


class _Asking:
    """As `ask_to_join`, with `join_mesh` storing the welcome."""

    def __init__(self, joining: Joining, inviter: Node, invite: Invite, *, dies: bool) -> None:
        self.joining, self.inviter, self.dies, self.ended = joining, inviter, dies, False
        self.machine = Joiner(invite, joining.key.public, joining.name, blake2b(b"%d" % inviter.rng.getrandbits(64)))

    def connected(self, line: Line) -> Ear:
        self.line = line
        self.inviter.clock.at(0.0, lambda: line.send(0, PAIR, self.machine.start()))
        return self

    def heard(self, kind: str, payload: bytes) -> None:
        if self.ended:
            return
        try:
            answer = self.machine.receive(payload)
            if isinstance(answer, Welcome):
                self._store(answer)
                answer = self.machine.confirm()
            self.line.send(0, PAIR, answer)
        except (PairingRefused, InviteError) as error:
            self.joining.refused = str(error)
            self.line.left(0)

    def _store(self, welcome: Welcome) -> None:
        """As `joining._check_welcome` and `beginning.begin`."""
        root, key = self.inviter.device.root, self.joining.key.public
        for statement in welcome.statements:
            statement.verify(root, verify)
        if key not in membership(root, welcome.statements, lambda *_: None, lambda *_: None).members:
            raise PairingRefused("the inviter could not show that it may let us in")
        if self.dies:
            raise PairingRefused("killed before the welcome was stored")
        pages: list[Page] = [(FACTS, "root", root), *((STATEMENTS, s.id, s) for s in welcome.statements)]
        self.joining.disk.store(pages)
        self.joining.joined = True

    def over(self) -> None:
        self.ended = True
