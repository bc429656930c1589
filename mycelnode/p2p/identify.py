"""`/ipfs/id/1.0.0` and `/ipfs/ping/1.0.0`, as every libp2p peer expects them of a door that is open to all.

Kubo and Helia open no stream of Bitswap before a peer has said that it speaks it. We tell, and ask nobody: libp2p 0.8.1 keeps
megabytes of what a peer says of itself, and nothing of that is needed here. https://github.com/libp2p/specs/tree/master/identify
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import trio
from multiaddr import Multiaddr

from mycelnode.errors import BrokenError
from mycelnode.p2p._sockets import ends
from mycelnode.p2p.host import Host, Stream
from mycelnode.protobuf import bytes_field, varint

IDENTIFY = "/ipfs/id/1.0.0"
PING = "/ipfs/ping/1.0.0"
AGENT = "mycelnode"
FAMILY = "ipfs/0.1.0"  # of protocols; others compare it with theirs
PING_BYTES = 32
PING_SECONDS = 60.0  # between pings, before the stream is given up
SEND_SECONDS = 10.0
_ED25519 = b"\x08\x01\x12\x20"  # how the protobuf of a 32-byte Ed25519 key begins


def describe(host: Host, observed: str | None) -> bytes:
    """The message of the protocol, after its length; ``observed``: the multiaddr from which the peer came to us."""
    parts = [bytes_field(1, _ED25519 + host.key)]
    parts += [bytes_field(2, Multiaddr(addr).to_bytes()) for addr in host.addrs]
    parts += [bytes_field(3, protocol.encode()) for protocol in host.protocols]
    if observed is not None:
        parts.append(bytes_field(4, Multiaddr(observed).to_bytes()))
    parts += [bytes_field(5, FAMILY.encode()), bytes_field(6, AGENT.encode())]
    message = b"".join(parts)
    return varint(len(message)) + message


def serve_identity(host: Host) -> None:
    """Answer both protocols, to everybody."""
    host.set_handler(IDENTIFY, partial(_identify, host), strangers=True)
    host.set_handler(PING, _ping, strangers=True)


async def _identify(host: Host, stream: Stream) -> None:
    both = ends(host.line(stream.peer).inner.muxed_conn.secured_conn.mycel_raw)
    await stream.send_all(describe(host, None if both is None else str(both[1])), deadline=SEND_SECONDS)
    await stream.aclose()


async def _ping(stream: Stream) -> None:
    with trio.move_on_after(PING_SECONDS) as patience, suppress(BrokenError):
        while True:
            data = await stream.read_exactly(PING_BYTES)
            await stream.send_all(data, deadline=SEND_SECONDS)
            patience.deadline = trio.current_time() + PING_SECONDS
    await stream.aclose()
