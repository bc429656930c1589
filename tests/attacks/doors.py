"""The two doors of a node, as victims, and how long it takes to get in: a newcomer, and a device that is known."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import ClassVar

import trio

from mycel_simnet.process import ask
from mycelnode import clock
from mycelnode.identity import load_identity
from mycelnode.joining import init_mesh, join_mesh
from mycelnode.mesh import open_mesh
from mycelnode.p2p.host import Admission, HostConfig, open_host
from mycelnode.p2p.sync_driver import SyncDriver
from mycelnode.paths import DataDir
from tests.attacks.processes import OPEN_DOOR, Victim, line_of, process
from tests.attacks.wire import Broken, Peer, Refused, accept, message
from tests.attacks.wire.bits import varint

PATIENCE = 10.0  # seconds, after which it counts as never
NEVER = float("inf")
KAD, MESHSUB = "/mycel/kad/1.0.0", "/meshsub/1.1.0"


class Door(Victim):
    """One of ours; ``options``: for attacks, what is served there."""

    name: ClassVar[str]
    options: ClassVar[dict[str, str]]
    calm_memory = 0.0  # before the first attack
    calm_files = 0

    def newcomer(self) -> float:
        """Seconds until one that was never here before is served."""
        raise NotImplementedError

    def known(self) -> float:
        """Seconds until a known device is served."""
        raise NotImplementedError

    @property
    def known_seed(self) -> bytes:
        """Of the key of that device, for an attacker who has it."""
        raise NotImplementedError


def greet(addr: str, peer: Peer, patience: float = PATIENCE) -> float:
    """Seconds until a host with an echo serves us: dial, handshake, stream, answer. Who is refused tries again, as dialers do."""
    began = time.monotonic()
    while (left := began + patience - time.monotonic()) > 0:
        try:
            session = peer.dial(addr, source="127.0.0.1", timeout=left)
            try:
                stream = session.open("/echo/1")
                stream.write(b"hello")
                assert stream.read(5) == b"hello"
                return time.monotonic() - began
            finally:
                session.close()
        except (Broken, Refused):
            time.sleep(0.1)
    return NEVER


class OpenDoor(Door):
    """Our host with an open gate."""

    name = "open"
    options: ClassVar[dict[str, str]] = {}
    known_seed = b"a device that is known at door 2"
    friend = Peer(known_seed)

    def newcomer(self) -> float:
        return greet(self.addr, Peer())

    def known(self) -> float:
        return greet(self.addr, self.friend)


class SwarmDoor(OpenDoor):
    """The same, with announcements and providers: a newcomer is served when its question is answered, and it is greeted."""

    options: ClassVar[dict[str, str]] = {"kad": KAD, "signed": "no"}

    def newcomer(self) -> float:
        return answered(self.addr, Peer())

    def known(self) -> float:
        return answered(self.addr, self.friend)


def answered(addr: str, peer: Peer) -> float:
    """Seconds until a swarm door answers a question for peers, and says on a stream of its own which topic it listens to."""
    question = message((1, 4), (2, bytes(38)))
    began = time.monotonic()
    while (left := began + PATIENCE - time.monotonic()) > 0:
        try:
            session = peer.dial(addr, source="127.0.0.1", timeout=left)
            try:
                stream = session.open(KAD)
                stream.write(varint(len(question)) + question)
                assert stream.read(1)
                incoming = session.next_incoming()
                while accept(incoming, MESHSUB, KAD) != MESHSUB:  # it also asks whether we serve
                    incoming = session.next_incoming()
                hello = message((1, message((1, 1), (2, b"/mycel/patterns/1"))))
                assert incoming.read(1 + len(hello)) == varint(len(hello)) + hello
                return time.monotonic() - began
            finally:
                session.close()
        except (Broken, Refused):
            time.sleep(0.1)
    return NEVER


class MeshDoor(Door):
    """A node that runs, in a mesh of two, with invites."""

    name = "mesh"
    options: ClassVar[dict[str, str]] = {
        "protocol": "/mycel/membership/1",
        "deaf": "/mycel/pair/1",
        "pour": "/mycel/membership/1",
        "tell": "/mycel/pair/1",
    }

    def __init__(self, running: subprocess.Popen[str], ready: dict[str, object], errors: Path, folder: Path) -> None:
        addrs = ready["addrs"]
        assert isinstance(addrs, list)
        super().__init__(running, addrs[0], errors)
        self.ready, self._folder, self._names = ready, folder, (f"device{number}" for number in count(1))
        self.joined = 0
        self.friend = self._join()

    def invite(self) -> str:
        """A new one."""
        return str(trio.run(ask, str(self.ready["control"]), "invite", {}, PATIENCE)["invite"])

    def _join(self) -> DataDir:
        """Another device of the mesh."""
        data, invite = _folder(self._folder, next(self._names)), self.invite()
        trio.run(lambda: join_mesh(data, invite, data.path.name, clock=clock.system()))
        self.joined += 1
        return data

    def newcomer(self) -> float:
        """A device that has just got an invite becomes a member: the paste, as `mycelnode join` does it."""
        began = time.monotonic()
        try:
            self._join()
        except Exception:
            return NEVER
        return time.monotonic() - began

    @property
    def known_seed(self) -> bytes:
        return load_identity(self.friend).seed

    def known(self) -> float:
        """A member dials, is admitted, and is in step."""
        return trio.run(self._known)

    async def _known(self) -> float:
        peer = str(self.ready["peer"])
        async with (
            open_mesh(self.friend, clock=clock.system()) as mesh,
            open_host(mesh.identity.seed, HostConfig(listen=()), admit=lambda key: Admission.MEMBER) as host,
            trio.open_nursery() as nursery,
        ):
            sync = SyncDriver(mesh, host, lambda peer, connected: None)
            began, took = trio.current_time(), NEVER
            with trio.move_on_after(PATIENCE):
                try:
                    await host.dial(peer, [self.addr], deadline=PATIENCE)
                    await nursery.start(sync.greet, host.line(peer))
                    if peer in await sync.in_step([peer], PATIENCE):
                        took = trio.current_time() - began
                except Exception:
                    took = NEVER
            nursery.cancel_scope.cancel()
            sync.close()
            return took


def _folder(parent: Path, name: str) -> DataDir:
    data = DataDir(parent / name)
    data.create()
    data.config.write_text("[mesh]\nlan = false\n")
    data.config.chmod(0o600)
    return data


@contextmanager
def open_door(folder: Path) -> Iterator[OpenDoor]:
    """Runs until the block is left."""
    errors = folder / "open.stderr"
    with process((*OPEN_DOOR, OpenDoor.friend.key.hex()), errors) as running:
        yield OpenDoor(running, line_of(running, errors), errors)


@contextmanager
def swarm_door(folder: Path) -> Iterator[SwarmDoor]:
    """Runs until the block is left."""
    errors = folder / "swarm.stderr"
    with process((*OPEN_DOOR, "--swarm", SwarmDoor.friend.key.hex()), errors) as running:
        yield SwarmDoor(running, line_of(running, errors), errors)


@contextmanager
def mesh_door(folder: Path, log_level: str = "info") -> Iterator[MeshDoor]:
    """`mycelnode run`, with an own mesh, until the block is left."""
    data = _folder(folder, "victim")
    trio.run(lambda: init_mesh(data, "victim", clock=clock.system()))
    errors = folder / "mesh.stderr"
    command = [sys.executable, "-m", "mycelnode.cli", "run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json"]
    with process([*command, "--data-dir", str(data.path)], errors, {"MYCEL_LOG_LEVEL": log_level}) as running:
        yield MeshDoor(running, json.loads(line_of(running, errors)), errors, folder)
