"""Another network is set: what was of the one before does not count there, and a running node pays nothing any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mycelnode.config import Settings
from mycelnode.config_keys import NETWORKS, SPENDERS, on
from mycelnode.errors import ConfigError, NearRpcWrong
from mycelnode.joining import init_mesh
from mycelnode.market.commands import ask_without_node
from mycelnode.mesh import open_mesh
from mycelnode.node import Node
from mycelnode.paths import DataDir
from mycelnode.protocols.payment_journal import State
from mycelnode.serving import NodeCommands
from tests.chain.faults import a_proxy
from tests.chain.market import Market, a_market
from tests.chain.trading import VARIABLES, hand_over, said, uses
from tests.node.nodes import SkewedClock, ask, folder, running, until

LEFT = r"near\.network is testnet by now, and the node that is running is on devchain: stop it and start it again"
MOVED = r"near\.rpc has other servers by now than the node that is running: stop it and start it again"
HARMLESS: dict[str, dict[str, object]] = {
    "chain.outbox": {},
    "chain.policy": {},
    "chain.receipts": {},
    "chain.balance": {},
    "chain.account": {},
}


@pytest.fixture
async def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Market]:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    async with a_market(tmp_path / "chain") as made:
        yield made


async def begun(tmp_path: Path, name: str, url: str) -> DataDir:
    """A device on a devchain, as its config.toml says."""
    data = folder(tmp_path, name)
    await init_mesh(data, name, clock=SkewedClock())
    settings = Settings(data)
    settings.set_local("near.network", "devchain")
    settings.set_local("near.rpc", url)
    return data


@asynccontextmanager
async def a_person(tmp_path: Path, market: Market, account: str, url: str = "") -> AsyncIterator[Node]:
    data = await begun(tmp_path, account.partition(".")[0], url or market.chain.url)
    async with running(data) as node:
        await ask(node, "config.set", key="near.registry", value=market.registry.account_id)
        await ask(node, "chain.account.import", path=str(market.chain.key_file(account)))
        yield node


async def test_a_running_node_that_left_its_network_pays_nothing_until_it_is_begun_anew(
    tmp_path: Path, market: Market
) -> None:
    async with a_person(tmp_path, market, "alice.near") as alice, a_person(tmp_path, market, "bob.near") as bob:
        made = await alice.patterns.publish(said(), register=True)
        assert made.id is not None
        await hand_over(alice, bob, made.cid, tmp_path)
        await bob.patterns.use(made.cid, VARIABLES, yes=True)
        answer = await ask(bob, "config.set", key="near.network", value="testnet")
        assert answer["note"].startswith("near.network is testnet by now, and the node that is running is on devchain")
        assert [(one["key"], one["value"]) for one in answer["of_network"]] == [
            ("near.account", ""),
            ("near.registry", ""),
            ("near.reputation", ""),
            ("near.spender", ""),
        ]
        with pytest.raises(ConfigError, match=LEFT):
            await bob.patterns.use(made.cid, VARIABLES, yes=True)
        with pytest.raises(ConfigError, match=LEFT):
            await bob.patterns.rate(made.cid, success=True)
        with pytest.raises(ConfigError, match=LEFT):
            await bob.patterns.publish(said(title="Mine"), register=True)
        for kind, fields in {**HARMLESS, "chain.account.create": {}, "chain.claim": {}}.items():
            with pytest.raises(ConfigError, match=LEFT):
                await ask(bob, kind, **fields)
        assert bob.status()["services"]["near"]["state"] == "failed"
        listed = (await bob.patterns.list()).patterns
        assert [(one.title, one.successes) for one in listed] == [("Sort the post", 0)], "nothing was noted, or made"
        assert uses(market, made.id) == 1
        assert "note" not in await ask(bob, "config.set", key="near.network", value="devchain")
        await bob.patterns.use(made.cid, VARIABLES, yes=True)
        assert (uses(market, made.id), (await bob.patterns.rate(made.cid, success=True)).queued) == (2, "done")


async def test_other_servers_count_from_the_next_start(tmp_path: Path, market: Market) -> None:
    async with a_person(tmp_path, market, "bob.near") as bob:
        answer = await ask(bob, "config.set", key="near.rpc", value="http://127.0.0.1:9")
        assert "of_network" not in answer
        assert answer["note"].startswith("near.rpc has other servers by now")
        assert "note" not in await ask(bob, "config.set", key="near.ask_above", value="0.01"), "once is enough"
        with pytest.raises(ConfigError, match=MOVED):
            await ask(bob, "chain.balance")


async def test_what_is_under_way_is_seen_to_where_it_belongs(tmp_path: Path, market: Market) -> None:
    async with a_proxy(market.chain.url) as proxy, a_person(tmp_path, market, "bob.near", proxy.url) as bob:
        intent = (await bob.chain.actions("bob.near")).transfer("carol.near", 7)
        before = market.chain.balance("carol.near")
        proxy.down = True
        await bob.chain.payments.want(intent)
        await ask(bob, "config.set", key="near.network", value="testnet")
        proxy.down = False
        bob.chain.payments._hurry()
        await until(lambda: bob.chain.journal.lines(ended=False) == [], "it is done")
        assert [line.entry.state for line in bob.chain.journal.lines()] == [State.DONE]
        assert market.chain.balance("carol.near") == before + 7


async def test_after_a_rehearsal_its_names_do_not_count_on_another_network(tmp_path: Path, market: Market) -> None:
    async with a_person(tmp_path, market, "bob.near") as bob:
        spender = await ask(bob, "chain.account.create", **{"from": "bob.near"}, amount=str(10**24))
        data = bob.mesh.data
    Settings(data).set_local("near.network", "testnet")
    async with open_mesh(data, clock=SkewedClock()) as mesh:
        known = await ask_without_node(mesh, "chain.account", {})
        assert (known["account"], known["spender"], known["keys"]) == (None, None, [])
        with pytest.raises(ConfigError, match=r"near\.account is not set"):
            await ask_without_node(mesh, "chain.balance", {})
        with pytest.raises(NearRpcWrong):  # nobody publishes and is paid there: it is only a server of another network
            await ask_without_node(mesh, "chain.account.create", {"name": "fox.testnet"})
        policy = await ask_without_node(mesh, "chain.policy", {})
        assert policy["contracts"] == [], "a stranger's contract may have the same name"
    Settings(data).set_local("near.network", "devchain")
    async with running(data) as bob:
        known = await ask(bob, "chain.account")
        assert (known["account"], known["spender"]) == ("bob.near", spender["account"])
        assert bob.chain.registry.contract == market.registry.account_id
        assert set(NodeCommands(bob).commands) >= set(HARMLESS)


def test_no_backup_brings_a_spender_of_any_network() -> None:
    assert set(SPENDERS) == {"near.spender", *(on(network, "near.spender") for network in NETWORKS)}
