"""The real program, as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SECONDS = 40


@dataclass(frozen=True)
class Done:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON object it must be."""
        assert self.code == 0, self
        return json.loads(self.out)

    def failed(self, error: str, *, code: int = 1, out: str = "") -> str:
        """Check that it failed as promised with ``--json``; returns the sentence."""
        assert (self.code, self.out) == (code, out), self
        said = json.loads(self.err)
        assert set(said) == {"error", "message"}
        assert said["error"] == error, self
        assert "\n" not in said["message"]
        return str(said["message"])

    @property
    def sentence(self) -> str:
        """The one sentence on standard error of a run that failed."""
        assert (self.code, self.out) == (1, ""), self
        assert self.err.startswith("mycelnode: ")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("mycelnode: ").rstrip("\n")


class Program:
    """`mycelnode` on one data folder."""

    stdin = subprocess.DEVNULL  # of what is left running

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "mycelnode.cli", *arguments, "--data-dir", str(self.folder)]

    def shell(self, line: str, env: dict[str, str] | None = None) -> Done:
        """Run ``line`` in a shell that knows the program as ``$mycelnode``, to be given arguments and odd streams."""
        program = f"{sys.executable} -m mycelnode.cli --data-dir {self.folder}"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            capture_output=True,
            timeout=SECONDS,
            env={**environment(env), "mycelnode": program},
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())

    def __call__(self, *arguments: str, says: str = "", env: dict[str, str] | None = None) -> Done:
        """Run it to its end; ``says`` is its standard input."""
        done = subprocess.run(
            self.command(*arguments),
            input=says,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=environment(env),
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it and leave it running; it is ended with the test."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=self.stdin,
            stdout=pipe,
            stderr=pipe,
            text=True,
            env=environment({"MYCEL_MESH_LAN": "false"}),
        )
        self._running.append(process)
        return process

    def run_node(self) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start the node on this machine only and wait until it is ready; the process, and its ready line."""
        process = self.start("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json")
        return process, json.loads(read_line(process))

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate(timeout=SECONDS)


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line of its output; fails with what it said when there is none."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=SECONDS)
    return line


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """Ours without what would change settings, plus ``more``."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MYCEL_")} | (more or {})


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """``program("a")``: the program on the data folder `a`, which is not there yet."""
    made: list[Program] = []

    def make(name: str) -> Program:
        made.append(Program(tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def first_device(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a first device called fox, to be copied, and its phrase."""
    made = Program(tmp_path_factory.mktemp("first") / "fox")
    return made.folder, made("init", "--name", "fox", "--json").json["phrase"]


@pytest.fixture
def fox(program: Callable[[str], Program], first_device: tuple[Path, str]) -> Program:
    """The program on a first device called fox."""
    made = program("fox")
    shutil.copytree(first_device[0], made.folder)
    return made


@pytest.fixture
def phrase(first_device: tuple[Path, str]) -> str:
    """The recovery phrase of fox's mesh."""
    return first_device[1]
