"""A device that was put out, whose identity was cloned or whose clock ran far ahead, made ready to join its mesh again with a
new key and its old data.

A key is enrolled once. The old log stays in the folder; what others do not have of it can be rescued after the new join.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Final

from mycelnode import logstore
from mycelnode.anchors import ANCHORED, FORMER
from mycelnode.commands import RESTORED_NAME, device_name
from mycelnode.encoding import encode
from mycelnode.errors import AlreadyInitialised, NotInitialised
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir, sync_folder, write_durably
from mycelnode.ports import Clock
from mycelnode.privacy import partstore, turnstore

JOINED: Final = "joined"  # the fact that keeps the invite through which the device in this folder became a member
RESTORED_MARK: Final = b"restored"  # in the file that stands for a join under way: no device is enrolled here yet


async def make_ready(data: DataDir, root: bytes | None, clock: Clock) -> None:
    """If the folder holds a device of the mesh ``root`` that can write no more, let the next join make a new key for it.

    A folder without a device, or on its way into a mesh, is left as it is; a join or a return that a crash interrupted is brought
    to its end. Raises `AlreadyInitialised` for a device that is a member, or of another mesh; and what `open_mesh` raises.
    """
    begun = data.joining.exists()
    if not data.initialised() or (begun and not (data.device_key.exists() and data.database.exists())):
        return
    with suppress(NotInitialised):  # nothing was stored yet
        async with open_mesh(data, clock=clock) as mesh:
            device, replica = mesh.identity.device, mesh.replica
            if begun and device not in replica.membership.enrolled:
                return
            halfway = mesh.stored.fact(RESTORED_NAME) is not None  # the crash came before the old key was removed
            out = (
                halfway
                or device not in replica.membership.members
                or device in replica.membership.fences
                or replica.cloned
            )
            if (out or replica.clock_ran_ahead(mesh.now())) and mesh.root == root:
                write_durably(data.joining, RESTORED_MARK)
                await _reset(mesh)
                data.device_key.unlink()
                sync_folder(data.path)
                return
            if not out:
                data.joining.unlink(missing_ok=True)
                sync_folder(data.path)
        raise AlreadyInitialised(
            f"{data.path} already holds a device of a mesh; `mycelnode leave` takes it out, or use another --data-dir"
        )


async def _reset(mesh: Mesh) -> None:
    """Forget what belonged to the old key alone. The fold begins anew: a wrong clock may have been the reason to come back."""
    name = device_name(mesh, mesh.identity.device).encode()
    former = [*mesh.fact(FORMER, []), mesh.identity.device]

    def store(connection: sqlite3.Connection) -> None:
        logstore.save_fact(connection, RESTORED_NAME, name)
        logstore.save_fact(connection, "clock", encode(0))
        logstore.save_fact(connection, FORMER, encode(former))
        logstore.drop_fact(connection, ANCHORED)
        logstore.drop_fact(connection, "port")
        logstore.drop_fact(connection, JOINED)
        turnstore.spend_all(connection)  # a clone of this folder may have counted them
        partstore.forget_device(connection)

    await mesh.database.write(store)
