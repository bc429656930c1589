"""A libp2p host that hostile peers can neither kill nor deafen: TCP, Noise and yamux, behind our own guards.

Everything that libp2p 0.8.1 gets wrong is cured in this room; docs/protocols/host.md lists the faults. Both doors of a node are
made by `open_host`; they differ in whom ``admit`` calls a member.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.identity_utils import create_identity_from_seed
from libp2p.network.config import ConnectionConfig, RetryConfig
from multiaddr import Multiaddr

from mycelnode.background import open_background
from mycelnode.errors import BrokenError, NetworkError, PeerUnreachable
from mycelnode.p2p import _multistream
from mycelnode.p2p._addresses import (
    Endpoint,
    advertised,
    from_socket,
    interface_addresses,
    is_public,
    machine_addresses,
    parse,
    usable,
)
from mycelnode.p2p._door import Door
from mycelnode.p2p._gate import GatedNoise, bound_handshakes, id_of
from mycelnode.p2p._guard import Admission, Connection, Guard, Limits
from mycelnode.p2p._quiet import quieten
from mycelnode.p2p._sockets import NOT_LET_IN, describe_failure, ends, listen_on
from mycelnode.p2p._stream import NEGOTIATE_SECONDS, Stream, reset_quietly
from mycelnode.p2p._yamux import Yamux, use_bounded_yamux

Handler = Callable[[Stream], Awaitable[None]]
_log = logging.getLogger(__name__)

NO_LIMIT = 1 << 16  # connections, for libp2p, which would refuse members, too: the guard limits
AGAIN_SECONDS = (
    0.1,
    0.2,
    0.4,
    0.8,
)  # before a peer that did not let us in is tried again: strangers may have taken all the room
CLOSE_SECONDS = 10.0  # for everything to be closed, whoever cancels meanwhile


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Where to listen (multiaddrs with tcp; empty: only dial) and the limits.

    ``private_only``: a wildcard such as 0.0.0.0 stands for private addresses; an address named outright is always listened on.
    """

    listen: Sequence[str] = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")
    limits: Limits = field(default_factory=Limits)
    private_only: bool = True


class Host:
    """A running host. Made by `open_host`."""

    def __init__(
        self,
        swarm: Any,
        guard: Guard,
        key: bytes,
        config: HostConfig,
        listening: Sequence[Endpoint],
        nursery: trio.Nursery,
    ) -> None:
        self._swarm, self._guard, self._nursery = swarm, guard, nursery
        self._listening, self._private_only = listening, config.private_only
        self._interfaces: list[str] = []
        self._handlers: dict[str, tuple[Handler, bool]] = {}
        self.key = key
        self.peer_id = str(swarm.get_peer_id())

    # --- who and where ---------------------------------------------------------------------------------------------------

    @property
    def addrs(self) -> list[str]:
        """Where peers can reach us: real interface addresses, never a wildcard; without the ``/p2p`` suffix.

        As last seen, while the system will not list them.
        """
        with suppress(OSError):
            self._interfaces = interface_addresses()
        return advertised(self._listening, self._interfaces, private_only=self._private_only)

    @property
    def port(self) -> int | None:
        """The TCP port, if we listen."""
        return next((endpoint.port for endpoint in self._listening), None)

    def connected(self) -> set[str]:
        """The peers with a connection, strangers included."""
        return self._guard.peers()

    @property
    def protocols(self) -> list[str]:
        """What is served to strangers."""
        return [protocol for protocol, (_, strangers) in self._handlers.items() if strangers]

    def line(self, peer: str) -> Connection:
        """The connection in use with ``peer``. Raises `BrokenError` if there is none."""
        found = self._guard.find(peer)
        if found is None:
            raise BrokenError(f"there is no connection to {peer}")
        return found

    def watch(self, watcher: Callable[[str, bool], None]) -> None:
        """Call ``watcher`` with each peer from now on, and True when its first connection stands, False when its last is gone."""
        self._guard.watchers.append(watcher)

    def unwatch(self, watcher: Callable[[str, bool], None]) -> None:
        """Undo `watch`."""
        self._guard.watchers.remove(watcher)

    # --- handlers --------------------------------------------------------------------------------------------------------

    def set_handler(self, protocol: str, handler: Handler, *, strangers: bool = False) -> None:
        """Serve ``protocol``; ``strangers``: also to peers that are not (yet) members. Nothing that ``handler`` raises escapes."""
        self._handlers[protocol] = (handler, strangers)

    def remove_handler(self, protocol: str) -> None:
        """Stop serving ``protocol``; running handlers finish."""
        self._handlers.pop(protocol, None)

    def _stream(self, inner: INetStream, entry: Connection) -> Stream:
        drop = partial(self._nursery.start_soon, reset_quietly, inner, entry.cut)
        return Stream(inner, entry.peer, entry.key, drop, entry.cut)

    async def _serve(self, inner: Any) -> None:
        """Every inbound stream. Nothing may escape: it would cancel libp2p's whole swarm."""
        entry = self._guard.enter(inner.swarm_conn)
        if entry is None:
            return  # the line is gone already
        if entry.streams >= entry.max_streams:
            await reset_quietly(inner, entry.cut)
            return
        stream = self._stream(inner, entry)
        try:
            with entry.holding():
                offered = {protocol for protocol, (_, strangers) in self._handlers.items() if strangers or entry.member}
                with trio.fail_after(NEGOTIATE_SECONDS):
                    protocol = await _multistream.agree(stream, offered)
                found = self._handlers.get(protocol)
                if found is not None:
                    with entry.serving():
                        await found[0](stream)
        except* (NetworkError, trio.TooSlowError) as group:
            _log.debug("a stream of %s ended: %s", entry.peer, group.exceptions[0])
        except* Exception:
            _log.exception("a handler failed on a stream of %s", entry.peer)
        finally:
            stream.reset()

    # --- connections -----------------------------------------------------------------------------------------------------

    async def dial(self, peer: str, addrs: Sequence[str], *, deadline: float) -> str:
        """Connect to ``peer`` at the first of ``addrs`` that answers, all tried at once, within ``deadline`` seconds.

        Returns that address ("" if already connected). Raises `PeerUnreachable`, whose ``tried`` says what each address answered,
        and `EncodingError` if ``peer`` is no peer id. Cancelled, the attempts are dropped.
        """
        if self._guard.find(peer) is not None:
            return ""
        identifier = id_of(peer)
        addrs = usable(addrs)
        tried: dict[str, str] = dict.fromkeys(addrs, "no answer")
        won: list[str] = []

        async def attempt(addr: str, scope: trio.CancelScope) -> None:
            for pause in (*AGAIN_SECONDS, 0.0):
                try:
                    connection = await self._swarm.dial_addr(Multiaddr(addr), identifier)
                    self._guard.enter(connection)
                except Exception as error:
                    tried[addr] = describe_failure(error)
                else:
                    won.append(addr)
                    scope.cancel()
                if tried[addr] != NOT_LET_IN or self._guard.find(peer) is not None:
                    return  # in; or of two connections it has kept the other one
                await trio.sleep(pause)

        with trio.move_on_after(deadline):
            async with trio.open_nursery() as nursery:
                for addr in addrs:
                    nursery.start_soon(attempt, addr, nursery.cancel_scope)
        if self._guard.find(peer) is not None:
            return won[0] if won else ""  # it has dialled us meanwhile
        listing = "; ".join(f"{addr}: {answer}" for addr, answer in tried.items()) or "no address of it is known"
        raise PeerUnreachable(f"{peer} could not be reached ({listing})", tried)

    async def open_stream(self, line: Connection, protocol: str, *, deadline: float) -> Stream:
        """A new stream on a connection.

        Raises `BrokenError` if that is over or after ``deadline`` seconds, `Unsupported` if the peer does not serve it.
        """
        with trio.move_on_after(deadline):
            stream = self._stream(await self._new_stream(line), line)
            try:
                await _multistream.propose(stream, protocol)
            except BaseException:
                stream.reset()
                raise
            return stream
        raise BrokenError(f"{line.peer} did not answer ({protocol})")

    async def _new_stream(self, entry: Connection) -> Any:
        try:
            return await entry.inner.new_stream()
        except Exception as error:
            raise BrokenError(f"the line to {entry.peer} broke") from error
        except BaseException:  # cancelled: a part of the message may have gone out, and one of the few slots is lost
            entry.cut()
            raise

    def promote(self, peer: str) -> None:
        """A stranger has shown that it belongs here: it may stay, and use every protocol."""
        self._guard.promote(peer)

    def useful(self, peer: str, seconds: float) -> None:
        """What goes on with ``peer`` is worth its place for so long: it is not cut as idle, nor to make room for others."""
        self._guard.useful(peer, seconds)

    def cut_stranded(self) -> None:
        """Cut the connections that run from an address which this machine has no more: nothing will ever come through."""
        own = machine_addresses()
        for entry in self._guard.entries():
            both = ends(entry.inner.muxed_conn.secured_conn.mycel_raw)
            if both is not None and both[0].host not in own:
                _log.info("cutting %s: its address here is gone", entry.peer)
                entry.cut()

    def disconnect(self, peer: str) -> None:
        """Cut every connection with ``peer``, at once and in the middle of whatever it was doing."""
        self._guard.disconnect(peer)


@asynccontextmanager
async def open_host(seed: bytes, config: HostConfig, *, admit: Callable[[bytes], Admission]) -> AsyncIterator[Host]:
    """Run a host with the Ed25519 key of ``seed`` (32 bytes). ``admit`` is asked inside every handshake.

    Raises `NetworkError` when an address cannot be listened on. On leaving, all connections and sockets are closed.
    """
    quieten()
    bound_handshakes()
    use_bounded_yamux()
    wanted = [parse(addr) for addr in config.listen]
    named = {endpoint.host for endpoint in wanted}
    pair = create_identity_from_seed(seed)
    guard = Guard(config.limits, admit)
    inner = _new_host(pair, guard)
    swarm = inner.get_network()
    door = Door(
        swarm,
        handshakes=config.limits.handshakes,
        opens_on=lambda host: host in named or not (config.private_only and is_public(host)),
    )
    closing = trio.CancelScope()  # libp2p makes groups of groups of whatever reaches it while it closes: nothing does
    raised: BaseException | None = None
    with listen_on(wanted) as listeners, closing:
        listening = [from_socket(listener.socket.getsockname()) for listener in listeners]
        async with (
            open_background() as nursery,  # around libp2p: what ends in there still resets its streams here
            inner.run(listen_addrs=[]),
        ):
            host = Host(swarm, guard, bytes(pair.public_key.to_bytes()), config, listening, nursery)
            swarm.set_stream_handler(host._serve)
            accepting = trio.CancelScope()
            nursery.start_soon(guard.run)
            nursery.start_soon(door.serve, listeners, accepting)
            try:
                yield host
            except BaseException as error:
                raised = error
            finally:
                closing.shield, closing.deadline = True, trio.current_time() + CLOSE_SECONDS
                accepting.cancel()
                guard.close_all()
    if isinstance(raised, trio.Cancelled):
        await trio.lowlevel.checkpoint_if_cancelled()
        raise NetworkError("the network of this device stopped by itself")
    if raised is not None:
        raise raised


def _new_host(pair: Any, guard: Guard) -> Any:
    """A libp2p host with everything off that dials, tells or keeps things by itself."""
    limits = guard.limits
    inner: Any = new_host(
        key_pair=pair,
        sec_opt={"/noise": GatedNoise(pair, guard.may_connect)},
        muxer_opt={"/yamux/1.0.0": Yamux},
        connection_config=ConnectionConfig(
            min_connections=0,
            low_watermark=0,
            high_watermark=NO_LIMIT,
            max_connections=NO_LIMIT,
            max_connections_per_peer=NO_LIMIT,
            inbound_upgrade_timeout=limits.handshake_seconds,
            outbound_upgrade_timeout=limits.handshake_seconds,
        ),
        disable_identify_address_discovery=True,
    )
    swarm = inner.get_network()
    swarm.set_resource_manager(None)  # it loses a slot with every cancelled dial
    swarm.retry_config = RetryConfig(max_retries=0)
    # Identify asks every peer what it is, and keeps megabytes of what it answers.
    inner._schedule_identify = lambda *_args, **_named: None
    guard.attach(swarm)
    return inner


__all__ = ["Admission", "Connection", "Handler", "Host", "HostConfig", "Limits", "Stream", "open_host"]
