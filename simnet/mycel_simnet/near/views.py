"""What RPCs show of the chain, in the network's JSON (nearcore's `views.rs`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from mycel_simnet.near import tables
from mycel_simnet.near.blocks import NO_HASH, Header, epoch_id
from mycel_simnet.near.keys import sha256, to_base58, to_text
from mycel_simnet.near.runtime import Outcome
from mycel_simnet.near.types import (
    AccessKey,
    Account,
    Action,
    ActionReceipt,
    AddKey,
    CreateAccount,
    DeleteAccount,
    DeleteKey,
    DeployContract,
    FullAccess,
    FunctionCall,
    Json,
    Receipt,
    SignedTransaction,
    Stake,
    Transfer,
)

VALIDATOR = "test.near"  # who makes the blocks
NO_SIGNATURE = "ed25519:" + to_base58(bytes(64))
EMPTY_ROOT = to_base58(NO_HASH)


def base64_of(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode()


def account_view(account: Account) -> Json:
    """An account."""
    return {
        "amount": str(account.amount),
        "locked": str(account.locked),
        "code_hash": to_base58(account.code_hash),
        "storage_usage": account.storage_usage,
        "storage_paid_at": 0,
    }


def access_key_view(key: AccessKey) -> Json:
    """What a key may do."""
    permission = key.permission
    if isinstance(permission, FullAccess):
        return {"nonce": key.nonce, "permission": "FullAccess"}
    call = {
        "allowance": None if permission.allowance is None else str(permission.allowance),
        "receiver_id": permission.receiver_id,
        "method_names": list(permission.method_names),
    }
    return {"nonce": key.nonce, "permission": {"FunctionCall": call}}


def action_view(action: Action) -> Json:
    """An action."""
    if isinstance(action, CreateAccount):
        return "CreateAccount"
    if isinstance(action, DeployContract):
        return {"DeployContract": {"code": base64_of(sha256(action.code))}}
    if isinstance(action, FunctionCall):
        call = {
            "method_name": action.method_name,
            "args": base64_of(action.args),
            "gas": action.gas,
            "deposit": str(action.deposit),
        }
        return {"FunctionCall": call}
    if isinstance(action, Transfer):
        return {"Transfer": {"deposit": str(action.deposit)}}
    if isinstance(action, Stake):
        return {"Stake": {"stake": str(action.stake), "public_key": to_text(action.public_key)}}
    if isinstance(action, AddKey):
        added = {"public_key": to_text(action.public_key), "access_key": access_key_view(action.access_key)}
        return {"AddKey": added}
    if isinstance(action, DeleteKey):
        return {"DeleteKey": {"public_key": to_text(action.public_key)}}
    assert isinstance(action, DeleteAccount)
    return {"DeleteAccount": {"beneficiary_id": action.beneficiary_id}}


def transaction_view(signed: SignedTransaction) -> Json:
    """A signed transaction."""
    transaction = signed.transaction
    return {
        "signer_id": transaction.signer_id,
        "public_key": to_text(transaction.public_key),
        "nonce": transaction.nonce,
        "receiver_id": transaction.receiver_id,
        "actions": [action_view(action) for action in transaction.actions],
        "priority_fee": 0,
        "signature": to_text(signed.signature),
        "hash": to_base58(transaction.hash),
    }


def receipt_view(receipt: Receipt) -> Json:
    """A receipt."""
    body = receipt.body
    shown: Json
    if isinstance(body, ActionReceipt):
        action = {
            "signer_id": body.signer_id,
            "signer_public_key": to_text(body.signer_public_key),
            "gas_price": str(body.gas_price),
            "output_data_receivers": [
                {"data_id": to_base58(one.data_id), "receiver_id": one.receiver_id}
                for one in body.output_data_receivers
            ],
            "input_data_ids": [to_base58(data_id) for data_id in body.input_data_ids],
            "actions": [action_view(one) for one in body.actions],
            "is_promise_yield": False,
        }
        if body.refund_to is not None:
            action["refund_to"] = body.refund_to
        shown = {"Action": action}
    else:
        data = None if body.data is None else base64_of(body.data)
        shown = {"Data": {"data_id": to_base58(body.data_id), "data": data, "is_promise_resume": False}}
    return {
        "predecessor_id": receipt.predecessor_id,
        "receiver_id": receipt.receiver_id,
        "receipt_id": to_base58(receipt.receipt_id),
        "receipt": shown,
        "priority": 0,
    }


def _status(outcome: Outcome) -> Json:
    if outcome.failure is not None:
        return {"Failure": outcome.failure}
    if outcome.next_id is not None:
        return {"SuccessReceiptId": to_base58(outcome.next_id)}
    return {"SuccessValue": base64_of(outcome.value or b"")}


def _profile(profile: Mapping[str, int]) -> Json:
    rows = []
    for name, gas in profile.items():
        is_action = name.startswith("action:")
        category = "ACTION_COST" if is_action else "WASM_HOST_COST"
        if gas:
            cost = name.removeprefix("action:").upper()
            rows.append({"cost_category": category, "cost": cost, "gas_used": str(gas)})
    return sorted(rows, key=lambda row: (row["cost_category"], row["cost"]))


def outcome_view(outcome: Outcome) -> Json:
    """The outcome of a transaction (whose metadata is of version 1) or of a receipt."""
    is_receipt = outcome.profile is not None
    return {
        "logs": list(outcome.logs),
        "receipt_ids": [to_base58(one) for one in outcome.receipt_ids],
        "gas_burnt": outcome.gas_burnt,
        "tokens_burnt": str(outcome.tokens_burnt),
        "executor_id": outcome.executor_id,
        "status": _status(outcome),
        "metadata": {
            "version": 3 if is_receipt else 1,
            "gas_profile": _profile(outcome.profile) if outcome.profile is not None else None,
        },
    }


def header_view(header: Header) -> Json:
    """A block's header. What would prove something to somebody who trusts nobody, such as roots and signatures, is made up."""
    epoch = header.epoch_height
    return {
        "height": header.height,
        "prev_height": header.prev_height,
        "epoch_id": to_base58(epoch_id(header.chain_id, epoch)),
        "next_epoch_id": to_base58(epoch_id(header.chain_id, epoch + 1)),
        "hash": to_base58(header.hash),
        "prev_hash": to_base58(header.prev_hash),
        "prev_state_root": to_base58(header.prev_state_root),
        "block_body_hash": EMPTY_ROOT,
        "chunk_receipts_root": EMPTY_ROOT,
        "chunk_headers_root": EMPTY_ROOT,
        "chunk_tx_root": EMPTY_ROOT,
        "outcome_root": to_base58(header.outcome_root),
        "chunks_included": 1,
        "challenges_root": EMPTY_ROOT,
        "timestamp": header.timestamp,
        "timestamp_nanosec": str(header.timestamp),
        "random_value": to_base58(header.random),
        "validator_proposals": [],
        "chunk_mask": [True],
        "gas_price": str(header.gas_price),
        "block_ordinal": header.ordinal,
        "rent_paid": "0",
        "validator_reward": "0",
        "total_supply": str(header.total_supply),
        "challenges_result": [],
        "last_final_block": to_base58(header.last_final),
        "last_ds_final_block": to_base58(header.prev_hash),
        "next_bp_hash": EMPTY_ROOT,
        "block_merkle_root": EMPTY_ROOT,
        "epoch_sync_data_hash": None,
        "approvals": [],
        "signature": NO_SIGNATURE,
        "latest_protocol_version": header.protocol_version,
        "chunk_endorsements": None,
        "shard_split": None,
    }


def chunk_view(header: Header) -> Json:
    """The header of a block's only chunk."""
    return {
        "chunk_hash": to_base58(header.chunk_hash),
        "prev_block_hash": to_base58(header.prev_hash),
        "outcome_root": to_base58(header.outcome_root),
        "prev_state_root": to_base58(header.prev_state_root),
        "encoded_merkle_root": EMPTY_ROOT,
        "encoded_length": 0,
        "height_created": header.height,
        "height_included": header.height,
        "shard_id": 0,
        "gas_used": header.gas_used,
        "gas_limit": tables.GAS_LIMIT,
        "rent_paid": "0",
        "validator_reward": "0",
        "balance_burnt": str(header.balance_burnt),
        "outgoing_receipts_root": EMPTY_ROOT,
        "tx_root": EMPTY_ROOT,
        "validator_proposals": [],
        "congestion_info": {
            "delayed_receipts_gas": "0",
            "buffered_receipts_gas": "0",
            "receipt_bytes": 0,
            "allowed_shard": 0,
        },
        "bandwidth_requests": None,
        "signature": NO_SIGNATURE,
    }
