"""What goes into a CAR and is taken from one: the pattern that was asked for, alone, and from a file that is one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from mycelnode.collective.carrying import read_car, write_car
from mycelnode.errors import BlockMissing, BlockRefused, CarRefused, PatternFileRefused, PatternRefused
from mycelnode.keeping.keeper import SWARM
from mycelnode.patterns import dagcbor, dagpb
from mycelnode.patterns.cid import DAG_CBOR, DAG_PB, RAW, Cid
from mycelnode.patterns.folders import folder_data
from mycelnode.protobuf import varint
from tests.adapters.kubo_twin import carried
from tests.node.nodes import SOON, founder
from tests.node.patterns import blocks_of, draft, keeper_of, shown
from tests.patterns.hostile import Blocks, manifest

SECRET = {"secret.txt": b"a secret"}


def a_car(path: Path, roots: Sequence[Cid], blocks: Blocks) -> Path:
    header = dagcbor.encode({"roots": list(roots), "version": 1})
    sections = (cid.binary + block for cid, block in blocks)
    path.write_bytes(b"".join(varint(len(part)) + part for part in (header, *sections)))
    return path


async def test_a_private_pattern_does_not_leave_through_what_names_it(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        keeper = keeper_of(node)
        private = await keeper.make(draft(tmp_path, "private", files=SECRET), public=False)
        hidden = blocks_of(keeper, private.cid)
        step = {"instruction": "Do it", "pattern": str(private.cid)}
        made = await node.patterns.publish(
            {"title": "All of it", "domain": "work", "kind": "workflow", "steps": [step]}
        )
        cid = Cid.parse(made.cid)
        assert hidden <= blocks_of(keeper, cid), "it does name it, or this shows nothing"
        assert shown(keeper, hidden | {cid}) == {cid}, "nor does the door to strangers give it"
        car = tmp_path / "workflow.car"
        await node.patterns.export(made.cid, car, "car")
        assert carried(car.read_bytes()).keys() == {cid}
        await node.patterns.export(str(private.cid), tmp_path / "own.car", "car")
        assert carried((tmp_path / "own.car").read_bytes()).keys() == hidden, (
            "but itself it can be carried, with its files"
        )


async def test_nor_through_a_strangers_folder_that_names_it(tmp_path: Path) -> None:
    """Whoever knows the name of a private pattern can put it into a folder, and wait for that to be passed on."""
    async with founder(tmp_path) as node:
        keeper = keeper_of(node)
        private = await keeper.make(draft(tmp_path, "private", files=SECRET), public=False)
        block = dagpb.encode(dagpb.Node((dagpb.Link(private.cid, "notes.md", 1000),), folder_data()))
        folder = Cid.of(DAG_PB, block)
        trap = manifest(folder)
        for cid, part in ((folder, block), (trap.cid, trap.block)):
            keeper.store.put(cid, part)
        assert await keeper.is_whole(trap.cid)
        car = tmp_path / "trap.car"
        await node.patterns.export(str(trap.cid), car, "car")
        assert carried(car.read_bytes()).keys() == {trap.cid, folder}
        with pytest.raises(BlockRefused):
            await keeper.keep(trap, SWARM)


async def test_what_lacks_a_file_is_not_written(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        keeper, lacking = keeper_of(node), Cid.of(RAW, b"is not here")
        with pytest.raises(BlockMissing, match="is not here, and without it the file would not be complete"):
            await trio.to_thread.run_sync(write_car, keeper, tmp_path / "lacking.car", [lacking])
        assert not (tmp_path / "lacking.car").exists()


@pytest.mark.parametrize("what", ["pipe", "folder", "link to a pipe", "device"])
async def test_what_is_no_file_is_not_waited_for(what: str, tmp_path: Path) -> None:
    path = tmp_path / "g.car"
    if what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe") if what == "link to a pipe" else (tmp_path / "pipe").rename(path)
    async with founder(tmp_path) as node:
        with (
            trio.fail_after(SOON),
            pytest.raises(PatternFileRefused, match=r"g\.car: (it is no regular file|Is a directory)$"),
        ):
            await node.patterns.import_car(path)


async def test_a_car_that_is_refused_is_named(tmp_path: Path) -> None:
    no_pattern = dagcbor.encode({"hello": 1})
    cid, made = Cid.of(DAG_CBOR, no_pattern), manifest(Cid.of(RAW, b"is not here"))
    (tmp_path / "text.car").write_text("hello, this is a text")
    a_car(tmp_path / "other.car", [cid], [(cid, no_pattern)])
    a_car(tmp_path / "cut.car", [made.cid], [(made.cid, made.block)])
    async with founder(tmp_path) as node:
        for name, error in (("text", CarRefused), ("other", PatternRefused), ("cut", CarRefused)):
            path = tmp_path / f"{name}.car"
            with pytest.raises(error, match=f"^{path}: ") as caught:
                await node.patterns.import_car(path)
            assert str(caught.value).count(str(path)) == 1


async def test_it_is_said_how_many_further_roots_were_left(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        keeper = keeper_of(node)
        kept, other, third = manifest(), manifest(title="Another"), (Cid.of(RAW, b"a file"), b"a file")
        several = a_car(
            tmp_path / "several.car",
            [kept.cid, other.cid, third[0]],
            [(kept.cid, kept.block), (other.cid, other.block), third],
        )
        assert await trio.to_thread.run_sync(read_car, keeper, several) == (kept.cid, 2)
        assert (await node.patterns.import_car(several)).pattern.cid == str(kept.cid)
        assert keeper.kept() == [kept.cid]
        assert keeper.store.pins() == {kept.cid}
        ours = await keeper.make(draft(tmp_path, "ours", files=SECRET), public=False)
        await node.patterns.export(str(ours.cid), tmp_path / "ours.car", "car")
        taken = await trio.to_thread.run_sync(read_car, keeper, tmp_path / "ours.car")
        assert taken == (ours.cid, 0), "its own files are a root, and no other pattern"
