"""Purchases that are killed at each step that there is: 200 of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chain.killing import STEPS, a_town, kill_once

KILLS = 200
AT_ONCE = 5  # with one chain
RUNS = [(STEPS[number % len(STEPS)], number // len(STEPS)) for number in range(KILLS)]


@pytest.mark.parametrize("first", range(0, KILLS, AT_ONCE))
async def test_a_purchase_that_is_killed_is_made_once_and_the_journal_says_so(tmp_path: Path, first: int) -> None:
    (tmp_path / "town").mkdir()
    async with a_town(tmp_path / "town") as town:
        for step, seed in RUNS[first : first + AT_ONCE]:
            folder = tmp_path / f"{step} {seed}"
            folder.mkdir()
            await kill_once(town, folder, step, seed)
