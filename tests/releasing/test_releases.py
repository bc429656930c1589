"""Releases on devices that really run: counted over all of them, decided once, and what becomes of it when somebody is away."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.encoding import encode
from mycelnode.errors import BudgetBroken, NetworkError, PeerMisbehaved, TurnsLocked
from mycelnode.node import Node
from mycelnode.p2p.framing import FrameStream
from mycelnode.privacy.interactions import DAY_MS
from mycelnode.privacy.key import version
from mycelnode.protocols.release_frames import MAX_FRAME, PROTOCOL
from tests.node.nodes import SkewedClock, ask, founder, let_in, running, until
from tests.releasing.persons import HABIT, RARE, laptop_and_phone, linked, live, to_next_window


async def extract(node: Node, **fields: Any) -> dict[str, Any]:
    return await ask(node, "pattern.extract", **fields)


def texts(answer: dict[str, Any]) -> list[str]:
    return [one["text"] for one in answer["candidates"]]


async def test_a_lone_device_decides_once_when_the_window_is_over(tmp_path: Path) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as node:
        await live(node.mesh, HABIT, 60, until=clock.wall())
        await live(node.mesh, RARE, 1, until=clock.wall())
        before = await extract(node)
        assert before["window"]["state"] == "open"
        assert len(texts(before)) == 2
        assert (await ask(node, "budget"))["epsilon"]["spent"] == "0"
        window = to_next_window(clock)
        after = await extract(node)
        assert after["decided"] == [window.id]
        assert after["window"]["state"] == "decided"
        assert len(texts(after)) == 1  # of 60 days always, of one day with a probability of 6e-7
        again = await extract(node)
        assert (again["decided"], again["candidates"]) == ([], after["candidates"])
        spent = await ask(node, "budget")
        assert (spent["epsilon"]["spent"], spent["ever"]["windows"]) in (("1", 1), ("0", 1))


async def test_two_devices_count_together_what_neither_has_alone(tmp_path: Path) -> None:
    async with laptop_and_phone(tmp_path) as (laptop, phone, clocks):
        today = clocks[0].wall()
        await live(laptop.mesh, HABIT, 15, until=today)
        await until(lambda: bool(phone.mesh.replica.document.map("mycel.secrets")), "the secret has come")
        await live(phone.mesh, HABIT, 50, until=today - 10 * DAY_MS)
        await live(phone.mesh, HABIT, 15, until=today)  # the same turns as on the laptop
        to_next_window(*clocks)
        answer = await extract(laptop)
        assert answer["waiting"] == []
        assert len(answer["candidates"]) == 1
        n = answer["candidates"][0]["n"]
        assert abs(n - 60) < 40  # the noise is beyond that with a probability of 1e-17
        seen = await extract(phone)
        assert seen["window"]["state"] in ("open", "elsewhere")
        # the next window has a witness, which is the phone
        plan = (await ask(laptop, "budget"))["plan"]
        assert plan["witness"]["name"] == "phone"
        await live(laptop.mesh, HABIT, 60, until=today, word="again")
        window = to_next_window(*clocks)
        answer = await extract(laptop)
        assert answer["decided"] == [window.id]
        assert answer["candidates"] == []  # other turns, but the same days of the same habit
        with trio.fail_after(5):
            assert {one.window.id for one in (await phone.releasing.decider()).releases.part.ledger.spends()} >= {
                window.id
            }


async def test_a_device_that_is_away_is_waited_for_unless_the_person_goes_on_without_it(tmp_path: Path) -> None:
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        data = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(data, clocks[1]) as phone:
            await linked(laptop, phone)
            await live(laptop.mesh, HABIT, 60, until=clocks[0].wall())
            await until(lambda: bool(phone.mesh.replica.document.map("mycel.secrets")), "the secret has come")
        window = to_next_window(*clocks)
        waiting = await extract(laptop)
        assert waiting["decided"] == []
        assert [one["name"] for one in waiting["waiting"]] == ["phone"]
        assert waiting["window"]["state"] == "waiting"
        assert (await ask(laptop, "budget"))["ever"]["windows"] == 0
        done = await extract(laptop, without_missing=True)
        assert done["decided"] == [window.id]
        assert len(done["candidates"]) == 1
        assert [one["name"] for one in done["left_out"]] == ["phone"]
        async with running(data, clocks[1]) as phone:  # it comes back, with what it heard of
            await linked(laptop, phone)
            answer = await extract(phone, window=window.id)
            assert answer["window"]["state"] in ("there", "elsewhere")  # as far as it has heard

            def parts() -> int:
                (count,) = phone.mesh.database.read.execute("SELECT count(*) FROM release_parts").fetchone()
                return int(count)

            await until(
                lambda: window.start in phone.releasing._decider.releases.part.local.frozen, "its part is taken"
            )  # type: ignore[union-attr]
            await until(lambda: parts() == 0, "and given up, as it counts no more")


async def test_a_witness_that_is_away_is_waited_for_whatever_the_person_says(tmp_path: Path) -> None:
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        data = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(data, clocks[1]) as phone:
            await linked(laptop, phone)
            await until(lambda: named_witness(laptop), "a witness is named")
            to_next_window(*clocks)
            await extract(laptop)
            await live(laptop.mesh, HABIT, 60, until=clocks[0].wall(), word="later")
            await ask(laptop, "budget")
        window = to_next_window(*clocks)
        waiting = await extract(laptop, without_missing=True)
        assert (waiting["decided"], waiting["witness"]) == ([], True)
        async with running(data, clocks[1]) as phone:
            await linked(laptop, phone)
            done = await extract(laptop)
            assert done["decided"] == [window.id]


async def test_a_new_plan_travels_while_the_line_stays_up(tmp_path: Path) -> None:
    async with laptop_and_phone(tmp_path) as (laptop, phone, _):
        await until(lambda: named_witness(laptop) and named_witness(phone), "both know of the witness")
        await ask(laptop, "budget.plan", choice="strict")

        def choices() -> set[str]:
            found = (node.releasing._decider for node in (laptop, phone))
            plans = [None if one is None else one.releases.part.ledger.last_plan for one in found]
            return {"" if plan is None else plan.choice for plan in plans}

        await until(lambda: choices() == {"strict"}, "both know of the plan")


def named_witness(node: Node) -> bool:
    decider = node.releasing._decider
    plan = None if decider is None else decider.releases.part.ledger.last_plan
    return plan is not None and plan.witness is not None


async def test_a_schedule_decides_by_itself_and_publishes_nothing(tmp_path: Path) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as node:
        data = node.mesh.data
        await live(node.mesh, HABIT, 60, until=clock.wall())
        await ask(node, "config.set", key="privacy.schedule", value=True)
    to_next_window(clock)
    async with running(data, clock) as node:
        decider = await node.releasing.decider()
        await until(lambda: bool(decider.releases.part.local.drawn), "the window is decided")
        assert (await extract(node))["candidates"][0]["confirmed"] is False
        assert (await ask(node, "pattern.list"))["patterns"] == []


async def test_another_device_takes_over_with_the_word_of_the_witness(tmp_path: Path) -> None:
    async with laptop_and_phone(tmp_path) as (laptop, phone, clocks):
        await until(lambda: named_witness(laptop), "a witness is named")
        answer = await ask(laptop, "budget.plan", decides="phone", witness="laptop")
        assert (answer["holds"], answer["plan"]["decides"]["name"]) == (True, "phone")
        to_next_window(*clocks)
        await extract(laptop)  # the window of now is the last that the laptop decides
        await until(lambda: named_witness(phone), "the phone has heard of it")
        await live(phone.mesh, HABIT, 60, until=clocks[1].wall())
        await ask(phone, "budget")
        window = to_next_window(*clocks)
        assert (await extract(laptop))["decided"] == []
        assert (await extract(phone))["decided"] == [window.id]


@pytest.mark.parametrize(
    "junk",
    [b"\x00", encode(["part"]), encode(["sign", b"x"]), encode(["meet"]), encode(["part", 1, 1, b"", b"", b"", b""])],
)
async def test_a_member_that_talks_nonsense_about_releases_ends_its_own_stream(tmp_path: Path, junk: bytes) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await linked(laptop, phone)
            stream = await phone.host.open_stream(phone.host.line(laptop.device), PROTOCOL, deadline=5)
            frames = FrameStream(stream, MAX_FRAME)
            await frames.send(junk)
            await frames.send(b"\xff" * 100)
            with suppress(NetworkError, PeerMisbehaved), trio.fail_after(20):
                while await frames.receive() is not None:
                    pass
            assert (await ask(laptop, "budget"))["plan"] is not None
            assert laptop.syncing.links


async def test_a_word_that_becomes_private_within_a_window_counts_from_the_next_one_on(tmp_path: Path) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as node:
        await live(node.mesh, HABIT, 60, until=clock.wall())
        await ask(node, "privacy.dictionary", add=["unit test"])
        window = to_next_window(clock)
        releases = (await node.releasing.decider()).releases
        await releases.take_own()  # as the node does by itself
        answer = await extract(node)
        assert (answer["decided"], len(answer["candidates"])) == ([window.id], 1)
        # in the new window the word is private: nothing of it is in a key
        await live(node.mesh, HABIT, 1, until=clock.wall())
        assert answer["candidates"][0]["text"] not in [
            one["text"] for one in (await extract(node, dry_run=True))["candidates"]
        ]


async def test_a_witness_answers_while_a_long_history_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as node:
        await live(node.mesh, HABIT, 3, until=clock.wall())
        to_next_window(clock)
        releases = (await node.releasing.decider()).releases
        reading, done = trio.Event(), trio.Event()
        take = releases.turns.take

        async def slowly(*arguments: Any) -> list[int]:
            reading.set()
            await done.wait()
            return await take(*arguments)

        monkeypatch.setattr(releases.turns, "take", slowly)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(releases.take_own)
            await reading.wait()
            with trio.fail_after(10):
                await releases.hear([])
                await releases.refresh()
            done.set()
        assert releases.part.local.frozen


async def test_who_goes_away_while_a_part_is_taken_leaves_disk_and_memory_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as node:
        await live(node.mesh, HABIT, 3, until=clock.wall())
        releases = (await node.releasing.decider()).releases
        await releases.refresh()
        window = to_next_window(clock)
        done = releases.part.own(clock.wall(), version())
        assert done is not None
        write = node.mesh.database.write
        with trio.CancelScope() as scope:

            async def leave(work: Any) -> Any:
                result = await write(work)
                scope.cancel()
                await trio.lowlevel.checkpoint()
                return result

            with monkeypatch.context() as patch:
                patch.setattr(node.mesh.database, "write", leave)
                await releases.freeze(done)
        assert window.start in releases.part.local.frozen
        await releases.freeze(done)


async def test_a_history_is_read_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as node:
        await live(node.mesh, HABIT, 3, until=clock.wall())
        releases = (await node.releasing.decider()).releases
        await releases.refresh()
        to_next_window(clock)
        done = releases.part.own(clock.wall(), version())
        assert done is not None
        read, reads = releases._read, []

        async def count(*arguments: Any) -> Any:
            reads.append(arguments)
            return await read(*arguments)

        monkeypatch.setattr(releases, "_read", count)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(releases.freeze, done)
        assert len(reads) == 1


async def test_an_edited_audit_log_is_seen_before_the_witness_is_asked(tmp_path: Path) -> None:
    async with laptop_and_phone(tmp_path) as (laptop, phone, clocks):
        await until(lambda: named_witness(laptop), "a witness is named")
        to_next_window(*clocks)
        await extract(laptop)
        await live(laptop.mesh, HABIT, 3, until=clocks[0].wall())
        to_next_window(*clocks)
        cut = "UPDATE audit SET event = zeroblob(9) WHERE seq = 1"
        await laptop.mesh.database.write(lambda connection: connection.execute(cut).rowcount)
        spent = (await ask(phone, "budget"))["ever"]["windows"]
        with pytest.raises(BudgetBroken):
            await extract(laptop)
        assert (await ask(phone, "budget"))["ever"]["windows"] == spent, "the phone has seen no spend of it"


async def test_what_is_confirmed_goes_out_while_the_turns_are_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with founder(tmp_path) as node:
        decider = await node.releasing.decider()
        asked = trio.Event()

        async def locked() -> None:
            raise TurnsLocked("nobody has given the passphrase")

        async def publish() -> None:
            asked.set()

        monkeypatch.setattr(decider.releases, "take_own", locked)
        node.releasing.publish_due = publish
        node.releasing._changed.set()
        with trio.fail_after(10):
            await asked.wait()
