"""Announcements of patterns over GossipSub, on the swarm door: the driver of `protocols.gossip` (docs/protocols/announcements.md).

Each peer has one stream to us and one from us. RPCs wait for a slow peer in a bounded queue and are lost beyond it: whoever lacks
an announcement is told of it again, and the catalogue has it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from mycelnode.background import open_background
from mycelnode.errors import BrokenError, EncodingError, NetworkError, PeerMisbehaved, Unsupported
from mycelnode.p2p.delimited import Reader, delimited
from mycelnode.p2p.host import Connection, Host, Stream
from mycelnode.protocols import gossip_wire
from mycelnode.protocols.announce import Announcement, Judge, Verdict, Verify
from mycelnode.protocols.buckets import Buckets, Rate
from mycelnode.protocols.gossip import HEARTBEAT_SECONDS, MAX_PEERS, Cut, Deliver, Gossip, Send
from mycelnode.protocols.gossip_wire import MAX_RPC_BYTES, Rpc

TOPIC: Final = "/mycel/patterns/1"
PROTOCOL: Final = "/meshsub/1.1.0"
MAX_HEARD: Final = 256  # announcements that nobody has taken yet; more are lost
MAX_QUEUED: Final = 64  # RPCs that wait for one peer
MAX_QUEUED_BYTES: Final = 512 << 10  # of them
USEFUL_SECONDS: Final = 60.0  # that a peer is spared by the guard for an announcement that was new
OPEN_SECONDS: Final = 10.0
RPC_SECONDS: Final = 30.0  # for an RPC that has begun
SEND_SECONDS: Final = 30.0
MAX_OPENED: Final = 5  # streams on one connection, one after the other has broken
RPC_COST: Final = 1024  # bytes that an RPC costs beside its own
RPC_RATE: Final = Rate(burst=1 << 20, per_second=1 << 16)  # bytes that are read of one peer; then it has to wait

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """An announcement, and the peer that it came from, which may have got it from another."""

    peer: str
    announcement: Announcement


@dataclass(slots=True, eq=False)
class _Link:
    """What waits for a peer."""

    line: Connection
    queue: trio.MemorySendChannel[bytes]
    waiting: trio.MemoryReceiveChannel[bytes]
    queued: int = 0
    reading: Stream | None = None  # its stream to us
    speaks: trio.Event = field(default_factory=trio.Event)  # it has opened one
    ends: trio.CancelScope = field(default_factory=trio.CancelScope)


class GossipService:
    """Announcements on a running host. Made by `open_gossip`."""

    def __init__(
        self, host: Host, judge: Judge, random: Callable[[], float], topic: str, nursery: trio.Nursery
    ) -> None:
        self._host, self._judge, self._topic, self._nursery = host, judge, topic, nursery
        self._machine: Gossip[Announcement] = Gossip(self._verdict, random)
        self._links: dict[str, _Link] = {}
        self._rates = Buckets(RPC_RATE, 2 * MAX_PEERS)
        self._heard, self._unheard = trio.open_memory_channel[Heard](MAX_HEARD)
        self.lost = 0  # accepted, and dropped since nobody took what had come before

    # --- for the node ------------------------------------------------------------------------------------------------------

    @property
    def neighbours(self) -> frozenset[str]:
        """The peers that listen for announcements."""
        return self._machine.neighbours

    @property
    def mesh(self) -> frozenset[str]:
        """Those of them that get every announcement at once from us."""
        return self._machine.mesh

    def publish(self, announcement: Announcement) -> int:
        """Tell all neighbours; returns how many there are. With none, only who comes within seconds hears of it."""
        sends = self._machine.publish(announcement.write())
        self._act(sends)
        return len(sends)

    async def receive(self) -> Heard:
        """The next announcement that is new, signed by its creator, and of nobody who is blocked. Cancelling loses nothing."""
        return await self._unheard.receive()

    def greet(self, peer: str) -> None:
        """There is a connection with ``peer``: speak with it, unless that is under way on the line in use."""
        try:
            line = self._host.line(peer)
        except BrokenError:
            return
        known = self._links.get(peer)
        if known is not None and known.line is line:
            return
        if known is not None:
            known.ends.cancel()  # the guard has taken another connection in its place
        elif len(self._links) >= MAX_PEERS:
            return
        send, receive = trio.open_memory_channel[bytes](MAX_QUEUED)
        link = self._links[peer] = _Link(line, send, receive)
        self._nursery.start_soon(self._tend, link)

    # --- the machine -------------------------------------------------------------------------------------------------------

    def _verdict(self, peer: str, data: bytes, now: float) -> tuple[Verdict, Announcement | None]:
        try:
            return self._judge.judge(peer, data, now)
        except Exception:  # of what was injected: who is blocked is read from a store
            _log.exception("an announcement could not be judged")
            return Verdict.IGNORE, None

    def _act(self, actions: Iterable[Send | Deliver[Announcement] | Cut]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._queue(action.peer, action.rpc)
            elif isinstance(action, Deliver):
                self._host.useful(action.peer, USEFUL_SECONDS)
                try:
                    self._heard.send_nowait(Heard(action.peer, action.said))
                except trio.WouldBlock:
                    self.lost += 1
            else:
                _log.info("cutting %s: %s", action.peer, action.reason)
                self._host.disconnect(action.peer)

    def _queue(self, peer: str, rpc: Rpc) -> None:
        link = self._links.get(peer)
        if link is None:
            return
        data = self._frame(rpc)
        if link.queued + len(data) > MAX_QUEUED_BYTES:
            return
        try:
            link.queue.send_nowait(data)
        except trio.WouldBlock:
            return
        link.queued += len(data)

    def _frame(self, rpc: Rpc) -> bytes:
        return delimited(rpc.write(self._topic))

    async def beat(self) -> None:
        """The heartbeat, for as long as the service is open."""
        while True:
            self.greet_all()
            self._act(self._machine.heartbeat(trio.current_time()))
            await trio.sleep(HEARTBEAT_SECONDS)

    def changed(self, peer: str, here: bool) -> None:
        """A peer has come or gone; of who has gone its own task takes note."""
        if here:
            self.greet(peer)

    def greet_all(self) -> None:
        """Speak with whoever is connected and is not spoken with: who came while there was no room, or changed lines."""
        for peer in self._host.connected() - self._links.keys():
            self.greet(peer)

    # --- streams -----------------------------------------------------------------------------------------------------------

    async def _tend(self, link: _Link) -> None:
        """Speak with a peer until the connection is over."""
        peer = link.line.peer
        try:
            with link.ends:
                async with open_background() as nursery:
                    nursery.start_soon(self._speak, link)
                    await link.line.over.wait()
        except Exception:  # of one peer; the others still listen
            _log.exception("gossip with %s failed", peer)
        finally:
            if self._links.get(peer) is link:
                del self._links[peer]
                self._machine.disconnected(peer)
            if link.reading is not None:
                link.reading.reset()  # perhaps of a newer connection: then it says anew that it is subscribed

    async def _speak(self, link: _Link) -> None:
        peer = link.line.peer
        for opened in range(MAX_OPENED):
            if opened:
                await trio.sleep(HEARTBEAT_SECONDS * 2**opened)
            try:
                stream = await self._host.open_stream(link.line, PROTOCOL, deadline=OPEN_SECONDS)
            except Unsupported:  # or not yet: a node is met before it has opened everything. Then it speaks first
                await link.speaks.wait()
                link.speaks = trio.Event()
                continue
            except NetworkError as error:
                _log.debug("no gossip with %s: %s", peer, error)
                continue
            try:
                hello = self._machine.connected(peer)
                if hello is None:
                    return
                await stream.send_all(self._frame(hello), deadline=SEND_SECONDS)
                await self._send(link, stream)
            except NetworkError as error:
                _log.debug("gossip to %s ended: %s", peer, error)
            finally:
                stream.reset()

    async def _send(self, link: _Link, stream: Stream) -> None:
        async for data in link.waiting:
            link.queued -= len(data)
            await stream.send_all(data, deadline=SEND_SECONDS)

    async def serve(self, stream: Stream) -> None:
        """A peer's stream to us; a newer one takes the place of an older."""
        self.greet(stream.peer)
        link = self._links.get(stream.peer)
        if link is None:
            return
        if link.reading is not None:
            link.reading.reset()
        link.reading = stream
        link.speaks.set()
        reader = Reader(stream, MAX_RPC_BYTES)
        try:
            while (data := await reader.next(RPC_SECONDS)) is not None:
                await trio.sleep(self._rates.owe(stream.peer, trio.current_time(), len(data) + RPC_COST))
                rpc = gossip_wire.read(data, self._topic)
                self._act(self._machine.receive(stream.peer, rpc, trio.current_time()))
        except (EncodingError, PeerMisbehaved) as error:
            _log.debug("gossip of %s ended: %s", stream.peer, error)
            if self._judge.reject(stream.peer) is Verdict.CUT:
                self._act([Cut(stream.peer, "it says again and again what no peer says")])
        finally:
            if link.reading is stream:
                link.reading = None


@asynccontextmanager
async def open_gossip(
    host: Host,
    *,
    verify: Verify,
    blocked: Callable[[bytes], bool],
    wall: Callable[[], float],
    random: Callable[[], float],
    topic: str = TOPIC,
) -> AsyncIterator[GossipService]:
    """Serve announcements on ``host`` until the block is left.

    Arguments: ``verify(key, message, signature)`` checks Ed25519, ``blocked(creator)`` says of whom nothing is delivered or passed
    on, ``wall()`` is Unix time in seconds, ``random()`` is uniform in [0, 1).
    """
    async with open_background() as nursery:
        service = GossipService(host, Judge(verify, blocked, wall), random, topic, nursery)
        host.set_handler(PROTOCOL, service.serve, strangers=True)
        nursery.start_soon(service.beat)
        host.watch(service.changed)
        try:
            yield service
        finally:
            host.unwatch(service.changed)
            host.remove_handler(PROTOCOL)
