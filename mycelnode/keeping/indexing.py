"""Keeps the index to search in step: it lists what is kept and wholly here, and what was seen, until its block has to make room.

So whatever `search` finds, `show` has, and neighbours are told of nothing that they cannot have.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import trio

from mycelnode import creator
from mycelnode.keeping import choices
from mycelnode.keeping.catalogued import Catalogued
from mycelnode.keeping.showing import is_open
from mycelnode.mesh import Mesh
from mycelnode.patterns import library
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.manifest import Manifest

LOOK_AT_ONCE: Final = 500  # patterns, in one go of a thread: the disk is waited for once in each
OWN: Final = "own"  # the source of what this person made
DEVICES: Final = "mesh"  # of what came because another device keeps it


class Index:
    """The library of ``mesh``'s database, beside ``store``; what goes from it is dropped from ``catalogued``, too."""

    def __init__(self, mesh: Mesh, store: Blockstore, catalogued: Catalogued) -> None:
        self._mesh, self._store, self._catalogued = mesh, store, catalogued
        self.changed = trio.Event()  # set, and another one, whenever something has come or gone
        self._cleared: set[bytes] = set()  # creators that are blocked, of whom nothing is left
        self._gone: deque[Cid] = deque()  # manifests whose blocks went
        store.listeners.append(self._note_gone)

    def stir(self) -> None:
        """Let those know who wait for ``changed``."""
        self.changed.set()
        self.changed = trio.Event()

    async def add(self, manifests: Collection[Manifest]) -> None:
        """Take up what is kept, and is here because another device keeps it."""
        if not manifests:
            return
        ours, now = creator.ours(self._mesh), self._mesh.clock.wall()

        def add(connection: sqlite3.Connection) -> None:
            for manifest in manifests:
                source = OWN if manifest.pattern.creator in ours else DEVICES
                library.add(connection, manifest, source=source, now=now, kept=True)

        await self._mesh.database.write(add)
        self.stir()

    async def see(self, manifest: Manifest, source: str) -> library.Change:
        """Take up what was heard of, and is in the store; says whether it was new, and what had to go for it."""
        now = self._mesh.clock.wall()

        def add(connection: sqlite3.Connection) -> library.Change:
            library.told(connection, manifest.cid, DEVICES, source)
            return library.add(connection, manifest, source=source, now=now)

        change = await self._mesh.database.write(add)
        self._catalogued.drop(change.dropped)
        swept = await self.sweep()
        self.stir()
        return library.Change(change.new, (*change.dropped, *swept))

    async def remove(self, cid: Cid) -> None:
        """Forget one, kept or not."""
        await self._mesh.database.write(partial(library.remove, cid=cid))
        self._catalogued.drop([cid])

    async def let_go(self, cids: Collection[Cid], known: Mapping[Cid, library.Kept]) -> None:
        """Of what is kept no more: what is ours, or of somebody who is blocked, is forgotten, and the rest one of those seen."""
        if known.keys().isdisjoint(cids):
            return
        ours, blocked = creator.ours(self._mesh), choices.blocked(self._mesh)

        def drop(connection: sqlite3.Connection) -> list[Cid]:
            gone = list[Cid]()
            for cid in cids:
                if cid not in known:
                    continue
                if not is_open(known[cid], ours) or known[cid].creator in blocked:
                    library.remove(connection, cid)
                    gone.append(cid)
                else:
                    gone += library.forget(connection, cid).dropped
            return gone

        self._catalogued.drop(await self._mesh.database.write(drop))

    async def clear(self, creators: set[bytes]) -> None:
        """Let go of what was only seen of those who are blocked."""
        new = creators - self._cleared

        def remove(connection: sqlite3.Connection) -> list[Cid]:
            return [cid for key in new for cid in library.remove_creator(connection, key)]

        if new:
            self._catalogued.drop(await self._mesh.database.write(remove))
        self._cleared = creators

    # --- what made room ------------------------------------------------------------------------------------------------------

    def _note_gone(self, cid: Cid) -> None:
        """In whichever thread: a block is here no more."""
        if cid.codec == DAG_CBOR:
            self._gone.append(cid)

    async def sweep(self) -> tuple[Cid, ...]:
        """Forget what was only seen, and whose block went since the last time. Returns what that was."""
        noted = [self._gone.popleft() for _ in range(len(self._gone))]
        if not noted:
            return ()
        try:
            return await self._drop_absent(noted)
        except BaseException:
            self._gone.extend(noted)
            raise

    async def sweep_all(self) -> None:
        """The same of whatever is not here: after a crash, or a look into the folder by hand."""
        seen = await self._mesh.database.scan(library.seen)
        here = await trio.to_thread.run_sync(self._store.names)
        for part in parts([cid for cid in seen if str(cid) not in here]):
            await self._drop_absent(part)

    async def _drop_absent(self, cids: Collection[Cid]) -> tuple[Cid, ...]:
        def absent() -> list[Cid]:
            return [cid for cid in cids if not self._store.has(cid)]

        gone = await trio.to_thread.run_sync(absent)
        if not gone:
            return ()
        dropped = await self._mesh.database.write(partial(library.remove_seen, cids=gone))
        self._catalogued.drop(dropped)
        self.stir()
        return dropped


def parts(cids: Sequence[Cid]) -> Iterator[Sequence[Cid]]:
    """So many that a thread is soon done with them, and what is cancelled ends."""
    return (cids[start : start + LOOK_AT_ONCE] for start in range(0, len(cids), LOOK_AT_ONCE))
