"""The wires against plain TCP servers: what a connection through a link feels, in good times and bad."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from mycel_simnet.links import CHUNK, PLAIN, Link, Network, Shape, State
from mycelnode.background import open_background

QUIET = 0.15  # seconds in which nothing may arrive; the wires themselves need about a thousandth


Serve = Callable[[trio.SocketStream], Awaitable[None]]


async def echo(stream: trio.SocketStream) -> None:
    try:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()
    except trio.BrokenResourceError:
        pass


@asynccontextmanager
async def wired(serve: Serve = echo, shape: Shape = PLAIN) -> AsyncIterator[Link]:
    """A link to a server."""
    async with open_background() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        link = Link("one→two", ("127.0.0.1", listeners[0].socket.getsockname()[1]), shape=shape)
        await nursery.start(link.serve)
        yield link


async def dial(link: Link) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", link.port)


async def read(stream: trio.SocketStream, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = await stream.receive_some(length - len(data))
        assert more, f"the connection ended after {len(data)} of {length} bytes"
        data += more
    return data


async def round_trip(stream: trio.SocketStream, data: bytes = b"ping") -> float:
    began = trio.current_time()
    await stream.send_all(data)
    assert await read(stream, len(data)) == data
    return trio.current_time() - began


async def assert_quiet(stream: trio.SocketStream) -> None:
    with trio.move_on_after(QUIET) as waited:
        data = await stream.receive_some()
        pytest.fail(f"{data!r} came through")
    assert waited.cancelled_caught


async def assert_reset(stream: trio.SocketStream) -> None:
    with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
        assert await stream.receive_some() != b"", "the connection ended in peace"


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not condition():
            await trio.sleep(0.005)


async def test_bytes_pass_both_ways_unchanged_and_ends_pass_too() -> None:
    sent = bytes(range(256)) * 4096
    async with wired() as link, await dial(link) as stream:
        received = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, sent)
            received = await read(stream, len(sent))
        assert received == sent
        await stream.send_eof()
        assert await stream.receive_some() == b""
        await until(lambda: link.connections == 0)
        assert link.carried == 2 * len(sent)


async def test_a_half_closed_connection_still_carries_the_other_way() -> None:
    async def answer_after_the_end(stream: trio.SocketStream) -> None:
        received = b"".join([data async for data in stream])
        await stream.send_all(received[::-1])
        await stream.send_eof()

    async with wired(answer_after_the_end) as link, await dial(link) as stream:
        await stream.send_all(b"abc")
        await stream.send_eof()
        assert await read(stream, 3) == b"cba"


async def test_latency_applies_each_way() -> None:
    async with wired(shape=Shape(latency=0.05)) as link, await dial(link) as stream:
        assert await round_trip(stream) >= 0.1


async def test_jitter_never_reorders() -> None:
    async with wired(shape=Shape(jitter=0.02)) as link, await dial(link) as stream:
        sent = bytearray()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def send() -> None:
                for number in range(50):
                    line = b"%d " % number
                    sent.extend(line)
                    await stream.send_all(line)
                    await trio.sleep(0.001)

            received = await read(stream, sum(len(b"%d " % number) for number in range(50)))
        assert received == sent


async def test_bandwidth_is_shared_by_connections() -> None:
    size = 50_000

    async def swallow(stream: trio.SocketStream) -> None:
        total = 0
        async for data in stream:
            total += len(data)
            if total == size:
                await stream.send_all(b"!")

    async with wired(swallow, Shape(bandwidth=2 * size / 0.3)) as link:
        began = trio.current_time()

        async def upload() -> None:
            async with await dial(link) as stream:
                await stream.send_all(bytes(size))
                await read(stream, 1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload)
            nursery.start_soon(upload)
        assert trio.current_time() - began >= 0.3


async def test_a_slow_reader_holds_the_sender_back() -> None:
    async def never_read(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with wired(never_read) as link, await dial(link) as stream:
        with trio.move_on_after(1) as waited:
            for _ in range(2000):
                await stream.send_all(bytes(CHUNK))
        assert waited.cancelled_caught, "125 MiB went into a link that nobody reads"


async def test_a_cut_resets_old_and_new_connections_until_it_heals() -> None:
    async with wired() as link:
        async with await dial(link) as old:
            await round_trip(old)
            link.cut()
            await assert_reset(old)
        async with await dial(link) as new:
            await assert_reset(new)
        link.heal()
        async with await dial(link) as again:
            await round_trip(again)


async def test_the_target_feels_a_cut_too() -> None:
    felt = trio.Event()

    async def wait_for_reset(stream: trio.SocketStream) -> None:
        try:
            async for _ in stream:
                pass
        except trio.BrokenResourceError:
            felt.set()

    async with wired(wait_for_reset) as link, await dial(link) as stream:
        await stream.send_all(b"x")
        await until(lambda: link.carried == 1)
        link.cut()
        with trio.fail_after(5):
            await felt.wait()


async def test_silence_swallows_everything_and_its_connections_never_recover() -> None:
    async with wired() as link, await dial(link) as old:
        await round_trip(old)
        link.silence()
        await old.send_all(b"into the dark")
        await assert_quiet(old)
        async with await dial(link) as new:
            await new.send_all(b"anybody?")
            await assert_quiet(new)
            link.heal()
            await assert_reset(old)
            await assert_reset(new)
        async with await dial(link) as again:
            await round_trip(again)


async def test_a_freeze_holds_bytes_and_healing_delivers_them() -> None:
    async with wired() as link, await dial(link) as old:
        await round_trip(old)
        link.freeze()
        await old.send_all(b"held")
        await assert_quiet(old)
        async with await dial(link) as new:
            await new.send_all(b"held too")
            await assert_quiet(new)
            link.heal()
            assert await read(old, 4) == b"held"
            assert await read(new, 8) == b"held too"


async def test_nothing_listening_is_felt_as_a_reset_and_a_new_target_is_found() -> None:
    async with wired() as link:
        real, link.target = link.target, ("127.0.0.1", 1)
        async with await dial(link) as stream:
            await assert_reset(stream)
        link.target = real
        async with await dial(link) as stream:
            await round_trip(stream)


async def test_leaving_resets_what_is_open() -> None:
    async with wired() as link:
        stream = await dial(link)
        await round_trip(stream)
    await assert_reset(stream)
    await stream.aclose()
    with pytest.raises(OSError, match="failed"):
        await dial(link)


@asynccontextmanager
async def network_of(*names: str) -> AsyncIterator[Network]:
    async with open_background() as nursery:
        network = Network(nursery, seed=1)
        for name in names:
            listeners = await nursery.start(trio.serve_tcp, echo, 0)
            await network.attach(name, ("127.0.0.1", listeners[0].socket.getsockname()[1]))
        yield network


async def reachable(network: Network, names: str) -> set[str]:
    """Pairs like "ab" for which a dials b in vain or not."""
    found = set()
    for one in names:
        for other in names:
            if one != other:
                async with await dial(network.link(one, other)) as stream:
                    try:
                        await round_trip(stream)
                        found.add(one + other)
                    except trio.BrokenResourceError:
                        pass
    return found


async def test_partitions_cut_between_groups_only_and_heal() -> None:
    async with network_of(*"abcd") as network:
        everything = {one + other for one in "abcd" for other in "abcd" if one != other}
        assert await reachable(network, "abcd") == everything
        network.partition("ab", "c")
        assert await reachable(network, "abcd") == {"ab", "ba"}
        network.isolate("a")
        assert await reachable(network, "abcd") == {"bc", "cb", "bd", "db", "cd", "dc"}
        network.heal()
        assert await reachable(network, "abcd") == everything


async def test_a_partition_can_be_silent() -> None:
    async with network_of(*"ab") as network:
        network.partition("a", "b", kind=State.SILENT)
        assert {link.state for link in network.between("a", "b")} == {State.SILENT}


async def test_routes_lead_each_dialler_over_its_own_wire() -> None:
    async with network_of(*"ab") as network:
        await network.add("joiner")
        host, port = network.link("a", "b").target
        assert network.routes("joiner")[f"{host}:{port}"] == f"127.0.0.1:{network.link('joiner', 'b').port}"
        assert network.routes("a") == {f"{host}:{port}": f"127.0.0.1:{network.link('a', 'b').port}"}
        assert network.link("a", "b").port != network.link("joiner", "b").port


async def test_a_target_that_moves_keeps_its_links() -> None:
    async with network_of(*"ab") as network, open_background() as nursery:
        link = network.link("a", "b")
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        await network.attach("b", ("127.0.0.1", listeners[0].socket.getsockname()[1]))
        assert network.link("a", "b") is link
        assert link.target[1] == listeners[0].socket.getsockname()[1]
