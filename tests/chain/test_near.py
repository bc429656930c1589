"""What the network says, made into types; and what is signed, byte for byte. Each fault of research is a test here."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nacl.signing import VerifyKey

from mycelnode.chain.keys import NearKey
from mycelnode.chain.near import AddKey, Call, CreateAccount, DeleteKey, Deploy, Near, Transfer, sign
from mycelnode.chain.rpc import open_rpc
from mycelnode.encoding import base58
from mycelnode.errors import (
    AccountRefused,
    ContractRefused,
    ContractWrong,
    EncodingError,
    MycelError,
    NearRefused,
    NearRpcWrong,
)
from tests.chain.servers import Answer, Server, a_server, refusal

HASH = base58(bytes(range(32)))
KEY = NearKey.of(bytes(32))
WHERE = {"block_hash": HASH, "block_height": 100}
HEADER = {"hash": HASH, "height": 100, "timestamp_nanosec": "1700000000000000000", "gas_price": "100000000"}


@asynccontextmanager
async def a_near(**acts: Answer) -> AsyncIterator[tuple[Near, Server]]:
    async with a_server(**acts) as server, open_rpc("devchain", [server.url]) as rpc:
        yield Near(rpc), server


def result(data: bytes) -> dict[str, Any]:
    return {"result": list(data), "logs": [], **WHERE}


# --- what is signed ------------------------------------------------------------------------------------------------------------


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def text(value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return number(len(data), 4) + data


ACTIONS = [
    (CreateAccount(), b"\x00"),
    (Deploy(b"\0asm"), b"\x01" + text(b"\0asm")),
    (
        Call("use_pattern", b'{"id":1}', 30 * 10**12, 10**24 + 1),
        b"\x02" + text("use_pattern") + text(b'{"id":1}') + number(30 * 10**12, 8) + number(10**24 + 1, 16),
    ),
    (Transfer((1 << 128) - 1), b"\x03" + number((1 << 128) - 1, 16)),
    (AddKey(bytes(range(32))), b"\x05\x00" + bytes(range(32)) + number(0, 8) + b"\x01"),
    (DeleteKey(bytes(range(32))), b"\x06\x00" + bytes(range(32))),
]


@pytest.mark.parametrize(("action", "written"), ACTIONS)
def test_a_transaction_has_the_bytes_that_the_network_reads(action: Any, written: bytes) -> None:
    """As borsh writes `Transaction::V0` of nearcore (core/primitives/src/transaction.rs)."""
    signed = sign(KEY, "alice.near", "bob.near", 7, bytes(range(32)), [action])
    head = text("alice.near") + b"\x00" + KEY.public + number(7, 8) + text("bob.near") + bytes(range(32))
    body = head + number(1, 4) + written
    assert signed.data[:-65] == body
    digest = hashlib.sha256(body).digest()
    assert signed.hash == base58(digest)
    assert signed.data[-65:-64] == b"\x00"
    VerifyKey(KEY.public).verify(digest, signed.data[-64:])


def test_the_hash_is_the_one_that_py_near_computes() -> None:
    from py_near import transactions

    signed = sign(KEY, "alice.near", "bob.near", 7, bytes(32), [Transfer(1)])
    args = ("alice.near", KEY.secret, "bob.near", 7, [transactions.create_transfer_action(1)], bytes(32))
    assert signed.hash == transactions.calc_trx_hash(*args)


@pytest.mark.parametrize("account", ["", "A", "a..b", "x" * 65, "\0", "é", "alice.near\n"])
def test_an_account_that_is_none_is_refused_before_py_near_panics(account: str) -> None:
    for signer, receiver in ((account, "bob.near"), ("bob.near", account)):
        with pytest.raises(AccountRefused):
            sign(KEY, signer, receiver, 1, bytes(32), [Transfer(1)])


@pytest.mark.parametrize(
    ("nonce", "block", "actions"),
    [
        (0, bytes(32), [Transfer(1)]),
        (1 << 64, bytes(32), [Transfer(1)]),
        (1, bytes(31), [Transfer(1)]),
        (1, bytes(32), []),
        (1, bytes(32), [Transfer(1 << 128)]),
        (1, bytes(32), [Transfer(-1)]),
        (1, bytes(32), [Call("", b"", 1, 0)]),
        (1, bytes(32), [Call("m" * 257, b"", 1, 0)]),
        (1, bytes(32), [Call("m", b"", 1 << 64, 0)]),
        (1, bytes(32), [AddKey(bytes(31))]),
        (1, bytes(32), [DeleteKey(b"")]),
    ],
)
def test_what_cannot_be_signed_is_told(nonce: int, block: bytes, actions: list[Any]) -> None:
    with pytest.raises(EncodingError):
        sign(KEY, "alice.near", "bob.near", nonce, block, actions)


# --- what is asked -------------------------------------------------------------------------------------------------------------


async def test_a_view_is_read_as_utf_8_and_asks_for_a_final_block() -> None:
    said = json.dumps({"title": "héllo ✓"}, ensure_ascii=False).encode()
    async with a_near(call_function=result(said)) as (near, server):
        viewed = await near.view("registry.near", "get_pattern", b'{"id":1}')
        assert (viewed.value, viewed.height) == ({"title": "héllo ✓"}, 100)
        asked = server.requests[-1]["params"]
        assert asked["finality"] == "final"
        assert base64.b64decode(asked["args_base64"]) == b'{"id":1}'


async def test_an_empty_answer_of_a_view_is_none() -> None:
    async with a_near(call_function=result(b"")) as (near, _):
        assert (await near.view("registry.near", "x", b"")).value is None


@pytest.mark.parametrize(
    "found",
    [result(b"{"), {**WHERE, "result": [300]}, {**WHERE, "result": "x"}, {**WHERE}, {"result": [49]}, [], None, 7],
)
async def test_a_view_that_answers_garbage(found: Any) -> None:
    async with a_near(call_function=[found]) as (near, _):
        with pytest.raises((ContractWrong, NearRpcWrong)):
            await near.view("registry.near", "x", b"")


PANIC = 'wasm execution failed with error: HostError(GuestPanic { panic_msg: "ERR_UNKNOWN: there is no such \\"pattern\\"" })'
VIEW_ERRORS: list[tuple[Answer, str, str]] = [
    ({"error": PANIC, **WHERE}, 'the contract says: ERR_UNKNOWN: there is no such "pattern"', "ERR_UNKNOWN"),
    (refusal("CONTRACT_EXECUTION_ERROR", {"vm_error": PANIC}), "the contract says: ERR_UNKNOWN", "ERR_UNKNOWN"),
    (
        {"error": 'wasm execution failed with error: CompilationError(CodeDoesNotExist { account_id: "x" })', **WHERE},
        "no contract is deployed at registry.near",
        "NO_CONTRACT_CODE",
    ),
    (refusal("NO_CONTRACT_CODE"), "no contract is deployed at registry.near", "NO_CONTRACT_CODE"),
    (
        {"error": "wasm execution failed with error: MethodResolveError(MethodNotFound)", **WHERE},
        "has no quote: it is none of ours",
        "METHOD_NOT_FOUND",
    ),
    (refusal("UNKNOWN_ACCOUNT"), "there is no account registry.near", "UNKNOWN_ACCOUNT"),
    (
        {"error": "account registry.near does not exist while viewing", **WHERE},
        "there is no account",
        "UNKNOWN_ACCOUNT",
    ),
]


@pytest.mark.parametrize(("answer", "words", "kind"), VIEW_ERRORS)
async def test_what_a_view_refuses_in_either_form(answer: Answer, words: str, kind: str) -> None:
    async with a_near(call_function=answer) as (near, _):
        with pytest.raises(ContractRefused) as caught:
            await near.view("registry.near", "quote", b"")
        assert words in str(caught.value)
        assert caught.value.kind == kind
        assert "\n" not in str(caught.value)


async def test_a_key_and_none() -> None:
    full = {"nonce": 7, "permission": "FullAccess", **WHERE}
    call = {"FunctionCall": {"receiver_id": "registry.near", "method_names": ["rate_pattern"], "allowance": "250"}}
    gone = {"error": f"access key {KEY.name} does not exist while viewing", **WHERE}
    async with a_near(view_access_key=[full, {**full, "permission": call}, gone, refusal("UNKNOWN_ACCESS_KEY")]) as (
        near,
        _,
    ):
        key = await near.access_key("alice.near", KEY.name)
        assert key is not None
        assert (key.nonce, key.receiver) == (7, None)
        key = await near.access_key("alice.near", KEY.name)
        assert key is not None
        assert (key.receiver, key.methods, key.allowance) == ("registry.near", ("rate_pattern",), 250)
        assert await near.access_key("alice.near", KEY.name) is None
        assert await near.access_key("alice.near", KEY.name) is None


async def test_an_account_and_none() -> None:
    seen = {"amount": "5", "locked": "1", "storage_usage": 182, "code_hash": base58(bytes(32)), **WHERE}
    gone = {"error": "account bob.near does not exist while viewing", **WHERE}
    async with a_near(view_account=[seen, refusal("UNKNOWN_ACCOUNT"), gone, {**seen, "amount": "-1"}]) as (near, _):
        account = await near.account("alice.near")
        assert account is not None
        assert (account.balance, account.locked, account.storage) == (5, 1, 182)
        assert await near.account("bob.near") is None
        assert await near.account("bob.near") is None
        with pytest.raises(NearRpcWrong, match="amount should be an amount in yoctoNEAR"):
            await near.account("alice.near")


async def test_a_block_and_one_that_was_not_asked_for() -> None:
    async with a_near(block={"header": HEADER}) as (near, _):
        block = await near.block()
        assert (block.height, block.hash, block.digest, block.gas_price) == (100, HASH, bytes(range(32)), 10**8)
        with pytest.raises(NearRpcWrong, match="another block"):
            await near.block(base58(bytes(32)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hash": "0OIl"},
        {"hash": base58(b"short")},
        {"height": -1},
        {"height": 1 << 60},
        {"height": "5"},
        {"gas_price": 5},
    ],
)
async def test_a_block_that_is_none(wrong: dict[str, Any]) -> None:
    async with a_near(block={"header": {**HEADER, **wrong}}) as (near, _):
        with pytest.raises(NearRpcWrong, match="makes no sense"):
            await near.block()


async def test_an_answer_for_another_block_than_was_asked_about() -> None:
    other = {"amount": "5", "locked": "1", "storage_usage": 1, "code_hash": HASH, "block_hash": base58(bytes(32))}
    async with a_near(view_account=other) as (near, _):
        with pytest.raises(NearRpcWrong, match="another block"):
            await near.account("alice.near", HASH)


# --- what became of it ---------------------------------------------------------------------------------------------------------


def final(status: Any, signed_hash: str, *, signer: str = "alice.near", execution: str = "FINAL") -> dict[str, Any]:
    def burnt(tokens: int, gas: int) -> dict[str, Any]:
        return {"id": HASH, "outcome": {"tokens_burnt": str(tokens), "gas_burnt": gas, "logs": [], "status": {}}}

    return {
        "final_execution_status": execution,
        "status": status,
        "transaction": {"hash": signed_hash, "signer_id": signer},
        "transaction_outcome": burnt(10**20, 10),
        "receipts_outcome": [burnt(10**20, 20), burnt(0, 0)],
    }


SIGNED = sign(KEY, "alice.near", "registry.near", 1, bytes(32), [Call("use_pattern", b"{}", 1, 0)])
PANICKED = "Smart contract panicked: ERR_PAUSED: the contract is paused"


def of_action(kind: Any) -> dict[str, Any]:
    return {"ActionError": {"index": 0, "kind": kind}}


def of_call(error: str) -> dict[str, Any]:
    return of_action({"FunctionCallError": {"ExecutionError": error}})


FAILURES: list[tuple[Any, str]] = [
    (
        of_call(PANICKED),
        "the contract says: ERR_PAUSED: the contract is paused; what was attached came back, and 0.0002 NEAR",
    ),
    (of_call("Exceeded the prepaid gas."), "Exceeded the prepaid gas"),
    (of_action({"AccountDoesNotExist": {"account_id": "x"}}), "AccountDoesNotExist"),
    (of_action({"LackBalanceForState": {"amount": "5", "account_id": "x"}}), "LackBalanceForState"),
    ({"InvalidTxError": "Expired"}, "Expired"),
    ("something else", "something else"),
    ({"a": 1, "b": 2}, "the network says"),
]


@pytest.mark.parametrize(("failure", "words"), FAILURES)
async def test_a_failed_transaction_is_told_with_the_gas_that_it_cost(failure: Any, words: str) -> None:
    async with a_near(send_tx=final({"Failure": failure}, SIGNED.hash)) as (near, _):
        outcome = await near.send(SIGNED, "alice.near")
        assert outcome is not None
        assert not outcome.success
        assert words in outcome.said
        assert "0.0002 NEAR of gas was burnt" in outcome.said
        assert (outcome.gas, outcome.burnt) == (30, 2 * 10**20)


async def test_a_transaction_that_was_carried_out() -> None:
    value = base64.b64encode('{"nth":1,"é":1}'.encode()).decode()
    async with a_near(
        send_tx=final({"SuccessValue": value}, SIGNED.hash), tx=final({"SuccessValue": ""}, SIGNED.hash)
    ) as (near, server):
        outcome = await near.send(SIGNED, "alice.near")
        assert outcome is not None
        assert json.loads(outcome.value) == {"nth": 1, "é": 1}
        assert base64.b64decode(server.requests[-1]["params"]["signed_tx_base64"]) == SIGNED.data
        outcome = await near.outcome(SIGNED.hash, "alice.near")
        assert outcome is not None
        assert outcome.success
        assert server.requests[-1]["params"]["sender_account_id"] == "alice.near", "the sender, not the receiver"


@pytest.mark.parametrize(
    "told",
    [
        final({"SuccessValue": ""}, SIGNED.hash, execution="INCLUDED"),
        final({"SuccessValue": ""}, SIGNED.hash, execution="EXECUTED_OPTIMISTIC"),
        final("Started", SIGNED.hash, execution="NONE"),
        {"final_execution_status": "NONE"},
    ],
)
async def test_what_is_not_final_decides_nothing(told: Any) -> None:
    async with a_near(send_tx=told) as (near, _):
        assert await near.send(SIGNED, "alice.near") is None


@pytest.mark.parametrize(
    "told",
    [
        final({"SuccessValue": ""}, base58(bytes(32))),
        final({"SuccessValue": ""}, SIGNED.hash, signer="eve.near"),
        final({"SuccessValue": "%%"}, SIGNED.hash),
        {**final({"SuccessValue": ""}, SIGNED.hash), "receipts_outcome": None},
        final(7, SIGNED.hash),
        [[]],
    ],
)
async def test_a_server_that_tells_of_something_else_is_not_believed(told: Any) -> None:
    async with a_near(send_tx=told) as (near, _):
        with pytest.raises(NearRpcWrong):
            await near.send(SIGNED, "alice.near")


async def test_what_the_network_refuses_to_take_is_named() -> None:
    wrong = {
        "TxExecutionError": {
            "InvalidTxError": {"NotEnoughBalance": {"signer_id": "alice.near", "balance": "1", "cost": "2"}}
        }
    }
    unknown = refusal("UNKNOWN_TRANSACTION", {"requested_transaction_hash": SIGNED.hash})
    async with a_near(send_tx=refusal("INVALID_TRANSACTION", data=wrong), tx=unknown) as (near, server):
        with pytest.raises(NearRefused, match="NotEnoughBalance") as caught:
            await near.send(SIGNED, "alice.near")
        assert caught.value.kind == "NotEnoughBalance"
        assert server.asked.count("send_tx") == 1
        with pytest.raises(NearRefused) as caught:
            await near.outcome(SIGNED.hash, "alice.near")
        assert caught.value.kind == "UNKNOWN_TRANSACTION"


async def test_a_timeout_is_no_reason_to_send_again() -> None:
    async with a_near(send_tx=refusal("TIMEOUT_ERROR")) as (near, server):
        with pytest.raises(MycelError):
            await near.send(SIGNED, "alice.near")
        assert server.asked.count("send_tx") == 1


async def test_the_protocol() -> None:
    async with a_near(EXPERIMENTAL_protocol_config={"protocol_version": 86, "transaction_validity_period": 86400}) as (
        near,
        _,
    ):
        assert await near.protocol() == (86, 86400)


# --- of a contract's account ---------------------------------------------------------------------------------------------------


def listed(*keys: Any) -> dict[str, Any]:
    return {"keys": list(keys), **WHERE}


async def test_keys_that_may_do_everything_are_found_of_whatever_kind() -> None:
    call = {"FunctionCall": {"allowance": None, "receiver_id": "a.near", "method_names": []}}
    keys = [
        {"public_key": KEY.name, "access_key": {"nonce": 1, "permission": "FullAccess"}},
        {"public_key": "ed25519:call", "access_key": {"nonce": 1, "permission": call}},
        {"public_key": "secp256k1:other", "access_key": {"nonce": 1, "permission": "FullAccess"}},
    ]
    async with a_near(view_access_key_list=listed(*keys)) as (near, _):
        assert await near.full_access_keys("a.near") == (KEY.name, "secp256k1:other")


@pytest.mark.parametrize(
    "told",
    [
        {"keys": None, **WHERE},
        listed({}),
        listed("x"),
        listed({"public_key": 1, "access_key": {"permission": "FullAccess"}}),
        listed({"public_key": "x" * 129, "access_key": {"permission": "FullAccess"}}),
        listed(*[{"public_key": "x", "access_key": {"permission": "FullAccess"}}] * 1001),
    ],
)
async def test_a_list_of_keys_that_is_none(told: Any) -> None:
    async with a_near(view_access_key_list=told) as (near, _):
        with pytest.raises(NearRpcWrong, match="view_access_key_list"):
            await near.full_access_keys("a.near")


async def test_the_code_of_a_contract() -> None:
    async with a_near(view_code=[{"code_base64": "AGFzbQ==", **WHERE}, {"code_base64": "?", **WHERE}]) as (near, _):
        assert await near.code("a.near") == b"\0asm"
        with pytest.raises(NearRpcWrong, match="should be base64"):
            await near.code("a.near")
