"""Processes of an attack: victims, attackers, and what they cost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
STOCK = (sys.executable, str(HERE / "victims" / "stock.py"))
OPEN_DOOR = (sys.executable, str(HERE / "victims" / "open_door.py"))
END_SECONDS = 10.0  # for a process to end that was told to


@contextmanager
def process(command: Sequence[str], errors: Path) -> Iterator[subprocess.Popen[str]]:
    """One that is killed on leaving; what it says on standard error is kept in the file ``errors``."""
    with errors.open("w") as said:
        running = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, bufsize=1
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
