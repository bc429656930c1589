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
    """Wait until something holds; looked at whenever something has changed."""
    with trio.fail_after(DEADLINE):
        async with node.watch() as changes:
            while not true():
                await changes.receive()


async def _fetch(path: Path, there: Remote, name: str, kind: Callable[[], bool] | str, n: int) -> tuple[float, int]:
    """Dial and wait until the map or log ``name`` has ``n`` items: seconds and bytes."""
    async with mycelnode.open_node(path, listen=()) as node:
        held = node.map(name) if kind == "map" else node.log(name)
        started = perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.connect, there.device, there.addresses)
            await _until(node, lambda: len(held) >= n)
        seconds = perf_counter() - started
        return seconds, bytes_on_wire(there.port) or 0


async def measure(folder: Path, n: int) -> Numbers:
    """Each of the three, by a device that dials a node which has everything."""
    laptop, newcomer, phone = (folder / name for name in ("laptop", "newcomer", "phone"))
    async with remote(laptop) as there:
        for path in (newcomer, phone):
            await mycelnode.join(path, await there.ask("invite"), name=path.name)
        async with mycelnode.open_node(phone, listen=()) as node:  # once met, it gets entries, not a state
            await node.connect(there.device, there.addresses)
            await node.syncing.in_step([there.device], DEADLINE)
        await there.ask("fill_map", name="w1", n=n)
    # a node in a new process listens at a port of its own choice: nobody can dial before the clock runs
    numbers: Numbers = {}
    async with remote(laptop) as there:
        numbers["state_s"], _ = await _fetch(newcomer, there, "w1", "map", n)
        numbers["w1_s"], numbers["w1_bytes"] = await _fetch(phone, there, "w1", "map", n)
        await there.ask("fill_log", name="w4", n=n)
    async with remote(laptop) as there:
        numbers["w4_s"], numbers["w4_bytes"] = await _fetch(phone, there, "w4", "log", n)
    return numbers


if __name__ == "__main__":
    job(measure)
