"""Turns on a real device: each once, whatever file it comes in, and gone when they are forgotten."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mycelnode import backup, clock, mesh_secret
from mycelnode.backup_file import Opener
from mycelnode.clock import SystemClock
from mycelnode.errors import ImportRefused, TurnRefused, TurnsLocked, TurnUnknown
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir
from mycelnode.privacy import partstore, turnstore
from mycelnode.privacy.interactions import AHEAD_MS, DAY_MS, Influence, Outcome, Turn, turn_mark
from mycelnode.privacy.turnstore import Chosen
from mycelnode.protocols.release_steps import Freeze
from mycelnode.protocols.release_units import label
from mycelnode.protocols.release_window import Window, quarter_of
from mycelnode.turns import Turns
from tests.privacy.talk import chatgpt, lines, message, pairs, turn

CANARY = "where do I hide the silver spoons"


@asynccontextmanager
async def opened(data: DataDir) -> AsyncIterator[tuple[Mesh, Turns]]:
    async with open_mesh(data, clock=clock.system()) as mesh:
        yield mesh, Turns(mesh)


def facts(mesh: Mesh) -> list[tuple[Any, ...]]:
    """What is stored of every turn, but for when it came in."""
    query = "SELECT mark, time, source, success, influenced, size FROM turns ORDER BY mark"
    return mesh.database.look(lambda connection: connection.execute(query).fetchall())


# --- each once -----------------------------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.integers(0, 6), max_size=8)
REPORTS = st.lists(
    st.builds(
        lambda number, day, more: {"request": f"q{number}", "answer": "a", "time": f"2026-01-0{day}T00:00:00Z", **more},
        st.integers(0, 4),
        st.integers(1, 3),
        st.sampled_from([{}, {"success": True}, {"success": False}, {"influenced": ["web"]}, {"source": "phone"}]),
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(reports=REPORTS, cut=st.integers(0, 8), seed=st.randoms(use_true_random=False))
def test_twice_is_once_parts_are_the_whole_and_order_does_not_matter(
    device: DataDir, tmp_path: Path, reports: list[dict[str, Any]], cut: int, seed: random.Random
) -> None:
    shuffled = seed.sample(reports, len(reports))
    files = {
        "whole": [reports],
        "twice": [reports, reports],
        "parts": [reports[:cut], reports[cut:]],
        "overlapping": [reports[: cut + 2], reports[cut:]],
        "shuffled": [shuffled],
    }

    async def imported(parts: list[list[dict[str, Any]]]) -> list[tuple[Any, ...]]:
        async with opened(device) as (mesh, turns):
            new = 0
            for part in parts:
                if part:
                    new += (await turns.import_file(lines(tmp_path / "x", part))).new
            found = facts(mesh)
            assert new == len(found)
            # so that the next begins as this one did
            await mesh.database.write(
                lambda c: (c.execute("DELETE FROM turns"), c.execute("UPDATE turn_keys SET used = 0"))
            )
            return found

    seen = {name: trio.run(imported, parts) for name, parts in files.items()}
    assert len({repr(found) for found in seen.values()}) == 1, seen


async def test_an_export_that_grew_adds_what_is_new(device: DataDir, tmp_path: Path) -> None:
    file = tmp_path / "conversations.json"
    async with opened(device) as (_, turns):
        file.write_text(json.dumps([chatgpt(*pairs([("a", "b"), ("c", "d")]))]))
        first = await turns.import_file(file)
        grown = chatgpt(*pairs([("a", "b"), ("c", "d"), ("e", "f")]), conversation_id="another")
        file.write_text(json.dumps([chatgpt(*pairs([("g", "h")])), grown]))
        second = await turns.import_file(file)
    assert (first.new, first.known, second.new, second.known) == (2, 0, 2, 2)


async def test_what_is_added_by_hand_and_imported_is_one_turn(device: DataDir, tmp_path: Path) -> None:
    async with opened(device) as (_, turns):
        name, state = await turns.add(Turn("question 1", "answer 1", None, "added", Outcome.YES))
        assert state == "new"
        tally = await turns.import_file(lines(tmp_path / "x", [turn(1, influenced=["tool"])]))
        assert (tally.new, tally.known) == (0, 1)
        assert await turns.add(Turn("question 1 ", "answer 1", None, "added")) == (name, "known")
        (kept, _) = (await turns.page(Chosen(), 9)).turns[0]
        assert (kept.facts.dated, kept.facts.source, kept.facts.success, kept.facts.influenced) == (
            True,
            "import",
            Outcome.YES,
            Influence.TOOL,
        )


# --- looking -------------------------------------------------------------------------------------------------------------------


async def test_pages_are_newest_first_and_miss_nothing(device: DataDir, tmp_path: Path) -> None:
    same = [turn(number, time="2026-01-01T00:00:00Z") for number in range(5)]
    async with opened(device) as (_, turns):
        await turns.import_file(lines(tmp_path / "x", [*map(turn, range(20, 40)), *same]))
        whole = await turns.page(Chosen(), 100)
        times = [kept.facts.time for kept, _ in whole.turns]
        assert (whole.total, whole.more, times) == (25, False, sorted(times, reverse=True))
        pages, after = [], None
        while True:
            page = await turns.page(Chosen(), 4, after=after, text=True)
            pages += page.turns
            after = page.turns[-1][0].id
            if not page.more:
                break
        assert [kept for kept, _ in pages] == [kept for kept, _ in whole.turns]
        assert min(said for _, said in pages if said) == ("question 0", "answer 0")
        for wrong in ("nothing", "", "abc", "ffffffffffffffff", "x" * 100):
            with pytest.raises(TurnUnknown):
                await turns.page(Chosen(), 4, after=wrong)


async def test_long_texts_come_in_several_pages(device: DataDir) -> None:
    async with opened(device) as (_, turns):
        for number in range(3):
            await turns.add(Turn(f"question {number}", "x" * 600_000, number * DAY_MS))
        page = await turns.page(Chosen(), 10, text=True)
        assert (len(page.turns), page.total, page.more) == (1, 3, True)
        assert len((await turns.page(Chosen(), 10)).turns) == 3


# --- forgetting ----------------------------------------------------------------------------------------------------------------


def raw(data: DataDir) -> bytes:
    """Every byte of the folder."""
    return b"\0\0".join(path.read_bytes() for path in sorted(data.path.rglob("*")) if path.is_file())


def wrapped(mesh: Mesh) -> dict[bytes, tuple[bytes, bytes]]:
    """Mark → wrapped key, sealed text."""
    query = "SELECT mark, wrapped, sealed FROM turns JOIN turn_keys USING (slot)"
    return mesh.database.look(lambda c: {mark: (key, text) for mark, key, text in c.execute(query)})


async def test_of_what_was_forgotten_no_file_holds_a_key_or_a_word(device: DataDir, tmp_path: Path) -> None:
    """A thousand turns that come and go in many orders, with a copy of the database from before an update in between."""
    seed = random.Random(7)
    gone: dict[bytes, tuple[bytes, bytes]] = {}
    async with opened(device) as (mesh, turns):
        for round_ in range(6):
            texts = [turn(seed.randrange(10**9), answer=f"{CANARY} {'x' * seed.randrange(3000)}") for _ in range(170)]
            await turns.import_file(lines(tmp_path / "x", texts))
            before = wrapped(mesh)
            if round_ == 3:
                shutil.copy(device.database, device.path / "mycel.db.before-99")
                shutil.copy(f"{device.database}-wal", device.path / "mycel.db.before-99-wal")
            ids = [mark.hex() for mark in seed.sample(sorted(before), 100 if round_ < 5 else len(before))]
            assert await turns.forget(Chosen(tuple(ids))) == (len(ids), True)
            gone |= {bytes.fromhex(name): before[bytes.fromhex(name)] for name in ids}
            kept, bytes_ = wrapped(mesh), raw(device)
            assert kept == {mark: both for mark, both in before.items() if mark not in gone}
            assert not [mark for mark, (key, _) in gone.items() if key in bytes_ or key[24:56] in bytes_]
            assert all(key in bytes_ for key, _ in kept.values()), "what is looked for is found where it should be"
            assert CANARY.encode() not in bytes_
        assert turns.place is None, "the last turn takes the key of the store with it"
        assert not device.turns_key.exists()
    assert len(gone) == 6 * 170


async def test_forgotten_turns_are_not_taken_in_again_and_never_count(device: DataDir, tmp_path: Path) -> None:
    file = lines(tmp_path / "x", map(turn, range(5)))
    async with opened(device) as (mesh, turns):
        await turns.import_file(file)
        first, *_ = (await turns.page(Chosen(), 5)).turns
        assert await turns.forget(Chosen((first[0].id,))) == (1, True)
        again = await turns.import_file(file)
        assert (again.new, again.known) == (0, 4)
        assert {reason: count for reason, (count, _) in again.skipped.items()} == {"forgotten": 1}
        assert await turns.add(Turn("question 4", "answer 4")) == (first[0].id, "forgotten")
        assert await eligible(mesh, turns) == [f"question {number}" for number in range(4)]
        await turns.forget(Chosen())
        assert (await turns.import_file(file)).new == 0
        assert await eligible(mesh, turns) == []


async def test_what_is_meant_is_forgotten_and_nothing_else(device: DataDir, tmp_path: Path) -> None:
    async with opened(device) as (_, turns):
        await turns.import_file(
            lines(tmp_path / "x", [turn(n, time=n * 86_400, source="ab"[n % 2]) for n in range(1, 11)])
        )
        assert await turns.count(Chosen(source="a")) == 5
        assert await turns.forget(Chosen(before=4 * DAY_MS)) == (3, True)
        assert await turns.forget(Chosen(source="a")) == (4, True)
        assert [kept.facts.time // DAY_MS for kept, _ in (await turns.page(Chosen(), 9)).turns] == [9, 7, 5]
        with pytest.raises(TurnUnknown):
            await turns.forget(Chosen(("123456789a",)))


async def test_a_long_reader_delays_the_last_trace_and_that_is_told(
    device: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mycelnode.schema.BUSY_MS", 50)
    async with opened(device) as (mesh, turns):
        await turns.add(Turn("a", "b"))
        ((key, _),) = wrapped(mesh).values()

        async def read() -> None:
            def work(connection: Any) -> None:
                connection.execute("SELECT count(*) FROM turns").fetchone()
                trio.from_thread.run_sync(reading.set)
                trio.from_thread.run(done.wait)

            await mesh.database.scan(work)

        reading, done = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await reading.wait()
            assert await turns.forget(Chosen()) == (1, False)
            assert key in raw(device)
            done.set()
        assert await turns.forget(Chosen()) == (0, True)
        assert key not in raw(device)


# --- what counts ---------------------------------------------------------------------------------------------------------------


async def eligible(mesh: Mesh, turns: Turns, when: int | None = None) -> list[str]:
    """The requests that may count in the window of ``when``, or of now."""
    found: list[str] = []
    window = this_window(mesh) if when is None else Window(quarter_of(when))
    await turns.take(window, lambda kept, request, answer, marks: found.append(request))
    return found


def this_window(mesh: Mesh) -> Window:
    return Window(quarter_of(mesh.clock.wall()))


async def test_influenced_and_spent_turns_never_count(device: DataDir) -> None:
    async with opened(device) as (mesh, turns):
        for number in range(5):
            await turns.add(Turn(f"q{number}", "x", influenced=Influence(Influence.WEB * (number == 3))))
        assert await eligible(mesh, turns) == ["q0", "q1", "q2", "q4"]
        (secret,) = await mesh_secret.obtain(mesh)
        await mesh.database.write(lambda c: turnstore.spend(c, [turn_mark(secret, "q0", "x")]))
        assert await eligible(mesh, turns) == ["q1", "q2", "q4"]
        assert [kept.spent for kept, _ in (await turns.page(Chosen(), 9)).turns] == [False] * 4 + [True]
        # counted by a device that had made a secret of its own before it met this one
        await mesh.write(mesh_secret._copies(mesh, bytes(32)))
        assert len(mesh_secret.known(mesh)) == 2
        await mesh.database.write(lambda c: turnstore.spend(c, [turn_mark(bytes(32), "q1", "x")]))
        assert await eligible(mesh, turns) == ["q2", "q4"]
        assert (await turns.add(Turn("q2", "x")))[1] == "known"
        await mesh.database.write(lambda c: turnstore.spend(c, [turn_mark(bytes(32), "q9", "x")]))
        assert (await turns.add(Turn("q9", "x")))[1] == "forgotten"
        await mesh.database.write(turnstore.spend_all)
        assert await eligible(mesh, turns) == []


async def test_what_was_handed_over_counts_in_no_window_after_that_and_may_be_kept(device: DataDir) -> None:
    async with opened(device) as (mesh, turns):
        (secret,) = await mesh_secret.obtain(mesh)
        this = label(this_window(mesh).start)
        for number, handed in enumerate((this - 1, this, this + 1)):
            mark = turn_mark(secret, f"q{number}", "x")
            await mesh.database.write(lambda c, mark=mark, handed=handed: partstore.hand(c, [(mark, handed)]))  # type: ignore[misc]
            assert (await turns.add(Turn(f"q{number}", "x")))[1] == "new"
        assert await eligible(mesh, turns) == ["q1", "q2"]
        assert all(kept.spent for kept, _ in (await turns.page(Chosen(), 9)).turns)


async def test_what_comes_in_after_a_window_was_handed_over_belongs_to_a_later_one(device: DataDir) -> None:
    async with opened(device) as (mesh, turns):
        await turns.add(Turn("before", "x"))
        window = this_window(mesh)
        done = Freeze(window, mesh.identity.device)
        await mesh.database.write(lambda c: partstore.freeze(c, bytes(32), done, mesh.identity.device, [], []))
        await turns.add(Turn("after", "x"))
        assert await eligible(mesh, turns) == ["before"]
        stamps = mesh.database.look(lambda c: c.execute("SELECT ingested FROM turns ORDER BY no").fetchall())
        assert stamps[1] == (window.closes,)


@dataclass
class SetClock(SystemClock):
    """A clock that somebody sets."""

    now: int

    def wall(self) -> int:
        return self.now


async def test_a_turn_belongs_to_the_window_of_its_first_ingestion_whatever_the_clock_says_later(
    device: DataDir,
) -> None:
    start = clock.system().wall()
    hand = SetClock(start)
    async with open_mesh(device, clock=hand) as mesh:
        turns = Turns(mesh)
        stamps = []
        for number, now in enumerate(
            (start, start - 3_600_000, start + 100 * DAY_MS, start + 60_000, start - 100 * DAY_MS)
        ):
            hand.now = now
            await turns.add(Turn(f"question {number}", "x", 0))
            await turns.add(Turn("question 0", "x", 0))
            stamps.append(mesh.database.look(lambda c: c.execute("SELECT ingested FROM turns ORDER BY no").fetchall()))
        assert [one for (one,) in stamps[-1]] == [
            start,
            start,  # an hour back: as late as the one before
            start + 100 * DAY_MS,  # far ahead: its window comes, in time
            start + 60_000,  # put right: nothing is held back by that
            start - 100 * DAY_MS,  # far back: a window that has ended counts nothing more
        ]
        assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(stamps))
        assert await eligible(mesh, turns, start) == ["question 0", "question 1", "question 3"]
        hand.now = start
        with pytest.raises(TurnRefused, match="later than the clock"):
            await turns.add(Turn("from the future", "x", start + AHEAD_MS + 1))


# --- nothing leaves ------------------------------------------------------------------------------------------------------------


async def test_neither_the_mesh_log_nor_a_backup_holds_a_turn_or_a_key(device: DataDir, tmp_path: Path) -> None:
    cheap = (1, 8192)
    async with opened(device) as (mesh, turns):
        await turns.add(Turn("forget me", "x"))
        await turns.add(Turn(CANARY, "under the stairs"))
        await turns.forget(Chosen(((await turns.page(Chosen(), 9)).turns[1][0].id,)))
        ((mark, (key, text)),) = wrapped(mesh).items()
        (secret,) = mesh_secret.known(mesh)
        made = backup.create(device, "correct horse", tmp_path / "x.backup", clock=clock.system(), strength=cheap)
        entries = mesh.database.look(lambda c: [bytes(row[0]) for row in c.execute("SELECT entry FROM entries")])
        tombstone = mesh.database.look(lambda c: c.execute("SELECT mark FROM tombstones").fetchone()[0])
    inside = repr(list(Opener(made.file, "correct horse").records())).encode()
    store_key = device.turns_key.read_bytes().split()[1]
    for secret_thing in (CANARY.encode(), mark, key, text, secret, store_key):
        assert secret_thing not in b"".join(entries)
        assert repr(secret_thing)[2:-1].encode() not in inside
    assert repr(tombstone)[2:-1].encode() in inside

    new = DataDir(tmp_path / "new")
    backup.restore(new, made.file, "correct horse", clock=clock.system())
    async with open_mesh(new, clock=clock.system()) as mesh:
        assert facts(mesh) == []
        spent = mesh.database.look(lambda c: c.execute("SELECT mark FROM tombstones").fetchall())
    assert spent == [(tombstone,)]


# --- files that are none ---------------------------------------------------------------------------------------------------------


async def test_a_file_that_breaks_off_keeps_what_came_before_and_says_so(device: DataDir, tmp_path: Path) -> None:
    conversations = [chatgpt(message("user", f"q{n}"), message("assistant", "a")) for n in range(600)]
    whole = json.dumps(conversations)
    (tmp_path / "x").write_text(whole[: len(whole) * 2 // 3])
    async with opened(device) as (mesh, turns):
        with pytest.raises(ImportRefused, match=r"is cut off.*\(\d+ new turns of it are kept"):
            await turns.import_file(tmp_path / "x")
        kept = len(facts(mesh))
        assert 380 < kept < 420
        (tmp_path / "x").write_text(whole)
        tally = await turns.import_file(tmp_path / "x")
        assert (tally.new, tally.known) == (600 - kept, kept)


async def test_what_is_left_out_is_counted_with_the_first_of_each_kind(device: DataDir, tmp_path: Path) -> None:
    odd = [
        turn(1),
        {"request": "a"},
        turn(2, answer=" "),
        turn(3, time="2990-01-01"),
        turn(4, success="maybe"),
        turn(5),
    ]
    async with opened(device) as (_, turns):
        tally = await turns.import_file(lines(tmp_path / "x", odd), "batch")
        assert (tally.new, {reason: count for reason, (count, _) in tally.skipped.items()}) == (
            2,
            {"malformed": 2, "empty": 1, "future": 1},
        )
        assert tally.skipped["malformed"][1].startswith("line 2: a turn has the texts")
        assert {kept.facts.source for kept, _ in (await turns.page(Chosen(), 9)).turns} == {"batch"}
        with pytest.raises(ImportRefused, match="holds no turn that could be read, and 2 that could not"):
            await turns.import_file(lines(tmp_path / "x", [{}, {}]))


async def test_without_its_key_nothing_is_read_or_added_and_forgetting_begins_anew(device: DataDir) -> None:
    async with opened(device) as (_, turns):
        await turns.add(Turn("a", "b"))
    device.turns_key.unlink()
    async with opened(device) as (_, turns):
        for what in (turns.add(Turn("c", "d")), turns.page(Chosen(), 9, text=True)):
            with pytest.raises(TurnsLocked, match="put it back"):
                await what
        assert len((await turns.page(Chosen(), 9)).turns) == 1
        assert await turns.forget(Chosen()) == (1, True)
        assert (await turns.add(Turn("c", "d")))[1] == "new"
