"""The adapter against a real Kubo, once by each of the clients that it can speak through."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
import trio

from mycelnode.adapters.kubo import BLOCK_BYTES, open_ipfs
from mycelnode.errors import CidRefused, KuboRefused, KuboUnreachable
from mycelnode.patterns.cid import DAG_CBOR, DAG_PB, RAW, Cid
from mycelnode.patterns.dagcbor import encode
from mycelnode.ports import IpfsNode
from tests.adapters.kubo_suite import SUITE
from tests.peers.kubo import Kubo

MIB = 1 << 20
V1_2025 = ("--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024")
PATIENCE = 30.0
DEFAULT = ("--cid-version=1",)


@pytest.fixture(params=["httpx", "ipfshttpclient"])
async def node(request: pytest.FixtureRequest, a_kubo: Kubo) -> AsyncIterator[IpfsNode[Cid]]:
    with trio.fail_after(PATIENCE):
        async with open_ipfs(a_kubo.api_url, request.param) as opened:
            yield opened


def some(size: int) -> bytes:
    return random.Random(size).randbytes(size)


async def in_pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def add(node: IpfsNode[Cid], data: bytes, *, pin: bool = True) -> Cid:
    async with aclosing(in_pieces(data)) as pieces:
        return await node.add(pieces, pin=pin)


async def read(node: IpfsNode[Cid], cid: Cid, max_bytes: int = 64 * MIB) -> bytes:
    async with node.cat(cid, max_bytes) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_it_says_who_it_is(node: IpfsNode[Cid], a_kubo: Kubo) -> None:
    who = await node.identity()
    assert (who.peer_id, who.version) == (a_kubo.peer_id, a_kubo.version)
    assert set(who.addrs) == set(a_kubo.addrs)


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 10 * MIB])
async def test_a_file_goes_there_and_comes_back(node: IpfsNode[Cid], a_kubo: Kubo, size: int) -> None:
    data = some(size)
    cid = await add(node, data)
    assert str(cid) == a_kubo.add(data, "--only-hash", *V1_2025)
    assert await read(node, cid, size) == data
    assert a_kubo.cat(str(cid)) == data


async def test_it_reads_the_layout_that_kubo_uses_by_default(node: IpfsNode[Cid], a_kubo: Kubo) -> None:
    data = some(3 * MIB)
    assert await read(node, Cid.parse(a_kubo.add(data, *DEFAULT))) == data


async def test_a_file_that_is_too_long_is_refused(node: IpfsNode[Cid]) -> None:
    cid = await add(node, some(MIB + 1))
    with pytest.raises(KuboRefused, match="1,048,577 bytes, and at most 1,048,576"):
        await read(node, cid, MIB)


async def test_a_folder_is_no_file(node: IpfsNode[Cid], a_kubo: Kubo) -> None:
    folder = Cid.parse(a_kubo.add(b"x", "-w", "--stdin-name=x", *DEFAULT))
    with pytest.raises(KuboRefused, match="is no file, but directory"):
        await read(node, folder)


async def test_giving_up_midway_leaves_it_usable(node: IpfsNode[Cid]) -> None:
    data = some(10 * MIB)
    cid = await add(node, data)
    for _ in range(10):  # more often than it has connections
        async with node.cat(cid, len(data)) as chunks:
            assert data.startswith(await anext(chunks))
    assert await read(node, cid) == data


async def test_a_file_that_nobody_has_is_given_up_at_once(node: IpfsNode[Cid]) -> None:
    cid = Cid.of(RAW, b"nobody has this")
    start = trio.current_time()
    with trio.move_on_after(0.5) as scope:
        await read(node, cid)
    assert scope.cancelled_caught
    assert trio.current_time() - start < 2
    await node.identity()


async def test_pins(node: IpfsNode[Cid], a_kubo: Kubo) -> None:
    pinned, unpinned = await add(node, some(1001)), await add(node, some(1002), pin=False)
    assert pinned in await node.pins()
    assert unpinned not in await node.pins()
    await node.pin(unpinned)
    assert unpinned in await node.pins()
    for cid in (pinned, unpinned):
        await node.unpin(cid)
        await node.unpin(cid)  # no error
    assert not {pinned, unpinned} & await node.pins()


@pytest.mark.parametrize("holds", SUITE)
async def test_it_does_what_is_relied_on(
    holds: Callable[[IpfsNode[Cid]], Awaitable[None]], node: IpfsNode[Cid]
) -> None:
    await holds(node)


async def test_blocks(node: IpfsNode[Cid], a_kubo: Kubo) -> None:
    for codec, block in (
        (RAW, some(1003)),
        (RAW, some(BLOCK_BYTES)),
        (DAG_CBOR, encode({"a": [1, "two", b"three"]})),
        (DAG_PB, bytes.fromhex("0a020802")),
    ):
        cid = Cid.of(codec, block)
        await node.block_put(cid, block)
        assert a_kubo.holds(str(cid))
        assert await node.block_get(cid) == block
    assert Cid.of(RAW, some(1003)) not in await node.pins()


async def test_a_block_by_another_name_is_not_put(node: IpfsNode[Cid], a_kubo: Kubo) -> None:
    with pytest.raises(CidRefused):
        await node.block_put(Cid.of(RAW, b"one"), b"another one")
    assert not a_kubo.holds(str(Cid.of(RAW, b"another one")))
    with pytest.raises(CidRefused):
        await node.block_put(Cid.of(RAW, bytes(BLOCK_BYTES + 1)), bytes(BLOCK_BYTES + 1))


async def test_a_car_is_imported_and_pinned(
    node: IpfsNode[Cid], request: pytest.FixtureRequest, new_kubo: Callable[[], Kubo], two_kubos: tuple[Kubo, Kubo]
) -> None:
    data = some(3 * MIB + len(request.node.name))  # not the same for both clients
    away, _ = two_kubos
    cid = away.add(data, *V1_2025)
    car = away.dag_export(cid)
    async with aclosing(in_pieces(car)) as pieces:
        assert await node.dag_import(pieces) == (Cid.parse(cid),)
    assert await read(node, Cid.parse(cid)) == data
    assert Cid.parse(cid) in await node.pins()


async def test_what_is_no_car_is_refused(node: IpfsNode[Cid]) -> None:
    async with aclosing(in_pieces(b"this is no CAR")) as pieces:
        with pytest.raises(KuboRefused, match="Kubo refused dag/import: "):
            await node.dag_import(pieces)


async def test_it_dials_whom_it_is_told_to(node: IpfsNode[Cid], a_kubo: Kubo, two_kubos: tuple[Kubo, Kubo]) -> None:
    first, _ = two_kubos
    await node.connect(first.addrs[0])
    assert any(first.peer_id in addr for addr in a_kubo.peers())
    with pytest.raises(KuboRefused, match="Kubo refused swarm/connect: "):
        await node.connect("/ip4/127.0.0.1/tcp/1/p2p/" + first.peer_id[:-4] + "abcd")


@pytest.mark.parametrize("client", ["httpx", "ipfshttpclient"])
async def test_a_kubo_that_stops_is_unreachable(client: str, new_kubo: Callable[[], Kubo]) -> None:
    kubo = new_kubo()
    async with open_ipfs(kubo.api_url, client) as node:
        await node.identity()
        kubo.stop()
        with trio.fail_after(PATIENCE), pytest.raises(KuboUnreachable, match="is the Kubo daemon running"):
            await node.identity()
