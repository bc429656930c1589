"""Borsh (borsh.io), bounded: the codec of a dataclass is read off its type hints.

``Annotated[int, U(8)]`` is a ``u64``, ``bytes`` and ``tuple[T, ...]`` carry a length, ``Annotated[bytes, Fixed(32)]`` none,
``T | None`` is an option, and `Variants` tells the tags of an enum, whose variants are dataclasses.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar

MAX_BYTES = 1 << 23  # one message: above any transaction, and any receipt with a contract in it
MAX_ITEMS = 1 << 16  # in one list

T = TypeVar("T")


class BorshError(ValueError):
    """The bytes are not the Borsh of such a value."""


@dataclasses.dataclass(frozen=True)
class U:
    """An unsigned integer of ``size`` bytes, little endian."""

    size: int


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Exactly ``size`` bytes, without a length before them."""

    size: int


class Variants:
    """An enum: tag → dataclass."""

    def __init__(self, kinds: dict[int, type]) -> None:
        self.kinds = kinds
        self.tags = {kind: tag for tag, kind in kinds.items()}


U64 = Annotated[int, U(8)]
U128 = Annotated[int, U(16)]
Hash = Annotated[bytes, Fixed(32)]


class Reader:
    """Takes values off the front of ``data``."""

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_BYTES:
            raise BorshError("too long")
        self.data, self.place = data, 0

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self.place + size
        if end > len(self.data):
            raise BorshError("Unexpected length of input")
        taken, self.place = self.data[self.place : end], end
        return taken

    def number(self, size: int) -> int:
        """The next unsigned integer of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little")


Encode = Callable[[Any, bytearray], None]
Decode = Callable[[Reader], Any]


def encode(kind: Any, value: Any) -> bytes:
    """The Borsh of ``value``, which is of the kind ``kind``."""
    out = bytearray()
    _codec(kind)[0](value, out)
    return bytes(out)


def decode(kind: type[T], data: bytes) -> T:
    """The value that fills ``data`` exactly; raises `BorshError`."""
    value: T = decode_kind(kind, data)
    return value


def decode_kind(kind: Any, data: bytes) -> Any:
    """As `decode`, for kinds that are no class, such as an enum or a list."""
    reader = Reader(data)
    value = _codec(kind)[1](reader)
    if reader.place != len(data):
        raise BorshError("Not all bytes read")
    return value


@cache
def _codec(kind: Any) -> tuple[Encode, Decode]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _annotated(arguments[1])
    if kind is bool:
        return _bool_codec()
    if kind is bytes:
        return _bytes_codec()
    if kind is str:
        return _text_codec()
    if origin is tuple:
        return _list_codec(_codec(arguments[0]))
    if origin in (typing.Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _option_codec(_codec(inner))
    if dataclasses.is_dataclass(kind):
        return _struct_codec(kind)
    raise TypeError(f"{kind} has no Borsh")


def _annotated(rule: Any) -> tuple[Encode, Decode]:
    if isinstance(rule, U):
        return _number_codec(rule.size)
    if isinstance(rule, Fixed):
        return _fixed_codec(rule.size)
    assert isinstance(rule, Variants)
    return _enum_codec(rule)


def _number_codec(size: int) -> tuple[Encode, Decode]:
    def write(value: int, out: bytearray) -> None:
        try:
            out.extend(value.to_bytes(size, "little"))
        except OverflowError:
            raise BorshError(f"{value} is no number of {size} bytes") from None

    return write, lambda reader: reader.number(size)


def _fixed_codec(size: int) -> tuple[Encode, Decode]:
    def write(value: bytes, out: bytearray) -> None:
        if len(value) != size:
            raise BorshError(f"{size} bytes were expected")
        out.extend(value)

    return write, lambda reader: reader.take(size)


def _bool_codec() -> tuple[Encode, Decode]:
    def parse(reader: Reader) -> bool:
        byte = reader.number(1)
        if byte > 1:
            raise BorshError("Invalid bool representation")
        return bool(byte)

    return lambda value, out: out.append(value), parse


def _bytes_codec() -> tuple[Encode, Decode]:
    def write(value: bytes, out: bytearray) -> None:
        out.extend(len(value).to_bytes(4, "little"))
        out.extend(value)

    return write, lambda reader: reader.take(reader.number(4))


def _text_codec() -> tuple[Encode, Decode]:
    write_bytes, parse_bytes = _bytes_codec()

    def parse(reader: Reader) -> str:
        try:
            text: str = parse_bytes(reader).decode()
        except UnicodeDecodeError as error:
            raise BorshError("invalid utf-8") from error
        return text

    return lambda value, out: write_bytes(value.encode(), out), parse


def _list_codec(inner: tuple[Encode, Decode]) -> tuple[Encode, Decode]:
    write_one, parse_one = inner

    def write(value: tuple[Any, ...], out: bytearray) -> None:
        out.extend(len(value).to_bytes(4, "little"))
        for item in value:
            write_one(item, out)

    def parse(reader: Reader) -> tuple[Any, ...]:
        count = reader.number(4)
        if count > MAX_ITEMS:
            raise BorshError("too many items")
        return tuple(parse_one(reader) for _ in range(count))

    return write, parse


def _option_codec(inner: tuple[Encode, Decode]) -> tuple[Encode, Decode]:
    write_one, parse_one = inner

    def write(value: Any, out: bytearray) -> None:
        out.append(value is not None)
        if value is not None:
            write_one(value, out)

    def parse(reader: Reader) -> Any:
        tag = reader.number(1)
        if tag > 1:
            raise BorshError("Invalid Option representation")
        return parse_one(reader) if tag else None

    return write, parse


def _enum_codec(variants: Variants) -> tuple[Encode, Decode]:
    def write(value: Any, out: bytearray) -> None:
        out.append(variants.tags[type(value)])
        kind: Any = type(value)
        _codec(kind)[0](value, out)

    def parse(reader: Reader) -> Any:
        tag = reader.number(1)
        if tag not in variants.kinds:
            raise BorshError(f"Unexpected variant tag: {tag}")
        kind: Any = variants.kinds[tag]
        return _codec(kind)[1](reader)

    return write, parse


def _struct_codec(kind: Any) -> tuple[Encode, Decode]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [(field.name, _codec(hints[field.name])) for field in dataclasses.fields(kind)]

    def write(value: Any, out: bytearray) -> None:
        for name, (write_field, _) in fields:
            write_field(getattr(value, name), out)

    def parse(reader: Reader) -> Any:
        return kind(*[parse_field(reader) for _, (_, parse_field) in fields])

    return write, parse
