"""Some of what `make crash` does 200 times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chain.killing import STEPS, Town, a_town, kill_once

RUNS = [(step, seed) for seed in range(3) for step in STEPS][:20]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    (tmp_path / "town").mkdir()
    async with a_town(tmp_path / "town") as town:
        yield town


@pytest.mark.parametrize("step", STEPS)
async def test_a_purchase_that_is_killed_is_made_once_and_the_journal_says_so(
    town: Town, tmp_path: Path, step: str
) -> None:
    for _, seed in [run for run in RUNS if run[0] == step]:
        (tmp_path / str(seed)).mkdir()
        await kill_once(town, tmp_path / str(seed), step, seed)
