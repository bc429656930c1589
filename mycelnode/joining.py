"""How a data folder comes to belong to a mesh: it begins one, or joins one with an invite."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from mycelnode.beginning import (
    begin,
    check_clock,
    chosen,
    database_files,
    first_name,
    refuse_if_begun,
    refuse_if_member,
    refuse_leftovers,
    restored_here,
    root_statement,
)
from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.membership import membership
from mycelnode.crdt.statements import ENROL
from mycelnode.database import open_database
from mycelnode.encoding import as_list, decode, peer_id
from mycelnode.errors import (
    AlreadyInitialised,
    InviteError,
    LogError,
    PairingRefused,
    PeerUnreachable,
    Unsupported,
)
from mycelnode.identity import (
    Identity,
    create_identity,
    load_identity,
    mesh_id,
    new_phrase,
    root_from_phrase,
    verify,
)
from mycelnode.logstore import StoredLogs
from mycelnode.paths import DataDir, write_durably
from mycelnode.ports import Clock
from mycelnode.protocols.pairing import Invite, Welcome, parse_invite
from mycelnode.releasing.planning import first_plan
from mycelnode.returning import JOINED, make_ready
from mycelnode.schema import loading

DIAL_SECONDS = 10.0  # for the addresses in an invite
LAN_SECONDS = 10.0  # then for finding the inviter on the local network


@dataclass(frozen=True, slots=True)
class Initialised:
    """A new mesh: ``phrase`` is shown once and kept nowhere.

    >>> new = await mycelnode.init("laptop-data")
    >>> len(new.phrase.split())
    24
    """

    mesh: str
    device: str
    name: str
    phrase: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class JoinedMesh:
    """A mesh joined; ``inviter`` is the name of the device that let us in.

    >>> joined = await mycelnode.join("phone-data", str(invite))
    >>> print(joined.inviter, "let us in")
    """

    mesh: str
    device: str
    name: str
    inviter: str


async def init_mesh(
    data: DataDir, name: str | None, *, clock: Clock, tell: Callable[[Initialised], None] = lambda _: None
) -> Initialised:
    """Begin a new mesh with this device. ``tell`` shows the phrase; if it raises, no mesh was begun.

    Raises `AlreadyInitialised`, `DataDirBusy`, `DataDirUnusable`, `DiskFull`, `ValueRefused` for a name that cannot be shown
    whole, and what ``tell`` raises.
    """
    check_clock(clock)
    shown = first_name(name)
    refuse_if_begun(data)
    data.create()
    with data.lock():
        refuse_if_begun(data)
        refuse_leftovers(data)
        phrase = new_phrase()
        root = root_from_phrase(phrase)
        try:
            identity = create_identity(data)
            enrolment = root_statement(root, ENROL, identity.device, None, shown)
            plan = first_plan(root, identity.device, clock.wall())
            await begin(data, root.public, [enrolment], "mesh.init", shown, clock, plans=[plan])
            made = Initialised(mesh_id(root.public), identity.peer_id, shown, phrase)
            tell(made)
        except BaseException:  # nobody has seen the phrase of this mesh: nothing of it may stay
            with suppress(OSError):
                for file in (data.device_key, *database_files(data)):
                    file.unlink(missing_ok=True)
            raise
        return made


async def join_mesh(data: DataDir, pasted: str, name: str | None, *, clock: Clock) -> JoinedMesh:
    """Join the mesh that an invite leads to. The key and the invite are stored first, so trying again with the same invite is safe;
    after it has succeeded, cancelled or not, that returns the same answer.

    What a backup put back into the folder stays, if it is of the same mesh; so does the data of a device of that mesh which is out.

    Raises `InviteError`, `AlreadyInitialised`, `PeerUnreachable`, `PairingRefused`, `PeerMisbehaved`, `NetworkError`.
    """
    invite = parse_invite(pasted)
    first_name(name)  # refused before anything is changed
    check_clock(clock)
    try:
        await make_ready(data, invite.root, clock)
    except AlreadyInitialised:
        with data.lock():
            joined = await _joined(data, invite)
        if joined is None:
            raise
        return joined
    data.create()
    with data.lock():
        refuse_if_member(data)
        restored = await restored_here(data)
        if restored is not None and restored.root != invite.root:
            raise InviteError(
                f"the backup restored here is of the mesh {mesh_id(restored.root)} and the invite is of {mesh_id(invite.root)};"
                " use another --data-dir"
            )
        before = data.joining.read_text(errors="replace") if data.joining.exists() else None
        if before is not None and before != str(invite):
            data.device_key.unlink(missing_ok=True)  # made for another invite, and enrolled nowhere that we know of
        refuse_leftovers(data)
        identity = load_identity(data) if data.device_key.exists() else create_identity(data)
        write_durably(data.joining, str(invite).encode())
        shown = chosen(name, restored)

        async def store(welcome: Welcome, address: str) -> None:
            _check_welcome(invite, identity.device, welcome)
            facts = {
                "good": {peer_id(invite.inviter): address},
                JOINED: [invite.id, shown, welcome.inviter_name],
            }
            with trio.CancelScope(shield=True):
                await begin(data, invite.root, welcome.statements, "mesh.join", shown, clock, facts)

        welcome = await _pair(identity, invite, shown, store)
        return JoinedMesh(mesh_id(invite.root), identity.peer_id, shown, welcome.inviter_name)


async def _joined(data: DataDir, invite: Invite) -> JoinedMesh | None:
    """The answer of an earlier join with this very invite, if that made the device in this folder a member."""
    if not (data.device_key.exists() and data.database.exists()):
        return None
    async with open_database(data) as database:
        with loading(data.database):
            packed = StoredLogs(database.read, data.database).fact(JOINED)
            key, name, inviter = (None, "", "") if packed is None else as_list(decode(packed), 3)
    if key != invite.id:
        return None
    return JoinedMesh(mesh_id(invite.root), load_identity(data).peer_id, str(name), str(inviter))


async def _pair(
    identity: Identity, invite: Invite, name: str, store: Callable[[Welcome, str], Awaitable[None]]
) -> Welcome:
    """Ask to join; ``store`` gets the welcome and the address at which the inviter answered."""
    from mycelnode.p2p.host import Admission, HostConfig, open_host
    from mycelnode.p2p.lan import find_on_lan
    from mycelnode.p2p.pairing_driver import ask_to_join

    inviter = peer_id(invite.inviter)
    stored: Welcome | None = None

    async def keep(welcome: Welcome) -> None:
        nonlocal stored
        await store(welcome, address)
        stored = welcome

    def admit(key: DeviceId) -> Admission:
        return Admission.MEMBER if key == invite.inviter else Admission.STRANGER

    async with open_host(identity.seed, HostConfig(listen=()), admit=admit) as host:
        try:
            address = await host.dial(inviter, invite.addresses, deadline=DIAL_SECONDS)
        except PeerUnreachable as error:
            found = await find_on_lan(inviter, LAN_SECONDS)
            if not found:
                raise PeerUnreachable(
                    "the inviting device did not answer and was not found on this network; is it running `mycelnode run`,"
                    " and are both devices on the same network?"
                ) from error
            address = await host.dial(inviter, found, deadline=DIAL_SECONDS)
        try:
            await ask_to_join(host, invite, identity.device, name, keep)
        except PairingRefused as error:
            raise InviteError(str(error)) from error
        except Unsupported as error:  # pairing is served only while an invite is kept
            raise InviteError(
                "the inviter has no open invite: this one was withdrawn or has expired; make a new one"
            ) from error
    assert stored is not None
    return stored


def _check_welcome(invite: Invite, device: DeviceId, welcome: Welcome) -> None:
    """Do the statements really lead from the invite's root key to our enrolment?"""
    try:
        for statement in welcome.statements:
            statement.verify(invite.root, verify)
    except LogError as error:
        raise PairingRefused(f"what the inviter sent does not verify: {error}") from error
    result = membership(invite.root, welcome.statements, lambda *_: None, lambda *_: None)
    if device not in result.members:
        raise PairingRefused(
            "the inviter could not show that it may let us in: its own enrolment does not lead to the mesh's root"
        )
