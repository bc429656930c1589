"""A real Helia on loopback: a process of Node that is told what to do in lines of JSON (helia/peer.mjs)."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.peers._process import PeerProcess
from tests.peers.install import HERE, helia_folder, node_program

ASK_SECONDS = 30.0
MOST_BYTES = 64 << 20


class HeliaError(Exception):
    """Helia could not; its own words."""


class Helia:
    """A running Helia."""

    def __init__(self, process: PeerProcess) -> None:
        self._process = process
        self._numbers = itertools.count()
        self.pid = process.process.pid
        told = json.loads(process.line())
        self.peer_id: str = told["peer"]
        self.addrs: tuple[str, ...] = tuple(told["addrs"])  # each ends in /p2p/ and the peer id

    def add(self, data: bytes) -> str:
        """The CID of a file, chunked as Helia does by default."""
        return str(self._ask("add", data=base64.b64encode(data).decode())["cid"])

    def cat(self, cid: str, seconds: float = ASK_SECONDS) -> bytes:
        """A file, from wherever it is. Raises `HeliaError`."""
        return base64.b64decode(self._ask("cat", seconds, cid=cid, most=MOST_BYTES)["data"])

    def block_get(self, cid: str, seconds: float = ASK_SECONDS) -> bytes:
        """A block, from wherever it is. Raises `HeliaError`."""
        return base64.b64decode(self._ask("block", seconds, cid=cid, most=MOST_BYTES)["data"])

    def connect(self, multiaddr: str) -> str:
        """Dial a peer; its peer id. Raises `HeliaError`."""
        return str(self._ask("dial", addr=multiaddr)["peer"])

    def peers(self) -> list[str]:
        """The ids of connected peers."""
        return list(map(str, self._ask("peers")["peers"]))

    def _ask(self, what: str, seconds: float = ASK_SECONDS, **rest: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._process.send(json.dumps({"id": number, "do": what, "seconds": seconds, **rest}))
        while True:
            line = self._process.line(seconds + ASK_SECONDS)
            if not line.startswith("{"):
                continue  # a warning of Node's
            answer: dict[str, Any] = json.loads(line)
            if answer.get("id") == number:
                break
        if "error" in answer:
            raise HeliaError(answer["error"])
        return answer


@contextmanager
def helia() -> Iterator[Helia]:
    """A Helia that keeps its blocks in memory. Raises `install.Missing` and `PeerDied`."""
    folder = helia_folder()
    script = (HERE / "helia" / "peer.mjs").read_text()
    # Read from the command line, it finds its packages from the folder that it runs in.
    command = [str(node_program()), "--no-warnings", "--input-type=module", "--eval", script]
    process = PeerProcess("Helia", command, folder, {})
    try:
        yield Helia(process)
    finally:
        process.stop()
