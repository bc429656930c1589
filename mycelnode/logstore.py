"""The tables of the mesh: entries by (device, branch, seq), statements, invites, and single facts.

Rows in, rows out: what may be stored is decided by `mycelnode.protocols`. Functions that write take the connection of a running
write transaction; `StoredLogs` reads, for short synchronous look-ups.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

DeviceId = bytes


class StoredRow(NamedTuple):
    """One entry as stored. (The same shape as `mycelnode.protocols.logset.Row`, which this room may not import.)"""

    seq: int
    hash: bytes
    entry: bytes
    signature: bytes | None


class StoredBranch(NamedTuple):
    """One branch of one log as stored."""

    device: DeviceId
    branch: int
    parent: int
    base_seq: int
    base_hash: bytes
    tip_seq: int
    tip_hash: bytes
    tip_signature: bytes


def device_number(connection: sqlite3.Connection, device: DeviceId) -> int:
    """The small number that stands for ``device`` in the other tables; given on first use."""
    connection.execute("INSERT OR IGNORE INTO devices (device) VALUES (?)", (device,))
    (number,) = connection.execute("SELECT no FROM devices WHERE device = ?", (device,)).fetchone()
    return int(number)


def save_branch(connection: sqlite3.Connection, branch: StoredBranch, rows: Iterable[StoredRow]) -> None:
    """Store new entries and where their branch now ends."""
    number = device_number(connection, branch.device)
    connection.execute("INSERT OR REPLACE INTO branches VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (number, *branch[1:]))
    connection.executemany(
        "INSERT INTO entries (device, branch, seq, hash, entry, signature) VALUES (?, ?, ?, ?, ?, ?)",
        ((number, branch.branch, *row) for row in rows),
    )


def save_statements(connection: sqlite3.Connection, statements: Iterable[tuple[bytes, bytes]]) -> None:
    """Store (id, wire form) pairs; known ones are left alone."""
    connection.executemany("INSERT OR IGNORE INTO statements (id, statement) VALUES (?, ?)", statements)


def save_fact(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Store one value under a name."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def drop_fact(connection: sqlite3.Connection, name: str) -> None:
    """Forget the value under a name."""
    connection.execute("DELETE FROM facts WHERE name = ?", (name,))


def save_invite(
    connection: sqlite3.Connection, key: bytes, text: str, used_by: DeviceId | None, used_name: str
) -> None:
    """Store an invite as it stands now."""
    connection.execute("INSERT OR REPLACE INTO invites VALUES (?, ?, ?, ?)", (key, text, used_by, used_name))


def drop_invites(connection: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    """Forget invites."""
    connection.executemany("DELETE FROM invites WHERE id = ?", ((key,) for key in keys))


class StoredLogs:
    """Reads from one connection (the reader of `mycelnode.database`)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._read = connection
        self._numbers: dict[DeviceId, int] = {}

    def hash_at(self, device: DeviceId, branch: int, seq: int) -> bytes | None:
        """The chain hash stored with an entry."""
        row = self._read.execute(
            "SELECT hash FROM entries WHERE device = ? AND branch = ? AND seq = ?", (self._number(device), branch, seq)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def read(self, device: DeviceId, branch: int, after: int, max_bytes: int) -> Sequence[StoredRow]:
        """Entries after ``after`` in order: one at least if there is one, then as many as fit in ``max_bytes``."""
        cursor = self._read.execute(
            "SELECT seq, hash, entry, signature FROM entries WHERE device = ? AND branch = ? AND seq > ? ORDER BY seq",
            (self._number(device), branch, after),
        )
        rows: list[StoredRow] = []
        size = 0
        for row in cursor:
            size += len(row[2])
            if rows and size > max_bytes:
                break
            rows.append(StoredRow(*row))
        cursor.close()
        return rows

    def branches(self) -> list[StoredBranch]:
        """All branches of all logs, by device and number."""
        cursor = self._read.execute(
            "SELECT devices.device, branch, parent, base_seq, base_hash, tip_seq, tip_hash, tip_signature"
            " FROM branches JOIN devices ON devices.no = branches.device ORDER BY devices.no, branch"
        )
        return [StoredBranch(*row) for row in cursor]

    def statements(self) -> list[bytes]:
        """Wire forms, in the order in which they came."""
        return [row[0] for row in self._read.execute("SELECT statement FROM statements ORDER BY no")]

    def invites(self) -> list[tuple[str, DeviceId | None, str]]:
        """(text, used by, name of the user) of every invite kept."""
        return [tuple(row) for row in self._read.execute("SELECT invite, used_by, used_name FROM invites")]

    def fact(self, name: str) -> bytes | None:
        """The value stored under a name."""
        row = self._read.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def _number(self, device: DeviceId) -> int:
        number = self._numbers.get(device)
        if number is None:
            row = self._read.execute("SELECT no FROM devices WHERE device = ?", (device,)).fetchone()
            if row is None:
                return -1
            number = self._numbers[device] = int(row[0])
        return number
