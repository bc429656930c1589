"""What this device has paid for, as a person's books need it: all of it, page by page, with what is not known for sure."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from mycelnode.chain.amounts import parse_yocto
from mycelnode.chain.journal import Line
from mycelnode.chain.service import Chain
from mycelnode.commands import rfc3339
from mycelnode.errors import AmountRefused, CidRefused
from mycelnode.patterns import library
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.payment_journal import State

PAGE: Final = 1_000  # receipts at once
MAYBE_PAID: Final = (State.DONE, State.SIGNED, State.UNKNOWN)


def page(chain: Chain, before: int | None, limit: int) -> dict[str, Any]:
    """The uses that were paid for, or may have been, the newest first, from before a number on; ``more``: there are older ones."""
    lines = chain.journal.calls("use_pattern", MAYBE_PAID, before=before, most=limit + 1)
    shown, cids = lines[:limit], {line.about for line in lines}
    titles = chain.mesh.database.look(lambda connection: _titles(connection, cids))
    return {
        "receipts": [{**receipt(line), "title": titles.get(line.about)} for line in shown],
        "more": len(lines) > limit,
    }


def receipt(line: Line) -> dict[str, Any]:
    """``price`` and ``fee`` as the contract said; None if nobody remembered what it had said, or it is no amount."""
    entry = line.entry
    told: Any = None
    if entry.outcome is not None:
        try:
            told = json.loads(entry.outcome.value)
        except (ValueError, RecursionError):
            told = None
    told = told if isinstance(told, dict) else {}
    back = _told(told, "refunded") or "0"
    asked = json.loads(entry.intent.args)
    return {
        "no": line.no,
        "state": entry.state.value,
        "time": rfc3339(line.changed),
        "cid": line.about,
        "pattern": asked["id"],
        "nth": asked["nth"],
        "creator": line.creator,
        "account": entry.intent.account,
        "paid": str(max(0, line.amount - int(back))),
        "price": _told(told, "price"),
        "fee": _told(told, "fee"),
        "gas": None if entry.outcome is None else str(entry.outcome.burnt),
        "transaction": entry.signed.hash if entry.signed else None,
        "network": entry.intent.network,
    }


def _told(told: dict[str, Any], field: str) -> str | None:
    """An amount of what a contract is said to have answered: a server can have made it up."""
    try:
        return str(parse_yocto(told.get(field)))
    except AmountRefused:
        return None


def _titles(connection: sqlite3.Connection, cids: Iterable[str]) -> dict[str, str]:
    """Of those that are still known here."""
    found = dict[str, str]()
    for cid in cids:
        with suppress(CidRefused):
            if (entry := library.get(connection, Cid.parse(cid))) is not None:
                found[cid] = entry.title
    return found
