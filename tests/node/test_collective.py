"""The door to the collective, as a node opens it: strangers exchange blocks through it, and nothing of the mesh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode import creator
from mycelnode.errors import BlockUnavailable
from mycelnode.joining import init_mesh
from mycelnode.keeping.choices import BLOCKED, KEPT, OPEN, PUBLISHED
from mycelnode.node import Node
from mycelnode.p2p.blocks import links
from mycelnode.p2p.gathering import ASK_SECONDS
from mycelnode.p2p.swarm import Swarm
from mycelnode.paths import DataDir
from mycelnode.patterns import library
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import read_file
from mycelnode.protocols import admission
from tests.node.nodes import SkewedClock, folder, let_in, running, until
from tests.node.patterns import blocks_of, draft, keeper_of

PATIENCE = 10.0
REFUSED_SECONDS = 2.0
FILES = {"references/notes.md": b"what I noticed", "scripts/x.bin": bytes(300_000)}


async def person(tmp_path: Path, name: str, *bootstrap: str, listen: str = "/ip4/127.0.0.1/tcp/0") -> DataDir:
    """The folder of somebody with a mesh of one device, who takes part in the collective."""
    data = folder(tmp_path, name)
    known = ", ".join(f'"{addr}"' for addr in bootstrap)
    text = f'[mesh]\nlan = false\n[swarm]\nenabled = true\nlisten = ["{listen}"]\nbootstrap = [{known}]\n'
    data.config.write_text(text)
    await init_mesh(data, name, clock=SkewedClock())
    return data


def swarm_of(node: Node) -> Swarm:
    assert node.collective.swarm is not None
    return node.collective.swarm


async def is_refused(node: Node, cid: Cid) -> None:
    """Nobody gives it a block, though it is asked of all for longer than an answer takes."""
    with pytest.raises(BlockUnavailable):
        await swarm_of(node).bitswap.fetch(cid.binary, deadline=REFUSED_SECONDS)


@asynccontextmanager
async def two_strangers(tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    """Of two meshes, the second of which knows an address of the first."""
    async with running(await person(tmp_path, "anna")) as anna:
        data = await person(tmp_path, "ben", *swarm_of(anna).contacts)
        async with running(data) as ben:
            await until(lambda: bool(swarm_of(ben).peers) and bool(swarm_of(anna).peers), "they meet")
            yield anna, ben


async def test_strangers_exchange_blocks_and_keep_them(tmp_path: Path) -> None:
    async with two_strangers(tmp_path) as (anna, ben):
        made = await keeper_of(anna).make(draft(tmp_path, files=FILES), public=True)
        assert made.pattern.files is not None
        done = await swarm_of(ben).bitswap.fetch_dag(
            made.pattern.files.binary, links=links, max_blocks=10, max_bytes=1_000_000, deadline=PATIENCE
        )
        assert done.fetched == len(blocks_of(keeper_of(anna), made.pattern.files))
        assert set(blocks_of(keeper_of(ben), made.pattern.files)) == blocks_of(keeper_of(anna), made.pattern.files)


async def test_strangers_get_and_hear_nothing_of_what_is_not_published(tmp_path: Path) -> None:
    async with two_strangers(tmp_path) as (anna, ben):
        keeper = keeper_of(anna)
        private = await keeper.make(draft(tmp_path, "private", files=FILES), public=False)
        public = await keeper.make(draft(tmp_path, "public", files={"scripts/x.sh": b"ls"}), public=True)
        await anna.collective.announce(public)
        assert public.cid.digest in keeper.catalogued
        async with trio.open_nursery() as nursery:
            for cid in blocks_of(keeper, private.cid):
                nursery.start_soon(is_refused, ben, cid)
        await until(lambda: public.cid.digest in keeper_of(ben).catalogued, "ben learns of what is public")
        assert private.cid.digest not in {*keeper.catalogued.digests(), *keeper_of(ben).catalogued.digests()}
        published = await keeper.make(draft(tmp_path / "again", "private", files=FILES), public=True)
        assert published.cid == private.cid
        await anna.collective.announce(published)
        await until(lambda: private.cid.digest in keeper_of(ben).catalogued, "and of the other, once it is")
        assert await ben.collective.fetch(private.cid, lambda here, total: None) == "swarm"
        assert await keeper_of(ben).files(await keeper_of(ben).load(private.cid)) == FILES


async def test_after_a_restart_and_while_another_device_publishes_the_door_gives_no_more(tmp_path: Path) -> None:
    anna_data = await person(tmp_path, "anna")
    async with running(anna_data) as anna:
        private = await keeper_of(anna).make(draft(tmp_path, "private", files=FILES), public=False)
        phone_data = await let_in(tmp_path, anna, "phone")
        contacts = swarm_of(anna).contacts
    ben_data = await person(tmp_path, "ben", *contacts)
    async with running(anna_data) as anna, running(phone_data) as phone, running(ben_data) as ben:
        await phone.sync()
        await until(lambda: creator.current(phone.mesh) is not None, "the phone gets the key")
        public = await keeper_of(phone).make(draft(tmp_path, "public"), public=True)
        await until(lambda: keeper_of(anna).is_shown(public.cid), "anna has what her phone published")
        await until(lambda: bool(swarm_of(ben).peers), "they meet")
        assert await swarm_of(ben).bitswap.fetch(public.cid.binary, deadline=PATIENCE) == public.block
        for node in (anna, phone):
            assert private.cid.digest not in keeper_of(node).catalogued
        await is_refused(ben, private.cid)


@pytest.mark.parametrize("value", [b"bytes", 7, ["a"], {"a": 1}, "no CID"])
async def test_nonsense_of_a_member_ends_no_node(tmp_path: Path, value: Any) -> None:
    data = await person(tmp_path, "anna")
    async with running(data) as anna:
        for name in (KEPT, PUBLISHED, BLOCKED):
            await anna.mesh.write([anna.mesh.replica.document.add(name, value)])
        made = await keeper_of(anna).make(draft(tmp_path), public=True)
        await until(lambda: keeper_of(anna).is_shown(made.cid), "it goes on")
    async with running(data) as anna:
        assert anna.status()["services"]["swarm"]["state"] == "ok"
        assert keeper_of(anna).kept() == [made.cid]


async def test_files_of_a_pattern_that_was_heard_of_come_without_waiting_for_devices(tmp_path: Path) -> None:
    """The manifest is here by then, and says nothing of who has the files; no other device is connected."""
    skill = tmp_path / "a-skill"
    skill.mkdir()
    (skill / "SKILL.md").write_text("---\nname: a-skill\ndescription: Has a file.\n---\nRead the notes.\n")
    (skill / "notes.md").write_bytes(b"the notes")
    async with two_strangers(tmp_path) as (anna, ben):
        giving, taking = anna.collective.keeper, ben.collective.keeper
        assert giving is not None
        assert taking is not None
        made = await giving.make(await trio.to_thread.run_sync(read_file, skill), public=True)
        await anna.collective.announce(made)
        heard = False
        with trio.fail_after(PATIENCE):
            while not heard:
                changed = taking.changed
                heard = await taking.has(made.cid)
                if not heard:
                    await changed.wait()
        assert not await taking.is_whole(made.cid)
        with trio.fail_after(ASK_SECONDS):
            assert await ben.collective.fetch(made.cid, lambda here, total: None) == "swarm"
        assert await taking.files(made) == {"notes.md": b"the notes"}
        swarm_of(ben).host.disconnect(swarm_of(anna).peer_id)
        assert await ben.collective.fetch(made.cid, lambda here, total: None) == "library"


async def test_who_was_away_learns_what_it_missed_of_any_neighbour(tmp_path: Path) -> None:
    """Nobody announces it again: ben finds it in anna's catalogue, and carla, who never meets her, in ben's."""
    async with running(await person(tmp_path, "anna")) as anna:
        made = await keeper_of(anna).make(draft(tmp_path), public=True)
        ben_data = await person(tmp_path, "ben", *swarm_of(anna).contacts)
        async with running(ben_data) as ben:
            await until(lambda: made.cid.digest in keeper_of(ben).catalogued, "ben learns of it")
    async with running(ben_data) as ben, running(await person(tmp_path, "carla", *swarm_of(ben).contacts)) as carla:
        await until(lambda: made.cid.digest in keeper_of(carla).catalogued, "carla learns of it")
        assert await keeper_of(carla).load(made.cid) == made


async def test_what_is_published_before_announcements_reach_a_newcomer_is_found_soon(tmp_path: Path) -> None:
    """Its catalogue was compared when they met, and would not be again for ten minutes."""
    async with two_strangers(tmp_path) as (anna, ben):
        there, discoverer = swarm_of(anna).peer_id, ben.collective.discoverer
        assert discoverer is not None
        await until(lambda: there in discoverer.visited, "ben has looked")
        made = await keeper_of(anna).make(draft(tmp_path), public=True)  # nobody is told
        await until(lambda: made.cid.digest in keeper_of(ben).catalogued, "ben looks again")


async def test_strangers_are_not_asked_for_what_another_device_keeps_and_may_be_private(tmp_path: Path) -> None:
    """Here they have it; else they would hear that it exists, and that these devices belong together."""
    async with two_strangers(tmp_path) as (anna, ben):
        made = await keeper_of(anna).make(draft(tmp_path, files=FILES), public=True)
        document = ben.mesh.replica.document
        await ben.mesh.write([document.add(KEPT, str(made.cid))])  # as the other device does
        with pytest.raises(BlockUnavailable, match="no stranger, as it may be private"):
            await ben.patterns.get(str(made.cid))
        assert not await keeper_of(ben).has(made.cid)
        await ben.mesh.write([document.add(OPEN, str(made.cid))])  # it says that strangers had it before
        await until(lambda: ben.mesh.database.look(library.kept).keys() == {made.cid}, "then it comes from them")


async def test_what_is_kept_of_a_stranger_is_known_as_that_on_all_devices(tmp_path: Path) -> None:
    async with two_strangers(tmp_path) as (anna, ben):
        made = await keeper_of(anna).make(draft(tmp_path), public=True)
        await ben.patterns.keep(str(made.cid))
        assert keeper_of(ben).may_ask(made.cid)
        own = await ben.patterns.make({"title": "Mine", "domain": "home", "template": "x"})
        assert not keeper_of(ben).may_ask(Cid.parse(own.cid))
        await ben.patterns.forget(str(made.cid))
        assert not ben.mesh.replica.document.orset(OPEN)


async def test_a_stranger_gets_nothing_of_the_mesh(tmp_path: Path) -> None:
    async with two_strangers(tmp_path) as (anna, ben):
        here, there = swarm_of(ben).host, swarm_of(anna).host
        assert here.peer_id not in (ben.device, anna.device)
        assert admission.PROTOCOL not in there.protocols
        assert {"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/ipfs/bitswap/1.2.0"} <= set(there.protocols)
        assert not set(anna.host.protocols) & set(there.protocols)
        for node in (anna, ben):
            assert node.syncing.links == {}
            assert node.host.connected() == set()


async def test_ready_line_and_status_say_who_we_are(tmp_path: Path) -> None:
    async with two_strangers(tmp_path) as (anna, ben):
        swarm = swarm_of(anna)
        assert anna.ready_line["swarm"] == {"peer": swarm.peer_id, "addrs": swarm.addrs}
        status = anna.status()
        assert status["swarm"] == {"peer": swarm.peer_id, "addrs": swarm.addrs, "peers": 1}
        assert status["services"]["swarm"] == {"state": "ok", "detail": "peers connected: 1"}
        assert ben.device not in str(anna.status())


async def test_the_door_is_shut_until_it_is_opened(tmp_path: Path) -> None:
    data = folder(tmp_path, "anna")
    await init_mesh(data, "anna", clock=SkewedClock())
    async with running(data) as node:
        assert node.ready_line["swarm"] is None
        assert node.status()["swarm"] is None
        assert "swarm" not in node.status()["services"]
        assert not data.swarm_key.exists()
        assert node.collective.blocks is not None


async def test_key_and_port_stay(tmp_path: Path) -> None:
    data = await person(tmp_path, "anna")
    seen = []
    for _ in range(2):
        async with running(data) as node:
            seen.append((swarm_of(node).peer_id, swarm_of(node).addrs))
            assert data.swarm_key.stat().st_mode & 0o777 == 0o600
    assert seen[0] == seen[1]


async def test_a_door_that_does_not_open_stops_no_node(tmp_path: Path) -> None:
    taken = trio.socket.socket()
    with taken:
        await taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        data = await person(tmp_path, "anna", listen=f"/ip4/127.0.0.1/tcp/{port}")
        async with running(data) as node:
            service = node.status()["services"]["swarm"]
            assert service["state"] == "failed"
            assert str(port) in service["detail"]
            assert node.ready_line["swarm"] is None
            assert node.status()["services"]["mesh"]["state"] == "ok"


@pytest.mark.parametrize("damage", ["key", "blocks"])
async def test_what_is_damaged_stops_the_door_only(tmp_path: Path, damage: str) -> None:
    data = await person(tmp_path, "anna")
    if damage == "key":
        data.swarm_key.write_text("nonsense")
        data.swarm_key.chmod(0o600)
    else:
        data.blocks.write_text("a file where a folder should be")
    async with running(data) as node:
        assert node.status()["services"]["swarm"]["state"] == "failed"
        assert node.status()["services"]["mesh"]["state"] == "ok"
    if damage == "key":
        assert data.swarm_key.read_text() == "nonsense"  # never overwritten


async def test_addresses_that_name_nobody_are_told(tmp_path: Path) -> None:
    data = await person(tmp_path, "anna", "/ip4/127.0.0.1/udp/4001/quic-v1")
    async with running(data) as node:
        assert "1 of swarm.bootstrap cannot be dialled" in node.status()["services"]["swarm"]["detail"]


async def test_the_dht_is_told_of_what_can_be_had_here_and_of_nothing_else(tmp_path: Path) -> None:
    def provided(node: Node) -> set[Cid]:
        made = keeper_of(node).published()
        first, public = [{cid for cid in made if dht.provides(cid)} for dht in node.collective._dhts]
        assert first == public
        return first

    data = await person(tmp_path, "anna")
    async with running(data) as anna:
        keeper = keeper_of(anna)
        here, forgotten, damaged = [
            (await keeper.make(draft(tmp_path, name, files=FILES | {"references/name.md": name.encode()}), public=True))
            for name in ("here", "forgotten", "damaged")
        ]
        await anna.collective.provide_all()
        assert provided(anna) == {here.cid, forgotten.cid, damaged.cid}
        await keeper.forget(forgotten.cid)
        await anna.collective.provide_all()
        assert provided(anna) == {here.cid, damaged.cid}
        assert damaged.pattern.files is not None
        only_there = blocks_of(keeper, damaged.pattern.files) - blocks_of(keeper, here.cid)
        keeper.store._drop(str(only_there.pop()))
    async with running(data) as anna:
        await anna.collective.provide_all()
        assert len(keeper_of(anna).published()) == 3
        assert provided(anna) == {here.cid}
