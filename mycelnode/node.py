"""A running node: the mesh plus the network. Services open in order and close in reverse; nothing outlives `open_node`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any

import trio

from mycelnode.anchors import CHECK_SECONDS, anchor
from mycelnode.background import open_background
from mycelnode.commands import ADDRESSES, CONFIG, Handler, MeshCommands, Request, device_name, rfc3339
from mycelnode.control import ControlServer
from mycelnode.crdt import document as ops
from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.document import Change
from mycelnode.encoding import peer_id
from mycelnode.errors import ControlError, MycelError, NetworkError
from mycelnode.extensions import SERVICES, found
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.p2p.finding import Finder
from mycelnode.p2p.host import Admission, Host, HostConfig, open_host
from mycelnode.p2p.pairing_driver import Joined, PairingDriver
from mycelnode.p2p.sync_driver import SyncDriver
from mycelnode.paths import DataDir
from mycelnode.ports import Clock, Service
from mycelnode.protocols.pairing import Invite
from mycelnode.protocols.replica import Progress
from mycelnode.shared import (
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

DEFAULT_INVITE_SECONDS = 600.0
MAX_INVITE_SECONDS = 7 * 24 * 3600.0
DEFAULT_SYNC_SECONDS = 30.0
SYNC_ROUNDS = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Failed:
    """Stands for a service that did not open."""

    state: tuple[str, str]
    commands: Mapping[str, Handler] = field(default_factory=dict)


class Node:
    """One device of the mesh, on the network. Made by `open_node`.

    >>> async with mycelnode.open_node("laptop-data") as node:
    ...     print(node.name, node.addresses)
    ...     await node.sync()
    """

    def __init__(self, mesh: Mesh, host: Host, nursery: trio.Nursery) -> None:
        self.mesh, self.host, self._nursery = mesh, host, nursery
        self.syncing = SyncDriver(mesh, host, self._link_changed)
        self.pairing = PairingDriver(mesh, host, self._joined)
        self.finder = Finder(mesh, host, self.syncing, nursery, self.publish_addresses)
        self.stopping = trio.Event()
        self.last_seen: dict[str, int] = {}
        self._joins: set[trio.MemorySendChannel[Joined]] = set()
        self.services: dict[str, Service] = {}
        self.commands: dict[str, Handler] = {
            **MeshCommands(mesh).table(),
            "status": self._status,
            "invite": self._invite_once,
            "invite.withdraw": self._withdraw,
            "sync": self._sync,
            "stop": self._stop,
        }
        self.streams: Mapping[str, Callable[[Request], AsyncIterator[dict[str, Any]]]] = {
            "invite.wait": self._invite_and_wait
        }

    @property
    def ready_line(self) -> dict[str, Any]:
        """What `mycelnode run` prints when the node is ready."""
        return {
            "ready": True,
            "mesh": self.mesh.id,
            "device": self.mesh.device,
            "peer": self.host.peer_id,
            "addrs": self.host.addrs,
            "swarm": None,
            "control": str(self.mesh.data.control_path),
        }

    # --- what library users do -------------------------------------------------------------------------------------------

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

    def watch(self, name: str | None = None) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Change]]:
        """Changes of the collection ``name`` (None: of all) from now on, as an async context manager; see
        `mycelnode.shared.watch`."""
        return watch(self.mesh, name)

    def status(self) -> dict[str, Any]:
        """What `mycelnode status --json` shows."""
        return status(self.mesh, self)

    async def connect(self, device: str, addresses: Sequence[str]) -> None:
        """Connect to the member ``device`` (peer id) at these multiaddrs now, instead of waiting to find it.

        Raises `PeerUnreachable`, `NetworkError`. Cancelled, the attempt is dropped.
        """
        await self.finder.connect(device, addresses)

    async def sync(self, wait: float = DEFAULT_SYNC_SECONDS) -> dict[str, Any]:
        """Connect to every member that can be reached and return when in step with it, or after ``wait`` seconds.

        Returns ``{"synced": [peer id, …], "unreachable": [peer id, …]}``. In step means: what either end had on disk at the
        call is on disk at both.
        """
        others = {peer_id(device) for device in self.mesh.replica.membership.members - {self.mesh.identity.device}}
        deadline, done = trio.current_time() + wait, set[str]()
        for _ in range(SYNC_ROUNDS):  # while we wait, a line may break, or another take its place
            with trio.move_on_at(deadline):
                await self.finder.try_all(others - done)
            linked = others & self.syncing.links.keys()
            done |= others & await self.syncing.in_step(max(0.0, deadline - trio.current_time()))
            if linked <= done or trio.current_time() >= deadline:
                break
        return {"synced": sorted(done), "unreachable": sorted(others - done)}

    async def invite(self, ttl: float = DEFAULT_INVITE_SECONDS) -> Invite:
        """Open an invite for ``ttl`` seconds; ``str(invite)`` is the one paste."""
        if not 1 <= ttl <= MAX_INVITE_SECONDS:
            raise ControlError("an invite is valid for one second to seven days")
        return await self.pairing.invite(ttl, self.host.addrs)

    async def add_service(self, name: str, point: EntryPoint, stack: AsyncExitStack) -> None:
        """Open what another package adds. If it does not open, `status` says why, and the node runs without it."""
        try:
            self.services[name] = await stack.enter_async_context(point.load()(self))
        except Exception as error:
            _log.exception("the service %s of %s did not open", name, point.module)
            self.services[name] = _Failed(("failed", str(error) or type(error).__name__))
        for kind, handler in self.services[name].commands.items():
            self.commands.setdefault(f"{name}.{kind}", handler)

    # --- what happens ------------------------------------------------------------------------------------------------------

    def _link_changed(self, peer: str, connected: bool) -> None:
        self.last_seen[peer] = self.mesh.clock.wall()
        self.finder.link_changed(peer, connected)

    def _joined(self, joined: Joined) -> None:
        for channel in self._joins:
            channel.send_nowait(joined)

    def _on_progress(self, progress: Progress) -> None:
        if progress.refolded or any(change.name == CONFIG for change in progress.changes):
            self.mesh.push_config()
        if progress.membership_changed:
            membership = self.mesh.replica.membership
            out = {peer_id(device) for device in membership.enrolled.keys() - membership.members}
            for peer in (
                out & self.host.connected() - self.syncing.links.keys()
            ):  # strangers who are pairing just now stay
                self.host.disconnect(peer)
        if (
            progress.refolded
            or progress.membership_changed
            or any(change.name == ADDRESSES for change in progress.changes)
        ):
            self.finder.look_again()

    async def publish_addresses(self) -> None:
        """Tell the mesh where we listen, if that has changed; if we cannot write, it keeps what it knows."""
        addrs = list(self.host.addrs)
        if self.mesh.replica.document.map(ADDRESSES).get(self.mesh.device) != addrs and addrs:
            try:
                await self.mesh.write([ops.map_put(ADDRESSES, self.mesh.device, addrs)])
            except MycelError as error:
                _log.warning("the other devices are not told our new addresses: %s", error)

    async def keep_anchors(self) -> None:
        """Write the head of the audit chain into the mesh, once a day if it has moved."""
        while True:
            try:
                await anchor(self.mesh)
            except MycelError as error:
                _log.warning("the audit chain's head could not be kept in the mesh: %s", error)
            await trio.sleep(CHECK_SECONDS)

    # --- commands ------------------------------------------------------------------------------------------------------------

    async def _status(self, request: Request) -> dict[str, Any]:
        return self.status()

    async def _invite_once(self, request: Request) -> dict[str, Any]:
        return self._describe(await self.invite(_seconds(request, "ttl", DEFAULT_INVITE_SECONDS)))

    def _describe(self, invite: Invite) -> dict[str, Any]:
        return {
            "invite": str(invite),
            "id": invite.id.hex(),
            "expires": rfc3339(invite.expires * 1000),
            "mesh": self.mesh.id,
            "device": self.mesh.device,
            "name": device_name(self.mesh, self.mesh.identity.device),
        }

    async def _withdraw(self, request: Request) -> dict[str, Any]:
        key = request.get("id")
        if not isinstance(key, str) or len(key) != 32:
            raise ControlError("the request needs the invite's id")
        await self.pairing.withdraw(bytes.fromhex(key))
        return {"id": key}

    async def _invite_and_wait(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        """The invite, then who joined with it; withdrawn when the client goes away."""
        ttl = _seconds(request, "ttl", DEFAULT_INVITE_SECONDS)
        send, receive = trio.open_memory_channel[Joined](64)
        self._joins.add(send)
        invite = await self.invite(ttl)
        try:
            yield {"type": "event", "event": "invite", **self._describe(invite)}
            joined = None
            with trio.move_on_after(ttl):
                async for candidate in receive:
                    if candidate.invite.id == invite.id:
                        joined = candidate
                        break
            yield {
                "type": "result",
                "joined": None if joined is None else {"device": peer_id(joined.device), "name": joined.name},
                "mesh": self.mesh.id,
            }
        finally:
            self._joins.discard(send)
            with trio.CancelScope(shield=True):
                await self.pairing.withdraw(invite.id)

    async def _sync(self, request: Request) -> dict[str, Any]:
        return await self.sync(_seconds(request, "wait", DEFAULT_SYNC_SECONDS))

    async def _stop(self, request: Request) -> dict[str, Any]:
        self.stopping.set()
        return {"stopping": True}


@asynccontextmanager
async def open_node(
    data: DataDir, *, clock: Clock, listen: Sequence[str] | None = None, control: bool = True
) -> AsyncIterator[Node]:
    """Open a node on an initialised data folder; it runs until the block is left.

    ``listen``: multiaddrs instead of the setting `mesh.listen`. ``control``: also serve the control socket. Raises what `open_mesh`
    raises, and `NetworkError` when it cannot listen. Leaving the block closes everything in reverse order, cancelled or not.
    """
    data.check_member()
    async with (
        open_mesh(data, clock=clock) as mesh,
        _open_door(mesh, listen) as host,
        open_background() as nursery,
    ):
        node = Node(mesh, host, nursery)
        mesh.listeners.append(node._on_progress)
        try:
            await mesh.keep_fact("port", host.port)
            await node.publish_addresses()
            nursery.start_soon(node.finder.run)
            nursery.start_soon(node.keep_anchors)
            async with AsyncExitStack() as services:
                for name, point in found(SERVICES).items():
                    await node.add_service(name, point, services)
                if control:
                    await nursery.start(ControlServer(data, node.commands, node.streams).run)
                yield node
        finally:
            mesh.listeners.remove(node._on_progress)
            node.syncing.close()


@asynccontextmanager
async def _open_door(mesh: Mesh, listen: Sequence[str] | None) -> AsyncIterator[Host]:
    """The mesh host, on the port of the last run if that is free."""
    wanted = list(listen or mesh.settings.get("mesh.listen"))
    private = not mesh.settings.get("mesh.public")
    kept = mesh.fact("port")

    def admit(key: DeviceId) -> Admission:
        return Admission.MEMBER if key in mesh.replica.membership.members else Admission.STRANGER

    def at(addresses: Sequence[str]) -> AbstractAsyncContextManager[Host]:
        return open_host(mesh.identity.seed, HostConfig(listen=addresses, private_only=private), admit=admit)

    async with AsyncExitStack() as stack:
        try:
            again = [
                addr.removesuffix("/0") + f"/{kept}" if kept and addr.endswith("/tcp/0") else addr for addr in wanted
            ]
            host = await stack.enter_async_context(at(again))
        except NetworkError as error:
            if again == wanted:
                raise
            _log.warning("port %d of the last run is taken (%s); taking another", kept, error)
            host = await stack.enter_async_context(at(wanted))
        yield host


def _seconds(request: Request, key: str, default: float) -> float:
    value = request.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_INVITE_SECONDS:
        raise ControlError(f"the field {key!r} is a number of seconds")
    return float(value)
