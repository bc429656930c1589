"""Random stories of releases: steps made from a seed, played, healed, judged."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.releases import World
from mycel_simnet.virtual.releases_plots import generate
from mycel_simnet.virtual.releases_steps import Player, Step
from mycelnode.protocols.release_window import Window, quarter_of


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
    if any(device.machine.ledger.spent_until() > window.start for device in members):
        return  # decided, or lost; or a time to come was spent, by two clocks that were years ahead
    for device in members:
        ledger = device.machine.ledger
        plan = ledger.plan(window.start)
        if plan is None or plan.releaser != device.me or plan is not ledger.last_plan or plan.since >= window.start:
            continue
        there = {one.me for one in members} == device.members and plan.quarters == 1
        if there and (plan.witness is None or plan.witness in device.members):
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
