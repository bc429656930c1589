"""A later version with another price takes the place of the one before together with its price, or not at all."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from mycel_simnet.near.devchain import NEAR
from mycelnode.chain.registry import Registry
from mycelnode.errors import NearRefused
from mycelnode.node import Node
from mycelnode.patterns.cid import Cid
from tests.chain.faults import LOST, Proxy, a_proxy
from tests.chain.market import PRICE, Market, a_market
from tests.chain.trading import TEMPLATE, a_person, outbox, said, set_chain
from tests.cli.conftest import Done, Program, environment
from tests.node.nodes import ask, until

DEARER = 2 * PRICE


@dataclass
class Stall:
    """Alice, who sells a pattern."""

    market: Market
    proxy: Proxy
    alice: Node
    cid: str
    number: int

    def now(self) -> tuple[str, int]:
        """The CID and the price, as the newest block has them."""
        found = self.market.chain.view(self.market.registry, "get_pattern", {"id": self.number})
        return found["metadata_cid"], int(found["price_per_use"])

    async def sold(self, since: int) -> list[tuple[str, int]]:
        """Under which CID and for how much it was sold, one after the other, in all blocks from a height on."""
        near, found = self.alice.chain.near, list[tuple[str, int]]()
        for height in range(since, (await near.block()).height + 1):
            header = (await near.rpc.call("block", {"block_id": height}))["header"]
            pattern = await Registry(near, self.market.registry.account_id).pattern(self.number, header["hash"])
            assert pattern is not None
            if found[-1:] != [(pattern.cid, pattern.price)]:
                found.append((pattern.cid, pattern.price))
        return found


@pytest.fixture
async def stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stall]:
    async with a_market(tmp_path / "chain") as market, a_proxy(market.chain.url) as proxy:
        set_chain(monkeypatch, tmp_path / "home", market, proxy.url)
        async with a_person(tmp_path, market, "alice.near") as alice:
            made = await alice.patterns.publish(said(), register=True)
            assert made.id is not None, made.registration
            yield Stall(market, proxy, alice, made.cid, made.id)


@pytest.mark.parametrize("price", [DEARER, PRICE // 2, 0])
async def test_in_no_block_is_one_sold_at_the_price_of_the_other(stall: Stall, price: int) -> None:
    since = (await stall.alice.chain.near.block()).height
    later = said(price, title="Sort the post well", supersedes=stall.cid)
    made = await stall.alice.patterns.publish(later, register=True)
    assert (made.registered, made.id) == (True, stall.number), made.registration
    assert await stall.sold(since) == [(stall.cid, PRICE), (made.cid, price)]
    (line, _) = await outbox(stall.alice, all=True)
    assert (line["method"], line["amount"], line["state"]) == ("+succeed", "2", "done")


async def test_when_the_one_fails_the_other_does_too(stall: Stall) -> None:
    """Somebody with the same key has registered the later version by itself, so it cannot take another's place."""
    later = said(DEARER, title="Sort the post well", supersedes=stall.cid)
    digest = await _publish_elsewhere(stall, later)
    made = await stall.alice.patterns.publish(later, register=True)
    assert Cid.parse(made.cid).digest.hex() == digest
    await ask(stall.alice, "chain.outbox")
    assert stall.now() == (stall.cid, PRICE), "neither is there"


async def _publish_elsewhere(stall: Stall, fields: dict[str, Any]) -> str:
    made = await stall.alice.patterns.publish(fields)
    digest = Cid.parse(made.cid).digest.hex()
    args = {"pattern_hash": digest, "metadata_cid": made.cid, "domain": "mail", "price_per_use": str(PRICE)}
    chain = stall.market.chain
    await chain.call(stall.market.creator, stall.market.registry, "register_pattern", args, deposit=NEAR // 8)
    return digest


async def test_cancelled_or_refused_nothing_of_it_stays(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.market.registering.WAIT_SECONDS", 0.5)
    stall.proxy.faults["send_tx"] = [LOST] * 10_000
    made = await stall.alice.patterns.publish(said(DEARER, title="Well", supersedes=stall.cid), register=True)
    assert (made.registered, made.waiting) == (False, True)
    (line,) = await outbox(stall.alice)
    monkeypatch.setattr("mycelnode.market.commands.CANCEL_SECONDS", 0.1)
    await ask(stall.alice, "chain.outbox.cancel", no=line["no"])
    stall.proxy.faults.clear()
    await until(lambda: stall.alice.chain.journal.lines(ended=False) == [], "it is burnt")
    assert stall.now() == (stall.cid, PRICE)
    chain, registry = stall.market.chain, stall.market.registry
    await chain.call(chain.root, registry, "pause", deposit=1)
    with pytest.raises(NearRefused, match="is paused; nothing was spent"):
        await ask(stall.alice, "pattern.price", cid=stall.cid, price="1")
    assert stall.now() == (stall.cid, PRICE)


async def test_when_all_of_a_day_is_spent_it_still_goes(stall: Stall) -> None:
    await ask(stall.alice, "config.set", key="near.spend_per_day", value="0")
    made = await stall.alice.patterns.publish(said(DEARER, title="Well", supersedes=stall.cid), register=True)
    assert made.registered, made.registration


# --- killed ----------------------------------------------------------------------------------------------------------------------

FILE = "---\ntitle: {title}\ndomain: mail\nprice: {price} NEAR\n{more}---\n" + TEMPLATE


@dataclass
class Shop:
    """The program that sells, in a process of its own, with the chain in this one."""

    market: Market
    proxy: Proxy
    program: Program

    @property
    def environment(self) -> dict[str, str]:
        told = {"NETWORK": "devchain", "RPC": self.proxy.url, "REGISTRY": self.market.registry.account_id}
        return environment({"MYCEL_MESH_LAN": "false"} | {f"MYCEL_NEAR_{key}": value for key, value in told.items()})

    async def start(self, *arguments: str) -> trio.Process:
        return await trio.lowlevel.open_process(
            self.program.command(*arguments),
            stdin=subprocess.DEVNULL,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def run(self, *arguments: str) -> Done:
        command, more = self.program.command(*arguments), {"check": False, "env": self.environment}
        done = await trio.run_process(command, stdin=b"", capture_stdout=True, capture_stderr=True, **more)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize(("method", "when"), [("block", "after"), ("send_tx", "before"), ("send_tx", "after")])
async def test_killed_it_is_whole_or_not_there_and_asked_again_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, when: str
) -> None:
    async with a_market(tmp_path / "chain") as market, a_proxy(market.chain.url) as proxy:
        set_chain(monkeypatch, tmp_path / "home", market)
        shop = Shop(market, proxy, Program(tmp_path / "alice"))
        assert (await shop.run("init")).code == 0
        assert (await shop.run("chain", "account", "import", str(market.chain.key_file("alice.near")))).code == 0
        file = tmp_path / "post.md"
        file.write_text(FILE.format(title="Sort", price="0.01", more=""))
        publish = ("pattern", "publish", str(file), "--register", "--consent", "--json")
        first = (await shop.run(*publish)).json
        file.write_text(FILE.format(title="Sort well", price="0.02", more=f"supersedes: {first['cid']}\n"))
        killed: list[int] = []

        async def kill(name: str, request: dict[str, Any]) -> None:
            if name == method and not killed:
                killed.append(process.pid)
                process.kill()

        setattr(proxy, when, kill)
        process = await shop.start(*publish)
        assert await process.wait() == -signal.SIGKILL

        def now() -> tuple[str, int]:
            found = market.chain.view(market.registry, "get_pattern", {"id": first["id"]})
            return found["metadata_cid"], int(found["price_per_use"])

        before = now()
        again = (await shop.run(*publish)).json
        assert (again["registered"], again["id"]) == (True, first["id"]), again
        assert before in [(first["cid"], PRICE), (again["cid"], DEARER)]
        assert now() == (again["cid"], DEARER)
