"""A small cluster of real nodes: what its wires, faults and questions do to it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import trio

from mycel_simnet.cluster import NotConverged, Standing, in_step, open_cluster
from mycel_simnet.process import NoAnswer, NodeProcess, Refused

STEP = 20.0  # seconds


async def test_devices_part_and_meet_over_the_wires_only(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, ["laptop", "phone"]) as cluster:
        await cluster.converged(STEP)
        assert cluster.network.link("phone", "laptop").carried + cluster.network.link("laptop", "phone").carried > 0
        cluster.partition(["laptop"], ["phone"])
        seq = await cluster.write("laptop", [["put", "notes", "shopping", "milk"]])
        with pytest.raises(NotConverged, match=rf"laptop: digest .* laptop:{seq}") as caught:
            await cluster.converged(1.0)
        assert "phone: digest" in str(caught.value)
        assert await cluster.read("phone", "notes", "map") == {}
        cluster.heal()
        assert await cluster.converged(STEP) < STEP
        assert await cluster.read("phone", "notes", "map") == {"shopping": "milk"}


async def test_a_killed_device_misses_something_and_catches_up(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, ["laptop", "phone"]) as cluster:
        await cluster.kill("phone")
        await cluster.write("laptop", [["count", "steps", 5]])
        with pytest.raises(NotConverged, match="phone is not running"):
            await cluster.converged(0.5)
        await cluster.restart("phone")
        await cluster.converged(STEP)
        assert await cluster.read("phone", "steps", "counter") == 5


async def test_a_revoked_device_is_no_longer_waited_for(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, ["laptop", "phone", "desk"]) as cluster:
        await cluster.converged(STEP)
        fence = await cluster.revoke("laptop", "desk")
        assert cluster.healthy == ["laptop", "phone"]
        await cluster.kill("desk")
        await cluster.converged(STEP)
        standing = await cluster.standing("phone")
        assert standing.members == {"laptop", "phone"}
        assert standing.applied.get("desk", 0) == fence


async def test_what_goes_wrong_inside_comes_out_bare_and_leaves_no_process(tmp_path: Path) -> None:
    pids = []

    async def lose_a_node() -> None:
        async with open_cluster(tmp_path, ["laptop"]) as cluster:
            pids.append(cluster.nodes["laptop"].pid)
            os.kill(pids[0], signal.SIGKILL)
            while cluster.nodes["laptop"].running:
                await trio.sleep(0.01)
            await cluster.write("laptop", [["count", "steps", 1]])

    with trio.fail_after(STEP), pytest.raises(NoAnswer, match="laptop is not running"):
        await lose_a_node()

    async def fail() -> None:
        async with open_cluster(tmp_path / "other", ["laptop"]) as cluster:
            pids.append(cluster.nodes["laptop"].pid)
            raise KeyError("on purpose")

    (tmp_path / "other").mkdir()
    with pytest.raises(KeyError, match="on purpose"):
        await fail()
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_device_that_cannot_join_says_so(tmp_path: Path) -> None:
    await NodeProcess(tmp_path, "phone").command("init")  # it has a mesh of its own

    async def join() -> None:
        async with open_cluster(tmp_path, ["laptop", "phone"]):
            pytest.fail("it joined")

    with pytest.raises(Refused, match="AlreadyInitialised"):
        await join()


def test_in_step_means_the_same_and_nothing_lacking() -> None:
    one = Standing("d", {"a": 1}, frozenset({"a", "b"}), {"b": 0, "c": 5})
    assert in_step({"a": one, "b": Standing("d", {"a": 1}, frozenset({"a", "b"}), {"a": 0})}), "c is not asked for"
    assert not in_step({"a": one, "b": Standing("e", {"a": 1}, frozenset({"a", "b"}), {})})
    assert not in_step({"a": one, "b": Standing("d", {"a": 2}, frozenset({"a", "b"}), {})})
    assert not in_step({"a": one, "b": Standing("d", {"a": 1}, frozenset({"a"}), {})})
    assert not in_step({"a": one, "b": Standing("d", {"a": 1}, frozenset({"a", "b"}), {"a": 3})})
    assert not in_step({"a": one, "b": "no answer"})
