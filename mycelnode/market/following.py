"""What a node does with a registry that is set: it follows it, and fetches what it names and the library lacks.

Only that a manifest exists is taken from the registry. It counts once its block has come and its creator's signature holds.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Final

import trio

from mycelnode.background import open_background
from mycelnode.chain import copied
from mycelnode.chain.service import Chain
from mycelnode.collective.service import Collective
from mycelnode.errors import BlockMissing, CreatorBlocked, MycelError, PatternRefused
from mycelnode.keeping.keeper import SWARM, Keeper
from mycelnode.market.asking import LiveRegistry
from mycelnode.p2p.gathering import Gatherer
from mycelnode.patterns import library, stored
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.errands import Errands

MOST: Final = 1_000  # manifests that are wanted at a time
GIVE_UP_SECONDS: Final = 24 * 3_600.0  # after the first try that failed, until the next start
HURRY_SECONDS: Final = 60.0  # between two times that a peer who comes has all tried again
MAX_DECLINED: Final = 10_000  # that are not asked for again until the next start
LOOK_SECONDS: Final = 60.0  # between two looks at what is wanted
NOTED_AT_ONCE: Final = 500  # manifests of which the account is noted

_log = logging.getLogger(__name__)


class Learner:
    """Fetches manifests that strangers have. ``changed`` is set when the copy of the registry has changed."""

    def __init__(self, keeper: Keeper, gatherer: Gatherer, changed: Callable[[], trio.Event]) -> None:
        self._keeper, self._gatherer, self._changed = keeper, gatherer, changed
        self._errands: Errands[Cid] = Errands()
        self._declined: dict[Cid, None] = {}
        self._failed: dict[Cid, float] = {}  # what has not come → when that was first seen
        self._hurried = -inf
        self._wake = trio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        await self.note_accounts()
        if not any(source.strangers for source in self._gatherer.sources):
            return
        for source in self._gatherer.sources:
            source.watch(self._look)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._want_all)
                while True:
                    self._wake = trio.Event()
                    for cid in self._errands.due(trio.current_time()):
                        nursery.start_soon(self._fetch, cid)
                    with trio.move_on_at(self._errands.next_due()):
                        await self._wake.wait()
        finally:
            for source in self._gatherer.sources:
                source.unwatch(self._look)

    def _look(self, peer: str, here: bool) -> None:
        now = trio.current_time()
        if here and now >= self._hurried + HURRY_SECONDS:
            self._hurried = now
            self._errands.hurry(now)
            self._wake.set()

    async def _want_all(self) -> None:
        database = self._keeper.mesh.database
        while True:
            changed = self._changed()
            try:
                found = await database.scan(partial(copied.unknown, limit=MOST, without=frozenset(self._declined)))
            except MycelError as error:
                _log.warning("what the registry names could not be looked through: %s", error)
            else:
                self._failed = {cid: self._failed[cid] for cid in found if cid in self._failed}
                self._errands.want([cid for cid in found if self._keeper.may_ask(cid)], trio.current_time())
                self._wake.set()
            with trio.move_on_after(LOOK_SECONDS):
                await changed.wait()

    async def _fetch(self, cid: Cid) -> None:
        try:
            manifest = await self._gatherer.learn(cid)
            change = await self._keeper.see(manifest, SWARM)
            self._decline(change.dropped)
        except (PatternRefused, CreatorBlocked) as error:
            _log.debug("%s, which the registry has: %s", cid, error)
            self._decline([cid])
        except MycelError as error:
            _log.debug("%s, which the registry has, has not come: %s", cid, error)
            now = trio.current_time()
            if now >= self._failed.setdefault(cid, now) + GIVE_UP_SECONDS:
                self._decline([cid])
            else:
                self._errands.failed(cid, now)
        else:
            self._errands.done(cid)
        self._wake.set()

    def _decline(self, cids: Iterable[Cid]) -> None:
        for cid in cids:
            self._declined[cid] = None
            self._errands.done(cid)
        while len(self._declined) > MAX_DECLINED:
            del self._declined[next(iter(self._declined))]

    async def note_accounts(self) -> None:
        """Which accounts those name that were in the library before it had a column for that."""
        keeper = self._keeper
        while cids := await keeper.mesh.database.scan(partial(library.without_account, limit=NOTED_AT_ONCE)):
            read = partial(_accounts, keeper, cids)
            noted = partial(library.put_accounts, accounts=await trio.to_thread.run_sync(read))
            await keeper.mesh.database.write(noted)


def _accounts(keeper: Keeper, cids: Iterable[Cid]) -> dict[Cid, str]:
    """Blocking. Of a manifest that is not here nothing is known, and none is noted."""
    found = dict[Cid, str]()
    for cid in cids:
        try:
            found[cid] = stored.load(keeper.store, cid).near or ""
        except (BlockMissing, PatternRefused):
            found[cid] = ""
    return found


@asynccontextmanager
async def open_following(chain: Chain, collective: Collective) -> AsyncIterator[None]:
    """Follow the registry for as long as the block lasts, if one is set."""
    if not chain.mesh.settings.get("near.registry"):
        yield
        return
    if collective.searcher is not None:
        collective.searcher.registry = LiveRegistry(chain.indexer, chain.mesh.clock)
    async with open_background() as nursery:
        nursery.start_soon(chain.indexer.run)
        if collective.keeper is not None and collective.gatherer is not None:
            learner = Learner(collective.keeper, collective.gatherer, lambda: chain.indexer.changed)
            nursery.start_soon(_learn, learner)
        yield


async def _learn(learner: Learner) -> None:
    """A fault of ours ends that, and not the node."""
    try:
        await learner.run()
    except Exception:
        _log.exception("what the registry names is not fetched any more, until the next start")
