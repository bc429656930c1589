"""Runs the real `mycelnode` command in this process, inside a made-up world: its own wall clock, and wires instead of the network.

    python -m mycel_simnet.node --world FILE -- run --json

``FILE`` holds one JSON object, written anew by whoever runs the simulation (see `World`). Product code knows nothing of this: the
clock goes in through `mycelnode.clock.use`, and outgoing TCP connections are led elsewhere where Python's sockets connect. `run`
ends when its standard input does, so that it cannot outlive a simulation that was killed.
"""

from __future__ import annotations

import errno
import json
import os
import runpy
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ORPHANED = 70  # exit status when whoever runs the simulation is gone (EX_SOFTWARE of sysexits.h)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a world file says.

    ``skew``: seconds that the wall clock is ahead. ``slept``: seconds that the machine has been suspended. ``routes``: where a
    connection to ``host:port`` goes instead; whatever is not in it is refused, so that no connection gets past the wires by
    accident; None: the real network. ``history``: bytes of entries that are worth a snapshot, few, so that short stories have some.
    ``heard``: a folder for all that comes in over streams, as it is once it was decrypted, a file for each.
    """

    skew: float = 0.0
    slept: float = 0.0
    routes: Mapping[str, str] | None = None
    history: int = 10_000
    heard: str | None = None

    def write(self, path: Path) -> None:
        """Replace the file at once, so that a reader sees the old conditions or the new."""
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)


class World:
    """The conditions in a file, read again whenever the file was replaced. Also the `mycelnode.ports.Clock` of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._conditions = Conditions()
        self._lock = threading.Lock()

    def conditions(self) -> Conditions:
        """As they are now."""
        info = os.stat(self._path)
        version = (info.st_mtime_ns, info.st_ino)
        with self._lock:
            if version != self._version:
                self._conditions = Conditions(**json.loads(self._path.read_text()))
                self._version = version
            return self._conditions

    def wall(self) -> int:
        """Unix time in milliseconds, off by the skew."""
        return time.time_ns() // 1_000_000 + round(self.conditions().skew * 1000)

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds that also count while the machine sleeps."""
        return time.monotonic() + self.conditions().slept

    def route(self, address: tuple[Any, ...]) -> tuple[Any, ...]:
        """Where a connection to ``address`` goes. Raises `ConnectionRefusedError` if there is no wire."""
        routes = self.conditions().routes
        if routes is None:
            return address
        host, port = address[:2]
        wire = routes.get(f"{host}:{port}")
        if wire is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"no wire leads to {host}:{port}")
        led_host, _, led_port = wire.rpartition(":")
        return (led_host, int(led_port), *address[2:])


def redirect_connections(world: World) -> None:
    """From now on, every TCP connection that this process opens takes the world's wires."""
    connect = socket.socket.connect

    def led(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM:
            address = world.route(address)
        connect(self, address)

    socket.socket.connect = led  # type: ignore[assignment, method-assign]


def keep_what_is_heard(folder: Path) -> None:
    """From now on, all that other devices and strangers say is kept."""
    from mycelnode.p2p import _stream

    read = _stream.Stream._read
    files: dict[_stream.Stream, Path] = {}

    async def heard(self: _stream.Stream, max_bytes: int) -> bytes:
        data = await read(self, max_bytes)
        with files.setdefault(self, folder / str(len(files))).open("ab") as file:
            file.write(data)
        return data

    folder.mkdir(exist_ok=True)
    _stream.Stream._read = heard  # type: ignore[method-assign]


def end_with_stdin() -> None:
    """End this process at once when its standard input ends."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(ORPHANED)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def main(arguments: list[str]) -> None:
    """Run a mycelnode command in the world that ``--world`` names."""
    if len(arguments) < 4 or arguments[0] != "--world" or arguments[2] != "--":
        sys.exit("usage: python -m mycel_simnet.node --world FILE -- COMMAND …")
    from mycelnode import clock
    from mycelnode.protocols import tending

    world = World(Path(arguments[1]))
    tending.LEAST_GROWTH = world.conditions().history
    clock.use(world)
    redirect_connections(world)
    if (folder := world.conditions().heard) is not None:
        keep_what_is_heard(Path(folder))
    if arguments[3] == "run":
        end_with_stdin()
    sys.argv = ["mycelnode", *arguments[3:]]
    runpy.run_module("mycelnode.cli", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
