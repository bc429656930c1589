"""The database file: making it, checking it, and bringing its schema up to date by numbered migrations.

All blocking; `mycelnode.database` calls it in its writer thread.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from mycelnode.errors import DatabaseDamaged, DataDirBusy, DataDirUnusable, DiskFull, MycelError, SchemaTooNew
from mycelnode.paths import CURE, PRIVATE_FILE, TEMPORARY, sync_folder, unusable

APPLICATION_ID = (
    0x4D59434C  # "MYCL": tells our files from other programs' (sqlite.org/pragma.html#pragma_application_id)
)
BUSY_MS = 5_000  # how long to wait for a person's sqlite3 shell to let go
WAL_KEPT_BYTES = 16 << 20  # a write-ahead log that has grown beyond this is cut after a checkpoint
CHECKED_BYTES = (
    256 << 20
)  # a larger file is not read whole at every start; its damage shows when a damaged page is read
HEADER_BYTES = 100  # of an SQLite file (sqlite.org/fileformat2.html#the_database_header)
FORMATS = {1, 2}  # for writing and for reading, at bytes 18 and 19 of it
WAL_HEADER_BYTES = 32
WAL_MAGIC = (0x377F0682, 0x377F0683)  # sqlite.org/fileformat2.html#walformat
NO_TEXT = "Could not decode to UTF-8"  # how Python's error begins for text that is none; it has no code


class Migration(NamedTuple):
    """One numbered step of the schema."""

    number: int
    script: str


def shipped_migrations() -> Sequence[Migration]:
    """The migrations in `mycelnode/migrations`, by number."""
    found = [
        Migration(int(match[1]), item.read_text("utf-8"))
        for item in files("mycelnode").joinpath("migrations").iterdir()
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", item.name))
    ]
    return sorted(found)


def translate(error: BaseException, path: Path) -> BaseException:
    """What an SQLite error means to the user, as one of ours; other errors are returned as they are."""
    if isinstance(error, UnicodeDecodeError):  # Python reads as text what SQLite quotes from the damaged place
        return DatabaseDamaged(f"{path} is damaged (what should be text is none); {CURE}")
    if not isinstance(error, sqlite3.Error):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return DiskFull(f"the disk of {path} is full; the change was not made. Free some space and try again")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or str(error).startswith(NO_TEXT):
        return DatabaseDamaged(f"{path} is damaged ({error}); {CURE}")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DataDirBusy(f"another program keeps {path} locked; close it and try again")
    if code == sqlite3.SQLITE_IOERR_WRITE:  # SQLite keeps to itself which of them it was
        return DataDirUnusable(
            f"{path} could not be written ({error}): the disk fails, or a quota or the limit of a file's size is reached;"
            " check these and try again"
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        return DataDirUnusable(
            f"{path} cannot be read and written ({error}); check the disk, and owner and mode of the folder"
        )
    return error


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """For what reads the file as a whole when it is opened: whatever it stumbles over there is damage."""
    try:
        yield
    except (DatabaseDamaged, DataDirUnusable, DataDirBusy):  # told already, and perhaps the disk's fault alone
        raise
    except (MycelError, sqlite3.Error, UnicodeDecodeError) as error:
        raise DatabaseDamaged(f"{path} is damaged ({error}); {CURE}") from error


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """A connection to an existing file, for one thread; transactions are begun explicitly.

    Raises `DatabaseDamaged` if the write-ahead log is none.
    """
    _check_log(path.with_name(path.name + "-wal"))
    connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_log(log: Path) -> None:
    """SQLite drops a log whose header it does not know, and every change in it, without a word.

    Zeros are all right: a power cut before the first sync of a log leaves them, and nothing in it was acknowledged.
    """
    try:
        with open(log, "rb") as file:
            header = file.read(WAL_HEADER_BYTES)
    except FileNotFoundError:
        return
    if any(header) and int.from_bytes(header[:4], "big") not in WAL_MAGIC:
        raise DatabaseDamaged(f"{log} is damaged (it is no write-ahead log); put the original back, or, {CURE}")


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, not even what lies in the write-ahead log into a file that is none of ours.

    Raises `DatabaseDamaged`, `sqlite3.Error`.
    """
    if path.exists() and not path.stat().st_size:  # SQLite would delete the log beside it
        raise DatabaseDamaged(f"{path} is not a database of mycelnode; {CURE}")
    return connect(path, "ro")


def open_writer(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
    """Open the file for writing, making it if it is not there, with its schema up to date.

    Raises `DatabaseDamaged`, `SchemaTooNew`, `DiskFull`, `DataDirUnusable`, `DataDirBusy`; then the file is as it was.
    """
    try:
        if not path.exists():
            _make(path, migrations)
        _refuse_foreign(path)
        connection = connect(path)
        try:
            try:
                _check(connection, path)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a format or a schema that nobody wrote so
                    raise DatabaseDamaged(f"{path} is damaged ({error}); {CURE}") from error
                raise
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
            _migrate(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
        return connection
    except OSError as error:
        raise unusable(path, "opened", error) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(error, path) from error


def _make(path: Path, migrations: Sequence[Migration]) -> None:
    """Make the file under another name first, so that an empty or half-made file is never taken for a database."""
    if path.with_name(path.name + "-wal").exists():
        raise DatabaseDamaged(f"{path} is missing, though its write-ahead log is there; put it back, or, {CURE}")
    new = path.with_name(f".{path.name}{TEMPORARY}")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
    try:
        connection = connect(new)
        try:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            _apply(connection, migrations)
        finally:
            connection.close()
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _refuse_foreign(path: Path) -> None:
    """Look before SQLite does: opening what is no database, it would delete the write-ahead log, or write that into the file.

    Only while this process has no connection to the file, whose locks would be lost (sqlite.org/howtocorrupt.html, 2.2).
    """
    with open(path, "rb") as file:
        header = file.read(HEADER_BYTES)
    ours = header[:16] == b"SQLite format 3\0" and header[68:72] == APPLICATION_ID.to_bytes(4, "big")
    if not ours or not {header[18], header[19]} <= FORMATS:  # of others, SQLite says only that they may not be written
        raise DatabaseDamaged(f"{path} is not a database of mycelnode; {CURE}")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size <= CHECKED_BYTES:
        # as bytes: what it quotes from a damaged page need not be text
        (found,) = connection.execute("SELECT CAST(quick_check AS BLOB) FROM pragma_quick_check(1)").fetchone()
        said = found.decode("ascii", "backslashreplace").splitlines()[-1]
        if "get page" in said or "get the page" in said:  # the disk, not what is on it; so btree.c puts it
            raise DataDirUnusable(f"{path} cannot be read ({said}); check the disk and try again")
        if said != "ok":
            raise DatabaseDamaged(f"{path} is damaged ({said}); {CURE}")


def version(connection: sqlite3.Connection) -> int:
    """The number of the last migration applied."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    current, newest = version(connection), max((m.number for m in migrations), default=0)
    if current > newest:
        raise SchemaTooNew(
            f"{path} was written by a newer mycelnode (schema {current}, this one knows {newest}); update this one"
        )
    missing = [migration for migration in migrations if migration.number > current]
    if missing:
        keep_copy(connection, path.with_name(f"{path.name}.before-{newest}"))
        _apply(connection, missing)


def keep_copy(connection: sqlite3.Connection, copy: Path) -> None:
    """A consistent, durable copy of the whole database at ``copy`` (0600), which it replaces only once it is complete."""
    new = copy.with_name(f".{copy.name}{TEMPORARY}")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
    try:
        target = sqlite3.connect(new)
        try:
            connection.backup(target)
        finally:
            target.close()
        with open(new, "rb") as file:
            os.fsync(file.fileno())
        new.rename(copy)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(copy.parent)


def _apply(connection: sqlite3.Connection, migrations: Iterable[Migration]) -> None:
    """All of ``migrations`` or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in migrations:
            for statement in split_statements(migration.script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {migration.number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def split_statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `Connection.executescript` would commit first.

    Raises `MycelError` if the last is cut off.
    """
    statement = ""
    for piece in re.split(r"(?<=;)", script):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if re.sub(r"--[^\n]*", "", statement).strip():
        raise MycelError("a migration script ends in the middle of a statement")
