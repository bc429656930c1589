"""Providers between real hosts on loopback: found through one peer, in spite of dead ones, and within bounds."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from mycelnode.errors import BrokenError, EncodingError, NetworkError
from mycelnode.p2p import dht_asking, dht_serving
from mycelnode.p2p.delimited import Reader
from mycelnode.p2p.dht import IPFS_KAD, MYCEL_KAD, Dht, bootstrap_peer, key_of, open_dht
from mycelnode.p2p.dht_serving import STREAMS_OF_PEER
from mycelnode.p2p.host import Host, Stream
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.protobuf import varint
from mycelnode.protocols import wire_fields
from mycelnode.protocols.kad_wire import MAX_MESSAGE_BYTES, Kind, Message, PeerAddrs, addr_bytes, peer_bytes
from mycelnode.protocols.providers import REPUBLISH_SECONDS, RETRY_SECONDS
from tests.p2p.hosts import PATIENCE, a_host, connect, stranger, until

BLOCK = Cid.of(RAW, b"a block")


def at(host: Host) -> str:
    return f"{host.addrs[0]}/p2p/{host.peer_id}"


class Node:
    def __init__(self, host: Host, service: Dht) -> None:
        self.host, self.dht = host, service


def reachable(node: Node) -> int:
    """How many it can tell others of."""
    return sum(bool(each.addrs) for each in node.dht.table.closest(0))


@asynccontextmanager
async def a_node(*bootstrap: Node, number: int = 0, **options: object) -> AsyncIterator[Node]:
    async with (
        a_host() as host,
        open_dht(
            host,
            bootstrap=[at(each.host) for each in bootstrap],
            random=random.Random(number).random,
            **options,  # type: ignore[arg-type]
        ) as service,
    ):
        yield Node(host, service)


async def test_a_provider_is_found_by_who_knows_one_peer_only() -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(a_node())
        nodes = [first, *[await stack.enter_async_context(a_node(first, number=n)) for n in range(1, 7)]]
        for node in nodes[1:]:
            await until(lambda node=node: len(node.dht.table) >= 1)  # type: ignore[misc]
        await until(lambda: reachable(first) == 6)
        told = await nodes[1].dht.provide(BLOCK, deadline=PATIENCE)
        assert told >= 5
        await until(lambda: sum(len(node.dht.store) for node in nodes) == told)  # it is not acknowledged
        for node in (first, *nodes[2:]):
            found = await node.dht.find_providers(BLOCK, deadline=PATIENCE)
            assert found == [PeerAddrs(nodes[1].host.peer_id, tuple(nodes[1].host.addrs))]
        late = await stack.enter_async_context(a_node(first, number=9))
        await until(lambda: len(late.dht.table) >= 2)
        (found_late,) = await late.dht.find_providers(BLOCK, deadline=PATIENCE)
        assert found_late.peer == nodes[1].host.peer_id
        assert await late.dht.find_providers(Cid.of(RAW, b"nobody has it"), deadline=PATIENCE) == []
        assert await late.dht.find_peer(nodes[3].host.peer_id, deadline=PATIENCE) == tuple(nodes[3].host.addrs)


async def test_providers_are_found_when_most_of_those_who_knew_are_gone() -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(a_node())
        provider = await stack.enter_async_context(a_node(first, number=1))
        async with AsyncExitStack() as leaving:
            for number in range(2, 6):
                await leaving.enter_async_context(a_node(first, number=number))
            await until(lambda: reachable(first) == 5)
            assert await provider.dht.provide(BLOCK, deadline=PATIENCE) == 5
            await until(lambda: len(first.dht.store) == 1)
        seeker = await stack.enter_async_context(a_node(first, number=7))
        await until(lambda: len(seeker.dht.table) >= 1)
        (found,) = await seeker.dht.find_providers(BLOCK, deadline=PATIENCE)
        assert found == PeerAddrs(provider.host.peer_id, tuple(provider.host.addrs))
        await seeker.dht.find_providers(Cid.of(RAW, b"x"), deadline=PATIENCE)
        assert len(seeker.dht.table) <= 3, "the dead are in the table"


async def test_what_is_provided_before_anybody_is_known_is_told_later() -> None:
    now = [0.0]
    async with a_node() as first, a_node(clock=lambda: now[0]) as alone:
        assert await alone.dht.provide(BLOCK, deadline=PATIENCE) == 0
        await connect(alone.host, first.host)
        await until(lambda: len(alone.dht.table) == 1, 3 * PATIENCE)
        assert alone.dht.own.due(RETRY_SECONDS - 1, 9) == []
        now[0] = RETRY_SECONDS
        await until(lambda: first.dht.store.of(key_of(BLOCK), 0.0), 3 * PATIENCE)


async def test_records_are_told_again_in_time() -> None:
    now = [0.0]
    async with a_node() as first, a_node(first, clock=lambda: now[0]) as provider:
        await until(lambda: len(provider.dht.table) == 1)
        assert await provider.dht.provide(BLOCK, deadline=PATIENCE) == 1
        await until(lambda: len(first.dht.store) == 1)
        first.dht.store._drop(key_of(BLOCK), provider.host.peer_id)
        now[0] = REPUBLISH_SECONDS - 1
        assert provider.dht.own.due(now[0], 9) == []
        now[0] = REPUBLISH_SECONDS
        await until(lambda: len(first.dht.store) == 1, 3 * PATIENCE)
        provider.dht.withdraw(BLOCK)
        assert provider.dht.own.due(1e9, 9) == []


async def test_who_serves_nobody_finds_and_tells_and_is_in_no_table() -> None:
    async with a_node() as first, a_node(first, serve=False) as client:
        await until(lambda: len(client.dht.table) == 1)
        assert await client.dht.provide(BLOCK, deadline=PATIENCE) == 1
        await until(lambda: len(first.dht.store) == 1)
        assert [each.peer for each in await first.dht.find_providers(BLOCK, deadline=PATIENCE)] == [client.host.peer_id]
        assert len(first.dht.table) == 0


async def test_many_questions_at_once_do_not_take_more_streams_than_a_stranger_has() -> None:
    async with (
        a_host(admit=stranger, stranger_seconds=60.0) as host,
        open_dht(host, random=random.Random(1).random) as server,
        a_node(Node(host, server)) as one,
    ):
        await until(lambda: len(one.dht.table) == 1)
        provided = Cid.of(RAW, b"another")
        server.own.add(key_of(provided), 1e9)
        found: list[list[PeerAddrs]] = []

        async def find() -> None:
            found.append(await one.dht.find_providers(provided, deadline=PATIENCE))

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(find)
        assert [[each.peer for each in providers] for providers in found] == [[host.peer_id]] * 30
        assert host.peer_id in one.dht.table
        await until(lambda: not one.dht.asker._turns)


async def test_connections_for_questions_end_when_nobody_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_asking, "IDLE_SECONDS", -1.0)
    kept: set[str] = set()
    async with a_node() as first, a_node(first, keep=kept.__contains__) as other:
        await until(lambda: len(other.dht.table) == 1)
        kept.add(first.host.peer_id)
        await connect(other.host, first.host)
        other.dht.asker._dialled[first.host.peer_id] = 0.0
        other.dht.asker.sweep(kept.__contains__)
        assert first.host.peer_id in other.host.connected()
        kept.clear()
        await until(
            lambda: (other.dht.asker.sweep(kept.__contains__), first.host.peer_id not in other.host.connected())[1]
        )


# --- addresses ---------------------------------------------------------------------------------------------------------------


async def test_addresses_of_strangers_are_tried_only_if_they_can_be_theirs() -> None:
    addrs = [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/192.168.0.9/tcp/5",
        "/ip4/8.8.8.8/tcp/53",
        "/dns4/localhost/tcp/5",
        "nonsense",
    ]
    async with a_node() as one, a_node(one) as other, a_node(private=False) as public:
        await until(lambda: len(other.dht.table) == 1)
        assert one.dht.asker.dialable(addrs) == addrs[:3]
        assert public.dht.asker.dialable(addrs) == ["/ip4/8.8.8.8/tcp/53"]
        assert one.dht.asker.at_its_address(addrs, other.host.peer_id) == ("/ip4/127.0.0.1/tcp/1",)


@pytest.mark.parametrize("bad", ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/p2p/x", "x/p2p/y", ""])
def test_a_bootstrap_peer_is_an_address_and_an_id(bad: str) -> None:
    with pytest.raises((NetworkError, EncodingError)):
        bootstrap_peer(bad)


# --- peers that break the rules ----------------------------------------------------------------------------------------------


async def raw(host: Host, victim: Host) -> Stream:
    await connect(host, victim)
    return await host.open_stream(host.line(victim.peer_id), MYCEL_KAD, deadline=PATIENCE)


async def say(stream: Stream, message: Message | bytes) -> None:
    data = message if isinstance(message, bytes) else message.write()
    await stream.send_all(varint(len(data)) + data, deadline=PATIENCE)


async def ended(stream: Stream) -> None:
    with trio.fail_after(2 * PATIENCE), pytest.raises(BrokenError):
        while await stream.receive_some(1 << 16):
            pass
        raise BrokenError


async def test_silent_streams_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_serving, "READ_SECONDS", 2.0)
    async with a_node() as one, a_node(one) as other, a_host() as attacker:
        streams = [await raw(attacker, one.host) for _ in range(3 * STREAMS_OF_PEER)]
        await until(lambda: one.dht.server._served[attacker.peer_id] == STREAMS_OF_PEER)
        await until(lambda: len(other.dht.table) == 1)
        assert await other.dht.provide(BLOCK, deadline=PATIENCE) == 1
        assert one.dht.server._served[attacker.peer_id] <= STREAMS_OF_PEER
        for stream in streams:
            await ended(stream)
        assert not one.dht.server._served
        assert not one.dht.server._waiting


async def test_many_silent_peers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_serving, "STREAMS", 3)
    async with a_node() as one, a_host() as attacker:
        for _ in range(3):
            await raw(attacker, one.host)
        await until(lambda: one.dht.server._served[attacker.peer_id] == 3)
        async with a_node(one) as other:
            await until(lambda: len(other.dht.table) == 1)
            assert await other.dht.find_providers(BLOCK, deadline=PATIENCE) == []
            assert len(other.dht.table) == 1


SPEAKS_OF_A_VALUE = wire_fields.write(
    [(1, 0), (2, b"any key"), (3, wire_fields.write([(1, b"any key"), (2, bytes(50_000))]))]
)
BAD: dict[str, bytes] = {
    "undecodable": b"\xff" * 100,
    "a-value": SPEAKS_OF_A_VALUE,
    "asks-for-a-value": wire_fields.write([(1, 1), (2, b"any key")]),
    "long-key": wire_fields.write([(1, 4), (2, bytes(100))]),
    "many-fields": wire_fields.write([(1, 4)] * 5000),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_what_cannot_be_understood_ends_its_stream_and_leaves_nothing(bad: bytes) -> None:
    async with a_node() as one, a_host() as attacker:
        stream = await raw(attacker, one.host)
        await say(stream, bad)
        await ended(stream)
        assert len(one.dht.store) == len(one.dht.table) == 0


async def test_a_message_that_is_too_long_is_refused_before_it_comes() -> None:
    async with a_node() as one, a_host() as attacker:
        stream = await raw(attacker, one.host)
        await stream.send_all(varint(MAX_MESSAGE_BYTES + 1), deadline=PATIENCE)
        await ended(stream)


async def test_nobody_provides_for_another_or_under_any_key_or_elsewhere() -> None:
    async with a_node() as one, a_host() as attacker, a_host() as other:
        stream = await raw(attacker, one.host)
        key = key_of(BLOCK)
        mine = PeerAddrs(attacker.peer_id, ("/ip4/10.1.2.3/tcp/80", *attacker.addrs))
        await say(stream, Message(Kind.ADD_PROVIDER, key, providers=(PeerAddrs(other.peer_id, tuple(other.addrs)),)))
        await say(stream, Message(Kind.ADD_PROVIDER, b"any key", providers=(mine,)))
        await say(stream, Message(Kind.ADD_PROVIDER, key, closer=(mine,)))
        await say(stream, Message(Kind.PING))
        await stream.receive_some(100)
        assert len(one.dht.store) == 0
        await say(stream, Message(Kind.ADD_PROVIDER, key, providers=(mine,)))
        await until(lambda: len(one.dht.store) == 1)
        assert one.dht.store.of(key, 0.0) == [PeerAddrs(attacker.peer_id, tuple(attacker.addrs))]


async def answering(answer: Callable[[Message], bytes]) -> Callable[[Stream], object]:
    async def handler(stream: Stream) -> None:
        reader = Reader(stream, 1 << 16)
        while (question := await reader.next(PATIENCE)) is not None:
            data = answer(Message.read(question))
            await stream.send_all(varint(len(data)) + data, deadline=PATIENCE)

    return handler


async def test_answers_of_a_liar_do_no_harm() -> None:
    """It names the dead, itself, us, whoever is no peer, and far too many."""
    ghost = "12D3KooWSahP5pFRCEfaziPEba7urXGeif6T1y8jmodzdFUvzBHj"

    def answer(question: Message) -> bytes:
        entry = wire_fields.write([(1, peer_bytes(ghost)), (2, addr_bytes("/ip4/127.0.0.1/tcp/1")), (2, b"\xff\xff")])
        many = [(8, wire_fields.write([(1, b"\x12\x20" + bytes([n]) * 32)])) for n in range(100)]
        return wire_fields.write([(1, int(question.kind)), (8, entry), *many, (9, entry), (9, entry)])

    async with a_host() as liar, a_node() as first:
        liar.set_handler(MYCEL_KAD, await answering(answer), strangers=True)  # type: ignore[arg-type]
        async with (
            a_host() as host,
            open_dht(host, bootstrap=[at(liar), at(first.host)], random=lambda: 0.5) as service,
        ):
            await until(lambda: len(service.table) == 2)
            found = await service.find_providers(BLOCK, deadline=PATIENCE)
            assert [each.peer for each in found] == [ghost], "what it says of providers is all that can be known"
            assert len(service.table) == 2


async def test_a_peer_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_asking, "ASK_SECONDS", 0.5)

    async def deaf(stream: Stream) -> None:
        await trio.sleep_forever()

    async with a_host() as silent, a_node() as first:
        silent.set_handler(MYCEL_KAD, deaf, strangers=True)
        async with (
            a_host() as host,
            open_dht(host, bootstrap=[at(silent), at(first.host)], random=lambda: 0.5) as service,
        ):
            await until(lambda: len(service.table) == 1)
            assert await service.provide(BLOCK, deadline=PATIENCE) == 1
            assert silent.peer_id not in service.table


async def test_both_names_are_spoken_apart() -> None:
    async with a_node(protocol=IPFS_KAD) as public, a_node(public) as mycel, a_node(public, protocol=IPFS_KAD) as other:
        await until(lambda: len(other.dht.table) == 1)
        assert len(mycel.dht.table) == 0
