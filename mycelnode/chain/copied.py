"""The local copy of the registry in the database: a page of changes is one transaction with the number from which to go on.

Blocking; given to `Database.write`, `look` and `scan`. Who has registered something may be anybody: what the registry says of a
pattern holds only if the pattern's own manifest names that account.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mycelnode.chain.registry import Registered
from mycelnode.chain.reputation import Standing
from mycelnode.errors import ContractWrong
from mycelnode.patterns.cid import DAG_CBOR, Cid

MAX_PATTERNS: Final = 500_000  # in a copy: about 100 MB
MAX_ID: Final = (1 << 63) - 1
MAX_OTHERS: Final = 100  # accounts that have registered one pattern, as far as they are counted
SHARE: Final = 10  # of what is wanted, one creator has at most one in so many
MS: Final = 1_000_000  # nanoseconds

_STATE: Final = "chain, contract, instance, reputation, next_seq, seq, height, looked"

# those of the library that are registered by the account that they name; CROSS JOIN keeps the order, from the smaller table
_NAMED: Final = "FROM patterns p CROSS JOIN registry_patterns r ON r.cid = p.cid AND r.creator = p.near"


@dataclass(frozen=True, slots=True)
class State:
    """Of what it is a copy, and how far it is: the changes before ``next_seq``, of those before ``seq``.

    ``chain`` names the network and its first block, ``instance`` when the contract was made; ``looked`` is in Unix ms.
    """

    chain: str
    contract: str
    instance: int
    reputation: str
    next_seq: int
    seq: int
    height: int
    looked: int

    def is_of(self, other: State) -> bool:
        """Are both copies of one contract on one chain?"""
        mine, others = (self.chain, self.contract, self.instance), (other.chain, other.contract, other.instance)
        return mine == others

    @property
    def is_whole(self) -> bool:
        """Is it all that there was at its block?"""
        return self.next_seq == self.seq


@dataclass(frozen=True, slots=True)
class Record:
    """A pattern as the registry has it: ``price`` in yoctoNEAR, ``retired`` in Unix ms."""

    id: int
    creator: str
    price: int
    version: int
    retired: int | None


@dataclass(frozen=True, slots=True)
class Said:
    """What the registry says of a pattern in the library.

    ``record``: by the account ``near`` that the manifest names. ``others``: how many accounts that it does not name have
    registered it. ``score``: of ``near``, if it was asked for; None if nobody has rated it.
    """

    near: str
    record: Record | None
    others: int
    score: int | None
    is_asked: bool


# --- changing ----------------------------------------------------------------------------------------------------------------


def put(connection: sqlite3.Connection, state: State, patterns: Sequence[Registered], *, anew: bool) -> None:
    """Take in a page of changes, and that the copy is at ``state`` from then on. ``anew``: what was here is forgotten first."""
    if anew:
        connection.execute("DELETE FROM registry_patterns")
        connection.execute("DELETE FROM registry_scores")
    connection.executemany(
        "INSERT OR REPLACE INTO registry_patterns (id, creator, cid, domain, price, version, retired, seq)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        map(_row, patterns),
    )
    connection.execute(
        f"INSERT OR REPLACE INTO registry_copy (only, {_STATE}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            state.chain,
            state.contract,
            str(state.instance),
            state.reputation,
            state.next_seq,
            state.seq,
            state.height,
            state.looked,
        ),
    )


def _row(one: Registered) -> tuple[Any, ...]:
    if one.id > MAX_ID:
        raise ContractWrong(f"the registry has a pattern with the number {one.id}, which none can have")
    retired = None if one.retired_at is None else one.retired_at // MS
    cid = Cid.parse(one.cid).binary
    return one.id, one.creator, cid, one.domain, str(one.price), one.version, retired, one.seq


def put_scores(connection: sqlite3.Connection, scores: Sequence[tuple[str, Standing]], now: int) -> None:
    """How creators stand, as they were told at ``now`` (Unix ms)."""
    connection.executemany(
        "INSERT OR REPLACE INTO registry_scores (creator, score, ratings, asked) VALUES (?, ?, ?, ?)",
        [(creator, standing.score, min(standing.ratings, MAX_ID), now) for creator, standing in scores],
    )


# --- looking -----------------------------------------------------------------------------------------------------------------


def state(connection: sqlite3.Connection) -> State | None:
    """Of what there is a copy, if there is one."""
    row = connection.execute(f"SELECT {_STATE} FROM registry_copy").fetchone()
    return None if row is None else State(row[0], row[1], int(row[2]), *row[3:])


def held(connection: sqlite3.Connection, network: str, contract: str) -> State | None:
    """The copy of that contract on that network, if it is the one that there is."""
    found = state(connection)
    named = found is not None and found.contract == contract and found.chain.startswith(f"{network}/")
    return found if named else None


def count(connection: sqlite3.Connection) -> int:
    """How many patterns it has."""
    (found,) = connection.execute("SELECT count(*) FROM registry_patterns").fetchone()
    return int(found)


def said(connection: sqlite3.Connection, cid: Cid) -> Said | None:
    """What the registry says of a pattern that is in the library; None: nothing."""
    row = connection.execute("SELECT near FROM patterns WHERE cid = ?", (cid.binary,)).fetchone()
    near = "" if row is None else row[0] or ""
    found = connection.execute(
        "SELECT id, creator, price, version, retired FROM registry_patterns WHERE cid = ? ORDER BY creator = ? DESC LIMIT ?",
        (cid.binary, near, MAX_OTHERS),
    ).fetchall()
    if not found:
        return None
    record = next((Record(no, who, int(price), *more) for no, who, price, *more in found if who == near), None)
    score = None
    if record is not None:
        score = connection.execute("SELECT score, ratings FROM registry_scores WHERE creator = ?", (near,)).fetchone()
    others = len(found) - (record is not None)
    return Said(near, record, others, score[0] if score is not None and score[1] else None, score is not None)


def price(connection: sqlite3.Connection, no: int) -> int | None:
    """What a use of the pattern with that number in the library costs now, if the account that it names has registered it."""
    row = connection.execute(f"SELECT r.price {_NAMED} WHERE p.no = ?", (no,)).fetchone()
    return None if row is None else int(row[0])


def repriced(connection: sqlite3.Connection) -> dict[int, int]:
    """Of the patterns in the library, by their numbers there, what a use costs where that is not what the manifest says."""
    rows = connection.execute(f"SELECT p.no, r.price {_NAMED} WHERE p.near <> '' AND r.price <> p.price")
    return {no: int(price) for no, price in rows}


def unrated(connection: sqlite3.Connection, before: int, unrated: int, limit: int) -> list[str]:
    """Creators of patterns in the library whose score was not asked for since ``before`` (Unix ms), the longest ago first.

    Of those whom nobody had rated then: since ``unrated``.
    """
    rows = connection.execute(
        f"SELECT DISTINCT r.creator, s.asked {_NAMED} LEFT JOIN registry_scores s ON s.creator = r.creator"
        " WHERE p.near <> '' AND (s.asked IS NULL OR s.asked < CASE s.ratings WHEN 0 THEN ? ELSE ? END) ORDER BY s.asked LIMIT ?",
        (unrated, before, limit),
    )
    return [creator for creator, _ in rows]


def unknown(connection: sqlite3.Connection, limit: int, without: Container[Cid] = ()) -> list[Cid]:
    """Patterns that can be bought and are not in the library, those that changed last first; of one creator only a share.

    None of those ``without`` which it is to be done is among them.
    """
    share, found, had = max(1, limit // SHARE), dict[Cid, None](), dict[str, int]()
    rows = connection.execute(
        "SELECT r.cid, r.creator FROM registry_patterns r WHERE r.retired IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM patterns p WHERE p.cid = r.cid) ORDER BY r.seq DESC"
    )
    for binary, creator in rows:
        cid = Cid.from_bytes(binary)
        if cid.codec != DAG_CBOR or cid in without or had.get(creator, 0) >= share:
            continue
        had[creator] = had.get(creator, 0) + 1
        found[cid] = None
        if len(found) == limit:
            break
    rows.close()
    return list(found)
