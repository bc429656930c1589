"""Catalogue sync between real hosts on loopback: what is learnt and told, limits, liars, and keys that change."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from mycelnode import clock
from mycelnode.encoding import encode
from mycelnode.errors import BrokenError, BusyError, PeerMisbehaved, Unsupported
from mycelnode.p2p import catalogue_driver
from mycelnode.p2p.catalogue_driver import CatalogueDriver, open_catalogue
from mycelnode.p2p.framing import FrameStream
from mycelnode.p2p.host import Host, Stream
from mycelnode.protocols import catalogue_frames as frames
from mycelnode.protocols import catalogue_hints as hints
from mycelnode.protocols.holding import Holding
from mycelnode.protocols.riblt import Encoder, Sketch, keyed, places
from mycelnode.protocols.turns import WINDOW_SECONDS, Allowed, Turns
from tests.p2p.hosts import PATIENCE, a_host, connect, stranger, until
from tests.protocols.catalogues import digest, many


class Held:
    """What a library would be."""

    def __init__(self, digests: Iterable[bytes]) -> None:
        self.set = set(digests)
        self.listeners: list[Callable[[bytes, bool], None]] = []

    def digests(self) -> Iterable[bytes]:
        return self.set

    def change(self, item: bytes, here: bool) -> None:
        (self.set.add if here else self.set.discard)(item)
        for listener in self.listeners:
            listener(item, here)


@dataclass
class Node:
    host: Host
    held: Held
    driver: CatalogueDriver
    told: list[tuple[str, Sequence[bytes]]] = field(default_factory=list)


@asynccontextmanager
async def a_node(digests: Iterable[bytes], random: Callable[[int], bytes] = os.urandom) -> AsyncIterator[Node]:
    held, told = Held(digests), list[tuple[str, Sequence[bytes]]]()
    async with a_host(admit=stranger, stranger_seconds=60) as host:
        listening = open_catalogue(
            host, held, clock.system(), told=lambda peer, found: told.append((peer, found)), random=random
        )
        async with listening as driver:
            yield Node(host, held, driver, told)
        assert not held.listeners


async def test_each_learns_what_the_other_holds() -> None:
    async with a_node(many(range(3000))) as one, a_node(many(range(40, 3070))) as other:
        await connect(one.host, other.host)
        result = await one.driver.reconcile(other.host.peer_id)
        assert list(result.here) == many(range(3000, 3070))
        assert list(result.there) == many(range(40))
        assert not result.ranged
        await until(lambda: other.told)
        assert other.told == [(one.host.peer_id, list(result.there))]


async def test_what_comes_and_goes_while_it_runs_counts() -> None:
    async with a_node(many(range(1000))) as one, a_node(many(range(1000))) as other:
        await connect(one.host, other.host)
        assert not (await one.driver.reconcile(other.host.peer_id)).here
        other.held.change(digest(5000), True)
        other.held.change(digest(5000), True)
        other.held.change(digest(7), False)
        result = await one.driver.reconcile(other.host.peer_id)
        assert (result.here, result.there) == ([digest(5000)], [digest(7)])
        one.held.change(digest(5000), True)
        one.held.change(digest(7), False)
        result = await one.driver.reconcile(other.host.peer_id)
        assert (result.here, result.there) == ([], [])


async def test_a_newcomer_gets_everything() -> None:
    async with a_node([]) as one, a_node(many(range(40_000))) as other:
        await connect(one.host, other.host)
        with trio.fail_after(PATIENCE):
            result = await one.driver.reconcile(other.host.peer_id)
        assert list(result.here) == many(range(40_000))
        assert result.ranged
        assert len((await one.driver.reconcile(other.host.peer_id, most=500)).here) == 500


async def test_a_peer_that_asks_too_often_is_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_driver, "Allowed", lambda: Allowed(peer_begun=2))
    async with a_node([]) as one, a_node(many(range(10))) as other:
        await connect(one.host, other.host)
        for _ in range(2):
            await one.driver.reconcile(other.host.peer_id)
        with pytest.raises(BusyError):
            await one.driver.reconcile(other.host.peer_id)
        async with a_node([]) as third:
            await connect(third.host, other.host)
            assert len((await third.driver.reconcile(other.host.peer_id)).here) == 10


def test_turns_are_limited_by_peer_and_in_all() -> None:
    turns = Turns(Allowed(peer_at_once=1, peer_begun=2, at_once=3, begun=4))
    assert turns.begin("a", 0)
    assert not turns.begin("a", 0)
    turns.end("a")
    assert turns.begin("a", 1)
    turns.end("a")
    assert not turns.begin("a", 2)
    assert turns.begin("b", 2)
    assert turns.begin("c", 2)
    assert not turns.begin("d", 2), "four have begun"
    assert turns.begin("d", WINDOW_SECONDS)
    assert not turns.begin("e", WINDOW_SECONDS + 0.5), "three are running"
    turns.end("d")
    assert turns.begin("a", WINDOW_SECONDS + 1)


async def test_a_liar_is_shunned_and_so_is_who_claims_what_is_not_there() -> None:
    async def lie(stream: Stream) -> None:
        lines = FrameStream(stream, frames.MAX_FRAME)
        await lines.receive()
        await lines.send(encode([frames.HERE, 1, bytes(16), 10, 5, bytes(42)]))
        await trio.sleep_forever()

    async with a_node(many(range(100))) as one, a_node(many(range(200))) as other:
        await connect(one.host, other.host)
        for _ in range(hints.FREE_FAILURES):
            assert one.driver.hint_failed(other.host.peer_id)
        one.driver.hint_held(other.host.peer_id)
        assert (await one.driver.reconcile(other.host.peer_id)).here
        assert not one.driver.hint_failed(other.host.peer_id)
        with pytest.raises(PeerMisbehaved, match="not asked for a while"):
            await one.driver.reconcile(other.host.peer_id)

        async with a_host(admit=stranger) as liar:
            liar.set_handler(frames.PROTOCOL, lie, strangers=True)
            await connect(other.host, liar)
            with pytest.raises(PeerMisbehaved, match="first cell"):
                await other.driver.reconcile(liar.peer_id)
            with pytest.raises(PeerMisbehaved, match="not asked for a while"):
                await other.driver.reconcile(liar.peer_id)


async def test_a_silent_peer_does_not_keep_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_driver, "IDLE_SECONDS", 0.3)

    async def silent(stream: Stream) -> None:
        await trio.sleep_forever()

    async with a_node([]) as one, a_host(admit=stranger) as other:
        await connect(one.host, other)
        with pytest.raises(Unsupported):
            await one.driver.reconcile(other.peer_id)
        other.set_handler(frames.PROTOCOL, silent, strangers=True)
        with pytest.raises(BrokenError, match="nothing came"):
            await one.driver.reconcile(other.peer_id)
        with pytest.raises(BrokenError, match="did not end"):
            await one.driver.reconcile(other.peer_id, deadline=0.1)

        stream = await other.open_stream(other.line(one.host.peer_id), frames.PROTOCOL, deadline=PATIENCE)
        await FrameStream(stream, frames.MAX_FRAME).send(encode([frames.HELLO, 1]))
        await until(lambda: one.driver._turns._running)
        await until(lambda: not one.driver._turns._running)
        with pytest.raises(BrokenError):
            while await stream.receive_some(1000):
                pass


async def test_who_asks_wrongly_is_cut_off_and_tells_nothing() -> None:
    async with a_node(many(range(100))) as one, a_host(admit=stranger) as other:
        await connect(other, one.host)
        stream = await other.open_stream(other.line(one.host.peer_id), frames.PROTOCOL, deadline=PATIENCE)
        lines = FrameStream(stream, frames.MAX_FRAME)
        await lines.send(encode([frames.HELLO, 1]))
        assert frames.message(await lines.receive(deadline=PATIENCE) or b"")[0] == frames.HERE
        await lines.send(encode([frames.LACKS, digest(500)]))
        await lines.send(encode([frames.MORE, 1, 1 << 20]))
        with pytest.raises(BrokenError):
            await lines.receive(deadline=PATIENCE)
        await until(lambda: not one.driver._turns._running)
        assert not one.told
        assert one.driver.holding.view().digests == tuple(many(range(100)))


async def test_a_key_under_which_digests_collide_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_driver, "REKEY_PAUSE_SECONDS", 0.0)
    keys = [bytes([number]) * 16 for number in range(10)]
    pair = collide(keys[1])
    given = iter(keys)
    async with (
        a_node(many(range(500)), random=lambda _: keys[9]) as one,
        a_node([*many(range(500)), *pair], random=lambda _: next(given)) as other,
    ):
        assert other.driver.holding.key == keys[0]
        other.driver._stuck.set()
        await until(lambda: other.driver.holding.key == keys[1])
        await connect(one.host, other.host)
        result = await one.driver.reconcile(other.host.peer_id)
        assert result.ranged
        assert list(result.here) == sorted(pair)
        await until(lambda: other.driver.holding.key == keys[2])
        result = await one.driver.reconcile(other.host.peer_id)
        assert not result.ranged
        assert list(result.here) == sorted(pair)


def collide(key: bytes) -> list[bytes]:
    """Two digests that lie in the same of the first 300 cells."""
    seen: dict[tuple[int, ...], bytes] = {}
    for number in itertools.count(100_000):
        where = tuple(places(keyed(key)(digest(number))[1], 300))
        if where in seen:
            return [seen[where], digest(number)]
        seen[where] = digest(number)
    raise AssertionError


def test_changes_while_a_key_is_prepared_are_not_lost() -> None:
    holding = Holding(bytes(16), many(range(100)))
    before = holding.view()
    copied = holding.copy()
    holding.change(digest(200), True)
    holding.change(digest(3), False)
    holding.rekey(Sketch(b"\x01" * 16, copied))
    expected = sorted({*many(range(100)), digest(200)} - {digest(3)})
    assert list(holding.view().digests) == expected
    assert holding.view().cells.encode() == Encoder(b"\x01" * 16, expected).extend(1 << 14).encode()
    assert list(before.digests) == many(range(100)), "a session that runs sees what it began with"
    assert holding.view() is holding.view()
