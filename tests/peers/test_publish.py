"""What a person publishes, as the world of IPFS sees it; and what a Kubo of their own has of it, and finds for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.joining import init_mesh
from mycelnode.node import Node
from mycelnode.patterns.cid import Cid
from tests.node.nodes import SOON, SkewedClock, ask, folder, running
from tests.node.patterns import blocks_of, draft, keeper_of
from tests.peers.helia import Helia
from tests.peers.kubo import Kubo

CHART = bytes(range(256)) * 5000  # more than a part of a file
SKILL = "---\nname: weekly-plan\ndescription: Turns tasks into a plan for the week.\n---\n\nPlan the week.\n"


async def off_thread(call: Callable[..., object], *arguments: object) -> Any:
    return await trio.to_thread.run_sync(call, *arguments)


async def a_person(tmp_path: Path, name: str, kubo_url: str = "") -> Any:
    """A folder whose node takes part in the collective."""
    data = folder(tmp_path, name)
    await init_mesh(data, name, clock=SkewedClock())
    settings = '[mesh]\nlan = false\n[swarm]\nenabled = true\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n'
    data.config.write_text(settings + (f'[kubo]\nurl = "{kubo_url}"\n' if kubo_url else ""))
    return data


def a_skill(tmp_path: Path) -> Path:
    skill = tmp_path / "weekly-plan"
    for place, content in (("SKILL.md", SKILL.encode()), ("scripts/plan.sh", b"echo plan\n"), ("assets/chart", CHART)):
        (skill / place).parent.mkdir(parents=True, exist_ok=True)
        (skill / place).write_bytes(content)
    return skill


def contact(node: Node) -> str:
    swarm = node.collective.swarm
    assert swarm is not None
    return swarm.contacts[0]


async def publish(node: Node, path: Path) -> Mapping[str, Any]:
    return await ask(node, "pattern.publish", path=str(path))


async def test_a_strangers_kubo_and_helia_fetch_a_skill_from_the_node(
    a_kubo: Kubo, a_helia: Helia, tmp_path: Path
) -> None:
    async with running(await a_person(tmp_path, "laptop")) as node:
        cid = (await publish(node, a_skill(tmp_path)))["cid"]
        await off_thread(a_kubo.connect, contact(node))
        said = json.loads(await off_thread(a_kubo.run, "dag", "get", cid))
        pattern = said["content"]["pattern"]
        assert pattern["title"] == (await ask(node, "pattern.show", cid=cid))["title"]
        files = pattern["files"]["/"]
        assert await off_thread(a_kubo.cat, f"{files}/assets/chart") == CHART
        assert await off_thread(a_kubo.cat, f"{files}/scripts/plan.sh") == b"echo plan\n"
        chart = (
            (await off_thread(a_kubo.run, "resolve", f"/ipfs/{files}/assets/chart")).decode().strip()[len("/ipfs/") :]
        )
        await off_thread(a_helia.connect, contact(node))
        assert await off_thread(a_helia.cat, chart) == CHART


def pins(kubo: Kubo) -> dict[str, str]:
    """CID → kind, of what is pinned for its own sake."""
    lines = [kubo.run("pin", "ls", "-t", kind).decode().splitlines() for kind in ("recursive", "direct")]
    return dict(line.split()[:2] for part in lines for line in part)


async def test_what_is_published_is_pinned_in_the_kubo_and_a_dead_one_costs_nothing(
    new_kubo: Callable[[], Kubo], tmp_path: Path
) -> None:
    kubo = new_kubo()
    async with running(await a_person(tmp_path, "laptop", kubo.api_url)) as node:
        skill = a_skill(tmp_path)
        answer = await publish(node, skill)
        assert answer["told"].endswith("pinned in the Kubo")
        files = json.loads(await off_thread(kubo.run, "dag", "get", answer["cid"]))["content"]["pattern"]["files"]["/"]
        pinned = await off_thread(pins, kubo)
        assert (pinned[answer["cid"]], pinned[files]) == ("direct", "recursive")
        await off_thread(kubo.run, "repo", "gc")
        assert await off_thread(kubo.cat, f"{files}/assets/chart") == CHART
        assert node.status()["services"]["kubo"] == {"state": "ok", "detail": kubo.api_url}

        await off_thread(kubo.stop)
        (skill / "SKILL.md").write_text(SKILL.replace("the week", "the month"))
        second = await publish(node, skill)
        assert "not pinned in the Kubo" in second["told"]
        assert second["cid"] != answer["cid"]
        assert node.status()["services"]["kubo"]["state"] == "failed"
        kept = [pattern["cid"] for pattern in (await ask(node, "pattern.list"))["patterns"]]
        assert {answer["cid"], second["cid"]} <= set(kept)


async def test_a_private_pattern_does_not_reach_the_kubo_through_what_names_it(
    new_kubo: Callable[[], Kubo], tmp_path: Path
) -> None:
    kubo = new_kubo()
    async with running(await a_person(tmp_path, "laptop", kubo.api_url)) as node:
        keeper = keeper_of(node)
        private = await keeper.make(draft(tmp_path, "private", files={"secret.txt": b"a secret"}), public=False)
        step = {"instruction": "Do it", "pattern": str(private.cid)}
        made = await node.patterns.publish(
            {"title": "All of it", "domain": "work", "kind": "workflow", "steps": [step]}
        )
        assert made.told.endswith("pinned in the Kubo")
        assert (await off_thread(pins, kubo))[made.cid] == "direct"
        assert await off_thread(kubo.holds, made.cid), "or the next lines would show nothing"
        for cid in blocks_of(keeper, private.cid):
            assert not await off_thread(kubo.holds, str(cid))


async def test_the_kubo_follows_what_is_public_and_its_other_pins_are_left(a_kubo: Kubo, tmp_path: Path) -> None:
    """Published before there was a Kubo, forgotten while there is none, or while there is."""
    before = await off_thread(pins, a_kubo)
    data = await a_person(tmp_path, "laptop")
    async with running(data) as node:
        cid = (await publish(node, a_skill(tmp_path)))["cid"]
        files = str((await keeper_of(node).load(Cid.parse(cid))).pattern.files)
        other = str((await keeper_of(node).make(draft(tmp_path, "other"), public=True)).cid)
        theirs = (await off_thread(a_kubo.add, b"the person's own")).strip()
    settings = data.config.read_text()
    data.config.write_text(settings + f'[kubo]\nurl = "{a_kubo.api_url}"\n')
    async with running(data) as node:
        await until_pinned(a_kubo, {*before, theirs, cid, files, other})
        await node.patterns.forget(cid)
        await until_pinned(a_kubo, {*before, theirs, other})
    data.config.write_text(settings)
    async with running(data) as node:
        await node.patterns.forget(other)
    data.config.write_text(settings + f'[kubo]\nurl = "{a_kubo.api_url}"\n')
    async with running(data) as node:
        await until_pinned(a_kubo, {*before, theirs})


async def until_pinned(kubo: Kubo, wanted: set[str]) -> None:
    """Just these."""
    found = dict[str, str]()
    with trio.move_on_after(SOON):
        while (found := await off_thread(pins, kubo)).keys() != wanted:
            await trio.sleep(0.1)
    assert found.keys() == wanted


@pytest.mark.parametrize("client", ["httpx", "ipfshttpclient"])
async def test_what_the_kubo_has_or_finds_is_found_by_its_cid(
    client: str, two_kubos: tuple[Kubo, Kubo], tmp_path: Path
) -> None:
    """The door to the swarm is shut, and the pattern lies in another Kubo, which the node's own one is connected with."""
    away, near = two_kubos
    async with running(await a_person(tmp_path, "laptop", away.api_url)) as node:
        cid = (await publish(node, a_skill(tmp_path)))["cid"]
        assert await off_thread(away.holds, cid)
    assert not await off_thread(near.holds, cid)
    data = folder(tmp_path, "phone")
    await init_mesh(data, "phone", clock=SkewedClock())
    data.config.write_text(f'[mesh]\nlan = false\n[kubo]\nurl = "{near.api_url}"\nclient = "{client}"\n')
    async with running(data) as node:
        found = await node.patterns.get(cid)
        assert (found.source, found.files["assets/chart"]) == ("kubo", CHART)


async def test_a_pattern_that_only_a_kubo_has_is_found_by_its_cid(a_kubo: Kubo, tmp_path: Path) -> None:
    """Its maker's node is gone; a Kubo fetched it before."""
    async with running(await a_person(tmp_path, "laptop")) as node:
        cid = (await publish(node, a_skill(tmp_path)))["cid"]
        await off_thread(a_kubo.connect, contact(node))
        await off_thread(a_kubo.run, "pin", "add", cid)
    data = await a_person(tmp_path, "phone")
    data.config.write_text(data.config.read_text() + f'bootstrap = ["{a_kubo.addrs[0]}"]\n')
    async with running(data) as node:
        assert node.collective.swarm is not None
        with trio.fail_after(20):
            while not node.collective.swarm.peers:
                await trio.sleep(0.01)
        shown = await ask(node, "pattern.show", cid=cid)
        assert {file["path"]: file["size"] for file in shown["files"]} == {
            "scripts/plan.sh": 10,
            "assets/chart": len(CHART),
        }
