"""With py-libp2p's own GossipSub and kad-dht at the other end: what goes over the line is what others speak."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import trio
from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from mycelnode.identity import verify
from mycelnode.p2p.dht import IPFS_KAD, key_of, open_dht
from mycelnode.p2p.gossip import TOPIC, GossipService, Heard, open_gossip
from mycelnode.p2p.host import Host
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.protocols.kad_wire import PeerAddrs
from tests.p2p.hosts import PATIENCE, a_host, until
from tests.p2p.test_gossip import announcement

BLOCK = Cid.of(RAW, b"a block")


@asynccontextmanager
async def a_stock_host() -> AsyncIterator[Any]:
    host = new_host()
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        try:
            yield host
        finally:
            for connections in list(host.get_network().connections.values()):
                for each in list(connections):
                    await each.muxed_conn.secured_conn.close()


def addr_of(host: Any) -> str:
    return str(host.get_addrs()[0]).partition("/p2p/")[0]


async def dial(ours: Host, stock: Any) -> str:
    peer = str(stock.get_id())
    await ours.dial(peer, [addr_of(stock)], deadline=PATIENCE)
    return peer


async def test_announcements_go_through_another_gossipsub() -> None:
    async with a_stock_host() as stock, a_host() as ours, a_host() as others:
        router = GossipSub(protocols=[PROTOCOL_ID_V11], degree=6, degree_low=4, degree_high=12, heartbeat_interval=1)
        # Messages have no author here, so their names are made of what is in them.
        pubsub = Pubsub(
            stock,
            router,
            strict_signing=False,
            msg_id_constructor=lambda message: hashlib.sha256(message.data).digest(),
        )
        async with (
            background_trio_service(pubsub),
            background_trio_service(router),
            gossip_on(ours, 1) as here,
            gossip_on(others, 2) as there,
        ):
            await pubsub.wait_until_ready()
            subscription = await pubsub.subscribe(TOPIC)
            peer = await dial(ours, stock)
            await dial(others, stock)
            await until(lambda: peer in here.neighbours and peer in there.neighbours)
            await until(lambda: len(router.mesh.get(TOPIC, ())) == 2)  # it passes on to these only
            said = announcement(1)
            assert here.publish(said) == 1
            with trio.fail_after(PATIENCE):
                assert (await subscription.get()).data == said.write()
                assert await there.receive() == Heard(peer, said)


def gossip_on(host: Host, number: int) -> AbstractAsyncContextManager[GossipService]:
    draw = random.Random(number).random
    return open_gossip(host, verify=verify, blocked=lambda creator: False, wall=time.time, random=draw)


async def test_providers_are_told_to_and_found_at_another_kad_dht() -> None:
    async with a_stock_host() as stock, a_host() as ours:
        server = KadDHT(stock, DHTMode.SERVER)
        async with background_trio_service(server):
            peer = str(stock.get_id())
            async with open_dht(
                ours,
                bootstrap=[f"{addr_of(stock)}/p2p/{peer}"],
                random=random.Random(1).random,
                protocol=IPFS_KAD,
                serve=False,
            ) as dht:
                await until(lambda: peer in dht.table)
                assert await dht.provide(BLOCK, deadline=PATIENCE) == 1
                await until(lambda: server.provider_store.get_providers(key_of(BLOCK)))
                (found,) = server.provider_store.get_providers(key_of(BLOCK))
                assert (str(found.peer_id), list(map(str, found.addrs))) == (ours.peer_id, ours.addrs)
                other = ID.from_string("12D3KooWSahP5pFRCEfaziPEba7urXGeif6T1y8jmodzdFUvzBHj")
                server.provider_store.add_provider(key_of(BLOCK), PeerInfo(other, [Multiaddr("/ip4/127.0.0.1/tcp/9")]))
                assert await dht.find_providers(BLOCK, deadline=PATIENCE) == [
                    PeerAddrs(str(other), ("/ip4/127.0.0.1/tcp/9",))
                ]
