"""W1, W2 and W3 on the product path: two meshes in this process, everything but the wire. Arguments: workload (1–3), N."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from benchmarks.data import Sizes, element, key, now_swept, value
from benchmarks.ours.memory_link import connected
from benchmarks.ours.world import Numbers, at_once, begin, job, opened
from mycelnode.mesh import Mesh
from mycelnode.shared import SharedMap, SharedSet


async def w1(folder: Path, sizes: Sizes) -> Numbers:
    """To an empty replica: by state, and entry by entry (to one that has met the mesh before, so it gets no state)."""
    full, empty, known = await begin(folder, "full", "empty", "known")
    async with opened(full) as here, opened(empty) as newcomer, opened(known) as old:
        notes = SharedMap(here, "m")
        await notes.put("", b"")  # so that `known` holds something
        async with connected(here, old) as link:
            await link.until(link.in_step)

        async def put(number: int) -> None:
            await notes.put(key(number), value(number))

        started = now_swept()
        await at_once(put, range(sizes.n))
        numbers: Numbers = {"build_s": perf_counter() - started}

        started = now_swept()
        async with connected(here, newcomer, rest=True) as link:
            await link.until(lambda: len(SharedMap(newcomer, "m")) > sizes.n)
            numbers["state_s"], numbers["state_bytes"] = perf_counter() - started, link.bytes(entries=False)
            if newcomer.replica.base is None:
                raise AssertionError("the newcomer did not begin with a state")
        check(newcomer, sizes)

        started = now_swept()
        async with connected(here, old) as link:
            await link.until(link.in_step)
            numbers["entries_s"], numbers["entries_bytes"] = perf_counter() - started, link.bytes()
        check(old, sizes)
        return numbers


def check(mesh: Mesh, sizes: Sizes) -> None:
    """Does ``mesh`` hold all of W1?"""
    held = SharedMap(mesh, "m")
    if any(held.get(key(number)) != value(number) for number in range(sizes.n)):
        raise AssertionError("W1: the replica does not hold what was written")


async def w2(folder: Path, sizes: Sizes) -> Numbers:
    """Two replicas in step, then both changed while apart."""
    async with opened((paths := await begin(folder, "one", "other"))[0]) as one, opened(paths[1]) as other:
        mine, theirs = SharedMap(one, "m"), SharedMap(other, "m")

        async def put(number: int) -> None:
            await mine.put(key(number), value(number))

        await at_once(put, range(sizes.n))
        async with connected(one, other) as link:
            await link.until(link.in_step)
        for number in range(sizes.changed):
            await mine.put(key(number), value(number, 1))
            await theirs.put(key(sizes.changed + number), value(sizes.changed + number, 1))
        started = now_swept()
        async with connected(one, other) as link:
            await link.until(link.in_step)
            numbers: Numbers = {"sync_s": perf_counter() - started, "sync_bytes": link.bytes()}
        expected = {key(n): value(n, int(n < 2 * sizes.changed)) for n in range(sizes.n)}
        if not dict(mine.items()) == dict(theirs.items()) == expected:
            raise AssertionError("W2: the replicas differ")
        return numbers


async def w3(folder: Path, sizes: Sizes) -> Numbers:
    """A set changed on both sides, the changes of each side in one transaction a kind, as the peers make them; then the merged set
    to an empty replica by state, which is what it gets where elements came one by one."""
    paths = await begin(folder, "one", "other", "empty")
    async with opened(paths[0]) as one, opened(paths[1]) as other, opened(paths[2]) as newcomer:
        mine, theirs = SharedSet(one, "s"), SharedSet(other, "s")

        async def add(item: str) -> None:
            await mine.add(item)

        await at_once(add, sizes.common())
        async with connected(one, other) as link:
            await link.until(link.in_step)
        for side, (added, removed) in ((mine, sizes.one_side()), (theirs, sizes.other_side())):
            await side.add(*added)
            await side.remove(*removed)
        started = now_swept()
        async with connected(one, other) as link:
            await link.until(link.in_step)
            numbers: Numbers = {"sync_s": perf_counter() - started, "sync_bytes": link.bytes()}
        probed = [item in mine for item in sizes.probed()]
        if set(mine) != set(theirs) or len(mine) != sizes.alive - probed.count(False):
            raise AssertionError("W3: the replicas differ")
        numbers["add_wins"] = 100 * sum(probed) / len(probed)

        started = now_swept()
        async with connected(one, newcomer, rest=True) as link:
            await link.until(lambda: len(SharedSet(newcomer, "s")) == len(mine))
            numbers["state_s"], numbers["state_bytes"] = perf_counter() - started, link.bytes(entries=False)
            if newcomer.replica.base is None:
                raise AssertionError("the newcomer did not begin with a state")
        if element(sizes.n) not in SharedSet(newcomer, "s"):
            raise AssertionError("W3: the newcomer does not hold what was added")
        return numbers


async def measure(folder: Path, workload: int, n: int) -> Numbers:
    """One workload."""
    return await (w1, w2, w3)[workload - 1](folder, Sizes(n))


if __name__ == "__main__":
    job(measure)
