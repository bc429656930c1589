"""Random stories: steps made from a seed, played, healed, judged; and a failing one made short."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from mycel_simnet.virtual.check import heal, judge
from mycel_simnet.virtual.clock import Endless
from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.steps import Player, Step
from mycel_simnet.virtual.world import World, conditions
from mycelnode.crdt.statements import FENCE, REVOKE

VERBS: Final = ("set", "put", "delete", "append", "add", "remove", "count", "assign")
BUDGETS: Final = (None, None, None, 1, 2, 3, 4, 5, 6, 8, 11, 15, 24)
MOMENTS: Final = (None, "writing", "syncing", "syncing", "synced")


class Story:
    """Steps, playable again and again, with that many devices to begin with.

    ``tight``: with small limits in the product, so that short stories reach them. ``grown``: a snapshot is due as soon as there is
    something to gain, and nobody needs to be told to make one.
    """

    def __init__(
        self,
        seed: int,
        steps: Sequence[Step] | None = None,
        *,
        tight: bool | None = None,
        devices: int | None = None,
        grown: bool | None = None,
    ) -> None:
        made = steps is None
        self.seed = seed
        self.tight = seed % 2 == 1 if tight is None else tight
        self.devices = (2 if made and seed % 6 == 4 else 3) if devices is None else devices
        self.grown = made and seed % 6 == 2 if grown is None else grown
        self.steps = generate(random.Random(seed)) if steps is None else list(steps)

    def __repr__(self) -> str:
        devices = f", devices={self.devices}" if self.devices != 3 else ""
        return f"Story({self.seed}, {self.steps!r}{devices}{', grown=True' if self.grown else ''})"

    def of(self, steps: Sequence[Step]) -> Story:
        """Other steps under the same conditions."""
        return Story(self.seed, steps, tight=self.tight, devices=self.devices, grown=self.grown)

    def run(self) -> World:
        """Play, heal, check; returns the world for whoever wants to look. Raises `Broken`."""
        with conditions(tight=self.tight, grown=self.grown):
            world = World(self.seed)
            try:
                player = Player(world)
                for step in (*[("enrol", 0)] * (self.devices - 1), *self.steps):
                    player.play(step)
                    world.clock.run(world.rng.random() * 0.02)
                heal(world)
                judge(world)
            except Broken:
                raise
            except Endless as error:
                raise Broken("loop", str(error)) from error
            except Exception as error:
                raise Broken("crash", f"{type(error).__name__}: {error}") from error
            return world


def generate(rng: random.Random) -> list[Step]:
    """Steps, and plots of several steps, in any order."""
    steps: list[Step] = []
    for _ in range(rng.randint(5, 30)):
        steps += plot(rng) if rng.random() < 0.15 else [step(rng)]
    return steps


def step(rng: random.Random) -> Step:
    """One step."""
    a, b, n = rng.randrange(9), rng.randrange(9), rng.randrange(1 << 30)
    budget, moment = rng.choice(BUDGETS), rng.choice(MOMENTS)
    cut = "lost" if n % 5 == 0 else "reset"
    kinds: dict[Step, int] = {
        ("write", a, rng.choice(VERBS), b % 3, n % 100): 30,
        ("burst", a, rng.choice(VERBS), rng.randint(2, 12)): 6,
        ("meet", a, b, budget, cut, n % 8 == 0): 30,
        ("online", n, rng.choice((0.3, 1.0, 4.0, 20.0)), cut, n % 7 == 0): 5,
        ("split", n, rng.choice((0.3, 1.0, 4.0)), cut): 3,
        ("gather", rng.choice((0.3, 2.0)), cut): 1,
        ("crash", a, n % 2 == 0, moment): 7,
        ("restart", a): 2,
        ("keep_state", a): 2,
        ("enrol", a): 3,
        ("pair", a, rng.choice(BUDGETS), n % 7 == 0, None if n % 3 else (rng.choice(MOMENTS[1:]), n % 2 == 0)): 4,
        ("ask_again", a): 2,
        ("recover", a, b, n % 5, n % 3 == 0, None if n % 4 else n % 3): 2,
        ("revoke", a, b, n % 4 if n % 3 else 0): 3,
        ("fence", a, b, n % 4): 1,
        ("root", (REVOKE, FENCE)[n % 2], a, b, n % 5): 2,
        ("leave", a): 1,
        ("clone", a): 2,
        ("image", a): 2,
        ("put_back", a, n % 3): 2,
        ("backup", a): 2,
        ("restore", n % 3, b): 1,
        ("come_back", a, b): 3,
        ("destroy", a): 1,
        ("skew", a, rng.choice((-96, -30, -20, -3, 0, 0, 3, 20, 30, 96))): 5,
        ("time", rng.choice((1, 5, 30, 80))): 3,
        ("rescue", a, b): 3,
        ("rescue_old", a): 1,
        ("snapshot", a): 6,
        ("away", a, b): 1,
    }
    return rng.choices(list(kinds), list(kinds.values()))[0]


def plot(rng: random.Random) -> list[Step]:
    """Steps that make sense together, with the details left to chance."""
    a, b, c = rng.sample(range(3), 3)
    n = rng.randrange(1 << 30)
    writes: Step = ("burst", a, rng.choice(VERBS), rng.randint(1, 5))
    plots: list[list[Step]] = [
        # put out with a tail beyond the fence, which two others rescue without knowing of each other
        [
            writes,
            ("meet", a, b),
            ("meet", a, c),
            ("revoke", b, a, 1 + n % 3),
            ("meet", b, c),
            ("rescue", b, a),
            ("rescue", c, a),
        ],
        # mutual revocation, in one order here and in another there
        [
            ("meet", a, b),
            ("revoke", a, b, 0),
            ("revoke", b, a, 0),
            ("meet", c, a, None if n % 2 else 6),
            ("meet", c, b),
        ],
        # a power cut in the middle of writing, while others listen
        [
            writes,
            ("crash", a, True, rng.choice(MOMENTS)),
            writes,
            ("meet", a, b),
            ("crash", a, True),
            writes,
            ("meet", a, c),
        ],
        # a machine image is put back, before or after the others have seen more
        [
            ("image", a),
            writes,
            ("meet", a, b, rng.choice(BUDGETS)),
            ("put_back", a, 0),
            *([writes] if n % 2 else []),
            ("meet", a, c),
        ],
        # a copy, and both are used
        [("clone", a), writes, ("write", 2 + n % 6, "put", 1, 1), ("meet", a, b), ("meet", 2 + n % 6, c)],
        # lost and replaced by the phrase, with a backup or without
        [("backup", a), writes, ("meet", a, b), ("destroy", a), ("recover", b, c, 0, n % 2 == 0, None if n % 3 else 0)],
        # out, back with a new key, and what was written meanwhile is rescued
        [
            ("meet", a, b),
            ("revoke", b, a, 0),
            writes,
            ("meet", a, b),
            ("come_back", a, b),
            ("rescue_old", 2),
            ("rescue_old", n % 5),
        ],
        # a thief with a device puts the others out, and the phrase heals it
        [
            ("meet", a, b),
            ("revoke", a, b, n % 3),
            ("revoke", a, c, n % 2),
            ("meet", a, b),
            ("recover", c, a, 2, False),
            ("meet", b, c),
        ],
    ]
    return rng.choice(plots) if rng.random() < 0.6 else snapshot_plot(rng, a, b, c, writes)


def snapshot_plot(rng: random.Random, a: int, b: int, c: int, writes: Step) -> list[Step]:
    """A snapshot that all agree on, and what can happen to those who do, or who come later."""
    n = rng.randrange(1 << 30)
    gather: Step = ("gather", 2.0)
    agreed: list[Step] = [writes, gather, ("snapshot", a), gather]
    plots: list[list[Step]] = [
        # a fence below what is final
        [*agreed, ("revoke", b, a, 1 + n % 6), writes, gather],
        [*agreed, ("root", (REVOKE, FENCE)[n % 2], b, a, 1 + n % 6), gather],
        # a newcomer, by invite or by the phrase, and one with an old backup
        [("backup", a), *agreed, ("enrol", b) if n % 3 else ("recover", b, c, 0, True, 0), ("meet", 3, c)],
        # an old disk of one who has agreed
        [("image", a), *agreed, ("put_back", a, 0), *([writes] if n % 2 else []), gather],
        # two copies, each known to one device only, and each of these thinks that a snapshot is due
        [
            ("clone", a),
            ("restart", b),
            ("restart", c),
            writes,
            ("write", -1, "put", 0, 0),
            ("meet", a, b),
            ("meet", -1, c),
            ("snapshot", b),
            ("snapshot", c),
            ("meet", a, b),
            ("meet", -1, c),
            gather,
        ],
        # a copy on each side of a snapshot
        [("clone", a), *agreed, ("write", -1, "put", 0, 0), gather],
        # somebody is away, and comes back with entries of its own
        [
            ("meet", a, b),
            ("away", b, c),
            ("burst", c, "add", 3),
            ("meet", a, b),
            ("snapshot", a),
            ("meet", a, b),
            ("meet", b, a),
            gather,
        ],
        # two sides that have put each other out make one each
        [
            ("revoke", a, b, 0),
            ("revoke", b, a, n % 2),
            ("snapshot", a),
            ("snapshot", b),
            ("meet", a, c),
            ("meet", b, c),
            ("snapshot", c),
            gather,
        ],
        # what lies beyond the cut is rescued
        [
            *agreed,
            writes,
            ("meet", a, b),
            ("revoke", b, a, 1 + n % 4),
            gather,
            ("rescue", b, a),
            ("snapshot", b),
            gather,
            ("rescue", c, a),
        ],
        # the phrase is used on two devices with an old backup, neither knowing of the other, and undoes a snapshot
        [
            *agreed,
            ("backup", a),
            writes,
            gather,
            ("snapshot", a),
            gather,
            ("recover", c, a, n % 2, False, -1),
            ("meet", -1, b),
            ("recover", c, b, 0, False, -1),
            ("root", (REVOKE, FENCE)[n % 2], -1, c, n % 3),
            gather,
        ],
        # a crash between the steps
        [
            writes,
            gather,
            ("snapshot", a),
            ("crash", a, True, rng.choice(MOMENTS)),
            ("meet", a, b),
            ("crash", b, n % 2 == 0, rng.choice(MOMENTS)),
            gather,
        ],
    ]
    return rng.choice(plots)


def failure(story: Story) -> Broken | None:
    """What goes wrong in a story."""
    try:
        story.run()
    except Broken as error:
        return error
    return None
