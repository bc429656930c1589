"""Runs the pairing machines over libp2p streams: `serve_invites` on the inviter, `ask_to_join` on the new device."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio

from mycelnode import audit, logstore
from mycelnode.commands import device_name
from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.statements import ENROL, Statement
from mycelnode.encoding import peer_id
from mycelnode.errors import InviteError, MycelError, NetworkError, PeerMisbehaved, PeerUnreachable
from mycelnode.mesh import Mesh
from mycelnode.p2p.framing import FrameStream
from mycelnode.p2p.host import Host, Stream
from mycelnode.protocols import pairing
from mycelnode.protocols.admission import enrolment_chain
from mycelnode.protocols.pairing import (
    Enrol,
    Invite,
    InviteBook,
    Inviter,
    Joined,
    Joiner,
    OpenInvite,
    Welcome,
    parse_invite,
)
from mycelnode.protocols.replica import Replica

EXCHANGE_SECONDS = 10.0  # for the whole exchange, at both ends
CONFIRM_SECONDS = 2.0  # for the last word, also when we are cancelled


class PairingDriver:
    """The inviter's side: open invites live in the database, so that a restart forgets none."""

    def __init__(self, mesh: Mesh, host: Host) -> None:
        self.mesh, self.host = mesh, host
        self.book = InviteBook()
        self._changed = trio.Event()
        for text, used_by, name in mesh.stored.invites():
            invite = parse_invite(text)
            self.book.invites[invite.id] = OpenInvite(invite, used_by, name)
        mesh.closing.append(self._changed_hands)
        self._update()

    async def invite(self, ttl: float, addresses: Sequence[str]) -> Invite:
        """A new invite, valid for ``ttl`` seconds, naming ``addresses``. Cancelled, or not stored, there is none."""
        self.mesh.replica.check_writable()
        await self.mesh.forget_invites()
        expires = int(self._now() + ttl)
        secret = secrets.token_bytes(pairing.SECRET_BYTES)
        invite = Invite(self.mesh.root, self.mesh.identity.device, tuple(addresses), secret, expires)
        self.book.open(invite, self._now())
        try:
            await self._save(OpenInvite(invite))
        except BaseException:
            with trio.CancelScope(shield=True), suppress(MycelError):
                await self.withdraw(invite.id)
            raise
        self._update()
        return invite

    async def withdraw(self, key: bytes) -> None:
        """Forget an invite that nobody used yet. Raises as `Mesh.commit`: then it is still open."""
        entry = self.book.invites.get(key)
        if entry is None or entry.used_by is None:
            await self.mesh.commit(lambda replica: None, lambda connection: logstore.drop_invites(connection, [key]))
            self.book.invites.pop(key, None)
            self._changed_hands()
        self._update()

    async def joined(self, invite: Invite) -> Joined:
        """Wait for the device that uses ``invite``. Raises `InviteError` once it has expired unused or was withdrawn."""
        while True:
            self.mesh.check_open()
            entry = self.book.invites.get(invite.id)
            if entry is not None and entry.used_by is not None:
                return Joined(invite, entry.used_by, entry.used_name)
            left = invite.expires - self._now()
            if entry is None or left <= 0:
                raise InviteError("the invite has expired, or was withdrawn, and nobody used it")
            with trio.move_on_after(left):
                await self._changed.wait()

    def _changed_hands(self) -> None:
        """Whoever waits in `joined` looks again."""
        self._changed.set()
        self._changed = trio.Event()

    def _now(self) -> float:
        return self.mesh.now() / 1000

    def _update(self) -> None:
        """Strangers reach the pairing protocol only while an invite is kept."""
        if self.book.any_open(self._now()):
            self.host.set_handler(pairing.PROTOCOL, self._serve, strangers=True)
        else:
            self.host.remove_handler(pairing.PROTOCOL)

    async def _save(self, entry: OpenInvite) -> None:
        await self.mesh.commit(lambda replica: None, _storing(entry))

    async def _serve(self, stream: Stream) -> None:
        frames = FrameStream(stream, pairing.MAX_MESSAGE)
        clock = self.mesh.clock
        machine = Inviter(self.book, self.mesh.identity.device, stream.key, secrets.token_bytes(pairing.NONCE_BYTES))
        try:
            with trio.move_on_after(EXCHANGE_SECONDS):
                while not machine.done:
                    frame = await frames.receive()
                    if frame is None:
                        return
                    answer = machine.receive(frame, wall_seconds=clock.wall() / 1000, now=clock.monotonic())
                    if isinstance(answer, Enrol):
                        answer = await self._enrol(machine, answer)
                    if answer is not None:
                        await frames.send(answer)
        finally:
            with trio.CancelScope(shield=True):
                await frames.aclose()
            self._update()

    async def _enrol(self, machine: Inviter, enrol: Enrol) -> bytes:
        entry = self.book.claim(enrol)
        if entry is not None:
            try:
                await self.mesh.commit(
                    lambda replica: _declare(replica, enrol, self.mesh.now()), self._enrolled(entry, enrol)
                )
            except MycelError:
                self.book.release(entry)
                raise
            self._changed_hands()
        self.host.promote(peer_id(enrol.device))
        shown = device_name(self.mesh, self.mesh.identity.device)
        return machine.enrolled(enrolment_chain(self.mesh.replica, enrol.device), shown)

    def _enrolled(self, entry: OpenInvite, enrol: Enrol) -> Callable[[sqlite3.Connection], None]:
        """What goes into the same transaction as an enrolment: the used invite, and the note that somebody was let in."""
        keep, now = _storing(entry), self.mesh.clock.wall()

        def store(connection: sqlite3.Connection) -> None:
            keep(connection)
            audit.record(connection, "device.enrol", {"device": peer_id(enrol.device), "name": enrol.name}, now)

        return store


def _declare(replica: Replica, enrol: Enrol, now: int) -> Statement:
    return replica.declare(ENROL, enrol.device, None, {"name": enrol.name, "invite": enrol.invite.id}, now)


def _storing(entry: OpenInvite) -> Callable[[sqlite3.Connection], None]:
    invite = entry.invite
    used_by, name = entry.used_by, entry.used_name
    return lambda connection: logstore.save_invite(connection, invite.id, str(invite), used_by, name)


async def ask_to_join(
    host: Host, invite: Invite, device: DeviceId, name: str, store: Callable[[Welcome], Awaitable[None]]
) -> Welcome:
    """The new device's side, on a connection to the inviter: returns the welcome after ``store`` kept it.

    Raises `PairingRefused`, `PeerUnreachable`, `PeerMisbehaved`, `NetworkError`. Cancelled once ``store`` has returned,
    we are a member.
    """
    machine = Joiner(invite, device, name, secrets.token_bytes(pairing.NONCE_BYTES))
    line = host.line(peer_id(invite.inviter))
    stream = await host.open_stream(line, pairing.PROTOCOL, deadline=EXCHANGE_SECONDS)
    frames = FrameStream(stream, pairing.MAX_MESSAGE)
    try:
        with trio.move_on_after(EXCHANGE_SECONDS):
            answer: bytes | Welcome = machine.start()
            while not isinstance(answer, Welcome):
                await frames.send(answer)
                frame = await frames.receive()
                if frame is None:
                    raise PeerMisbehaved("the inviter left in the middle of pairing; try again")
                answer = machine.receive(frame)
        if not isinstance(answer, Welcome):
            raise PeerUnreachable("the inviter stopped answering; try again")
        await store(answer)
        with (
            suppress(NetworkError),
            trio.move_on_after(CONFIRM_SECONDS, shield=True),
        ):  # for its screen: we are a member
            await frames.send(machine.confirm())
        return answer
    finally:
        with trio.CancelScope(shield=True):
            await frames.aclose()
