"""What a person keeps: mesh, index, pins and blocks in step, and nothing shown to strangers that is not known to be public."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode import creator
from mycelnode.crdt import operations as ops
from mycelnode.errors import CreatorBlocked, DiskFull
from mycelnode.identity import KeyPair
from mycelnode.joining import init_mesh
from mycelnode.keeping import choices
from mycelnode.keeping.choices import BLOCKED, KEPT, PUBLISHED, USES
from mycelnode.keeping.keeper import SWARM, Keeper
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir
from mycelnode.patterns import library
from mycelnode.patterns.blockfiles import DISK_UNIT
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import DAG_CBOR, RAW, Cid
from mycelnode.patterns.files import Draft
from mycelnode.patterns.folders import write_folder
from mycelnode.patterns.manifest import Manifest
from tests.node.nodes import SkewedClock, folder
from tests.node.patterns import blocks_of, draft, shown
from tests.node.test_creator import PLAIN

QUOTA = 1 << 30
FILES = {"references/notes.md": b"what I noticed", "scripts/large.bin": bytes(range(256)) * 4096}


@asynccontextmanager
async def keeping_in(data: DataDir, quota: int = QUOTA) -> AsyncIterator[Keeper]:
    """A keeper without a network, opened as a node opens it."""
    async with open_mesh(data, clock=SkewedClock()) as mesh:
        keeper = Keeper(mesh, Blockstore(data.blocks, quota))
        await keeper.settle()
        await keeper.load_catalogue()
        yield keeper


async def begun(tmp_path: Path) -> DataDir:
    data = folder(tmp_path, "laptop")
    await init_mesh(data, "laptop", clock=SkewedClock())
    return data


def somebody(title: str = "of somebody", seed: bytes = b"s" * 32, files: Cid | None = None) -> Manifest:
    """A pattern that a stranger signed."""
    key = KeyPair(seed)
    return Manifest.sign(replace(PLAIN, creator=key.public, title=title, files=files), key.sign)


def in_step(keeper: Keeper) -> None:
    """What the mesh keeps is pinned and in the index; nothing else is."""
    kept = set(keeper.kept())
    assert keeper.store.pins() == kept
    assert keeper.mesh.database.look(library.kept).keys() == kept
    for cid in kept:
        assert keeper.store.missing(cid) == []


# --- what strangers may have ---------------------------------------------------------------------------------------------------


async def test_what_was_made_and_not_published_is_shown_to_nobody_whatever_becomes_of_it(tmp_path: Path) -> None:
    data, drafted = await begun(tmp_path), draft(tmp_path, files=FILES)
    async with keeping_in(data) as keeper:
        made = await keeper.make(drafted, public=False)
        blocks = blocks_of(keeper, made.cid)
        assert len(blocks) > len(FILES)
        assert shown(keeper, blocks) == set()
    async with keeping_in(data) as keeper:
        assert shown(keeper, blocks) == set()
        await keeper.forget(made.cid)
        assert keeper.store.has(made.cid)  # until its room is needed
        assert shown(keeper, blocks) == set()
        in_step(keeper)
    async with keeping_in(data) as keeper:
        assert shown(keeper, blocks) == set()
        again = await keeper.make(drafted, public=True)
        blocks = blocks_of(keeper, again.cid)
        assert shown(keeper, blocks) == blocks
    async with keeping_in(data) as keeper:
        assert shown(keeper, blocks) == blocks
        in_step(keeper)


async def test_files_shared_with_something_public_are_shown_and_the_rest_is_not(tmp_path: Path) -> None:
    data = await begun(tmp_path)
    private, public = draft(tmp_path, "own", files=FILES), draft(tmp_path, "told", files=dict(list(FILES.items())[:1]))
    async with keeping_in(data) as keeper:
        hidden = blocks_of(keeper, (await keeper.make(private, public=False)).cid)
        told = await keeper.make(public, public=True)
        open_ = blocks_of(keeper, told.cid)
        assert hidden & open_
        assert shown(keeper, hidden | open_) == open_
        await keeper.forget(told.cid)
        assert shown(keeper, hidden | open_) == set()


async def test_what_another_device_made_is_not_shown_before_all_of_it_has_come(tmp_path: Path) -> None:
    """The manifest is here, its files are not, so it is not in the index yet, which says whose it is."""
    data = await begun(tmp_path)
    async with keeping_in(data) as keeper:
        made = await keeper.make(draft(tmp_path, files=FILES), public=False)
        await keeper.forget(made.cid)
        root = made.pattern.files
        assert root is not None
        path = next(data.blocks.rglob(str(root)))
        path.unlink()
        await keeper.mesh.write([keeper.mesh.replica.document.add(KEPT, str(made.cid))])
        assert await keeper.settle() == [made.cid]
        assert shown(keeper, [made.cid]) == set()


async def test_what_is_ours_stays_ours_when_the_word_of_the_device_that_made_the_key_counts_no_more(
    tmp_path: Path,
) -> None:
    data = await begun(tmp_path)
    async with keeping_in(data) as keeper:
        made = await keeper.make(draft(tmp_path, files=FILES), public=False)
        document = keeper.mesh.replica.document
        await keeper.mesh.write([ops.map_remove(creator.CREATORS, key) for key in document.map(creator.CREATORS)])
        assert creator.ours(keeper.mesh) == set()
        await keeper.settle()
        assert shown(keeper, blocks_of(keeper, made.cid)) == set()
        await keeper.forget(made.cid)
        assert keeper.mesh.database.look(partial(library.get, cid=made.cid)) is None
    async with keeping_in(data) as keeper:
        assert shown(keeper, [made.cid]) == set()


async def test_what_is_not_known_to_be_public_is_shown_once_the_swarm_has_it(tmp_path: Path) -> None:
    given = somebody()
    async with keeping_in(await begun(tmp_path)) as keeper:
        keeper.store.put(given.cid, given.block)
        await keeper.mesh.write([keeper.mesh.replica.document.add(KEPT, str(given.cid))])
        assert await keeper.settle() == []
        assert shown(keeper, [given.cid]) == set()
        await keeper.see(given, SWARM)
        await keeper.settle()
        assert shown(keeper, [given.cid]) == {given.cid}


async def test_blocks_that_an_earlier_mesh_left_are_shown_to_nobody(tmp_path: Path) -> None:
    data, block = await begun(tmp_path), b"a file of somebody who had this folder before"
    Blockstore(data.blocks, QUOTA).put(Cid.of(RAW, block), block)
    async with keeping_in(data) as keeper:
        assert shown(keeper, [Cid.of(RAW, block)]) == set()


# --- in step -------------------------------------------------------------------------------------------------------------------

NONSENSE = [b"bytes", 7, None, True, 1.5, "", "no CID", "b" * 59, ["a", {"b": b"c"}], {"a": 1}, "bafyrei" + "1" * 52]


async def test_a_member_can_put_anything_into_the_sets(tmp_path: Path) -> None:
    data = await begun(tmp_path)
    async with keeping_in(data) as keeper:
        made = await keeper.make(draft(tmp_path), public=True)
        add = keeper.mesh.replica.document.add
        file = Cid.of(RAW, b"no pattern")
        values: list[Any] = [*NONSENSE, str(file), f" ipfs://{made.cid} ", str(made.cid).upper()]
        for name in (KEPT, PUBLISHED, BLOCKED, f"{USES}{made.cid}/"):
            await keeper.mesh.write([add(name, value) for value in values])
        await keeper.mesh.write([ops.map_put(creator.CREATORS, str(value), value) for value in NONSENSE])
        assert await keeper.settle() == []
        assert keeper.kept() == keeper.published() == [made.cid]
        assert keeper.blocked() == set()
        in_step(keeper)
        await keeper.forget(made.cid)
        assert keeper.kept() == []
    async with keeping_in(data) as keeper:
        in_step(keeper)


async def test_a_flood_of_each_are_little_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "MAX_KEPT", 500)
    count = 20_000
    async with keeping_in(await begun(tmp_path)) as keeper:
        made = await keeper.make(draft(tmp_path), public=True)
        add = keeper.mesh.replica.document.add
        for start in range(0, count, 1000):
            cids = [Cid.of(DAG_CBOR, b"%d" % number) for number in range(start, start + 1000)]
            await keeper.mesh.write([add(KEPT, str(cid)) for cid in cids])
            await keeper.mesh.write([add(BLOCKED, cid.digest.hex()) for cid in cids])
        written, most, longest = 0, 20, 0.0
        write = keeper.mesh.database.write

        async def counted(work: Any) -> Any:
            nonlocal written
            written += 1
            return await write(work)

        monkeypatch.setattr(keeper.mesh.database, "write", counted)

        async def tick() -> None:
            nonlocal longest
            while True:
                before = trio.current_time()
                await trio.sleep(0.01)
                longest = max(longest, trio.current_time() - before)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            wanted = await keeper.settle()
            await keeper.settle()
            nursery.cancel_scope.cancel()
        assert len(wanted) <= choices.MAX_KEPT
        assert written < most
        assert longest < 2.0  # on a loaded machine; 0.1 s on an idle one
        assert await keeper.is_whole(made.cid)  # a flood pushes out nothing that is here
        assert made.cid in keeper.store.pins()
        assert shown(keeper, [made.cid]) == {made.cid}


def listed(keeper: Keeper) -> set[Cid]:
    """What a search could find."""
    return {entry.cid for entry in keeper.mesh.database.look(partial(library.listing, limit=library.MAX_PAGE))}


async def test_what_was_seen_and_had_to_make_room_is_found_no_more_and_told_to_nobody(tmp_path: Path) -> None:
    kept, *seen = (somebody(f"number {number}") for number in range(8))
    data = await begun(tmp_path)
    async with keeping_in(data, quota=4 * DISK_UNIT) as keeper:
        await keeper.see(kept, SWARM)
        await keeper.keep(kept, SWARM)
        dropped = [cid for manifest in seen for cid in (await keeper.see(manifest, SWARM)).dropped]
        here = {manifest.cid for manifest in (kept, *seen) if keeper.store.has(manifest.cid)}
        assert kept.cid in here
        assert len(here) == 4
        assert set(dropped) == {manifest.cid for manifest in seen} - here, (
            "whoever looks for more knows not to fetch them"
        )
        assert listed(keeper) == here
        assert shown(keeper, (manifest.cid for manifest in (kept, *seen))) == here
        # a file takes the room of all that was only seen
        large = bytes(3 * DISK_UNIT)
        keeper.store.put(Cid.of(RAW, large), large)
        await keeper.settle()
        assert listed(keeper) == shown(keeper, here) == {kept.cid}
        assert library.counts(keeper.mesh.database.read).seen == 0


async def test_what_was_seen_and_went_by_hand_or_in_a_crash_is_found_no_more_after_the_next_start(
    tmp_path: Path,
) -> None:
    data, seen = await begun(tmp_path), [somebody(f"number {number}") for number in range(3)]
    async with keeping_in(data) as keeper:
        for manifest in seen:
            await keeper.see(manifest, SWARM)
        next(data.blocks.rglob(str(seen[0].cid))).unlink()
    async with keeping_in(data) as keeper:
        assert listed(keeper) == {seen[1].cid, seen[2].cid}
        assert shown(keeper, (manifest.cid for manifest in seen)) == {seen[1].cid, seen[2].cid}
        path = next(data.blocks.rglob(str(seen[1].cid)))
        path.write_bytes(bytes(path.stat().st_size))
        assert not await keeper.is_whole(seen[1].cid), "that it is damaged shows now"
        await keeper.settle()
        assert listed(keeper) == shown(keeper, (manifest.cid for manifest in seen)) == {seen[2].cid}


async def said_to_be_kept(keeper: Keeper, count: int) -> list[Manifest]:
    """By another device: their blocks are here, each with a file, and nothing is pinned."""
    store, found = keeper.store, list[Manifest]()
    for number in range(count):
        files = write_folder({"notes.md": b"%d" % number}, store.put).cid
        found.append(somebody(f"number {number}", files=files))
        store.put(found[-1].cid, found[-1].block)
    add = keeper.mesh.replica.document.add
    await keeper.mesh.write([add(KEPT, str(manifest.cid)) for manifest in found])
    return found


async def test_the_first_settle_waits_for_the_disk_once_for_each_block_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping_in(await begun(tmp_path)) as keeper:
        await said_to_be_kept(keeper, 30)
        blocks = [path for path in (keeper.store.folder / "blocks").rglob("b*") if path.is_file()]
        synced, fsync = list[int](), os.fsync

        def counted(handle: int) -> None:
            synced.append(os.fstat(handle).st_ino)
            fsync(handle)

        monkeypatch.setattr(os, "fsync", counted)
        assert await keeper.settle() == []
        in_step(keeper)
        store = keeper.store.folder
        expected = {*blocks, *(path.parent for path in blocks), store / "blocks", store / "pins"}
        counts = Counter(synced)
        assert {path: counts[path.stat().st_ino] for path in expected} == dict.fromkeys(expected, 1)


async def test_what_the_power_took_is_missing_and_not_in_the_index(tmp_path: Path) -> None:
    async with keeping_in(await begun(tmp_path)) as keeper:
        whole, torn = await said_to_be_kept(keeper, 2)
        root = torn.pattern.files
        assert root is not None
        (file,) = keeper.store.links(root)
        next(keeper.store.folder.rglob(str(file))).write_bytes(b"")  # looks as if it were there, until it is read
        assert await keeper.settle() == [torn.cid]
        assert keeper.mesh.database.look(library.kept).keys() == {whole.cid}
        assert keeper.store.pins() == {whole.cid, torn.cid}


async def test_who_is_blocked_goes_and_comes_no_more_until_that_is_taken_back(tmp_path: Path) -> None:
    seen = somebody()
    async with keeping_in(await begun(tmp_path)) as keeper:
        await keeper.see(seen, SWARM)
        assert shown(keeper, [seen.cid]) == {seen.cid}
        for _ in range(2):
            await keeper.block(seen.pattern.creator)
            assert keeper.mesh.database.look(partial(library.get, cid=seen.cid)) is None
            assert shown(keeper, [seen.cid]) == set()
            with pytest.raises(CreatorBlocked):
                await keeper.see(seen, SWARM)
            await keeper.block(seen.pattern.creator, undo=True)
            await keeper.see(seen, SWARM)


async def test_what_is_kept_of_somebody_who_is_blocked_afterwards_stays_until_it_is_forgotten(tmp_path: Path) -> None:
    data, mine, other = await begun(tmp_path), somebody("kept"), somebody("only seen")
    async with keeping_in(data) as keeper:
        for manifest in (mine, other):
            await keeper.see(manifest, SWARM)
        await keeper.keep(mine, SWARM)
        await keeper.block(mine.pattern.creator)
        await keeper.keep(mine, "library")  # as each use does
        await keeper.used(mine.cid)
        assert await trio.to_thread.run_sync(keeper.load_whole, mine.cid) == mine
        with pytest.raises(CreatorBlocked):
            await keeper.keep(other, "library")
    async with keeping_in(data) as keeper:
        assert keeper.kept() == [mine.cid]
        in_step(keeper)
        removal = keeper.mesh.replica.document.remove(KEPT, str(mine.cid))  # by another device
        assert removal is not None
        await keeper.mesh.write([removal])
        await keeper.settle()
        assert keeper.mesh.database.look(partial(library.get, cid=mine.cid)) is None, "it is not one of those seen"
        with pytest.raises(CreatorBlocked):
            await keeper.keep(mine, "library")


async def test_the_same_draft_made_twice_at_once_is_one_pattern(tmp_path: Path) -> None:
    drafted = draft(tmp_path, files=FILES)
    async with keeping_in(await begun(tmp_path)) as keeper:
        made = list[Manifest]()

        async def make() -> None:
            made.append(await keeper.make(drafted, public=True))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(make)
        assert len({one.cid for one in made}) == 1
        in_step(keeper)


async def test_a_draft_that_was_made_thousands_of_patterns_ago_is_still_the_same_pattern(tmp_path: Path) -> None:
    plain, skill = draft(tmp_path, "first"), draft(tmp_path, "second", files=FILES)
    async with keeping_in(await begun(tmp_path)) as keeper:
        made = [await keeper.make(one, public=False) for one in (plain, skill)]
        linked = Draft.read({**plain.said, "files": made[1].pattern.files})  # as a JSON file can say it
        made.append(await keeper.make(linked, public=False))
        key = await creator.obtain(keeper.mesh)
        others = [
            Manifest.sign(replace(made[0].pattern, title=f"number {number}"), key.sign)
            for number in range(library.MAX_PAGE + 1)
        ]

        def add(connection: sqlite3.Connection) -> None:
            for one in others:
                library.add(connection, one, source="own", now=0, kept=True)

        await keeper.mesh.database.write(add)
        assert [await keeper.make(one, public=True) for one in (plain, skill, linked)] == made
        assert set(keeper.kept()) == {one.cid for one in made}


async def test_settling_while_something_is_made_lets_go_of_nothing(tmp_path: Path) -> None:
    drafts = [draft(tmp_path, f"number-{number}", files=FILES) for number in range(8)]
    async with keeping_in(await begun(tmp_path)) as keeper:
        made = list[Manifest]()

        async def settle() -> None:
            while True:
                await keeper.settle()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(settle)
            for one in drafts:
                made.append(await keeper.make(one, public=True))
            nursery.cancel_scope.cancel()
        assert set(keeper.kept()) == {one.cid for one in made}
        in_step(keeper)
        assert shown(keeper, (one.cid for one in made)) == {one.cid for one in made}


@pytest.mark.parametrize("public", [True, False])
async def test_making_that_is_cancelled_anywhere_leaves_nothing_half(tmp_path: Path, public: bool) -> None:
    data, drafted = await begun(tmp_path), draft(tmp_path, files=FILES)
    async with keeping_in(data) as keeper:
        await creator.obtain(keeper.mesh)
        for seconds in (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05):
            with trio.move_on_after(seconds):
                await keeper.make(drafted, public=public)
            await keeper.mesh.recheck()  # after what was under way
            await keeper.settle()
            in_step(keeper)
            assert len(keeper.kept()) <= 1
        made = await keeper.make(drafted, public=public)
        assert keeper.kept() == [made.cid]
        assert keeper.is_published(made.cid) is public
        assert bool(shown(keeper, blocks_of(keeper, made.cid))) is public


async def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drafted = draft(tmp_path, files=FILES)
    async with keeping_in(await begun(tmp_path)) as keeper:
        await creator.obtain(keeper.mesh)
        for method in ("put", "pin"):

            def full(*arguments: object) -> None:
                raise DiskFull("the disk is full")

            with monkeypatch.context() as patched:
                patched.setattr(Blockstore, method, full)
                with pytest.raises(DiskFull):
                    await keeper.make(drafted, public=True)
            assert keeper.kept() == keeper.published() == []
            assert keeper.store.usage == 0
            in_step(keeper)


KILLED = """
import os, signal, sys
from pathlib import Path
import trio
from mycelnode.paths import DataDir
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.blockfiles import BlockFiles
from mycelnode.database import Database
from mycelnode.patterns.files import read_file
from tests.node.test_keeping import keeping_in

left = int(sys.argv[3])

def dying(owner, name):
    real = getattr(owner, name)
    def call(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    setattr(owner, name, call)

async def main():
    async with keeping_in(DataDir(sys.argv[1])) as keeper:
        for owner, name in ((BlockFiles, "write"), (BlockFiles, "sync"), (Blockstore, "pin_many"),
                            (Blockstore, "unpin_many"),
                            (Database, "write")):
            dying(owner, name)
        made = await keeper.make(read_file(Path(sys.argv[2])), public=False)
        await keeper.make(read_file(Path(sys.argv[2])), public=True)
        await keeper.forget(made.cid)

trio.run(main)
"""


async def test_killed_at_any_moment_a_restart_finds_all_in_step(tmp_path: Path) -> None:
    drafted = draft(tmp_path, files=FILES)
    assert drafted
    ended = False
    for moment in range(1, 90, 3):
        data = await begun(tmp_path / str(moment))
        done = await trio.to_thread.run_sync(
            partial(
                subprocess.run,
                [sys.executable, "-c", KILLED, str(data.path), str(tmp_path / "look"), str(moment)],
                capture_output=True,
            )
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
        async with keeping_in(data) as keeper:
            in_step(keeper)
            everything = [Cid.parse(path.name) for path in data.blocks.rglob("b*") if len(path.name) == 59]
            public = {block for cid in keeper.published() if keeper.is_kept(cid) for block in blocks_of(keeper, cid)}
            assert shown(keeper, everything) == public
        if done.returncode == 0:
            ended = True
            break
    assert ended
    assert moment > 8  # it was killed on the way
