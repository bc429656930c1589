"""Servers of which one stands still or lies: nothing waits for it, and nothing is given up, and paid for again, at its word."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from mycel_simnet.near import devchain
from mycel_simnet.near.keys import to_base58
from mycelnode.chain import rpc as rpc_module
from mycelnode.chain.rpc import MAX_LAG_MS
from mycelnode.clock import SystemClock
from mycelnode.errors import OutcomeUnknown
from mycelnode.protocols.payment_journal import Entry, State
from mycelnode.tls import trusted
from tests.chain.faults import LOST, Proxy, a_proxy
from tests.chain.market import Device, Market, a_device, a_market
from tests.chain.servers import Handler, http, refusal

SECONDS = 20.0
MANY = 10_000
UNKNOWN = refusal("UNKNOWN_BLOCK")
FAILURE = {"ActionError": {"index": 0, "kind": {"FunctionCallError": {"ExecutionError": "made up"}}}}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "FIRST_PAUSE", 0.01)


@asynccontextmanager
async def a_testnet(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Market]:
    """A chain that is taken for testnet, where blocks are made by the clock."""
    monkeypatch.setattr(devchain, "CHAIN_ID", "testnet")
    async with a_market() as market:
        genesis = to_base58(market.chain.chain.genesis_header.hash)
        monkeypatch.setitem(rpc_module.GENESIS, "testnet", genesis)  # type: ignore[arg-type]
        yield market


def changing(change: Callable[[Any], None]) -> Handler:
    """Has the chain answer, and makes something else of it."""

    async def act(server: Any, stream: trio.SocketStream, request: dict[str, Any]) -> None:
        async with httpx.AsyncClient(verify=trusted(), trust_env=False, timeout=None) as client:
            told = (await client.post(server.upstream, content=json.dumps(request))).json()
        if "result" in told:
            change(told["result"])
        await server.send(stream, http(json.dumps(told).encode()))

    return act


def stand_still(proxy: Proxy, block: Any) -> None:
    """It answers this block for ever, and takes no transaction."""
    proxy.faults["block"] = [block] * MANY
    proxy.faults["send_tx"] = [LOST] * MANY


async def block_of(device: Device) -> Any:
    return await device.rpc.call("block", {"finality": "final"})


def old(block: Any, milliseconds: int) -> Any:
    header = block["header"]
    made = int(header["timestamp_nanosec"]) - milliseconds * 1_000_000
    return {**block, "header": {**header, "timestamp_nanosec": str(made)}}


# --- one that stands still -----------------------------------------------------------------------------------------------------


async def test_whoever_is_behind_is_left_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        a_testnet(monkeypatch) as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url, market.chain.url, network="testnet") as device,
    ):
        stand_still(proxy, old(await block_of(device), 2 * MAX_LAG_MS))
        proxy.asked.clear()
        entry = await device.payments.wait((await device.buy()).intent.id, SECONDS)
        assert (entry.state, entry.signatures, market.uses()) == (State.DONE, 1, 1)
        assert "its last final block is 10 minutes old" in device.rpc.servers[0].said
        assert "send_tx" not in proxy.asked


async def test_if_all_are_behind_nothing_is_signed_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        a_testnet(monkeypatch) as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url, network="testnet") as device,
    ):
        stand_still(proxy, old(await block_of(device), 2 * MAX_LAG_MS))
        name = (await device.buy()).intent.id
        entry = await device.until(name, lambda entry: "keeps up" in entry.said, "it says so")
        assert entry.word == (
            f"waits to be sent; nothing was spent (no NEAR RPC server keeps up: {proxy.url} is behind,"
            " as its last final block is 10 minutes old (unless this device's clock is wrong))"
        )
        assert "send_tx" not in proxy.asked
        proxy.faults.clear()
        assert (await device.payments.wait(name, SECONDS)).state is State.DONE


async def test_what_was_signed_is_unknown_until_its_height_while_all_are_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        a_testnet(monkeypatch) as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url, network="testnet") as device,
    ):
        block = await block_of(device)
        proxy.faults["send_tx"] = [LOST] * MANY
        name = (await device.buy()).intent.id
        await device.until(name, lambda entry: entry.signed)
        stand_still(proxy, old(block, 2 * MAX_LAG_MS))
        entry = await device.until(name, lambda entry: "keeps up" in entry.said, "it says why")
        assert entry.signed is not None
        with pytest.raises(OutcomeUnknown, match=f"^unknown until height {entry.signed.until + 1}$"):
            await device.payments.wait(name, 0.1)
        proxy.faults.clear()
        entry = await device.payments.wait(name, SECONDS)
        assert (entry.state, entry.signatures, market.uses()) == (State.DONE, 1, 1)


class Later(SystemClock):
    """A clock that is a day ahead."""

    def wall(self) -> int:
        return super().wall() + 24 * 3600 * 1000


async def test_a_devchain_may_be_idle_for_a_day_or_be_moved_on_by_one(tmp_path: Path) -> None:
    async with a_market() as market:
        async with a_device(market, tmp_path / "idle", clock=Later()) as device:
            assert (await device.payments.wait((await device.buy()).intent.id, SECONDS)).state is State.DONE
        await market.chain.fast_forward(seconds=2 * 24 * 3600)
        async with a_device(market, tmp_path / "moved") as device:
            assert (await device.payments.wait((await device.buy()).intent.id, SECONDS)).state is State.DONE
        assert market.uses() == 2


async def test_a_testnet_block_from_the_future_is_no_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_testnet(monkeypatch) as market:
        await market.chain.fast_forward(seconds=24 * 3600)
        async with a_device(market, tmp_path, network="testnet") as device:
            assert (await device.payments.wait((await device.buy()).intent.id, SECONDS)).state is State.DONE


async def test_another_server_is_asked_when_a_block_does_not_move(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url, market.chain.url) as device,
    ):
        stand_still(proxy, await block_of(device))
        proxy.faults["send_tx"] = [{"final_execution_status": "NONE"}] * MANY  # it takes what is sent, and keeps it
        name = (await device.buy()).intent.id
        await device.until(name, lambda entry: entry.signed)
        await market.chain.fast_forward(blocks=3)
        entry = await device.payments.wait(name, SECONDS)
        assert (entry.state, entry.signatures, market.uses()) == (State.DONE, 1, 1)


# --- one that lies -------------------------------------------------------------------------------------------------------------


def lie(proxy: Proxy) -> None:
    """What it sends on is carried out; it says that it failed, and that there is no receipt."""

    def has_failed(result: Any) -> None:
        result["status"] = {"Failure": FAILURE}

    def no_receipt(result: Any) -> None:
        told = json.loads(bytes(result["result"])) if "result" in result else None
        if isinstance(told, dict) and "rated" in told:
            result["result"] = list(b"null")

    proxy.faults["send_tx"] = proxy.faults["tx"] = [changing(has_failed)] * MANY
    proxy.faults["call_function"] = [changing(no_receipt)] * MANY


async def bought(device: Device) -> Entry:
    return await device.payments.wait((await device.buy()).intent.id, SECONDS)


async def test_alone_a_server_that_lies_has_a_use_given_up_that_was_paid(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):
        lie(proxy)
        assert (await bought(device)).state is State.FAILED
        assert market.uses() == 1, "the counterexample of decision 0034"


@pytest.mark.parametrize("liar", [0, 1])
async def test_with_another_one_it_is_not_believed(tmp_path: Path, liar: int) -> None:
    async with a_market() as market, a_proxy(market.chain.url) as proxy:
        urls = [market.chain.url]
        urls.insert(liar, proxy.url)
        async with a_device(market, tmp_path, *urls) as device:
            lie(proxy)
            entry = await bought(device)
            assert (entry.state, entry.signatures, market.uses()) == (State.DONE, 1, 1)


async def test_what_two_servers_contradict_each_other_about_is_not_given_up_and_both_are_named(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_proxy(market.chain.url) as liar,
        a_device(market, tmp_path, proxy.url, liar.url) as device,
    ):
        await pause_before_sending(market, proxy)

        def not_taken(result: Any) -> None:
            result["nonce"] -= 1

        liar.faults["view_access_key"] = [changing(not_taken)] * MANY
        name = (await device.buy()).intent.id
        entry = await device.until(name, lambda entry: "contradict" in entry.said, "it says so")
        assert not entry.ended
        assert entry.said == (
            f"{proxy.url} and {liar.url} contradict each other, so nothing is done; set near.rpc to those that you believe"
        )


async def pause_before_sending(market: Market, proxy: Proxy) -> None:
    """So that the transaction fails on chain."""

    async def pause(name: str, request: Any) -> None:
        if name == "send_tx":
            proxy.before = proxy.after
            await market.chain.call(market.chain.root, market.registry, "pause", {}, deposit=1)

    proxy.before = pause


@pytest.mark.parametrize("other", ["well", "dead", "stands still"])
async def test_what_fails_on_chain_ends_whether_or_not_another_server_can_tell(tmp_path: Path, other: str) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_proxy(market.chain.url) as second,
        a_device(market, tmp_path, proxy.url, second.url) as device,
    ):
        await pause_before_sending(market, proxy)
        second.down = other == "dead"
        if other == "stands still":
            stand_still(second, await block_of(device))

            async def unknown(name: str, request: Any) -> None:
                if name == "block" and "block_id" in request["params"]:
                    second.faults["block"].insert(0, UNKNOWN)

            second.before = unknown
        entry = await bought(device)
        assert entry.state is State.FAILED
        assert "ERR_PAUSED" in entry.word
        assert entry.signatures == 1
