"""Floods: of connections, of streams, of bytes, of lines in the log. A stock libp2p 0.8.1 host drowns in each."""

from __future__ import annotations

import gc
import logging
import struct
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import pytest
import trio

from mycelnode.errors import NetworkError
from mycelnode.p2p import _door, _guard, _yamux
from mycelnode.p2p._addresses import group_of
from mycelnode.p2p._quiet import LINES_A_MINUTE, quieten
from mycelnode.p2p._yamux import MAX_DATA_BYTES
from mycelnode.p2p.host import Host, Stream
from tests.p2p.hosts import (
    ECHO,
    PATIENCE,
    PING,
    VERSION,
    a_host,
    a_raw_connection,
    answers,
    books,
    connect,
    end_of,
    frame,
    ignoring_errors,
    jam,
    line,
    never_read,
    open_sockets,
    read_to_the_end,
    reset_line,
    stranger,
    until,
    yamux,
)


async def test_silent_connections_do_not_keep_a_member_out() -> None:
    async with AsyncExitStack() as stack:
        victim, one = await stack.enter_async_context(a_host()), await stack.enter_async_context(a_host())
        for _ in range(100):
            await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", victim.port))  # type: ignore[arg-type]
        with trio.fail_after(2):
            await connect(one, victim)
            assert await answers(one, victim)


async def test_there_are_never_many_unfinished_handshakes() -> None:
    async with AsyncExitStack() as stack:
        victim = await stack.enter_async_context(a_host(handshakes=5))
        ones = [await stack.enter_async_context(a_host()) for _ in range(7)]
        for one in ones:
            await connect(one, victim)
        for _ in range(20):
            await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", victim.port))  # type: ignore[arg-type]
        await until(lambda: len(held_at(victim)) == 5 + 7)
        assert victim.connected() == {one.peer_id for one in ones}  # finished ones are not evicted


def held_at(which: Host) -> set[Any]:
    """The connections that a host has accepted and not closed."""
    return {(fd, there) for fd, here, there in open_sockets() if there and here.port == which.port}


@pytest.mark.parametrize(
    ("floods", "first"),
    [
        (["9.0.0.1", "9.0.0.2", "9.0.0.2"], "9.0.0.2"),  # of one network, that of one address
        (["9.0.0.1", "9.0.0.2", "9.0.0.3"], "9.0.0.1"),
        (["10.0.0.2", "10.0.0.2", "9.0.0.1"], "10.0.0.2"),  # beside ours: that is no reason to evict ours
    ],
)
async def test_a_flood_evicts_its_own_handshakes(
    floods: list[str], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[object] = []
    monkeypatch.setattr(_door, "cut", cut.append)
    door = _door.Door(None, handshakes=3, opens_on=lambda host: True)
    come = ["10.0.0.1", *floods]
    door._handshakes = {
        f"{n} {host}": tuple(group_of(host, wide=wide) for wide in (False, True)) for n, host in enumerate(come)
    }  # type: ignore[misc]
    door._evict()
    assert cut == [f"{come.index(first)} {first}"]
    assert len(door._handshakes) == 3


async def test_a_silent_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_host(handshake_seconds=0.2) as victim, await trio.open_tcp_stream("127.0.0.1", victim.port) as raw:  # type: ignore[arg-type]
        with trio.fail_after(PATIENCE):
            await read_to_the_end(raw)


async def test_300_connections_one_after_another_leave_a_host_that_answers_and_nothing_else() -> None:
    """Stock libp2p is deaf after 250."""
    async with a_host() as victim, a_host() as one:
        before = open_sockets()
        for number in range(300):
            await connect(one, victim)
            if number % 10 == 0:
                assert await answers(one, victim)
            (one if number % 2 else victim).disconnect(victim.peer_id if number % 2 else one.peer_id)
            await until(lambda: not one.connected())
        await until(lambda: open_sockets() == before)
        for each in (victim, one):
            await until(lambda each=each: books(each) == dict.fromkeys(books(each), 0))  # type: ignore[misc]
        await connect(one, victim)
        assert await answers(one, victim)


async def test_nothing_is_remembered_of_strangers_that_have_left() -> None:
    async with a_host(admit=stranger) as victim:
        for _ in range(8):
            async with a_host(listen=()) as one:
                await connect(one, victim)
        await until(lambda: books(victim) == dict.fromkeys(books(victim), 0))
        gc.collect()
        assert sum(isinstance(each, _guard.Connection) for each in gc.get_objects()) < 5


async def test_a_peer_that_makes_us_buffer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "WATCH_SECONDS", 0.05)
    async with a_host(buffered_bytes=1 << 20) as victim, a_host() as one, a_host() as good:
        victim.set_handler("/deaf/1", never_read)
        await connect(one, victim)
        await connect(good, victim)
        stream = await one.open_stream(one.line(victim.peer_id), "/deaf/1", deadline=PATIENCE)
        flood = partial(jam, line(one, victim).muxed_conn, stream._inner.muxed_stream.stream_id)
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ignoring_errors, flood)
                await one.line(victim.peer_id).over.wait()
                nursery.cancel_scope.cancel()
        await until(lambda: victim.connected() == {good.peer_id})
        assert await answers(good, victim)


async def test_strangers_together_make_us_hold_no_more_than_may_be_and_a_reader_stays() -> None:
    """Ten that each keep within their own bound."""
    limits = {"strangers": 64, "strangers_per_address": 64, "strangers_per_prefix": 64, "stranger_seconds": 60.0}
    most, each = 1 << 20, 200_000
    async with (
        a_host(admit=stranger, strangers_buffered_bytes=most, **limits) as victim,
        a_host() as good,
        AsyncExitStack() as stack,
    ):
        victim.set_handler("/deaf/1", never_read, strangers=True)
        await connect(good, victim)
        streams = list[Stream]()
        for _ in range(10):
            one = await stack.enter_async_context(a_host())
            await connect(one, victim)
            streams.append(await one.open_stream(one.line(victim.peer_id), "/deaf/1", deadline=PATIENCE))
            with suppress(NetworkError):
                await streams[-1].send_all(bytes(each), deadline=PATIENCE)
            held = sum(entry.inner.muxed_conn.unread for entry in victim._guard.entries() if entry.live)
            assert held <= most
            for _ in range(3):
                assert await answers(good, victim), "who reads was cut"
        await until(lambda: len(victim.connected()) <= 1 + most // each)
        assert len(victim.connected()) >= 1 + most // each - 1, "more were cut than had to be"


async def test_a_peer_may_not_hold_many_streams() -> None:
    async with a_host(streams_per_peer=5) as victim, a_host() as one:
        victim.set_handler("/deaf/1", never_read)
        await connect(one, victim)
        held = [await one.open_stream(one.line(victim.peer_id), "/deaf/1", deadline=PATIENCE) for _ in range(5)]
        with pytest.raises(NetworkError):
            await one.open_stream(one.line(victim.peer_id), ECHO, deadline=PATIENCE)
        held[0].reset()
        victim.remove_handler("/deaf/1")
        assert len(line(victim, one).streams) == 5


async def test_a_connection_whose_line_was_reset_goes_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Stock libp2p answers every frame that it has read already, at 10 ms and a logged error each: 55 seconds."""
    async with a_host(admit=stranger, strangers_per_address=100) as victim:
        for late in (True, False) * 5:
            async with a_raw_connection(victim.port) as raw:
                if late:
                    await (await yamux(raw)).write(PING * 5000)
                    await until(victim._swarm.get_connections)
                else:  # while libp2p takes the connection in
                    await yamux(raw, with_it=PING * 5000)
                reset_line(raw)
        await until(lambda: books(victim) == dict.fromkeys(books(victim), 0), within=3)
    assert len(caplog.records) < 100


async def test_a_connection_that_ended_while_libp2p_took_it_in_is_not_kept() -> None:
    async with a_host() as victim, a_host() as one:
        await connect(one, victim)
        entry = victim.line(one.peer_id)
        gone = entry.inner
        entry.cut()
        await entry.over.wait()
        victim._swarm.connections[gone.muxed_conn.peer_id] = [gone]
        assert victim._guard.enter(gone) is None
        assert books(victim) == dict.fromkeys(books(victim), 0)


async def test_libp2p_itself_refuses_nobody_by_number() -> None:
    """It counts what is dead and what is a stranger's, and asks before the handshake."""
    async with a_host() as victim:
        config = victim._swarm.connection_config
        assert min(config.max_connections, config.high_watermark, config.max_connections_per_peer) > 10_000


async def flood(victim: Host, frames: bytes) -> bool:
    """Send these as a stranger; is the connection cut?"""
    async with a_raw_connection(victim.port) as raw:
        secured = await yamux(raw)
        with trio.move_on_after(2):
            await ignoring_errors(partial(secured.write, frames))
            await read_to_the_end(raw.stream.stream)
            return True
    return False


async def test_a_stranger_may_hold_few_streams_and_few_bytes() -> None:
    async with a_host(admit=stranger, stranger_seconds=60, strangers_per_address=100) as victim, a_host() as one:
        victim.set_handler("/deaf/1", never_read, strangers=True)
        await connect(one, victim)
        for _ in range(4):
            await one.open_stream(one.line(victim.peer_id), "/deaf/1", deadline=PATIENCE)
        with pytest.raises(NetworkError):
            await one.open_stream(one.line(victim.peer_id), "/deaf/1", deadline=PATIENCE)
        deaf = VERSION + b"\x08/deaf/1\n"
        assert not await flood(victim, frame(1, deaf, flags=1) + frame(1, bytes(60_000)))
        assert await flood(victim, frame(1, deaf, flags=1) + frame(1, bytes(60_000)) * 10)
        assert await flood(victim, struct.pack(">BBHII", 0, 0, 1, 1, MAX_DATA_BYTES + 1))


@pytest.mark.parametrize(
    ("bad", "cut"),
    [
        (struct.pack(">BBHII", 0, 0, 1, 1, 0), False),
        (struct.pack(">BBHII", 1, 0, 1, 1, 0), True),  # version
        (struct.pack(">BBHII", 0, 4, 0, 0, 0), True),  # type
        (struct.pack(">BBHII", 0, 0, 1, 2, 0), True),  # parity
        (struct.pack(">BBHII", 0, 1, 1, 0, 0), True),  # no stream
    ],
)
async def test_a_frame_that_no_yamux_sends_ends_the_connection(bad: bytes, cut: bool) -> None:
    """Stock libp2p takes all of these."""
    async with a_host() as victim:
        assert await flood(victim, bad) == cut


async def test_who_was_dialled_opens_streams_of_even_numbers() -> None:
    async with a_host() as one, a_host() as other:
        await connect(one, other)
        assert await answers(other, one)
        assert await answers(one, other)


async def test_a_peer_that_stops_without_a_word_is_let_go_and_one_that_is_silent_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frozen process closes nothing, and TCP asks nobody. Members, too: nothing else would end their connection."""
    monkeypatch.setattr(_yamux, "PING_SECONDS", 0.3)
    async with a_host() as victim, a_host() as silent, a_raw_connection(victim.port) as frozen:
        await connect(silent, victim)
        await yamux(frozen)
        await until(lambda: len(victim.connected()) == 2)
        await until(lambda: victim.connected() == {silent.peer_id})
        await trio.sleep(0.3 * (_yamux.SILENCES + 2))
        assert victim.connected() == {silent.peer_id}


async def test_streams_that_are_opened_without_end_cost_the_connection() -> None:
    """A stream stays in libp2p's books until both ends have ended it."""

    async def leave(stream: Stream) -> None:
        await stream.aclose()

    async with a_host(streams_per_peer=8) as victim, a_host() as one:
        victim.set_handler("/bye/1", leave)
        await connect(one, victim)
        bye = VERSION + b"\x07/bye/1\n"
        assert not await flood(victim, b"".join(frame(1 + 2 * each, bye, flags=1) for each in range(8)))
        assert await flood(victim, b"".join(frame(1 + 2 * each, bye, flags=1) for each in range(200)))
        assert await answers(one, victim)


async def test_of_a_stream_that_was_reset_nothing_stays() -> None:
    async with a_host(streams_per_peer=1) as victim, a_host() as one:
        victim.set_handler("/deaf/1", never_read)
        await connect(one, victim)
        await one.open_stream(one.line(victim.peer_id), "/deaf/1", deadline=PATIENCE)
        for _ in range(5):
            inner = await line(one, victim).new_stream()
            await ignoring_errors(partial(inner.write, b"nobody reads this"))
            await end_of(inner)
        await until(lambda: len(line(victim, one).muxed_conn.streams) == 1, within=3)


def test_libp2p_cannot_fill_the_log() -> None:
    """Peers can make it write a hundred lines a second."""
    logger = logging.getLogger("libp2p.of_this_test")
    quieten()
    quieten()
    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        for number in range(1000):
            logger.error("a peer did %s", number)
    finally:
        logger.removeHandler(handler)
    assert 1 <= len(heard) <= 2 * LINES_A_MINUTE  # a minute may end meanwhile
    assert "no more" in heard[-1].getMessage()
