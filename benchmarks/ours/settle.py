"""The first start of a device with patterns that are kept and not pinned yet, beside the least that must be waited for.

Argument: how many patterns, each a manifest with a file. So it is after a restore, and on a device that was brought blocks. The
floor is one `fsync` a file, of as many files of the same sizes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import trio

from benchmarks.ours.world import Numbers, begin, job, opened
from mycelnode.identity import KeyPair
from mycelnode.keeping.choices import KEPT
from mycelnode.keeping.keeper import Keeper
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.folders import write_folder
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.solutions import Code

QUOTA = 10 << 30
AT_ONCE = 500  # patterns that are said to be kept in one entry


def _fill(store: Blockstore, count: int) -> list[Manifest]:
    """So many patterns in the store, of one stranger; nothing is pinned."""
    key, made = KeyPair(b"k" * 32), []
    for number in range(count):
        files = write_folder({"notes.md": b"what I noticed, %d" % number}, store.put).cid
        plain = Pattern(f"number {number}", "shell", Code("ls -S", "bash"), key.public, 0, files=files)
        made.append(Manifest.sign(replace(plain, created=number), key.sign))
        store.put(made[-1].cid, made[-1].block)
    return made


def _floor(folder: Path, store: Blockstore) -> float:
    """Seconds to sync as many files, of the sizes of the blocks, and their folder."""
    folder.mkdir()
    handles = []
    try:
        for path in (store.folder / "blocks").rglob("b*"):
            if path.is_file():
                handles.append(os.open(folder / path.name, os.O_WRONLY | os.O_CREAT))
                os.write(handles[-1], path.read_bytes())
        started = perf_counter()
        for handle in (*handles, folder_handle := os.open(folder, os.O_RDONLY)):
            os.fsync(handle)
        handles.append(folder_handle)
        return perf_counter() - started
    finally:
        for handle in handles:
            os.close(handle)


async def measure(folder: Path, count: int) -> Numbers:
    """Seconds of the first `Keeper.settle`, and of the next."""
    (path,) = await begin(folder, "only")
    async with opened(path) as mesh:
        store = Blockstore(mesh.data.blocks, QUOTA)
        made = await trio.to_thread.run_sync(_fill, store, count)
        add = mesh.replica.document.add
        for start in range(0, count, AT_ONCE):
            await mesh.write([add(KEPT, str(one.cid)) for one in made[start : start + AT_ONCE]])
        floor = await trio.to_thread.run_sync(_floor, folder / "floor", store)
        keeper = Keeper(mesh, store)
        started = perf_counter()
        if await keeper.settle():
            raise AssertionError("something is not wholly here")
        settled = perf_counter()
        await keeper.settle()
        return {"first_s": settled - started, "again_s": perf_counter() - settled, "fsync_s": floor}


if __name__ == "__main__":
    job(measure)
