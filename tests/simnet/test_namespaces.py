"""Network namespaces: hosts reach each other on the bridge, addresses change, and nothing stays behind."""

from __future__ import annotations

import os
import sys

import psutil
import pytest
import trio

from mycel_simnet.namespaces import Lan, LanHost, NamespacesUnavailable, open_lan
from mycel_simnet.process import first_line
from tests.needs import need_namespaces

GREETER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_server((sys.argv[1], 4101), family=family) as server:
    print("listening", flush=True)
    server.accept()[0].sendall(b"hello from " + sys.argv[1].encode())
"""
CALLER = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], 4101), timeout=5) as connection:
        print(connection.makefile().read(), end="")
except OSError as error:
    print(error, end="")
"""
MULTICAST = "239.77.0.1", 4102
HEARER = f"""
import socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind({MULTICAST!r})
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton({MULTICAST[0]!r}) + socket.inet_aton(sys.argv[1]))
    print("listening", flush=True)
    print(s.recv(100).decode(), end="")
"""
SPEAKER = f"""
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
    s.sendto(b"is anybody there?", {MULTICAST!r})
"""


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    need_namespaces()


async def output_of(host: LanHost, program: str, argument: str) -> str:
    done = await trio.run_process([*host.prefix, sys.executable, "-c", program, argument], capture_stdout=True)
    return done.stdout.decode()


async def start(nursery: trio.Nursery, host: LanHost, program: str, argument: str) -> trio.MemoryReceiveChannel[str]:
    """Start a program that says "listening"; what it prints next comes through the channel."""
    send, receive = trio.open_memory_channel[str](1)

    async def run(task_status: trio.TaskStatus[None]) -> None:
        process = await trio.lowlevel.open_process([*host.prefix, sys.executable, "-c", program, argument], stdout=-1)
        try:
            assert process.stdout is not None
            assert await first_line(process) == b"listening\n"
            task_status.started()
            await send.send((await process.stdout.receive_some()).decode())
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                assert process.stdout is not None
                await process.stdout.aclose()

    await nursery.start(run)
    return receive


@pytest.mark.parametrize("address", ["10.77.0.2", "fd77::2"])
async def test_hosts_reach_each_other_over_both_families(address: str) -> None:
    async with open_lan() as lan, trio.open_nursery() as nursery:
        one = await lan.add_host("10.77.0.1/24", "fd77::1/64")
        two = await lan.add_host("10.77.0.2/24", "fd77::2/64")
        await start(nursery, two, GREETER, address)
        assert await output_of(one, CALLER, address) == f"hello from {address}"
        nursery.cancel_scope.cancel()


async def test_multicast_crosses_the_bridge() -> None:
    async with open_lan() as lan, trio.open_nursery() as nursery:
        one = await lan.add_host("10.77.0.1/24")
        two = await lan.add_host("10.77.0.2/24")
        heard = await start(nursery, two, HEARER, "10.77.0.2")
        await output_of(one, SPEAKER, "10.77.0.1")
        with trio.fail_after(5):
            assert await heard.receive() == "is anybody there?"
        nursery.cancel_scope.cancel()


async def test_an_address_changes_and_a_cable_is_unplugged() -> None:
    async with open_lan() as lan, trio.open_nursery() as nursery:
        one = await lan.add_host("10.77.0.1/24")
        two = await lan.add_host("10.77.0.2/24")
        await two.change_address("10.77.0.2/24", "10.77.0.3/24")
        await start(nursery, two, GREETER, "10.77.0.3")
        assert await output_of(one, CALLER, "10.77.0.3") == "hello from 10.77.0.3"
        await one.unplug()
        assert "unreachable" in await output_of(one, CALLER, "10.77.0.3")
        await one.plug()
        await start(nursery, two, GREETER, "10.77.0.3")
        assert await output_of(one, CALLER, "10.77.0.3") == "hello from 10.77.0.3"
        nursery.cancel_scope.cancel()


async def test_nothing_stays_behind_and_a_failure_comes_out_bare() -> None:
    seen: list[Lan] = []

    async def fail() -> None:
        async with open_lan() as lan:
            seen.append(lan)
            await lan.add_host("10.77.0.1/24")
            raise KeyError("on purpose")

    with pytest.raises(KeyError, match="on purpose"):
        await fail()
    for host in seen[0].hosts:
        assert not psutil.pid_exists(host.pid)


async def test_what_ip_refuses_is_said() -> None:
    async with open_lan() as lan:
        host = await lan.add_host()
        with pytest.raises(NamespacesUnavailable, match=r"address add 10\.77\.0\.999/24"):
            await host.add_address("10.77.0.999/24")


async def test_the_kernel_cleans_up_after_a_simulation_that_was_killed() -> None:
    program = """
import os, signal, trio
from mycel_simnet.process import first_line
from mycel_simnet.namespaces import open_lan
async def main():
    async with open_lan() as lan:
        host = await lan.add_host("10.77.0.1/24")
        print(host.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
trio.run(main)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = await trio.run_process([sys.executable, "-c", program], capture_stdout=True, check=False, env=environment)
    holder = int(done.stdout)
    with trio.fail_after(5):
        while psutil.pid_exists(holder):
            await trio.sleep(0.01)
