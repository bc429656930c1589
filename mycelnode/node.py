"""A running node: the mesh plus the network. Services open in order and close in reverse; nothing outlives `open_node`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import trio

from mycelnode.background import open_background
from mycelnode.chain.service import Chain, open_chain
from mycelnode.collective.api import Patterns
from mycelnode.collective.confirming import Confirming
from mycelnode.collective.service import Collective, open_collective
from mycelnode.commands import ADDRESSES, CONFIG, MeshCommands, device_key, device_name
from mycelnode.control import ControlServer
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import peer_id
from mycelnode.errors import DeviceUnknown, InviteError
from mycelnode.market.following import open_following
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.p2p.finding import Finder
from mycelnode.p2p.host import Admission, Host, HostConfig
from mycelnode.p2p.lasting import open_lasting_host
from mycelnode.p2p.pairing_driver import PairingDriver
from mycelnode.p2p.sync_driver import SyncDriver
from mycelnode.p2p.upkeep import Upkeep
from mycelnode.paths import DataDir
from mycelnode.ports import Clock, Service
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.pairing import Invite, Joined
from mycelnode.release_service import Releasing, open_releasing
from mycelnode.serving import (
    DEFAULT_INVITE_SECONDS,
    DEFAULT_SYNC_SECONDS,
    MAX_INVITE_SECONDS,
    NodeCommands,
    open_services,
)
from mycelnode.shared import (
    Changes,
    SharedCounter,
    SharedLog,
    SharedMap,
    SharedRegister,
    SharedSet,
    SharedVersions,
    check_name,
    watch,
)
from mycelnode.status import status
from mycelnode.turns import Turns

SYNC_ROUNDS = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the mesh: peer id, name, who let it in and who put it out (peer ids, or "root" for the phrase), how it stands.
    ``away``: the phrase has said that snapshots do without it.

    >>> [device.name for device in node.devices() if not device.revoked]
    ['laptop', 'phone']
    """

    device: str
    name: str
    enrolled_by: str
    revoked: bool
    revoked_by: list[str]
    forked: bool
    away: bool
    this: bool


@dataclass(frozen=True, slots=True)
class Synced:
    """What `Node.sync` achieved, by peer ids: in step with; connected, but not in step in time; not connected.

    >>> (await node.sync()).unreachable
    []
    """

    synced: list[str]
    behind: list[str]
    unreachable: list[str]


class Node:
    """One device of the mesh, on the network. Made by `open_node`; once its block is left, what needs it raises `ClosedError`.

    >>> async with mycelnode.open_node("laptop-data") as node:
    ...     print(node.name, node.addresses)
    ...     await node.sync()
    """

    def __init__(
        self,
        mesh: Mesh,
        host: Host,
        collective: Collective,
        chain: Chain,
        turns: Turns,
        releasing: Releasing,
        sessions: trio.Nursery,
    ) -> None:
        self.mesh, self.host, self.collective, self.chain = mesh, host, collective, chain
        self.turns, self.releasing = turns, releasing
        self.syncing = SyncDriver(mesh, host, self._link_changed)
        self.pairing = PairingDriver(mesh, host)
        self.upkeep = Upkeep(mesh, host, self.syncing)
        self.finder = Finder(mesh, host, self.syncing, sessions, self.upkeep.look)
        self.confirming = Confirming(mesh, lambda: collective.patterns)
        self.last_seen: dict[str, int] = {}
        self.services: dict[str, Service] = {}
        self.false_state = False  # did we begin with a state that the logs do not bear out?
        self.stopping = trio.Event()  # somebody asked, through the control socket

    def __repr__(self) -> str:
        return f"<Node {self.name!r} {self.device}>"

    # --- this device -----------------------------------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """Our peer id."""
        return self.mesh.device

    @property
    def name(self) -> str:
        """What the other devices call this one."""
        return device_name(self.mesh, self.mesh.identity.device)

    @property
    def mesh_id(self) -> str:
        """The mesh id, the same on all devices."""
        return self.mesh.id

    @property
    def addresses(self) -> list[str]:
        """The multiaddrs at which other devices can reach us."""
        return self.host.addrs

    @property
    def ready_line(self) -> dict[str, Any]:
        """What `mycelnode run --json` prints when the node is ready."""
        return {
            "ready": True,
            "mesh": self.mesh_id,
            "device": self.device,
            "peer": self.host.peer_id,
            "addrs": self.addresses,
            "swarm": self.collective.describe(),
            "control": str(self.mesh.data.control_path),
        }

    def status(self) -> dict[str, Any]:
        """What `mycelnode status --json` shows."""
        self.mesh.check_open()
        return status(self.mesh, self)

    # --- shared state ----------------------------------------------------------------------------------------------------

    def map(self, name: str) -> SharedMap:
        """The shared last-writer-wins map called ``name``; `ValueRefused` for a name that is reserved or too long."""
        return SharedMap(self.mesh, check_name(name))

    def register(self, name: str) -> SharedRegister:
        """The shared last-writer-wins value called ``name``."""
        return SharedRegister(self.mesh, check_name(name))

    def set(self, name: str) -> SharedSet:
        """The shared set (add wins) called ``name``."""
        return SharedSet(self.mesh, check_name(name))

    def log(self, name: str) -> SharedLog:
        """The shared grow-only set called ``name``."""
        return SharedLog(self.mesh, check_name(name))

    def counter(self, name: str) -> SharedCounter:
        """The shared counter called ``name``."""
        return SharedCounter(self.mesh, check_name(name))

    def versions(self, name: str) -> SharedVersions:
        """The shared multi-value register called ``name``."""
        return SharedVersions(self.mesh, check_name(name))

    def watch(self, name: str | None = None) -> AbstractAsyncContextManager[Changes]:
        """Changes of the collection ``name`` (None: of all) from now on, as an async context manager.

        >>> async with node.watch("notes") as changes:
        ...     async for change in changes:
        ...         print(change.key, change.new)
        """
        return watch(self.mesh, name)

    @property
    def patterns(self) -> Patterns:
        """The person's patterns: make, publish, find, use. Raises `DataDirUnusable` if they cannot be kept here; `status` says why.

        >>> for one in (await node.patterns.search("sort my mail")).found:
        ...     print(one.pattern.title)
        """
        self.mesh.check_open()
        return self.collective.patterns

    # --- the other devices -----------------------------------------------------------------------------------------------

    def devices(self) -> list[Device]:
        """All devices that were ever let in, this one too, by their peer ids."""
        return [Device(**device) for device in MeshCommands(self.mesh).describe_devices()]

    async def rename(self, device: str, name: str) -> None:
        """Give a device (its name, its peer id, or the end of that) another name, everywhere; on disk when this returns.

        Raises `DeviceUnknown`, `ValueRefused`, and what `Mesh.write` raises.
        """
        await MeshCommands(self.mesh).devices_rename({"device": device, "name": name})

    async def revoke(self, device: str, *, with_enrolled: bool = False, since: datetime | None = None) -> None:
        """Put a device out of the mesh, for ever; ``with_enrolled``: also those that it let in, and those let in by these.

        ``since``: what it wrote from then on, by its clock, counts no more; without it, all counts that is held here.

        Raises `DeviceUnknown`, `ControlError` for this very device, `NotAMember`, `ForkDetected`.
        """
        since_ms = None if since is None else round(since.timestamp() * 1000)
        request = {"device": device, "with_enrolled": with_enrolled, "since_ms": since_ms}
        await MeshCommands(self.mesh).devices_revoke(request)

    async def rescue(self, device: str) -> int:
        """Write anew, in our own log, what a device wrote that does not count: it was put out, cloned, or its clock was far ahead.

        Returns how many of its entries. Raises `DeviceUnknown`, `NotAMember`, `ForkDetected`, `ClockWrong`.
        """
        answer = await MeshCommands(self.mesh).devices_rescue({"device": device})
        return int(answer["rescued"])

    async def connect(self, device: str, addresses: Sequence[str]) -> None:
        """Connect to the member ``device`` (peer id) at these multiaddrs now, instead of waiting to find it.

        Raises `DeviceUnknown` if that is no other device, `PeerUnreachable`, `NetworkError`. Cancelled, the attempt is dropped.
        """
        self.mesh.check_open()
        if device_key(device) == self.mesh.identity.device:
            raise DeviceUnknown(f"{device} is this very device")
        await self.finder.connect(device, [addresses] if isinstance(addresses, str) else addresses)

    async def sync(self, wait: float = DEFAULT_SYNC_SECONDS) -> Synced:
        """Connect to every member that can be reached and return when in step with it, or after ``wait`` seconds.

        In step means: what either end had on disk at the call is on disk at both; what is written meanwhile does not matter.
        Nothing is raised for devices that are missed: the answer names them. Raises `ClosedError`. Cancelled, nothing is lost.
        """
        self.mesh.check_open()
        deadline, done = trio.current_time() + wait, frozenset[str]()
        for _ in range(SYNC_ROUNDS):  # while we wait, a line may break or be replaced, and we may hear of more devices
            others = self._others()
            with trio.move_on_at(deadline):
                await self.finder.try_all(others - done)
            linked = others & self.syncing.links.keys()
            done |= await self.syncing.in_step(linked - done, max(0.0, deadline - trio.current_time()))
            promising = any(map(self.finder.untried, self._others() - done))
            if (linked <= done and others == self._others() and not promising) or trio.current_time() >= deadline:
                break
        missed = self._others() - done
        behind = missed & self.syncing.links.keys()
        return Synced(sorted(done), sorted(behind), sorted(missed - behind))

    def _others(self) -> AbstractSet[str]:
        return {peer_id(device) for device in self.mesh.replica.membership.members} - {self.device}

    async def invite(self, ttl: float = DEFAULT_INVITE_SECONDS) -> Invite:
        """Open an invite for ``ttl`` seconds; ``str(invite)`` is the one paste. Cancelled, there is none.

        Raises `InviteError` when too many are open or ``ttl`` is not one second to seven days, `NotAMember`.
        """
        self.mesh.check_open()
        if not 1 <= ttl <= MAX_INVITE_SECONDS:
            raise InviteError("an invite is valid for one second to seven days")
        return await self.pairing.invite(ttl, self.host.addrs)

    async def joined(self, invite: Invite) -> Joined:
        """Wait for the device that uses ``invite``. Raises `InviteError` once it has expired unused or was withdrawn."""
        return await self.pairing.joined(invite)

    async def withdraw(self, invite: Invite) -> None:
        """Take back an invite that nobody used; one that was used, or has expired, is left as it is.

        Raises `ClosedError`, `DiskFull`: then it is still open.
        """
        self.mesh.check_open()
        await self.pairing.withdraw(invite.id)

    # --- what happens ----------------------------------------------------------------------------------------------------

    def _link_changed(self, peer: str, connected: bool) -> None:
        self.last_seen[peer] = self.mesh.clock.wall()
        self.finder.link_changed(peer, connected)
        self.releasing.link_changed(peer, connected)

    def _on_progress(self, progress: Progress) -> None:
        self.upkeep.on_progress(progress)
        changed = {change.name for change in progress.changes}
        if progress.base_checked is False:
            self.false_state = True
            _log.warning("the state that this device began with was not what the logs say; the logs hold now")
        if progress.refolded or CONFIG in changed:
            self.mesh.push_config()
        if progress.membership_changed:
            membership = self.mesh.replica.membership
            out = {peer_id(device) for device in membership.enrolled.keys() - membership.members}
            strangers = self.host.connected() - self.syncing.links.keys()
            for peer in out & strangers:  # those who are pairing just now stay; sessions part by themselves
                self.host.disconnect(peer)
        if progress.refolded or progress.membership_changed or ADDRESSES in changed:
            self.finder.look_again()


@asynccontextmanager
async def open_node(
    data: DataDir, *, clock: Clock, listen: Sequence[str] | None = None, control: bool = True, swarm: bool = True
) -> AsyncIterator[Node]:
    """Open a node on an initialised data folder; it runs until the block is left.

    ``listen``: multiaddrs instead of the setting `mesh.listen`; none: it only dials. ``control``: also serve the control socket.
    ``swarm``: also open the door to the collective, if `swarm.enabled` is set.

    Raises what `open_mesh` raises, and `NetworkError` when it cannot listen. Leaving the block closes everything in reverse order,
    cancelled or not.
    """
    data.check_member()
    async with (
        open_mesh(data, clock=clock) as mesh,
        _open_door(mesh, listen) as host,
        open_collective(mesh, host, swarm=swarm) as collective,
        open_chain(mesh) as chain,
        open_following(chain, collective),
        open_background() as sessions,  # a session that ends takes its line along, which a release may still want
        open_releasing(mesh, turns := Turns(mesh), host) as releasing,
        open_background() as nursery,
    ):
        node = Node(mesh, host, collective, chain, turns, releasing, sessions)
        collective.trade_on(chain)
        releasing.publish_due = node.confirming.publish_due
        mesh.listeners.append(node._on_progress)
        try:
            await mesh.keep_fact("port", host.port)
            await node.upkeep.begin()
            nursery.start_soon(node.upkeep.run)
            nursery.start_soon(node.finder.run)
            nursery.start_soon(chain.run)
            async with open_services(node) as services:
                node.services.update(services)
                if control:
                    requests = NodeCommands(node)
                    await nursery.start(ControlServer(data, requests.commands, requests.streams).run)
                yield node
        finally:
            mesh.listeners.remove(node._on_progress)
            node.syncing.close()


def _open_door(mesh: Mesh, listen: Sequence[str] | None) -> AbstractAsyncContextManager[Host]:
    """The mesh host, on the port of the last run if that is free."""
    given = [listen] if isinstance(listen, str) else listen
    wanted = list(mesh.settings.get("mesh.listen") if given is None else given)
    config = HostConfig(listen=wanted, private_only=not mesh.settings.get("mesh.public"))

    def admit(key: DeviceId) -> Admission:
        return Admission.MEMBER if key in mesh.replica.membership.members else Admission.STRANGER

    return open_lasting_host(mesh.identity.seed, config, mesh.fact("port"), admit=admit)
