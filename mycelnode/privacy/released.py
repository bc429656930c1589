"""What release decisions let out: stored once, as it was sampled, confirmed by a person, published from these rows alone.

All functions take a connection; those that change something run inside `Database.write`.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mycelnode.encoding import blake2b, encode
from mycelnode.errors import ReleaseUnknown
from mycelnode.identity import SEED_BYTES

ID_CHARS: Final = 12  # of the hash's hex
MIN_ID_CHARS: Final = 6  # by which one may be called
WITHIN_MS: Final = (
    72 * 3_600_000
)  # after the decision: at a random time, so that what is published together says nothing
_ID: Final = re.compile(rf"[0-9a-f]{{{MIN_ID_CHARS},{ID_CHARS}}}")
_COLUMNS: Final = "id, window, key, n, choice, version, due, confirmed, seen, price, register, deposit, unlinked, cid"


@dataclass(frozen=True, slots=True)
class Released:
    """A habit that was released: ``key`` and ``n``, which passed; ``choice`` of ε and δ; ``due``, Unix ms; when a person
    ``confirmed`` it (Unix ms), what they had ``seen`` (a hash), at which ``price`` (yoctoNEAR), and whether it is still to be
    ``register``ed, for at most which ``deposit`` (yoctoNEAR); ``unlinked``: the seed of the key that signs it alone, and empty
    once it has; ``cid`` once it is public."""

    id: str
    window: str
    key: bytes
    n: int
    choice: str
    version: bytes
    due: int
    confirmed: int | None
    seen: bytes | None
    price: int
    register: bool
    deposit: int | None
    unlinked: bytes | None
    cid: str | None


def looks_like_id(text: str) -> bool:
    """May this be what one is called?"""
    return _ID.fullmatch(text.lower()) is not None


def store(
    connection: sqlite3.Connection, window: str, choice: str, version: bytes, outputs: Mapping[bytes, int], now: int
) -> bytes:
    """Store what one decision lets out; what stands for it is returned. A window is stored once: `partstore.drawn` sees to that."""
    keys = list(outputs)
    secrets.SystemRandom().shuffle(keys)
    for key in keys:
        name = blake2b(encode(["mycel-released", window, key])).hex()[:ID_CHARS]
        due = now + secrets.randbelow(WITHIN_MS)
        connection.execute(
            "INSERT INTO released (id, window, key, n, choice, version, due) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (name, window, key, outputs[key], choice, version, due),
        )
    return stands_for(connection, window)


def stands_for(connection: sqlite3.Connection, window: str) -> bytes:
    """32 bytes that stand for all that is stored now of what one decision let out, and when it is due."""
    rows = [[one.key, one.n, one.choice, one.version, one.due] for one in every(connection) if one.window == window]
    return blake2b(encode(sorted(rows)))


def every(connection: sqlite3.Connection) -> Iterator[Released]:
    """All, by their ids: an order that says nothing."""
    for row in connection.execute(f"SELECT {_COLUMNS} FROM released ORDER BY id"):
        name, window, key, n, choice, version, due, confirmed, seen, price, register, deposit, unlinked, cid = row
        drawn = (name, window, key, n, choice, version, due, confirmed, seen)
        yield Released(
            *drawn, int(price or 0), bool(register), None if deposit is None else int(deposit), unlinked, cid
        )


def find(connection: sqlite3.Connection, name: str) -> Released:
    """That which is called so, by at least the first six digits. Raises `ReleaseUnknown`."""
    wanted = name.lower()
    found = [one for one in every(connection) if one.id.startswith(wanted)] if looks_like_id(wanted) else []
    if not found:
        raise ReleaseUnknown(f"nothing that was released is called {name[:80]!r}; `mycelnode pattern extract` lists it")
    if len(found) > 1:
        raise ReleaseUnknown(f"several things that were released are called {name!r}; say more of it")
    return found[0]


def confirm(
    connection: sqlite3.Connection,
    name: str,
    seen: bytes,
    price: int,
    now: int,
    *,
    register: bool,
    deposit: int | None = None,
    unlinked: bool = False,
) -> None:
    """A person has ``seen`` all of it, and says that it may be public. What was ``unlinked`` stays so, with the same key."""
    seed = secrets.token_bytes(SEED_BYTES) if unlinked else None
    connection.execute(
        "UPDATE released SET confirmed = ?, seen = ?, price = ?, register = ?, deposit = ?,"
        " unlinked = CASE WHEN cid IS NULL THEN coalesce(unlinked, ?) ELSE unlinked END WHERE id = ?",
        (now, seen, str(price), register, None if deposit is None else str(deposit), seed, name),
    )


def unconfirm(connection: sqlite3.Connection, name: str) -> None:
    """What would go out, or where it would be registered, is not what the person has seen: they are asked anew."""
    connection.execute("UPDATE released SET confirmed = NULL, seen = NULL, register = 0 WHERE id = ?", (name,))


def registered(connection: sqlite3.Connection, name: str) -> None:
    """Nothing of it is left to be registered."""
    connection.execute("UPDATE released SET register = 0 WHERE id = ?", (name,))


def published(connection: sqlite3.Connection, name: str, cid: str) -> None:
    """It is public; a key that signs nothing else is thrown away."""
    gone = "CASE WHEN unlinked IS NULL THEN NULL ELSE zeroblob(0) END"
    connection.execute(f"UPDATE released SET cid = ?, unlinked = {gone} WHERE id = ?", (cid, name))


def waiting(connection: sqlite3.Connection, now: int) -> list[Released]:
    """What is confirmed and due, and not public yet, or not registered as it is to be."""
    return [
        one
        for one in every(connection)
        if one.confirmed is not None and one.due <= now and (one.cid is None or one.register)
    ]
