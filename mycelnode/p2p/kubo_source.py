"""Fetches from an IPFS node in another program, and through it from the network that it belongs to."""

from __future__ import annotations

from typing import Final

import trio

from mycelnode.errors import BlockUnavailable, KuboRefused
from mycelnode.p2p.blocks import links
from mycelnode.p2p.gathering import MAX_BLOCKS, MAX_BYTES, Look, Tell
from mycelnode.p2p.walking import walk_all
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.unixfs import parse
from mycelnode.ports import IpfsNode
from mycelnode.protocols.dag_walk import DagWalk

KUBO: Final = "kubo"
LOOK_SECONDS: Final = 20.0  # for it to find a block
WINDOW: Final = 4  # blocks that are asked for at once: it takes as many calls, and pins go to it as well


class KuboSource:
    """A `Giver`. What a Kubo looks for, many others hear of."""

    name = KUBO
    strangers = True

    def __init__(self, node: IpfsNode[Cid], store: Blockstore) -> None:
        self._node, self._store = node, store

    def describe(self) -> str:
        """See `Giver`."""
        return "the Kubo"

    async def give(self, cid: Cid, pattern: Cid) -> bytes:
        """See `Giver`."""
        try:
            with trio.fail_after(LOOK_SECONDS):
                return await self._node.block_get(cid, seconds=LOOK_SECONDS)
        except trio.TooSlowError:
            raise BlockUnavailable(f"the Kubo did not find {cid} within {LOOK_SECONDS:.0f} seconds") from None
        except KuboRefused as error:
            raise BlockUnavailable(f"the Kubo has not found {cid}: {error}") from error

    async def put(self, cid: Cid, block: bytes) -> None:
        """See `Giver`."""
        await trio.to_thread.run_sync(self._store.put, cid, block)

    async def give_files(self, root: Cid, pattern: Cid, tell: Tell) -> None:
        """See `Giver`."""
        total, walk = 0, DagWalk(root.binary, links, MAX_BLOCKS, MAX_BYTES)

        async def take(name: bytes) -> None:
            nonlocal total
            cid = Cid.from_bytes(name)
            block = await trio.to_thread.run_sync(self._store.get, cid)
            if block is None:
                block = await self.give(cid, pattern)
                await self.put(cid, block)
            if cid == root:
                total = parse(root, block).total
            walk.take(name, len(block), block)
            tell(walk.size, total)

        await walk_all(walk, take, window=WINDOW)

    def watch(self, look: Look) -> None:
        """Nobody comes or goes."""

    def unwatch(self, look: Look) -> None:
        """Nobody comes or goes."""
