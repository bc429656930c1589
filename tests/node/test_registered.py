"""What search says of patterns in the registry on NEAR, and how a node learns of those that nobody told it of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.chain import copied
from mycelnode.collective.commands import commands_without_node
from mycelnode.errors import BlockUnavailable
from mycelnode.joining import init_mesh
from mycelnode.market.following import Learner
from mycelnode.mesh import open_mesh
from mycelnode.node import Node
from mycelnode.p2p.gathering import Gatherer
from mycelnode.patterns import library
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.manifest import Manifest
from tests.chain.faults import a_proxy
from tests.chain.market import NEAR, PRICE, Market, a_market
from tests.node.nodes import SkewedClock, ask, folder, running, until
from tests.node.patterns import draft, keeper_of
from tests.node.test_collective import person, swarm_of

SORT = {"title": "Sort letters", "domain": "home", "template": "Sort these: {{letters}}", "price": str(PRICE)}
Register = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def use_chain(monkeypatch: pytest.MonkeyPatch, market: Market, url: str = "") -> None:
    """From now on nodes are on it."""
    monkeypatch.setenv("MYCEL_NEAR_NETWORK", "devchain")
    monkeypatch.setenv("MYCEL_NEAR_RPC", url or market.chain.url)
    monkeypatch.setenv("MYCEL_NEAR_REGISTRY", market.registry.account_id)


@asynccontextmanager
async def a_node(tmp_path: Path) -> AsyncIterator[Node]:
    """Of a person who is alice.near."""
    data = folder(tmp_path, "laptop")
    if not data.database.exists():
        await init_mesh(data, "laptop", clock=SkewedClock())
    async with running(data) as node:
        await ask(node, "config.set", key="near.account", value="alice.near")
        yield node


async def register(market: Market, cid: str, account: str = "alice.near", price: int = PRICE) -> int:
    args = {
        "pattern_hash": Cid.parse(cid).digest.hex(),
        "metadata_cid": cid,
        "domain": "home",
        "price_per_use": str(price),
    }
    outcome = await market.chain.call(
        market.chain.wallets[account], market.registry, "register_pattern", args, deposit=NEAR // 8
    )
    await market.chain.fast_forward(blocks=3)
    return int(market.value(outcome))


async def buy_and_rate(market: Market, number: int, cid: str, price: int) -> None:
    """By bob, five stars."""
    args = {"id": number, "expected_hash": Cid.parse(cid).digest.hex(), "max_price": str(price), "nth": 1}
    await market.chain.call(market.buyer, market.registry, "use_pattern", args, deposit=price + NEAR // 100)
    args = {"id": number, "success": True, "rating": 5}
    await market.chain.call(market.buyer, market.registry, "rate_pattern", args)
    await market.chain.fast_forward(blocks=3)


async def found(node: Node, query: str = "letters") -> dict[str, dict[str, Any]]:
    """CID → result, of a search after a look at the registry."""
    await node.chain.indexer.look()
    await node.chain.indexer.ask_scores()
    answer = await ask(node, "pattern.search", query=query)
    assert answer["sources"]["registry"] == "ok"
    assert answer["registry_as_of"] is not None
    return {one["cid"]: one for one in answer["results"]}


def reputation(result: dict[str, Any]) -> str:
    """What is said of it."""
    return next(part["sentence"] for part in result["explain"] if part["what"] == "reputation")


# --- what is said ------------------------------------------------------------------------------------------------------


async def test_what_was_found_is_told_with_what_the_registry_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_market() as market:
        use_chain(monkeypatch, market)
        async with a_node(tmp_path) as node:
            cid = (await node.patterns.publish(SORT)).cid
            before = (await found(node))[cid]
            assert (before["registry"], before["sources"]) == (None, ["own"])
            number = await register(market, cid, price=2 * PRICE)
            result = (await found(node))[cid]
            assert result["registry"] == {
                "id": number,
                "account": "alice.near",
                "price": str(2 * PRICE),
                "version": 1,
                "retired": False,
                "score": None,
            }
            assert (result["price"], result["sources"]) == (str(2 * PRICE), ["own", "registry"])
            assert reputation(result) == "alice.near registered it and is paid; nobody has rated that account yet"
            assert "0.02 NEAR a use" in {part["sentence"] for part in result["explain"]}
            (listed,) = (await ask(node, "pattern.list"))["patterns"]
            shown = await ask(node, "pattern.show", cid=cid)
            assert listed["price_now"] == shown["price_now"] == str(2 * PRICE)
            assert listed["price"] == shown["price"] == str(PRICE), "what it says itself, and is signed"
            await buy_and_rate(market, number, cid, 2 * PRICE)
            monkeypatch.setattr("mycelnode.chain.indexer.UNRATED_MS", -60_000)
            rated = (await found(node))[cid]
            score = rated["registry"]["score"]
            assert score > 500
            assert (
                reputation(rated)
                == f"alice.near registered it and is paid, and is rated {score} of 1,000 by those who paid"
            )
            assert rated["score"] > result["score"]
            await market.chain.call(market.creator, market.registry, "retire_pattern", {"id": number}, deposit=1)
            await market.chain.fast_forward(blocks=3)
            retired = (await found(node))[cid]
            assert retired["registry"]["retired"]
            assert "it is retired: nobody can buy it any more" in reputation(retired)
            state, detail = node.chain.services()["registry"]
            assert (state, detail.split(" of ")[0]) == ("ok", "3")


async def test_who_registers_what_is_not_theirs_gains_nothing_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_market() as market:
        use_chain(monkeypatch, market)
        async with a_node(tmp_path) as node:
            cid = (await node.patterns.publish(SORT)).cid
            squatted = await register(market, cid, "bob.near", price=7)
            result = (await found(node))[cid]
            assert (result["registry"], result["price"], result["sources"]) == (None, str(PRICE), ["own"])
            assert reputation(result) == "another account registered it, and it names alice.near: that counts nothing"
            await register(market, cid, "carol.near", price=8)
            number = await register(market, cid)
            assert number > squatted
            result = (await found(node))[cid]
            assert (result["registry"]["id"], result["price"]) == (number, str(PRICE))
            assert "2 other accounts registered it too, which counts nothing" in reputation(result)
            await ask(node, "config.unset", key="near.account")
            nobody = (await node.patterns.publish({**SORT, "title": "More letters"})).cid
            await register(market, nobody)
            result = (await found(node))[nobody]
            assert result["registry"] is None
            assert reputation(result) == "another account registered it, and it names no account: that counts nothing"


async def test_the_price_that_is_asked_now_is_the_one_that_is_filtered_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_market() as market:
        use_chain(monkeypatch, market)
        async with a_node(tmp_path) as node:
            dearer, cheaper = [(await node.patterns.publish({**SORT, "title": f"Letters {i}"})).cid for i in range(2)]
            await register(market, dearer, price=3 * PRICE)
            number = await register(market, cheaper)
            args = {"id": number, "price_per_use": str(PRICE // 2)}
            await market.chain.call(market.creator, market.registry, "set_price", args, deposit=1)
            await market.chain.fast_forward(blocks=3)
            await node.chain.indexer.look()
            for most, wanted in ((PRICE // 2, {cheaper}), (PRICE, {cheaper}), (3 * PRICE, {cheaper, dearer})):
                answer = await node.patterns.search("letters", max_price=most)
                assert {one.pattern.cid for one in answer.found} == wanted, most


# --- when nobody answers -----------------------------------------------------------------------------------------------


async def test_search_goes_on_from_the_copy_while_no_server_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_market() as market, a_proxy(market.chain.url) as proxy:
        use_chain(monkeypatch, market, proxy.url)
        async with a_node(tmp_path) as node:
            cid = (await node.patterns.publish(SORT)).cid
            await register(market, cid)
            await found(node)
            proxy.down = True
            monkeypatch.setattr("mycelnode.chain.indexer.FRESH_MS", -1)
            answer = await ask(node, "pattern.search", query="letters")
            assert [one["registry"]["account"] for one in answer["results"]] == ["alice.near"]
            said = answer["sources"]["registry"]
            assert "no NEAR RPC server answers" in said
            assert "; the copy that was used is " in said
            assert answer["sources"]["library"] == "ok"
            assert node.chain.services()["registry"][0] == "failed"
        async with open_mesh(folder(tmp_path, "laptop"), clock=SkewedClock(3 * 3_600_000)) as mesh:
            answer = await (await commands_without_node(mesh))["pattern.search"]({"query": "letters"})
            assert [one["registry"]["account"] for one in answer["results"]] == ["alice.near"]
            assert (
                answer["sources"]["registry"] == "no node is running to ask it; the copy that was used is 3 hours old"
            )
        async with a_node(tmp_path) as node:  # with no server from the start
            answer = await ask(node, "pattern.search", query="letters")
            assert [one["registry"]["account"] for one in answer["results"]] == ["alice.near"]


async def test_a_server_that_is_silent_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.market.asking.ASK_SECONDS", 0.2)

    async def silence(name: str, request: dict[str, Any]) -> None:
        await trio.sleep_forever()

    async with a_market() as market, a_proxy(market.chain.url) as proxy:
        use_chain(monkeypatch, market, proxy.url)
        proxy.before = silence
        async with a_node(tmp_path) as node:
            cid = (await node.patterns.publish(SORT)).cid
            with trio.fail_after(5):
                answer = await ask(node, "pattern.search", query="letters")
            assert [one["cid"] for one in answer["results"]] == [cid]
            assert answer["sources"]["registry"] == "it did not answer within 0.2 s"


async def test_a_chain_that_began_anew_is_copied_anew_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a running node does: `tests/chain/test_begun_anew.py`."""
    async with a_market(tmp_path / "one") as market, a_proxy(market.chain.url) as proxy:
        use_chain(monkeypatch, market, proxy.url)
        async with a_node(tmp_path) as node:
            cid = (await node.patterns.publish(SORT)).cid
            first = await register(market, cid)
            assert (await found(node))[cid]["registry"]["id"] == first
        async with a_market(tmp_path / "other") as other:
            proxy.upstream = other.chain.url
            await other.register("something else")
            second = await register(other, cid, price=5)
            async with a_node(tmp_path) as node:
                result = (await found(node))[cid]
                assert (result["registry"]["id"], result["price"]) == (second, "5")
                held = node.chain.indexer.state
                assert held is not None
                assert held.chain == node.chain.known


async def test_a_swarm_without_anybody_is_said_to_be_that(tmp_path: Path) -> None:
    async with running(await person(tmp_path, "anna")) as anna:
        answer = await ask(anna, "pattern.search", query="letters")
        assert answer["sources"]["swarm"] == "no peer is connected; what was heard of before was searched"


async def test_without_a_registry_none_is_asked(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        await node.patterns.publish(SORT)
        answer = await ask(node, "pattern.search", query="letters")
        assert (answer["sources"]["registry"], answer["registry_as_of"]) == ("off", None)
        assert "registry" not in node.chain.services()


# --- learning of patterns ----------------------------------------------------------------------------------------------


async def test_what_the_registry_names_is_fetched_from_strangers_and_found_by_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody announces it, and catalogues are not compared: the registry alone says that it exists."""

    async def nothing(self: object, catalogue: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("mycelnode.p2p.discovering.Discoverer.run", nothing)
    async with a_market() as market:
        anna_data = await person(tmp_path, "anna")
        async with running(anna_data) as anna:
            await ask(anna, "config.set", key="near.account", value="alice.near")
            made = await keeper_of(anna).make(draft(tmp_path, "look", files={"notes.md": b"notes"}), public=True)
            number = await register(market, str(made.cid))
            await register(market, str(made.cid), "carol.near")
            use_chain(monkeypatch, market)
            async with running(await person(tmp_path, "ben", *swarm_of(anna).contacts)) as ben:
                keeper = keeper_of(ben)
                await until(lambda: made.cid.digest in keeper.catalogued, "ben fetches it")
                (result,) = (await found(ben, "look at something")).values()
                assert (result["cid"], result["registry"]["id"]) == (str(made.cid), number)
                assert result["sources"] == ["swarm", "registry"]
                assert not await keeper.is_whole(made.cid), "of its files nothing is fetched before somebody wants them"


class Stranger:
    """Gives what it has, and counts how often it is asked."""

    name, strangers = "stranger", True

    def __init__(self, *manifests: Manifest) -> None:
        self.blocks = {manifest.cid: manifest.block for manifest in manifests}
        self.asked: list[Cid] = []
        self.node: Node | None = None

    def describe(self) -> str:
        return self.name

    async def give(self, cid: Cid, pattern: Cid) -> bytes:
        self.asked.append(cid)
        if cid not in self.blocks:
            raise BlockUnavailable("it is not here")
        return self.blocks[cid]

    async def put(self, cid: Cid, block: bytes) -> None:
        assert self.node is not None
        await trio.to_thread.run_sync(keeper_of(self.node).store.put, cid, block)

    async def give_files(self, root: Cid, pattern: Cid, tell: Any) -> None:
        raise AssertionError("no files are asked for")

    def watch(self, look: Any) -> None:
        pass

    unwatch = watch


async def test_what_is_no_pattern_or_of_somebody_blocked_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_market() as market:
        use_chain(monkeypatch, market)
        async with running(await person(tmp_path, "anna")) as anna:
            good, bad = [
                await keeper_of(anna).make(draft(tmp_path, name), public=True) for name in ("good", "also-good")
            ]
        nonsense = Cid.of(0x71, b"no pattern")
        for cid in (good.cid, nonsense, Cid.of(0x71, b"nobody has it")):
            await register(market, str(cid))
        async with a_node(tmp_path) as node:
            keeper, stranger = keeper_of(node), Stranger(good, bad)
            stranger.node, stranger.blocks[nonsense] = node, b"no pattern"
            learner = Learner(keeper, Gatherer(keeper, [stranger]), lambda: node.chain.indexer.changed)
            async with trio.open_nursery() as nursery:
                await node.chain.indexer.look()
                nursery.start_soon(learner.run)
                await until(lambda: good.cid.digest in keeper.catalogued, "it is fetched")
                await until(lambda: nonsense in learner._declined, "and what is none is known to be none")
                await register(market, str(bad.cid))
                await keeper.block(bad.pattern.creator)
                await node.chain.indexer.look()
                await until(lambda: bad.cid in learner._declined, "nor anything of somebody blocked")
                nursery.cancel_scope.cancel()
            assert stranger.asked.count(nonsense) == 1
            assert bad.cid.digest not in keeper.catalogued


@pytest.mark.parametrize(("patience", "given_up"), [(0.0, True), (3600.0, False)])
async def test_what_nobody_has_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float, given_up: bool
) -> None:
    monkeypatch.setattr("mycelnode.market.following.GIVE_UP_SECONDS", patience)
    nowhere = Cid.of(0x71, b"nobody has it")
    async with a_market() as market:
        use_chain(monkeypatch, market)
        await register(market, str(nowhere))
        async with a_node(tmp_path) as node:
            keeper, stranger = keeper_of(node), Stranger()
            learner = Learner(keeper, Gatherer(keeper, [stranger]), lambda: node.chain.indexer.changed)
            await node.chain.indexer.look()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(learner.run)
                await until(lambda: bool(stranger.asked), "it is asked for")
                await until(lambda: (nowhere in learner._declined) or nowhere in learner._failed, "in vain")
                nursery.cancel_scope.cancel()
            assert (nowhere in learner._declined) == given_up


async def test_of_one_creator_only_a_share_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_market() as market:
        use_chain(monkeypatch, market)
        for number in range(5):
            await market.register(f"flood {number}")
        await register(market, str(Cid.of(0x71, b"one of carol's")), "carol.near")
        async with a_node(tmp_path) as node:
            await node.chain.indexer.look()
            wanted = await node.mesh.database.scan(lambda connection: copied.unknown(connection, 20))
            assert wanted[0] == Cid.of(0x71, b"one of carol's"), "the newest first"
            assert len(wanted) == 3, "two of the flood, and hers"


async def test_what_was_in_the_library_before_is_told_apart_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_market() as market:
        use_chain(monkeypatch, market)
        async with a_node(tmp_path) as node:
            cid = (await node.patterns.publish(SORT)).cid
            await register(market, cid)
            await node.mesh.database.write(lambda connection: connection.execute("UPDATE patterns SET near = NULL"))
            assert (await found(node))[cid]["registry"] is None
        async with a_node(tmp_path) as node:
            look, missing = node.mesh.database.look, partial(library.without_account, limit=9)
            await until(lambda: not look(missing), "the account is read from the manifest")
            assert (await found(node))[cid]["registry"]["account"] == "alice.near"
