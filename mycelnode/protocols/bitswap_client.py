"""Which block to ask of which peer: the fetching half of Bitswap (docs/protocols/bitswap.md).

A block is first asked about (WANT_HAVE) at every peer, and then asked for (WANT_BLOCK) at one that has it. Blocks of one session
come from the same DAG: who had one of them is asked for the next without asking about it. Times are seconds of one clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from mycelnode.errors import BusyError
from mycelnode.protocols.bitswap_frames import Block, Entry, name_of

MAX_WANTS: Final = 512  # open at once; a peer keeps 1,024 of a want-list
REQUESTS: Final = (
    8  # blocks asked of one peer and not come yet: 8 MiB, which a line of 80 ms carries at 100 MB/s. One that
)
# has not given any yet, or kept silent, is asked for one
SILENT_SECONDS: Final = 10.0  # in which nothing at all came from a peer that owes a block: another is asked
UNPROVED_SECONDS: Final = 3.0  # the same of one that has never given a block: saying that one has it costs nothing
REQUEST_SECONDS: Final = 60.0  # for one block, however much else comes meanwhile
ROUND_SECONDS: Final = 15.0  # after everybody was asked to no avail, before everybody is asked again
TICK_SECONDS: Final = 0.5  # how often `Client.tick` is worth calling while something is wanted
MAX_OWED: Final = (
    1024  # blocks of which is remembered that one peer may still send them, though they are wanted no more
)
UNWANTED_BYTES: Final = 1 << 20  # that a peer may send of what nobody asked for, and
UNWANTED_SHARE: Final = 8  # one such byte more for so many that were wanted


@dataclass(frozen=True, slots=True)
class Got:
    """A block that was wanted has come, from ``peer``, and is what its name says."""

    name: bytes
    data: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class Missed:
    """The deadline of a want is over, or nobody has it. ``asked`` peers were asked; ``lacking`` of these said that they lack it."""

    name: bytes
    asked: int
    lacking: int


@dataclass(frozen=True, slots=True)
class Flooded:
    """A peer has sent so much that nobody asked for that it is to be cut."""

    peer: str
    unwanted_bytes: int


Event = Got | Missed | Flooded


@dataclass(slots=True, eq=False)
class Session:
    """Wants of one DAG. ``peers``: who may be asked; None: everybody. ``good``: who had blocks of it.

    ``patient``: wait to the deadline for somebody who has it, also when all that are connected have said that they do not.
    """

    peers: frozenset[str] | None = None
    patient: bool = True
    good: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Want:
    name: bytes
    session: Session
    deadline: float
    users: int = 1
    asked_all: float = -math.inf  # when everybody was last asked about it
    source: str | None = None  # who is to send it
    asked: set[str] = field(default_factory=set)  # whose want-list has it
    has: dict[str, None] = field(default_factory=dict)
    lacks: set[str] = field(default_factory=set)  # said so, or kept silent


@dataclass(slots=True, eq=False)
class _Peer:
    heard: float
    requests: dict[bytes, float] = field(default_factory=dict)  # since when
    owed: OrderedDict[bytes, Session] = field(default_factory=OrderedDict)
    out: dict[bytes, Entry] = field(default_factory=dict)  # to be said
    strikes: int = 0  # requests in a row that it did not answer
    wanted_bytes: int = 0
    unwanted_bytes: int = 0

    @property
    def proved(self) -> bool:
        """Has it given blocks, and not kept silent since?"""
        return bool(self.wanted_bytes) and not self.strikes

    @property
    def full(self) -> bool:
        """Is it asked for as much as it may be?"""
        return len(self.requests) >= (REQUESTS if self.proved else 1)


class Client:
    """All wants of one node, and the peers that may have the blocks."""

    def __init__(self) -> None:
        self._wants: dict[bytes, _Want] = {}
        self._peers: dict[str, _Peer] = {}

    # --- peers -------------------------------------------------------------------------------------------------------------

    def connected(self, peer: str, now: float) -> None:
        """A peer that speaks Bitswap is there."""
        if peer in self._peers:
            return
        self._peers[peer] = _Peer(now)
        for want in self._wants.values():
            if self._may_ask(peer, want):
                self._ask_about(want, peer)
        self._pump(self._wants.values(), now)

    def disconnected(self, peer: str, now: float) -> None:
        """A peer is gone, or does not speak Bitswap."""
        if self._peers.pop(peer, None) is None:
            return
        for want in self._wants.values():
            want.asked.discard(peer)
            want.has.pop(peer, None)
            want.lacks.discard(peer)
            want.session.good.pop(peer, None)
            if want.source == peer:
                want.source = None
        self._pump(self._wants.values(), now)

    def stirs(self, peer: str, now: float) -> None:
        """Bytes come from a peer."""
        state = self._peers.get(peer)
        if state is not None:
            state.heard = now

    # --- wants -------------------------------------------------------------------------------------------------------------

    def want(self, name: bytes, session: Session, deadline: float, now: float) -> None:
        """Ask for a block until `Got` or `Missed` says how it ended, or `drop` is called as often as this was.

        Raises `BusyError` when `MAX_WANTS` are open.
        """
        want = self._wants.get(name)
        if want is not None:
            want.users += 1
            want.deadline = max(want.deadline, deadline)
            if want.session.peers is not None and session.peers != want.session.peers:
                patient = want.session.patient or session.patient
                both = None if session.peers is None else want.session.peers | session.peers
                want.session = Session(both, patient)
                want.asked_all = -math.inf
                self._pump([want], now)
            return
        if len(self._wants) >= MAX_WANTS:
            raise BusyError(f"{MAX_WANTS} blocks are being fetched already; try again later")
        want = self._wants[name] = _Want(name, session, deadline)
        self._pump([want], now)

    def drop(self, name: bytes, now: float) -> None:
        """One of those that wanted a block wants it no more."""
        want = self._wants.get(name)
        if want is None:
            return
        want.users -= 1
        if not want.users:
            self._end(want)
            self._pump(self._wants.values(), now)

    @property
    def wants(self) -> int:
        """How many blocks are wanted."""
        return len(self._wants)

    @property
    def peers(self) -> set[str]:
        """Those that may be asked."""
        return set(self._peers)

    def owes(self, peer: str) -> bool:
        """Were blocks asked of this peer that have not come?"""
        state = self._peers.get(peer)
        return state is not None and bool(state.requests)

    # --- what comes ----------------------------------------------------------------------------------------------------------

    def hear(
        self, peer: str, blocks: Iterable[Block], presences: Iterable[tuple[bytes, bool]], now: float
    ) -> list[Event]:
        """Blocks and answers of a peer."""
        state = self._peers.get(peer)
        if state is None:
            return []
        state.heard = now
        touched, events = dict[bytes, _Want](), list[Event]()
        for block in blocks:
            event = self._take(peer, state, block)
            if event is not None:
                events.append(event)
        for cid, here in presences:
            name = name_of(cid)
            want = None if name is None else self._wants.get(name)
            if want is None:
                session = None if name is None else state.owed.get(name)
                if here and session is not None:
                    session.good[peer] = None
            elif peer in want.asked:
                self._told(want, peer, here)
                touched[want.name] = want
        if events:
            self._pump(self._wants.values(), now)
        elif touched:
            self._pump(touched.values(), now)
        return events

    def _take(self, peer: str, state: _Peer, block: Block) -> Event | None:
        name = block.name
        want = None if name is None else self._wants.get(name)
        if name is not None and want is not None and peer in want.asked:
            state.wanted_bytes += len(block.data)
            state.strikes = 0
            want.session.good[peer] = None
            self._end(want, given_by=peer)
            return Got(name, block.data, peer)
        session = None if name is None else state.owed.pop(name, None)
        if session is not None:
            session.good[peer] = None
            return None
        state.unwanted_bytes += len(block.data) + len(block.prefix)
        if state.unwanted_bytes > UNWANTED_BYTES + state.wanted_bytes // UNWANTED_SHARE:
            return Flooded(peer, state.unwanted_bytes)
        return None

    def _told(self, want: _Want, peer: str, here: bool) -> None:
        if here:
            want.lacks.discard(peer)
            want.has[peer] = None
            want.session.good[peer] = None
        else:
            want.has.pop(peer, None)
            want.lacks.add(peer)
            if want.source == peer:
                want.source = None
                self._peers[peer].requests.pop(want.name, None)

    # --- time ----------------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Event]:
        """Look at the clock: what has waited too long is asked of others, or given up."""
        events = list[Event]()
        for want in list(self._wants.values()):
            if now >= want.deadline or self._in_vain(want):
                events.append(Missed(want.name, len(want.asked), len(want.lacks)))
                self._end(want)
            elif want.source is not None:
                self._look_at(want, want.source, now)
        self._pump(self._wants.values(), now)
        return events

    def _in_vain(self, want: _Want) -> bool:
        """Has everybody said that they lack it, or kept silent, where that is all that is wanted to be known?"""
        if want.session.patient or want.source is not None or want.has:
            return False
        return all(peer in want.lacks for peer in self._allowed(want))

    def _look_at(self, want: _Want, source: str, now: float) -> None:
        state = self._peers[source]
        since = state.requests[want.name]
        patience = SILENT_SECONDS if state.proved else UNPROVED_SECONDS
        if now - max(since, state.heard) >= patience or now - since >= REQUEST_SECONDS:
            state.strikes += 1
            self._say_no_more(want, source)
            want.asked.discard(source)
            want.has.pop(source, None)
            want.lacks.add(source)
            want.source = None

    def next_due(self, now: float) -> float:
        """When `tick` is to be called; infinity while nothing is wanted."""
        if not self._wants:
            return math.inf
        return max(now, min(now + TICK_SECONDS, *(want.deadline for want in self._wants.values())))

    # --- what to say -----------------------------------------------------------------------------------------------------------

    def speaks_to(self) -> set[str]:
        """The peers to which there is something to say."""
        return {peer for peer, state in self._peers.items() if state.out}

    def entries(self, peer: str) -> tuple[Entry, ...]:
        """What is to be said to a peer; it counts as said."""
        state = self._peers.get(peer)
        if state is None:
            return ()
        said = tuple(state.out.values())
        state.out.clear()
        return said

    # --- whom to ask -----------------------------------------------------------------------------------------------------------

    def _may_ask(self, peer: str, want: _Want) -> bool:
        return want.session.peers is None or peer in want.session.peers

    def _allowed(self, want: _Want) -> Collection[str]:
        return [peer for peer in self._peers if self._may_ask(peer, want)]

    def _pump(self, wants: Iterable[_Want], now: float) -> None:
        """Ask for what nobody has been asked for, as far as the peers have room."""
        for want in list(wants):
            if want.source is None and want.name in self._wants:
                self._ask(want, now)

    def _ask(self, want: _Want, now: float) -> None:
        known = want.has or {peer: None for peer in want.session.good if peer in self._peers and peer not in want.lacks}
        if known:
            source = min(known, key=self._rank)
            if not self._peers[source].full:
                self._ask_for(want, source, now)
            return
        if now - want.asked_all < ROUND_SECONDS:
            return
        want.asked_all = now
        want.lacks.clear()
        allowed = self._allowed(want)
        for peer in allowed:
            if len(allowed) == 1 and not self._peers[peer].full:
                self._ask_for(want, peer, now)  # nobody else to choose: asking about it first would cost a round trip
            else:
                self._ask_about(want, peer)

    def _rank(self, peer: str) -> tuple[bool, int, int]:
        state = self._peers[peer]
        return state.full, state.strikes, len(state.requests)

    def _ask_about(self, want: _Want, peer: str) -> None:
        want.asked.add(peer)
        self._peers[peer].out[want.name] = Entry(want.name, want_have=True, send_dont_have=True)

    def _ask_for(self, want: _Want, peer: str, now: float) -> None:
        state = self._peers[peer]
        want.asked.add(peer)
        want.source = peer
        state.requests[want.name] = now
        state.heard = max(state.heard, now) if len(state.requests) == 1 else state.heard
        state.out[want.name] = Entry(want.name, send_dont_have=True)

    def _say_no_more(self, want: _Want, peer: str) -> None:
        state = self._peers[peer]
        state.requests.pop(want.name, None)
        state.out[want.name] = Entry(want.name, cancel=True)
        state.owed[want.name] = want.session
        if len(state.owed) > MAX_OWED:
            state.owed.popitem(last=False)

    def _end(self, want: _Want, given_by: str | None = None) -> None:
        del self._wants[want.name]
        for peer in want.asked:
            if peer == given_by:
                self._peers[peer].requests.pop(want.name, None)
                self._peers[peer].out.pop(want.name, None)
            else:
                self._say_no_more(want, peer)
