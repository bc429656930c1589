"""GossipSub 1.1 for one topic, as a pure machine (libp2p specs, pubsub/gossipsub; docs/protocols/announcements.md).

RPCs and clock readings in, RPCs and messages out. Everything that is kept is bounded, of one peer and of all. Left out of the
specification: scores (who breaks the rules is cut), peer exchange (who may be dialled is not for strangers to say), fanout (who
publishes is subscribed).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from mycelnode.errors import ValueRefused
from mycelnode.protocols.announce import Verdict
from mycelnode.protocols.gossip_wire import MAX_DATA_BYTES, MAX_MESSAGES, Rpc

HEARTBEAT_SECONDS: Final = 1.0
MESH_LOW: Final = 4  # peers that get every message at once; below it others are grafted
MESH: Final = 6
MESH_HIGH: Final = 12  # above it some are pruned
LAZY: Final = 6  # others that are told what there is, at least; or a quarter of them
LAZY_SHARE: Final = 0.25
HISTORY: Final = 6  # heartbeats for which a message can be asked for
GOSSIPED: Final = 3  # of these, for which others are told of it
BACKOFF_SECONDS: Final = 60  # in which who was pruned is not grafted again
EARLY_GRAFTS: Final = 5  # that a peer may send within its backoff before it is cut
MAX_PEERS: Final = 512  # that are spoken with
MAX_SEEN: Final = 65_536  # ids of messages; 100 a second for ten minutes
MAX_KEPT: Final = 2048  # messages that can be asked for, of 2 MiB
MAX_ASKED: Final = 4096  # messages that were asked for and did not come yet
ASK_AGAIN_SECONDS: Final = 3.0
IDS_A_HEARTBEAT: Final = 128  # that one peer may tell us of, and ask for
SENT_AGAIN: Final = 3  # times that one peer gets a message that it asks for

Said = TypeVar("Said")
Judge = Callable[[str, bytes, float], tuple[Verdict, Said | None]]


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``rpc`` to ``peer``."""

    peer: str
    rpc: Rpc


@dataclass(frozen=True, slots=True)
class Deliver(Generic[Said]):
    """A message that is new and accepted, as it was judged."""

    peer: str
    said: Said


@dataclass(frozen=True, slots=True)
class Cut:
    """End the connection with ``peer``."""

    peer: str
    reason: str


@dataclass(slots=True)
class _Peer:
    subscribed: bool = False
    backoff: float = 0.0  # until then it is not grafted
    early: int = 0  # grafts within its backoff
    told: int = 0  # ids of IHAVE since the heartbeat
    wanted: int = 0  # ids of IWANT since the heartbeat


@dataclass(slots=True)
class _Kept:
    data: bytes
    sent: dict[str, int] = field(default_factory=dict)  # to whom, on asking


def message_id(data: bytes) -> bytes:
    """What a message is called."""
    return hashlib.sha256(data).digest()


class Gossip(Generic[Said]):
    """The machine. ``judge`` says what becomes of a new message; ``random()`` is uniform in [0, 1)."""

    def __init__(self, judge: Judge[Said], random: Callable[[], float]) -> None:
        self._judge, self._random = judge, random
        self._peers: dict[str, _Peer] = {}
        self._mesh: set[str] = set()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._history: deque[list[bytes]] = deque([[]], maxlen=HISTORY)  # ids by heartbeat, the newest first
        self._asked: OrderedDict[bytes, float] = OrderedDict()

    @property
    def mesh(self) -> frozenset[str]:
        """The peers that get every message at once."""
        return frozenset(self._mesh)

    @property
    def neighbours(self) -> frozenset[str]:
        """The peers that are subscribed."""
        return frozenset(peer for peer, about in self._peers.items() if about.subscribed)

    # --- who comes and goes ------------------------------------------------------------------------------------------------

    def connected(self, peer: str) -> Rpc | None:
        """What to say first on a new stream to a peer. None beyond `MAX_PEERS`, who are not spoken with."""
        if self._meet(peer) is None:
            return None
        return Rpc(subscribe=True, graft=peer in self._mesh)

    def _meet(self, peer: str) -> _Peer | None:
        if peer not in self._peers and len(self._peers) < MAX_PEERS:
            self._peers[peer] = _Peer()
        return self._peers.get(peer)

    def disconnected(self, peer: str) -> None:
        """It is gone; nothing is remembered of it, nor of what it was told."""
        self._peers.pop(peer, None)
        self._mesh.discard(peer)

    # --- messages ----------------------------------------------------------------------------------------------------------

    def publish(self, data: bytes) -> list[Send]:
        """A message of our own, to all who are subscribed, and for who comes within `GOSSIPED` heartbeats.

        Raises `ValueRefused` if it is too long.
        """
        if len(data) > MAX_DATA_BYTES:
            raise ValueRefused(f"a message of {len(data)} bytes; {MAX_DATA_BYTES} are allowed")
        self._keep(message_id(data), data)
        return [Send(peer, Rpc(publish=(data,))) for peer in sorted(self.neighbours)]

    def receive(self, peer: str, rpc: Rpc, now: float) -> list[Send | Deliver[Said] | Cut]:
        """What a peer says."""
        about = self._meet(peer)
        if about is None:
            return []
        actions: list[Send | Deliver[Said] | Cut] = []
        if rpc.subscribe is not None:
            if not rpc.subscribe:
                self._mesh.discard(peer)
            elif not about.subscribed:
                actions += self._catch_up(peer)
            about.subscribed = rpc.subscribe
        for data in rpc.publish:
            actions += self._message(peer, data, now)
            if actions and isinstance(actions[-1], Cut):
                return actions
        actions += self._control(peer, about, rpc, now)
        return actions

    def _message(self, peer: str, data: bytes, now: float) -> list[Send | Deliver[Said] | Cut]:
        name = message_id(data)
        if name in self._seen:
            return []
        verdict, said = self._judge(peer, data, now)
        if verdict is Verdict.IGNORE:
            return []  # from another it may be welcome
        self._asked.pop(name, None)
        if verdict is Verdict.ACCEPT and said is not None:
            self._keep(name, data)
            forward = [Send(other, Rpc(publish=(data,))) for other in sorted(self._mesh - {peer})]
            return [Deliver(peer, said), *forward]
        self._see(name)
        return [Cut(peer, "it passes on what is malformed")] if verdict is Verdict.CUT else []

    def _see(self, name: bytes) -> None:
        self._seen[name] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def _keep(self, name: bytes, data: bytes) -> None:
        self._see(name)
        self._kept[name] = _Kept(data)
        self._history[0].append(name)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    # --- control -----------------------------------------------------------------------------------------------------------

    def _control(self, peer: str, about: _Peer, rpc: Rpc, now: float) -> list[Send | Deliver[Said] | Cut]:
        actions: list[Send | Deliver[Said] | Cut] = []
        if rpc.prune is not None:
            self._mesh.discard(peer)
            about.backoff = max(about.backoff, now + max(rpc.prune, BACKOFF_SECONDS))
        if rpc.graft and peer not in self._mesh:
            if now < about.backoff:
                about.early += 1
                if about.early > EARLY_GRAFTS:
                    return [Cut(peer, "it grafts again and again within its backoff")]
                actions.append(self._prune(peer, about, now))
            elif len(self._mesh) >= MESH_HIGH or not about.subscribed:
                actions.append(self._prune(peer, about, now))
            else:
                self._mesh.add(peer)
                actions += self._catch_up(peer)
        if wanted := self._ask(about, rpc.ihave, now):
            actions.append(Send(peer, Rpc(iwant=wanted)))
        answers = self._answer(peer, about, rpc.iwant)
        for place in range(0, len(answers), MAX_MESSAGES):
            actions.append(Send(peer, Rpc(publish=tuple(answers[place : place + MAX_MESSAGES]))))
        return actions

    def _prune(self, peer: str, about: _Peer, now: float) -> Send:
        self._mesh.discard(peer)
        about.backoff = max(about.backoff, now + BACKOFF_SECONDS)
        return Send(peer, Rpc(prune=BACKOFF_SECONDS))

    def _ask(self, about: _Peer, told: Sequence[bytes], now: float) -> tuple[bytes, ...]:
        wanted = []
        for name in told[: max(0, IDS_A_HEARTBEAT - about.told)]:
            if name not in self._seen and now - self._asked.get(name, -ASK_AGAIN_SECONDS) >= ASK_AGAIN_SECONDS:
                self._asked[name] = now
                self._asked.move_to_end(name)
                wanted.append(name)
        about.told += len(told)
        while len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)
        return tuple(wanted)

    def _answer(self, peer: str, about: _Peer, wanted: Sequence[bytes]) -> list[bytes]:
        answers = []
        for name in wanted[: max(0, IDS_A_HEARTBEAT - about.wanted)]:
            kept = self._kept.get(name)
            if kept is not None and kept.sent.get(peer, 0) < SENT_AGAIN:
                kept.sent[peer] = kept.sent.get(peer, 0) + 1
                answers.append(kept.data)
        about.wanted += len(wanted)
        return answers

    # --- the heartbeat -----------------------------------------------------------------------------------------------------

    def heartbeat(self, now: float) -> list[Send]:
        """Every `HEARTBEAT_SECONDS`: mend the mesh, tell others what there is, forget what is old."""
        sends: list[Send] = []
        if len(self._mesh) < MESH_LOW:
            ready = [p for p in self.neighbours - self._mesh if now >= self._peers[p].backoff]
            for peer in self._some(ready, MESH - len(self._mesh)):
                self._mesh.add(peer)
                sends.append(Send(peer, Rpc(graft=True, ihave=self._recent())))
        elif len(self._mesh) > MESH_HIGH:
            too_many = self._some(self._mesh, len(self._mesh) - MESH)
            sends += [self._prune(peer, self._peers[peer], now) for peer in too_many]
        sends += self._tell()
        self._shift(now)
        return sends

    def _tell(self) -> list[Send]:
        names, others = self._recent(), self.neighbours - self._mesh
        if not names:
            return []
        count = max(LAZY, int(LAZY_SHARE * len(others)))
        return [Send(peer, Rpc(ihave=names)) for peer in self._some(others, count)]

    def _catch_up(self, peer: str) -> list[Send]:
        """Before it is in the mesh a peer is told by heartbeats, and then no more: what came in between it would miss."""
        names = self._recent()
        return [Send(peer, Rpc(ihave=names))] if names else []

    def _recent(self) -> tuple[bytes, ...]:
        names = [name for names in list(self._history)[:GOSSIPED] for name in names if name in self._kept]
        return tuple(names[:IDS_A_HEARTBEAT])

    def _shift(self, now: float) -> None:
        if len(self._history) == HISTORY:
            for name in self._history[-1]:
                self._kept.pop(name, None)
        self._history.appendleft([])
        while self._asked and now - next(iter(self._asked.values())) > ASK_AGAIN_SECONDS:
            self._asked.popitem(last=False)
        for about in self._peers.values():
            about.told = about.wanted = 0
            if now >= about.backoff:
                about.early = 0

    def _some(self, peers: Iterable[str], count: int) -> list[str]:
        """So many of these, at random."""
        left = sorted(peers)
        picked: list[str] = []
        while left and len(picked) < count:
            picked.append(left.pop(int(self._random() * len(left))))
        return picked
