"""Real nodes on a local network of their own: they find each other without addresses, and again after a change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mycel_simnet.namespaces import LanHost, open_lan
from mycel_simnet.process import NodeProcess
from tests.needs import need_namespaces

SOON = 30.0  # seconds for what has no promise of its own
RENEWED = 5.0  # seconds: the promise for a changed address and a woken laptop
SILENT = 15.0  # seconds after which a peer is given up anyhow; see `mycelnode.protocols.sync`

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    need_namespaces()


@asynccontextmanager
async def machines(folder: Path, *addresses: str) -> AsyncIterator[list[tuple[LanHost, NodeProcess]]]:
    """Machines on one network, each with an address and a device that listens as devices do by default."""
    async with open_lan() as lan:
        found = []
        for number, address in enumerate(addresses):
            host = await lan.add_host(address)
            node = NodeProcess(folder, f"device{number}", prefix=host.prefix, listen=(), settings={})
            node.change(routes=None)
            found.append((host, node))
        try:
            yield found
        finally:
            for _, node in found:
                await node.kill()


async def linked(node: NodeProcess, others: int = 1) -> dict[str, Any]:
    """Wait until ``node`` is connected with so many others; returns its status."""
    with trio.move_on_after(SOON):
        while True:
            status = await node.call("status")
            if sum(d["connected"] and not d.get("this") for d in status["devices"]) == others:
                return status
            await trio.sleep(0.05)
    raise AssertionError(f"{node.name} is not connected with {others}: {status}\n{node.said()}")


async def pair(first: NodeProcess, second: NodeProcess) -> None:
    """A mesh of two, both running and connected."""
    await first.command("init", "--name", first.name)
    await first.start()
    invite = await first.call("invite")
    await second.command("join", invite["invite"], "--name", second.name)
    await second.start()
    await linked(first)
    await linked(second)


@pytest.mark.parametrize(
    ("one", "two"), [("10.77.0.1/24", "10.77.0.2/24"), ("fd77::1/64", "fd77::2/64")], ids=["IPv4", "IPv6"]
)
async def test_devices_meet_on_the_local_network_though_every_known_address_is_old(
    tmp_path: Path, one: str, two: str
) -> None:
    async with machines(tmp_path, one, two) as [(host, first), (_, second)]:
        await first.command("init", "--name", first.name)
        await first.start()
        invite = await first.call("invite")
        assert all(addr.split("/")[2] == one.partition("/")[0] for addr in first.ready["addrs"]), (
            "no wildcard, no loopback"
        )
        await host.change_address(one, one.replace("1/", "9/"))
        await second.command("join", invite["invite"], "--name", second.name)  # at an address that nobody has any more
        await second.start()
        await first.call("collection.apply", operations=[["put", "notes", "k", "v"]])
        assert (await second.call("sync"))["unreachable"] == []
        assert (await second.call("collection.get", name="notes"))["value"] == {"k": "v"}


async def test_a_changed_address_is_noticed_and_the_connection_renewed(tmp_path: Path) -> None:
    async with machines(tmp_path, "10.77.0.1/24", "10.77.0.2/24") as [(_, first), (host, second)]:
        await pair(first, second)
        await host.change_address("10.77.0.2/24", "10.77.0.20/24")  # nobody is told: packets simply stop
        start = trio.current_time()
        await first.call("collection.apply", operations=[["put", "notes", "k", "v"]])
        with trio.fail_after(SOON):
            while (await second.call("collection.get", name="notes"))["value"] != {"k": "v"}:
                await trio.sleep(0.02)
        took = trio.current_time() - start
        assert took < RENEWED, f"renewed after {took:.1f} s"
        with trio.fail_after(SOON):  # the others are told the new address
            while True:
                (device,) = (d for d in (await linked(first))["devices"] if not d["this"])
                if [addr.split("/")[2] for addr in device["addrs"]] == ["10.77.0.20"]:
                    break
                await trio.sleep(0.02)


async def test_a_woken_laptop_does_not_trust_its_connections(tmp_path: Path) -> None:
    async with machines(tmp_path, "10.77.0.1/24", "10.77.0.2/24") as [(_, laptop), (_, phone)]:
        await pair(laptop, phone)
        phone.freeze()  # gone without a word; nothing would be noticed for `SILENT` seconds
        laptop.change(slept=3600.0)
        start = trio.current_time()
        with trio.fail_after(SOON):
            while any(d["connected"] and not d["this"] for d in (await laptop.call("status"))["devices"]):
                await trio.sleep(0.02)
        took = trio.current_time() - start
        assert took < RENEWED, f"noticed after {took:.1f} s"
        assert RENEWED < SILENT
        phone.thaw()
        await linked(laptop)


async def test_status_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    async with machines(tmp_path, "10.77.0.1/24", "10.77.0.2/24") as [(_, first), (_, second)]:
        await pair(first, second)
        await second.stop()
        with trio.fail_after(SOON):
            while True:
                status = await first.call("status")
                (device,) = (d for d in status["devices"] if not d["this"])
                if device["finding"] and device["finding"]["hint"]:
                    break
                await trio.sleep(0.05)
        assert list(device["finding"]["tried"].values()) == ["refused"]
        assert "is `mycelnode run` running there?" in device["finding"]["hint"]
