"""Bitswap 1.2.0 of one node with all its peers: messages and clock readings in, messages and events out.

docs/protocols/bitswap.md has the states. A driver hands in what came, together with the sizes of those blocks it names that are
here (`asked_for`). It reads the blocks that `next` names, sends the message, and says when that is done (`sent`). It looks at the
clock at `next_due` (`tick`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mycelnode.protocols.bitswap_client import Client, Session
from mycelnode.protocols.bitswap_client import Event as Fetched
from mycelnode.protocols.bitswap_frames import Block, Entry, Message, name_of
from mycelnode.protocols.bitswap_outflow import Outflow
from mycelnode.protocols.bitswap_server import Answer, Ledger

MAX_PENDING = (1 << 31) - 1  # what a message can say of bytes that are still to come


@dataclass(frozen=True, slots=True)
class Stuck:
    """A peer takes a message so slowly that it is to be cut, since others have no room."""

    peer: str


Event = Fetched | Stuck


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What one message is to say: our wants, and an answer whose blocks are still to be read."""

    entries: tuple[Entry, ...]
    answer: Answer
    pending_bytes: int

    def message(self, blocks: Mapping[bytes, bytes]) -> Message:
        """The message, with what was read of `wanted`; what is not there any more is said to be missing."""
        here = [(cid, blocks.get(name)) for cid, name in self._named()]
        missing = tuple((cid, False) for cid, data in here if data is None)
        found = tuple(Block.of(cid, data) for cid, data in here if data is not None)
        return Message(self.entries, False, found, self.answer.presences + missing, self.pending_bytes)

    @property
    def wanted(self) -> list[bytes]:
        """The blocks to be read for it."""
        return [name for _, name in self._named()]

    def _named(self) -> list[tuple[bytes, bytes]]:
        return [(cid, name) for cid in self.answer.blocks if (name := name_of(cid)) is not None]


def asked_for(message: Message) -> set[bytes]:
    """The blocks that a message asks about or for: which of them are here is to be said to `Exchange.hear`."""
    return {name for entry in message.entries if not entry.cancel and (name := name_of(entry.cid)) is not None}


class Exchange:
    """The machine of one node. ``per_second``: bytes of blocks for all peers together; infinity: as many as they take."""

    def __init__(self, per_second: float = math.inf) -> None:
        self.client = Client()
        self._outflow = Outflow(per_second)
        self._ledgers: dict[str, Ledger] = {}
        self._told = set[str]()  # peers with something to be told

    def connected(self, peer: str, now: float) -> None:
        """A peer is there. `disconnected` undoes it; each may be said twice."""
        self._ledgers.setdefault(peer, Ledger())
        self._outflow.come(peer, now)
        self.client.connected(peer, now)

    def disconnected(self, peer: str, now: float) -> None:
        """A peer is gone, or does not speak Bitswap."""
        self._ledgers.pop(peer, None)
        self._told.discard(peer)
        self._outflow.gone(peer)
        self.client.disconnected(peer, now)

    def hear(self, peer: str, message: Message, held: Mapping[bytes, int], now: float) -> list[Fetched]:
        """A message of a peer. ``held``: of `asked_for`, the blocks that are here, with their sizes in bytes."""
        ledger = self._ledgers.get(peer)
        if ledger is None:
            return []
        if message.entries or message.full:
            ledger.hear(message.entries, full=message.full, held=held)
            self._note(peer, ledger)
        return self.client.hear(peer, message.blocks, message.presences, now)

    def arrived(self, name: bytes, size: int) -> None:
        """A block is here now, wherever it came from: who waits for it is told, or sent it."""
        for peer, ledger in self._ledgers.items():
            if ledger.arrived(name, size):
                self._note(peer, ledger)

    def want(self, name: bytes, session: Session, deadline: float, now: float) -> None:
        """As `Client.want`."""
        self.client.want(name, session, deadline, now)

    # --- time ----------------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Event]:
        """Look at the clock."""
        events: list[Event] = [*self.client.tick(now)]
        stuck = self._outflow.stuck(now)
        if stuck is not None:
            self.disconnected(stuck, now)
            events.append(Stuck(stuck))
        return events

    def next_due(self, now: float) -> float:
        """When to call `tick`, and then to ask `speaks_to`, though nothing has happened; infinity: never."""
        return min(self.client.next_due(now), self.answer_due(now))

    def answer_due(self, now: float) -> float:
        """Of that, what is due to those that want blocks of us."""
        return self._outflow.next_due(now)

    # --- what to say -----------------------------------------------------------------------------------------------------------

    def speaks_to(self, now: float) -> set[str]:
        """The peers to which there is something to say. Of those that wait for blocks only the one whose turn it is is named."""
        first = self._outflow.first(now)
        return self._told | self.client.speaks_to() | ({first} if first is not None else set())

    def next(self, peer: str, now: float) -> Outgoing | None:
        """What the next message to a peer is to say; it counts as said. None if there is nothing, or it is not its turn.

        It is taking that message then, until `sent` is called.
        """
        ledger = self._ledgers.get(peer)
        if ledger is None:
            return None
        before = ledger.queued_bytes
        entries, answer = self.client.entries(peer), ledger.next(blocks=self._outflow.first(now) == peer)
        said = bool(entries or answer.presences or answer.blocks)
        if said:
            self._outflow.begin(peer, before - ledger.queued_bytes, now)
        self._note(peer, ledger)
        if not said:
            return None
        return Outgoing(entries, answer, min(ledger.queued_bytes, MAX_PENDING))

    def sent(self, peer: str) -> None:
        """A peer has taken the message of `next`."""
        self._outflow.end(peer)

    def _note(self, peer: str, ledger: Ledger) -> None:
        if ledger.presences:
            self._told.add(peer)
        else:
            self._told.discard(peer)
        self._outflow.waits(peer, ledger.next_bytes)
