"""Whatever is sent, put on an account or called, the chain answers and goes on, and tells of no fault of its own."""

from __future__ import annotations

import base64
import json
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from mycel_simnet.near import rpc
from mycel_simnet.near.node import Node
from mycel_simnet.near.tables import LIMITS
from mycel_simnet.near.types import DeployContract, FunctionCall, Transfer
from mycel_simnet.near.wasm import MAGIC, BadWasm, prepare
from tests.simnet.near.asking import base64_of
from tests.simnet.near.contracts import EVERYTHING
from tests.simnet.near.world import NEAR, TERAGAS, World, succeeded

METHODS = sorted((*rpc._LOOKING, *rpc._WAITING, "nonsense"))
KINDS = ["view_account", "view_access_key", "view_access_key_list", "view_code", "view_state", "call_function"]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=10),
    st.sampled_from(["alice", "final", "optimistic", "1" * 32, "ed25519:" + "1" * 32, "AAAA", *KINDS]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = [
    "request_type",
    "finality",
    "block_id",
    "account_id",
    "public_key",
    "method_name",
    "args_base64",
    "prefix_base64",
    "signed_tx_base64",
    "wait_until",
    "tx_hash",
    "sender_account_id",
    "receipt_id",
    "chunk_id",
    "shard_id",
    "changes_type",
    "account_ids",
    "keys",
    "key_prefix_base64",
    "sync_checkpoint",
    "delta_height",
    "delta_seconds",
    "snapshot",
]
likely = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(NAMES, values),
        "request_type": st.sampled_from(KINDS) | values,
        "finality": st.sampled_from(["final", "optimistic", "near-final"]) | values,
        "changes_type": st.sampled_from(["account_changes", "data_changes", "single_access_key_changes"]) | values,
        "delta_height": st.integers(0, 5) | values,
    },
)


def answered(world: World, body: bytes) -> Any:
    """What the RPC answers."""
    status, data = trio.run(rpc.answer, Node(world.chain), body)
    answer = json.loads(data)
    assert answer["jsonrpc"] == "2.0"
    assert ("result" in answer) != ("error" in answer)
    assert status in (200, 400, 408, 422), answer
    if "error" in answer:
        assert answer["error"]["name"] in ("REQUEST_VALIDATION_ERROR", "HANDLER_ERROR"), answer
    return answer


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(METHODS), likely | values)
def test_any_request_has_an_answer(method: str, params: Any) -> None:
    if isinstance(params, dict) and params.get("delta_height") and params["delta_height"] is not True:
        params = {**params, "delta_height": 5 if isinstance(params["delta_height"], int) else params["delta_height"]}
    answered(World(), json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_any_body_has_an_answer(body: bytes) -> None:
    assert "error" in answered(World(), body)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4), st.booleans())
def test_a_transaction_with_bytes_changed_is_refused_or_the_same(place: int, patch: bytes, cut: bool) -> None:
    world = World()
    signed = world.signed("alice", "bob", Transfer(5), FunctionCall("m", b"{}", TERAGAS, 3))
    data = bytearray(base64.b64decode(base64_of(signed)))
    place %= len(data)
    before = bytes(data)
    data[place : place + len(patch)] = patch
    if cut:
        del data[place:]
    text = base64.b64encode(data).decode()
    answer = answered(
        world,
        json.dumps({"id": 1, "method": "broadcast_tx_async", "params": [text]}).encode(),
    )
    assert "error" in answer or bytes(data[: len(before)]) == before or not world.chain.busy
    world.chain.settle()
    assert world.total() == world.chain.head.total_supply


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_can_be_made_ready_or_are_no_wasm(data: bytes, headed: bool) -> None:
    code = b"\0asm\1\0\0\0" + data if headed else data
    try:
        made = prepare(code)
    except BadWasm:
        return
    assert made.startswith(MAGIC)
    assert len(made) <= len(code) + 3 * (LIMITS["max_locals_per_contract"] + 100 * len(code)), "it can't grow for ever"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(EVERYTHING) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_contract_can_be_put_there_and_called(place: int, patch: bytes) -> None:
    code = bytearray(EVERYTHING)
    code[place : place + len(patch)] = patch
    world = World()
    account = world.create("odd", 20 * NEAR)
    succeeded(world.send(account, account, DeployContract(bytes(code))))
    for method in ("echo", "store", "read", "fail"):
        world.call("bob", account, method, b"x", deposit=1, gas=20)
    assert world.total() == world.chain.head.total_supply
    assert world.account(account).storage_usage == world.usage_from_scratch(account)
