"""A peer's process: its lines are read with a deadline, its last words are kept, and it is ended by its own id."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LAST_LINES = 40


class PeerDied(Exception):
    """A peer ended, or did not do in time what it had to; its last lines follow."""


class PeerProcess:
    """``command`` in ``folder``; a thread reads what it prints, so that it never waits for us."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name}'s lines", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(ValueError):  # closed
            for line in self.process.stdout:
                self.last.append(line.rstrip()[:1000])
                self._lines.put(line)
        self._lines.put(None)

    def line(self, seconds: float = START_SECONDS) -> str:
        """The next line. Raises `PeerDied`."""
        try:
            found = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise self.died(f"said nothing for {seconds:g} s") from None
        if found is None:
            raise self.died("ended")
        return found

    def died(self, how: str) -> PeerDied:
        """The error that tells how."""
        return PeerDied("\n".join((f"{self.name} {how}; its last lines:", *self.last)))

    def send(self, line: str) -> None:
        """One line to its standard input."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError:
            raise self.died("ended") from None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not heard; all pipes are closed after."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was left to write
                    pipe.close()
