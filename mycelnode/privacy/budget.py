"""The budget: what was spent of ε and δ, in a ledger that only grows and that the audit chain holds together.

Each record is signed, and noted in the audit log in the very transaction that stores it. Before anything is spent both are read and
compared: a record that was changed, taken out or put in by hand, and an audit log that does not hold, stop all releases for good.

All functions take a connection; those that change something run inside `Database.write`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from mycelnode import audit
from mycelnode.crdt.changelog import Verify
from mycelnode.encoding import blake2b
from mycelnode.errors import BudgetBroken, BudgetSpent, EncodingError
from mycelnode.privacy import partstore, released
from mycelnode.privacy.accounting import CHOICES, Choice
from mycelnode.protocols.release_ledger import WINDOWS_A_YEAR, Ledger
from mycelnode.protocols.release_records import Record, Spend, read_record
from mycelnode.protocols.release_window import YEAR, quarter_of

RECORDED: Final = "release.record"
DECIDED: Final = "release.decide"


def read(connection: sqlite3.Connection, root: bytes, verify: Verify) -> list[Record]:
    """The records of the ledger, each checked by its signature. Raises `BudgetBroken`."""
    records: list[Record] = []
    for key, packed in partstore.load_records(connection):
        try:
            record = read_record(packed)
        except EncodingError as error:
            raise BudgetBroken("a record of the budget cannot be read") from error
        if record.id != key or not record.verified(root, verify):
            raise BudgetBroken("a record of the budget is not what was signed")
        records.append(record)
    return records


def check(connection: sqlite3.Connection, root: bytes, verify: Verify) -> list[Record]:
    """The records, after the audit log was checked from its beginning and holds exactly these. Raises `BudgetBroken`."""
    report = audit.verify(connection)
    if not report.ok:
        raise BudgetBroken(f"the audit log does not hold ({report.reason})")
    records = read(connection, root, verify)
    noted = {event.fields.get("record") for event in audit.every(connection, RECORDED)}
    if {record.id for record in records} != noted:
        raise BudgetBroken("the records of the budget are not those that the audit log names")
    return records


def keep(connection: sqlite3.Connection, records: Iterable[Record], now: int) -> None:
    """Store records that were heard or made, with their notes in the audit log. ``now``: Unix ms."""
    for record in records:
        if partstore.save_record(connection, record.id, record.encoded):
            audit.record(connection, RECORDED, {"record": record.id, "kind": record.KIND, **_noted(record)}, now)


def reserve(connection: sqlite3.Connection, records: Sequence[Record], root: bytes, verify: Verify, now: int) -> None:
    """The same for what this device is about to spend: nothing is stored unless the ledger on this very disk has room for it.

    Raises `BudgetBroken`, `BudgetSpent`.
    """
    ledger = Ledger(root, check(connection, root, verify))
    for record in records:
        if isinstance(record, Spend) and record not in ledger:
            if record.window.start < ledger.spent_until():
                raise BudgetSpent(f"the budget of {record.window.id} is spent")
            if len(ledger.spent_in(record.window.year)) >= WINDOWS_A_YEAR:
                raise BudgetSpent(
                    f"the budget of {record.window.year} is spent: {WINDOWS_A_YEAR} windows a year are the most"
                )
    keep(connection, records, now)


def note_decision(connection: sqlite3.Connection, spend: Spend, outputs: bytes, random: bytes, now: int) -> None:
    """Note that a window was decided. ``outputs``: what stands for all that was released."""
    audit.record(connection, DECIDED, {**_noted(spend), "outputs": outputs, "random": random}, now)


def sound(connection: sqlite3.Connection, window: str, root: bytes, verify: Verify) -> None:
    """See that what is stored of a window is what was decided, if something is. Raises `BudgetBroken`."""
    check(connection, root, verify)
    if not any(one.window == window for one in released.every(connection)):
        return
    stands = released.stands_for(connection, window)
    notes = [event.fields for event in audit.every(connection, DECIDED)]
    if not any(
        note.get("window") == window and note.get("outputs") == blake2b(note["random"] + stands) for note in notes
    ):
        raise BudgetBroken(f"what is stored of {window} is not what was decided")


def _noted(record: Record) -> Mapping[str, Any]:
    if not isinstance(record, Spend):
        return {}
    choice = CHOICES[record.choice]
    return {
        "window": record.window.id,
        "version": record.version,
        "epsilon": str(choice.epsilon),
        "delta": str(choice.delta),
        "random": record.nonce,
    }


# --- what is left ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sum:
    """Of the windows of one calendar year, or of all: what they cost someone who has one counted day in each of them."""

    epsilon: Fraction
    delta: Decimal
    windows: int


@dataclass(frozen=True, slots=True)
class Budget:
    """``year``: the calendar year that is looked at; ``cap``: what its windows may cost; ``ever``: all that was spent."""

    year: int
    spent: Sum
    cap: Sum
    ever: Sum

    @property
    def left(self) -> Sum:
        """What the rest of the year may cost."""
        windows = self.cap.windows - self.spent.windows
        return Sum(self.cap.epsilon - self.spent.epsilon, self.cap.delta - self.spent.delta, windows)


def budget(ledger: Ledger, now: int) -> Budget:
    """How the budget stands at ``now`` (Unix ms)."""
    year = 1970 + quarter_of(now) // YEAR
    spent, ever = _sum(ledger, year), _sum(ledger, None)
    left = [CHOICES[choice] for choice in _to_come(ledger, year)][: max(0, WINDOWS_A_YEAR - spent.windows)]
    cap = Sum(
        spent.epsilon + sum((one.epsilon for one in left), Fraction(0)),
        spent.delta + sum((one.delta for one in left), Decimal(0)),
        spent.windows + len(left),
    )
    return Budget(year, spent, cap, ever)


def _to_come(ledger: Ledger, year: int) -> Iterator[str]:
    """The choices of the windows of a calendar year that can still be spent: after the last one that was, and in a plan."""
    first = (year - 1970) * YEAR
    quarter = max(first, ledger.spent_until())
    while quarter < first + YEAR:
        window, plan = ledger.window_of(quarter), ledger.plan(quarter)
        if window is not None and plan is not None and window.start >= quarter:
            yield plan.choice
        quarter = quarter + 1 if window is None else window.end


def _sum(ledger: Ledger, year: int | None) -> Sum:
    """Each window once, at the dearest that was signed for it."""
    dearest: dict[Any, Choice] = {}
    for spend in ledger.spends():
        if year is None or spend.window.year == year:
            choice = CHOICES[spend.choice]
            known = dearest.get(spend.window)
            if known is None or (choice.epsilon, choice.delta) > (known.epsilon, known.delta):
                dearest[spend.window] = choice
    total = dearest.values()
    return Sum(
        sum((one.epsilon for one in total), Fraction(0)), sum((one.delta for one in total), Decimal(0)), len(dearest)
    )
