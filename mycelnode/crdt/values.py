"""Values as collections keep them: their canonical bytes. Python's ``1 == True == 1.0`` would mix up what devices tell
apart, and bytes can be compared, hashed and written out again without another look at the value."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import cbor2

from mycelnode.encoding import Value, check, encode
from mycelnode.errors import EncodingError, ValueRefused

MAX_VALUE_DEPTH = 16  # nesting: a rescue of a rescue of a rescue of the value must still fit into an entry
ABSENT = b""  # no value has an empty encoding


def _refuse(*_: Any) -> NoReturn:
    raise EncodingError("tags have no place in a value")


# cbor2 turns these tags into objects before anyone can look at them; half a megabyte of fraction or decimal takes it 20 s
# of CPU
_TAGS = (*range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
NO_TAGS: Final = dict.fromkeys(_TAGS, _refuse)


def pack(value: Value) -> bytes:
    """The canonical bytes of ``value``; `ValueRefused` if the mesh does not carry it."""
    try:
        if isinstance(value, (list, tuple, dict)):
            check(value, MAX_VALUE_DEPTH)
        return encode(value)
    except (EncodingError, UnicodeError) as error:
        raise ValueRefused(f"the value cannot be shared: {error}") from error


def unpack(data: bytes) -> Value:
    """The value whose bytes `pack` made."""
    return cbor2.loads(data)


def unpack_or_none(data: bytes) -> Value:
    """The value, or None for `ABSENT`."""
    return cbor2.loads(data) if data else None
