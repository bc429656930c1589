"""How a device leaves its mesh, and its folder is put aside or erased."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import trio

from mycelnode import audit
from mycelnode.beginning import alone, database_files
from mycelnode.config_keys import SPENDERS
from mycelnode.crdt.statements import REVOKE
from mycelnode.errors import (
    ConfigError,
    DatabaseDamaged,
    KeyFileError,
    NotInitialised,
    SchemaTooNew,
)
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir
from mycelnode.ports import Clock
from mycelnode.turns import let_go_of_key


async def leave_mesh(data: DataDir, *, clock: Clock, erase: bool, wait: float) -> dict[str, object]:
    """Take this device out: revoke itself, tell the others, and put the folder's content aside or erase it.

    ``wait``: seconds for reaching the others, and again for telling them. A folder that is damaged, or not enrolled yet, is put
    aside without telling anybody: ``mesh`` is None then. ``others`` is how many devices could be told, ``kept`` what was put aside
    in this folder before, ``spender`` who paid for uses from here, if anybody, and may have money left. Raises `NodeRunning`,
    `NotInitialised`, `DataDirUnusable`.
    """
    data.check_begun()
    with alone(data):
        pass
    left: dict[str, object] = {"mesh": None, "device": None, "told": [], "others": 0, "spender": None}
    if not data.joining.exists():
        with suppress(DatabaseDamaged, KeyFileError, SchemaTooNew, ConfigError, NotInitialised, sqlite3.Error):
            left = await _tell_and_leave(data, clock, wait)
    with alone(data):
        kept = sorted(map(str, data.path.glob("left-*")))
        aside = None if erase else data.path / f"left-{clock.wall() // 1000}"
        if erase:
            with suppress(DatabaseDamaged, SchemaTooNew, sqlite3.Error):
                await trio.to_thread.run_sync(let_go_of_key, data)
        _remove(data, aside)
    return {**left, "erased": erase, "aside": None if aside is None else str(aside), "kept": kept}


async def _tell_and_leave(data: DataDir, clock: Clock, wait: float) -> dict[str, object]:
    async with open_mesh(data, clock=clock) as mesh:
        members = mesh.replica.membership.members
        left: dict[str, object] = {
            "mesh": mesh.id,
            "device": mesh.device,
            "told": [],
            "others": len(members) - 1,
            "spender": next(filter(None, map(mesh.settings.get, SPENDERS)), None),
        }
        if mesh.identity.device not in members:
            return left
        if len(members) == 1:  # there is nobody to tell
            await _declare_left(mesh)
            return left

    from mycelnode.node import open_node

    async with open_node(data, clock=clock, control=False, swarm=False) as node:
        await node.sync(wait)
        linked = set(node.syncing.links)
        await _declare_left(node.mesh)
        answered = await node.syncing.in_step(linked, wait)
        told = answered | (linked - node.syncing.links.keys())  # who has heard it hangs up on us
        return {**left, "told": sorted(told)}


async def _declare_left(mesh: Mesh) -> None:
    device, head = mesh.identity.device, mesh.replica.head
    await mesh.commit(
        lambda replica: replica.declare(REVOKE, device, head, {"reason": "left"}, mesh.now()),
        lambda connection: audit.record(connection, "mesh.leave", {"mesh": mesh.id}, mesh.clock.wall()),
    )


def _remove(data: DataDir, aside: Path | None = None) -> None:
    """Erase what makes this folder a device, and its blocks, or move it into the folder ``aside``; logs and backups stay."""
    keys = (data.device_key, data.swarm_key, data.turns_key)
    for file in (*keys, data.config, data.joining, *database_files(data), data.blocks):
        with suppress(FileNotFoundError):
            if aside is None and file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            elif aside is None:
                file.unlink()
            else:
                aside.mkdir(mode=0o700, exist_ok=True)
                os.rename(file, aside / file.name)
