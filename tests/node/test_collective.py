"""The door to the collective, as a node opens it: strangers exchange blocks through it, and nothing of the mesh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mycelnode.joining import init_mesh
from mycelnode.node import Node
from mycelnode.p2p.blocks import links
from mycelnode.p2p.swarm import Swarm
from mycelnode.paths import DataDir
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.protocols import admission
from tests.node.nodes import SkewedClock, folder, running, until

PATIENCE = 10.0


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


def blocks_of(node: Node) -> Blockstore:
    assert node.collective.blocks is not None
    return node.collective.blocks


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
        block = b"what anna has learned"
        cid = Cid.of(RAW, block)
        blocks_of(anna).put(cid, block)
        done = await swarm_of(ben).bitswap.fetch_dag(
            cid.binary, links=links, max_blocks=1, max_bytes=1000, deadline=PATIENCE
        )
        assert done.fetched == 1
        assert blocks_of(ben).get(cid) == block


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
