"""RPC methods about the chain itself: its blocks, what they changed, its prices and rules, and the node."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from mycel_simnet.near import params as read
from mycel_simnet.near import tables
from mycel_simnet.near.blocks import Header, epoch_id
from mycel_simnet.near.borsh import decode_kind
from mycel_simnet.near.chain import Chain
from mycel_simnet.near.keys import Ed25519, PublicKey, sha256, to_base58, to_text
from mycel_simnet.near.rpc_errors import handler_error
from mycel_simnet.near.state import ACCOUNT, CODE, DATA, KEY, Change, key_name
from mycel_simnet.near.types import Json
from mycel_simnet.near.views import (
    VALIDATOR,
    access_key_view,
    account_view,
    base64_of,
    chunk_view,
    header_view,
    receipt_view,
    transaction_view,
)

VERSION = "2.13.1"  # of nearcore, whose rules these are
NODE_KEY = to_text(Ed25519(sha256(b"devchain")))
STAKE = str(10**28)


def _time(header: Header) -> str:
    moment = datetime.fromtimestamp(header.timestamp // 10**9, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{header.timestamp % 10**9:09}Z"


def block(chain: Chain, params: Json) -> Json:
    """A block."""
    header = read.block_of_id(chain, params[0]) if isinstance(params, list) and params else None
    header = header or read.block(chain, read.as_object(params))
    return {"author": VALIDATOR, "header": header_view(header), "chunks": [chunk_view(header)]}


def chunk(chain: Chain, params: Json) -> Json:
    """A chunk, with its transactions and the receipts that it carried out first."""
    asked = {"chunk_id": params[0] if params else None} if isinstance(params, list) else read.as_object(params)
    if asked.get("chunk_id") is not None:
        header = _block_of_chunk(chain, read.hash_of(asked["chunk_id"]))
    else:
        header = read.block_of_id(chain, asked.get("block_id"))
        if asked.get("shard_id") != 0:
            info = {"shard_id": asked.get("shard_id")}
            raise handler_error("INVALID_SHARD_ID", info, f"Shard id {asked.get('shard_id')} does not exist")
    known = [chain.known(name) for name in header.transactions]
    before = chain.at(header.prev_height) if header.prev_height else None
    return {
        "author": VALIDATOR,
        "header": chunk_view(header),
        "transactions": [transaction_view(one.signed) for one in known if one is not None],
        "receipts": [] if before is None else [receipt_view(one) for one in (*before.delayed, *before.outgoing)],
    }


def _block_of_chunk(chain: Chain, name: bytes) -> Header:
    for header in chain.store.headers_backwards():
        if header.chunk_hash == name:
            return header
    shown = to_base58(name)
    raise handler_error("UNKNOWN_CHUNK", {"chunk_hash": shown}, f"Chunk Missing (unavailable on the node): {shown}")


def gas_price(chain: Chain, params: Json) -> Json:
    """The price of gas in a block."""
    block_id = read.as_object(params).get("block_id") if not isinstance(params, list) else (params or [None])[0]
    header = chain.head if block_id is None else read.block_of_id(chain, block_id)
    return {"gas_price": str(header.gas_price)}


def status(chain: Chain, _: Json) -> Json:
    """The node."""
    head, genesis = chain.head, chain.genesis_header
    epoch = head.epoch_height
    return {
        "version": {"version": VERSION, "build": "devchain", "commit": "", "rustc_version": ""},
        "chain_id": chain.chain_id,
        "protocol_version": head.protocol_version,
        "latest_protocol_version": head.protocol_version,
        "rpc_addr": None,
        "validators": [{"account_id": VALIDATOR}],
        "sync_info": {
            "latest_block_hash": to_base58(head.hash),
            "latest_block_height": head.height,
            "latest_state_root": to_base58(head.state_root),
            "latest_block_time": _time(head),
            "syncing": False,
            "earliest_block_hash": to_base58(genesis.hash),
            "earliest_block_height": genesis.height,
            "earliest_block_time": _time(genesis),
            "epoch_id": to_base58(epoch_id(chain.chain_id, epoch)),
            "epoch_start_height": genesis.height + (epoch - 1) * tables.EPOCH_LENGTH,
        },
        "validator_account_id": VALIDATOR,
        "validator_public_key": NODE_KEY,
        "node_public_key": NODE_KEY,
        "node_key": NODE_KEY,
        "uptime_sec": max((head.timestamp - genesis.timestamp) // 10**9, 0),
        "genesis_hash": to_base58(genesis.hash),
    }


def health(_: Chain, __: Json) -> Json:
    """The node is well."""
    return None


def network_info(_: Chain, __: Json) -> Json:
    """It has no peers."""
    return {
        "active_peers": [],
        "num_active_peers": 0,
        "peer_max_count": 0,
        "sent_bytes_per_sec": 0,
        "received_bytes_per_sec": 0,
        "known_producers": [],
    }


def validators(chain: Chain, _: Json) -> Json:
    """The one there is."""
    one = {"account_id": VALIDATOR, "public_key": NODE_KEY, "stake": STAKE, "shards": [0]}
    epoch = chain.head.epoch_height
    made = {"num_produced_blocks": chain.head.ordinal, "num_expected_blocks": chain.head.ordinal}
    return {
        "current_validators": [{**one, "is_slashed": False, **made}],
        "next_validators": [one],
        "current_fishermen": [],
        "next_fishermen": [],
        "current_proposals": [],
        "prev_epoch_kickout": [],
        "epoch_start_height": chain.genesis_header.height + (epoch - 1) * tables.EPOCH_LENGTH,
        "epoch_height": epoch,
    }


def _rules(chain: Chain) -> dict[str, Any]:
    genesis = chain.genesis_header
    return {
        "protocol_version": genesis.protocol_version,
        "genesis_time": _time(genesis),
        "chain_id": chain.chain_id,
        "genesis_height": genesis.height,
        "num_block_producer_seats": 1,
        "dynamic_resharding": False,
        "protocol_upgrade_stake_threshold": [4, 5],
        "epoch_length": tables.EPOCH_LENGTH,
        "gas_limit": tables.GAS_LIMIT,
        "min_gas_price": str(tables.GAS_PRICE),
        "max_gas_price": str(tables.GAS_PRICE * 20),
        "block_producer_kickout_threshold": 90,
        "chunk_producer_kickout_threshold": 90,
        "chunk_validator_only_kickout_threshold": 80,
        "target_validator_mandates_per_shard": 68,
        "online_min_threshold": [9, 10],
        "online_max_threshold": [99, 100],
        "gas_price_adjustment_rate": [1, 100],
        "transaction_validity_period": tables.VALIDITY_PERIOD,
        "protocol_reward_rate": [0, 1],
        "max_inflation_rate": [0, 1],
        "num_blocks_per_year": 31_536_000,
        "protocol_treasury_account": VALIDATOR,
        "fishermen_threshold": STAKE,
        "minimum_stake_divisor": 10,
        "minimum_stake_ratio": [1, 6250],
        "minimum_validators_per_shard": 1,
        "max_kickout_stake_perc": 100,
        "shuffle_shard_assignment_for_chunk_producers": False,
        "shard_layout": {"V0": {"num_shards": 1, "version": 0}},
    }


def protocol_config(chain: Chain, params: Json) -> Json:
    """The rules and prices of the protocol."""
    read.block(chain, read.as_object(params))
    return {**_rules(chain), "runtime_config": tables.config(chain.head.protocol_version)}


def genesis_config(chain: Chain, _: Json) -> Json:
    """How the chain began."""
    validator = {"account_id": VALIDATOR, "public_key": NODE_KEY, "amount": STAKE}
    return {
        **_rules(chain),
        "validators": [validator],
        "total_supply": str(chain.genesis_header.total_supply),
        "num_block_producer_seats_per_shard": [1],
        "avg_hidden_validator_seats_per_shard": [0],
    }


# --- changes ----------------------------------------------------------------------------------------------------------------


def changes(chain: Chain, params: Json) -> Json:
    """What a block changed, of one kind and of some accounts."""
    asked = read.as_object(params)
    header = read.block(chain, asked)
    kind = read.choice(asked, "changes_type", _CHANGES)
    record = _CHANGES[kind]
    prefix = read.base64_bytes(asked.get("key_prefix_base64", ""))
    wanted: set[tuple[str, bytes | None]]
    if kind == "single_access_key_changes":
        keys = [read.as_object(one) for one in read.as_list(asked.get("keys"))]
        wanted = {(read.account(one), key_name(read.public_key(one))) for one in keys}
    else:
        wanted = {(str(one), None) for one in read.as_list(asked.get("account_ids"))}
    shown = []
    for cause, written in chain.store.written(header.height):
        for change in written:
            key = change.key
            meant = key.kind == record and not wanted.isdisjoint({(key.account, None), (key.account, key.name)})
            if meant and (record != DATA or key.name.startswith(prefix)):
                shown.append({"cause": cause, **_change(change)})
    return {"block_hash": to_base58(header.hash), "changes": shown}


_CHANGES = {
    "account_changes": ACCOUNT,
    "single_access_key_changes": KEY,
    "all_access_key_changes": KEY,
    "contract_code_changes": CODE,
    "data_changes": DATA,
}
_TOUCHED = {
    ACCOUNT: "account_touched",
    KEY: "access_key_touched",
    CODE: "contract_code_touched",
    DATA: "data_touched",
}


def _change(change: Change) -> Json:
    key, new = change.key, change.new
    inside: dict[str, Json] = {"account_id": key.account}
    if key.kind == ACCOUNT:
        name = "account"
        inside |= account_view(new) if new is not None else {}
    elif key.kind == KEY:
        name = "access_key"
        inside["public_key"] = to_text(decode_kind(PublicKey, key.name))
        inside |= {"access_key": access_key_view(new)} if new is not None else {}
    elif key.kind == CODE:
        name = "contract_code"
        inside |= {"code_base64": base64_of(new)} if new is not None else {}
    else:
        name = "data"
        inside["key_base64"] = base64_of(key.name)
        inside |= {"value_base64": base64_of(new)} if new is not None else {}
    return {"type": f"{name}_{'deletion' if new is None else 'update'}", "change": inside}


def changes_in_block(chain: Chain, params: Json) -> Json:
    """Which accounts a block changed, and what of them."""
    header = read.block(chain, read.as_object(params))
    touched = dict.fromkeys(_touched(chain, header))
    shown = [{"type": _TOUCHED[kind], "account_id": account} for kind, account in touched]
    return {"block_hash": to_base58(header.hash), "changes": shown}


def _touched(chain: Chain, header: Header) -> Iterator[tuple[str, str]]:
    for _, written in chain.store.written(header.height):
        for change in written:
            if change.key.kind in _TOUCHED:
                yield change.key.kind, change.key.account
