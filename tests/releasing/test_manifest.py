"""What the world sees of a habit is a function of its key and of n: not of the device, the hour or the person."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from mycelnode.collective.answers import PublishedPattern
from mycelnode.node import Node
from mycelnode.privacy.interactions import DAY_MS
from mycelnode.privacy.key import Key
from tests.node.nodes import SkewedClock, ask, founder
from tests.releasing.persons import let_out

KEY, N = Key(("write", "test"), "coding", ("python",)), 21


async def content(node: Node, clock: SkewedClock, window: str) -> dict[str, Any]:
    await node.mesh.database.write(partial(let_out, key=KEY, n=N, window=window, now=clock.wall()))
    (row,) = await node.confirming.released()
    made = await node.confirming.confirm(row.id)
    assert isinstance(made, PublishedPattern)
    shown = await ask(node, "pattern.show", cid=made.cid)
    return dict(shown["manifest"]["content"])


async def test_two_people_at_two_times_say_the_same_of_one_habit(tmp_path: Path) -> None:
    said = []
    for name, days, window in (("laptop", 0, "2026-Q1"), ("desk", 200, "2026-Q3")):
        (tmp_path / name).mkdir()
        clock = SkewedClock()
        clock.ahead = days * DAY_MS
        async with founder(tmp_path / name, clock=clock) as node:
            if days:
                await node.patterns.make({"title": "Another", "domain": "home", "template": "Before it."})
            said.append(await content(node, clock, window))
    creators = [one["pattern"].pop("creator") for one in said]
    assert creators[0] != creators[1]
    assert said[0] == said[1]
    assert said[0]["pattern"]["days"] == N
