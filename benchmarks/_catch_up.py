"""What a device takes that comes to what it has missed: after a year away, with snapshots and without, or as one just let in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from benchmarks._folders import Folders, SimulatedClock, day_offset, overwriting, write
from benchmarks._points import Point, Shown
from benchmarks._processes import Child, Relay, child
from benchmarks._wire import Wire
from mycelnode.beginning import root_statement
from mycelnode.crdt.statements import AWAY
from mycelnode.identity import root_from_phrase
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir
from mycelnode.protocols import tending

SYNC_SECONDS = 3600.0  # for a catch-up
AFTER_SNAPSHOT = 1000  # entries that follow it, and so come as entries


@dataclass
class Session:
    """A catch-up of two processes over libp2p on loopback: what each took, and the bytes between them."""

    near: dict[str, Any]
    far: dict[str, Any]
    bytes: int


def catch_up(giver: Child, taker: Child, until: list[str]) -> Session:
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


def leave(folders: Folders) -> None:
    """A device that never writes is in step now, and stays away from here on."""
    folders.copy(0, "away", key="newcomer")


def away(folders: Folders, day: int, missed: int, shown: Shown) -> Iterator[Point]:
    """The device that left comes back: to every entry, and to a snapshot that the others agreed on without it."""
    shown(f"a device that missed {missed:,} entries", 0.3)
    giver = folders.copy(0, "first")
    yield from _back(folders, giver, day, "away: no snapshot", missed)
    giver = folders.copy(0, "first")
    shown("agreeing on a snapshot", 0.6)
    trio.run(_agree, folders, giver, folders.copy(0, "second", key=1), day)
    shown(f"a device that missed {missed:,} entries under a snapshot", 0.8)
    yield from _back(folders, giver, day, "away: a snapshot", missed)


def _back(folders: Folders, giver: DataDir, day: int, curve: str, missed: int) -> Iterator[Point]:
    back = folders.copy("away", "back")
    with child(giver, day) as near, child(back, day) as taker:
        met = catch_up(near, taker, [])
    yield from _caught_up(curve, missed, met, missed)
    shutil.rmtree(back.path)


async def _agree(folders: Folders, one: DataDir, other: DataDir, day: int) -> None:
    """The phrase calls away everybody else, the two agree on a snapshot of all there is and replace their entries by it, and the
    first writes on."""
    clock, root = SimulatedClock(day_offset(day)), root_from_phrase(folders.phrase)
    async with open_mesh(one, clock=clock) as left, open_mesh(other, clock=clock) as right:
        meshes = (left, right)
        others = sorted(left.replica.membership.members - {mesh.identity.device for mesh in meshes})
        said = [root_statement(root, AWAY, device, None, "away") for device in others]
        await left.commit(lambda replica: replica.learn(said))
        while not all(mesh.replica.snapshots.complete for mesh in meshes):
            await Wire(left, right).run()
            for mesh in meshes:
                # At the smaller points less has come together than a node proposes a snapshot for.
                while await mesh.commit(partial(tending.tend, now=mesh.now(), least=0)):
                    if mesh.replica.snapshots.complete:
                        break
        for mesh in meshes:
            await mesh.tend()
            cut = mesh.replica.snapshots.complete[0].cut
            if any(mesh.replica.logs.unpruned(device, head) for device, head in cut.items()):
                raise RuntimeError("a device of the measurement kept the entries under its snapshot")
        await write(left, range(AFTER_SNAPSHOT), overwriting)


def newcomer(folders: Folders, day: int, curve: str, x: int, entries: int, shown: Shown) -> Iterator[Point]:
    """A device that has just been let in, and begins by state, if that pays."""
    shown("a newcomer", 0.5)
    new = folders.copy("newcomer", "new")
    with child(folders.copy(0, "first"), day) as giver, child(new, day) as taker:
        met = catch_up(giver, taker, ["usable", "proved"])
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
