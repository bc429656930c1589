"""Messages of GossipSub and Kademlia as flat lists of fields, in which a field may stand as often as it likes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mycelnode.errors import EncodingError
from mycelnode.protobuf import BYTES, VARINT, bytes_field, fields, varint_field

Field = tuple[int, int | bytes]  # its number, and an integer or bytes

MAX_FIELDS: Final = 4096  # of one message


def write(message: Iterable[Field]) -> bytes:
    """The message of these fields, in this order."""
    return b"".join(
        varint_field(number, value) if isinstance(value, int) else bytes_field(number, value)
        for number, value in message
    )


def read(data: bytes, max_fields: int = MAX_FIELDS) -> list[Field]:
    """The fields of a message, as they came; those of fixed width, which no format here has, are left out.

    Raises `EncodingError`: no protobuf, or more than ``max_fields``.
    """
    return [(number, value) for number, kind, value in fields(data, max_fields) if kind in (VARINT, BYTES)]


def all_bytes(message: Sequence[Field], number: int) -> list[bytes]:
    """Every value of a repeated field; `EncodingError` if one is a number."""
    found = [value for each, value in message if each == number]
    if not all(isinstance(value, bytes) for value in found):
        raise EncodingError("a field is a number that should be bytes")
    return found  # type: ignore[return-value]  # as was just made sure


def last_bytes(message: Sequence[Field], number: int) -> bytes:
    """The value of a field, the last one as protobuf has it, or b"". Raises `EncodingError`."""
    found = all_bytes(message, number)
    return found[-1] if found else b""


def last_int(message: Sequence[Field], number: int) -> int:
    """The value of a field, the last one as protobuf has it, or 0. Raises `EncodingError`."""
    found = [value for each, value in message if each == number]
    if not found:
        return 0
    value = found[-1]
    if not isinstance(value, int):
        raise EncodingError("a field is bytes that should be a number")
    return value
