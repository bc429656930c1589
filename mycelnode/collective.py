"""A node's part in the collective: its blocks, and the door through which others fetch them and it fetches theirs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import trio

from mycelnode.errors import MycelError
from mycelnode.identity import swarm_seed
from mycelnode.mesh import Mesh
from mycelnode.p2p.blocks import ByName
from mycelnode.p2p.swarm import Swarm, open_swarm
from mycelnode.patterns.blockstore import Blockstore

QUOTA_BYTES = 10 << 30  # of disk, for blocks
LAST_PORT = "swarm_port"  # among the facts of the database
_log = logging.getLogger(__name__)


class Collective:
    """What is open of it. ``blocks`` and ``swarm`` are None where they could not be opened, the swarm also where it is off.

    ``problem``: why something is not open that should be.
    """

    def __init__(self) -> None:
        self.blocks: Blockstore | None = None
        self.swarm: Swarm | None = None
        self.problem = ""

    def describe(self) -> dict[str, Any] | None:
        """``{peer, addrs}`` of the door, or None."""
        return None if self.swarm is None else {"peer": self.swarm.peer_id, "addrs": self.swarm.addrs}

    def status(self) -> dict[str, Any] | None:
        """What `mycelnode status` shows of the door: as `describe`, and how many ``peers`` are connected."""
        known = self.describe()
        return None if known is None or self.swarm is None else {**known, "peers": len(self.swarm.peers)}

    def services(self) -> dict[str, tuple[str, str]]:
        """The state of the door for `mycelnode status`, unless it is off."""
        if self.problem:
            return {"swarm": ("failed", self.problem)}
        if self.swarm is None:
            return {}
        said = f"peers connected: {len(self.swarm.peers)}"
        if self.swarm.unusable:
            said += f"; {len(self.swarm.unusable)} of swarm.bootstrap cannot be dialled: {self.swarm.unusable[0]}"
        return {"swarm": ("ok", said)}


@asynccontextmanager
async def open_collective(mesh: Mesh) -> AsyncIterator[Collective]:
    """Open the blocks, and the door if `swarm.enabled` is set. If either does not open, the node runs on without, and says so."""
    collective = Collective()
    async with AsyncExitStack() as stack:
        try:
            blocks = await trio.to_thread.run_sync(Blockstore, mesh.data.blocks, QUOTA_BYTES)
            collective.blocks = blocks
            if mesh.settings.get("swarm.enabled"):
                collective.swarm = await stack.enter_async_context(_open_swarm(mesh, blocks))
        except MycelError as error:
            collective.problem = str(error)
            _log.error("the door to the collective did not open: %s", error)
        yield collective


@asynccontextmanager
async def _open_swarm(mesh: Mesh, blocks: Blockstore) -> AsyncIterator[Swarm]:
    seed = await trio.to_thread.run_sync(swarm_seed, mesh.data)
    async with open_swarm(
        seed,
        listen=list(mesh.settings.get("swarm.listen")),
        bootstrap=mesh.settings.get("swarm.bootstrap"),
        store=ByName(blocks),
        last_port=mesh.fact(LAST_PORT),
    ) as swarm:
        await mesh.keep_fact(LAST_PORT, swarm.host.port)
        yield swarm
