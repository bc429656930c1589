"""The audit chain: what left the device, what was spent, who was let in or put out, so that a later change to the record shows.

An event is canonical CBOR ``[seq, unix ms, kind, fields]``; ``hash_n = BLAKE2b-256(hash_{n-1} ‖ event_n)``, where ``hash_0`` is the
hash of ``b"mycel-audit"``. The chain cannot show that someone rewrote all of it: for that, its head is written elsewhere from time
to time (the device's log), and `verify` is given those anchors.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mycelnode.encoding import Value, as_int, as_list, as_map, as_text, blake2b, decode, encode
from mycelnode.errors import EncodingError, ValueRefused

START = blake2b(b"mycel-audit")
MAX_EVENT_BYTES = 16 << 10  # an event is a note on what happened, not a copy of it
MAX_KIND_CHARS = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TIME_MS = 253_402_300_799_999  # the end of the year 9999, the last that RFC 3339 can say


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the chain."""

    seq: int
    time_ms: int
    kind: str
    fields: Mapping[str, Value]

    def as_json(self) -> dict[str, Any]:
        """For people and scripts: time in RFC 3339 UTC, bytes as hex."""
        time = EPOCH + timedelta(milliseconds=self.time_ms)
        shown = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"seq": self.seq, "time": shown, "kind": self.kind, "fields": _plain(dict(self.fields))}


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `verify` found: ``broken_at`` is the first place that does not fit, ``head`` the hash of the last event that does."""

    ok: bool
    events: int
    head: bytes
    broken_at: int | None = None
    reason: str = ""


def record(connection: sqlite3.Connection, kind: str, fields: Mapping[str, Value], time_ms: int) -> tuple[int, bytes]:
    """Append an event, inside a write transaction; returns its place and the new head.

    Raises `EncodingError` or `ValueRefused` for what is no event.
    """
    seq, head = last(connection)
    event = encode([seq + 1, min(max(time_ms, 0), MAX_TIME_MS), kind, dict(fields)])
    if len(event) > MAX_EVENT_BYTES:
        raise ValueRefused(f"an audit event has at most {MAX_EVENT_BYTES} bytes")
    _decode(event)
    head = blake2b(head + event)
    connection.execute("INSERT INTO audit (seq, event, hash) VALUES (?, ?, ?)", (seq + 1, event, head))
    connection.execute("INSERT OR REPLACE INTO audit_head (one, seq, hash) VALUES (1, ?, ?)", (seq + 1, head))
    return seq + 1, head


def last(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """How many events the chain claims to have, and the hash it ends in."""
    row = connection.execute("SELECT seq, hash FROM audit_head").fetchone()
    return (0, START) if row is None else (int(row[0]), bytes(row[1]))


def verify(connection: sqlite3.Connection, anchors: Iterable[tuple[int, bytes]] = ()) -> AuditReport:
    """Recompute the chain. ``anchors`` are (place, hash) pairs kept elsewhere, through which it must run."""
    expected = dict(anchors)
    head, count = START, 0

    def broken(place: int, reason: str) -> AuditReport:
        return AuditReport(False, count, head, place, reason)

    for seq, event, stored in connection.execute("SELECT seq, event, hash FROM audit ORDER BY seq"):
        place = count + 1
        if seq != place:
            return broken(place, f"event {place} is missing")
        following = blake2b(head + event)
        if following != stored:
            return broken(place, f"event {place} was changed, or one before it was removed or put in")
        if expected.pop(place, following) != following:
            return broken(place, f"event {place} is not the one that was recorded elsewhere")
        try:
            if _decode(event).seq != place:
                return broken(place, f"event {place} was made for another place")
        except EncodingError as error:
            return broken(place, f"event {place} cannot be read: {error}")
        head, count = following, place
    if (count, head) != last(connection):
        return broken(count + 1, f"events after {count} were removed or added")
    if beyond := [place for place in expected if place > count]:
        return broken(count + 1, f"event {min(beyond)} was recorded elsewhere and is missing")
    return AuditReport(True, count, head)


def tail(connection: sqlite3.Connection, count: int) -> list[Event]:
    """The last ``count`` events, oldest first; those that cannot be read (`verify` names them) are left out."""
    events = []
    for (event,) in connection.execute("SELECT event FROM audit ORDER BY seq DESC LIMIT ?", (count,)):
        try:
            events.append(_decode(event))
        except EncodingError:
            continue
    return events[::-1]


def every(connection: sqlite3.Connection, kind: str) -> Iterator[Event]:
    """All events of one kind, oldest first, of a chain that `verify` found to hold. Raises `EncodingError` if it does not."""
    for (event,) in connection.execute("SELECT event FROM audit ORDER BY seq"):
        found = _decode(event)
        if found.kind == kind:
            yield found


def _decode(event: bytes) -> Event:
    seq, time_ms, kind, fields = as_list(decode(event, max_bytes=MAX_EVENT_BYTES), 4)
    named = {as_text(key, MAX_KIND_CHARS): value for key, value in as_map(fields).items()}
    return Event(as_int(seq, 1), as_int(time_ms, 0, MAX_TIME_MS), as_text(kind, MAX_KIND_CHARS), named)


def _plain(value: Value) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return value
