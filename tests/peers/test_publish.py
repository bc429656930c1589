"""What a person publishes, as the world of IPFS sees it: a Kubo that never met the node's own Kubo fetches it, and reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from mycelnode.joining import init_mesh
from mycelnode.node import Node
from tests.node.nodes import SkewedClock, ask, folder, running
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


async def test_what_is_published_is_pinned_in_the_kubo_and_a_dead_one_costs_nothing(
    new_kubo: Callable[[], Kubo], tmp_path: Path
) -> None:
    kubo = new_kubo()
    async with running(await a_person(tmp_path, "laptop", kubo.api_url)) as node:
        skill = a_skill(tmp_path)
        answer = await publish(node, skill)
        assert answer["told"].endswith("pinned in the Kubo")
        assert answer["cid"] in (await off_thread(kubo.run, "pin", "ls", "-q", "-t", "recursive")).decode().split()
        files = json.loads(await off_thread(kubo.run, "dag", "get", answer["cid"]))["content"]["pattern"]["files"]["/"]
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
