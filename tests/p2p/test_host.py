"""What a host promises to the rest of mycelnode, with real hosts on loopback."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
from functools import partial

import pytest
import trio
import trio.testing
from libp2p.network.connection import swarm_connection
from libp2p.stream_muxer.yamux import yamux

from mycelnode.errors import BrokenError, ClosedError, EncodingError, NetworkError, PeerUnreachable, Unsupported
from mycelnode.p2p import _guard, _sockets
from mycelnode.p2p._addresses import parse
from mycelnode.p2p.host import HostConfig, Stream, open_host
from mycelnode.protocols.simultaneous import keep
from tests.p2p.hosts import (
    ECHO,
    LOOPBACK,
    PATIENCE,
    a_child,
    a_host,
    answers,
    connect,
    ends_of,
    ignoring_errors,
    jam,
    line,
    member,
    open_sockets,
    seed,
    until,
)

# --- dialling ------------------------------------------------------------------------------------------------------------


async def test_dial_tells_the_address_that_answered_and_nothing_when_connected() -> None:
    async with a_host() as one, a_host() as other:
        assert await connect(one, other) == other.addrs[0]
        assert await connect(one, other) == ""
        await until(lambda: one.peer_id in other.connected())
        assert (one.line(other.peer_id).dialled_here, other.line(one.peer_id).dialled_here) == (True, False)
        assert one.line(other.peer_id).host == other.line(one.peer_id).host == "127.0.0.1"
        assert await answers(one, other)
        assert await answers(other, one)


async def test_version_and_proposal_of_noise_come_together() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    both, said = b"\x13/multistream/1.0.0\n\x07/noise\n", b""
    async with listener, a_host(listen=()) as one, trio.open_nursery() as nursery:
        nursery.start_soon(
            ignoring_errors, partial(one.dial, one.peer_id, [f"/ip4/127.0.0.1/tcp/{port}"], deadline=PATIENCE)
        )
        async with await listener.accept() as line_:
            with trio.fail_after(PATIENCE):
                while len(said) < len(both):  # nothing is answered
                    said += await line_.receive_some()
        nursery.cancel_scope.cancel()
    assert said == both


async def test_dead_addresses_do_not_hold_up_the_good_one() -> None:
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # accepts, says nothing
        closed.bind(("127.0.0.1", 0))
        async with a_host() as one, a_host() as other:
            dead = [f"/ip4/127.0.0.1/tcp/{each.getsockname()[1]}" for each in (silent, closed)]
            with trio.fail_after(4):  # less than libp2p waits for one silent address
                assert await one.dial(other.peer_id, [*dead, *other.addrs], deadline=PATIENCE) == other.addrs[0]
            assert await answers(one, other)


async def test_a_failed_dial_says_what_each_address_answered() -> None:
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        quiet, shut = (f"/ip4/127.0.0.1/tcp/{each.getsockname()[1]}" for each in (silent, closed))
        async with a_host() as one, a_host() as other, a_host() as absent:
            with pytest.raises(PeerUnreachable) as caught:
                await one.dial(absent.peer_id, [quiet, shut, *other.addrs], deadline=1)
            assert caught.value.tried == {
                quiet: "no answer",
                shut: "refused",
                other.addrs[0]: "another device answers there",
            }
            assert not one.connected()
            with pytest.raises(PeerUnreachable, match="no address of it is known"):
                await one.dial(absent.peer_id, [], deadline=1)
            with pytest.raises(EncodingError):
                await one.dial("nonsense", other.addrs, deadline=1)


async def test_a_cancelled_dial_leaves_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with a_host() as one, a_host() as other:
            before = open_sockets()
            with trio.move_on_after(0.1):
                await one.dial(other.peer_id, [f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}"], deadline=PATIENCE)
            assert open_sockets() == before


async def test_connecting_does_not_wait_out_libp2ps_head_start() -> None:
    """libp2p's own `connect` takes 252 ms, always."""
    async with a_host() as one, a_host() as other:
        took: list[float] = []
        for _ in range(5):
            began = trio.current_time()
            await connect(one, other)
            took.append(trio.current_time() - began)
            one.disconnect(other.peer_id)
        assert min(took) < 0.2, statistics.mean(took)


# --- listening -----------------------------------------------------------------------------------------------------------


async def test_ipv6_works_and_shares_the_port_of_ipv4() -> None:
    async with a_host(listen=("/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0")) as one, a_host() as other:
        four, six = one.addrs
        assert (four, six) == (f"/ip4/127.0.0.1/tcp/{one.port}", f"/ip6/::1/tcp/{one.port}")
        assert await other.dial(one.peer_id, [six], deadline=PATIENCE) == six
        assert await answers(other, one)
        await until(lambda: one.line(other.peer_id).host == "::1")


async def test_a_taken_port_is_no_obstacle_where_any_will_do() -> None:
    wanted = [parse("/ip4/127.0.0.1/tcp/0"), parse("/ip6/::1/tcp/0")]
    bind = _sockets._bind
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        other.listen()
        taken = other.getsockname()[1]

        with pytest.MonkeyPatch.context() as patch:  # the first end point gets the port that is taken for the second
            patch.setattr(_sockets, "_bind", lambda end, port: bind(end, taken if end.kind == "ip4" else port))
            with _sockets.listen_on(wanted) as listeners:
                ports = [listener.socket.getsockname()[1] for listener in listeners]
    assert ports[0] == taken != ports[1]


async def test_two_hosts_on_one_port_are_one_too_many() -> None:
    async with a_host() as one:
        before = open_sockets()
        with pytest.raises(NetworkError, match="another program uses that port"):
            async with a_host(listen=("/ip6/::1/tcp/0", *one.addrs)):
                pass
        assert open_sockets() == before


async def test_a_port_is_free_again_when_the_host_has_closed() -> None:
    async with a_host() as one, a_host() as other:
        await connect(other, one)  # a connection that lingers in TIME_WAIT
        addrs = tuple(one.addrs)
        line = one.line(other.peer_id)
        one.disconnect(other.peer_id)
        await line.over.wait()
    async with a_host(listen=addrs) as again:
        assert tuple(again.addrs) == addrs


async def test_a_family_that_the_machine_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bind = _sockets._bind

    def without_ipv6(endpoint: _sockets.Endpoint, port: int) -> socket.socket:
        if endpoint.kind == "ip6":
            raise OSError(_sockets.errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return bind(endpoint, port)

    monkeypatch.setattr(_sockets, "_bind", without_ipv6)
    async with a_host(listen=("/ip6/::/tcp/0", "/ip4/0.0.0.0/tcp/0")) as one:
        assert one.port
    for impossible in (("/ip6/::1/tcp/0", "/ip4/127.0.0.1/tcp/0"), ("/ip6/::/tcp/0",)):
        with pytest.raises(NetworkError):
            async with a_host(listen=impossible):
                pass


async def test_a_wildcard_is_not_advertised() -> None:
    async with a_host(listen=("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")) as one:
        assert not any(parse(addr).wildcard for addr in one.addrs)
        assert {parse(addr).port for addr in one.addrs} <= {one.port}


async def test_addresses_that_the_system_will_not_list_are_told_as_last_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise OSError("no buffer space available")

    async with a_host(listen=("/ip4/0.0.0.0/tcp/0",)) as one:
        before = one.addrs
        monkeypatch.setattr("mycelnode.p2p.host.interface_addresses", fail)
        assert one.addrs == before != []


async def test_a_name_cannot_be_listened_on() -> None:
    with pytest.raises(NetworkError):
        async with a_host(listen=("/dns4/localhost/tcp/0",)):
            pass


async def test_a_host_that_only_dials_listens_nowhere() -> None:
    before = open_sockets()
    async with a_host(listen=()) as one:
        assert (one.addrs, one.port) == ([], None)
        assert open_sockets() == before


async def never_look(stream: Stream) -> None:
    await trio.sleep_forever()


# --- streams -------------------------------------------------------------------------------------------------------------


async def test_an_unknown_protocol_is_unsupported_and_a_removed_one_too() -> None:
    async with a_host() as one, a_host() as other:
        await connect(one, other)
        with pytest.raises(Unsupported):
            await one.open_stream(one.line(other.peer_id), "/nobody/1", deadline=PATIENCE)
        assert await answers(one, other)
        other.remove_handler(ECHO)
        with pytest.raises(Unsupported):
            await one.open_stream(one.line(other.peer_id), ECHO, deadline=PATIENCE)


async def test_without_a_connection_there_is_no_stream() -> None:
    async with a_host() as one, a_host() as other:
        with pytest.raises(BrokenError):
            await one.open_stream(one.line(other.peer_id), ECHO, deadline=PATIENCE)


async def test_the_errors_of_a_stream() -> None:
    async with a_host() as one, a_host() as other:
        await connect(one, other)
        closed = await one.open_stream(one.line(other.peer_id), ECHO, deadline=PATIENCE)
        await closed.aclose()
        await closed.aclose()
        with pytest.raises(ClosedError):
            await closed.send_all(b"x", deadline=1)
        with pytest.raises(ClosedError):
            await closed.receive_some(1)
        broken = await one.open_stream(one.line(other.peer_id), ECHO, deadline=PATIENCE)
        other.disconnect(one.peer_id)
        await until(lambda: not one.connected())
        with pytest.raises(BrokenError):
            await broken.send_all(b"x", deadline=1)
        broken.reset()
        broken.reset()


async def test_closing_a_stream_wakes_its_reader_with_closed_error() -> None:
    async with a_host() as one, a_host() as other:
        await connect(one, other)
        stream = await one.open_stream(one.line(other.peer_id), ECHO, deadline=PATIENCE)
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                with pytest.raises(ClosedError):
                    await stream.receive_some(1)

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.05)
            stream.reset()


async def test_the_end_that_a_peer_wrote_is_told_from_a_lost_line() -> None:
    async def three_bytes(stream: Stream) -> None:
        await stream.send_all(b"abc", deadline=1)
        await stream.aclose()

    async with a_host() as one, a_host() as other:
        other.set_handler("/three/1", three_bytes)
        for end in ("polite", "cut here", "cut there"):
            await connect(one, other)
            stream = await one.open_stream(one.line(other.peer_id), "/three/1", deadline=PATIENCE)
            assert await stream.read_exactly(3) == b"abc"
            assert await stream.receive_some(1) == b""
            lost = await one.open_stream(one.line(other.peer_id), ECHO, deadline=PATIENCE)
            await until(other.connected)
            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read_a_lost_line, lost)
                    await trio.testing.wait_all_tasks_blocked()
                    if end == "polite":
                        await line(one, other).muxed_conn.close()  # libp2p's own way
                    elif end == "cut here":
                        one.disconnect(other.peer_id)
                    else:
                        other.disconnect(one.peer_id)
            await until(lambda: not one.connected() and not other.connected())


async def read_a_lost_line(stream: Stream) -> None:
    with pytest.raises(BrokenError):
        await stream.receive_some(1)


async def test_a_reset_reaches_the_other_end_as_a_broken_line() -> None:
    seen: list[NetworkError | bytes] = []

    async def read(stream: Stream) -> None:
        try:
            seen.append(await stream.receive_some(10))
        except NetworkError as error:
            seen.append(error)

    async with a_host() as one, a_host() as other:
        other.set_handler("/read/1", read)
        await connect(one, other)
        (await one.open_stream(one.line(other.peer_id), "/read/1", deadline=PATIENCE)).reset()
        await until(lambda: seen)
        assert isinstance(seen[0], BrokenError)
        assert await answers(one, other)


async def test_sending_to_a_reader_that_does_not_read_ends_at_the_deadline() -> None:
    async with a_host() as one, a_host() as other:
        other.set_handler("/deaf/1", never_look)
        await connect(one, other)
        stream = await one.open_stream(one.line(other.peer_id), "/deaf/1", deadline=PATIENCE)
        with trio.fail_after(PATIENCE), pytest.raises(BrokenError):
            await stream.send_all(bytes(64 << 20), deadline=0.5)
        assert not one.connected()  # a message was cut short: nothing can follow it


async def test_a_stream_that_nobody_answers_is_broken_at_the_deadline() -> None:
    async with a_host() as one, a_child(seed(1), one) as child:
        await until(one.connected)
        (peer,) = one.connected()
        child.send_signal(signal.SIGSTOP)
        began = trio.current_time()
        with pytest.raises(BrokenError, match="did not answer"):
            await one.open_stream(one.line(peer), ECHO, deadline=0.3)
        assert trio.current_time() - began < PATIENCE / 2


async def test_large_data_arrives_whole() -> None:
    async with a_host() as one, a_host() as other:
        await connect(one, other)
        stream = await one.open_stream(one.line(other.peer_id), ECHO, deadline=PATIENCE)
        data = os.urandom(3 << 20)
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: stream.send_all(data, deadline=PATIENCE))
            while len(received) < len(data):
                received += await stream.receive_some(1 << 18)
        assert received == data


# --- two connections, and ending them ------------------------------------------------------------------------------------


async def test_of_simultaneous_dials_both_ends_keep_the_same_connection() -> None:
    for _ in range(5):
        async with a_host() as one, a_host() as other:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connect, one, other)
                nursery.start_soon(connect, other, one)
            await until(lambda: len(ends_of(one, other)) == len(ends_of(other, one)) == 1)
            ((here, there),) = ends_of(one, other)
            assert ends_of(other, one) == [(there, here)]
            assert one.line(other.peer_id).dialled_here != other.line(one.peer_id).dialled_here
            assert await answers(one, other)
            assert await answers(other, one)


async def test_one_connection_stays_when_two_addresses_of_a_peer_answer() -> None:
    async with a_host(listen=LOOPBACK * 2) as one, a_host() as other:
        for _ in range(5):
            await connect(other, one)
            await until(lambda: len(ends_of(one, other)) == len(ends_of(other, one)) == 1)
            assert await answers(other, one)
            other.disconnect(one.peer_id)
            await until(lambda: not one.connected())


@pytest.mark.parametrize("elapsed", [True, False])
async def test_a_device_that_comes_back_replaces_its_dead_connection(
    monkeypatch: pytest.MonkeyPatch, elapsed: bool
) -> None:
    """Its old process is frozen, so its connection looks alive here. Within the time for simultaneous dials that would be kept."""
    monkeypatch.setattr(_guard, "keep", partial(keep, within=0.0 if elapsed else 60.0))
    async with a_host() as one:
        own = seed(0)
        for number in range(100):  # until `one`'s dials are preferred
            own = seed(number)
            if await peer_id_of(own) > one.peer_id:
                break
        async with a_child(own, one) as child:
            await until(one.connected)
            (peer,) = one.connected()
            for entry in one._guard._by_peer[peer]:
                entry.dialled_here = True  # as if we had dialled it
            child.send_signal(signal.SIGSTOP)
            async with a_host(own) as back:
                (old,) = ends_of(one, back)
                await connect(back, one)
                if elapsed:
                    await until(lambda: ends_of(one, back) and old not in ends_of(one, back))
                    assert await answers(back, one)
                else:
                    await until(lambda: not back.connected())
                    assert ends_of(one, back) == [old]


async def peer_id_of(own_seed: bytes) -> str:
    async with open_host(own_seed, HostConfig(listen=()), admit=member) as host:
        return host.peer_id


async def test_a_frozen_peer_is_disconnected_at_once() -> None:
    async with a_host() as one, a_child(seed(2), one) as child:
        await until(one.connected)
        (peer,) = one.connected()
        child.send_signal(signal.SIGSTOP)
        entry = one._guard.find(peer)
        assert entry is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.line(peer).over.wait)
            nursery.start_soon(ignoring_errors, partial(jam, entry.inner.muxed_conn))
            await trio.testing.wait_all_tasks_blocked(0.2)  # the line is full: nothing polite can be said on it
            one.disconnect(peer)  # not even a checkpoint
            assert not one.connected()
            nursery.cancel_scope.deadline = trio.current_time() + 2
        assert not nursery.cancel_scope.cancelled_caught


@pytest.mark.parametrize("action", ["close", "reset", "open"])
async def test_what_gets_stuck_on_a_full_line_ends_the_line(action: str) -> None:
    """Nobody waits for long, and no message is cut short on a connection that goes on."""
    async with a_host() as one, a_child(seed(4), one) as child, trio.open_nursery() as nursery:
        await until(one.connected)
        (peer,) = one.connected()
        entry = one._guard.find(peer)
        assert entry is not None
        stream = await one.open_stream(one.line(peer), "/deaf/1", deadline=PATIENCE)
        child.send_signal(signal.SIGSTOP)
        nursery.start_soon(ignoring_errors, partial(jam, entry.inner.muxed_conn))
        await trio.testing.wait_all_tasks_blocked(0.2)
        with trio.fail_after(2):
            if action == "close":
                await stream.aclose()
            elif action == "reset":
                stream.reset()
            else:
                with pytest.raises(BrokenError):
                    await one.open_stream(one.line(peer), "/deaf/1", deadline=0.3)
                assert not one.connected()
        await until(lambda: not one.connected(), within=3)


async def test_the_kill_of_a_peer_is_noticed() -> None:
    async with a_host() as one, a_child(seed(3), one) as child:
        await until(one.connected)
        (peer,) = one.connected()
        child.kill()
        with trio.fail_after(PATIENCE):
            await one.line(peer).over.wait()
        assert not one.connected()


async def test_disconnecting_ends_streams_in_the_middle() -> None:
    async with a_host() as one, a_host() as other:
        await connect(one, other)
        stream = await one.open_stream(one.line(other.peer_id), ECHO, deadline=PATIENCE)
        await until(other.connected)
        other.disconnect(one.peer_id)
        with trio.fail_after(PATIENCE), pytest.raises(BrokenError):
            await stream.receive_some(1)
        await until(lambda: not one.connected())
        assert await connect(one, other)  # and it may come again


async def test_leaving_closes_every_socket_and_both_ends_of_each_connection() -> None:
    before = open_sockets()
    async with a_host() as stays:
        listening = open_sockets()
        async with a_host() as leaves, a_host() as third:
            for host in (leaves, third):
                await connect(host, stays)
            await connect(leaves, third)
            stream = await stays.open_stream(stays.line(leaves.peer_id), ECHO, deadline=PATIENCE)
            leaves.set_handler("/sleep/1", never_look)  # a handler that does not look at its stream
            await stays.open_stream(stays.line(leaves.peer_id), "/sleep/1", deadline=PATIENCE)
        await until(lambda: not stays.connected(), within=2)
        with pytest.raises(BrokenError):
            await stream.send_all(b"x", deadline=1)
        assert open_sockets() == listening
    assert open_sockets() == before


async def test_leaving_does_not_wait_for_what_libp2p_sleeps_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Patient:
        """trio, with sleeps that never end."""

        def __getattr__(self, name: str) -> object:
            return getattr(trio, name)

        async def sleep(self, seconds: float) -> None:
            await trio.sleep_forever()

    async with a_host() as stays:
        async with a_host(listen=()) as leaves:
            await connect(leaves, stays)
            for module in (swarm_connection, yamux):
                monkeypatch.setattr(module, "trio", Patient())
            began = trio.current_time()
        assert trio.current_time() - began < 0.9, "it waited for as long as it would for a connection that does not end"
        monkeypatch.undo()


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    async def fail() -> None:
        async with a_host() as one, a_host() as other:
            await connect(one, other)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_cancelling_the_block_closes_the_host() -> None:
    before = open_sockets()
    with trio.move_on_after(0.5):
        async with a_host() as one, a_host() as other:
            await connect(one, other)
            await trio.sleep_forever()
    assert open_sockets() == before


# --- in silence ----------------------------------------------------------------------------------------------------------

SILENT = """
import logging, os, trio
from mycelnode.p2p.host import Admission, HostConfig, open_host

async def main():
    config = HostConfig(listen=("/ip4/127.0.0.1/tcp/0",))
    admit = lambda key: Admission.MEMBER
    async with open_host(os.urandom(32), config, admit=admit) as one:
        async def echo(stream):
            while data := await stream.receive_some(100):
                await stream.send_all(data, deadline=5)
        one.set_handler("/echo/1", echo)
        for end in "disconnect", "leave", "other":
            async with open_host(os.urandom(32), config, admit=admit) as other:
                await other.dial(one.peer_id, one.addrs, deadline=5)
                stream = await other.open_stream(other.line(one.peer_id), "/echo/1", deadline=5)
                await stream.send_all(b"x", deadline=5)
                await stream.receive_some(1)
                if end == "disconnect":
                    other.disconnect(one.peer_id)
                if end == "other":
                    one.disconnect(other.peer_id)
                try:
                    await other.dial(other.peer_id, one.addrs, deadline=5)
                except Exception as error:
                    print(type(error).__name__)
        raw = await trio.open_tcp_stream("127.0.0.1", one.port)
        await raw.send_all(b"\\x02\\xff\\n")
        await raw.aclose()
        await trio.sleep(0.5)
    assert not logging.getLogger().handlers, logging.getLogger().handlers

trio.run(main)
"""


def test_nothing_is_printed_or_logged_to_the_root_logger() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SILENT], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["PeerUnreachable"] * 3
