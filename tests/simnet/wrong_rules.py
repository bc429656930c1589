"""Rules that look right and are wrong, for the virtual world to catch: each is a context manager that puts one into the product."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from mycelnode import schema
from mycelnode.crdt import fold
from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.fold import Origin
from mycelnode.crdt.membership import Common, Membership, membership
from mycelnode.crdt.statements import FENCE, REVOKE, OnChain, Statement
from mycelnode.encoding import blake2b
from mycelnode.protocols import replica, snapshots, tending
from mycelnode.protocols.replica import Replica
from mycelnode.schema import Migration


@contextmanager
def a_revocation_is_refused_if_its_author_is_fenced() -> Iterator[None]:
    """By what is known when it arrives."""

    def refusing(root: bytes, statements: Sequence[Statement], on_chain: OnChain, common: Common) -> Membership:
        fenced: set[bytes] = set()
        kept = []
        for statement in statements:
            if statement.kind in (REVOKE, FENCE):
                if statement.author in fenced:
                    continue
                fenced.add(statement.subject)
            kept.append(statement)
        return membership(root, kept, on_chain, common)

    with mock.patch.object(replica, "membership", refusing):
        yield


@contextmanager
def a_snapshot_leaves_out_silent_devices() -> Iterator[None]:
    """Asked are those members that the proposer has heard since it was started; the others take its word for it."""

    def heard(self: Replica) -> frozenset[DeviceId]:
        members = self.membership.members - self.membership.away
        return frozenset(member for member in members if member == self.device or member in self.skews)

    same_view = tending._same_view

    def believing(self: Replica, proposal: Any) -> bool:
        with mock.patch.object(tending, "asked_now", return_value=proposal.asked):
            return same_view(self, proposal)

    with (
        mock.patch.object(tending, "asked_now", heard),
        mock.patch.object(tending, "_same_view", believing),
        mock.patch.object(snapshots, "asks_rightly", return_value=True),
        mock.patch.object(tending, "asks_rightly", return_value=True),
    ):
        yield


@contextmanager
def an_fsync_is_dropped() -> Iterator[None]:
    """The write-ahead log is synced now and then, not with every commit."""
    original: Callable[[Path, Sequence[Migration]], sqlite3.Connection] = schema.open_writer

    def lazy(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
        connection = original(path, migrations)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    with mock.patch.object(schema, "open_writer", lazy):
        yield


@contextmanager
def a_rescue_is_applied_twice() -> Iterator[None]:
    """Once for each device that rescues an entry."""
    original = fold.rescue_origin

    def own(operation: Any, carrier: Origin) -> Origin | None:
        inner = original(operation, carrier)
        return inner and inner._replace(hash=blake2b(inner.hash + carrier.hash))

    with mock.patch.object(fold, "rescue_origin", own):
        yield


WRONG_RULES = (
    a_revocation_is_refused_if_its_author_is_fenced,
    a_snapshot_leaves_out_silent_devices,
    an_fsync_is_dropped,
    a_rescue_is_applied_twice,
)
