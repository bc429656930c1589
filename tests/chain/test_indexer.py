"""The copy of the registry follows it, goes on where it stopped, begins anew when it must, and believes no server that lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from mycelnode.chain import copied, indexer, rpc
from mycelnode.chain.registry import MAX_LIMIT
from mycelnode.clock import SystemClock
from mycelnode.errors import ContractRefused, ContractWrong, NearRpcWrong, NearUnreachable
from tests.chain.faults import a_proxy
from tests.chain.market import PRICE, Market, a_market
from tests.chain.registries import CONTRACT, Told, a_follower, a_registry, pattern

SECONDS = 20.0


async def settle(market: Market) -> None:
    """Let what was done be final."""
    await market.chain.fast_forward(blocks=3)


# --- on a chain ----------------------------------------------------------------------------------------------------------------


async def test_it_follows_what_creators_do(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_follower(tmp_path, market.registry.account_id, market.chain.url) as one,
    ):
        alice, first = market.creator.account_id, market.pattern
        assert await one.indexer.look()
        assert one.rows() == [(first, alice, str(PRICE), 0, 0)]
        second = await market.register("another", price=2 * PRICE)
        args = {"id": first, "price_per_use": str(3 * PRICE)}
        await market.chain.call(market.creator, market.registry, "set_price", args, deposit=1)
        await market.chain.call(market.creator, market.registry, "retire_pattern", {"id": second}, deposit=1)
        await settle(market)
        assert await one.indexer.look()
        assert one.rows() == [(first, alice, str(3 * PRICE), 0, 2), (second, alice, str(2 * PRICE), 1, 3)]
        state = one.state
        assert (state.next_seq, state.seq, state.contract) == (4, 4, market.registry.account_id)
        assert state.reputation == market.reputation.account_id
        assert state.height <= market.chain.chain.final.height
        await settle(market)
        assert await one.indexer.look()
        assert one.rows() == [(first, alice, str(3 * PRICE), 0, 2), (second, alice, str(2 * PRICE), 1, 3)]
        assert one.state.height > state.height, "it says of which block it is"


async def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with a_market() as market, a_proxy(market.chain.url) as proxy:
        contract = market.registry.account_id
        async with a_follower(tmp_path, contract, proxy.url) as one:
            await one.indexer.look()
        await market.register("another")
        await settle(market)
        proxy.requests.clear()
        async with a_follower(tmp_path, contract, proxy.url) as one:
            assert one.state.next_seq == 1
            await one.indexer.look()
            assert one.state.next_seq == 2
            assert len(one.rows()) == 2
    pages = [request["params"] for request in proxy.requests if request["params"]]
    assert [page["method_name"] for page in pages if "method_name" in page] == ["info", "changes"]


async def test_another_chain_at_the_same_address_is_copied_anew(tmp_path: Path) -> None:
    async with a_market(tmp_path / "one") as market:
        port, contract = int(market.chain.url.rpartition(":")[2]), market.registry.account_id
        await market.register("only on the first chain", price=7)
        await settle(market)
        async with a_follower(tmp_path, contract, market.chain.url) as one:
            await one.indexer.look()
            before = one.state
            assert len(one.rows()) == 2
    async with a_market(tmp_path / "other", port=port) as market:
        await market.register("only on the second chain", price=8)
        await market.register("and this", price=9)
        await settle(market)
        assert market.registry.account_id == contract
        async with a_follower(tmp_path, contract, market.chain.url) as one:
            await one.indexer.look()
            assert one.state.chain != before.chain
            assert [price for _, _, price, *_ in one.rows()] == [str(PRICE), "8", "9"]


async def test_a_contract_that_is_not_there_leaves_the_copy_as_it_is(tmp_path: Path) -> None:
    async with a_market() as market:
        async with a_follower(tmp_path, market.registry.account_id, market.chain.url) as one:
            await one.indexer.look()
        async with a_follower(tmp_path, "nobody.near", market.chain.url) as one:
            with pytest.raises(ContractRefused, match="no account nobody"):
                await one.indexer.look()
            assert "nobody.near" in one.indexer.problem
            assert one.indexer.state is None, "what is here is of another contract"
            assert len(one.rows()) == 1


async def test_what_was_wrong_with_a_registry_is_not_said_of_the_next_one(tmp_path: Path) -> None:
    async with a_market() as market, a_follower(tmp_path, "nobody.near", market.chain.url) as one:
        await one.indexer.fresh()
        assert "nobody.near" in one.indexer.problem
        one.contract = market.registry.account_id
        assert one.indexer.problem == ""
        await one.indexer.fresh()
        assert one.indexer.state is not None, "it is asked at once"
        one.contract = "nobody.near"
        await one.indexer.fresh()
        assert "nobody.near" in one.indexer.problem


# --- begun anew ------------------------------------------------------------------------------------------------------------------


async def test_a_contract_that_was_made_anew_is_copied_anew(tmp_path: Path) -> None:
    contract = Told.of(120)
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        await one.indexer.look()
        assert (one.state.next_seq, len(one.rows())) == (120, 120)
        contract.instance, contract.patterns = 8, {seq: pattern(seq + 1, seq, creator="bob.near") for seq in range(200)}
        await one.indexer.look()
        assert {creator for _, creator, *_ in one.rows()} == {"bob.near"}
        assert (one.state.instance, len(one.rows())) == (8, 200)


async def test_fewer_changes_than_there_were_are_copied_anew(tmp_path: Path) -> None:
    contract = Told.of(3)
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        await one.indexer.look()
        del contract.patterns[2]
        contract.height += 1
        await one.indexer.look()
        assert (one.state.next_seq, len(one.rows())) == (2, 2)
        contract.patterns = {}
        contract.height += 1
        await one.indexer.look()
        assert (one.state.next_seq, one.rows()) == (0, [])


async def test_a_server_that_is_behind_is_not_believed_until_it_stays_so(tmp_path: Path) -> None:
    contract = Told.of(3)
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        await one.indexer.look()
        last = contract.patterns.pop(2)
        contract.height -= 1
        for _ in range(indexer.PATIENT_LOOKS - 1):
            with pytest.raises(NearRpcWrong, match="is behind: its last final block is 99, and another one's was 100"):
                await one.indexer.look()
            assert len(one.rows()) == 3
        contract.patterns[2], contract.height = last, 101
        await one.indexer.look()
        assert one.indexer.problem == ""
        contract.patterns.pop(2)
        contract.height = 90
        for _ in range(indexer.PATIENT_LOOKS - 1):
            with pytest.raises(NearRpcWrong):
                await one.indexer.look()
        await one.indexer.look()
        assert (one.state.height, len(one.rows())) == (90, 2), "a chain that was put back is believed in the end"


async def test_a_last_block_that_is_old_is_said_where_blocks_never_rest(tmp_path: Path) -> None:
    class Later(SystemClock):
        def wall(self) -> int:
            return super().wall() + rpc.MAX_LAG_MS + 60_000

    contract = Told.of(1)
    async with (
        a_registry(contract) as server,
        a_follower(tmp_path, CONTRACT, server.url, clock=Later()) as one,
    ):
        await one.indexer.look()  # a devchain rests
        one.indexer._near.rpc.network = "testnet"
        with pytest.raises(NearUnreachable, match=r"keeps up: .* its last final block is 6 minutes old"):
            await one.indexer.look()


# --- lies ----------------------------------------------------------------------------------------------------------------------


def changes(next_seq: int, *items: tuple[int, Any]) -> Callable[[int], Any]:
    return lambda from_seq: {
        "items": [{"seq": seq, "pattern": pattern} for seq, pattern in items],
        "next_seq": next_seq,
    }


LIES: dict[str, Callable[[int], Any]] = {
    "it does not grow": changes(0),
    "it does not grow past what is there": changes(2),
    "it goes further than there is": changes(9),
    "what was not asked for": changes(4, (1, pattern(2, 1))),
    "the same twice": changes(4, (2, pattern(3, 2)), (2, pattern(3, 2))),
    "another number than the pattern's": changes(4, (2, pattern(3, 3))),
    "a hash that is not the CID's": changes(4, (2, pattern(3, 2, pattern_hash="0" * 64))),
    "a number that none can have": changes(4, (2, pattern((1 << 64) - 1, 2))),
    "no account": changes(4, (2, pattern(3, 2, creator="No One"))),
    "nothing": lambda from_seq: None,
    "no JSON": lambda from_seq: b"<html>",
    "more than a page": changes(99, *((seq, pattern(seq, seq)) for seq in range(2, 3 + MAX_LIMIT))),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_makes_no_sense_changes_nothing(tmp_path: Path, lie: str) -> None:
    contract = Told.of(2)
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        await one.indexer.look()
        before, rows = one.state, one.rows()
        contract.seq, contract.changes = 4, LIES[lie]
        with pytest.raises(ContractWrong):
            await one.indexer.look()
        assert one.indexer.problem
        assert (one.state, one.rows()) == (before, rows)
        contract.changes = None
        contract.patterns[3] = pattern(4, 3)
        await one.indexer.look()
        assert (one.indexer.problem, one.state.next_seq, len(one.rows())) == ("", 4, 3)


async def test_who_claims_to_be_another_contract_and_makes_no_sense_changes_nothing(tmp_path: Path) -> None:
    contract = Told.of(2)
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        await one.indexer.look()
        before, rows = one.state, one.rows()
        contract.instance, contract.changes = 8, LIES["a number that none can have"]
        contract.seq = 4
        with pytest.raises(ContractWrong):
            await one.indexer.look()
        assert (one.state, one.rows()) == (before, rows)


@pytest.mark.parametrize("wrong", [{"seq": -1}, {"seq": "4"}, {"seq": 1 << 32}, {"instance": 7}, {"reputation": ""}])
async def test_an_answer_on_how_it_stands_that_makes_no_sense(tmp_path: Path, wrong: dict[str, Any]) -> None:
    contract = Told.of(2)
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        await one.indexer.look()
        contract.info = wrong
        with pytest.raises(ContractWrong):
            await one.indexer.look()
        assert len(one.rows()) == 2


async def test_changes_without_end_are_taken_in_bounded_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "MAX_PAGES", 3)
    monkeypatch.setattr(copied, "MAX_PATTERNS", 7)
    contract = Told(
        seq=(1 << 32) - 1,
        changes=lambda from_seq: changes(from_seq + 1, (from_seq, pattern(from_seq, from_seq)))(0),
    )
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        for rows in (3, 6, 9):
            assert not await one.indexer.look()
            assert len(one.rows()) == rows
        with pytest.raises(ContractWrong, match="more patterns than a copy can have"):
            await one.indexer.look()
        assert len(one.rows()) == 9


# --- the loop --------------------------------------------------------------------------------------------------------------------


async def test_it_waits_longer_each_time_while_nobody_answers(tmp_path: Path) -> None:
    contract = Told.of(1)
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        contract.info = {"seq": None}
        with trio.move_on_after(SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.indexer.run)
                while len(one.slept) < 8:
                    await trio.lowlevel.checkpoint()
                contract.info = {}
                while indexer.LOOK_SECONDS not in one.slept:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        assert one.slept[:8] == [5.0, 10.0, 20.0, 40.0, *[indexer.LONGEST_PAUSE] * 4]
        assert one.indexer.problem == ""


async def test_scores_are_asked_of_those_whose_patterns_are_in_the_library_alone(tmp_path: Path) -> None:
    contract = Told.of(2)
    contract.patterns[1]["creator"] = "bob.near"
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        await one.indexer.look()
        known = pattern(1, 0)
        await one.database.write(
            lambda connection: connection.execute(
                "INSERT INTO patterns (cid, title, description, trigger, body, kind, domain, language, price, creator, formers,"
                " created, version, source, added, kept, near) SELECT cid, '', '', '', '', 'prompt', '', '', '5', zeroblob(32),"
                " x'', 0, 1, 'swarm', 0, 0, ? FROM registry_patterns WHERE id = 1",
                (known["creator"],),
            )
        )
        await one.indexer.ask_scores()
        scores = one.database.look(
            lambda db: db.execute("SELECT creator, score, ratings FROM registry_scores").fetchall()
        )
        assert scores == [("alice.near", 700, 3)]
        before = len(server.requests)
        await one.indexer.ask_scores()
        assert len(server.requests) == before, "not again within the hour"


async def test_a_dead_server_is_asked_once_and_named(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_follower(tmp_path, market.registry.account_id, proxy.url) as one,
    ):
        await one.indexer.fresh()
        proxy.down = True
        with pytest.raises(NearUnreachable):
            await one.indexer.look()
        proxy.asked.clear()
        await one.indexer.fresh()
        assert proxy.asked == [], "its rest is not disturbed by whoever searches"
        assert "no NEAR RPC server answers" in one.indexer.problem
        proxy.down = False
        await one.indexer.look()
        assert one.indexer.problem == ""


async def test_a_registration_of_a_hundred_more_comes_in_pages(tmp_path: Path) -> None:
    contract = Told.of(2 * MAX_LIMIT + 1)
    contract.patterns = {seq * 3: {**known, "seq": seq * 3} for seq, known in contract.patterns.items()}
    async with a_registry(contract) as server, a_follower(tmp_path, CONTRACT, server.url) as one:
        await one.indexer.look()
        assert contract.asked == [0, 3 * MAX_LIMIT - 2, 6 * MAX_LIMIT - 2]
        assert len(one.rows()) == 2 * MAX_LIMIT + 1
