"""Our host with an open gate, as a swarm door is built: anybody may come in and use its services; those it knows are members.

Prints its address, and runs until it is killed. Arguments: the keys (hex) that it knows; ``--swarm``: with announcements and
providers.
"""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import AsyncExitStack

import trio

from mycelnode.errors import BrokenError, NetworkError
from mycelnode.identity import verify
from mycelnode.p2p.dht import open_dht
from mycelnode.p2p.gossip import GossipService, open_gossip
from mycelnode.p2p.host import Admission, Host, HostConfig, Limits, Stream, open_host

# Who comes to a swarm stays longer than who comes to pair; the rest is as at the mesh door.
LIMITS = Limits(strangers=64, stranger_seconds=600, stranger_idle_seconds=60)


async def echo(stream: Stream) -> None:
    while data := await stream.receive_some(1 << 16):
        await stream.send_all(data, deadline=10)
    await stream.aclose()


async def shout(stream: Stream) -> None:
    """A handler as one writes it on the first day: it thinks that what comes is text."""
    data = await stream.receive_some(1 << 16)
    await stream.send_all(data.decode().upper().encode(), deadline=10)
    await stream.aclose()


async def deaf(stream: Stream) -> None:
    """A handler that is busy with something else."""
    await trio.sleep_forever()


async def pour(stream: Stream) -> None:
    """A handler that has much to say."""
    while True:
        await stream.send_all(bytes(60_000), deadline=10)


async def tell(stream: Stream) -> None:
    """Prints how a stream ended."""
    got = b""
    try:
        while data := await stream.receive_some(1 << 16):
            got += data
        end = "clean"
    except BrokenError:
        end = "broken"
    print(f"{len(got)} bytes, {end}", flush=True)
    await stream.aclose()


async def ping(stream: Stream) -> None:
    """`/ipfs/ping/1.0.0`, as libp2p has it."""
    while True:
        await stream.send_all(await stream.read_exactly(32), deadline=10)


async def identify(stream: Stream) -> None:
    """`/ipfs/id/1.0.0`: says what every device may know, and nothing of addresses."""
    await stream.send_all(b"\x0a\x2a\x0amycelnode/0", deadline=10)
    await stream.aclose()


SERVICES = {
    "/echo/1": echo,
    "/shout/1": shout,
    "/deaf/1": deaf,
    "/pour/1": pour,
    "/tell/1": tell,
    "/ipfs/ping/1.0.0": ping,
    "/ipfs/id/1.0.0": identify,
}


async def listen(gossip: GossipService) -> None:
    while True:
        await gossip.receive()


async def serve_swarm(host: Host, stack: AsyncExitStack, nursery: trio.Nursery) -> None:
    """Announcements and providers."""
    draw = random.Random(1).random
    gossip = await stack.enter_async_context(
        open_gossip(host, verify=verify, blocked=lambda creator: False, wall=time.time, random=draw)
    )
    nursery.start_soon(listen, gossip)
    await stack.enter_async_context(open_dht(host, random=draw))


async def main(known: set[bytes], swarm: bool) -> None:
    def admit(key: bytes) -> Admission:
        return Admission.MEMBER if key in known else Admission.STRANGER

    config = HostConfig(listen=("/ip4/127.0.0.1/tcp/0",), limits=LIMITS)
    try:
        async with (
            open_host(os.urandom(32), config, admit=admit) as host,
            trio.open_nursery() as nursery,
            AsyncExitStack() as stack,
        ):
            if swarm:
                await serve_swarm(host, stack, nursery)
            for protocol, handler in SERVICES.items():
                host.set_handler(protocol, handler, strangers=True)
            print(host.addrs[0], flush=True)
            await trio.sleep_forever()
    except NetworkError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    arguments = set(sys.argv[1:])
    trio.run(main, {bytes.fromhex(key) for key in arguments - {"--swarm"}}, "--swarm" in arguments)
