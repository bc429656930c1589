"""Notices that the machine moved to another network or slept: the two moments when every connection may be dead without a word."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable, Iterator

import ifaddr
import trio

from mycelnode.p2p._addresses import interface_addresses
from mycelnode.ports import Clock

SLEPT_SECONDS = 2.0  # a clock that counts sleep ran ahead by more than this: the machine slept
CALM_SECONDS = 0.2  # after the kernel said that something changed; one change comes as a burst of messages
MESSAGE_BYTES = 64 << 10
MAX_MESSAGES = 1000  # read in one go

# Linux, <linux/rtnetlink.h>, <linux/sockios.h>, <linux/if.h>; see rtnetlink(7) and netdevice(7)
NETLINK_ROUTE = 0
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
SIOCGIFFLAGS = 0x8913
IFF_UP, IFF_RUNNING = 0x1, 0x40


class Sleeps:
    """Tells from two clocks, of which only one counts the time asleep, how long the machine slept between two looks."""

    def __init__(self, boottime: float, monotonic: float) -> None:
        self._ahead = boottime - monotonic

    def look(self, boottime: float, monotonic: float) -> float:
        """Seconds slept since the last look that found a sleep; 0 up to `SLEPT_SECONDS`, as two clocks are never read at once."""
        slept = boottime - monotonic - self._ahead
        if abs(slept) <= SLEPT_SECONDS:
            return 0.0
        self._ahead += slept
        return max(0.0, slept)


async def watch_network(clock: Clock, changed: Callable[[str], None], *, poll_seconds: float = 2.0) -> None:
    """Call ``changed("addresses")`` when the addresses of this machine change, ``changed("woke")`` when it slept.

    Runs until cancelled. On Linux the kernel wakes us; besides, and elsewhere, we look every ``poll_seconds``. An address counts
    while its interface is connected, so a cable or a Wi-Fi network that comes back with the same address is a change, too.
    """
    sleeps = Sleeps(clock.boottime(), clock.monotonic())
    with _kernel_messages() as kernel:
        before = _look_again(frozenset())  # after the subscription, so that no change falls between
        while True:
            with trio.move_on_after(poll_seconds):
                if kernel is not None:
                    await _message(kernel)
                else:
                    await trio.sleep_forever()
            if sleeps.look(clock.boottime(), clock.monotonic()):
                changed("woke")
            now = _look_again(before)
            if now != before:
                before = now
                changed("addresses")


def reachable_at() -> frozenset[str]:
    """The usable IP addresses of those interfaces that are up and connected."""
    connected = {
        ip.ip if isinstance(ip.ip, str) else ip.ip[0]
        for adapter in ifaddr.get_adapters()
        if _connected(adapter.name)
        for ip in adapter.ips
    }
    return frozenset(interface_addresses()) & connected


def _look_again(before: frozenset[str]) -> frozenset[str]:
    try:
        return reachable_at()
    except OSError:  # the system would not list them at this moment; the next look will tell
        return before


def _connected(interface: str | bytes) -> bool:
    """Whether a network interface is up and has a carrier; True where the system does not say."""
    if sys.platform != "linux":
        return True
    import fcntl

    name = interface if isinstance(interface, bytes) else interface.encode()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16s24x", name[:15]))
    except OSError:
        return False  # it went away in between
    flags = int(struct.unpack_from("H", answer, 16)[0])
    return flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING


@contextlib.contextmanager
def _kernel_messages() -> Iterator[socket.socket | None]:
    """A socket on which the Linux kernel says that a link or an address changed; None where there is none."""
    if sys.platform != "linux":
        yield None
        return
    try:
        kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_ROUTE)
    except OSError:  # a sandbox may forbid it
        yield None
        return
    with kernel:
        try:
            kernel.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        except OSError:
            yield None
        else:
            yield kernel


async def _message(kernel: socket.socket) -> None:
    """Wait until the kernel has said something and is calm again; what it was, `reachable_at` will show."""
    await trio.lowlevel.wait_readable(kernel)
    await trio.sleep(CALM_SECONDS)
    with contextlib.suppress(OSError):  # nothing left; or ENOBUFS: it had more to say than fits
        for _ in range(MAX_MESSAGES):
            kernel.recv(MESSAGE_BYTES)
