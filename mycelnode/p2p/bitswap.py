"""Runs the Bitswap machine over the streams of a host: bytes in, bytes out, blocks from and to a store; nothing is decided here.

Each end sends on a stream of its own, which it keeps; Kubo and Helia read no answer on the stream of a question.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from mycelnode.background import open_background
from mycelnode.encoding import base32
from mycelnode.errors import BlockUnavailable, BrokenError, EncodingError, MycelError, NetworkError, PeerMisbehaved
from mycelnode.p2p.delimited import Reader, delimited
from mycelnode.p2p.host import Host, Stream
from mycelnode.p2p.walking import walk_all
from mycelnode.ports import BlockStore
from mycelnode.protocols.bitswap import Event, Exchange, Outgoing, Stuck, asked_for
from mycelnode.protocols.bitswap_client import TICK_SECONDS, Flooded, Got, Missed, Session
from mycelnode.protocols.bitswap_frames import (
    MAX_MESSAGE,
    PROTOCOL,
    decode_message,
    encode_message,
)
from mycelnode.protocols.dag_walk import DagWalk, Links

READ_BYTES = 256 << 10  # at once, of a busy stream
LARGE_BYTES = 256 << 10  # a message beyond that holds blocks: of who owes us none, few are taken at a time
LARGE_AT_ONCE = 4  # of those
OWED_SECONDS = 120.0  # for a message to come whole
LARGE_SECONDS = 30.0  # for one of those that hold up others of their kind
CHATTER_RATE = (
    512 << 10
)  # bytes a second of everything but blocks that are read of one peer: a megabyte of want-lists costs
CHATTER_BYTES = 4 << 20  # 35 ms of computing. So many of them at once
OPEN_SECONDS = 10.0  # for a peer to take a stream
SEND_SECONDS = 30.0  # for a peer to take a message; after that the connection is cut
USEFUL_SECONDS = 60.0  # after a block went either way, a peer is worth its place
FETCH_SECONDS = 60.0  # for one block, unless the caller says otherwise
WINDOW = 16  # blocks of one DAG that are fetched at once
STORE_THREADS = 4  # that read and write blocks
_log = logging.getLogger(__name__)
Result = TypeVar("Result")
Gives = Callable[[bytes], bool]  # of a CID: may others have the block, and know that it is here?


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a DAG is fetched: ``blocks`` of it and their ``size`` in bytes are here, ``fetched`` of them came just now.

    ``known``: how many blocks it is known to have so far.
    """

    blocks: int
    size: int
    fetched: int
    known: int


@dataclass(slots=True, eq=False)
class _Line:
    """What is under way with one connected peer."""

    reading: trio.Lock = field(default_factory=trio.Lock)  # one message at a time is put together and looked at
    chatter: float = 0.0  # when what it has said is paid for, at `CHATTER_RATE`
    stream: Stream | None = None  # on which we send
    speaking: bool = False
    deaf: bool = False  # it took no stream of ours; until it says something itself, nothing is said to it


@dataclass(slots=True, eq=False)
class _Waiter:
    """Who waits for one block."""

    users: int = 0
    done: trio.Event = field(default_factory=trio.Event)
    data: bytes | None = None


class Bitswap:
    """Bitswap on one host. Made by `open_bitswap`."""

    def __init__(
        self, host: Host, store: BlockStore, nursery: trio.Nursery, gives: Gives, per_second: float = math.inf
    ) -> None:
        self.host, self._store, self._nursery, self._gives = host, store, nursery, gives
        self.machine = Exchange(per_second)
        self._lines: dict[str, _Line] = {}
        self._waiting: dict[bytes, _Waiter] = {}
        self._threads = trio.CapacityLimiter(STORE_THREADS)
        self._large = trio.CapacityLimiter(LARGE_AT_ONCE)
        self._wake, self._due = trio.Event(), math.inf  # when the clock is looked at next

    @property
    def peers(self) -> set[str]:
        """Who is connected, and was not seen to speak no Bitswap."""
        return self.machine.client.peers

    # --- fetching ------------------------------------------------------------------------------------------------------------

    async def fetch(
        self,
        cid: bytes,
        *,
        peers: Collection[str] | None = None,
        deadline: float = FETCH_SECONDS,
        patient: bool = True,
    ) -> bytes:
        """The block ``cid`` (36 bytes): from the store, else of ``peers`` (None: all that are connected); it is what its name says.

        It is not put into the store. Raises `BlockUnavailable` after ``deadline`` seconds, or, unless ``patient``, once all have
        said that they do not have it; `BusyError`, what the store raises.
        Cancelled, nothing is asked for any more.
        """
        held = await self._in_thread(self._store.get, cid)
        return held if held is not None else await self._ask(cid, _session(peers, patient), deadline)

    async def fetch_dag(
        self,
        root: bytes,
        *,
        links: Links,
        max_blocks: int,
        max_bytes: int,
        peers: Collection[str] | None = None,
        deadline: float = FETCH_SECONDS,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Progress:
        """Fetch every block of the DAG under ``root`` that is not here into the store, `WINDOW` at once.

        ``links(cid, block)``: the CIDs that a block names. ``deadline``: seconds for each block. What is here already is not
        fetched again, so this goes on where an earlier call was stopped. The caller pins ``root`` first, or garbage collection may
        take blocks while others are still coming.

        Raises `DagRefused` if there are more than ``max_blocks``, or ``max_bytes`` in all, or ``links`` cannot read one;
        `BlockUnavailable`, `BusyError`, and what the store raises. What came until then stays.
        """
        walk, session = DagWalk(root, links, max_blocks, max_bytes), _session(peers)
        fetched = 0

        async def take(name: bytes) -> None:
            nonlocal fetched
            size, data = await self._in_thread(self._look_up, name, walk.leaf(name))
            if size is None:
                data = await self._ask(name, session, deadline)
                size = len(data)
                await self.put(name, data)
                fetched += 1
            walk.take(name, size, data)
            on_progress(Progress(walk.blocks, walk.size, fetched, walk.known))

        await walk_all(walk, take, window=WINDOW)
        return Progress(walk.blocks, walk.size, fetched, walk.known)

    def _look_up(self, name: bytes, leaf: bool) -> tuple[int | None, bytes]:
        """Size and content of a block that is here; of a leaf, which names nothing, the size is enough."""
        if leaf:
            return self._store.size(name), b""
        data = self._store.get(name)
        return (None, b"") if data is None else (len(data), data)

    async def _ask(self, cid: bytes, session: Session, seconds: float) -> bytes:
        now = trio.current_time()
        self.machine.want(cid, session, now + seconds, now)
        waiter = self._waiting.setdefault(cid, _Waiter())
        waiter.users += 1
        self._stir()
        if self._due > now + TICK_SECONDS:
            self._wake.set()
        try:
            with trio.move_on_after(seconds):
                await waiter.done.wait()
        finally:
            waiter.users -= 1
            if not waiter.done.is_set():
                self.machine.client.drop(cid, trio.current_time())
                self._stir()
                if not waiter.users and self._waiting.get(cid) is waiter:
                    del self._waiting[cid]
        if waiter.data is None:
            took = trio.current_time() - now
            raise BlockUnavailable(
                f"none of {len(self.peers)} connected peers gave the block b{base32(cid)} in {took:.0f} seconds"
            )
        return waiter.data

    # --- storing -------------------------------------------------------------------------------------------------------------

    async def put(self, cid: bytes, block: bytes) -> None:
        """Put a block into the store, and let the peers know that wait for it. Raises what the store raises."""
        await self._in_thread(self._store.put, cid, block)
        self.stored(cid, len(block))

    def stored(self, cid: bytes, size: int) -> None:
        """A block was put into the store by somebody else: let the peers know that wait for it."""
        if self._gives(cid):
            self.machine.arrived(cid, size)
            self._stir()

    async def _in_thread(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await trio.to_thread.run_sync(call, *arguments, limiter=self._threads)

    def _sizes(self, names: Iterable[bytes]) -> dict[bytes, int]:
        found = {name: self._store.size(name) for name in names}
        return {name: size for name, size in found.items() if size is not None}

    def _read(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the blocks that are (still) here and whole."""
        found = dict[bytes, bytes]()
        for name in names:
            try:
                data = self._store.get(name)
            except MycelError as error:
                _log.warning("a block that is to be sent cannot be read: %s", error)
                continue
            if data is not None:
                found[name] = data
        return found

    # --- peers ---------------------------------------------------------------------------------------------------------------

    def _changed(self, peer: str, here: bool) -> None:
        if here:
            self._lines[peer] = _Line()
            self.machine.connected(peer, trio.current_time())
        else:
            self._gone(peer)
        self._stir()

    def _gone(self, peer: str) -> None:
        line = self._lines.pop(peer, None)
        if line is not None and line.stream is not None:
            line.stream.reset()
        self.machine.disconnected(peer, trio.current_time())

    def _stir(self) -> None:
        """Let those speak to whom there is something to say, and look at the clock when there may be more."""
        now = trio.current_time()
        for peer in self.machine.speaks_to(now):
            line = self._lines.get(peer)
            if line is not None and not line.speaking:
                line.speaking = True
                self._nursery.start_soon(self._speak, peer, line)
        if self.machine.answer_due(now) < self._due:
            self._wake.set()

    async def _speak(self, peer: str, line: _Line) -> None:
        try:
            while self._lines.get(peer) is line and (said := self.machine.next(peer, trio.current_time())) is not None:
                self._stir()  # it may be the turn of another now
                data, gives = await self._write(said)
                await self._send(peer, line, data)
                if self._lines.get(peer) is line:
                    self.machine.sent(peer)
                if gives:
                    self.host.useful(peer, USEFUL_SECONDS)
        except MycelError as error:  # the line broke, or it does not speak Bitswap
            _log.debug("nothing can be said to %s over Bitswap: %s", peer, error)
            if self._lines.get(peer) is line:
                line.deaf, line.stream = True, None
                self.machine.disconnected(peer, trio.current_time())
        finally:
            line.speaking = False
        self._stir()

    async def _write(self, said: Outgoing) -> tuple[bytes, bool]:
        """The message, and whether it gives blocks. Only one copy of these is left."""
        given = [name for name in said.wanted if self._gives(name)]  # a peer may have waited long
        blocks = await self._in_thread(self._read, given) if given else {}
        return delimited(encode_message(said.message(blocks))), bool(blocks)

    async def _send(self, peer: str, line: _Line, data: bytes) -> None:
        """On the stream of the last message, or a new one where the peer has ended that."""
        if line.stream is not None:
            try:
                await line.stream.send_all(data, deadline=SEND_SECONDS)
                return
            except NetworkError:
                line.stream.reset()
                line.stream = None
        line.stream = await self.host.open_stream(self.host.line(peer), PROTOCOL, deadline=OPEN_SECONDS)
        await line.stream.send_all(data, deadline=SEND_SECONDS)

    # --- what comes ----------------------------------------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        """Read messages for as long as the peer keeps its stream."""
        reader = Reader(stream, MAX_MESSAGE, at_once=READ_BYTES, stirs=partial(self._stirs, stream.peer))
        try:
            while (size := await reader.length()) is not None:
                line = self._lines.get(stream.peer)
                if line is None:
                    raise BrokenError(f"the line to {stream.peer} broke")
                if line.deaf:
                    line.deaf = False
                    self.machine.connected(stream.peer, trio.current_time())
                async with line.reading:
                    chatter = await self._hear(stream.peer, await self._body(stream.peer, reader, size))
                    await _pay(line, chatter)
        except PeerMisbehaved:
            stream.cut()
            raise
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()

    async def _body(self, peer: str, reader: Reader, size: int) -> bytes:
        """Put one message together; of the large ones that nobody asked for only a few at a time, however many peers there are."""
        if size > LARGE_BYTES and not self.machine.client.owes(peer):
            async with self._large:
                return await _within(LARGE_SECONDS, reader.body(size), peer)
        return await _within(OWED_SECONDS, reader.body(size), peer)

    def _stirs(self, peer: str) -> None:
        self.machine.client.stirs(peer, trio.current_time())

    async def _hear(self, peer: str, data: bytes) -> int:
        """Returns how many bytes of the message were no block."""
        try:
            message = decode_message(data)
        except EncodingError as error:
            raise PeerMisbehaved(f"{peer} sent no Bitswap message: {error}") from error
        asked = [name for name in asked_for(message) if self._gives(name)]
        held = await self._in_thread(self._sizes, asked) if asked else {}
        for event in self.machine.hear(peer, message, held, trio.current_time()):
            self._happened(event)
        self._stir()
        return len(data) - sum(len(block.data) for block in message.blocks)

    def _happened(self, event: Event) -> None:
        match event:
            case Got(name, data, peer):
                self._end(name, data)
                self.host.useful(peer, USEFUL_SECONDS)
            case Missed(name):
                self._end(name, None)
            case Flooded(peer, unwanted):
                _log.info("cutting %s: it sent %d bytes of blocks that nobody asked for", peer, unwanted)
                self.host.disconnect(peer)
            case Stuck(peer):
                _log.info("cutting %s: it takes its blocks too slowly, and others wait", peer)
                self.host.disconnect(peer)

    def _end(self, name: bytes, data: bytes | None) -> None:
        waiter = self._waiting.pop(name, None)
        if waiter is not None:
            waiter.data = data
            waiter.done.set()

    async def _watch_the_clock(self) -> None:
        while True:
            self._wake, self._due = trio.Event(), self.machine.next_due(trio.current_time())
            with trio.move_on_at(self._due):
                await self._wake.wait()
            for event in self.machine.tick(trio.current_time()):
                self._happened(event)
            self._stir()


async def _within(seconds: float, coming: Awaitable[bytes], peer: str) -> bytes:
    with trio.move_on_after(seconds):
        return await coming
    raise BrokenError(f"a message of {peer} did not come whole in {seconds:.0f} seconds")


async def _pay(line: _Line, chatter: int) -> None:
    """Wait, before more of a peer is read, until what it has said is paid for."""
    now = trio.current_time()
    line.chatter = max(line.chatter, now - CHATTER_BYTES / CHATTER_RATE) + chatter / CHATTER_RATE
    if line.chatter > now:
        await trio.sleep_until(line.chatter)


def _session(peers: Collection[str] | None, patient: bool = True) -> Session:
    return Session(None if peers is None else frozenset(peers), patient)


@asynccontextmanager
async def open_bitswap(
    host: Host,
    store: BlockStore,
    *,
    strangers: bool,
    gives: Gives = lambda cid: True,
    per_second: float = math.inf,
) -> AsyncIterator[Bitswap]:
    """Bitswap on ``host``, with every peer that is connected, until the block is left; ``strangers``: also with those.

    Of the blocks of ``store`` those are for all who may use it that it ``gives``; of the others nobody hears. The store is called
    in threads, by up to `STORE_THREADS` at once. ``per_second``: bytes of blocks that go out to all peers together.
    """
    async with open_background() as nursery:
        bitswap = Bitswap(host, store, nursery, gives, per_second)
        host.watch(bitswap._changed)
        host.set_handler(PROTOCOL, bitswap._serve, strangers=strangers)
        try:
            for peer in host.connected():
                bitswap._changed(peer, True)
            nursery.start_soon(bitswap._watch_the_clock)
            yield bitswap
        finally:
            host.remove_handler(PROTOCOL)
            host.unwatch(bitswap._changed)
            for peer in list(bitswap._lines):
                bitswap._gone(peer)
