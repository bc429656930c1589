"""The wire form of protobuf, read within bounds: GossipSub and Kademlia speak it.

https://protobuf.dev/programming-guides/encoding. A message is a flat list of fields here; what they mean, their reader says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mycelnode.errors import EncodingError

Field = tuple[int, int | bytes]  # its number, and a varint or the bytes of a length-delimited one

MAX_FIELDS = 4096  # of one message: a byte pair may be a field, which takes a hundred bytes in memory
MAX_VARINT_BYTES = 10
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """Unsigned LEB128 of a number that is not negative."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """The number at ``place``, below 2^64, and the place after it. Raises `EncodingError`."""
    value = 0
    for index, byte in enumerate(data[place : place + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, place + index + 1
    raise EncodingError("a varint is cut off or too long")


def write(fields: Iterable[Field]) -> bytes:
    """The message of these fields, in this order."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3 | _VARINT) + varint(value)
        else:
            out += varint(number << 3 | _DELIMITED) + varint(len(value)) + value
    return bytes(out)


def read(data: bytes, max_fields: int = MAX_FIELDS) -> list[Field]:
    """The fields of a message, as they came; those of fixed width, which no format here has, are left out.

    Raises `EncodingError`: no protobuf, or more than ``max_fields``.
    """
    fields: list[Field] = []
    place = count = 0
    while place < len(data):
        count += 1
        if count > max_fields:
            raise EncodingError(f"a message of more than {max_fields} fields")
        key, place = read_varint(data, place)
        number, kind = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise EncodingError("a field has a number that there is not")
        if kind == _VARINT:
            value, place = read_varint(data, place)
            fields.append((number, value))
        elif kind == _DELIMITED:
            size, place = read_varint(data, place)
            if size > len(data) - place:
                raise EncodingError("a field is cut off")
            fields.append((number, data[place : place + size]))
            place += size
        elif kind in (_FIXED32, _FIXED64):
            place += 4 if kind == _FIXED32 else 8
            if place > len(data):
                raise EncodingError("a field is cut off")
        else:
            raise EncodingError("a field is of a kind that there is not")
    return fields


def all_bytes(fields: Sequence[Field], number: int) -> list[bytes]:
    """Every value of a repeated field; `EncodingError` if one is a number."""
    found = [value for each, value in fields if each == number]
    if not all(isinstance(value, bytes) for value in found):
        raise EncodingError("a field is a number that should be bytes")
    return found  # type: ignore[return-value]  # as was just made sure


def last_bytes(fields: Sequence[Field], number: int) -> bytes:
    """The value of a field, the last one as protobuf has it, or b"". Raises `EncodingError`."""
    found = all_bytes(fields, number)
    return found[-1] if found else b""


def last_int(fields: Sequence[Field], number: int) -> int:
    """The value of a field, the last one as protobuf has it, or 0. Raises `EncodingError`."""
    found = [value for each, value in fields if each == number]
    if not found:
        return 0
    value = found[-1]
    if not isinstance(value, int):
        raise EncodingError("a field is bytes that should be a number")
    return value
