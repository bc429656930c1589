"""Nothing is decided outside the machines: a real session over libp2p is recorded, and the machines alone say the same again."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

import pytest

from mycelnode import mesh
from mycelnode.p2p import sync_driver
from mycelnode.protocols.admission import Admission
from mycelnode.protocols.replica import Replica
from mycelnode.protocols.state_transfer import StateSource
from mycelnode.protocols.sync import SyncSession
from tests.node.nodes import SOON, ask, founder, let_in, running, until
from tests.node.tape import Recorder, Tape, play

LEAST = 5  # entries that make a newcomer start by state


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(mesh, "Replica", recorder.machine(Replica))
    monkeypatch.setattr(sync_driver, "SyncSession", recorder.machine(SyncSession))
    monkeypatch.setattr(sync_driver, "Admission", recorder.machine(Admission))
    monkeypatch.setattr(sync_driver, "StateSource", partial(StateSource, least=LEAST))
    return recorder


async def story(tmp_path: Path, recorder: Recorder) -> dict[str, tuple[Tape, str]]:
    """Two devices meet, one by state, part, write, meet again, and one is put out; each one's tape and what differs in a replay."""
    async with founder(tmp_path) as laptop:
        for number in range(10):
            await laptop.map("notes").put(str(number), "x" * number)
        async with running(await let_in(tmp_path, laptop, "phone")) as phone:
            assert (await phone.sync(SOON)).unreachable == []
            await phone.set("tags").add("a", "b")
            await laptop.counter("cups").add(2)
            assert (await laptop.sync(SOON)).unreachable == []
            phone.host.disconnect(laptop.device)
            await phone.versions("draft").set("apart")
            assert (await phone.sync(SOON)).unreachable == []
            await ask(laptop, "devices.revoke", device="phone")
            await until(lambda: not phone.status()["member"], "the phone learning that it is out")
            found = {}
            for node in (laptop, phone):
                tape = recorder.tapes[node.mesh.identity.device]
                found[node.name] = tape, next(play(tape, node.mesh.identity.sign, LEAST), "")
        return found


async def test_a_recorded_session_is_what_the_machines_say_by_themselves(tmp_path: Path, recorder: Recorder) -> None:
    found = await story(tmp_path, recorder)
    assert {name: difference for name, (_, difference) in found.items()} == {"laptop": "", "phone": ""}
    for tape, _ in found.values():
        assert set(tape.kinds) == {Replica, Admission, SyncSession}
        frames = [call for call in tape.calls if call.method == "next_frame" and call.answer]
        assert len(frames) > 10, str(tape)
    phone, _ = found["phone"]
    assert any(call.method == "start_from" for call in phone.calls)


async def test_a_machine_that_rolls_dice_is_caught(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_frame = SyncSession.next_frame

    def wilful(self: SyncSession, *, now: float) -> bytes | None:
        return next_frame(self, now=now + 10 * secrets.randbelow(2))

    monkeypatch.setattr(SyncSession, "next_frame", wilful)
    monkeypatch.setattr(sync_driver, "SyncSession", recorder.machine(SyncSession))
    found = await story(tmp_path, recorder)
    assert any("SyncSession" in difference for _, difference in found.values())
