"""The blocks of a backup: of patterns that are kept here and that nobody else may have.

These are what the person made, public or not, and what did not come from the swarm: a CAR of a friend, what another device keeps.
What came from the swarm is fetched again by its CID. A block is written as records ``["block", CID, is it the last part, bytes]``.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from mycelnode.errors import BackupError, BlockRefused, CidRefused, PatternRefused, StoreFull
from mycelnode.keeping.indexing import OWN
from mycelnode.keeping.showing import SWARM
from mycelnode.patterns import stored
from mycelnode.patterns.blockfiles import BlockReader
from mycelnode.patterns.blockstore import Adding, Blockstore
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.dag import MAX_BLOCK, links_of
from mycelnode.patterns.files.folder import MAX_TOTAL_BYTES
from mycelnode.patterns.manifest import Manifest
from mycelnode.schema import version

BLOCK: Final = "block"
PART_BYTES: Final = 256 << 10  # of a block in one record
MAX_PATTERN_BYTES: Final = MAX_TOTAL_BYTES + (4 << 20)  # with its files and what is around them; held in memory at once
LEAST_ROOM: Final = 10 << 30  # bytes that a store may take for what is put back; more if the backup is large,
ROOM_OF_SIZE: Final = 2  # times its size: a block takes whole units of the disk
_SINCE_SCHEMA: Final = 5  # the database had no patterns before
_WANTED: Final = (
    "SELECT cid FROM patterns WHERE kept = 1"
    " AND (source <> ? OR creator IN (SELECT creator FROM patterns WHERE source = ?)) ORDER BY no"
)


# --- into a backup -----------------------------------------------------------------------------------------------------------


def records(connection: sqlite3.Connection, folder: Path, left_out: Callable[[Cid], None]) -> Iterator[list[Any]]:
    """The blocks of those patterns, each once, out of the store in ``folder``, which a running node may have open.

    ``left_out`` is told of patterns that are not wholly here, or damaged, or larger than one may be.
    """
    if version(connection) < _SINCE_SCHEMA:
        return
    blocks, done = BlockReader(folder), set[Cid]()
    for (binary,) in connection.execute(_WANTED, (SWARM, OWN)).fetchall():
        cid = Cid.from_bytes(binary)
        found = _read(blocks, cid)
        if found is None:
            left_out(cid)
            continue
        for name, block in found.items():
            if name not in done:
                done.add(name)
                yield from _parts(name, block)


def _read(blocks: BlockReader, cid: Cid) -> dict[Cid, bytes] | None:
    """A manifest, its files and all between them; None if that is not here, or more than there may be."""
    found, room, to_visit = dict[Cid, bytes](), MAX_PATTERN_BYTES, [cid]
    while to_visit:
        name = to_visit.pop()
        if name in found:
            continue
        file = blocks.read(str(name))
        if file is None or not name.names(file[0]):
            return None
        found[name] = file[0]
        room -= len(file[0])
        if room < 0:
            return None
        try:
            to_visit += stored.roots(Manifest.read(file[0])) if name == cid else links_of(name, file[0])
        except (BlockRefused, PatternRefused):
            return None
    return found


def _parts(cid: Cid, block: bytes) -> Iterator[list[Any]]:
    starts = range(0, max(1, len(block)), PART_BYTES)
    for start in starts:
        yield [BLOCK, cid.binary, int(start == starts[-1]), block[start : start + PART_BYTES]]


# --- out of a backup ---------------------------------------------------------------------------------------------------------


@contextmanager
def putting_back(folder: Path, size: int) -> Iterator[Restoring]:
    """Takes blocks out of a backup of ``size`` bytes into the store in ``folder``, which nobody has open.

    If the block of code fails, none of them stays.
    """
    was_there = folder.exists()
    try:
        with ExitStack() as stack:
            restoring = Restoring(folder, max(LEAST_ROOM, ROOM_OF_SIZE * size), stack)
            try:
                yield restoring
            except BaseException:
                restoring.undo()
                raise
    except BaseException:
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


class Restoring:
    """What `putting_back` gives."""

    def __init__(self, folder: Path, quota: int, stack: ExitStack) -> None:
        self._folder, self._quota, self._stack = folder, quota, stack
        self._store: Blockstore | None = None
        self._adding: Adding | None = None
        self._before: set[Cid] = set()
        self._manifests: list[Cid] = []
        self._coming: tuple[bytes, bytearray] | None = None

    def take(self, cid: bytes, last: int, part: bytes) -> None:
        """The fields of a record. Raises `ValueError` or `TypeError` for what is none, and `BackupError` if there is no room."""
        name, block = self._coming or (cid, bytearray())
        if type(cid) is not bytes or type(part) is not bytes:
            raise TypeError("a CID and a part of a block are bytes")
        if name != cid or last not in (0, 1) or len(block) + len(part) > MAX_BLOCK:
            raise ValueError("it is no part of this block")
        block += part
        self._coming = None if last else (name, block)
        if last:
            try:
                self._put(Cid.from_bytes(name), bytes(block))
            except (CidRefused, BlockRefused) as error:
                raise ValueError(str(error)) from error
            except StoreFull as error:
                raise BackupError(f"the patterns of the backup do not fit here: {error}") from error

    def _put(self, cid: Cid, block: bytes) -> None:
        if self._store is None or self._adding is None:
            self._store = Blockstore(self._folder, self._quota)
            self._before = self._store.pins()
            self._adding = self._stack.enter_context(self._store.adding())
        self._adding.put(cid, block)
        if cid.codec == DAG_CBOR:
            self._manifests.append(cid)

    def finish(self) -> int:
        """Make all of it durable; returns how many patterns there were. Raises `ValueError` if a block has no end."""
        if self._coming is not None:
            raise ValueError("a block has no end")
        if self._store is not None:
            self._store.pin_many(
                self._manifests
            )  # until a start says what is kept, and nothing before it lets go of them
        return len(self._manifests)

    def undo(self) -> None:
        """Let go of what was pinned, so that it goes."""
        if self._store is not None:
            self._store.unpin_many(self._store.pins() - self._before)


__all__ = ["BLOCK", "Restoring", "putting_back", "records"]
