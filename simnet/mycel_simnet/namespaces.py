"""A local network of its own: hosts in network namespaces on a bridge, for LAN discovery, changing addresses and IPv6. Needs root.

Every namespace is held by one small process that ends with its standard input, and has no name: when the simulation ends, however
it ends, the kernel removes the namespaces, and with them the bridge and the cables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from mycelnode.background import open_background

PROGRAMS = ("ip", "unshare", "nsenter")
SETUP_SECONDS = 10.0  # for one command of the set-up
HOLD = ["unshare", "--net", "sh", "-c", "echo ready; exec cat >/dev/null"]


class NamespacesUnavailable(Exception):
    """Network namespaces cannot be made here; the text says why."""


def why_unavailable() -> str | None:
    """The reason why network namespaces cannot be made here, or None."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"needs the program {missing[0]}"
    if os.geteuid() != 0:
        return "needs root"
    tried = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, text=True, check=False, timeout=SETUP_SECONDS
    )
    return None if tried.returncode == 0 else f"network namespaces are not allowed here: {tried.stderr.strip()}"


async def _run(command: Sequence[str]) -> None:
    with trio.fail_after(SETUP_SECONDS):
        done = await trio.run_process(list(command), capture_stdout=True, capture_stderr=True, check=False)
    if done.returncode != 0:
        raise NamespacesUnavailable(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")


class Namespace:
    """A network namespace. Commands that start with ``prefix`` run in it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.prefix = ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]

    async def ip(self, *arguments: str) -> None:
        """Run ``ip`` in it. Raises `NamespacesUnavailable` with what it said."""
        await _run([*self.prefix, "ip", *arguments])


class LanHost(Namespace):
    """A host with one network card, ``eth0``."""

    async def add_address(self, address: str) -> None:
        """``address`` with its prefix length, such as ``10.77.0.1/24`` or ``fd77::1/64``; usable at once."""
        await self.ip("address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))

    async def remove_address(self, address: str) -> None:
        """Take an address away; connections that use it are stranded."""
        await self.ip("address", "del", address, "dev", "eth0")

    async def change_address(self, old: str, new: str) -> None:
        """As when another network is joined: ``old`` goes, ``new`` comes."""
        await self.remove_address(old)  # first, as Linux takes the later addresses of a subnet away with its first
        await self.add_address(new)

    async def unplug(self) -> None:
        """Take the cable out; IPv6 addresses go with it, as on any Linux machine."""
        await self.ip("link", "set", "eth0", "down")

    async def plug(self) -> None:
        """Put the cable in."""
        await self.ip("link", "set", "eth0", "up")


class Lan:
    """A bridge with hosts on it; made by `open_lan`."""

    def __init__(self, switch: Namespace, nursery: trio.Nursery) -> None:
        self._switch, self._nursery = switch, nursery
        self.hosts: list[LanHost] = []

    async def add_host(self, *addresses: str) -> LanHost:
        """A new host on the bridge, with these addresses (each with its prefix length)."""
        host = LanHost(await _hold_namespace(self._nursery))
        cable = f"cable{len(self.hosts)}"
        ends = ["type", "veth", "peer", "name", "eth0", "netns", str(host.pid)]
        await self._switch.ip("link", "add", cable, *ends)
        await self._switch.ip("link", "set", cable, "master", "bridge0", "up")
        await host.ip("link", "set", "lo", "up")
        await host.plug()
        for address in addresses:
            await host.add_address(address)
        self.hosts.append(host)
        return host


async def _hold_namespace(nursery: trio.Nursery) -> int:
    """A process in a new network namespace, killed with the nursery; returns its pid."""
    process: trio.Process = await nursery.start(_hold)
    return process.pid


async def _hold(*, task_status: trio.TaskStatus[trio.Process]) -> None:
    process = await trio.lowlevel.open_process(HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with trio.fail_after(SETUP_SECONDS):
            if await process.stdout.receive_some(16) != b"ready\n":
                raise NamespacesUnavailable("a process in a network namespace of its own did not start")
        task_status.started(process)
        await trio.sleep_forever()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()
            if process.stdin is not None:
                await process.stdin.aclose()


@asynccontextmanager
async def open_lan() -> AsyncIterator[Lan]:
    """A local network without hosts, until the block is left. Raises `NamespacesUnavailable`."""
    if reason := why_unavailable():
        raise NamespacesUnavailable(reason)
    async with open_background() as nursery:
        switch = Namespace(await _hold_namespace(nursery))
        # Snooping without a querier would swallow the multicast that discovery lives on; without delay, ports forward at once.
        await switch.ip(
            "link", "add", "bridge0", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0", "stp_state", "0"
        )
        await switch.ip("link", "set", "bridge0", "up")
        yield Lan(switch, nursery)
