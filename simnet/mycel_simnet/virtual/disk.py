"""A simulated disk under SQLite's write-ahead log: pages, transactions, fsync, and what a crash leaves of them.

A transaction is a run of pages that ends in a commit page. Until the disk was told to sync, pages lie in the system's memory: a
killed process leaves them there, a power cut keeps any number of the first of them. A transaction without its commit page is a
torn tail, which SQLite discards. *When* to sync is the product's decision: it is asked for with the pragmas of
`mycelnode.schema.open_writer`, and this disk reads them from a real connection that this opened.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mycelnode import schema
from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.snapshots import Record
from mycelnode.encoding import Digest
from mycelnode.protocols.logset import Branch, Row
from mycelnode.protocols.replica import Batch

ROWS, BRANCHES, STATEMENTS, RECORDS, STATES, FACTS, INVITES = range(7)
Page = tuple[int, Any, Any]  # (table, key, value; None: the key is gone)
FULL = 2  # SQLite's numbers for `PRAGMA synchronous`


@lru_cache(maxsize=4)
def _synchronous(open_writer: Callable[..., sqlite3.Connection]) -> int:
    with tempfile.TemporaryDirectory() as folder, closing(open_writer(Path(folder) / "probe.db", [])) as connection:
        mode, level = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))
    return int(level) if mode == "wal" else 0


def product_syncs() -> bool:
    """Does the product have every commit synced?"""
    return _synchronous(schema.open_writer) >= FULL


class Disk:
    """What one device keeps. Reads show what is committed."""

    def __init__(self) -> None:
        self.tables: list[dict[Any, Any]] = [{} for _ in range(7)]
        self.records_seen: set[bytes] = set()  # ids of all proposals and confirmations that were ever stored
        self.syncs = product_syncs()
        self._open: Sequence[Page] = ()  # the transaction under way
        self._written = 0  # pages of it that the system has
        self._unsynced: list[list[Page]] = []  # of each committed transaction that was not synced: what it replaced

    # --- writing -----------------------------------------------------------------------------------------------------------

    def begin(self, pages: Sequence[Page]) -> None:
        """A transaction goes into the write-ahead log."""
        self._open, self._written = pages, 0

    def write(self, pages: int | None = None) -> None:
        """The system has so many pages of it (None: all, with the commit page)."""
        self._written = len(self._open) + 1 if pages is None else min(pages, len(self._open))

    def commit(self) -> None:
        """COMMIT returns: synced, if the product asks for that."""
        self.write()
        replaced = self._apply(self._open)
        self._open = ()
        if self.syncs:
            self._unsynced.clear()
        else:
            self._unsynced.append(replaced)

    def store(self, pages: Sequence[Page]) -> None:
        """A whole transaction at once."""
        self.begin(pages)
        self.commit()

    def checkpoint(self) -> None:
        """The write-ahead log is synced and moved into the file: when it has grown, and at a clean end."""
        self._unsynced.clear()

    def _apply(self, pages: Iterable[Page]) -> list[Page]:
        replaced: list[Page] = []
        for table, key, value in pages:
            found = self.tables[table]
            if not self.syncs:
                replaced.append((table, key, found.get(key)))
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
                if table == RECORDS:
                    self.records_seen.add(key)
        return replaced

    def pages(self, batch: Batch, clock: int) -> list[Page]:
        """What stores a batch, as `mycelnode.logstore` does it; ``clock`` is the last reading of the hybrid clock."""
        pages: list[Page] = []
        ends: dict[tuple[DeviceId, int], Branch] = {}
        for device, number, branch, rows, _ in batch.additions:
            ends[device, number] = branch
            pages += [(ROWS, (device, number, row.seq), row) for row in rows]
        pages += [(STATEMENTS, statement.id, None) for statement in batch.unsaid]
        pages += [(STATEMENTS, statement.id, statement) for statement in batch.statements]
        pages += [(RECORDS, record.id, record) for record in batch.records]
        pages += [(STATES, key, state) for key, state in batch.states.items()]
        for device, number, seq, digests, freed in batch.pruned:
            branch = ends.get((device, number)) or self.tables[BRANCHES][device, number]
            ends[device, number] = replace(branch, pruned=seq, size=max(0, branch.size - freed))
            rows = [self.tables[ROWS][device, number, place] for place, _ in digests]
            for row, (place, digest) in zip(rows, digests, strict=True):
                pages.append((ROWS, (device, number, place), row._replace(entry=Digest(digest))))
        for device, number, rows, size in batch.filled:
            branch = ends.get((device, number)) or self.tables[BRANCHES][device, number]
            ends[device, number] = replace(branch, pruned=min(branch.pruned, rows[0].seq - 1), size=branch.size + size)
            pages += [(ROWS, (device, number, row.seq), row) for row in rows]
        pages += [(BRANCHES, place, branch) for place, branch in ends.items()]
        pages += [(table, key, None) for key in batch.dropped for table in (RECORDS, STATES)]
        pages.append((FACTS, "clock", clock))
        return pages

    # --- crashing, copying ---------------------------------------------------------------------------------------------------

    def crash(self, rng: random.Random, *, power: bool) -> None:
        """The process dies; with ``power`` the machine does, and what was not synced is kept up to any page."""
        if power:
            self._written = rng.randint(0, self._written)
            for replaced in reversed(self._unsynced[rng.randint(0, len(self._unsynced)) :]):
                for table, key, value in reversed(replaced):
                    if value is None:
                        self.tables[table].pop(key, None)
                    else:
                        self.tables[table][key] = value
                self._written = 0  # what comes after a lost page is lost
        whole = self._written > len(self._open) > 0
        self._unsynced.clear()
        if whole:
            self._apply(self._open)
        self._open, self._written = (), 0

    def image(self) -> Disk:
        """A copy of what is committed: a machine image, a file system's snapshot, a backup."""
        twin = Disk()
        twin.tables = [dict(table) for table in self.tables]
        twin.records_seen = set(self.records_seen)
        return twin

    # --- looking ---------------------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> dict[tuple[DeviceId, int], dict[int, Row]]:
        """All entries, by (device, branch)."""
        found: dict[tuple[DeviceId, int], dict[int, Row]] = {}
        for (device, branch, seq), row in self.tables[ROWS].items():
            found.setdefault((device, branch), {})[seq] = row
        return found

    @property
    def records(self) -> dict[bytes, Record]:
        """Proposals and confirmations of snapshots, by id."""
        return dict(self.tables[RECORDS])

    # --- reading: an `EntryStore` ---------------------------------------------------------------------------------------------

    def state(self, snapshot: bytes) -> bytes:
        """The encoded state of a snapshot, which was stored."""
        return bytes(self.tables[STATES][snapshot])

    def hash_at(self, device: DeviceId, branch: int, seq: int) -> bytes | None:
        """The chain hash stored with an entry."""
        row = self.tables[ROWS].get((device, branch, seq))
        return None if row is None else row.hash

    def read(self, device: DeviceId, branch: int, after: int, max_bytes: int) -> Sequence[Row]:
        """Entries after ``after``: one at least if there is one, then as many as fit in ``max_bytes``."""
        held, rows, size = self.tables[ROWS], list[Row](), 0
        while (row := held.get((device, branch, after + 1))) is not None:
            size += len(row.entry)
            if rows and size > max_bytes:
                break
            rows.append(row)
            after += 1
        return rows
