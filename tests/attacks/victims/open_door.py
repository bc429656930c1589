"""The swarm door, with its limits and services, and a few more services to attack; those whom it knows are members.

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
from mycelnode.p2p.bitswap import open_bitswap
from mycelnode.p2p.dht import open_dht
from mycelnode.p2p.gossip import GossipService, open_gossip
from mycelnode.p2p.host import Admission, Host, HostConfig, Stream, open_host
from mycelnode.p2p.identify import serve_identity
from mycelnode.p2p.swarm import LIMITS
from tests.p2p.blocks import Blocks


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


SERVICES = {
    "/echo/1": echo,
    "/shout/1": shout,
    "/deaf/1": deaf,
    "/pour/1": pour,
    "/tell/1": tell,
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
            open_bitswap(host, Blocks([b"a block", bytes(1 << 20)]), strangers=True),
            trio.open_nursery() as nursery,
            AsyncExitStack() as stack,
        ):
            serve_identity(host)
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
