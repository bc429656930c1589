"""Hosts on loopback, attackers, and waiting, for the tests of the host."""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import psutil
import trio
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.identity_utils import create_identity_from_seed
from libp2p.io.trio import TrioTCPStream
from libp2p.io.utils import read_exactly
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.peer.id import ID
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.secure_session import SecureSession
from multiaddr import Multiaddr

from mycelnode.p2p._gate import id_of
from mycelnode.p2p.host import Admission, Host, HostConfig, Limits, Stream, open_host

VERSION = b"\x13/multistream/1.0.0\n"
LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
ECHO = "/test/echo/1"
PATIENCE = 10.0  # seconds that anything may take on a loaded machine

Admit = Callable[[bytes], Admission]


def member(key: bytes) -> Admission:
    return Admission.MEMBER


def stranger(key: bytes) -> Admission:
    return Admission.STRANGER


def seed(number: int) -> bytes:
    """The same device for the same number."""
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


@asynccontextmanager
async def a_host(
    own_seed: bytes | None = None, admit: Admit = member, listen: tuple[str, ...] = LOOPBACK, **limits: float
) -> AsyncIterator[Host]:
    """A host on loopback that echoes, to strangers also."""
    config = HostConfig(listen=listen, limits=Limits(**limits))  # type: ignore[arg-type]
    async with open_host(own_seed or os.urandom(32), config, admit=admit) as host:
        host.set_handler(ECHO, echo, strangers=True)
        yield host


async def echo(stream: Stream) -> None:
    while data := await stream.receive_some(1 << 16):
        await stream.send_all(data, deadline=PATIENCE)
    await stream.aclose()


async def connect(host: Host, other: Host) -> str:
    return await host.dial(other.peer_id, other.addrs, deadline=PATIENCE)


async def answers(host: Host, other: Host) -> bool:
    """Does ``other`` echo what ``host`` sends on a new stream?"""
    stream = await host.open_stream(host.line(other.peer_id), ECHO, deadline=PATIENCE)
    await stream.send_all(b"hello", deadline=PATIENCE)
    data = await stream.read_exactly(5)
    await stream.aclose()
    return data == b"hello"


async def until(true: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until ``true()``; fails after ``within`` seconds."""
    with trio.fail_after(within):
        while not true():
            await trio.sleep(0.005)


def line(host: Host, other: Host) -> Any:
    """libp2p's connection that ``host`` uses with ``other``: for an attacker, who does not keep to `Host`'s rules."""
    entry = host._guard.find(other.peer_id)
    assert entry is not None
    return entry.inner


async def never_read(stream: Stream) -> None:
    await trio.sleep_forever()


async def end_of(inner: Any) -> None:
    """Wait until the other end has ended a stream."""
    with trio.fail_after(PATIENCE), suppress(StreamEOF, StreamReset):
        while await inner.read(100):
            pass


async def dial_from(source: str, who: Host, victim: Host) -> bool:
    """Connect from a loopback address of one's choice; did it last?"""
    try:
        connection = await who._swarm.dial_addr(Multiaddr(victim.addrs[0]), id_of(victim.peer_id), source=(source, 0))
        who._guard.enter(connection)
    except Exception:
        return False
    return victim.peer_id in who.connected()


async def read_to_the_end(raw: trio.SocketStream) -> bytes:
    data = b""
    try:
        while more := await raw.receive_some():
            data += more
    except trio.BrokenResourceError:
        pass
    return data


def books(which: Host) -> dict[str, int]:
    """How much a host and libp2p under it remember of peers."""
    swarm, guard = which._swarm, which._guard
    return {
        "guard": len(guard._connections) + len(guard._by_peer),
        "connections": len(swarm.connections),
        "peerstore": len(swarm.peerstore.peer_data_map) - 1,  # itself
        "tags": len(swarm.tag_store._tags),
        "disconnects": len(swarm.auto_connector._recent_disconnects),
        "attempts": len(swarm.auto_connector._last_connect_attempt),
        "inbound": swarm._inbound_limiter.borrowed_tokens,
    }


async def jam(muxed: Any, stream_id: int = 1) -> None:
    """Send yamux data for ever, whatever the window of the stream says."""
    frame = struct.pack(">BBHII", 0, 0, 0, stream_id, 60_000) + bytes(60_000)
    while not muxed.is_closed:
        await muxed._write_frame(frame)


async def ignoring_errors(run: Callable[[], Awaitable[object]]) -> None:
    try:
        await run()
    except Exception as error:
        logging.getLogger(__name__).debug("%s", error)


def ends_of(host: Host, other: Host) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """(our socket name, theirs) of each live connection of ``host`` with ``other``."""
    sockets = [
        entry.inner.muxed_conn.secured_conn.mycel_raw.stream.stream.socket
        for entry in host._guard._by_peer.get(other.peer_id, ())
        if entry.live
    ]
    return [(each.getsockname()[:2], each.getpeername()[:2]) for each in sockets]


def open_sockets() -> set[Any]:
    """What this process has open on the network."""
    return {(c.fd, c.laddr, c.raddr) for c in psutil.Process().net_connections("tcp")}


CHILD = """
import sys, trio
from mycelnode.p2p.host import Admission, HostConfig, open_host

async def main(seed, peer, addr):
    async with open_host(bytes.fromhex(seed), HostConfig(listen=()), admit=lambda key: Admission.MEMBER) as host:
        host.set_handler("/deaf/1", lambda stream: trio.sleep_forever())
        await host.dial(peer, [addr], deadline=20)
        print("connected", flush=True)
        await trio.sleep_forever()

trio.run(main, *sys.argv[1:])
"""


@asynccontextmanager
async def a_child(own_seed: bytes, dials: Host) -> AsyncIterator[trio.Process]:
    """Another process, whose host is connected with ``dials``; killed on leaving."""
    arguments = [sys.executable, "-W", "error", "-c", CHILD, own_seed.hex(), dials.peer_id, dials.addrs[0]]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, arguments, check=False, stdout=subprocess.PIPE)
        process: trio.Process = await nursery.start(run)
        try:
            assert process.stdout is not None
            with trio.fail_after(4 * PATIENCE):
                assert b"connected" in await process.stdout.receive_some(100)
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def a_raw_connection(port: int | None, source: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """To whoever listens there, on which libp2p says only what an attacker makes it say."""
    sock = trio.socket.socket()
    with sock:
        await sock.bind((source, 0))
        await sock.connect(("127.0.0.1", port))
        yield RawConnection(TrioTCPStream(trio.SocketStream(sock)), True)


async def noise(raw: RawConnection, *, payload: bytes | None = None, own_seed: bytes | None = None) -> SecureSession:
    """A Noise handshake with a key of its own, or that of ``own_seed``; ``payload``: instead of the proof of a key."""
    await raw.write(token("/multistream/1.0.0") + token("/noise"))
    await read_exactly(raw, len(token("/multistream/1.0.0") + token("/noise")))
    key = create_identity_from_seed(own_seed or os.urandom(32))
    pattern = PatternXX(ID.from_pubkey(key.public_key), key.private_key, create_new_key_pair().private_key)
    if payload is not None:
        pattern.make_handshake_payload = lambda: SimpleNamespace(serialize=lambda: payload)
    return await pattern.handshake_outbound(raw, None)


MUXER = "/yamux/1.0.0"


async def yamux(raw: RawConnection, *, with_it: bytes = b"", own_seed: bytes | None = None) -> SecureSession:
    """A connection as `noise` makes it, with yamux agreed upon and no more; ``with_it``: sent in the same breath."""
    secured = await noise(raw, own_seed=own_seed)
    proposal = token("/multistream/1.0.0") + token(MUXER)
    await secured.write(proposal + with_it)
    await read_exactly(secured, len(proposal))
    return secured


PING = struct.pack(">BBHII", 0, 2, 1, 0, 7)


def frame(stream_id: int, data: bytes = b"", *, flags: int = 0) -> bytes:
    """A yamux DATA frame; ``flags``: 1 SYN, 4 FIN, 8 RST."""
    return struct.pack(">BBHII", 0, 0, flags, stream_id, len(data)) + data


def reset_line(raw: RawConnection) -> None:
    """End a connection with a TCP reset."""
    sock = raw.stream.stream.socket
    sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def token(text: str) -> bytes:
    """As multistream-select writes it."""
    data = text.encode() + b"\n"
    return bytes([len(data)]) + data
