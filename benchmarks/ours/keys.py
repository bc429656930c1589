"""How well one person's habit, said in many ways on many days, meets in one key, and whether different habits keep different ones.

``python -m benchmarks.ours.keys [--show]`` reads ``benchmarks/habits.jsonl``: habits, each in a dozen phrasings. With the half that
is called ``tuned`` the rules were made, ``heldout`` was left alone meanwhile; ``fresh``, ``varied`` and ``unseen`` were written by
others who knew neither rules nor tables: words of the first two were put into the tables later, no word of the last.
``--version`` writes down the version of keys that `tests/privacy/test_key.py` holds.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from time import perf_counter

from benchmarks.ours.world import Numbers, job
from mycelnode.privacy.key import Key, key_of, version

HABITS = Path(__file__).parent.parent / "habits.jsonl"
VERSION = Path(__file__).parent.parent.parent / "tests/privacy/key_version.txt"
ENOUGH = 17 / 25  # of a habit's days in one key: so many release it in a quarter, if it is done twice a week
USUAL_WORDS = (200, 500)  # of a usual turn's request and answer
TIMES = 20
WORDS = (
    "please",
    "write",
    "unit",
    "tests",
    "for",
    "the",
    "function",
    "below",
    "which",
    "reads",
    "orders",
    "of",
    "my",
    "shop",
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One phrasing of a habit, with the key that it has."""

    request: str
    answer: str
    key: Key | None


@dataclass(frozen=True, slots=True)
class Figures:
    """``together``: the mean share of a habit's turns in its largest key; ``enough``: the share of habits with `ENOUGH` there;
    ``keys``: the mean number of keys of a habit; ``shared``: the share of pairs of habits with the same largest key; ``none``: the
    share of turns without a key."""

    habits: int
    turns: int
    together: float
    enough: float
    keys: float
    shared: float
    none: float


def turns(path: Path = HABITS) -> dict[str, dict[str, list[Turn]]]:
    """split → habit → its turns."""
    found: dict[str, dict[str, list[Turn]]] = defaultdict(lambda: defaultdict(list))
    with path.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            turn = Turn(row["request"], row["answer"], key_of(row["request"], row["answer"]))
            found[row.get("split", "all")][row["habit"]].append(turn)
    return found


def largest(habit: Sequence[Turn]) -> tuple[Key | None, int]:
    """The key of most turns, of equals the first, and of how many."""
    counts = Counter(turn.key for turn in habit if turn.key is not None)
    return max(counts.items(), key=lambda item: item[1], default=(None, 0))


def figures(habits: Mapping[str, Sequence[Turn]]) -> Figures:
    """Of some habits."""
    tops = {name: largest(habit) for name, habit in habits.items()}
    shares = [tops[name][1] / len(habit) for name, habit in habits.items()]
    pairs = list(combinations([key for key, _ in tops.values()], 2))
    every = [turn for habit in habits.values() for turn in habit]
    return Figures(
        habits=len(habits),
        turns=len(every),
        together=sum(shares) / len(shares),
        enough=sum(share >= ENOUGH for share in shares) / len(shares),
        keys=sum(len({turn.key for turn in habit if turn.key}) for habit in habits.values()) / len(habits),
        shared=sum(one == other is not None for one, other in pairs) / max(1, len(pairs)),
        none=sum(turn.key is None for turn in every) / len(every),
    )


def usual_seconds() -> float:
    """What the key of a turn of `USUAL_WORDS` takes."""
    request, answer = (" ".join(WORDS[n % len(WORDS)] for n in range(count)) for count in USUAL_WORDS)
    key_of(request, answer)
    started = perf_counter()
    for _ in range(TIMES):
        key_of(request, answer)
    return (perf_counter() - started) / TIMES


async def measure(folder: Path) -> Numbers:
    """What the table shows: of the habits that were left alone, those of ours and those of somebody else; and the time."""
    splits = turns()
    ours, others = figures(splits["heldout"]), figures(splits["unseen"])
    return {
        "together": ours.together,
        "keys": ours.keys,
        "varied": others.together,
        "apart": 1 - others.shared,
        "usual_s": usual_seconds(),
    }


def _print(path: Path, *, show: bool) -> None:
    splits = turns(path)
    table = {split: figures(habits) for split, habits in splits.items()}
    print(f"{'':<44}" + "".join(f"{split:>10}" for split in table))
    lines = {
        "habits": [f"{one.habits}" for one in table.values()],
        "turns": [f"{one.turns}" for one in table.values()],
        "a habit's turns in its largest key": [f"{one.together:.1%}" for one in table.values()],
        "habits with 17 of 25 turns or more there": [f"{one.enough:.1%}" for one in table.values()],
        "keys a habit": [f"{one.keys:.2f}" for one in table.values()],
        "pairs of habits with the same largest key": [f"{one.shared:.1%}" for one in table.values()],
        "turns without a key": [f"{one.none:.1%}" for one in table.values()],
    }
    for name, values in lines.items():
        print(f"{name:<44}" + "".join(f"{value:>10}" for value in values))
    print(f"ms a usual turn: {1000 * usual_seconds():.1f}")
    for split, habits in splits.items() if show else ():
        for name, habit in habits.items():
            key, count = largest(habit)
            print(f"\n{split} {name}: {count} of {len(habit)}: {key.title if key else 'none'}")
            for turn in habit:
                if turn.key != key:
                    print(f"  {turn.key.title if turn.key else '—'}  ←  {turn.request[:100]!r}")


if __name__ == "__main__":
    if "--version" in sys.argv:
        VERSION.write_text(
            f"# The version of keys that this release makes: devices with another one do not count together.\n{version().hex()}\n"
        )
    elif "--job" in sys.argv:
        sys.argv.remove("--job")
        job(measure)
    else:
        files = [Path(argument) for argument in sys.argv[1:] if argument != "--show"]
        _print(files[0] if files else HABITS, show="--show" in sys.argv)
