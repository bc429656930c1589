"""Who is where in the key space: Kademlia's routing table, and the walk towards a key (docs/protocols/providers.md).

In the table are peers that have answered us, and nobody else: to be in many tables one must serve many. Pure: clock readings in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from mycelnode.protocols.kad_wire import MAX_ADDRS, PeerAddrs, peer_bytes

BUCKET: Final = 20  # peers of one distance (k); 256 distances there are, and few of them have any
NEAR: Final = 3  # of them from one network: the rest of a bucket is for others
FAILURES: Final = 2  # in a row, after which a peer is taken out
AT_ONCE: Final = 3  # questions of one walk under way (alpha)
MAX_ASKED: Final = 60  # peers that one walk asks at most
MAX_HEARD: Final = 256  # peers that one walk keeps in mind, the nearest ones


def place_of(key: bytes) -> int:
    """Where a key, or the bytes of a peer id, lies in the key space."""
    return int.from_bytes(hashlib.sha256(key).digest(), "big")


def place_of_peer(peer: str) -> int:
    """Where a peer lies. Raises `EncodingError` if that is no peer id."""
    return place_of(peer_bytes(peer))


@dataclass(slots=True)
class _Entry:
    place: int
    addrs: tuple[str, ...]
    networks: frozenset[str]
    seen: float
    failures: int = 0


class Table:
    """The routing table of ``own`` (a peer id). ``network_of(addr)``: what its neighbours' addresses have in common, or ""."""

    def __init__(self, own: str, network_of: Callable[[str], str]) -> None:
        self._own, self._place, self._network_of = own, place_of_peer(own), network_of
        self._buckets: dict[int, dict[str, _Entry]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def __contains__(self, peer: str) -> bool:
        return any(peer in bucket for bucket in self._buckets.values())

    def _bucket(self, place: int) -> dict[str, _Entry]:
        return self._buckets.setdefault((place ^ self._place).bit_length(), {})

    def answered(self, peer: str, addrs: Iterable[str], now: float) -> bool:
        """It has answered, and is known to be at ``addrs``. Is it in the table now?

        A full bucket takes nobody for whom none is there that failed: who has been there long will be there for longer.
        """
        if peer == self._own:
            return False
        place = place_of_peer(peer)
        bucket = self._bucket(place)
        known = bucket.get(peer)
        where = tuple(addrs)[:MAX_ADDRS] or (known.addrs if known else ())
        networks = frozenset(filter(None, map(self._network_of, where)))
        others = [entry for name, entry in bucket.items() if name != peer]
        if any(sum(network in entry.networks for entry in others) >= NEAR for network in networks):
            bucket.pop(peer, None)
            return False
        if known is None and len(bucket) >= BUCKET:
            failing = min((name for name, entry in bucket.items() if entry.failures), default=None)
            if failing is None:
                return False
            del bucket[failing]
        bucket[peer] = _Entry(place, where, networks, now)
        return True

    def failed(self, peer: str) -> None:
        """It did not answer."""
        bucket = self._bucket(place_of_peer(peer))
        entry = bucket.get(peer)
        if entry is not None:
            entry.failures += 1
            if entry.failures >= FAILURES:
                del bucket[peer]

    def closest(self, place: int, count: int = BUCKET, but: str = "") -> list[PeerAddrs]:
        """The peers nearest to a place, nearest first."""
        found = [
            (entry.place ^ place, PeerAddrs(peer, entry.addrs))
            for bucket in self._buckets.values()
            for peer, entry in bucket.items()
            if peer != but
        ]
        return [each for _, each in sorted(found, key=lambda pair: pair[0])[:count]]

    def stale(self, before: float, count: int) -> list[PeerAddrs]:
        """Peers that were last heard before that, longest ago first."""
        found = [
            (e.seen, PeerAddrs(p, e.addrs)) for b in self._buckets.values() for p, e in b.items() if e.seen < before
        ]
        return [each for _, each in sorted(found, key=lambda pair: pair[0])[:count]]


@dataclass(slots=True)
class _Heard:
    addrs: tuple[str, ...]
    state: str = "new"  # asked, answered, failed
    tries: int = field(default=0)


class Walk:
    """One walk towards a place: asks ever nearer peers until the ``width`` nearest that answer have answered."""

    def __init__(self, place: int, own: str, start: Iterable[PeerAddrs], width: int = BUCKET) -> None:
        self.place, self._own, self.width = place, own, width
        self._heard: dict[str, _Heard] = {}
        self._distance: dict[str, int] = {}
        self._under_way = self.asked = 0
        self._add(start)

    def _add(self, peers: Iterable[PeerAddrs]) -> None:
        for each in peers:
            if each.peer == self._own:
                continue
            known = self._heard.get(each.peer)
            if known is None:
                self._heard[each.peer] = _Heard(each.addrs)
                self._distance[each.peer] = place_of_peer(each.peer) ^ self.place
            elif known.state == "new":
                known.addrs = tuple(dict.fromkeys((*known.addrs, *each.addrs)))[:MAX_ADDRS]
        if len(self._heard) > MAX_HEARD:
            idle = [peer for peer, about in self._heard.items() if about.state == "new"]
            idle.sort(key=self._distance.__getitem__)
            for peer in idle[len(idle) - (len(self._heard) - MAX_HEARD) :]:
                del self._heard[peer], self._distance[peer]

    def _nearest(self) -> list[str]:
        """Those that did not fail, nearest first."""
        left = [peer for peer, about in self._heard.items() if about.state != "failed"]
        return sorted(left, key=self._distance.__getitem__)[: self.width]

    def next(self) -> PeerAddrs | None:
        """Whom to ask now; None: nobody, until an answer has come, or ever."""
        if self._under_way >= AT_ONCE or self.asked >= MAX_ASKED:
            return None
        for peer in self._nearest():
            about = self._heard[peer]
            if about.state == "new":
                about.state = "asked"
                about.tries += 1
                self._under_way += 1
                self.asked += 1
                return PeerAddrs(peer, about.addrs)
        return None

    def answered(self, peer: str, closer: Iterable[PeerAddrs]) -> None:
        """A peer that was asked has named others."""
        self._under_way -= 1
        self._heard[peer].state = "answered"
        self._add(closer)

    def failed(self, peer: str, *, again: bool) -> None:
        """A peer that was asked did not answer; ``again``: it may be asked once more, as the line may have been at fault."""
        self._under_way -= 1
        about = self._heard[peer]
        about.state = "new" if again and about.tries < 2 else "failed"

    @property
    def over(self) -> bool:
        """Is nobody left to ask or to wait for?"""
        if self._under_way:
            return False
        return self.asked >= MAX_ASKED or all(self._heard[peer].state != "new" for peer in self._nearest())

    def found(self) -> list[PeerAddrs]:
        """The nearest peers that answered, nearest first."""
        left = [peer for peer, about in self._heard.items() if about.state == "answered"]
        left.sort(key=self._distance.__getitem__)
        return [PeerAddrs(peer, self._heard[peer].addrs) for peer in left[: self.width]]
