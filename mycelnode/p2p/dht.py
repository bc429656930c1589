"""Who provides a block: Kademlia's provider records, on the swarm door (libp2p specs, kad-dht; docs/protocols/providers.md).

Mycel nodes serve each other under a protocol name of their own. The public DHT of IPFS speaks the same under its name; there we ask
and tell, and serve nobody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from mycelnode.background import open_background
from mycelnode.errors import NetworkError
from mycelnode.p2p._addresses import group_of, is_public, parse, usable
from mycelnode.p2p.dht_asking import ASK_SECONDS, Asker
from mycelnode.p2p.dht_serving import SHA2_256, STREAMS_OF_PEER, Server
from mycelnode.p2p.host import Host
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.kad_table import BUCKET, Table, place_of, place_of_peer
from mycelnode.protocols.kad_wire import Kind, Message, PeerAddrs, peer_bytes
from mycelnode.protocols.providers import Own, ProviderStore

MYCEL_KAD: Final = "/mycel/kad/1.0.0"
IPFS_KAD: Final = "/ipfs/kad/1.0.0"
TEND_SECONDS: Final = 10.0
REFRESH_SECONDS: Final = 600.0
REPUBLISH_AT_ONCE: Final = 16  # keys in each `TEND_SECONDS`
BOOTSTRAP_SECONDS: Final = 20.0


def key_of(cid: Cid) -> bytes:
    """Under which key a block is provided: its multihash, whatever the codec."""
    return SHA2_256 + cid.digest


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
        self._host, self._bootstrap = host, {each.peer: each.addrs for each in bootstrap}
        self._keep, self._random, self._clock = keep, random, clock
        self.table = Table(host.peer_id, _network_of)
        self.store = ProviderStore()
        self.own = Own()
        self.asker = Asker(
            host, protocol, self.table, nursery, tells=serve, bootstrap=self._bootstrap, private=private, clock=clock
        )
        self.server = Server(self.table, self.store, self.own, self.asker, clock)
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
            answer = await self.asker.ask(to, Message(Kind.GET_PROVIDERS, key))
            add(answer.providers)
            return answer.closer

        with trio.move_on_after(deadline):
            add(self.store.of(key, self._clock()))
            for _ in range(2):
                failed = await self.asker.walk(place_of(key), ask, lambda: len(found) >= count)
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
            answer = await self.asker.ask(to, Message(Kind.FIND_NODE, target))
            found.update(dict.fromkeys(addr for each in answer.closer if each.peer == peer for addr in each.addrs))
            return answer.closer

        with trio.move_on_after(deadline):
            await self.asker.walk(place_of(target), ask, lambda: bool(found))
        return tuple(found)

    async def join(self, *, deadline: float) -> int:
        """Ask the bootstrap peers, and walk towards ourselves; returns how many peers are known then."""
        with trio.move_on_after(deadline):
            await self.asker.try_all(PeerAddrs(peer, addrs) for peer, addrs in self._bootstrap.items())
            await self._refresh(place_of_peer(self._host.peer_id))
        return len(self.table)

    async def _tell(self, key: bytes, told: set[str]) -> None:
        """Tell the nearest peers that we provide a key, and put into ``told`` who was."""

        async def ask(to: PeerAddrs) -> Sequence[PeerAddrs]:
            return (await self.asker.ask(to, Message(Kind.FIND_NODE, key))).closer

        async def tell(to: PeerAddrs) -> None:
            await self.asker.give(to, key)
            told.add(to.peer)

        nearest: list[PeerAddrs] = []
        await self.asker.walk(place_of(key), ask, found=nearest)
        await self.asker.each(nearest, tell)
        self.own.told(key, len(told), self._clock())

    async def _refresh(self, place: int) -> None:
        target = peer_bytes(self._host.peer_id)

        async def ask(to: PeerAddrs) -> Sequence[PeerAddrs]:
            return (await self.asker.ask(to, Message(Kind.FIND_NODE, target))).closer

        await self.asker.walk(place, ask)

    # --- upkeep ------------------------------------------------------------------------------------------------------------

    async def ask_candidates(self) -> None:
        """Ask who says that it serves, for as long as the service is open."""
        async for each in self.server.candidates:
            if each.peer in self.table:  # it has answered meanwhile, when its addresses were not known
                self.table.answered(each.peer, each.addrs, self._clock())
            elif each.peer in self._host.connected():
                await self.asker.try_all([each])

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
            self.asker.sweep(self._keep)
            await trio.sleep(pause)
            pause = min(TEND_SECONDS, 2 * pause)

    async def _try_connected(self) -> None:
        """Ask those with whom there is a connection for other reasons, a few at a time and once each."""
        connected = self._host.connected()
        self._tried &= connected
        new = [peer for peer in sorted(connected - self._tried) if peer not in self.table][:STREAMS_OF_PEER]
        self._tried |= set(new)
        await self.asker.try_all(PeerAddrs(peer, ()) for peer in new)

    async def _refresh_all(self, now: float) -> None:
        """Walk somewhere, and ask who was not heard for long."""
        with trio.move_on_after(BOOTSTRAP_SECONDS):
            await self._refresh(int(self._random() * 2.0**256))
        stale = self.table.stale(now - REFRESH_SECONDS, BUCKET)
        await self.asker.try_all(stale)
        heard_still = {each.peer for each in self.table.stale(now - REFRESH_SECONDS, BUCKET)}
        for each in stale:
            if each.peer in heard_still:
                self.table.failed(each.peer)


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
            host.set_handler(protocol, dht.server.serve, strangers=True)
            nursery.start_soon(dht.ask_candidates)
        nursery.start_soon(dht.tend)
        try:
            yield dht
        finally:
            host.remove_handler(protocol)
