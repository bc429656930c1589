"""The outbox at work, over a devchain: whatever gets lost, what is bought is bought once; what cannot be bought costs nothing."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.chain import rpc as rpc_module
from mycelnode.errors import OutcomeUnknown, SpendingRefused
from mycelnode.protocols.payment_journal import Entry, State
from tests.chain.faults import LOST, REPLY_LOST, Proxy, a_proxy
from tests.chain.known import cid_of
from tests.chain.market import NEAR, PRICE, Device, Market, a_device, a_market
from tests.chain.servers import html, http, refusal

SECONDS = 20.0
RECEIPT_PRICE = 4 * 10**21


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(rpc_module, "LONGEST_PAUSE", 0.02)


async def bought(device: Device) -> Entry:
    return await device.payments.wait((await device.buy()).intent.id, SECONDS)


async def test_a_use_is_bought_once(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path) as device:
        entry = await bought(device)
        assert (entry.state, entry.word) == (State.DONE, "done")
        assert (market.uses(), market.paid()) == (1, PRICE)
        assert entry.outcome is not None
        assert entry.outcome.burnt > 0
        (line,) = device.payments.journal.lines()
        assert line.amount == PRICE + RECEIPT_PRICE, "nothing was attached beyond the need"
        assert (await bought(device)).state is State.DONE
        assert (market.uses(), market.paid()) == (2, 2 * PRICE)


async def test_the_same_use_wanted_twice_is_bought_once(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path, work=False) as device:
        first, second = await device.buy(), await device.buy()
        assert first.intent.id == second.intent.id
        assert len(device.payments.journal.lines()) == 1


FAULTS: dict[str, dict[str, list[Any]]] = {
    "the transaction lost": {"send_tx": [LOST, LOST, http(b"", 503)]},
    "the reply lost": {"send_tx": [REPLY_LOST]},
    "a page instead of the reply": {"send_tx": [html()]},
    "408": {"send_tx": [http(b"", 408)]},
    "a timeout": {"send_tx": [refusal("TIMEOUT_ERROR")]},
    "called expired": {
        "send_tx": [refusal("INVALID_TRANSACTION", data={"TxExecutionError": {"InvalidTxError": "Expired"}})]
    },
    "called unknown": {"send_tx": [REPLY_LOST], "tx": [refusal("UNKNOWN_TRANSACTION")] * 3},
    "no final block": {"block": [LOST, html(), refusal("NOT_SYNCED_YET")] * 2},
    "no key for a moment": {"send_tx": [REPLY_LOST], "view_access_key": [None, html(502), LOST]},
    "an answer of another transaction": {
        "send_tx": [REPLY_LOST, {"final_execution_status": "FINAL", "transaction": {"hash": "x"}}]
    },
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_gets_lost_it_is_bought_once(tmp_path: Path, fault: str) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):
        proxy.faults = {name: list(answers) for name, answers in FAULTS[fault].items()}
        entry = await bought(device)
        assert entry.state is State.DONE
        assert entry.signatures == 1, "nothing was signed anew"
        assert (market.uses(), market.paid()) == (1, PRICE)
        await trio.sleep(0.1)
        assert market.uses() == 1


async def test_a_block_that_a_server_made_up_is_not_signed_on(tmp_path: Path) -> None:
    bogus = {"hash": "1" * 31 + "2", "height": 1 << 40, "timestamp_nanosec": "1", "gas_price": "1"}
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):
        proxy.faults["block"] = [{"header": bogus}] * 3
        entry = await bought(device)
        assert (entry.state, entry.signatures) == (State.DONE, 1)
        assert entry.signed is not None
        assert entry.signed.base < 1 << 40


@pytest.mark.parametrize("seed", range(10))
async def test_ended_at_any_moment_it_goes_on_where_it_was(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with a_market(block_seconds=0.01) as market, a_device(market, tmp_path, work=False) as device:
        name = (await device.buy()).intent.id
        for _ in range(6):
            with trio.move_on_after(chance.uniform(0, 0.05)):
                await device.payments.run()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(device.payments.run)
            entry = await device.payments.wait(name, SECONDS)
            nursery.cancel_scope.cancel()
        assert entry.state is State.DONE
        assert market.uses() == 1


async def test_while_nobody_answers_it_says_until_when_that_is_unknown(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):

        async def go_down(name: str, request: Any) -> None:
            proxy.down = proxy.down or name == "send_tx"

        proxy.before = go_down
        name = (await device.buy()).intent.id
        await device.until(name, lambda entry: entry.signed)
        with pytest.raises(OutcomeUnknown, match=r"^unknown until height \d+$"):
            await device.payments.wait(name, 0.5)
        entry = device.payments.entry(name)
        assert entry is not None
        assert entry.signed is not None
        assert entry.signed.until - entry.signed.base == 86_400, "as the network says"
        proxy.before, proxy.down = proxy.after, False
        assert (await device.payments.wait(name, SECONDS)).state is State.DONE
        assert market.uses() == 1


async def test_what_waited_without_a_network_is_sent_when_there_is_one(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path, work=False) as device:
        entry = await device.buy()
        assert entry.word == "waits to be sent; nothing was spent"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(device.payments.run)
            assert (await device.payments.wait(entry.intent.id, SECONDS)).state is State.DONE
            nursery.cancel_scope.cancel()


# --- refused before it is sent -------------------------------------------------------------------------------------------------


async def refused(market: Market, device: Device, name: str) -> str:
    """The sentence; and nothing was spent."""
    before = market.chain.balance(market.buyer)
    entry = await device.payments.wait(name, SECONDS)
    assert entry.state is State.FAILED, entry
    assert entry.signatures == 0
    assert market.chain.balance(market.buyer) == before
    assert "\n" not in entry.word
    assert "nothing was spent" in entry.word
    assert device.payments.journal.spent(await device.rpc.identify()) == []
    return entry.word


async def test_too_little_money(tmp_path: Path) -> None:
    async with a_market() as market:
        market.buyer = await market.chain.create_account("poor", NEAR // 100)
        async with a_device(market, tmp_path) as device:
            said = await refused(market, device, (await device.buy()).intent.id)
            assert "poor.root.near has 0.01 NEAR to spend" in said


async def test_a_transfer_to_nobody_and_one_that_leaves_nothing_for_a_new_account(tmp_path: Path) -> None:
    async with a_market() as market:
        market.buyer = await market.chain.create_account("poor", NEAR)
        async with a_device(market, tmp_path) as device:
            actions, new = await device.actions(), "ab" * 32
            for receiver, amount, said in (
                ("nobody.near", NEAR // 2, "there is no account nobody.near on this network"),
                (new, NEAR - NEAR // 100, "and 1.007 NEAR are needed"),
            ):
                entry = await device.payments.want(actions.transfer(receiver, amount))
                assert said in await refused(market, device, entry.intent.id)
            entry = await device.payments.want(actions.transfer(new, NEAR - 2 * NEAR // 100))
            assert (await device.payments.wait(entry.intent.id, SECONDS)).state is State.DONE
            assert market.chain.balance(new) == NEAR - 2 * NEAR // 100


async def test_a_contract_that_is_paused_and_a_pattern_that_is_retired_changed_or_dearer(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path, work=False) as device:
        chain, id_ = market.chain, market.pattern
        wanted = [await device.buy()]
        digest, cid = cid_of("another one")

        async def then(wallet: Any, method: str, **args: Any) -> str:
            await chain.call(wallet, market.registry, method, args, deposit=1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(device.payments.run)
                said = await refused(market, device, wanted[-1].intent.id)
                nursery.cancel_scope.cancel()
            wanted.append(await device.buy() if method != "retire_pattern" else wanted[-1])
            return said

        assert "registry.root.near is paused" in await then(chain.root, "pause")
        await chain.call(chain.root, market.registry, "resume", {}, deposit=1)
        wanted.append(await device.buy())
        assert "costs 0.104 NEAR by now" in await then(
            market.creator, "set_price", id=id_, price_per_use=str(NEAR // 10)
        )
        assert "another one by now" in await then(
            market.creator, "update_pattern", id=id_, pattern_hash=digest, metadata_cid=cid
        )
        assert "is retired" in await then(market.creator, "retire_pattern", id=id_)
        assert market.uses() == 0


async def test_a_contract_that_is_not_there(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path) as device:
        pattern = await device.registry.pattern(market.pattern)
        quote = await device.registry.quote(market.pattern, market.buyer.account_id)
        assert pattern is not None
        for account, said in (
            ("carol.near", "no contract is deployed at carol.near"),
            ("nobody.near", "there is no account"),
        ):
            actions = replace(await device.actions(), registry=account)
            entry = await device.payments.want(actions.use(pattern, quote))
            assert said in await refused(market, device, entry.intent.id)


async def test_a_key_that_the_account_does_not_have(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path) as device:
        intent = (await device.actions()).transfer("carol.near", 1)
        other = device.credentials.find("devchain", market.creator.account_id).key.name
        entry = await device.payments.want(replace(intent, key=other))
        assert "bob.near has no such key" in await refused(market, device, entry.intent.id)


async def test_a_key_file_that_is_gone_makes_it_wait(tmp_path: Path) -> None:
    async with a_market() as market, a_device(market, tmp_path) as device:
        path = device.credentials.folder / "devchain" / "bob.near.json"
        intent = (await device.actions()).transfer("carol.near", NEAR)
        path.rename(path.with_suffix(".away"))
        entry = await device.payments.want(intent)
        with pytest.raises(OutcomeUnknown, match=r"waits to be sent; nothing was spent \(there is no key of bob\.near"):
            await device.payments.wait(entry.intent.id, 0.3)
        path.with_suffix(".away").rename(path)
        assert (await device.payments.wait(entry.intent.id, SECONDS)).state is State.DONE


async def test_a_key_that_may_only_call(tmp_path: Path) -> None:
    from mycel_simnet.near.keys import KeyPair
    from mycel_simnet.near.types import AccessKey, FunctionCallPermission
    from mycel_simnet.near.types import AddKey as ChainAddKey
    from mycelnode.chain.keys import NearKey

    async with a_market() as market, a_device(market, tmp_path) as device:
        pair = KeyPair(bytes(range(32)))
        permission = FunctionCallPermission(10**21, market.registry.account_id, ("rate_pattern",))
        add = ChainAddKey(pair.public, AccessKey(0, permission))
        await market.chain.send(market.buyer, market.buyer.account_id, add)
        own = await device.actions()
        named = NearKey.of(pair.seed).name
        pattern = await device.registry.pattern(market.pattern)
        quote = await device.registry.quote(market.pattern, market.buyer.account_id)
        assert pattern is not None
        said = []
        for intent in (
            own.use(pattern, quote),
            replace(own.claim(), check=None),
            replace(own.claim(), id="rate", method="rate_pattern", check=None),
        ):
            entry = await device.payments.want(replace(intent, key=named))
            said.append(await refused(market, device, entry.intent.id))
        assert "cannot pay" in said[0]
        assert "may not call claim" in said[1]
        assert "may spend 0.001 NEAR on gas" in said[2]


# --- failed on chain, cancelled, expired ---------------------------------------------------------------------------------------


async def test_what_fails_on_chain_gives_the_deposit_back_and_names_the_gas(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):

        async def pause(name: str, request: Any) -> None:
            if name == "send_tx":
                proxy.before = proxy.after
                await market.chain.call(market.chain.root, market.registry, "pause", {}, deposit=1)

        proxy.before = pause
        before = market.chain.balance(market.buyer)
        entry = await bought(device)
        assert entry.state is State.FAILED
        assert entry.word.startswith(
            "the contract says: ERR_PAUSED: the contract is paused; what was attached came back, and 0.00"
        )
        assert entry.outcome is not None
        assert market.chain.balance(market.buyer) == before - entry.outcome.burnt, "gas, and nothing else"
        assert device.payments.journal.spent(await device.rpc.identify()) == []
        await market.chain.call(market.chain.root, market.registry, "resume", {}, deposit=1)
        assert (await bought(device)).state is State.DONE, "what has failed can be wanted again"
        assert market.uses() == 1


async def never_taken(proxy: Proxy) -> None:
    """From now on what is sent gets lost, until `proxy.faults` is cleared."""
    proxy.faults["send_tx"] = [LOST] * 10_000


async def test_what_may_have_been_sent_is_cancelled_by_burning_its_nonce(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):
        await never_taken(proxy)
        name = (await device.buy()).intent.id
        await device.signed(name)
        entry = device.payments.entry(name)
        assert entry is not None
        assert entry.signed is not None
        kept = entry.signed
        assert not (await device.payments.cancel(name, "you cancelled it")).ended
        proxy.faults.clear()
        entry = await device.payments.wait(name, SECONDS)
        assert (entry.state, entry.word) == (State.CANCELLED, "you cancelled it; nothing was spent but gas")
        from mycelnode.chain.near import Signed
        from mycelnode.errors import NearRefused

        with pytest.raises(NearRefused, match="InvalidNonce"):
            await device.payments.near.send(Signed(kept.hash, kept.data), market.buyer.account_id)
        assert market.uses() == 0
        assert device.payments.journal.spent(await device.rpc.identify()) == []


async def test_what_was_cancelled_too_late_is_done(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):

        async def lose(name: str, request: Any) -> None:
            proxy.down = proxy.down or name == "send_tx"

        proxy.after = lose
        proxy.faults["send_tx"] = [REPLY_LOST]
        name = (await device.buy()).intent.id
        await device.until(name, lambda entry: entry.signed)
        with pytest.raises(OutcomeUnknown):
            await device.payments.wait(name, 0.5)
        await device.payments.cancel(name, "you cancelled it")
        proxy.after, proxy.down = proxy.before, False
        assert (await device.payments.wait(name, SECONDS)).state is State.DONE
        assert market.uses() == 1


async def test_a_transaction_that_expired_is_signed_anew_only_then(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):
        await never_taken(proxy)
        name = (await device.buy()).intent.id
        await device.signed(name)
        await market.chain.fast_forward(blocks=86_000)
        with pytest.raises(OutcomeUnknown):
            await device.payments.wait(name, 0.3)
        entry = device.payments.entry(name)
        assert entry is not None
        assert entry.signatures == 1
        await market.chain.fast_forward(blocks=410)
        proxy.faults.clear()
        entry = await device.payments.wait(name, SECONDS)
        assert (entry.state, entry.signatures) == (State.DONE, 2)
        assert market.uses() == 1


async def test_another_program_that_uses_the_key_only_costs_time(tmp_path: Path) -> None:
    async with (
        a_market() as market,
        a_proxy(market.chain.url) as proxy,
        a_device(market, tmp_path, proxy.url) as device,
    ):

        async def meanwhile(name: str, request: Any) -> None:
            if name == "send_tx":
                proxy.before = proxy.after
                await market.chain.send(market.buyer, "carol.near", *transfers(1))

        proxy.before = meanwhile
        name = (await device.buy()).intent.id
        await device.spent(name)
        await market.chain.fast_forward(blocks=30)
        entry = await device.payments.wait(name, SECONDS)
        assert (entry.state, entry.signatures) == (State.DONE, 2)
        assert market.uses() == 1


def transfers(amount: int) -> list[Any]:
    from mycel_simnet.near.types import Transfer

    return [Transfer(amount)]


# --- limits ----------------------------------------------------------------------------------------------------------------------


async def test_two_that_are_wanted_at_once_do_not_both_get_the_last_of_the_day(tmp_path: Path) -> None:
    def judge(spent: Any) -> None:
        if sum(one.amount for one in spent) + NEAR > NEAR:
            raise SpendingRefused("enough")

    async with a_market() as market, a_device(market, tmp_path, work=False) as device:
        actions = await device.actions()
        got = []

        async def want(number: int) -> None:
            intent = replace(actions.claim(), id=f"t{number}", deposit=NEAR)
            with suppress(SpendingRefused):
                got.append(await device.payments.want(intent, judge=judge))

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(want, number)
        assert len(got) == 1
        kinds = device.database.look(lambda c: c.execute("SELECT count(*) FROM audit").fetchone())
        assert kinds == (5,), "the one that was wanted, and the four that were refused"
