"""Over TCP and Noise between two node processes: W1 to an empty replica by state, and W1 and W4 entry by entry. Argument: N.

Timed from the call that dials until everything is on disk and in the document here; bytes are those of the TCP connection, both
ways, handshake included.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import trio

import mycelnode
from benchmarks.ours.remote import Remote, bytes_on_wire, remote
from benchmarks.ours.world import DEADLINE, Numbers, job


async def _until(node: mycelnode.Node, true: Callable[[], bool]) -> None:
    """Wait until something holds; looked at whenever a session has made progress."""
    with trio.fail_after(DEADLINE):
        while not true():
            await node.syncing.moved()


async def _fetch(path: Path, there: Remote, name: str, kind: str, n: int) -> tuple[float, int]:
    """Dial and wait until the map or log ``name`` has ``n`` items: seconds and bytes."""
    async with mycelnode.open_node(path, listen=()) as node:
        held = node.map(name) if kind == "map" else node.log(name)
        started = perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.connect, there.device, there.addresses)
            await _until(node, lambda: len(held) >= n)
        seconds = perf_counter() - started
        return seconds, bytes_on_wire(there.port) or 0


async def _mesh(folder: Path, *names: str) -> list[Path]:
    """A new mesh: its node runs in another process, the others have joined, and all but the second have met it."""
    paths = [folder / name for name in names]
    async with remote(paths[0]) as there:
        for path in paths[1:]:
            await mycelnode.join(path, await there.ask("invite"), name=path.name)
        async with mycelnode.open_node(paths[-1], listen=()) as node:
            await node.connect(there.device, there.addresses)
            await node.syncing.in_step([there.device], DEADLINE)
    return paths


async def measure(folder: Path, n: int) -> Numbers:
    """Each of the three, by a device that dials a node which has everything; who has met it before gets entries, not a state."""
    numbers: Numbers = {}
    laptop, newcomer, phone = await _mesh(folder / "w1", "laptop", "newcomer", "phone")
    async with remote(laptop) as there:
        await there.ask("fill_map", name="w1", n=n)
    async with remote(laptop) as there:  # at a port that nobody knows: nobody dials before the clock runs
        numbers["state_s"], _ = await _fetch(newcomer, there, "w1", "map", n)
        numbers["w1_s"], numbers["w1_bytes"] = await _fetch(phone, there, "w1", "map", n)
    laptop, phone = await _mesh(folder / "w4", "laptop", "phone")
    async with remote(laptop) as there:
        await there.ask("fill_log", name="w4", n=n)
    async with remote(laptop) as there:
        numbers["w4_s"], numbers["w4_bytes"] = await _fetch(phone, there, "w4", "log", n)
    return numbers


if __name__ == "__main__":
    job(measure)
