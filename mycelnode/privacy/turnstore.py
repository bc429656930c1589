"""Turns in the database: added once each, listed, forgotten for good; and the marks of what counts no more.

All functions take a connection; those that change something run inside `Database.write`. Text is sealed by `privacy.sealing`.

A turn's key lies in a slot that is overwritten in place and used again. SQLite moves rows between pages as others come and go, and
a row that was moved leaves its bytes behind, where no later deletion finds them: rows of `turn_keys` are therefore never deleted
and never change their length.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mycelnode.errors import DatabaseDamaged, DataDirUnusable, TurnUnknown
from mycelnode.privacy import partstore
from mycelnode.privacy.interactions import AHEAD_MS, MARK_BYTES, Facts, Influence, Outcome, merged, stamp
from mycelnode.privacy.sealing import WRAPPED_BYTES
from mycelnode.protocols import release_steps
from mycelnode.protocols.release_units import label
from mycelnode.protocols.release_window import Window, quarter_begins, quarter_of
from mycelnode.schema import connect, open_reader

ID_CHARS: Final = 16  # of a mark's hex: what a turn is called
MIN_ID_CHARS: Final = 6  # by which a turn may be called
_ID = re.compile(rf"[0-9a-f]{{{MIN_ID_CHARS},{2 * MARK_BYTES}}}")
FIRST_SCHEMA: Final = 10  # with turns in it
FIRST_WITH_PARTS: Final = 11  # of windows that ended
_COLUMNS = "no, mark, time, dated, ingested, source, success, influenced, size"
_ZEROS = bytes(WRAPPED_BYTES)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A turn, ready to be stored. ``marks``: under each of the mesh's secrets, that in use first. ``time``: None if nobody said."""

    marks: Sequence[bytes]
    time: int | None
    source: str
    success: Outcome
    influenced: Influence
    size: int
    wrapped: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a stored turn; ``spent``: it counts no more."""

    no: int
    mark: bytes
    facts: Facts
    ingested: int
    size: int
    spent: bool

    @property
    def id(self) -> str:
        """What people and scripts call it."""
        return self.mark.hex()[:ID_CHARS]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which turns: those called so, of a source, or asked before a time (Unix ms); all, if nothing is said."""

    ids: Sequence[str] = ()
    source: str | None = None
    before: int | None = None


# --- adding -------------------------------------------------------------------------------------------------------------------


def add(connection: sqlite3.Connection, turns: Iterable[Sealed], wall: int) -> tuple[int, int, int]:
    """Store turns that come in at ``wall`` (Unix ms): how many were new, known already, and have counted or were forgotten before.

    The last are not stored again: an export that grew must not bring back what was forgotten.
    """
    new = known = gone = 0
    last = connection.execute("SELECT max(ingested) FROM turns WHERE ingested <= ?", (wall + AHEAD_MS,)).fetchone()[0]
    now = stamp(wall, last, _floor(connection, wall))
    for turn in turns:
        time = Facts(
            now if turn.time is None else turn.time, turn.time is not None, turn.source, turn.success, turn.influenced
        )
        kept = _find(connection, turn.marks)
        if kept is not None:
            _merge(connection, kept, time)
            known += 1
        elif forgotten(connection, turn.marks):
            gone += 1
        else:
            _insert(connection, turn, time, now)
            new += 1
    return new, known, gone


def _find(connection: sqlite3.Connection, marks: Sequence[bytes]) -> Kept | None:
    for mark in marks:
        row = connection.execute(f"SELECT {_COLUMNS}, 0 FROM turns WHERE mark = ?", (mark,)).fetchone()
        if row is not None:
            return _kept(row)
    return None


def _floor(connection: sqlite3.Connection, wall: int) -> int:
    """What comes in at ``wall`` belongs to no window whose turns were handed over: the first moment after those (Unix ms)."""
    rows = connection.execute("SELECT start, quarters, releaser FROM release_frozen")
    taken = release_steps.Kept(
        frozen={start: (Window(start, quarters), releaser) for start, quarters, releaser in rows}
    )
    now = quarter_of(wall)
    quarter = taken.free(now)
    return 0 if quarter == now else quarter_begins(quarter)


def _merge(connection: sqlite3.Connection, kept: Kept, said: Facts) -> None:
    facts = merged(kept.facts, said)
    if facts != kept.facts:
        connection.execute(
            "UPDATE turns SET time = ?, dated = ?, source = ?, success = ?, influenced = ? WHERE no = ?",
            (facts.time, facts.dated, facts.source, facts.success, facts.influenced, kept.no),
        )


def _insert(connection: sqlite3.Connection, turn: Sealed, facts: Facts, now: int) -> None:
    free = connection.execute("SELECT slot FROM turn_keys WHERE used = 0 LIMIT 1").fetchone()
    if free is None:
        slot = connection.execute("INSERT INTO turn_keys (used, wrapped) VALUES (1, ?)", (turn.wrapped,)).lastrowid
    else:
        (slot,) = free
        connection.execute("UPDATE turn_keys SET used = 1, wrapped = ? WHERE slot = ?", (turn.wrapped, slot))
    connection.execute(
        "INSERT INTO turns (mark, time, dated, ingested, source, success, influenced, size, slot, sealed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            turn.marks[0],
            facts.time,
            facts.dated,
            now,
            facts.source,
            facts.success,
            facts.influenced,
            turn.size,
            slot,
            turn.sealed,
        ),
    )


# --- looking ------------------------------------------------------------------------------------------------------------------


def count(connection: sqlite3.Connection, chosen: Chosen) -> int:
    """How many turns those are. Raises `TurnUnknown`."""
    where, values = _where(connection, chosen)
    return int(connection.execute(f"SELECT count(*) FROM turns WHERE {where}", values).fetchone()[0])


def page(connection: sqlite3.Connection, chosen: Chosen, limit: int, after: str | None = None) -> list[Kept]:
    """The newest ``limit`` turns by the time of their requests, or those that follow the one called ``after``.

    Raises `TurnUnknown`.
    """
    where, values = _where(connection, chosen)
    if after is not None:
        no = _called(connection, after)
        where += " AND (time, no) < (SELECT time, no FROM turns WHERE no = ?)"
        values = (*values, no)
    rows = connection.execute(
        f"SELECT {_COLUMNS}, mark IN (SELECT mark FROM tombstones) OR mark IN (SELECT mark FROM handed) FROM turns"
        f" WHERE {where} ORDER BY time DESC, no DESC LIMIT ?",
        (*values, limit),
    )
    return [_kept(row) for row in rows]


def counted(connection: sqlite3.Connection, window: Window) -> Iterator[Kept]:
    """The turns that first came in within a window and may count in it: not forgotten, not handed over in a window before, and
    nothing foreign in them.

    Whether the day of a turn's habit was handed over already, only who knows its key can tell.
    """
    rows = connection.execute(
        f"SELECT {_COLUMNS}, 0 FROM turns WHERE ingested >= ? AND ingested < ? AND influenced = 0"
        " AND mark NOT IN (SELECT mark FROM tombstones)"
        " AND NOT EXISTS (SELECT 1 FROM handed WHERE handed.mark = turns.mark AND label < ?) ORDER BY no",
        (window.opens, window.closes, label(window.start)),
    )
    return map(_kept, rows)


def sealed_text(connection: sqlite3.Connection, no: int) -> tuple[bytes, bytes]:
    """Of a stored turn: its wrapped key, and its sealed text."""
    wrapped, sealed = connection.execute(
        "SELECT wrapped, sealed FROM turns JOIN turn_keys USING (slot) WHERE no = ?", (no,)
    ).fetchone()
    return wrapped, sealed


def _kept(row: tuple[int, bytes, int, int, int, str, int, int, int, int]) -> Kept:
    no, mark, time, dated, ingested, source, success, influenced, size, spent = row
    facts = Facts(time, bool(dated), source, Outcome(success), Influence(influenced))
    return Kept(no, mark, facts, ingested, size, bool(spent))


def _where(connection: sqlite3.Connection, chosen: Chosen) -> tuple[str, tuple[int | str, ...]]:
    where, values = "1", tuple[int | str, ...]()
    if chosen.ids:
        numbers = [_called(connection, reference) for reference in chosen.ids]
        where += f" AND no IN ({', '.join('?' * len(numbers))})"
        values = (*values, *numbers)
    if chosen.source is not None:
        where, values = where + " AND source = ?", (*values, chosen.source)
    if chosen.before is not None:
        where, values = where + " AND time < ?", (*values, chosen.before)
    return where, values


def _called(connection: sqlite3.Connection, reference: str) -> int:
    """The number of the turn that is called so, by at least the first `MIN_ID_CHARS` of its id."""
    said = reference.lower()
    if not _ID.fullmatch(said):
        raise TurnUnknown(f"{reference[:80]!r} is no turn's id; `mycelnode interactions list` shows them")
    low, high = (bytes.fromhex(said.ljust(2 * MARK_BYTES, fill)) for fill in "0f")
    found = connection.execute("SELECT no FROM turns WHERE mark BETWEEN ? AND ? LIMIT 2", (low, high)).fetchall()
    if not found:
        raise TurnUnknown(f"no turn on this device is called {reference!r}; `mycelnode interactions list` shows them")
    if len(found) > 1:
        raise TurnUnknown(f"several turns are called {reference!r}; say more of the id")
    return int(found[0][0])


# --- what counts no more --------------------------------------------------------------------------------------------------------


def spend(connection: sqlite3.Connection, marks: Iterable[bytes]) -> None:
    """Let turns count no more, in no window, for ever (`interactions.turn_mark`)."""
    connection.executemany("INSERT OR IGNORE INTO tombstones (mark) VALUES (?)", ((mark,) for mark in marks))


def forgotten(connection: sqlite3.Connection, marks: Sequence[bytes]) -> bool:
    """Does one of these count no more, under whichever of the mesh's secrets?"""
    return any(
        connection.execute("SELECT 1 FROM tombstones WHERE mark = ?", (mark,)).fetchone() is not None for mark in marks
    )


def spend_all(connection: sqlite3.Connection) -> None:
    """Let no turn that is stored here count any more: another copy of this folder may have counted them."""
    connection.execute("INSERT OR IGNORE INTO tombstones (mark) SELECT mark FROM turns")


# --- forgetting -----------------------------------------------------------------------------------------------------------------


def forget(connection: sqlite3.Connection, chosen: Chosen) -> list[bytes]:
    """Forget turns: their keys are overwritten and their rows deleted, and what they are known by counts no more. Their marks.

    What lay in the write-ahead log before is gone once that was emptied (`Database.empty_log`). Raises `TurnUnknown`.
    """
    where, values = _where(connection, chosen)
    marks = [mark for (mark,) in connection.execute(f"SELECT mark FROM turns WHERE {where}", values)]
    with _zeroing(connection):
        spend(connection, marks)
        _erase(connection, marks)
        partstore.forget(connection, marks)
    return marks


def forget_in_copies(database: Path) -> None:
    """Forget what was forgotten in the copies of the database, too, that were kept from before updates.

    Raises `DataDirUnusable`, `sqlite3.Error` if the database itself cannot be read.
    """
    with closing(open_reader(database)) as connection:
        kept = {mark for (mark,) in connection.execute("SELECT mark FROM turns")}
    for copy in database.parent.glob(f"{database.name}.before-*"):
        if copy.name.endswith(("-wal", "-shm", "-journal")):
            continue
        try:
            _forget_in(copy, kept)
        except (sqlite3.Error, DatabaseDamaged) as error:
            raise DataDirUnusable(
                f"{copy}, kept from before an update, cannot be changed, and may hold what is forgotten ({error}); delete it"
            ) from error


def _forget_in(copy: Path, kept: AbstractSet[bytes]) -> None:
    with closing(connect(copy)) as connection:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        if schema < FIRST_SCHEMA:
            return
        connection.execute("BEGIN IMMEDIATE")
        marks = [mark for (mark,) in connection.execute("SELECT mark FROM turns") if mark not in kept]
        with _zeroing(connection):
            _erase(connection, marks)
            if schema >= FIRST_WITH_PARTS:
                partstore.forget(connection, marks)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _erase(connection: sqlite3.Connection, marks: Sequence[bytes]) -> None:
    for mark in marks:
        row = connection.execute("SELECT no, slot FROM turns WHERE mark = ?", (mark,)).fetchone()
        if row is not None:
            connection.execute("UPDATE turn_keys SET used = 0, wrapped = ? WHERE slot = ?", (_ZEROS, row[1]))
            connection.execute("DELETE FROM turns WHERE no = ?", (row[0],))


@contextmanager
def _zeroing(connection: sqlite3.Connection) -> Iterator[None]:
    """Let SQLite overwrite what it deletes."""
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    try:
        yield
    finally:
        connection.execute("PRAGMA secure_delete = OFF").fetchall()
