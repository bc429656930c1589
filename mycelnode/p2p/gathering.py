"""Brings patterns here: those that the person keeps on another device, and those that somebody asks for.

The person's devices are asked first, over the mesh door; then the swarm's peers that are connected; then whoever the DHT says
has it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trio

from mycelnode.errors import BlockUnavailable, MycelError, NetworkError
from mycelnode.keeping import FOLLOWED, Keeper
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
MAX_PROVIDERS: Final = 8  # that are asked
MAX_BLOCKS: Final = 4 * MAX_FILES  # of the files of a pattern
MAX_BYTES: Final = MAX_TOTAL_BYTES + (4 << 20)  # with what is around them

Tell = Callable[[int, int], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where blocks can be had: ``name`` is said to people."""

    name: str
    bitswap: Bitswap
    dhts: Sequence[Dht] = ()


class Gatherer:
    """Fetches from ``sources``, the nearest first."""

    def __init__(self, keeper: Keeper, sources: Sequence[Source]) -> None:
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
        if await self.keeper.has(cid):
            manifest, found = await self.keeper.load(cid), None
        else:
            manifest, found = await self._manifest(cid)
        self.keeper.check(manifest)
        tried = self.sources if found is None else [found]
        for root in self.keeper.roots(manifest):
            found = await self._files(root, cid, tried, tell) or found
        return "library" if found is None else found.name

    async def _manifest(self, cid: Cid) -> tuple[Manifest, Source]:
        for source in self.sources:
            try:
                block = await self._block(source, cid, cid)
            except (BlockUnavailable, NetworkError) as error:
                _log.debug("%s: %s", source.name, error)
                continue
            manifest = Manifest.read(block)
            self.keeper.check(manifest)
            await source.bitswap.put(cid.binary, block)
            return manifest, source
        asked = ", ".join(f"{source.name} ({len(source.bitswap.peers)} connected)" for source in self.sources)
        if len(self.sources) == 1:
            asked += (
                ", and no stranger, as the door to them is shut: `mycelnode config set swarm.enabled true`, and start the"
                " node again"
            )
        raise BlockUnavailable(f"{cid} was not found; asked: {asked}")

    async def _block(self, source: Source, cid: Cid, pattern: Cid) -> bytes:
        """A block of ``pattern``, of which there are providers."""
        if source.bitswap.peers:
            try:
                return await source.bitswap.fetch(cid.binary, deadline=ASK_SECONDS, patient=False)
            except BlockUnavailable:
                if not source.dhts:
                    raise
        if not source.dhts:
            raise BlockUnavailable(f"nobody is connected over {source.name}")
        found = await self._connect(source, pattern)
        return await source.bitswap.fetch(cid.binary, peers=found, deadline=ASK_SECONDS, patient=False)

    async def _connect(self, source: Source, cid: Cid) -> set[str]:
        """Connect to peers that say they have it. Raises `BlockUnavailable` if there is none."""
        host, reached = source.bitswap.host, set[str]()
        found = list[PeerAddrs]()
        for dht in source.dhts:
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

    async def _files(self, root: Cid, pattern: Cid, sources: Iterable[Source], tell: Tell) -> Source | None:
        """Fetch what lies below ``root``; None if it is all here, and what is here already is not fetched again."""
        refused: MycelError = BlockUnavailable(f"nobody is connected who could give the files {root}")
        for source in sources:
            absent = await trio.to_thread.run_sync(self.keeper.store.missing, root, 1)
            if not absent:
                return None
            try:
                first = await self._block(source, absent[0], pattern)  # who has none of it is not waited for any longer
                await source.bitswap.put(absent[0].binary, first)
                total = await self._total(source.bitswap, root)
                await source.bitswap.fetch_dag(
                    root.binary,
                    links=links,
                    max_blocks=MAX_BLOCKS,
                    max_bytes=MAX_BYTES,
                    deadline=BLOCK_SECONDS,
                    on_progress=lambda progress, total=total: tell(progress.size, total),  # type: ignore[misc]
                )
            except (BlockUnavailable, NetworkError) as error:
                refused = error
            else:
                return source
        raise BlockUnavailable(f"the files of {pattern} could not be fetched: {refused}") from refused

    async def _total(self, bitswap: Bitswap, root: Cid) -> int:
        """How many bytes it will be, as its root says. Raises `BlockRefused`, `BlockUnavailable`."""
        block = await bitswap.fetch(root.binary, deadline=BLOCK_SECONDS)
        return parse(root, block).total

    # --- what the person keeps on other devices ----------------------------------------------------------------------------

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear of what changes in the mesh, and of who comes."""
        listeners = self.keeper.mesh.listeners
        listeners.append(self._hear)
        for source in self.sources:
            source.bitswap.host.watch(self._look)
        try:
            yield
        finally:
            listeners.remove(self._hear)
            for source in self.sources:
                source.bitswap.host.unwatch(self._look)

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
