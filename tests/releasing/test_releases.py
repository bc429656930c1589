"""Releases on devices that really run: counted over all of them, decided once, and what becomes of it when somebody is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from mycelnode.node import Node
from mycelnode.privacy.interactions import DAY_MS
from tests.node.nodes import SkewedClock, ask, founder, let_in, running, until
from tests.releasing.persons import HABIT, RARE, linked, live, to_next_window


async def extract(node: Node, **fields: Any) -> dict[str, Any]:
    return await ask(node, "pattern.extract", **fields)


def texts(answer: dict[str, Any]) -> list[str]:
    return [one["text"] for one in answer["candidates"]]


async def test_a_lone_device_decides_once_when_the_window_is_over(tmp_path: Path) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as node:
        await live(node.mesh, HABIT, 60, until=clock.wall())
        await live(node.mesh, RARE, 1, until=clock.wall())
        before = await extract(node)
        assert before["window"]["state"] == "open"
        assert len(texts(before)) == 2
        assert (await ask(node, "budget"))["epsilon"]["spent"] == "0"
        window = to_next_window(clock)
        after = await extract(node)
        assert after["decided"] == [window.id]
        assert after["window"]["state"] == "decided"
        assert len(texts(after)) == 1  # of 60 days always, of one day with a probability of 6e-7
        again = await extract(node)
        assert (again["decided"], again["candidates"]) == ([], after["candidates"])
        spent = await ask(node, "budget")
        assert (spent["epsilon"]["spent"], spent["ever"]["windows"]) in (("1", 1), ("0", 1))


async def test_two_devices_count_together_what_neither_has_alone(tmp_path: Path) -> None:
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        data = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(data, clocks[1]) as phone:
            await linked(laptop, phone)
            today = clocks[0].wall()
            await live(laptop.mesh, HABIT, 15, until=today)
            await until(lambda: bool(phone.mesh.replica.document.map("mycel.secrets")), "the secret has come")
            await live(phone.mesh, HABIT, 50, until=today - 10 * DAY_MS)
            await live(phone.mesh, HABIT, 15, until=today)  # the same turns as on the laptop
            to_next_window(*clocks)
            answer = await extract(laptop)
            assert answer["waiting"] == []
            assert len(answer["candidates"]) == 1
            n = answer["candidates"][0]["n"]
            assert abs(n - 60) < 40  # the noise is beyond that with a probability of 1e-17
            seen = await extract(phone)
            assert seen["window"]["state"] in ("open", "elsewhere")
            # the next window has a witness, which is the phone
            plan = (await ask(laptop, "budget"))["plan"]
            assert plan["witness"]["name"] == "phone"
            await live(laptop.mesh, HABIT, 60, until=today, word="again")
            window = to_next_window(*clocks)
            answer = await extract(laptop)
            assert answer["decided"] == [window.id]
            assert answer["candidates"] == []  # other turns, but the same days of the same habit
            with trio.fail_after(5):
                assert {one.window.id for one in (await phone.releasing.decider()).releases.part.ledger.spends()} >= {
                    window.id
                }
