"""A rating is a call of another contract: until its callback has come, it can be taken back, and nobody takes it for done."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mycel_simnet.near.devchain import TERAGAS
from mycel_simnet.near.types import FunctionCall
from mycelnode.background import open_background
from mycelnode.chain import rpc as rpc_module
from mycelnode.protocols.payment import SETTLE_BLOCKS
from mycelnode.protocols.payment_journal import Entry, State
from tests.chain.faults import REPLY_LOST, Proxy, a_proxy
from tests.chain.market import NEAR, Device, Market, a_device, a_market
from tests.chain.servers import refusal
from tests.chain.test_two_servers import changing
from tests.node.nodes import until

SECONDS = 20.0
TOOK_BACK = "the contract took it back; nothing was spent but gas"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "FIRST_PAUSE", 0.01)


@asynccontextmanager
async def a_buyer(folder: Path) -> AsyncIterator[tuple[Market, Proxy, Device]]:
    """A device that has paid for a use, and does not hear what becomes of the next thing that it sends."""
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, folder, proxy.url) as device,
    ):
        assert (await device.payments.wait((await device.buy()).intent.id, SECONDS)).state is State.DONE
        proxy.faults["send_tx"] = [REPLY_LOST]
        yield market, proxy, device


async def rate(device: Device) -> str:
    """Have the use rated; the id."""
    market = device.market
    receipt = await device.registry.receipt(market.pattern, market.buyer.account_id)
    assert receipt is not None
    intent = (await device.actions()).rate(market.pattern, receipt, success=True, rating=4)
    return (await device.payments.want(intent)).intent.id


def before_it_comes(market: Market, proxy: Proxy, *, paused: bool) -> None:
    """Once the rating comes, blocks are made only by `Devchain.step`; ``paused``: the reputation takes none by then."""

    async def held(name: str, request: dict[str, Any]) -> None:
        if name != "send_tx":
            return
        if paused and not math.isinf(market.chain.node.block_seconds):
            await market.chain.call(market.chain.root, market.reputation, "pause", deposit=1)
        market.chain.node.block_seconds = math.inf
        request["params"]["wait_until"] = "NONE"

    proxy.before = held


async def rated(device: Device) -> tuple[int, int]:
    """How many uses the buyer has rated, and how many ratings are under way, by the last final block."""
    receipt = await device.registry.receipt(device.market.pattern, device.market.buyer.account_id)
    info = await device.registry.near.view(device.registry.contract, "info", b"{}")
    return 0 if receipt is None else receipt.rated, info.value["pending_ratings"]


async def looked_at(device: Device, proxy: Proxy, name: str) -> None:
    """Wait until the outbox has looked at the last final block, unless the rating has ended."""
    before = proxy.asked.count("view_access_key")  # one a look, after the block; one may be on its way

    def looked() -> bool:
        device.payments._hurry()
        return entry_of(device, name).ended or proxy.asked.count("view_access_key") >= before + 3

    await until(looked, "it is looked at")


async def block_by_block(device: Device, proxy: Proxy, name: str) -> list[tuple[int, int, bool]]:
    """Of each final block what it has (`rated`), and whether the rating had ended by then; until no more blocks come."""
    chain, found = device.market.chain, list[tuple[int, int, bool]]()
    await until(lambda: chain.chain.busy, "it has come")
    while chain.chain.busy:
        chain.step()
        await looked_at(device, proxy, name)
        found.append((*await rated(device), entry_of(device, name).ended))
    return found


def entry_of(device: Device, name: str) -> Entry:
    entry = device.payments.entry(name)
    assert entry is not None
    return entry


async def test_a_rating_that_can_still_be_taken_back_is_not_done(tmp_path: Path) -> None:
    """Nor is a later block needed to say that it was: none comes on a chain where nobody does anything."""
    async with a_buyer(tmp_path) as (market, proxy, device):
        before_it_comes(market, proxy, paused=True)
        name = await rate(device)
        seen = await block_by_block(device, proxy, name)
        assert (1, 1, False) in seen, "between the call and its callback there is a block that shows it as rated"
        assert not any(pending and ended for _, pending, ended in seen)
        entry = await device.payments.wait(name, SECONDS)
        assert (entry.state, entry.word) == (State.FAILED, TOOK_BACK)
        assert await rated(device) == (0, 0)
        later = (await device.payments.want((await device.actions()).transfer("carol.near", NEAR))).intent.id
        await block_by_block(device, proxy, later)
        assert (await device.payments.wait(later, SECONDS)).state is State.DONE, "nothing holds what the key signs next"


async def test_a_rating_is_done_with_the_block_in_which_nothing_of_it_is_under_way(tmp_path: Path) -> None:
    async with a_buyer(tmp_path) as (market, proxy, device):
        before_it_comes(market, proxy, paused=False)
        name = await rate(device)
        seen = await block_by_block(device, proxy, name)
        assert (1, 1, False) in seen
        assert not any(pending and ended for _, pending, ended in seen)
        assert (await device.payments.wait(name, SECONDS)).state is State.DONE
        assert await rated(device) == (1, 0)


@pytest.mark.parametrize(("paused", "word"), [(True, "whether it was carried out is not known"), (False, "done")])
async def test_where_nobody_remembers_it_only_blocks_decide(tmp_path: Path, paused: bool, word: str) -> None:
    async with a_buyer(tmp_path) as (market, proxy, device):
        proxy.faults["tx"] = [refusal("UNKNOWN_TRANSACTION")] * 10_000
        before_it_comes(market, proxy, paused=paused)
        name = await rate(device)
        seen = await block_by_block(device, proxy, name)
        assert not any(pending and ended for _, pending, ended in seen)
        market.chain.step(SETTLE_BLOCKS + 1)
        await looked_at(device, proxy, name)
        assert (await device.payments.wait(name, SECONDS)).word.startswith(word)


def busy(result: Any) -> None:
    """Somebody else's rating is always under way."""
    told = json.loads(bytes(result["result"])) if result.get("result") else None
    if isinstance(told, dict) and "pending_ratings" in told:
        told["pending_ratings"] += 1
        result["result"] = list(json.dumps(told).encode())


@pytest.mark.parametrize("paused", [True, False])
async def test_where_others_rate_all_the_time_its_own_outcome_decides(tmp_path: Path, paused: bool) -> None:
    """The registry says that ratings are under way, and not whose: what became of this one, its transaction says."""
    async with a_buyer(tmp_path) as (market, proxy, device):
        before_it_comes(market, proxy, paused=paused)
        proxy.faults["call_function"] = [changing(busy)] * 10_000
        name = await rate(device)
        seen = await block_by_block(device, proxy, name)
        assert not any(pending > 1 and ended for _, pending, ended in seen)
        entry = await device.payments.wait(name, SECONDS)
        assert entry.state is (State.FAILED if paused else State.DONE)


@pytest.mark.parametrize(("paused", "word"), [(True, "is paused; nothing was spent"), (False, "done")])
async def test_what_another_device_does_is_done_when_it_cannot_be_taken_back(
    tmp_path: Path, paused: bool, word: str
) -> None:
    async with a_market() as market, a_proxy(market.chain.url) as proxy:
        async with a_device(market, tmp_path, proxy.url) as device:
            assert (await device.payments.wait((await device.buy()).intent.id, SECONDS)).state is State.DONE
        if paused:
            await market.chain.call(market.chain.root, market.reputation, "pause", deposit=1)
        await market.chain.fast_forward(blocks=3)
        async with a_device(market, tmp_path, proxy.url, work=False) as device, open_background() as nursery:
            name = await rate(device)
            market.chain.node.block_seconds = math.inf
            args = {"id": market.pattern, "success": True, "rating": 2}
            call = FunctionCall("rate_pattern", json.dumps(args).encode(), 76 * TERAGAS, 0)
            await market.chain.send(market.buyer, market.registry.account_id, call, wait_until="NONE")
            while await rated(device) != (1, 1):
                market.chain.step()
            nursery.start_soon(device.payments.run)
            seen = await block_by_block(device, proxy, name)
            assert not any(pending and ended for _, pending, ended in seen)
            entry = await device.payments.wait(name, SECONDS)
            assert entry.word.endswith(word)
            assert (entry.signatures, await rated(device)) == (0, (0, 0) if paused else (1, 0))


def flying(result: Any) -> None:
    """A payment is always on its way."""
    told = json.loads(bytes(result["result"])) if result.get("result") else None
    if isinstance(told, dict) and "ledger" in told:
        told["ledger"]["in_flight"] = "1"
        result["result"] = list(json.dumps(told).encode())


async def test_a_claim_is_done_when_nothing_is_in_flight(tmp_path: Path) -> None:
    """What is claimed and does not arrive can be claimed again."""
    async with a_buyer(tmp_path) as (market, proxy, device):
        proxy.faults["call_function"] = [changing(flying)] * 10_000
        name = (await device.payments.want((await device.actions(market.buyer)).claim())).intent.id
        await device.until(name, lambda entry: "may take back yet" in entry.said, "it waits")
        proxy.faults.clear()
        device.payments._hurry()
        entry = await device.payments.wait(name, SECONDS)
        assert (entry.state, entry.signatures) == (State.DONE, 0), "nobody has anything to claim"
