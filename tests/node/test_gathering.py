"""What a node does when those whom it asks for a pattern are not what they should be: one sentence, and nothing is kept."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.errors import BlockRefused, BlockUnavailable, MycelError, NetworkError, PatternRefused
from mycelnode.keeping.keeper import KEPT, PUBLISHED
from mycelnode.node import Node
from mycelnode.p2p import gathering, kubo_source
from mycelnode.p2p.host import Host, Stream
from mycelnode.p2p.swarm import open_swarm
from mycelnode.paths import DataDir
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.folders import write_folder
from mycelnode.patterns.manifest import Manifest
from mycelnode.protobuf import varint
from mycelnode.protocols.bitswap_frames import PROTOCOL, Block, Message, encode_message
from tests.adapters.kubo_twin import KuboTwin, serving
from tests.adapters.server import a_server, silent
from tests.cli.learned import contents
from tests.node.nodes import ask, running, until
from tests.node.patterns import draft, shown
from tests.node.test_collective import person, swarm_of
from tests.p2p.blocks import Blocks
from tests.p2p.hosts import LOOPBACK, PATIENCE, a_host, connect, never_read
from tests.patterns.hostile import a_bomb, manifest

Handler = Callable[[Host, Host], Callable[[Stream], Awaitable[None]]]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(gathering, "BLOCK_SECONDS", 0.5)


@asynccontextmanager
async def who_knows(tmp_path: Path, blocks: Blocks) -> AsyncIterator[Node]:
    """A node that is connected with a stranger who gives these blocks."""
    async with open_swarm(os.urandom(32), listen=LOOPBACK, bootstrap=(), store=blocks) as stranger:
        data = await person(tmp_path, "ben", *stranger.contacts)
        async with running(data) as node:
            await until(lambda: stranger.peer_id in swarm_of(node).peers, "they meet")
            yield node


async def state(node: Node) -> tuple[Any, Any]:
    """The pins on the disk, and what the index knows."""
    return contents(node.mesh.data.blocks / "pins"), await ask(node, "pattern.list", seen=True)


async def refused(node: Node, cid: Cid, error: type[MycelError], match: str) -> None:
    """However it is asked for."""
    before = await state(node)
    for kind in ("pattern.import", "pattern.show", "pattern.use"):
        with trio.fail_after(PATIENCE), pytest.raises(error, match=match):
            await ask(node, kind, cid=str(cid))
    assert await state(node) == before


def holding(*blocks: tuple[Cid, bytes]) -> Blocks:
    made = Blocks()
    for cid, block in blocks:
        made[cid.binary] = block
    return made


async def test_what_an_honest_stranger_gives_is_taken(tmp_path: Path) -> None:
    """Or the tests below would show nothing."""
    made = manifest()
    async with who_knows(tmp_path, holding((made.cid, made.block))) as node:
        assert (await ask(node, "pattern.import", cid=str(made.cid)))["title"] == made.pattern.title


@pytest.mark.parametrize(
    ("block", "match"),
    [
        (dagcbor.encode({"hello": 1}), "manifest"),
        (b"\x81" * 5000 + b"\xf6", "nested too deeply"),
        (b"\xa1\x61a\x18\x01", "canonical"),
        (b"\xff\xff garbage", "no manifest"),
        (dagcbor.encode({**dagcbor.decode(manifest().block), "signature": bytes(64)}), "signature"),
    ],
    ids=["no pattern", "nested", "not canonical", "garbage", "bad signature"],
)
async def test_what_is_no_pattern_is_not_even_stored(block: bytes, match: str, tmp_path: Path) -> None:
    cid = Cid.of(DAG_CBOR, block)
    async with who_knows(tmp_path, holding((cid, block))) as node:
        await refused(node, cid, PatternRefused, match)
        assert not await node.collective.keeper.has(cid)  # type: ignore[union-attr]


async def test_files_that_unpack_to_gigabytes_are_not_kept(tmp_path: Path) -> None:
    blocks = a_bomb()
    made = manifest(blocks[-1][0])
    async with who_knows(tmp_path, holding((made.cid, made.block), *blocks)) as node:
        await refused(node, made.cid, BlockRefused, "4,913,000,000 bytes, more than the 33,554,432")


@pytest.mark.usefixtures("impatient")
async def test_files_that_nobody_gives_are_said_to_be_missing(tmp_path: Path) -> None:
    *_, root = a_bomb()
    made = manifest(root[0])
    async with who_knows(tmp_path, holding((made.cid, made.block), root)) as node:
        await refused(node, made.cid, BlockUnavailable, f"the files of {made.cid} could not be fetched: ")


def mute(bad: Host, here: Host) -> Callable[[Stream], Awaitable[None]]:
    return never_read


def garbling(bad: Host, here: Host) -> Callable[[Stream], Awaitable[None]]:
    """Answers each message with bytes that nobody asked for, under the names that were asked for."""

    async def answer(stream: Stream) -> None:
        with suppress(NetworkError):
            back = await bad.open_stream(bad.line(here.peer_id), PROTOCOL, deadline=PATIENCE)
            while True:
                blocks = (Block(manifest().cid.binary[:4], random.randbytes(10_000)),)
                message = encode_message(Message(blocks=blocks))
                await back.send_all(varint(len(message)) + message, deadline=PATIENCE)

    return answer


@pytest.mark.parametrize("handler", [mute, garbling])
@pytest.mark.usefixtures("impatient")
async def test_a_stranger_who_gives_nothing_of_use_is_not_waited_for(handler: Handler, tmp_path: Path) -> None:
    made = manifest()
    data = await person(tmp_path, "ben")
    async with running(data) as node, a_host() as bad:
        here = swarm_of(node).host
        bad.set_handler(PROTOCOL, handler(bad, here), strangers=True)
        await connect(bad, here)
        await refused(
            node, made.cid, BlockUnavailable, "was not found; asked: your devices .0 connected., swarm .[01] connected"
        )
        assert not await node.collective.keeper.has(made.cid)  # type: ignore[union-attr]
        assert node.status()["services"]["mesh"]["state"] == "ok"


# --- the Kubo ------------------------------------------------------------------------------------------------------------------

NOTES = {"notes.md": b"the notes", "large.bin": random.Random(7).randbytes(3_000_000)}


def a_skill() -> tuple[Manifest, dict[Cid, bytes]]:
    """A stranger's pattern with files, and all its blocks."""
    blocks = dict[Cid, bytes]()
    made = manifest(write_folder(NOTES, blocks.__setitem__).cid)
    return made, {made.cid: made.block, **blocks}


async def beside(tmp_path: Path, url: str, client: str = "httpx", *known: str) -> DataDir:
    """The folder of somebody who has a Kubo; with ``known`` peers, the door to the swarm is open as well."""
    data = await person(tmp_path, "ben", *known)
    text = data.config.read_text() if known else "[mesh]\nlan = false\n"
    data.config.write_text(f'{text}[kubo]\nurl = "{url}"\nclient = "{client}"\n')
    return data


@pytest.mark.parametrize("client", ["httpx", "ipfshttpclient"])
async def test_what_only_the_kubo_has_is_found(client: str, tmp_path: Path) -> None:
    made, blocks = a_skill()
    async with serving(KuboTwin(blocks)) as twin, running(await beside(tmp_path, twin.url, client)) as node:
        seen: list[tuple[int, int]] = []
        content = await node.patterns.get(str(made.cid), progress=lambda here, total: seen.append((here, total)))
        assert (content.source, dict(content.files)) == ("kubo", NOTES)
        assert all(here <= total for here, total in seen)
        assert seen[-1][0] == seen[-1][1]
        assert set(twin.wanted) == set(blocks)
        keeper = node.collective.keeper
        assert keeper is not None
        await node.patterns.keep(str(made.cid))
        assert shown(keeper, blocks) == set(), (
            "it may be somebody's private Kubo: what it has is not known to be public"
        )


async def test_what_the_kubo_has_not_is_not_found(tmp_path: Path) -> None:
    made, _ = a_skill()
    async with serving(KuboTwin()) as twin, running(await beside(tmp_path, twin.url)) as node:
        await refused(node, made.cid, BlockUnavailable, "was not found; asked: your devices .0 connected., the Kubo$")
        twin.blocks = {made.cid: made.block}
        await refused(
            node, made.cid, BlockUnavailable, "could not be fetched: .*kubo: the Kubo has not found .* deadline"
        )
    async with running(await beside(tmp_path / "dead", twin.url)) as node:
        await refused(node, made.cid, BlockUnavailable, "asked: your devices .0 connected., the Kubo$")


async def test_files_from_the_kubo_that_unpack_to_gigabytes_are_not_kept(tmp_path: Path) -> None:
    blocks = a_bomb()
    made = manifest(blocks[-1][0])
    twin = KuboTwin({made.cid: made.block, **dict(blocks)})
    async with serving(twin), running(await beside(tmp_path, twin.url)) as node:
        await refused(node, made.cid, BlockRefused, "4,913,000,000 bytes, more than the 33,554,432")


@pytest.mark.parametrize("client", ["httpx", "ipfshttpclient"])
async def test_a_kubo_that_never_answers_is_given_up(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubo_source, "LOOK_SECONDS", 0.5)
    async with a_server(block_get=silent) as server, running(await beside(tmp_path, server.url, client)) as node:
        await refused(
            node, manifest().cid, BlockUnavailable, "was not found; asked: your devices .0 connected., the Kubo$"
        )


async def test_nor_does_it_hold_up_what_a_neighbour_has(tmp_path: Path) -> None:
    """Nor a neighbour that says nothing what the Kubo has: they are asked one soon after the other."""
    made, other = manifest(), manifest(title="Another")
    known = holding((made.cid, made.block))
    async with (
        open_swarm(os.urandom(32), listen=LOOPBACK, bootstrap=(), store=known) as stranger,
        a_server(block_get=silent) as server,
        running(await beside(tmp_path, server.url, "httpx", *stranger.contacts)) as node,
    ):
        await until(lambda: stranger.peer_id in swarm_of(node).peers, "they meet")
        with trio.fail_after(kubo_source.LOOK_SECONDS / 2):
            assert (await node.patterns.get(str(made.cid))).source == "swarm"
    async with serving(KuboTwin({other.cid: other.block})) as twin:
        data = await beside(tmp_path / "second", twin.url, "httpx", "/ip4/127.0.0.1/tcp/9")
        async with running(data) as node, a_host() as bad:
            bad.set_handler(PROTOCOL, never_read, strangers=True)
            await connect(bad, swarm_of(node).host)
            with trio.fail_after(gathering.ASK_SECONDS / 2):
                assert (await node.patterns.get(str(other.cid))).source == "kubo"


async def test_the_kubo_does_not_hear_of_what_may_be_private(tmp_path: Path) -> None:
    made, blocks = a_skill()
    async with serving(KuboTwin(blocks)) as twin, running(await beside(tmp_path, twin.url)) as node:
        keeper = node.collective.keeper
        assert keeper is not None
        document = keeper.mesh.replica.document
        await keeper.mesh.write([document.add(KEPT, str(made.cid))])  # as another device does
        with pytest.raises(BlockUnavailable, match="no stranger, as it may be private"):
            await node.patterns.get(str(made.cid))
        await until(lambda: node.status()["services"]["kubo"]["state"] == "ok", "the Kubo is there")
        own = await keeper.make(draft(tmp_path, files=NOTES), public=False)
        assert own.pattern.files is not None
        for path in node.mesh.data.blocks.rglob(str(own.pattern.files)):
            path.unlink()
        await keeper.forget(own.cid)
        with pytest.raises(BlockUnavailable, match="could not be fetched: your devices"):
            await node.patterns.get(str(own.cid))
        assert twin.wanted == []
        await keeper.mesh.write([document.add(PUBLISHED, str(made.cid))])
        assert (await node.patterns.get(str(made.cid))).files.keys() == NOTES.keys()
        assert made.cid in twin.wanted
