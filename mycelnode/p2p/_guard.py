"""Limits on what peers can make a host spend, and the cures for libp2p 0.8.1's faults in keeping and ending connections.

The faults, each of which a peer can cause at will: nothing idle is ever evicted; a frozen peer stays for ever, and disconnecting it
politely hangs; it dials by itself, and remembers everybody who left.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from multiaddr import Multiaddr

from mycelnode.p2p._addresses import group_of
from mycelnode.p2p._gate import key_of
from mycelnode.p2p._sockets import is_open
from mycelnode.p2p._yamux import Unread
from mycelnode.protocols.simultaneous import keep

_log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0  # how often connections are looked at
STREAMS_ENDING = (
    4  # a peer may have this many times the streams that are served: half-closed ones, and ones that are being reset
)
GRACE_SECONDS = 0.25  # before a stranger that is not served makes room for another: with 64 of them, 256 a second


class Admission(Enum):
    """What a peer is to us, by its key."""

    MEMBER = "member"
    STRANGER = "stranger"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Limits:
    """What peers may use. Members are let in beyond every limit on strangers."""

    strangers: int = 64  # connections of peers that are not members
    strangers_per_address: int = 8  # of one IPv4 address or IPv6 /64
    strangers_per_prefix: int = 16  # of one IPv4 /24 or IPv6 /48
    stranger_seconds: float = 10.0  # to show that they belong here
    stranger_idle_seconds: float = 3.0  # of these without being served
    stranger_spared_seconds: float = (
        1.0  # then it makes room for another, even while it is served: to pair takes half a second
    )
    handshakes: int = (
        64  # unfinished inbound ones; beyond it an old one is cut, so that a flood of silent ones shuts nobody out
    )
    handshake_seconds: float = 5.0
    streams_per_peer: int = 64  # inbound and unfinished
    streams_per_stranger: int = 4
    buffered_bytes: int = 32 << 20  # received and not read, of one connection
    stranger_buffered_bytes: int = 512 << 10  # for exchanges of frames of 64 KiB
    strangers_buffered_bytes: int = (
        32 << 20
    )  # of all strangers together: beyond it the one of whom most is unread is cut


@dataclass(slots=True, eq=False)
class Connection:
    """One connection with ``peer``, which has the Ed25519 ``key``; ``over`` is set when libp2p has taken note of its end."""

    inner: Any  # SwarmConn
    peer: str
    key: bytes
    host: str  # remote IP address
    dialled_here: bool
    since: float  # when it stood
    began: float  # its handshake
    member: bool
    streams: int = 0  # that it has opened and that are not over
    served: int = 0  # those of them of which it is known what they are for
    max_streams: int = 0
    over: trio.Event = field(default_factory=trio.Event)
    idle_since: float = 0.0  # not served
    made_room: bool = False  # cut for another
    useful_until: float = -math.inf  # it is spared until then: something that is worth it goes on
    near: str = field(init=False)  # its neighbourhoods, for limits
    around: str = field(init=False)

    def __post_init__(self) -> None:
        self.idle_since = self.since
        self.near, self.around = group_of(self.host, wide=False), group_of(self.host, wide=True)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """While it has a stream."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    @contextmanager
    def serving(self) -> Iterator[None]:
        """While one of its streams is served: a stream on which it does not say what it wants is none."""
        self.served += 1
        try:
            yield
        finally:
            self.served -= 1
            self.idle_since = trio.current_time()

    def idle(self, seconds: float) -> bool:
        """Has it dialled us, and not been served for so long?"""
        now = trio.current_time()
        busy = self.dialled_here or self.served or now < self.useful_until
        return not busy and now - self.idle_since >= seconds

    @property
    def live(self) -> bool:
        """Can it be used?"""
        return is_open(self.inner.muxed_conn.secured_conn.mycel_raw) and not self.inner.muxed_conn.is_closed

    def cut(self) -> None:
        """End it now, whatever is under way on it."""
        self.inner.muxed_conn.end()


class _Notifee(INotifee):  # type: ignore[misc]  # libp2p is not checked
    """Tells the guard of connections that come and go."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        self._guard.enter(conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        self._guard.leave(conn)

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

    def __init__(self, limits: Limits, admit: Callable[[bytes], Admission]) -> None:
        self.limits, self._admit = limits, admit
        self._connections: dict[int, Connection] = {}
        self._by_peer: dict[str, list[Connection]] = {}
        self._unread = Unread(limits.strangers_buffered_bytes)
        self._swarm: Any = None
        self._own_id = ""
        self.watchers: list[Callable[[str, bool], None]] = []  # told of each peer that comes and goes

    def attach(self, swarm: Any) -> None:
        """Put the guard into a host before it runs."""
        self._swarm, self._own_id = swarm, str(swarm.get_peer_id())
        swarm.register_notifee(_Notifee(self))
        # It would dial whatever addresses it has, though told to hold no connections, and remember every peer that ever left.
        swarm.auto_connector.start = trio.lowlevel.checkpoint
        swarm.auto_connector.record_disconnect = lambda *_: None

    # --- the gate --------------------------------------------------------------------------------------------------------

    def may_connect(self, key: bytes, host: str) -> bool:
        """Asked inside the handshake of an inbound peer."""
        admission = self._admit(key)
        if admission is not Admission.STRANGER:
            return admission is Admission.MEMBER
        crowd = self._crowd(host)
        return not crowd or self._dispensable(crowd, host) is not None

    def _crowd(self, host: str) -> list[Connection]:
        """The strangers that take up all the room for another from this address, by the narrowest limit; none: there is room.

        Those that libp2p has not let go yet count, except for those that made room.
        """
        strangers = [c for c in self._connections.values() if not (c.member or c.made_room)]
        near, around = group_of(host, wide=False), group_of(host, wide=True)
        limits = self.limits
        for crowd, limit in (
            ([c for c in strangers if c.near == near], limits.strangers_per_address),
            ([c for c in strangers if c.around == around], limits.strangers_per_prefix),
            (strangers, limits.strangers),
        ):
            if len(crowd) >= limit:
                return crowd
        return []

    def _dispensable(self, crowd: Sequence[Connection], host: str) -> Connection | None:
        """The one of these that makes room for a stranger from this address, if any does.

        That is the oldest idle one of the busiest address, or else network: a few machines cannot take up all the room by keeping
        silent. Who is being served is spared for a while, unless its address would have more than the newcomer's even then.
        """
        near, around = Counter(c.near for c in crowd), Counter(c.around for c in crowd)
        share = near[group_of(host, wide=False)] + 1
        now = trio.current_time()
        spared = now - self.limits.stranger_spared_seconds

        def can_go(one: Connection) -> bool:
            unspared = one.useful_until < now and (one.idle(GRACE_SECONDS) or one.since < spared)
            return one.live and not one.dialled_here and (unspared or near[one.near] > share)

        return min(
            filter(can_go, crowd), key=lambda c: (-near[c.near], -around[c.around], c.served, c.since), default=None
        )

    # --- the books -------------------------------------------------------------------------------------------------------

    def enter(self, conn: Any) -> Connection | None:
        """The entry of a connection, made when it is first seen; of two with one peer one is kept. None if it is over already.

        What cannot be entered is cut: nobody would watch it.
        """
        try:
            return self._enter(conn)
        except Exception:
            _log.exception("a connection could not be entered")
            conn.muxed_conn.end()
            return None

    def _enter(self, conn: Any) -> Connection | None:
        muxed = conn.muxed_conn
        known = self._connections.get(id(muxed))
        if known is not None:
            return known
        if conn.is_closed or muxed.is_closed:  # while libp2p was taking it in: it would keep it for ever
            self._swarm.remove_conn(conn)
            return None
        key = key_of(muxed.peer_id)
        entry = Connection(
            inner=conn,
            peer=str(muxed.peer_id),
            key=key,
            host=muxed.secured_conn.mycel_host,
            dialled_here=bool(muxed.is_initiator),
            since=trio.current_time(),
            began=muxed.secured_conn.mycel_began,
            member=self._admit(key) is Admission.MEMBER,
        )
        crowd = [] if entry.member or entry.dialled_here else self._crowd(entry.host)
        spare = self._dispensable(crowd, entry.host)
        self._connections[id(muxed)] = entry
        self._hold_to_limits(entry)
        before = self.find(entry.peer)
        same = self._by_peer.setdefault(entry.peer, [])
        same.append(entry)
        live = [c for c in same if c.live]
        kept = keep(live, smaller=self._own_id < entry.peer)
        for loser in live:
            if loser not in kept:
                _log.debug("of two connections with %s one is kept", entry.peer)
                loser.cut()
        if spare is not None:
            spare.made_room = True
            spare.cut()
        elif crowd:  # several handshakes ended at once
            entry.cut()
        used = self.find(entry.peer)
        if used is not before:
            if len(same) > 1:  # what went on over the other connection is over
                self._tell(entry.peer, False)
            self._tell(entry.peer, used is not None)
        return entry

    def _hold_to_limits(self, entry: Connection) -> None:
        limits = self.limits
        streams, unread = (
            (limits.streams_per_peer, limits.buffered_bytes)
            if entry.member
            else (limits.streams_per_stranger, limits.stranger_buffered_bytes)
        )
        entry.max_streams = streams
        entry.inner.muxed_conn.hold_to(
            streams=STREAMS_ENDING * streams, unread=unread, together=None if entry.member else self._unread
        )

    def leave(self, conn: Any) -> None:
        """A connection is down: forget it."""
        entry = self._connections.pop(id(conn.muxed_conn), None)
        if entry is None:
            return
        entry.over.set()
        same = self._by_peer.get(entry.peer, [])
        if entry in same:
            same.remove(entry)
        if not same:
            self._by_peer.pop(entry.peer, None)
            self._tell(entry.peer, False)

    def _tell(self, peer: str, here: bool) -> None:
        for watcher in list(self.watchers):
            try:
                watcher(peer, here)
            except Exception:  # it is no reason to lose a connection, or to keep one in the books
                _log.exception("a watcher of connections failed")

    def find(self, peer: str) -> Connection | None:
        """The connection to use with a peer."""
        return next((entry for entry in self._by_peer.get(peer, ()) if entry.live), None)

    def entries(self) -> list[Connection]:
        """All connections, also those that are ending."""
        return list(self._connections.values())

    def peers(self) -> set[str]:
        """Peers with a live connection."""
        return {peer for peer in self._by_peer if self.find(peer) is not None}

    def promote(self, peer: str) -> None:
        """The stranger belongs here after all."""
        for entry in self._by_peer.get(peer, ()):
            entry.member = True
            self._hold_to_limits(entry)

    def useful(self, peer: str, seconds: float) -> None:
        """Spare the connections with a peer for a while, where strangers have to make room for others or are idle."""
        for entry in self._by_peer.get(peer, ()):
            entry.useful_until = max(entry.useful_until, trio.current_time() + seconds)

    def disconnect(self, peer: str) -> None:
        """Cut all connections with a peer."""
        for entry in list(self._by_peer.get(peer, ())):
            entry.cut()

    def close_all(self) -> None:
        """Cut everything. libp2p sleeps for 0.2 s over each end of a connection, and is not waited for: who calls this ends it."""
        for entry in list(self._connections.values()):
            entry.cut()

    # --- the watch -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Evict strangers whose time is over, for as long as the host runs."""
        while True:
            await trio.sleep(WATCH_SECONDS)
            for entry in list(self._connections.values()):
                try:
                    self._look_at(entry)
                except Exception:  # of one connection; the others still want watching
                    _log.exception("the watch on a connection of %s failed", entry.peer)

    def _look_at(self, entry: Connection) -> None:
        limits = self.limits
        over_time = trio.current_time() - entry.since > limits.stranger_seconds
        if entry.live and not entry.member and (over_time or entry.idle(limits.stranger_idle_seconds)):
            _log.debug("cutting %s: its time is over", entry.peer)
            entry.cut()
