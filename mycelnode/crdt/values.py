"""Values as collections keep them: their canonical bytes. Python's ``1 == True == 1.0`` would mix up what devices tell
apart, and bytes can be compared, hashed and written out again without another look at the value."""

from __future__ import annotations

import cbor2

from mycelnode.encoding import Value, encode
from mycelnode.errors import EncodingError, ValueRefused

MAX_VALUE_DEPTH = 16  # nesting: a rescue of a rescue of a rescue of the value must still fit into an entry
ABSENT = b""  # no value has an empty encoding


def pack(value: Value) -> bytes:
    """The canonical bytes of ``value``; `ValueRefused` if the mesh does not carry it."""
    try:
        return encode(value, max_depth=MAX_VALUE_DEPTH)
    except (EncodingError, UnicodeError) as error:
        raise ValueRefused(f"the value cannot be shared: {error}") from error


def unpack(data: bytes) -> Value:
    """The value whose bytes `pack` made."""
    return cbor2.loads(data)


def unpack_or_none(data: bytes) -> Value:
    """The value, or None for `ABSENT`."""
    return cbor2.loads(data) if data else None
