"""Limits on what peers can make a host spend, and the cures for libp2p 0.8.1's faults in accepting, keeping and ending connections.

The faults, each of which a peer can cause at will: an inbound slot is given back only when the connection *fails* (250 connections in
total deafen a node for good); an exception in any stream handler, even a non-UTF-8 protocol name, cancels the whole host; nothing
idle is ever evicted; a frozen peer stays for ever, and disconnecting it politely hangs; unread streams buffer without limit beyond the window.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from multiaddr import Multiaddr

from mycelnode.p2p._gate import key_of

_log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0  # how often connections are looked at
CUT_SECONDS = 1.0  # for closing a socket


@dataclass(frozen=True, slots=True)
class Limits:
    """What peers may use. Members are let in beyond every limit on strangers."""

    connections: int = 512  # in all
    strangers: int = 32  # connections of peers that are not members
    strangers_per_address: int = 8  # of one IPv4 address or IPv6 /64
    stranger_seconds: float = 10.0  # to show that they belong here
    handshakes: int = 64  # unfinished inbound handshakes; beyond it the oldest is cut, so that a flood of silent ones shuts nobody out
    handshake_seconds: float = 5.0
    streams_per_peer: int = 64  # inbound and unfinished
    buffered_bytes: int = 32 << 20  # received and not read, of one connection


@dataclass(slots=True, eq=False)
class Connection:
    """What the guard remembers of one connection."""

    inner: Any  # SwarmConn
    peer: str
    key: bytes
    address: str
    dialled_here: bool
    since: float
    member: bool
    streams: int = 0
    cut: bool = field(default=False)

    async def close(self) -> None:
        """Close the socket under it: the only close that a frozen peer cannot hang."""
        self.cut = True
        with trio.CancelScope(shield=True), trio.move_on_after(CUT_SECONDS):
            try:
                await self.inner.muxed_conn.secured_conn.close()
            except Exception:
                _log.debug("closing a connection with %s failed", self.peer)


class _Notifee(INotifee):
    """Tells the guard of connections that come and go."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        await self._guard.on_connected(conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        self._guard.on_disconnected(conn)

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        return

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        return

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        return

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        return


class Guard:
    """Keeps the books of one host."""

    def __init__(self, limits: Limits, is_member: Callable[[bytes], bool], may_enter: Callable[[bytes], bool]) -> None:
        self._limits, self._judge_member, self._may_enter = limits, is_member, may_enter
        self._connections: dict[int, Connection] = {}
        self._by_peer: dict[str, list[Connection]] = {}
        self._handshakes: OrderedDict[object, trio.CancelScope] = OrderedDict()
        self._own_id = ""
        self._inner: Any = None

    def attach(self, inner: Any, swarm: Any) -> None:
        """Put the guards into a host before it runs."""
        self._inner, self._own_id = inner, str(inner.get_id())
        swarm.register_notifee(_Notifee(self))
        handle = inner._swarm_stream_handler

        async def guarded(stream: INetStream) -> None:
            connection = self._connections.get(id(stream.muxed_conn))
            if connection is None or connection.streams >= self._limits.streams_per_peer:
                await _reset(stream)
                return
            connection.streams += 1
            try:
                await handle(stream)
            except Exception as error:  # nothing may escape a handler: it would cancel the swarm
                _log.debug("a stream of %s was dropped: %s", connection.peer, error)
                await _reset(stream)
            finally:
                connection.streams -= 1

        upgrade = swarm.upgrade_inbound_raw_conn

        async def upgrade_and_give_back(raw: Any, addr: Multiaddr) -> None:
            token = object()
            with trio.CancelScope() as scope:
                self._handshakes[token] = scope
                if len(self._handshakes) > self._limits.handshakes:
                    self._handshakes.popitem(last=False)[1].cancel()
                try:
                    muxed = await upgrade(raw, addr)
                finally:
                    self._handshakes.pop(token, None)
            if scope.cancelled_caught:
                await raw.close()
                raise ConnectionError("pushed out by newer handshakes")
            await muxed.event_closed.wait()
            raise ConnectionError("closed")  # only a failure gives the inbound slot back

        swarm.set_stream_handler(guarded)
        swarm.upgrade_inbound_raw_conn = upgrade_and_give_back
        inner.upgrade_inbound_connection = upgrade  # relays need the original

    # --- the gate --------------------------------------------------------------------------------------------------------

    def may_connect(self, key: bytes, address: str) -> bool:
        """Asked inside the handshake of an inbound peer."""
        if self._judge_member(key):
            return True
        if not self._may_enter(key):
            return False
        strangers = [c for c in self._connections.values() if not c.member and not c.cut]
        near = [c for c in strangers if _prefix(c.address) == _prefix(address)]
        if len(strangers) >= self._limits.strangers or len(near) >= self._limits.strangers_per_address:
            return False
        return True

    # --- the books -------------------------------------------------------------------------------------------------------

    async def on_connected(self, conn: Any) -> None:
        """A connection is up: enter it, and keep one of two with the same peer."""
        muxed = conn.muxed_conn
        remote = muxed.get_remote_address()
        key = key_of(muxed.peer_id)
        entry = Connection(
            inner=conn,
            peer=str(muxed.peer_id),
            key=key,
            address=remote[0] if remote else "",
            dialled_here=bool(muxed.is_initiator),
            since=trio.current_time(),
            member=self._judge_member(key),
        )
        self._connections[id(muxed)] = entry
        others = self._by_peer.setdefault(entry.peer, [])
        others.append(entry)
        for loser in self._losers(others):
            await loser.close()

    def _losers(self, same_peer: list[Connection]) -> list[Connection]:
        """All but one of the connections with a peer: both ends keep the newest of those dialled by the smaller peer id."""
        live = [c for c in same_peer if not c.cut]
        if len(live) < 2:
            return []
        here_is_smaller = self._own_id < live[0].peer
        preferred = [c for c in live if c.dialled_here == here_is_smaller] or live
        return [c for c in live if c is not preferred[-1]]

    def on_disconnected(self, conn: Any) -> None:
        """A connection is down: forget it, and what libp2p learned of the peer."""
        entry = self._connections.pop(id(conn.muxed_conn), None)
        if entry is None:
            return
        entry.cut = True
        same = self._by_peer.get(entry.peer, [])
        if entry in same:
            same.remove(entry)
        if not same:
            self._by_peer.pop(entry.peer, None)
            try:
                self._inner.get_peerstore().clear_peerdata(conn.muxed_conn.peer_id)
            except Exception:
                _log.debug("nothing was remembered of %s", entry.peer)

    def _of(self, peer: str) -> list[Connection]:
        return [c for c in self._by_peer.get(peer, ()) if not c.cut]

    def peers(self) -> set[str]:
        """Peers with a live connection."""
        return {c.peer for c in self._connections.values() if not c.cut}

    def connection(self, peer: str) -> Any:
        """The connection to use with a peer, or None."""
        live = self._of(peer)
        return live[-1].inner if live else None

    def address_of(self, peer: str) -> str | None:
        """The peer's IP address."""
        live = self._of(peer)
        return live[-1].address if live else None

    def is_member(self, peer: str) -> bool:
        """Was the peer let in, or promoted?"""
        return any(c.member for c in self._of(peer))

    def promote(self, peer: str) -> None:
        """The stranger belongs here after all."""
        for entry in self._of(peer):
            entry.member = True

    async def disconnect(self, peer: str) -> None:
        """Cut all connections with a peer."""
        for entry in self._of(peer):
            await entry.close()

    async def close_all(self) -> None:
        """Cut everything, at once."""
        async with trio.open_nursery() as nursery:
            for entry in list(self._connections.values()):
                nursery.start_soon(entry.close)

    # --- the watch -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Evict strangers whose time is over and peers that make us buffer, for as long as the host runs."""
        while True:
            await trio.sleep(WATCH_SECONDS)
            now = trio.current_time()
            for entry in list(self._connections.values()):
                if entry.cut:
                    continue
                over_time = not entry.member and now - entry.since > self._limits.stranger_seconds
                buffered = sum(map(len, entry.inner.muxed_conn.stream_buffers.values()))
                if over_time or buffered > self._limits.buffered_bytes:
                    _log.debug("cutting %s: %s", entry.peer, "its time is over" if over_time else "it floods")
                    await entry.close()


async def _reset(stream: INetStream) -> None:
    with trio.CancelScope(shield=True), trio.move_on_after(CUT_SECONDS):
        try:
            await stream.reset()
        except Exception:
            _log.debug("resetting a stream failed")


def _prefix(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
