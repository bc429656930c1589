"""The wire format of Protocol Buffers: checked against Google's implementation, and against what must be refused."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st

from mycelnode import protobuf
from mycelnode.errors import EncodingError

INTEGERS = st.integers(0, protobuf.MAX_VARINT)
NUMBERS = st.integers(1, protobuf.MAX_NUMBER)
FIELDS = st.lists(st.tuples(NUMBERS, INTEGERS | st.binary(max_size=40)), max_size=8)


def write(field: tuple[int, int | bytes]) -> bytes:
    number, value = field
    return protobuf.varint_field(number, value) if isinstance(value, int) else protobuf.bytes_field(number, value)


def theirs(message: bytes) -> list[tuple[int, int, int | bytes]]:
    """The same, read by Google's implementation, as the fields that a message without any does not know."""
    unknown: Any = UnknownFieldSet(Empty.FromString(message))
    return [(field.field_number, field.wire_type, field.data) for field in unknown]


@given(INTEGERS)
def test_an_integer_comes_back_and_is_written_in_the_fewest_bytes(value: int) -> None:
    written = protobuf.varint(value)
    assert len(written) == max(1, -(-value.bit_length() // 7))
    assert protobuf.read_varint(b"x" + written + b"\xff", 1) == (value, 1 + len(written))


@given(FIELDS)
def test_fields_come_back_in_their_order_here_and_with_google(written: list[tuple[int, int | bytes]]) -> None:
    message = b"".join(map(write, written))
    found = list(protobuf.fields(message))
    assert [(number, value) for number, _, value in found] == written
    assert found == theirs(message)


@given(st.binary(max_size=60))
def test_what_is_read_from_noise_is_what_google_reads(noise: bytes) -> None:
    try:
        found = list(protobuf.fields(noise))
    except EncodingError:
        return
    assert found == theirs(noise)


REFUSED = {
    "a key cut off": b"\x80",
    "an integer cut off": b"\x08\x80",
    "an integer of eleven bytes": b"\x08" + b"\x80" * 10 + b"\x01",
    "an integer of 65 bits": b"\x08" + b"\xff" * 9 + b"\x02",
    "bytes cut off": b"\x0a\x02a",
    "bytes without end": b"\x0a" + b"\xff" * 9 + b"\x01",
    "eight bytes cut off": b"\x09" + bytes(7),
    "four bytes cut off": b"\x0d" + bytes(3),
    "number 0": b"\x00\x01",
    "a number too large": protobuf.varint((protobuf.MAX_NUMBER + 1) << 3) + b"\x01",
    "the beginning of a group": b"\x0b",
    "the end of a group": b"\x0c",
    "wire type 6": b"\x0e\x01",
    "too many": b"\x08\x01" * (protobuf.MAX_FIELDS + 1),
}


@pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(EncodingError):
        list(protobuf.fields(message))


def test_as_many_fields_as_may_be_are_read() -> None:
    assert len(list(protobuf.fields(b"\x08\x01" * 3, 3))) == 3
    with pytest.raises(EncodingError, match="more than 3 fields"):
        list(protobuf.fields(b"\x08\x01" * 4, 3))


@pytest.mark.parametrize("value", [-1, protobuf.MAX_VARINT + 1])
def test_what_has_no_encoding_is_refused(value: int) -> None:
    with pytest.raises(EncodingError):
        protobuf.varint(value)
