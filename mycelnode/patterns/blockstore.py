"""Blocks by their CIDs: verified on the way in and out, within a quota, and kept for as long as a pin reaches them.

Pins are empty files, ``pins/<CID>``, beside those of the blocks (blockfiles.py). A crash leaves whole blocks only; what the disk
loses with the power, before a pin made it durable, shows when it is read. One process opens a store at a time, for its threads.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mycelnode.errors import BlockRefused, CidRefused, StoreFull
from mycelnode.paths import PRIVATE_FILE, make_private_folder, sync_folder, unusable
from mycelnode.patterns.blockfiles import BlockFiles, cost
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.patterns.collecting import Candidates
from mycelnode.patterns.dag import MAX_BLOCK, links_of

USED_AFTER_NS: Final = 60 * 10**9  # a use is noted once a minute at most, so that reading hardly writes
MAX_MISSING: Final = 10_000  # blocks that `missing` names at once
MAX_LINKS_HELD: Final = 1 << 17  # in memory, and blocks that have them: 200 bytes each

_log = logging.getLogger(__name__)


class Blockstore:
    """The store in ``folder``, which is made if it is not there. ``quota`` is in bytes of disk, ``now_ns`` the time of uses.

    Everything here blocks, can be called from any thread, and raises `DataDirUnusable` or `DiskFull` if the disk fails.
    """

    def __init__(self, folder: Path, quota: int, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.folder = folder
        self.quota = quota
        self._now_ns = now_ns
        self._files = BlockFiles(folder)
        self._pin_folder = folder / "pins"
        make_private_folder(self._pin_folder)
        self._lock = threading.RLock()
        self._links: dict[str, tuple[Cid, ...]] = {}
        self._links_held = 0
        self._adding: set[Adding] = set()
        self._candidates = Candidates()
        self.listeners: list[
            Callable[[Cid], None]
        ] = []  # hear in its thread of each block that goes; they must be quick
        self._usage = sum(size for _, size, _ in self._files.scan())
        self._pins = set(self._read_pins())

    # --- blocks ----------------------------------------------------------------------------------------------------------

    def get(self, cid: Cid) -> bytes | None:
        """The block, or None if it is not here. A damaged one is set aside, which is logged, and not here any more."""
        found = self._files.read(str(cid))
        if found is None:
            return None
        block, used_ns = found
        if not cid.names(block):
            return self._set_aside(cid)
        now_ns = self._now_ns()
        if not 0 <= now_ns - used_ns < USED_AFTER_NS:
            self._files.touch(str(cid), now_ns)
        return block

    def has(self, cid: Cid) -> bool:
        """Is there such a block? It is not read for that."""
        return self._files.has(str(cid))

    def names(self) -> set[str]:
        """The texts of the CIDs of all that is here, at less cost than asking for each."""
        return self._files.names()

    def size(self, cid: Cid) -> int | None:
        """Of the block, in bytes, or None if it is not here."""
        found = self._files.look(str(cid))
        return None if found is None else found[0]

    def put(self, cid: Cid, block: bytes) -> bool:
        """Keep a block, and say whether it is new. It is durable once something that reaches it is pinned.

        Raises `BlockRefused` if it is too large, not the block of that name, or its links can't be read, and `StoreFull`; then
        nothing has changed.
        """
        if len(block) > MAX_BLOCK:
            raise BlockRefused(f"{len(block):,} bytes are more than the {MAX_BLOCK:,} of a block")
        if not cid.names(block):
            raise BlockRefused(f"the bytes that were given for block {cid} are not that block")
        links = links_of(cid, block)
        with self._lock:
            if self.get(cid) is not None:
                return False
            name = str(cid)
            self._make_room(cost(len(block)))
            self._files.write(name, block, self._now_ns())
            self._usage += cost(len(block))
            self._candidates.put(name)
            if any(map(self.has, links)):  # which may be reached from a pin now
                self._candidates.forget()
            self._hold_links(cid, links)
        return True

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Keep all of them, or, if one is refused or there is no room, none. Raises as `put`."""
        with self.adding() as adding:
            for cid, block in blocks:
                adding.put(cid, block)

    @contextmanager
    def adding(self) -> Iterator[Adding]:
        """Put blocks that belong together: none of them is collected meanwhile, and those that are new are dropped if it fails.

        What is to stay must be pinned before the end.
        """
        adding = Adding(self)
        with self._lock:
            self._adding.add(adding)
        try:
            yield adding
        except BaseException:
            with self._lock:
                self._end(adding)
                for name in set(adding.new) - self._kept():
                    self._drop(name)
            raise
        with self._lock:
            self._end(adding)

    def _end(self, adding: Adding) -> None:
        self._adding.discard(adding)
        self._candidates.forget()

    @property
    def usage(self) -> int:
        """What the blocks take of the quota, in bytes."""
        return self._usage

    # --- what is below a block -------------------------------------------------------------------------------------------

    def links(self, cid: Cid) -> tuple[Cid, ...]:
        """The links of a block; none if it is not here."""
        held = () if cid.codec == RAW else self._links.get(str(cid))
        if held is not None:
            return held
        block = self.get(cid)
        if block is None:
            return ()
        try:
            links = links_of(cid, block)
        except BlockRefused:  # kept by a version that read more
            return ()
        with self._lock:
            self._hold_links(cid, links)
        return links

    def reachable(self, roots: Iterable[Cid]) -> Iterable[Cid]:
        """Of the roots and all that they reach, what is here, each once. Takes memory for what is here, whatever it links to."""
        found = dict.fromkeys(root for root in roots if self.has(root))
        to_visit = list(found)
        while to_visit:
            for link in self.links(to_visit.pop()):
                if link not in found and self.has(link):
                    found[link] = None
                    to_visit.append(link)
        return found

    def missing(self, root: Cid, most: int = MAX_MISSING) -> list[Cid]:
        """Of the root and all that it reaches, what is not here, at most ``most``: what to fetch next."""
        if not self.has(root):
            return [root]
        absent: dict[Cid, None] = {}
        for cid in self.reachable([root]):
            absent |= dict.fromkeys(link for link in self.links(cid) if not self.has(link))
            if len(absent) >= most:
                break
        return list(absent)[:most]

    # --- pins ------------------------------------------------------------------------------------------------------------

    def pin(self, cid: Cid) -> None:
        """Keep the block and all that it reaches, until `unpin`. Durable when it returns: the pin, and the blocks that are here.

        They are all read for that, as what an earlier process wrote may be damaged since the power failed. Blocks may come later,
        and none is collected; pin again when `missing` has none to make them durable, too.
        """
        self.pin_many([cid])

    def pin_many(self, cids: Iterable[Cid]) -> None:
        """Pin all of them, and wait for the disk once, not for each. Durable when it returns, as of `pin`.

        If there is no room for one of the pins, none is added. Where the disk fails later, or the process is killed, any of them
        may be pinned: it is for whoever pins to say once more which ones are to be.
        """
        wanted = set(cids)
        if not wanted:
            return
        try:
            with self._lock:
                self._add_pins(wanted - self._pins)
            sync_folder(self._pin_folder)
        except OSError as error:
            raise unusable(self._pin_folder, "written", error) from error
        self._files.sync(str(found) for found in self.reachable(wanted) if self.get(found) is not None)

    def _add_pins(self, new: Iterable[Cid]) -> None:
        added = list[Path]()
        try:
            for path in (self._pin_folder / str(cid) for cid in new):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE))
                added.append(path)
        except OSError:
            for path in added:
                path.unlink(missing_ok=True)
            raise
        self._pins.update(new)
        self._candidates.forget()

    def unpin(self, cid: Cid) -> None:
        """Let go of what was pinned; no matter if it was not. Blocks go when their room is needed."""
        self.unpin_many([cid])

    def unpin_many(self, cids: Iterable[Cid]) -> None:
        """Let go of all of them, and wait for the disk once. If the disk fails, any of them may still be pinned."""
        gone = set(cids)
        if not gone:
            return
        try:
            with self._lock:
                for cid in gone:
                    (self._pin_folder / str(cid)).unlink(missing_ok=True)
                    self._pins.discard(cid)
                self._candidates.forget()
            sync_folder(self._pin_folder)
        except OSError as error:
            raise unusable(self._pin_folder, "written", error) from error

    def pins(self) -> set[Cid]:
        """What is pinned, be it here or not."""
        with self._lock:
            return set(self._pins)

    # --- room ------------------------------------------------------------------------------------------------------------

    def collect(self) -> int:
        """Drop blocks that no pin reaches, the least recently used first, until the store is within its quota.

        Returns the bytes that this freed.
        """
        with self._lock:
            before = self._usage
            if before > self.quota:
                self._free(before - self.quota, whole=False)
            return before - self._usage

    def _make_room(self, size: int) -> None:
        over = self._usage + size - self.quota
        if over > 0 and (size > self.quota or not self._free(over)):
            raise StoreFull(
                f"there is no room for {size:,} bytes more: too much of the {self.quota:,} bytes of the store is pinned;"
                " unpin something, or give it more"
            )

    def _free(self, over: int, *, whole: bool = True) -> bool:
        """Drop blocks that take ``over`` bytes or more; if there are not as many, none of them if ``whole``."""
        if not self._candidates.known:
            self._list_candidates()
        chosen, enough = self._candidates.choose(over, self._used)
        if not enough and self._candidates.has_more:
            self._list_candidates()
            chosen, enough = self._candidates.choose(over, self._used)
        if whole and not enough:
            self._candidates.give_back(chosen)
        else:
            for _, name, _ in chosen:
                self._drop(name)
        return enough

    def _list_candidates(self) -> None:
        kept = self._kept()
        self._candidates.renew(found for found in self._files.scan() if found[2] not in kept)

    def _kept(self) -> set[str]:
        """The names of what must not go."""
        kept = set(map(str, self.reachable(self._pins)))
        return kept.union(*(adding.names for adding in self._adding))

    def _used(self, name: str) -> int | None:
        found = self._files.look(name)
        return None if found is None else found[1]

    def _drop(self, name: str, *, damaged: bool = False) -> None:
        self._usage -= self._files.remove(name, damaged=damaged)
        links = self._links.pop(name, None)
        if links is not None:
            self._links_held -= 1 + len(links)
        with suppress(CidRefused):  # a file that somebody put there
            for listener in self.listeners:
                listener(Cid.parse(name))

    # --- the rest --------------------------------------------------------------------------------------------------------

    def _read_pins(self) -> Iterator[Cid]:
        try:
            names = os.listdir(self._pin_folder)
        except OSError as error:
            raise unusable(self._pin_folder, "read", error) from error
        for name in names:
            try:
                yield Cid.parse(name)
            except CidRefused:
                _log.warning("%s is no pin, and left alone", self._pin_folder / name)

    def _set_aside(self, cid: Cid) -> bytes | None:
        """Look once more, and then put the file where it is out of the way."""
        with self._lock:
            found = self._files.read(str(cid))
            if found is None or cid.names(found[0]):  # another thread was here
                return None if found is None else found[0]
            self._drop(str(cid), damaged=True)
        _log.warning("block %s was damaged on the disk, and is fetched again when it is needed", cid)
        return None

    def _hold_links(self, cid: Cid, links: tuple[Cid, ...]) -> None:
        if self._links_held + len(links) >= MAX_LINKS_HELD:
            self._links.clear()
            self._links_held = 0
        if cid.codec != RAW and str(cid) not in self._links:
            self._links[str(cid)] = links
            self._links_held += 1 + len(links)


class Adding:
    """Blocks that are put together; see `Blockstore.adding`."""

    def __init__(self, store: Blockstore) -> None:
        self._store = store
        self.names: set[str] = set()
        self.new: list[str] = []

    def expect(self, sizes: Mapping[Cid, int]) -> None:
        """Keep those of these blocks that are here, and make room for the others, of these sizes in bytes, all at once.

        Raises `StoreFull`; then nothing has gone.
        """
        with self._store._lock:
            self.names.update(map(str, sizes))
            self._store._candidates.forget()
            self._store._make_room(sum(cost(size) for cid, size in sizes.items() if not self._store.has(cid)))

    def put(self, cid: Cid, block: bytes) -> bool:
        """As `Blockstore.put`."""
        with self._store._lock:
            self.names.add(str(cid))
            new = self._store.put(cid, block)
        if new:
            self.new.append(str(cid))
        return new
