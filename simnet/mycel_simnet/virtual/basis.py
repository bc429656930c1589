"""What steps have in common: a world, and devices by number, modulo how many there are."""

from __future__ import annotations

from mycel_simnet.virtual.disk import Disk
from mycel_simnet.virtual.node import Node
from mycel_simnet.virtual.world import World
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.statements import AWAY, ENROL
from mycelnode.protocols.admission import enrolment_chain
from mycelnode.rescue import head_before, least_head

NOTHING = Head(0, b"")


class Steps:
    """The base of `Player`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.backups: list[Disk] = []
        self.images: dict[Node, list[tuple[DeviceId, Disk]]] = {}

    def _at(self, number: int) -> Node:
        node = self.world.nodes[number % len(self.world.nodes)]
        self.world.boot(node)
        return node

    def _room(self) -> bool:
        return len(self.world.nodes) + len(self.world.joining) < self.world.most_devices

    def _enrol(self, by: int, disk: Disk) -> bool:
        """Without the exchange of a pairing. Did it come in?"""
        inviter, key, world = self._at(by), self.world.key(), self.world
        before = len(world.nodes)

        def declared(_: object) -> None:
            chain = enrolment_chain(inviter.device.replica, key.public)
            if chain:
                world.add(key, world.founded(chain, disk))

        device = inviter.device
        device.commit(
            lambda replica: replica.declare(ENROL, key.public, None, {"name": f"d{before}"}, device.now), done=declared
        )
        world.rest()
        return len(world.nodes) > before

    def _say(self, node: Node, kind: str, subject: DeviceId, back: int) -> None:
        least = least_head(node.device.replica, subject)
        head = None if kind == AWAY else self._head_of(node, subject, back, least)
        statement = self.world.said(kind, subject, head)
        node.device.commit(lambda replica: replica.learn([statement]))

    @staticmethod
    def _head_of(node: Node, device: DeviceId, back: int, least: Head = NOTHING) -> Head | None:
        """As the product chooses it, or so many entries before that (`--since`), but not before ``least``."""
        replica = node.device.replica
        head = head_before(replica, device, None)
        seq = max(0, head.seq - back)
        if seq <= least.seq:
            return least if least.seq else None
        number = replica.logs.find(device, head)
        digest = replica.logs.hash_at(device, number or 0, seq)
        return Head(seq, digest) if digest else None
