"""Varints, protobuf fields, multistream tokens, peer ids: https://github.com/libp2p/specs (peer-ids, noise, connections)."""

from __future__ import annotations

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ED25519 = b"\x08\x01\x12\x20"  # a protobuf PublicKey of type Ed25519, with 32 bytes to follow


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, place: int = 0) -> tuple[int, int]:
    """The value at ``place``, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


def message(*fields: tuple[int, bytes | int]) -> bytes:
    """A protobuf message of (field number, bytes or integer) pairs, in this order, any of them as often as one likes."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return bytes(out)


def fields(data: bytes) -> dict[int, bytes | int]:
    """The last value of each field of a protobuf message."""
    found: dict[int, bytes | int] = {}
    place = 0
    while place < len(data):
        key, place = read_varint(data, place)
        value, place = read_varint(data, place)
        if key & 7 == 2:
            found[key >> 3] = data[place : place + value]
            place += value
        else:
            found[key >> 3] = value
    return found


def token(text: str | bytes) -> bytes:
    """One message of multistream-select: length, text, line feed."""
    data = (text.encode() if isinstance(text, str) else text) + b"\n"
    return varint(len(data)) + data


VERSION = token("/multistream/1.0.0")


def peer_id(key: bytes) -> str:
    """The base58 peer id of an Ed25519 key: its protobuf form as an identity multihash."""
    raw = b"\x00" + varint(len(ED25519 + key)) + ED25519 + key
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\x00"))) + text


def host_and_port(addr: str) -> tuple[str, int]:
    """Of ``/ip4/127.0.0.1/tcp/4001`` (with or without ``/p2p/…``) or ``127.0.0.1:4001``."""
    if addr.startswith("/"):
        _, _, host, _, port, *_ = addr.split("/")
    else:
        host, _, port = addr.rpartition(":")
    return host, int(port)
