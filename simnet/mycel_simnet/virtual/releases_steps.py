"""The steps of the stories of releases."""

from __future__ import annotations

import random
from typing import Any, Final

from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.releases import World
from mycel_simnet.virtual.releases_deciding import Device, Work
from mycel_simnet.virtual.releases_device import Died, DiskFull
from mycel_simnet.virtual.releases_disk import DAY_MS
from mycelnode.protocols.release_steps import Kept, Terms
from mycelnode.protocols.release_units import FORGOTTEN
from mycelnode.protocols.release_window import quarter_begins, quarter_of

Step = tuple[Any, ...]
HABITS: Final = 3
MOST_DEVICES: Final = 4


class Player:
    """Plays steps. Devices are named by a number, modulo how many there are."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known: list[tuple[int, int, int | None]] = []  # turns: number, habit, day

    def play(self, step: Step) -> None:
        """One step. Raises `Broken`."""
        what, *rest = step
        world = self.world
        world.calm()
        try:
            getattr(self, f"do_{what}")(*rest)
        except (Died, DiskFull):
            return
        except Broken:
            raise
        except Exception as error:
            raise Broken("crash", f"{step}: {type(error).__name__}: {error}") from error

    def _at(self, number: int | str) -> Device:
        """``R``, ``W``: who decides, and the witness, by the newest plan."""
        devices, plan = self.world.devices, self.world.newest
        if isinstance(number, str):
            role = plan and (plan.releaser if number == "R" else plan.witness)
            number = next((place for place, one in enumerate(devices) if one.me == role and not one.gone), 0)
        device = devices[number % len(devices)]
        self.world.boot(device)
        return device

    def _up(self, number: int) -> Device | None:
        up = self.world.up
        return up[number % len(up)] if up else None

    # --- turns ------------------------------------------------------------------------------------------------------------------

    def do_turns(self, seed: int, count: int, danger: float = 0.0) -> None:
        """Turns come in somewhere: new ones and known ones, dated or not, late or not."""
        rng, world = random.Random(seed), self.world
        world.danger = danger
        for _ in range(count):
            device = self._up(rng.randrange(99))
            if device is None:
                return
            if self.known and rng.random() < 0.4:
                turn = rng.choice(self.known)
            else:
                day = world.now // DAY_MS - rng.choice((0, 0, 1, 2, 40, 100)) if rng.random() < 0.7 else None
                turn = (len(self.known), rng.randrange(HABITS), day)
                self.known.append(turn)
            device.take_in(*turn)

    def do_again(self, who: int, count: int) -> None:
        """Turns that others have come in here, too."""
        device = self._at(who)
        for turn in [turn for turn in self.known if device.up and turn[0] not in device.disk.turns][:count]:
            device.take_in(*turn)

    def do_forget(self, who: int | str, number: int) -> None:
        """A turn is forgotten."""
        device = self._at(who)
        if device.up and device.disk.turns:
            device.forget(sorted(device.disk.turns)[number % len(device.disk.turns)])

    # --- the network ------------------------------------------------------------------------------------------------------------

    def do_meet(self, a: int, b: int, breaking: float = 0.0) -> None:
        """Two devices meet."""
        self.world.breaking = breaking
        one, other = self._at(a), self._at(b)
        if one.up and other.up:
            self.world.whole(one.meet(other))

    def do_gather(self) -> None:
        """All who are there meet, so that all have heard of plans."""
        self.world.gather()

    def do_split(self, seed: int) -> None:
        """The network falls in two."""
        rng = random.Random(seed)
        self.world.sides = {device.name: rng.randrange(2) for device in self.world.devices}

    def do_sides(self, first: int) -> None:
        """It falls in two: those before the device of that number, and the others."""
        self.world.sides = {device.name: int(place >= first) for place, device in enumerate(self.world.devices)}

    def do_join_up(self) -> None:
        """It is one again."""
        self.world.sides = {}

    # --- deciding ---------------------------------------------------------------------------------------------------------------

    def do_decide(
        self, seed: int, danger: float, breaking: float, hurry: bool, moments: int, filling: float = 0.0
    ) -> None:
        """Devices decide, and do other things meanwhile."""
        world, rng = self.world, random.Random(seed)
        for device in world.devices:
            world.boot(device)
        world.rng.seed(seed)
        world.calm(danger, breaking, filling)
        tasks: list[tuple[Device, Work]] = [(device, device.decide(hurry=hurry)) for device in world.up]
        if danger or breaking:
            pairs = [rng.sample(world.up, 2) for _ in range(rng.randrange(4)) if len(world.up) > 1]
            tasks += [(one, one.meet(other)) for one, other in pairs]
            tasks += [(device, device.decide()) for device in world.up if rng.random() < 0.4]
        world.run(tasks, moments=moments)

    # --- time and clocks -------------------------------------------------------------------------------------------------------

    def do_time(self, days: float) -> None:
        """Days pass."""
        self.world.pass_time(days)

    def do_season(self, days: float) -> None:
        """The quarter ends, and days pass."""
        world = self.world
        world.pass_time((quarter_begins(quarter_of(world.now) + 1) - world.now) / DAY_MS + days)

    def do_skew(self, who: int | str, days: float) -> None:
        """A clock is set wrong, or right."""
        device = self._at(who)
        device.skew_ms = round(days * DAY_MS)
        if device.up:
            self.world.attempt(device)

    # --- devices come and go ---------------------------------------------------------------------------------------------------

    def do_crash(self, who: int | str) -> None:
        """A process dies."""
        self._at(who).crash()

    def do_away(self, who: int | str) -> None:
        """A device is switched off until further notice."""
        device = self._at(who)
        device.crash()
        device.away = True

    def do_back(self, who: int) -> None:
        """It is there again."""
        device = self.world.devices[who % len(self.world.devices)]
        device.away = False
        self.world.boot(device)

    def do_join(self, who: int | str) -> None:
        """A new device, by an invite."""
        by = self._at(who)
        if self._room() and by.up and by.me in by.members:
            self.world.add(by)

    def _room(self) -> bool:
        return sum(not device.gone for device in self.world.devices) < MOST_DEVICES

    def do_revoke(self, who: int | str, whom: int) -> None:
        """One puts another one out."""
        by, device = self._at(who), self._at(whom).me
        if by.up and by.me in by.members and by.me != device and self.world.may_damage(device):
            by.statements.add(("revoke", device))
            self.world.attempt(by)

    def do_return(self, who: int | str, by: int) -> None:
        """One that is out comes back under a new key, with what it has."""
        old, inviter = self._at(who), self._at(by)
        if old.gone or not inviter.up or inviter.me not in inviter.members or old.me in inviter.members:
            return
        disk = old.disk.image()
        disk.kept, disk.rows = Kept(), {}
        old.crash()
        old.gone = True
        self.world.add(inviter, old, disk)

    def do_clone(self, who: int | str) -> None:
        """A device is copied while it does not run, and both go on."""
        device = self._at(who)
        if self._room() and not device.gone and self.world.may_damage(device.me):
            device.crash()
            twin = self.world.add(device, device, device.disk.image(), device.key)
            twin.taken_before = dict(device.taken_before)
            self.world.boot(device)

    def do_image(self, who: int | str) -> None:
        """What is on a disk is kept somewhere."""
        device = self._at(who)
        self.world.images.append((device, device.disk.image()))

    def do_put_back(self, number: int) -> None:
        """An old state of a disk is put back."""
        if not self.world.images:
            return
        device, disk = self.world.images[number % len(self.world.images)]
        if device.gone or not self.world.may_damage(device.me):
            return
        device.crash()
        for start, turns in self.world.promises.frozen[device.name].items():
            device.taken_before[start] = device.taken_before.get(start, set()) | turns
        device.disk = disk.image()
        self.world.promises.copied(device, device)
        self.world.boot(device)

    def do_destroy(self, who: int | str) -> None:
        """A device is lost for ever."""
        device = self._at(who)
        if sum(not one.gone for one in self.world.devices) > 1 and self.world.may_damage(device.me):
            device.crash()
            device.gone = True

    def do_restore(self, number: int, who: int) -> None:
        """A backup is brought into the mesh under a new key: all turns that it brings are spent."""
        by = self._at(who)
        if not self.world.images or not self._room() or not by.up or by.me not in by.members:
            return
        _, disk = self.world.images[number % len(self.world.images)]
        new = self.world.add(by)

        def store(kept: Any) -> None:
            kept.turns, kept.marks = dict(disk.turns), dict(disk.marks)
            kept.note((mark, FORGOTTEN) for turn in disk.turns for mark in new.marks_of(turn))

        if new.up:
            new.commit(store)

    # --- plans and terms -------------------------------------------------------------------------------------------------------

    def do_plan(self, who: int | str, seed: int, danger: float, breaking: float) -> None:
        """A person changes the plan."""
        world, rng, device = self.world, random.Random(seed), self._at(who)
        if not device.up:
            return
        members = sorted(device.members)
        changes: dict[str, object] = {"choice": rng.choice(("strict", "standard", "loose"))}
        if rng.random() < 0.3:
            changes["quarters"] = rng.choice((1, 4))
        if members and rng.random() < 0.4:
            changes["releaser"] = rng.choice(members)
        if members and rng.random() < 0.4:
            changes["witness"] = rng.choice(members)
        world.calm(danger, breaking)
        device.refresh()
        world.run([(device, device.change_plan(**changes))])

    def do_hand(self, who: int | str, releaser: int, witness: int, breaking: float) -> None:
        """Another device decides from the next window on, and another one is the witness."""
        device, world = self._at(who), self.world
        names = {"releaser": self._at(releaser).me, "witness": self._at(witness).me}
        if device.up and len(set(names.values())) == 2:
            world.calm(0.0, breaking)
            device.refresh()
            world.run([(device, device.change_plan(**names))])

    def do_phrase(self, who: int | str, seed: int, *named: int) -> None:
        """The phrase names who decides, and the witness."""
        device, rng = self._at(who), random.Random(seed)
        members = sorted(device.members)
        if not device.up or len(members) < 2 or device.me not in members:
            return
        releaser = rng.choice(members)
        witness = rng.choice([None, *(one for one in members if one != releaser)])
        if named:
            releaser, witness = (self._at(one).me for one in named)
        device.refresh()
        made = device.machine.plan_of_root(device.now, self.world.root.sign, releaser=releaser, witness=witness)
        if self.world.may_name(made):
            device.hear((made,))

    def do_terms(self, who: int | str, number: int) -> None:
        """An update, or another word in the owner's dictionary."""
        device = self._at(who)
        device.crash()
        device.terms = Terms(b"%032d" % (number % 3), b"%032d" % (number // 3 % 2))
        device.terms = Terms(b"%d%s" % (number % 3, b"v" * 31), device.terms.dictionary)
        self.world.boot(device)

    def do_words(self, who: int | str, number: int) -> None:
        """Other words in the owner's dictionary, of which not all devices have heard."""
        device = self._at(who)
        device.terms = Terms(device.terms.version, b"%032d" % number)

    def do_secret(self, who: int | str, number: int) -> None:
        """A second secret of the mesh, by a device that had not heard of the first."""
        device = self._at(who)
        if len(device.secrets) < 3:
            device.secrets = tuple(dict.fromkeys((*device.secrets, b"%016d" % number)))
