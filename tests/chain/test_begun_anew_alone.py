"""A devchain is begun anew, and at another address of `near.rpc` nobody is: whose word is enough."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from mycelnode.chain import rpc as rpc_module
from mycelnode.chain.rpc import ABSENT_TIMES, Rpc, open_rpc
from mycelnode.errors import MycelError, NearRpcWrong, NearUnreachable
from mycelnode.protocols.payment_journal import State
from tests.chain.faults import a_proxy
from tests.chain.market import a_device, a_market
from tests.chain.servers import GENESIS, STATUS, Server, a_server, html

SECONDS = 20.0
BLOCK = {"header": {}}
ANEW, OTHER = "3" * 32, "4" * 32
MANY = 8


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(rpc_module, "ABSENT_SECONDS", 0.0)


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def is_of(server: Server, genesis: str) -> None:
    server.acts |= {"status": {**STATUS, "genesis_hash": genesis}, "block": BLOCK}


@asynccontextmanager
async def asked(*urls: str) -> AsyncIterator[Rpc]:
    """Servers of a devchain, of which it is known by now which one that is."""
    async with open_rpc("devchain", urls) as rpc:
        await rpc.final_block()
        yield rpc


async def ask(rpc: Rpc) -> str:
    """The chain that it takes it for, after a final block was asked for."""
    with suppress(NearUnreachable, NearRpcWrong):
        await rpc.final_block()
    return rpc.genesis


@pytest.mark.parametrize("first", [True, False])
async def test_where_nobody_else_is_the_new_chain_is_taken_up(nobody: str, first: bool) -> None:
    async with (
        a_server(block=BLOCK) as one,
        asked(*[nobody, one.url] if first else [one.url, nobody]) as rpc,
    ):
        is_of(one, ANEW)
        said = [await ask(rpc) for _ in range(2 * ABSENT_TIMES)]
        assert said[0] == GENESIS, "not at once"
        assert said[-1] == ANEW
        assert await rpc.final_block() == BLOCK


async def test_whoever_comes_back_with_the_chain_of_before_is_left_out(nobody: str) -> None:
    async with a_server(block=BLOCK) as one, a_server(block=BLOCK) as other, asked(one.url, nobody) as rpc:
        is_of(one, ANEW)
        assert [await ask(rpc) for _ in range(MANY)][-1] == ANEW
        rpc.servers[1].url = other.url
        assert [await ask(rpc) for _ in range(MANY)] == [ANEW] * MANY
        one.acts["block"] = html(502)
        with pytest.raises(NearUnreachable, match="is a server of another devchain"):
            await rpc.final_block()


async def test_not_before_it_has_been_so_for_a_minute(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "ABSENT_SECONDS", 60.0)
    async with a_server(block=BLOCK) as one, asked(one.url, nobody) as rpc:
        is_of(one, ANEW)
        assert [await ask(rpc) for _ in range(MANY)] == [GENESIS] * MANY


@pytest.mark.parametrize("act", [html(502), html(429), {"sync_info": {}}], ids=["502", "429", "no status"])
async def test_whoever_answers_anything_is_waited_for(act: object) -> None:
    async with a_server(block=BLOCK) as one, a_server(block=BLOCK) as other, asked(one.url, other.url) as rpc:
        is_of(one, ANEW)
        other.acts |= {"status": act, "block": act}
        assert [await ask(rpc) for _ in range(MANY)] == [GENESIS] * MANY


async def test_a_server_that_never_was_of_this_chain_does_not_stand_for_it(nobody: str) -> None:
    """As that of another chain beside it, while the right one is away."""
    async with a_server(block=BLOCK) as one, a_server(block=BLOCK) as other, asked(one.url, other.url) as rpc:
        is_of(other, OTHER)
        one.acts["block"] = html(502)
        assert await ask(rpc) == GENESIS
        rpc.servers[0].url = nobody
        assert [await ask(rpc) for _ in range(MANY)] == [GENESIS] * MANY
        rpc.servers[0].url = one.url
        one.acts["block"] = BLOCK
        assert await rpc.final_block() == BLOCK
        is_of(one, ANEW)
        assert [await ask(rpc) for _ in range(MANY)] == [GENESIS] * MANY, "two chains are no new one"


async def test_that_nobody_was_there_is_asked_anew(nobody: str) -> None:
    """What was found an hour before the chain was begun anew says nothing of now."""
    async with a_server(block=BLOCK) as one, a_server(block=BLOCK) as other, asked(nobody, one.url) as rpc:
        for _ in range(MANY):
            rpc.servers[0].rests_until = 0.0
            assert await ask(rpc) == GENESIS
        assert rpc.servers[0].absent
        rpc.servers[0].url = other.url  # it is there again, and has not been asked
        rpc.servers[0].rests_until = 1e9
        is_of(one, ANEW)
        assert [await ask(rpc) for _ in range(MANY)] == [GENESIS] * MANY


async def test_no_network_that_everybody_knows_is_begun_anew(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**STATUS, "chain_id": "testnet", "genesis_hash": rpc_module.GENESIS["testnet"]}
    async with a_server(status=known) as one, open_rpc("testnet", [one.url, nobody]) as rpc:
        await rpc.call("status", [])
        one.acts["status"] = {**known, "genesis_hash": ANEW}
        rpc.servers[0].checked = False
        for _ in range(MANY):
            with pytest.raises(MycelError):
                await rpc.call("status", [])
        assert rpc.genesis == rpc_module.GENESIS["testnet"]


async def test_what_waited_ends_while_the_device_runs(tmp_path: Path, nobody: str) -> None:
    async with (
        a_market() as market,
        a_market() as anew,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url, nobody) as device,
    ):
        await device.rpc.final_block()
        intent = (await device.actions()).transfer("carol.near", 1)
        proxy.upstream = anew.chain.url
        await device.payments.want(intent)
        entry = await device.payments.wait(intent.id, SECONDS)
        assert entry.state is State.FAILED
        assert entry.word.endswith(" is gone, and another one answers at near.rpc; nothing was spent")
