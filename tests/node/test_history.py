"""Real nodes keep their history bounded: on disk, over the network, across restarts, and without those who stay away."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mycelnode.beginning import root_statement
from mycelnode.cli.status import _warnings
from mycelnode.crdt.changelog import Head
from mycelnode.crdt.statements import AWAY, ENROL, REVOKE
from mycelnode.encoding import Digest, key_of_peer
from mycelnode.errors import ControlError
from mycelnode.identity import root_from_phrase
from mycelnode.joining import init_mesh
from mycelnode.node import Node
from mycelnode.protocols import tending
from tests.node.nodes import SkewedClock, ask, folder, let_in, running, until

GROWTH = 20_000  # bytes that are worth a snapshot here


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "LEAST_GROWTH", GROWTH)


def whole(node: Node) -> int:
    """How many entries are on disk as they were written."""
    logs = node.mesh.replica.logs
    rows = [
        row
        for device, branches in logs.durable.items()
        for number in range(len(branches))
        for row in logs.rows(device, number, 0, 1 << 24)
    ]
    return sum(not isinstance(row.entry, Digest) for row in rows)


async def fill(node: Node, count: int = 100) -> None:
    for number in range(count):
        await node.map("notes").put(f"{number % 10}", [number, "x" * 200])


async def alike(*nodes: Node) -> None:
    """Each has applied the same entries, and folds them to the same; what they write by themselves meanwhile comes in, too."""

    def digests() -> set[bytes]:
        return {node.mesh.replica.document.digest() for node in nodes}

    await until(lambda: len(digests()) == 1, "the documents differ")


async def test_history_goes_on_all_devices_and_a_newcomer_has_the_same_document(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        made = await init_mesh(folder(tmp_path, "laptop"), "laptop", clock=SkewedClock())
        laptop = await stack.enter_async_context(running(folder(tmp_path, "laptop")))
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await phone.sync()
            await fill(laptop)
            await fill(phone)
            for node in (laptop, phone):
                await until(lambda node=node: whole(node) < 90, f"{node.name} has {whole(node)} whole entries")  # type: ignore[misc]
            await alike(laptop, phone)
            for node in (laptop, phone):
                await until(lambda node=node: node.status()["history"]["waits_for"] == [], "it waits")  # type: ignore[misc]
        tablet = await stack.enter_async_context(running(await let_in(tmp_path, laptop, "tablet")))
        await tablet.sync()
        await alike(tablet, laptop)
        assert tablet.map("notes").items() == laptop.map("notes").items()
        async with running(data) as phone:  # from what is left on its disk
            await phone.sync()
            await alike(phone, laptop)
        assert (await ask(laptop, "audit.verify"))["ok"]
        assert made.phrase


async def test_a_device_that_stays_away_is_named_until_the_phrase_lets_the_others_go_on(tmp_path: Path) -> None:
    made = await init_mesh(folder(tmp_path, "laptop"), "laptop", clock=SkewedClock())
    root = root_from_phrase(made.phrase)
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(running(folder(tmp_path, "laptop")))
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await phone.sync()
            away = phone.device
            await phone.map("mine").put("kept", 1)
            await laptop.sync()
        await fill(laptop, 250)

        def waits() -> Any:
            return laptop.status()["history"]["waits_for"]

        await until(lambda: waits() == [away], f"waits for {waits()}")
        before = whole(laptop)
        assert laptop.status()["history"]["bytes"] > GROWTH
        (line,) = [line for line in _warnings({**laptop.status(), "disk": {}, "cloned": False}) if "of history" in line]
        assert "stay on every device until phone is back: `mycelnode devices away phone`" in line
        with pytest.raises(ControlError):
            await ask(laptop, "devices.away", device=away, statement="00")
        said = root_statement(root, AWAY, key_of_peer(away), None, "away")
        answer = await ask(laptop, "devices.away", device="phone", statement=said.encoded.hex())
        assert answer["device"] == away
        await until(lambda: whole(laptop) < before / 2, "history is still there")
        assert waits() == []
        async with running(data) as phone:
            await phone.map("mine").put("late", 2)
            await phone.sync()
            await alike(laptop, phone)
            assert dict(laptop.map("mine").items()) == {"kept": 1, "late": 2}


async def test_status_says_what_is_missing_when_the_phrase_has_undone_a_snapshot(tmp_path: Path) -> None:
    made = await init_mesh(folder(tmp_path, "laptop"), "laptop", clock=SkewedClock())
    root = root_from_phrase(made.phrase)
    async with running(folder(tmp_path, "laptop")) as laptop:
        await fill(laptop)
        await until(lambda: whole(laptop) < 50, "history is still there")
        tablet = await let_in(tmp_path, laptop, "tablet")
        async with running(tablet) as node:
            await node.sync()
            await alike(node, laptop)
            assert node.status()["history"]["missing"] == []
        gone, replica = laptop.device, laptop.mesh.replica
        early = Head(5, replica.logs.hash_at(replica.device, 0, 5) or b"")
    async with running(tablet) as node:
        back = root_statement(root, ENROL, key_of_peer(node.device), None, "back")
        undone = root_statement(root, REVOKE, key_of_peer(gone), early, "undone")
        await node.mesh.commit(lambda replica: replica.learn([back, undone]))
        status = node.status()
    assert status["history"]["missing"] == [{"device": gone, "after": 0}]
    (line,) = [line for line in _warnings({**status, "disk": {}, "cloned": False}) if "missing" in line]
    assert line.startswith(
        "! entries of laptop after number 0 are missing here: the recovery phrase undid the snapshot"
    )
