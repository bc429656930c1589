"""The demo as its user runs it; and spoilt on purpose, in the test's own process, to see that it notices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from mycel_simnet.demo import DEVICES

pytestmark = pytest.mark.timeout(120)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo makes its folder."""
    return tmp_path_factory.mktemp("t")


@pytest.fixture
def start(temporary: Path) -> Iterator[Start]:
    """Start the demo, or a program that spoils it first; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, spoil: str | None = None) -> subprocess.Popen[str]:
        program = ["-m", "mycelnode.cli", "demo"]
        if spoil is not None:
            program = ["-c", f"{textwrap.dedent(spoil)}\nfrom mycel_simnet.commands import demo\ndemo()"]
        process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)},
            process_group=0,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_the_demo_keeps_its_promises_and_leaves_nothing_behind(start: Start, temporary: Path) -> None:
    process = start()
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    assert err == ""
    assert "✗" not in out
    assert ("all of it burnt as gas, to the yocto ✓" in out) == (find_spec("wasmtime") is not None)
    table = [line.split() for line in out.splitlines() if line.startswith(DEVICES)]
    assert [(row[0], row[3]) for row in table] == [("laptop", "yes"), ("phone", "yes"), ("desk", "no")]
    assert table[0][1:3] == table[1][1:3], "laptop and phone end alike"
    assert list(temporary.iterdir()) == []


def test_the_demo_for_scripts_is_one_object_and_keeps_its_folder_when_asked(start: Start, temporary: Path) -> None:
    process = start("--json", "--keep", "--seed", "7")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    answer = json.loads(out)
    assert (answer["ok"], answer["seed"], answer["differences"]) == (True, 7, [])
    assert [device["member"] for device in answer["devices"]] == [True, True, False]
    assert Path(answer["folder"]).parent == temporary
    assert all((Path(answer["folder"]) / name / "mycel.db").exists() for name in DEVICES)


NEVER_HEALS = """
    from mycel_simnet import cluster, demo
    demo.STEP_SECONDS = 2.0
    cluster.Cluster.heal = lambda self: None
"""
LOSES_A_WRITE = """
    from mycel_simnet import cluster
    write = cluster.Cluster.write
    async def lossy(self, name, operations):
        kept = [operation for operation in operations if operation[0] != "count"]
        return await write(self, name, kept)
    cluster.Cluster.write = lossy
"""
BREAKS_WHEN_STARTED_AGAIN = """
    from mycel_simnet import process
    start = process.NodeProcess.start
    async def fail(self, **named):
        if self.starts:
            (self.data / "device.key").write_bytes(b"spoilt")
        return await start(self, **named)
    process.NodeProcess.start = fail
"""

TELLS_THE_STRANGER_NOTHING = """
    from mycel_simnet import demo, strangers
    demo.STEP_SECONDS = 5.0
    join = strangers.join_collective
    async def elsewhere(node):
        return (await join(node)).replace("127.0.0.1", "127.0.0.9")
    strangers.join_collective = elsewhere
"""

KEEPS_WHAT_IS_PUBLIC_FOR_PRIVATE = """
    from mycel_simnet import learning
    history = learning.history
    def wrong(chance, until):
        turns, private = history(chance, until)
        return turns, private | {"Write a test", "signed_tx_base64"}
    learning.history = wrong
"""

LOSES_A_YOCTO = """
    from mycel_simnet import market
    burnt = market._burnt
    async def wrong(chain, people):
        return await burnt(chain, people) + 1
    market._burnt = wrong
"""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (LOSES_A_YOCTO, "all of it burnt as gas, to the yocto: expected"),
        (KEEPS_WHAT_IS_PUBLIC_FOR_PRIVATE, "secrets: expected [], found ['Write a test', 'signed_tx_base64']"),
        (NEVER_HEALS, "not in step after 2 s"),
        (LOSES_A_WRITE, "sim.total holds what the writes that count add up to"),
        (TELLS_THE_STRANGER_NOTHING, "it finds the pattern: expected True, found False"),
        (BREAKS_WHEN_STARTED_AGAIN, "phone ended with status 1 before it was ready"),
    ],
)
def test_the_demo_fails_and_says_what_differs(start: Start, temporary: Path, spoil: str, said: str) -> None:
    process = start("--seed", "7", spoil=spoil)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1, out + err
    assert said in err
    assert "(seed 7)" in err
    assert list(temporary.iterdir()) == []


def test_ctrl_c_ends_the_demo_and_its_nodes_cleanly(start: Start, temporary: Path) -> None:
    process = start()
    assert process.stdout is not None
    for line in process.stdout:
        if "join" in line:
            break
    nodes = psutil.Process(process.pid).children(recursive=True)
    assert len(nodes) == 3
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == ""
    assert not any(node.is_running() and node.status() != psutil.STATUS_ZOMBIE for node in nodes)
    assert list(temporary.iterdir()) == []
