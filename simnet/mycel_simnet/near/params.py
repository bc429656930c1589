"""Reading the parameters of requests; whatever is not as it must be is a `PARSE_ERROR`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container
from typing import Any

from mycel_simnet.near.accounts import is_valid
from mycel_simnet.near.blocks import Header
from mycel_simnet.near.chain import Chain
from mycel_simnet.near.keys import BadKey, Ed25519, Secp256k1, from_base58, parse_key
from mycel_simnet.near.rpc_errors import UNPROCESSABLE, RpcError, handler_error, parse_error
from mycel_simnet.near.types import Json

MAX_SHOWN = 100  # characters of a wrong value that an error repeats
MAX_LIST = 1000  # items


def as_object(params: Json) -> dict[str, Any]:
    """The parameters, by name."""
    if not isinstance(params, dict):
        raise parse_error("Failed parsing args: an object was expected")
    return params


def as_list(value: Json) -> list[Any]:
    """A list."""
    if not isinstance(value, list) or len(value) > MAX_LIST:
        raise parse_error("Failed parsing args: a list was expected")
    return value


def text(params: dict[str, Any], name: str) -> str:
    """Text that must be there."""
    value = params.get(name)
    if not isinstance(value, str):
        raise parse_error(f"Failed parsing args: missing field `{name}`")
    return value


def choice(params: dict[str, Any], name: str, options: Container[str], default: str | None = None) -> str:
    """One of a few words."""
    value = params.get(name, default)
    if not isinstance(value, str) or value not in options:
        raise parse_error(f"Failed parsing args: unknown {name}")
    return value


def account(params: dict[str, Any], name: str = "account_id") -> str:
    """An account id."""
    value = text(params, name)
    if not is_valid(value):
        raise parse_error(f"Failed parsing args: invalid account ID {value[:MAX_SHOWN]!r}")
    return value


def public_key(params: dict[str, Any]) -> Ed25519 | Secp256k1:
    """A public key."""
    try:
        return parse_key(text(params, "public_key"))
    except BadKey as error:
        raise parse_error(f"Failed parsing args: {error}") from None


def hash_of(value: Json) -> bytes:
    """A hash."""
    try:
        return from_base58(value, 32) if isinstance(value, str) else b""
    except BadKey as error:
        raise parse_error(f"Failed parsing args: {error}") from None


def base64_bytes(value: Json) -> bytes:
    """Bytes as base64."""
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise parse_error("Failed parsing args: invalid base64") from None


def unknown_block(reference: Json) -> RpcError:
    """There is no such block."""
    if isinstance(reference, int):
        data = f"DB Not Found Error: BLOCK HEIGHT: {reference} \n Cause: Unknown"
    else:
        data = f"DB Not Found Error: BLOCK HEADER: {reference}"
    return handler_error("UNKNOWN_BLOCK", {}, data, UNPROCESSABLE)


def block_of_id(chain: Chain, block_id: Json) -> Header:
    """The block of a height or a hash."""
    try:
        if isinstance(block_id, int) and not isinstance(block_id, bool):
            if not 0 <= block_id < 1 << 63:
                raise KeyError(block_id)
            return chain.at(block_id)
        return chain.by_hash(hash_of(block_id))
    except KeyError:
        raise unknown_block(block_id) from None


def block(chain: Chain, params: dict[str, Any]) -> Header:
    """The block that ``finality``, ``block_id`` or ``sync_checkpoint`` names."""
    if params.get("block_id") is not None:
        return block_of_id(chain, params["block_id"])
    if params.get("sync_checkpoint") is not None:
        choice(params, "sync_checkpoint", ("genesis", "earliest_available"))
        return chain.genesis_header
    finality = choice(params, "finality", ("final", "near-final", "optimistic"))
    if finality == "final":
        return chain.final
    return chain.head if finality == "optimistic" else chain.by_hash(chain.head.prev_hash)
