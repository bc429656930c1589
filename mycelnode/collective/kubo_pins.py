"""Keeps what was published in a Kubo as well, if there is one: what is pinned there follows what is public and here.

Of a pattern, its own block is pinned, alone, and its files with all that is below them: the patterns that it names are not its own,
and may be private. Each pin has a name, which says that this device made it, and for which pattern. Others' pins are left alone.
"""

from __future__ import annotations

import io
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final
from urllib.parse import urlsplit

import trio

from mycelnode.adapters.kubo import open_ipfs
from mycelnode.background import open_background
from mycelnode.collective.carrying import export_alone
from mycelnode.errors import BlockMissing, KuboRefused, MycelError, PatternRefused
from mycelnode.keeping.keeper import FOLLOWED, Keeper
from mycelnode.mesh import Mesh
from mycelnode.patterns import library
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.manifest import Manifest
from mycelnode.ports import IpfsNode
from mycelnode.protocols.folding import Progress

TAG: Final = "kubo_tag"  # among the facts of the database: what this device's pins are known by
TAG_BYTES: Final = 8
CHUNK_BYTES: Final = 256 << 10
PIN_SECONDS: Final = 60.0  # for one pattern
PAUSE_SECONDS: Final = 1.0  # between two looks at what has changed
LOOK_SECONDS: Final = 300.0  # while nothing changes: is it still there, and has it still what it had?
FIRST_SECONDS: Final = 5.0  # before the second try, and from then on twice as long each time
LONGEST_SECONDS: Final = 300.0
_log = logging.getLogger(__name__)


class KuboPins:
    """The Kubo of the settings. Made by `open_kubo`; ``node`` is None where what is set cannot be used at all."""

    def __init__(self, keeper: Keeper, url: str, node: IpfsNode[Cid] | None, tag: str) -> None:
        self.node = node
        self._keeper, self._shown, self._start = keeper, _without_password(url), f"mycelnode:{tag}:"
        self._asked, self._problem = False, ""
        self._busy = trio.Lock()
        self._wake = trio.Event()  # set when there may be something to do
        self._back = trio.Event()  # set when it answers again
        self._pins: dict[Cid, str] | None = None  # ours → the pattern, as text; None: it is to be asked
        self._done: dict[Cid, list[Cid]] = {}  # the patterns that are pinned there → all that is pinned for one

    def services(self) -> dict[str, tuple[str, str]]:
        """For `mycelnode status`."""
        if self._problem:
            return {"kubo": ("failed", self._problem)}
        return {"kubo": ("ok", self._shown) if self._asked else ("off", f"{self._shown} has not answered yet")}

    # --- one pattern -----------------------------------------------------------------------------------------------------

    async def pin(self, manifest: Manifest) -> str:
        """Pin what was just published; a sentence on how that went. What fails is tried again, as long as the node runs."""
        if self.node is None:
            return f"not pinned in the Kubo: {self._problem}"
        with trio.move_on_after(PIN_SECONDS) as waiting:
            await self._busy.acquire()
        if waiting.cancelled_caught:
            return "to be pinned in the Kubo, once it has taken what comes before"
        try:
            with self._judging(), trio.fail_after(PIN_SECONDS):
                await self._put(self.node, manifest)
        except (MycelError, trio.TooSlowError):
            return f"not pinned in the Kubo, which is tried again: {self._problem}"
        finally:
            self._busy.release()
            self._wake.set()
        return "pinned in the Kubo"

    async def _put(self, node: IpfsNode[Cid], manifest: Manifest) -> None:
        if manifest.cid in self._done or not self._keeper.is_published(manifest.cid):
            return
        pins, name = await self._known(node), str(manifest.cid)
        roots = self._keeper.roots(manifest)
        for root in roots:
            if root in pins or await node.is_pinned(root):
                continue
            data = await trio.to_thread.run_sync(self._car, root)
            await node.dag_import(_chunks(data), pin=False)
            await node.pin(root, name=self._start + name)
            pins[root] = name
        if not (manifest.cid in pins or await node.is_pinned(manifest.cid)):
            await node.block_put(manifest.cid, manifest.block)
            await node.pin(manifest.cid, recursive=False, name=self._start + name)
            pins[manifest.cid] = name
        self._done[manifest.cid] = [*roots, manifest.cid]

    async def _known(self, node: IpfsNode[Cid]) -> dict[Cid, str]:
        """Our pins there."""
        if self._pins is None:
            await node.identity()  # who is no Kubo says so in the clearest words here
            found = await node.named_pins(self._start)
            self._pins = {cid: name.removeprefix(self._start) for cid, name in found.items()}
            self._done.clear()
        return self._pins

    def _car(self, root: Cid) -> bytes:
        file = io.BytesIO()
        export_alone(self._keeper.store, [root], file)
        return file.getvalue()

    # --- all of them -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring the Kubo in step with what is public and here, until cancelled."""
        assert self.node is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            pause = FIRST_SECONDS
            while True:
                self._wake = trio.Event()
                try:
                    with self._judging():
                        async with self._busy:
                            await self._follow(self.node)
                except (MycelError, trio.TooSlowError):
                    self._back = trio.Event()
                    with trio.move_on_after(pause):
                        await self._back.wait()
                    pause = min(LONGEST_SECONDS, 2 * pause)
                    continue
                pause = FIRST_SECONDS
                with trio.move_on_after(LOOK_SECONDS) as waiting:
                    await self._wake.wait()
                if waiting.cancelled_caught:
                    self._pins = None
                await trio.sleep(PAUSE_SECONDS)

    async def _watch(self) -> None:
        while True:
            await self._keeper.changed.wait()
            self._wake.set()

    def hear(self, progress: Progress) -> None:
        """The mesh has changed."""
        if progress.refolded or any(change.name in FOLLOWED for change in progress.changes):
            self._wake.set()

    async def _follow(self, node: IpfsNode[Cid]) -> None:
        pins, refused = await self._known(node), list[KuboRefused]()
        public = {cid for cid in self._keeper.published() if self._keeper.is_kept(cid)}
        new = public - self._done.keys()
        here = (await self._keeper.mesh.database.scan(library.kept)).keys() if new else set[Cid]()
        for cid in sorted(new & here, key=str):
            try:
                with trio.fail_after(PIN_SECONDS):
                    await self._put(node, await self._keeper.load(cid))
            except (BlockMissing, PatternRefused) as error:
                _log.debug("%s is not pinned in the Kubo: %s", cid, error)
            except KuboRefused as error:  # perhaps this one alone
                refused.append(error)
        await self._let_go(node, pins, public)
        if refused:
            raise refused[0]

    async def _let_go(self, node: IpfsNode[Cid], pins: dict[Cid, str], public: set[Cid]) -> None:
        """Unpin what is forgotten. What is public, and not here, stays."""
        self._done = {cid: all_ for cid, all_ in self._done.items() if cid in public}
        named, needed = {str(cid) for cid in public}, {cid for all_ in self._done.values() for cid in all_}
        gone = [cid for cid, name in pins.items() if name not in named and cid not in needed]
        still = await node.named_pins(self._start) if gone else {}  # and not pinned by somebody else since
        for cid in gone:
            if cid in still:
                await node.unpin(cid)
            del pins[cid]

    # --- how it is -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Take note of whether it does what it should."""
        try:
            yield
        except (MycelError, trio.TooSlowError) as error:
            self._pins = None
            self.failed(str(error) or f"the Kubo did not take a pattern within {PIN_SECONDS:.0f} seconds")
            raise
        if self._problem:
            _log.warning("the Kubo answers again, and keeps what is published")
            self._back.set()
        self._asked, self._problem = True, ""

    def failed(self, said: str) -> None:
        """It does not: which is said once."""
        if not self._problem:
            _log.warning("what is published is not pinned in the Kubo: %s", said)
        self._problem = said


@asynccontextmanager
async def open_kubo(keeper: Keeper, url: str, client: str) -> AsyncIterator[KuboPins]:
    """The Kubo at ``url``, spoken to by ``client``, kept in step until this is closed. It need not be there."""
    async with AsyncExitStack() as stack:
        try:
            node = await stack.enter_async_context(open_ipfs(url, client))
            pins = KuboPins(keeper, url, node, await _tag(keeper.mesh))
        except MycelError as error:
            pins = KuboPins(keeper, url, None, "")
            pins.failed(str(error))
            yield pins
            return
        nursery = await stack.enter_async_context(open_background())
        keeper.mesh.listeners.append(pins.hear)
        stack.callback(keeper.mesh.listeners.remove, pins.hear)
        nursery.start_soon(pins.run)
        yield pins


async def _tag(mesh: Mesh) -> str:
    tag: str = mesh.fact(TAG, "")
    if not tag:
        tag = secrets.token_hex(TAG_BYTES)
        await mesh.keep_fact(TAG, tag)
    return tag


def _without_password(url: str) -> str:
    """As people may see it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
