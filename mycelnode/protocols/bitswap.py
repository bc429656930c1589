"""Bitswap 1.2.0 of one node with all its peers: messages and clock readings in, messages and events out.

docs/protocols/bitswap.md has the states. A driver hands in what came, together with the sizes of those blocks it names that are
here (`asked_for`), sends what `next` gives, and reads the blocks that this names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mycelnode.protocols.bitswap_client import Client, Event, Session
from mycelnode.protocols.bitswap_frames import Block, Entry, Message, name_of
from mycelnode.protocols.bitswap_server import Answer, Ledger

MAX_PENDING = (1 << 31) - 1  # what a message can say of bytes that are still to come


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
    """The machine of one node."""

    def __init__(self) -> None:
        self.client = Client()
        self._ledgers: dict[str, Ledger] = {}
        self._speaking = set[str]()  # peers with an answer to come

    def connected(self, peer: str, now: float) -> None:
        """A peer is there. `disconnected` undoes it; each may be said twice."""
        self._ledgers.setdefault(peer, Ledger())
        self.client.connected(peer, now)

    def disconnected(self, peer: str, now: float) -> None:
        """A peer is gone, or does not speak Bitswap."""
        self._ledgers.pop(peer, None)
        self._speaking.discard(peer)
        self.client.disconnected(peer, now)

    def hear(self, peer: str, message: Message, held: Mapping[bytes, int], now: float) -> list[Event]:
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

    def tick(self, now: float) -> list[Event]:
        """Look at the clock; `Client.next_due` says when."""
        return self.client.tick(now)

    def want(self, name: bytes, session: Session, deadline: float, now: float) -> None:
        """As `Client.want`."""
        self.client.want(name, session, deadline, now)

    def speaks_to(self) -> set[str]:
        """The peers to which there is something to say."""
        return self._speaking | self.client.speaks_to()

    def next(self, peer: str) -> Outgoing | None:
        """What the next message to a peer is to say; it counts as said. None if there is nothing."""
        ledger = self._ledgers.get(peer)
        if ledger is None:
            return None
        entries, answer = self.client.entries(peer), ledger.next()
        self._note(peer, ledger)
        if not (entries or answer.presences or answer.blocks):
            return None
        return Outgoing(entries, answer, min(ledger.queued_bytes, MAX_PENDING))

    def _note(self, peer: str, ledger: Ledger) -> None:
        if ledger.waiting:
            self._speaking.add(peer)
        else:
            self._speaking.discard(peer)
