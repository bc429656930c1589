"""What Kademlia peers ask and answer, read within bounds (libp2p specs, kad-dht), and multiaddrs in bytes.

Values are not spoken of: where they may be put, a stranger fills the memory. Peers whose key is not Ed25519 are left out, since
none could be connected with; so are addresses that are not plain TCP.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mycelnode.encoding import from_base58, peer_id
from mycelnode.errors import EncodingError
from mycelnode.protobuf import read_varint, varint
from mycelnode.protocols import wire_fields
from mycelnode.protocols.wire_fields import Field, all_bytes, last_bytes, last_int

MAX_MESSAGE_BYTES: Final = 1 << 16  # checked before a byte is awaited; twenty peers of eight addresses have 10 KB
MAX_KEY_BYTES: Final = 80  # a multihash of 64 bytes, or a peer id
MAX_PEERS: Final = 20  # in one list; the rest is left out
MAX_ADDRS: Final = 8  # of one peer; the rest is left out
MAX_ADDR_BYTES: Final = 300

_TYPE, _KEY, _CLOSER, _PROVIDERS = 1, 2, 8, 9
_ID, _ADDRS = 1, 2
_IP4, _TCP, _IP6, _DNS, _DNS4, _DNS6, _P2P = 4, 6, 41, 53, 54, 55, 421
_NAMES: Final = {_DNS: "dns", _DNS4: "dns4", _DNS6: "dns6"}
_ID_PREFIX: Final = b"\x00\x24\x08\x01\x12\x20"  # see `encoding.peer_id`
_ID_BYTES: Final = 38


class Kind(IntEnum):
    """What is asked; an answer has the kind of its question."""

    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


@dataclass(frozen=True, slots=True)
class PeerAddrs:
    """A peer (its id in base58) and where it is said to be (multiaddrs without ``/p2p``)."""

    peer: str
    addrs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A question or an answer. ``key``: a multihash, or the bytes of a peer id."""

    kind: Kind
    key: bytes = b""
    closer: tuple[PeerAddrs, ...] = ()
    providers: tuple[PeerAddrs, ...] = ()

    def write(self) -> bytes:
        """Its protobuf, without a length."""
        fields: list[Field] = [(_TYPE, int(self.kind))]
        if self.key:
            fields.append((_KEY, self.key))
        fields += [(_CLOSER, _write_peer(each)) for each in self.closer]
        fields += [(_PROVIDERS, _write_peer(each)) for each in self.providers]
        return wire_fields.write(fields)

    @classmethod
    def read(cls, data: bytes) -> Message:
        """The inverse of `write`. Raises `EncodingError`: no message, too large, or of a kind that is not served."""
        if len(data) > MAX_MESSAGE_BYTES:
            raise EncodingError(f"a message of {len(data)} bytes; {MAX_MESSAGE_BYTES} are allowed")
        fields = wire_fields.read(data)
        try:
            kind = Kind(last_int(fields, _TYPE))
        except ValueError as error:
            raise EncodingError("values are neither kept nor given here") from error
        key = last_bytes(fields, _KEY)
        if len(key) > MAX_KEY_BYTES:
            raise EncodingError(f"a key of {len(key)} bytes; {MAX_KEY_BYTES} are allowed")
        return cls(kind, key, _read_peers(fields, _CLOSER), _read_peers(fields, _PROVIDERS))


def peer_bytes(peer: str) -> bytes:
    """A peer id as Kademlia sends it. Raises `EncodingError`."""
    data = from_base58(peer)
    if len(data) != _ID_BYTES or not data.startswith(_ID_PREFIX):
        raise EncodingError("not the peer id of an Ed25519 key")
    return data


def _write_peer(each: PeerAddrs) -> bytes:
    return wire_fields.write(
        [(_ID, peer_bytes(each.peer)), *((_ADDRS, addr_bytes(addr)) for addr in each.addrs[:MAX_ADDRS])]
    )


def _read_peers(fields: list[Field], number: int) -> tuple[PeerAddrs, ...]:
    found: dict[str, tuple[str, ...]] = {}
    for entry in all_bytes(fields, number)[:MAX_PEERS]:
        about = wire_fields.read(entry)
        name = last_bytes(about, _ID)
        if len(name) != _ID_BYTES or not name.startswith(_ID_PREFIX):
            continue
        addrs: dict[str, None] = {}
        for data in all_bytes(about, _ADDRS)[: 2 * MAX_ADDRS]:
            addr = read_addr(data)
            if addr is not None:
                addrs[addr] = None
        found.setdefault(peer_id(name[len(_ID_PREFIX) :]), tuple(addrs)[:MAX_ADDRS])
    return tuple(PeerAddrs(peer, addrs) for peer, addrs in found.items())


def addr_bytes(addr: str) -> bytes:
    """The bytes of ``/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT`` (multiformats/multiaddr). Raises `EncodingError`."""
    parts = addr.split("/")
    if len(parts) != 5 or parts[0] or parts[3] != "tcp" or not parts[4].isdecimal():
        raise EncodingError(f"{addr[:80]!r} is no plain TCP multiaddr")
    try:
        port = int(parts[4]).to_bytes(2, "big")
        if parts[1] in ("ip4", "ip6"):
            host = ipaddress.ip_address(parts[2])
            start = bytes([_IP4 if host.version == 4 else _IP6]) + host.packed
        else:
            name = parts[2].encode("ascii")
            code = next(code for code, kind in _NAMES.items() if kind == parts[1])
            start = bytes([code]) + varint(len(name)) + name
    except (ValueError, OverflowError, StopIteration) as error:
        raise EncodingError(f"{addr[:80]!r} is no plain TCP multiaddr") from error
    return start + bytes([_TCP]) + port


def read_addr(data: bytes) -> str | None:
    """The inverse of `addr_bytes`, also with a ``/p2p`` after it; None for all other addresses, and for what is none."""
    if not 0 < len(data) <= MAX_ADDR_BYTES:
        return None
    try:
        code, place = read_varint(data, 0)
        if code in (_IP4, _IP6):
            size = 4 if code == _IP4 else 16
            host = str(ipaddress.ip_address(data[place : place + size]))
            kind = "ip4" if code == _IP4 else "ip6"
        elif code in _NAMES:
            size, place = read_varint(data, place)
            host, kind = data[place : place + size].decode("ascii"), _NAMES[code]
            if len(host) != size or "/" in host or not host.isprintable() or not host:
                return None
        else:
            return None
        place += size
        if data[place : place + 1] != bytes([_TCP]) or len(data) < place + 3:
            return None
        port = int.from_bytes(data[place + 1 : place + 3], "big")
        place += 3
        if place < len(data) and read_varint(data, place)[0] != _P2P:
            return None
    except (EncodingError, ValueError):
        return None
    return f"/{kind}/{host}/tcp/{port}"
