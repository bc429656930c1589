"""A pattern with a large file, fetched by a stranger, beside the same bytes between two Kubos. Arguments: times, bytes.

Ours: the program `mycelnode run` has published a skill with such a file; a node in this process, connected to it over loopback,
does what `pattern show` does first: it brings manifest and files into its store. Kubo: of two daemons one adds the file by the
same profile, and the other fetches it by each of its ways; the fastest of them counts. Ours and Kubo's take turns. Without Kubo
its numbers are left out.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import httpx
import trio

import mycelnode
from benchmarks.data import V1_2025
from benchmarks.ours.neighbours import Neighbour, neighbour, skill, stranger
from benchmarks.ours.world import DEADLINE, LOOPBACK, Numbers, job
from mycelnode.node import Node
from mycelnode.patterns.cid import Cid
from tests.peers.install import Missing
from tests.peers.kubo import Kubo, kubo

# `pin` keeps the blocks and gives none to us; `cat` and `export` send us all the bytes, too
WAYS = {"pin": "pin/add", "cat": "cat", "export": "dag/export"}


@contextmanager
def _two_kubos(folder: Path) -> Iterator[tuple[Kubo, Kubo] | None]:
    """Connected; None, with the reason on standard error, if there is none here."""
    for name in ("giving", "taking"):
        (folder / name).mkdir(parents=True)
    try:
        with kubo(folder / "giving") as giving, kubo(folder / "taking") as taking:
            taking.connect(giving.addrs[0])
            yield giving, taking
    except Missing as error:
        print(error, file=sys.stderr)
        yield None


async def _ours(here: Neighbour, there: Node, folder: Path, number: int, data: bytes) -> float:
    made = await here.ask("pattern.publish", path=str(skill(folder, number, data=data)))
    cid = Cid.parse(made["cid"])
    started = perf_counter()
    await there.collective.fetch(cid, lambda here, total: None)
    taken = perf_counter() - started
    assert there.collective.keeper is not None
    files = await there.collective.keeper.files(await there.collective.keeper.load(cid))
    if files["data"] != data:
        raise AssertionError("other bytes came than were published")
    return taken


def _kubos(giving: Kubo, taking: Kubo, way: str, data: bytes) -> float:
    cid = giving.add(data, *V1_2025)
    with httpx.Client(base_url=taking.api_url, timeout=DEADLINE) as client:
        client.post("/api/v0/id")  # so that nobody waits for the connection
        started = perf_counter()
        answer = client.post(f"/api/v0/{WAYS[way]}", params={"arg": cid})
        taken = perf_counter() - started
        answer.raise_for_status()
    if taking.cat(cid) != data:
        raise AssertionError("other bytes came than were added")
    return taken


async def measure(folder: Path, times: int, size: int) -> Numbers:
    """Medians, in s."""
    taken: dict[str, list[float]] = {}
    with _two_kubos(folder / "kubo") as pair:
        async with neighbour(folder / "here") as here:
            data = await stranger(folder / "there", here.contact)
            async with mycelnode.open_node(data.path, listen=LOOPBACK) as there:
                await here.meets()
                for number in range(times + 1):
                    ours = await _ours(here, there, folder / "skills", number, os.urandom(size))
                    taken.setdefault("ours_s", []).append(ours)
                    for way in WAYS if pair is not None else ():
                        assert pair is not None
                        theirs = await trio.to_thread.run_sync(partial(_kubos, *pair, way, os.urandom(size)))
                        taken.setdefault(f"kubo_{way}_s", []).append(theirs)
    numbers = {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}  # not the first of a process
    if pair is not None:
        numbers["kubo_s"] = min(numbers[f"kubo_{way}_s"] for way in WAYS)
    return numbers


if __name__ == "__main__":
    job(measure)
