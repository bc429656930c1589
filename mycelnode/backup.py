"""Backups: one encrypted file with the logs, statements, settings, own patterns and payments of a mesh, and no key of any kind.

How the file is sealed is in backup_file.py. Its records are ``["about", schema]`` first, ``[table, column, …]`` for a row,
``["piece", name, bytes]`` for a part of something longer, and those of blocks (backup_blocks.py).

What a backup may hold is listed here, table by table: keys, invites and what else a later version keeps do not slip in.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mycelnode import audit, backup_blocks, logstore
from mycelnode.backup_blocks import BLOCK, Restoring, putting_back
from mycelnode.backup_file import CHUNK_BYTES, STRENGTH, Opener, Sealer, new_file, opened, read_header
from mycelnode.beginning import first_name
from mycelnode.commands import RESTORED_FROM, RESTORED_NAME
from mycelnode.config import taken_out
from mycelnode.config_keys import SPENDERS
from mycelnode.encoding import encode
from mycelnode.errors import AlreadyInitialised, BackupError, MycelError, PhraseError, SchemaTooNew
from mycelnode.identity import create_identity, mesh_id
from mycelnode.logstore import StoredLogs
from mycelnode.paths import TEMPORARY, DataDir, make_private_folder, sync_folder, unusable, write_durably
from mycelnode.patterns.cid import Cid
from mycelnode.ports import Clock
from mycelnode.returning import RESTORED_MARK
from mycelnode.schema import loading, open_reader, open_writer, shipped_migrations, translate, version

SUFFIX: Final = ".backup"
MIN_PASSPHRASE_CHARS: Final = 8
MAX_PIECES_BYTES: Final = 1 << 30  # of everything that comes in pieces: the folded state above all
STALE_SECONDS: Final = 3600.0  # a backup under way grows more often than that

_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "devices": ("no", "device"),
    "branches": (
        "device",
        "branch",
        "parent",
        "base_seq",
        "base_hash",
        "tip_seq",
        "tip_hash",
        "tip_signature",
        "size",
        "pruned",
    ),
    "entries": ("device", "branch", "seq", "hash", "entry", "signature", "replaced"),
    "statements": ("no", "id", "statement"),
    "snapshots": ("no", "id", "record"),
    "audit": ("seq", "event", "hash"),
    "audit_head": ("one", "seq", "hash"),
    "payments": (
        "no",
        "id",
        "network",
        "state",
        "ended",
        "method",
        "receiver",
        "about",
        "creator",
        "amount",
        "added",
        "changed",
        "entry",
    ),
    "paid_uses": ("request", "cid", "payment", "served", "begun"),
    "tombstones": ("mark",),  # and no turn: `interactions forget` reaches no backup
    "handed": ("mark", "label"),  # or a history that is imported again would count again
    "release_records": ("no", "id", "record"),  # what was spent: the audit log names each
}
_SINCE: Final = {
    "payments": 7,
    "paid_uses": 9,
    "tombstones": 10,
    "handed": 11,
    "release_records": 11,
}  # the first schema that has a table
_ENDED: Final = {  # what is under way is seen to by the device that began it, or else two would
    "payments": "WHERE ended = 1",
    "paid_uses": "WHERE payment IN (SELECT id FROM payments WHERE ended = 1)",
}
_FACTS: Final = ("root", "clock", "document")
_PIECE, _ABOUT, _CONFIG, _STATE = "piece", "about", "config.toml", "state:"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a file says of itself in the clear; ``created`` is Unix milliseconds.

    ``left_out``, of one that was just made: patterns that belong in it, and whose blocks are missing here, or damaged.
    """

    file: Path
    size: int
    mesh: str
    created: int
    left_out: tuple[Cid, ...] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """A folder filled from a backup: ``device`` is the peer id of its new key, which is not enrolled yet.

    ``patterns``: of how many it brought the blocks. ``config_aside``: where the ``config.toml`` that lay in the folder is now, if
    the backup brought another. ``spender``: who paid for uses on the device that made it, and does not here; empty: nobody.
    """

    mesh: str
    device: str
    name: str
    entries: int
    created: int
    config_aside: Path | None
    patterns: int
    spender: str = ""


def create(
    data: DataDir, passphrase: str, path: Path | None = None, *, clock: Clock, strength: tuple[int, int] = STRENGTH
) -> Backup:
    """Write a backup of the folder's mesh to ``path`` (a file that is not there yet, or a folder), by default into the folder's own
    ``backups``. Works beside a running node: it copies what was on disk at one moment. Blocks.

    ``strength``: Argon2id's opslimit and memlimit (bytes). Raises `NotInitialised`, `BackupError`, `DatabaseDamaged`, `DiskFull`,
    `DataDirUnusable`; then there is no file.
    """
    if len(passphrase) < MIN_PASSPHRASE_CHARS:
        raise BackupError(f"the passphrase of a backup has at least {MIN_PASSPHRASE_CHARS} characters")
    data.check_readable()
    now, left_out = clock.wall(), list[Cid]()
    target = _target(data, path, now)
    try:
        with closing(open_reader(data.database)) as connection:
            connection.execute("BEGIN")  # one moment of the database for everything read below
            root = StoredLogs(connection, data.database).fact("root")
            if root is None:
                raise data.without_root()
            with new_file(target) as file:
                Sealer(file, passphrase, strength, mesh_id(root), now).write(
                    _records(connection, data, left_out.append)
                )
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(error, data.database) from error
    return replace(_describe(target), left_out=tuple(left_out))


def list_backups(data: DataDir) -> list[Backup]:
    """The backups in the folder's own ``backups``, oldest first; files that are none are left out."""
    found = []
    with suppress(FileNotFoundError):
        for path in data.backups.iterdir():
            if path.suffix == SUFFIX:
                with suppress(MycelError):
                    found.append(_describe(path))
    return sorted(found, key=lambda backup: (backup.created, backup.file))


def restore(
    data: DataDir, path: Path, passphrase: str, name: str | None = None, *, clock: Clock, root: bytes | None = None
) -> Restored:
    """Fill an empty or left folder from a backup, and give it a new device key. Blocks.

    The device is no member yet: joining with an invite of this mesh, or recovering with its phrase, enrols it and keeps what was
    restored. ``name``: how it will then be called (default: the machine's name). ``root``: the mesh's root key, if the backup must
    be of that mesh. Raises `AlreadyInitialised`, `BackupError`, `PhraseError`, `SchemaTooNew`, `DataDirBusy`, `DiskFull`,
    `DataDirUnusable`; then nothing has changed.
    """
    _refuse_if_used(data)
    shown = first_name(name)
    opened = Opener(path, passphrase)
    for _ in opened.records():  # to the end: a damaged file changes nothing
        pass
    data.create()
    with data.lock():
        _refuse_if_used(data)
        new = data.path / f".restoring{TEMPORARY}"
        try:
            with putting_back(data.blocks, opened.size) as blocks:
                found = _fill(new, opened, root, shown, clock, blocks)
                write_durably(data.joining, RESTORED_MARK)
                data.device_key.unlink(missing_ok=True)  # of a join that was never finished
                identity = create_identity(data)
                config, spender = found.config, None
                for key in SPENDERS:  # of a device alone: two would disturb each other with the same one
                    config, named = taken_out(config, key)
                    spender = spender or named
                aside = _keep_aside(data, config)
                if config:
                    write_durably(data.config, config)
                new.rename(data.database)
                sync_folder(data.path)
        except OSError as error:
            raise unusable(data.path, "written", error) from error
        finally:
            for left in data.path.glob(f"{new.name}*"):
                left.unlink()
    return Restored(
        mesh_id(found.root),
        identity.peer_id,
        found.name,
        found.entries,
        found.created,
        aside,
        found.patterns,
        spender if isinstance(spender, str) else "",
    )


def restored_from(data: DataDir, path: Path) -> bool:
    """Was the folder filled from this very backup, and its device not enrolled yet? Then that need not be done again.

    Raises `BackupError`, `DatabaseDamaged`.
    """
    if not (data.joining.exists() and data.database.exists()):
        return False
    found = _describe(path)
    with closing(open_reader(data.database)) as connection, loading(data.database):
        return StoredLogs(connection, data.database).fact(RESTORED_FROM) == encode([found.mesh, found.created])


# --- what is in it -----------------------------------------------------------------------------------------------------------


def _records(connection: sqlite3.Connection, data: DataDir, left_out: Callable[[Cid], None]) -> Iterator[list[Any]]:
    schema = version(connection)
    yield [_ABOUT, schema]
    for table, columns in _TABLES.items():
        if schema >= _SINCE.get(table, 0):
            for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table} {_ENDED.get(table, '')}"):
                yield [table, *row]
    stored = StoredLogs(connection, data.database)
    for fact in _FACTS:
        yield from _pieces(fact, stored.fact(fact) or b"")
    for key in stored.states():
        yield from _pieces(_STATE + key.hex(), stored.state(key))
    for name in stored.names("document."):
        yield from _pieces(name, stored.fact(name) or b"")
    with suppress(FileNotFoundError):
        try:
            yield from _pieces(_CONFIG, data.config.read_bytes())
        except PermissionError as error:
            raise unusable(data.config, "read", error) from error
    yield from backup_blocks.records(connection, data.blocks, left_out)


def _pieces(name: str, content: bytes) -> Iterator[list[Any]]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield [_PIECE, name, content[start : start + CHUNK_BYTES]]


@dataclass(frozen=True, slots=True)
class _Found:
    root: bytes
    name: str
    config: bytes
    entries: int
    created: int
    patterns: int


def _fill(new: Path, opened: Opener, root: bytes | None, name: str, clock: Clock, blocks: Restoring) -> _Found:
    """Make the database ``new`` from a backup, and put back its blocks."""
    strange = BackupError("the backup holds something that this version does not understand")
    records, migrations = opened.records(), shipped_migrations()
    about, *schema = next(records, [None])
    if about != _ABOUT or len(schema) != 1 or type(schema[0]) is not int:
        raise strange
    if schema[0] > max(migration.number for migration in migrations):
        raise SchemaTooNew("the backup was made by a newer mycelnode; update this one")
    try:
        with closing(open_writer(new, [m for m in migrations if m.number <= schema[0]])) as connection:
            connection.execute("BEGIN IMMEDIATE")
            pieces, entries = _load(connection, records, blocks)
            config, found_root = bytes(pieces.pop(_CONFIG, b"")), bytes(pieces["root"])
            for name_of_state in [piece for piece in pieces if piece.startswith(_STATE)]:
                key = bytes.fromhex(name_of_state.removeprefix(_STATE))
                logstore.save_state(connection, key, bytes(pieces.pop(name_of_state)))
            if root is not None and found_root != root:
                raise PhraseError("the backup is of another mesh than this recovery phrase")
            found = _Found(found_root, name, config, entries, opened.created, blocks.finish())
            origin = encode([mesh_id(found_root), opened.created])
            for fact, value in (*pieces.items(), (RESTORED_NAME, found.name.encode()), (RESTORED_FROM, origin)):
                logstore.save_fact(connection, fact, bytes(value))
            fields = {"mesh": mesh_id(found_root), "created": opened.created}
            audit.record(connection, "backup.restore", fields, clock.wall())
            connection.execute("COMMIT")
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, LookupError, TypeError, ValueError) as error:
        raise strange from error
    except sqlite3.Error as error:
        meaning = translate(error, new)
        raise strange if isinstance(meaning, sqlite3.Error) else meaning from error
    return found


def _load(
    connection: sqlite3.Connection, records: Iterator[list[Any]], blocks: Restoring
) -> tuple[dict[str, bytearray], int]:
    """Store the rows, and the blocks; returns what came in pieces, and how many log entries there were."""
    pieces: dict[str, bytearray] = {}
    entries = size = 0
    for kind, *fields in records:
        if kind == _PIECE:
            pieces.setdefault(fields[0], bytearray()).extend(fields[1])
            size += len(fields[1])
            if size > MAX_PIECES_BYTES:
                raise BackupError("the backup holds a state larger than this version can keep in memory")
        elif kind == BLOCK:
            blocks.take(*fields)
        else:
            columns = _TABLES[kind]
            marks = ", ".join("?" * len(columns))
            connection.execute(f"INSERT INTO {kind} ({', '.join(columns)}) VALUES ({marks})", fields)
            entries += kind == "entries"
    return pieces, entries


def _keep_aside(data: DataDir, config: bytes) -> Path | None:
    """Move a ``config.toml`` that the backup's would overwrite."""
    if not config or not data.config.exists() or data.config.read_bytes() == config:
        return None
    return data.config.rename(data.config.with_name(f"{data.config.name}.before-restore"))


def _refuse_if_used(data: DataDir) -> None:
    if data.database.exists() or (data.initialised() and not data.joining.exists()):
        raise AlreadyInitialised(
            f"{data.path} already holds a device; `mycelnode leave` takes it out, or use another --data-dir"
        )


# --- by name -----------------------------------------------------------------------------------------------------------------


def _describe(path: Path) -> Backup:
    with opened(path) as file:
        *_, mesh, created = read_header(path, file)[1]
        return Backup(path, os.fstat(file.fileno()).st_size, mesh, created)


def _target(data: DataDir, path: Path | None, now: int) -> Path:
    """The file to write, which is not there yet."""
    if path is None:
        make_private_folder(data.backups)
        path = data.backups
        for left in path.glob(f".*{SUFFIX}.*{TEMPORARY}"):  # of one that was killed; what is being written is newer
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < now / 1000 - STALE_SECONDS:
                    left.unlink()
    if path.is_dir():
        moment = datetime.fromtimestamp(now / 1000, UTC)
        path = path / f"mycel-{moment:%Y%m%dT%H%M%SZ}{SUFFIX}"
    if path.exists():
        raise BackupError(f"{path} exists already and is not overwritten")
    return path.absolute()
