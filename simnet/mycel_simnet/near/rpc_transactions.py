"""RPC methods that take transactions, and tell what came of them."""

from __future__ import annotations

import trio

from mycel_simnet.near import finality
from mycel_simnet.near import params as read
from mycel_simnet.near.accounts import is_valid
from mycel_simnet.near.borsh import BorshError
from mycel_simnet.near.chain import QueueFull
from mycel_simnet.near.errors import InvalidTransaction
from mycel_simnet.near.keys import to_base58
from mycel_simnet.near.node import Node
from mycel_simnet.near.rpc_errors import TIMEOUT, handler_error, internal_error, parse_error
from mycel_simnet.near.types import Json, SignedTransaction, parse_transaction
from mycel_simnet.near.views import receipt_view

NOT_YET = {"final_execution_status": "NONE"}  # it is in no block, or nobody wants to know


def _signed(text: Json) -> SignedTransaction:
    try:
        signed = parse_transaction(read.base64_bytes(text))
    except BorshError as error:
        raise parse_error(f"Failed parsing args: Failed to decode transaction: {error}") from None
    for account_id in (signed.transaction.signer_id, signed.transaction.receiver_id):
        if not is_valid(account_id):
            raise parse_error("Failed parsing args: Failed to decode transaction: the Account ID is invalid")
    return signed


def _submit(node: Node, signed: SignedTransaction) -> bytes:
    try:
        node.chain.submit(signed)
    except InvalidTransaction as error:
        data = {"TxExecutionError": {"InvalidTxError": error.json}}
        raise handler_error("INVALID_TRANSACTION", {}, data) from None
    except QueueFull:
        raise internal_error("too many transactions wait for a block") from None
    node.wake()
    return signed.transaction.hash


def _level(asked: dict[str, Json]) -> str:
    return read.choice(asked, "wait_until", finality.LEVELS, finality.DEFAULT)


async def _answer(node: Node, name: bytes, level: str, with_receipts: bool = False) -> Json:
    try:
        found = await node.wait(name, level)
    except trio.TooSlowError:
        raise handler_error("TIMEOUT_ERROR", None, "Timeout", TIMEOUT) from None
    if found is None:
        return NOT_YET
    return finality.answer(node.chain, found, with_receipts)


async def send_tx(node: Node, params: Json) -> Json:
    """Take a transaction and wait until it has come as far as ``wait_until``."""
    if isinstance(params, list):
        asked: dict[str, Json] = {"signed_tx_base64": params[0] if params else None}
    else:
        asked = read.as_object(params)
    signed, level = _signed(asked.get("signed_tx_base64")), _level(asked)
    name = _submit(node, signed)
    return NOT_YET if level == "NONE" else await _answer(node, name, level)


async def broadcast_tx_async(node: Node, params: Json) -> Json:
    """Take a transaction and answer its hash at once; what is wrong with it is not told."""
    text = params[0] if isinstance(params, list) and params else read.as_object(params).get("signed_tx_base64")
    signed = _signed(text)
    try:
        node.chain.submit(signed)
    except (InvalidTransaction, QueueFull):
        return to_base58(signed.transaction.hash)
    node.wake()
    return to_base58(signed.transaction.hash)


async def tx(node: Node, params: Json) -> Json:
    """What came of a transaction."""
    return await _status(node, params, with_receipts=False)


async def tx_status(node: Node, params: Json) -> Json:
    """What came of a transaction, with all its receipts."""
    return await _status(node, params, with_receipts=True)


async def _status(node: Node, params: Json, with_receipts: bool) -> Json:
    if isinstance(params, list):
        asked: dict[str, Json] = {"tx_hash": params[0] if params else None}
    else:
        asked = read.as_object(params)
    if asked.get("signed_tx_base64") is not None:
        name = _signed(asked["signed_tx_base64"]).transaction.hash
    else:
        name = read.hash_of(asked.get("tx_hash"))
    if node.chain.known(name) is None and not node.chain.is_waiting(name):
        shown = to_base58(name)
        info = {"requested_transaction_hash": shown}
        raise handler_error("UNKNOWN_TRANSACTION", info, f"Transaction {shown} doesn't exist")
    return await _answer(node, name, _level(asked), with_receipts)


async def receipt(node: Node, params: Json) -> Json:
    """A receipt by its id."""
    name = read.hash_of(read.text(read.as_object(params), "receipt_id"))
    found = node.chain.receipt(name)
    if found is None:
        shown = to_base58(name)
        info = {"receipt_id": shown}
        raise handler_error("UNKNOWN_RECEIPT", info, f"Receipt with id {shown} has never been observed on this node")
    return receipt_view(found)
