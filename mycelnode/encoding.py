"""Canonical CBOR (RFC 8949 §4.2.3: shortest forms, length-first map keys) and bounded decoding of bytes from outside.

Two devices hash and sign what they encode, so one value has exactly one encoding here: what does not re-encode to the same bytes
is refused. Tags, bignums, undefined and non-finite floats have no place in the mesh.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

import cbor2

from mycelnode.errors import EncodingError

Value = Any  # None | bool | int | float | str | bytes | list | dict, recursively; mypy gains nothing from spelling it

MAX_BYTES = 1 << 20  # one frame; nothing larger is ever decoded in one piece
MAX_DEPTH = 32  # nesting: far above any format here, far below the recursion limit
MAX_INT = (1 << 63) - 1
MIN_INT = -(1 << 63)


def encode(value: Value, *, max_depth: int = MAX_DEPTH) -> bytes:
    """The canonical CBOR of ``value``; `EncodingError` if it is not a plain, bounded value, nested at most ``max_depth`` deep."""
    if type(value) not in _SIMPLE:
        check(value, max_depth)
    return cbor2.dumps(value, canonical=True)


def _refuse(*_: Any) -> NoReturn:
    raise EncodingError("tags have no place in a value")


# cbor2 turns these tags into objects before anyone can look at them; half a megabyte of fraction or decimal takes it 20 s
# of CPU
_TAGS = (*range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
_loads: Final = partial(cbor2.loads, allow_indefinite=False, semantic_decoders=dict.fromkeys(_TAGS, _refuse))
_SIMPLE: Final = frozenset((bytes, str, bool, type(None)))  # kinds of values that need no look inside
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(2, 7)  # major types (RFC 8949 §3.1)


def decode(data: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, max_items: int = MAX_BYTES) -> Value:
    """Decode one canonical CBOR item that fills ``data`` exactly.

    Arguments: ``max_bytes`` bounds the input, ``max_depth`` the nesting, ``max_items`` how many items there are in all, since one
    byte may be an empty map, which takes two hundred in memory. Raises `EncodingError` for anything else: too long, too deep, too
    many, trailing bytes, tags, non-canonical forms, duplicate keys.
    """
    if len(data) > max_bytes:
        raise EncodingError(f"{len(data)} bytes are more than the {max_bytes} allowed here")
    if len(data) > max_items:
        look_over(data, max_depth + 1, max_items)
    value = read(data, max_depth + 1)
    check(value, max_depth)
    try:
        again = cbor2.dumps(value, canonical=True)
    except (Exception, RecursionError) as error:
        raise EncodingError(f"not valid CBOR: {error}") from error
    if again != data:
        raise EncodingError("not the canonical encoding")
    return value


def read(data: bytes, max_depth: int) -> Value:
    """One CBOR item without tags, from anyone, whose map keys are text, bytes or integers. That it is canonical is not checked.

    Raises `EncodingError`.
    """
    try:
        try:
            return _loads(data, max_depth=max_depth, strict_hashable_types=True)
        except cbor2.CBORDecodeError:
            look_over(data, max_depth, MAX_BYTES)
            return _loads(data, max_depth=max_depth)
    except EncodingError:
        raise
    except (Exception, RecursionError) as error:  # cbor2 raises many kinds on hostile input; all mean the same here
        raise EncodingError(f"not valid CBOR: {error}") from error


def look_over(data: bytes, max_depth: int, max_items: int) -> None:
    """Refuse too many items, and map keys that are no text, bytes or integers, before anything is made of them.

    Raises `EncodingError`. Python's hashes of tuples are no secret: in a megabyte of keys such as ``[-1, -2, -1, …]``, all with one
    hash, cbor2 looks for half a minute for the place of the last. cbor2 can refuse all but text and bytes by itself; this is for
    maps with integers as keys, whose hashes hardly collide.
    """
    place, count, open_items = 0, 1, [(1, False)]  # of each container: how many items are to come, and is it a map?
    while open_items:
        left, is_map = open_items.pop()
        if not left:
            continue
        open_items.append((left - 1, is_map))
        if place >= len(data) or len(open_items) > max_depth + 1:
            raise EncodingError("not valid CBOR: cut off, or nested too deeply")
        major, argument = data[place] >> 5, data[place] & 0x1F
        place += 1
        if is_map and left % 2 == 0 and major > _TEXT:
            raise EncodingError("a map key is not text, bytes or an integer")
        if argument >= 24:
            size = 1 << (argument - 24)
            argument = int.from_bytes(data[place : place + size], "big")
            place += size
        if major in (_BYTES, _TEXT):
            place += argument
        elif major in (_ARRAY, _MAP):
            inside = argument * (major - _ARRAY + 1)
            count += inside
            if count > max_items:
                raise EncodingError(f"more than {max_items} items")
            open_items.append((inside, major == _MAP))
        elif major == _TAG:
            open_items.append((1, False))


def check(value: Value, max_depth: int = MAX_DEPTH) -> None:
    """Raise `EncodingError` unless ``value`` is made of the plain kinds only, within the depth and integer bounds."""
    kind = type(value)
    if kind in _SIMPLE:
        return
    if kind is int:
        if not MIN_INT <= value <= MAX_INT:
            raise EncodingError("an integer is outside the 64-bit range")
        return
    if kind is float:
        if not math.isfinite(value):
            raise EncodingError("a number is not finite")
        return
    if max_depth <= 0:
        raise EncodingError("nested too deeply")
    if kind is list or kind is tuple:
        for item in value:
            if type(item) not in _SIMPLE:  # most are, and a call costs more than the look
                check(item, max_depth - 1)
        return
    if kind is dict:
        for key, item in value.items():
            if type(key) not in (str, bytes, int):
                raise EncodingError("a map key is not text, bytes or an integer")
            check(key)
            if type(item) not in _SIMPLE:
                check(item, max_depth - 1)
        return
    raise EncodingError(f"a value of kind {kind.__name__} has no encoding here")


class Digest(bytes):
    """The BLAKE2b-256 of an entry, in its place in a log: the entry itself was replaced by state."""


def blake2b(data: bytes, size: int = 32) -> bytes:
    """BLAKE2b of ``data``, ``size`` bytes long (RFC 7693)."""
    return hashlib.blake2b(data, digest_size=size).digest()


def base32(data: bytes) -> str:
    """RFC 4648 base32, lower case, without padding: for ids that people read and paste."""
    return base64.b32encode(data).decode().rstrip("=").lower()


def from_base32(text: str, *, max_chars: int = 4096) -> bytes:
    """The inverse of `base32`; `EncodingError` on anything else."""
    if len(text) > max_chars:
        raise EncodingError("the text is too long")
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError as error:
        raise EncodingError("not valid base32") from error
    if base32(data) != text.lower():
        raise EncodingError("not valid base32")
    return data


MAX_BASE58_CHARS = 128
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PEER_PREFIX = bytes(
    (0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
)  # identity multihash of the protobuf {Type: Ed25519, Data: 32 bytes}


def peer_id(key: bytes) -> str:
    """The libp2p peer id of an Ed25519 public key, in its usual base58 text form (libp2p specs, peer-ids)."""
    if len(key) != 32:
        raise EncodingError("an Ed25519 public key has 32 bytes")
    return base58(_PEER_PREFIX + key)


def base58(data: bytes) -> str:
    """As IPFS and NEAR write short ids. The time that it takes grows with the square of the length."""
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return _BASE58[0] * (len(data) - len(data.lstrip(b"\0"))) + text


def from_base58(text: str) -> bytes:
    """The bytes of base58, as libp2p, IPFS and NEAR write it; `EncodingError` if it is not.

    For short ids only: the time that it takes grows with the square of the length.
    """
    if len(text) > MAX_BASE58_CHARS or any(char not in _BASE58 for char in text):
        raise EncodingError("not valid base58")
    number = 0
    for char in text:
        number = number * 58 + _BASE58.index(char)
    zeros = len(text) - len(text.lstrip(_BASE58[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def key_of_peer(text: str) -> bytes:
    """The Ed25519 public key inside a peer id; `EncodingError` if it is not one."""
    if not 40 <= len(text) <= 60 or any(c not in _BASE58 for c in text):
        raise EncodingError("not a peer id")
    data = from_base58(text)[-38:]
    if not data.startswith(_PEER_PREFIX) or peer_id(data[6:]) != text:
        raise EncodingError("not the peer id of an Ed25519 key")
    return data[6:]


def as_list(value: Value, *lengths: int) -> Sequence[Value]:
    """``value`` if it is a list, of one of ``lengths`` if any are given; else `EncodingError`."""
    if not isinstance(value, list) or (lengths and len(value) not in lengths):
        raise EncodingError("a list of another length was expected")
    return value


def as_bytes(value: Value, size: int | None = None) -> bytes:
    """``value`` if it is a byte string (of ``size``); else `EncodingError`."""
    if type(value) is not bytes or (size is not None and len(value) != size):
        raise EncodingError("a byte string of another length was expected")
    return value


def as_text(value: Value, max_chars: int) -> str:
    """``value`` if it is text of at most ``max_chars``; else `EncodingError`."""
    if type(value) is not str or len(value) > max_chars:
        raise EncodingError(f"text of at most {max_chars} characters was expected")
    return value


def as_int(value: Value, low: int = 0, high: int = MAX_INT) -> int:
    """``value`` if it is an integer in [low, high]; else `EncodingError`."""
    if type(value) is not int or not low <= value <= high:
        raise EncodingError("an integer is out of range")
    return value


def as_map(value: Value) -> Mapping[Value, Value]:
    """``value`` if it is a map; else `EncodingError`."""
    if not isinstance(value, dict):
        raise EncodingError("a map was expected")
    return value
