"""The JSON-RPC of a node: which method does what, and how a request becomes an answer."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from mycel_simnet.near import rpc_blocks, rpc_sandbox, rpc_transactions
from mycel_simnet.near.chain import Chain
from mycel_simnet.near.node import Node
from mycel_simnet.near.rpc_errors import OK, RpcError, internal_error, method_not_found, parse_error
from mycel_simnet.near.rpc_query import query
from mycel_simnet.near.types import Json

_log = logging.getLogger(__name__)

MAX_DEPTH = 128  # of what is nested in a request, as the network's nodes have it

_LOOKING: dict[str, Callable[[Chain, Json], Json]] = {
    "block": rpc_blocks.block,
    "chunk": rpc_blocks.chunk,
    "changes": rpc_blocks.changes,
    "EXPERIMENTAL_changes": rpc_blocks.changes,
    "block_effects": rpc_blocks.changes_in_block,
    "EXPERIMENTAL_changes_in_block": rpc_blocks.changes_in_block,
    "gas_price": rpc_blocks.gas_price,
    "genesis_config": rpc_blocks.genesis_config,
    "EXPERIMENTAL_genesis_config": rpc_blocks.genesis_config,
    "health": rpc_blocks.health,
    "network_info": rpc_blocks.network_info,
    "EXPERIMENTAL_protocol_config": rpc_blocks.protocol_config,
    "query": query,
    "status": rpc_blocks.status,
    "validators": rpc_blocks.validators,
}
_WAITING: dict[str, Callable[[Node, Json], Awaitable[Json]]] = {
    "broadcast_tx_async": rpc_transactions.broadcast_tx_async,
    "broadcast_tx_commit": rpc_transactions.send_tx,
    "send_tx": rpc_transactions.send_tx,
    "tx": rpc_transactions.tx,
    "EXPERIMENTAL_tx_status": rpc_transactions.tx_status,
    "EXPERIMENTAL_receipt": rpc_transactions.receipt,
    **rpc_sandbox.METHODS,
}


async def answer(node: Node, body: bytes) -> tuple[int, bytes]:
    """The HTTP status and the body that answer a request."""
    request_id: Json = None
    status, shown = OK, {}
    try:
        request = _request(body)
        request_id = request.get("id")
        shown = {"result": await _call(node, request)}
    except RpcError as error:
        status, shown = error.status, {"error": error.json}
    except Exception:
        _log.exception("a request could not be answered")
        broken = internal_error("this is a fault of the local chain; its log says more")
        status, shown = broken.status, {"error": broken.json}
    node.chain.sync()
    return status, json.dumps({"jsonrpc": "2.0", **shown, "id": request_id}).encode()


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body, parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError):
        raise parse_error("the body is no JSON") from None
    if _is_too_deep(request):
        raise parse_error("the body is nested too deeply")
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise parse_error("JSON RPC Request format was expected")
    return request


def _no_number(_: str) -> NoReturn:
    raise ValueError("no number of JSON")


def _number(text: str) -> float:
    """What is too large for a number would be told again as Infinity, which is no JSON."""
    found = float(text)
    if math.isinf(found):
        raise ValueError("number out of range")
    return found


def _is_too_deep(value: Json) -> bool:
    """Is it nested so deeply that what repeats it could not be written?"""
    level = [value]
    for _ in range(MAX_DEPTH):
        inside = [
            outer.values() if isinstance(outer, dict) else outer for outer in level if isinstance(outer, dict | list)
        ]
        level = [inner for items in inside for inner in items]
        if not level:
            return False
    return True


async def _call(node: Node, request: dict[str, Any]) -> Json:
    method, params = request["method"], request.get("params", [])
    if method in _LOOKING:
        return _LOOKING[method](node.chain, params)
    if method in _WAITING:
        return await _WAITING[method](node, params)
    raise method_not_found(method)
