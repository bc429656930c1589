"""The state of the chain: what every account is and holds, in layers that can be thrown away.

A record has a key of three parts: its kind, the account it belongs to, and a name below that. `Ledger` is the present; an `Overlay`
is what a receipt, a view or a look at the past sees on top of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from mycel_simnet.near import borsh
from mycel_simnet.near.keys import Ed25519, PublicKey, Secp256k1
from mycel_simnet.near.types import AccessKey, Account, DataReceipt, Receipt

ACCOUNT, KEY, CODE, DATA = "account", "key", "code", "data"
RECEIVED, WAITING, PENDING, POSTPONED = (
    "received",
    "waiting",
    "pending",
    "postponed",
)  # data and receipts that wait for each other

_KINDS: dict[str, type] = {ACCOUNT: Account, KEY: AccessKey, RECEIVED: DataReceipt, POSTPONED: Receipt}


class Key(NamedTuple):
    """Names a record."""

    kind: str
    account: str
    name: bytes


def to_bytes(key: Key, value: Any) -> bytes:
    """A record's value for the disk."""
    kind = _KINDS.get(key.kind)
    return value if kind is None else borsh.encode(kind, value)


def from_bytes(key: Key, data: bytes) -> Any:
    """The inverse of `to_bytes`."""
    kind = _KINDS.get(key.kind)
    return data if kind is None else borsh.decode(kind, data)


class State(Protocol):
    """What can be read and written."""

    def get(self, kind: str, account: str, name: bytes = b"") -> Any:
        """A record's value, or None."""

    def put(self, kind: str, account: str, name: bytes, value: Any) -> None:
        """Write a record; None removes it."""

    def scan(self, kind: str, account: str) -> Iterator[tuple[bytes, Any]]:
        """All records of this kind of this account, by name."""


class Change(NamedTuple):
    """A record that was written: what it was before, and what it is now."""

    key: Key
    old: Any
    new: Any


class Ledger:
    """The present, in memory."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], dict[bytes, Any]] = {}

    def get(self, kind: str, account: str, name: bytes = b"") -> Any:
        """A record's value, or None."""
        table = self._tables.get((kind, account))
        return None if table is None else table.get(name)

    def put(self, kind: str, account: str, name: bytes, value: Any) -> None:
        """Write a record; None removes it."""
        table = self._tables.setdefault((kind, account), {})
        if value is None:
            table.pop(name, None)
            if not table:
                del self._tables[kind, account]
        else:
            table[name] = value

    def scan(self, kind: str, account: str) -> Iterator[tuple[bytes, Any]]:
        """All records of this kind of this account, by name."""
        return iter(sorted(self._tables.get((kind, account), {}).items()))

    def accounts(self) -> list[str]:
        """Every account there is, by name."""
        return sorted(account for kind, account in self._tables if kind == ACCOUNT)

    def records(self) -> Iterator[tuple[Key, Any]]:
        """Everything."""
        for (kind, account), table in self._tables.items():
            for name, value in table.items():
                yield Key(kind, account, name), value


class Overlay:
    """Changes on top of a state, which `commit` hands down and which otherwise are forgotten."""

    def __init__(self, base: State, changes: Mapping[Key, Any] | None = None) -> None:
        self.base = base
        self.changes: dict[Key, Any] = dict(changes or {})

    def get(self, kind: str, account: str, name: bytes = b"") -> Any:
        """A record's value, or None."""
        key = Key(kind, account, name)
        return self.changes[key] if key in self.changes else self.base.get(kind, account, name)

    def put(self, kind: str, account: str, name: bytes, value: Any) -> None:
        """Write a record; None removes it."""
        self.changes[Key(kind, account, name)] = value

    def scan(self, kind: str, account: str) -> Iterator[tuple[bytes, Any]]:
        """All records of this kind of this account, by name."""
        found = dict(self.base.scan(kind, account))
        for key, value in self.changes.items():
            if key.kind == kind and key.account == account:
                found[key.name] = value
        return ((name, value) for name, value in sorted(found.items()) if value is not None)

    def commit(self) -> list[Change]:
        """Write the changes into the state below; what really changed is told, in the order in which it was first written."""
        told = []
        for key, value in self.changes.items():
            old = self.base.get(*key)
            if old != value:
                self.base.put(*key, value)
                told.append(Change(key, old, value))
        self.changes.clear()
        return told


# --- what is asked of a state -----------------------------------------------------------------------------------------------


def account_of(state: State, account: str) -> Account | None:
    """The account's record."""
    found: Account | None = state.get(ACCOUNT, account)
    return found


def key_name(key: Ed25519 | Secp256k1) -> bytes:
    """The name of an access key's record."""
    return borsh.encode(PublicKey, key)


def access_key_of(state: State, account: str, key: Ed25519 | Secp256k1) -> AccessKey | None:
    """What the key may do in the account's name."""
    found: AccessKey | None = state.get(KEY, account, key_name(key))
    return found
