"""Who provides a block: Kademlia's provider records, on the swarm door (libp2p specs, kad-dht; docs/protocols/providers.md).

Mycel nodes serve each other under a protocol name of their own. The public DHT of IPFS speaks the same under its name; there we ask
and tell, and serve nobody.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from mycelnode.background import open_background
from mycelnode.errors import BrokenError, EncodingError, MycelError, NetworkError, PeerMisbehaved
from mycelnode.p2p._addresses import group_of, is_public, parse, usable
from mycelnode.p2p.delimited import Reader, delimited
from mycelnode.p2p.host import Host, Stream
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.buckets import Buckets, Rate
from mycelnode.protocols.kad_table import BUCKET, Table, Walk, place_of, place_of_peer
from mycelnode.protocols.kad_wire import MAX_MESSAGE_BYTES, Kind, Message, PeerAddrs, peer_bytes
from mycelnode.protocols.providers import Own, ProviderStore

MYCEL_KAD: Final = "/mycel/kad/1.0.0"
IPFS_KAD: Final = "/ipfs/kad/1.0.0"
ASK_SECONDS: Final = 10.0  # for a question and its answer, connecting included
READ_SECONDS: Final = 10.0  # that a stream may be silent
SEND_SECONDS: Final = 10.0
STREAMS: Final = 64  # that are served; then the one that has been silent longest goes
STREAMS_OF_PEER: Final = 4  # of them
STREAMS_AT_PEER: Final = 2  # of ours, at one peer
QUESTION_RATE: Final = Rate(burst=64, per_second=20)  # of one peer; then it has to wait
MAX_PEERS: Final = 1024  # whose shares are kept
WALKS: Final = 8  # under way at once
CANDIDATES: Final = 32  # peers that say they serve, too, and are not asked yet
TEND_SECONDS: Final = 10.0
REFRESH_SECONDS: Final = 600.0
REPUBLISH_AT_ONCE: Final = 16  # keys in each `TEND_SECONDS`
IDLE_SECONDS: Final = 60.0  # after which a connection that was made for a question is ended
BOOTSTRAP_SECONDS: Final = 20.0
_SHA2_256: Final = b"\x12\x20"
_KEY_BYTES: Final = 34

_log = logging.getLogger(__name__)


def key_of(cid: Cid) -> bytes:
    """Under which key a block is provided: its multihash, whatever the codec."""
    return _SHA2_256 + cid.digest


def bootstrap_peer(addr: str) -> PeerAddrs:
    """Of ``/…/tcp/PORT/p2p/PEER``. Raises `NetworkError` if it is none, and `EncodingError` for its peer id."""
    where, found, peer = addr.rpartition("/p2p/")
    if not found:
        raise NetworkError(f"{addr[:80]!r} does not end in /p2p/ and a peer id")
    peer_bytes(peer)
    return PeerAddrs(peer, (str(parse(where)),))


def _network_of(addr: str) -> str:
    """What the neighbours of a public address have in common; private ones are all in one place anyhow."""
    host = parse(addr).host
    return group_of(host, wide=True) if is_public(host) else ""


class Dht:
    """Provider records on a running host. Made by `open_dht`."""

    def __init__(
        self,
        host: Host,
        protocol: str,
        serve: bool,
        bootstrap: Sequence[PeerAddrs],
        keep: Callable[[str], bool],
        random: Callable[[], float],
        clock: Callable[[], float],
        private: bool | None,
        nursery: trio.Nursery,
    ) -> None:
        self._host, self._protocol, self._serves = host, protocol, serve
        self._bootstrap = {each.peer: each.addrs for each in bootstrap}
        self._keep, self._random, self._clock, self._on_private = keep, random, clock, private
        self._nursery = nursery  # of questions: to cancel one in the middle cuts a connection that others use
        self.table = Table(host.peer_id, _network_of)
        self.store = ProviderStore()
        self.own = Own()
        self._rates = Buckets(QUESTION_RATE, MAX_PEERS)
        self._waiting: OrderedDict[Stream, None] = OrderedDict()  # served streams without a question, longest first
        self._served: Counter[str] = Counter()
        self._walks = trio.Semaphore(WALKS)
        self._candidates, self._to_ask = trio.open_memory_channel[PeerAddrs](CANDIDATES)
        self._turns: dict[str, trio.CapacityLimiter] = {}
        self._dialled: dict[str, float] = {}  # for a question, and when it was last used for one
        self._tried: set[str] = set()  # connected peers that were asked whether they serve

    # --- for the node ------------------------------------------------------------------------------------------------------

    async def provide(self, cid: Cid, *, deadline: float) -> int:
        """Tell the peers nearest to ``cid`` that we have it; returns how many were told within ``deadline`` seconds.

        It is told again before the records end, for as long as the service is open, or until `withdraw`; soon, if nobody was told.
        Raises `BusyError` if too much is provided already.
        """
        key = key_of(cid)
        self.own.add(key, self._clock())
        self.own.told(key, 0, self._clock())
        told: set[str] = set()
        with trio.move_on_after(deadline):
            await self._tell(key, told)
        return len(told)

    def provides(self, cid: Cid) -> bool:
        """Do we tell others that we have it?"""
        return key_of(cid) in self.own

    def withdraw(self, cid: Cid) -> None:
        """Tell nobody again that we have it; the records end by themselves, 48 hours after they were told."""
        self.own.remove(key_of(cid))

    async def find_providers(self, cid: Cid, *, count: int = 20, deadline: float) -> list[PeerAddrs]:
        """Peers that say they have ``cid``, each once, with addresses where known: at most ``count``, within ``deadline`` seconds.

        Ourselves left out. If none is found while peers failed to answer, they are asked once more.
        """
        key = key_of(cid)
        found: dict[str, PeerAddrs] = {}

        def add(providers: Iterable[PeerAddrs]) -> None:
            for each in providers:
                known = found.get(each.peer, PeerAddrs(each.peer, ()))
                addrs = tuple(dict.fromkeys((*known.addrs, *each.addrs)))
                if each.peer != self._host.peer_id and (known.peer in found or len(found) < count):
                    found[each.peer] = PeerAddrs(each.peer, tuple(usable(addrs)))

        async def ask(to: PeerAddrs) -> Sequence[PeerAddrs]:
            answer = await self._ask(to, Message(Kind.GET_PROVIDERS, key))
            add(answer.providers)
            return answer.closer

        with trio.move_on_after(deadline):
            add(self.store.of(key, self._clock()))
            for _ in range(2):
                failed = await self._walk(place_of(key), ask, lambda: len(found) >= count)
                if found or not failed:
                    break
            for each in [each for each in found.values() if not each.addrs]:
                where = await self.find_peer(each.peer, deadline=ASK_SECONDS)
                add([PeerAddrs(each.peer, where)])
        return list(found.values())

    async def find_peer(self, peer: str, *, deadline: float) -> tuple[str, ...]:
        """Where ``peer`` is said to be. Raises `EncodingError` if that is no peer id."""
        target = peer_bytes(peer)
        found: dict[str, None] = {}

        async def ask(to: PeerAddrs) -> Sequence[PeerAddrs]:
            answer = await self._ask(to, Message(Kind.FIND_NODE, target))
            found.update(dict.fromkeys(addr for each in answer.closer if each.peer == peer for addr in each.addrs))
            return answer.closer

        with trio.move_on_after(deadline):
            await self._walk(place_of(target), ask, lambda: bool(found))
        return tuple(found)

    async def join(self, *, deadline: float) -> int:
        """Ask the bootstrap peers, and walk towards ourselves; returns how many peers are known then."""
        with trio.move_on_after(deadline):
            await self._try_all(PeerAddrs(peer, addrs) for peer, addrs in self._bootstrap.items())
            await self._refresh(place_of_peer(self._host.peer_id))
        return len(self.table)

    # --- asking ------------------------------------------------------------------------------------------------------------

    @property
    def _private(self) -> bool:
        """Are we on a private network only? Then private addresses are of use."""
        if self._on_private is not None:
            return self._on_private
        return not any(is_public(parse(addr).host) for addr in self._host.addrs)

    def _dialable(self, addrs: Iterable[str]) -> list[str]:
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

    def _at_its_address(self, addrs: Iterable[str], peer: str) -> tuple[str, ...]:
        """Those of its addresses from which it speaks to us: else it could have others dial whom it likes."""
        host = ipaddress.ip_address(self._host.line(peer).host)
        return tuple(addr for addr in self._dialable(addrs) if ipaddress.ip_address(parse(addr).host) == host)

    def _self(self) -> tuple[PeerAddrs, ...]:
        addrs = tuple(self._host.addrs)
        return (PeerAddrs(self._host.peer_id, addrs),) if addrs else ()

    async def _ask(self, to: PeerAddrs, question: Message) -> Message:
        """Raises `NetworkError`, `Unsupported`, `EncodingError`."""
        if self._serves:  # who reads it, and serves as well, may ask us
            question = Message(question.kind, question.key, self._self(), question.providers)
        async with self._turn(to.peer):
            stream = await self._open(to)
            try:
                await _send(stream, question)
                said = await Reader(stream, MAX_MESSAGE_BYTES).next(READ_SECONDS)
            finally:
                stream.reset()
        if said is None:
            raise BrokenError(f"{to.peer} ended the stream without an answer")
        answer = Message.read(said)
        if answer.kind is not question.kind:
            raise PeerMisbehaved(f"{to.peer} answered another question")
        self.table.answered(to.peer, self._at_its_address(to.addrs, to.peer), self._clock())
        return answer

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
            addrs = (*self._bootstrap.get(to.peer, ()), *self._dialable(to.addrs))
            await self._host.dial(to.peer, addrs, deadline=ASK_SECONDS / 2)
            self._dialled[to.peer] = trio.current_time()
        if to.peer in self._dialled:
            self._dialled[to.peer] = trio.current_time()
        return await self._host.open_stream(
            self._host.line(to.peer), self._protocol, deadline=until - trio.current_time()
        )

    async def _each(self, peers: Iterable[PeerAddrs], do: Callable[[PeerAddrs], Awaitable[None]]) -> None:
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

    async def _try_all(self, peers: Iterable[PeerAddrs]) -> None:
        """Do they serve? Then they are in the table."""
        target = peer_bytes(self._host.peer_id)

        async def ask(to: PeerAddrs) -> None:
            await self._ask(to, Message(Kind.FIND_NODE, target))

        await self._each(peers, ask)

    async def _walk(
        self,
        place: int,
        ask: Callable[[PeerAddrs], Awaitable[Sequence[PeerAddrs]]],
        enough: Callable[[], bool] = lambda: False,
        found: list[PeerAddrs] | None = None,
    ) -> int:
        """Walk towards a place; returns how many did not answer, and puts into ``found`` the nearest that did."""
        failures = 0
        async with self._walks:
            walk = Walk(place, self._host.peer_id, self.table.closest(place))
            moved = trio.Event()

            async def one(to: PeerAddrs) -> None:
                nonlocal moved, failures
                try:
                    with trio.fail_after(ASK_SECONDS):
                        closer = await ask(to)
                    walk.answered(to.peer, [PeerAddrs(e.peer, tuple(self._dialable(e.addrs))) for e in closer])
                except Exception as error:
                    expected = isinstance(error, MycelError | trio.TooSlowError)
                    _log.debug("%s did not answer: %s", to.peer, error, exc_info=None if expected else error)
                    failures += 1
                    self.table.failed(to.peer)
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

    async def _tell(self, key: bytes, told: set[str]) -> None:
        """Tell the nearest peers that we provide a key, and put into ``told`` who was."""

        async def ask(to: PeerAddrs) -> Sequence[PeerAddrs]:
            return (await self._ask(to, Message(Kind.FIND_NODE, key))).closer

        async def tell(to: PeerAddrs) -> None:
            async with self._turn(to.peer):
                stream = await self._open(to)
                await _send(stream, Message(Kind.ADD_PROVIDER, key, providers=self._self()))
                await stream.aclose()
            told.add(to.peer)

        nearest: list[PeerAddrs] = []
        await self._walk(place_of(key), ask, found=nearest)
        await self._each(nearest, tell)
        self.own.told(key, len(told), self._clock())

    async def _refresh(self, place: int) -> None:
        target = peer_bytes(self._host.peer_id)

        async def ask(to: PeerAddrs) -> Sequence[PeerAddrs]:
            return (await self._ask(to, Message(Kind.FIND_NODE, target))).closer

        await self._walk(place, ask)

    # --- being asked -------------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """Questions of a peer, one after another."""
        peer = stream.peer
        if self._served[peer] >= STREAMS_OF_PEER:
            return
        if sum(self._served.values()) >= STREAMS:
            if not self._waiting:
                return
            self._waiting.popitem(last=False)[0].reset()
        self._served[peer] += 1
        reader = Reader(stream, MAX_MESSAGE_BYTES)
        try:
            while True:
                self._waiting[stream] = None
                with trio.fail_after(READ_SECONDS):
                    data = await reader.next(READ_SECONDS)
                self._waiting.pop(stream, None)
                if data is None:
                    return
                await trio.sleep(self._rates.owe(peer, trio.current_time()))
                answer = self._answer(peer, Message.read(data))
                if answer is not None:
                    await _send(stream, answer)
        except EncodingError as error:
            _log.debug("%s asks what cannot be understood: %s", peer, error)
        finally:
            self._waiting.pop(stream, None)
            self._served[peer] -= 1
            if not self._served[peer]:
                del self._served[peer]

    def _answer(self, peer: str, question: Message) -> Message | None:
        self._hear(peer, question)
        key, now = question.key, self._clock()
        if question.kind is Kind.PING:
            return Message(Kind.PING)
        if question.kind is Kind.ADD_PROVIDER:
            mine = [each for each in question.providers if each.peer == peer]
            if len(key) == _KEY_BYTES and key.startswith(_SHA2_256) and mine:
                self.store.add(key, PeerAddrs(peer, self._at_its_address(mine[0].addrs, peer)), now)
            return None
        closer = tuple(e for e in self.table.closest(place_of(key), BUCKET, but=peer) if e.addrs)
        providers: tuple[PeerAddrs, ...] = ()
        if question.kind is Kind.GET_PROVIDERS:
            providers = (*(self._self() if key in self.own else ()), *self.store.of(key, now))[:BUCKET]
        return Message(question.kind, key, closer, providers)

    def _hear(self, peer: str, question: Message) -> None:
        """Who asks and says that it serves as well is asked, when there is time, and is in the table if it answers."""
        for each in question.closer:
            if each.peer != peer:
                continue
            addrs = self._at_its_address(each.addrs, peer)
            if peer in self.table:
                self.table.answered(peer, addrs, self._clock())
                continue
            with suppress(trio.WouldBlock):
                self._candidates.send_nowait(PeerAddrs(peer, addrs))

    # --- upkeep ------------------------------------------------------------------------------------------------------------

    async def ask_candidates(self) -> None:
        """Ask who says that it serves, for as long as the service is open."""
        async for each in self._to_ask:
            if each.peer in self.table:  # it has answered meanwhile, when its addresses were not known
                self.table.answered(each.peer, each.addrs, self._clock())
            elif each.peer in self._host.connected():
                await self._try_all([each])

    async def tend(self) -> None:
        """Join, refresh, republish and expire, for as long as the service is open."""
        refreshed, pause = -REFRESH_SECONDS, 1.0
        while True:
            now = self._clock()
            await self._try_connected()
            if not len(self.table) or now - refreshed >= REFRESH_SECONDS:
                await self.join(deadline=BOOTSTRAP_SECONDS)
                if len(self.table):
                    refreshed = now
                    await self._refresh_all(now)
                self.store.expire(now)
            for key in self.own.due(now, REPUBLISH_AT_ONCE) if len(self.table) else ():
                await self._tell(key, set())
            self._sweep()
            await trio.sleep(pause)
            pause = min(TEND_SECONDS, 2 * pause)

    async def _try_connected(self) -> None:
        """Ask those with whom there is a connection for other reasons, a few at a time and once each."""
        connected = self._host.connected()
        self._tried &= connected
        new = [peer for peer in sorted(connected - self._tried) if peer not in self.table][:STREAMS_OF_PEER]
        self._tried |= set(new)
        await self._try_all(PeerAddrs(peer, ()) for peer in new)

    async def _refresh_all(self, now: float) -> None:
        """Walk somewhere, and ask who was not heard for long."""
        with trio.move_on_after(BOOTSTRAP_SECONDS):
            await self._refresh(int(self._random() * 2.0**256))
        stale = self.table.stale(now - REFRESH_SECONDS, BUCKET)
        await self._try_all(stale)
        heard_still = {each.peer for each in self.table.stale(now - REFRESH_SECONDS, BUCKET)}
        for each in stale:
            if each.peer in heard_still:
                self.table.failed(each.peer)

    def _sweep(self) -> None:
        """End connections that were made for a question, and that nobody uses."""
        before = trio.current_time() - IDLE_SECONDS
        connected = self._host.connected()
        for peer, used in list(self._dialled.items()):
            if peer not in connected:
                del self._dialled[peer]
            elif used < before and not self._keep(peer) and not self._host.line(peer).streams:
                del self._dialled[peer]
                self._host.disconnect(peer)


async def _send(stream: Stream, message: Message) -> None:
    await stream.send_all(delimited(message.write()), deadline=SEND_SECONDS)


@asynccontextmanager
async def open_dht(
    host: Host,
    *,
    bootstrap: Sequence[str] = (),
    random: Callable[[], float],
    protocol: str = MYCEL_KAD,
    serve: bool = True,
    keep: Callable[[str], bool] = lambda peer: False,
    private: bool | None = None,
    clock: Callable[[], float] = trio.current_time,
) -> AsyncIterator[Dht]:
    """Find and tell providers on ``host`` until the block is left.

    Arguments: ``bootstrap``, multiaddrs that end in ``/p2p/PEER``; ``random()`` is uniform in [0, 1); ``serve``: answer others, and
    let them know (the public DHT, `IPFS_KAD`, only without); ``keep(peer)``: its connection is in use, so it is not ended when
    questions are over; ``private``: whether addresses of private networks are dialled (None: as long as we have no public one);
    ``clock()``, monotonic seconds, for what lasts hours. Raises `NetworkError` or `EncodingError` for a
    malformed ``bootstrap``.
    """
    first = [bootstrap_peer(each) for each in bootstrap]
    async with open_background() as nursery:
        dht = Dht(host, protocol, serve, first, keep, random, clock, private, nursery)
        if serve:
            host.set_handler(protocol, dht.serve, strangers=True)
            nursery.start_soon(dht.ask_candidates)
        nursery.start_soon(dht.tend)
        try:
            yield dht
        finally:
            host.remove_handler(protocol)
