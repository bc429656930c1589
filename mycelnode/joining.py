"""How a data folder comes to belong to a mesh, and how it leaves: init, join, recover, leave."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from mycelnode import audit, logstore
from mycelnode.commands import RESTORED_FROM, RESTORED_NAME, chosen_name, device_name, find_device
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.clock import EARLIEST_MS
from mycelnode.crdt.membership import membership
from mycelnode.crdt.statements import ENROL, REVOKE, Statement
from mycelnode.database import open_database
from mycelnode.encoding import Value, as_list, decode, encode, key_of_peer, peer_id
from mycelnode.errors import (
    AlreadyInitialised,
    ClockWrong,
    ConfigError,
    DatabaseDamaged,
    DataDirBusy,
    DataDirUnusable,
    DeviceUnknown,
    EncodingError,
    InviteError,
    KeyFileError,
    LogError,
    NodeRunning,
    NotAMember,
    NotInitialised,
    PairingRefused,
    PeerUnreachable,
    PhraseError,
    RecoverRefused,
    SchemaTooNew,
    Unsupported,
)
from mycelnode.identity import (
    Identity,
    RootKey,
    create_identity,
    load_identity,
    mesh_id,
    new_phrase,
    root_from_phrase,
    verify,
)
from mycelnode.logstore import StoredLogs
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir, sync_folder, write_durably
from mycelnode.ports import Clock
from mycelnode.protocols.pairing import Invite, Welcome, clean_name, parse_invite
from mycelnode.rescue import head_before
from mycelnode.returning import JOINED, RESTORED_MARK, make_ready
from mycelnode.schema import loading

DIAL_SECONDS = 10.0  # for the addresses in an invite
LAN_SECONDS = 10.0  # then for finding the inviter on the local network
OTHER_MESH = "this recovery phrase belongs to another mesh than the one in this folder"
RECOVER_SYNC_SECONDS = 120.0  # for being in step with a peer before anything is revoked


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


def default_name() -> str:
    """This machine's name, for a device that was given none."""
    return clean_name(platform.node().split(".")[0] or "device")


def first_name(name: str | None) -> str:
    """The name that a person chose, else this machine's. Raises `ValueRefused`."""
    return default_name() if name is None else chosen_name(name)


def _refuse_if_member(data: DataDir) -> None:
    if data.initialised() and not data.joining.exists():
        raise AlreadyInitialised(f"{data.path} already holds a device of a mesh; `mycelnode leave` takes it out")


def _refuse_if_begun(data: DataDir) -> None:
    _refuse_if_member(data)
    if data.joining.exists():
        raise AlreadyInitialised(data.unfinished)


def _database_files(data: DataDir) -> list[Path]:
    """The database, its write-ahead log, and copies from before a migration."""
    return sorted([*data.path.glob(data.database.name), *data.path.glob(f"{data.database.name}[-.]*")])


def _refuse_leftovers(data: DataDir) -> None:
    """Before a key is made: a new database would not go with what is left of another."""
    left = _database_files(data)
    if left and not data.database.exists():
        raise DataDirUnusable(
            f"{left[0]} is left of a device whose {data.database.name} is missing; put that back, or move this away"
        )


def _check_clock(clock: Clock) -> None:
    """Nothing begins under a clock that was never set: its times would look like the distant past for ever."""
    if clock.wall() < EARLIEST_MS:
        raise ClockWrong("the clock of this device is set to a time before 2025; set it and try again")


async def init_mesh(
    data: DataDir, name: str | None, *, clock: Clock, tell: Callable[[Initialised], None] = lambda _: None
) -> Initialised:
    """Begin a new mesh with this device. ``tell`` shows the phrase; if it raises, no mesh was begun.

    Raises `AlreadyInitialised`, `DataDirBusy`, `DataDirUnusable`, `DiskFull`, `ValueRefused` for a name that cannot be shown
    whole, and what ``tell`` raises.
    """
    _check_clock(clock)
    shown = first_name(name)
    _refuse_if_begun(data)
    data.create()
    with data.lock():
        _refuse_if_begun(data)
        _refuse_leftovers(data)
        phrase = new_phrase()
        root = root_from_phrase(phrase)
        try:
            identity = create_identity(data)
            enrolment = _root_statement(root, ENROL, identity.device, None, shown)
            await _begin(data, root.public, [enrolment], "mesh.init", shown, clock)
            made = Initialised(mesh_id(root.public), identity.peer_id, shown, phrase)
            tell(made)
        except BaseException:  # nobody has seen the phrase of this mesh: nothing of it may stay
            with suppress(OSError):
                for file in (data.device_key, *_database_files(data)):
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
    _check_clock(clock)
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
        _refuse_if_member(data)
        restored = await _restored(data)
        if restored is not None and restored.root != invite.root:
            raise InviteError(
                f"the backup restored here is of the mesh {mesh_id(restored.root)} and the invite is of {mesh_id(invite.root)};"
                " use another --data-dir"
            )
        before = data.joining.read_text() if data.joining.exists() else None
        if before is not None and before != str(invite):
            data.device_key.unlink(missing_ok=True)  # made for another invite, and enrolled nowhere that we know of
        _refuse_leftovers(data)
        identity = load_identity(data) if data.device_key.exists() else create_identity(data)
        write_durably(data.joining, str(invite).encode())
        shown = _chosen_name(name, restored)

        async def store(welcome: Welcome, address: str) -> None:
            _check_welcome(invite, identity.device, welcome)
            facts = {
                "good": {peer_id(invite.inviter): address},
                JOINED: [invite.id, shown, welcome.inviter_name],
            }
            with trio.CancelScope(shield=True):
                await _begin(data, invite.root, welcome.statements, "mesh.join", shown, clock, facts)

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
    if (
        stored is None
    ):  # cancelled, which the host that closes may keep to itself; once stored, we are a member all the same
        await trio.lowlevel.checkpoint_if_cancelled()
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


async def recover_mesh(
    data: DataDir,
    phrase: str,
    *,
    clock: Clock,
    name: str | None = None,
    peer: str | None = None,
    revoke: Sequence[str] = (),
    blind: bool = False,
    since_ms: int | None = None,
) -> dict[str, object]:
    """Use the recovery phrase: enrol this device if it is none yet, and revoke others by the root key.

    ``since_ms``: what those wrote and said from then on (Unix ms, by their clocks) counts no more; so a thief's own revocations are
    undone. Without it, all counts that is held here of them. ``peer``: a multiaddr ending in ``/p2p/<peer id>`` to be in step with
    first. Revoking without, and in a folder that was not restored from a backup just now, is refused with `RecoverRefused` unless
    ``blind``.

    Raises `PhraseError`, `PeerUnreachable`, `DeviceUnknown`, `NodeRunning`; `DeviceUnknown` without ``peer`` before anything is
    changed.
    """
    root = root_from_phrase(phrase)
    first_name(name)  # refused before anything is changed
    first = None if peer is None else peer_address(peer)
    _check_clock(clock)
    subjects = await _look_up(data, root, revoke, blind, clock) if revoke and first is None else []
    data.create()
    with suppress(AlreadyInitialised):  # a member needs no new key
        await make_ready(data, root.public, clock)
    with _alone(data):
        restored = await _restored(data)
        if restored is not None and restored.root != root.public:
            raise PhraseError(OTHER_MESH)
        may_revoke = blind or (restored is not None and restored.from_backup)
        if restored is None or data.joining.exists():
            _refuse_leftovers(data)
            if not data.joining.exists():  # so that, cut short, this can be repeated
                write_durably(data.joining, RESTORED_MARK)
            identity = load_identity(data) if data.device_key.exists() else create_identity(data)
            shown = _chosen_name(name, restored)
            enrolment = _root_statement(root, ENROL, identity.device, None, shown)
            await _begin(data, root.public, [enrolment], "mesh.recover", shown, clock)
    if first is None:
        async with open_mesh(data, clock=clock) as mesh:
            return await _use_root(mesh, root, subjects, since_ms, synced=False)
    return await _recover_with_peer(data, root, clock, first, revoke, may_revoke, since_ms)


def peer_address(text: str) -> tuple[str, str]:
    """(peer id, multiaddr without it). Raises `PeerUnreachable` for what is none."""
    address, found, identifier = text.rpartition("/p2p/")
    try:
        if not found or not address:
            raise EncodingError
        key_of_peer(identifier)
    except EncodingError:
        raise PeerUnreachable(
            "an address ends in /p2p/<peer id>, as `mycelnode status` shows it on a device that runs (with --json: one of `addrs`,"
            f" then /p2p/, then `device`), not {text!r}"
        ) from None
    return identifier, address


async def _recover_with_peer(
    data: DataDir,
    root: RootKey,
    clock: Clock,
    peer: tuple[str, str],
    revoke: Sequence[str],
    may_revoke: bool,
    since_ms: int | None,
) -> dict[str, object]:
    from mycelnode.node import open_node

    identifier, address = peer
    async with open_node(data, clock=clock, control=False) as node:
        await node.connect(identifier, [address])
        synced = identifier in await node.syncing.in_step({identifier}, RECOVER_SYNC_SECONDS)
        subjects = _subjects(node.mesh, root, revoke, synced or may_revoke)
        answer = await _use_root(node.mesh, root, subjects, since_ms, synced=synced)
        if synced:
            await node.syncing.in_step({identifier}, RECOVER_SYNC_SECONDS)
        return answer


async def _look_up(
    data: DataDir, root: RootKey, revoke: Sequence[str], blind: bool, clock: Clock
) -> Sequence[DeviceId]:
    """The devices to put out, as far as this folder knows them."""
    if not data.database.exists():
        raise DeviceUnknown("this folder knows no other device of the mesh yet; give --peer ADDR or --backup FILE")
    async with open_mesh(data, clock=clock) as mesh:
        return _subjects(mesh, root, revoke, blind or mesh.stored.fact(RESTORED_FROM) is not None)


def _subjects(mesh: Mesh, root: RootKey, revoke: Sequence[str], may_revoke: bool) -> Sequence[DeviceId]:
    """The devices to put out. Raises `DeviceUnknown`, `RecoverRefused`, `PhraseError`."""
    if mesh.root != root.public:
        raise PhraseError(OTHER_MESH)
    subjects = [find_device(mesh, reference) for reference in revoke]
    if mesh.identity.device in subjects:
        raise RecoverRefused(
            "the device you are on is not put out by itself; `mycelnode leave` takes it out of the mesh"
        )
    if subjects and not may_revoke:
        falls = ", ".join(
            f"{device_name(mesh, subject)} (all after entry {head_before(mesh.replica, subject, None).seq})"
            for subject in subjects
        )
        raise RecoverRefused(
            f"revoking now would fence what this device has not seen: {falls}; give --peer ADDR or --backup FILE, or say --blind"
        )
    return subjects


async def _use_root(
    mesh: Mesh, root: RootKey, subjects: Sequence[DeviceId], since_ms: int | None, *, synced: bool
) -> dict[str, object]:
    """Revoke by the root key; says what was done."""
    if mesh.identity.device not in mesh.replica.membership.members:
        raise NotAMember(
            f"the key {mesh.device} of this device was put out of the mesh; `mycelnode leave`, then recover once more"
        )
    for subject in subjects:
        statement = _root_statement(
            root, REVOKE, subject, head_before(mesh.replica, subject, since_ms), "revoked by the phrase"
        )
        fields = {"device": peer_id(subject), "by": "root"}
        await mesh.commit(
            lambda replica, statement=statement: replica.learn([statement]),  # type: ignore[misc]
            lambda connection, fields=fields: audit.record(  # type: ignore[misc]
                connection, "device.revoke", fields, mesh.clock.wall()
            ),
        )
    return {
        "mesh": mesh.id,
        "device": mesh.device,
        "name": device_name(mesh, mesh.identity.device),
        "synced": synced,
        "revoked": [peer_id(subject) for subject in subjects],
        "still_out": [  # by the word of those just revoked, which counts as far as their logs do
            {
                "device": peer_id(device),
                "name": device_name(mesh, device),
                "by": sorted({peer_id(s.author) for s in said}),
            }
            for device, said in sorted(mesh.replica.membership.revoked.items())
            if device not in subjects and {s.author for s in said} <= set(subjects)
        ],
    }


async def leave_mesh(data: DataDir, *, clock: Clock, erase: bool, wait: float) -> dict[str, object]:
    """Take this device out: revoke itself, tell the others, and put the folder's content aside or erase it.

    ``wait``: seconds for reaching the others, and again for telling them. A folder that is damaged, or not enrolled yet, is put
    aside without telling anybody: ``mesh`` is None then. Raises `NodeRunning`, `NotInitialised`, `DataDirUnusable`.
    """
    data.check_begun()
    with _alone(data):
        pass
    left: dict[str, object] = {"mesh": None, "device": None, "told": []}
    if not data.joining.exists():
        with suppress(DatabaseDamaged, KeyFileError, SchemaTooNew, ConfigError, NotInitialised, sqlite3.Error):
            left = await _tell_and_leave(data, clock, wait)
    with _alone(data):
        aside = None if erase else data.path / f"left-{clock.wall() // 1000}"
        _remove(data, aside)
    return {**left, "erased": erase, "aside": None if aside is None else str(aside)}


async def _tell_and_leave(data: DataDir, clock: Clock, wait: float) -> dict[str, object]:
    async with open_mesh(data, clock=clock) as mesh:
        left: dict[str, object] = {"mesh": mesh.id, "device": mesh.device, "told": []}
        members = mesh.replica.membership.members
        if mesh.identity.device not in members:
            return left
        if len(members) == 1:  # there is nobody to tell
            await _declare_left(mesh)
            return left

    from mycelnode.node import open_node

    async with open_node(data, clock=clock, control=False) as node:
        await node.sync(wait)
        linked = set(node.syncing.links)
        await _declare_left(node.mesh)
        answered = await node.syncing.in_step(linked, wait)
        told = answered | (linked - node.syncing.links.keys())  # who has heard it hangs up on us
        return {**left, "told": sorted(told)}


async def _declare_left(mesh: Mesh) -> None:
    device, head = mesh.identity.device, mesh.replica.head
    await mesh.commit(
        lambda replica: replica.declare(REVOKE, device, head, {"reason": "left"}, mesh.now()),
        lambda connection: audit.record(connection, "mesh.leave", {"mesh": mesh.id}, mesh.clock.wall()),
    )


def _remove(data: DataDir, aside: Path | None = None) -> None:
    """Erase what makes this folder a device, or move it into the folder ``aside``; logs and backups stay."""
    for file in (data.device_key, data.swarm_key, data.config, data.joining, *_database_files(data)):
        with suppress(FileNotFoundError):
            if aside is None:
                file.unlink()
            else:
                aside.mkdir(mode=0o700, exist_ok=True)
                os.rename(file, aside / file.name)


# --- what they share ---------------------------------------------------------------------------------------------------------


def _root_statement(root: RootKey, kind: str, subject: DeviceId, head: Head | None, said: str) -> Statement:
    info = {"name": said} if kind == ENROL else {"reason": said}
    return Statement(kind, subject, head, root.public, None, info).signed(root.public, root.sign)


async def _begin(
    data: DataDir,
    root: bytes,
    statements: Sequence[Statement],
    event: str,
    name: str,
    clock: Clock,
    facts: Mapping[str, Value] = {},
) -> None:
    """The first content of a folder's database, in one transaction; afterwards the folder belongs to the mesh.

    ``facts``: ``good``, peer → an address where it answered, for the first time that the node runs; and what else is to be kept.
    """

    def store(connection: sqlite3.Connection) -> None:
        logstore.save_fact(connection, "root", root)
        for fact in (RESTORED_NAME, RESTORED_FROM):
            logstore.drop_fact(connection, fact)
        for fact, value in {"good": {}, **facts}.items():
            logstore.save_fact(connection, fact, encode(value))
        logstore.save_statements(connection, ((s.id, s.encoded) for s in statements))
        audit.record(connection, event, {"mesh": mesh_id(root), "name": name}, clock.wall())

    async with open_database(data) as database:
        await database.write(store)
    data.joining.unlink(missing_ok=True)
    sync_folder(data.path)


@dataclass(frozen=True, slots=True)
class _Restored:
    """The mesh that a folder's database holds, and the name that a restored device is to have; ``from_backup``: just now."""

    root: bytes
    name: str | None
    from_backup: bool


async def _restored(data: DataDir) -> _Restored | None:
    if not data.database.exists():
        return None
    async with open_database(data) as database:
        with loading(data.database):
            stored = StoredLogs(database.read, data.database)
            root, name = stored.fact("root"), stored.fact(RESTORED_NAME)
            if root is None:
                return None
            return _Restored(root, None if name is None else name.decode(), stored.fact(RESTORED_FROM) is not None)


def _chosen_name(name: str | None, restored: _Restored | None) -> str:
    return clean_name((restored and restored.name) or default_name()) if name is None else chosen_name(name)


@contextmanager
def _alone(data: DataDir) -> Iterator[None]:
    """Hold the folder. Raises `NodeRunning` while somebody else does."""
    with ExitStack() as stack:
        try:
            stack.enter_context(data.lock())
        except DataDirBusy as error:
            raise NodeRunning(str(error)) from error
        yield
