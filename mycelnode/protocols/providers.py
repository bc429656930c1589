"""Who provides what: the records that peers leave with us, within bounds, and which of our own are due.

See docs/protocols/providers.md. Pure: clock readings in, seconds. A record says that a peer provides a key; nobody can leave
one for another.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from mycelnode.errors import BusyError
from mycelnode.protocols.kad_wire import PeerAddrs

MAX_PER_KEY: Final = 20  # providers of one key; the record that is oldest goes
MAX_PER_PEER: Final = 1024  # keys of one provider; its oldest goes
MAX_RECORDS: Final = 16_384  # in all; one of the peer that has most goes
MAX_PROVIDERS: Final = 4096  # peers whose addresses are kept
RECORD_SECONDS: Final = 48 * 3600.0  # libp2p specs, kad-dht: provider records
ADDRESS_SECONDS: Final = 24 * 3600.0
REPUBLISH_SECONDS: Final = 22 * 3600.0
RETRY_SECONDS: Final = 300.0  # after nobody took a record
MAX_OWN: Final = 65_536  # keys that we provide


class ProviderStore:
    """Records of others."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, OrderedDict[str, float]] = {}  # key → provider → when it ends, oldest first
        self._by_peer: dict[str, OrderedDict[bytes, None]] = {}  # provider → its keys, oldest first
        self._addrs: OrderedDict[str, tuple[tuple[str, ...], float]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: bytes, provider: PeerAddrs, now: float) -> None:
        """``provider`` says that it provides ``key``."""
        peer = provider.peer
        self._drop(key, peer)
        self.expire_key(key, now)
        if len(self._by_key.get(key, ())) >= MAX_PER_KEY:
            self._drop(key, next(iter(self._by_key[key])))
        if len(self._by_peer.get(peer, ())) >= MAX_PER_PEER:
            self._drop(next(iter(self._by_peer[peer])), peer)
        if self._count >= MAX_RECORDS:
            busiest = max(self._by_peer, key=lambda each: len(self._by_peer[each]))
            self._drop(next(iter(self._by_peer[busiest])), busiest)
        self._by_key.setdefault(key, OrderedDict())[peer] = now + RECORD_SECONDS
        self._by_peer.setdefault(peer, OrderedDict())[key] = None
        self._count += 1
        if provider.addrs:
            self._addrs[peer] = (provider.addrs, now + ADDRESS_SECONDS)
            self._addrs.move_to_end(peer)
            if len(self._addrs) > MAX_PROVIDERS:
                self._addrs.popitem(last=False)

    def _drop(self, key: bytes, peer: str) -> None:
        providers, keys = self._by_key.get(key), self._by_peer.get(peer)
        if providers is None or keys is None or peer not in providers:
            return
        del providers[peer], keys[key]
        self._count -= 1
        if not providers:
            del self._by_key[key]
        if not keys:
            del self._by_peer[peer]
            self._addrs.pop(peer, None)

    def expire_key(self, key: bytes, now: float) -> None:
        """Forget the records of a key that have ended."""
        for peer in [peer for peer, until in self._by_key.get(key, {}).items() if until <= now]:
            self._drop(key, peer)

    def expire(self, now: float) -> None:
        """Forget all records and addresses that have ended."""
        for key in list(self._by_key):
            self.expire_key(key, now)
        for peer in [peer for peer, (_, until) in self._addrs.items() if until <= now]:
            del self._addrs[peer]

    def of(self, key: bytes, now: float) -> list[PeerAddrs]:
        """Who provides a key, the newest record first; without addresses where they are too old."""
        self.expire_key(key, now)
        found = []
        for peer in reversed(self._by_key.get(key, {})):
            addrs, until = self._addrs.get(peer, ((), 0.0))
            found.append(PeerAddrs(peer, addrs if until > now else ()))
        return found


class Own:
    """The keys that we provide, and when each is to be told again."""

    def __init__(self) -> None:
        self._due: dict[bytes, float] = {}
        self._queue: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: bytes) -> bool:
        return key in self._due

    def add(self, key: bytes, due: float) -> None:
        """Provide a key from now on. Raises `BusyError` beyond `MAX_OWN`."""
        if key not in self._due and len(self._due) >= MAX_OWN:
            raise BusyError(f"{MAX_OWN} keys are provided already; stop providing some first")
        self._due[key] = due
        heapq.heappush(self._queue, (due, key))
        if len(self._queue) > 2 * len(self._due) + 16:  # what is left of changes
            self._queue = [(due, key) for key, due in self._due.items()]
            heapq.heapify(self._queue)

    def remove(self, key: bytes) -> None:
        """Provide it no more; what others were told ends by itself."""
        self._due.pop(key, None)

    def told(self, key: bytes, taken: int, now: float) -> None:
        """It was told to so many peers."""
        if key in self._due:
            self.add(key, now + (REPUBLISH_SECONDS if taken else RETRY_SECONDS))

    def due(self, now: float, count: int) -> Sequence[bytes]:
        """Keys that are to be told now, longest due first; they are due again after a while unless `told` says otherwise."""
        keys: list[bytes] = []
        while self._queue and self._queue[0][0] <= now and len(keys) < count:
            due, key = heapq.heappop(self._queue)
            if self._due.get(key) == due:
                keys.append(key)
        for key in keys:
            self.add(key, now + RETRY_SECONDS)
        return keys
