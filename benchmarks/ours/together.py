"""Two node processes together: how soon a change is visible on the other device, and how long pairing takes. Argument: repetitions.

The inviter and writer is a node in a process of its own (`benchmarks.ours.remote`). *Paired* is timed twice: the library's `join`,
and the program `mycelnode join INVITE` from its start to its end.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from time import monotonic_ns, perf_counter

import trio

import mycelnode
from benchmarks.data import key
from benchmarks.ours.remote import Remote, remote
from benchmarks.ours.world import DEADLINE, Numbers, job


async def _visible(path: Path, there: Remote, times: int) -> float:
    """Median ms from just before a write on one device until another's watcher hears of it; on disk on both by then."""
    async with mycelnode.open_node(path, listen=()) as node:
        await node.connect(there.device, there.addresses)
        await node.syncing.in_step([there.device], DEADLINE)
        taken = []
        async with node.watch("visible") as changes:
            for number in range(times):
                before: int | None = None

                async def write(number: int = number) -> None:
                    nonlocal before
                    before = await there.ask("put_now", name="visible", number=number)

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(write)
                    change = await changes.receive()
                    seen = monotonic_ns()  # one clock for all processes of the machine
                if change.key != key(number) or before is None:
                    raise AssertionError("another change than the one that was made")
                taken.append((seen - before) / 1e6)
        return statistics.median(taken)


async def _join_program(path: Path, invite: str) -> float:
    """ms of `mycelnode join INVITE`, start of Python and all imports included."""
    command = [sys.executable, "-m", "mycelnode", "join", invite, "--name", path.name, "--data-dir", str(path)]
    started = perf_counter()
    await trio.run_process(command, stdout=subprocess.DEVNULL)
    return (perf_counter() - started) * 1000


async def measure(folder: Path, times: int) -> Numbers:
    """Medians, in ms."""
    async with remote(folder / "laptop") as there:
        joined = []
        for number in range(max(3, times // 5)):
            invite = await there.ask("invite")
            started = perf_counter()
            await mycelnode.join(folder / f"phone{number}", invite)
            joined.append((perf_counter() - started) * 1000)
        program = await _join_program(folder / "tablet", await there.ask("invite"))
        visible = await _visible(folder / "phone0", there, times)
    return {"paired_ms": statistics.median(joined[1:]), "join_program_ms": program, "visible_ms": visible}


if __name__ == "__main__":
    job(measure)
