"""Two real nodes of one mesh, and what is needed to let a third device in: the victims of a member that turns hostile."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from mycelnode.clock import SystemClock
from mycelnode.control import ControlClient
from mycelnode.encoding import peer_id
from mycelnode.errors import PeerUnreachable
from mycelnode.identity import Identity, load_identity
from mycelnode.joining import init_mesh, join_mesh
from mycelnode.logstore import StoredLogs
from mycelnode.paths import DataDir
from mycelnode.schema import open_reader
from tests.attacks.processes import HERE, Attacker, Victim, line_of, process, until

JOIN_SECONDS = 120.0  # for a new device to be let in, after whatever went before
VISIBLE_SECONDS = 60.0  # a write of one at the other, while both are attacked; measured: under 8 on a loaded machine
NOTES = 200  # that the two have before anything happens


@dataclass(frozen=True)
class Thief:
    """A device that was let in as any, whose key somebody else has now."""

    name: str
    seed: bytes
    root: bytes

    @property
    def peer(self) -> str:
        """Its peer id."""
        return peer_id(Identity(self.seed).device)


class Honest:
    """An honest device, and its node while that runs."""

    def __init__(self, data: DataDir, folder: Path) -> None:
        self.data, self.errors = data, folder / f"{data.path.name}.stderr"
        self.process: Victim

    @contextmanager
    def run(self) -> Iterator[None]:
        """While it runs."""
        command = [sys.executable, "-m", "mycelnode", "--data-dir", str(self.data.path), "--json", "run"]
        with process(command, self.errors) as running:
            addr = json.loads(line_of(running, self.errors))["addrs"][0]
            self.process = Victim(running, addr, self.errors)
            yield

    @property
    def name(self) -> str:
        return self.data.path.name

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """One request to it."""
        with ControlClient(self.data) as client:
            return client.call(kind, **fields)

    def put(self, key: str, value: Any) -> None:
        self.ask("collection.apply", operations=[["put", "notes", key, value]])

    def notes(self) -> dict[str, Any]:
        found = self.ask("collection.get", name="notes")["value"]
        assert isinstance(found, dict)
        return found

    def device(self, name: str) -> dict[str, Any]:
        """What its status says of a device."""
        return next(device for device in self.ask("status")["devices"] if device["name"] == name)

    def log(self) -> str:
        return "".join(file.read_text(errors="replace") for file in sorted(self.data.path.glob("node.log*")))


@dataclass
class TwoNodes:
    """Laptop and phone; both run."""

    laptop: Honest
    phone: Honest
    phrase: str
    folder: Path
    thieves: int = field(default=0)

    @property
    def both(self) -> tuple[Honest, Honest]:
        return self.laptop, self.phone

    def let_in(self) -> Thief:
        """A new device."""
        self.thieves += 1
        name = f"thief-{self.thieves}"
        data = folder_of(self.folder, name)
        invite = self.laptop.ask("invite", ttl=600)["invite"]

        def joined() -> bool:
            """The laptop may still be at work on what the last one left behind, for longer than a handshake waits."""
            try:
                trio.run(lambda: join_mesh(data, invite, name, clock=SystemClock()))
            except PeerUnreachable:
                return False
            return True

        assert until(joined, JOIN_SECONDS), "nobody is let in"
        until(lambda: any(d["name"] == name for d in self.phone.ask("devices.list")["devices"]), VISIBLE_SECONDS)
        return Thief(name, load_identity(data).seed, _root(data))

    @contextmanager
    def attacked(self, attack: str, thief: Thief) -> Iterator[Attacker]:
        """By a process of its own, which has the thief's key."""
        keys = (thief.seed.hex(), thief.root.hex())
        addrs = (node.process.addr for node in self.both)
        errors = self.folder / f"{attack}.stderr"
        with process([sys.executable, "-I", str(HERE / "insider.py"), attack, *keys, *addrs], errors) as running:
            attacker = Attacker(running, errors)
            attacker.wait_on()
            yield attacker

    def in_step(self) -> bool:
        """Do both have the same document, of the same entries, and the same members?"""
        return self.laptop.ask("mesh.digest") == self.phone.ask("mesh.digest")


def folder_of(folder: Path, name: str) -> DataDir:
    """An empty data folder for a device that listens on loopback only."""
    data = DataDir(folder / name)
    data.create()
    data.config.write_text('[mesh]\nlan = false\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n')
    data.config.chmod(0o600)
    return data


def _root(data: DataDir) -> bytes:
    connection = open_reader(data.database)
    try:
        root = StoredLogs(connection, data.database).fact("root")
    finally:
        connection.close()
    assert root is not None
    return root


@contextmanager
def two_nodes(folder: Path) -> Iterator[TwoNodes]:
    """While both run, in step, with some notes."""
    laptop, phone = (Honest(folder_of(folder, name), folder) for name in ("laptop", "phone"))
    made = trio.run(lambda: init_mesh(laptop.data, "laptop", clock=SystemClock()))
    with laptop.run():
        invite = laptop.ask("invite", ttl=600)["invite"]
        trio.run(lambda: join_mesh(phone.data, invite, "phone", clock=SystemClock()))
        with phone.run():
            laptop.ask("collection.apply", operations=[["put", "notes", f"key-{n}", n] for n in range(NOTES)])
            assert until(lambda: len(phone.notes()) == NOTES, VISIBLE_SECONDS)
            yield TwoNodes(laptop, phone, made.phrase, folder)
