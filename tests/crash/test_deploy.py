"""`chain deploy`, killed at every step of making, locking and upgrading contracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chain.deploy_killing import MADE_AND_LOCKED, UPGRADED, a_deployment

pytestmark = pytest.mark.timeout(600)


async def test_killed_wherever_the_journal_is_written(tmp_path: Path) -> None:
    async with a_deployment(tmp_path) as deployment:
        await deployment.check_locked(await deployment.killed(len(MADE_AND_LOCKED)))


async def test_an_upgrade_that_is_killed_wherever_the_journal_is_written(tmp_path: Path) -> None:
    async with a_deployment(tmp_path) as deployment:
        await deployment.old()
        deployment.wanted = ("--upgrade",)
        await deployment.check_upgraded(await deployment.killed(len(UPGRADED)))


async def test_killed_around_each_transaction_and_between_questions(tmp_path: Path) -> None:
    each = ["before send_tx", "after send_tx", "before view_access_key_list", "after view_account"]
    async with a_deployment(tmp_path) as deployment:
        await deployment.check_locked(await deployment.struck(each * len(MADE_AND_LOCKED)))


async def test_an_upgrade_that_is_killed_around_each_transaction(tmp_path: Path) -> None:
    async with a_deployment(tmp_path) as deployment:
        await deployment.old()
        deployment.wanted = ("--upgrade",)
        await deployment.check_upgraded(await deployment.struck(["before send_tx", "after send_tx"] * len(UPGRADED)))
