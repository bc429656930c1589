"""What strangers may have, and hear of: what is known to be public, and nothing else.

Public is what the person published, and what came from the swarm. Any other block is for the person's devices.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

import trio

from mycelnode import creator
from mycelnode.keeping.catalogued import Catalogued
from mycelnode.keeping.choices import PUBLISHED
from mycelnode.mesh import Mesh
from mycelnode.patterns import library
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import DAG_CBOR, Cid

SWARM: Final = "swarm"  # the source of what was public when it came


def is_open(entry: library.Kept, ours: Container[bytes]) -> bool:
    """Was it somebody else's, and public before it was kept? ``source`` outlives the word of a device that was put out."""
    return entry.creator not in ours and entry.source == SWARM


class Showing:
    """Which blocks of ``store`` anybody may have; manifests by ``catalogued``, which also tells others of them."""

    def __init__(self, mesh: Mesh, store: Blockstore) -> None:
        self._mesh, self._store = mesh, store
        self.catalogued = Catalogued()
        self._files: dict[Cid, frozenset[Cid]] = {}  # of the files of what is public: root → all below
        self._shown: frozenset[Cid] = frozenset()  # all of these

    def is_shown(self, cid: Cid) -> bool:
        """May anybody have this block?"""
        return cid.digest in self.catalogued if cid.codec == DAG_CBOR else cid in self._shown

    async def divide(self, whole: Mapping[Cid, Sequence[Cid]]) -> None:
        """Say anew which kept patterns and which of their files may be shown.

        ``whole``: of those that are wholly here, the roots of their files.
        """
        kept = await self._mesh.database.scan(library.kept)
        ours, published = creator.ours(self._mesh), self._mesh.replica.document.orset(PUBLISHED)
        shown = {cid for cid, entry in kept.items() if is_open(entry, ours) or str(cid) in published}
        self.catalogued.drop(kept.keys() - shown)
        self.catalogued.put(shown)
        roots = {root for cid in shown for root in whole.get(cid, ())}
        for root in self._files.keys() - roots:
            del self._files[root]
        for root in roots - self._files.keys():
            self._files[root] = frozenset(await trio.to_thread.run_sync(self._store.reachable, [root]))
        self._shown = frozenset().union(*self._files.values())

    async def load(self) -> None:
        """Tell others of what was only seen; `divide` has said which kept ones may be shown."""
        kept = {cid.digest for cid in await self._mesh.database.scan(library.kept)}
        found = await self._mesh.database.scan(library.digests)
        self.catalogued.put(Cid(DAG_CBOR, digest) for digest in found if digest not in kept)
