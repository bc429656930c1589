"""Whoever follows a registry is killed while catching up; what is here then is whole pages, and it goes on from there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from tests.chain.market import a_market
from tests.chain.registries import CONTRACT, Told, a_follower, a_registry

ROOT = Path(__file__).parents[2]
PATTERNS = 1_000
PAGE = 50


async def follow(
    folder: Path, url: str, contract: str, step: str = "never", page: int = 0, kill_after: float = 0
) -> int:
    """Run the follower; its exit status."""
    command = [sys.executable, "-m", "tests.chain.follower", str(folder), url, contract, step, str(page)]
    process = await trio.lowlevel.open_process(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    if kill_after:
        await trio.sleep(kill_after)
        with suppress(ProcessLookupError):
            process.kill()
    return await process.wait()


async def check_pages(folder: Path, contract: Told, url: str) -> int:
    """What is here are the patterns before ``next_seq``, all of them and no others; how many that is."""
    async with a_follower(folder, CONTRACT, url) as one:
        seqs = [seq for *_, seq in one.rows()]
        assert seqs == list(range(one.state.next_seq)), "a page is half here"
        assert one.state.seq == PATTERNS
    return len(seqs)


@pytest.mark.parametrize(("step", "page"), [("before", 2), ("before", 11), ("after", 1), ("after", 19)])
async def test_a_page_is_here_with_the_number_from_which_to_go_on_or_not_at_all(
    tmp_path: Path, step: str, page: int
) -> None:
    contract = Told.of(PATTERNS)
    async with a_registry(contract) as server:
        assert await follow(tmp_path, server.url, CONTRACT, step, page) == -signal.SIGKILL
        here = await check_pages(tmp_path, contract, server.url)
        assert here == PAGE * (page - 1 if step == "before" else page)
        contract.asked.clear()
        assert await follow(tmp_path, server.url, CONTRACT) == 0
        assert contract.asked[0] == here, "what was here is not asked for again"
        assert await check_pages(tmp_path, contract, server.url) == PATTERNS


async def test_killed_while_it_is_copied_anew_it_has_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    contract = Told.of(PATTERNS)
    async with a_registry(contract) as server:
        assert await follow(tmp_path, server.url, CONTRACT) == 0
        contract.instance = 8
        assert await follow(tmp_path, server.url, CONTRACT, "before", 1) == -signal.SIGKILL
        async with a_follower(tmp_path, CONTRACT, server.url) as one:
            assert (one.state.instance, len(one.rows())) == (7, PATTERNS)
        assert await follow(tmp_path, server.url, CONTRACT, "before", 3) == -signal.SIGKILL
        async with a_follower(tmp_path, CONTRACT, server.url) as one:
            assert (one.state.instance, one.state.next_seq, len(one.rows())) == (8, 2 * PAGE, 2 * PAGE)
        assert await follow(tmp_path, server.url, CONTRACT) == 0
        assert await check_pages(tmp_path, contract, server.url) == PATTERNS


async def test_killed_at_any_moment_on_a_real_chain_it_ends_with_all_of_it(tmp_path: Path) -> None:
    chance = random.Random(6)
    async with a_market() as market:
        for number in range(120):
            await market.register(f"pattern {number}")
        await market.chain.fast_forward(blocks=3)
        url, contract = market.chain.url, market.registry.account_id
        for _ in range(4):
            await follow(tmp_path, url, contract, kill_after=chance.uniform(0.5, 1.5))
        assert await follow(tmp_path, url, contract) == 0
        async with a_follower(tmp_path, contract, url) as one:
            assert [seq for *_, seq in one.rows()] == list(range(121))
            assert one.state.is_whole
