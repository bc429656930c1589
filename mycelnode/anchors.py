"""The head of the audit chain, kept once a day in the mesh: who rewrites this device's record cannot rewrite the other devices'.

A reserved map holds ``"<peer id>/<day>" → [events, hash]``, written by the device concerned. The map shows what was written last,
by whomever; what counts is what the device itself wrote, in its own log.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import trio

from mycelnode import audit, logstore
from mycelnode.crdt import operations as ops
from mycelnode.crdt.changelog import Head, decode_entry
from mycelnode.encoding import encode, peer_id
from mycelnode.errors import MycelError
from mycelnode.mesh import ANCHORS, Mesh
from mycelnode.protocols.folding import READ_BYTES

CHECK_SECONDS: Final = 3600.0  # how often a running node looks whether the day's anchor is due
ANCHORED: Final = "anchored"  # the fact that keeps (day, events) of the last one
FORMER: Final = "former"  # the fact that keeps the keys which this device had before


async def anchors(mesh: Mesh) -> list[Head]:
    """The anchors of this device, under this key and those before it, by place: (events, hash after the last of them).

    Reads whole logs. Raises `DatabaseDamaged`, `DataDirUnusable`.
    """
    found: list[Head] = []
    for device in (mesh.identity.device, *mesh.fact(FORMER, [])):
        number, after = mesh.replica.counted(device)[0], 0
        while rows := mesh.replica.logs.rows(device, number, after, READ_BYTES):
            after = rows[-1].seq
            for row in rows:
                found += _anchors_in(row.entry, f"{peer_id(device)}/")
            await trio.lowlevel.checkpoint()
    if not found:  # a snapshot may have taken the place of all of them
        own = tuple(f"{peer_id(device)}/" for device in (mesh.identity.device, *mesh.fact(FORMER, [])))
        shown = mesh.replica.document.map(ANCHORS).items()
        found = [Head(*value) for key, value in shown if key.startswith(own) and _is_anchor(value)]
    return sorted(found)


def _is_anchor(value: Any) -> bool:
    match value:
        case [int(count), bytes()]:
            return count > 0
    return False


def _anchors_in(entry: bytes, own: str) -> Iterator[Head]:
    try:
        _, *operations = decode_entry(entry)
    except MycelError:
        return
    for operation in operations:
        match operation:
            case [ops.MAP_PUT, str(name), str(key), [int(count), bytes(head)]]:
                if name == ANCHORS and key.startswith(own) and count > 0:
                    yield Head(count, head)


async def anchor(mesh: Mesh) -> bool:
    """Write today's anchor if events were added since the last one; was it written? Raises what `Mesh.write` raises."""
    count, head = mesh.database.look(audit.last)
    day = mesh.clock.wall() // 86_400_000
    last_day, last_count = mesh.fact(ANCHORED, [0, 0])
    if day == last_day or count == last_count:
        return False
    await mesh.commit(
        lambda replica: replica.write([ops.map_put(ANCHORS, f"{mesh.device}/{day}", [count, head])], mesh.now()),
        lambda connection: logstore.save_fact(connection, ANCHORED, encode([day, count])),
    )
    return True
