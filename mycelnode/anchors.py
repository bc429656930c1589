"""The head of the audit chain, kept once a day in the mesh: who rewrites this device's record cannot rewrite the other devices'.

A reserved map holds ``"<peer id>/<day>" → [events, hash]``, written by the device concerned.
"""

from __future__ import annotations

from typing import Final

from mycelnode import audit
from mycelnode.crdt import document as ops
from mycelnode.crdt.changelog import Head
from mycelnode.mesh import Mesh

ANCHORS: Final = "mycel.audit"
CHECK_SECONDS: Final = 3600.0  # how often a running node looks whether the day's anchor is due


def anchors(mesh: Mesh) -> list[Head]:
    """This device's anchors, oldest first: (events, hash after the last of them)."""
    own = f"{mesh.device}/"
    found = []
    for key, value in mesh.replica.document.map(ANCHORS).items():
        match value:
            case [int(count), bytes(head)] if key.startswith(own) and count > 0:
                found.append(Head(count, head))
    return sorted(found)


async def anchor(mesh: Mesh) -> bool:
    """Write today's anchor if events were added since the last one; was it written? Raises what `Mesh.write` raises."""
    count, head = mesh.database.look(audit.last)
    day = mesh.clock.wall() // 86_400_000
    key = f"{mesh.device}/{day}"
    known = anchors(mesh)
    if (known and known[-1].seq >= count) or not count or key in mesh.replica.document.map(ANCHORS):
        return False
    await mesh.write([ops.map_put(ANCHORS, key, [count, head])])
    return True
