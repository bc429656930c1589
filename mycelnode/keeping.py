"""The patterns of a person on this device: what the mesh says is kept, the blocks on the disk, and the index to search, in step.

What is kept, by whatever device, is a set in the mesh; so is what was published. The blocks follow it (`mycelnode.p2p.gathering`
fetches them). What a person made and never published is withheld: it goes to the person's devices alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from mycelnode import audit, creator
from mycelnode.catalogued import Catalogued
from mycelnode.crdt import operations as ops
from mycelnode.errors import BlockMissing, CidRefused, CreatorBlocked, PatternRefused
from mycelnode.identity import KEY_BYTES
from mycelnode.mesh import Mesh
from mycelnode.patterns import library
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.files import Draft
from mycelnode.patterns.files.folder import MAX_TOTAL_BYTES
from mycelnode.patterns.folders import read_folder, write_folder
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.unixfs import read_file

KEPT: Final = "mycel.patterns"  # a set of CIDs, as text
PUBLISHED: Final = "mycel.published"  # a set of CIDs: of what we made, that which is public
BLOCKED: Final = "mycel.blocked"  # a set of creators' keys, as hex
RATINGS: Final = "mycel.ratings"  # CID → [went well, stars or None, Unix ms]
USES: Final = "mycel.uses/"  # before a CID: a counter
SUCCESSES: Final = "mycel.successes/"
FAILURES: Final = "mycel.failures/"
MAX_KEPT: Final = 10_000  # that are looked at: a hostile member can add what it likes
QUOTA_BYTES: Final = 10 << 30  # of disk, for blocks
OWN: Final = "own"  # the source of what was made here


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What this person, on all devices, has seen of a pattern. Of some uses it was not said how they went."""

    uses: int
    successes: int
    failures: int


class Keeper:
    """The patterns of this device's person."""

    def __init__(self, mesh: Mesh, store: Blockstore) -> None:
        self.mesh, self.store = mesh, store
        self.catalogued = Catalogued()  # what others are told of
        self.withheld: frozenset[Cid] = frozenset()  # blocks that are for the person's devices alone
        self.changed = trio.Event()  # set, and another one, whenever the index has changed
        self._settling = trio.Lock()
        self._whole: set[Cid] = set()  # kept ones whose blocks were all here when last looked at

    # --- what the mesh says ----------------------------------------------------------------------------------------------

    def kept(self) -> list[Cid]:
        """What is kept, by whichever device, in the order of the CIDs."""
        return sorted(_cids(self.mesh.replica.document.orset(KEPT)))[:MAX_KEPT]

    def is_kept(self, cid: Cid) -> bool:
        """Is this one?"""
        return str(cid) in self.mesh.replica.document.orset(KEPT)

    def is_mine(self, key: bytes) -> bool:
        """Is or was this the creator key of this person?"""
        return key in creator.ours(self.mesh)

    def is_published(self, cid: Cid) -> bool:
        """Did this person make it public?"""
        return str(cid) in self.mesh.replica.document.orset(PUBLISHED)

    def published(self) -> list[Cid]:
        """All that this person made public."""
        return sorted(_cids(self.mesh.replica.document.orset(PUBLISHED)))[:MAX_KEPT]

    def is_withheld(self, manifest: Manifest) -> bool:
        """Is this ours, and not public?"""
        return self.is_mine(manifest.pattern.creator) and not self.is_published(manifest.cid)

    def blocked(self) -> set[bytes]:
        """Creators that the person wants nothing of."""
        found = set()
        for value in self.mesh.replica.document.orset(BLOCKED):
            if type(value) is str and len(value) == 2 * KEY_BYTES:
                try:
                    found.add(bytes.fromhex(value))
                except ValueError:
                    continue
        return found

    def outcomes(self, cid: Cid) -> Outcomes:
        """How often it was used, and how that went. Devices can be wrong about each other's counts: none is below 0."""
        counter = self.mesh.replica.document.counter
        return Outcomes(*(max(0, counter(f"{name}{cid}").value) for name in (USES, SUCCESSES, FAILURES)))

    # --- making and keeping ----------------------------------------------------------------------------------------------

    async def make(self, draft: Draft, *, public: bool, anew: bool = False) -> Manifest:
        """Sign a draft and keep it; ``public``: it may be passed on; ``anew``: with a new creator key.

        The same draft again is the same pattern. On disk when this returns. Raises `PatternRefused`, `StoreFull`,
        `CreatorKeyMissing`, and what `Mesh.write` raises; nothing is public or kept then.
        """
        key = await creator.obtain(self.mesh, anew=anew)
        found = await self._made_before(draft, key.public)
        if found is None:
            found = await trio.to_thread.run_sync(self._sign, draft, key, self.mesh.now())
        if not (public or self.is_published(found.cid)):
            self.withheld |= await self._blocks_of(found.cid)
        event = ("pattern.publish" if public else "pattern.keep", {"cid": str(found.cid), "title": found.pattern.title})
        add = [self.mesh.replica.document.add(PUBLISHED, str(found.cid))] if public else []
        await self._keep(found, OWN, event, add)
        await self._divide()
        return found

    def _sign(self, draft: Draft, key: creator.Creator, now: int) -> Manifest:
        """Blocking: all blocks are in the store, and pinned, when this returns."""
        files = write_folder(draft.files, self.store.put).cid if draft.files else None
        near = self.mesh.settings.get("near.account") or None
        pattern = draft.pattern(key.public, now, files)
        made = Manifest.sign(pattern, key.sign, near=near, succeeds=key.succeeds)
        self.store.put(made.cid, made.block)
        self.store.pin(made.cid)
        return made

    async def _made_before(self, draft: Draft, key: bytes) -> Manifest | None:
        """The kept pattern of ``key`` that says the same."""
        look = partial(library.listing, kept=True, creator=key, kind=draft.kind, limit=library.MAX_PAGE)
        for entry in self.mesh.database.look(look):
            if entry.title != draft.title:
                continue
            try:
                made = await self.load(entry.cid)
                if Draft.of(made.pattern, await self.files(made)) == draft:
                    return made
            except (BlockMissing, PatternRefused):
                continue
        return None

    async def keep(self, manifest: Manifest, source: str) -> None:
        """Keep a pattern whose blocks are in the store. On disk when this returns; raises what `Mesh.write` raises.

        Raises `CreatorBlocked` for one of a creator that is blocked.
        """
        self.check(manifest)
        await trio.to_thread.run_sync(self.store.pin, manifest.cid)
        await self._keep(manifest, source, ("pattern.keep", {"cid": str(manifest.cid), "source": source}), ())
        await self._divide()

    async def _keep(
        self, manifest: Manifest, source: str, event: tuple[str, Mapping[str, Any]], also: Iterable[ops.Operation]
    ) -> None:
        operations = list(also)
        if not self.is_kept(manifest.cid):
            operations.append(self.mesh.replica.document.add(KEPT, str(manifest.cid)))
        now = self.mesh.clock.wall()

        def store(connection: sqlite3.Connection) -> None:
            library.add(connection, manifest, source=source, now=now, kept=True)
            if operations:
                audit.record(connection, *event, now)

        await self.mesh.commit(
            lambda replica: replica.write(operations, self.mesh.now()) if operations else None, store
        )
        self._stir()

    async def forget(self, cid: Cid) -> None:
        """Keep a pattern no more, on any device; what was only seen is forgotten as well. Raises what `Mesh.write` raises."""
        removal = self.mesh.replica.document.remove(KEPT, str(cid))
        if removal is not None:
            await self.mesh.write([removal])
        await self.settle()
        if not self.is_kept(cid):
            await self.mesh.database.write(lambda connection: library.remove(connection, cid))
            self.catalogued.drop([cid])

    async def see(self, manifest: Manifest, source: str) -> library.Change:
        """Take up in the index what was heard of; says whether it was new, and what had to go for it.

        Raises `CreatorBlocked`, `StoreFull`, `DiskFull`.
        """
        self.check(manifest)
        await trio.to_thread.run_sync(self.store.put, manifest.cid, manifest.block)
        now = self.mesh.clock.wall()
        change = await self.mesh.database.write(partial(library.add, manifest=manifest, source=source, now=now))
        if not self.is_withheld(manifest):
            self.catalogued.put([manifest.cid])
        self.catalogued.drop(change.dropped)
        self._stir()
        return change

    def _stir(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def check(self, manifest: Manifest) -> None:
        """Raise `CreatorBlocked` for what is of somebody who is blocked."""
        if manifest.pattern.creator in self.blocked():
            raise CreatorBlocked(
                f"the creator {manifest.pattern.creator.hex()} is blocked; `pattern block --undo` takes it back"
            )

    async def used(self, cid: Cid) -> None:
        """Count a use."""
        await self.mesh.write([ops.counter_add(f"{USES}{cid}", 1)])

    async def rate(self, cid: Cid, *, success: bool, stars: int | None) -> None:
        """Note how it went; who rates again means the last use. Raises what `Mesh.write` raises."""
        told = SUCCESSES if success else FAILURES
        known = self.outcomes(cid)
        operations = [
            ops.counter_add(f"{told}{cid}", 1),
            ops.map_put(RATINGS, str(cid), [success, stars, self.mesh.clock.wall()]),
        ]
        if known.uses <= known.successes + known.failures:  # used elsewhere than through `use`
            operations.append(ops.counter_add(f"{USES}{cid}", 1))
        await self.mesh.write(operations)

    async def block(self, key: bytes, *, undo: bool = False) -> None:
        """Take nothing more of a creator, on any device, and let go of what was only seen; or take that back."""
        document = self.mesh.replica.document
        operation = document.remove(BLOCKED, key.hex()) if undo else document.add(BLOCKED, key.hex())
        if operation is not None:
            await self.mesh.write([operation])
        await self.settle()

    # --- reading ---------------------------------------------------------------------------------------------------------

    async def has(self, cid: Cid) -> bool:
        """Is its own block here?"""
        return await trio.to_thread.run_sync(self.store.has, cid)

    async def load(self, cid: Cid) -> Manifest:
        """A manifest whose block is here. Raises `BlockMissing`, and `PatternRefused` if it is none."""
        if cid.codec != DAG_CBOR:
            raise PatternRefused(f"{cid} names no pattern: the CID of one begins with bafyrei")
        block = await trio.to_thread.run_sync(self.store.get, cid)
        if block is None:
            raise BlockMissing(f"{cid} is not on this device")
        return await trio.to_thread.run_sync(Manifest.read, block)

    async def files(self, manifest: Manifest) -> Mapping[str, bytes]:
        """The files that travel with a pattern. Raises `BlockMissing`, `BlockRefused`."""
        root = manifest.pattern.files
        if root is None:
            return {}
        return await trio.to_thread.run_sync(self._read_files, root)

    def _read_files(self, root: Cid) -> dict[str, bytes]:
        found, room = dict[str, bytes](), MAX_TOTAL_BYTES
        for path, cid in read_folder(root, self.store.get).items():
            if cid is not None:
                found[path] = b"".join(read_file(cid, self.store.get, max_bytes=room))
                room -= len(found[path])
        return found

    @staticmethod
    def roots(manifest: Manifest) -> list[Cid]:
        """What belongs to a pattern beside its own block: not the patterns that it names, and no model."""
        return [] if manifest.pattern.files is None else [manifest.pattern.files]

    async def is_whole(self, cid: Cid) -> bool:
        """Are all blocks of a pattern here?"""
        if cid in self._whole:
            return True
        try:
            manifest = await self.load(cid)
        except BlockMissing:
            return False
        for root in self.roots(manifest):
            if await trio.to_thread.run_sync(self.store.missing, root, 1):
                return False
        if cid not in self.store.pins():
            return True
        await trio.to_thread.run_sync(self.store.pin, cid)  # once more, which makes durable what came since
        self._whole.add(cid)
        return True

    # --- in step -----------------------------------------------------------------------------------------------------------

    async def settle(self) -> list[Cid]:
        """Bring pins and index in step with the mesh; returns what is kept and not wholly here. Repeat it as the mesh changes."""
        async with self._settling:
            return await self._settle()

    async def _settle(self) -> list[Cid]:
        kept = self.kept()
        pins = await trio.to_thread.run_sync(self.store.pins)
        wanted = []
        for cid in kept:
            if cid not in pins:
                await trio.to_thread.run_sync(self.store.pin, cid)
            try:
                if await self.is_whole(cid):
                    await self._index(cid)
                else:
                    wanted.append(cid)
            except PatternRefused:  # somebody keeps what is no pattern
                continue
        await self._let_go(set(pins) - set(kept))
        for key in self.blocked():
            self.catalogued.drop(await self.mesh.database.write(partial(library.remove_creator, creator=key)))
        await self._divide()
        return wanted

    async def load_catalogue(self) -> None:
        """Tell others of what is in the index; before the door to them opens, and after `settle`."""
        withheld = {cid.digest for cid in self.withheld}
        found = await self.mesh.database.scan(library.digests)
        self.catalogued.put(Cid(DAG_CBOR, digest) for digest in found if digest not in withheld)

    async def _index(self, cid: Cid) -> None:
        entry = self.mesh.database.look(partial(library.get, cid=cid))
        if entry is None or not entry.kept:
            manifest, now = await self.load(cid), self.mesh.clock.wall()
            await self.mesh.database.write(partial(library.add, manifest=manifest, source="mesh", now=now, kept=True))
            self._stir()

    async def _let_go(self, cids: Collection[Cid]) -> None:
        for cid in cids:
            self._whole.discard(cid)
            entry = self.mesh.database.look(partial(library.get, cid=cid))
            if entry is not None and entry.kept:
                if self.is_mine(entry.creator):
                    await self.mesh.database.write(partial(library.remove, cid=cid))
                    self.catalogued.drop([cid])
                else:
                    change = await self.mesh.database.write(partial(library.forget, cid=cid))
                    self.catalogued.drop(change.dropped)
            await trio.to_thread.run_sync(self.store.unpin, cid)

    async def _divide(self) -> None:
        """Say anew which blocks are withheld: those of what we made and did not publish, unless something public has them, too."""
        ours, open_, withheld = creator.ours(self.mesh), list[Cid](), set[Cid]()
        for cid in self.kept():
            entry = self.mesh.database.look(partial(library.get, cid=cid))
            if entry is None or entry.creator not in ours or self.is_published(cid):
                open_.append(cid)
            else:
                withheld |= await self._blocks_of(cid)
        if any(cid.codec != DAG_CBOR for cid in withheld):  # files, which something public may have as well
            for cid in open_:
                withheld -= await self._blocks_of(cid)
        self.withheld = frozenset(withheld)
        self.catalogued.drop(self.withheld)
        self.catalogued.put(open_)

    async def _blocks_of(self, cid: Cid) -> set[Cid]:
        """Its own, and those of its files, as far as they are here."""
        try:
            roots = self.roots(await self.load(cid))
        except (BlockMissing, PatternRefused):
            roots = []
        return {cid, *roots, *await trio.to_thread.run_sync(self.store.reachable, roots)}


def _cids(values: Iterable[Any]) -> set[Cid]:
    """Those that are CIDs; a member can add anything."""
    found = set()
    for value in values:
        try:
            found.add(Cid.parse(value))
        except (CidRefused, AttributeError):
            continue
    return found
