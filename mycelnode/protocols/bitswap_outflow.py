"""Who may be sent blocks now: what all peers together may cost, in bytes a second and in memory (docs/protocols/bitswap.md).

To ask costs a peer a few bytes, and to answer costs us megabytes; and what a peer does not read lies in our memory. So both are
bounded, and peers take turns by fair queueing (Demers, Keshav and Shenker, 1989): each message has a place in one order, its bytes
behind the peer's last one, and never before what every peer could have had until it was asked for. Times are seconds of one clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from mycelnode.protocols.buckets import Buckets, Rate

BURST_SECONDS: Final = 4.0  # so many seconds' worth may go out at once
PEER_SHARE: Final = 0.5  # for one peer, when that is used up
MAX_PEERS: Final = 1024  # whose shares are remembered, longer than they are connected
HELD_BYTES: Final = 64 << 20  # in messages that peers are taking, below which one more may begin: so much
PROVED_BYTES: Final = 1 << 20  # for those that have shown that they read, by taking this, and so much for the others
STUCK_SECONDS: Final = 3.0  # after which who takes a message so slowly makes room, if another of its kind has none
_DOOR: Final = ""  # the key of all, in one bucket


@dataclass(slots=True)
class _Peer:
    paid: float  # when what it was sent is paid for
    last: float = 0.0  # the place of its last message
    before: float | None = None  # behind which place its next one stands; None until it has waited for one
    place: float = 0.0  # of that one
    waits: bool = False
    busy: bool = False  # it is taking a message
    held: int = 0  # bytes of blocks in that
    since: float = 0.0  # when that was begun
    taken: int = 0  # bytes of blocks, before

    @property
    def proved(self) -> bool:
        """Is it known to read?"""
        return self.taken >= PROVED_BYTES


class Outflow:
    """The books on what goes out. ``per_second``: bytes for all together; infinity: as many as they take."""

    def __init__(self, per_second: float) -> None:
        burst = BURST_SECONDS * per_second
        self._limited = per_second < math.inf
        self._all = Buckets(Rate(burst, per_second), 1)
        self._each = Buckets(Rate(burst, PEER_SHARE * per_second), MAX_PEERS)
        self._paid = -math.inf  # when what all were sent is paid for
        self._peers: dict[str, _Peer] = {}
        self._fair = 0.0  # the place up to which every peer could have been served
        self._held = {True: 0, False: 0}  # by those that are proved, and by the others

    @property
    def held(self) -> int:
        """Bytes of blocks in the messages that peers are taking."""
        return sum(self._held.values())

    # --- what happens ------------------------------------------------------------------------------------------------------

    def come(self, peer: str, now: float) -> None:
        """A peer is there; that may be said again."""
        if peer not in self._peers:
            self._peers[peer] = _Peer(now + self._each.owe(peer, now, 0.0) if self._limited else -math.inf)

    def waits(self, peer: str, size: int) -> None:
        """A peer waits for blocks, ``size`` bytes in the next message; 0: for none.

        What it was not sent yet it is in the same place for as before, also after it has cancelled: many ask again in a moment.
        """
        about = self._peers[peer]
        about.waits = bool(size)
        if size:
            about.before = max(about.last, self._fair) if about.before is None else about.before
            about.place = about.before + size

    def begin(self, peer: str, size: int, now: float) -> None:
        """A message goes to a peer, with ``size`` bytes of blocks or none; until `end`, or `gone`, no other one does."""
        about, sharers = self._peers[peer], len(self._payers(now))
        about.busy, about.since, about.held = True, now, size
        if not size:
            return
        before = self._fair if about.before is None else about.before
        about.waits, about.before, about.last = False, None, before + size
        self._fair = max(self._fair + size / max(1, sharers), before)
        self._held[about.proved] += size
        if self._limited:
            self._paid = now + self._all.owe(_DOOR, now, size)
            about.paid = now + self._each.owe(peer, now, size)

    def end(self, peer: str) -> None:
        """It has taken its message."""
        about = self._peers.get(peer)
        if about is not None:
            self._held[about.proved] -= about.held
            about.taken += about.held
            about.busy, about.held = False, 0

    def gone(self, peer: str) -> None:
        """It is not there any more. How much it was sent is remembered: it may come back at once."""
        about = self._peers.pop(peer, None)
        if about is not None:
            self._held[about.proved] -= about.held

    # --- what follows ------------------------------------------------------------------------------------------------------

    def first(self, now: float) -> str | None:
        """Whose turn it is, of those that wait; None: of nobody yet."""
        ready = (peer for peer, about in self._payers(now) if self._fits(about))
        return min(ready, key=lambda peer: self._peers[peer].place, default=None)

    def stuck(self, now: float) -> str | None:
        """Who is to be cut, since another has no room: who has taken least until now, of those that are slow."""
        lacking = {about.proved for _, about in self._payers(now) if not self._fits(about)}
        if not lacking:
            return None
        slow = [
            (about.taken, about.since, peer)
            for peer, about in self._peers.items()
            if about.held and about.proved in lacking and now - about.since >= STUCK_SECONDS
        ]
        return min(slow)[2] if slow else None

    def next_due(self, now: float) -> float:
        """When `first` or `stuck` may say something else, if nothing happens meanwhile; infinity: never."""
        due = math.inf
        for about in self._peers.values():
            if about.waits and not about.busy:
                room = now if self._fits(about) else self._oldest(about.proved) + STUCK_SECONDS
                due = min(due, max(now, self._paid, about.paid, room))
        return due

    def _payers(self, now: float) -> list[tuple[str, _Peer]]:
        """Those that wait, and could be sent something if there is room."""
        if self._paid > now:
            return []
        return [
            (peer, about) for peer, about in self._peers.items() if about.waits and not about.busy and about.paid <= now
        ]

    def _fits(self, about: _Peer) -> bool:
        return self._held[about.proved] < HELD_BYTES

    def _oldest(self, proved: bool) -> float:
        return min(about.since for about in self._peers.values() if about.held and about.proved is proved)
