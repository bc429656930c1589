"""The store of blocks in a data folder: opened with the room that the person gives it, and what it takes meanwhile."""

from __future__ import annotations

import os
from typing import Final

from mycelnode.mesh import Mesh
from mycelnode.patterns.blockstore import Blockstore

SETTING: Final = "blocks.quota"  # in MiB


def quota(mesh: Mesh) -> int:
    """What blocks may take of the disk, in bytes."""
    return int(mesh.settings.get(SETTING)) << 20


def open_blocks(mesh: Mesh) -> Blockstore:
    """Blocking. Raises `DataDirUnusable`."""
    return Blockstore(mesh.data.blocks, quota(mesh))


def usage(mesh: Mesh) -> int:
    """About what they take, in bytes, without opening the store."""
    taken = 0
    for folder, _, names in os.walk(mesh.data.blocks):
        for name in names:
            try:
                taken += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue  # gone meanwhile
    return taken
