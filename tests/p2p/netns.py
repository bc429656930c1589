"""Child processes in network namespaces that talk with the test in lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from mycel_simnet.namespaces import Namespace

START_SECONDS = 20.0  # for a child's imports on a loaded machine
END_SECONDS = 10.0

# What every child begins with: `say` to the test, `orders` from it until it closes the line.
PRELUDE = """
import json, os, sys, trio
def say(**event):
    print(json.dumps(event), flush=True)
async def orders():
    while True:
        await trio.lowlevel.wait_readable(0)
        line = os.read(0, 65536)
        if not line:
            return
        yield json.loads(line)
def open_files():
    return len(os.listdir("/proc/self/fd"))
"""


class Child:
    """A program in a namespace; made by `child`."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._unread = b""

    async def hear(self, seconds: float) -> dict[str, Any]:
        """The next line it says, within ``seconds``."""
        assert self._process.stdout is not None
        with trio.fail_after(seconds):
            while b"\n" not in self._unread:
                more = await self._process.stdout.receive_some()
                assert more, f"the child ended: {self._unread!r}"
                self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    async def hear_until(self, seconds: float, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line it says that is ``wanted``, within ``seconds``."""
        with trio.fail_after(seconds):
            while not wanted(event := await self.hear(seconds)):
                pass
        return event

    async def order(self, order: object) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(order).encode())

    async def hang_up(self) -> None:
        """Send no more orders, upon which it ends."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()

    async def end(self) -> None:
        """Let it end; it must do so in peace, without a warning."""
        assert self._process.stderr is not None
        with trio.fail_after(END_SECONDS):
            await self.hang_up()
            complaints = b"".join([chunk async for chunk in self._process.stderr])
            status = await self._process.wait()
        assert (status, complaints) == (0, b""), f"exit status {status}, stderr: {complaints.decode()}"


@asynccontextmanager
async def child(host: Namespace, program: str, *arguments: str) -> AsyncIterator[Child]:
    """Run `PRELUDE` and ``program`` on ``host``, with warnings as errors; at the end of the block it must end in peace."""
    process = await trio.lowlevel.open_process(
        [*host.prefix, sys.executable, "-W", "error", "-c", PRELUDE + program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        running = Child(process)
        yield running
        await running.end()
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    await pipe.aclose()
