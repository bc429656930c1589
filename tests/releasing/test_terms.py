"""One window is read by one dictionary on all devices; and where nothing of a device counts, the person hears why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode import mesh_secret
from mycelnode.node import Node
from mycelnode.privacy.owner import Dictionary
from mycelnode.privacy.turnstore import Chosen
from mycelnode.releasing import dictionary
from mycelnode.releasing.deciding import State, state_of
from mycelnode.releasing.releases import Releases
from mycelnode.turns import PLACE, Turns
from tests.node.nodes import SkewedClock, ask, founder, let_in, running, until
from tests.releasing.persons import HABIT, laptop_and_phone, linked, live, to_next_window

WORDS = ("Nightjar", "Aunt Petunia", "Größenwahn & Söhne")


def releases_of(node: Node) -> Releases:
    decider = node.releasing._decider
    assert decider is not None
    return decider.releases


async def secret_shared(one: Node, other: Node) -> None:
    await mesh_secret.obtain(one.mesh)
    await until(lambda: bool(mesh_secret.known(other.mesh)), "the secret has come")


@pytest.mark.parametrize("early", [True, False], ids=["told while linked", "told when asked for its part"])
async def test_a_device_that_opened_the_window_with_fewer_words_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        await dictionary.add(laptop.mesh, WORDS)
        await releases_of(laptop).refresh()
        laptop_opened = releases_of(laptop).part.local.opened
        for start in list(laptop_opened):  # as if the words had been there when the window opened
            laptop_opened[start] = releases_of(laptop).terms()
        words = list(dictionary.entries(laptop.mesh))
        await laptop.mesh.database.write(lambda connection: _opened_with(connection, words))
        data = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(data, clocks[1]) as phone:
            if not early:
                monkeypatch.setattr(phone.releasing, "_agree", trio.lowlevel.checkpoint)
            await linked(laptop, phone)
            await secret_shared(laptop, phone)
            await live(phone.mesh, HABIT, 60, until=clocks[1].wall())
            if early:
                await until(lambda: bool(releases_of(phone).part.local.agreed), "the terms have come")
            window = to_next_window(*clocks)
            answer = await ask(laptop, "pattern.extract")
            assert (answer["decided"], answer["waiting"], answer["left_out"]) == ([window.id], [], [])
            assert len(answer["candidates"]) == 1, "the sixty days of the phone"
            assert (
                releases_of(phone).part.local.opened[window.start]
                == releases_of(laptop).part.local.opened[window.start]
            )


def _opened_with(connection: Any, words: list[str]) -> None:
    from mycelnode.encoding import encode

    connection.execute(
        "UPDATE release_opened SET dictionary = ?, entries = ?", (dictionary.digest(words), encode(words))
    )


async def test_a_part_is_read_by_the_words_that_were_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by: list[Dictionary] = []
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        data = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(data, clocks[1]) as phone:
            await linked(laptop, phone)
            await until(lambda: bool(releases_of(phone).part.local.agreed), "the terms have come")
            await secret_shared(laptop, phone)
            releases = releases_of(phone)
            window = releases.part.ledger.window(releases.now())
            assert window is not None
            terms = replace(releases.terms(), dictionary=dictionary.digest(WORDS))
            await releases.agree(window, laptop.mesh.identity.device, terms, WORDS)
            await live(phone.mesh, HABIT, 1, until=clocks[1].wall())
            to_next_window(*clocks)
            monkeypatch.setattr(
                "mycelnode.releasing.releases.key_of", lambda request, answer, owner: read_by.append(owner)
            )
            await releases.take_own()
            await until(lambda: window.start in releases.part.local.frozen, "its part is taken")
    assert [bool(list(owner.find("It is by Aunt Petunia."))) for owner in read_by] == [True]


async def test_why_nothing_of_a_device_counts_is_told_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with laptop_and_phone(tmp_path) as (laptop, phone, clocks):
        await secret_shared(laptop, phone)
        part = releases_of(phone).part
        await until(lambda: bool(part.local.agreed), "the terms have come")
        for start, terms in list(part.local.opened.items()):  # an older program opened the window
            part.local.opened[start] = replace(terms, version=b"o" * 32)
        part.local.agreed.clear()
        await live(phone.mesh, HABIT, 30, until=clocks[1].wall())
        window = to_next_window(*clocks)
        answer = await ask(laptop, "pattern.extract")
        said = [("phone", "it began the window with another version or another dictionary")]
        assert [(one["name"], one["reason"]) for one in answer["left_out"]] == said
        assert answer["candidates"] == []
        later = await ask(laptop, "pattern.extract", window=window.id)
        assert [(one["name"], one["reason"]) for one in later["left_out"]] == said


async def test_a_stop_after_the_word_of_the_witness_loses_no_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with laptop_and_phone(tmp_path) as (laptop, _, clocks):
        await until(lambda: releases_of(laptop).part.ledger.last_plan.witness is not None, "a witness")  # type: ignore[union-attr]
        to_next_window(*clocks)
        await ask(laptop, "pattern.extract")
        window = to_next_window(*clocks)
        decider = await laptop.releasing.decider()
        countersign = decider.devices.countersign
        with trio.CancelScope() as scope:

            async def stopped(*arguments: Any) -> Any:
                word = await countersign(*arguments)
                scope.cancel()
                return word

            monkeypatch.setattr(decider.devices, "countersign", stopped)
            await decider.decide()
        assert scope.cancelled_caught
        assert window.start in releases_of(laptop).part.local.drawn
        assert state_of(decider.releases, window, clocks[0].wall()) is State.DECIDED


async def test_a_window_whose_witness_was_put_out_is_said_to_be_over_for_good(tmp_path: Path) -> None:
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        data = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(data, clocks[1]) as phone:
            await linked(laptop, phone)
            await until(lambda: releases_of(laptop).part.ledger.last_plan.witness is not None, "a witness")  # type: ignore[union-attr]
            to_next_window(*clocks)
            await ask(laptop, "pattern.extract")
        window = to_next_window(*clocks)
        await ask(laptop, "devices.revoke", device="phone")
        stands = {one["id"]: (one["state"], one["reason"]) for one in (await ask(laptop, "budget"))["windows"]}
        assert stands[window.id] == ("never", "its witness is out of the mesh")
        answer = await ask(laptop, "pattern.extract", window=window.id)
        assert (answer["decided"], answer["candidates"]) == ([], [])


async def test_what_was_read_by_words_that_were_replaced_meanwhile_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with laptop_and_phone(tmp_path) as (laptop, phone, clocks):
        releases = releases_of(phone)
        await until(lambda: bool(releases.part.local.agreed), "the terms have come")
        await secret_shared(laptop, phone)
        await live(phone.mesh, HABIT, 1, until=clocks[1].wall())
        window = releases.part.ledger.window(releases.now())
        assert window is not None
        terms = replace(releases.terms(), dictionary=dictionary.digest(WORDS))
        read, owners = releases._read, []

        async def overtaken(*arguments: Any) -> Any:
            found = await read(*arguments)
            await releases.agree(window, laptop.mesh.identity.device, terms, WORDS)
            owners.append(releases.part.local.opened[window.start])
            return found

        monkeypatch.setattr(phone.releasing, "_take", trio.lowlevel.checkpoint)
        monkeypatch.setattr(releases, "_read", overtaken)
        to_next_window(*clocks)
        await releases.take_own()
        assert window.start not in releases.part.local.frozen, "it was read by the words of before"
        await releases.take_own()
        assert window.start in releases.part.local.frozen
        assert len(owners) == 2


async def test_who_is_left_out_of_one_window_is_not_said_to_be_of_another(tmp_path: Path) -> None:
    clocks = SkewedClock(), SkewedClock()
    async with founder(tmp_path, clock=clocks[0]) as laptop:
        data = await let_in(tmp_path, laptop, "phone", clocks[1])
        async with running(data, clocks[1]) as phone:
            await linked(laptop, phone)
            await live(laptop.mesh, HABIT, 1, until=clocks[0].wall())
        window = to_next_window(*clocks)
        done = await ask(laptop, "pattern.extract", without_missing=True)
        assert done["decided"] == [window.id]
        for answer in (done, await ask(laptop, "pattern.extract", window=window.id)):
            assert [one["name"] for one in answer["left_out"]] == ["phone"]
            assert answer["left_out"][0]["reason"]
        assert (await ask(laptop, "pattern.extract", dry_run=True))["left_out"] == []


# --- forgetting ----------------------------------------------------------------------------------------------------------------


async def test_what_was_taken_is_forgotten_also_under_a_second_secret_and_the_key_goes_with_the_last(
    tmp_path: Path,
) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as node:
        await live(node.mesh, HABIT, 3, until=clock.wall())
        first = mesh_secret.known(node.mesh)
        while mesh_secret.known(node.mesh)[0] == first[0]:  # the one in use is that with the least id
            await node.mesh.write(mesh_secret._copies(node.mesh, clock.wall().to_bytes(16) + b"s" * 16))
            clock.ahead += 1
        to_next_window(clock)
        await releases_of(node).take_own()

        def left(table: str) -> int:
            return int(node.mesh.database.read.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

        assert left("release_parts") == 3
        await Turns(node.mesh).forget(Chosen())
        assert (left("release_parts"), left("release_keys")) == (0, 0)
        assert node.mesh.stored.fact(PLACE) is None, "nothing is left that only the key of the store opens"
