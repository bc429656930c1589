"""The store of blocks, beside plain files. Arguments: bytes in blocks of 1 MiB, and how many small blocks a store has to open.

*Put* verifies and writes; nothing waits for the disk before *pin*, which makes all of it durable. Plain files are written, or
read, by their numbers, and hashed once: what any store of named blocks must do.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import trio

from benchmarks.data import PIECE_BYTES
from benchmarks.ours.world import Numbers, job
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.patterns.unixfs import write_file

QUOTA = 1 << 40
SMALL_BYTES = 256


def _blocks(size: int) -> list[bytes]:
    rng = random.Random(size)
    return [rng.randbytes(PIECE_BYTES) for _ in range(max(1, size // PIECE_BYTES))]


def _plain(folder: Path, blocks: Sequence[bytes]) -> tuple[float, float]:
    """Seconds to write, and to read."""
    folder.mkdir()
    started = perf_counter()
    for number, block in enumerate(blocks):
        hashlib.sha256(block).digest()
        with open(folder / str(number), "wb", buffering=0) as file:
            file.write(block)
    written = perf_counter()
    for number in range(len(blocks)):
        with open(folder / str(number), "rb", buffering=0) as file:
            hashlib.sha256(file.read()).digest()
    return written - started, perf_counter() - written


def _ours(store: Blockstore, blocks: Sequence[bytes]) -> tuple[float, float, float]:
    """Seconds to put, to get, and to pin them as one file."""
    names = [Cid.of(RAW, block) for block in blocks]
    started = perf_counter()
    for name, block in zip(names, blocks, strict=True):
        store.put(name, block)
    put = perf_counter()
    for name in names:
        if store.get(name) is None:
            raise AssertionError("a block is gone")
    got = perf_counter()
    root = write_file(blocks, store.put).cid
    pinning = perf_counter()
    store.pin(root)
    return put - started, got - put, perf_counter() - pinning


def _opened(folder: Path, count: int) -> Numbers:
    """Seconds to open a store of so many blocks, and to look at each of its files."""
    store = Blockstore(folder, QUOTA)
    started = perf_counter()
    for number in range(count):
        block = number.to_bytes(8, "big") * (SMALL_BYTES // 8)
        store.put(Cid.of(RAW, block), block)
    filled = perf_counter()
    again = Blockstore(folder, QUOTA)
    opened = perf_counter()
    if again.usage != store.usage:
        raise AssertionError("it does not know all of its blocks again")
    looking = perf_counter()
    for part in os.scandir(folder / "blocks"):
        for file in os.scandir(part):
            file.stat(follow_symlinks=False)
    return {
        "open_s": opened - filled,
        "plain_open_s": perf_counter() - looking,
        "small_put_s": (filled - started) / count,
    }


def _all(folder: Path, size: int, count: int) -> Numbers:
    blocks = _blocks(size)
    megabytes = len(blocks) * PIECE_BYTES / 1e6
    plain_put, plain_get = _plain(folder / "plain", blocks)
    put, got, pinned = _ours(Blockstore(folder / "store", QUOTA), blocks)
    rates = {"put": put, "get": got, "pin": pinned, "plain_put": plain_put, "plain_get": plain_get}
    return {f"{name}_mb_s": megabytes / seconds for name, seconds in rates.items()} | _opened(folder / "many", count)


async def measure(folder: Path, size: int, count: int) -> Numbers:
    """MB/s of blocks of 1 MiB; seconds to open, and to put one small block."""
    return await trio.to_thread.run_sync(_all, folder, size, count)


if __name__ == "__main__":
    job(measure)
