"""A Kubo beside the node has what is public, and nothing else, whatever happened to either meanwhile. It is the twin in memory."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mycelnode.collective import kubo_pins
from mycelnode.joining import init_mesh
from mycelnode.node import Node
from mycelnode.paths import DataDir
from mycelnode.patterns.cid import Cid
from tests.adapters.kubo_twin import KuboTwin, No, Params, serving
from tests.adapters.server import a_server, silent
from tests.node.nodes import SOON, SkewedClock, folder, running, until
from tests.node.patterns import blocks_of, draft, keeper_of

FILES = {"references/notes.md": b"what I noticed", "scripts/large.bin": bytes(range(256)) * 4096}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubo_pins, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(kubo_pins, "LONGEST_SECONDS", 0.2)
    monkeypatch.setattr(kubo_pins, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubo_pins, "LOOK_SECONDS", 0.05)


async def person(tmp_path: Path, url: str, client: str = "httpx") -> DataDir:
    data = folder(tmp_path, "anna")
    await init_mesh(data, "anna", clock=SkewedClock())
    use(data, url, client)
    return data


def use(data: DataDir, url: str, client: str = "httpx") -> None:
    """From the next start on."""
    data.config.write_text(f'[mesh]\nlan = false\n[kubo]\nurl = "{url}"\nclient = "{client}"\n')


@asynccontextmanager
async def beside(tmp_path: Path, twin: KuboTwin) -> AsyncIterator[Node]:
    """A node with a Kubo that is there."""
    async with serving(twin), running(await person(tmp_path, twin.url)) as node:
        yield node


def state(node: Node) -> str:
    return str(node.status()["services"]["kubo"]["state"])


def said(node: Node) -> str:
    return str(node.status()["services"]["kubo"]["detail"])


def pinned(twin: KuboTwin) -> set[Cid]:
    """All blocks that a garbage collection would leave there."""
    return {
        below for cid, (kind, _) in twin.pins.items() for below in (twin.below(cid) if kind == "recursive" else {cid})
    }


async def publish(node: Node, where: Path, name: str, files: dict[str, bytes] | None = None) -> Cid:
    """A skill, the way that a person does it."""
    draft(where, name, files=files)
    return Cid.parse((await node.patterns.publish(where / name)).cid)


# --- what it gets --------------------------------------------------------------------------------------------------------------


async def test_it_has_what_is_published_and_nothing_that_this_names(tmp_path: Path) -> None:
    twin = KuboTwin()
    async with beside(tmp_path, twin) as node:
        keeper = keeper_of(node)
        private = await keeper.make(draft(tmp_path, "private", files={"secret.txt": b"a secret"}), public=False)
        step = {"instruction": "Do it", "pattern": str(private.cid)}
        made = await node.patterns.publish(
            {"title": "All of it", "domain": "work", "kind": "workflow", "steps": [step]}
        )
        assert made.told.endswith("pinned in the Kubo")
        skill = await publish(node, tmp_path, "public", FILES)
        hidden = blocks_of(keeper, private.cid)
        assert hidden <= blocks_of(keeper, Cid.parse(made.cid)), "the workflow does name it, or this shows nothing"
        assert twin.blocks.keys() == {Cid.parse(made.cid)} | blocks_of(keeper, skill)
        assert pinned(twin) == set(twin.blocks)
        assert not hidden & twin.blocks.keys()


async def test_what_the_person_makes_or_keeps_and_does_not_publish_is_not_put_there(tmp_path: Path) -> None:
    twin = KuboTwin()
    async with beside(tmp_path, twin) as node:
        await keeper_of(node).make(draft(tmp_path, "private", files=FILES), public=False)
        public = await publish(node, tmp_path, "public")
        await until(lambda: state(node) == "ok" and public in twin.pins, "it is in step")
        assert set(twin.blocks) == {public}


# --- in step -------------------------------------------------------------------------------------------------------------------


async def test_what_was_published_without_it_is_pinned_at_the_next_start(tmp_path: Path) -> None:
    data, twin = await person(tmp_path, ""), KuboTwin()
    async with running(data) as node:
        cid = await publish(node, tmp_path, "public", FILES)
        blocks = blocks_of(keeper_of(node), cid)
        assert "kubo" not in node.status()["services"]
    async with serving(twin):
        use(data, twin.url)
        async with running(data) as node:
            await until(lambda: pinned(twin) == blocks, "it is pinned")


async def test_a_dead_one_is_tried_again_until_it_is_back_and_both_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, look_often: None
) -> None:
    twin = KuboTwin()
    caplog.set_level(logging.WARNING, kubo_pins.__name__)
    async with serving(twin):
        port = int(twin.url.rpartition(":")[2])
    async with running(await person(tmp_path, twin.url)) as node:
        await until(lambda: state(node) == "failed", "it says so before anything is published")
        assert "nothing answers at kubo.url" in said(node)
        made = await node.patterns.publish(path_of(tmp_path, "public"))
        assert "not pinned in the Kubo, which is tried again: nothing answers" in made.told
        assert len(caplog.records) == 1
        async with serving(twin, port):
            await until(lambda: Cid.parse(made.cid) in pinned(twin), "it is pinned without being told to")
            await until(lambda: state(node) == "ok", "and says so")
            assert said(node) == twin.url
        await until(lambda: state(node) == "failed", "its death is seen, though nothing is published")
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "what is published is not pinned in the Kubo",
        "the Kubo answers again, and keeps what is published",
        "what is published is not pinned in the Kubo",
    ]


def path_of(where: Path, name: str) -> Path:
    draft(where, name)
    return where / name


async def test_what_it_lost_it_gets_again(tmp_path: Path, look_often: None) -> None:
    twin = KuboTwin()
    async with beside(tmp_path, twin) as node:
        cid = await publish(node, tmp_path, "public", FILES)
        blocks = blocks_of(keeper_of(node), cid)
        twin.pins.clear()
        twin.blocks.clear()
        await until(lambda: pinned(twin) == blocks, "it is there again")


async def test_one_pattern_that_it_refuses_keeps_no_other_away(tmp_path: Path) -> None:
    twin = Choosy()
    async with beside(tmp_path, twin) as node:
        twin.refused = (await keeper_of(node).make(draft(tmp_path, "first"), public=True)).cid
        second = (await keeper_of(node).make(draft(tmp_path, "second"), public=True)).cid
        await until(lambda: second in twin.pins, "the other is pinned")
        await until(lambda: "not today" in said(node), "and what it said is told")
        refused, twin.refused = twin.refused, None
        await until(lambda: refused in twin.pins and state(node) == "ok", "it is tried again")


class Choosy(KuboTwin):
    """It does not pin what is ``refused``."""

    refused: Cid | None = None

    def answer(self, command: str, params: Params, body: bytes) -> bytes:
        if command == "pin/add" and params["arg"] == str(self.refused):
            raise No("not today")
        return super().answer(command, params, body)


# --- what is forgotten, and what is somebody else's ----------------------------------------------------------------------------


async def test_what_is_forgotten_is_unpinned_and_pins_of_others_are_left(tmp_path: Path) -> None:
    twin = KuboTwin()
    async with beside(tmp_path, twin) as node:
        first = await publish(node, tmp_path, "first", FILES)
        second = await publish(node, tmp_path, "second")
        theirs = {
            Cid.of(second.codec, b"\xa0"): ("recursive", ""),
            Cid.of(second.codec, b"\xa1"): ("direct", "mycelnode:00:x"),
        }
        twin.pins.update(theirs)
        await node.patterns.forget(str(first))
        await until(lambda: twin.pins.keys() == {second, *theirs}, "it is unpinned, with its files")
        assert {cid: twin.pins[cid] for cid in theirs} == theirs
        twin.pins[second] = ("recursive", "")  # the person pins it themselves
        twin.commands.clear()
        await node.patterns.forget(str(second))
        await until(lambda: "pin/ls" in twin.commands, "it looks again")
        await publish(node, tmp_path, "third")  # which comes after it
        assert twin.pins[second] == ("recursive", "")


async def test_what_the_person_pinned_before_is_neither_renamed_nor_unpinned(tmp_path: Path) -> None:
    twin = KuboTwin()
    data = await person(tmp_path, "")
    async with running(data) as node:
        cid = await publish(node, tmp_path, "public", FILES)
        keeper = keeper_of(node)
        root = (await keeper.load(cid)).pattern.files
        assert root is not None
        for each in blocks_of(keeper, cid):
            block = keeper.store.get(each)
            assert block is not None
            twin.blocks[each] = block
    theirs = {cid: ("recursive", "my favourite"), root: ("direct", "")}
    twin.pins.update(theirs)
    async with serving(twin):
        use(data, twin.url)
        async with running(data) as node:
            await until(lambda: state(node) == "ok", "it is in step")
            assert twin.pins == theirs
            await node.patterns.forget(str(cid))
            last = await publish(node, tmp_path, "last")
            await until(lambda: last in twin.pins, "it went on")
            assert {each: twin.pins[each] for each in theirs} == theirs


async def test_files_of_two_patterns_stay_until_both_are_forgotten(tmp_path: Path) -> None:
    twin = KuboTwin()
    async with beside(tmp_path, twin) as node:
        first, second = [await publish(node, tmp_path, name, FILES) for name in ("first", "second")]
        (root,) = twin.pins.keys() - {first, second}
        await node.patterns.forget(str(first))
        await until(lambda: first not in twin.pins, "it is unpinned")
        assert root in twin.pins
        await node.patterns.forget(str(second))
        await until(lambda: not twin.pins, "all is unpinned")


async def test_a_restart_knows_its_pins_again(tmp_path: Path) -> None:
    twin = KuboTwin()
    async with serving(twin):
        data = await person(tmp_path, twin.url)
        async with running(data) as node:
            cid = await publish(node, tmp_path, "public", FILES)
        use(data, "")
        async with running(data) as node:
            await node.patterns.forget(str(cid))
        assert cid in twin.pins
        use(data, twin.url)
        async with running(data) as node:
            await until(lambda: not twin.pins, "what was forgotten meanwhile is unpinned")


# --- how it is -----------------------------------------------------------------------------------------------------------------


async def test_a_password_is_not_shown(tmp_path: Path) -> None:
    twin = KuboTwin()
    async with serving(twin), running(await person(tmp_path, twin.url.replace("//", "//anna:secret@"))) as node:
        await until(lambda: state(node) == "ok", "it is in step")
        assert said(node) == twin.url


async def test_a_client_that_is_not_there_stops_no_node(tmp_path: Path, no_ipfshttpclient: None) -> None:
    async with running(await person(tmp_path, "http://127.0.0.1:1", "ipfshttpclient")) as node:
        assert state(node) == "failed"
        assert "ipfshttpclient is not installed" in said(node)
        made = await node.patterns.publish(path_of(tmp_path, "public"))
        assert "not pinned in the Kubo: ipfshttpclient is not installed" in made.told
        assert node.status()["services"]["mesh"]["state"] == "ok"


@pytest.fixture
def no_ipfshttpclient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipfshttpclient", None)


async def test_one_that_says_nothing_holds_up_neither_who_publishes_nor_the_end_of_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubo_pins, "PIN_SECONDS", 0.2)
    async with a_server(id=silent) as server:
        with trio.fail_after(SOON):  # a third of what the adapter would wait
            async with running(await person(tmp_path, server.url)) as node:
                made = await node.patterns.publish(path_of(tmp_path, "public"))
                assert "to be pinned in the Kubo, once it has taken what comes before" in made.told
                assert (state(node), said(node)) == ("off", f"{server.url} has not answered yet")
