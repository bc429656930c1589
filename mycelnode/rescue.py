"""`devices rescue`: re-issue, in our own log, what another device wrote beyond its fence or with a clock far ahead."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from mycelnode import audit
from mycelnode.crdt.changelog import MAX_ENTRY, DeviceId, Head, decode_entry
from mycelnode.crdt.clock import to_ms
from mycelnode.crdt.operations import MAP_PUT
from mycelnode.crdt.statements import TIME, decode_statement
from mycelnode.encoding import encode, peer_id
from mycelnode.errors import MycelError, ValueRefused
from mycelnode.mesh import ADDRESSES, ANCHORS, Mesh
from mycelnode.protocols.folding import READ_BYTES
from mycelnode.protocols.logset import Row
from mycelnode.protocols.replica import Replica

MAX_RESCUED = 100_000  # entries looked at in one go


@dataclass(frozen=True, slots=True)
class Rescuable:
    """An entry that does not count or is held, with its operations, and the operation that re-issues them."""

    row: Row
    clock: int
    operations: Sequence[Any]
    reissue: Any


def rescuable(replica: Replica, device: DeviceId) -> list[Rescuable]:
    """The transactions of ``device`` that are stored and not in the document, on all versions of its log, oldest first; those that
    a rescue has brought back are left out."""
    entries = _beyond(replica, device)
    hashes = {(number, row.seq): row.hash for number, row, _, _ in entries}
    found = []
    for number, row, clock, operations in entries:

        def hash_at(author: DeviceId, seq: int, number: int = number) -> bytes | None:
            """A remove must name the adds of other rescued entries by what they will be called."""
            return hashes.get((number, seq)) if author == device else None

        reissue = replica.document.rescue_ops(device, row.seq, row.hash, clock, operations, hash_at)
        if reissue is not None:
            found.append(Rescuable(row, clock, operations, reissue))
    return found


def _beyond(replica: Replica, device: DeviceId) -> list[tuple[int, Row, int, Sequence[Any]]]:
    """(version of the log, entry, clock, operations) of what is stored and does not count or is held."""
    found: list[tuple[int, Row, int, Sequence[Any]]] = []
    counted, limit = replica.counted(device)
    if device in replica.held:
        limit = min(limit, replica.held[device].seq - 1)
    for number, branch in enumerate(replica.logs.durable.get(device, ())):
        shared = replica.logs.common(device, counted, number).seq
        after = min(limit, shared) if number != counted else limit
        after = max(after, branch.base.seq if number else 0)
        while after < branch.head.seq and len(found) < MAX_RESCUED:
            rows = replica.logs.rows(device, number, after, READ_BYTES)
            if not rows:
                break
            for row in rows:
                after = row.seq
                try:
                    clock, *operations = decode_entry(row.entry)
                except MycelError:
                    continue
                if clock and not all(map(_is_own_upkeep, operations)):
                    found.append((number, row, clock, operations))
    return found


async def rescue(mesh: Mesh, device: DeviceId, found: Sequence[Rescuable]) -> int:
    """Write the rescue operations; returns how many entries were re-issued. Applied once, whoever else rescues them too."""
    groups: list[list[Any]] = [[]]
    size = 0
    for item in found:
        length = len(encode(item.reissue)) + 16
        if length > MAX_ENTRY:
            raise ValueRefused(f"entry {item.row.seq} is too large to be re-issued")
        if groups[-1] and size + length > MAX_ENTRY:
            groups.append([])
            size = 0
        groups[-1].append(item.reissue)
        size += length

    def note(connection: sqlite3.Connection) -> None:
        fields = {"device": peer_id(device), "entries": len(found)}
        audit.record(connection, "device.rescue", fields, mesh.clock.wall())

    for place, group in enumerate(groups if found else ()):
        await mesh.commit(
            lambda replica, group=group: replica.write(group, mesh.now()),  # type: ignore[misc]
            None if place else note,  # with the first: nothing is rescued without a record of it
            size=MAX_ENTRY,
        )
    return len(found)


def least_head(replica: Replica, device: DeviceId) -> Head:
    """How far a log must count for what this device folds from to stay whole: where its author agreed to those snapshots.

    A head before that could void the only copy of what lies under one (docs/decisions/0019).
    """
    agreed = [replica.snapshots.agreed(p).get(device) for p in replica.snapshots.grounds()]
    none = Head(0, replica.logs.hash_at(device, 0, 0) or b"")
    return max((head for head in agreed if head is not None), default=none, key=lambda head: head.seq)


def head_before(replica: Replica, device: DeviceId, since_ms: int | None) -> Head:
    """The head that a revocation names: the highest held, or the last before the first entry written at ``since_ms`` or later.

    Of a log in several versions, which came first here says nothing about which is the good one: none is chosen, and the head lies
    on all of them (docs/decisions/0011), unless a snapshot has chosen (`least_head`).
    """
    least = least_head(replica, device)
    number, _ = replica.counted(device)
    tip = replica.logs.fork_point(device) or replica.logs.tip(device, number)
    if since_ms is None:
        return max(least, tip, key=lambda head: head.seq)
    head = Head(0, replica.logs.hash_at(device, number, 0) or b"")
    while head.seq < tip.seq:
        rows = replica.logs.rows(device, number, head.seq, READ_BYTES)
        early = list(takewhile(lambda row: _written_at(row) < since_ms, rows))
        if early:
            head = Head(early[-1].seq, early[-1].hash)
        if not early or len(early) < len(rows):
            break
    return max(least, min(tip, head, key=lambda head: head.seq), key=lambda head: head.seq)


def held_beyond(replica: Replica, device: DeviceId, head: Head) -> int:
    """How many entries of a log, in all its versions, are held beyond ``head``."""
    logs = replica.logs
    number = logs.find(device, head)
    within = 0 if number is None else number
    count = 0
    for index, branch in enumerate(logs.durable.get(device, ())):
        kept = min(head.seq, logs.common(device, within, index).seq)
        count += max(0, branch.head.seq - max(branch.base.seq, kept))
    return count


def _written_at(row: Row) -> int:
    """When an entry was written, in Unix ms by its device's clock; 0 if it does not say, or says that it was before 1970."""
    try:
        clock, first, *_ = decode_entry(row.entry)
        time = to_ms(clock) if clock else decode_statement(first).info.get(TIME, 0)
    except MycelError:
        return 0
    return max(time, 0) if type(time) is int else 0


def _is_own_upkeep(operation: Any) -> bool:
    """Where the device listened, and the head of its audit chain: of no use under another key."""
    return type(operation) is list and operation[:2] in ([MAP_PUT, ADDRESSES], [MAP_PUT, ANCHORS])
