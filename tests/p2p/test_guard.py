"""Attacks on a host, by raw sockets and by peers that keep to no rule: each would kill or deafen a stock libp2p 0.8.1 host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.crypto import serialization
from libp2p.crypto.pb import crypto_pb2
from libp2p.security.noise.pb import noise_pb2
from multiaddr import Multiaddr

from mycelnode.errors import NetworkError, PeerUnreachable
from mycelnode.p2p import _door, _guard, host
from mycelnode.p2p._addresses import Endpoint
from mycelnode.p2p._gate import id_of, key_of
from mycelnode.p2p._guard import Guard, Limits
from mycelnode.p2p.host import Admission, Host, Stream
from tests.p2p.hosts import (
    PATIENCE,
    VERSION,
    a_host,
    a_raw_connection,
    answers,
    connect,
    dial_from,
    end_of,
    ignoring_errors,
    line,
    never_read,
    noise,
    read_to_the_end,
    stranger,
    until,
    yamux,
)


def known(*hosts: Host) -> Callable[[bytes], Admission]:
    """Those are members, everybody else is a stranger."""
    keys = {key_of(id_of(each.peer_id)) for each in hosts}
    return lambda key: Admission.MEMBER if key in keys else Admission.STRANGER


# --- nothing that a peer sends may end the host --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ValueError, trio.BrokenResourceError, ExceptionGroup, NetworkError, trio.TooSlowError]
)
async def test_an_error_in_a_handler_ends_its_stream_only(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: Stream) -> None:
        raise (
            ExceptionGroup("several", [ValueError("fault of ours")])
            if error is ExceptionGroup
            else error("fault of ours")
        )

    async with a_host() as one, a_host() as other:
        other.set_handler("/fail/1", fail)
        await connect(one, other)
        stream = await one.open_stream(one.line(other.peer_id), "/fail/1", deadline=PATIENCE)
        with trio.fail_after(PATIENCE), pytest.raises(NetworkError):
            await stream.receive_some(1)
        assert await answers(one, other)
    complaints = [
        record for record in caplog.records if record.name == "mycelnode.p2p.host" and record.levelno >= logging.ERROR
    ]
    assert bool(complaints) == (error not in (NetworkError, trio.TooSlowError))


@pytest.mark.parametrize(
    "sent",
    [
        b"\x02\xff\n",  # stock libp2p: not UTF-8 ends the whole host
        VERSION + b"\x02\xff\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(1000),  # stock libp2p: waits for 2^63 bytes
        VERSION + b"\x80\x08" + bytes(1024),
        VERSION + b"\x03ls\n" * 100,
        b"",
    ],
)
async def test_nonsense_instead_of_a_protocol_ends_its_stream_only(sent: bytes) -> None:
    async with a_host() as one, a_host() as victim:
        await connect(one, victim)
        inner = await line(one, victim).new_stream()
        await inner.write(sent)
        if sent:
            await end_of(inner)
        else:
            await inner.reset()
        assert await answers(one, victim)


async def test_a_stream_on_which_nothing_is_proposed_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "NEGOTIATE_SECONDS", 0.2)
    async with a_host() as one, a_host() as victim:
        await connect(one, victim)
        inner = await line(one, victim).new_stream()
        await end_of(inner)
        assert await answers(one, victim)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(5000), b"\xff" * 5000, VERSION + b"\x02\xff\n"])
async def test_garbage_instead_of_a_handshake_ends_its_connection_only(garbage: bytes) -> None:
    async with a_host() as one, a_host(handshake_seconds=0.5) as victim:
        for _ in range(3):
            async with await trio.open_tcp_stream("127.0.0.1", victim.port) as raw:  # type: ignore[arg-type]
                await raw.send_all(garbage)
                with trio.fail_after(PATIENCE):
                    await read_to_the_end(raw)
        await connect(one, victim)
        assert await answers(one, victim)


@pytest.mark.parametrize("protocol", ["/plaintext/2.0.0", "/tls/1.0.0", "/secio/1.0.0", "/noise"])
async def test_noise_is_the_only_way_in(protocol: str) -> None:
    async with a_host() as victim, await trio.open_tcp_stream("127.0.0.1", victim.port) as raw:  # type: ignore[arg-type]
        token = protocol.encode() + b"\n"
        await raw.send_all(VERSION + bytes([len(token)]) + token)
        expected = VERSION + (bytes([len(token)]) + token if protocol == "/noise" else b"\x03na\n")
        answer = b""
        with trio.fail_after(PATIENCE):
            while len(answer) < len(expected):
                answer += await raw.receive_some()
        assert answer == expected


async def test_an_endless_token_before_the_handshake_is_not_collected() -> None:
    """Stock libp2p believes any length up to 2^64, of anybody, and holds the bytes."""
    async with a_host(handshake_seconds=60) as victim, await trio.open_tcp_stream("127.0.0.1", victim.port) as raw:  # type: ignore[arg-type]
        await raw.send_all(VERSION + b"\x80\x80\x80\x01")  # 2 MiB are to come
        with trio.fail_after(3):  # long before any of libp2p's own deadlines
            await read_to_the_end(raw)


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["RSA", "too long", "secp256k1"])
async def test_an_identity_that_is_not_ed25519_is_not_looked_into(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock libp2p imports RSA keys of any size: 58 KB take 10 seconds, and nobody is served meanwhile."""
    read: list[bytes] = []
    monkeypatch.setitem(serialization.key_type_to_public_key_deserializer, kind, read.append)
    identity = crypto_pb2.PublicKey(key_type=kind, data=bytes(33)).SerializeToString()
    payload = noise_pb2.NoiseHandshakePayload(identity_key=identity, identity_sig=bytes(64)).SerializeToString()
    async with a_host() as victim, a_raw_connection(victim.port) as raw:
        await noise(raw, payload=payload)
        with trio.fail_after(PATIENCE):
            await read_to_the_end(raw.stream.stream)
        assert not read


@pytest.mark.parametrize("first", [b"\xff\xff", b"\x04\x01"])
async def test_a_long_handshake_message_is_not_read(first: bytes) -> None:
    async with a_host(handshake_seconds=60) as victim, a_raw_connection(victim.port) as raw:
        await raw.write(VERSION + b"\x07/noise\n" + first)
        with trio.fail_after(3):  # long before the handshake's deadline, and without the rest of the message
            await read_to_the_end(raw.stream.stream)


async def test_who_answers_a_dial_is_held_to_the_same() -> None:
    """An oversized answer of the other end, which may be anybody at an address that we have heard of."""

    async def answer(stream: trio.SocketStream) -> None:
        await stream.send_all(VERSION + b"\x07/noise\n" + b"\xff\xff")
        await read_to_the_end(stream)

    async with a_host(handshake_seconds=60) as one, a_host() as absent, trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        with trio.fail_after(3), pytest.raises(PeerUnreachable):
            await one.dial(absent.peer_id, [f"/ip4/127.0.0.1/tcp/{port}"], deadline=60)
        nursery.cancel_scope.cancel()


# --- who gets in ---------------------------------------------------------------------------------------------------------


async def test_a_refused_key_is_refused_inside_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[Any] = []
    monkeypatch.setattr(Guard, "enter", lambda self, conn: entered.append(conn))
    async with a_host(admit=lambda key: Admission.REFUSED) as victim, a_host() as one:
        with pytest.raises(PeerUnreachable) as caught:
            await connect(one, victim)
        assert list(caught.value.tried.values()) == ["it does not let us in"]
        assert not entered
        assert not victim._swarm.connections


async def test_who_is_not_let_in_at_first_knocks_again() -> None:
    """Strangers may have taken up all the room at that moment."""
    answers_ = [Admission.REFUSED, Admission.REFUSED]

    def admit(key: bytes) -> Admission:
        return answers_.pop() if answers_ else Admission.MEMBER

    async with a_host(admit=admit) as victim, a_host() as one:
        await connect(one, victim)
        assert await answers(one, victim)


async def test_the_gate_judges_the_proved_key() -> None:
    asked: list[bytes] = []

    def admit(key: bytes) -> Admission:
        asked.append(key)
        return Admission.MEMBER

    async with a_host(admit=admit) as one, a_host() as other:
        await connect(other, one)
        assert set(asked) == {key_of(id_of(other.peer_id))}
        assert key_of(id_of(other.peer_id)) == other.key


async def test_a_stranger_reaches_only_what_is_meant_for_strangers_until_it_is_promoted() -> None:
    async with a_host(admit=stranger) as victim, a_host() as one:
        victim.set_handler("/members/1", never_read)
        await connect(one, victim)
        assert await answers(one, victim)
        with pytest.raises(Exception, match="does not speak"):
            await one.open_stream(one.line(victim.peer_id), "/members/1", deadline=PATIENCE)
        victim.promote(one.peer_id)
        await one.open_stream(one.line(victim.peer_id), "/members/1", deadline=PATIENCE)


async def test_a_stranger_is_evicted_when_its_time_is_over_and_a_promoted_one_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_guard, "WATCH_SECONDS", 0.05)
    async with a_host(admit=stranger, stranger_seconds=0.5) as victim, a_host() as idle, a_host() as promoted:
        for one in (idle, promoted):
            await connect(one, victim)
        await until(lambda: len(victim.connected()) == 2)
        victim.promote(promoted.peer_id)
        with trio.fail_after(PATIENCE):
            await idle.line(victim.peer_id).over.wait()
        await until(lambda: victim.connected() == {promoted.peer_id})
        assert await answers(promoted, victim)


async def test_strangers_are_limited_per_address_per_network_and_in_all_but_members_are_let_in() -> None:
    async with AsyncExitStack() as stack:
        ones = [await stack.enter_async_context(a_host(listen=())) for _ in range(9)]
        ours = ones[-1]
        limits = {"strangers": 4, "strangers_per_address": 2, "strangers_per_prefix": 3}
        victim = await stack.enter_async_context(a_host(admit=known(ours), **limits))
        tries = ["127.0.1.1", "127.0.1.1", "127.0.1.1", "127.0.1.2", "127.0.1.2", "127.0.2.1", "127.0.2.1"]
        came_in = []
        for number, source in enumerate(tries):
            await dial_from(source, ones[number], victim)
            came_in.append(ones[number].peer_id in victim.connected())
        assert came_in == [True, True, False, True, False, True, False]
        await dial_from("127.0.1.1", ours, victim)
        assert ours.peer_id in victim.connected()
        over = victim.line(ones[0].peer_id).over
        victim.disconnect(ones[0].peer_id)
        await dial_from("127.0.1.1", ones[7], victim)
        assert ones[7].peer_id not in victim.connected()  # libp2p still holds the one that was cut
        await over.wait()
        await dial_from("127.0.1.1", ones[7], victim)
        assert ones[7].peer_id in victim.connected()


async def occupied(stack: AsyncExitStack, victim: Host, sources: Sequence[str], protocol: str = "") -> list[Host]:
    """Strangers that keep silent, or on a stream of ``protocol``; connected."""
    taken = []
    for source in sources:
        one = await stack.enter_async_context(a_host(listen=()))
        assert await dial_from(source, one, victim)
        if protocol:
            await one.open_stream(one.line(victim.peer_id), protocol, deadline=PATIENCE)
        taken.append(one)
    await until(lambda: len(victim.connected()) == len(taken))
    return taken


async def test_idle_strangers_make_room_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two machines of the local network keep every new device from pairing."""
    monkeypatch.setattr(_guard, "GRACE_SECONDS", 0.3)
    async with AsyncExitStack() as stack:
        victim = await stack.enter_async_context(
            a_host(admit=stranger, strangers_per_address=3, strangers_per_prefix=5)
        )
        silent = await occupied(stack, victim, ["127.0.1.8"] * 2 + ["127.0.1.9"] * 3)
        await trio.sleep(0.4)
        new = await stack.enter_async_context(a_host(listen=()))
        assert await dial_from("127.0.1.9", new, victim)
        assert await answers(new, victim)
        await until(lambda: victim.connected() == {each.peer_id for each in [*silent, new]} - {silent[2].peer_id})
        newer = await stack.enter_async_context(a_host(listen=()))
        assert await dial_from("127.0.1.7", newer, victim)
        assert await answers(newer, victim)
        await until(lambda: not silent[3].connected())  # the oldest of the address that has most


async def test_who_is_served_makes_no_room_unless_its_address_has_more_than_its_share() -> None:
    async with AsyncExitStack() as stack:
        limits = {"strangers_per_address": 3, "strangers": 4, "stranger_spared_seconds": 60}
        victim = await stack.enter_async_context(a_host(admit=stranger, **limits))
        victim.set_handler("/deaf/1", never_read, strangers=True)
        served = await occupied(stack, victim, ["127.0.1.8", "127.0.1.9", "127.0.1.9", "127.0.1.9"], "/deaf/1")
        await trio.sleep(1.2 * _guard.GRACE_SECONDS)
        for address, comes_in in [("127.0.1.9", False), ("127.0.1.7", True), ("127.0.1.6", True), ("127.0.1.5", False)]:
            new = await stack.enter_async_context(a_host(listen=()))
            assert await dial_from(address, new, victim) == comes_in
            if comes_in:
                await new.open_stream(new.line(victim.peer_id), "/deaf/1", deadline=PATIENCE)
                await until(lambda: len(victim._guard._connections) == 4)
        await until(lambda: [bool(each.connected()) for each in served] == [True, False, False, True])


async def test_who_is_served_for_long_or_does_not_say_what_it_wants_makes_room() -> None:
    """Else a few addresses keep every new device out, by keeping a handler waiting, or a negotiation."""
    async with AsyncExitStack() as stack:
        limits = {"strangers": 2, "stranger_spared_seconds": 1.5}
        victim = await stack.enter_async_context(a_host(admit=stranger, **limits))
        victim.set_handler("/deaf/1", never_read, strangers=True)
        (served,) = await occupied(stack, victim, ["127.0.1.8"], "/deaf/1")
        slow = await stack.enter_async_context(a_host(listen=()))
        assert await dial_from("127.0.2.8", slow, victim)
        await line(slow, victim).new_stream()
        await until(lambda: sum(each.streams for each in victim._guard.entries()) == 2)
        await trio.sleep(1.5 * _guard.GRACE_SECONDS)
        for address, leaves in [("127.0.3.8", slow), ("127.0.4.8", served)]:
            new = await stack.enter_async_context(a_host(listen=()))
            assert served.connected()
            assert await dial_from(address, new, victim)
            await new.open_stream(new.line(victim.peer_id), "/deaf/1", deadline=PATIENCE)
            await until(lambda leaves=leaves: not leaves.connected())  # type: ignore[misc]
            await trio.sleep(1.5)


async def test_an_idle_stranger_leaves_soon_and_a_served_one_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "WATCH_SECONDS", 0.05)
    async with a_host(admit=stranger, stranger_idle_seconds=0.4) as victim, a_host() as idle, a_host() as served:
        victim.set_handler("/deaf/1", never_read, strangers=True)
        for one in (idle, served):
            await connect(one, victim)
        await served.open_stream(served.line(victim.peer_id), "/deaf/1", deadline=PATIENCE)
        with trio.fail_after(3):
            await idle.line(victim.peer_id).over.wait()
        await trio.sleep(0.5)
        assert victim.connected() == {served.peer_id}


async def test_many_connections_of_one_member_are_too_many() -> None:
    """The guard keeps what a peer dialled at one time, as the peer chooses one of them."""
    async with a_host() as victim, a_host() as one, AsyncExitStack() as stack:
        for _ in range(12):
            await yamux(await stack.enter_async_context(a_raw_connection(victim.port)), own_seed=bytes(32))
        await until(lambda: len(victim._guard._connections) == len(victim._swarm.get_connections()) == 4)
        await connect(one, victim)
        assert await answers(one, victim)


async def test_a_connection_that_cannot_be_entered_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_host() as victim, a_host() as one:
        with monkeypatch.context() as patch:
            patch.setattr(_guard, "keep", None)
            await ignoring_errors(partial(one._swarm.dial_addr, Multiaddr(victim.addrs[0]), id_of(victim.peer_id)))
            await until(lambda: not victim._swarm.get_connections())
        await until(lambda: not one.connected())
        await connect(one, victim)
        assert await answers(one, victim)


async def test_a_fault_in_the_watch_on_one_connection_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "WATCH_SECONDS", 0.05)
    look, failed = Guard._look_at, []

    def fail_once(self: Guard, entry: Any) -> None:
        if not failed:
            failed.append(entry)
            raise RuntimeError("a fault of ours")
        look(self, entry)

    monkeypatch.setattr(Guard, "_look_at", fail_once)
    async with a_host(admit=stranger, stranger_idle_seconds=0.3) as victim, a_host() as one:
        await connect(one, victim)
        await until(lambda: not victim.connected())
        assert failed


async def test_strangers_that_shake_hands_at_once_do_not_slip_past_the_limit() -> None:
    async with AsyncExitStack() as stack:
        ones = [await stack.enter_async_context(a_host(listen=())) for _ in range(8)]
        victim = await stack.enter_async_context(a_host(admit=stranger, strangers_per_address=2))
        async with trio.open_nursery() as nursery:
            for one in ones:
                nursery.start_soon(dial_from, "127.0.0.1", one, victim)
        await until(lambda: len(victim._swarm.connections) <= 2)
        assert len(victim.connected()) == 2


# --- where we can be reached ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "here", "opens"),
    [
        ("/ip4/0.0.0.0/tcp/0", "8.8.8.8", False),
        ("/ip4/0.0.0.0/tcp/0", "192.168.1.5", True),
        ("/ip4/0.0.0.0/tcp/0", "100.64.0.1", True),
    ],
)
async def test_nobody_comes_in_by_a_public_address_that_was_not_named(
    monkeypatch: pytest.MonkeyPatch, listen: str, here: str, opens: bool
) -> None:
    there = Endpoint("ip4", "9.9.9.9", 1)
    real = _door.ends
    monkeypatch.setattr(_door, "ends", lambda raw: real(raw) and (Endpoint("ip4", here, 1), there))
    async with a_host(listen=(listen,)) as victim, await trio.open_tcp_stream("127.0.0.1", victim.port) as raw:  # type: ignore[arg-type]
        with trio.fail_after(PATIENCE):
            first = await raw.receive_some(len(VERSION))
        assert first == (VERSION if opens else b"")


async def test_a_public_address_that_was_named_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.p2p.host.is_public", lambda host: True)
    async with a_host() as victim, a_host() as one:
        await connect(one, victim)


# --- the rest ------------------------------------------------------------------------------------------------------------


def test_limits_have_room_for_members_beyond_all_strangers() -> None:
    limits = Limits()
    assert limits.strangers_per_address <= limits.strangers_per_prefix <= limits.strangers
    assert limits.strangers + limits.handshakes < (1024 - 128) / 4  # files that a process may usually have open


async def test_no_connection_is_dialled_that_nobody_asked_for() -> None:
    async with a_host() as one, a_host() as other:
        one._swarm.peerstore.add_addrs(id_of(other.peer_id), [Multiaddr(other.addrs[0])], 60)
        await one._swarm.auto_connector.maybe_connect()
        assert not one.connected()
        assert not other._swarm.connections


async def test_nobody_is_asked_to_identify_itself() -> None:
    """libp2p asks at once, and keeps megabytes of what it is answered."""
    asked: list[Stream] = []

    async def answer(stream: Stream) -> None:
        asked.append(stream)

    async with a_host() as one, a_host() as other:
        for each in (one, other):
            each.set_handler("/ipfs/id/1.0.0", answer, strangers=True)
        await connect(one, other)
        assert await answers(one, other)
        assert await answers(other, one)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not asked


async def test_a_clone_of_this_device_can_connect() -> None:
    """To be shown its own log, and stop."""
    own = bytes(32)
    async with a_host(own) as one, a_host(own) as clone:
        await connect(clone, one)
        assert await answers(clone, one)
