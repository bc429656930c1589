"""Which request a use that is paid for answers, so that one that was interrupted, and is made again, is paid once.

A request is called as whoever makes it says; one without a name is called after its payment, and the next one without a name for
the same pattern goes on with it, as long as nobody has had what it paid for.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from mycelnode.database import Database
from mycelnode.errors import ValueRefused
from mycelnode.ports import Clock

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")  # never that of a payment, which has a colon
_COLUMNS: Final = "request, cid, payment, served"


@dataclass(frozen=True, slots=True)
class Use:
    """``payment``: the id of the intent. ``served``: whoever asked has had the pattern."""

    request: str
    cid: str
    payment: str
    served: bool


class Uses:
    """Those of this device."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def find(self, cid: str, request: str | None, network: str) -> Use | None:
        """What was begun under the name of a request; without a name, what nobody has had yet, on this network.

        Raises `ValueRefused` for what is no name, or is that of another request: also of one on another chain.
        """
        if request is None:
            asked = f"SELECT {_COLUMNS} FROM paid_uses WHERE cid = ? AND served = 0 AND request = payment ORDER BY begun DESC"
            return next((use for use in self._look(asked, cid) if use.payment.startswith(network)), None)
        if not _NAME.fullmatch(request):
            raise ValueRefused("the name of a request has 1 to 64 letters, digits, . - or _")
        use = next(iter(self._look(f"SELECT {_COLUMNS} FROM paid_uses WHERE request = ?", request)), None)
        if use is not None and use.cid != cid:
            raise ValueRefused(f"the request {request} was for another pattern, {use.cid}")
        if use is not None and not use.payment.startswith(network):
            raise ValueRefused(f"the request {request} was paid on another chain; give this one another name")
        return use

    async def begin(self, cid: str, request: str | None, payment: str) -> None:
        """Keep what a request is about to be paid with; in the place of a payment that came to nothing."""

        def work(connection: sqlite3.Connection) -> None:
            if request is None:
                connection.execute("DELETE FROM paid_uses WHERE cid = ? AND served = 0 AND request = payment", (cid,))
            connection.execute(
                "INSERT OR REPLACE INTO paid_uses (request, cid, payment, served, begun) VALUES (?, ?, ?, 0, ?)",
                (request or payment, cid, payment, self._clock.wall()),
            )

        await self._database.write(work)

    async def serve(self, use: Use) -> None:
        """Whoever asked has it."""
        served = "UPDATE paid_uses SET served = 1 WHERE request = ?"
        await self._database.write(lambda connection: connection.execute(served, (use.request,)))

    def _look(self, asked: str, *values: Any) -> list[Use]:
        rows = self._database.look(lambda connection: connection.execute(asked, values).fetchall())
        return [Use(request, cid, payment, bool(served)) for request, cid, payment, served in rows]
