"""The swarm door: who it says that it is, who finds whom, and who is spared."""

from __future__ import annotations

import os

import pytest
import trio
from libp2p.identity.identify.pb.identify_pb2 import Identify
from multiaddr import Multiaddr

from mycelnode.encoding import key_of_peer
from mycelnode.errors import BrokenError, NetworkError
from mycelnode.p2p.host import Limits
from mycelnode.p2p.identify import IDENTIFY, PING
from mycelnode.p2p.swarm import LIMITS, bootstrap_peers, open_swarm
from mycelnode.protocols.bitswap_frames import PROTOCOL
from tests.p2p.blocks import Blocks, cid_of
from tests.p2p.hosts import LOOPBACK, PATIENCE, a_host, connect, dial_from, seed, stranger, until


async def test_identify_says_what_others_want_to_know() -> None:
    """Read by libp2p's own schema."""
    async with (
        open_swarm(seed(1), listen=LOOPBACK, bootstrap=(), store=Blocks()) as swarm,
        a_host() as asker,
    ):
        await connect(asker, swarm.host)
        stream = await asker.open_stream(asker.line(swarm.peer_id), IDENTIFY, deadline=PATIENCE)
        (size,) = (await stream.read_exactly(2),)
        length = size[0] & 0x7F | size[1] << 7
        said = Identify()
        said.ParseFromString(await stream.read_exactly(length))
        assert await stream.receive_some(1) == b""
        assert said.public_key == b"\x08\x01\x12\x20" + key_of_peer(swarm.peer_id)
        assert [str(Multiaddr(addr)) for addr in said.listen_addrs] == swarm.host.addrs
        assert set(said.protocols) == {IDENTIFY, PING, PROTOCOL}
        assert str(Multiaddr(said.observed_addr)).startswith("/ip4/127.0.0.1/tcp/")
        assert said.protocol_version == "ipfs/0.1.0"


async def test_ping_comes_back() -> None:
    async with (
        open_swarm(seed(1), listen=LOOPBACK, bootstrap=(), store=Blocks()) as swarm,
        a_host() as asker,
    ):
        await connect(asker, swarm.host)
        stream = await asker.open_stream(asker.line(swarm.peer_id), PING, deadline=PATIENCE)
        for number in range(3):
            await stream.send_all(bytes([number]) * 32, deadline=PATIENCE)
            assert await stream.read_exactly(32) == bytes([number]) * 32
        await stream.send_all(b"half", deadline=PATIENCE)
        await stream.aclose()


async def test_bootstrap_peers_are_dialled_again_when_they_come_back() -> None:
    async with open_swarm(seed(1), listen=LOOPBACK, bootstrap=(), store=Blocks()) as first:
        addrs, port = first.contacts, first.host.port
    theirs = Blocks([b"block"])
    async with open_swarm(seed(2), listen=LOOPBACK, bootstrap=addrs, store=Blocks()) as swarm:
        for _ in range(2):
            async with open_swarm(seed(1), listen=LOOPBACK, bootstrap=(), store=theirs, last_port=port) as back:
                assert back.contacts == addrs
                await until(lambda: swarm.peers == {back.peer_id}, 2 * PATIENCE)
                assert await swarm.bitswap.fetch(cid_of(b"block"), deadline=PATIENCE) == b"block"
            await until(lambda: not swarm.peers)


async def test_the_last_port_is_not_waited_for() -> None:
    async with (
        open_swarm(seed(1), listen=LOOPBACK, bootstrap=(), store=Blocks()) as first,
        open_swarm(seed(2), listen=LOOPBACK, bootstrap=(), store=Blocks(), last_port=first.host.port) as second,
    ):
        assert second.host.port != first.host.port
        taken = first.host.addrs
        with pytest.raises(NetworkError):
            async with open_swarm(seed(3), listen=taken, bootstrap=(), store=Blocks()):
                pass


def test_which_addresses_name_a_peer() -> None:
    good = "12D3KooWCjp79La7ES4pGVfKWkXE7TXYxFDNV9N71xpk4ucDPZNo"
    rsa = "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN"
    peers, unusable = bootstrap_peers(
        [
            f"/ip4/127.0.0.1/tcp/4001/p2p/{good}",
            f"/dns4/example.org/tcp/4001/p2p/{good}",
            f"/ip4/127.0.0.1/udp/4001/quic-v1/p2p/{good}",
            "/ip4/127.0.0.1/tcp/4001",
            rsa,
        ]
    )
    assert peers == {good: ["/ip4/127.0.0.1/tcp/4001", "/dns4/example.org/tcp/4001"]}
    assert len(unusable) == 3


async def test_a_door_does_not_dial_itself() -> None:
    async with open_swarm(seed(1), listen=LOOPBACK, bootstrap=(), store=Blocks()) as first:
        addrs = first.contacts
    async with open_swarm(seed(1), listen=LOOPBACK, bootstrap=addrs, store=Blocks()) as swarm:
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert swarm.peers == set()


# --- who is spared -------------------------------------------------------------------------------------------------------------


async def test_who_is_useful_keeps_its_place() -> None:
    """Two strangers at most; the older would make room for the third, but blocks go to it."""
    limits = {"strangers": 2, "stranger_seconds": 60, "stranger_idle_seconds": 60, "stranger_spared_seconds": 0}
    async with (
        a_host(admit=stranger, **limits) as door,
        a_host() as old,
        a_host() as other,
        a_host() as newcomer,
    ):
        assert await dial_from("127.0.0.1", old, door)
        assert await dial_from("127.0.1.1", other, door)
        await until(lambda: len(door.connected()) == 2)
        door.useful(old.peer_id, 60)
        await trio.sleep(0.3)  # they are idle now
        assert await dial_from("127.0.2.1", newcomer, door)
        await until(lambda: door.connected() == {old.peer_id, newcomer.peer_id})


async def test_who_is_useful_is_not_cut_as_idle(autojump_clock: trio.testing.MockClock) -> None:
    """Not before it has been of no use for a while."""
    from mycelnode.p2p._guard import Connection

    entry = Connection(None, "peer", b"", "127.0.0.1", False, trio.current_time(), 0.0, False)
    entry.useful_until = trio.current_time() + 30
    await trio.sleep(20)
    assert not entry.idle(10)
    await trio.sleep(20)
    assert entry.idle(10)


async def test_nobody_is_a_member_and_all_are_told_of_what_is_served() -> None:
    async with (
        open_swarm(os.urandom(32), listen=LOOPBACK, bootstrap=(), store=Blocks()) as swarm,
        a_host() as other,
    ):
        await connect(other, swarm.host)
        await until(lambda: swarm.peers)
        assert not swarm.host.line(other.peer_id).member
        assert swarm.host.line(other.peer_id).max_streams == LIMITS.streams_per_stranger
        assert other.peer_id in swarm.peers
        with pytest.raises((BrokenError, Exception), match="does not speak"):
            await other.open_stream(other.line(swarm.peer_id), "/mycel/membership/1", deadline=PATIENCE)


def test_a_window_fits_into_what_may_be_unread() -> None:
    assert LIMITS.stranger_buffered_bytes >= 4 * 256 << 10
    assert Limits().stranger_buffered_bytes < LIMITS.stranger_buffered_bytes


async def test_watchers_hear_of_each_peer_once() -> None:
    heard = list[tuple[str, bool]]()
    async with a_host() as one:
        one.watch(lambda peer, here: heard.append((peer, here)))
        async with a_host() as two:
            await connect(two, one)
            await until(lambda: heard)
            assert heard == [(two.peer_id, True)]
        await until(lambda: len(heard) == 2)
        assert heard[1] == (two.peer_id, False)


async def test_a_watcher_that_fails_costs_no_connection() -> None:
    def fails(peer: str, here: bool) -> None:
        raise ValueError("no")

    async with a_host() as one, a_host() as two:
        one.watch(fails)
        await connect(two, one)
        await until(lambda: two.peer_id in one.connected())
