"""Many devices in one process, each connected with each: what one change costs every one of them until all have it and all know."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from benchmarks._folders import Folders, SimulatedClock, overwriting, write
from benchmarks._wire import FRAMING_BYTES, Cost, carry_out
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.state_transfer import StateSource
from mycelnode.protocols.sync import SyncSession


class Crowd:
    """Open meshes with a session for either end of each pair."""

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        self.meshes = meshes
        self.now = 0.0
        self.cost = Cost()
        everybody = range(len(meshes))
        self.sessions = {
            (mine, theirs): SyncSession(
                meshes[mine].replica,
                meshes[theirs].identity.device,
                StateSource(meshes[mine].offer),
                None,
                wall=meshes[mine].clock.wall(),
                now=0.0,
            )
            for mine in everybody
            for theirs in everybody
            if mine != theirs
        }
        for number, mesh in enumerate(meshes):
            mesh.listeners.append(partial(self._moved, number))

    def _moved(self, number: int, progress: Progress) -> None:
        for (mine, _), session in self.sessions.items():
            if mine == number:
                session.progress(progress.logs, now=self.now)

    async def settle(self) -> Cost:
        """Until nobody has anything to say any more; what that took."""
        self.cost, began = Cost(), time.process_time()
        quiet = 0
        while quiet < 2:
            moved = False
            for pair, session in self.sessions.items():
                while (frame := session.next_frame(now=self.now)) is not None:
                    moved = True
                    self.cost.frames += 1
                    self.cost.bytes += len(frame) + FRAMING_BYTES
                    mine, theirs = pair
                    other = self.sessions[theirs, mine]
                    mesh = self.meshes[theirs]
                    for proposal in other.receive(frame, wall=mesh.clock.wall(), now=self.now):
                        await carry_out(mesh, proposal)
            quiet = 0 if moved else quiet + 1
            if not moved:
                self.now += 0.3  # entries of others are passed on a quarter of a second later, if need be
        self.cost.cpu = time.process_time() - began
        return self.cost


async def changes_in_a_crowd(folders: Folders, changes: int) -> Cost:
    """All devices of a mesh, connected with each other: the cost of so many changes at one of them, one after the other."""
    clock = SimulatedClock()
    async with AsyncExitStack() as stack:
        meshes = [await stack.enter_async_context(open_mesh(data, clock=clock)) for data in folders.all()]
        crowd = Crowd(meshes)
        await crowd.settle()
        total = Cost()
        for _ in range(changes):
            await write(meshes[-1], range(1), overwriting)
            cost = await crowd.settle()
            total.frames, total.bytes, total.cpu = (
                total.frames + cost.frames,
                total.bytes + cost.bytes,
                total.cpu + cost.cpu,
            )
        digests = {mesh.replica.document.digest() for mesh in meshes}
        assert len(digests) == 1
        return total
