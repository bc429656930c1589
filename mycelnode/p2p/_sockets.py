"""The sockets under libp2p's connections, which it does not show: their two ends, an immediate end, and whether a port is free."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Any

import trio

from mycelnode.errors import NetworkError
from mycelnode.p2p._addresses import Endpoint, from_socket

_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "no route",
    errno.ENETUNREACH: "no network",
    errno.ETIMEDOUT: "no answer",
    errno.ECONNRESET: "it hung up",
    errno.EADDRNOTAVAIL: "no such address here",
}


def socket_of(raw: Any) -> Any:
    """The trio socket of a libp2p ``RawConnection`` over TCP; None for anything else."""
    return getattr(getattr(getattr(raw, "stream", None), "stream", None), "socket", None)


def ends(raw: Any) -> tuple[Endpoint, Endpoint] | None:
    """(our end, their end) of a connection, or None if it is gone. libp2p itself tells neither for IPv6."""
    found = socket_of(raw)
    if found is None:
        return None
    try:
        return from_socket(found.getsockname()), from_socket(found.getpeername())
    except (OSError, ValueError):
        return None


def cut(raw: Any) -> None:
    """Close a connection's socket now: whoever waits on it is woken, and no polite goodbye can hang on a frozen peer."""
    found = socket_of(raw)
    if found is not None:
        with suppress(OSError):
            found.close()


def check_free(endpoint: Endpoint) -> None:
    """Raise `NetworkError` if ``endpoint`` can't be listened on. (libp2p sets SO_REUSEPORT: two nodes would share a port in silence.)"""
    family = socket.AF_INET6 if endpoint.kind == "ip6" else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((endpoint.host, endpoint.port))
    except OSError as error:
        why = "another program uses that port" if error.errno == errno.EADDRINUSE else error.strerror or "it failed"
        raise NetworkError(f"cannot listen on {endpoint}: {why}") from error


def describe_failure(error: BaseException) -> str:
    """A few words on why a dial failed, for people."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno is not None:
            return _WORDS.get(seen.errno, (seen.strerror or "failed").lower())
        if isinstance(seen, BaseExceptionGroup):
            seen = seen.exceptions[0]
            continue
        text = str(seen).lower()
        if isinstance(seen, (TimeoutError, trio.TooSlowError)) or "timed out" in text or "timeout" in text:
            return "no answer"
        if "mismatch" in text:
            return "another device answers there"
        seen = seen.__cause__ or seen.__context__
    return "it refused the handshake"
