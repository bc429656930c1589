"""A real node as a process: it starts, answers, freezes, dies and returns, and never outlives its simulation."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import psutil
import pytest
import trio

from mycel_simnet.process import NoAnswer, NodeFailed, NodeProcess, Refused, ask


@asynccontextmanager
async def device(folder: Path) -> AsyncIterator[NodeProcess]:
    """A device that has begun a mesh of its own; its node does not run yet."""
    node = NodeProcess(folder, "laptop")
    await node.command("init", "--name", "laptop")
    try:
        yield node
    finally:
        await node.kill()


async def test_a_node_starts_answers_and_stops_cleanly(tmp_path: Path) -> None:
    async with device(tmp_path) as node:
        ready = await node.start()
        assert ready["ready"]
        assert node.running
        assert (await node.call("mesh.digest"))["members"] == [ready["device"]]
        with pytest.raises(Refused, match=r"ControlError.*nonsense"):
            await node.call("nonsense")
        first = node.address
        await node.stop()
        assert not node.running
        await node.start()
        assert node.address == first, "the port is kept"
        await node.stop()


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    async with device(tmp_path) as node:
        await node.start()
        await node.call("collection.apply", operations=[["put", "notes", "shopping", "milk"]])
        pid = node.pid
        await node.kill()
        assert not psutil.pid_exists(pid)
        with pytest.raises(NoAnswer, match="laptop is not running"):
            await node.call("status")
        await node.start()
        assert (await node.call("collection.get", name="notes", kind="map"))["value"] == {"shopping": "milk"}
        await node.stop()


async def test_a_frozen_node_keeps_silent_until_it_thaws_and_stops_even_so(tmp_path: Path) -> None:
    async with device(tmp_path) as node:
        await node.start()
        node.freeze()
        with pytest.raises(NoAnswer, match=r"no answer to 'status' within 0\.3 s"):
            await node.call("status", deadline=0.3)
        node.thaw()
        assert (await node.call("status"))["name"] == "laptop"
        node.freeze()
        await node.stop()


async def test_the_skew_of_a_running_node_can_be_changed(tmp_path: Path) -> None:
    async with device(tmp_path) as node:
        await node.start()

        async def expiry() -> float:
            invite = await node.call("invite", ttl=600)
            return datetime.fromisoformat(invite["expires"]).timestamp()

        before = await expiry()
        node.change(skew=7200.0)
        assert 7200 <= await expiry() - before < 7260
        await node.stop()


async def test_why_a_node_did_not_start_is_said(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, "nobody")
    with pytest.raises(NodeFailed, match=r"(?s)nobody ended with status 1.*NotInitialised"):
        await node.start()
    assert not node.running
    with pytest.raises(NodeFailed, match=r"not ready within 0\.01 s"):
        await node.start(deadline=0.01)
    assert not node.running


async def test_a_command_that_is_refused_says_why(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="InviteError"):
        await NodeProcess(tmp_path, "phone").command("join", "mycel:nonsense")
    with pytest.raises(NodeFailed, match=r"phone: mycelnode init took more than 0\.01 s"):
        await NodeProcess(tmp_path, "phone").command("init", deadline=0.01)


async def test_settings_of_the_person_who_runs_it_do_not_reach_the_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYCEL_DATA_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("MYCEL_MESH_LAN", "true")
    async with device(tmp_path) as node:
        setting = await node.command("config", "get", "mesh.lan")
        assert (setting["value"], setting["source"]) == (False, "environment")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("answer", [b"", b'{"type": "result", "digest": '])
async def test_half_an_answer_is_none(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "s"
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(path))
    listener.listen(1)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def serve() -> None:
            connection, _ = await listener.accept()
            await connection.recv(1000)
            await connection.send(answer)
            connection.close()
            listener.close()

        with pytest.raises(NoAnswer, match="no whole answer"):
            await ask(path, "mesh.digest", {}, 5)


ABANDONED = """
import os, signal, sys, trio
from pathlib import Path
from mycel_simnet.process import NodeProcess
async def main():
    node = NodeProcess(Path(sys.argv[1]), "laptop")
    await node.command("init")
    await node.start()
    if sys.argv[2] == "frozen":
        node.freeze()
    print(node.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
trio.run(main)
"""


@pytest.mark.parametrize("how", ["running", "frozen"])
async def test_no_node_outlives_a_simulation_that_was_killed(tmp_path: Path, how: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = await trio.run_process(
        [sys.executable, "-c", ABANDONED, str(tmp_path), how], capture_stdout=True, check=False, env=environment
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    with trio.fail_after(10):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await trio.sleep(0.02)
