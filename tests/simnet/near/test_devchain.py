"""The chain as tests and demos use it in their own process."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import trio

from mycel_simnet.near.devchain import NEAR, TERAGAS, TransactionFailed, open_devchain
from mycel_simnet.near.errors import CallFailed, InvalidTransaction
from mycel_simnet.near.keys import to_base58
from mycel_simnet.near.types import FunctionCall, SignedTransaction, Transfer
from tests.simnet.near.asking import Asker, base64_of
from tests.simnet.near.contracts import EVERYTHING, contract, method


async def test_accounts_contracts_calls_and_views() -> None:
    code = contract(
        method(
            "new", "(drop (call $storage_write (i64.const 1) (i64.const 0) (i64.const 4) (i64.const 8) (i64.const 0)))"
        )
        + method(
            "get",
            "(drop (call $storage_read (i64.const 1) (i64.const 0) (i64.const 0)))",
            "(call $value_return (i64.const -1) (i64.const 0))",
        ),
        '(data (i32.const 0) "k") (data (i32.const 8) "true")',
    )
    async with open_devchain() as chain:
        alice = await chain.create_account("alice", 10 * NEAR)
        assert alice.account_id == "alice.root.near"
        child = await chain.create_account("shop.alice.root.near", 5 * NEAR)
        await chain.deploy(child, code, "new")
        assert chain.view(child, "get") is True
        with pytest.raises(TransactionFailed, match="MethodNotFound"):
            await chain.call(alice, child, "nothing")
        with pytest.raises(CallFailed, match="ProhibitedInView"):
            chain.view(child, "new")
        with pytest.raises(InvalidTransaction, match="NotEnoughBalance"):
            await chain.send(alice, "bob.near", Transfer(50 * NEAR))


async def test_balances_at_final_add_up_with_what_was_burnt() -> None:
    async with open_devchain() as chain:
        everybody = ("alice.near", "bob.near")
        before = sum(map(chain.balance, everybody))
        outcome = await chain.send(chain.wallets["alice.near"], "bob.near", Transfer(NEAR))
        outcomes = [outcome["transaction_outcome"], *outcome["receipts_outcome"]]
        burnt = sum(int(one["outcome"]["tokens_burnt"]) for one in outcomes)
        assert sum(map(chain.balance, everybody)) == before - burnt


@pytest.mark.parametrize(("protocol", "share"), [(86, 3), (87, 0), (88, 0)])
async def test_contracts_have_a_share_of_the_gas_until_protocol_86(protocol: int, share: int) -> None:
    async with open_devchain(protocol_version=protocol) as chain, Asker(chain.url) as asker:
        shop = await chain.create_account("shop")
        await chain.deploy(shop, EVERYTHING)
        everybody = (*chain.wallets,)
        before, had = sum(map(chain.balance, everybody)), chain.balance(shop)
        outcome = await chain.call(chain.root, shop, "echo", b"hi")
        outcomes = [outcome["transaction_outcome"], *outcome["receipts_outcome"]]
        burnt = sum(int(one["outcome"]["tokens_burnt"]) for one in outcomes)
        reward = chain.balance(shop) - had
        assert bool(reward) == bool(share)
        assert sum(map(chain.balance, everybody)) == before - burnt + reward
        status = await asker.ask("status", [])
        assert status["protocol_version"] == protocol
        rules = await asker.ask("EXPERIMENTAL_protocol_config", {"finality": "final"})
        assert rules["runtime_config"]["transaction_costs"]["burnt_gas_reward"][0] == share


@pytest.mark.parametrize("kept", [False, True])
async def test_snapshots_and_time(tmp_path: Path, kept: bool) -> None:
    async with open_devchain(tmp_path if kept else None) as chain:
        shop = await chain.create_account("shop")
        await chain.deploy(shop, EVERYTHING)
        snapshot, head = chain.snapshot(), chain.chain.head
        await chain.call(chain.root, shop, "store", b"1")
        await chain.fast_forward(seconds=30 * 86_400)
        assert chain.chain.head.timestamp - head.timestamp >= 30 * 86_400 * 10**9
        chain.restore(snapshot)
        assert chain.chain.head == head
        await chain.call(chain.root, shop, "store", b"2")
        final = chain.chain.head
    if kept:
        async with open_devchain(tmp_path) as again:
            assert again.chain.head == final, "what was put back, and what came after, is what is kept"


EXPIRED = {"TxExecutionError": {"InvalidTxError": "Expired"}}


@pytest.mark.parametrize("by_rpc", [False, True])
async def test_a_block_that_was_thrown_away_is_one_of_another_fork(tmp_path: Path, by_rpc: bool) -> None:
    """As on the network: whether a block is unknown or another fork's, what was signed on it is said to be expired."""
    async with open_devchain(tmp_path) as chain, Asker(chain.url) as asker:

        async def sends(signed: SignedTransaction) -> Any:
            told = await asker.full("send_tx", {"signed_tx_base64": base64_of(signed), "wait_until": "FINAL"})
            return told["error"]["data"] if "error" in told else "SuccessValue" in told["result"]["status"]

        common = chain.sign(chain.root, "carol.near", [Transfer(7)])
        snapshot = chain.snapshot()
        number = await asker.ask("devchain_snapshot")
        await chain.send(chain.root, "alice.near", Transfer(5))
        await chain.fast_forward(blocks=10)
        thrown = chain.sign(chain.root, "bob.near", [Transfer(5)])
        place, head = to_base58(thrown.transaction.block_hash), chain.chain.head.height
        assert await asker.ask("block", {"block_id": place})
        if by_rpc:
            await asker.ask("devchain_restore", {"snapshot": number})
        else:
            chain.restore(snapshot)
        assert (await asker.error("block", {"block_id": place}))["cause"]["name"] == "UNKNOWN_BLOCK"
        again = chain.sign(chain.root, "bob.near", [Transfer(5)])
        assert again.transaction.nonce < thrown.transaction.nonce, "only the block stands against it"
        assert await sends(thrown) == EXPIRED
        assert await sends(common) is True, "that block is there"
        await chain.fast_forward(blocks=20)
        assert chain.chain.head.height > head
        assert await sends(thrown) == EXPIRED, "there is a block of that height again, and it is another one"
    async with open_devchain(tmp_path) as later:
        with pytest.raises(InvalidTransaction, match="Expired"):
            later.chain.submit(thrown)
        assert later.balance("bob.near") == 10_000 * NEAR


async def test_what_waits_for_a_block_when_the_chain_is_put_back_is_forgotten() -> None:
    async with open_devchain(block_seconds=math.inf) as chain, Asker(chain.url) as asker:
        snapshot = chain.snapshot()
        chain.step(5)
        signed = chain.sign(chain.root, "alice.near", [Transfer(5)])
        await asker.ask("send_tx", {"signed_tx_base64": base64_of(signed), "wait_until": "NONE"})
        chain.restore(snapshot)
        chain.step(5)
        asked = {"tx_hash": to_base58(signed.transaction.hash), "sender_account_id": "root.near"}
        assert (await asker.error("tx", asked))["cause"]["name"] == "UNKNOWN_TRANSACTION"
        assert chain.balance("alice.near") == 10_000 * NEAR


async def test_a_test_can_stand_between_two_blocks() -> None:
    async with open_devchain(block_seconds=math.inf) as chain, Asker(chain.url) as asker:
        signed = chain.sign(chain.root, "alice.near", [Transfer(5)])
        name = to_base58(signed.transaction.hash)
        sent = {"signed_tx_base64": base64_of(signed), "wait_until": "NONE"}
        assert await asker.ask("send_tx", sent) == {"final_execution_status": "NONE"}
        asked = {"tx_hash": name, "sender_account_id": "root.near", "wait_until": "NONE"}
        assert (await asker.ask("tx", asked))["final_execution_status"] == "NONE"
        levels = []
        for number in range(5):
            if number % 2:
                chain.step()
            else:
                await asker.ask("devchain_step", {})
            levels.append((await asker.ask("tx", asked))["final_execution_status"])
        assert levels == ["INCLUDED", "EXECUTED_OPTIMISTIC", "EXECUTED", "EXECUTED", "FINAL"]


async def test_others_reach_the_same_chain() -> None:
    async with open_devchain() as chain, Asker(chain.url) as asker:
        await chain.send(chain.root, "alice.near", Transfer(5))
        shown = await asker.query("view_account", account_id="alice.near")
        assert int(shown["amount"]) == chain.balance("alice.near") == 10_000 * NEAR + 5


async def test_new_chains_differ_and_a_folder_keeps_one(tmp_path: Path) -> None:
    async with open_devchain(tmp_path / "one") as chain:
        genesis = chain.chain.genesis_header.hash
        await chain.send(chain.root, "alice.near", Transfer(5))
        path = chain.key_file("alice.near")
        assert path is not None
        assert json.loads(path.read_text())["private_key"] == chain.wallets["alice.near"].key.secret_text
    async with open_devchain(tmp_path / "one") as again:
        assert again.chain.genesis_header.hash == genesis
        assert again.balance("alice.near") == 10_000 * NEAR + 5
    async with open_devchain(tmp_path / "two") as other:
        assert other.chain.genesis_header.hash != genesis


async def test_many_transactions_at_once() -> None:
    async with open_devchain() as chain:
        wallets = [await chain.create_account(f"w{number}", 2 * NEAR) for number in range(20)]

        async with trio.open_nursery() as nursery:
            for wallet in wallets:
                nursery.start_soon(chain.send, wallet, "bob.near", Transfer(1))
        assert chain.balance("bob.near") == 10_000 * NEAR + 20


async def test_gas_prices_a_call_as_the_network_does() -> None:
    """A tera of gas is bought for a thousandth of a NEAR, and what is not burnt comes back."""
    async with open_devchain() as chain:
        shop = await chain.create_account("shop")
        await chain.deploy(shop, EVERYTHING)
        bob = chain.wallets["bob.near"]
        before = chain.balance(bob)
        chain.chain.submit(chain.sign(bob, shop.account_id, [FunctionCall("echo", b"", 300 * TERAGAS, 0)]))
        chain.chain.produce()
        assert before - chain.balance(bob) > 3 * NEAR // 10
        chain.chain.settle()
        assert before - chain.balance(bob) < NEAR // 1000
