"""The mesh of one story: its devices, and the ways in which they meet."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any

from mycel_simnet.virtual.clock import Clock
from mycel_simnet.virtual.device import Device
from mycel_simnet.virtual.disk import FACTS, STATEMENTS, Disk
from mycel_simnet.virtual.keys import Broken, Key, verify
from mycel_simnet.virtual.ledger import Ledger
from mycel_simnet.virtual.network import Cut, Network
from mycel_simnet.virtual.node import Node
from mycel_simnet.virtual.pairing import Inviting, Joining
from mycel_simnet.virtual.talk import Talk
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.statements import ENROL, Statement, decode_statement
from mycelnode.protocols import admission, peer_view, replica, state_exchange, sync, tending

LEAST_DEVICES, MOST_DEVICES = 4, 8  # that a story may come to
PATIENCE_SECONDS = 60  # within which two devices that meet undisturbed are in step
DUE_BYTES = 1500  # of entries: about ten of a story
SMALL = {
    "PIECE_BYTES": 150,
    "STATEMENTS_PER_FRAME": 3,
    "IDS_PER_FRAME": 4,
    "BATCH_BYTES": 600,
    "WINDOW_BYTES": 3000,
    "PROBE_FANOUT": 2,
}


class World:
    """Everything that there is. All randomness comes from ``seed``."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = Clock()
        self.network = Network(self.clock, self.rng)
        self.root = Key(f"{seed} root")
        self.ledger = Ledger()
        self.nodes: list[Node] = []
        self.archive: dict[bytes, bytes] = {}
        self.joining: list[Joining] = []
        self.inviting: dict[Node, Inviting] = {}
        self.most_devices = self.rng.randint(LEAST_DEVICES, MOST_DEVICES)
        self._seed, self._keys = seed, 0

    # --- devices -------------------------------------------------------------------------------------------------------------

    def key(self) -> Key:
        """A new device key."""
        self._keys += 1
        return Key(f"{self._seed} {self._keys}")

    def add(self, key: Key, disk: Disk, *, name: str | None = None, like: Device | None = None) -> Node:
        """A device with that disk, started."""
        device = Device(
            name or f"d{len(self.nodes)}",
            self.root.public,
            key,
            verify,
            self.clock,
            self.rng,
            disk=disk,
            sync_delay=self._sync,
        )
        device.skew_ms = 0 if like is None else like.skew_ms
        device.state_pays = 0 if self.rng.random() < 0.6 else 1 << 40
        device.archive = self.archive
        node = Node(device, self.network, self.rng, self._at, self.name_of)
        self.nodes.append(node)
        self.boot(node)
        return node

    def boot(self, node: Node) -> None:
        """Start a device, if it is down."""
        if not node.device.up:
            node.boot()
            self.inviting[node] = Inviting(node)
            node.pairing = self.inviting[node].accept

    def founded(self, statements: Sequence[Statement], disk: Disk | None = None) -> Disk:
        """A disk of a folder that belongs to the mesh, as `mycelnode.beginning.begin` leaves it."""
        disk = Disk() if disk is None else disk
        disk.store([(FACTS, "root", self.root.public), *((STATEMENTS, s.id, s) for s in statements)])
        return disk

    def said(self, kind: str, subject: DeviceId, head: Head | None) -> Statement:
        """The root's word."""
        root = self.root
        return Statement(kind, subject, head, root.public, None, {}).signed(root.public, root.sign)

    def enrolled_by_root(self, key: Key) -> Statement:
        """As the phrase does it."""
        return self.said(ENROL, key.public, None)

    def _sync(self) -> float:
        return self.rng.random() * 0.03 if self.rng.random() < 0.3 else 0.0

    def _at(self, key: DeviceId) -> list[Node]:
        return [node for node in self.nodes if node.device.id == key and node.device.up]

    def name_of(self, key: DeviceId) -> str:
        """What people call the device with that key."""
        return next((node.name for node in self.nodes if node.device.id == key), key.hex()[:6])

    # --- meeting ---------------------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Until nothing is under way."""
        self.clock.settle()

    def meet(self, one: Node, other: Node, budget: int | None = None, cut: Cut = "reset", *, odd: bool = False) -> None:
        """``one`` dials ``other``, and they talk until they are in step, or the line breaks after ``budget`` messages."""
        if one.device.id == other.device.id:
            return
        self._wait_for_lost_lines(one, other)
        self.network.join([(one, other)])
        ended: list[str | None] = []
        one.connect(other, ended.append, budget=budget, cut=cut, odd=odd)
        self.rest()
        undisturbed = budget is None and not odd
        for _ in range(PATIENCE_SECONDS):
            talks = self._between(one, other)
            if not talks or not undisturbed or all(talk.in_step() for talk in talks):
                break
            self.clock.run(1.0)
            self.rest()
        else:
            raise Broken("stuck", f"not in step after a minute: {self._between(one, other)}")
        self.part(one, other)

    def part(self, *nodes: Node, cut: Cut = "reset") -> None:
        """All lines between these break."""
        self.network.join([])
        for node in nodes:
            for talk in list(node.talks):
                talk.line.cut(cut)
        if cut == "reset":
            self.rest()

    def _between(self, one: Node, other: Node) -> list[Talk]:
        return [t for a, b in ((one, other), (other, one)) for t in a.talks if t.peer == b.device.id]

    def _wait_for_lost_lines(self, one: Node, other: Node) -> None:
        """Nobody dials whom he believes to be connected with: first both must notice that nothing is heard."""
        for _ in range(12):
            if not self._between(one, other):
                return
            self.clock.run(5.0)
        raise Broken("stuck", f"a lost connection is not noticed in a minute: {self._between(one, other)}")

    def online(
        self, groups: Sequence[Sequence[Node]], seconds: float, cut: Cut = "reset", *, odd: bool = False
    ) -> None:
        """The devices of each group are on one network for a while, and look for each other."""
        nodes = [node for group in groups for node in group]
        self.network.join(groups)
        self.network.free, self.network.odd = True, odd
        for node in nodes:
            node.network_changed()
        self.clock.run(seconds)
        self.network.free = self.network.odd = False
        self.part(*nodes, cut=cut)


@contextmanager
def conditions(*, tight: bool, grown: bool = False) -> Iterator[None]:
    """As `Story` says. And a statement is decoded once for all devices."""
    changes: dict[tuple[ModuleType, str], Any] = {(m, "decode_statement"): _decode for m in (admission, replica, sync)}
    if grown:
        changes[tending, "LEAST_GROWTH"] = DUE_BYTES
    else:
        changes[tending, "CONFIRM_SHARE"] = 0.0  # whoever is asked confirms, however little there is to gain
    if tight:
        for module in (peer_view, state_exchange, sync):
            changes.update({(module, name): value for name, value in SMALL.items() if hasattr(module, name)})
    before = {(module, name): getattr(module, name) for module, name in changes}
    for (module, name), value in changes.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)


def calm() -> None:
    """From now on what snapshots write themselves makes no other one due: of 4 MiB, that is."""
    tending.LEAST_GROWTH = _LEAST_GROWTH


_LEAST_GROWTH = tending.LEAST_GROWTH
_decode = lru_cache(maxsize=4096)(decode_statement)
