"""Strict DAG-CBOR (https://ipld.io/specs/codecs/dag-cbor/spec/): one encoding for each value, links as tag 42.

Text keys only, sorted by length and then by their bytes; shortest integers, floats of 64 bits that are finite, no other tags,
nothing of indefinite length. What does not encode again to the same bytes is refused, so a block's CID is the name of a value.
"""

from __future__ import annotations

import math
from typing import Any, Final

import cbor2

from mycelnode.encoding import look_over, read
from mycelnode.errors import CidRefused, EncodingError
from mycelnode.patterns.cid import Cid

Value = Any  # None | bool | int | float | str | bytes | Cid | list | dict[str, …], recursively

MAX_BLOCK: Final = 1 << 20  # bytes
MAX_DEPTH: Final = 32
# in a block, ten times what a pattern holds: a byte may be an empty map, which costs far more
MAX_ITEMS: Final = 10_000
MAX_INT: Final = (1 << 64) - 1
MIN_INT: Final = -(1 << 64)
_LINK: Final = 42
_IDENTITY: Final = b"\x00"  # the multibase prefix of a link's bytes
_SCALARS: Final = frozenset((bool, type(None), bytes))


def encode(value: Value) -> bytes:
    """The block of ``value``. Raises `EncodingError` for what has no place in DAG-CBOR, or is larger than a block may be."""
    block = cbor2.dumps(_plain(value, MAX_DEPTH))
    if len(block) > MAX_BLOCK:
        raise EncodingError(f"{len(block)} bytes are more than the {MAX_BLOCK} of a block")
    return block


def decode(block: bytes) -> Value:
    """The value of a block from anyone, of `MAX_ITEMS` in all. `EncodingError` for what `encode` would not have written."""
    if len(block) > MAX_BLOCK:
        raise EncodingError(f"{len(block)} bytes are more than the {MAX_BLOCK} of a block")
    look_over(block, MAX_DEPTH + 1, MAX_ITEMS)
    value = _linked(read(block, MAX_DEPTH + 2))
    if encode(value) != block:
        raise EncodingError("not the canonical encoding")
    return value


def links(value: Value) -> list[Cid]:
    """All links in a value, in the order in which they stand."""
    if isinstance(value, Cid):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [link for item in inside for link in links(item)]


def _plain(value: Value, depth: int) -> Any:
    """As cbor2 is to write it: keys in their order, links as tags."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is str:
        if not value.isascii():
            _check_text(value)
        return value
    if kind is int:
        if not MIN_INT <= value <= MAX_INT:
            raise EncodingError("an integer is outside the 64-bit range")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise EncodingError("a number is not finite")
        return value
    if kind is Cid:
        return cbor2.CBORTag(_LINK, _IDENTITY + value.binary)
    if depth <= 0:
        raise EncodingError("nested too deeply")
    if kind is list or kind is tuple:
        return [_plain(item, depth - 1) for item in value]
    if kind is dict:
        keyed = [(_key(key), key) for key in value]
        return {key: _plain(value[key], depth - 1) for _, key in sorted(keyed)}
    raise EncodingError(f"a value of kind {kind.__name__} has no encoding here")


def _key(key: Any) -> tuple[int, bytes]:
    """What sorts it among its like."""
    if type(key) is not str:
        raise EncodingError("a map key is not text")
    encoded = _check_text(key)
    return len(encoded), encoded


def _check_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EncodingError("text holds half a character") from error


def _linked(value: Any) -> Value:
    """With tags as links."""
    kind = type(value)
    if kind is cbor2.CBORTag:
        if value.tag != _LINK or type(value.value) is not bytes or value.value[:1] != _IDENTITY:
            raise EncodingError("a tag that is no link")
        try:
            link = Cid.from_bytes(value.value[1:])
        except CidRefused as error:
            raise EncodingError(f"a link is none of ours: {error}") from error
        return link
    if kind is list:
        return [_linked(item) for item in value]
    if kind is dict:
        return {key: _linked(item) for key, item in value.items()}
    return value
