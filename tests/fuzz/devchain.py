"""What clients send to the local chain: requests that only look, and signed transactions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from mycel_simnet.near import rpc
from mycel_simnet.near.borsh import BorshError, encode
from mycel_simnet.near.keys import to_base58
from mycel_simnet.near.rpc_errors import RpcError
from mycel_simnet.near.tables import LIMITS
from mycel_simnet.near.types import DeployContract, FunctionCall, SignedTransaction, Transfer, parse_transaction
from tests.fuzz.guard import Target, same
from tests.simnet.near.contracts import EVERYTHING
from tests.simnet.near.world import World, key_of


@cache
def _world() -> World:
    world = World()
    world.create("shop", code=EVERYTHING)
    return world


def _transaction(data: bytes) -> None:
    same("devchain transaction", encode(SignedTransaction, parse_transaction(data)), data)


def _transactions() -> Sequence[bytes]:
    world = _world()
    actions = (Transfer(5), FunctionCall("echo", b"{}", 10**12, 7), DeployContract(b"\0asm"))
    signed = [world.signed("alice", "bob", action) for action in actions]
    return [encode(SignedTransaction, one) for one in (*signed, world.signed("alice", "bob", *actions))]


def _request(data: bytes) -> None:
    request = rpc._request(data)
    if look := rpc._LOOKING.get(request["method"]):  # the others take transactions, or make blocks
        json.dumps(look(_world().chain, request.get("params", [])))


def _requests() -> Sequence[bytes]:
    head, key = to_base58(_world().chain.head.hash), key_of("alice").public_text
    final = {"finality": "final"}
    shop = {"account_id": "shop.alice", **final}
    queries = [
        {"request_type": "view_account", "account_id": "alice", "block_id": head},
        {"request_type": "view_access_key", "account_id": "alice", "public_key": key, **final},
        {"request_type": "view_access_key_list", "account_id": "alice", **final},
        {"request_type": "view_state", "prefix_base64": "", **shop},
        {"request_type": "view_code", **shop},
        {"request_type": "call_function", "method_name": "echo", "args_base64": "e30=", **shop},
    ]
    asked = [
        *(("query", query) for query in queries),
        ("block", {"block_id": head}),
        ("chunk", {"block_id": head, "shard_id": 0}),
        ("changes", {"changes_type": "account_changes", "account_ids": ["alice"], "block_id": head}),
        ("gas_price", [None]),
        ("EXPERIMENTAL_protocol_config", final),
        ("status", []),
        ("validators", [head]),
    ]
    return [
        json.dumps({"jsonrpc": "2.0", "id": "1", "method": method, "params": params}).encode()
        for method, params in asked
    ]


DEVCHAIN = (
    Target("devchain transaction", _transaction, (BorshError,), _transactions, largest=LIMITS["max_transaction_size"]),
    Target("devchain request", _request, (RpcError,), _requests, slow=True),
)
