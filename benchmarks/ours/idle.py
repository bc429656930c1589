"""What a node costs that does nothing: memory and CPU of `mycelnode run` with one connected device, and of a bare libp2p host.
And how long `mycelnode --help` takes, beside a Python that does nothing. Arguments: seconds of watching, repetitions.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import psutil
import trio

import mycelnode
from benchmarks.ours.world import DEADLINE, LOOPBACK, Numbers, begin, child, job

SETTLE_SECONDS = 3.0  # after the devices have met


async def _watch(pid: int, seconds: float) -> tuple[float, float]:
    """(resident MB, percent of one core) of a process left alone."""
    process = psutil.Process(pid)
    await trio.sleep(SETTLE_SECONDS)
    before = process.cpu_times()
    await trio.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return process.memory_info().rss / 1e6, 100 * used / max(seconds, 1)


async def _seconds(command: Sequence[str]) -> float:
    started = perf_counter()
    await trio.run_process(command, stdout=subprocess.DEVNULL)
    return perf_counter() - started


async def measure(folder: Path, seconds: int, times: int) -> Numbers:
    """Memory in MB, CPU in percent of a core, times in ms."""
    laptop, phone = await begin(folder, "laptop", "phone")
    run = ("mycelnode", "run", "--json", "--listen", LOOPBACK[0], "--data-dir", str(laptop))
    numbers: Numbers = {}
    async with child(*run) as (process, said), mycelnode.open_node(phone, listen=()) as node:
        ready = await anext(said)
        await node.connect(ready["peer"], ready["addrs"])
        await node.syncing.in_step([ready["peer"]], DEADLINE)
        numbers["rss_mb"], numbers["cpu_percent"] = await _watch(process.pid, seconds)
    async with child("benchmarks.ours.dial", "serve-stock", quiet=True) as (process, said):
        await anext(said)
        numbers["stock_rss_mb"], _ = await _watch(process.pid, 0)
    program = os.path.join(os.path.dirname(sys.executable), "mycelnode")
    for name, command in (("help_ms", [program, "--help"]), ("python_ms", [sys.executable, "-c", "pass"])):
        await _seconds(command)
        numbers[name] = 1000 * statistics.median([await _seconds(command) for _ in range(times)])
    return numbers


if __name__ == "__main__":
    job(measure)
