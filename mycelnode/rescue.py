"""`devices rescue`: re-issue, in our own log, what another device wrote beyond its fence or with a clock far ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mycelnode.crdt.changelog import MAX_ENTRY, DeviceId, Head, decode_entry
from mycelnode.encoding import encode
from mycelnode.errors import MycelError, ValueRefused
from mycelnode.mesh import Mesh
from mycelnode.protocols.logset import Row
from mycelnode.protocols.replica import READ_BYTES, Replica

MAX_RESCUED = 100_000  # entries looked at in one go


@dataclass(frozen=True, slots=True)
class Rescuable:
    """An entry that does not count or is held, with its operations."""

    branch: int  # the version of the log that it stands in
    row: Row
    clock: int
    operations: Sequence[Any]


def rescuable(replica: Replica, device: DeviceId) -> list[Rescuable]:
    """The transactions of ``device`` that are stored and not in the document, on all versions of its log, oldest first."""
    found: list[Rescuable] = []
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
                if clock:
                    found.append(Rescuable(number, row, clock, operations))
    return found


async def rescue(mesh: Mesh, device: DeviceId, found: Sequence[Rescuable]) -> int:
    """Write the rescue operations; returns how many entries were re-issued. Applied once, whoever else rescues them too."""
    done = 0
    group: list[Any] = []
    size = 0
    hashes = {(item.branch, item.row.seq): item.row.hash for item in found}

    def reissue(item: Rescuable) -> Any:
        """A remove must name the adds of other rescued entries by what they will be called."""
        return mesh.replica.document.rescue_ops(
            device,
            item.row.seq,
            item.row.hash,
            item.clock,
            item.operations,
            lambda author, seq: hashes.get((item.branch, seq)) if author == device else None,
        )

    for item in found:
        operation = reissue(item)
        if operation is None:
            continue
        length = len(encode(operation)) + 16
        if length > MAX_ENTRY:
            raise ValueRefused(f"entry {item.row.seq} is too large to be re-issued")
        if group and size + length > MAX_ENTRY:
            await mesh.write(group)
            group, size = [], 0
        group.append(operation)
        size += length
        done += 1
    if group:
        await mesh.write(group)
    return done


def head_before(replica: Replica, device: DeviceId, since_ms: int | None) -> Head:
    """The head that a revocation names: the highest held, or the last before the first entry written at ``since_ms`` or later."""
    number, _ = replica.counted(device)
    tip = replica.logs.tip(device, number)
    if since_ms is None:
        return tip
    head = Head(0, replica.logs.hash_at(device, number, 0) or b"")
    while head.seq < tip.seq:
        rows = replica.logs.rows(device, number, head.seq, READ_BYTES)
        if not rows:
            break
        for row in rows:
            try:
                clock = int(decode_entry(row.entry)[0])
            except MycelError:
                clock = 0
            if clock >> 16 >= since_ms:
                return head
            head = Head(row.seq, row.hash)
    return head
