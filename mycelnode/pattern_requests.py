"""The fields that requests about patterns have; whoever asks may say anything."""

from __future__ import annotations

from mycelnode.commands import Request, text
from mycelnode.errors import ControlError, PatternRefused
from mycelnode.identity import KEY_BYTES
from mycelnode.patterns.cid import DAG_CBOR, Cid

MAX_AMOUNT_DIGITS = 39  # of 2^128


def read_cid(request: Request) -> Cid:
    """Of a pattern. Raises `CidRefused`, `PatternRefused`."""
    cid = Cid.parse(text(request, "cid"))
    if cid.codec != DAG_CBOR:
        raise PatternRefused(f"{cid} names no pattern: the CID of one begins with bafyrei")
    return cid


def read_key(said: str) -> bytes:
    """Of a creator."""
    try:
        key = bytes.fromhex(said)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ControlError(f"a creator's key has {2 * KEY_BYTES} hexadecimal digits, as `pattern show` prints it")
    return key


def optional(request: Request, key: str) -> str | None:
    """Text, or nothing."""
    return None if request.get(key) is None else text(request, key)


def whole(request: Request, key: str, default: int | None, low: int, high: int) -> int | None:
    """A whole number within bounds, or the default."""
    value = request.get(key)
    if value is None:
        return default
    if type(value) is not int or not low <= value <= high:
        raise ControlError(f"the field {key!r} is a number from {low} to {high}")
    return value


def amount(request: Request, key: str) -> int | None:
    """YoctoNEAR, or nothing."""
    value = optional(request, key)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > MAX_AMOUNT_DIGITS:
        raise ControlError(f"the field {key!r} is an amount in yoctoNEAR, in decimal digits as text")
    return int(value)
