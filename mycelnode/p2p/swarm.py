"""The second door of a node: to the collective, where everybody is a stranger and is served alike."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from mycelnode.background import open_background
from mycelnode.errors import MycelError, NetworkError, PeerUnreachable
from mycelnode.p2p._addresses import parse
from mycelnode.p2p._gate import id_of
from mycelnode.p2p.bitswap import Bitswap, Gives, open_bitswap
from mycelnode.p2p.host import Admission, Host, HostConfig, Limits
from mycelnode.p2p.identify import serve_identity
from mycelnode.p2p.lasting import open_lasting_host
from mycelnode.ports import BlockStore
from mycelnode.protocols.reconnect import Attempt, Reconnect

DIAL_SECONDS = 10.0  # for one attempt on a bootstrap peer
LIMITS = Limits(
    strangers=128,
    strangers_per_prefix=32,
    stranger_seconds=math.inf,
    stranger_idle_seconds=60.0,
    streams_per_stranger=16,  # Kubo opens one each for identify, ping, Bitswap, gossip and the DHT, and a few at once at first
    stranger_buffered_bytes=4 << 20,  # so that a stream may have a window of 1 MiB
    strangers_buffered_bytes=64 << 20,
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swarm:
    """The door, while it is open. Made by `open_swarm`."""

    host: Host
    bitswap: Bitswap
    unusable: Sequence[str]  # of the bootstrap addresses, those that name no peer that could be dialled

    @property
    def peer_id(self) -> str:
        """Who we are to the collective."""
        return self.host.peer_id

    @property
    def addrs(self) -> list[str]:
        """Where others can reach us; without the ``/p2p`` suffix."""
        return self.host.addrs

    @property
    def contacts(self) -> list[str]:
        """The same with our peer id, as others name us in `swarm.bootstrap`."""
        return [f"{addr}/p2p/{self.peer_id}" for addr in self.addrs]

    @property
    def peers(self) -> set[str]:
        """Who is connected."""
        return self.host.connected()


@asynccontextmanager
async def open_swarm(
    seed: bytes,
    *,
    listen: Sequence[str],
    bootstrap: Iterable[str],
    store: BlockStore,
    gives: Gives = lambda cid: True,
    upload: float = math.inf,
    last_port: int | None = None,
    ready: trio.Event | None = None,
) -> AsyncIterator[Swarm]:
    """Open the door with the key of ``seed`` (32 bytes), serve ``store``, and keep in touch with the peers of ``bootstrap``.

    ``gives``: which of its blocks; see `open_bitswap`. ``upload``: bytes of blocks a second that go out, to all together.
    ``ready``: nobody is dialled before, so that whoever is met finds all protocols.
    ``bootstrap``: multiaddrs that end in ``/p2p/`` and a peer id. ``last_port`` is taken again where ``listen`` leaves it open.
    Raises `NetworkError` when an address cannot be listened on. Leaving the block closes every connection.
    """
    first, unusable = bootstrap_peers(bootstrap)
    for addr in unusable:
        _log.warning("swarm.bootstrap: %s names no peer that can be dialled", addr)
    config = HostConfig(listen=listen, limits=LIMITS, private_only=False)
    async with open_lasting_host(seed, config, last_port, admit=lambda key: Admission.STRANGER) as host:
        serve_identity(host)
        async with (
            open_bitswap(host, store, strangers=True, gives=gives, per_second=upload) as bitswap,
            open_background() as nursery,
        ):
            nursery.start_soon(_Bootstrap(host, first).run, ready)
            yield Swarm(host, bitswap, unusable)


def bootstrap_peers(addresses: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The addresses of each peer named, and those that name none: only TCP is dialled, and only peers with an Ed25519 key."""
    peers, unusable = dict[str, list[str]](), list[str]()
    for text in addresses:
        _, _, peer = text.rpartition("/p2p/")
        try:
            id_of(peer)
            peers.setdefault(peer, []).append(str(parse(text)))
        except MycelError:
            unusable.append(text)
    return peers, unusable


class _Bootstrap:
    """Dials the first peers, and again whenever they are lost; when, says `Reconnect`."""

    def __init__(self, host: Host, peers: dict[str, list[str]]) -> None:
        self._host = host
        self._peers = {peer: addrs for peer, addrs in peers.items() if peer != host.peer_id}
        self._machine = Reconnect(random.random)
        self._wake = trio.Event()

    def _changed(self, peer: str, here: bool) -> None:
        if here:
            self._machine.connected(peer, trio.current_time())
        else:
            self._machine.disconnected(peer, trio.current_time())
        self._wake.set()

    async def run(self, ready: trio.Event | None) -> None:
        """Until cancelled."""
        if ready is not None:
            await ready.wait()
        self._machine.members(self._peers, {}, trio.current_time())
        self._host.watch(self._changed)
        try:
            for peer in self._host.connected():
                self._changed(peer, True)
            async with trio.open_nursery() as nursery:
                while True:
                    self._wake = trio.Event()
                    for attempt in self._machine.due(trio.current_time()):
                        nursery.start_soon(self._try, attempt)
                    with trio.move_on_at(self._machine.next_due(trio.current_time())):
                        await self._wake.wait()
        finally:
            self._host.unwatch(self._changed)

    async def _try(self, attempt: Attempt) -> None:
        try:
            await self._host.dial(attempt.peer, attempt.addrs, deadline=DIAL_SECONDS)
        except NetworkError as error:
            tried = error.tried if isinstance(error, PeerUnreachable) else {}
            self._machine.failed(attempt.peer, tried, trio.current_time())
            self._wake.set()
