"""What one peer is known to hold on disk: the tips of its logs and the ids of its statements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mycelnode.crdt.changelog import DeviceId, Head, genesis
from mycelnode.protocols.logset import LogSet

PROBE_FANOUT = 24  # positions asked per round of a search: five rounds settle a log of 4 million entries


@dataclass(slots=True)
class Search:
    """The search for the last entry that we share with a tip of the peer's that lies on none of our branches.

    Invariant: the peer's chain to ``tip`` runs through ``low``, which is ours, and is not ours any more at ``high``.
    """

    tip: Head
    low: Head
    high: int

    def positions(self) -> list[int]:
        """Where to ask for hashes next, strictly between ``low`` and ``high``."""
        step = max(1, (self.high - self.low.seq) // (PROBE_FANOUT + 1))
        return list(range(self.low.seq + step, self.high, step))[:PROBE_FANOUT]


@dataclass(slots=True)
class PeerView:
    """The peer's holdings, as it said itself; a lie costs the liar's own connection some useless frames."""

    logs: LogSet
    tips: dict[DeviceId, tuple[Head, ...]] = field(default_factory=dict)
    statements: set[bytes] = field(default_factory=set)  # it said so, or sent them
    shown: set[bytes] = field(default_factory=set)  # statements that we sent it
    shared: dict[DeviceId, Head] = field(default_factory=dict)  # found by search: surely held by both
    searches: dict[DeviceId, Search] = field(default_factory=dict)

    def known_seq(self, device: DeviceId, number: int) -> int:
        """How far along our branch ``number`` the peer surely holds the log."""
        best = 0
        shared = (self.shared[device],) if device in self.shared else ()
        for tip in (*self.tips.get(device, ()), *shared):
            if self.logs.hash_at(device, number, tip.seq) == tip.hash:
                best = max(best, tip.seq)
                continue
            other = self.logs.find(device, tip)
            if other is not None:
                best = max(best, min(tip.seq, self.logs.common(device, number, other).seq))
        return best

    def unknown_tips(self, device: DeviceId) -> list[Head]:
        """Tips of the peer's that lie on none of our branches: it is ahead of us, or the log was forked."""
        return [tip for tip in self.tips.get(device, ()) if self.logs.find(device, tip) is None]

    def holds(self, device: DeviceId, head: Head) -> bool:
        """Does the peer surely hold the log up to ``head``, which lies on a branch of ours?"""
        number = self.logs.find(device, head)
        return number is not None and self.known_seq(device, number) >= head.seq

    def settled(self, device: DeviceId) -> bool:
        """Do we know where to continue the peer's log? Not while every tip of the peer's is unknown here."""
        unknown = self.unknown_tips(device)
        return not unknown or len(unknown) < len(self.tips[device]) or device in self.shared

    def next_search(self, device: DeviceId, *, full: bool = False) -> Search | None:
        """A search to begin: a tip no longer than our longest branch that is not on any of ours can only be another version.

        ``full``: we take no more of that log, so a longer one will not be ours either.
        """
        if device in self.searches or device in self.shared:
            return None
        longest = max(branch.head.seq for branch in self.logs.branches(device))
        for tip in self.unknown_tips(device):
            if full or tip.seq <= longest:
                self.searches[device] = Search(tip, genesis(self.logs.root, device), tip.seq)
                return self.searches[device]
        return None

    def narrow(self, device: DeviceId, answers: Iterable[tuple[int, bytes | None]]) -> bool:
        """Take in the peer's hashes; True when the search is over and ``shared`` holds its result."""
        search = self.searches[device]
        for seq, digest in answers:
            if digest is None or not search.low.seq < seq < search.high:
                continue
            if self.logs.find(device, Head(seq, digest)) is None:
                search.high = seq
                break
            search.low = Head(seq, digest)
        if search.high - search.low.seq > 1:
            return False
        self.shared[device] = search.low
        del self.searches[device]
        return True
