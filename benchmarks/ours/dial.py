"""From dialling to the first byte of an answer, with our host and with libp2p's own. Argument: repetitions.

Two processes on loopback: ``serve-ours`` and ``serve-stock`` answer on one protocol and print where they are. Every dial is by a
host with a new identity, over TCP, Noise and yamux, and asks for one byte on a new stream.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_pair
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID
from libp2p.security.noise.transport import Transport as Noise
from multiaddr import Multiaddr

from benchmarks.ours.world import DEADLINE, LOOPBACK, Numbers, child, job
from mycelnode.p2p.host import Admission, HostConfig, Stream, open_host

PROTOCOL = "/mycel/benchmark/1"
SECONDS = 10.0  # for one answer


# --- the answering processes -------------------------------------------------------------------------------------------------


async def serve_ours() -> None:
    """Our host, to which everybody is a member."""

    async def echo(stream: Stream) -> None:
        await stream.send_all(await stream.receive_some(1), deadline=SECONDS)
        await stream.receive_some(1)

    async with open_host(os.urandom(32), HostConfig(listen=LOOPBACK), admit=lambda _: Admission.MEMBER) as host:
        host.set_handler(PROTOCOL, echo)
        print(json.dumps([host.peer_id, host.addrs]), flush=True)
        await trio.sleep_forever()


def _stock() -> Any:
    """libp2p's host as it comes, with the same security and multiplexer."""
    pair = create_new_key_pair()
    noise = Noise(pair, noise_privkey=new_noise_pair().private_key)
    return new_host(key_pair=pair, sec_opt={PROTOCOL_ID: noise}, muxer_preference="YAMUX")


async def serve_stock() -> None:
    """libp2p's host."""
    host = _stock()

    async def echo(stream: Any) -> None:
        await stream.write(await stream.read(1))

    host.set_stream_handler(PROTOCOL, echo)
    async with host.run(listen_addrs=[Multiaddr(LOOPBACK[0])]):
        print(json.dumps([str(host.get_id()), [str(addr) for addr in host.get_addrs()]]), flush=True)
        await trio.sleep_forever()


# --- the dialling process ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _serving(which: str) -> AsyncIterator[tuple[str, list[str]]]:
    async with child("benchmarks.ours.dial", which) as (_, said):
        with trio.fail_after(DEADLINE):
            peer, addrs = await anext(said)
        yield peer, addrs


async def _dial_ours(peer: str, addrs: list[str]) -> float:
    async with open_host(os.urandom(32), HostConfig(listen=()), admit=lambda _: Admission.MEMBER) as host:
        started = perf_counter()
        await host.dial(peer, addrs, deadline=SECONDS)
        stream = await host.open_stream(host.line(peer), PROTOCOL, deadline=SECONDS)
        await stream.send_all(b"?", deadline=SECONDS)
        answer = await stream.receive_some(1)
        taken = perf_counter() - started
        await stream.aclose()
    if answer != b"?":
        raise AssertionError("no answer")
    return taken


async def _dial_stock(_: str, addrs: list[str]) -> float:
    host = _stock()
    async with host.run(listen_addrs=[]):
        info = info_from_p2p_addr(Multiaddr(addrs[0]))
        started = perf_counter()
        await host.connect(info)
        stream = await host.new_stream(info.peer_id, [PROTOCOL])
        await stream.write(b"?")
        answer = await stream.read(1)
        taken = perf_counter() - started
        await stream.close()
    if answer != b"?":
        raise AssertionError("no answer")
    return taken


async def _median(which: str, dial: Callable[[str, list[str]], Awaitable[float]], times: int) -> float:
    async with _serving(which) as (peer, addrs):
        await dial(peer, addrs)  # what is done once in a process is not measured
        return 1000 * statistics.median([await dial(peer, addrs) for _ in range(times)])


async def measure(folder: Path, times: int) -> Numbers:
    """Medians, in ms."""
    return {
        "dial_ms": await _median("serve-ours", _dial_ours, times),
        "stock_ms": await _median("serve-stock", _dial_stock, max(1, times // 4)),
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if sys.argv[1].startswith("serve"):
        trio.run(serve_ours if sys.argv[1] == "serve-ours" else serve_stock)
    else:
        job(measure)
