"""The library's front door: the same things as the command line, as a small typed API on trio."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mycelnode import clock, joining, node
from mycelnode.joining import Initialised, JoinedMesh
from mycelnode.node import Node
from mycelnode.paths import DataDir

Path = str | os.PathLike[str]


async def init(path: Path, *, name: str | None = None) -> Initialised:
    """Begin a new mesh with a first device whose data lie in the folder ``path``.

    ``name`` is how the other devices will call this one (default: the machine's name). The answer holds the recovery phrase, 24
    words that exist nowhere else: show them to the person once. Raises `mycelnode.errors.AlreadyInitialised`, `ClockWrong`,
    `DataDirBusy`, `DataDirUnusable`, `DiskFull`, `ValueRefused` for a name that cannot be shown whole. Cancelled, no mesh is begun.

    >>> new = await mycelnode.init("laptop-data", name="laptop")
    >>> print(new.phrase)
    """
    return await joining.init_mesh(DataDir(path), name, clock=clock.system())


async def join(path: Path, invite: str, *, name: str | None = None) -> JoinedMesh:
    """Make the folder ``path`` a device of the mesh that ``invite`` (the text of an `Invite`) leads to.

    Safe to try again with the same invite, also after it has succeeded. Cancelled, it leaves the folder ready for that. Raises
    `mycelnode.errors.InviteError`, `PeerUnreachable` (also when the inviter stops answering in the middle), `AlreadyInitialised`,
    `PeerMisbehaved`, `DataDirBusy`, `DataDirUnusable`, `DiskFull`, `ClockWrong`, `ValueRefused`, `NetworkError`.

    >>> await mycelnode.join("phone-data", str(invite), name="phone")
    """
    return await joining.join_mesh(DataDir(path), invite, name, clock=clock.system())


@asynccontextmanager
async def open_node(path: Path, *, listen: Sequence[str] | None = None, control: bool = False) -> AsyncIterator[Node]:
    """Run the device in the folder ``path`` until the block is left; then everything is closed, cancelled or not.

    ``listen``: multiaddrs such as ``/ip4/127.0.0.1/tcp/0`` instead of the setting `mesh.listen`. ``control``: also serve the
    control socket, so that ``mycelnode status`` works on this folder. Raises `mycelnode.errors.NotInitialised`, `DataDirBusy`,
    `DataDirUnusable`, `DatabaseDamaged`, `SchemaTooNew`, `KeyFileError`, `ConfigError`, `NetworkError`.

    >>> async with mycelnode.open_node("laptop-data") as node:
    ...     await node.map("notes").put("shopping", "milk")
    """
    async with node.open_node(DataDir(path), clock=clock.system(), listen=listen, control=control) as opened:
        yield opened
