"""yamux, https://github.com/hashicorp/yamux/blob/master/spec.md: streams on one line, and any frame that one wants to send.

Nothing runs by itself: frames are read while somebody reads a stream, or calls `Session.pump`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .line import Broken, Silent
from .noise import Secured
from .select import propose

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
WINDOW = 256 << 10  # of each stream, at first and in each direction
_HEADER = struct.Struct(">BBHII")
_CHUNK = 60_000  # of a DATA frame: with its header it fits a Noise message


def header(kind: int, flags: int, stream: int, length: int, version: int = 0) -> bytes:
    """The twelve bytes of a frame."""
    return _HEADER.pack(version, kind, flags, stream, length)


class Stream:
    """One stream. ``credit``: bytes that the other end still takes."""

    def __init__(self, session: Session, number: int) -> None:
        self.session, self.number = session, number
        self.credit, self.ended, self.was_reset = WINDOW, False, False
        self.unread = bytearray()

    def write(self, data: bytes, *, obey: bool = True) -> None:
        """Send; ``obey`` the other end's window, or don't."""
        while data:
            while obey and not self.credit:
                self.session.pump()
                self._check()
            size = min(len(data), _CHUNK, self.credit if obey else _CHUNK)
            self.session.frame(DATA, 0, self.number, body=data[:size])
            self.credit -= size if obey else 0
            data = data[size:]

    def _check(self) -> None:
        if self.was_reset or self.session.over:
            raise Broken("the stream was reset" if self.was_reset else "the connection is over")

    def read_some(self) -> bytes:
        """Some bytes; b"" at the end that the other side wrote."""
        while not self.unread and not self.ended:
            self._check()
            self.session.pump()
        self._check()
        data = bytes(self.unread)
        self.unread.clear()
        if data and not self.ended:
            self.session.frame(WINDOW_UPDATE, 0, self.number, len(data))
        return data

    def read(self, size: int) -> bytes:
        """Exactly this many bytes."""
        data = bytearray()
        while len(data) < size:
            more = self.read_some()
            if not more:
                raise Broken("the stream ended")
            data += more
        self.unread[:0] = data[size:]
        return bytes(data[:size])

    def close(self) -> None:
        """End our direction."""
        self.session.frame(WINDOW_UPDATE, FIN, self.number)

    def reset(self) -> None:
        """End both."""
        self.session.frame(WINDOW_UPDATE, RST, self.number)


class Session:
    """yamux on an encrypted line; ``dialled``: by us, who have the odd stream ids then. ``polite``: answer pings."""

    def __init__(self, secure: Secured, *, dialled: bool = True, polite: bool = True) -> None:
        self.secure, self.polite = secure, polite
        self._next = 1 if dialled else 2
        self.streams: dict[int, Stream] = {}
        self.incoming: list[Stream] = []
        self.over = False

    @property
    def their_key(self) -> bytes:
        """The Ed25519 key of the other end."""
        return self.secure.their_key

    def frame(
        self, kind: int, flags: int = 0, stream: int = 0, length: int | None = None, body: bytes = b"", version: int = 0
    ) -> None:
        """Send one frame, right or wrong; ``length`` is that of the body unless given."""
        self.secure.write(header(kind, flags, stream, len(body) if length is None else length, version) + body)

    def numbers(self) -> Iterator[int]:
        """Fresh stream ids, without end."""
        while True:
            self._next += 2
            yield self._next - 2

    def raw_stream(self, number: int | None = None) -> Stream:
        """A stream that is opened, and on which nothing is said."""
        number = next(self.numbers()) if number is None else number
        self.streams[number] = stream = Stream(self, number)
        self.frame(WINDOW_UPDATE, SYN, number)
        return stream

    def open(self, protocol: str) -> Stream:
        """A stream on which ``protocol`` is agreed. Raises `Refused`, `Broken`."""
        stream = self.raw_stream()
        propose(stream, protocol)
        return stream

    def next_incoming(self) -> Stream:
        """Wait for a stream that the other end opens."""
        while not self.incoming:
            self.pump()
        return self.incoming.pop(0)

    def _read(self) -> tuple[int, int, int, int, bytes]:
        try:
            _, kind, flags, number, length = _HEADER.unpack(self.secure.read(_HEADER.size))
            return kind, flags, number, length, self.secure.read(length) if kind == DATA and length else b""
        except Silent:
            raise
        except Broken:
            self.over = True
            raise

    def next_flags(self) -> int:
        """The flags of the next frame of a stream, which is not acted upon."""
        while True:
            kind, flags, *_ = self._read()
            if kind in (DATA, WINDOW_UPDATE):
                return flags

    def pump(self) -> None:
        """Read one frame and act on it. Raises `Broken` when the line is over, `Silent` when one's patience is."""
        kind, flags, number, length, body = self._read()
        if kind == PING:
            if flags & SYN and self.polite:
                self.frame(PING, ACK, 0, length)
            return
        if kind == GO_AWAY:
            self.over = True
            return
        stream = self.streams.get(number)
        if stream is None:
            if not flags & SYN:
                return
            stream = self.streams[number] = Stream(self, number)
            self.frame(WINDOW_UPDATE, ACK, number)
            self.incoming.append(stream)
        if kind == WINDOW_UPDATE:
            stream.credit += length
        stream.unread += body
        stream.ended |= bool(flags & FIN)
        stream.was_reset |= bool(flags & RST)

    def close(self) -> None:
        """Hang up, without a goodbye."""
        self.over = True
        self.secure.close()
