"""A libp2p host that hostile peers can neither kill nor deafen: TCP, Noise and yamux, behind our own guards.

Everything that libp2p 0.8.1 gets wrong is cured here and nowhere else; docs/protocols/host.md lists the faults. Both doors of a node are
made by `open_host`; they differ in whom `admit` calls a member.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.identity_utils import create_identity_from_seed
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from mycelnode.errors import BrokenError, ClosedError, NetworkError, PeerUnreachable
from mycelnode.p2p._gate import GatedNoise, key_of
from mycelnode.p2p._guard import Guard, Limits
from mycelnode.p2p.addresses import advertised, check_free, describe_failure

Handler = Callable[["Stream"], Awaitable[None]]
_log = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0  # for anything polite; what takes longer is cut


class Admission(Enum):
    """What a peer is to us, by its key."""

    MEMBER = "member"
    STRANGER = "stranger"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Where to listen (multiaddrs with tcp; empty: only dial) and the limits."""

    listen: Sequence[str] = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")
    limits: Limits = Limits()
    identify: bool = False  # the mesh door tells nobody anything; other libp2p services need it


class Stream:
    """A stream to ``peer``. Errors follow trio: `ClosedError` closed here, `BrokenError` broken by the other end or the line."""

    def __init__(self, inner: INetStream, peer: str, key: bytes) -> None:
        self._inner, self.peer, self.key = inner, peer, key
        self._closed = False

    async def send_all(self, data: bytes) -> None:
        """Send everything; give it a deadline, since a frozen peer blocks for ever."""
        if self._closed:
            raise ClosedError("the stream was closed here")
        try:
            await self._inner.write(data)
        except StreamClosed as error:
            raise ClosedError("the stream is closed") from error
        except Exception as error:  # yamux lets socket errors of several kinds through; all mean the same here
            raise BrokenError(f"the line to {self.peer} broke") from error

    async def receive_some(self, max_bytes: int) -> bytes:
        """Some bytes, or b"" at the end of the stream, which may also be a killed peer: see `FrameStream`."""
        if self._closed:
            raise ClosedError("the stream was closed here")
        try:
            return await self._inner.read(max_bytes)
        except StreamEOF:
            return b""
        except Exception as error:
            raise BrokenError(f"the line to {self.peer} broke") from error

    async def aclose(self) -> None:
        """Close both directions, without waiting long for the peer."""
        self._closed = True
        with trio.move_on_after(CLOSE_SECONDS) as scope:
            try:
                await self._inner.close()
            except Exception:
                await self.reset()
        if scope.cancelled_caught:
            await self.reset()

    async def reset(self) -> None:
        """Drop the stream; raises nothing."""
        self._closed = True
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_SECONDS):
            try:
                await self._inner.reset()
            except Exception:
                _log.debug("resetting a stream to %s failed", self.peer)


class Host:
    """A running host. Made by `open_host`."""

    def __init__(self, inner: Any, swarm: Swarm, guard: Guard, key: bytes) -> None:
        self._inner, self._swarm, self._guard = inner, swarm, guard
        self._handlers: dict[str, tuple[Handler, bool]] = {}
        self.key = key
        self.peer_id = str(inner.get_id())

    # --- who and where ---------------------------------------------------------------------------------------------------

    @property
    def addrs(self) -> list[str]:
        """Where peers can reach us: real interface addresses, never a wildcard; without the ``/p2p`` suffix."""
        return advertised([str(addr) for listener in self._swarm.listeners.values() for addr in listener.get_addrs()])

    @property
    def port(self) -> int | None:
        """The TCP port, if we listen."""
        for listener in self._swarm.listeners.values():
            for addr in listener.get_addrs():
                return int(addr.value_for_protocol("tcp"))
        return None

    def connected(self) -> set[str]:
        """The peers with a connection, strangers included."""
        return self._guard.peers()

    def address_of(self, peer: str) -> str | None:
        """The remote IP address of the connection with ``peer``."""
        return self._guard.address_of(peer)

    # --- handlers --------------------------------------------------------------------------------------------------------

    def set_handler(self, protocol: str, handler: Handler, *, strangers: bool = False) -> None:
        """Serve ``protocol``; ``strangers``: also to peers that are not (yet) members. Nothing that ``handler`` raises escapes."""
        self._handlers[protocol] = (handler, strangers)
        self._inner.set_stream_handler(protocol, self._dispatch)

    def remove_handler(self, protocol: str) -> None:
        """Stop serving ``protocol``; running handlers finish."""
        if self._handlers.pop(protocol, None) is not None:
            self._inner.remove_stream_handler(protocol)

    async def _dispatch(self, inner: INetStream) -> None:
        peer = inner.muxed_conn.peer_id
        stream = Stream(inner, str(peer), key_of(peer))
        handler, strangers = self._handlers.get(str(inner.get_protocol()), (None, False))
        if handler is None or not (strangers or self._guard.is_member(stream.peer)):
            await stream.reset()
            return
        try:
            await handler(stream)
        except* NetworkError as group:
            _log.debug("a stream with %s ended: %s", stream.peer, group.exceptions[0])
            await stream.reset()
        except* Exception:
            _log.exception("a handler of %s failed", inner.get_protocol())
            await stream.reset()

    # --- connections ------------------------------------------------------------------------------------------------------

    async def dial(self, peer: str, addrs: Sequence[str], *, deadline: float) -> str:
        """Connect to ``peer`` at the first of ``addrs`` that answers, all tried at once, within ``deadline`` seconds.

        Returns that address ("" if already connected). Raises `PeerUnreachable` that says what each address answered. Cancelled, the
        attempts are dropped.
        """
        if peer in self.connected():
            return ""
        failures: dict[str, str] = {}
        won: list[str] = []
        identifier = ID.from_string(peer)

        async def attempt(addr: str, scope: trio.CancelScope) -> None:
            try:
                await self._swarm.dial_addr(Multiaddr(addr), identifier)
            except Exception as error:
                failures[addr] = describe_failure(error)
            else:
                won.append(addr)
                scope.cancel()

        with trio.move_on_after(deadline):
            async with trio.open_nursery() as nursery:
                for addr in dict.fromkeys(addrs):
                    nursery.start_soon(attempt, addr, nursery.cancel_scope)
        if won:
            return won[0]
        tried = "; ".join(f"{addr}: {failures.get(addr, 'no answer')}" for addr in addrs) or "no address is known"
        raise PeerUnreachable(f"{peer} could not be reached ({tried})")

    async def open_stream(self, peer: str, protocol: str, *, deadline: float) -> Stream:
        """A new stream on the connection with ``peer``. Raises `BrokenError` without a connection, on refusal, or after ``deadline`` s."""
        connection = self._guard.connection(peer)
        if connection is None:
            raise BrokenError(f"there is no connection to {peer}")
        inner = None
        try:
            with trio.fail_after(deadline):
                inner = await connection.new_stream()
                communicator = MultiselectCommunicator(inner)
                chosen = await self._inner.multiselect_client.select_one_of([protocol], communicator, deadline)
                inner.set_protocol(chosen)
                return Stream(inner, peer, key_of(connection.muxed_conn.peer_id))
        except (trio.TooSlowError, MultiselectClientError) as error:
            reason = "did not answer" if isinstance(error, trio.TooSlowError) else "does not serve this"
            raise BrokenError(f"{peer} {reason} ({protocol})") from error
        except Exception as error:
            raise BrokenError(f"the line to {peer} broke") from error
        finally:
            if inner is not None and inner.get_protocol() is None:
                await Stream(inner, peer, b"").reset()

    def promote(self, peer: str) -> None:
        """A stranger has shown that it belongs here: it may stay, and use every protocol."""
        self._guard.promote(peer)

    async def disconnect(self, peer: str) -> None:
        """Cut every connection with ``peer``, at once and in the middle of whatever it was doing; returns within a second."""
        await self._guard.disconnect(peer)


@asynccontextmanager
async def open_host(seed: bytes, config: HostConfig, *, admit: Callable[[bytes], Admission]) -> AsyncIterator[Host]:
    """Run a host with the Ed25519 key of ``seed`` (32 bytes). ``admit`` is asked inside every handshake.

    Raises `NetworkError` when an address cannot be listened on. On leaving, all connections and sockets are closed.
    """
    for addr in config.listen:
        check_free(addr)
    pair = create_identity_from_seed(seed)
    guard = Guard(config.limits, lambda key: admit(key) is Admission.MEMBER, lambda key: admit(key) is not Admission.REFUSED)
    inner = new_host(
        key_pair=pair,
        sec_opt={"/noise": GatedNoise(pair, guard.may_connect)},
        muxer_opt={"/yamux/1.0.0": Yamux},
        connection_config=ConnectionConfig(
            min_connections=0,  # no dialling behind our back, and no 250 ms wait
            low_watermark=0,
            high_watermark=config.limits.connections,
            max_connections=config.limits.connections,
            max_connections_per_peer=4,  # two may exist for a moment; the guard keeps one
            inbound_upgrade_timeout=config.limits.handshake_seconds,
            outbound_upgrade_timeout=config.limits.handshake_seconds,
        ),
        disable_identify_address_discovery=True,
    )
    swarm = inner.get_network()
    swarm.set_resource_manager(None)  # it loses a slot with every cancelled dial
    swarm.retry_config = RetryConfig(max_retries=0)
    if not config.identify:
        inner.multiselect.handlers.clear()
        inner._schedule_identify = lambda *_args, **_named: None
    guard.attach(inner, swarm)
    host = Host(inner, swarm, guard, bytes(pair.public_key.to_bytes()))
    async with inner.run(listen_addrs=[Multiaddr(addr) for addr in config.listen]):
        if len(swarm.listeners) < len(config.listen):
            raise NetworkError(f"could not listen on all of {', '.join(config.listen)}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard.run)
            try:
                yield host
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await guard.close_all()


__all__ = ["Admission", "Handler", "Host", "HostConfig", "Limits", "Stream", "StreamError", "open_host"]
