"""The world of releases: devices with turns, their meetings, and years of a virtual clock. It decides nothing; the machines do.

What no set of rules can hold is kept out of the stories, unless one asks for it (`World.limits`): of all devices that ever decide
releases or witness them, one at most is lost, put out, copied, put back to an old state, or replaced by the phrase without hearing
of it; and a releaser that has no witness is none of these.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from mycel_simnet.virtual.keys import Broken, Key
from mycel_simnet.virtual.releases_deciding import Device, Work
from mycel_simnet.virtual.releases_device import Died, DiskFull, LineBroken
from mycel_simnet.virtual.releases_disk import DAY_MS, Disk
from mycel_simnet.virtual.releases_promises import Promises
from mycelnode.crdt.changelog import DeviceId
from mycelnode.protocols.release_records import Plan, Spend
from mycelnode.protocols.release_steps import Keep, No

START_MS: Final = 1_771_113_600_000  # 2026-02-15
MAX_MOMENTS: Final = 3_000  # of one run of tasks


class World:
    """Everything that there is. All randomness comes from ``seed``, and of a step from the step."""

    def __init__(self, seed: int, devices: int, *, witness: bool = True, limits: bool = True) -> None:
        self.rng = random.Random(seed)
        self.seed, self.limits = seed, limits
        self.now = START_MS
        self.calm()
        self.promises = Promises()
        self.words: Counter[str] = Counter()  # what was answered
        self.devices: list[Device] = []
        self.sides: dict[str, int] = {}  # by name, where the network has fallen in two
        self.images: list[tuple[Device, Disk]] = []
        self.root = Key(f"{seed} root")
        self.damaged: set[DeviceId] = set()
        self.roles: set[DeviceId] = set()
        self.lone: set[DeviceId] = set()
        self.newest: Plan | None = None
        self._keys = 0
        for _ in range(devices):
            self.add(None)
        first = self.devices[0]
        named = self.devices[1].me if witness and devices > 1 else None
        first.refresh()
        plan = first.machine.plan_of_root(self.now, self.root.sign, releaser=first.me, witness=named)
        self.may_name(plan)
        for device in self.devices:
            device.keep(Keep((plan,)))

    # --- devices --------------------------------------------------------------------------------------------------------------

    def add(
        self, by: Device | None, old: Device | None = None, disk: Disk | None = None, key: Key | None = None
    ) -> Device:
        """A device joins: by an invite (None: all know each other from the beginning); with a disk that was ``old``'s."""
        self._keys += 1
        key = key or Key(f"{self.seed} {self._keys}")
        disk = Disk(self.random_bytes(16)) if disk is None else disk
        device = Device(self, f"d{len(self.devices)}", key, disk)
        if by is None:
            device.statements = self.devices[0].statements if self.devices else set()
            device.secrets = (b"s" * 16,)
        else:
            by.statements.add(("enrol", key.public))
            device.statements, device.secrets, device.terms = set(by.statements), by.secrets, by.terms
            device.statements.add(("enrol", key.public))
        if by is None:
            device.statements.add(("enrol", key.public))
            device.statements = set(device.statements)
            for other in self.devices:
                other.statements.add(("enrol", key.public))
        self.devices.append(device)
        if old is not None:
            self.promises.copied(old, device)
        self.boot(device)
        return device

    def boot(self, device: Device) -> None:
        """Start a device that can run, with what it does when it starts."""
        if device.boot():
            self.attempt(device)

    def calm(self, danger: float = 0.0, breaking: float = 0.0, filling: float = 0.0) -> None:
        """How often something goes wrong: a device dies at a commit, a line breaks, a disk is full."""
        self.danger, self.breaking, self.filling = danger, breaking, filling

    def attempt(self, device: Device) -> None:
        """What a device does now and then, as far as it comes."""
        try:
            device.refresh()
            device.tick()
        except (Died, DiskFull):
            return

    @property
    def up(self) -> list[Device]:
        """Those whose process runs."""
        return [device for device in self.devices if device.up]

    def random_bytes(self, count: int) -> bytes:
        """As the system's."""
        return self.rng.randbytes(count)

    def said(self, answer: object) -> None:
        """What a device answered to a question."""
        self.words[answer.said if isinstance(answer, No) else type(answer).__name__] += 1

    # --- the network and the disks -------------------------------------------------------------------------------------------

    def dies(self) -> bool:
        """Does a device die here?"""
        return self.danger > 0 and self.rng.random() < self.danger

    def fills(self) -> bool:
        """Is a disk full here?"""
        return self.filling > 0 and self.rng.random() < self.filling

    def line(self, one: Device, other: Device) -> None:
        """Raises `LineBroken` if nothing gets through."""
        apart = self.sides.get(one.name, 0) != self.sides.get(other.name, 0)
        if not one.up or not other.up or apart or one.me == other.me:
            raise LineBroken
        if self.breaking and self.rng.random() < self.breaking:
            raise LineBroken

    def reach(self, one: Device, device: DeviceId) -> Device:
        """A device of that key; two copies answer to it, now the one and now the other."""
        found = [
            other
            for other in self.up
            if other.me == device and self.sides.get(one.name, 0) == self.sides.get(other.name, 0)
        ]
        if not found:
            raise LineBroken
        return self.rng.choice(found)

    def greet(self, one: Device, other: Device) -> None:
        """Two devices find each other: they hear who is in the mesh, and go on only if both are."""
        self.line(one, other)
        one.statements |= other.statements
        other.statements |= one.statements
        for device in (one, other):
            device.refresh()
        if not {one.me, other.me} <= one.members:
            raise LineBroken
        secrets = tuple(dict.fromkeys((*min(one.secrets, other.secrets), *max(one.secrets, other.secrets))))
        one.secrets = other.secrets = secrets

    # --- work that goes on at the same time ------------------------------------------------------------------------------------

    def run(self, tasks: Iterable[tuple[Device, Work]], *, moments: int = MAX_MOMENTS) -> None:
        """Tasks of devices, now a part of one and now of another; what is not done after so many moments stops where it is."""
        going = [(device, device.starts, work) for device, work in tasks]
        while going and moments:
            moments -= 1
            place = self.rng.randrange(len(going))
            device, starts, work = going[place]
            ended = not device.up or device.starts != starts
            if not ended:
                try:
                    next(work)
                except (StopIteration, LineBroken, DiskFull, Died):
                    ended = True
            if ended:
                work.close()  # type: ignore[attr-defined]
                going.pop(place)
                if not device.up and self.rng.random() < 0.6 and device.boot():
                    self.attempt(device)
                    going.append((device, device.starts, device.decide()))
        for _, _, work in going:
            work.close()  # type: ignore[attr-defined]

    def whole(self, work: Work) -> None:
        """One task alone, to its end."""
        try:
            for _ in work:
                pass
        except (LineBroken, DiskFull, Died):
            return

    # --- what rules cannot hold -----------------------------------------------------------------------------------------------

    def may_damage(self, device: DeviceId) -> bool:
        """May a device be lost, put out, copied, or put back? See above."""
        held = len((self.damaged | {device}) & self.roles) <= 1 and device not in self.lone
        if held or not self.limits:
            self.damaged.add(device)
        return held or not self.limits

    def may_name(self, plan: Plan) -> bool:
        """May a plan be made? Then it is as good as made."""
        roles = {plan.releaser, plan.witness} - {None}
        lone = self.lone | ({plan.releaser} if plan.witness is None else set())
        damaged = self.damaged | self._replaced(plan)
        every = self.roles | {device for device in roles if device is not None}
        if self.limits and (len(damaged & every) > 1 or lone & damaged):
            return False
        self.roles, self.lone, self.damaged, self.newest = every, lone, damaged, plan
        return True

    def _replaced(self, plan: Plan) -> set[DeviceId]:
        """Who decides or witnesses by what somebody knows, and may go on with that when the phrase says otherwise."""
        if plan.author != self.root.public:
            return set()
        known = {
            record
            for device in self.devices
            for record in device.disk.records.values()
            if isinstance(record, Plan) and record.id != plan.id
        }
        roles = {device for one in known for device in (one.releaser, one.witness) if device is not None}
        return roles - {plan.releaser, plan.witness}

    # --- the end ----------------------------------------------------------------------------------------------------------------

    def gather(self) -> None:
        """All who are there meet."""
        for one in self.up:
            for other in self.up:
                self.whole(one.meet(other))

    def heal(self) -> None:
        """All are there, their clocks are right, and all meet."""
        self.calm()
        self.sides = {}
        for device in self.devices:
            device.away, device.skew_ms = False, 0
            self.boot(device)
        for _ in range(2):
            self.gather()
        for device in self.up:
            self.attempt(device)

    def judge(self) -> None:
        """After all have met."""
        members = [device for device in self.up if device.me in device.members]
        spends = {device.name: self._over(device) for device in members}
        for device in members:
            if missing := set().union(*spends.values()) - spends[device.name]:
                raise Broken("spend forgotten", f"{device.name} lacks {len(missing)} after all have met")
        plans = {device.name: device.machine.ledger.plans(0, 1 << 20) for device in members}
        if len({tuple(one.id for one in found) for found in plans.values()}) > 1:
            raise Broken("plans differ", ", ".join(f"{name}: {len(found)}" for name, found in plans.items()))

    def _over(self, device: Device) -> set[bytes]:
        """The spends that it has, but for those that a clock which was ahead made of a time that is still to come."""
        spends: Sequence[Spend] = device.machine.ledger.spends()
        return {one.id for one in spends if one.window.over(self.now)}

    def pass_time(self, days: float) -> None:
        """Days pass; who is there does what it does now and then."""
        self.now += round(days * DAY_MS)
        for device in self.up:
            self.attempt(device)
