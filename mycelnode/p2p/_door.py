"""The way in: accepts TCP connections and has libp2p bring them up, so that no flood of silent ones shuts anybody out.

Ours instead of libp2p 0.8.1's listener, which shares its port with other programs in silence (SO_REUSEPORT) and gives an inbound
slot back only when the connection *fails*: 250 inbound connections in total, one after another, deafen a node for good.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import trio
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from multiaddr import Multiaddr

from mycelnode.p2p._addresses import group_of
from mycelnode.p2p._sockets import cut, ends

_log = logging.getLogger(__name__)


class Door:
    """Accepts for one host, where ``opens_on`` says so of our own IP address; at most ``handshakes`` are under way."""

    def __init__(self, swarm: Any, *, handshakes: int, opens_on: Callable[[str], bool]) -> None:
        self._swarm, self._limit, self._opens_on = swarm, handshakes, opens_on
        self._handshakes: dict[RawConnection, tuple[str, str]] = {}  # oldest first → its address and its network

    async def serve(self, listeners: list[trio.SocketListener], scope: trio.CancelScope) -> None:
        """Accept until ``scope`` is cancelled. Closes the listeners, and the handshakes that are under way."""
        with scope:
            if listeners:  # a host that only dials has none, and trio wants at least one
                await trio.serve_listeners(self.accept, listeners)

    async def accept(self, stream: trio.SocketStream) -> None:
        """Bring one connection up, and return when it is over. Raises nothing: that would end the listening."""
        raw = RawConnection(TrioTCPStream(stream), False)
        both = ends(raw)
        if both is None or not self._opens_on(both[0].host):
            cut(raw)
            return
        here, there = both
        self._handshakes[raw] = group_of(there.host, wide=False), group_of(there.host, wide=True)
        if len(self._handshakes) > self._limit:
            self._evict()
        try:
            muxed = await self._swarm.upgrade_inbound_raw_conn(raw, Multiaddr(str(here)))
        except Exception as error:
            _log.debug("a connection from %s came to nothing: %s", there, error)
            cut(raw)
            return
        finally:
            self._handshakes.pop(raw, None)
        await muxed.event_closed.wait()

    def _evict(self) -> None:
        """Cut the oldest handshake of the address that has most of them, or else of the network: the flood comes from there."""
        many = Counter(group for groups in self._handshakes.values() for group in groups)
        oldest = max(self._handshakes, key=lambda raw: [many[group] for group in self._handshakes[raw]])
        del self._handshakes[oldest]
        cut(oldest)
