"""The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/), bounded, for what other programs speak.

It knows fields by their numbers only. What a field means, and how often it may stand, is for who asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mycelnode.errors import EncodingError

VARINT: Final = 0  # the wire types: what a field's value is
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

MAX_VARINT_BYTES: Final = 10
MAX_VARINT: Final = (1 << 64) - 1
MAX_NUMBER: Final = (1 << 29) - 1  # of a field
MAX_FIELDS: Final = 10_000  # of one message: one takes two bytes, and fifty times that in memory
_FIXED: Final = {FIXED64: 8, FIXED32: 4}


def varint(value: int) -> bytes:
    """The shortest encoding of an integer in [0, 2^64). Raises `EncodingError`."""
    if not 0 <= value <= MAX_VARINT:
        raise EncodingError("an integer is outside the 64-bit range")
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def read_varint(data: bytes, place: int = 0) -> tuple[int, int]:
    """The integer that begins at ``place``, and the place after it. It need not be the shortest encoding.

    Raises `EncodingError` if it is cut off, longer than `MAX_VARINT_BYTES`, or above 64 bits.
    """
    value = 0
    for shift, byte in enumerate(data[place : place + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if value > MAX_VARINT:
                break
            return value, place + shift + 1
    raise EncodingError("an integer is cut off, or longer than 64 bits")


def varint_field(number: int, value: int) -> bytes:
    """A field with an integer in [0, 2^64)."""
    return varint(number << 3 | VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A field with bytes, text in UTF-8, or a message."""
    return b"".join((varint(number << 3 | BYTES), varint(len(value)), value))


def fields(message: bytes, max_fields: int = MAX_FIELDS) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of a message from anyone, as they stand: number, wire type, value.

    The value is bytes for `BYTES`, else an integer without a sign. Raises `EncodingError`, at the place where it is found, for what
    is cut off, has more than ``max_fields``, has groups, or numbers that no field can have.
    """
    place = 0
    for _ in range(max_fields):
        if place == len(message):
            return
        key, place = read_varint(message, place)
        number, wire_type = key >> 3, key & 7
        if not 1 <= number <= MAX_NUMBER:
            raise EncodingError(f"no field has the number {number}")
        if wire_type == VARINT:
            value, place = read_varint(message, place)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, place = read_varint(message, place)
        elif wire_type in _FIXED:
            size = _FIXED[wire_type]
        else:
            raise EncodingError(f"wire type {wire_type} is not read here")
        if size > len(message) - place:
            raise EncodingError("a field is cut off")
        part = message[place : place + size]
        place += size
        yield number, wire_type, part if wire_type == BYTES else int.from_bytes(part, "little")
    if place != len(message):
        raise EncodingError(f"a message has more than {max_fields} fields")
