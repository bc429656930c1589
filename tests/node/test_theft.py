"""A stolen, unlocked device, and what the phrase does about it."""

from __future__ import annotations

from pathlib import Path

from mycelnode.joining import init_mesh
from mycelnode.recovering import recover_mesh
from tests.node.nodes import SOON, SkewedClock, folder, let_in, running, until

HOUR = 3600_000


async def test_the_phrase_undoes_what_a_thief_did_from_the_moment_of_the_theft(tmp_path: Path) -> None:
    data = folder(tmp_path, "laptop")
    phrase = (await init_mesh(data, "laptop", clock=SkewedClock())).phrase
    theft = SkewedClock().wall() + HOUR
    late = SkewedClock(2 * HOUR)
    async with running(data) as laptop:
        stolen = await let_in(tmp_path, laptop, "phone")
        desk = await let_in(tmp_path, laptop, "desk")
        async with running(stolen) as phone, running(desk) as third:
            await phone.map("notes").put("mine", 1)
            await until(lambda: third.map("notes").get("mine") == 1, "the desk hearing of the note")
    async with running(stolen, late) as thief, running(desk) as third:
        await thief.map("notes").put("theirs", 1)
        await thief.revoke("laptop")
        await thief.connect(third.device, third.addresses)
        assert (
            third.device in (await thief.sync(SOON)).synced
        )  # its log too: only what the desk holds of that is named below
        assert any(device.revoked for device in third.devices())
    answer = await recover_mesh(desk, phrase, clock=late, revoke=["phone"], blind=True)
    assert [out["name"] for out in answer["still_out"]] == ["laptop"]  # type: ignore[attr-defined]
    answer = await recover_mesh(desk, phrase, clock=late, revoke=["phone"], blind=True, since_ms=theft)
    assert answer["still_out"] == []
    async with running(desk, late) as third, running(data, late) as laptop:
        await laptop.connect(third.device, third.addresses)
        assert third.device in (await laptop.sync(SOON)).synced
        assert {device.name: device.revoked for device in third.devices()} == {
            "laptop": False,
            "phone": True,
            "desk": False,
        }
        assert laptop.map("notes").items() == third.map("notes").items() == {"mine": 1}
        assert next(device for device in laptop.devices() if device.name == "phone").revoked_by == ["root"]
