"""A node that is stopped while a window is being spent carries that to its end, whichever of the two devices had dialled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.paths import DataDir
from mycelnode.releasing.deciding import State, state_of
from tests.node.nodes import LOOPBACK, SkewedClock, ask, founder, let_in, running, until
from tests.releasing.persons import linked, to_next_window


@pytest.mark.parametrize("dials", ["laptop", "phone"])
async def test_a_stop_while_the_witness_has_the_spend_loses_no_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dials: str
) -> None:
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        here = laptop.mesh.data
        there = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(there, clocks[1]) as phone:
            await linked(laptop, phone)
            part = (await laptop.releasing.decider()).releases.part
            await until(lambda: part.ledger.last_plan.witness is not None, "a witness is named")  # type: ignore[union-attr]
            to_next_window(*clocks)
            await ask(laptop, "pattern.extract")
    window = to_next_window(*clocks)
    listens = {"laptop": LOOPBACK, "phone": LOOPBACK, dials: ()}  # or either might dial
    async with running(there, clocks[1], listen=listens["phone"]) as phone:
        witness = (await phone.releasing.decider()).releases
        asked, rightly = trio.Event(), witness.asked

        async def slowly(*arguments: Any) -> Any:
            word = await rightly(*arguments)
            asked.set()
            await trio.sleep(1)  # it is on its disk, and the releaser is stopped before it hears of that
            return word

        monkeypatch.setattr(witness, "asked", slowly)
        async with running(DataDir(here.path), clocks[0], listen=listens["laptop"]) as laptop:
            one, other = (laptop, phone) if dials == "laptop" else (phone, laptop)
            await one.connect(other.device, other.addresses)
            await linked(laptop, phone)
            assert laptop.host.line(phone.device).dialled_here == (dials == "laptop")
            decider = await laptop.releasing.decider()
            await decider.releases.refresh()
            monkeypatch.setattr(laptop.releasing, "_decide", decider.decide)  # as by the schedule
            laptop.releasing._changed.set()
            with trio.fail_after(30):
                await asked.wait()
        assert state_of(decider.releases, window, clocks[0].wall()) is State.DECIDED
    async with running(DataDir(here.path), clocks[0]) as laptop:
        releases = (await laptop.releasing.decider()).releases
        assert state_of(releases, window, clocks[0].wall()) is State.DECIDED
