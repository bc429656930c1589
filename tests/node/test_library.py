"""The library under people who cancel, close, write at once and look away: nothing they do to their own block harms the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from mycelnode import shared
from mycelnode.errors import ClosedError, DeviceUnknown, InviteError, ValueRefused
from mycelnode.joining import join_mesh
from mycelnode.node import Node, open_node
from mycelnode.shared import Changes
from tests.node.nodes import LOOPBACK, SOON, SkewedClock, folder, founder, let_in, running, until


async def write_on(node: Node, key: str) -> None:
    number = 0
    while True:
        number += 1
        await node.map("busy").put(key, number)


async def test_watchers_come_and_go_while_others_write(tmp_path: Path) -> None:
    async with founder(tmp_path) as node, trio.open_nursery() as nursery:
        before = len(node.mesh.listeners), len(node.mesh.closing)
        for writer in range(3):
            nursery.start_soon(write_on, node, str(writer))
        for _ in range(100):
            async with node.watch("busy") as changes:
                with trio.fail_after(SOON):
                    assert (await changes.receive()).name == "busy"
        nursery.cancel_scope.cancel()
        assert (len(node.mesh.listeners), len(node.mesh.closing)) == before


async def test_a_watcher_ends_with_the_node(tmp_path: Path) -> None:
    ended = trio.Event()

    async def watcher(node: Node) -> None:
        async with node.watch() as changes:
            async for _ in changes:
                pass
        ended.set()

    async with trio.open_nursery() as nursery:
        async with founder(tmp_path) as node:
            nursery.start_soon(watcher, node)
            await until(lambda: bool(node.mesh.closing), "the watcher watching")
        with trio.fail_after(SOON):
            await ended.wait()
    with pytest.raises(ClosedError):
        async with node.watch():
            pass


async def test_who_falls_behind_is_told_at_once_to_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MAX_WATCHED", 10)
    async with founder(tmp_path) as node, node.watch("notes") as changes:
        await node.map("notes").update({str(number): number for number in range(11)})
        await node.map("notes").put("after", 1)
        with trio.fail_after(SOON):
            assert [(await changes.receive()).kind, (await changes.receive()).key] == ["refolded", "after"]


async def test_nothing_is_lost_of_changes_whose_receiver_is_cancelled(tmp_path: Path) -> None:
    async with founder(tmp_path) as node, node.watch("notes") as changes:
        assert isinstance(changes, Changes)
        await node.map("notes").put("k", 1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await changes.receive()
        with trio.fail_after(SOON):
            assert (await changes.receive()).key == "k"


async def test_a_sync_ends_though_everybody_writes_on(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop, running(await let_in(tmp_path, laptop, "phone")) as phone:
        await until(lambda: bool(laptop.syncing.links and phone.syncing.links), "the two meeting")
        async with trio.open_nursery() as nursery:
            for node in (laptop, phone):
                nursery.start_soon(write_on, node, node.name)
            for number in range(10):
                await laptop.map("notes").put("n", number)
                with trio.fail_after(SOON):
                    answer = await laptop.sync(SOON)
                assert answer.synced == [phone.device]
                assert phone.map("notes").get("n") == number, "it was on disk here when sync was called"
            nursery.cancel_scope.cancel()


async def test_a_write_is_what_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with founder(tmp_path) as node:
        value = ["as given"]
        commit = node.mesh.commit

        async def change_and_commit(*arguments: Any, **named: Any) -> Any:
            value[0] = "changed while it waited for the committer"
            return await commit(*arguments, **named)

        with monkeypatch.context() as patched:
            patched.setattr(node.mesh, "commit", change_and_commit)
            await node.map("notes").put("k", value)
        assert node.map("notes").get("k") == ["as given"]
        await node.set("tags").add()
        await node.map("notes").update({})
        with pytest.raises(ValueRefused):
            node.map(1)  # type: ignore[arg-type]


async def test_an_invite_that_was_cancelled_or_withdrawn_is_none(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        for _ in range(20):  # more than may be open
            with trio.CancelScope() as scope:
                scope.cancel()
                await node.invite()
        invite = await node.invite()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def wait() -> None:
                with pytest.raises(InviteError, match="withdrawn"):
                    await node.joined(invite)

            await trio.testing.wait_all_tasks_blocked(0.05)
            await node.withdraw(invite)
        data = node.mesh.data
    async with running(data) as again:
        assert again.mesh.stored.invites() == []


async def test_who_joined_is_told_also_afterwards(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        invite = await node.invite()
        await join_mesh(folder(tmp_path, "phone"), str(invite), "phone", clock=SkewedClock())
        with trio.fail_after(SOON):
            assert (await node.joined(invite)).name == "phone"


async def test_names_of_no_device_and_closed_nodes_are_said(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        for device in ("garbage", node.device):
            with pytest.raises(DeviceUnknown):
                await node.connect(device, LOOPBACK)
    for call in (node.sync, node.invite):
        with pytest.raises(ClosedError):
            await call()
    with pytest.raises(ClosedError):
        node.status()


async def test_a_node_may_only_dial(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with open_node(data, clock=SkewedClock(), listen=(), control=False) as phone:
            assert phone.addresses == []
            assert (await phone.sync(SOON)).synced == [laptop.device]
