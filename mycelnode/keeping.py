"""The patterns of a person on this device: what the mesh says is kept, the blocks on the disk, and the index to search, in step.

What is kept, by whatever device, is a set in the mesh; so is what was published. The blocks follow it (`mycelnode.p2p.gathering`
fetches them). Strangers get what is known to be public, and nothing else: what a person published, and what came from the swarm.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
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
from mycelnode.patterns.cid import DAG_CBOR, TEXT_CHARS, Cid
from mycelnode.patterns.files import Draft
from mycelnode.patterns.files.folder import MAX_TOTAL_BYTES
from mycelnode.patterns.folders import read_folder, write_folder
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.unixfs import read_file

KEPT: Final = "mycel.patterns"  # a set of CIDs, as text
PUBLISHED: Final = "mycel.published"  # a set of CIDs: of what we made, that which is public
BLOCKED: Final = "mycel.blocked"  # a set of creators' keys, as hex
FOLLOWED: Final = frozenset(
    {KEPT, PUBLISHED, BLOCKED, creator.CREATORS}
)  # when one changes, `settle` has something to do
RATINGS: Final = "mycel.ratings"  # CID → [went well, stars or None, Unix ms]
USES: Final = "mycel.uses/"  # before a CID: a counter
SUCCESSES: Final = "mycel.successes/"
FAILURES: Final = "mycel.failures/"
MAX_KEPT: Final = 10_000  # that are looked at: a hostile member can add what it likes
MAX_BLOCKED: Final = 10_000  # whose patterns are looked for, to let go of them
LOOK_AT_ONCE: Final = 500  # patterns, in one go of a thread
PATTERN_PREFIX: Final = "bafyrei"  # of the CIDs of DAG-CBOR, as text
QUOTA_BYTES: Final = 10 << 30  # of disk, for blocks
OWN: Final = "own"  # the source of what this person made
DEVICES: Final = "mesh"  # of what came because another device keeps it
SWARM: Final = "swarm"  # of what was public when it came


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
        self.changed = trio.Event()  # set, and another one, whenever the index has changed
        self._settling = trio.Lock()
        self._whole: dict[
            Cid, tuple[Cid, ...]
        ] = {}  # kept ones that were all here when last looked at → `roots` of them
        self._files: dict[Cid, frozenset[Cid]] = {}  # of those roots that may be shown → all below
        self._shown: frozenset[Cid] = frozenset()  # all of these
        self._cleared: set[bytes] = set()  # creators that are blocked, of whom nothing is left

    # --- what the mesh says ----------------------------------------------------------------------------------------------

    def kept(self) -> list[Cid]:
        """What is kept, by whichever device, in the order of their texts."""
        return _named(self.mesh.replica.document.orset(KEPT))

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
        return _named(self.mesh.replica.document.orset(PUBLISHED))

    def is_withheld(self, manifest: Manifest) -> bool:
        """Is this ours, and not public?"""
        return self.is_mine(manifest.pattern.creator) and not self.is_published(manifest.cid)

    def blocked(self) -> set[bytes]:
        """Creators that the person wants nothing of."""
        said = self.mesh.replica.document.orset(BLOCKED)
        texts = (value for value in said if type(value) is str and len(value) == 2 * KEY_BYTES)
        found = set()
        for text in islice(texts, MAX_BLOCKED):
            with suppress(ValueError):
                found.add(bytes.fromhex(text))
        return found

    def is_blocked(self, key: bytes) -> bool:
        """Is this creator?"""
        return key.hex() in self.mesh.replica.document.orset(BLOCKED)

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
        async with self._settling:  # nothing is let go of between the pin and the word, and the same draft is made once
            key = await creator.obtain(self.mesh, anew=anew)
            found = await self._made_before(draft, key.public)
            if found is None:
                found = await trio.to_thread.run_sync(self._sign, draft, key, self.mesh.now())
            kind = "pattern.publish" if public else "pattern.keep"
            event = (kind, {"cid": str(found.cid), "title": found.pattern.title})
            add = [self.mesh.replica.document.add(PUBLISHED, str(found.cid))] if public else []
            await self._keep(found, OWN, event, add)
        return found

    def _sign(self, draft: Draft, key: creator.Creator, now: int) -> Manifest:
        """Blocking: all blocks are in the store, and pinned, when this returns."""
        near = self.mesh.settings.get("near.account") or None
        with self.store.adding() as adding:
            files = write_folder(draft.files, adding.put).cid if draft.files else None
            pattern = draft.pattern(key.public, now, files)
            made = Manifest.sign(pattern, key.sign, near=near, succeeds=key.succeeds)
            adding.put(made.cid, made.block)
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

        Raises `CreatorBlocked` for a new one of a creator that is blocked, and `BlockRefused` for files that are none, or are larger
        than files of a pattern may be: their blocks can be few, and stand for much more.
        """
        self.check(manifest)
        if not self.is_kept(manifest.cid):
            await self.files(manifest)
        async with self._settling:
            await trio.to_thread.run_sync(self.store.pin, manifest.cid)
            await self._keep(manifest, source, ("pattern.keep", {"cid": str(manifest.cid), "source": source}), ())

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
        self._whole[manifest.cid] = tuple(self.roots(manifest))
        self._stir()
        await self._divide()

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

        def add(connection: sqlite3.Connection) -> library.Change:
            library.told(connection, manifest.cid, DEVICES, source)
            return library.add(connection, manifest, source=source, now=now)

        change = await self.mesh.database.write(add)
        if not self.is_withheld(manifest):
            self.catalogued.put([manifest.cid])
        self.catalogued.drop(change.dropped)
        self._stir()
        return change

    def _stir(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def check(self, manifest: Manifest) -> None:
        """Raise `CreatorBlocked` for what is of somebody who is blocked, unless the person keeps it: that was their own choice."""
        if self.is_blocked(manifest.pattern.creator) and not self.is_kept(manifest.cid):
            raise CreatorBlocked(
                f"the creator {manifest.pattern.creator.hex()} is blocked;"
                f" `mycelnode pattern block {manifest.pattern.creator.hex()} --undo` takes it back"
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
        """Take nothing more of a creator, on any device, and let go of what was only seen; or take that back.

        What is kept of it stays, to be used and fetched, until it is forgotten.
        """
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
        try:
            return await trio.to_thread.run_sync(self._load, cid)
        except BlockMissing:
            self._whole.pop(cid, None)
            raise

    def _load(self, cid: Cid) -> Manifest:
        if cid.codec != DAG_CBOR:
            raise PatternRefused(f"{cid} names no pattern: the CID of one begins with {PATTERN_PREFIX}")
        block = self.store.get(cid)
        if block is None:
            raise BlockMissing(f"{cid} is not on this device")
        return Manifest.read(block)

    def load_whole(self, cid: Cid) -> Manifest:
        """A manifest that is here with all its files, which can be read and are within their bounds. Blocks, for a thread.

        Raises `BlockMissing`, `BlockRefused`, `PatternRefused`, `CreatorBlocked`.
        """
        manifest = self._load(cid)
        trio.from_thread.run_sync(self.check, manifest)
        for root in self.roots(manifest):
            self._read_files(root)
        return manifest

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
        if cid.codec != DAG_CBOR:
            raise PatternRefused(f"{cid} names no pattern: the CID of one begins with {PATTERN_PREFIX}")
        return await trio.to_thread.run_sync(self._look, cid) is not None

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
                await self._index(looked.new)
                await self._divide()

    async def _settle(self) -> list[Cid]:
        kept = await trio.to_thread.run_sync(_named, list(self.mesh.replica.document.orset(KEPT)))
        pins = await trio.to_thread.run_sync(self.store.pins)
        known = await self.mesh.database.scan(library.kept)
        wanted = list[Cid]()
        for part in _parts(kept):
            looked = await trio.to_thread.run_sync(self._look_at, part, pins, known)
            wanted += looked.missing
            self._whole |= looked.whole
            await self._index(looked.new)
        for part in _parts(sorted((pins | known.keys()) - set(kept))):
            await self._let_go([cid for cid in part if not self.is_kept(cid)], known)
        await self._clear(self.blocked())
        await self._divide()
        return wanted

    def _look_at(self, cids: Collection[Cid], pins: Container[Cid], known: Container[Cid]) -> _Looked:
        """Blocking: pin them all, and see which are whole. What is in the index was whole, and durable, when it got there."""
        looked, found = _Looked(), list[Manifest]()
        for cid in cids:
            if cid in self._whole and cid in known:
                continue
            try:
                manifest = self._look(cid)
            except PatternRefused:  # somebody keeps what is no pattern
                continue
            if manifest is None:
                looked.missing.append(cid)
            else:
                found.append(manifest)
        new = {manifest.cid for manifest in found if manifest.cid not in known}
        self.store.pin_many(cid for cid in cids if cid not in pins or cid in new)
        for manifest in found:
            if not self._is_here(
                manifest
            ):  # any more: it was collected before the pin, or is damaged, which the pin has found
                looked.missing.append(manifest.cid)
                continue
            looked.whole[manifest.cid] = tuple(self.roots(manifest))
            if manifest.cid in new:
                looked.new.append(manifest)
        return looked

    def _look(self, cid: Cid) -> Manifest | None:
        """Blocking: a pattern, if all of it is here. Raises `PatternRefused`."""
        block = self.store.get(cid)
        if block is None:
            return None
        manifest = Manifest.read(block)
        return manifest if self._is_here(manifest) else None

    def _is_here(self, manifest: Manifest) -> bool:
        """Blocking: are all its blocks? They are not read."""
        return self.store.has(manifest.cid) and not any(self.store.missing(root, 1) for root in self.roots(manifest))

    async def _index(self, manifests: Collection[Manifest]) -> None:
        if not manifests:
            return
        ours, now = creator.ours(self.mesh), self.mesh.clock.wall()

        def add(connection: sqlite3.Connection) -> None:
            for manifest in manifests:
                source = OWN if manifest.pattern.creator in ours else DEVICES
                library.add(connection, manifest, source=source, now=now, kept=True)

        await self.mesh.database.write(add)
        self._stir()

    async def _let_go(self, cids: Collection[Cid], known: Mapping[Cid, library.Kept]) -> None:
        """Of what is pinned or in the index, and kept no more.

        What is ours, or of somebody who is blocked, is forgotten, and the rest one of those seen.
        """
        ours, blocked = creator.ours(self.mesh), self.blocked()

        def drop(connection: sqlite3.Connection) -> list[Cid]:
            gone = list[Cid]()
            for cid in cids:
                if cid not in known:
                    continue
                if not _is_open(known[cid], ours) or known[cid].creator in blocked:
                    library.remove(connection, cid)
                    gone.append(cid)
                else:
                    gone += library.forget(connection, cid).dropped
            return gone

        for cid in cids:
            self._whole.pop(cid, None)
        if not known.keys().isdisjoint(cids):
            self.catalogued.drop(await self.mesh.database.write(drop))
        if cids:
            await trio.to_thread.run_sync(self.store.unpin_many, cids)

    async def _clear(self, creators: set[bytes]) -> None:
        """Let go of what was only seen of those who are blocked."""
        new = creators - self._cleared

        def remove(connection: sqlite3.Connection) -> list[Cid]:
            return [cid for key in new for cid in library.remove_creator(connection, key)]

        if new:
            self.catalogued.drop(await self.mesh.database.write(remove))
        self._cleared = creators

    # --- what strangers may have ---------------------------------------------------------------------------------------------

    def is_shown(self, cid: Cid) -> bool:
        """May anybody have this block? Only what is known to be public: by default a block is for the person's devices alone."""
        return cid.digest in self.catalogued if cid.codec == DAG_CBOR else cid in self._shown

    async def load_catalogue(self) -> None:
        """Tell others of what is in the index; before the door to them opens, and after `settle`."""
        kept = await self.mesh.database.scan(library.kept)
        kept_digests = {cid.digest for cid in kept}  # of which `_divide` has said which may be shown
        found = await self.mesh.database.scan(library.digests)
        self.catalogued.put(Cid(DAG_CBOR, digest) for digest in found if digest not in kept_digests)

    async def _divide(self) -> None:
        """Say anew which kept patterns and which of their files may be shown."""
        kept = await self.mesh.database.scan(library.kept)
        ours, published = creator.ours(self.mesh), self.mesh.replica.document.orset(PUBLISHED)
        shown = {cid for cid, entry in kept.items() if _is_open(entry, ours) or str(cid) in published}
        self.catalogued.drop(kept.keys() - shown)
        self.catalogued.put(shown)
        roots = {root for cid in shown for root in self._whole.get(cid, ())}
        for root in self._files.keys() - roots:
            del self._files[root]
        for root in roots - self._files.keys():
            self._files[root] = frozenset(await trio.to_thread.run_sync(self.store.reachable, [root]))
        self._shown = frozenset().union(*self._files.values())


@dataclass(slots=True)
class _Looked:
    """Of some CIDs: what is not wholly here, what is and with which roots beside itself, and what of that is not in the index."""

    missing: list[Cid] = field(default_factory=list)
    whole: dict[Cid, tuple[Cid, ...]] = field(default_factory=dict)
    new: list[Manifest] = field(default_factory=list)


def _is_open(entry: library.Kept, ours: Container[bytes]) -> bool:
    """Was it somebody else's, and public before it was kept? ``source`` outlives the word of a device that was put out."""
    return entry.creator not in ours and entry.source == SWARM


def _parts(cids: Sequence[Cid]) -> Iterator[Sequence[Cid]]:
    """So many that a thread is soon done with them, and what is cancelled ends."""
    return (cids[start : start + LOOK_AT_ONCE] for start in range(0, len(cids), LOOK_AT_ONCE))


def _named(values: Iterable[Any]) -> list[Cid]:
    """Those that are CIDs of patterns, as we write them, the first `MAX_KEPT` of their texts; a member can add anything."""
    texts = (value for value in values if type(value) is str and len(value) == TEXT_CHARS)
    found = list[Cid]()
    for text in heapq.nsmallest(MAX_KEPT, (text for text in texts if text.startswith(PATTERN_PREFIX))):
        try:
            cid = Cid.parse(text)
        except CidRefused:
            continue
        if str(cid) == text:
            found.append(cid)
    return found
