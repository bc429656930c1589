"""A libp2p stream with trio's error contract: `ClosedError` closed here, `BrokenError` broken by the other end or the line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamEOF

from mycelnode.errors import BrokenError, ClosedError, NetworkError

_log = logging.getLogger(__name__)

WRITE_BYTES = (
    65_507  # a yamux frame of this size fits one Noise message; a full one would take two, at 3/4 of the speed
)
WINDOW_POLL_SECONDS = 0.01  # as libp2p does
NEGOTIATE_SECONDS = 10.0  # for a peer that opened a stream to say what it wants
NEGOTIATION_BYTES = 4096  # one read of it
CLOSE_SECONDS = 1.0  # for the polite end of a stream


class Stream:
    """A stream to ``peer``, which has the Ed25519 ``key``. ``drop`` begins to reset it, ``cut`` ends the connection under it."""

    def __init__(self, inner: Any, peer: str, key: bytes, drop: Callable[[], None], cut: Callable[[], None]) -> None:
        self._inner, self.peer, self.key, self._drop, self._cut = inner, peer, key, drop, cut
        self._closed = False
        self._unread = bytearray()
        self._reading = trio.CancelScope()  # yamux leaves a reader waiting whose stream is closed here

    async def send_all(self, data: bytes, *, deadline: float) -> None:
        """Send everything within ``deadline`` seconds.

        Not atomic: late or cancelled, a part may have gone out, encrypted in a message that never ends. So the whole connection is
        cut then.
        """
        if self._closed:
            raise ClosedError("the stream was closed here")
        try:
            with trio.fail_after(deadline):
                sent = 0
                while sent < len(data):
                    part = data[sent : sent + min(WRITE_BYTES, await self._window())]
                    await self._inner.write(part)
                    sent += len(part)
        except trio.TooSlowError as error:
            self._cut()
            raise BrokenError(f"{self.peer} took nothing for {deadline:.0f} seconds") from error
        except Exception as error:  # yamux lets errors of many kinds through; they all mean the same
            raise self._failure() from error
        except BaseException:
            self._cut()
            raise

    async def _window(self) -> int:
        """How many bytes the peer takes now, once it takes some.

        libp2p would give the stream up after five seconds in which it takes none; a device may be busy for longer.
        """
        muxed = self._inner.muxed_stream
        while muxed.send_window <= 0 and not (muxed.closed or muxed.send_closed):  # noqa: ASYNC110  # libp2p sets no event
            await trio.sleep(WINDOW_POLL_SECONDS)
        return max(1, int(muxed.send_window))  # of a closed one, `write` says so

    def _failure(self) -> NetworkError:
        return (
            ClosedError("the stream was closed here") if self._closed else BrokenError(f"the line to {self.peer} broke")
        )

    async def receive_some(self, max_bytes: int) -> bytes:
        """Some bytes, or b"" at the end of the stream. Raises `BrokenError`, `ClosedError`."""
        return self._take(max_bytes) if self._unread and not self._closed else await self._read(max_bytes)

    async def _read(self, max_bytes: int) -> bytes:
        if self._closed:
            raise ClosedError("the stream was closed here")
        with trio.CancelScope() as self._reading:
            try:
                data: bytes = await self._inner.read(max_bytes)
            except StreamEOF as error:
                muxed = self._inner.muxed_stream
                if muxed.reset_received or muxed.conn.event_shutting_down.is_set():
                    raise self._failure() from error  # a lost line, and no end that the peer wrote
                data = b""
            except Exception as error:
                raise self._failure() from error
            return data
        raise self._failure()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    # --- what negotiation needs ------------------------------------------------------------------------------------------

    async def read_exactly(self, size: int) -> bytes:
        """Exactly ``size`` bytes; what came beyond them is kept for `receive_some`."""
        while len(self._unread) < size:
            data = await self._read(NEGOTIATION_BYTES)
            if not data:
                raise BrokenError(f"{self.peer} ended the stream")
            self._unread += data
        return self._take(size)

    async def write(self, data: bytes) -> None:
        """Send a few bytes."""
        await self.send_all(data, deadline=NEGOTIATE_SECONDS)

    # --- ending ----------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close both directions, without waiting long for the peer."""
        if self._closed:
            return
        self._end_reading()
        polite = False
        try:
            with trio.move_on_after(CLOSE_SECONDS), suppress(Exception):
                await self._inner.close()
                polite = True
        finally:
            if not polite:
                self._drop()

    def cut(self) -> None:
        """End the connection under the stream at once, with all its streams; other connections with the peer stay."""
        self._cut()

    def reset(self) -> None:
        """Give the stream up at once; raises nothing."""
        if not self._closed:
            self._end_reading()
            self._drop()

    def _end_reading(self) -> None:
        self._closed = True
        self._reading.cancel()


async def reset_quietly(inner: INetStream, cut: Callable[[], None]) -> None:
    """Reset a libp2p stream; a line that does not even take that is cut."""
    with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_SECONDS) as scope:
        try:
            await inner.reset()
        except Exception as error:
            _log.debug("resetting a stream failed: %s", error)
    if scope.cancelled_caught:
        cut()
