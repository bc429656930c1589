"""The journal of payments: what is wanted twice is kept once, and what was spent is counted by the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mycelnode.chain import journal as journal_module
from mycelnode.chain.journal import Journal
from mycelnode.chain.policy import DAY_MS, Spent
from mycelnode.clock import SystemClock
from mycelnode.database import open_database
from mycelnode.errors import BusyError, SpendingRefused
from mycelnode.paths import DataDir
from mycelnode.protocols.payment_journal import Entry, Intent, State, json_args

INTENT = Intent("use", "net/1", "bob.near", "k", "registry.near", "use_pattern", json_args(id=7), 10, 30, 1 << 50)


class Later(SystemClock):
    """A clock that a test moves on."""

    ahead = 0

    def wall(self) -> int:
        return super().wall() + self.ahead


@asynccontextmanager
async def a_journal(folder: Path, clock: Later | None = None) -> AsyncIterator[Journal]:
    data = DataDir(folder / "data")
    if not data.path.exists():
        data.create()
    async with open_database(data) as database:
        yield Journal(database, clock or Later())


async def test_what_is_wanted_twice_is_one_line_also_after_a_restart(tmp_path: Path) -> None:
    async with a_journal(tmp_path) as journal:
        first = await journal.add(INTENT, about="cid", creator="alice.near")
        assert await journal.add(replace(INTENT, deposit=99)) == first
    async with a_journal(tmp_path) as journal:
        (line,) = journal.lines()
        assert (line.entry, line.about, line.creator, line.amount) == (first, "cid", "alice.near", 10)
        assert journal.live("net/1") == [first]
        assert journal.live("net/2") == []


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.UNKNOWN])
async def test_what_has_failed_can_be_wanted_again(tmp_path: Path, state: State) -> None:
    async with a_journal(tmp_path) as journal:
        await journal.keep(replace(await journal.add(INTENT), state=state))
        again = await journal.add(INTENT)
        assert again.intent.id == "use#2"
        await journal.keep(replace(again, state=State.DONE))
        assert (await journal.add(INTENT)).state is State.DONE
        assert [line.entry.state for line in journal.lines()] == [State.DONE, state]
        assert [line.entry.state for line in journal.lines(state=state)] == [state]


async def test_what_was_spent_is_counted_for_a_day_and_by_network(tmp_path: Path) -> None:
    clock = Later()
    async with a_journal(tmp_path, clock) as journal:
        done = await journal.add(INTENT, creator="alice.near")
        failed = await journal.add(replace(INTENT, id="failed", deposit=500))
        await journal.add(replace(INTENT, id="waits", deposit=7))
        await journal.add(replace(INTENT, id="elsewhere", network="net/2", deposit=1_000))
        await journal.add(replace(INTENT, id="transfer", method="", deposit=2_000))
        await journal.keep(replace(done, state=State.DONE))
        await journal.keep(replace(failed, state=State.FAILED))
        assert set(journal.spent("net/1")) == {Spent(10, "alice.near"), Spent(7, None)}
        clock.ahead = DAY_MS + 1
        assert journal.spent("net/1") == [Spent(7, None)], "what waits counts until it is decided"


async def test_too_many_that_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_LIVE", 2)
    async with a_journal(tmp_path) as journal:
        for name in "ab":
            await journal.add(replace(INTENT, id=name))
        with pytest.raises(BusyError, match="2 payments wait already"):
            await journal.add(replace(INTENT, id="c"))
        assert len(journal.lines()) == 2


async def test_what_is_refused_leaves_no_line(tmp_path: Path) -> None:
    def judge(spent: object) -> None:
        raise SpendingRefused("enough")

    async with a_journal(tmp_path) as journal:
        with pytest.raises(SpendingRefused, match="enough"):
            await journal.add(INTENT, judge=judge)
        assert journal.lines() == []


async def test_the_longest_line_is_kept(tmp_path: Path) -> None:
    """A use of the largest numbers, between accounts with the longest names."""
    account = "a" * 64
    intent = replace(INTENT, id="x" * 257, network="devchain/" + "1" * 44, account=account, receiver=account)
    async with a_journal(tmp_path) as journal:
        kept = await journal.add(replace(intent, deposit=(1 << 128) - 1), about="b" * 59, creator=account)
        assert journal.find(kept.intent.id) is not None
        assert isinstance(kept, Entry)
