"""The stock host with py-libp2p's own GossipSub and kad-dht, as its documentation shows them, and a small service.

Prints its address, and runs until it is killed, or until a peer ends it.
"""

from __future__ import annotations

import sys

import trio
from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

TOPIC = "/mycel/patterns/1"


async def echo(stream) -> None:  # type: ignore[no-untyped-def]
    """As in its example `echo`, but for many messages."""
    try:
        while data := await stream.read(1 << 16):
            await stream.write(data)
    except StreamEOF:
        pass
    finally:
        await stream.close()


async def listen(subscription) -> None:  # type: ignore[no-untyped-def]
    while True:
        await subscription.get()


async def main() -> None:
    host = new_host()
    host.set_stream_handler("/echo/1", echo)
    gossip = GossipSub(protocols=[PROTOCOL_ID_V11], degree=6, degree_low=4, degree_high=12, heartbeat_interval=1)
    pubsub = Pubsub(host, gossip)
    dht = KadDHT(host, DHTMode.SERVER)
    async with (
        host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]),
        background_trio_service(pubsub),
        background_trio_service(gossip),
        background_trio_service(dht),
        trio.open_nursery() as nursery,
    ):
        await pubsub.wait_until_ready()
        nursery.start_soon(listen, await pubsub.subscribe(TOPIC))
        print(host.get_addrs()[0], flush=True)


if __name__ == "__main__":
    trio.run(main)
    sys.exit("the host ended by itself")
