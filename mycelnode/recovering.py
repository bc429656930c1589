"""What the recovery phrase can do: bring a device into the mesh, and put others out by the root key."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from mycelnode import audit, creator, mesh_secret
from mycelnode.beginning import (
    alone,
    begin,
    check_clock,
    chosen,
    first_name,
    refuse_leftovers,
    restored_here,
    root_statement,
)
from mycelnode.commands import RESTORED_FROM, device_name, find_device
from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.statements import ENROL, REVOKE
from mycelnode.encoding import key_of_peer, peer_id
from mycelnode.errors import (
    AlreadyInitialised,
    DeviceUnknown,
    EncodingError,
    NotAMember,
    PeerUnreachable,
    PhraseError,
    RecoverRefused,
)
from mycelnode.identity import (
    RootKey,
    create_identity,
    load_identity,
    root_from_phrase,
)
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir, write_durably
from mycelnode.ports import Clock
from mycelnode.releasing.planning import let_decide
from mycelnode.rescue import head_before
from mycelnode.returning import RESTORED_MARK, make_ready

OTHER_MESH = "this recovery phrase belongs to another mesh than the one in this folder"
RECOVER_SYNC_SECONDS = 120.0  # for being in step with a peer before anything is revoked


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
    check_clock(clock)
    subjects = await _look_up(data, root, revoke, blind, clock) if revoke and first is None else []
    data.create()
    with suppress(AlreadyInitialised):  # a member needs no new key
        await make_ready(data, root.public, clock)
    with alone(data):
        restored = await restored_here(data)
        if restored is not None and restored.root != root.public:
            raise PhraseError(OTHER_MESH)
        may_revoke = blind or (restored is not None and restored.from_backup)
        if restored is None or data.joining.exists():
            refuse_leftovers(data)
            if not data.joining.exists():  # so that, cut short, this can be repeated
                write_durably(data.joining, RESTORED_MARK)
            identity = load_identity(data) if data.device_key.exists() else create_identity(data)
            shown = chosen(name, restored)
            enrolment = root_statement(root, ENROL, identity.device, None, shown)
            await begin(data, root.public, [enrolment], "mesh.recover", shown, clock)
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
    async with open_node(data, clock=clock, control=False, swarm=False) as node:
        await node.connect(identifier, [address])
        synced = identifier in await node.syncing.in_step({identifier}, RECOVER_SYNC_SECONDS)
        if synced:
            await node.releasing.hear(identifier)  # who decides there
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
    await creator.recover(mesh, root)
    await mesh_secret.recover(mesh, root)
    for subject in subjects:
        statement = root_statement(
            root, REVOKE, subject, head_before(mesh.replica, subject, since_ms), "revoked by the phrase"
        )
        fields = {"device": peer_id(subject), "by": "root"}
        await mesh.commit(
            lambda replica, statement=statement: replica.learn([statement]),  # type: ignore[misc]
            lambda connection, fields=fields: audit.record(  # type: ignore[misc]
                connection, "device.revoke", fields, mesh.clock.wall()
            ),
        )
    plan = await let_decide(mesh, root)
    return {
        "mesh": mesh.id,
        "device": mesh.device,
        "name": device_name(mesh, mesh.identity.device),
        "synced": synced,
        "revoked": [peer_id(subject) for subject in subjects],
        "decides": None
        if plan is None
        else {"device": peer_id(plan.releaser), "name": device_name(mesh, plan.releaser)},
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
