"""A devchain is thrown away and begun anew while a node follows it: nothing of before is done on the new one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from mycel_simnet.near.devchain import CREDENTIALS
from mycelnode.background import open_background
from mycelnode.chain import copied, indexer
from mycelnode.chain import rpc as rpc_module
from mycelnode.chain.near import Near
from mycelnode.chain.rpc import open_rpc
from mycelnode.errors import NearUnreachable
from mycelnode.node import Node
from mycelnode.paths import make_private_folder
from mycelnode.protocols.payment_journal import State
from tests.chain.faults import a_proxy
from tests.chain.market import NEAR, PRICE, Market, a_device, a_market
from tests.chain.servers import STATUS, a_server, html
from tests.chain.trading import a_person, outbox, set_chain
from tests.node.nodes import until

SECONDS = 20.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(indexer, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(indexer, "LOOK_SECONDS", 0.1)


@dataclass
class Lifetime:
    """Of a chain in a task of its own. ``keys``: the folder of another chain, whose accounts have the same keys here."""

    folder: Path
    keys: Path | None = None
    port: int = 0
    stop: trio.Event = field(default_factory=trio.Event)
    stopped: trio.Event = field(default_factory=trio.Event)

    async def run(self, task_status: trio.TaskStatus[Market] = trio.TASK_STATUS_IGNORED) -> None:
        if self.keys is not None:
            make_private_folder(self.folder)
            shutil.copytree(self.keys / CREDENTIALS, self.folder / CREDENTIALS)
        async with a_market(self.folder, port=self.port) as market:
            task_status.started(market)
            await self.stop.wait()
        self.stopped.set()


def prices(node: Node) -> set[str]:
    """Of the local copy."""
    found = node.mesh.database.look(lambda db: db.execute("SELECT price FROM registry_patterns").fetchall())
    return {price for (price,) in found}


async def use(node: Node, market: Market) -> str:
    """Have a use bought; the id."""
    chain = node.chain

    async def begin(payment: str) -> None:
        pass

    pattern = await chain.registry.pattern(market.pattern)
    assert pattern is not None
    quote = await chain.registry.quote(market.pattern, chain.spender)
    return (await chain.buy(pattern, quote, begin=begin)).intent.id


def state_of(node: Node, name: str) -> State | None:
    entry = node.chain.payments.entry(name)
    return None if entry is None else entry.state


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped and started", "from one request to the next"])
async def test_a_running_node_takes_up_the_new_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    async with open_background() as chains, a_proxy("") as proxy:
        first = Lifetime(tmp_path / "before")
        market = await chains.start(first.run)
        proxy.upstream = market.chain.url
        set_chain(monkeypatch, tmp_path / "home", market, "" if stopped else proxy.url)
        monkeypatch.setenv("MYCEL_NEAR_REGISTRY", market.registry.account_id)
        await market.register("only before", price=7)
        await market.chain.fast_forward(blocks=3)
        async with a_person(tmp_path, market, "bob.near") as node:
            await until(lambda: prices(node) == {str(PRICE), "7"}, "the copy is there")
            before = await node.chain.identify()
            with monkeypatch.context() as patch:
                patch.setattr(Near, "send", lost)
                signed = await use(node, market)
                await until(lambda: state_of(node, signed) is State.SIGNED, "it is signed, and lost")
                actions = await node.chain.actions("bob.near")
                waits = (await node.chain.payments.want(actions.transfer("carol.near", NEAR))).intent.id
                port = int(market.chain.url.rpartition(":")[2]) if stopped else 0
                if stopped:
                    first.stop.set()
                    await first.stopped.wait()
                    await until(lambda: "no NEAR RPC server answers" in node.chain.indexer.problem, "it is gone")
                anew = await chains.start(Lifetime(tmp_path / "anew", first.folder, port).run)
                assert anew.buyer.key == market.buyer.key, "what is signed for one could be sent to the other"
                await anew.register("only after", price=8)
                await anew.chain.fast_forward(blocks=3)
                proxy.upstream = anew.chain.url
                await until(lambda: state_of(node, waits) is State.FAILED, "what waited has ended")
            await until(lambda: prices(node) == {str(PRICE), "8"}, "the copy is that of the new chain")
            state = node.mesh.database.look(copied.state)
            assert state is not None
            assert state.chain == await node.chain.identify() != before
            gone = f"the chain {before} is gone, and another one answers at near.rpc"
            assert {line["method"]: line["word"] for line in await outbox(node, all=True)} == {
                "transfer": f"{gone}; nothing was spent",
                "use_pattern": f"{gone}; whether it was carried out there is not known, and it is not done again here",
            }
            assert anew.uses() == 0
            assert anew.chain.balance("carol.near") == 10_000 * NEAR
            entry = await node.chain.payments.wait(await use(node, anew), SECONDS)
            assert (entry.state, entry.intent.network, anew.uses()) == (State.DONE, state.chain, 1)


async def lost(self: Near, *args: object) -> None:
    """What is sent never arrives."""


async def test_one_of_two_servers_that_is_of_another_chain_by_now_changes_nothing() -> None:
    block = {"header": {}}
    async with (
        a_server(block=[block, block, html(502)]) as one,
        a_server(block=block) as other,
        open_rpc("devchain", [one.url, other.url]) as rpc,
    ):
        await rpc.final_block()
        before = await rpc.identify()
        other.acts["status"] = {**STATUS, "genesis_hash": "3" * 32}
        await rpc.final_block()
        with pytest.raises(NearUnreachable, match=f"{one.url} says 502; {other.url} is a server of another devchain"):
            await rpc.final_block()
        assert "block" not in other.asked
        one.acts |= {"status": other.acts["status"], "block": block}
        await rpc.final_block()
        assert await rpc.identify() == f"devchain/{'3' * 32}" != before, "now all of them are"


async def test_what_waited_for_a_chain_that_is_gone_ends_with_the_next_start_as_well(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path, work=False) as device:
        name = (await device.buy()).intent.id
    async with a_market() as anew, a_device(anew, tmp_path) as device:
        await device.payments.want((await device.actions()).transfer("carol.near", 1))
        entry = await device.payments.wait(name, SECONDS)
        assert entry.state is State.FAILED
        assert entry.word.endswith(" is gone, and another one answers at near.rpc; nothing was spent")
        assert anew.uses() == 0
