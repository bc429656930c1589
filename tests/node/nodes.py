"""Real nodes in this process: folders, libp2p hosts on loopback, and a wall clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from mycelnode.clock import SystemClock
from mycelnode.joining import init_mesh, join_mesh
from mycelnode.node import Node, open_node
from mycelnode.paths import DataDir
from mycelnode.serving import NodeCommands

LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
SOON = 20.0  # seconds: far more than anything here takes


class SkewedClock(SystemClock):
    """The system's clock, with a wall clock that is ``ahead`` by some milliseconds."""

    def __init__(self, ahead: int = 0) -> None:
        self.ahead = ahead

    def wall(self) -> int:
        return super().wall() + self.ahead


def folder(tmp_path: Path, name: str) -> DataDir:
    """The data folder of the device ``name``, without discovery on the local network."""
    data = DataDir(tmp_path / name)
    data.create()
    data.config.write_text("[mesh]\nlan = false\n")
    data.config.chmod(0o600)
    return data


@asynccontextmanager
async def running(
    data: DataDir, clock: SkewedClock | None = None, *, listen: Sequence[str] = LOOPBACK
) -> AsyncIterator[Node]:
    """The node of an initialised folder; one that listens nowhere only dials."""
    async with open_node(data, clock=clock or SkewedClock(), listen=listen, control=False) as node:
        yield node


@asynccontextmanager
async def founder(tmp_path: Path, name: str = "laptop", clock: SkewedClock | None = None) -> AsyncIterator[Node]:
    """A new mesh's first node."""
    data = folder(tmp_path, name)
    await init_mesh(data, name, clock=clock or SkewedClock())
    async with running(data, clock) as node:
        yield node


async def let_in(tmp_path: Path, inviter: Node, name: str, clock: SkewedClock | None = None) -> DataDir:
    """Join ``inviter``'s mesh as a device called ``name``."""
    data = folder(tmp_path, name)
    await join_mesh(data, str(await inviter.invite()), name, clock=clock or SkewedClock())
    return data


async def ask(node: Node, kind: str, **fields: Any) -> dict[str, Any]:
    """What the control socket answers."""
    return await NodeCommands(node).commands[kind](fields)


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something holds; says ``what`` if it never does."""
    with trio.move_on_after(SOON):
        while not true():
            await trio.sleep(0.01)
        return
    raise AssertionError(f"{what}: not within {SOON:.0f} s")
