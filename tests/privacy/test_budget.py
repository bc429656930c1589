"""The ledger of the budget: what was spent stays spent, and whoever edits it stops all releases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from mycelnode import audit, schema
from mycelnode.crdt.changelog import DeviceId
from mycelnode.errors import BudgetBroken, BudgetSpent
from mycelnode.identity import Identity, RootKey, verify
from mycelnode.privacy import budget
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import Plan, Record, Spend
from mycelnode.protocols.release_window import YEAR, Window

ROOT, ME = RootKey(b"r" * 32), Identity(b"m" * 32)
FIRST = Window.called("2026-Q1").start
NOW = Window.called("2027-Q4").closes


def plan(quarters: int = 1, choice: str = "standard", device: DeviceId = ME.device, since: str | None = None) -> Plan:
    first = FIRST if since is None else Window.called(since).start
    return Plan(ROOT.public, 1, first, quarters, choice, device, None).signed(ROOT.public, ROOT.sign)


def spend(window: str, choice: str = "standard", nonce: int = 0) -> Spend:
    made = Spend(ME.device, Window.called(window), choice, bytes(32), bytes(32), bytes((nonce,)) * 16)
    return made.signed(ROOT.public, ME.sign)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(schema.open_writer(tmp_path / "budget.db", schema.shipped_migrations())) as found:
        budget.keep(found, [plan()], 1)
        yield found


def reserve(connection: sqlite3.Connection, *records: Record) -> None:
    budget.reserve(connection, records, ROOT.public, verify, NOW)


def checked(connection: sqlite3.Connection) -> list[Record]:
    return budget.check(connection, ROOT.public, verify)


def test_what_is_reserved_is_in_the_ledger_and_in_the_audit_log(connection: sqlite3.Connection) -> None:
    reserve(connection, spend("2026-Q1"))
    assert checked(connection) == [plan(), spend("2026-Q1")]
    (event,) = [one for one in audit.tail(connection, 9) if one.fields["kind"] == "spend"]
    assert set(event.fields) == {"record", "kind", "window", "version", "epsilon", "delta", "random"}
    assert (event.fields["window"], event.fields["epsilon"], event.fields["delta"]) == ("2026-Q1", "1", "0.000001")


@pytest.mark.parametrize(
    ("before", "after"), [("2026-Q1", "2026-Q1"), ("2026-Q2", "2026-Q1"), ("2026", "2026-Q3"), ("2026-Q3", "2026")]
)
def test_no_window_is_spent_twice_and_none_before_one_that_was(
    connection: sqlite3.Connection, before: str, after: str
) -> None:
    reserve(connection, spend(before))
    with pytest.raises(BudgetSpent):
        reserve(connection, spend(after, nonce=1))
    reserve(connection, spend(before))  # the very same is no second one
    assert len(checked(connection)) == 2


def test_a_year_has_four_windows(connection: sqlite3.Connection) -> None:
    for quarter in range(1, 5):
        reserve(connection, spend(f"2026-Q{quarter}"))
    stands = budget.budget(Ledger(ROOT.public, checked(connection)), Window.called("2026-Q4").closes - 1)
    assert (stands.spent.windows, stands.left.windows, stands.left.epsilon) == (4, 0, 0)
    assert (stands.spent.epsilon, stands.spent.delta) == (4, Decimal("4e-6"))


def test_what_is_left_are_the_windows_that_can_still_be_decided() -> None:
    def stands(records: list[Record], at: str) -> tuple[int, int]:
        found = budget.budget(Ledger(ROOT.public, records), Window.called(at).opens)
        return found.spent.windows, found.left.windows

    assert stands([plan(since="2026-Q4")], "2026-Q4") == (0, 1), "the mesh began in autumn"
    assert stands([plan()], "2026-Q3") == (0, 4), "those that are over are not decided yet, and may be"
    assert stands([plan(), spend("2026-Q3")], "2026-Q4") == (1, 1), "nothing before the third is decided any more"
    assert stands([plan(), spend("2026-Q4")], "2026-Q4") == (1, 0)


def test_a_year_that_is_one_window_may_cost_one(connection: sqlite3.Connection) -> None:
    ledger = Ledger(ROOT.public, [plan(YEAR, "loose"), spend("2026", "loose")])
    stands = budget.budget(ledger, Window.called("2027").opens)
    assert (stands.year, stands.spent.windows, stands.cap.epsilon, stands.ever.epsilon) == (2027, 0, 2, 2)


def test_of_two_spends_of_one_window_the_dearer_counts(connection: sqlite3.Connection) -> None:
    ledger = Ledger(ROOT.public, [plan(), spend("2026-Q1", "strict"), spend("2026-Q1", "loose", 1)])
    assert budget.budget(ledger, NOW).ever == budget.Sum(Fraction(2), Decimal("1e-9"), 1)


LAST = "WHERE seq = (SELECT max(seq) FROM audit)"
CHANGED = "UPDATE {0} SET {1} = CAST(substr({1}, 1, 20) || x'00' || substr({1}, 22) AS BLOB) WHERE {2} = 2"
CUT = "UPDATE release_records SET record = CAST(substr(record, 1, length(record) - 1) || x'00' AS BLOB) WHERE no = 2"
OTHER = "UPDATE release_records SET record = (SELECT record FROM release_records WHERE no = 1) WHERE no = 2"
EDITS = {
    "a record is gone": "DELETE FROM release_records WHERE no = 2",
    "a record is another's": OTHER,
    "a byte is another": CHANGED.format("release_records", "record", "no"),
    "the signature is another": CUT,
    "a record is no record": "UPDATE release_records SET record = x'00' WHERE no = 2",
    "the audit log is cut": f"DELETE FROM audit {LAST}",
    "an event is another": CHANGED.format("audit", "event", "seq"),
    "both are gone": f"DELETE FROM release_records WHERE no = 2; DELETE FROM audit {LAST}",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_ledger_releases_nothing_any_more(connection: sqlite3.Connection, edit: str) -> None:
    reserve(connection, spend("2026-Q1"))
    reserve(connection, spend("2026-Q2"))
    connection.executescript(edit)
    with pytest.raises(BudgetBroken) as said:
        reserve(connection, spend("2026-Q3"))
    assert "nothing is released from this device any more" in str(said.value)
    assert "\n" not in str(said.value)


def test_a_record_put_in_by_hand_is_seen(connection: sqlite3.Connection) -> None:
    forged = spend("2026-Q1")
    connection.execute("INSERT INTO release_records (id, record) VALUES (?, ?)", (forged.id, forged.encoded))
    with pytest.raises(BudgetBroken, match="not those that the audit log names"):
        reserve(connection, spend("2026-Q2"))


def test_a_spend_that_cannot_be_stored_is_not_spent(connection: sqlite3.Connection) -> None:
    """As on a full disk: the database may not grow by a page."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    filled = False
    for number in range(200):
        connection.execute("BEGIN IMMEDIATE")
        try:
            reserve(connection, spend(Window(FIRST + number).id))
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            assert "full" in str(error)  # noqa: PT017 # it is told by its words alone
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            filled = True
            break
    assert filled
    connection.execute("PRAGMA max_page_count = 100000")
    assert len(checked(connection)) == 1 + number
    reserve(connection, spend(Window(FIRST + number).id))
