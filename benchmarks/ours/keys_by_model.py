"""What a neural model of sentences makes of the same habits: a measure of how hard they are, beside `benchmarks.ours.keys`.

``python -m benchmarks.ours.keys_by_model`` gives each turn of one set the frame of ours whose turns in all other sets it is nearest
to, by the mean of their embeddings, and counts as for our keys. It takes some minutes, and wants the model (see `minilm.INSTALL`).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.ours.keys import Turn, figures, turns
from mycelnode.adapters import minilm
from mycelnode.privacy.key import Key

SETS = ("heldout", "fresh", "unseen")
ANSWER_SHARE = 0.6  # of the answer's embedding beside the request's: the best of 0, 0.3, 0.6 and 1
MAX_CHARS = 600

Group = tuple[tuple[str, str], str]  # a frame, and its domain
Rows = npt.NDArray[np.float32]


def main() -> None:
    """Print the figures of each set."""
    folder = minilm.find()
    if folder is None:
        sys.exit(f"needs the model: {minilm.INSTALL}")
    model = minilm.MiniLm.load(folder)
    habits = turns()
    every = [(split, turn) for split, row in habits.items() for habit in row.values() for turn in habit]
    requests = model.embed([turn.request[:MAX_CHARS] for _, turn in every])
    answers = model.embed([turn.answer[:MAX_CHARS] for _, turn in every])
    vectors = _unit(requests + ANSWER_SHARE * answers)
    at = {id(turn): vector for (_, turn), vector in zip(every, vectors, strict=True)}
    for name in SETS:
        nearest = _nearest([(turn.key, at[id(turn)]) for split, turn in every if split != name and turn.key])
        ours = figures(habits[name])
        theirs = figures(
            {
                habit: [Turn(turn.request, turn.answer, nearest(at[id(turn)])) for turn in row]
                for habit, row in habits[name].items()
            }
        )
        print(
            f"{name:<8} a habit's turns in its largest key: {ours.together:.1%}, by the model {theirs.together:.1%};"
            f" habits with 17 of 25 there: {ours.enough:.1%}, by the model {theirs.enough:.1%}"
        )


def _nearest(known: Sequence[tuple[Key, Rows]]) -> Callable[[Rows], Key]:
    """Which frame a turn has, by the means of those that are known."""
    groups: dict[Group, list[Rows]] = defaultdict(list)
    for key, vector in known:
        groups[key.frame, key.domain].append(vector)
    names = list(groups)
    middles = _unit(np.stack([np.mean(group, axis=0) for group in groups.values()]))

    def nearest(vector: Rows) -> Key:
        return Key(*names[int((middles @ vector).argmax())])

    return nearest


def _unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


if __name__ == "__main__":
    main()
