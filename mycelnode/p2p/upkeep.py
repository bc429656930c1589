"""What a device writes into the mesh by itself: where it can be reached, the head of its audit chain, and its part in snapshots.

It does so only when another device has shown how much it holds of our log. Else a device that was put back to an older state, by a
copy of its disk, would fork its own log before it could learn of its longer one: nobody asked for that write.
"""

from __future__ import annotations

import logging

import trio

from mycelnode.anchors import CHECK_SECONDS, anchor
from mycelnode.commands import ADDRESSES
from mycelnode.crdt import document as ops
from mycelnode.errors import MycelError
from mycelnode.mesh import Mesh
from mycelnode.p2p.host import Host
from mycelnode.p2p.sync_driver import SyncDriver
from mycelnode.protocols import tending
from mycelnode.protocols.folding import Progress

_log = logging.getLogger(__name__)


class Upkeep:
    """The upkeep of one node."""

    def __init__(self, mesh: Mesh, host: Host, syncing: SyncDriver) -> None:
        self.mesh, self.host, self.syncing = mesh, host, syncing
        self._sure = False  # that no other device holds more of our log
        self._wake = trio.Event()

    def look(self) -> None:
        """Our addresses may have changed."""
        self._wake.set()

    def on_progress(self, progress: Progress) -> None:
        """Something new is on disk: a snapshot may be due, or one may wait for us."""
        if tending.needed(self.mesh.replica, may_write=self._sure):
            self._wake.set()

    async def begin(self) -> None:
        """What can be done before anybody is met."""
        if self._may_write():
            await self._write()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            while not self._may_write():
                await self.syncing.moved()
            self._wake = trio.Event()
            await self._write()
            with trio.move_on_after(CHECK_SECONDS):
                await self._wake.wait()

    def _may_write(self) -> bool:
        alone = self.mesh.replica.membership.members <= {self.mesh.identity.device}
        self._sure = self._sure or alone or any(link.session.shown_our_log() for link in self.syncing.links.values())
        return self._sure

    async def _write(self) -> None:
        addrs = list(self.host.addrs)
        try:
            if addrs and self.mesh.replica.document.map(ADDRESSES).get(self.mesh.device) != addrs:
                await self.mesh.write([ops.map_put(ADDRESSES, self.mesh.device, addrs)])
            await anchor(self.mesh)
            await self.mesh.tend(may_write=self._sure)
        except MycelError as error:
            _log.warning(
                "this device could not write its addresses, the head of its audit chain or a snapshot: %s", error
            )
