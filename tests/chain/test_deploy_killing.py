"""Some of what `make crash` does to `chain deploy` at every step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chain.deploy_killing import MADE_AND_LOCKED, a_deployment


@pytest.mark.timeout(120)
async def test_killed_before_and_after_each_transaction_is_sent(tmp_path: Path) -> None:
    async with a_deployment(tmp_path) as deployment:
        strikes = ["before send_tx", "after send_tx"] * len(MADE_AND_LOCKED)
        await deployment.check_locked(await deployment.struck(strikes))


@pytest.mark.timeout(120)
async def test_killed_wherever_the_journal_of_a_first_deployment_is_written(tmp_path: Path) -> None:
    async with a_deployment(tmp_path) as deployment:
        deployment.wanted = ()
        await deployment.killed(2)
        assert await deployment.journalled() == [("done", "+create")] * 2
