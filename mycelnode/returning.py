"""A device that was put out, whose identity was cloned or whose clock ran far ahead, made ready to join its mesh again with a
new key and its old data.

A key is enrolled once. The old log stays in the folder; what others do not have of it can be rescued after the new join.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from mycelnode import logstore
from mycelnode.commands import RESTORED_NAME, device_name
from mycelnode.encoding import encode
from mycelnode.errors import AlreadyInitialised
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir, write_durably
from mycelnode.ports import Clock

JOINED: Final = "joined"  # the fact that keeps the invite through which the device in this folder became a member
RESTORED_MARK: Final = b"restored"  # in the file that stands for a join under way: no device is enrolled here yet


async def make_ready(data: DataDir, root: bytes, clock: Clock) -> None:
    """If the folder holds a device of the mesh ``root`` that can write no more, let the next join make a new key for it.

    A folder without a device, or on its way into a mesh, is left as it is. Raises `AlreadyInitialised` for a device that is a
    member, or of another mesh; and what `open_mesh` raises.
    """
    if not data.initialised() or data.joining.exists():
        return
    async with open_mesh(data, clock=clock) as mesh:
        replica = mesh.replica
        out = mesh.identity.device not in replica.membership.members or replica.cloned
        if (out or replica.clock_ran_ahead(mesh.now())) and mesh.root == root:
            write_durably(data.joining, RESTORED_MARK)
            await _reset(mesh)
    if not data.joining.exists():
        raise AlreadyInitialised(
            f"{data.path} already holds a device of a mesh; `mycelnode leave` takes it out, or use another --data-dir"
        )
    data.device_key.unlink(missing_ok=True)


async def _reset(mesh: Mesh) -> None:
    """Forget what belonged to the old key alone. The fold begins anew: a wrong clock may have been the reason to come back."""
    name = device_name(mesh, mesh.identity.device).encode()

    def store(connection: sqlite3.Connection) -> None:
        logstore.save_fact(connection, RESTORED_NAME, name)
        logstore.save_fact(connection, "clock", encode(0))
        logstore.drop_fact(connection, "port")
        logstore.drop_fact(connection, JOINED)

    await mesh.database.write(store)
