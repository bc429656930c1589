"""Devices of a mesh to measure with: real folders, databases and nodes; and what a job prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio

import mycelnode
from mycelnode import clock
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir

LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
DEADLINE = 120.0  # seconds for any single step, on a slow machine
WRITERS = 256  # tasks that write at once

Numbers = dict[str, float]
T = TypeVar("T")


def job(measure: Callable[..., Awaitable[Numbers]]) -> None:
    """Run ``measure(folder, *numbers of the command line)`` and print what it returns as one line of JSON."""
    os.environ["MYCEL_MESH_LAN"] = "false"  # devices of other runs on this network must not be met
    with tempfile.TemporaryDirectory(prefix="mycelnode-bench-") as folder:
        arguments = [int(argument) for argument in sys.argv[1:]]
        print(json.dumps(trio.run(partial(measure, Path(folder), *arguments))))


async def begin(folder: Path, *names: str) -> list[Path]:
    """The data folders of one mesh: the first device begins it, the others are let in."""
    first, *others = [folder / name for name in names]
    await mycelnode.init(first, name=names[0])
    async with mycelnode.open_node(first, listen=LOOPBACK) as node:
        for path in others:
            await mycelnode.join(path, str(await node.invite()), name=path.name)
    return [first, *others]


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Mesh]:
    """A device's part of the mesh, without a network: log, database and committer are the node's own."""
    async with open_mesh(DataDir(path), clock=clock.system()) as mesh:
        yield mesh


async def at_once(work: Callable[[T], Awaitable[object]], items: Iterable[T], tasks: int = WRITERS) -> None:
    """Do ``work`` on every item, ``tasks`` of them at a time, as many writers would."""
    waiting = iter(list(items))

    async def worker() -> None:
        for item in waiting:
            await work(item)

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(worker)


@asynccontextmanager
async def child(
    module: str, *arguments: str, quiet: bool = False
) -> AsyncIterator[tuple[trio.Process, AsyncIterator[Any]]]:
    """Another Python process for as long as the block lasts, and the objects it prints, a line of JSON each.

    At the end its input ends, and it is asked to stop.
    """
    start = partial(
        trio.run_process,
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        check=False,
    )
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(start)
        try:
            async with aclosing(objects(process.stdout)) as said:
                yield process, said
        finally:
            with trio.CancelScope(shield=True):
                assert process.stdin is not None
                await process.stdin.aclose()
            process.terminate()


async def objects(stream: Any) -> AsyncGenerator[Any, None]:
    """The lines of JSON that come from a byte stream."""
    buffer = b""
    async for data in stream:
        *whole, buffer = (buffer + data).split(b"\n")
        for line in whole:
            yield json.loads(line)
