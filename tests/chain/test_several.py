"""Several devices, several servers, several hours: what is bought once by one outbox is bought once by two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.chain import rpc as rpc_module
from mycelnode.clock import SystemClock
from mycelnode.protocols.payment_journal import State
from tests.chain.faults import LOST, REPLY_LOST, a_proxy
from tests.chain.market import a_device, a_market

SECONDS = 20.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(rpc_module, "LONGEST_PAUSE", 0.02)


async def test_two_devices_that_want_the_same_use_pay_for_one(tmp_path: Path) -> None:
    async with (
        a_market(block_seconds=0.01) as market,
        a_device(market, tmp_path / "one") as one,
        a_device(market, tmp_path / "other") as other,
    ):
        names = [(await device.buy()).intent.id for device in (one, other)]
        assert names[0] == names[1], "it is the same use of the same account"

        async def blocks() -> None:
            while True:  # a chain on which others send something, too
                await trio.sleep(0.05)
                await market.chain.fast_forward(blocks=3)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocks)
            for device, name in zip((one, other), names, strict=True):
                assert (await device.payments.wait(name, SECONDS)).state is State.DONE
            nursery.cancel_scope.cancel()
        assert market.uses() == 1


@pytest.mark.parametrize("fault", [LOST, REPLY_LOST])
async def test_the_second_server_goes_on_where_the_first_one_died(tmp_path: Path, fault: str) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url, market.chain.url) as device,
    ):

        async def die(name: str, request: Any) -> None:
            proxy.down = proxy.down or name == "send_tx"

        proxy.before = proxy.after = die
        proxy.faults["send_tx"] = [fault]
        entry = await device.payments.wait((await device.buy()).intent.id, SECONDS)
        assert (entry.state, entry.signatures) == (State.DONE, 1)
        assert market.uses() == 1
        assert device.rpc.servers[0].said


class Later(SystemClock):
    """A clock that a test moves on."""

    hours = 0

    def wall(self) -> int:
        return super().wall() + self.hours * 3600 * 1000


async def test_what_is_not_wanted_any_more_is_burnt_by_itself(tmp_path: Path) -> None:
    clock = Later()
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url, clock=clock) as device,
    ):
        proxy.faults["send_tx"] = [LOST] * 10_000
        name = (await device.buy()).intent.id
        await device.signed(name)
        clock.hours = 2
        await device.burning(name)  # until then what was signed may be sent once more
        proxy.faults.clear()
        entry = await device.payments.wait(name, SECONDS)
        assert (entry.state, entry.word) == (
            State.FAILED,
            "it expired before it was carried out; nothing was spent but gas",
        )
        assert market.uses() == 0


async def test_what_was_never_sent_is_not_sent_once_it_has_expired(tmp_path: Path) -> None:
    clock = Later()
    async with a_market() as market, a_proxy(market.chain.url) as proxy:
        async with a_device(market, tmp_path, proxy.url, clock=clock, work=False) as device:
            name = (await device.buy()).intent.id
            clock.hours = 2
            async with trio.open_nursery() as nursery:
                nursery.start_soon(device.payments.run)
                entry = await device.payments.wait(name, SECONDS)
                nursery.cancel_scope.cancel()
        assert (entry.state, entry.word) == (State.FAILED, "it expired before it was sent; nothing was spent")
        assert "send_tx" not in proxy.asked
