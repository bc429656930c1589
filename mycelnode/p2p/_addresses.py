"""Multiaddrs of TCP end points, and which addresses a listening host may tell others.

Only ``/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT[/p2p/PEER]`` is understood; everything else is refused with a sentence.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ifaddr

from mycelnode.errors import NetworkError

MAX_ADDRESS_CHARS = 256
MAX_ADDRESSES = 16  # of one device: in the shared register, in an invite, in a record on the local network
_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a TCP socket is or should be: ``kind`` is ip4, ip6, dns, dns4 or dns6."""

    kind: str
    host: str
    port: int

    @property
    def wildcard(self) -> bool:
        """0.0.0.0 or ::, which mean every interface and are nobody's address."""
        return self.kind in ("ip4", "ip6") and ipaddress.ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return f"/{self.kind}/{self.host}/tcp/{self.port}"


def parse(text: str) -> Endpoint:
    """The end point a multiaddr names; `NetworkError` says what is wrong with it."""
    parts = text.split("/") if len(text) <= MAX_ADDRESS_CHARS else []
    if len(parts) == 7 and parts[5] == "p2p":
        parts = parts[:5]
    if len(parts) != 5 or parts[0] or parts[3] != "tcp" or not _PORT.fullmatch(parts[4]):
        raise NetworkError(f"{text[:80]!r} is no TCP multiaddr, such as /ip4/192.168.1.5/tcp/4001")
    kind, host, port = parts[1], parts[2], int(parts[4])
    if port > 65535:
        raise NetworkError(f"{text[:80]!r} names no TCP port")
    try:
        if kind == "ip4":
            host = str(ipaddress.IPv4Address(host))
        elif kind == "ip6":
            host = str(ipaddress.IPv6Address(host))
        elif kind not in ("dns", "dns4", "dns6") or not _NAME.fullmatch(host):
            raise ValueError(kind)
    except ValueError:
        raise NetworkError(f"{text[:80]!r} is no TCP multiaddr, such as /ip4/192.168.1.5/tcp/4001") from None
    return Endpoint(kind, host, port)


def from_socket(name: tuple[object, ...]) -> Endpoint:
    """The end point of a socket name, as getsockname and getpeername give it; IPv4 written as IPv6 becomes IPv4."""
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Endpoint(f"ip{address.version}", str(address), int(str(name[1])))


def is_public(host: str) -> bool:
    """Whether the whole internet may route to this IP address."""
    return ipaddress.ip_address(host).is_global


def machine_addresses() -> set[str]:
    """All IP addresses of this machine."""
    return {
        str(ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0]))
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    }


def interface_addresses() -> list[str]:
    """The IP addresses of this machine that other machines can use, in a stable order; loopback only if there is no other.

    IPv6 link-local addresses are left out: they mean nothing without the other machine's name for the link.
    """
    found = map(ipaddress.ip_address, machine_addresses())
    usable = [a for a in found if not (a.is_unspecified or a.is_multicast or (a.version == 6 and a.is_link_local))]
    outside = [a for a in usable if not a.is_loopback]
    return [str(a) for a in sorted(outside or usable, key=lambda a: (a.version, int(a)))]


def advertised(listening: Iterable[Endpoint], interfaces: Iterable[str], *, private_only: bool) -> list[str]:
    """What to tell others: the listening end points, each wildcard replaced by the ``interfaces`` of its family.

    ``private_only``: a wildcard does not stand for public addresses.
    """
    interfaces, result = list(interfaces), []
    for endpoint in listening:
        if not endpoint.wildcard:
            result.append(str(endpoint))
            continue
        version = int(endpoint.kind[2])
        same_family = (host for host in interfaces if ipaddress.ip_address(host).version == version)
        hidden = is_public if private_only else (lambda _: False)
        result += [str(Endpoint(endpoint.kind, host, endpoint.port)) for host in same_family if not hidden(host)]
    return list(dict.fromkeys(result))[:MAX_ADDRESSES]


def usable(claimed: Sequence[object]) -> list[str]:
    """Those of a peer's claimed addresses that may be dialled: well-formed, with a port, one host each; at most `MAX_ADDRESSES`."""
    good: dict[str, None] = {}
    for item in claimed[: 4 * MAX_ADDRESSES]:
        try:
            endpoint = parse(item) if isinstance(item, str) else None
        except NetworkError:
            continue
        if endpoint is None or not endpoint.port or endpoint.wildcard:
            continue
        if endpoint.kind in ("ip4", "ip6") and ipaddress.ip_address(endpoint.host).is_multicast:
            continue
        good[str(endpoint)] = None
    return list(good)[:MAX_ADDRESSES]


def group_of(host: str, *, wide: bool) -> str:
    """The neighbourhood of a remote address, for limits: an IPv4 address or an IPv6 /64; ``wide``: an IPv4 /24 or an IPv6 /48."""
    address = ipaddress.ip_address(host)
    bits = (24 if wide else 32) if address.version == 4 else (48 if wide else 64)
    return str(ipaddress.ip_network((address, bits), strict=False))
