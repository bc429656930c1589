"""What happens in a story of releases: steps from a seed, some of them in plots that make sense together."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from mycel_simnet.virtual.releases_steps import Step

DANGERS: Final = (0.0, 0.0, 0.01, 0.04, 0.1)


def generate(rng: random.Random, *, calm: bool) -> list[Step]:
    """Several quarters: in each turns come in and things happen; then it is decided, and not always at once."""
    steps: list[Step] = []
    for _ in range(rng.randint(2, 8)):
        steps.append(("turns", rng.randrange(1 << 30), rng.randint(2, 12)))
        for _ in range(rng.randint(1, 3) if calm else rng.randint(0, 6)):
            steps += [calm_step(rng)] if calm else [step(rng)] if rng.random() < 0.8 else plot(rng)
        steps.append(("season", rng.choice((0.1, 1, 5, 32)) if not calm else rng.choice((1, 5))))
        steps += [step(rng) for _ in range(0 if calm else rng.randint(0, 2))]
        steps += (
            [("gather",), calm_decision(rng)] if calm else [decision(rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        )
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
        # handed on by who is away when it is decided, and what was counted before comes in again
        [
            *(
                ("join", 0),
                turns[0],
                ("season", 1),
                turns[1],
                ("hand", "R", 2, 3, 0.0),
                ("season", 1),
                calm_decision(rng),
            ),
            *(("away", 0), ("away", 1), turns[2], ("again", 2, 9), ("again", 3, 9), ("season", 35), hurried),
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
    rare = [plots[0], plots[3]]  # of what takes much to come about
    return rng.choice([*plots, *rare, *rare, *rare])


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
        ("words", a, n % 3): 4,
        ("secret", a, n % 50): 1,
        decision(rng): 8,
    }
    return rng.choices(list(kinds), list(kinds.values()))[0]
