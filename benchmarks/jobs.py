"""Running the measurements: each in a process of its own, all of them round by round, so that a slow minute of the machine falls on
everybody alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import install

ROOT = Path(__file__).parent.parent
JOB_SECONDS = 300.0  # for one measurement, on a slow machine
LIBRARIES = (1_000, 10_000, 100_000)  # patterns among which is searched
REGISTERED = 10_000  # patterns in a registry that is copied
FILE_BYTES = 10 << 20  # of a file that is fetched with its pattern
LARGE_BYTES = (1 << 30) + 1  # of a file of which only the CID is made
PUT_BYTES = 256 << 20  # into a store of blocks
DECIDED = 10_000  # habits of a window
OPENED = 100_000  # blocks that a store has when it is opened

Runs = dict[str, dict[str, list[float]]]  # job → metric → one number a round


@dataclass(frozen=True)
class Job:
    """A program that prints one JSON object of numbers. ``needs``: whose runtime it wants (None: ours); ``beside``: what else
    has to be installed."""

    name: str
    arguments: Sequence[str]
    needs: str | None = None
    beside: str | None = None
    rounds: int | None = None  # at most so many: what repeats within itself

    def command(self) -> list[str]:
        """How it is started. Raises `install.Missing`."""
        if self.beside is not None:
            _peers(self.beside)
        if self.needs == "node":
            return [install.node(), *self.arguments]
        return [sys.executable if self.needs is None else _peers(self.needs), "-m", *self.arguments]


def _peers(which: str) -> str:
    """The interpreter that has the peers in Python, or also a large part of them. Raises `install.Missing`."""
    return install.python(None if which == "python" else which)


@dataclass(frozen=True)
class Scale:
    """How much is measured: workload size N, repetitions of what is short, seconds of watching an idle node."""

    n: int = 10_000
    times: int = 20
    idle_seconds: int = 10


def jobs(scale: Scale) -> list[Job]:
    """All of them, ours beside its peers."""
    n = str(scale.n)
    found = []
    for workload in ("1", "2", "3"):
        found.append(Job(f"w{workload}.mycelnode", ["benchmarks.ours.crdt", workload, n]))
        for library in ("pycrdt", "loro"):
            peer = ["benchmarks.peers.crdt", library, workload, n]
            found.append(Job(f"w{workload}.{library}", peer, needs="python"))
    found += [
        Job("w4.mycelnode", ["benchmarks.ours.log", n]),
        Job("w4.hypercore", [str(ROOT / "benchmarks/peers/hypercore.mjs"), n], needs="node"),
        Job("net.mycelnode", ["benchmarks.ours.replicate", n]),
        Job("together.mycelnode", ["benchmarks.ours.together", str(scale.times)]),
        *(
            Job(f"search.{n}", ["benchmarks.ours.search", str(n)], rounds=1 if n == max(LIBRARIES) else None)
            for n in LIBRARIES
        ),  # most of the time of the largest goes into filling it
        Job("registry", ["benchmarks.ours.registry", str(REGISTERED)], rounds=1),
        Job("finding", ["benchmarks.ours.finding", str(REGISTERED)], rounds=1),
        Job("publish", ["benchmarks.ours.publish", str(scale.times)]),
        Job("fetch", ["benchmarks.ours.fetch", str(scale.times), str(FILE_BYTES)], rounds=1),
        Job("cids", ["benchmarks.ours.cids", "3", str(LARGE_BYTES)], rounds=1),
        Job("blocks", ["benchmarks.ours.blocks", str(PUT_BYTES), str(OPENED)], rounds=3),
        Job("keys", ["benchmarks.ours.keys", "--job"]),
        Job("ordinary", ["benchmarks.ours.ordinary", "--job"], rounds=1),
        Job("labelled", ["benchmarks.ours.labelled", "--job"], rounds=1),
        Job("windows", ["benchmarks.ours.windows", "--job"], rounds=1),
        Job("detectors", ["benchmarks.ours.detectors", "--job"], beside="python", rounds=3),
        Job("detectors.presidio", ["benchmarks.ours.detectors", "--presidio"], beside=install.PRIVACY, rounds=3),
        Job("dial", ["benchmarks.ours.dial", str(scale.times)]),
        Job("catalogue", ["benchmarks.ours.catalogue", str(10 * scale.n)]),
        Job("chain", ["benchmarks.ours.chain", str(5 * scale.times)], rounds=3),
        Job("release", ["benchmarks.ours.release", str(DECIDED)]),
        Job("release.opendp", ["benchmarks.peers.opendp", str(DECIDED)], needs=install.PRIVACY),
        Job("idle", ["benchmarks.ours.idle", str(scale.idle_seconds), str(scale.times)], rounds=1),
    ]
    return found


class Failed(Exception):
    """A measurement ended without numbers; the text has the end of what it said."""


def run(job: Job) -> Mapping[str, float]:
    """One measurement. Raises `Failed`, `install.Missing`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "MYCEL_MESH_LAN": "false"}
    try:
        done = subprocess.run(
            job.command(), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=JOB_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{job.name} took more than {JOB_SECONDS:.0f} s") from error
    if done.returncode:
        raise Failed(f"{job.name} ended with status {done.returncode}\n{done.stderr[-2000:]}")
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def run_all(chosen: Sequence[Job], rounds: int, tell: Callable[[str], None]) -> tuple[Runs, dict[str, str]]:
    """All jobs, round by round: the numbers, and why some were left out. ``tell`` hears of each step. Raises `Failed`."""
    runs: Runs = {}
    skipped: dict[str, str] = {}
    for number in range(1, rounds + 1):
        for job in chosen:
            if job.name in skipped or number > (job.rounds or rounds):
                continue
            tell(f"round {number}/{rounds}: {job.name}")
            try:
                for metric, value in run(job).items():
                    runs.setdefault(job.name, {}).setdefault(metric, []).append(value)
            except install.Missing as error:
                skipped[job.name] = str(error)
    return runs, skipped
