"""Learns of what others publish, and takes it up in the index: from announcements, and by comparing catalogues with neighbours.

Both only say that a manifest exists; it counts once its block has come and its creator's signature holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Final

import trio

from mycelnode.errors import BlockUnavailable, CreatorBlocked, MycelError, PatternRefused
from mycelnode.keeping.keeper import BLOCKED, SWARM, Keeper
from mycelnode.p2p.bitswap import Bitswap
from mycelnode.p2p.catalogue_driver import CatalogueDriver
from mycelnode.p2p.gossip import GossipService
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.library import MAX_SEEN
from mycelnode.patterns.manifest import Manifest
from mycelnode.protocols.catalogue import Result
from mycelnode.protocols.errands import Errands
from mycelnode.protocols.folding import Progress

FETCH_SECONDS: Final = 20.0  # for one manifest
AT_ONCE: Final = 8  # manifests that are fetched
MOST: Final = 2_000  # that one session with a neighbour lets us learn of
FIRST_AGAIN_SECONDS: Final = 10.0  # after the first time, as announcements may not have reached us yet
AGAIN_SECONDS: Final = 600.0  # after which a neighbour's catalogue is compared again
MAX_DECLINED: Final = 2 * MAX_SEEN  # digests
SOON_SECONDS: Final = 1.0  # if it had more than that

_log = logging.getLogger(__name__)


class Discoverer:
    """Over the swarm door; `open` services hand over what they hear by `told`."""

    def __init__(self, keeper: Keeper, bitswap: Bitswap, gossip: GossipService) -> None:
        self.keeper, self._bitswap, self._gossip = keeper, bitswap, gossip
        self._visits: Errands[str] = Errands()
        self._visited: set[str] = set()  # of those that are connected
        self._wake = trio.Event()
        self._fetching = trio.Semaphore(AT_ONCE)
        # what came and was not kept, the oldest first → of whom, if that was why
        self._declined: dict[bytes, bytes] = {}
        self._hints, self._to_follow = trio.open_memory_channel[tuple[str, Sequence[bytes]]](AT_ONCE)

    @property
    def declined(self) -> int:
        """Of how many manifests it is known that they are not wanted."""
        return len(self._declined)

    @property
    def visited(self) -> AbstractSet[str]:
        """Whose catalogues were compared since they came."""
        return self._visited

    def told(self, peer: str, digests: Sequence[bytes]) -> None:
        """A neighbour says that these exist, which we lack. Beyond what is being followed up, that is left for the next time."""
        try:
            self._hints.send_nowait((peer, digests[:MOST]))
        except trio.WouldBlock:
            _log.debug("hints of %s are left for the next time", peer)

    def look(self, peer: str, here: bool) -> None:
        """A peer has come or gone."""
        self._visited.discard(peer)
        self._wake.set()

    async def run(self, catalogue: CatalogueDriver) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            nursery.start_soon(self._visit_all, catalogue)
            nursery.start_soon(self._follow_all, catalogue)

    # --- announcements ---------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                heard = await self._gossip.receive()
                cid = Cid.from_bytes(heard.announcement.cid)
                if self._is_new(cid.digest):
                    await self._fetching.acquire()
                    nursery.start_soon(self._take, heard.peer, cid, heard.announcement.creator)

    async def _take(self, peer: str, cid: Cid, creator: bytes) -> None:
        try:
            await self._learn(cid, [peer], creator)
        except MycelError as error:
            _log.debug("%s, announced by %s: %s", cid, peer, error)
        finally:
            self._fetching.release()

    async def _learn(self, cid: Cid, peers: Iterable[str], creator: bytes | None = None) -> None:
        """Raises `BlockUnavailable`, `PatternRefused`, `CreatorBlocked`, `StoreFull`."""
        block = await self._bitswap.fetch(cid.binary, peers=list(peers), deadline=FETCH_SECONDS, patient=False)
        manifest = await trio.to_thread.run_sync(Manifest.read, block)
        if creator is not None and manifest.pattern.creator != creator:
            raise PatternRefused("it was announced by somebody else than its creator")
        try:
            change = await self.keeper.see(manifest, SWARM)
        except CreatorBlocked:
            self._decline([cid.digest], manifest.pattern.creator)
            raise
        self._decline((gone.digest for gone in change.dropped), b"")
        if change.new:
            self._bitswap.stored(cid.binary, len(block))

    def _is_new(self, digest: bytes) -> bool:
        return digest not in self.keeper.catalogued and digest not in self._declined

    def _decline(self, digests: Iterable[bytes], creator: bytes) -> None:
        """Do not fetch these again: neighbours go on to have them."""
        self._declined |= dict.fromkeys(digests, creator)
        while len(self._declined) > MAX_DECLINED:
            del self._declined[next(iter(self._declined))]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear of whom the person blocks, and blocks no more, and of who comes."""
        listeners, host = self.keeper.mesh.listeners, self._bitswap.host
        listeners.append(self._hear)
        host.watch(self.look)
        try:
            yield
        finally:
            host.unwatch(self.look)
            listeners.remove(self._hear)

    def _hear(self, progress: Progress) -> None:
        """The mesh has changed. What was declined for its creator is wanted again once that one is blocked no more."""
        changed = any(change.name == BLOCKED for change in progress.changes)
        if not changed and not progress.refolded:
            return
        back = [digest for digest, creator in self._declined.items() if creator and not self.keeper.is_blocked(creator)]
        for digest in back:
            del self._declined[digest]
        if changed or back:  # what went when somebody was blocked is with the neighbours, too
            self._visits.hurry(trio.current_time())
            self._wake.set()

    # --- catalogues --------------------------------------------------------------------------------------------------------

    async def _visit_all(self, catalogue: CatalogueDriver) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                self._wake = trio.Event()
                now, connected = trio.current_time(), self._bitswap.host.connected()
                self._visited &= connected  # who left while it was visited is forgotten, too
                self._visits.want(connected, now)
                for peer in self._visits.due(now):
                    nursery.start_soon(self._visit, catalogue, peer)
                with trio.move_on_at(self._visits.next_due()):
                    await self._wake.wait()

    async def _visit(self, catalogue: CatalogueDriver, peer: str) -> None:
        try:
            found = await catalogue.reconcile(peer, most=MOST)
            whole = await self._follow(catalogue, peer, found.here)
        except MycelError as error:
            _log.debug("the catalogue of %s: %s", peer, error)
            self._visits.failed(peer, trio.current_time())
        else:
            pause = SOON_SECONDS
            if whole and _is_all(found):
                pause = AGAIN_SECONDS if peer in self._visited else FIRST_AGAIN_SECONDS
            self._visited.add(peer)
            self._visits.done(peer, again=trio.current_time() + pause)
        self._wake.set()

    async def _follow_all(self, catalogue: CatalogueDriver) -> None:
        async for peer, digests in self._to_follow:
            await self._follow(catalogue, peer, digests)

    async def _follow(self, catalogue: CatalogueDriver, peer: str, digests: Sequence[bytes]) -> bool:
        """Fetch the manifests that ``peer`` says it has; is it believed to the end?"""
        believed = True

        async def one(digest: bytes) -> None:
            nonlocal believed
            cid = Cid(DAG_CBOR, digest)
            try:
                await self._learn(cid, [peer])
            except (BlockUnavailable, PatternRefused) as error:
                _log.debug("%s, of the catalogue of %s: %s", cid, peer, error)
                believed = catalogue.hint_failed(peer) and believed
            except CreatorBlocked:
                pass
            except MycelError as error:
                _log.warning("%s could not be taken up: %s", cid, error)
                believed = False
            else:
                catalogue.hint_held(peer)
            finally:
                self._fetching.release()

        async with trio.open_nursery() as nursery:
            for digest in digests:
                if not believed:
                    break
                if self._is_new(digest):
                    await self._fetching.acquire()
                    nursery.start_soon(one, digest)
        return believed


def _is_all(found: Result) -> bool:
    return found.complete and len(found.here) < MOST
