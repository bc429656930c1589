"""The node's one SQLite file: a writer thread that makes changes durable in groups, and a reader for short look-ups.

Write-ahead log with ``synchronous=FULL``: what `Database.write` has returned from survives a crash and a power cut.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from mycelnode.errors import ClosedError, DataDirUnusable, MycelError
from mycelnode.paths import DataDir
from mycelnode.schema import Migration, open_reader, open_writer, shipped_migrations, translate

MAX_GROUP = 256  # jobs in one commit: bounds how long the first of them waits for the others

_log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Database:
    """The open database; made by `open_database`.

    ``read`` is a read-only connection for the trio thread: short point queries, whose cursors are read to the end or
    closed at once. It sees what has been committed.
    """

    def __init__(self, path: Path, read: sqlite3.Connection, writer: _Writer) -> None:
        self.path, self.read, self._writer = path, read, writer

    async def write(self, work: Work[T]) -> T:
        """Run ``work(connection)`` in a transaction, in the writer thread, and return its result once that is on disk.

        Calls that wait at the same time share one commit, in the order in which they came; what one raises undoes its own changes
        only, and is raised here. ``work`` must not begin or end transactions.

        Raises `DiskFull`, `DatabaseDamaged`, `DataDirUnusable`, `DataDirBusy`: nobody sees the change then. Only where syncing it
        to the disk was what failed, a crash before the next change can still bring it back. Raises `ClosedError`: nothing was
        tried. Cancelled before it has started, the work is not done. Cancelled later, it is completed and nobody is told its
        outcome.
        """
        return await self._writer.run(work)

    async def empty_log(self) -> bool:
        """Move the write-ahead log into the file, so that nothing of what was there before lies beside it; False while a long
        reader keeps that from happening. Raises and is cancelled as `write`.
        """
        return await self._writer.run(_empty_log, bare=True)

    def look(self, work: Work[T]) -> T:
        """Run ``work(connection)`` here and now with the reader: for point queries. Raises as `write` does."""
        try:
            return work(self.read)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    async def scan(self, work: Work[T]) -> T:
        """Run ``work(connection)`` in a worker thread with a read-only connection of its own: for what takes long.

        All that it reads is of one moment: nothing that is written meanwhile is seen by half. Not cancellable: it returns when
        ``work`` does. Raises as `write` does.
        """

        def run() -> T:
            try:
                connection = open_reader(self.path)
                try:
                    connection.execute("BEGIN")
                    return work(connection)
                finally:
                    connection.close()
            except sqlite3.Error as error:
                raise translate(error, self.path) from error

        return await trio.to_thread.run_sync(run)

    def size(self) -> int:
        """Bytes on disk, with the write-ahead log."""
        total = 0
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                total += os.stat(f"{self.path}{suffix}").st_size
        return total


@asynccontextmanager
async def open_database(data: DataDir, *, migrations: Sequence[Migration] | None = None) -> AsyncIterator[Database]:
    """Open the data folder's database, making it if there is none; on leaving, what was queued is finished.

    The caller holds the folder's lock. ``migrations`` default to the shipped ones. Raises `DatabaseDamaged`, `SchemaTooNew`,
    `DiskFull`, `DataDirUnusable`, `DataDirBusy`, and leaves the file as it was.
    """
    writer = _Writer(data.database, shipped_migrations() if migrations is None else migrations)
    await writer.start()
    try:
        try:
            reader = open_reader(data.database)
        except sqlite3.Error as error:
            raise translate(error, data.database) from error
        try:
            yield Database(data.database, reader, writer)
        finally:
            reader.close()  # before the writer, which can then empty the write-ahead log
    finally:
        await writer.stop()


def _empty_log(connection: sqlite3.Connection) -> bool:
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    """One piece of work on its way through the writer thread."""

    work: Work[T]
    bare: bool = False  # outside of a transaction
    abandoned: bool = False
    done: trio.Event = field(default_factory=trio.Event)
    result: Any = None
    error: BaseException | None = None


class _Writer:
    """The thread that owns the writing connection."""

    def __init__(self, path: Path, migrations: Sequence[Migration]) -> None:
        self._path, self._migrations = path, migrations
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._trio = trio.lowlevel.current_trio_token()
        self._opened, self._ended = trio.Event(), trio.Event()
        self._error: BaseException | None = None
        self._closing = False
        self._stuck: MycelError | None = None
        self._thread = threading.Thread(target=self._main, name="mycelnode database", daemon=True)

    async def start(self) -> None:
        """Open the connection; raises what that raised."""
        self._thread.start()
        with trio.CancelScope(shield=True):
            await self._opened.wait()
        if self._error is not None:
            raise self._error

    async def run(self, work: Work[T], *, bare: bool = False) -> T:
        """Queue a job and wait for its outcome."""
        if self._closing:
            raise ClosedError("the database is closed")
        job = _Job(work, bare)
        self._jobs.put(job)
        try:
            await job.done.wait()
        finally:
            job.abandoned = True
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[no-any-return]

    async def stop(self) -> None:
        """Finish what is queued, move the write-ahead log into the file, and end the thread."""
        self._closing = True
        self._jobs.put(None)
        with trio.CancelScope(shield=True):
            await self._ended.wait()

    # --- in the thread -------------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            connection = open_writer(self._path, self._migrations)
        except BaseException as error:
            self._error = error
            self._set([self._opened])
            return
        self._set([self._opened])
        try:
            last = False
            while not last:
                group, last = self._next_group()
                self._carry_out(connection, group)
                self._set(job.done for job in group)
        finally:
            with suppress(sqlite3.Error):  # on a full disk the log stays beside the file, and the next start reads it
                _empty_log(connection)
            connection.close()
            self._set([self._ended])

    def _set(self, events: Iterable[trio.Event]) -> None:
        def run(found: Sequence[trio.Event] = tuple(events)) -> None:
            for event in found:
                event.set()

        with suppress(trio.RunFinishedError):  # the run crashed around us: there is nobody left to tell
            self._trio.run_sync_soon(run)

    def _next_group(self) -> tuple[list[_Job[Any]], bool]:
        """The jobs that wait, and whether they are the last; blocks until there is something to do."""
        group: list[_Job[Any]] = []
        while len(group) < MAX_GROUP:
            try:
                job = self._jobs.get(block=not group)
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
        return group, False

    def _carry_out(self, connection: sqlite3.Connection, group: Sequence[_Job[Any]]) -> None:
        wanted = [job for job in group if not job.abandoned]
        if not wanted:
            return
        if self._stuck is not None:
            for job in wanted:
                job.error = self._stuck
            return
        within = [job for job in wanted if not job.bare]
        if within:
            self._commit(connection, within)
        for job in wanted:
            if job.bare:
                try:
                    job.result = job.work(connection)
                except Exception as error:
                    job.error = translate(error, self._path)

    def _commit(self, connection: sqlite3.Connection, wanted: Sequence[_Job[Any]]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in wanted:
                self._try(connection, job)
            connection.execute("COMMIT")
        except BaseException as error:
            for job in wanted:
                job.error = job.error or translate(error, self._path)
            self._roll_back(connection)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Take back what failed. If that fails too, the connection can do nothing more: whoever asks is told so."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except Exception as error:
            self._stuck = DataDirUnusable(
                f"{self._path} takes no more changes, as one that failed could not be taken back ({error}); check the disk,"
                " and start again"
            )
            _log.error("%s", self._stuck)

    def _try(self, connection: sqlite3.Connection, job: _Job[Any]) -> None:
        """Run one job so that its failure undoes no other; raises if the whole transaction is lost."""
        connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except BaseException as error:
            job.error = translate(error, self._path)
            if not connection.in_transaction:  # SQLite rolls everything back by itself when the disk is full
                raise
            connection.execute("ROLLBACK TO job")
        if not connection.in_transaction:
            raise RuntimeError("work given to Database.write must not end the transaction")
        connection.execute("RELEASE job")
