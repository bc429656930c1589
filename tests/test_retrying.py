"""Joining and recovering where something goes wrong in the middle, on real nodes in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mycelnode import joining
from mycelnode.cli.status import _warnings
from mycelnode.commands import MeshCommands
from mycelnode.crdt.statements import MAX_NAME
from mycelnode.errors import (
    AlreadyInitialised,
    ClockWrong,
    DeviceUnknown,
    NotInitialised,
    PeerUnreachable,
    RecoverRefused,
)
from mycelnode.joining import Initialised, init_mesh, join_mesh
from mycelnode.mesh import open_mesh
from mycelnode.node import open_node
from mycelnode.p2p import pairing_driver
from mycelnode.protocols.pairing import clean_name
from mycelnode.recovering import recover_mesh
from tests.node.nodes import SkewedClock, folder, founder, running

CLOCK = SkewedClock()
YEARS_MS = 14 * 365 * 86_400_000


@given(st.text(st.sampled_from("a \u200d\ufe0f\U0001f468\U0001f3fd\u202e\x1b\u2028^"), max_size=80))
def test_a_clean_name_is_clean(name: str) -> None:
    clean = clean_name(name)
    assert clean_name(clean) == clean, "both ends of a pairing prove the same name"
    assert clean.replace("\u200d", "").isprintable()
    assert len(clean) <= MAX_NAME


async def test_a_mesh_that_could_not_be_shown_is_not_begun(tmp_path: Path) -> None:
    def tell(made: Initialised) -> None:
        assert made.phrase not in repr(made)
        raise OSError("nobody can read this")

    data = folder(tmp_path, "laptop")
    with pytest.raises(OSError, match="nobody can read"):
        await init_mesh(data, None, clock=CLOCK, tell=tell)
    assert not data.initialised()


async def test_a_join_is_answered_alike_when_it_is_tried_again(tmp_path: Path) -> None:
    data = folder(tmp_path, "phone")
    async with founder(tmp_path) as laptop:
        invite, other = await laptop.invite(), await laptop.invite()
        assert repr(invite.secret) not in repr(invite)
        first = await join_mesh(data, str(invite), "phone", clock=CLOCK)
        assert await join_mesh(data, str(invite), "another", clock=CLOCK) == first
        with pytest.raises(AlreadyInitialised):
            await join_mesh(data, str(other), "phone", clock=CLOCK)
    data.joining.write_text(str(invite))  # as if killed between the database and this file; and nobody is there to ask
    assert await join_mesh(data, str(invite), "phone", clock=CLOCK) == first
    async with running(data) as phone:
        assert phone.name == "phone"


async def test_a_join_cancelled_once_it_was_stored_is_a_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = joining.begin

    async def begin_and_cancel(*args: Any, **named: Any) -> None:
        await begin(*args, **named)
        scope.cancel()

    data = folder(tmp_path, "phone")
    async with founder(tmp_path) as laptop:
        invite = str(await laptop.invite())
        monkeypatch.setattr(joining, "begin", begin_and_cancel)
        with trio.CancelScope() as scope:
            joined = await join_mesh(data, invite, "phone", clock=CLOCK)
        monkeypatch.undo()
    assert await join_mesh(data, invite, None, clock=CLOCK) == joined


async def test_a_join_cancelled_before_is_none_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancel(*_: object) -> None:
        scope.cancel()
        await trio.lowlevel.checkpoint()

    data = folder(tmp_path, "phone")
    async with founder(tmp_path) as laptop:
        invite = str(await laptop.invite())
        monkeypatch.setattr(pairing_driver, "ask_to_join", cancel)
        with trio.CancelScope() as scope:
            await join_mesh(data, invite, "phone", clock=CLOCK)
        assert scope.cancelled_caught
        monkeypatch.undo()
        assert (await join_mesh(data, invite, "phone", clock=CLOCK)).inviter == "laptop"


async def test_an_inviter_that_freezes_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def freeze(self: object, stream: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(pairing_driver.PairingDriver, "_serve", freeze)
    monkeypatch.setattr(pairing_driver, "EXCHANGE_SECONDS", 0.5)
    async with founder(tmp_path) as laptop:
        data = folder(tmp_path, "phone")
        with pytest.raises(PeerUnreachable, match="stopped answering; try again"):
            await join_mesh(data, str(await laptop.invite()), "phone", clock=CLOCK)
    with pytest.raises(NotInitialised, match="finish with `mycelnode join INVITE"):
        async with open_mesh(data, clock=CLOCK):
            pass
    with pytest.raises(NotInitialised, match="finish with `mycelnode join INVITE"):
        async with open_node(data, clock=CLOCK):
            pass


async def test_what_was_written_under_a_clock_far_ahead_comes_back_with_the_phrase(tmp_path: Path) -> None:
    data = folder(tmp_path, "laptop")
    made = await init_mesh(data, "laptop", clock=SkewedClock(YEARS_MS))
    async with running(data, SkewedClock(YEARS_MS)) as node:
        await node.map("notes").put("shopping", "milk")
    async with running(data) as node:
        with pytest.raises(ClockWrong, match="`mycelnode recover` with the phrase"):
            await node.map("notes").put("shopping", "bread")
        shown = people(node.status())
        assert "this device wrote with a clock far ahead" in shown
        assert f"`mycelnode devices rescue {made.device[-8:]}`" in shown
    again = await recover_mesh(data, made.phrase, clock=CLOCK)
    assert again["name"] == "laptop"
    assert again["device"] != made.device
    async with running(data) as node:
        assert await rescued(node.mesh, made.device) > 0
        assert node.map("notes").get("shopping") == "milk"
        assert await rescued(node.mesh, made.device) == 0
        await node.map("notes").put("shopping", "bread")
    async with running(data) as node:
        assert node.map("notes").get("shopping") == "bread"


def people(answer: dict[str, Any]) -> str:
    return "\n".join(_warnings(answer))


async def rescued(mesh: Any, device: str) -> int:
    answer = await MeshCommands(mesh).devices_rescue({"device": device})
    return len(answer["entries"])


async def test_devices_to_put_out_are_known_before_anything_is_changed(tmp_path: Path) -> None:
    data = folder(tmp_path, "new")
    made = await init_mesh(folder(tmp_path, "laptop"), "laptop", clock=CLOCK)
    with pytest.raises(DeviceUnknown, match="--peer ADDR"):
        await recover_mesh(data, made.phrase, clock=CLOCK, revoke=["laptop"])
    assert not data.initialised()
    await recover_mesh(data, made.phrase, clock=CLOCK, name="new")
    with pytest.raises(RecoverRefused, match="mycelnode leave"):
        await recover_mesh(data, made.phrase, clock=CLOCK, revoke=["new"], blind=True)
