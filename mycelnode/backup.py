"""Backups: one encrypted file with the logs, statements and settings of a mesh, and no key of any kind.

A file is ``MAGIC``, a header (4 bytes of length, canonical CBOR) and chunks (4 bytes of length, ciphertext). The header says in
the clear what is needed to open the file, when it was made and of which mesh; it is authenticated with every chunk. The key is
Argon2id of the passphrase; the chunks are one XChaCha20-Poly1305 secretstream (libsodium), whose last is marked, so that a file cut
off anywhere is noticed. A chunk is a list of records: ``["about", schema]`` first, ``[table, column, …]`` for a row,
``["piece", name, bytes]`` for a part of something longer.

What a backup may hold is listed here, table by table: keys, invites and what else a later version keeps do not slip in.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from nacl import bindings as sodium
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from mycelnode import audit, logstore
from mycelnode.beginning import first_name
from mycelnode.commands import RESTORED_FROM, RESTORED_NAME
from mycelnode.encoding import as_bytes, as_int, as_list, as_text, decode, encode
from mycelnode.errors import (
    AlreadyInitialised,
    BackupError,
    EncodingError,
    MycelError,
    PhraseError,
    SchemaTooNew,
)
from mycelnode.identity import create_identity, mesh_id
from mycelnode.logstore import StoredLogs
from mycelnode.paths import PRIVATE_FILE, TEMPORARY, DataDir, make_private_folder, sync_folder, unusable, write_durably
from mycelnode.ports import Clock
from mycelnode.returning import RESTORED_MARK
from mycelnode.schema import loading, open_reader, open_writer, shipped_migrations, translate, version

MAGIC: Final = b"mycel-backup\n"
FORMAT: Final = 1
SUFFIX: Final = ".backup"
MIN_PASSPHRASE_CHARS: Final = 8
MAX_HEADER_BYTES: Final = 1024
CHUNK_BYTES: Final = 256 << 10  # of records gathered in one chunk
MAX_CHUNK_BYTES: Final = 1 << 20  # read into memory at once; one record is at most an entry of 256 KiB
MAX_PIECES_BYTES: Final = 1 << 30  # of everything that comes in pieces: the folded state above all
STRENGTH: Final = (argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)  # about a second and 256 MiB
MAX_OPS, MAX_MEMORY = 16, 1 << 30  # what opening a file may cost us, whatever it says

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
}
_FACTS: Final = ("root", "clock", "document")
_PIECE, _ABOUT, _CONFIG, _STATE = "piece", "about", "config.toml", "state:"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a file says of itself in the clear; ``created`` is Unix milliseconds."""

    file: Path
    size: int
    mesh: str
    created: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A folder filled from a backup: ``device`` is the peer id of its new key, which is not enrolled yet.

    ``config_aside``: where the ``config.toml`` that lay in the folder is now, if the backup brought another.
    """

    mesh: str
    device: str
    name: str
    entries: int
    created: int
    config_aside: Path | None


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
    now = clock.wall()
    target = _target(data, path, now)
    try:
        with closing(open_reader(data.database)) as connection:
            connection.execute("BEGIN")  # one moment of the database for everything read below
            root = StoredLogs(connection, data.database).fact("root")
            if root is None:
                raise data.without_root()
            with _new_file(target) as file:
                _Sealer(file, passphrase, strength, mesh_id(root), now).write(_records(connection, data))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(error, data.database) from error
    return _describe(target)


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
    opened = _Opener(path, passphrase)
    for _ in opened.records():  # to the end: a damaged file changes nothing
        pass
    data.create()
    with data.lock():
        _refuse_if_used(data)
        new = data.path / f".restoring{TEMPORARY}"
        try:
            found = _fill(new, opened, root, shown, clock)
            write_durably(data.joining, RESTORED_MARK)
            data.device_key.unlink(missing_ok=True)  # of a join that was never finished
            identity = create_identity(data)
            aside = _keep_aside(data, found.config)
            if found.config:
                write_durably(data.config, found.config)
            new.rename(data.database)
            sync_folder(data.path)
        except OSError as error:
            raise unusable(data.path, "written", error) from error
        finally:
            for left in data.path.glob(f"{new.name}*"):
                left.unlink()
    return Restored(mesh_id(found.root), identity.peer_id, found.name, found.entries, found.created, aside)


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


def _records(connection: sqlite3.Connection, data: DataDir) -> Iterator[list[Any]]:
    yield [_ABOUT, version(connection)]
    for table, columns in _TABLES.items():
        for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}"):
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


def _fill(new: Path, opened: _Opener, root: bytes | None, name: str, clock: Clock) -> _Found:
    """Make the database ``new`` from a backup."""
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
            pieces, entries = _load(connection, records)
            config, found_root = bytes(pieces.pop(_CONFIG, b"")), bytes(pieces["root"])
            for name_of_state in [piece for piece in pieces if piece.startswith(_STATE)]:
                key = bytes.fromhex(name_of_state.removeprefix(_STATE))
                logstore.save_state(connection, key, bytes(pieces.pop(name_of_state)))
            if root is not None and found_root != root:
                raise PhraseError("the backup is of another mesh than this recovery phrase")
            found = _Found(found_root, name, config, entries, opened.created)
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


def _load(connection: sqlite3.Connection, records: Iterator[list[Any]]) -> tuple[dict[str, bytearray], int]:
    """Store the rows; returns what came in pieces, and how many log entries there were."""
    pieces: dict[str, bytearray] = {}
    entries = size = 0
    for kind, *fields in records:
        if kind == _PIECE:
            pieces.setdefault(fields[0], bytearray()).extend(fields[1])
            size += len(fields[1])
            if size > MAX_PIECES_BYTES:
                raise BackupError("the backup holds a state larger than this version can keep in memory")
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


# --- the file ----------------------------------------------------------------------------------------------------------------


def _key(passphrase: str, salt: bytes, ops: int, memory: int) -> bytes:
    text = unicodedata.normalize("NFC", passphrase).encode()
    size = sodium.crypto_secretstream_xchacha20poly1305_KEYBYTES
    try:
        return argon2id.kdf(size, text, salt, opslimit=ops, memlimit=memory)
    except (CryptoError, ValueError) as error:
        raise BackupError(f"the backup's key could not be made; it needs {memory >> 20} MiB of memory") from error


class _Sealer:
    """Writes records as an encrypted file."""

    def __init__(self, file: BinaryIO, passphrase: str, strength: tuple[int, int], mesh: str, created: int) -> None:
        salt = secrets.token_bytes(argon2id.SALTBYTES)
        self._file = file
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        start = sodium.crypto_secretstream_xchacha20poly1305_init_push(self._state, _key(passphrase, salt, *strength))
        self._header = encode([FORMAT, salt, *strength, start, mesh, created])

    def write(self, records: Iterator[list[Any]]) -> None:
        """Write the whole file."""
        self._file.write(MAGIC + len(self._header).to_bytes(4, "big") + self._header)
        gathered: list[list[Any]] = []
        size = 0
        for record in records:
            length = len(encode(record))
            if gathered and size + length > CHUNK_BYTES:
                self._push(gathered, sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE)
                gathered, size = [], 0
            gathered.append(record)
            size += length
        self._push(gathered, sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL)

    def _push(self, records: list[list[Any]], tag: int) -> None:
        sealed = sodium.crypto_secretstream_xchacha20poly1305_push(self._state, encode(records), self._header, tag)
        self._file.write(len(sealed).to_bytes(4, "big") + sealed)


class _Opener:
    """Reads an encrypted file. Raises `BackupError`, `DataDirUnusable`."""

    def __init__(self, path: Path, passphrase: str) -> None:
        self.path = path
        with _opened(path) as file:
            self._header = _read_header(path, file)
        _, salt, ops, memory, self._start, self.mesh, self.created = self._header[1]
        self._key = _key(passphrase, salt, ops, memory)

    def records(self) -> Iterator[list[Any]]:
        """All records, each chunk verified before any of it is given out, and the end too."""
        state = sodium.crypto_secretstream_xchacha20poly1305_state()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, self._start, self._key)
        with _opened(self.path) as file:
            if _read_header(self.path, file) != self._header:
                raise BackupError(f"{self.path} changed while it was read")
            reason, tag = "wrong passphrase, or a damaged file", -1
            while tag != sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL:
                length = int.from_bytes(file.read(4), "big")
                sealed = file.read(length) if length <= MAX_CHUNK_BYTES else b""
                try:
                    if len(sealed) != length:
                        raise ValueError("the length of a chunk is wrong")
                    chunk, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed, self._header[0])
                    records = [as_list(record) for record in as_list(decode(chunk, max_bytes=MAX_CHUNK_BYTES))]
                except (CryptoError, ValueError, EncodingError) as error:
                    raise BackupError(f"{self.path} cannot be read: {reason}") from error
                reason = "it is damaged or cut off"
                yield from (list(record) for record in records)
            if file.read(1):
                raise BackupError(f"{self.path} cannot be read: something was added to it")


def _read_header(path: Path, file: BinaryIO) -> tuple[bytes, list[Any]]:
    magic, length = file.read(len(MAGIC)), int.from_bytes(file.read(4), "big")
    if magic != MAGIC:
        raise BackupError(f"{path} is not a backup of mycelnode")
    packed = file.read(length) if length <= MAX_HEADER_BYTES else b""
    try:
        header = as_list(decode(packed, max_bytes=MAX_HEADER_BYTES))
        if header and as_int(header[0]) > FORMAT:
            raise BackupError(f"{path} was made by a newer mycelnode; update this one")
        form, salt, ops, memory, start, mesh, created = as_list(header, 7)
        checked = [
            as_int(form, FORMAT, FORMAT),
            as_bytes(salt, argon2id.SALTBYTES),
            as_int(ops, argon2id.OPSLIMIT_MIN, MAX_OPS),
            as_int(memory, argon2id.MEMLIMIT_MIN, MAX_MEMORY),
            as_bytes(start, sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES),
            as_text(mesh, 64),
            as_int(created, 0, audit.MAX_TIME_MS),
        ]
    except EncodingError as error:
        raise BackupError(f"{path} cannot be read: its header is damaged") from error
    return packed, checked


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}") from error
        yield file


def _describe(path: Path) -> Backup:
    with _opened(path) as file:
        *_, mesh, created = _read_header(path, file)[1]
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


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A new private file that appears under its name only once it is complete and on disk."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
        try:
            with open(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(handle)
            new.rename(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise unusable(path, "written", error) from error
