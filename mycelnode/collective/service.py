"""A node's part in the collective: its blocks and patterns, and the door through which others fetch and hear of them."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import trio

from mycelnode import creator
from mycelnode.adapters.embedders import Embedders, open_embedders
from mycelnode.adapters.embedding import embed_missing
from mycelnode.background import open_background
from mycelnode.blocks import open_blocks
from mycelnode.chain.service import Chain
from mycelnode.collective.api import Patterns, Tell
from mycelnode.collective.kubo_pins import KuboPins, open_kubo
from mycelnode.collective.searching import Searcher
from mycelnode.errors import DataDirUnusable, EmbedderUnavailable, MycelError, NetworkError
from mycelnode.identity import swarm_seed, verify
from mycelnode.keeping.keeper import SWARM, Keeper
from mycelnode.market.trading import Trade
from mycelnode.mesh import Mesh
from mycelnode.p2p.bitswap import open_bitswap
from mycelnode.p2p.blocks import ByName
from mycelnode.p2p.catalogue_driver import open_catalogue
from mycelnode.p2p.dht import IPFS_KAD, Dht, open_dht
from mycelnode.p2p.discovering import Discoverer
from mycelnode.p2p.gathering import Gatherer, Giver, Source
from mycelnode.p2p.gossip import GossipService, open_gossip
from mycelnode.p2p.host import Host
from mycelnode.p2p.kubo_source import KuboSource
from mycelnode.p2p.swarm import Swarm, open_swarm
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.manifest import Manifest
from mycelnode.protocols.announce import Announcement

LAST_PORT = "swarm_port"  # among the facts of the database
PROVIDE_SECONDS = 60.0  # for the peers of one DHT to be told of a pattern
PROVIDE_LOOK_SECONDS = 60.0  # between two looks at what can be had here; told again it is by the DHT's own clock
EMBED_PAUSE_SECONDS = 5.0  # between two looks at what has no vector yet
EMBED_LOOK_SECONDS = 300.0  # while nothing changes
_log = logging.getLogger(__name__)


class Collective:
    """What is open of it. ``blocks`` and ``keeper`` are None where the blocks could not be opened; ``swarm`` also where it is off.

    ``problem``: why something is not open that should be.
    """

    def __init__(self) -> None:
        self.blocks: Blockstore | None = None
        self.keeper: Keeper | None = None
        self.searcher: Searcher | None = None
        self._patterns: Patterns | None = None
        self.gatherer: Gatherer | None = None
        self.discoverer: Discoverer | None = None
        self.swarm: Swarm | None = None
        self.kubo: KuboPins | None = None
        self.problem = ""
        self._gossip: GossipService | None = None
        self._dhts: Sequence[Dht] = ()

    # --- for people ------------------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any] | None:
        """``{peer, addrs}`` of the door, or None."""
        return None if self.swarm is None else {"peer": self.swarm.peer_id, "addrs": self.swarm.addrs}

    def status(self) -> dict[str, Any] | None:
        """What `mycelnode status` shows of the door: as `describe`, and how many ``peers`` are connected."""
        known = self.describe()
        return None if known is None or self.swarm is None else {**known, "peers": len(self.swarm.peers)}

    def services(self) -> dict[str, tuple[str, str]]:
        """The state of the door, and of the Kubo, for `mycelnode status`, unless they are off."""
        states = {} if self.kubo is None else self.kubo.services()
        if self.problem:
            return {**states, "swarm": ("failed", self.problem)}
        if self.swarm is None:
            return states
        said = f"peers connected: {len(self.swarm.peers)}"
        if self.swarm.unusable:
            said += f"; {len(self.swarm.unusable)} of swarm.bootstrap cannot be dialled: {self.swarm.unusable[0]}"
        return {**states, "swarm": ("ok", said)}

    @property
    def sources(self) -> Mapping[str, str]:
        """Besides the library, what a search asks; the swarm by what this node has heard from it."""
        if self.swarm is None:
            swarm = self.problem or "off"
        else:
            swarm = "ok" if self.swarm.peers else "no peer is connected; what was heard of before was searched"
        return {"swarm": swarm, "registry": "off", "subnet": "off"}

    # --- what can be done with patterns -------------------------------------------------------------------------------------

    @property
    def patterns(self) -> Patterns:
        """The person's patterns. Raises `DataDirUnusable` where the blocks could not be opened."""
        if self._patterns is None:
            raise DataDirUnusable(f"patterns cannot be kept here: {self.problem}")
        return self._patterns

    def trade_on(self, chain: Chain) -> None:
        """From now on patterns can be paid for and registered there."""
        if self._patterns is not None:
            self._patterns.trade = Trade(chain)

    async def fetch(self, cid: Cid, tell: Tell) -> str:
        """See `Gatherer.fetch`."""
        if self.gatherer is None:
            raise NetworkError(f"nothing can be fetched: {self.problem}")
        return await self.gatherer.fetch(cid, tell)

    async def announce(self, manifest: Manifest) -> str:
        """Tell neighbours, DHT and Kubo of what was published; a sentence on how far that went."""
        said = []
        if self.swarm is None or self._gossip is None:
            said.append(self.problem or "swarm.enabled is off, so nobody was told of it yet")
        else:
            said.append(_told(self._tell(self._gossip, manifest), "neighbour was told", "neighbours were told"))
            if any(len(dht.table) for dht in self._dhts):
                told = [await dht.provide(manifest.cid, deadline=PROVIDE_SECONDS) for dht in self._dhts]
                said.append(_told(sum(told), "peer of the DHT knows who has it", "peers of the DHT know who has it"))
        if self.kubo is not None:
            said.append(await self.kubo.pin(manifest))
        return "; ".join(said)

    def _tell(self, gossip: GossipService, manifest: Manifest) -> int:
        assert self.keeper is not None
        mesh = self.keeper.mesh
        key = creator.current(mesh)
        if key is None or key.public != manifest.pattern.creator:
            return 0  # of a former key: the catalogue has it
        said = Announcement.sign(
            manifest.cid.binary, key.public, len(manifest.block), mesh.clock.wall() // 1000, key.sign
        )
        return gossip.publish(said)

    async def provide_all(self) -> None:
        """Let the DHT know, which forgets, of all that was published and can be had here, one after another; and of no more."""
        assert self.keeper is not None
        for cid in self.keeper.published():
            for dht in self._dhts:
                if not self.keeper.is_shown(cid):  # forgotten, or not come yet from the device that published it
                    dht.withdraw(cid)
                elif not dht.provides(cid):
                    await self._provide(cid, dht)

    async def _provide(self, cid: Cid, dht: Dht) -> None:
        assert self.keeper is not None
        try:
            if await self.keeper.is_whole(cid):
                await dht.provide(cid, deadline=PROVIDE_SECONDS)
        except MycelError as error:
            _log.warning("%s is not made known: %s", cid, error)

    async def keep_providing(self) -> None:
        """The same, for as long as the door is open."""
        while True:
            await self.provide_all()
            await trio.sleep(PROVIDE_LOOK_SECONDS)


@asynccontextmanager
async def open_collective(mesh: Mesh, host: Host, *, swarm: bool = True) -> AsyncIterator[Collective]:
    """Open the blocks, also for the mesh on ``host``, and with ``swarm`` the door, if `swarm.enabled` is set.

    If either does not open, the node runs on without, and says so.
    """
    collective = Collective()
    async with AsyncExitStack() as stack:
        try:
            await _open_patterns(collective, stack, mesh, host, swarm)
        except MycelError as error:
            collective.problem = str(error)
            _log.error("patterns cannot be kept here: %s", error)
        yield collective


async def _open_patterns(collective: Collective, stack: AsyncExitStack, mesh: Mesh, host: Host, swarm: bool) -> None:
    collective.blocks = blocks = await trio.to_thread.run_sync(open_blocks, mesh)
    collective.keeper = keeper = Keeper(mesh, blocks)
    await keeper.settle()
    await keeper.load_catalogue()
    settings = mesh.settings
    url, model = settings.get("models.ollama_url"), settings.get("models.embedder")
    embedders = await stack.enter_async_context(open_embedders(url, model, clock=mesh.clock))
    collective.searcher = searcher = Searcher(mesh.database, embedders)
    collective._patterns = Patterns(keeper, searcher, collective)
    devices = Source(
        "your devices", await stack.enter_async_context(open_bitswap(host, ByName(blocks), strangers=False))
    )
    sources: list[Giver] = [devices]
    if swarm and settings.get("swarm.enabled"):
        try:
            sources.append(await stack.enter_async_context(_open_swarm(collective, keeper, blocks)))
        except MycelError as error:
            collective.problem = str(error)
            _log.error("the door to the collective did not open: %s", error)
    if url := settings.get("kubo.url"):
        collective.kubo = await stack.enter_async_context(open_kubo(keeper, url, settings.get("kubo.client")))
        if collective.kubo.node is not None:
            sources.append(KuboSource(collective.kubo.node, blocks))
    collective.gatherer = gatherer = Gatherer(keeper, sources)
    nursery = await stack.enter_async_context(open_background())
    stack.enter_context(gatherer.listening())
    nursery.start_soon(gatherer.run)
    nursery.start_soon(_embed_all, keeper, embedders)


@asynccontextmanager
async def _open_swarm(collective: Collective, keeper: Keeper, blocks: Blockstore) -> AsyncIterator[Source]:
    mesh, settings = keeper.mesh, keeper.mesh.settings
    seed, ready = await trio.to_thread.run_sync(swarm_seed, mesh.data), trio.Event()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        swarm = await enter(
            open_swarm(
                seed,
                listen=list(settings.get("swarm.listen")),
                bootstrap=settings.get("swarm.bootstrap"),
                store=ByName(blocks),
                gives=lambda cid: keeper.is_shown(Cid.from_bytes(cid)),
                upload=settings.get("swarm.max_upload") or math.inf,
                last_port=mesh.fact(LAST_PORT),
                ready=ready,
            )
        )
        await mesh.keep_fact(LAST_PORT, swarm.host.port)
        gossip = await enter(
            open_gossip(
                swarm.host,
                verify=verify,
                blocked=keeper.is_blocked,
                wall=lambda: mesh.clock.wall() / 1000,
                random=random.random,
            )
        )
        bootstrap = [addr for addr in settings.get("swarm.bootstrap") if addr not in swarm.unusable]
        kept = partial(_is_bootstrap, bootstrap)
        ours = await enter(open_dht(swarm.host, bootstrap=bootstrap, random=random.random, keep=kept))
        public = await enter(
            open_dht(swarm.host, bootstrap=bootstrap, random=random.random, keep=kept, protocol=IPFS_KAD, serve=False)
        )
        discoverer = Discoverer(keeper, swarm.bitswap, gossip)
        catalogue = await enter(open_catalogue(swarm.host, keeper.catalogued, mesh.clock, told=discoverer.told))
        nursery = await enter(open_background())
        stack.enter_context(discoverer.listening())
        collective.swarm, collective._gossip, collective._dhts = swarm, gossip, (ours, public)
        collective.discoverer = discoverer
        nursery.start_soon(discoverer.run, catalogue)
        nursery.start_soon(collective.keep_providing)
        ready.set()
        try:
            yield Source(SWARM, swarm.bitswap, collective._dhts)
        finally:
            collective.swarm, collective._gossip, collective._dhts = None, None, ()
            collective.discoverer = None


def _told(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _is_bootstrap(bootstrap: Sequence[str], peer: str) -> bool:
    return any(addr.endswith(f"/p2p/{peer}") for addr in bootstrap)


async def _embed_all(keeper: Keeper, embedders: Embedders) -> None:
    """Let whatever is in the index be found by its meaning, too."""
    while True:
        changed = keeper.changed
        embedder = await embedders.current()
        if embedder is not None:
            try:
                await embed_missing(keeper.mesh.database, embedder)
            except EmbedderUnavailable as error:
                embedders.gone(embedder, str(error))
            except MycelError as error:
                _log.warning("the index has no vectors of what came last: %s", error)
        with trio.move_on_after(EMBED_LOOK_SECONDS):
            await changed.wait()
        await trio.sleep(EMBED_PAUSE_SECONDS)
