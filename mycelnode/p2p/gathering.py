"""Brings patterns here: those that the person keeps on another device, and those that somebody asks for.

The person's devices are asked first, over the mesh door. Then strangers: the swarm's peers that are connected, and then whoever the
DHT says has it; and meanwhile the Kubo, if there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from mycelnode.background import open_together
from mycelnode.errors import BlockUnavailable, MycelError, NetworkError
from mycelnode.keeping.keeper import FOLLOWED, Keeper
from mycelnode.p2p.bitswap import Bitswap
from mycelnode.p2p.blocks import links
from mycelnode.p2p.dht import Dht
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files.folder import MAX_FILES, MAX_TOTAL_BYTES
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.unixfs import parse
from mycelnode.protocols.errands import Errands
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.kad_wire import PeerAddrs

ASK_SECONDS: Final = 10.0  # for connected peers to give a manifest, before it is looked for elsewhere
FIND_SECONDS: Final = 20.0  # for providers to be found
DIAL_SECONDS: Final = 10.0
BLOCK_SECONDS: Final = 60.0  # for a block of the files
STAGGER_SECONDS: Final = 1.0  # that one of the strangers may take before the next is asked as well
MAX_PROVIDERS: Final = 8  # that are asked
MAX_BLOCKS: Final = 4 * MAX_FILES  # of the files of a pattern
MAX_BYTES: Final = MAX_TOTAL_BYTES + (4 << 20)  # with what is around them

Tell = Callable[[int, int], None]
Look = Callable[[str, bool], None]
_log = logging.getLogger(__name__)


class Giver(Protocol):
    """Where blocks can be had."""

    @property
    def name(self) -> str:
        """As people are told it."""
        ...

    @property
    def strangers(self) -> bool:
        """Do others than the person's devices learn of what is asked for?"""
        ...

    def describe(self) -> str:
        """Who is asked, for people."""
        ...

    async def give(self, cid: Cid, pattern: Cid) -> bytes:
        """A block of ``pattern``, which is not stored. Raises `BlockUnavailable`, `NetworkError`."""
        ...

    async def put(self, cid: Cid, block: bytes) -> None:
        """Store it. Raises what the store raises."""
        ...

    async def give_files(self, root: Cid, pattern: Cid, tell: Tell) -> None:
        """Store what is below ``root`` and not here. Raises `DagRefused`, `BlockRefused` too."""
        ...

    def watch(self, look: Look) -> None:
        """Call it with whoever comes or goes."""
        ...

    def unwatch(self, look: Look) -> None:
        """No more."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """The peers of one door, over Bitswap."""

    name: str
    bitswap: Bitswap
    dhts: Sequence[Dht] = ()

    @property
    def strangers(self) -> bool:
        """The DHT is theirs."""
        return bool(self.dhts)

    def describe(self) -> str:
        """See `Giver`."""
        return f"{self.name} ({len(self.bitswap.peers)} connected)"

    async def give(self, cid: Cid, pattern: Cid) -> bytes:
        """Of peers that are connected, else of those whom the DHT names as providers of ``pattern``."""
        if self.bitswap.peers:
            try:
                return await self.bitswap.fetch(cid.binary, deadline=ASK_SECONDS, patient=False)
            except BlockUnavailable:
                if not self.dhts:
                    raise
        if not self.dhts:
            raise BlockUnavailable(f"nobody is connected over {self.name}")
        found = await self._connect(pattern)
        return await self.bitswap.fetch(cid.binary, peers=found, deadline=ASK_SECONDS, patient=False)

    async def _connect(self, cid: Cid) -> set[str]:
        """Connect to peers that say they have it. Raises `BlockUnavailable` if there is none."""
        host, reached = self.bitswap.host, set[str]()
        found = list[PeerAddrs]()
        for dht in self.dhts:
            if len(dht.table) and not found:
                found = await dht.find_providers(cid, count=MAX_PROVIDERS, deadline=FIND_SECONDS)

        async def dial(peer: str, addrs: Sequence[str]) -> None:
            try:
                await host.dial(peer, addrs, deadline=DIAL_SECONDS)
                reached.add(peer)
            except NetworkError as error:
                _log.debug("a provider of %s: %s", cid, error)

        async with trio.open_nursery() as nursery:
            for each in found:
                nursery.start_soon(dial, each.peer, each.addrs)
        if not reached:
            raise BlockUnavailable(f"nobody who has {cid} could be reached")
        return reached

    async def put(self, cid: Cid, block: bytes) -> None:
        """See `Giver`; who waits for it is told."""
        await self.bitswap.put(cid.binary, block)

    async def give_files(self, root: Cid, pattern: Cid, tell: Tell) -> None:
        """See `Giver`."""
        first = await self.bitswap.fetch(root.binary, deadline=BLOCK_SECONDS)
        total = parse(root, first).total
        await self.bitswap.fetch_dag(
            root.binary,
            links=links,
            max_blocks=MAX_BLOCKS,
            max_bytes=MAX_BYTES,
            deadline=BLOCK_SECONDS,
            on_progress=lambda progress: tell(progress.size, total),
        )

    def watch(self, look: Look) -> None:
        """See `Giver`."""
        self.bitswap.host.watch(look)

    def unwatch(self, look: Look) -> None:
        """See `Giver`."""
        self.bitswap.host.unwatch(look)


class Gatherer:
    """Fetches from ``sources``, the nearest first."""

    def __init__(self, keeper: Keeper, sources: Sequence[Giver]) -> None:
        self.keeper, self.sources = keeper, sources
        self._errands: Errands[Cid] = Errands()
        self._wake = trio.Event()
        self._changed = True

    # --- one pattern -----------------------------------------------------------------------------------------------------

    async def fetch(self, cid: Cid, tell: Tell = lambda here, total: None) -> str:
        """Bring a pattern and its files into the store; returns the name of the source.

        Raises `BlockUnavailable` if nobody has it, `PatternRefused` if it is none, `CreatorBlocked`, `DagRefused` for files that
        are larger than they may be, `StoreFull`. Cancelled, what came until then is kept while there is room.
        """
        found: Giver | None = None
        known = self.keeper.may_ask(cid)  # else strangers shall not even hear of it
        sources = [source for source in self.sources if known or not source.strangers]
        if await self.keeper.has(cid):
            manifest = await self.keeper.load(cid)
        else:
            manifest, found = await self._manifest(cid, sources)
        self.keeper.check(manifest)
        if self.keeper.is_withheld(manifest):
            sources = [source for source in sources if not source.strangers]
        if found is not None:
            sources.sort(key=lambda source: source is not found)
        for root in self.keeper.roots(manifest):
            found = await self._files(root, cid, sources, tell) or found
        return "library" if found is None else found.name

    async def learn(self, cid: Cid) -> Manifest:
        """The manifest that strangers have, without its files; it is in the store when this returns.

        Raises `BlockUnavailable`, `PatternRefused`, `CreatorBlocked`, `StoreFull`.
        """
        if await self.keeper.has(cid):
            return await self.keeper.load(cid)
        found = await self._first([source for source in self.sources if source.strangers], cid)
        if found is None:
            raise BlockUnavailable(f"no stranger gave {cid}")
        block, source = found
        manifest = await trio.to_thread.run_sync(Manifest.read, block)
        self.keeper.check(manifest)
        await source.put(cid, block)
        return manifest

    async def _manifest(self, cid: Cid, sources: Sequence[Giver]) -> tuple[Manifest, Giver]:
        for near in (True, False):
            found = await self._first([source for source in sources if source.strangers is not near], cid)
            if found is not None:
                block, source = found
                manifest = Manifest.read(block)
                self.keeper.check(manifest)
                await source.put(cid, block)
                return manifest, source
        asked = ", ".join(source.describe() for source in sources)
        if len(sources) < len(self.sources):
            asked += ", and no stranger, as it may be private: another device of yours keeps it"
        elif not any(source.strangers for source in self.sources):
            asked += (
                ", and no stranger, as the door to them is shut: `mycelnode config set swarm.enabled true`, and start the"
                " node again"
            )
        raise BlockUnavailable(f"{cid} was not found; asked: {asked}")

    async def _first(self, sources: Sequence[Giver], cid: Cid) -> tuple[bytes, Giver] | None:
        """The block of whoever gives it first. Each is asked once the one before has failed, or has had `STAGGER_SECONDS`."""
        found: list[tuple[bytes, Giver]] = []
        ended = [trio.Event() for _ in sources]

        async def ask(place: int, source: Giver) -> None:
            if place:
                with trio.move_on_after(place * STAGGER_SECONDS):
                    await ended[place - 1].wait()
            try:
                found.append((await source.give(cid, cid), source))
                nursery.cancel_scope.cancel()
            except (BlockUnavailable, NetworkError) as error:
                _log.debug("%s: %s", source.name, error)
            ended[place].set()

        async with open_together() as nursery:
            for place, source in enumerate(sources):
                nursery.start_soon(ask, place, source)
        return found[0] if found else None

    async def _files(self, root: Cid, pattern: Cid, sources: Sequence[Giver], tell: Tell) -> Giver | None:
        """Fetch what lies below ``root``; None if it is all here, and what is here already is not fetched again."""
        refused = list[str]()
        for source in sources:
            absent = await trio.to_thread.run_sync(self.keeper.store.missing, root, 1)
            if not absent:
                return None
            try:
                first = await source.give(absent[0], pattern)  # who has none of it is not waited for any longer
                await source.put(absent[0], first)
                await source.give_files(root, pattern, tell)
            except (BlockUnavailable, NetworkError) as error:
                refused.append(f"{source.name}: {error}")
            else:
                return source
        raise BlockUnavailable(f"the files of {pattern} could not be fetched: {'; '.join(refused)}")

    # --- what the person keeps on other devices ----------------------------------------------------------------------------

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear of what changes in the mesh, and of who comes."""
        listeners = self.keeper.mesh.listeners
        listeners.append(self._hear)
        for source in self.sources:
            source.watch(self._look)
        try:
            yield
        finally:
            listeners.remove(self._hear)
            for source in self.sources:
                source.unwatch(self._look)

    def _hear(self, progress: Progress) -> None:
        """The mesh has changed."""
        if progress.refolded or any(change.name in FOLLOWED for change in progress.changes):
            self._changed = True
            self._wake.set()

    def _look(self, peer: str, here: bool) -> None:
        if here:
            self._errands.hurry(trio.current_time())
            self._wake.set()

    async def run(self) -> None:
        """Bring here what is kept elsewhere, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._wake = trio.Event()
                if self._changed:
                    self._changed = False
                    await self._settle()
                for cid in self._errands.due(trio.current_time()):
                    nursery.start_soon(self._bring, cid)
                with trio.move_on_at(self._errands.next_due()):
                    await self._wake.wait()

    async def _settle(self) -> None:
        try:
            self._errands.want(await self.keeper.settle(), trio.current_time())
        except MycelError as error:
            _log.warning("the patterns that are kept could not be brought in step: %s", error)

    async def _bring(self, cid: Cid) -> None:
        try:
            await self.fetch(cid)
        except MycelError as error:
            _log.info("%s, which is kept on another device, has not come: %s", cid, error)
            self._errands.failed(cid, trio.current_time())
        else:
            self._errands.done(cid)
            await self._arrived(cid)
        self._wake.set()

    async def _arrived(self, cid: Cid) -> None:
        try:
            await self.keeper.arrived(cid)
        except MycelError as error:
            _log.warning("%s has come, and could not be put into the index: %s", cid, error)
            self._changed = True
