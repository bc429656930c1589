"""Keeps what was published in a Kubo as well, if there is one; without it everything goes on, and that is said once."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator
from typing import Final

import trio

from mycelnode.adapters.kubo import open_ipfs
from mycelnode.errors import BlockMissing, MycelError
from mycelnode.keeping import Keeper
from mycelnode.patterns.car import export_car
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.manifest import Manifest
from mycelnode.ports import IpfsNode

CHUNK_BYTES: Final = 256 << 10
PIN_SECONDS: Final = 60.0  # for one pattern
_log = logging.getLogger(__name__)


class KuboPins:
    """The Kubo at ``url``, spoken to by ``client``."""

    def __init__(self, keeper: Keeper, url: str, client: str) -> None:
        self._keeper, self._url, self._client = keeper, url, client
        self._problem = ""

    def services(self) -> dict[str, tuple[str, str]]:
        """For `mycelnode status`."""
        return {"kubo": ("failed", self._problem) if self._problem else ("ok", self._url)}

    async def pin(self, manifest: Manifest) -> str:
        """Put the blocks of a pattern there, and pin them; a sentence on how that went."""
        try:
            with trio.fail_after(PIN_SECONDS):
                async with open_ipfs(self._url, self._client) as node:
                    how = await self._put(node, manifest)
        except (MycelError, trio.TooSlowError) as error:
            said = str(error) or f"the Kubo at {self._url} did not take it within {PIN_SECONDS:.0f} seconds"
            if not self._problem:
                _log.warning("what is published is not pinned in the Kubo: %s", said)
            self._problem = said
            return f"not pinned in the Kubo: {said}"
        self._problem = ""
        return how

    async def _put(self, node: IpfsNode[Cid], manifest: Manifest) -> str:
        for root in [*self._keeper.roots(manifest), manifest.cid]:
            try:
                data = await trio.to_thread.run_sync(self._car, root)
            except BlockMissing:  # of a pattern that this one names, and a pin would wait for
                await node.block_put(manifest.cid, manifest.block)
                return "put into the Kubo, unpinned, as not all patterns that it names are here"
            await node.dag_import(_chunks(data))
        return "pinned in the Kubo"

    def _car(self, root: Cid) -> bytes:
        file = io.BytesIO()
        export_car(self._keeper.store, [root], file)
        return file.getvalue()


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
