"""The RPC method ``query``: looking at accounts, keys, code, state, and calling methods that only look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mycel_simnet.near import params as read
from mycel_simnet.near import tables, vm
from mycel_simnet.near.blocks import Header
from mycel_simnet.near.borsh import decode_kind, encode
from mycel_simnet.near.chain import Chain
from mycel_simnet.near.errors import CallFailed, no_code
from mycel_simnet.near.host import Context
from mycel_simnet.near.keys import Ed25519, PublicKey, to_base58, to_text
from mycel_simnet.near.rpc_errors import RpcError, handler_error
from mycel_simnet.near.state import CODE, DATA, KEY, State, access_key_of, account_of
from mycel_simnet.near.types import Account, Json
from mycel_simnet.near.views import access_key_view, account_view, base64_of

MAX_VIEWED_STATE = 50_000  # bytes of a contract's state that is shown whole, as the network's nodes have it


def query(chain: Chain, params: Json) -> Json:
    """Answer one."""
    asked = read.as_object(params)
    kind = read.choice(asked, "request_type", _KINDS)
    try:
        header = read.block(chain, asked)
    except RpcError as error:
        raise _with_reference(error, asked) from None
    answer = _KINDS[kind](chain, asked, header, chain.state_at(header))
    return {**answer, "block_height": header.height, "block_hash": to_base58(header.hash)}


def _with_reference(error: RpcError, asked: dict[str, Any]) -> RpcError:
    """`query` tells which block is unknown."""
    cause = error.json["cause"]
    if cause["name"] == "UNKNOWN_BLOCK":
        cause["info"] = {"block_reference": {"block_id": asked["block_id"]}}
    return error


def _where(header: Header) -> Json:
    return {"block_height": header.height, "block_hash": to_base58(header.hash)}


def _account(asked: dict[str, Any], header: Header, state: State) -> tuple[str, Account]:
    account_id = read.account(asked)
    account = account_of(state, account_id)
    if account is None:
        info = {"requested_account_id": account_id, **_where(header)}
        raise handler_error("UNKNOWN_ACCOUNT", info, f"account {account_id} does not exist while viewing")
    return account_id, account


def _view_account(_: Chain, asked: dict[str, Any], header: Header, state: State) -> Json:
    return account_view(_account(asked, header, state)[1])


def _view_access_key(_: Chain, asked: dict[str, Any], header: Header, state: State) -> Json:
    public_key = read.public_key(asked)
    key = access_key_of(state, read.account(asked), public_key)
    if key is None:
        return {"error": f"access key {to_text(public_key)} does not exist while viewing", "logs": []}
    return access_key_view(key)


def _view_access_key_list(_: Chain, asked: dict[str, Any], header: Header, state: State) -> Json:
    keys = [
        {"public_key": to_text(decode_kind(PublicKey, name)), "access_key": access_key_view(key)}
        for name, key in state.scan(KEY, read.account(asked))
    ]
    return {"keys": keys}


def _view_code(_: Chain, asked: dict[str, Any], header: Header, state: State) -> Json:
    account_id, account = _account(asked, header, state)
    code = state.get(CODE, account_id)
    if code is None:
        info = {"contract_account_id": account_id, **_where(header)}
        shown = f"Contract code for contract ID {account_id} has never been observed on the node at block"
        raise handler_error("NO_CONTRACT_CODE", info, f"{shown} #{header.height}")
    return {"code_base64": base64_of(code), "hash": to_base58(account.code_hash)}


def _view_state(_: Chain, asked: dict[str, Any], header: Header, state: State) -> Json:
    account_id, account = _account(asked, header, state)
    prefix = read.base64_bytes(asked.get("prefix_base64", ""))
    code = state.get(CODE, account_id) or b""
    if account.storage_usage - len(code) > MAX_VIEWED_STATE:
        info = {"contract_account_id": account_id, **_where(header)}
        raise handler_error(
            "TOO_LARGE_CONTRACT_STATE", info, f"State of contract {account_id} is too large to be viewed"
        )
    values = [
        {"key": base64_of(name), "value": base64_of(value)}
        for name, value in state.scan(DATA, account_id)
        if name.startswith(prefix)
    ]
    return {"values": values}


def _call_function(chain: Chain, asked: dict[str, Any], header: Header, state: State) -> Json:
    account_id, account = _account(asked, header, state)
    method, args = read.text(asked, "method_name"), read.base64_bytes(read.text(asked, "args_base64"))
    try:
        outcome = view_call(chain, header, state, account_id, account, method, args)
        if outcome.error is not None:
            raise outcome.error
    except CallFailed as error:
        return {"error": f"wasm execution failed with error: {error.debug}", "logs": []}
    return {"result": list(outcome.returned or b""), "logs": list(outcome.logs)}  # type: ignore[arg-type]


def view_call(
    chain: Chain, header: Header, state: State, account_id: str, account: Account, method: str, args: bytes
) -> vm.Outcome:
    """Call a method that only looks; raises `CallFailed` if there is no contract."""
    code = state.get(CODE, account_id)
    if code is None:
        raise no_code(account_id)
    context = Context(
        current_account_id=account_id,
        signer_account_id=account_id,
        signer_public_key=encode(PublicKey, Ed25519(bytes(32))),
        predecessor_account_id=account_id,
        refund_to_account_id=account_id,
        input=args,
        promise_results=(),
        output_data_receivers=(),
        block_height=header.height,
        block_timestamp=header.timestamp,
        epoch_height=header.epoch_height,
        account_balance=account.amount,
        locked_balance=account.locked,
        storage_usage=account.storage_usage,
        attached_deposit=0,
        prepaid_gas=tables.LIMITS["max_gas_burnt"],
        random_seed=header.random,
        code_hash=account.code_hash,
        chain_id=chain.chain_id,
        is_view=True,
    )
    return vm.run(code, method, context, state)


_KINDS: dict[str, Callable[[Chain, dict[str, Any], Header, State], Json]] = {
    "view_account": _view_account,
    "view_access_key": _view_access_key,
    "view_access_key_list": _view_access_key_list,
    "view_code": _view_code,
    "view_state": _view_state,
    "call_function": _call_function,
}
