"""What is measured about keys of habits is counted right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.ours import keys
from mycelnode.privacy.key import Key

TEST, POEM = Key(("write", "test"), "coding"), Key(("write", "poem"), "writing")


def test_turns_of_a_habit_are_counted_by_their_keys() -> None:
    habits = {
        "mine": [keys.Turn("", "", key) for key in (TEST, POEM, TEST, TEST, None)],
        "alike": [keys.Turn("", "", TEST)],
        "other": [keys.Turn("", "", POEM), keys.Turn("", "", POEM)],
        "never": [keys.Turn("", "", None)] * 2,
    }
    found = keys.figures(habits)
    assert (found.habits, found.turns) == (4, 10)
    assert found.together == pytest.approx((3 / 5 + 1 + 1 + 0) / 4)
    assert found.enough == 1 / 2
    assert found.keys == (2 + 1 + 1 + 0) / 4
    assert found.shared == 1 / 6
    assert found.none == 3 / 10
    assert keys.largest(habits["never"]) == (None, 0)


def test_the_habits_are_as_many_as_they_should_be() -> None:
    rows = [json.loads(line) for line in keys.HABITS.read_text(encoding="utf-8").splitlines()]
    assert {row["split"] for row in rows} == {"tuned", "heldout", "fresh", "varied", "unseen"}
    assert len({row["habit"] for row in rows}) >= 40
    assert len({row["request"] for row in rows}) == len(rows)


def test_habits_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "habits.jsonl"
    file.write_text('{"habit": "poems", "request": "write a poem", "answer": "Roses"}\n')
    assert keys.turns(file) == {"all": {"poems": [keys.Turn("write a poem", "Roses", POEM)]}}
