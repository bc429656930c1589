"""yamux that ends when its line does, and holds a peer to bounds.

libp2p 0.8.1's answers what it has buffered of a dead connection for up to a minute, with a logged error for every frame, and counts
that connection as one meanwhile. It takes any number of streams, and of bytes that nobody reads.
"""

from __future__ import annotations

import logging
from typing import Any

import trio
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux.yamux import Yamux as Libp2pYamux
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from mycelnode.p2p._sockets import cut

MAX_DATA_BYTES = 1 << 20  # of one frame; libp2p 0.8.1 sends at most 64 KiB in one
FIRST_STREAMS, FIRST_BYTES = 16, 512 << 10  # until the guard has said who it is
_log = logging.getLogger(__name__)


def use_bounded_yamux() -> None:
    """Make libp2p multiplex with `Yamux`: whatever it is told to use, it takes the class of this name."""
    muxer_multistream.Yamux = Yamux


class Yamux(Libp2pYamux):  # type: ignore[misc]  # libp2p is not checked
    """One multiplexed connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._alive = trio.CancelScope()
        self.hold_to(streams=FIRST_STREAMS, unread=FIRST_BYTES)

    def hold_to(self, *, streams: int, unread: int) -> None:
        """End the connection if the peer has more ``streams``, or makes us hold more ``unread`` bytes than these."""
        self._max_streams, self._max_unread = streams, unread

    def end(self) -> None:
        """End the connection now, whatever is under way on it: the only end that a frozen peer cannot hang."""
        cut(self.secured_conn.mycel_raw)
        self._alive.cancel()

    def _flooded(self, what: str) -> None:
        _log.info("cutting %s: it floods (%s)", self.peer_id, what)
        self.end()

    async def handle_incoming(self) -> None:
        """Read frames until the line or `end` ends it; then wake everybody who waits on a stream."""
        with self._alive:
            await super().handle_incoming()
        if not self.is_closed:
            await self._cleanup_on_error()
        self.event_started.set()  # libp2p waits for this before it looks whether a connection has ended

    async def _write_frame(self, data: bytes) -> None:
        try:
            await super()._write_frame(data)
        except Exception:
            self.end()
            raise

    async def _read_data_body(self, length: int) -> bytes:
        unread = sum(map(len, self.stream_buffers.values()))
        if length > MAX_DATA_BYTES or unread + length > self._max_unread:
            self._flooded("bytes")
            await trio.lowlevel.checkpoint()  # leaves `handle_incoming`
        data: bytes = await super()._read_data_body(length)
        return data

    async def accept_stream(self) -> YamuxStream:
        """The next stream that the peer has opened."""
        stream = await super().accept_stream()
        if len(self.streams) > self._max_streams:
            self._flooded("streams")
        return stream

    def _finalize_stream_locked(self, stream: YamuxStream, *, fully_closed: bool) -> None:
        if fully_closed and stream.reset_received:
            self.stream_buffers.pop(
                stream.stream_id, None
            )  # nobody may read that now; libp2p would keep the stream for it
        super()._finalize_stream_locked(stream, fully_closed=fully_closed)
