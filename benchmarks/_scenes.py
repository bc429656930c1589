"""What is measured at scale, scene by scene; every scene yields its points one by one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import trio

from benchmarks._catch_up import away, catch_up, leave, newcomer
from benchmarks._crowd import changes_in_a_crowd
from benchmarks._folders import ENTRY_BYTES, YEAR_DAYS, Folders, SimulatedClock, day_offset, overwriting, write
from benchmarks._points import Point, Shown
from benchmarks._processes import child, grow_and_kill
from benchmarks._wire import Cost, Wire
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir

CHANGES = 100  # that a device misses in a reconnect
CHANGE_STEPS = (0, 10, CHANGES, 1000)  # … after the shortest and after the longest history
CHANGE_BYTES = ENTRY_BYTES + 5  # of each: the value, and the key
TIMES = 5  # that a reconnect is timed; the median counts
WRITES = 200  # durable writes, one after the other
CROWD_CHANGES = 5
TIP_BYTES = 32 + 32 + 2  # what a device must say of each log: whose, its hash, and how far (a byte or two) …
ID_BYTES = 32  # … and of each statement: one enrols each device


async def meet(one: DataDir, other: DataDir, day: int, changes: Sequence[int]) -> dict[int, Cost]:
    """Let two devices that hold the same meet again and again, with new entries at one end; what that took, by their number."""
    clock = SimulatedClock(day_offset(day))
    found = {}
    async with open_mesh(one, clock=clock) as left, open_mesh(other, clock=clock) as right:
        await Wire(left, right).run()  # what the last run left
        for count in changes:
            times = []
            for _ in range(TIMES):
                await write(left, range(count), overwriting)
                times.append((await Wire(left, right).run()).cpu)
            await write(left, range(count), overwriting)
            found[count] = await Wire(left, right, count_reads=True).run()
            found[count].cpu = median(times)
    return found


def points_of(meetings: Mapping[int, Cost], curve: str, x: int, devices: int) -> Iterator[Point]:
    """The figures of two devices that met: in step, and after changes at one end."""
    for what, changes in (("in step", 0), (f"{CHANGES} changes", CHANGES)):
        yield from _met(meetings[changes], f"{curve}: {what}", x, devices, changes)


def _met(cost: Cost, curve: str, x: int, devices: int, changes: int) -> Iterator[Point]:
    floor = 2 * devices * (TIP_BYTES + ID_BYTES) + changes * CHANGE_BYTES
    yield Point(f"{curve}, bytes", x, cost.bytes, "B", floor)
    yield Point(f"{curve}, frames", x, cost.frames, "frames")
    yield Point(f"{curve}, CPU of both", x, 1000 * cost.cpu, "ms")
    yield Point(f"{curve}, reads of the database", x, sum(cost.reads.values()), "statements")


def history(base: Path, devices: int, sizes: list[int], shown: Shown) -> Iterator[Point]:
    """One mesh whose history grows and whose document does not: starts, writes, reconnects and catch-ups at each size."""
    folders = Folders(base)
    trio.run(folders.found, devices, True)
    days = [0, *(YEAR_DAYS * size // sizes[-1] for size in sizes)]
    for number, size in enumerate(sizes):
        first, day = (sizes[number - 1] if number else 0), days[number + 1]
        what = f"writing {size - first:,} entries"
        began = time.monotonic()
        grow_and_kill(
            folders,
            range(first, size),
            (days[number], day),
            "overwriting",
            lambda n, a=first, b=size, w=what: shown(w, (n - a) / (b - a)),
        )
        yield Point(
            "history: written by the devices and brought together",
            size,
            (size - first) / (time.monotonic() - began),
            "entries/s",
        )
        yield from _starts(folders, day, "history", size)
        shown("reconnecting", 0.0)
        keeper, second = folders.copy(0, "first"), folders.copy(0, "second", key=1)
        at_the_ends = size in (sizes[0], sizes[-1])
        met = trio.run(meet, keeper, second, day, CHANGE_STEPS if at_the_ends else (0, CHANGES))
        yield from points_of(met, "history", size, devices)
        if at_the_ends:
            for changes, cost in met.items():
                yield from _met(cost, f"changes: {size:,} entries before", changes, devices, changes)
        yield from _loopback(folders, day, size, shown)
        yield from newcomer(folders, day, "history", size, size, shown)
        if number == 0:
            leave(folders)
        else:
            yield from away(folders, day, size - sizes[0], shown)


def _starts(folders: Folders, day: int, curve: str, x: int) -> Iterator[Point]:
    """Starts of the keeper's node, after kill -9 and after a clean end, with what it takes while it runs."""
    for how in ("kill -9", "a clean end"):
        with child(folders.data(0), day) as node:
            yield Point(f"{curve}: start after {how}, CPU", x, node.started["cpu"], "s")
            yield Point(f"{curve}: start after {how}, most memory", x, node.started["peak"] / 1e6, "MB")
            if how == "a clean end":
                yield Point(f"{curve}: idle node, memory", x, node.started["rss"] / 1e6, "MB")
                wrote = node.ask("write", WRITES)
                yield Point(f"{curve}: durable write, median", x, 1000 * wrote["median"], "ms")
                yield Point(f"{curve}: durable write, CPU", x, 1000 * wrote["cpu"] / WRITES, "ms")
                looked = node.ask("look")
                yield Point(f"{curve}: status, CPU", x, 1000 * looked["cpu"], "ms")
                yield Point(f"{curve}: on disk", x, looked["disk"] / 1e6, "MB")
        if how == "kill -9":  # this one has something to keep
            yield Point(f"{curve}: clean end, CPU", x, node.ended["cpu"], "s")
            yield Point(f"{curve}: clean end, most memory", x, node.ended["peak"] / 1e6, "MB")


def _loopback(folders: Folders, day: int, x: int, shown: Shown) -> Iterator[Point]:
    """Two real nodes over Noise and yamux: in step, and with changes."""
    for what, changes in (("in step", 0), (f"{CHANGES} changes", CHANGES)):
        shown("two nodes", 0.5)
        first, second = folders.copy(0, "first"), folders.copy(0, "second", key=1)
        with child(first, day) as giver, child(second, day) as taker:
            if changes:
                giver.ask("many", changes)
            met = catch_up(giver, taker, [])
        yield Point(f"loopback: {what}, bytes", x, met.bytes, "B")
        yield Point(f"loopback: {what}, CPU of both", x, 1000 * (met.near["cpu"] + met.far["cpu"]), "ms")
        yield Point(f"loopback: {what}, time", x, 1000 * met.near["wall"], "ms")


def devices(base: Path, counts: list[int], entries: int, shown: Shown) -> Iterator[Point]:
    """Meshes of more and more devices with as many entries in all."""
    for count in counts:
        shown(f"{count} devices", counts.index(count) / len(counts))
        folders = Folders(base / f"of-{count}")
        trio.run(folders.found, count)
        grow_and_kill(folders, range(entries), (0, YEAR_DAYS), "overwriting", lambda _: None)
        folders.copy(0, "second", key=1)
        met = trio.run(meet, folders.data(0), folders.data("second"), YEAR_DAYS, (0, CHANGES))
        yield from points_of(met, "devices", count, count)
        with child(folders.data(0), YEAR_DAYS) as node:
            yield Point("devices: start after a clean end, CPU", count, node.started["cpu"], "s")
            yield Point("devices: idle node, memory", count, node.started["rss"] / 1e6, "MB")
            yield Point("devices: status, CPU", count, 1000 * node.ask("look")["cpu"], "ms")
            yield Point("devices: durable write, CPU", count, 1000 * node.ask("write", WRITES)["cpu"] / WRITES, "ms")
        shown(f"{count} devices, all connected", counts.index(count) / len(counts))
        live = trio.run(_crowd_of, folders, count)
        for what, total, unit in (("bytes", live.bytes, "B"), ("frames", live.frames, "frames")):
            yield Point(f"crowd: a change, {what} that each device sends", count, total / CROWD_CHANGES / count, unit)
        yield Point("crowd: a change, CPU of each device", count, 1000 * live.cpu / CROWD_CHANGES / count, "ms")
        shutil.rmtree(folders.base)


async def _crowd_of(folders: Folders, count: int) -> Cost:
    """Everybody holds everything, and is connected with everybody."""
    for number in range(1, count):
        shutil.copyfile(folders.data(0).database, folders.data(number).database)
    return await changes_in_a_crowd(folders, CROWD_CHANGES)


def values(base: Path, count: int, megabytes: list[int], shown: Shown) -> Iterator[Point]:
    """A mesh whose document grows, in values of 1 KiB."""
    folders = Folders(base)
    trio.run(folders.found, count, True)
    sizes = [size * 1000 for size in megabytes]
    for number, size in enumerate(sizes):
        first = sizes[number - 1] if number else 0
        grow_and_kill(
            folders,
            range(first, size),
            (YEAR_DAYS * first // sizes[-1], YEAR_DAYS * size // sizes[-1]),
            "kilobyte",
            lambda n, a=first, b=size: shown(f"writing {b // 1000:,} MB", (n - a) / (b - a)),
        )
        day = YEAR_DAYS * size // sizes[-1]
        yield from _starts(folders, day, "values", megabytes[number])
        yield from newcomer(folders, day, "values", megabytes[number], size, shown)
