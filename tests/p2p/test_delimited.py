"""Messages after their lengths, on a stream between two hosts: however they come, and from peers that send something else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import pytest
import trio

from mycelnode.errors import BrokenError, PeerMisbehaved
from mycelnode.p2p.delimited import Reader, delimited
from mycelnode.p2p.host import Stream
from tests.p2p.hosts import PATIENCE, a_host, connect

PROTOCOL = "/test/delimited/1"
MOST = 300_000
T = TypeVar("T")


@asynccontextmanager
async def streams() -> AsyncIterator[tuple[Stream, Stream]]:
    """Both ends of one."""
    async with a_host() as one, a_host() as other:
        ends, read = trio.open_memory_channel[Stream](1)

        async def serve(stream: Stream) -> None:
            await ends.send(stream)
            await trio.sleep_forever()

        other.set_handler(PROTOCOL, serve, strangers=True)
        await connect(one, other)
        writing = await one.open_stream(one.line(other.peer_id), PROTOCOL, deadline=PATIENCE)
        yield writing, await read.receive()


async def within(doing: Awaitable[T]) -> T:
    with trio.fail_after(PATIENCE):
        return await doing


@pytest.mark.parametrize("at_once", [1, 7, 1 << 18])
async def test_messages_come_as_they_were_however_they_are_cut(at_once: int) -> None:
    messages = [b"", b"one", bytes(127), bytes(128), b"", bytes(range(256)) * 4, b"last"]
    async with streams() as (writing, reading):
        data, reader = b"".join(map(delimited, messages)), Reader(reading, MOST, at_once=at_once)
        for start in range(0, len(data), 100):
            await writing.send_all(data[start : start + 100], deadline=PATIENCE)
        assert [await within(reader.next(PATIENCE)) for _ in messages] == messages
        await writing.aclose()
        assert await within(reader.next(PATIENCE)) is None


async def test_the_longest_message_is_taken() -> None:
    async with streams() as (writing, reading), trio.open_nursery() as nursery:
        reader = Reader(reading, MOST)
        nursery.start_soon(partial(writing.send_all, delimited(bytes(MOST)), deadline=PATIENCE))
        assert await within(reader.length()) == MOST
        assert await within(reader.body(MOST)) == bytes(MOST)


@pytest.mark.parametrize(
    "data", [delimited(bytes(MOST + 1))[:3], b"\xff" * 3, b"\x80" * 3], ids=["long", "longer", "endless"]
)
@pytest.mark.parametrize(
    "read", [lambda reader: reader.next(60.0), lambda reader: reader.length()], ids=["next", "length"]
)
async def test_what_is_too_long_is_refused_before_more_is_awaited(
    data: bytes, read: Callable[[Reader], Awaitable[object]]
) -> None:
    async with streams() as (writing, reading):
        await writing.send_all(data, deadline=PATIENCE)
        with pytest.raises(PeerMisbehaved, match="more than 300000"):
            await within(read(Reader(reading, MOST)))


@pytest.mark.parametrize("data", [b"\x85", b"\x05", b"\x05four"], ids=["in its length", "after it", "in its body"])
async def test_an_end_within_a_message_is_no_clean_end(data: bytes) -> None:
    async with streams() as (writing, reading):
        await writing.send_all(data, deadline=PATIENCE)
        await writing.aclose()
        with pytest.raises(BrokenError, match="within a message"):
            await within(Reader(reading, MOST).next(PATIENCE))


@pytest.mark.parametrize("data", [b"\x85", b"\x05", b"\x05four"], ids=["in its length", "after it", "in its body"])
async def test_who_begins_a_message_has_to_end_it(data: bytes) -> None:
    async with streams() as (writing, reading):
        reader = Reader(reading, MOST)
        await writing.send_all(delimited(b"whole") + data, deadline=PATIENCE)
        assert await within(reader.next(0.2)) == b"whole"
        with pytest.raises(PeerMisbehaved, match="did not end"):
            await within(reader.next(0.2))


async def test_a_message_may_begin_whenever_it_likes_and_it_is_told_that_bytes_come() -> None:
    stirred = 0

    def stirs() -> None:
        nonlocal stirred
        stirred += 1

    async with streams() as (writing, reading), trio.open_nursery() as nursery:

        async def later() -> None:
            await trio.sleep(0.5)
            assert not stirred
            await writing.send_all(delimited(b"late"), deadline=PATIENCE)

        nursery.start_soon(later)
        assert await within(Reader(reading, MOST, stirs=stirs).next(0.2)) == b"late"
        assert stirred
