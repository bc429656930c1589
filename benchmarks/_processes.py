"""Devices in processes of their own (`benchmarks._child`), and a line between two of them that counts what crosses it."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks._folders import Folders
from mycelnode.paths import DataDir

PIECE = 1 << 18


class Child:
    """A device's node in another process; ``started`` is what opening it took, ``ended`` what closing it took."""

    def __init__(self, data: DataDir, day: int) -> None:
        self._process = _run(str(data.path), str(day))
        self.started = self._hear()
        self.ended: dict[str, Any] = {}

    def ask(self, *line: Any) -> dict[str, Any]:
        """Let it do something; what that took and came to."""
        self.tell(*line)
        return self._hear()

    def tell(self, *line: Any) -> None:
        """Ask without waiting for the answer, which `answer` gives."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The answer to what it was told."""
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a device of the measurement has died; its message stands above")
        return json.loads(line)  # type: ignore[no-any-return]

    def close(self) -> None:
        """A clean end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.ended = self._hear()
        self._process.wait()

    def kill(self) -> None:
        """kill -9."""
        _end(self._process)


@contextmanager
def child(data: DataDir, day: int) -> Iterator[Child]:
    """A device in another process, closed cleanly at the end of the block, killed if that is left otherwise."""
    device = Child(data, day)
    try:
        yield device
        device.close()
    finally:
        device.kill()


def grow_and_kill(folders: Folders, numbers: range, days: tuple[int, int], value: str, shown: Any) -> dict[str, Any]:
    """Grow the folders in another process and kill it (-9) at the end; ``shown(entries)`` hears how far it is."""
    process = _run("grow", str(folders.base), str(numbers.start), str(numbers.stop), *map(str, days), value)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if "done" in told:
                return told  # type: ignore[no-any-return]
            shown(told["entries"])
        raise RuntimeError("the folders could not be grown; the message stands above")
    finally:
        _end(process)


def _run(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks._child", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _end(process: subprocess.Popen[str]) -> None:
    """kill -9, if it still runs."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what was to be said to it can't be any more
            if pipe is not None:
                pipe.close()


class Relay:
    """A TCP port that leads to another one; ``bytes`` have crossed it, both ways."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._to = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            near, _ = self._listening.accept()
        except OSError:
            return
        with near, socket.create_connection(self._to) as far, selectors.DefaultSelector() as ready:
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in ready.select():
                    try:
                        piece = key.fileobj.recv(PIECE)  # type: ignore[union-attr]
                        key.data.sendall(piece)
                    except OSError:
                        piece = b""
                    if not piece:
                        return
                    self.bytes += len(piece)

    def close(self) -> None:
        """No more connections."""
        self._listening.close()
