"""A real Kubo on loopback, that knows nobody and looks for nobody; as many at a time as wanted, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers._process import PeerProcess
from tests.peers.install import kubo_program

READY = "Daemon is ready"
COMMAND_SECONDS = 60.0

# What the profile "test" leaves open: every way out of this machine, and whatever asks someone else.
CONFIG: Mapping[str, Mapping[str, Any]] = {
    "Addresses": {
        "API": "/ip4/127.0.0.1/tcp/0",
        "Gateway": "",
        "Swarm": ["/ip4/127.0.0.1/tcp/0"],
    },
    "AutoConf": {"Enabled": False},
    "AutoTLS": {"Enabled": False},
    "AutoNAT": {"ServiceMode": "disabled"},
    "Discovery": {"MDNS": {"Enabled": False}},
    "DNS": {"Resolvers": {}},
    "Ipns": {"DelegatedPublishers": []},
    "Routing": {"Type": "none", "DelegatedRouters": []},
    "Swarm": {
        "DisableNatPortMap": True,
        "EnableHolePunching": False,
        "RelayClient": {"Enabled": False},
        "RelayService": {"Enabled": False},
    },
    "Version": {"SwarmCheckEnabled": False},
}


class Kubo:
    """A running daemon."""

    def __init__(self, program: Path, repo: Path, environ: Mapping[str, str], process: PeerProcess) -> None:
        self.repo = repo
        self.pid = process.process.pid
        self.stop = process.stop
        self._program, self._environ = program, environ
        self.api_url = _url((repo / "api").read_text().strip())
        told = json.loads(self.run("id"))
        self.peer_id: str = told["ID"]
        self.addrs: tuple[str, ...] = tuple(told["Addresses"])  # each ends in /p2p/ and the peer id
        self.version: str = told["AgentVersion"]

    def run(self, *command: str, data: bytes = b"", seconds: float = COMMAND_SECONDS) -> bytes:
        """What ``ipfs COMMAND…`` printed, given ``data`` on its standard input. Raises `subprocess.CalledProcessError`."""
        done = subprocess.run(
            [str(self._program), *command],
            input=data,
            env={**os.environ, **self._environ},
            capture_output=True,
            check=False,
            timeout=seconds,
        )
        if done.returncode != 0:
            raise subprocess.CalledProcessError(
                done.returncode, command, done.stdout, done.stderr.decode(errors="replace")
            )
        return done.stdout

    def add(self, data: bytes | Path, *options: str) -> str:
        """The CID of bytes, or of a file or folder, as Kubo chunks them by default but for ``options``."""
        if isinstance(data, Path):
            return self.run("add", "-Q", "-r", *options, str(data)).decode().strip()
        return self.run("add", "-Q", *options, data=data).decode().strip()

    def cat(self, cid: str, seconds: float = COMMAND_SECONDS) -> bytes:
        """A file."""
        return self.run("cat", cid, seconds=seconds)

    def dag_import(self, car: bytes) -> list[str]:
        """The roots of a CAR that Kubo took in, and pinned."""
        lines = self.run("dag", "import", "--enc=json", data=car).decode().splitlines()
        return [json.loads(line)["Root"]["Cid"]["/"] for line in lines]

    def dag_export(self, cid: str) -> bytes:
        """The CAR of everything below a CID."""
        return self.run("dag", "export", "--progress=false", cid)

    def block_get(self, cid: str, seconds: float = COMMAND_SECONDS) -> bytes:
        """One block."""
        return self.run("block", "get", cid, seconds=seconds)

    def block_put(self, block: bytes, codec: str = "raw") -> str:
        """The CID of a block that Kubo now holds."""
        return self.run("block", "put", f"--cid-codec={codec}", data=block).decode().strip()

    def holds(self, cid: str) -> bool:
        """Is the block here, without asking anybody?"""
        try:
            self.run("--offline", "block", "stat", cid)
        except subprocess.CalledProcessError:
            return False
        return True

    def connect(self, multiaddr: str) -> None:
        """Dial a peer."""
        self.run("swarm", "connect", multiaddr)

    def peers(self) -> list[str]:
        """The addresses of connected peers."""
        return self.run("swarm", "peers").decode().split()

    def bitswap(self) -> dict[str, Any]:
        """Counters of its bitswap, such as ``BlocksReceived`` and ``DupBlksReceived``."""
        found: dict[str, Any] = json.loads(self.run("bitswap", "stat", "--enc=json"))
        return found


@contextmanager
def kubo(folder: Path, config: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[Kubo]:
    """A Kubo with its repository in ``folder``, which is new; ``config`` goes over `CONFIG`.

    Raises `install.Missing` and `PeerDied`.
    """
    program = kubo_program()
    repo = folder / "repo"
    environ = {"IPFS_PATH": str(repo), "IPFS_TELEMETRY": "off", "HOME": str(folder), "GOLOG_LOG_LEVEL": "error"}
    full = {**os.environ, **environ}
    subprocess.run(
        [program, "init", "--profile=test"], env=full, check=True, capture_output=True, timeout=COMMAND_SECONDS
    )
    settings = json.loads((repo / "config").read_text())
    settings["Bootstrap"] = []
    for wanted in (CONFIG, config or {}):
        for section, values in wanted.items():
            settings[section] = {**(settings.get(section) or {}), **values}
    (repo / "config").write_text(json.dumps(settings))
    process = PeerProcess("Kubo", [str(program), "daemon"], folder, environ)
    try:
        while READY not in process.line():
            pass
        yield Kubo(program, repo, environ, process)
    finally:
        process.stop()


def _url(multiaddr: str) -> str:
    _, _, host, _, port = multiaddr.split("/")
    return f"http://{host}:{port}"
