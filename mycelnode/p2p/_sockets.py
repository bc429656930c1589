"""TCP sockets: listening ones, and those under libp2p's connections, which it does not show: their two ends, an immediate end."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import trio
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.transport.exceptions import MuxerUpgradeFailure

from mycelnode.errors import NetworkError
from mycelnode.p2p._addresses import Endpoint, from_socket

BACKLOG = 128  # connections that the system may hold ready for us
NOT_LET_IN = "it does not let us in"
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "no route",
    errno.ENETUNREACH: "no network",
    errno.ETIMEDOUT: "no answer",
    errno.ECONNRESET: "it hung up",
    errno.EADDRNOTAVAIL: "no such address here",
}
_log = logging.getLogger(__name__)


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


def is_open(raw: Any) -> bool:
    """Is the socket of a connection still open at our end?"""
    found = socket_of(raw)
    return found is not None and found.fileno() >= 0


def cut(raw: Any) -> None:
    """Close a connection's socket now: whoever waits on it is woken, and no polite goodbye can hang on a frozen peer."""
    found = socket_of(raw)
    if found is not None:
        with suppress(OSError):
            found.close()


@contextmanager
def listen_on(endpoints: Sequence[Endpoint]) -> Iterator[list[trio.SocketListener]]:
    """Listening sockets, shared with no other program, IPv6 apart from IPv4; closed on leaving.

    Those that leave the port open get the same one if possible. A wildcard of a family that this machine lacks is left out, if
    another end point remains. Raises `NetworkError`.
    """
    opened: list[socket.socket] = []
    chosen = 0
    try:
        for endpoint in endpoints:
            if endpoint.kind not in ("ip4", "ip6"):
                raise NetworkError(f"cannot listen on {endpoint}: that takes an IP address")
            try:
                opened.append(_open(endpoint, chosen))
            except OSError as error:
                if not (endpoint.wildcard and error.errno in _NO_SUCH_FAMILY and len(endpoints) > 1):
                    why = (
                        "another program uses that port"
                        if error.errno == errno.EADDRINUSE
                        else error.strerror or "it failed"
                    )
                    raise NetworkError(f"cannot listen on {endpoint}: {why}") from error
                _log.info("not listening on %s: %s", endpoint, error.strerror)
            else:
                chosen = chosen or (0 if endpoint.port else opened[-1].getsockname()[1])
        if endpoints and not opened:
            raise NetworkError("this machine has no address to listen on")
        yield [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in opened]
    finally:
        for each in opened:
            each.close()


def _open(endpoint: Endpoint, chosen: int) -> socket.socket:
    """One listening socket; if the end point leaves the port open, on ``chosen``, or else on any."""
    if endpoint.port or not chosen:
        return _bind(endpoint, endpoint.port)
    try:
        return _bind(endpoint, chosen)
    except OSError:
        return _bind(endpoint, 0)


def _bind(endpoint: Endpoint, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if endpoint.kind == "ip6" else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # for connections of the last run that linger; listeners exclude each other
        if endpoint.kind == "ip6":
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((endpoint.host, port))
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def describe_failure(error: BaseException) -> str:
    """A few words on why a dial failed, for people."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, PeerIDMismatchesPubkey):
            return "another device answers there"
        if isinstance(seen, MuxerUpgradeFailure):
            return NOT_LET_IN  # it has shown its key and seen ours, and hung up
        if isinstance(seen, OSError) and seen.errno is not None:
            return _WORDS.get(seen.errno, (seen.strerror or "failed").lower())
        if isinstance(seen, (TimeoutError, trio.TooSlowError)):
            return "no answer"
        seen = seen.exceptions[0] if isinstance(seen, BaseExceptionGroup) else seen.__cause__ or seen.__context__
    return "no device of ours answers there"
