"""Our swarm door with a real Kubo and a real Helia: blocks go both ways over TCP, Noise and yamux, and are the same everywhere."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from mycelnode.encoding import base32
from mycelnode.p2p.blocks import ByName, links
from mycelnode.p2p.swarm import Swarm, open_swarm
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.patterns.dag import links_of
from tests.p2p.hosts import LOOPBACK, until
from tests.peers.helia import Helia
from tests.peers.kubo import Kubo

MIB = 1 << 20
SECONDS = 30.0
V1_2025 = ("--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024")
SIZES = pytest.mark.parametrize("size", [0, 1000, 10 * MIB], ids=["empty", "small", "10 MiB"])


def data_of(size: int, who: str) -> bytes:
    """Other bytes for each test, so that nobody has them from an earlier one."""
    return random.Random(f"{who} {size}").randbytes(size) + who.encode()


@pytest.fixture
def store(tmp_path: object) -> Blockstore:
    return Blockstore(tmp_path / "blocks", 1 << 30)  # type: ignore[operator]


@asynccontextmanager
async def a_door(store: Blockstore, *bootstrap: str) -> AsyncIterator[Swarm]:
    """Ours; it has dialled ``bootstrap``."""
    async with open_swarm(os.urandom(32), listen=LOOPBACK, bootstrap=bootstrap, store=ByName(store)) as swarm:
        if bootstrap:
            await until(lambda: swarm.peers, SECONDS)
        yield swarm


async def fetch(swarm: Swarm, cid: str) -> None:
    """Into the store, whole."""
    await swarm.bitswap.fetch_dag(
        Cid.parse(cid).binary, links=links, max_blocks=100, max_bytes=100 * MIB, deadline=SECONDS
    )


def content(store: Blockstore, cid: Cid) -> bytes:
    """The leaves of a file in their order."""
    block = store.get(cid)
    assert block is not None
    return block if cid.codec == RAW else b"".join(content(store, link) for link in links_of(cid, block))


async def off_thread(call: Callable[..., object], *arguments: object) -> object:
    return await trio.to_thread.run_sync(call, *arguments)


# --- Kubo ----------------------------------------------------------------------------------------------------------------------


@SIZES
async def test_we_fetch_from_kubo(a_kubo: Kubo, store: Blockstore, size: int) -> None:
    data = data_of(size, "Kubo's, for us")
    cid = a_kubo.add(data, *V1_2025)
    async with a_door(store, a_kubo.addrs[0]) as door:
        await fetch(door, cid)
    assert content(store, Cid.parse(cid)) == data


@SIZES
@pytest.mark.parametrize("who_dials", ["we", "Kubo"])
async def test_kubo_fetches_from_us(
    a_kubo: Kubo, new_kubo: Callable[[], Kubo], store: Blockstore, size: int, who_dials: str
) -> None:
    """A file that another Kubo made, has given us, and has forgotten."""
    data = data_of(size, f"ours, for Kubo, when {who_dials} dial")
    cid = a_kubo.add(data, *V1_2025)
    async with a_door(store, a_kubo.addrs[0]) as door:
        await fetch(door, cid)
        a_kubo.run("pin", "rm", cid)
        a_kubo.run("repo", "gc")
        assert not a_kubo.holds(cid)
        if who_dials == "Kubo":
            door.host.disconnect(a_kubo.peer_id)
            await until(lambda: not door.peers)
            await off_thread(a_kubo.connect, door.contacts[0])
        assert await off_thread(a_kubo.cat, cid) == data
    assert a_kubo.add(data, "--only-hash", *V1_2025) == cid


async def test_kubo_is_sent_what_is_made_later(a_kubo: Kubo, store: Blockstore) -> None:
    block = b"made later"
    cid = Cid.of(RAW, block)
    async with a_door(store, a_kubo.addrs[0]) as door, trio.open_nursery() as nursery:
        got = list[object]()

        async def ask() -> None:
            got.append(await off_thread(a_kubo.block_get, str(cid)))

        nursery.start_soon(ask)
        ledgers = door.bitswap.machine._ledgers
        await until(lambda: cid.binary in ledgers[a_kubo.peer_id].wants, SECONDS)
        await door.bitswap.put(cid.binary, block)
        await until(lambda: got, SECONDS)
        assert got == [block]


async def test_we_are_sent_what_kubo_makes_later(a_kubo: Kubo, store: Blockstore) -> None:
    data = b"made later by Kubo"
    cid = Cid.of(RAW, data)
    async with a_door(store, a_kubo.addrs[0]) as door, trio.open_nursery() as nursery:
        got = list[bytes]()

        async def ask() -> None:
            got.append(await door.bitswap.fetch(cid.binary, deadline=SECONDS))

        nursery.start_soon(ask)
        await until(lambda: door.bitswap.machine.client.wants)
        await trio.sleep(0.5)  # so that it has answered that it has none
        assert await off_thread(a_kubo.block_put, data) == str(cid)
        await until(lambda: got, SECONDS)
        assert got == [data]


async def test_kubo_asks_by_cid_v0(a_kubo: Kubo, store: Blockstore) -> None:
    """As a file is called that was added long ago."""
    data = data_of(600_000, "old")
    cid = a_kubo.add(data)
    assert cid.startswith("Qm")
    async with a_door(store, a_kubo.addrs[0]) as door:
        await fetch(door, cid)
        a_kubo.run("pin", "rm", cid)
        a_kubo.run("repo", "gc")
        assert await off_thread(a_kubo.cat, cid) == data


async def test_kubo_knows_who_we_are_and_pings_us(a_kubo: Kubo, store: Blockstore) -> None:
    async with a_door(store, a_kubo.addrs[0]) as door:
        said = await off_thread(a_kubo.run, "id", door.peer_id)
        assert isinstance(said, bytes)
        assert b"/ipfs/bitswap/1.2.0" in said
        assert door.contacts[0].encode() in said
        pong = await off_thread(a_kubo.run, "ping", "-n", "2", door.peer_id)
        assert isinstance(pong, bytes)
        assert pong.count(b"Pong received") == 2


async def test_kubo_stays_connected(a_kubo: Kubo, store: Blockstore) -> None:
    """Nothing that it opens beside Bitswap makes us cut it."""
    async with a_door(store, a_kubo.addrs[0]) as door:
        line = door.host.line(a_kubo.peer_id)
        await trio.sleep(5)
        assert door.host.line(a_kubo.peer_id) is line


# --- Helia ---------------------------------------------------------------------------------------------------------------------


@SIZES
async def test_we_fetch_from_helia(a_helia: Helia, store: Blockstore, size: int) -> None:
    data = data_of(size, "Helia's, for us")
    cid = a_helia.add(data)
    async with a_door(store, a_helia.addrs[0]) as door:
        line = door.host.line(a_helia.peer_id)
        await fetch(door, cid)
        assert (
            door.host.line(a_helia.peer_id) is line
        )  # it sends frames as large as our windows, and is not cut for that
    assert content(store, Cid.parse(cid)) == data


@SIZES
@pytest.mark.parametrize("who_dials", ["we", "Helia"])
async def test_helia_fetches_from_us(
    a_kubo: Kubo, a_helia: Helia, store: Blockstore, size: int, who_dials: str
) -> None:
    """What came from a Kubo that Helia does not know."""
    data = data_of(size, f"ours, for Helia, when {who_dials} dial")
    cid = a_kubo.add(data, *V1_2025)
    async with a_door(store, a_kubo.addrs[0]) as door:
        await fetch(door, cid)
    async with a_door(store, *(a_helia.addrs[:1] if who_dials == "we" else ())) as door:
        if who_dials == "Helia":
            assert await off_thread(a_helia.connect, door.contacts[0]) == door.peer_id
        assert await off_thread(a_helia.cat, cid, SECONDS) == data


async def test_a_file_goes_from_kubo_through_us_to_helia_and_back(
    a_kubo: Kubo, a_helia: Helia, store: Blockstore
) -> None:
    data = data_of(3 * MIB, "for all")
    cid = a_helia.add(data)
    async with a_door(store, a_helia.addrs[0], a_kubo.addrs[0]) as door:
        await until(lambda: len(door.peers) == 2, SECONDS)
        await fetch(door, cid)
        door.host.disconnect(a_helia.peer_id)
        assert await off_thread(a_kubo.cat, cid) == data
    assert a_kubo.add(data, "--only-hash", *V1_2025) == cid == "b" + base32(Cid.parse(cid).binary)
