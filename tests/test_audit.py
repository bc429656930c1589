from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode import audit
from mycelnode.audit import AuditReport, record, tail, verify
from mycelnode.database import open_database
from mycelnode.encoding import MAX_INT, blake2b, encode
from mycelnode.errors import EncodingError, MycelError, ValueRefused
from mycelnode.paths import DataDir
from mycelnode.schema import shipped_migrations

Chain = sqlite3.Connection


def new_chain(events: int = 0) -> Chain:
    connection = sqlite3.connect(":memory:")
    connection.executescript(shipped_migrations()[0].script)
    for number in range(events):
        record(connection, "test.event", {"number": number}, 1_700_000_000_000 + number)
    return connection


@pytest.fixture
def chain() -> Iterator[Chain]:
    with closing(new_chain(6)) as connection:
        yield connection


def test_an_empty_chain_is_whole() -> None:
    with closing(new_chain()) as connection:
        assert verify(connection) == AuditReport(True, 0, audit.START)
        assert tail(connection, 5) == []


def test_a_whole_chain_verifies_and_the_head_follows_from_the_formula(chain: Chain) -> None:
    head = blake2b(b"mycel-audit")
    for number in range(6):
        head = blake2b(head + encode([number + 1, 1_700_000_000_000 + number, "test.event", {"number": number}]))
    assert verify(chain) == AuditReport(True, 6, head)
    assert audit.last(chain) == (6, head)


def test_tail_shows_the_last_events_oldest_first(chain: Chain) -> None:
    assert [event.fields["number"] for event in tail(chain, 2)] == [4, 5]
    assert tail(chain, 1)[0].as_json() == {
        "seq": 6,
        "time": "2023-11-14T22:13:20.005Z",
        "kind": "test.event",
        "fields": {"number": 5},
    }


PLAIN = st.none() | st.booleans() | st.integers(-(2**63), MAX_INT) | st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.text() | st.binary() | st.integers(0, 9)
VALUES = st.recursive(
    PLAIN | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@given(
    st.lists(
        st.tuples(st.text(max_size=64), st.dictionaries(st.text(max_size=64), VALUES, max_size=4), st.integers()),
        max_size=5,
    )
)
def test_any_event_comes_back_and_can_be_shown(events: list[tuple[str, dict[str, object], int]]) -> None:
    with closing(new_chain()) as connection:
        for kind, fields, time_ms in events:
            record(connection, kind, fields, time_ms)
        assert verify(connection).ok
        assert [(event.kind, event.fields) for event in tail(connection, 10)] == [
            (kind, fields) for kind, fields, _ in events
        ]
        json.dumps([event.as_json() for event in tail(connection, 10)])


@given(st.data(), st.integers(1, 8))
def test_any_tampering_is_found(data: st.DataObject, size: int) -> None:
    with closing(new_chain(size)) as connection:
        rows = connection.execute("SELECT seq, event, hash FROM audit ORDER BY seq").fetchall()
        place = data.draw(st.integers(1, size), label="place")
        seq, event, stored = rows[place - 1]
        how = data.draw(
            st.sampled_from(["change", "change with hash", "remove", "swap", "put in", "replay", "move"]), label="how"
        )
        if how.startswith("change"):
            bit = data.draw(st.integers(0, 8 * len(event) - 1))
            changed = bytearray(event)
            changed[bit // 8] ^= 1 << bit % 8
            before = rows[place - 2][2] if place > 1 else audit.START
            new_hash = blake2b(before + bytes(changed)) if how == "change with hash" else stored
            connection.execute("UPDATE audit SET event = ?, hash = ? WHERE seq = ?", (bytes(changed), new_hash, seq))
        elif how == "remove":
            connection.execute("DELETE FROM audit WHERE seq = ?", (seq,))
        elif how == "swap":
            other = data.draw(
                st.integers(1, size).filter(lambda other: other != place) if size > 1 else st.just(size + 1)
            )
            connection.execute("UPDATE audit SET seq = -seq + 100 WHERE seq = ?", (seq,))
            connection.execute("UPDATE audit SET seq = ? WHERE seq = ?", (seq, other))
            connection.execute("UPDATE audit SET seq = ? WHERE seq = ?", (other, 100 - seq))
        elif how == "put in":
            for later in range(size, place - 1, -1):
                connection.execute("UPDATE audit SET seq = seq + 1 WHERE seq = ?", (later,))
            connection.execute("INSERT INTO audit VALUES (?, ?, ?)", (place, encode([place, 0, "x", {}]), stored))
        elif how == "replay":
            connection.execute("INSERT INTO audit VALUES (?, ?, ?)", (size + 1, event, stored))
        else:
            connection.execute("UPDATE audit SET seq = ? WHERE seq = ?", (size + 5, seq))
        report = verify(connection)
        assert not report.ok
        assert report.reason
        assert report.broken_at is not None
        assert report.broken_at <= size + 1
        tail(connection, 100)


def test_a_lost_end_is_found(chain: Chain) -> None:
    chain.execute("DELETE FROM audit WHERE seq > 4")
    assert verify(chain) == AuditReport(False, 4, verify(chain).head, 5, "events after 4 were removed or added")


def rewrite(connection: Chain, change: Callable[[int], str]) -> None:
    """What somebody with the file and the program can do: make a whole new chain."""
    times = [(event.seq, event.time_ms) for event in tail(connection, 100)]
    connection.execute("DELETE FROM audit")
    connection.execute("DELETE FROM audit_head")
    for seq, time_ms in times:
        record(connection, change(seq), {}, time_ms)


def test_a_rewritten_chain_is_found_by_an_anchor_kept_elsewhere(chain: Chain) -> None:
    anchor = audit.last(chain)
    assert verify(chain, [anchor]).ok
    rewrite(chain, lambda seq: "innocent" if seq == 3 else "test.event")
    assert verify(chain).ok
    report = verify(chain, [anchor])
    assert (report.ok, report.broken_at) == (False, 6)


def test_a_chain_started_over_is_found_by_an_anchor(chain: Chain) -> None:
    anchor = audit.last(chain)
    chain.execute("DELETE FROM audit")
    chain.execute("DELETE FROM audit_head")
    assert verify(chain).ok
    assert verify(chain, [anchor]).reason == "event 6 was recorded elsewhere and is missing"


@pytest.mark.parametrize(
    ("kind", "fields", "error"),
    [
        ("x" * 65, {}, EncodingError),
        ("x", {1: "not text"}, EncodingError),
        ("x", {"when": object()}, EncodingError),
        ("x", {"much": "x" * 20_000}, ValueRefused),
    ],
)
def test_what_is_no_event_is_refused_and_leaves_no_trace(
    chain: Chain, kind: str, fields: dict[str, object], error: type[MycelError]
) -> None:
    with pytest.raises(error):
        record(chain, kind, fields, 0)
    assert verify(chain).events == 6


async def test_in_the_real_database(tmp_path: Path) -> None:
    async with open_database(DataDir(tmp_path)) as database:
        for number in range(3):
            await database.write(lambda connection, number=number: record(connection, "test", {"n": number}, 0))
        assert verify(database.read).events == 3
        assert (await database.scan(verify)).ok
