"""Announcements between real hosts on loopback: who hears them, and what becomes of peers that break the rules."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

import pytest
import trio

from mycelnode.errors import Unsupported
from mycelnode.identity import KeyPair, verify
from mycelnode.p2p import gossip
from mycelnode.p2p.gossip import PROTOCOL, TOPIC, GossipService, open_gossip
from mycelnode.p2p.host import Host, Stream
from mycelnode.protobuf import varint
from mycelnode.protocols import gossip_wire, wire_fields
from mycelnode.protocols.announce import MAX_REJECTED, Announcement
from mycelnode.protocols.gossip_wire import MAX_RPC_BYTES, Rpc
from tests.p2p.hosts import PATIENCE, a_host, connect, member, seed, until

CREATOR = KeyPair(bytes(32))
ONE_MORE = KeyPair(bytes([1]) * 32)


def announcement(number: int, creator: KeyPair = CREATOR) -> Announcement:
    cid = b"\x01\x71\x12\x20" + hashlib.sha256(b"%d" % number).digest()
    return Announcement.sign(cid, creator.public, 1000 + number, int(time.time()), creator.sign)


class Node:
    """A host with announcements, and what it has heard."""

    def __init__(self, host: Host, service: GossipService) -> None:
        self.host, self.service = host, service
        self.heard: list[Announcement] = []

    async def listen(self) -> None:
        while True:
            self.heard.append((await self.service.receive()).announcement)


@asynccontextmanager
async def a_node(
    number: int = 0, blocked: Callable[[bytes], bool] = lambda creator: False, listening: bool = True
) -> AsyncIterator[Node]:
    async with (
        a_host(admit=member) as host,
        open_gossip(
            host, verify=verify, blocked=blocked, wall=time.time, random=random.Random(number).random
        ) as service,
        trio.open_nursery() as nursery,
    ):
        node = Node(host, service)
        if listening:
            nursery.start_soon(node.listen)
        yield node
        nursery.cancel_scope.cancel()


async def meet(one: Node, other: Node) -> None:
    """Connected, and each knows that the other listens."""
    await connect(one.host, other.host)
    one.service.greet(other.host.peer_id)
    await until(lambda: other.host.peer_id in one.service.neighbours and one.host.peer_id in other.service.neighbours)


async def test_an_announcement_reaches_everybody_once_over_a_line_of_seven() -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(a_node(number)) for number in range(7)]
        for one, other in pairwise(nodes):
            await meet(one, other)
        await until(lambda: all(node.service.mesh for node in nodes))
        said = [announcement(number) for number in range(3)]
        assert [nodes[0].service.publish(one) for one in said] == [1, 1, 1]
        await until(lambda: all(len(node.heard) == 3 for node in nodes[1:]))
        nodes[6].service.publish(announcement(9))
        await until(lambda: all(announcement(9).cid in [one.cid for one in node.heard] for node in nodes[:6]))
        for node in nodes[1:6]:
            assert sorted(one.cid for one in node.heard) == sorted([*(one.cid for one in said), announcement(9).cid]), (
                "something came twice or never"
            )
        assert nodes[0].heard == [one for one in nodes[0].heard if one.cid == announcement(9).cid], "one hears oneself"


async def test_who_joins_late_is_told_of_what_was_said_just_before() -> None:
    async with a_node(1) as one, a_node(2) as late:
        assert one.service.publish(announcement(1)) == 0
        await meet(late, one)
        await until(lambda: [each.cid for each in late.heard] == [announcement(1).cid])
        one.service.publish(announcement(2))
        await until(lambda: len(late.heard) == 2)


async def test_nodes_that_leave_take_nothing_with_them() -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(a_node(number)) for number in range(4)]
        async with a_node(8) as gone, a_node(9) as gone_too:
            for node in nodes:
                await meet(node, gone)
                await meet(node, gone_too)
            nodes[0].service.publish(announcement(1))
            await until(lambda: all(node.heard for node in nodes[1:]))
        for node in nodes[1:]:
            await meet(nodes[0], node)
        await until(lambda: nodes[0].service.neighbours == {node.host.peer_id for node in nodes[1:]})
        nodes[0].service.publish(announcement(2))
        await until(lambda: all(len(node.heard) == 2 for node in nodes[1:]))
        assert all(len(node.service._links) <= 3 for node in nodes), "who is gone is remembered"


async def test_a_new_connection_with_a_peer_is_spoken_on_too() -> None:
    async with a_node(1) as one, a_node(2) as other:
        await meet(one, other)
        one.host.disconnect(other.host.peer_id)
        await until(lambda: not one.service.neighbours and not other.service.neighbours)
        await meet(one, other)
        one.service.publish(announcement(1))
        await until(lambda: len(other.heard) == 1)


async def test_a_peer_that_comes_back_over_another_line_is_spoken_with_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its old process is frozen, say: the guard takes the newer connection, and the old one is not over yet."""
    own = seed(5)
    async with a_node(1) as one, a_host(own) as old:
        await connect(old, one.host)
        await until(lambda: one.service._links)
        (link,) = one.service._links.values()
        monkeypatch.setattr(one.service, "greet_all", lambda: None)  # the heartbeat would mend it, a second later
        await trio.sleep(2.1)  # then a second connection is no simultaneous dial, but a newer one
        async with a_host(own) as new:
            heard = trio.Event()

            async def listen(stream: Stream) -> None:
                await stream.read_exactly(1)
                heard.set()

            new.set_handler(PROTOCOL, listen, strangers=True)
            await connect(new, one.host)
            with trio.fail_after(PATIENCE):
                await heard.wait()
            assert one.service._links[new.peer_id] is not link


async def test_of_a_blocked_creator_nothing_is_delivered_or_passed_on() -> None:
    async with (
        a_node(1) as one,
        a_node(2, blocked=lambda creator: creator == CREATOR.public) as middle,
        a_node(3) as last,
    ):
        await meet(one, middle)
        await meet(middle, last)
        await until(lambda: one.service.mesh and middle.service.mesh)
        one.service.publish(announcement(1))
        one.service.publish(announcement(2, ONE_MORE))
        await until(lambda: last.heard and middle.heard)
        assert [said.creator for said in (*middle.heard, *last.heard)] == [ONE_MORE.public] * 2


async def test_a_block_list_that_cannot_be_read_ends_nothing() -> None:
    def broken(creator: bytes) -> bool:
        if creator == CREATOR.public:
            raise OSError("the disk is gone")
        return False

    async with a_node(1) as one, a_node(2, blocked=broken) as other:
        await meet(one, other)
        one.service.publish(announcement(1))
        one.service.publish(announcement(2, ONE_MORE))
        await until(lambda: other.heard)
        assert [said.creator for said in other.heard] == [ONE_MORE.public]


async def test_what_nobody_takes_is_lost_and_counted() -> None:
    async with a_node(1) as one, a_node(2, listening=False) as deaf:
        await meet(one, deaf)
        for number in range(gossip.MAX_HEARD + 5):
            deaf.service._act([gossip.Deliver(one.host.peer_id, announcement(number))])
        assert deaf.service.lost == 5
        assert (await deaf.service.receive()).announcement.cid == announcement(0).cid


# --- peers that break the rules -------------------------------------------------------------------------------------------


async def raw(host: Host, victim: Host) -> Stream:
    """A stream to the victim's gossip, on which one says what one likes."""
    await connect(host, victim)
    return await host.open_stream(host.line(victim.peer_id), PROTOCOL, deadline=PATIENCE)


async def say(stream: Stream, data: bytes) -> None:
    await stream.send_all(varint(len(data)) + data, deadline=PATIENCE)


SIGNED = wire_fields.write(
    [
        (
            2,
            wire_fields.write(
                [(1, b"x"), (2, b"y"), (3, bytes(8)), (4, TOPIC.encode()), (5, bytes(64)), (6, b"\xff" * 40)]
            ),
        )
    ]
)
BAD = {
    "undecodable": b"\xff" * 100,
    "signed-with-a-bad-key": SIGNED,
    "many-control-entries": wire_fields.write(
        [(3, wire_fields.write([(4, wire_fields.write([(1, b"t%d" % n)])) for n in range(2000)]))]
    ),
    "a-number-for-bytes": wire_fields.write([(2, 7)]),
}


def bad(kind: str, number: int) -> bytes:
    """What comes twice is looked at once, so each of these is another one."""
    if kind == "malformed":
        return Rpc(publish=(b"no %d" % number,)).write(TOPIC)
    if kind == "not-signed":
        return Rpc(publish=(announcement(number).write()[:-64] + bytes(64),)).write(TOPIC)
    return BAD[kind]


@pytest.mark.parametrize("kind", [*BAD, "malformed", "not-signed"])
async def test_who_says_what_no_peer_says_is_cut_at_the_third_time(kind: str) -> None:
    async with a_node(1) as one, a_node(2) as other, a_host() as attacker:
        await meet(one, other)
        for number in range(MAX_REJECTED):
            stream = await raw(attacker, one.host)
            await say(stream, bad(kind, number))
            await until(lambda number=number: one.service._judge._rejected.get(attacker.peer_id, 0) > number)  # type: ignore[misc]
        await until(lambda: attacker.peer_id not in one.host.connected())
        other.service.publish(announcement(5))
        await until(lambda: len(one.heard) == 1)


async def test_an_rpc_that_is_too_long_is_refused_before_it_comes() -> None:
    async with a_node(1) as one, a_host() as attacker:
        stream = await raw(attacker, one.host)
        await stream.send_all(varint(MAX_RPC_BYTES + 1), deadline=PATIENCE)
        await until(lambda: one.service._judge._rejected.get(attacker.peer_id, 0) == 1)


async def test_a_peer_that_does_not_speak_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async with a_node(1) as one, a_host() as other:
        open_stream = one.host.open_stream

        async def counted(*args: object, **named: object) -> Stream:
            asked.append(args)
            return await open_stream(*args, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(one.host, "open_stream", counted)
        await connect(one.host, other)
        await until(lambda: asked)
        with pytest.raises(Unsupported):
            await open_stream(one.host.line(other.peer_id), PROTOCOL, deadline=PATIENCE)
        await trio.sleep(2 * gossip.HEARTBEAT_SECONDS)
        assert len(asked) == 1


async def test_a_peer_that_speaks_it_later_is_spoken_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dials a node just as it opens meets it before it serves this."""
    async with a_node(1) as one, a_host() as other:
        refused = trio.Event()
        open_stream = one.host.open_stream

        async def noted(*args: object, **named: object) -> Stream:
            try:
                return await open_stream(*args, **named)  # type: ignore[arg-type]
            except Unsupported:
                refused.set()
                raise

        monkeypatch.setattr(one.host, "open_stream", noted)
        await connect(other, one.host)
        with trio.fail_after(PATIENCE):
            await refused.wait()
        async with open_gossip(
            other, verify=verify, blocked=lambda creator: False, wall=time.time, random=random.Random(2).random
        ) as late:
            await until(lambda: one.host.peer_id in late.neighbours and other.peer_id in one.service.neighbours)
            one.service.publish(announcement(1))
            with trio.fail_after(PATIENCE):
                assert (await late.receive()).announcement.cid == announcement(1).cid


async def test_a_peer_that_only_speaks_and_does_not_listen_is_asked_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many streams it opens: each costs us no more than it costs it."""
    monkeypatch.setattr(gossip, "HEARTBEAT_SECONDS", 0.01)
    asked = 0
    async with a_node(1) as one, a_host() as other:
        open_stream = one.host.open_stream

        async def counted(*args: object, **named: object) -> Stream:
            nonlocal asked
            asked += 1
            return await open_stream(*args, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(one.host, "open_stream", counted)
        for number in range(3 * gossip.MAX_OPENED):
            stream = await raw(other, one.host)
            await say(stream, Rpc(subscribe=True).write(TOPIC))
            await until(lambda number=number: asked >= min(number + 1, gossip.MAX_OPENED))  # type: ignore[misc]
            stream.reset()
        await trio.sleep(0.5)
        assert asked == gossip.MAX_OPENED


async def test_who_sends_without_end_is_read_no_faster_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    read, taken = gossip_wire.read, 0

    def counted(data: bytes, topic: str) -> Rpc:
        nonlocal taken
        taken += len(data)
        return read(data, topic)

    monkeypatch.setattr(gossip_wire, "read", counted)
    async with a_node(1) as one, a_host() as attacker:
        stream = await raw(attacker, one.host)
        names = tuple(hashlib.sha256(b"%d" % number).digest() for number in range(500))
        rpc = Rpc(ihave=names).write(TOPIC)
        with trio.move_on_after(1.5):
            while True:
                await say(stream, rpc)
        assert gossip.RPC_RATE.burst < taken + 100 * len(rpc), "it was not read at all"
        assert taken < gossip.RPC_RATE.burst + 4 * gossip.RPC_RATE.per_second
