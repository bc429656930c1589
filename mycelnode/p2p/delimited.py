"""Messages after their lengths (a varint), as the protocols of libp2p have them on a stream."""

from __future__ import annotations

from collections.abc import Callable

import trio

from mycelnode.errors import BrokenError, PeerMisbehaved
from mycelnode.p2p.host import Stream
from mycelnode.protobuf import varint

READ_BYTES = 16 << 10  # at once


def delimited(message: bytes) -> bytes:
    """The message, after its length."""
    return varint(len(message)) + message


class Reader:
    """The messages of one stream, of at most ``most`` bytes each.

    ``at_once``: bytes that are read of a busy stream, so that it may be that far ahead; ``stirs`` is called when some have come.
    """

    def __init__(
        self, stream: Stream, most: int, *, at_once: int = READ_BYTES, stirs: Callable[[], None] = lambda: None
    ) -> None:
        self._stream, self._most, self._at_once, self._stirs = stream, most, at_once, stirs
        self._places = len(varint(most))  # of the longest length
        self._buffer = bytearray()

    async def next(self, seconds: float) -> bytes | None:
        """The next message, or None at a clean end. It may begin whenever it likes, and has ``seconds`` from then on.

        Raises `PeerMisbehaved` if it does not end in that time, and as `length`.
        """
        if not (self._buffer or await self._more()):
            return None
        with trio.move_on_after(seconds):
            size = await self.length()
            return None if size is None else await self.body(size)
        raise PeerMisbehaved(f"{self._stream.peer} did not end a message that it began")

    async def length(self) -> int | None:
        """The length of the next message, or None at a clean end.

        Raises `PeerMisbehaved`, before anything is awaited for it, if it is longer than may be; `BrokenError`.
        """
        if not (self._buffer or await self._more()):
            return None
        size, place = 0, 0
        while True:
            await self._until(place + 1)
            byte = self._buffer[place]
            size |= (byte & 0x7F) << 7 * place
            place += 1
            if size > self._most or (byte >= 0x80 and place == self._places):
                raise PeerMisbehaved(f"{self._stream.peer} announced a message of more than {self._most} bytes")
            if byte < 0x80:
                del self._buffer[:place]
                return size

    async def body(self, size: int) -> bytes:
        """The next ``size`` bytes. Nothing is allocated that has not come. Raises `BrokenError`."""
        await self._until(size)
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    async def _until(self, size: int) -> None:
        while len(self._buffer) < size:
            if not await self._more():
                raise BrokenError(f"{self._stream.peer} ended the stream within a message")

    async def _more(self) -> bool:
        data = await self._stream.receive_some(self._at_once)
        self._buffer += data
        self._stirs()
        return bool(data)
