"""The demo's last act: what a person publishes is found, fetched, checked and used by somebody who never met that person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from mycel_simnet.process import LISTEN, SETTINGS, NodeProcess

COLLECTIVE = {"MYCEL_SWARM_ENABLED": "true", "MYCEL_SWARM_LISTEN": LISTEN}
POLL_SECONDS = 0.1
PATTERN = """---
title: Dinner from what is left
domain: cooking
description: Says how to make a dish of the things that are left in the kitchen.
trigger: somebody asks what to cook
---
Cook {dish} for {{{{people}}}} people, of {{{{leftovers}}}}, and say how.
"""


@asynccontextmanager
async def open_stranger(
    folder: Path, bootstrap: str, name: str = "stranger", skew: float = 0.0, heard: Path | None = None
) -> AsyncIterator[NodeProcess]:
    """A node with a mesh of its own, which knows of one address in the swarm, and of nobody else; its clock ``skew`` s ahead.

    ``heard``: where all is kept that comes in there, decrypted.
    """
    node = NodeProcess(folder, name, settings={**SETTINGS, **COLLECTIVE, "MYCEL_SWARM_BOOTSTRAP": bootstrap})
    node.change(routes=None, skew=skew, heard=None if heard is None else str(heard))
    await node.command("init", "--name", name)
    await node.start()
    try:
        yield node
    finally:
        with trio.CancelScope(shield=True):
            await node.kill()


async def join_collective(node: NodeProcess) -> str:
    """Open a device's second door; returns its address there, with its peer id."""
    for key, value in (("swarm.listen", LISTEN), ("swarm.enabled", "true")):
        await node.call("config.set", key=key, value=value)
    await node.stop()
    ready = await node.start()
    return f"{ready['swarm']['addrs'][0]}/p2p/{ready['swarm']['peer']}"


async def publish(node: NodeProcess, folder: Path, dish: str) -> str:
    """Make a pattern public, by the consent path of scripts; returns its CID."""
    file = folder / "dinner.md"
    file.write_text(PATTERN.format(dish=dish))
    answer = await node.command("pattern", "publish", str(file), "--consent")
    return str(answer["cid"])


async def found(node: NodeProcess, query: str, cid: str, deadline: float) -> bool:
    """Does a search find it in time?"""
    with trio.move_on_after(deadline):
        while True:
            answer: dict[str, Any] = await node.call("pattern.search", query=query)
            if cid in (result["cid"] for result in answer["results"]):
                return True
            await trio.sleep(POLL_SECONDS)
    return False


async def kept(node: NodeProcess, cid: str, deadline: float) -> bool:
    """Is it among the patterns of a device in time?"""
    with trio.move_on_after(deadline):
        while True:
            answer: dict[str, Any] = await node.call("pattern.list")
            if cid in (pattern["cid"] for pattern in answer["patterns"]):
                return True
            await trio.sleep(POLL_SECONDS)
    return False
