"""What a person keeps, between the devices of a mesh: they follow each other, and catch up."""

from __future__ import annotations

from pathlib import Path

import trio

from mycelnode.keeping.choices import KEPT
from mycelnode.keeping.keeper import SWARM
from mycelnode.patterns import library
from mycelnode.patterns.cid import DAG_CBOR, Cid
from tests.node.nodes import SOON, let_in, running, until
from tests.node.patterns import blocks_of, draft, keeper_of, shown
from tests.node.test_keeping import FILES, begun, in_step, keeping_in, somebody


async def test_devices_follow_each_other_and_catch_up_with_what_was_made_offline(tmp_path: Path) -> None:
    data = await begun(tmp_path)
    async with running(data) as laptop:
        other = await let_in(tmp_path, laptop, "phone")
        async with running(other) as phone:
            here, there = keeper_of(laptop), keeper_of(phone)
            made = await here.make(draft(tmp_path, files=FILES), public=False)
            await until(lambda: made.cid in there.mesh.database.look(library.kept), "the phone has it")
            assert await there.files(await there.load(made.cid)) == FILES
            in_step(there)
            assert shown(there, blocks_of(there, made.cid)) == set()
            await here.make(draft(tmp_path / "2", files=FILES), public=True)
            blocks = blocks_of(there, made.cid)
            await until(lambda: shown(there, blocks) == blocks, "the phone knows that it is public")
    async with keeping_in(data) as alone:  # both are off
        offline = await alone.make(draft(tmp_path, "offline", files={"scripts/new.sh": b"ls"}), public=True)
        await alone.forget(made.cid)
    async with running(other) as phone:
        there = keeper_of(phone)
        assert there.kept() == [made.cid]
        async with running(data) as laptop:
            await laptop.sync()
            await until(lambda: offline.cid in there.mesh.database.look(library.kept), "what was made offline comes")
            await until(lambda: there.store.pins() == {offline.cid}, "what was forgotten goes")
            in_step(there)
            in_step(keeper_of(laptop))


async def test_who_missed_the_owner_gets_the_blocks_when_it_comes(tmp_path: Path) -> None:
    """A third device knows of the pattern by the second, which never got the blocks."""
    data = await begun(tmp_path)
    async with running(data) as laptop:
        second = await let_in(tmp_path, laptop, "phone")
        async with running(second) as phone:
            await phone.sync()
    block = somebody("only on the laptop")
    async with keeping_in(data) as alone:
        alone.store.put(block.cid, block.block)
        await alone.keep(block, "car")
    async with keeping_in(second) as alone:  # as if it had come by sync, without the laptop
        await alone.mesh.write([alone.mesh.replica.document.add(KEPT, str(block.cid))])
    async with running(second) as phone:
        there = keeper_of(phone)
        assert await there.settle() == [block.cid]
        with trio.fail_after(SOON):
            async with running(data) as laptop:
                await laptop.sync()
                await until(lambda: block.cid in there.mesh.database.look(library.kept), "it comes with the laptop")
        in_step(there)


async def test_a_node_that_fetches_stops_at_once(tmp_path: Path) -> None:
    data = await begun(tmp_path)
    async with running(data) as laptop:
        second = await let_in(tmp_path, laptop, "phone")
        async with running(second) as phone:
            add = keeper_of(phone).mesh.replica.document.add
            nowhere = [str(Cid.of(DAG_CBOR, b"%d" % number)) for number in range(200)]
            await keeper_of(phone).mesh.write([add(KEPT, cid) for cid in nowhere])
            await phone.sync()
            await until(lambda: len(keeper_of(laptop).kept()) == len(nowhere), "the laptop hears of them")
            started = trio.current_time()
        assert trio.current_time() < started + 5


async def test_what_is_kept_of_somebody_who_is_blocked_comes_to_the_other_devices(tmp_path: Path) -> None:
    data, theirs = await begun(tmp_path), somebody("kept")
    async with keeping_in(data) as keeper:
        await keeper.see(theirs, SWARM)
        await keeper.keep(theirs, SWARM)
        await keeper.block(theirs.pattern.creator)
    async with running(data) as laptop, running(await let_in(tmp_path, laptop, "phone")) as phone:
        there = keeper_of(phone)
        await until(lambda: theirs.cid in there.mesh.database.look(library.kept), "the phone has it, too")
        assert (await phone.collective.fetch(theirs.cid, lambda here, total: None)) == "library"
