"""Addresses as text multiaddrs: what to advertise, what may be trusted as a hint, and whether a port is free."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Sequence

import ifaddr

from mycelnode.errors import NetworkError

MAX_ADDRESSES = 16  # of one device, in the shared register and in an invite
MAX_ADDRESS_CHARS = 128

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse(addr: str) -> tuple[IPAddress, int] | None:
    """(IP address, port) of ``/ip4/…/tcp/…`` or ``/ip6/…/tcp/…``; None for anything else."""
    parts = addr.split("/")
    if len(addr) > MAX_ADDRESS_CHARS or len(parts) != 5 or parts[0] or parts[3] != "tcp" or not parts[4].isdecimal():
        return None
    try:
        ip = ipaddress.ip_address(parts[2])
    except ValueError:
        return None
    port = int(parts[4])
    return (ip, port) if parts[1] == f"ip{ip.version}" and port < 65536 else None


def format_addr(ip: IPAddress, port: int) -> str:
    """The multiaddr of an IP address and port."""
    return f"/ip{ip.version}/{ip}/tcp/{port}"


def interface_ips() -> list[IPAddress]:
    """The addresses of this machine's interfaces, link-local IPv6 left out (it means nothing without its interface)."""
    found: dict[IPAddress, None] = {}
    for adapter in ifaddr.get_adapters():
        for item in adapter.ips:
            text = item.ip if isinstance(item.ip, str) else item.ip[0]
            ip = ipaddress.ip_address(text.partition("%")[0])
            if not (ip.version == 6 and ip.is_link_local) and not ip.is_unspecified:
                found[ip] = None
    return list(found)


def _rank(ip: IPAddress) -> tuple[int, int]:
    kind = 2 if ip.is_loopback else 0 if ip.is_private else 1
    return kind, ip.version


def advertised(listening: Iterable[str]) -> list[str]:
    """Where others can reach a listener: wildcards become interface addresses, private ones first; loopback only if nothing else."""
    found: dict[tuple[IPAddress, int], None] = {}
    for addr in listening:
        parsed = parse(addr)
        if parsed is None or parsed[1] == 0:
            continue
        ip, port = parsed
        ips = [i for i in interface_ips() if i.version == ip.version] if ip.is_unspecified else [ip]
        found.update(dict.fromkeys((i, port) for i in ips))
    ordered = sorted(found, key=lambda item: (_rank(item[0]), str(item[0])))
    reachable = [item for item in ordered if not item[0].is_loopback] or ordered
    return [format_addr(ip, port) for ip, port in reachable[:MAX_ADDRESSES]]


def usable(addrs: Sequence[object]) -> list[str]:
    """Those of a peer's claimed addresses that may be dialled: well-formed, with a port, no wildcard, no multicast; bounded."""
    good = []
    for addr in addrs[: 4 * MAX_ADDRESSES]:
        parsed = parse(addr) if isinstance(addr, str) else None
        if parsed and parsed[1] and not parsed[0].is_unspecified and not parsed[0].is_multicast:
            good.append(format_addr(*parsed))
    return list(dict.fromkeys(good))[:MAX_ADDRESSES]


def check_free(addr: str) -> None:
    """Raise `NetworkError` if ``addr`` can't be listened on. (libp2p sets SO_REUSEPORT, so two nodes would share a port in silence.)"""
    parsed = parse(addr)
    if parsed is None:
        raise NetworkError(f"{addr} is not an address to listen on; use /ip4/…/tcp/PORT or /ip6/…/tcp/PORT")
    ip, port = parsed
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((str(ip), port))
    except OSError as error:
        why = "another program uses that port" if error.errno == errno.EADDRINUSE else error.strerror
        raise NetworkError(f"cannot listen on {addr}: {why}") from error


def describe_failure(error: BaseException) -> str:
    """A few words on why a dial failed, for people."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno is not None:
            return {errno.ECONNREFUSED: "refused", errno.EHOSTUNREACH: "no route", errno.ENETUNREACH: "no network"}.get(
                seen.errno, (seen.strerror or "failed").lower()
            )
        if isinstance(seen, BaseExceptionGroup):
            seen = seen.exceptions[0]
            continue
        seen = seen.__cause__ or seen.__context__
    text = str(error).lower()
    return "another device answers there" if "peer" in text and "mismatch" in text else "the handshake failed"
