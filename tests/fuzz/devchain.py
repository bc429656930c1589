"""What clients send to the local chain: requests that only look, those that change it, and signed transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import NoReturn

import trio

from mycel_simnet.near import rpc
from mycel_simnet.near.borsh import BorshError, encode
from mycel_simnet.near.chain import Chain
from mycel_simnet.near.keys import to_base58
from mycel_simnet.near.node import Node
from mycel_simnet.near.rpc_errors import SERVER_ERROR, RpcError
from mycel_simnet.near.tables import LIMITS
from mycel_simnet.near.types import DeployContract, FunctionCall, SignedTransaction, Transfer, parse_transaction
from tests.fuzz.guard import Broken, Target, same
from tests.simnet.near.asking import base64_of
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


@cache
def _begun() -> tuple[World, sqlite3.Connection]:
    """A world of its own, with what it was before anything was asked."""
    world = World()
    world.create("shop", code=EVERYTHING)
    return world, world.chain.copy()


async def _answered(chain: Chain, data: bytes) -> tuple[int, bytes]:
    """What a node answers, which makes blocks as they are needed."""
    node = Node(chain)
    node.snapshots.append(_begun()[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        try:
            return await rpc.answer(node, data)
        finally:
            nursery.cancel_scope.cancel()


def _call(data: bytes) -> None:
    """Whatever it has done, the chain goes on."""
    world, copy = _begun()
    world.chain.put_back(copy)
    status, answer = trio.run(_answered, world.chain, data)
    told = json.loads(answer, parse_constant=_no_number)
    if status == SERVER_ERROR or not told.get("error", {"cause": 1}).get("cause"):
        raise Broken(f"devchain call: {answer.decode()[:500]}")
    world.chain.produce()
    if "error" in told:
        raise RpcError(told["error"], status)


def _no_number(text: str) -> NoReturn:
    raise Broken(f"devchain call: answers {text}, which is no JSON")


def _calls() -> Sequence[bytes]:
    world, _ = _begun()
    signed = [
        world.signed("alice", "shop.alice", FunctionCall("echo", b"{}", 10**12, 7)),
        world.signed("alice", "bob", Transfer(5)),
    ]
    sent = [base64_of(one) for one in signed]
    asked = [
        *(("send_tx", {"signed_tx_base64": text, "wait_until": "FINAL"}) for text in sent),
        ("broadcast_tx_commit", sent[:1]),
        ("broadcast_tx_async", sent[1:]),
        ("tx", {"signed_tx_base64": sent[0], "tx_hash": to_base58(signed[0].transaction.hash), "wait_until": "NONE"}),
        ("EXPERIMENTAL_tx_status", [to_base58(signed[1].transaction.hash), "alice"]),
        ("EXPERIMENTAL_receipt", {"receipt_id": to_base58(world.chain.head.hash)}),
        ("sandbox_fast_forward", {"delta_height": 5, "delta_seconds": 5}),
        ("devchain_step", {"blocks": 2}),
        ("devchain_snapshot", {}),
        ("devchain_restore", {"snapshot": 0}),
    ]
    return [
        json.dumps({"jsonrpc": "2.0", "id": "1", "method": method, "params": params}).encode()
        for method, params in asked
    ]


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
    Target(
        "devchain call",
        _call,
        (RpcError,),
        _calls,
        refused=("UNKNOWN_TRANSACTION", "UNKNOWN_RECEIPT"),
        slow=True,
    ),
)
