"""The patterns of a person on this device: what the mesh says is kept, the blocks on the disk, and the index to search, in step.

What a person chose is in the mesh (choices.py). The pins follow it, and the blocks (`mycelnode.p2p.gathering` fetches them), and
then the index (indexing.py); what of it strangers may have is said anew (showing.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from mycelnode import audit, creator
from mycelnode.crdt import operations as ops
from mycelnode.errors import BlockMissing, CreatorBlocked, PatternRefused
from mycelnode.keeping import choices, making
from mycelnode.keeping.choices import BLOCKED, FOLLOWED, KEPT, PUBLISHED, USES, Outcomes
from mycelnode.keeping.indexing import DEVICES, OWN, Index, parts
from mycelnode.keeping.showing import SWARM, Showing
from mycelnode.mesh import Mesh
from mycelnode.patterns import library, stored
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import Draft
from mycelnode.patterns.manifest import Manifest, Privacy


class Keeper:
    """The patterns of this device's person."""

    def __init__(self, mesh: Mesh, store: Blockstore) -> None:
        self.mesh, self.store = mesh, store
        self._showing = Showing(mesh, store)
        self.catalogued = self._showing.catalogued  # what others are told of
        self._index = Index(mesh, store, self.catalogued)
        self._settling = trio.Lock()
        self._whole: dict[
            Cid, tuple[Cid, ...]
        ] = {}  # kept ones that were all here when last looked at → `roots` of them

    @property
    def changed(self) -> trio.Event:
        """Set, and another one, whenever the index has changed."""
        return self._index.changed

    # --- what the mesh says ----------------------------------------------------------------------------------------------

    def kept(self) -> list[Cid]:
        """What is kept, by whichever device, in the order of their texts."""
        return choices.kept(self.mesh)

    def is_kept(self, cid: Cid) -> bool:
        """Is this one?"""
        return choices.is_kept(self.mesh, cid)

    def is_mine(self, key: bytes) -> bool:
        """Is or was this the creator key of this person?"""
        return key in creator.ours(self.mesh)

    def is_published(self, cid: Cid) -> bool:
        """Did this person make it public?"""
        return choices.is_published(self.mesh, cid)

    def published(self) -> list[Cid]:
        """All that this person made public."""
        return choices.published(self.mesh)

    def may_ask(self, cid: Cid) -> bool:
        """May strangers be asked for it?"""
        return choices.may_ask(self.mesh, cid)

    def is_withheld(self, manifest: Manifest) -> bool:
        """Is this ours, and not public?"""
        return self.is_mine(manifest.pattern.creator) and not self.is_published(manifest.cid)

    def blocked(self) -> set[bytes]:
        """Creators that the person wants nothing of."""
        return choices.blocked(self.mesh)

    def is_blocked(self, key: bytes) -> bool:
        """Is this creator?"""
        return choices.is_blocked(self.mesh, key)

    def check(self, manifest: Manifest) -> None:
        """Raise `CreatorBlocked` for what is of somebody who is blocked, unless the person keeps it: that was their own choice."""
        if self.is_blocked(manifest.pattern.creator) and not self.is_kept(manifest.cid):
            raise CreatorBlocked(
                f"the creator {manifest.pattern.creator.hex()} is blocked;"
                f" `mycelnode pattern block {manifest.pattern.creator.hex()} --undo` takes it back"
            )

    def outcomes(self, cid: Cid) -> Outcomes:
        """How often it was used, and how that went."""
        return choices.outcomes(self.mesh, cid)

    async def used(self, cid: Cid) -> None:
        """Count a use."""
        await choices.used(self.mesh, cid)

    async def rate(self, cid: Cid, *, success: bool, stars: int | None, since: int | None = None) -> None:
        """Note how it went; who rates again means the last use, or with ``since`` that of which something was noted from then on.

        Raises what `Mesh.write` raises.
        """
        await choices.rate(self.mesh, cid, success=success, stars=stars, since=since)

    def was_rated(self, cid: Cid, since: int) -> bool:
        """Was it said from then on (Unix ms) how a use of it went?"""
        return choices.noted(self.mesh, cid, since) is not None

    # --- making, keeping, seeing -----------------------------------------------------------------------------------------

    async def make(
        self,
        draft: Draft,
        *,
        public: bool,
        anew: bool = False,
        privacy: Privacy | None = None,
        created: int | None = None,
        signer: creator.Creator | None = None,
        noting: Callable[[sqlite3.Connection, Cid], None] | None = None,
    ) -> Manifest:
        """Sign a draft and keep it; ``public``: it may be passed on; ``anew``: with a new creator key; ``privacy``: what was
        promised; ``created``: when it says that it was made (Unix ms), which is now; ``signer``: a key that signs nothing else, and
        then it names no account; ``noting``: what else is written in the transaction that keeps it.

        The same draft again is the same pattern. On disk when this returns. Raises `PatternRefused`, `StoreFull`,
        `CreatorKeyMissing`, and what `Mesh.write` raises; nothing is public or kept then.
        """
        async with self._settling:  # nothing is let go of between the pin and the word, and the same draft is made once
            key, near = signer or await creator.obtain(self.mesh, anew=anew), None if signer else self._near
            made = await self._find(draft, key, privacy, near)
            if made is None:
                made = await trio.to_thread.run_sync(
                    making.sign,
                    self.store,
                    draft,
                    key,
                    self.mesh.now() if created is None else created,
                    near,
                    privacy,
                )
            kind = "pattern.publish" if public else "pattern.keep"
            event = (kind, {"cid": str(made.cid), "title": made.pattern.title})
            add = choices.adding(self.mesh, PUBLISHED, made.cid) if public else []
            await self._keep(made, OWN, event, add, noting)
        return made

    async def find(
        self,
        draft: Draft,
        *,
        anew: bool = False,
        privacy: Privacy | None = None,
        signer: creator.Creator | None = None,
    ) -> Manifest | None:
        """What `make` would give back of a draft that was made before."""
        key = signer or creator.standing(self.mesh, anew=anew)
        return None if key is None else await self._find(draft, key, privacy, None if signer else self._near)

    async def _find(
        self, draft: Draft, key: creator.Creator, privacy: Privacy | None, near: str | None
    ) -> Manifest | None:
        alike = self.mesh.database.look(partial(library.titled, creator=key.public, title=draft.title))
        return await trio.to_thread.run_sync(making.find_same, self.store, draft, alike, near, privacy)

    @property
    def _near(self) -> str | None:
        """The account that what is made names."""
        return self.mesh.settings.get("near.account") or None

    async def keep(self, manifest: Manifest, source: str) -> None:
        """Keep a pattern whose blocks are in the store. On disk when this returns; raises what `Mesh.write` raises.

        Raises `CreatorBlocked` for a new one of a creator that is blocked, and `BlockRefused` for files that are none, or are
        larger than files of a pattern may be: their blocks can be few, and stand for much more.
        """
        self.check(manifest)
        if not self.is_kept(manifest.cid):
            await self.files(manifest)
        async with self._settling:
            await trio.to_thread.run_sync(self.store.pin, manifest.cid)
            known = self.mesh.database.look(partial(library.get, cid=manifest.cid))
            came = source if known is None else known.source
            also = choices.adding(self.mesh, choices.OPEN, manifest.cid) if came == SWARM else []
            await self._keep(manifest, source, ("pattern.keep", {"cid": str(manifest.cid), "source": came}), also)

    async def _keep(
        self,
        manifest: Manifest,
        source: str,
        event: tuple[str, Mapping[str, Any]],
        also: Iterable[ops.Operation],
        noting: Callable[[sqlite3.Connection, Cid], None] | None = None,
    ) -> None:
        operations = [*also, *choices.adding(self.mesh, KEPT, manifest.cid)]
        now = self.mesh.clock.wall()

        def store(connection: sqlite3.Connection) -> None:
            library.add(connection, manifest, source=source, now=now, kept=True)
            if operations:
                audit.record(connection, *event, now)
            if noting is not None:
                noting(connection, manifest.cid)

        await self.mesh.commit(
            lambda replica: replica.write(operations, self.mesh.now()) if operations else None, store
        )
        self._whole[manifest.cid] = tuple(stored.roots(manifest))
        await self._index.sweep()
        await self._showing.divide(self._whole)
        self._index.stir()

    async def forget(self, cid: Cid) -> None:
        """Keep a pattern no more, on any device; what was only seen is forgotten as well. Raises what `Mesh.write` raises."""
        document = self.mesh.replica.document
        removals = [document.remove(name, str(cid)) for name in (KEPT, choices.OPEN)]
        if gone := [removal for removal in removals if removal is not None]:
            await self.mesh.write(gone)
        await self.settle()
        if not self.is_kept(cid):
            await self._index.remove(cid)

    async def see(self, manifest: Manifest, source: str) -> library.Change:
        """Take up in the index what was heard of; says whether it was new, and what had to go for it.

        Raises `CreatorBlocked`, `StoreFull`, `DiskFull`.
        """
        self.check(manifest)
        await trio.to_thread.run_sync(self.store.put, manifest.cid, manifest.block)
        change = await self._index.see(manifest, source)
        if not self.is_withheld(manifest) and manifest.cid not in change.dropped:
            self.catalogued.put([manifest.cid])
        return change

    async def block(self, key: bytes, *, undo: bool = False) -> None:
        """Take nothing more of a creator, on any device, and let go of what was only seen; or take that back.

        What is kept of it stays, to be used and fetched, until it is forgotten.
        """
        await choices.block(self.mesh, key, undo=undo)
        await self.settle()

    # --- reading ---------------------------------------------------------------------------------------------------------

    async def has(self, cid: Cid) -> bool:
        """Is its own block here?"""
        return await trio.to_thread.run_sync(self.store.has, cid)

    async def is_whole(self, cid: Cid) -> bool:
        """Are all blocks of a pattern here?"""
        return await trio.to_thread.run_sync(stored.find_whole, self.store, cid) is not None

    async def load(self, cid: Cid) -> Manifest:
        """A manifest whose block is here. Raises `BlockMissing`, and `PatternRefused` if it is none."""
        try:
            return await trio.to_thread.run_sync(stored.load, self.store, cid)
        except BlockMissing:
            self._whole.pop(cid, None)
            raise

    def load_whole(self, cid: Cid) -> Manifest:
        """A manifest that is here with all its files, which can be read and are within their bounds. Blocks, for a thread.

        Raises `BlockMissing`, `BlockRefused`, `PatternRefused`, `CreatorBlocked`.
        """
        manifest = stored.load(self.store, cid)
        trio.from_thread.run_sync(self.check, manifest)
        stored.read_files(self.store, manifest)
        return manifest

    async def files(self, manifest: Manifest) -> Mapping[str, bytes]:
        """The files that travel with a pattern. Raises `BlockMissing`, `BlockRefused`."""
        return await trio.to_thread.run_sync(stored.read_files, self.store, manifest)

    @staticmethod
    def roots(manifest: Manifest) -> list[Cid]:
        """What belongs to a pattern beside its own block: not the patterns that it names, and no model."""
        return stored.roots(manifest)

    # --- in step -----------------------------------------------------------------------------------------------------------

    async def settle(self) -> list[Cid]:
        """Bring pins and index in step with the mesh; returns what is kept and not wholly here. Repeat it as the mesh changes."""
        async with self._settling:
            return await self._settle()

    async def arrived(self, cid: Cid) -> None:
        """The same for one pattern whose blocks have come."""
        async with self._settling:
            if self.is_kept(cid):
                looked = await trio.to_thread.run_sync(self._look_at, [cid], self.store.pins(), ())
                self._whole |= looked.whole
                await self._index.add(looked.new)
                await self._showing.divide(self._whole)

    async def _settle(self) -> list[Cid]:
        kept = await trio.to_thread.run_sync(choices.named, list(self.mesh.replica.document.orset(KEPT)))
        pins = await trio.to_thread.run_sync(self.store.pins)
        known = await self.mesh.database.scan(library.kept)
        wanted = list[Cid]()
        for part in parts(kept):
            looked = await trio.to_thread.run_sync(self._look_at, part, pins, known)
            wanted += looked.missing
            self._whole |= looked.whole
            await self._index.add(looked.new)
        for part in parts(sorted((pins | known.keys()) - set(kept))):
            gone = [cid for cid in part if not self.is_kept(cid)]
            for cid in gone:
                self._whole.pop(cid, None)
            await self._index.let_go(gone, known)
            await trio.to_thread.run_sync(self.store.unpin_many, gone)
        await self._index.clear(self.blocked())
        await self._index.sweep()
        await self._showing.divide(self._whole)
        return wanted

    def _look_at(self, cids: Collection[Cid], pins: Container[Cid], known: Container[Cid]) -> _Looked:
        """Blocking: pin them all, and see which are whole. What is in the index was whole, and durable, when it got there."""
        looked, found = _Looked(), list[Manifest]()
        for cid in cids:
            if cid in self._whole and cid in known:
                continue
            try:
                manifest = stored.find_whole(self.store, cid)
            except PatternRefused:  # somebody keeps what is no pattern
                continue
            if manifest is None:
                looked.missing.append(cid)
            else:
                found.append(manifest)
        new = {manifest.cid for manifest in found if manifest.cid not in known}
        self.store.pin_many(cid for cid in cids if cid not in pins or cid in new)
        for manifest in found:
            if not stored.is_here(
                self.store, manifest
            ):  # any more: it went before the pin, which also finds what is damaged
                looked.missing.append(manifest.cid)
                continue
            looked.whole[manifest.cid] = tuple(stored.roots(manifest))
            if manifest.cid in new:
                looked.new.append(manifest)
        return looked

    # --- what strangers may have ---------------------------------------------------------------------------------------------

    def is_shown(self, cid: Cid) -> bool:
        """May anybody have this block? Only what is known to be public: by default a block is for the person's devices alone."""
        return self._showing.is_shown(cid)

    async def load_catalogue(self) -> None:
        """Tell others of what is in the index, and here; before the door to them opens, and after `settle`."""
        await self._index.sweep_all()
        await self._showing.load()


@dataclass(slots=True)
class _Looked:
    """Of some CIDs: what is not wholly here, what is and with which roots beside itself, and what of that is not in the index."""

    missing: list[Cid] = field(default_factory=list)
    whole: dict[Cid, tuple[Cid, ...]] = field(default_factory=dict)
    new: list[Manifest] = field(default_factory=list)


__all__ = [
    "BLOCKED",
    "DEVICES",
    "FOLLOWED",
    "KEPT",
    "OWN",
    "PUBLISHED",
    "SWARM",
    "USES",
    "Keeper",
    "Outcomes",
]
