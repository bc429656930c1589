"""One device in a process of its own, told what to do in lines of JSON: so that memory, processor time and a kill are its own.

`python -m benchmarks._child FOLDER DAY` opens a node there, on a day of the simulated year, and says what that took. Then each line
``[verb, argument …]`` on its standard input is answered by one line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from benchmarks._folders import Folders, SimulatedClock, day_offset, grow, kilobyte, overwriting, write
from mycelnode.mesh import open_mesh
from mycelnode.node import Node, open_node
from mycelnode.paths import DataDir

TICK = 0.01  # seconds between looks at whether the node still answers
LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
MARKS: dict[str, Callable[[Node], bool]] = {
    "usable": lambda node: not node.mesh.replica.new,  # a newcomer has the others' state
    "proved": lambda node: node.mesh.replica.base is None,  # and the logs which prove it
}
VALUES = {"overwriting": overwriting, "kilobyte": kilobyte}


def memory() -> dict[str, int]:
    """Bytes resident now, and at most so far."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"rss": int(found["VmRSS"].split()[0]) << 10, "peak": int(found["VmHWM"].split()[0]) << 10}


def forget_peak() -> None:
    """Let the peak begin anew (proc(5), clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Freeze:
    """The longest time for which nothing else could run in this process."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        before = time.monotonic()
        while True:
            await trio.sleep(TICK)
            now = time.monotonic()
            self.longest = max(self.longest, now - before - TICK)
            before = now


def say(answer: Any) -> None:
    """One line to whoever started us."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def serve(folder: str, day: str) -> None:
    """Open the node, then do as told until the input ends."""
    imported = memory()["rss"]
    wall, cpu = time.monotonic(), time.process_time()
    async with open_node(
        DataDir(folder), clock=SimulatedClock(day_offset(int(day))), listen=LOOPBACK, control=False
    ) as node:
        took = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu, "imported": imported, **memory()}
        applied = sum(node.mesh.replica.document.applied.values())
        say({**took, "device": node.device, "addrs": node.addresses, "entries": applied})
        async with trio.open_nursery() as nursery:
            freeze = Freeze()
            nursery.start_soon(freeze.run)
            while line := await _next_line():
                say(await _obey(node, freeze, *json.loads(line)))
            nursery.cancel_scope.cancel()
        wall, cpu = time.monotonic(), time.process_time()
        forget_peak()
    say({"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu, **memory()})


async def _next_line() -> str:
    return await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)


async def _obey(node: Node, freeze: Freeze, verb: str, *arguments: Any) -> dict[str, Any]:
    forget_peak()
    wall, cpu, freeze.longest = time.monotonic(), time.process_time(), 0.0
    more: dict[str, Any] = {}
    match verb:
        case "write":  # one after the other, each on disk before the next
            times = []
            for number in range(arguments[0]):
                name, key, value = overwriting(number)
                began = time.perf_counter()
                await node.map(name).put(key, value)
                times.append(time.perf_counter() - began)
            times.sort()
            more = {"median": times[len(times) // 2], "late": times[len(times) * 99 // 100]}
        case "many":
            await write(node.mesh, range(arguments[0]), overwriting)
        case "sync":
            device, addresses, seconds, marks = arguments
            await node.connect(device, addresses)
            for mark in marks:
                while not MARKS[mark](node):
                    await node.syncing.moved()
                more[mark] = time.monotonic() - wall
            more["synced"] = (await node.sync(seconds)).synced
        case "during":  # what others cause here, until the next line
            await _next_line()
        case "look":
            status = node.status()
            more = {"devices": len(status["devices"]), "disk": status["disk"]}
    took = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu, "freeze": freeze.longest, **memory()}
    return {**took, "entries": sum(node.mesh.replica.document.applied.values()), **more}


async def grow_folders(base: str, first: str, last: str, since: str, until: str, value: str) -> None:
    """Grow the folders of a mesh by the entries from the first to the last, between two days of the year, and wait to be killed."""
    folders, clock, days = Folders(Path(base)), SimulatedClock(), (int(since), int(until))
    async with open_mesh(folders.data(0), clock=clock) as keeper:
        numbers = range(int(first), int(last))
        await grow(folders, keeper, numbers, days, VALUES[value], lambda count: say({"entries": count}))
        say({"done": True, **memory()})
        await trio.to_thread.run_sync(sys.stdin.readline)


if __name__ == "__main__":
    if sys.argv[1] == "grow":
        trio.run(partial(grow_folders, *sys.argv[2:]))
    else:
        trio.run(partial(serve, *sys.argv[1:]))
