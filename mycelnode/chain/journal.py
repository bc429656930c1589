"""The journal of payments in the database: a line is on the disk before anything is sent that depends on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mycelnode import audit
from mycelnode.chain.policy import DAY_MS, Spent
from mycelnode.database import Database
from mycelnode.errors import BusyError, MycelError, SpendingRefused
from mycelnode.ports import Clock
from mycelnode.protocols.payment_journal import Entry, Intent, State, decode_entry, encode_entry

MAX_LIVE: Final = 1_000  # that wait or are under way
MAX_TRIES: Final = 1_000  # of one intent that failed each time
MAX_ROWS: Final = 10_000  # that are listed at once
MAX_NO: Final = (1 << 63) - 1  # of a line
AGAIN: Final = frozenset(
    (State.FAILED, State.CANCELLED, State.UNKNOWN)
)  # what may be wanted once more: first its check is asked
_COLUMNS: Final = "no, about, creator, amount, added, changed, entry"


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is shown: ``amount`` in yoctoNEAR, without gas; times in Unix ms."""

    no: int
    about: str
    creator: str | None
    amount: int
    added: int
    changed: int
    entry: Entry


class Journal:
    """The lines of this device."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def add(
        self,
        intent: Intent,
        *,
        about: str = "",
        creator: str | None = None,
        judge: Callable[[Sequence[Spent]], None] = lambda spent: None,
    ) -> Entry:
        """Keep an intent; what is under its id, and is done or may still be, is returned as it is.

        ``judge`` is given what was spent within a day, and raises `SpendingRefused` if there may be no more; that is audited. It
        and the line are one transaction: two that ask at the same time do not both get the last of it.

        Raises `BusyError` for too many that wait.
        """

        def work(connection: sqlite3.Connection) -> Entry | SpendingRefused:
            chosen, before = _free_id(connection, intent)
            if before is not None:
                return before
            fields = {"id": chosen.id, "to": chosen.receiver, "amount": str(chosen.deposit)}
            try:
                judge(self._spent(connection, chosen.network))
            except SpendingRefused as error:
                audit.record(connection, "payment.refused", {**fields, "why": str(error)}, self._clock.wall())
                return error  # not raised, which would take the event back
            (live,) = connection.execute("SELECT count(*) FROM payments WHERE ended = 0").fetchone()
            if live >= MAX_LIVE:
                raise BusyError(f"{MAX_LIVE:,} payments wait already; `mycelnode chain outbox` shows them")
            audit.record(connection, "payment.wanted", fields, self._clock.wall())
            self._insert(connection, Entry(chosen), about, creator)
            return Entry(chosen)

        found = await self._database.write(work)
        if isinstance(found, MycelError):
            raise found
        return found

    async def keep(self, entry: Entry) -> None:
        """Replace the line of an entry. Raises as `Database.write` does."""
        data = encode_entry(entry)

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock.wall()
            connection.execute(
                "UPDATE payments SET state = ?, ended = ?, amount = ?, changed = ?, entry = ? WHERE id = ?",
                (entry.state.value, entry.ended, str(_spent(entry)), now, data, entry.intent.id),
            )
            signed = entry.signed.hash if entry.signed else ""
            if entry.ended:
                fields = {
                    "id": entry.intent.id,
                    "transaction": signed,
                    "amount": str(_spent(entry)),
                    "said": entry.word,
                }
                audit.record(connection, f"payment.{entry.state.value}", fields, now)

        await self._database.write(work)

    def live(self, network: str) -> list[Entry]:
        """What has not ended on this network, in the order in which it came."""
        asked = f"SELECT {_COLUMNS} FROM payments WHERE ended = 0 AND network = ? ORDER BY no"
        return [line.entry for line in self._look(asked, network)]

    def find(self, name: str) -> Line | None:
        """A line by the id of its intent."""
        return next(iter(self._look(f"SELECT {_COLUMNS} FROM payments WHERE id = ?", name)), None)

    def last(self, name: str) -> Line | None:
        """The newest line of an intent, which may have been wanted several times."""
        found = None
        for count in range(1, MAX_TRIES):
            line = self.find(_name(name, count))
            if line is None:
                break
            found = line
        return found

    def about(self, cid: str) -> list[Line]:
        """The newest lines about a pattern, the newest first."""
        return self._look(f"SELECT {_COLUMNS} FROM payments WHERE about = ? ORDER BY no DESC LIMIT ?", cid, MAX_ROWS)

    def lines(self, *, ended: bool | None = None, state: State | None = None, most: int = MAX_ROWS) -> list[Line]:
        """The newest lines, the newest first: all, those that have (not) ended, or those of a state."""
        wanted: dict[str, Any] = {}
        if ended is not None:
            wanted["ended = ?"] = int(ended)
        if state is not None:
            wanted["state = ?"] = state.value
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        return self._look(f"SELECT {_COLUMNS} FROM payments {where} ORDER BY no DESC LIMIT ?", *wanted.values(), most)

    def calls(
        self, method: str, states: Collection[State], *, before: int | None = None, most: int = MAX_ROWS
    ) -> list[Line]:
        """The newest lines of a method that are in one of these states, the newest first, and ``before`` the one with a number."""
        marks = ", ".join("?" * len(states))
        asked = f"SELECT {_COLUMNS} FROM payments WHERE method = ? AND state IN ({marks}) AND no < ? ORDER BY no DESC LIMIT ?"
        names = [state.value for state in states]
        return self._look(asked, method, *names, MAX_NO if before is None else before, min(most, MAX_ROWS))

    def spent(self, network: str) -> list[Spent]:
        """What was spent within a day on this network, or still may be. Transfers are from one account of ours to another, and
        so is what contracts that are deployed are given: their method begins with +."""
        return self._database.look(lambda connection: self._spent(connection, network))

    def _spent(self, connection: sqlite3.Connection, network: str) -> list[Spent]:
        since = self._clock.wall() - DAY_MS
        rows = connection.execute(
            "SELECT amount, creator FROM payments"
            " WHERE network = ? AND method <> '' AND method NOT LIKE '+%' AND amount <> '0' AND (ended = 0 OR changed > ?)",
            (network, since),
        ).fetchall()
        return [Spent(int(amount), creator) for amount, creator in rows]

    def _insert(self, connection: sqlite3.Connection, entry: Entry, about: str, creator: str | None) -> None:
        now, intent = self._clock.wall(), entry.intent
        row = (intent.id, intent.network, entry.state.value, 0, intent.method, intent.receiver, about, creator)
        connection.execute(
            "INSERT INTO payments (id, network, state, ended, method, receiver, about, creator, amount, added, changed, entry)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, str(intent.deposit), now, now, encode_entry(entry)),
        )

    def _look(self, asked: str, *values: Any) -> list[Line]:
        rows = self._database.look(lambda connection: connection.execute(asked, values).fetchall())
        return [_line(*row) for row in rows]


def _line(no: int, about: str, creator: str | None, amount: str, added: int, changed: int, entry: bytes) -> Line:
    return Line(no, about, creator, int(amount), added, changed, decode_entry(entry))


def _free_id(connection: sqlite3.Connection, intent: Intent) -> tuple[Intent, Entry | None]:
    """The intent under an id that is not taken; or what goes by its id and is done, or may still be."""
    for count in range(1, MAX_TRIES):
        name = _name(intent.id, count)
        row = connection.execute("SELECT entry FROM payments WHERE id = ?", (name,)).fetchone()
        if row is None:
            return replace(intent, id=name), None
        entry = decode_entry(row[0])
        if entry.state not in AGAIN:
            return intent, entry
    raise BusyError(f"{intent.id} has failed {MAX_TRIES} times, and is not tried again")


def _name(name: str, count: int) -> str:
    """Under which an intent is kept that is wanted for the ``count``-th time, as it came to nothing before."""
    return name if count == 1 else f"{name}#{count}"


def _spent(entry: Entry) -> int:
    """yoctoNEAR that it takes, or has taken, without gas. That some came back, only a server says, so it counts all the same."""
    return 0 if entry.state in (State.FAILED, State.CANCELLED) else entry.intent.deposit
