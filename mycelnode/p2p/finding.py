"""Finding each other again: carries out what `protocols.reconnect` decides, with what the mesh register, the last run, the
local network and the watch on our own addresses contribute."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import trio

from mycelnode.background import open_background
from mycelnode.commands import ADDRESSES
from mycelnode.encoding import peer_id
from mycelnode.errors import BrokenError, MycelError, NetworkError, PeerUnreachable
from mycelnode.mesh import Mesh
from mycelnode.p2p._addresses import usable
from mycelnode.p2p.host import Connection, Host
from mycelnode.p2p.lan import LanDiscovery
from mycelnode.p2p.sync_driver import SyncDriver
from mycelnode.p2p.watch import watch_network
from mycelnode.protocols.reconnect import Attempt, Reconnect

DIAL_SECONDS = 10.0  # for all addresses of a peer together
LINK_SECONDS = 10.0  # for a peer that dialled us at the same moment to begin
MAX_LINES = 3  # tried in one attempt, where lines are lost because the peer dials at the same moment
NEARBY_SECONDS = 2.0  # for the local network to answer, when somebody waits for all to be reached
PROBE_SECONDS = 2.0  # after a change of network, for a peer to show that its connection still lives

_log = logging.getLogger(__name__)


class Finder:
    """Keeps this device connected with the other members. ``moved`` is told when our addresses may have changed."""

    def __init__(
        self, mesh: Mesh, host: Host, sync: SyncDriver, nursery: trio.Nursery, moved: Callable[[], None]
    ) -> None:
        self.mesh, self.host, self.sync, self._nursery, self._told = mesh, host, sync, nursery, moved
        self.machine = Reconnect(random.random)
        self.lan = (
            LanDiscovery(host.peer_id, lambda: host.addrs, self._on_hint) if mesh.settings.get("mesh.lan") else None
        )
        self._trying: dict[str, trio.Event] = {}
        self._wake = trio.Event()
        self._moved = trio.Event()
        self._good: dict[str, str] = mesh.fact("good", {})  # peer → the address that answered last
        self.look_again()

    def _now(self) -> float:
        return self.mesh.clock.monotonic()

    # --- what happens ----------------------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Members or the register of their addresses may have changed."""
        register = self.mesh.replica.document.map(ADDRESSES)
        members = {peer_id(device) for device in self.mesh.replica.membership.members} - {self.mesh.device}
        if self.mesh.identity.device not in self.mesh.replica.membership.members:
            members = set()
        known = {}
        for peer in members:
            claimed = register.get(peer)
            known[peer] = usable(claimed) if isinstance(claimed, list) else []
        self.machine.members(known, {peer: self._good[peer] for peer in members if peer in self._good}, self._now())
        self._stir()

    def link_changed(self, peer: str, connected: bool) -> None:
        """A session began or ended."""
        if connected:
            self.machine.connected(peer, self._now())
        else:
            self.machine.disconnected(peer, self._now())
        self._stir()

    def _on_hint(self, peer: str, addrs: Sequence[str]) -> None:
        self.machine.hint(peer, addrs, self._now())
        self._stir()

    def _on_network(self, what: str) -> None:
        _log.info("the network changed (%s): looking for the other devices anew", what)
        self._nursery.start_soon(self._renew)

    async def _renew(self) -> None:
        """Our addresses changed or we slept: what does not answer is cut, and everybody is tried at once."""
        self.machine.network_changed(self._now())
        self._told()
        with suppress(OSError):  # the system would not list its addresses at this moment
            self.host.cut_stranded()
        self._stir()
        if self.lan is not None:
            self._nursery.start_soon(self.lan.refresh)
        asked = set(self.sync.links)
        for peer in asked - await self.sync.answering(PROBE_SECONDS):
            self.host.disconnect(peer)
        self.machine.network_changed(self._now())
        self._stir()

    def _stir(self) -> None:
        self._wake.set()
        self._moved.set()
        self._moved = trio.Event()

    # --- trying ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep looking until cancelled."""
        if self.lan is not None:
            self._nursery.start_soon(self.lan.run)
        self._nursery.start_soon(watch_network, self.mesh.clock, self._on_network)
        while True:
            self._wake = trio.Event()
            for attempt in self.machine.due(self._now()):
                self._begin(attempt.peer, attempt.addrs)
            with trio.move_on_after(max(0.0, self.machine.next_due(self._now()) - self._now())):
                await self._wake.wait()

    def _begin(self, peer: str, addrs: Sequence[str]) -> trio.Event:
        """Try a peer, unless that is under way; the event is set when the attempt is over."""
        if peer not in self._trying:
            self._nursery.start_soon(self._attempt, peer, addrs)
            self._trying[peer] = trio.Event()
        return self._trying[peer]

    async def _attempt(self, peer: str, addrs: Sequence[str]) -> None:
        try:
            await self._reach(peer, addrs)
            self.machine.connected(peer, self._now())
        except PeerUnreachable as error:
            self.machine.failed(peer, error.tried, self._now())
        except MycelError as error:
            self.machine.failed(peer, {"": str(error)}, self._now())
        except Exception:  # one bad peer must not end the node
            _log.exception("an attempt to reach %s failed", peer)
            self.machine.failed(peer, {"": "something went wrong here; the log says what"}, self._now())
        finally:
            self._over(peer)

    def _over(self, peer: str) -> None:
        self._trying.pop(peer).set()
        self._stir()

    async def connect(self, peer: str, addrs: Sequence[str]) -> None:
        """Connect to a member at these addresses, now. Raises `PeerUnreachable`, `NetworkError`, `NotAMember`."""
        while peer in self._trying:  # two attempts at once would fight about whose connection is kept
            await self._trying[peer].wait()
        self._trying[peer] = trio.Event()
        try:
            await self._reach(peer, addrs)
        finally:
            self._over(peer)

    async def _reach(self, peer: str, addrs: Sequence[str]) -> None:
        """Connect and begin a session. Raises `PeerUnreachable`, `NetworkError`, `NotAMember`."""
        for left in reversed(range(MAX_LINES)):
            if peer in self.sync.links:
                return
            address = await self.host.dial(peer, addrs, deadline=DIAL_SECONDS)
            line = self.host.line(peer)
            try:
                await self._begin_session(line)
            except NetworkError:
                if left and not line.live and peer in self.host.connected():
                    continue  # both ends had dialled at the same moment, and the other line is the one that is kept
                raise
            if address and self._good.get(peer) != address:
                self._good[peer] = address
                await self.mesh.keep_fact("good", self._good)
            return

    async def _begin_session(self, line: Connection) -> None:
        """Begin, or wait for the other end to begin if it dialled. Raises `NetworkError`, `NotAMember`."""
        if line.dialled_here:
            await self._nursery.start(self.sync.greet, line)
            return
        with trio.move_on_after(LINK_SECONDS):
            async with open_background() as waiting:
                waiting.start_soon(_cancel_after, line.over, waiting.cancel_scope)
                while line.peer not in self.sync.links:
                    await self._moved.wait()
        if line.peer not in self.sync.links:
            raise BrokenError("it hung up before the first word")

    async def try_all(self, peers: Iterable[str]) -> None:
        """Try all of these that are not connected, at once, and again where the local network soon knows more.

        Returns when every attempt is over. Cancelled, the attempts go on.
        """
        asked = set(peers)
        await self._try(asked - self.sync.links.keys())
        deadline = trio.current_time() + (NEARBY_SECONDS if self.lan is not None else 0)
        while (missing := asked - self.sync.links.keys()) and trio.current_time() < deadline:
            moved = self._moved
            if promising := [peer for peer in missing if self.machine.untried(peer)]:
                await self._try(promising)
            else:
                with trio.move_on_at(deadline):
                    await moved.wait()

    async def _try(self, peers: Iterable[str]) -> None:
        attempts: list[Attempt] = [self.machine.attempt(peer, self._now()) for peer in peers]
        for event in [self._begin(attempt.peer, attempt.addrs) for attempt in attempts]:
            await event.wait()

    def untried(self, peer: str) -> bool:
        """Is an address of a missing peer known that the last attempt did not have?"""
        return peer not in self.sync.links and self.machine.untried(peer)

    # --- telling people --------------------------------------------------------------------------------------------------

    def report(self, peer: str) -> dict[str, Any] | None:
        """What was tried for a peer that is not connected, and a hint when it keeps failing."""
        return self.machine.report(peer, self._now())

    def services(self) -> dict[str, tuple[str, str]]:
        """The state of discovery on the local network."""
        return {"lan": self.lan.state if self.lan is not None else ("off", "the setting mesh.lan is false")}


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
