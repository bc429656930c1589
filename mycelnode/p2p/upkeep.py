"""What a device writes into the mesh by itself: where it can be reached, the head of its audit chain, the creator key
for newcomers, and its part in snapshots.

When it may, the replica says (`Replica.may_volunteer`).
"""

from __future__ import annotations

import logging

import trio

from mycelnode import creator, mesh_secret
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
        self._wake = trio.Event()

    def look(self) -> None:
        """Our addresses may have changed."""
        self._wake.set()

    def on_progress(self, progress: Progress) -> None:
        """Something new is on disk: a snapshot may be due, or one may wait for us."""
        if tending.needed(self.mesh.replica) or (
            progress.membership_changed and (creator.to_share(self.mesh) or mesh_secret.to_share(self.mesh))
        ):
            self._wake.set()

    async def begin(self) -> None:
        """What can be done before anybody is met."""
        if self.mesh.replica.may_volunteer:
            await self._write()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            while not self.mesh.replica.may_volunteer:
                await self.syncing.moved()
            self._wake = trio.Event()
            await self._write()
            with trio.move_on_after(CHECK_SECONDS):
                await self._wake.wait()

    async def _write(self) -> None:
        addrs = list(self.host.addrs)
        try:
            if addrs and self.mesh.replica.document.map(ADDRESSES).get(self.mesh.device) != addrs:
                await self.mesh.write([ops.map_put(ADDRESSES, self.mesh.device, addrs)])
            await anchor(self.mesh)
            await creator.share(self.mesh)
            await mesh_secret.share(self.mesh)
            await self.mesh.tend()
        except MycelError as error:
            _log.warning(
                "this device could not write its addresses, the head of its audit chain, a key or a snapshot: %s", error
            )
