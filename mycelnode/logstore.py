"""The tables of the mesh: entries by (device, branch, seq), statements, invites, and single facts.

Rows in, rows out: what may be stored is decided by `mycelnode.protocols`. Functions that write take the connection of a running
write transaction; `StoredLogs` reads, for short synchronous look-ups, and notices entries that the disk has changed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mycelnode.encoding import Digest, blake2b, peer_id
from mycelnode.errors import DatabaseDamaged
from mycelnode.paths import CURE
from mycelnode.schema import translate

DeviceId = bytes

_log = logging.getLogger(__name__)


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
    size: int = 0
    pruned: int = 0


def device_number(connection: sqlite3.Connection, device: DeviceId) -> int:
    """The small number that stands for ``device`` in the other tables; given on first use."""
    connection.execute("INSERT OR IGNORE INTO devices (device) VALUES (?)", (device,))
    (number,) = connection.execute("SELECT no FROM devices WHERE device = ?", (device,)).fetchone()
    return int(number)


def save_branch(connection: sqlite3.Connection, branch: StoredBranch, rows: Iterable[StoredRow]) -> None:
    """Store new entries and where their branch now ends."""
    number = device_number(connection, branch.device)
    connection.execute("INSERT OR REPLACE INTO branches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (number, *branch[1:]))
    connection.executemany(
        "INSERT INTO entries (device, branch, seq, hash, entry, signature, replaced) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((number, branch.branch, *row, isinstance(row.entry, Digest)) for row in rows),
    )


def prune(
    connection: sqlite3.Connection,
    device: DeviceId,
    branch: int,
    seq: int,
    digests: Iterable[tuple[int, bytes]],
    freed: int,
) -> None:
    """Replace entries of a branch by their digests: ``(seq, digest)``; all up to ``seq`` are replaced, then."""
    number = device_number(connection, device)
    connection.executemany(
        "UPDATE entries SET entry = ?, replaced = 1 WHERE device = ? AND branch = ? AND seq = ?",
        ((digest, number, branch, place) for place, digest in digests),
    )
    connection.execute(
        "UPDATE branches SET pruned = ?, size = max(0, size - ?) WHERE device = ? AND branch = ?",
        (seq, freed, number, branch),
    )


def fill(connection: sqlite3.Connection, device: DeviceId, branch: int, rows: Sequence[StoredRow], size: int) -> None:
    """Put entries back in the places of their digests; ``size`` is about what they take."""
    number = device_number(connection, device)
    connection.executemany(
        "UPDATE entries SET entry = ?, replaced = 0 WHERE device = ? AND branch = ? AND seq = ? AND replaced = 1",
        ((row.entry, number, branch, row.seq) for row in rows),
    )
    connection.execute(
        "UPDATE branches SET pruned = min(pruned, ?), size = size + ? WHERE device = ? AND branch = ?",
        (rows[0].seq - 1, size, number, branch),
    )


def save_snapshot(connection: sqlite3.Connection, key: bytes, record: bytes) -> None:
    """Store a proposal or a confirmation by its id; a known one is left alone."""
    connection.execute("INSERT OR IGNORE INTO snapshots (id, record) VALUES (?, ?)", (key, record))


def save_state(connection: sqlite3.Connection, key: bytes, state: bytes) -> None:
    """Store the state of a proposal, which is stored."""
    connection.execute("INSERT OR REPLACE INTO states VALUES (?, ?)", (key, state))


def drop_snapshots(connection: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    """Erase proposals with their states. What confirms them goes when it is loaded next, and found to be of no use."""
    gone = [(key,) for key in keys]
    connection.executemany("DELETE FROM snapshots WHERE id = ?", gone)
    connection.executemany("DELETE FROM states WHERE id = ?", gone)


def save_statements(connection: sqlite3.Connection, statements: Iterable[tuple[bytes, bytes]]) -> None:
    """Store (id, wire form) pairs; known ones are left alone."""
    connection.executemany("INSERT OR IGNORE INTO statements (id, statement) VALUES (?, ?)", statements)


def drop_statements(connection: sqlite3.Connection, ids: Iterable[bytes]) -> None:
    """Forget statements that had to make room for others."""
    connection.executemany("DELETE FROM statements WHERE id = ?", ((key,) for key in ids))


def save_fact(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Store one value under a name."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def drop_fact(connection: sqlite3.Connection, name: str) -> None:
    """Forget the value under a name."""
    connection.execute("DELETE FROM facts WHERE name = ?", (name,))


def save_piece(connection: sqlite3.Connection, name: str, number: int, value: bytes) -> None:
    """Store a piece of a value that is too large to be handled whole; see `StoredLogs.pieces`."""
    save_fact(connection, f"{name}/{number:08}", value)


def drop_pieces(connection: sqlite3.Connection, name: str) -> None:
    """Forget all pieces of that name."""
    connection.execute("DELETE FROM facts WHERE name > ? AND name < ?", _below(name))


def save_invite(
    connection: sqlite3.Connection, key: bytes, text: str, used_by: DeviceId | None, used_name: str
) -> None:
    """Store an invite as it stands now."""
    connection.execute("INSERT OR REPLACE INTO invites VALUES (?, ?, ?, ?)", (key, text, used_by, used_name))


def drop_invites(connection: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    """Forget invites."""
    connection.executemany("DELETE FROM invites WHERE id = ?", ((key,) for key in keys))


class StoredLogs:
    """Reads from one connection (the reader of `mycelnode.database`) to the file ``path``.

    All raise `DatabaseDamaged`, `DataDirUnusable`, `DataDirBusy`.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._read, self._path = connection, path
        self._numbers: dict[DeviceId, int] = {}

    def hash_at(self, device: DeviceId, branch: int, seq: int) -> bytes | None:
        """The chain hash stored with an entry."""
        return self._value(
            "SELECT hash FROM entries WHERE device = ? AND branch = ? AND seq = ?", self._number(device), branch, seq
        )

    def read(self, device: DeviceId, branch: int, after: int, max_bytes: int) -> Sequence[StoredRow]:
        """Entries after ``after`` in order: one at least if there is one, then as many as fit in ``max_bytes``.

        Their chain is recomputed: what a failing disk has changed must not be folded, and nobody else would accept it.
        """
        number = self._number(device)
        last = self.hash_at(device, branch, after) or self._value(
            "SELECT base_hash FROM branches WHERE device = ? AND branch = ? AND base_seq = ?", number, branch, after
        )
        rows: list[StoredRow] = []
        size = 0
        for seq, digest, entry, signature, replaced in self._rows(
            "SELECT seq, hash, entry, signature, replaced FROM entries"
            " WHERE device = ? AND branch = ? AND seq > ? ORDER BY seq",
            number,
            branch,
            after,
        ):
            row = StoredRow(seq, digest, Digest(entry) if replaced else entry, signature)
            size += len(row.entry)
            if rows and size > max_bytes:
                break
            after += 1
            # as `mycelnode.crdt.changelog.chain`, which this room may not import
            if row.seq != after or last is None or row.hash != (last := blake2b(last + _digest(row.entry))):
                raise self._damaged(f"entry {after} of the log of the device {peer_id(device)}")
            rows.append(row)
        return rows

    def branches(self) -> list[StoredBranch]:
        """All branches of all logs, by device and number."""
        found = self._rows(
            "SELECT devices.device, branch, parent, base_seq, base_hash, tip_seq, tip_hash, tip_signature, size, pruned"
            " FROM branches JOIN devices ON devices.no = branches.device ORDER BY devices.no, branch"
        )
        return [StoredBranch(*row) for row in found]

    def statements(self) -> list[bytes]:
        """Wire forms, in the order in which they came."""
        found = list(self._rows("SELECT id, statement FROM statements ORDER BY no"))
        if any(blake2b(statement) != key for key, statement in found):
            raise self._damaged("a statement on who belongs to the mesh")
        return [statement for _, statement in found]

    def snapshots(self) -> list[bytes]:
        """Proposals and confirmations, in the order in which they came."""
        found = list(self._rows("SELECT id, record FROM snapshots ORDER BY no"))
        if any(blake2b(record) != key for key, record in found):
            raise self._damaged("a snapshot")
        return [record for _, record in found]

    def states(self) -> list[bytes]:
        """The ids of the proposals whose state is stored."""
        return [key for (key,) in self._rows("SELECT id FROM states")]

    def state(self, snapshot: bytes) -> bytes:
        """The encoded state of a proposal that is in `states`."""
        found = self._value("SELECT state FROM states WHERE id = ?", snapshot)
        if found is None:
            raise self._damaged("the state of a snapshot")
        return found

    def invites(self) -> list[tuple[str, DeviceId | None, str]]:
        """(text, used by, name of the user) of every invite kept."""
        return [
            (text, used_by, name)
            for text, used_by, name in self._rows("SELECT invite, used_by, used_name FROM invites")
        ]

    def fact(self, name: str) -> bytes | None:
        """The value stored under a name."""
        return self._value("SELECT value FROM facts WHERE name = ?", name)

    def names(self, prefix: str) -> list[str]:
        """The names that begin so, of values stored."""
        found = self._rows("SELECT name FROM facts WHERE substr(name, 1, ?) = ?", len(prefix), prefix)
        return [name for (name,) in found]

    def pieces(self, name: str) -> Iterator[bytes]:
        """The pieces stored under a name, in order."""
        found = self._rows("SELECT value FROM facts WHERE name > ? AND name < ? ORDER BY name", *_below(name))
        return (bytes(value) for (value,) in found)

    def _damaged(self, what: str) -> DatabaseDamaged:
        error = DatabaseDamaged(f"{self._path} is damaged ({what} is not what was stored); {CURE}")
        _log.error("%s", error)  # where it is met while sending, only a session ends, and nobody would hear of it
        return error

    def _number(self, device: DeviceId) -> int:
        number = self._numbers.get(device)
        if number is None:
            for (number,) in self._rows("SELECT no FROM devices WHERE device = ?", device):
                self._numbers[device] = int(number)
        return -1 if number is None else int(number)

    def _value(self, query: str, *values: Any) -> bytes | None:
        row = next(self._rows(query, *values), None)
        return None if row is None else bytes(row[0])

    def _rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows one by one; the cursor goes with the iterator."""
        try:
            yield from self._read.execute(query, values)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise translate(error, self._path) from error


def _digest(entry: bytes) -> bytes:
    return entry if isinstance(entry, Digest) else blake2b(entry)


def _below(name: str) -> tuple[str, str]:
    """Between which names the pieces of ``name`` lie: "0" comes after "/"."""
    return f"{name}/", f"{name}0"
