"""What is measured at scale, scene by scene; every scene yields its points one by one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import trio

from benchmarks._crowd import changes_in_a_crowd
from benchmarks._folders import ENTRY_BYTES, YEAR_DAYS, Folders, SimulatedClock, day_offset, overwriting, write
from benchmarks._processes import Child, Relay, child, grow_and_kill
from benchmarks._wire import Cost, Wire
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir

CHANGES = 100  # that a device misses in a reconnect
CHANGE_BYTES = ENTRY_BYTES + 5  # of each: the value, and the key
TIMES = 5  # that a reconnect is timed; the median counts
WRITES = 200  # durable writes, one after the other
CROWD_CHANGES = 5
SYNC_SECONDS = 3600.0  # for a catch-up
TIP_BYTES = 32 + 32 + 2  # what a device must say of each log: whose, its hash, and how far (a byte or two) …
ID_BYTES = 32  # … and of each statement: one enrols each device

Shown = Callable[[str, float], None]
"""``shown(what, part done)``: for a progress bar."""


@dataclass(frozen=True, slots=True)
class Point:
    """One figure: ``value`` in ``unit`` for the curve at ``x``; ``floor`` is what nobody could go below, where that is clear."""

    curve: str
    x: int
    value: float
    unit: str
    floor: float | None = None


@dataclass
class Meetings:
    """Two devices that meet in one process: again in step, and after changes at one end."""

    in_step: Cost = field(default_factory=Cost)
    changed: Cost = field(default_factory=Cost)


async def meet(one: DataDir, other: DataDir, day: int) -> Meetings:
    """Let two devices that hold the same meet again and again: nothing changed; `CHANGES` entries at one end."""
    clock = SimulatedClock(day_offset(day))
    found = Meetings()
    async with open_mesh(one, clock=clock) as left, open_mesh(other, clock=clock) as right:
        await Wire(left, right).run()  # what the last run left
        for attribute, changes in (("in_step", 0), ("changed", CHANGES)):
            times = []
            for _ in range(TIMES):
                await write(left, range(changes), overwriting)
                times.append((await Wire(left, right).run()).cpu)
            await write(left, range(changes), overwriting)
            cost = await Wire(left, right, count_reads=True).run()
            cost.cpu = median(times)
            setattr(found, attribute, cost)
    return found


def points_of(meetings: Meetings, curve: str, x: int, devices: int) -> Iterator[Point]:
    """The figures of two devices that met."""
    tips = 2 * devices * (TIP_BYTES + ID_BYTES)
    for what, cost, floor in (
        ("in step", meetings.in_step, tips),
        (f"{CHANGES} changes", meetings.changed, tips + CHANGES * CHANGE_BYTES),
    ):
        yield Point(f"{curve}: {what}, bytes", x, cost.bytes, "B", floor)
        yield Point(f"{curve}: {what}, frames", x, cost.frames, "frames")
        yield Point(f"{curve}: {what}, CPU of both", x, 1000 * cost.cpu, "ms")
        yield Point(f"{curve}: {what}, reads of the database", x, sum(cost.reads.values()), "statements")


def history(base: Path, devices: int, sizes: list[int], shown: Shown) -> Iterator[Point]:
    """One mesh whose history grows and whose document does not: starts, writes and reconnects at each size; then the year away."""
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
        folders.copy(0, "second", key=1)
        keeper = folders.copy(0, "first")
        yield from points_of(trio.run(meet, keeper, folders.data("second"), day), "history", size, devices)
        if number == 0:
            folders.copy(0, "away", key=min(2, devices - 1))
        yield from _loopback(folders, day, size, shown)
    yield from _away(folders, days[-1], sizes, shown)
    yield from _newcomer(folders, days[-1], "history", sizes[-1], sizes[-1], shown)


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


@dataclass
class Session:
    """A catch-up of two processes over libp2p on loopback: what each took, and the bytes between them."""

    near: dict[str, Any]
    far: dict[str, Any]
    bytes: int


def _catch_up(giver: Child, taker: Child, until: list[str]) -> Session:
    """The taker connects and catches up; ``until``: verbs that say when, besides being in step."""
    port = int(next(a for a in giver.started["addrs"] if "/tcp/" in a).rsplit("/", 1)[1])
    giver.tell("during")
    with closing(Relay(port)) as relay:
        near = taker.ask("sync", giver.started["device"], [f"/ip4/127.0.0.1/tcp/{relay.port}"], SYNC_SECONDS, until)
        giver.tell("over")
        far = giver.answer()
    if giver.started["device"] not in near["synced"]:
        raise RuntimeError("two devices of the measurement did not get in step")
    return Session(near, far, relay.bytes)


def _loopback(folders: Folders, day: int, x: int, shown: Shown) -> Iterator[Point]:
    """Two real nodes over Noise and yamux: in step, and with changes."""
    for what, changes in (("in step", 0), (f"{CHANGES} changes", CHANGES)):
        shown("two nodes", 0.5)
        first, second = folders.copy(0, "first"), folders.copy(0, "second", key=1)
        with child(first, day) as giver, child(second, day) as taker:
            if changes:
                giver.ask("many", changes)
            met = _catch_up(giver, taker, [])
        yield Point(f"loopback: {what}, bytes", x, met.bytes, "B")
        yield Point(f"loopback: {what}, CPU of both", x, 1000 * (met.near["cpu"] + met.far["cpu"]), "ms")
        yield Point(f"loopback: {what}, time", x, 1000 * met.near["wall"], "ms")


def _away(folders: Folders, day: int, sizes: list[int], shown: Shown) -> Iterator[Point]:
    """A device that was in step at the first size and comes back at the last."""
    missed = sizes[-1] - sizes[0]
    shown(f"a device that missed {missed:,} entries", 0.5)
    with child(folders.copy(0, "first"), day) as giver, child(folders.data("away"), day) as taker:
        met = _catch_up(giver, taker, [])
    yield from _caught_up("away", missed, met, missed)


def _newcomer(folders: Folders, day: int, curve: str, x: int, entries: int, shown: Shown) -> Iterator[Point]:
    """A device that has just been let in, and begins by state."""
    shown("a newcomer", 0.5)
    new = folders.data("newcomer")
    with child(folders.copy(0, "first"), day) as giver, child(new, day) as taker:
        met = _catch_up(giver, taker, ["usable", "proved"])
        yield Point(f"{curve}: newcomer, usable after", x, met.near["usable"], "s")
        yield Point(f"{curve}: newcomer, proved after", x, met.near["proved"], "s")
        yield from _caught_up(f"{curve}: newcomer", x, met, entries)
    shutil.rmtree(new.path)


def _caught_up(curve: str, x: int, met: Session, entries: int) -> Iterator[Point]:
    yield Point(f"{curve}, time", x, met.near["wall"], "s")
    yield Point(f"{curve}, rate", x, entries / met.near["wall"], "entries/s")
    yield Point(f"{curve}, bytes", x, met.bytes / 1e6, "MB")
    for who, took in (("taker", met.near), ("giver", met.far)):
        yield Point(f"{curve}, CPU of the {who}", x, took["cpu"], "s")
        yield Point(f"{curve}, most memory of the {who}", x, took["peak"] / 1e6, "MB")
        yield Point(f"{curve}, longest silence of the {who}", x, took["freeze"], "s")


def devices(base: Path, counts: list[int], entries: int, shown: Shown) -> Iterator[Point]:
    """Meshes of more and more devices with as many entries in all."""
    for count in counts:
        shown(f"{count} devices", counts.index(count) / len(counts))
        folders = Folders(base / f"of-{count}")
        trio.run(folders.found, count)
        grow_and_kill(folders, range(entries), (0, YEAR_DAYS), "overwriting", lambda _: None)
        folders.copy(0, "second", key=1)
        met = trio.run(meet, folders.data(0), folders.data("second"), YEAR_DAYS)
        yield from points_of(met, "devices", count, count)
        with child(folders.data(0), YEAR_DAYS) as node:
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
        yield from _starts(folders, YEAR_DAYS * size // sizes[-1], "values", megabytes[number])
    yield from _newcomer(folders, YEAR_DAYS, "values", megabytes[-1], sizes[-1], shown)
