"""Every kind of answer and of error, parsed with the official models, which are made from nearcore's OpenAPI description."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import near_jsonrpc_models as models
import pytest
from near_jsonrpc_models.json_rpc_response_for_crypto_hash_and_rpc_transaction_error import (
    JsonRpcResponseForCryptoHashAndRpcTransactionError as HashAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_genesis_config_and_genesis_config_error import (
    JsonRpcResponseForGenesisConfigAndGenesisConfigError as GenesisAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_block_response_and_rpc_block_error import (
    JsonRpcResponseForRpcBlockResponseAndRpcBlockError as BlockAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_chunk_response_and_rpc_chunk_error import (
    JsonRpcResponseForRpcChunkResponseAndRpcChunkError as ChunkAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_gas_price_response_and_rpc_gas_price_error import (
    JsonRpcResponseForRpcGasPriceResponseAndRpcGasPriceError as GasPriceAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_network_info_response_and_rpc_network_info_error import (
    JsonRpcResponseForRpcNetworkInfoResponseAndRpcNetworkInfoError as NetworkAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_protocol_config_response_and_rpc_protocol_config_error import (
    JsonRpcResponseForRpcProtocolConfigResponseAndRpcProtocolConfigError as RulesAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_query_response_and_rpc_query_error import (
    JsonRpcResponseForRpcQueryResponseAndRpcQueryError as QueryAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_receipt_response_and_rpc_receipt_error import (
    JsonRpcResponseForRpcReceiptResponseAndRpcReceiptError as ReceiptAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_state_changes_in_block_by_type_response_and_rpc_state_changes_error import (
    JsonRpcResponseForRpcStateChangesInBlockByTypeResponseAndRpcStateChangesError as TouchedAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_state_changes_in_block_response_and_rpc_state_changes_error import (
    JsonRpcResponseForRpcStateChangesInBlockResponseAndRpcStateChangesError as ChangesAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_status_response_and_rpc_status_error import (
    JsonRpcResponseForRpcStatusResponseAndRpcStatusError as StatusAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_transaction_response_and_rpc_transaction_error import (
    JsonRpcResponseForRpcTransactionResponseAndRpcTransactionError as TransactionAnswer,
)
from near_jsonrpc_models.json_rpc_response_for_rpc_validator_response_and_rpc_validator_error import (
    JsonRpcResponseForRpcValidatorResponseAndRpcValidatorError as ValidatorAnswer,
)

from mycel_simnet.near.devchain import NEAR, TERAGAS, Devchain, Wallet, open_devchain
from mycel_simnet.near.types import (
    AccessKey,
    Action,
    AddKey,
    CreateAccount,
    DeleteAccount,
    DeleteKey,
    DeployContract,
    FullAccess,
    FunctionCall,
    FunctionCallPermission,
    Stake,
    Transfer,
)
from tests.simnet.near.asking import Asker, base64_of
from tests.simnet.near.contracts import EVERYTHING, Places
from tests.simnet.near.test_promises import caller, create, then

NO_HASH = "1" * 32


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


async def parsed(asker: Asker, model: Any, method: str, params: Any = None) -> dict[str, Any]:
    """The answer, which ``model`` takes."""
    answer = await asker.full(method, params)
    model.model_validate(answer)
    return answer


def same(shown: object, parsed: object, where: str = "") -> None:
    """Whatever the model kept is what was sent: a union of models must not have taken it for something else."""
    if isinstance(parsed, dict):
        assert isinstance(shown, dict), where
        for name, value in parsed.items():
            if name in shown:
                same(shown[name], value, f"{where}.{name}")
    elif isinstance(parsed, list):
        assert isinstance(shown, list), where
        assert len(shown) == len(parsed), where
        for place, (one, other) in enumerate(zip(shown, parsed, strict=True)):
            same(one, other, f"{where}[{place}]")
    else:
        assert shown == parsed, where


async def test_answers_about_the_chain(chain: Devchain, asker: Asker) -> None:
    outcome = await chain.send(chain.root, "alice.near", Transfer(1))
    block_id = outcome["receipts_outcome"][0]["block_hash"]
    await parsed(asker, BlockAnswer, "block", {"finality": "final"})
    await parsed(asker, ChunkAnswer, "chunk", {"block_id": block_id, "shard_id": 0})
    await parsed(asker, GasPriceAnswer, "gas_price", [None])
    await parsed(asker, StatusAnswer, "status", [])
    await parsed(asker, NetworkAnswer, "network_info", [])
    await parsed(asker, ValidatorAnswer, "validators", [None])
    await parsed(asker, RulesAnswer, "EXPERIMENTAL_protocol_config", {"finality": "final"})
    await parsed(asker, GenesisAnswer, "EXPERIMENTAL_genesis_config", [])
    changes = {"changes_type": "account_changes", "block_id": block_id, "account_ids": ["alice.near", "root.near"]}
    shown = await parsed(asker, ChangesAnswer, "EXPERIMENTAL_changes", changes)
    assert shown["result"]["changes"]
    await parsed(asker, TouchedAnswer, "EXPERIMENTAL_changes_in_block", {"block_id": block_id})


@pytest.mark.parametrize(
    ("kind", "model", "more"),
    [
        ("view_account", models.AccountView, {}),
        ("view_code", models.ContractCodeView, {}),
        ("view_state", models.ViewStateResult, {"prefix_base64": ""}),
        ("call_function", models.CallResult, {"method_name": "read", "args_base64": ""}),
        ("view_access_key", models.AccessKeyView, {"public_key": ""}),
        ("view_access_key_list", models.AccessKeyList, {}),
    ],
)
async def test_queries(
    chain: Devchain, asker: Asker, shop: Wallet, kind: str, model: Any, more: dict[str, str]
) -> None:
    await chain.call(chain.root, shop, "store", b"value")
    key = AccessKey(0, FunctionCallPermission(NEAR, "alice.near", ("a", "b")))
    await chain.send(shop, shop.account_id, AddKey(chain.new_key().public, key))
    if "public_key" in more:
        more = {"public_key": shop.key.public_text}
    asked = {"request_type": kind, "finality": "final", "account_id": shop.account_id, **more}
    answer = await parsed(asker, QueryAnswer, "query", asked)
    same(answer["result"], model.model_validate(answer["result"]).model_dump(mode="json"))


@pytest.mark.parametrize("level", ["INCLUDED", "EXECUTED_OPTIMISTIC", "FINAL"])
async def test_transactions_with_every_action(chain: Devchain, asker: Asker, level: str) -> None:
    new = chain.new_key()
    stories: list[list[Action]] = [
        [
            CreateAccount(),
            Transfer(10 * NEAR),
            AddKey(new.public, AccessKey(0, FullAccess())),
            AddKey(chain.root.key.public, AccessKey(0, FunctionCallPermission(None, "alice.near", ()))),
            DeleteKey(chain.root.key.public),
            DeployContract(EVERYTHING),
            FunctionCall("log", b"hi", 10 * TERAGAS, 1),
            DeleteAccount("alice.near"),
        ],
        [CreateAccount(), Stake(NEAR, new.public)],
        [CreateAccount(), DeployContract(bytes(3000))],
    ]
    for actions in stories:
        signed = chain.sign(chain.root, "new.root.near", actions)
        sent = {"signed_tx_base64": base64_of(signed), "wait_until": level}
        answer = await parsed(asker, TransactionAnswer, "send_tx", sent)
        shown = models.FinalExecutionOutcomeView.model_validate(answer["result"]).model_dump(mode="json")
        same(answer["result"], shown)
        name = answer["result"]["transaction"]["hash"]
        await parsed(
            asker, TransactionAnswer, "tx", {"tx_hash": name, "sender_account_id": "root.near", "wait_until": "FINAL"}
        )
        told = await parsed(asker, TransactionAnswer, "EXPERIMENTAL_tx_status", [name, "root.near"])
        models.FinalExecutionOutcomeWithReceiptView.model_validate(told["result"])
        receipt = {"receipt_id": told["result"]["receipts"][0]["receipt_id"]}
        await parsed(asker, ReceiptAnswer, "EXPERIMENTAL_receipt", receipt)
    hashed = base64_of(chain.sign(chain.root, "alice.near", [Transfer(1)]))
    await parsed(asker, HashAnswer, "broadcast_tx_async", [hashed])


async def test_promises_and_their_data(chain: Devchain, asker: Asker, shop: Wallet) -> None:
    places = Places()
    lines = (
        f"(local.set $a {create(places, shop.account_id, 'echo', 'hello', 1)})",
        f"(call $promise_return {then(places, '(local.get $a)', 'asker.root.near')})",
    )
    contract = await chain.create_account("asker")
    await chain.deploy(contract, caller(*lines, places=places))
    outcome = await chain.call(chain.root, contract, "go")
    told = await parsed(
        asker, TransactionAnswer, "EXPERIMENTAL_tx_status", [outcome["transaction"]["hash"], "root.near"]
    )
    for one in told["result"]["receipts"]:
        same(one, models.ReceiptView.model_validate(one).model_dump(mode="json"))
    assert any(one["receipt"]["Action"]["input_data_ids"] for one in told["result"]["receipts"])
    data = [
        receipt
        for done in outcome["receipts_outcome"]
        for receipt in (await asker.ask("chunk", {"block_id": done["block_hash"], "shard_id": 0}))["receipts"]
        if "Data" in receipt["receipt"]
    ]
    assert data
    for one in data:
        same(one, models.ReceiptView.model_validate(one).model_dump(mode="json"))


async def test_failed_transactions(chain: Devchain, asker: Asker, shop: Wallet) -> None:
    unknown = chain.new_key().public
    failures: list[tuple[str, list[Action]]] = [
        (shop.account_id, [FunctionCall("fail", b"no", 10 * TERAGAS, 0)]),
        (shop.account_id, [FunctionCall("nothing", b"", 10 * TERAGAS, 0)]),
        (shop.account_id, [FunctionCall("spin", b"", 10 * TERAGAS, 0)]),
        ("bob.near", [FunctionCall("echo", b"", 10 * TERAGAS, 0)]),
        ("bob.near", [CreateAccount()]),
        ("bob.near", [DeployContract(b"")]),
        ("nobody.near", [Transfer(1)]),
        ("x.bob.near", [CreateAccount()]),
        ("short", [CreateAccount()]),
        ("root.near", [DeleteKey(unknown)]),
        ("root.near", [AddKey(chain.root.key.public, AccessKey(0, FullAccess()))]),
        ("root.near", [Stake(NEAR, unknown)]),
        ("poor.root.near", [CreateAccount(), DeployContract(bytes(3000))]),
    ]
    for receiver, actions in failures:
        signed = chain.sign(chain.root, receiver, actions)
        answer = await parsed(asker, TransactionAnswer, "send_tx", {"signed_tx_base64": base64_of(signed)})
        status = answer["result"]["status"]
        assert "Failure" in status, receiver
        same(status, models.FinalExecutionStatus.model_validate(status).model_dump(mode="json"))


async def test_refused_transactions_and_other_errors(chain: Devchain, asker: Asker, shop: Wallet) -> None:
    key = chain.new_key()
    permission = FunctionCallPermission(NEAR // 1000, shop.account_id, ("echo",))
    await chain.send(chain.root, "root.near", AddKey(key.public, AccessKey(0, permission)))
    limited = Wallet("root.near", key)
    refused = [
        chain.sign(chain.root, "alice.near", [Transfer(10**37)]),
        chain.sign(Wallet("alice.near", key), "alice.near", [Transfer(1)]),
        chain.sign(Wallet("nobody.near", key), "alice.near", [Transfer(1)]),
        chain.sign(limited, "alice.near", [Transfer(1)]),
        chain.sign(limited, "alice.near", [FunctionCall("echo", b"", TERAGAS // 10, 0)]),
        chain.sign(limited, shop.account_id, [FunctionCall("fail", b"", TERAGAS // 10, 0)]),
        chain.sign(limited, shop.account_id, [FunctionCall("echo", b"", TERAGAS // 10, 1)]),
        chain.sign(limited, shop.account_id, [FunctionCall("echo", b"", 300 * TERAGAS, 0)]),
        chain.sign(chain.root, "root.near", [DeleteAccount("alice.near"), Transfer(1)]),
        chain.sign(chain.root, "root.near", [FunctionCall("echo", b"", 2000 * TERAGAS, 0)]),
    ]
    for signed in refused:
        answer = await parsed(asker, TransactionAnswer, "send_tx", {"signed_tx_base64": base64_of(signed)})
        inner = answer["error"]["data"]["TxExecutionError"]
        same(inner, models.TxExecutionError.model_validate(inner).model_dump(mode="json"))
    account = {"finality": "final", "account_id": "nobody.near"}
    for kind in ("view_account", "view_code", "view_state"):
        await parsed(asker, QueryAnswer, "query", {"request_type": kind, "prefix_base64": "", **account})
    unknown = {"request_type": "view_account", "block_id": 5, "account_id": "alice.near"}
    assert "error" in await parsed(asker, QueryAnswer, "query", unknown)
    assert "error" in await parsed(asker, BlockAnswer, "block", {"block_id": NO_HASH})
    assert "error" in await parsed(asker, BlockAnswer, "block", {})
    assert "error" in await parsed(asker, ChunkAnswer, "chunk", {"chunk_id": NO_HASH})
    assert "error" in await parsed(asker, ReceiptAnswer, "EXPERIMENTAL_receipt", {"receipt_id": NO_HASH})
    assert "error" in await parsed(
        asker, TransactionAnswer, "tx", {"tx_hash": NO_HASH, "sender_account_id": "alice.near"}
    )
    args = base64.b64encode(b"no").decode()
    asked = {"request_type": "call_function", "method_name": "fail", "args_base64": args, "account_id": shop.account_id}
    told = await asker.ask("query", {**asked, "finality": "final"})
    assert "error" in told, "the network tells it in the result, which its own models do not have"
