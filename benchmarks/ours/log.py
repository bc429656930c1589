"""W4, writing: durable appends by the node's API, one after the other and by many writers at once. Argument: N."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import mycelnode
from benchmarks.data import entry
from benchmarks.ours.world import LOOPBACK, Numbers, at_once, begin, job
from mycelnode.paths import DataDir


async def measure(folder: Path, n: int) -> Numbers:
    """Appends per second, and bytes on disk after the node has closed."""
    (path,) = await begin(folder, "laptop")
    database = DataDir(path).database
    entries = [entry(number) for number in range(n)]
    numbers: Numbers = {}
    async with mycelnode.open_node(path, listen=LOOPBACK) as node:
        few = entries[: max(1, n // 10)]
        log = node.log("alone")
        started = perf_counter()
        for item in few:
            await log.add(item)
        numbers["alone_per_s"] = len(few) / (perf_counter() - started)
    before = database.stat().st_size  # a closed node leaves nothing beside it
    async with mycelnode.open_node(path, listen=LOOPBACK) as node:
        log = node.log("together")
        started = perf_counter()
        await at_once(log.add, entries)
        numbers["together_per_s"] = n / (perf_counter() - started)
        if len(log) != n:
            raise AssertionError("W4: entries are missing")
    numbers["disk_bytes"] = database.stat().st_size - before
    return numbers


if __name__ == "__main__":
    job(measure)
