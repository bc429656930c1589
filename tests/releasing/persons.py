"""A person with devices that really run, and a history of turns."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mycelnode import audit
from mycelnode.encoding import blake2b
from mycelnode.mesh import Mesh
from mycelnode.node import Node
from mycelnode.privacy import budget, released
from mycelnode.privacy.interactions import DAY_MS, Turn
from mycelnode.privacy.key import Key, version
from mycelnode.protocols.release_window import Window
from mycelnode.turns import Turns
from tests.node.nodes import SkewedClock, founder, let_in, running, until

HABIT = "Please write a unit test for this function."
RARE = "Plan a dinner for my guests."


async def live(mesh: Mesh, request: str, days: int, *, until: int, word: str = "done") -> None:
    """So many days with one request a day, the last at ``until`` (Unix ms), the answer always another."""
    turns = Turns(mesh)
    for day in range(days):
        await turns.add(Turn(request, f"{word} {(until - day * DAY_MS) // DAY_MS}", until - day * DAY_MS))


def to_next_window(*clocks: SkewedClock) -> Window:
    """Move the clocks to an hour after the window of now; that window."""
    now = clocks[0].wall()
    window = current(now)
    for clock in clocks:
        clock.ahead += window.closes - now + 3_600_000
    return window


def current(now: int) -> Window:
    """The quarter of ``now``."""
    from mycelnode.protocols.release_window import quarter_of

    return Window(quarter_of(now))


def let_out(connection: sqlite3.Connection, key: Key, n: int, *, window: str, now: int) -> None:
    """As if a decision had let that out, which is due by ``now``."""
    released.store(connection, window, "standard", version(), {key.encode(): n}, now - released.WITHIN_MS)
    note_as_decided(connection, window)


def note_as_decided(connection: sqlite3.Connection, window: str) -> None:
    """What is stored of a window now is what was decided, as far as the audit log says."""
    outputs = blake2b(bytes(16) + released.stands_for(connection, window))
    audit.record(connection, budget.DECIDED, {"window": window, "random": bytes(16), "outputs": outputs}, 1)


async def linked(*nodes: Node) -> None:
    """Wait until all are connected with all, and have met."""
    for node in nodes:
        others = {other.device for other in nodes} - {node.device}
        await until(lambda node=node, others=others: node.syncing.links.keys() >= others, "the devices are linked")  # type: ignore[misc]


@asynccontextmanager
async def laptop_and_phone(tmp_path: Path) -> AsyncIterator[tuple[Node, Node, tuple[SkewedClock, SkewedClock]]]:
    """Two linked devices of one person, and their clocks; the laptop decides."""
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        data = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(data, clocks[1]) as phone:
            await linked(laptop, phone)
            yield laptop, phone, clocks
