"""Random stories of releases: steps made from a seed, played, healed, judged."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.releases import World
from mycel_simnet.virtual.releases_steps import Player, Step
from mycelnode.protocols.release_window import Window, quarter_of

DANGERS: Final = (0.0, 0.0, 0.01, 0.04, 0.1)


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
        return Story(self.seed, steps, devices=self.devices, witness=self.witness, calm=self.calm, limits=self.limits)

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
        for days in (31, 0):
            for device in world.up:
                world.whole(device.decide())
            world.pass_time(days)
            world.heal()
    world.judge()
    stuck(world)
    if calm:
        reckoning(world)


def stuck(world: World) -> None:
    """The last window was decided, or is lost, if all are there whom it takes."""
    members = [device for device in world.up if device.me in device.members]
    window = Window(quarter_of(world.now) - 1)
    for device in members:
        ledger = device.machine.ledger
        plan = ledger.plan(window.start)
        if plan is None or plan.releaser != device.me or plan is not ledger.last_plan or plan.since >= window.start:
            continue
        there = {one.me for one in members} == device.members and plan.quarters == 1
        if there and (plan.witness is None or plan.witness in device.members) and ledger.spent_until() <= window.start:
            raise Broken("stuck", f"{device.name} never decides {window.id}")


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
            steps += [calm_step(rng)] if calm else [step(rng)] if rng.random() < 0.8 else plot(rng)
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
    dangers = (rng.choice(DANGERS), rng.choice(DANGERS))
    return ("decide", rng.randrange(1 << 30), *dangers, rng.random() < 0.1, moments, rng.choice((0.0, 0.0, 0.1)))


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


def plot(rng: random.Random) -> list[Step]:
    """Steps that make sense together, with the details left to chance."""
    a, b, n = rng.randrange(4), rng.randrange(4), rng.randrange(1 << 30)
    turns: list[Step] = [("turns", n + place, rng.randint(4, 12)) for place in range(4)]
    broken = rng.choice((0.0, 0.2, 0.4))
    hurried: Step = ("decide", n, 0.0, 0.0, True, 3_000)
    plots: list[list[Step]] = [
        # handed on by who is away when it is decided
        [
            *turns[:2],
            ("hand", "R", 2, 3, 0.0),
            ("season", 1),
            calm_decision(rng),
            ("away", 0),
            ("away", 1),
            *turns,
            ("season", 35),
            hurried,
        ],
        # handed on with a word that may be lost, by a device that dies, of a witness that is put back
        [
            ("image", "W"),
            ("hand", "R", a, b, broken),
            ("crash", "R"),
            ("put_back", -1),
            ("split", n),
            turns[0],
            ("season", 35),
            hurried,
        ],
        # copied, and each copy with a half of the others
        [
            turns[0],
            ("clone", "R"),
            turns[1],
            ("split", n),
            ("season", 35),
            decision(rng),
            hurried,
            ("join_up",),
            decision(rng),
        ],
        # copied, and the copy names another witness, away from the old one
        [("clone", "R"), ("sides", 2), ("hand", -1, -1, 2, 0.0), turns[0], ("season", 35), hurried, hurried],
        # put back to what it was before it decided
        [
            turns[0],
            ("image", "R"),
            ("season", 1),
            decision(rng),
            ("put_back", -1),
            decision(rng),
            turns[1],
            ("season", 1),
            decision(rng),
        ],
        [
            turns[0],
            ("image", "W"),
            ("season", 1),
            decision(rng),
            ("put_back", -1),
            decision(rng),
            turns[1],
            ("season", 1),
            decision(rng),
        ],
        # the witness is put out
        [
            ("revoke", "R", 1),
            ("meet", 0, a),
            ("decide", n, 0.0, 0.0, False, 3_000),
            turns[0],
            ("season", 1),
            decision(rng),
        ],
        # by the phrase, without those who decide
        [
            ("split", n),
            ("phrase", a, n),
            turns[0],
            ("season", 35),
            hurried,
            ("join_up",),
            turns[1],
            ("season", 1),
            decision(rng),
        ],
        # clocks far ahead, for an hour
        [
            ("skew", "R", 3_650),
            decision(rng),
            ("skew", "R", 0),
            turns[0],
            ("skew", "R", 4_400),
            decision(rng),
            ("skew", "R", 0),
        ],
        # nobody who decides for a year
        [
            ("away", "R"),
            *(one for turn in turns for one in (turn, ("season", 1))),
            ("back", 0),
            ("back", 1),
            decision(rng),
        ],
        # spent, and not decided: a disk is full, a process dies
        [
            turns[0],
            ("season", 1),
            *(("decide", n + place, 0.0, 0.0, False, 40, 0.2) for place in range(3)),
            ("crash", "R"),
            decision(rng),
        ],
    ]
    return rng.choice(plots)


def step(rng: random.Random) -> Step:
    """One step."""
    a, b, n = rng.randrange(12), rng.randrange(12), rng.randrange(1 << 30)
    kinds: dict[Step, int] = {
        ("turns", n, rng.randint(1, 8), rng.choice((0.0, 0.0, 0.05))): 12,
        ("forget", a, n % 99): 2,
        ("meet", a, b, rng.choice((0.0, 0.1, 0.3))): 10,
        ("split", n): 2,
        ("join_up",): 3,
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
