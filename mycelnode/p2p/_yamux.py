"""yamux that ends when its line does, and holds a peer to bounds.

libp2p 0.8.1's answers what it has buffered of a dead connection for up to a minute, with a logged error for every frame, and counts
that connection as one meanwhile. It takes any number of streams, of bytes that nobody reads, and frames of any version, type and
parity. A peer that stops without a word stays for ever.
"""

from __future__ import annotations

import logging
import struct
from contextlib import suppress
from typing import Any

import trio
from libp2p.io.utils import read_exactly
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import Yamux as Libp2pYamux
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from mycelnode.p2p._sockets import cut

MAX_DATA_BYTES = 2 << 20  # of one frame: libp2p 0.8.1 and Kubo send 64 KiB in one, Helia as much as the window lets it
FIRST_STREAMS, FIRST_BYTES = 16, 512 << 10  # until the guard has said who it is
STREAMS_AT_ONCE = 4  # that a peer may fill to the full size of their windows without being cut
DATA_SECONDS = 30.0  # from a DATA frame's header to its last byte
FIRST_PING_SECONDS = 0.5  # the answer tells libp2p how far it is, for the sizes of windows
PING_SECONDS = 6.0  # a peer that said nothing for so long is asked whether it lives
SILENCES = 3  # in a row, and it is taken for dead. Counted so, a pause of our own program is one, however long
_log = logging.getLogger(__name__)


def use_bounded_yamux() -> None:
    """Make libp2p multiplex with `Yamux`: whatever it is told to use, it takes the class of this name."""
    muxer_multistream.Yamux = Yamux
    yamux.YamuxStream = _Stream
    yamux.read_exactly = _read_header


async def _read_header(secured: Any, size: int) -> bytes:
    """Stands in libp2p's reader of frames, which calls it for nothing but headers: bodies are read by `Yamux._read_data_body`."""
    header: bytes = await read_exactly(secured, size)
    if not secured.mycel_look_at(header):
        await trio.lowlevel.checkpoint()  # leaves `handle_incoming`
    return header


class _Stream(YamuxStream):  # type: ignore[misc]  # libp2p is not checked
    """Lets its window grow no further than the peer may fill it: else it would be cut for what it was told to do."""

    def _apply_autotune_epoch(self, buffered: int) -> int:
        if 2 * self.target_recv_window > self.conn.max_window:
            return 0
        extra: int = super()._apply_autotune_epoch(buffered)
        return extra


class Unread:
    """What the connections of strangers make us hold together: beyond ``most`` bytes whoever makes us hold most is cut."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._connections: set[Yamux] = set()
        self._guess = 0  # what is held is no more than that: what is read meanwhile is seen when it matters

    def add(self, connection: Yamux) -> None:
        """One more of them."""
        self._connections.add(connection)
        self._guess += connection.unread

    def discard(self, connection: Yamux) -> None:
        """It has ended, or is no stranger's."""
        self._connections.discard(connection)

    def comes(self, size: int) -> None:
        """So many bytes are about to come over one of them."""
        self._guess += size
        while self._guess > self._most and self._connections:
            unread = {connection: connection.unread for connection in self._connections}
            self._guess = sum(unread.values()) + size
            if self._guess > self._most:
                most = max(unread, key=unread.__getitem__)
                self.discard(most)
                most.misbehaves("it makes us hold most of what all strangers do")


class Yamux(Libp2pYamux):  # type: ignore[misc]  # libp2p is not checked
    """One multiplexed connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._alive = trio.CancelScope()
        self._frames = 0  # that have come
        self._pinging = False
        self.secured_conn.mycel_look_at = self._look_at
        self._together: Unread | None = None
        self.hold_to(streams=FIRST_STREAMS, unread=FIRST_BYTES)

    def hold_to(self, *, streams: int, unread: int, together: Unread | None = None) -> None:
        """End the connection if the peer has more ``streams``, or makes us hold more ``unread`` bytes than these.

        ``together``: with whom it is counted as well.
        """
        self._max_streams, self._max_unread = streams, unread
        self.max_window = unread // STREAMS_AT_ONCE
        self._leave()
        if together is not None:
            self._together = together
            together.add(self)

    def _leave(self) -> None:
        if self._together is not None:
            self._together.discard(self)
            self._together = None

    @property
    def unread(self) -> int:
        """Bytes that have come, and that nobody has read."""
        return sum(map(len, self.stream_buffers.values()))

    def end(self) -> None:
        """End the connection now, whatever is under way on it: the only end that a frozen peer cannot hang."""
        cut(self.secured_conn.mycel_raw)
        self._alive.cancel()

    def misbehaves(self, how: str) -> None:
        """End the connection, and say why."""
        _log.info("cutting %s: %s", self.peer_id, how)
        self.end()

    def _look_at(self, header: bytes) -> bool:
        """Is this the header of a frame that a peer may send? If not, the connection is over."""
        self._frames += 1
        version, kind, flags, stream = struct.unpack_from(">BBHI", header)
        begins = kind in (yamux.TYPE_DATA, yamux.TYPE_WINDOW_UPDATE) and flags & yamux.FLAG_SYN
        theirs = stream and stream % 2 == (0 if self.is_initiator else 1)
        if version or kind > yamux.TYPE_GO_AWAY or (begins and not theirs):
            self.misbehaves("it sends bad frames")
            return False
        return True

    # --- is anybody there? -----------------------------------------------------------------------------------------------

    async def _measure_rtt_loop(self) -> None:
        """Ask a silent peer whether it lives, and end the connection if it does not say so: a frozen one closes nothing."""
        await trio.sleep(FIRST_PING_SECONDS)
        silences = 0
        self._begin_ping()
        while silences < SILENCES:
            before = self._frames
            await trio.sleep(PING_SECONDS)
            silences = silences + 1 if self._frames == before else 0
            if silences:
                self._begin_ping()
        _log.info("cutting %s: it does not answer", self.peer_id)
        self.end()

    def _begin_ping(self) -> None:
        if not self._pinging:
            self._pinging = True
            self._nursery.start_soon(self._ping)

    async def _ping(self) -> None:
        """Waits for as long as the peer takes nothing; cancelled in the middle of a frame, it would break the line."""
        with suppress(Exception):
            self._ping_id += 1
            await self._write_frame(
                struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_PING, yamux.FLAG_SYN, 0, self._ping_id)
            )
            self._ping_sent_time = trio.current_time()
        self._pinging = False

    # --- frames ----------------------------------------------------------------------------------------------------------

    async def handle_incoming(self) -> None:
        """Read frames until the line or `end` ends it; then wake everybody who waits on a stream."""
        try:
            with self._alive:
                await super().handle_incoming()
        finally:
            self._leave()
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
        if length > MAX_DATA_BYTES or self.unread + length > self._max_unread:
            self.misbehaves("it floods (bytes)")
        elif self._together is not None:
            self._together.comes(length)
        await trio.lowlevel.checkpoint_if_cancelled()  # leaves `handle_incoming` if it is cut
        with trio.fail_after(DATA_SECONDS):
            data: bytes = await read_exactly(self.secured_conn, length)
        return data

    async def accept_stream(self) -> YamuxStream:
        """The next stream that the peer has opened."""
        stream = await super().accept_stream()
        if len(self.streams) > self._max_streams:
            self.misbehaves("it floods (streams)")
        return stream

    def _finalize_stream_locked(self, stream: YamuxStream, *, fully_closed: bool) -> None:
        if fully_closed and stream.reset_received:
            self.stream_buffers.pop(
                stream.stream_id, None
            )  # nobody may read that now; libp2p would keep the stream for it
        super()._finalize_stream_locked(stream, fully_closed=fully_closed)
