"""The steps that stories are made of, and playing them. Each is a method ``do_…``; a step that the product refuses does nothing."""

from __future__ import annotations

import random
from typing import Any

from mycel_simnet.virtual.commands import MeshOf, drive
from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.machines import MachineSteps
from mycel_simnet.virtual.memberships import MembershipSteps
from mycel_simnet.virtual.network import Cut
from mycel_simnet.virtual.node import Node
from mycel_simnet.virtual.world import World
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.document import from_verb
from mycelnode.errors import MycelError
from mycelnode.protocols import tending
from mycelnode.rescue import rescuable, rescue

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
Step = tuple[Any, ...]


class Player(MachineSteps, MembershipSteps):
    """Plays steps in a world, which begins with one device."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        first = world.key()
        world.add(first, world.founded([world.enrolled_by_root(first)]))

    def play(self, step: Step) -> None:
        """One step. Raises `Broken`."""
        what, *rest = step
        try:
            getattr(self, f"do_{what}")(*rest)
        except Broken:
            raise
        except MycelError:
            return
        except Exception as error:
            raise Broken("crash", f"{step}: {type(error).__name__}: {error}") from error

    # --- writing ---------------------------------------------------------------------------------------------------------------

    def do_write(self, who: int, verb: str, place: int, value: int) -> None:
        """One transaction, without waiting for it."""
        node, ledger = self._at(who), self.world.ledger
        device = node.device
        arguments = {"put": (f"k{place}", value), "delete": (f"k{place}",), "count": (value - 50,)}
        more = from_verb(device.replica.document, [verb, "c", *arguments.get(verb, (place,))])
        write = ledger.write(device.id)

        def acknowledged(head: Head) -> None:
            write.head = head
            replica = device.replica
            out = device.id not in replica.membership.members or device.id in replica.membership.fences
            bounded = out or replica.cloned or device.id in replica.held
            far = abs(device.skew_ms) > DAY_MS or any(replica.skews.values())
            if not bounded and not far and write.mark not in replica.document.gset("sim.marks"):
                raise Broken("own write", f"{device.name} does not see its write {write.mark}")

        device.write(write.operations([] if more is None else [more]), acknowledged)

    def do_burst(self, who: int, verb: str, count: int) -> None:
        """Several at once: they share transactions of the disk."""
        for number in range(count):
            self.do_write(who, verb, number % 3, self.world.rng.randrange(100))

    # --- meeting ---------------------------------------------------------------------------------------------------------------

    def do_meet(self, a: int, b: int, budget: int | None = None, cut: Cut = "reset", odd: bool = False) -> None:
        """Two devices talk."""
        self.world.meet(self._at(a), self._at(b), budget, cut, odd=odd)

    def do_gather(self, seconds: float, cut: Cut = "reset") -> None:
        """All devices are on one network for a while."""
        for node in self.world.nodes:
            self.world.boot(node)
        self.world.online([self.world.nodes], seconds, cut)

    def do_online(self, seed: int, seconds: float, cut: Cut = "reset", odd: bool = False) -> None:
        """Some devices are on one network for a while."""
        rng = random.Random(seed)
        nodes = rng.sample(self.world.nodes, min(len(self.world.nodes), rng.randint(2, 5)))
        for node in nodes:
            self.world.boot(node)
        self.world.online([nodes], seconds, cut, odd=odd)

    def do_split(self, seed: int, seconds: float, cut: Cut = "reset") -> None:
        """The network falls in two: all go on, each on its side."""
        rng = random.Random(seed)
        for node in self.world.nodes:
            self.world.boot(node)
        here = set(rng.sample(self.world.nodes, rng.randint(1, max(1, len(self.world.nodes) - 1))))
        sides = [[node for node in self.world.nodes if (node in here) is side] for side in (True, False)]
        self.world.online(sides, seconds, cut)

    def do_rescue(self, by: int, whom: int) -> None:
        """As `devices rescue`."""
        node, device = self._at(by), self._at(whom).device.id
        self._rescue(node, device)

    def do_rescue_old(self, by: int) -> None:
        """A device rescues whatever it holds that does not count."""
        node = self._at(by)
        for device in sorted(node.device.replica.logs.durable):
            self._rescue(node, device)

    @staticmethod
    def _rescue(node: Node, device: DeviceId) -> None:
        node.device.replica.check_writable()
        mesh: Any = MeshOf(node.device)
        drive(rescue(mesh, device, rescuable(node.device.replica, device)))

    # --- bounded history ---------------------------------------------------------------------------------------------------------

    def do_snapshot(self, by: int) -> None:
        """Whoever has to propose a snapshot, as one device sees it, thinks that it is time."""
        asked = tending.asked_now(self._at(by).device.replica)
        for node in self.world.nodes:
            if asked and node.device.id == min(asked):
                self.world.boot(node)
                node.tend(least=0)

    # --- time --------------------------------------------------------------------------------------------------------------------

    def do_skew(self, who: int, hours: int) -> None:
        """Somebody sets a clock wrong, or right."""
        self._at(who).device.set_clock(hours * HOUR_MS)

    def do_time(self, hours: int) -> None:
        """Hours pass."""
        world = self.world
        for node in world.nodes:
            for talk in list(node.talks):
                talk.line.cut("reset")
        world.rest()
        world.clock.leap(hours * 3600)
        for node in world.nodes:
            node.device.tick()
