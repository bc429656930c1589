"""What a node's two protocols for strangers, and its sessions, let peers hold; with real nodes on loopback."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.errors import BrokenError
from mycelnode.p2p import sync_driver
from mycelnode.protocols import admission, pairing, sync
from tests.node.nodes import ask, founder, let_in, running
from tests.p2p.hosts import PATIENCE, a_host, connect, until


@pytest.mark.parametrize("protocol", [admission.PROTOCOL, pairing.PROTOCOL])
async def test_a_stranger_announces_no_more_than_a_message(protocol: str, tmp_path: Path) -> None:
    """Each megabyte that it may announce is held here, for each of its streams."""
    async with founder(tmp_path) as node, a_host(listen=()) as one:
        await node.invite()
        await connect(one, node.host)
        for length, refused in [(admission.MAX_MESSAGE, False), (admission.MAX_MESSAGE + 1, True)]:
            stream = await one.open_stream(one.line(node.device), protocol, deadline=PATIENCE)
            await stream.send_all(struct.pack(">I", length) + bytes(100), deadline=PATIENCE)
            with trio.move_on_after(2) as waiting, pytest.raises(BrokenError):
                await stream.receive_some(1)
            assert waiting.cancelled_caught != refused


async def test_a_frozen_member_is_dropped_in_the_middle_of_what_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "PING_AFTER", 0.3)
    for module in (sync, sync_driver):
        monkeypatch.setattr(module, "SILENT_AFTER", 1.5)
    monkeypatch.setattr(sync_driver, "GOODBYE_SECONDS", 0.5)

    async def never(*_: Any) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with founder(tmp_path) as node, running(await let_in(tmp_path, node, "phone")) as other:
        await until(lambda: other.device in node.syncing.links)
        line = other.host.line(node.device).inner.muxed_conn.secured_conn.mycel_raw
        monkeypatch.setattr(line.stream, "read", never)
        monkeypatch.setattr(line.stream, "write", never)
        for number in range(100):
            await ask(node, "config.set", key=f"user.x{number}", value=os.urandom(2000).hex())
        link = node.syncing.links[other.device]
        await until(
            lambda: node.syncing.links.get(other.device) is not link, within=4
        )  # libp2p alone takes 5 seconds more
