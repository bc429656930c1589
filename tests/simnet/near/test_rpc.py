"""The RPC over HTTP: what it answers, and how it says what it can't; shapes and words are the network's."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator

import pytest
import trio

from mycel_simnet.near import rpc
from mycel_simnet.near.devchain import NEAR, TERAGAS, Devchain, Wallet, open_devchain
from mycel_simnet.near.keys import to_base58
from mycel_simnet.near.types import DeployContract, FunctionCall, Transfer
from tests.simnet.near.asking import Asker, base64_of
from tests.simnet.near.contracts import EVERYTHING


@pytest.fixture
async def chain() -> AsyncIterator[Devchain]:
    async with open_devchain() as devchain:
        yield devchain


@pytest.fixture
async def asker(chain: Devchain) -> AsyncIterator[Asker]:
    async with Asker(chain.url) as asker:
        yield asker


@pytest.fixture
async def shop(chain: Devchain) -> Wallet:
    wallet = await chain.create_account("shop")
    await chain.deploy(wallet, EVERYTHING)
    return wallet


def alice(chain: Devchain) -> Wallet:
    return chain.wallets["alice.near"]


# --- looking ------------------------------------------------------------------------------------------------------------------


async def test_accounts(chain: Devchain, asker: Asker) -> None:
    shown = await asker.query("view_account", account_id="alice.near")
    final = chain.chain.final
    assert shown == {
        "amount": str(10_000 * NEAR),
        "locked": "0",
        "code_hash": "1" * 32,
        "storage_usage": 182,
        "storage_paid_at": 0,
        "block_height": final.height,
        "block_hash": to_base58(final.hash),
    }
    head = await asker.query("view_account", "optimistic", account_id="alice.near")
    assert head["block_height"] == chain.chain.head.height == final.height + 2


async def test_an_unknown_account(chain: Devchain, asker: Asker) -> None:
    asked = {"request_type": "view_account", "finality": "final", "account_id": "nobody.near"}
    error = await asker.error("query", asked)
    final = chain.chain.final
    info = {"requested_account_id": "nobody.near", "block_height": final.height, "block_hash": to_base58(final.hash)}
    assert error == {
        "name": "HANDLER_ERROR",
        "cause": {"name": "UNKNOWN_ACCOUNT", "info": info},
        "code": -32000,
        "message": "Server error",
        "data": "account nobody.near does not exist while viewing",
        "status": 200,
    }


async def test_keys(chain: Devchain, asker: Asker) -> None:
    key = alice(chain).key.public_text
    for text in (key, key.removeprefix("ed25519:")):
        shown = await asker.query("view_access_key", account_id="alice.near", public_key=text)
        assert (shown["nonce"], shown["permission"]) == (0, "FullAccess")
    listed = await asker.query("view_access_key_list", account_id="alice.near")
    assert listed["keys"] == [{"public_key": key, "access_key": {"nonce": 0, "permission": "FullAccess"}}]
    other = chain.wallets["bob.near"].key.public_text
    unknown = await asker.query("view_access_key", account_id="alice.near", public_key=other)
    assert unknown["error"] == f"access key {other} does not exist while viewing"
    assert unknown["logs"] == []


async def test_code_and_state(chain: Devchain, asker: Asker, shop: Wallet) -> None:
    await chain.call(alice(chain), shop, "store", b"value")
    code = await asker.query("view_code", account_id=shop.account_id)
    assert base64.b64decode(code["code_base64"]) == EVERYTHING
    state = await asker.query("view_state", account_id=shop.account_id, prefix_base64="")
    assert state["values"] == [{"key": "aw==", "value": base64.b64encode(b"value").decode()}]
    assert (await asker.query("view_state", account_id=shop.account_id, prefix_base64="eA=="))["values"] == []
    asked = {"request_type": "view_code", "finality": "final", "account_id": "bob.near"}
    assert (await asker.error("query", asked))["cause"]["name"] == "NO_CONTRACT_CODE"


async def test_state_that_is_too_large_is_not_shown(chain: Devchain, asker: Asker, shop: Wallet) -> None:
    await chain.call(alice(chain), shop, "store", bytes(50_000))
    asked = {"request_type": "view_state", "finality": "final", "account_id": shop.account_id, "prefix_base64": ""}
    assert (await asker.error("query", asked))["cause"]["name"] == "TOO_LARGE_CONTRACT_STATE"


async def test_view_calls(chain: Devchain, asker: Asker, shop: Wallet) -> None:
    args = base64.b64encode("héllo ✓".encode()).decode()
    asked = {"account_id": shop.account_id, "method_name": "echo", "args_base64": args}
    shown = await asker.query("call_function", **asked)
    assert bytes(shown["result"]).decode() == "héllo ✓"
    logged = await asker.query("call_function", **{**asked, "method_name": "log"})
    assert (logged["logs"], logged["result"]) == (["héllo ✓"], [])


@pytest.mark.parametrize(
    ("account", "method", "said"),
    [
        ("shop.root.near", "fail", 'HostError(GuestPanic { panic_msg: "a \\"b\\"" })'),
        ("shop.root.near", "nothing", "MethodResolveError(MethodNotFound)"),
        ("shop.root.near", "store", 'HostError(ProhibitedInView { method_name: "storage_write" })'),
        ("bob.near", "echo", 'CompilationError(CodeDoesNotExist { account_id: "bob.near" })'),
    ],
)
async def test_what_goes_wrong_in_a_view_is_in_the_result(
    asker: Asker, shop: Wallet, account: str, method: str, said: str
) -> None:
    args = base64.b64encode(b'a "b"').decode()
    shown = await asker.query("call_function", account_id=account, method_name=method, args_base64=args)
    assert shown["error"] == f"wasm execution failed with error: {said}"
    assert shown["logs"] == []
    assert set(shown) == {"error", "logs", "block_height", "block_hash"}


async def test_a_view_that_never_ends_ends(asker: Asker, shop: Wallet) -> None:
    shown = await asker.query("call_function", account_id=shop.account_id, method_name="spin", args_base64="")
    assert shown["error"] == "wasm execution failed with error: HostError(GasLimitExceeded)"


async def test_blocks_by_height_hash_and_finality(chain: Devchain, asker: Asker) -> None:
    head = chain.chain.head
    for asked in ({"finality": "optimistic"}, {"block_id": head.height}, {"block_id": to_base58(head.hash)}):
        assert (await asker.ask("block", asked))["header"]["height"] == head.height
    assert (await asker.ask("block", [head.height]))["header"]["hash"] == to_base58(head.hash)
    genesis = await asker.ask("block", {"sync_checkpoint": "genesis"})
    assert genesis["header"]["height"] == 100_000_000
    unknown = await asker.error("block", {"block_id": 7})
    assert unknown["cause"] == {"name": "UNKNOWN_BLOCK", "info": {}}
    assert unknown["status"] == 422
    assert unknown["data"] == "DB Not Found Error: BLOCK HEIGHT: 7 \n Cause: Unknown"
    asked = {"request_type": "view_account", "block_id": 7, "account_id": "alice.near"}
    assert (await asker.error("query", asked))["cause"]["info"] == {"block_reference": {"block_id": 7}}


async def test_chunks_have_the_transactions_and_receipts(chain: Devchain, asker: Asker) -> None:
    outcome = await chain.send(alice(chain), "bob.near", Transfer(1))
    included = outcome["transaction_outcome"]["block_hash"]
    chunk = await asker.ask("chunk", {"block_id": included, "shard_id": 0})
    assert [one["hash"] for one in chunk["transactions"]] == [outcome["transaction"]["hash"]]
    by_hash = await asker.ask("chunk", {"chunk_id": chunk["header"]["chunk_hash"]})
    assert by_hash == chunk
    executed = outcome["receipts_outcome"][0]["block_hash"]
    receipts = (await asker.ask("chunk", {"block_id": executed, "shard_id": 0}))["receipts"]
    assert [one["receiver_id"] for one in receipts] == ["bob.near"]
    assert (await asker.error("chunk", {"block_id": executed, "shard_id": 3}))["cause"]["name"] == "INVALID_SHARD_ID"


async def test_the_node_and_its_rules(chain: Devchain, asker: Asker) -> None:
    status = await asker.ask("status", [])
    assert status["chain_id"] == "devchain"
    assert status["protocol_version"] == 86
    assert status["sync_info"]["latest_block_height"] == chain.chain.head.height
    rules = await asker.ask("EXPERIMENTAL_protocol_config", {"finality": "final"})
    assert rules["transaction_validity_period"] == 86_400
    assert rules["runtime_config"]["min_gas_purchase_price"] == "1000000000"
    assert (await asker.ask("gas_price", [None]))["gas_price"] == "100000000"
    assert await asker.ask("health", []) is None


async def test_changes_of_a_block(chain: Devchain, asker: Asker, shop: Wallet) -> None:
    outcome = await chain.call(alice(chain), shop, "store", b"value")
    block_id = outcome["receipts_outcome"][0]["block_hash"]
    asked = {
        "changes_type": "data_changes",
        "block_id": block_id,
        "account_ids": [shop.account_id],
        "key_prefix_base64": "",
    }
    shown = await asker.ask("EXPERIMENTAL_changes", asked)
    cause = {"type": "receipt_processing", "receipt_hash": outcome["receipts_outcome"][0]["id"]}
    change = {"account_id": shop.account_id, "key_base64": "aw==", "value_base64": base64.b64encode(b"value").decode()}
    assert shown == {"block_hash": block_id, "changes": [{"cause": cause, "type": "data_update", "change": change}]}
    touched = await asker.ask("EXPERIMENTAL_changes_in_block", {"block_id": block_id})
    assert {"type": "data_touched", "account_id": shop.account_id} in touched["changes"]
    key = {"account_id": "alice.near", "public_key": alice(chain).key.public_text}
    included = outcome["transaction_outcome"]["block_hash"]
    asked = {"changes_type": "single_access_key_changes", "block_id": included, "keys": [key]}
    (found,) = (await asker.ask("changes", asked))["changes"]
    assert found["type"] == "access_key_update"
    assert found["change"]["access_key"]["nonce"] == outcome["transaction"]["nonce"]


# --- transactions ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "level", ["NONE", "INCLUDED", "EXECUTED_OPTIMISTIC", "INCLUDED_FINAL", "EXECUTED", "FINAL", None]
)
async def test_sending_waits_as_long_as_was_asked(chain: Devchain, asker: Asker, level: str | None) -> None:
    signed = chain.sign(alice(chain), "bob.near", [Transfer(1)])
    asked = {"signed_tx_base64": base64_of(signed)} | ({} if level is None else {"wait_until": level})
    shown = await asker.ask("send_tx", asked)
    if level == "NONE":
        assert shown == {"final_execution_status": "NONE"}
    else:
        assert shown["transaction"]["hash"] == to_base58(signed.transaction.hash)
    name = to_base58(signed.transaction.hash)
    final = await asker.ask("tx", {"tx_hash": name, "sender_account_id": "alice.near", "wait_until": "FINAL"})
    assert final["final_execution_status"] == "FINAL"
    assert final["status"] == {"SuccessValue": ""}
    again = await asker.ask("send_tx", {"signed_tx_base64": base64_of(signed), "wait_until": "FINAL"})
    assert again == final, "sent again, it is the same transaction"


async def test_the_older_ways_to_send(chain: Devchain, asker: Asker) -> None:
    committed = await asker.ask("broadcast_tx_commit", [base64_of(chain.sign(alice(chain), "bob.near", [Transfer(1)]))])
    assert committed["status"] == {"SuccessValue": ""}
    signed = chain.sign(alice(chain), "bob.near", [Transfer(2)])
    name = await asker.ask("broadcast_tx_async", [base64_of(signed)])
    assert name == to_base58(signed.transaction.hash)
    shown = await asker.ask("EXPERIMENTAL_tx_status", [name, "alice.near"])
    assert shown["receipts"][0]["receipt"]["Action"]["actions"] == [{"Transfer": {"deposit": "2"}}]
    receipt = await asker.ask("EXPERIMENTAL_receipt", {"receipt_id": shown["receipts"][0]["receipt_id"]})
    assert receipt == shown["receipts"][0]


async def test_a_refused_transaction(chain: Devchain, asker: Asker) -> None:
    signed = chain.sign(alice(chain), "bob.near", [Transfer(10**38)])
    error = await asker.error("send_tx", {"signed_tx_base64": base64_of(signed)})
    assert error["cause"] == {"name": "INVALID_TRANSACTION", "info": {}}
    assert error["data"]["TxExecutionError"]["InvalidTxError"]["NotEnoughBalance"]["signer_id"] == "alice.near"
    assert error["status"] == 200


async def test_a_failed_transaction_is_no_error(chain: Devchain, asker: Asker, shop: Wallet) -> None:
    signed = chain.sign(alice(chain), shop.account_id, [FunctionCall("fail", b"no", 10 * TERAGAS, NEAR)])
    shown = await asker.ask("send_tx", {"signed_tx_base64": base64_of(signed)})
    inner = {"FunctionCallError": {"ExecutionError": "Smart contract panicked: no"}}
    assert shown["status"] == {"Failure": {"ActionError": {"index": 0, "kind": inner}}}


async def test_what_nobody_knows(asker: Asker) -> None:
    name = "11111111111111111111111111111111"
    unknown = await asker.error("tx", {"tx_hash": name, "sender_account_id": "alice.near"})
    assert unknown["cause"] == {"name": "UNKNOWN_TRANSACTION", "info": {"requested_transaction_hash": name}}
    assert unknown["data"] == f"Transaction {name} doesn't exist"
    unknown = await asker.error("EXPERIMENTAL_receipt", {"receipt_id": name})
    assert unknown["cause"]["name"] == "UNKNOWN_RECEIPT"


async def test_a_wait_that_is_too_long_is_a_timeout_with_its_own_status(autojump_clock: trio.testing.MockClock) -> None:
    async with open_devchain(block_seconds=100) as chain:
        signed = chain.sign(alice(chain), "bob.near", [Transfer(1)])
        asked = {"signed_tx_base64": base64_of(signed), "wait_until": "FINAL"}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "send_tx", "params": asked})
        status, answer = await rpc.answer(chain.node, body.encode())
        assert status == 408
        assert json.loads(answer)["error"]["cause"] == {"name": "TIMEOUT_ERROR"}


# --- what is no request ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"7", b'{"method": 7}', b"[" * 100_000, b'{"jsonrpc":"2.0"}', b"\xff\xfe"]
)
async def test_bodies_that_are_no_request(asker: Asker, body: bytes) -> None:
    response = await asker.raw(body)
    assert response.status_code == 400
    assert response.json()["error"]["name"] == "REQUEST_VALIDATION_ERROR"


async def test_an_unknown_method(asker: Asker) -> None:
    error = await asker.error("nonsense")
    assert error["cause"] == {"name": "METHOD_NOT_FOUND", "info": {"method_name": "nonsense"}}
    assert (error["code"], error["status"]) == (-32601, 400)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("query", []),
        ("query", {"request_type": "view_account", "finality": "final"}),
        ("query", {"request_type": "view_account", "finality": "final", "account_id": "UPPER"}),
        ("query", {"request_type": "view_account", "account_id": "alice.near"}),
        ("query", {"request_type": "nonsense", "finality": "final"}),
        ("query", {"request_type": "view_account", "finality": "soon", "account_id": "alice.near"}),
        (
            "query",
            {"request_type": "view_access_key", "finality": "final", "account_id": "alice.near", "public_key": "x"},
        ),
        ("query", {"request_type": "call_function", "finality": "final", "account_id": "alice.near", "method_name": 7}),
        ("block", {"block_id": "!"}),
        ("block", {"block_id": "1" * 5000}),
        ("send_tx", {}),
        ("send_tx", {"signed_tx_base64": "AAAA"}),
        ("send_tx", {"signed_tx_base64": "?"}),
        ("send_tx", []),
        ("tx", {"tx_hash": 7}),
        ("tx", {"tx_hash": "11111111111111111111111111111111", "wait_until": 5}),
        ("EXPERIMENTAL_changes", {"changes_type": "x", "finality": "final"}),
        ("sandbox_fast_forward", {"delta_height": -1}),
        ("sandbox_fast_forward", {"delta_height": True}),
    ],
)
async def test_parameters_that_are_wrong(asker: Asker, method: str, params: object) -> None:
    error = await asker.error(method, params)
    assert error["name"] in {"REQUEST_VALIDATION_ERROR", "HANDLER_ERROR"}, error
    assert error["status"] in {200, 400}


async def test_a_transaction_that_is_too_large_to_be_one_is_refused(chain: Devchain, asker: Asker) -> None:
    signed = chain.sign(alice(chain), "alice.near", [DeployContract(bytes(1_600_000))])
    error = await asker.error("send_tx", {"signed_tx_base64": base64_of(signed)})
    assert "TransactionSizeExceeded" in error["data"]["TxExecutionError"]["InvalidTxError"]


# --- for tests only ---------------------------------------------------------------------------------------------------------------


async def test_time_and_snapshots_over_rpc(chain: Devchain, asker: Asker) -> None:
    number = await asker.ask("devchain_snapshot")
    before = chain.chain.head
    await asker.ask("sandbox_fast_forward", {"delta_height": 500})
    assert chain.chain.head.height == before.height + 500
    assert chain.chain.head.timestamp >= before.timestamp + 500 * 10**9
    await asker.ask("sandbox_fast_forward", {"delta_seconds": 86_400})
    assert chain.chain.head.timestamp >= before.timestamp + (500 + 86_400) * 10**9
    await asker.ask("devchain_restore", {"snapshot": number})
    assert chain.chain.head == before
    assert (await asker.error("devchain_restore", {"snapshot": 5}))["cause"]["name"] == "UNKNOWN_SNAPSHOT"
