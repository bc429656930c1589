"""A libp2p stream with trio's error contract: `ClosedError` closed here, `BrokenError` broken by the other end or the line."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF

from mycelnode.errors import BrokenError, ClosedError

_log = logging.getLogger(__name__)

WRITE_BYTES = 65_507  # a yamux frame of this size fits one Noise message; a full one would take two, at 3/4 of the speed
CLOSE_SECONDS = 1.0  # for the polite end of a stream

Drop = Callable[[INetStream], None]  # begin to reset a stream, without waiting


class Stream:
    """A stream to ``peer``, whose Ed25519 public key is ``key``."""

    def __init__(self, inner: INetStream, peer: str, key: bytes, drop: Drop, cut: Callable[[], None]) -> None:
        self._inner, self.peer, self.key, self._drop, self._cut = inner, peer, key, drop, cut
        self._closed = False
        self._unread = bytearray()

    async def send_all(self, data: bytes, *, deadline: float) -> None:
        """Send everything within ``deadline`` seconds.

        Not atomic: late or cancelled, a part may have gone out, encrypted in a message that never ends. So the whole connection is
        cut then.
        """
        if self._closed:
            raise ClosedError("the stream was closed here")
        finished = False
        try:
            with trio.move_on_after(deadline):
                for start in range(0, len(data), WRITE_BYTES):
                    await self._inner.write(data[start : start + WRITE_BYTES])
                finished = True
        except StreamClosed as error:
            finished = True
            raise ClosedError("the stream is closed") from error
        except Exception as error:  # yamux lets socket errors of several kinds through; all mean the same here
            finished = True
            raise BrokenError(f"the line to {self.peer} broke") from error
        finally:
            if not finished:
                self._closed = True
                self._cut()
        if not finished:
            raise BrokenError(f"{self.peer} took nothing for {deadline:.0f} seconds")

    async def receive_some(self, max_bytes: int) -> bytes:
        """Some bytes, or b"" at the end of the stream, which may also be a killed peer: see `FrameStream`."""
        if self._closed:
            raise ClosedError("the stream was closed here")
        if self._unread:
            taken = bytes(self._unread[:max_bytes])
            del self._unread[:max_bytes]
            return taken
        try:
            data: bytes = await self._inner.read(max_bytes)
        except StreamEOF:
            return b""
        except Exception as error:
            raise BrokenError(f"the line to {self.peer} broke") from error
        return data

    # --- what negotiation needs ------------------------------------------------------------------------------------------

    async def read_exactly(self, size: int) -> bytes:
        """Exactly ``size`` bytes; what came beyond them is kept."""
        while len(self._unread) < size:
            data = await self._inner_some()
            if not data:
                raise BrokenError(f"{self.peer} ended the stream")
            self._unread += data
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    async def _inner_some(self) -> bytes:
        kept, self._unread = self._unread, bytearray()
        try:
            return await self.receive_some(4096)
        finally:
            self._unread = kept + self._unread

    async def write(self, data: bytes) -> None:
        """Send a few bytes."""
        await self.send_all(data, deadline=CLOSE_SECONDS * 10)

    # --- ending ----------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close both directions, without waiting long for the peer."""
        if self._closed:
            return
        self._closed = True
        with trio.move_on_after(CLOSE_SECONDS) as scope:
            try:
                await self._inner.close()
            except Exception:
                self._drop(self._inner)
        if scope.cancelled_caught:
            self._drop(self._inner)

    def reset(self) -> None:
        """Give the stream up at once; raises nothing."""
        if not self._closed:
            self._closed = True
            self._drop(self._inner)


async def reset_quietly(inner: INetStream) -> None:
    """Reset a libp2p stream, whatever state its line is in."""
    with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_SECONDS):
        try:
            await inner.reset()
        except Exception:
            _log.debug("resetting a stream failed")
