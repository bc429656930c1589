"""Releases in the database: what is signed, what of a window was taken from the turns or handed over, and what was handed ever.

All functions take a connection; those that change something run inside `Database.write`. Parts are sealed under a key of their
window, which lies in a slot that is overwritten once they are of no use: then nothing reads what SQLite may have left of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from mycelnode.encoding import blake2b, decode, encode
from mycelnode.errors import DatabaseDamaged, EncodingError
from mycelnode.privacy.sealing import WRAPPED_BYTES, new_key, open_key, open_part, seal_part
from mycelnode.protocols.release_steps import Agree, Freeze, Kept, Open, Terms
from mycelnode.protocols.release_units import Handed
from mycelnode.protocols.release_window import Window

MAX_MARKS: Final = 4_000_000  # turns and days of habits, of a life; what a member sends beyond is not kept
BUCKETS: Final = 256  # of marks, by their first byte: what differs between two devices is found by these
_ZEROS: Final = bytes(WRAPPED_BYTES)

Mark = tuple[bytes, int]  # what was handed, and the label of the window


# --- beginning -----------------------------------------------------------------------------------------------------------------


def load_records(connection: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
    """(id, wire form) of what was signed, in the order in which it came."""
    return list(connection.execute("SELECT id, record FROM release_records ORDER BY no"))


def load(connection: sqlite3.Connection) -> Kept:
    """What the machine begins with."""
    kept = Kept()
    rows = connection.execute("SELECT start, version, dictionary, told_by FROM release_opened")
    for start, version, dictionary, told_by in rows:
        kept.opened[start] = Terms(version, dictionary)
        if told_by is not None:
            kept.agreed[start] = told_by
    for start, quarters, releaser in connection.execute("SELECT start, quarters, releaser FROM release_frozen"):
        kept.frozen[start] = (Window(start, quarters), releaser)
    for start, device in connection.execute("SELECT start, device FROM release_got"):
        kept.got.setdefault(start, set()).add(device)
    kept.drawn = {start for (start,) in connection.execute("SELECT start FROM release_drawn")}
    return kept


def save_record(connection: sqlite3.Connection, key: bytes, record: bytes) -> bool:
    """Keep what was signed; False if it is known."""
    done = connection.execute("INSERT OR IGNORE INTO release_records (id, record) VALUES (?, ?)", (key, record))
    return done.rowcount == 1


def open_window(connection: sqlite3.Connection, done: Open, entries: Sequence[str]) -> None:
    """Keep the terms of a window, and the entries of the owner's dictionary that belong to them; see `Open`."""
    connection.execute(
        "DELETE FROM release_opened WHERE start > ? AND start NOT IN (SELECT start FROM release_frozen)",
        (done.window.start,),
    )
    connection.execute(
        "INSERT OR IGNORE INTO release_opened (start, version, dictionary, entries) VALUES (?, ?, ?, ?)",
        (done.window.start, done.terms.version, done.terms.dictionary, encode(list(entries))),
    )


def agree(connection: sqlite3.Connection, done: Agree, entries: Sequence[str] | None) -> None:
    """Keep the terms by which the device that decides a window reads it; see `Agree`. ``entries``: None if they are the same."""
    start = done.window.start
    connection.execute(
        "UPDATE release_opened SET version = ?, dictionary = ?, told_by = ? WHERE start = ?",
        (done.terms.version, done.terms.dictionary, done.releaser, start),
    )
    if entries is not None:
        connection.execute("UPDATE release_opened SET entries = ? WHERE start = ?", (encode(list(entries)), start))


def entries(connection: sqlite3.Connection, start: int) -> list[str] | None:
    """Those of the owner's dictionary when a window opened."""
    row = connection.execute("SELECT entries FROM release_opened WHERE start = ?", (start,)).fetchone()
    return None if row is None else [str(one) for one in decode(row[0], max_bytes=len(row[0]))]


def forget_device(connection: sqlite3.Connection) -> None:
    """This folder's device begins anew, under another key: what was signed and what was handed over stays, all else goes."""
    for (start,) in connection.execute("SELECT start FROM release_keys").fetchall():
        erase(connection, start)
    for table in ("release_opened", "release_frozen", "release_got", "release_left_out", "release_drawn"):
        connection.execute(f"DELETE FROM {table}")


# --- parts -----------------------------------------------------------------------------------------------------------------------


def freeze(
    connection: sqlite3.Connection,
    store_key: bytes,
    done: Freeze,
    device: bytes,
    handed: Sequence[Handed],
    marks: Iterable[Mark],
) -> None:
    """Keep what was taken from the turns of a window, with the marks of it; see `Freeze`."""
    window = done.window
    connection.execute(
        "INSERT INTO release_frozen (start, quarters, releaser, said) VALUES (?, ?, ?, ?)",
        (window.start, window.quarters, done.releaser, done.said),
    )
    hand(connection, marks)
    put_parts(connection, store_key, window.start, device, handed)
    if done.releaser == device:
        got(connection, window.start, device)
    if done.said:
        leave_out(connection, window.start, {device: done.said})


def put_parts(
    connection: sqlite3.Connection, store_key: bytes, start: int, device: bytes, handed: Sequence[Handed]
) -> None:
    """Keep the part of a device, in place of what there is of it."""
    connection.execute("DELETE FROM release_parts WHERE start = ? AND device = ?", (start, device))
    if handed:
        key = _key(connection, store_key, start)
        connection.executemany(
            "INSERT INTO release_parts (start, device, mark, sealed) VALUES (?, ?, ?, ?)",
            ((start, device, one.marks[0], seal_part(key, encode(one.write()))) for one in handed),
        )


def got(connection: sqlite3.Connection, start: int, device: bytes, said: str = "") -> None:
    """The part of a device is here, to be counted; ``said``: why there is nothing in it."""
    connection.execute("INSERT OR IGNORE INTO release_got (start, device) VALUES (?, ?)", (start, device))
    connection.execute("DELETE FROM release_left_out WHERE start = ? AND device = ?", (start, device))
    if said:
        leave_out(connection, start, {device: said})


def leave_out(connection: sqlite3.Connection, start: int, devices: Mapping[bytes, str]) -> None:
    """Nothing of these devices counts in a window, and why."""
    connection.executemany(
        "INSERT OR REPLACE INTO release_left_out (start, device, said) VALUES (?, ?, ?)",
        ((start, device, said) for device, said in devices.items()),
    )


def left_out(connection: sqlite3.Connection, start: int) -> dict[bytes, str]:
    """The devices of which nothing counts in a window, as far as is known here, and why."""
    rows = connection.execute("SELECT device, said FROM release_left_out WHERE start = ? ORDER BY device", (start,))
    return dict(rows.fetchall())


def parts(connection: sqlite3.Connection, store_key: bytes, start: int, device: bytes) -> Iterator[Handed]:
    """What is kept of a device's part. Raises `DatabaseDamaged`."""
    key: bytes | None = None
    rows = connection.execute(
        "SELECT sealed FROM release_parts WHERE start = ? AND device = ? ORDER BY no", (start, device)
    )
    for (sealed,) in rows:
        key = key or _key(connection, store_key, start)
        try:
            yield Handed.read(decode(open_part(key, sealed)))
        except EncodingError as error:
            raise DatabaseDamaged("what was taken from the turns of a window is damaged") from error


def drop_part(connection: sqlite3.Connection, start: int, device: bytes) -> None:
    """A device's part is on the disk of the releaser, or is counted no more."""
    connection.execute("DELETE FROM release_parts WHERE start = ? AND device = ?", (start, device))
    if connection.execute("SELECT 1 FROM release_parts WHERE start = ? LIMIT 1", (start,)).fetchone() is None:
        erase(connection, start)


def erase(connection: sqlite3.Connection, start: int) -> None:
    """Of a window, all parts and their key: it is decided, or will not be."""
    row = connection.execute("SELECT slot FROM release_keys WHERE start = ?", (start,)).fetchone()
    if row is not None:
        connection.execute("DELETE FROM release_keys WHERE start = ?", (start,))
        connection.execute("UPDATE turn_keys SET used = 0, wrapped = ? WHERE slot = ?", (_ZEROS, row[0]))
    connection.execute("DELETE FROM release_parts WHERE start = ?", (start,))


def erase_before(connection: sqlite3.Connection, quarter: int, spare: int | None = None) -> None:
    """The same for all windows that begin before a quarter, but for one: they will not be decided any more."""
    rows = connection.execute("SELECT DISTINCT start FROM release_parts WHERE start < ?", (quarter,)).fetchall()
    for (start,) in rows:
        if start != spare:
            erase(connection, start)


def drawn(connection: sqlite3.Connection, start: int, now: int) -> None:
    """A window is decided: nothing of its parts is kept."""
    connection.execute("INSERT INTO release_drawn (start, time) VALUES (?, ?)", (start, now))
    erase(connection, start)


def forget(connection: sqlite3.Connection, turns: Iterable[bytes]) -> None:
    """What was taken from our own turns, and was not handed over yet; and the keys of what is empty then. ``turns``: by what they
    are known here."""
    connection.executemany("DELETE FROM release_parts WHERE mark = ?", ((mark,) for mark in turns))
    for (start,) in connection.execute(
        "SELECT start FROM release_keys WHERE start NOT IN (SELECT start FROM release_parts)"
    ).fetchall():
        erase(connection, start)


def any_parts(connection: sqlite3.Connection) -> bool:
    """Is something here that only the key of the store opens?"""
    return connection.execute("SELECT 1 FROM release_keys LIMIT 1").fetchone() is not None


def _key(connection: sqlite3.Connection, store_key: bytes, start: int) -> bytes:
    """Of a window's parts; made if there is none."""
    about = b"window" + start.to_bytes(4, "big")
    row = connection.execute(
        "SELECT wrapped FROM release_keys JOIN turn_keys USING (slot) WHERE start = ?", (start,)
    ).fetchone()
    if row is not None:
        return open_key(store_key, row[0], about)
    key, wrapped = new_key(store_key, about)
    free = connection.execute("SELECT slot FROM turn_keys WHERE used = 0 LIMIT 1").fetchone()
    if free is None:
        slot = connection.execute("INSERT INTO turn_keys (used, wrapped) VALUES (1, ?)", (wrapped,)).lastrowid
    else:
        (slot,) = free
        connection.execute("UPDATE turn_keys SET used = 1, wrapped = ? WHERE slot = ?", (wrapped, slot))
    connection.execute("INSERT INTO release_keys (start, slot) VALUES (?, ?)", (start, slot))
    return key


# --- what was handed over ever -----------------------------------------------------------------------------------------------


def hand(connection: sqlite3.Connection, marks: Iterable[Mark]) -> None:
    """Note what was handed over, for ever."""
    connection.executemany("INSERT OR IGNORE INTO handed (mark, label) VALUES (?, ?)", marks)


def count_marks(connection: sqlite3.Connection) -> int:
    """How many there are, tombstones included."""
    (count,) = connection.execute("SELECT (SELECT count(*) FROM handed) + (SELECT count(*) FROM tombstones)").fetchone()
    return int(count)


def labels(connection: sqlite3.Connection) -> Callable[[bytes], list[int]]:
    """In which windows something was handed over; `FORGOTTEN` is among them where it never counts again."""

    def find(mark: bytes) -> list[int]:
        found = [label for (label,) in connection.execute("SELECT label FROM handed WHERE mark = ?", (mark,))]
        if connection.execute("SELECT 1 FROM tombstones WHERE mark = ?", (mark,)).fetchone() is not None:
            found.append(0)
        return found

    return find


def bucket(connection: sqlite3.Connection, number: int) -> Iterator[Mark]:
    """All marks whose first byte is ``number``; those that never count again have the label 0."""
    low, high = bytes((number,)), bytes((number + 1,)) if number < BUCKETS - 1 else None
    for table, label in (("handed", "label"), ("tombstones", "0")):
        where = "mark >= ?" if high is None else "mark >= ? AND mark < ?"
        values = (low,) if high is None else (low, high)
        yield from connection.execute(f"SELECT mark, {label} FROM {table} WHERE {where}", values)


def digests(connection: sqlite3.Connection) -> list[bytes]:
    """For each bucket, 8 bytes that stand for the marks in it."""
    return [_digest(bucket(connection, number)) for number in range(BUCKETS)]


def _digest(marks: Iterator[Mark]) -> bytes:
    total = 0
    for mark, label in marks:
        total += int.from_bytes(blake2b(mark + label.to_bytes(4, "big"), 8), "big")
    return (total % (1 << 64)).to_bytes(8, "big")


def take(connection: sqlite3.Connection, marks: Sequence[Mark]) -> bool:
    """Keep marks that another device has; False if that would be more than `MAX_MARKS`, and nothing is kept."""
    if count_marks(connection) + len(marks) > MAX_MARKS:
        return False
    hand(connection, (one for one in marks if one[1]))
    connection.executemany(
        "INSERT OR IGNORE INTO tombstones (mark) VALUES (?)", ((mark,) for mark, label in marks if not label)
    )
    return True


def marks_of(
    handed: Iterable[Handed], label: int, day_marks: Callable[[bytes, int], Iterable[bytes]]
) -> Iterator[Mark]:
    """The marks that a part leaves: of its turns, and of the days of its habits."""
    days: dict[tuple[bytes, int], None] = {}
    for one in handed:
        for mark in one.marks:
            yield mark, label
        days[one.key, one.day] = None
    for key, day in days:
        for mark in day_marks(key, day):
            yield mark, label
