"""The chain on disk: one SQLite file, to which each block is added whole, and which can be copied and put back as a whole.

What `Store.sync` has returned from survives a crash and a power cut (``synchronous=FULL``). Nobody is told anything before that.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from mycel_simnet.near import borsh
from mycel_simnet.near.blocks import Header
from mycel_simnet.near.runtime import Written
from mycel_simnet.near.state import Change, Key, from_bytes, to_bytes
from mycel_simnet.near.types import Json, Receipt

FORMAT = 1
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (height INTEGER PRIMARY KEY, header BLOB NOT NULL);
CREATE TABLE state (kind TEXT, account TEXT, name BLOB, value BLOB NOT NULL, PRIMARY KEY (kind, account, name)) WITHOUT ROWID;
CREATE TABLE causes (id INTEGER PRIMARY KEY, height INTEGER NOT NULL, cause TEXT NOT NULL);
CREATE INDEX causes_of_block ON causes (height);
CREATE TABLE changes (cause INTEGER NOT NULL, kind TEXT, account TEXT, name BLOB, old BLOB, new BLOB);
CREATE INDEX changes_of_cause ON changes (cause);
CREATE TABLE transactions (hash BLOB PRIMARY KEY, height INTEGER NOT NULL, signed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE outcomes (id BLOB PRIMARY KEY, height INTEGER NOT NULL, outcome TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE receipts (id BLOB PRIMARY KEY, receipt BLOB NOT NULL) WITHOUT ROWID;
"""


class ChainFileBusy(Exception):
    """The file is another process's."""


class ChainFileUnusable(Exception):
    """The file cannot be read or written, or holds no chain that this program knows."""


class Store:
    """The file of one chain, or memory if ``path`` is None."""

    def __init__(self, path: Path | None) -> None:
        """Open it, or begin it. Raises `ChainFileBusy`, `ChainFileUnusable`; a file that is something else is left as it is."""
        try:
            if path is not None:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise ChainFileUnusable(f"{path} cannot be opened: {error}") from error
        try:
            self._begin_or_check()
        except sqlite3.Error as error:
            self._connection.close()
            if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise ChainFileBusy(f"another process runs the chain in {path}") from error
            raise ChainFileUnusable(f"{path} holds no chain that can be used: {error}") from error
        except ChainFileUnusable:
            self._connection.close()
            raise

    def _begin_or_check(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # one process a chain
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT")
        elif version != FORMAT:
            raise ChainFileUnusable(f"the chain is of format {version}, which this program does not know")

    def close(self) -> None:
        """Close the file, with everything in it."""
        self.sync()
        self._connection.close()

    def sync(self) -> None:
        """Make durable what was added."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def _begin(self) -> sqlite3.Connection:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    # --- small things by name ---

    def meta(self, name: str) -> str | None:
        """What was noted under this name."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, name: str, value: str) -> None:
        """Note something under a name."""
        self._begin().execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # --- blocks ---

    def add_block(
        self,
        header: Header,
        written: Iterable[Written],
        transactions: Iterable[tuple[bytes, bytes]],
        outcomes: Iterable[tuple[bytes, Json]],
        receipts: Iterable[Receipt],
    ) -> None:
        """Add a block and all that came of it."""
        connection, height = self._begin(), header.height
        connection.execute("INSERT INTO blocks VALUES (?, ?)", (height, borsh.encode(Header, header)))
        connection.executemany(
            "INSERT INTO transactions VALUES (?, ?, ?)", [(name, height, signed) for name, signed in transactions]
        )
        connection.executemany(
            "INSERT INTO outcomes VALUES (?, ?, ?)", [(name, height, json.dumps(one)) for name, one in outcomes]
        )
        connection.executemany(
            "INSERT INTO receipts VALUES (?, ?)", [(one.receipt_id, borsh.encode(Receipt, one)) for one in receipts]
        )
        for cause, changes in written:
            row = connection.execute("INSERT INTO causes VALUES (NULL, ?, ?)", (height, json.dumps(cause)))
            rows = [
                (*key, None if old is None else to_bytes(key, old), None if new is None else to_bytes(key, new))
                for key, old, new in changes
            ]
            connection.executemany(f"INSERT INTO changes VALUES ({row.lastrowid}, ?, ?, ?, ?, ?)", rows)
            gone = [(kind, account, name) for kind, account, name, _, new in rows if new is None]
            connection.executemany("DELETE FROM state WHERE kind = ? AND account = ? AND name = ?", gone)
            there = [(kind, account, name, new) for kind, account, name, _, new in rows if new is not None]
            connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)", there)

    def headers(self) -> Iterator[Header]:
        """Every block, the oldest first."""
        for (data,) in self._connection.execute("SELECT header FROM blocks ORDER BY height"):
            yield borsh.decode(Header, data)

    def headers_backwards(self) -> Iterator[Header]:
        """Every block, the newest first."""
        for (data,) in self._connection.execute("SELECT header FROM blocks ORDER BY height DESC"):
            yield borsh.decode(Header, data)

    def header(self, height: int) -> Header | None:
        """The block at a height."""
        row = self._connection.execute("SELECT header FROM blocks WHERE height = ?", (height,)).fetchone()
        return None if row is None else borsh.decode(Header, row[0])

    def state(self) -> Iterator[tuple[Key, object]]:
        """Every record."""
        for kind, account, name, value in self._connection.execute("SELECT * FROM state"):
            key = Key(kind, account, name)
            yield key, from_bytes(key, value)

    def written(self, height: int) -> list[Written]:
        """What a block changed, in order."""
        query = "SELECT id, cause FROM causes WHERE height = ? ORDER BY id"
        return [
            Written(json.loads(cause), list(self._changes(number)))
            for number, cause in self._connection.execute(query, (height,))
        ]

    def _changes(self, cause: int) -> Iterator[Change]:
        query = "SELECT kind, account, name, old, new FROM changes WHERE cause = ? ORDER BY rowid"
        for kind, account, name, old, new in self._connection.execute(query, (cause,)):
            key = Key(kind, account, name)
            yield Change(
                key,
                None if old is None else from_bytes(key, old),
                None if new is None else from_bytes(key, new),
            )

    def changed_since(self, height: int) -> dict[Key, object]:
        """What every record that changed above a height was at that height."""
        query = """SELECT kind, account, name, old FROM changes WHERE cause IN (SELECT id FROM causes WHERE height > ?)
            ORDER BY rowid DESC"""
        past: dict[Key, object] = {}
        for kind, account, name, old in self._connection.execute(query, (height,)):
            key = Key(kind, account, name)
            past[key] = None if old is None else from_bytes(key, old)
        return past

    def transaction(self, name: bytes) -> tuple[int, bytes] | None:
        """The height and the bytes of a transaction."""
        query = "SELECT height, signed FROM transactions WHERE hash = ?"
        row: tuple[int, bytes] | None = self._connection.execute(query, (name,)).fetchone()
        return row

    def outcome(self, name: bytes) -> tuple[int, Json] | None:
        """The height and the outcome of a transaction or a receipt."""
        row = self._connection.execute("SELECT height, outcome FROM outcomes WHERE id = ?", (name,)).fetchone()
        return None if row is None else (row[0], json.loads(row[1]))

    def receipt(self, name: bytes) -> Receipt | None:
        """A receipt."""
        row = self._connection.execute("SELECT receipt FROM receipts WHERE id = ?", (name,)).fetchone()
        return None if row is None else borsh.decode(Receipt, row[0])

    # --- copies ---

    def copy(self) -> sqlite3.Connection:
        """All of it, in memory."""
        self.sync()
        copy = sqlite3.connect(":memory:")
        self._connection.backup(copy)
        return copy

    def put_back(self, copy: sqlite3.Connection) -> None:
        """Make the file what it was when `copy` made ``copy``."""
        self.sync()
        copy.backup(self._connection)
