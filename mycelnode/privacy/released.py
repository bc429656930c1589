"""TEMP"""

from __future__ import annotations
import secrets, sqlite3
from dataclasses import dataclass
from mycelnode.encoding import blake2b, encode


@dataclass(frozen=True, slots=True)
class Released:
    id: str
    window: str
    key: bytes
    n: int
    due: int
    confirmed: int | None
    cid: str | None


def store(connection, window, choice, version, outputs, now):
    for k in outputs:
        connection.execute(
            "INSERT INTO released VALUES (?,?,?,?,?)", (blake2b(k).hex()[:12], window, k, outputs[k], now)
        )
    return blake2b(encode([[k, outputs[k]] for k in sorted(outputs)]))


def every(connection):
    for r in connection.execute("SELECT * FROM released"):
        yield Released(*r, None, None)
