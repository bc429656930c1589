"""The registry, typed: as the contract answers on a devchain, and as one that is none of ours might."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mycelnode.chain.registry import Registry
from mycelnode.errors import ContractRefused, ContractWrong
from mycelnode.protocols.payment_journal import State
from tests.chain.known import CID, DIGEST, PATTERN, cid_of
from tests.chain.market import NEAR, PRICE, a_device, a_market
from tests.chain.test_near import a_near, result

SECONDS = 20.0


async def test_what_the_contract_answers(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path) as device:
        registry, buyer = device.registry, market.buyer.account_id
        pattern = await registry.pattern(market.pattern)
        assert pattern is not None
        assert (pattern.creator, pattern.hash, pattern.cid) == (market.creator.account_id, DIGEST, CID)
        assert (pattern.price, pattern.version, pattern.retired_at, pattern.score) == (PRICE, 1, None, None)
        assert await registry.pattern_by_hash(pattern.creator, DIGEST) == pattern
        assert await registry.pattern_by_hash(buyer, DIGEST) is None
        assert await registry.patterns_by_creator(pattern.creator, 0) == [pattern]
        assert await registry.find("mail") == [replace(pattern, score=500)]
        assert await registry.find("mail", min_reputation=501) == []
        changes = await registry.changes(0)
        assert (list(changes.items), changes.next_seq) == ([(pattern.seq, pattern)], 1)
        quote = await registry.quote(market.pattern, buyer)
        assert (quote.price, quote.fee, quote.nth, quote.paused) == (PRICE, PRICE // 20, 1, False)
        assert await registry.receipt(market.pattern, buyer) is None
        await device.payments.wait((await device.buy()).intent.id, SECONDS)
        receipt = await registry.receipt(market.pattern, buyer)
        assert receipt is not None
        assert (receipt.uses, receipt.rated, receipt.paid) == (1, 0, PRICE)
        assert await registry.claimable(buyer) == 0
        info = await registry.info()
        assert (info.paused, info.fee_bps, info.reputation) == (False, 500, market.reputation.account_id)
        assert info.pattern_total == NEAR // 8
        assert await registry.pattern(10**15) is None
        with pytest.raises(ContractRefused, match="ERR_UNKNOWN") as caught:
            await registry.quote(10**15, buyer)
        assert caught.value.kind == "ERR_UNKNOWN"


async def test_whatever_a_creator_does_is_done_once_and_known_to_be_done(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path) as device:
        mine, digest = await device.actions(market.creator), cid_of("another")[0]
        info = await device.registry.info()

        async def done(intent: Any) -> Any:
            entry = await device.payments.wait((await device.payments.want(intent)).intent.id, SECONDS)
            assert entry.state is State.DONE, entry.word
            return entry

        entry = await done(mine.register(digest, cid_of("another")[1], "mail", PRICE, info.pattern_total))
        assert entry.outcome is not None
        number = int(json.loads(entry.outcome.value))

        async def now() -> Any:
            found = await device.registry.pattern(number)
            assert found is not None
            return found

        assert (await now()).hash == digest
        await done(mine.price(await now(), 3 * PRICE))
        assert (await now()).price == 3 * PRICE
        third, cid = cid_of("a third one")
        await done(mine.update(await now(), third, cid))
        assert ((await now()).hash, (await now()).version) == (third, 2)
        await done(mine.retire(await now()))
        assert (await now()).retired_at is not None
        await market.chain.fast_forward(seconds=31 * 24 * 3600)
        later = replace(mine, now=mine.now + 31 * 24 * 3600 * 1000)
        await done(later.release(await now()))


async def test_a_use_is_rated_once(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path) as device:
        await device.payments.wait((await device.buy()).intent.id, SECONDS)
        receipt = await device.registry.receipt(market.pattern, market.buyer.account_id)
        assert receipt is not None
        for _ in range(2):
            intent = (await device.actions()).rate(market.pattern, receipt, success=True, rating=5)
            entry = await device.payments.wait((await device.payments.want(intent)).intent.id, SECONDS)
            assert entry.state is State.DONE, entry.word
        receipt = await device.registry.receipt(market.pattern, market.buyer.account_id)
        assert receipt is not None
        assert receipt.rated == 1
        assert len(device.payments.journal.lines()) == 2, "the same rating twice is one"


# --- one that is none of ours --------------------------------------------------------------------------------------------------

QUOTE = {"price": "5", "fee": "1", "storage": "2", "total": "7", "hash": DIGEST, "version": 1, "nth": 1}
QUOTE |= {"paused": False, "retired": False}


async def ask(method: str, answer: Any, *args: Any, **named: Any) -> Any:
    async with a_near(call_function=[result(json.dumps(answer).encode())]) as (near, _):
        return await getattr(Registry(near, "registry.near"), method)(*args, **named)


async def test_what_is_right_is_taken() -> None:
    assert (await ask("pattern", PATTERN, 7)).price == 5
    assert (await ask("quote", QUOTE, 7, "bob.near")).total == 7


WRONG = {
    "creator": ["", "A", 7, None],
    "pattern_hash": ["", DIGEST.upper(), "0" * 64, 7],
    "metadata_cid": ["", "Qm", cid_of("another")[1], "b" * 101, None],
    "domain": [None, "x" * 33, "a\nb"],
    "price_per_use": [5, "-5", "05", "5.0", str(1 << 128), None],
    "version": ["1", -1, 1 << 32, True, 1.0, None],
    "registered_at": [1, str(1 << 64), None],
    "retired_at": [0, "x"],
    "uses": [-1, 1 << 64, "0"],
    "seq": [None, -1],
    "id": [None, "7"],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
async def test_a_field_that_is_not_what_it_must_be(field: str, value: object) -> None:
    with pytest.raises(ContractWrong, match="makes no sense"):
        await ask("pattern", {**PATTERN, field: value}, 7)


@pytest.mark.parametrize(
    "wrong",
    [{"total": "8"}, {"fee": "6"}, {"nth": 0}, {"paused": 0}, {"price": "9"}, {"hash": None}, {"nth": 1 << 32}],
)
async def test_a_quote_that_does_not_add_up(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractWrong):
        await ask("quote", {**QUOTE, **wrong}, 7, "bob.near")


@pytest.mark.parametrize(
    "told",
    [
        {"items": [{"seq": 4, "pattern": PATTERN}], "next_seq": 5},
        {"items": [{"seq": 3, "pattern": PATTERN}], "next_seq": 3},
        {"items": [{"seq": 3, "pattern": PATTERN}] * 2, "next_seq": 9},
        {"items": [{"seq": 3, "pattern": None}], "next_seq": 9},
        {"items": [{"seq": 3, "pattern": PATTERN}] * 51, "next_seq": 9},
        {"items": {}, "next_seq": 9},
        [],
        None,
    ],
)
async def test_changes_out_of_order(told: Any) -> None:
    with pytest.raises(ContractWrong):
        await ask("changes", told, 0)


async def test_changes_before_those_that_were_asked_for() -> None:
    with pytest.raises(ContractWrong):
        await ask("changes", {"items": [{"seq": 3, "pattern": PATTERN}], "next_seq": 9}, 4)


@pytest.mark.parametrize("told", [PATTERN, [PATTERN] * 51, [None], {"page": []}])
async def test_a_page_that_is_none(told: Any) -> None:
    with pytest.raises(ContractWrong):
        await ask("find", told, "mail")


async def test_another_pattern_than_was_asked_for() -> None:
    with pytest.raises(ContractWrong, match="another pattern"):
        await ask("pattern_by_hash", PATTERN, "bob.near", DIGEST)


@pytest.mark.parametrize("told", [{"uses": 1, "rated": 2}, {"uses": -1, "rated": 0}, [], {"uses": 1}])
async def test_a_receipt_that_is_none(told: Any) -> None:
    with pytest.raises(ContractWrong):
        await ask("receipt", told, 7, "bob.near")
