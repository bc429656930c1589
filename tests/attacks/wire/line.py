"""A blocking TCP connection, with the address that it comes from of one's choice."""

from __future__ import annotations

import socket
import struct

from .bits import host_and_port

PATIENCE = 20.0  # seconds that any call waits, unless it is told otherwise


class Broken(Exception):
    """The other end closed or reset the connection, or what it says makes no sense."""


class Silent(Broken):
    """The other end said or took nothing for as long as one's patience."""


class Line:
    """Bytes, in both directions."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def patience(self, seconds: float | None) -> None:
        """Wait this long in each call from now on."""
        self.socket.settimeout(seconds)

    def write(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except TimeoutError as error:
            raise Silent("it takes nothing") from error
        except OSError as error:
            raise Broken(str(error)) from error

    def read_some(self, size: int = 1 << 16) -> bytes:
        """At least a byte; b"" at the end."""
        try:
            return self.socket.recv(size)
        except TimeoutError as error:
            raise Silent("it says nothing") from error
        except OSError as error:
            raise Broken(str(error)) from error

    def read(self, size: int) -> bytes:
        """Exactly this many bytes."""
        data = bytearray()
        while len(data) < size:
            more = self.read_some(size - len(data))
            if not more:
                raise Broken("it hung up")
            data += more
        return bytes(data)

    def read_to_the_end(self) -> bytes:
        """What comes until the other end hangs up, one way or another."""
        data = bytearray()
        try:
            while more := self.read_some():
                data += more
        except Broken:
            pass
        return bytes(data)

    def hung_up(self, within: float) -> bool:
        """Does the other end hang up within so many seconds, having said no more?"""
        before = self.socket.gettimeout()
        self.socket.settimeout(within)
        try:
            return self.socket.recv(1 << 16) == b""
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(before)

    def close(self) -> None:
        """Politely: with a FIN."""
        self.socket.close()

    def reset(self) -> None:
        """With an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def connect(addr: str, *, source: str = "", timeout: float = PATIENCE) -> Line:
    """To ``addr`` (multiaddr or host:port), from the address ``source``. All of 127.0.0.0/8 is this machine."""
    host, port = host_and_port(addr)
    try:
        sock = socket.create_connection((host, port), timeout, (source, 0) if source else None)
    except OSError as error:
        raise Broken(str(error)) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Line(sock)
