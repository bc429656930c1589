"""What a backup brings back of patterns: all that nobody else has, with its files, and nothing of it if anything fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio
from nacl.pwhash import argon2id

from mycelnode import backup, backup_blocks
from mycelnode.backup import create, restore
from mycelnode.backup_file import Opener
from mycelnode.errors import BackupError, DataDirUnusable
from mycelnode.joining import init_mesh
from mycelnode.keeping.keeper import SWARM
from mycelnode.paths import DataDir
from mycelnode.patterns import library
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.folders import write_folder
from mycelnode.recovering import recover_mesh
from mycelnode.schema import open_reader
from tests.node.nodes import SkewedClock, ask, folder, running
from tests.node.patterns import blocks_of, draft, shown
from tests.node.test_keeping import begun, in_step, keeping_in, somebody

PASSPHRASE = "correct horse"
CHEAP = (argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)  # none of the keys here guards anything
FILES = {"references/notes.md": b"what I noticed", "scripts/large.bin": os.urandom(3 << 20), "scripts/empty.txt": b""}


def backed_up(data: DataDir, path: Path) -> backup.Backup:
    return create(data, PASSPHRASE, path, clock=SkewedClock(), strength=CHEAP)


def cids_in(path: Path) -> set[Cid]:
    """The blocks of a backup."""
    return {Cid.from_bytes(record[1]) for record in Opener(path, PASSPHRASE).records() if record[0] == "block"}


def holding(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_private_skill_of_the_only_device_is_used_after_a_restore(tmp_path: Path) -> None:
    data = folder(tmp_path, "laptop")
    phrase = str((await init_mesh(data, "laptop", clock=SkewedClock())).phrase)
    drafted = draft(tmp_path, files=FILES)
    async with keeping_in(data) as keeper:
        made = await keeper.make(drafted, public=False)
        blocks = blocks_of(keeper, made.cid)
        saved = backed_up(data, tmp_path / "x.backup")  # beside whoever has the store open
        assert saved.left_out == ()
    assert FILES["scripts/large.bin"][:1000] not in saved.file.read_bytes(), "it is sealed"
    data.path.rename(tmp_path / "lost")
    new = folder(tmp_path, "new")
    assert restore(new, saved.file, PASSPHRASE, clock=SkewedClock()).patterns == 1
    await recover_mesh(new, phrase, clock=SkewedClock(), revoke=["laptop"])
    async with running(new) as node:
        told = await ask(node, "pattern.show", cid=str(made.cid))
        assert {file["path"]: file["size"] for file in told["files"]} == {
            path: len(data) for path, data in FILES.items()
        }
        used = await ask(node, "pattern.use", cid=str(made.cid), variables={"thing": "it"})
        assert "Look at it" in used["output"]
        keeper = node.collective.keeper
        assert keeper is not None
        assert await keeper.files(made) == FILES
        in_step(keeper)
        assert shown(keeper, blocks) == set(), "it is as private as it was"
        (entry,) = (await ask(node, "pattern.list"))["patterns"]
        assert (entry["mine"], entry["published"], entry["source"]) == (True, False, "own")
        again = await keeper.make(drafted, public=False)
        assert again.pattern.creator != made.pattern.creator, "a device that had the key was put out"


async def test_it_has_what_nobody_else_may_have_and_not_what_came_from_the_swarm(tmp_path: Path) -> None:
    data = await begun(tmp_path)
    async with keeping_in(data) as keeper:
        private = await keeper.make(draft(tmp_path, "private", files=FILES), public=False)
        public = await keeper.make(draft(tmp_path, "public", files=FILES), public=True)
        given, known, seen = somebody("a CAR had it"), somebody("the swarm had it"), somebody("only seen")
        forgotten = await keeper.make(draft(tmp_path, "forgotten"), public=False)
        await keeper.forget(forgotten.cid)
        keeper.store.put(given.cid, given.block)
        await keeper.keep(given, "car")
        for manifest in (known, seen):
            await keeper.see(manifest, SWARM)
        await keeper.keep(known, SWARM)
        ours = blocks_of(keeper, private.cid) | blocks_of(keeper, public.cid)
    saved = backed_up(data, tmp_path / "x.backup")
    assert cids_in(saved.file) == ours | {given.cid}
    assert saved.size < sum(map(len, FILES.values())) * 1.1, "what two patterns share is in it once"
    new = DataDir(tmp_path / "new")
    assert restore(new, saved.file, PASSPHRASE, clock=SkewedClock()).patterns == 3
    async with keeping_in(new) as keeper:
        assert await keeper.settle() == [known.cid], "it is fetched again"
        assert set(keeper.mesh.database.look(library.kept)) == {private.cid, public.cid, given.cid}
        assert shown(keeper, ours) == blocks_of(keeper, public.cid)


async def test_what_is_damaged_or_larger_than_a_pattern_may_be_is_left_out_and_named(tmp_path: Path) -> None:
    data = await begun(tmp_path)
    async with keeping_in(data) as keeper:
        whole = await keeper.make(draft(tmp_path, "whole"), public=False)
        torn = await keeper.make(draft(tmp_path, "torn", files={"a.txt": b"first"}), public=False)
        gone = await keeper.make(draft(tmp_path, "gone", files={"a.txt": b"second"}), public=False)
        huge = somebody(
            "huge", files=write_folder({f"{n}": os.urandom(9 << 20) for n in range(5)}, keeper.store.put).cid
        )
        keeper.store.put(huge.cid, huge.block)
        await keeper.mesh.write([keeper.mesh.replica.document.add("mycel.patterns", str(huge.cid))])
        assert await keeper.settle() == []
        for manifest, spoil in ((torn, lambda path: path.write_bytes(b"x")), (gone, Path.unlink)):
            root = manifest.pattern.files
            assert root is not None
            spoil(next(data.blocks.rglob(str(keeper.store.links(root)[0]))))
    saved = backed_up(data, tmp_path / "x.backup")
    assert set(saved.left_out) == {torn.cid, gone.cid, huge.cid}
    assert cids_in(saved.file) == {whole.cid}


async def test_a_database_from_before_patterns_is_backed_up(tmp_path: Path) -> None:
    data = await begun(tmp_path)
    with closing(open_reader(data.database)) as connection:

        class Old:
            def execute(self, asked: str) -> sqlite3.Cursor:
                assert asked == "PRAGMA user_version", "there is no table of patterns"
                return connection.execute("SELECT 4")

        assert list(backup_blocks.records(Old(), data.blocks, lambda cid: None)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["database", "blocks"])
async def test_a_restore_that_fails_leaves_no_block_behind_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    data = await begun(tmp_path)
    async with keeping_in(data) as keeper:
        await keeper.make(draft(tmp_path, files=FILES), public=False)
    saved = backed_up(data, tmp_path / "x.backup")
    empty, used = DataDir(tmp_path / "empty"), DataDir(tmp_path / "used")
    old = somebody("of an earlier mesh")
    store = Blockstore(used.blocks, 1 << 20)
    store.put(old.cid, old.block)
    store.pin(old.cid)
    before = holding(used.blocks)

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        if place == "database":
            patched.setattr(Path, "rename", fail)
        else:
            patched.setattr(backup_blocks, "LEAST_ROOM", 0)
            patched.setattr(backup_blocks, "ROOM_OF_SIZE", 0)
        for target in (empty, used):
            with pytest.raises(DataDirUnusable if place == "database" else BackupError, match=r"error|do not fit"):
                restore(target, saved.file, PASSPHRASE, clock=SkewedClock())
            assert not target.database.exists()
    assert not empty.blocks.exists()
    assert holding(used.blocks) == before
    for target in (empty, used):
        assert restore(target, saved.file, PASSPHRASE, clock=SkewedClock()).patterns == 1
    async with keeping_in(used) as keeper:
        in_step(keeper)


KILLED = """
import os, signal, sys
from functools import partial
from pathlib import Path
from mycelnode.backup import restore
from mycelnode.patterns.blockfiles import BlockFiles
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.paths import DataDir
from tests.node.nodes import SkewedClock

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

for owner, name in ((BlockFiles, "write"), (BlockFiles, "sync"), (Blockstore, "pin_many"), (Path, "rename")):
    dying(owner, name)
restore(DataDir(sys.argv[1]), Path(sys.argv[2]), "correct horse", clock=SkewedClock())
"""


@pytest.mark.timeout(180)
async def test_a_restore_that_is_killed_at_any_moment_is_done_again(tmp_path: Path) -> None:
    data = await begun(tmp_path)
    async with keeping_in(data) as keeper:
        made = await keeper.make(draft(tmp_path, files=FILES), public=False)
    saved = backed_up(data, tmp_path / "x.backup")
    ended = list[bool]()
    for moment in (6, 11, 13, 99):  # blocks are written, pinned, made durable; then comes the database
        new = DataDir(tmp_path / f"new {moment}")
        run = [sys.executable, "-c", KILLED, str(new.path), str(saved.file), str(moment)]
        done = await trio.to_thread.run_sync(partial(subprocess.run, run, capture_output=True))
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
        assert new.database.exists() is (done.returncode == 0), "it is the last thing that comes"
        ended.append(done.returncode == 0)
        if ended[-1]:
            break
        assert restore(new, saved.file, PASSPHRASE, clock=SkewedClock()).patterns == 1
        async with keeping_in(new) as keeper:
            in_step(keeper)
            assert await keeper.files(await keeper.load(made.cid)) == FILES
    assert ended == [False] * 3 + [True]
