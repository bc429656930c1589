"""A stolen device that puts everybody out, again and again: by design it can (revocations between devices cannot be ranked), within
the bounds that hold for every member; and the phrase undoes it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mycelnode.protocols.shares import MAX_OTHERS
from tests.attacks.processes import until
from tests.attacks.test_insiders import MEMORY_MIB, OUT_SECONDS, STOP_SECONDS, visible
from tests.attacks.two_nodes import NOTES, Honest, two_nodes

ATTACK_SECONDS = 10.0
RECOVER_SECONDS = 60.0
BEFORE_ALL = "1969-12-31"  # whatever the thief's clock said

pytestmark = pytest.mark.timeout(300)


def test_a_thief_that_revokes_everybody_again_and_again_is_undone_by_the_phrase(tmp_path: Path) -> None:
    with two_nodes(tmp_path) as mesh:
        thief = mesh.let_in()
        memory = [node.process.memory for node in mesh.both]
        for node in mesh.both:
            node.process.forget_peak()
        with mesh.attacked("revocations", thief) as attacker:
            for node in mesh.both:
                assert until(lambda node=node: node.device(node.name)["revoked"], OUT_SECONDS)  # type: ignore[misc]
            time.sleep(ATTACK_SECONDS)
            saw = attacker.stop(STOP_SECONDS)
        grown = max(node.process.peak - was for node, was in zip(mesh.both, memory, strict=True))
        print(f"revocations: {grown:.0f} MiB, {saw}")
        assert saw["entries"] > MAX_OTHERS
        assert grown < MEMORY_MIB
        for node in mesh.both:
            assert node.process.alive, node.process.said()
            assert node.device(thief.name)["statements"] <= MAX_OTHERS
    undo = ("--revoke", thief.name, "--since", BEFORE_ALL)
    assert recover(mesh.laptop, mesh.phrase, *undo, "--blind")["still_out"] == []
    with mesh.laptop.run():
        addr = f"{mesh.laptop.process.addr}/p2p/{mesh.laptop.ask('status')['device']}"
        assert recover(mesh.phone, mesh.phrase, *undo, "--peer", addr)["still_out"] == []
        with mesh.phone.run():
            visible(mesh, "afterwards")
            assert until(mesh.in_step, OUT_SECONDS)
            for node in mesh.both:
                devices = node.ask("devices.list")["devices"]
                assert {device["name"] for device in devices if device["revoked"]} == {thief.name}
                assert {f"key-{n}" for n in range(NOTES)} <= set(node.notes())


def recover(node: Honest, phrase: str, *options: str) -> dict[str, Any]:
    """`mycelnode recover`, on a device whose node does not run."""
    command = [sys.executable, "-m", "mycelnode", "--data-dir", str(node.data.path), "--json", "recover", *options]
    done = subprocess.run(command, input=phrase, capture_output=True, text=True, timeout=RECOVER_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
