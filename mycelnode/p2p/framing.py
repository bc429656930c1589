"""Frames on a byte stream: 4-byte length ‖ payload ‖ 8-byte BLAKE2b of the payload, and an empty frame that marks a clean end.

The end marker is there because a byte stream alone cannot tell a peer that finished from one that was killed: libp2p 0.8.1 reports
the same end of file for both. Without the marker the end of the bytes is a broken line.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from typing import Protocol

import trio

from mycelnode.errors import BrokenError, ClosedError, PeerMisbehaved, ValueRefused

MAX_FRAME_BYTES = 1 << 20  # of payload
HASH_BYTES = 8  # finds damage and lost synchronisation; authenticity is Noise's affair
READ_BYTES = 1 << 18  # of a busy line, four Noise messages: larger reads gain nothing
WRITE_SECONDS = 30.0  # one frame must be handed to the line within this
CLOSE_SECONDS = 5.0  # for the end marker; after that the stream is reset

_LENGTH = struct.Struct(">I")


class ByteStream(Protocol):
    """What `FrameStream` needs of a stream; `mycelnode.p2p.host.Stream` is one."""

    async def send_all(self, data: bytes, *, deadline: float) -> None:
        """Send everything within ``deadline`` seconds."""

    async def receive_some(self, max_bytes: int) -> bytes:
        """At most ``max_bytes`` bytes; none at the end."""

    async def aclose(self) -> None:
        """Close both directions after what was sent."""

    def reset(self) -> None:
        """Give the stream up at once."""


def _hash(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=HASH_BYTES).digest()


END = _LENGTH.pack(0) + _hash(b"")


def encode_frame(payload: bytes, max_frame: int = MAX_FRAME_BYTES) -> bytes:
    """The frame of one payload of 1 to ``max_frame`` bytes; `ValueRefused` for any other length."""
    if not 0 < len(payload) <= max_frame:
        raise ValueRefused(f"a frame carries 1 to {max_frame} bytes, not {len(payload)}")
    return b"".join((_LENGTH.pack(len(payload)), payload, _hash(payload)))


class FrameDecoder:
    """Turns bytes, cut anywhere, into payloads. Pure.

    Holds at most what was fed: a length is compared with ``max_frame`` before anything is awaited for it, and nothing is ever
    allocated from it. After an error the decoder is spent.
    """

    def __init__(self, max_frame: int = MAX_FRAME_BYTES) -> None:
        self.max_frame = max_frame
        self.ended = False  # the end marker was seen
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes held of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that ``data`` completes. Raises `PeerMisbehaved`: an oversized length, a wrong hash, bytes after the end."""
        buffer, payloads, place = self._buffer, [], 0
        buffer += data
        while not self.ended and len(buffer) - place >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, place)
            if length > self.max_frame:
                raise PeerMisbehaved(f"the other end announced a frame of {length} bytes; {self.max_frame} are allowed")
            start = place + _LENGTH.size
            end = start + length
            if len(buffer) < end + HASH_BYTES:
                break
            with memoryview(buffer) as view:
                payload = bytes(view[start:end])
                intact = view[end : end + HASH_BYTES] == _hash(payload)
            if not intact:
                raise PeerMisbehaved("a frame of the other end does not match its hash")
            place = end + HASH_BYTES
            if length:
                payloads.append(payload)
            else:
                self.ended = True
        del buffer[:place]
        if self.ended and buffer:
            raise PeerMisbehaved("the other end sent more after its end marker")
        return payloads


class FrameStream:
    """Frames over one stream. Several tasks may send at once; one may receive."""

    def __init__(self, stream: ByteStream, max_frame: int = MAX_FRAME_BYTES) -> None:
        self.stream = stream
        self.max_frame = max_frame
        self._decoder = FrameDecoder(max_frame)
        self._ready: deque[bytes] = deque()
        self._sending = trio.Lock()
        self._closed = False
        self._cut = False  # a frame went out in part, so no other may follow

    async def send(self, payload: bytes, *, deadline: float = WRITE_SECONDS) -> None:
        """Send one payload within ``deadline`` seconds, the wait for other senders included.

        Raises `ValueRefused` (wrong size; nothing was sent), `ClosedError`, `BrokenError`. Not atomic: cancelled or late, the frame
        may be cut, and then the stream is reset.
        """
        await self._send(encode_frame(payload, self.max_frame), deadline)

    async def _send(self, frame: bytes, deadline: float) -> None:
        if self._closed:
            raise ClosedError("this end of the stream was closed")
        limit = trio.current_time() + deadline
        with trio.move_on_at(limit):
            async with self._sending:
                if self._cut:
                    raise BrokenError("an earlier frame was cut short")
                self._cut = True
                try:
                    await self.stream.send_all(frame, deadline=limit - trio.current_time())
                    self._cut = False
                finally:
                    if self._cut:
                        self.stream.reset()
                return
        raise BrokenError(f"the other end took nothing for {deadline:.0f} seconds")

    async def receive(self, *, deadline: float | None = None) -> bytes | None:
        """The next payload, or None after the other end's end marker; waits ``deadline`` seconds, or for ever.

        Raises `BrokenError` (also when the bytes end without the marker), `PeerMisbehaved` (and resets), `ClosedError`.
        Cancelling loses nothing: the next call goes on where this one stopped.
        """
        with trio.move_on_after(float("inf") if deadline is None else deadline):
            return await self._receive()
        raise BrokenError(f"nothing came for {deadline} seconds")

    async def _receive(self) -> bytes | None:
        while not self._ready:
            if self._closed:
                raise ClosedError("this end of the stream was closed")
            if self._decoder.ended:
                return None
            data = await self.stream.receive_some(READ_BYTES)
            if not data:
                raise BrokenError("the other end stopped without an end marker")
            try:
                self._ready.extend(self._decoder.feed(data))
            except PeerMisbehaved:
                self.stream.reset()
                raise
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Send the end marker and close; a line that is broken already is no error. Cancelled, the stream is reset."""
        if self._closed:
            return
        try:
            await self._send(END, CLOSE_SECONDS)
        except (BrokenError, ClosedError):
            self.stream.reset()
        finally:
            self._closed = True
            await self.stream.aclose()
