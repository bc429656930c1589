"""Processes of an attack: attackers, victims, and what these cost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
STOCK = (sys.executable, str(HERE / "victims" / "stock.py"))
STOCK_SWARM = (sys.executable, str(HERE / "victims" / "stock_swarm.py"))
OPEN_DOOR = (sys.executable, str(HERE / "victims" / "open_door.py"))
FILES = 1024  # that a process may usually have open, and a victim, too
END_SECONDS = 10.0  # for a process to end that was told to
ON_SECONDS = 40.0  # for an attack to be in full swing, on a loaded machine
MIB = 1 << 20


@contextmanager
def process(
    command: Sequence[str], errors: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """One that is killed on leaving; what it says on standard error is kept in the file ``errors``."""
    with errors.open("w") as said:
        running = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        )
    with running:
        try:
            yield running
        finally:
            running.kill()


def line_of(running: subprocess.Popen[str], errors: Path) -> str:
    """The next line that it prints. Fails if it ends before."""
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line, f"{running.args} ended with {running.wait(END_SECONDS)}: {errors.read_text()[-2000:]}"
    return line.strip()


def until(true: Callable[[], object], within: float) -> bool:
    """Does it become true within so many seconds?"""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Victim:
    """A process that is attacked at ``addr``."""

    def __init__(self, running: subprocess.Popen[str], addr: str, errors: Path) -> None:
        self.running, self.addr, self.errors = running, addr, errors
        self.unhurt = False  # an attack on it was over and nothing showed
        self._process = psutil.Process(running.pid)
        most = min(FILES, resource.prlimit(running.pid, resource.RLIMIT_NOFILE)[1])
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (most, most))

    @property
    def alive(self) -> bool:
        return self.running.poll() is None

    @property
    def memory(self) -> float:
        """MiB in use."""
        return float(self._process.memory_info().rss) / MIB

    def forget_peak(self) -> None:
        """From now on `peak` is of what comes."""
        Path(f"/proc/{self.running.pid}/clear_refs").write_text("5")

    @property
    def peak(self) -> float:
        """The most MiB that were in use at any moment, as the kernel has counted them."""
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    @property
    def files(self) -> int:
        """Open ones, sockets among them."""
        return int(self._process.num_fds())

    @property
    def cpu(self) -> float:
        """Seconds of computing so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @property
    def logged(self) -> float:
        """MiB that it has written on its standard error."""
        return self.errors.stat().st_size / MIB

    def said(self) -> str:
        """The end of its standard error."""
        return self.errors.read_text(errors="replace")[-3000:]


class Attacker:
    """A running attack."""

    def __init__(self, running: subprocess.Popen[str], errors: Path) -> None:
        self.running, self.errors = running, errors
        self.saw: dict[str, Any] = {}

    def wait_on(self) -> None:
        """Until the attack is in full swing."""
        watch = threading.Timer(ON_SECONDS, self.running.kill)
        watch.start()
        try:
            assert line_of(self.running, self.errors) == "on"
        finally:
            watch.cancel()

    def stop(self, within: float = END_SECONDS) -> dict[str, Any]:
        """Tell it to stop; returns what it saw, if it lives to tell, which it must within so many seconds."""
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        self.running.stdin.close()
        watch = threading.Timer(within, self.running.kill)
        watch.start()
        said = self.running.stdout.read().strip()
        self.running.wait()
        watch.cancel()
        if said:
            self.saw = json.loads(said.splitlines()[-1])
            assert self.saw.pop("shared") == [], "the attacker shares code with its victim"
        return self.saw


@contextmanager
def attack(name: str, addr: str, folder: Path, **options: str) -> Iterator[Attacker]:
    """Run an attack from a process of its own, which has Python's own modules and `cryptography`, and no more."""
    command = [sys.executable, "-I", str(HERE / "attack.py"), name, addr]
    errors = folder / f"{name}.stderr"
    with process([*command, *(f"{key}={value}" for key, value in options.items())], errors) as running:
        attacker = Attacker(running, errors)
        yield attacker
    assert running.returncode in (0, -9), errors.read_text()[-3000:]
