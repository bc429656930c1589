"""Asking the peers of a DHT: connections, shares, and the walk towards a key (docs/protocols/providers.md)."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from mycelnode.errors import BrokenError, MycelError, PeerMisbehaved
from mycelnode.p2p._addresses import is_public, parse, usable
from mycelnode.p2p.delimited import Reader, delimited
from mycelnode.p2p.host import Host, Stream
from mycelnode.protocols.kad_table import Table, Walk
from mycelnode.protocols.kad_wire import MAX_MESSAGE_BYTES, Kind, Message, PeerAddrs, peer_bytes

ASK_SECONDS: Final = 10.0  # for a question and its answer, connecting included
READ_SECONDS: Final = 10.0  # that a stream may be silent
SEND_SECONDS: Final = 10.0
STREAMS_AT_PEER: Final = 2  # of ours, at one peer
WALKS: Final = 8  # under way at once
IDLE_SECONDS: Final = 60.0  # after which a connection that was made for a question is ended

Ask = Callable[[PeerAddrs], Awaitable[Sequence[PeerAddrs]]]  # a question; those nearer to what is looked for
_log = logging.getLogger(__name__)


async def send(stream: Stream, message: Message) -> None:
    """Raises what `Stream.send_all` raises."""
    await stream.send_all(delimited(message.write()), deadline=SEND_SECONDS)


class Asker:
    """Asks peers over a host, and takes note in ``table`` of who answers.

    ``tells``: in its questions it says where we are, for who reads that. ``bootstrap``: addresses that are tried whatever they are.
    ``private``: are addresses of private networks tried? None: as long as we have no public one. ``nursery`` is that of questions:
    to cancel one in the middle cuts a connection that others use.
    """

    def __init__(
        self,
        host: Host,
        protocol: str,
        table: Table,
        nursery: trio.Nursery,
        *,
        tells: bool,
        bootstrap: Mapping[str, Sequence[str]],
        private: bool | None,
        clock: Callable[[], float],
    ) -> None:
        self._host, self._protocol, self._table, self._nursery = host, protocol, table, nursery
        self._tells, self._bootstrap, self._on_private, self._clock = tells, bootstrap, private, clock
        self._walks = trio.Semaphore(WALKS)
        self._turns: dict[str, trio.CapacityLimiter] = {}
        self._dialled: dict[str, float] = {}  # for a question, and when it was last used for one

    # --- addresses ---------------------------------------------------------------------------------------------------------

    @property
    def _private(self) -> bool:
        """Are we on a private network only? Then private addresses are of use."""
        if self._on_private is not None:
            return self._on_private
        return not any(is_public(parse(addr).host) for addr in self._host.addrs)

    def dialable(self, addrs: Iterable[str]) -> list[str]:
        """Those of a stranger's addresses that we try: no names, which may stand for anything.

        Those of private networks only if we are on one.
        """
        private = self._private
        kept = []
        for addr in usable(list(addrs)):
            endpoint = parse(addr)
            if endpoint.kind in ("ip4", "ip6") and (private or is_public(endpoint.host)):
                kept.append(addr)
        return kept

    def at_its_address(self, addrs: Iterable[str], peer: str) -> tuple[str, ...]:
        """Those of its addresses from which it speaks to us: else it could have others dial whom it likes."""
        host = ipaddress.ip_address(self._host.line(peer).host)
        return tuple(addr for addr in self.dialable(addrs) if ipaddress.ip_address(parse(addr).host) == host)

    def ourselves(self) -> tuple[PeerAddrs, ...]:
        """Where we are, as messages say it; nothing while we cannot be reached."""
        addrs = tuple(self._host.addrs)
        return (PeerAddrs(self._host.peer_id, addrs),) if addrs else ()

    # --- one peer ----------------------------------------------------------------------------------------------------------

    async def ask(self, to: PeerAddrs, question: Message) -> Message:
        """Raises `NetworkError`, `Unsupported`, `EncodingError`."""
        if self._tells:  # who reads it, and serves as well, may ask us
            question = Message(question.kind, question.key, self.ourselves(), question.providers)
        async with self._turn(to.peer):
            stream = await self._open(to)
            try:
                await send(stream, question)
                said = await Reader(stream, MAX_MESSAGE_BYTES).next(READ_SECONDS)
            finally:
                stream.reset()
        if said is None:
            raise BrokenError(f"{to.peer} ended the stream without an answer")
        answer = Message.read(said)
        if answer.kind is not question.kind:
            raise PeerMisbehaved(f"{to.peer} answered another question")
        self._table.answered(to.peer, self.at_its_address(to.addrs, to.peer), self._clock())
        return answer

    async def give(self, to: PeerAddrs, key: bytes) -> None:
        """Tell a peer that we provide a key. It does not acknowledge that. Raises as `ask`."""
        async with self._turn(to.peer):
            stream = await self._open(to)
            await send(stream, Message(Kind.ADD_PROVIDER, key, providers=self.ourselves()))
            await stream.aclose()

    @asynccontextmanager
    async def _turn(self, peer: str) -> AsyncIterator[None]:
        """At most `STREAMS_AT_PEER` questions of ours are at one peer, which has few streams for each of its own."""
        turns = self._turns.setdefault(peer, trio.CapacityLimiter(STREAMS_AT_PEER))
        try:
            async with turns:
                yield
        finally:
            statistics = turns.statistics()
            if not statistics.borrowed_tokens and not statistics.tasks_waiting:
                self._turns.pop(peer, None)

    async def _open(self, to: PeerAddrs) -> Stream:
        until = trio.current_time() + ASK_SECONDS
        if to.peer not in self._host.connected():
            addrs = (*self._bootstrap.get(to.peer, ()), *self.dialable(to.addrs))
            await self._host.dial(to.peer, addrs, deadline=ASK_SECONDS / 2)
            self._dialled[to.peer] = trio.current_time()
        if to.peer in self._dialled:
            self._dialled[to.peer] = trio.current_time()
        return await self._host.open_stream(
            self._host.line(to.peer), self._protocol, deadline=until - trio.current_time()
        )

    def sweep(self, keep: Callable[[str], bool]) -> None:
        """End connections that were made for a question, and that nobody uses: but those of which ``keep`` says so."""
        before = trio.current_time() - IDLE_SECONDS
        connected = self._host.connected()
        for peer, used in list(self._dialled.items()):
            if peer not in connected:
                del self._dialled[peer]
            elif used < before and not keep(peer) and not self._host.line(peer).streams:
                del self._dialled[peer]
                self._host.disconnect(peer)

    # --- many --------------------------------------------------------------------------------------------------------------

    async def each(self, peers: Iterable[PeerAddrs], do: Callable[[PeerAddrs], Awaitable[None]]) -> None:
        """Do something with each, at once and `ASK_SECONDS` long; what peers do wrong is no error."""
        done = trio.Semaphore(0)

        async def one(to: PeerAddrs) -> None:
            try:
                with trio.fail_after(ASK_SECONDS):
                    await do(to)
            except (MycelError, trio.TooSlowError) as error:
                _log.debug("%s: %s", to.peer, error)
            except Exception:  # of one peer; the others still want asking
                _log.exception("asking %s failed", to.peer)
            finally:
                done.release()

        started = 0
        for each in peers:
            self._nursery.start_soon(one, each)
            started += 1
        for _ in range(started):
            await done.acquire()

    async def try_all(self, peers: Iterable[PeerAddrs]) -> None:
        """Do they serve? Then they are in the table."""
        target = peer_bytes(self._host.peer_id)

        async def ask(to: PeerAddrs) -> None:
            await self.ask(to, Message(Kind.FIND_NODE, target))

        await self.each(peers, ask)

    async def walk(
        self,
        place: int,
        ask: Ask,
        enough: Callable[[], bool] = lambda: False,
        found: list[PeerAddrs] | None = None,
    ) -> int:
        """Walk towards a place; returns how many did not answer, and puts into ``found`` the nearest that did."""
        failures = 0
        async with self._walks:
            walk = Walk(place, self._host.peer_id, self._table.closest(place))
            moved = trio.Event()

            async def one(to: PeerAddrs) -> None:
                nonlocal moved, failures
                try:
                    with trio.fail_after(ASK_SECONDS):
                        closer = await ask(to)
                    walk.answered(to.peer, [PeerAddrs(e.peer, tuple(self.dialable(e.addrs))) for e in closer])
                except Exception as error:
                    expected = isinstance(error, MycelError | trio.TooSlowError)
                    _log.debug("%s did not answer: %s", to.peer, error, exc_info=None if expected else error)
                    failures += 1
                    self._table.failed(to.peer)
                    walk.failed(to.peer, again=isinstance(error, BrokenError))
                moved.set()

            while not (walk.over or enough()):
                to = walk.next()
                if to is not None:
                    self._nursery.start_soon(one, to)
                    continue
                await moved.wait()
                moved = trio.Event()
            if found is not None:
                found += walk.found()
        return failures
