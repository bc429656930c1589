"""Nodes together: pairing, shared settings, revocation, rescue, clocks, and what a restart keeps."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from mycelnode import audit
from mycelnode.anchors import ANCHORS, anchor, anchors
from mycelnode.commands import MeshCommands
from mycelnode.crdt import document as ops
from mycelnode.crdt.statements import REVOKE
from mycelnode.errors import (
    AlreadyInitialised,
    ClockWrong,
    ClosedError,
    DataDirBusy,
    DiskFull,
    ForkDetected,
    InviteError,
    NetworkError,
    NotAMember,
    ValueRefused,
)
from mycelnode.joining import join_mesh
from mycelnode.mesh import CONFIG, open_mesh
from mycelnode.node import Node, open_node
from mycelnode.paths import DataDir
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.replica import Replica
from tests.node.nodes import SOON, SkewedClock, ask, folder, founder, let_in, running, until

HOUR = 3600_000
DAY = 24 * HOUR


async def in_step(node: Node) -> None:
    with trio.fail_after(SOON):
        answer = await node.sync(SOON)
    assert (answer.behind, answer.unreachable) == ([], [])


async def test_two_devices_pair_and_keep_one_state(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        await laptop.map("notes").put("before", 1)
        async with running(await let_in(tmp_path, laptop, "phone")) as phone:
            await in_step(phone)
            assert phone.map("notes").items() == {"before": 1}
            assert phone.mesh_id == laptop.mesh_id
            await phone.set("tags").add("a", "b")
            await laptop.set("tags").remove("a")
            await laptop.versions("draft").set("one")
            await phone.counter("cups").add(3)
            await in_step(laptop)
            assert sorted(laptop.set("tags")) == sorted(phone.set("tags")) == ["a", "b"], "the remove knew no add"
            assert laptop.counter("cups").value == 3
            assert phone.versions("draft").values() == ["one"]
            assert laptop.mesh.replica.document.digest() == phone.mesh.replica.document.digest()


async def test_a_write_is_pushed_without_asking(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop, running(await let_in(tmp_path, laptop, "phone")) as phone:
        await in_step(phone)
        async with phone.watch("notes") as changes:
            await laptop.map("notes").put("k", "v")
            with trio.fail_after(SOON):
                change = await changes.receive()
        assert (change.name, change.key, change.old, change.new) == ("notes", "k", None, "v")


async def test_devices_find_each_other_again_by_themselves(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await in_step(phone)
            port = phone.host.port
        await until(lambda: not laptop.syncing.links, "the laptop noticing that the phone is gone")
        await laptop.map("notes").put("while", "away")
        async with running(data) as phone:
            assert phone.host.port == port, "the port of the first run is kept"
            await until(lambda: phone.map("notes").get("while") == "away", "the phone catching up")


async def test_settings_are_shared_and_watchers_fire(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop, running(await let_in(tmp_path, laptop, "phone")) as phone:
        await in_step(phone)
        seen: list[object] = []
        stop = phone.mesh.settings.watch("models.temperature", lambda setting: seen.append(setting.value))
        answer = await ask(laptop, "config.set", key="models.temperature", value="0.3")
        assert answer["source"] == "mesh"
        await until(lambda: seen == [0.3], "the watcher firing on the phone")
        assert phone.mesh.settings.get("models.temperature") == 0.3
        stop()
        await ask(phone, "config.set", key="models.temperature", value="0.4")
        assert seen == [0.3]


async def test_an_invite_serves_one_device(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        invite = str(await laptop.invite())
        await join_mesh(folder(tmp_path, "first"), invite, "first", clock=SkewedClock())
        with pytest.raises(InviteError, match="used by first"):
            await join_mesh(folder(tmp_path, "second"), invite, "second", clock=SkewedClock())
        again = await join_mesh(folder(tmp_path, "first"), invite, "first", clock=SkewedClock())
        assert again.name == "first"
        assert [device.name for device in laptop.devices()].count("first") == 1
        with pytest.raises(AlreadyInitialised):
            await join_mesh(folder(tmp_path, "first"), str(await laptop.invite()), "first", clock=SkewedClock())


async def test_a_revoked_device_stops_and_says_so(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await phone.map("notes").put("good", 1)
            await in_step(phone)
            await ask(laptop, "devices.revoke", device="phone")
            await until(lambda: not phone.status()["member"], "the phone learning that it is out")
            await until(lambda: not laptop.host.connected(), "the laptop hanging up")
            with pytest.raises(NotAMember):
                await phone.map("notes").put("late", 1)
            assert phone.map("notes").items() == {"good": 1}
        assert laptop.map("notes").items() == {"good": 1}
        async with running(data) as phone:  # it comes back, and is told again
            assert not phone.status()["member"]


async def test_what_a_revoked_device_wrote_unseen_is_fenced_and_can_be_rescued(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await phone.map("notes").put("early", 1)
            await in_step(phone)
        since = SkewedClock().wall()
        async with running(data, SkewedClock(1000)) as phone:
            await phone.map("notes").put("later", 2)
            await phone.set("tags").add("kept", "dropped")
            await phone.set("tags").remove("dropped")
            await in_step(phone)
        assert laptop.map("notes").get("later") == 2
        await laptop.revoke("phone", since=datetime.fromtimestamp((since + 500) / 1000, UTC))
        assert laptop.map("notes").items() == {"early": 1}
        (fenced,) = laptop.status()["fenced"]
        assert fenced["beyond"] == 3
        shown = await ask(laptop, "devices.rescue", device="phone", preview=True)
        assert len(shown["entries"]) == 3
        assert shown["rescued"] == 0
        assert await laptop.rescue("phone") == 3
        assert list(laptop.set("tags")) == ["kept"]
        assert laptop.map("notes").items() == {"early": 1, "later": 2}
        again = await ask(laptop, "devices.rescue", device="phone")
        assert laptop.map("notes").items() == {"early": 1, "later": 2}, again


async def test_a_clock_far_ahead_is_held_and_can_be_rescued(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        clock = SkewedClock(3 * DAY)
        async with running(await let_in(tmp_path, laptop, "phone", clock), clock) as phone:
            await phone.map("notes").put("future", 1)
            await in_step(phone)
            assert laptop.map("notes").items() == {}
            (held,) = laptop.status()["held"]
            assert held["device"] == phone.device
            await ask(laptop, "devices.rescue", device="phone")
            assert laptop.map("notes").items() == {"future": 1}
            await in_step(laptop)
            assert phone.map("notes").items() == {"future": 1}


async def test_a_device_off_two_others_says_that_its_own_clock_is_wrong(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop, running(await let_in(tmp_path, laptop, "desk")) as desk:
        await in_step(desk)
        clock = SkewedClock(-3 * DAY)
        async with running(await let_in(tmp_path, laptop, "phone", clock), clock) as phone:
            await laptop.map("notes").put("k", 1)
            await until(lambda: phone.status()["clock_wrong"], "the phone doubting its clock")
            await until(lambda: phone.map("notes").get("k") == 1, "the phone holding nothing back")
            assert not laptop.status()["clock_wrong"]
            with pytest.raises(ClockWrong, match="two other devices agree"):
                await phone.map("notes").put("late", 1)


async def test_a_revoked_device_joins_again_with_a_new_key_and_rescues_what_it_wrote(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await phone.map("notes").put("seen", 1)
            await in_step(phone)
            old = phone.device
        async with open_mesh(data, clock=SkewedClock()) as offline:
            await offline.write([ops.map_put("notes", "unseen", 2)])
        with pytest.raises(AlreadyInitialised):  # it is a member still
            await join_mesh(data, str(await laptop.invite()), None, clock=SkewedClock())
        await ask(laptop, "devices.revoke", device="phone")
        async with running(data) as phone:
            await until(lambda: not phone.status()["member"], "the phone learning that it is out")

        joined = await join_mesh(data, str(await laptop.invite()), None, clock=SkewedClock())
        assert joined.device != old
        assert joined.name == "phone"
        async with running(data) as phone:
            await in_step(phone)
            assert phone.map("notes").items() == {"seen": 1}
            assert (await ask(phone, "devices.rescue", device=old))["rescued"] == 1
            await in_step(phone)
            assert laptop.map("notes").items() == phone.map("notes").items() == {"seen": 1, "unseen": 2}
            await phone.map("notes").put("new", 3)
            await in_step(phone)
            assert laptop.map("notes").get("new") == 3


async def test_a_cloned_device_notices_stops_and_joins_again(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await phone.map("notes").put("before", 0)
            await in_step(phone)
        shutil.copytree(data.path, tmp_path / "copy")
        copy = DataDir(tmp_path / "copy")
        async with running(data) as phone:
            await phone.map("notes").put("original", 1)
            await in_step(phone)
        async with running(copy) as clone:
            await clone.map("notes").put("copied", 2)
            await until(lambda: clone.status()["cloned"], "the copy seeing what the original wrote")
            with pytest.raises((ForkDetected, NotAMember)):
                await clone.map("notes").put("more", 3)
            await until(lambda: laptop.map("notes").items() == {"before": 0}, "the log counting up to the fork only")
            assert [d for d in laptop.status()["fenced"] if d["device"] == clone.device]
            old = clone.device
        preview = await ask(laptop, "devices.revoke", device="phone", preview=True)
        assert (preview["beyond"], preview["revoked"]) == (2, [])
        await laptop.revoke("phone")
        assert laptop.map("notes").items() == {"before": 0}, "which version came first does not select it"
        await join_mesh(copy, str(await laptop.invite()), "phone 2", clock=SkewedClock())
        async with running(copy) as again:
            await in_step(again)
            assert (await ask(again, "devices.rescue", device=old))["rescued"] == 2
            await in_step(again)
            assert laptop.map("notes").items() == {"before": 0, "original": 1, "copied": 2}


async def test_a_clock_that_was_never_set_writes_nothing_and_hides_nothing(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        await laptop.map("notes").put("k", 1)
        data = laptop.mesh.data
    async with running(data, SkewedClock(-40 * 365 * DAY)) as laptop:
        with pytest.raises(ClockWrong, match="this device's clock says 198"):
            await laptop.map("notes").put("k", 2)
        assert laptop.map("notes").items() == {"k": 1}
        assert laptop.status()["clock_wrong"]
    async with running(data) as laptop:
        await laptop.map("notes").put("k", 3)
        assert laptop.map("notes").items() == {"k": 3}


async def test_a_clock_behind_its_own_entries_writes_nothing_and_holds_them(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        await laptop.map("notes").put("k", 1)
        data = laptop.mesh.data
    async with running(data, SkewedClock(-3 * DAY)) as laptop:
        with pytest.raises(ClockWrong, match="but it has written entries dated 20"):
            await laptop.map("notes").put("k", 2)
        assert [held["device"] for held in laptop.status()["held"]] == [laptop.device], "which of its clocks was right?"
    async with running(data) as laptop:
        assert laptop.map("notes").items() == {"k": 1}
        await laptop.map("notes").put("k", 3)
        assert laptop.map("notes").items() == {"k": 3}


async def test_a_clock_that_is_set_right_writes_again_without_a_restart(tmp_path: Path) -> None:
    clock = SkewedClock(-3 * DAY)
    async with founder(tmp_path) as laptop, running(await let_in(tmp_path, laptop, "desk")) as desk:
        await in_step(desk)
        async with running(await let_in(tmp_path, laptop, "phone", clock), clock) as phone:
            await until(lambda: phone.status()["clock_wrong"], "the phone doubting its clock")
            clock.ahead = 0
            assert not phone.status()["clock_wrong"]
            await phone.map("notes").put("k", 1)
            await in_step(phone)
            assert laptop.map("notes").items() == {"k": 1}


async def test_what_the_block_raises_leaves_the_node_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with founder(tmp_path) as laptop:
            data = laptop.mesh.data
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        async with open_mesh(data, clock=SkewedClock()):
            raise ZeroDivisionError
    with trio.CancelScope() as scope, pytest.raises(ZeroDivisionError):
        async with running(data):
            scope.cancel()
            raise ZeroDivisionError
    with trio.CancelScope() as scope:
        async with running(data):
            scope.cancel()
            await trio.sleep_forever()
        pytest.fail("the cancellation was lost")
    assert scope.cancelled_caught


async def test_after_the_block_the_node_says_that_it_is_closed(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        await laptop.map("notes").put("k", 1)
    with trio.fail_after(SOON):
        with pytest.raises(ClosedError):
            await laptop.map("notes").put("k", 2)
        with pytest.raises(NetworkError):
            await laptop.connect(laptop.device, laptop.addresses)


async def test_both_ends_dial_at_once_again_and_again(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop, running(await let_in(tmp_path, laptop, "phone")) as phone:
        for number in range(30):
            with trio.fail_after(SOON):
                async with trio.open_nursery() as nursery:
                    for one, other in ((laptop, phone), (phone, laptop), (phone, laptop)):
                        nursery.start_soon(one.connect, other.device, other.addresses)
                await phone.map("notes").put("n", number)
                await in_step(laptop)
                assert laptop.map("notes").get("n") == number
                (laptop if number % 2 else phone).host.disconnect((phone if number % 2 else laptop).device)
                await until(lambda: not laptop.syncing.links and not phone.syncing.links, "the line being cut")


async def test_one_folder_one_node(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        with pytest.raises(DataDirBusy, match="in use by process"):
            async with open_node(laptop.mesh.data, clock=SkewedClock()):
                pass


async def test_reserved_names_and_foreign_values_are_refused(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        with pytest.raises(ValueRefused):
            laptop.map("mycel.config")
        with pytest.raises(ValueRefused):
            await laptop.map("notes").put("k", object())  # type: ignore[arg-type]
        with pytest.raises(ValueRefused):
            await laptop.map("notes").put("k", "x" * 300_000)
        assert laptop.map("notes").items() == {}


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = laptop.mesh.data
        for number in range(50):
            await laptop.map("notes").put(str(number), number)
        before = laptop.mesh.replica.document.digest()
    async with running(data) as laptop:
        assert laptop.mesh.replica.document.digest() == before
        assert len(laptop.map("notes").items()) == 50


def rewrite_the_audit_record(data: DataDir) -> None:
    with closing(sqlite3.connect(data.database)) as connection, connection:
        time_ms = 1_764_000_000_000
        connection.execute("DELETE FROM audit")
        connection.execute("DELETE FROM audit_head")
        audit.record(connection, "mesh.init", {"mesh": "rewritten"}, time_ms)  # a chain that is sound in itself
        assert audit.verify(connection).ok


async def test_a_rewritten_audit_record_shows_against_what_the_mesh_remembers(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        await let_in(tmp_path, laptop, "phone")
        data = laptop.mesh.data
        await until(lambda: bool(laptop.mesh.replica.document.map(ANCHORS)), "the first anchor")
        assert (await ask(laptop, "audit.verify"))["ok"]
        assert not await anchor(laptop.mesh), "once a day"
        kinds = [event["kind"] for event in (await ask(laptop, "audit.tail"))["events"]]
        assert kinds == ["mesh.init", "release.record", "device.enrol"]
    rewrite_the_audit_record(data)
    async with running(data) as laptop:
        answer = await ask(laptop, "audit.verify")
        assert not answer["ok"]
        assert "recorded elsewhere" in answer["reason"]


async def test_nobody_can_remove_or_replace_what_the_mesh_remembers_of_an_audit_record(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        phone_data = await let_in(tmp_path, laptop, "phone")
        data = laptop.mesh.data
        await until(lambda: bool(laptop.mesh.replica.document.map(ANCHORS)), "the first anchor")
        (key,) = laptop.mesh.replica.document.map(ANCHORS)
        known = await anchors(laptop.mesh)
        for verb in (["put", ANCHORS, key, [1, "x"]], ["delete", ANCHORS, key], ("set", CONFIG, 1)):
            with pytest.raises(ValueRefused, match="does not start with"):
                await ask(laptop, "collection.apply", operations=[verb])
        async with running(phone_data) as phone:
            await in_step(phone)
            forged = [
                ops.map_put(ANCHORS, key, [9, bytes(32)]),
                ops.map_put(ANCHORS, "x", 1),
                ops.map_remove(ANCHORS, key),
            ]
            for operation in forged:
                await phone.mesh.write([operation])
            await in_step(phone)
        assert key not in laptop.mesh.replica.document.map(ANCHORS)
        assert await anchors(laptop.mesh) == known
        assert (await ask(laptop, "audit.verify"))["ok"]
    rewrite_the_audit_record(data)
    async with running(data) as laptop:
        assert "recorded elsewhere" in (await ask(laptop, "audit.verify"))["reason"]


async def test_a_device_with_a_new_key_still_answers_for_what_it_recorded_under_the_old(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await until(
                lambda: any(key.startswith(phone.device) for key in phone.mesh.replica.document.map(ANCHORS)), "one"
            )
            await in_step(phone)
        await ask(laptop, "devices.revoke", device="phone")
        async with running(data) as phone:
            await until(lambda: not phone.status()["member"], "the phone learning that it is out")
        await join_mesh(data, str(await laptop.invite()), None, clock=SkewedClock())
        async with open_mesh(data, clock=SkewedClock()) as mesh:
            assert len(await anchors(mesh)) == 1, "of the old key"
        rewrite_the_audit_record(data)
        async with open_mesh(data, clock=SkewedClock()) as mesh:
            assert "recorded elsewhere" in (await MeshCommands(mesh).audit_verify({}))["reason"]


async def test_nothing_is_rescued_without_a_record_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await in_step(phone)
            mesh, device = laptop.mesh, phone.mesh.identity.device
            head = mesh.replica.logs.tip(device)
            await phone.map("notes").put("k", 1)
            await in_step(phone)
        await mesh.commit(lambda replica: replica.declare(REVOKE, device, head, {}, mesh.now()))

        def fail(*_: object) -> None:
            raise DiskFull

        with monkeypatch.context() as patched:
            patched.setattr(audit, "record", fail)
            with pytest.raises(DiskFull):
                await ask(laptop, "devices.rescue", device="phone")
        assert laptop.map("notes").items() == {}
        assert (await ask(laptop, "devices.rescue", device="phone"))["rescued"] >= 1
        assert laptop.map("notes").items() == {"k": 1}
        assert [e.kind for e in audit.tail(mesh.database.read, 9)].count("device.rescue") == 1


async def test_invites_of_no_more_use_are_erased(tmp_path: Path) -> None:
    clock = SkewedClock()
    async with founder(tmp_path, clock=clock) as laptop:
        data = laptop.mesh.data
        await let_in(tmp_path, laptop, "phone", clock)
        await laptop.invite(60)
        assert len(laptop.mesh.stored.invites()) == 2
        clock.ahead += HOUR
        await laptop.invite(60)
        assert [used is None for _, used, _ in laptop.mesh.stored.invites()] == [False, True], "used ones for a day"
    clock.ahead += 25 * HOUR
    async with open_mesh(data, clock=clock) as mesh:
        assert mesh.stored.invites() == []


async def test_a_fault_of_ours_costs_one_proposal_and_not_the_node(tmp_path: Path) -> None:
    def faulty(replica: Replica) -> None:
        replica.write([ops.map_put("notes", "half", 1)], laptop.mesh.now())
        raise ZeroDivisionError

    async with founder(tmp_path) as laptop, trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(laptop.map("notes").put, str(number), number)
        with pytest.raises(ZeroDivisionError):
            await laptop.mesh.commit(faulty)
        await laptop.map("notes").put("5", 5)
        assert laptop.map("notes").items() == {str(number): number for number in range(6)}


async def test_a_fault_in_a_session_costs_the_session_and_not_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with founder(tmp_path) as laptop, running(await let_in(tmp_path, laptop, "phone")) as phone:
        await in_step(phone)
        for node in (laptop, phone):  # one of them dialled
            (link,) = node.syncing.links.values()
            with monkeypatch.context() as patch:
                patch.setattr(link.session, "receive", lambda *_, **__: 1 // 0)
                await (phone if node is laptop else laptop).counter("cups").add()
                await until(lambda node=node, link=link: link not in node.syncing.links.values(), "the session ending")
            await in_step(phone)
        assert laptop.counter("cups").value == phone.counter("cups").value == 2


async def test_status_says_who_put_whom_out_and_that_a_state_was_false(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with founder(tmp_path) as laptop:
        await let_in(tmp_path, laptop, "phone")
        await laptop.revoke("phone")
        phone = next(device for device in laptop.devices() if device.name == "phone")
        assert (phone.revoked, phone.revoked_by, phone.enrolled_by) == (True, [laptop.device], laptop.device)
        assert "state" not in laptop.status()["services"]
        laptop._on_progress(Progress(base_checked=False))
        assert laptop.status()["services"]["state"]["state"] == "failed"
        assert "the logs hold now" in caplog.text
