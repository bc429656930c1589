"""Random stories of releases: steps made from a seed, played, healed, judged."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.releases import World
from mycel_simnet.virtual.releases_device import Device, Died, DiskFull, Work
from mycel_simnet.virtual.releases_disk import DAY_MS
from mycelnode.protocols.release_steps import Kept, Terms
from mycelnode.protocols.release_units import FORGOTTEN
from mycelnode.protocols.release_window import Window, quarter_begins, quarter_of

Step = tuple[Any, ...]
HABITS: Final = 3
MOST_DEVICES: Final = 4
DANGERS: Final = (0.0, 0.0, 0.01, 0.04, 0.1)


class Player:
    """Plays steps. Devices are named by a number, modulo how many there are."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known: list[tuple[int, int, int | None]] = []  # turns: number, habit, day

    def play(self, step: Step) -> None:
        """One step. Raises `Broken`."""
        what, *rest = step
        world = self.world
        world.danger = world.breaking = 0.0
        try:
            getattr(self, f"do_{what}")(*rest)
        except (Died, DiskFull):
            return
        except Broken:
            raise
        except Exception as error:
            raise Broken("crash", f"{step}: {type(error).__name__}: {error}") from error

    def _at(self, number: int) -> Device:
        devices = self.world.devices
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

    def do_forget(self, who: int, number: int) -> None:
        """A turn is forgotten."""
        device = self._up(who)
        if device is not None and device.disk.turns:
            device.forget(sorted(device.disk.turns)[number % len(device.disk.turns)])

    # --- the network ------------------------------------------------------------------------------------------------------------

    def do_meet(self, a: int, b: int, breaking: float = 0.0) -> None:
        """Two devices meet."""
        self.world.breaking = breaking
        one, other = self._at(a), self._at(b)
        if one.up and other.up:
            self.world.whole(one.meet(other))

    def do_split(self, seed: int) -> None:
        """The network falls in two."""
        rng = random.Random(seed)
        self.world.sides = {device.name: rng.randrange(2) for device in self.world.devices}

    def do_join_up(self) -> None:
        """It is one again."""
        self.world.sides = {}

    # --- deciding ---------------------------------------------------------------------------------------------------------------

    def do_decide(self, seed: int, danger: float, breaking: float, hurry: bool, moments: int) -> None:
        """Devices decide, and do other things meanwhile."""
        world, rng = self.world, random.Random(seed)
        for device in world.devices:
            world.boot(device)
        world.rng.seed(seed)
        world.danger, world.breaking = danger, breaking
        tasks: list[tuple[Device, Work]] = [(device, device.decide(hurry=hurry)) for device in world.up]
        if danger or breaking:
            pairs = [rng.sample(world.up, 2) for _ in range(rng.randrange(4)) if len(world.up) > 1]
            tasks += [(one, one.meet(other)) for one, other in pairs]
            tasks += [(device, device.decide()) for device in world.up if rng.random() < 0.4]
        world.run(tasks, moments=moments)

    def do_full(self, who: int, count: int) -> None:
        """A disk has no room for a while."""
        self._at(who).full = count

    # --- time and clocks -------------------------------------------------------------------------------------------------------

    def do_time(self, days: float) -> None:
        """Days pass."""
        self.world.pass_time(days)

    def do_season(self, days: float) -> None:
        """The quarter ends, and days pass."""
        world = self.world
        world.pass_time((quarter_begins(quarter_of(world.now) + 1) - world.now) / DAY_MS + days)

    def do_skew(self, who: int, days: float) -> None:
        """A clock is set wrong, or right."""
        device = self._at(who)
        device.skew_ms = round(days * DAY_MS)
        if device.up:
            self.world.attempt(device)

    # --- devices come and go ---------------------------------------------------------------------------------------------------

    def do_crash(self, who: int) -> None:
        """A process dies."""
        self._at(who).crash()

    def do_away(self, who: int) -> None:
        """A device is switched off until further notice."""
        device = self._at(who)
        device.crash()
        device.away = True

    def do_back(self, who: int) -> None:
        """It is there again."""
        device = self.world.devices[who % len(self.world.devices)]
        device.away = False
        self.world.boot(device)

    def do_join(self, who: int) -> None:
        """A new device, by an invite."""
        by = self._at(who)
        if self._room() and by.up and by.me in by.members:
            self.world.add(by)

    def _room(self) -> bool:
        return sum(not device.gone for device in self.world.devices) < MOST_DEVICES

    def do_revoke(self, who: int, whom: int) -> None:
        """One puts another one out."""
        by, device = self._at(who), self._at(whom).me
        if by.up and by.me in by.members and by.me != device and self.world.may_damage(device):
            by.statements.add(("revoke", device))
            self.world.attempt(by)

    def do_return(self, who: int, by: int) -> None:
        """One that is out comes back under a new key, with what it has."""
        old, inviter = self._at(who), self._at(by)
        if old.gone or not inviter.up or inviter.me not in inviter.members or old.me in inviter.members:
            return
        disk = old.disk.image()
        disk.kept, disk.rows = Kept(), {}
        old.crash()
        old.gone = True
        self.world.add(inviter, old, disk)

    def do_clone(self, who: int) -> None:
        """A device is copied while it does not run, and both go on."""
        device = self._at(who)
        if self._room() and not device.gone and self.world.may_damage(device.me):
            device.crash()
            twin = self.world.add(device, device, device.disk.image(), device.key)
            twin.taken_before = dict(device.taken_before)
            self.world.boot(device)

    def do_image(self, who: int) -> None:
        """What is on a disk is kept somewhere."""
        device = self._at(who)
        self.world.images.append((device, device.disk.image(), b""))

    def do_put_back(self, number: int) -> None:
        """An old state of a disk is put back."""
        if not self.world.images:
            return
        device, disk, _ = self.world.images[number % len(self.world.images)]
        if device.gone or not self.world.may_damage(device.me):
            return
        device.crash()
        for start, turns in self.world.promises.frozen[device.name].items():
            device.taken_before[start] = device.taken_before.get(start, set()) | turns
        device.disk = disk.image()
        self.world.promises.copied(device, device)
        self.world.boot(device)

    def do_destroy(self, who: int) -> None:
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
        _, disk, _ = self.world.images[number % len(self.world.images)]
        new = self.world.add(by)

        def store(kept: Any) -> None:
            kept.turns, kept.marks = dict(disk.turns), dict(disk.marks)
            kept.note((mark, FORGOTTEN) for turn in disk.turns for mark in new.marks_of(turn))

        if new.up:
            new.commit(store)

    # --- plans and terms -------------------------------------------------------------------------------------------------------

    def do_plan(self, who: int, seed: int, danger: float, breaking: float) -> None:
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
        world.danger, world.breaking = danger, breaking
        device.refresh()
        world.run([(device, device.change_plan(**changes))])

    def do_phrase(self, who: int, seed: int) -> None:
        """The phrase names who decides."""
        device, rng = self._at(who), random.Random(seed)
        members = sorted(device.members)
        if not device.up or len(members) < 2 or device.me not in members:
            return
        releaser = rng.choice(members)
        witness = rng.choice([None, *(one for one in members if one != releaser)])
        device.refresh()
        made = device.machine.plan_of_root(device.now, self.world.root.sign, releaser=releaser, witness=witness)
        if self.world.may_name(made):
            device.hear((made,))

    def do_terms(self, who: int, number: int) -> None:
        """An update, or another word in the owner's dictionary."""
        device = self._at(who)
        device.crash()
        device.terms = Terms(b"%032d" % (number % 3), b"%032d" % (number // 3 % 2))
        device.terms = Terms(b"%d%s" % (number % 3, b"v" * 31), device.terms.dictionary)
        self.world.boot(device)

    def do_secret(self, who: int, number: int) -> None:
        """A second secret of the mesh, by a device that had not heard of the first."""
        device = self._at(who)
        if len(device.secrets) < 3:
            device.secrets = tuple(dict.fromkeys((*device.secrets, b"%016d" % number)))


class Story:
    """Steps, playable again and again. ``calm``: nothing goes wrong, and every unit must be counted."""

    def __init__(
        self,
        seed: int,
        steps: Sequence[Step] | None = None,
        *,
        devices: int | None = None,
        witness: bool | None = None,
        calm: bool | None = None,
        limits: bool = True,
    ) -> None:
        self.seed, self.limits = seed, limits
        self.devices = 1 + seed % 4 if devices is None else devices
        self.witness = seed % 5 != 0 if witness is None else witness
        self.calm = seed % 6 == 3 and steps is None if calm is None else calm
        self.steps = generate(random.Random(seed), calm=self.calm) if steps is None else list(steps)

    def __repr__(self) -> str:
        limits = "" if self.limits else ", limits=False"
        return f"Story({self.seed}, {self.steps!r}, devices={self.devices}, witness={self.witness}, calm={self.calm}{limits})"

    def of(self, steps: Sequence[Step]) -> Story:
        """Other steps under the same conditions."""
        return Story(
            self.seed, steps, devices=self.devices, witness=self.witness, calm=self.calm, limits=self.limits
        )

    def run(self) -> World:
        """Play, heal, check; returns the world for whoever wants to look. Raises `Broken`."""
        try:
            world = World(self.seed, self.devices, witness=self.witness, limits=self.limits)
            player = Player(world)
            for step in self.steps:
                player.play(step)
            world.heal()
            world.judge()
            finish(world, player, calm=self.calm)
        except Broken:
            raise
        except Exception as error:
            raise Broken("crash", f"{type(error).__name__}: {error}") from error
        return world


def finish(world: World, player: Player, *, calm: bool) -> None:
    """Half a year more in which nothing goes wrong; in a calm story all was counted then."""
    for _ in range(2):
        player.do_season(1)
        for device in world.up:
            world.whole(device.decide())
        world.pass_time(31)
        for device in world.up:
            world.whole(device.decide())
    world.heal()
    world.judge()
    if calm:
        reckoning(world)


def reckoning(world: World) -> None:
    """Each unit was counted once, in the first window in which a turn of it was stamped: by the turns alone."""
    ledger = world.up[0].machine.ledger
    copies: defaultdict[int, list[tuple[Window, bool, int, int]]] = defaultdict(list)
    for device in world.devices:
        for turn in device.disk.turns.values():
            window = ledger.window(turn.ingested)
            if window is not None and window.over(world.now):
                copies[turn.number].append((window, not turn.dated, turn.day, turn.habit))
    units: dict[tuple[int, int], Window] = {}
    for found in copies.values():
        window, _, day, habit = min(found)
        units[habit, day] = min(window, units.get((habit, day), window))
    expected = {(b"%d v" % habit, day): window for (habit, day), window in units.items()}
    counted = {(key[:3], day): window for (key, day), window in world.promises.units.items()}
    if expected != counted:
        missing, more = expected.items() - counted.items(), counted.items() - expected.items()
        raise Broken("not all counted", f"missing {sorted(missing)[:3]}, too many {sorted(more)[:3]}")


def failure(story: Story) -> Broken | None:
    """What goes wrong in a story."""
    try:
        story.run()
    except Broken as error:
        return error
    return None


def generate(rng: random.Random, *, calm: bool) -> list[Step]:
    """Several quarters: in each turns come in and things happen; then it is decided, and not always at once."""
    steps: list[Step] = []
    for _ in range(rng.randint(2, 8)):
        steps.append(("turns", rng.randrange(1 << 30), rng.randint(2, 12)))
        for _ in range(rng.randint(1, 3) if calm else rng.randint(0, 6)):
            steps.append(calm_step(rng) if calm else step(rng))
        steps.append(("season", rng.choice((0.1, 1, 5, 32)) if not calm else rng.choice((1, 5))))
        steps += [step(rng) for _ in range(0 if calm else rng.randint(0, 2))]
        steps += [calm_decision(rng)] if calm else [decision(rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    return steps


def calm_decision(rng: random.Random) -> Step:
    """All are there, until all is done."""
    return ("decide", rng.randrange(1 << 30), 0.0, 0.0, False, 3_000)


def decision(rng: random.Random) -> Step:
    """Things go wrong."""
    moments = rng.choice((3_000, 3_000, 20, 60))
    return (
        "decide", rng.randrange(1 << 30), rng.choice(DANGERS), rng.choice(DANGERS), rng.random() < 0.1, moments,
    )


def calm_step(rng: random.Random) -> Step:
    """Nothing that a person has to fear."""
    n = rng.randrange(1 << 30)
    made: list[Callable[[], Step]] = [
        lambda: ("turns", n, rng.randint(1, 8)),
        lambda: ("time", rng.choice((0.5, 3))),
        lambda: ("meet", n % 7, n % 5),
        lambda: ("plan", n % 4, n, 0.0, 0.0),
        lambda: ("skew", n % 4, rng.choice((-0.2, 0, 0.2))),
    ]
    return rng.choice(made)()


def step(rng: random.Random) -> Step:
    """One step."""
    a, b, n = rng.randrange(12), rng.randrange(12), rng.randrange(1 << 30)
    kinds: dict[Step, int] = {
        ("turns", n, rng.randint(1, 8), rng.choice((0.0, 0.0, 0.05))): 12,
        ("forget", a, n % 99): 2,
        ("meet", a, b, rng.choice((0.0, 0.1, 0.3))): 10,
        ("split", n): 2,
        ("join_up",): 3,
        ("full", a, rng.randint(1, 3)): 2,
        ("time", rng.choice((1, 10, 35, 100))): 4,
        ("season", rng.choice((0, 1, 40))): 3,
        ("skew", a, rng.choice((0, 0, -2, 2, -40, 40, -100, 100, -400, 400, 3_650))): 6,
        ("crash", a): 3,
        ("away", a): 3,
        ("back", a): 5,
        ("join", a): 5,
        ("revoke", a, b): 2,
        ("return", a, b): 2,
        ("clone", a): 4,
        ("image", a): 4,
        ("put_back", n % 5): 4,
        ("destroy", a): 1,
        ("restore", n % 5, b): 2,
        ("plan", a, n, rng.choice(DANGERS), rng.choice(DANGERS)): 8,
        ("phrase", a, n): 2,
        ("terms", a, n % 6): 2,
        ("secret", a, n % 50): 1,
        decision(rng): 8,
    }
    return rng.choices(list(kinds), list(kinds.values()))[0]
