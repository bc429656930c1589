"""Wires between processes: one TCP proxy per directed link (dialler → target), with latency, bandwidth, cuts and freezes. No root.

A link knows nothing of what it carries. Both directions of a connection take the link of whoever dialled, so a pair of nodes
has two links; `Network` keeps the links of all pairs and changes them together.
"""

from __future__ import annotations

import enum
import math
import random
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import trio

LOOPBACK = "127.0.0.1"
CHUNK = 64 << 10  # bytes read at once
MAX_CHUNKS = 16  # under way in one direction of a connection; then the sender is held back, as a full queue would
RESET_ON_CLOSE = b"\x01\0\0\0\0\0\0\0"  # struct linger {1, 0}: closing sends RST and drops what is unsent (socket(7))
BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

Address = tuple[str, int]


class State(enum.Enum):
    """What a link does with connections and bytes."""

    UP = "up"
    RESET = "reset"  # connections are reset, old and new, as when the other machine is up and nothing listens
    SILENT = "silent"  # nothing comes through or is said, and what was open never recovers, as behind a firewall that forgot it
    FROZEN = "frozen"  # nothing comes through for now; `Link.heal` delivers it, as on a stalled radio


@dataclass(frozen=True, slots=True)
class Shape:
    """How a link that is up behaves: ``latency`` and ``jitter`` in seconds one way, ``bandwidth`` in bytes a second each way."""

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float = math.inf

    @property
    def plain(self) -> bool:
        """Does this delay nothing?"""
        return not self.latency and not self.jitter and math.isinf(self.bandwidth)


PLAIN = Shape()


class Link:
    """The way from one dialler to one target. Listens on ``port`` of the loopback interface while `serve` runs."""

    def __init__(self, name: str, target: Address, *, seed: int = 0, shape: Shape = PLAIN) -> None:
        self.name, self.target, self.shape = name, target, shape
        self.port = 0
        self.state = State.UP
        self.carried = 0  # bytes delivered, both ways
        self.accepted = 0  # connections, those reset at once too
        self._random = random.Random(f"{name}/{seed}")
        self._changed = trio.Event()
        self._open: set[_Connection] = set()
        self._free_at = [-math.inf, -math.inf]  # when each direction has sent what it was given, by trio's clock

    @property
    def connections(self) -> int:
        """How many are open through this link."""
        return len(self._open)

    # --- faults ----------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection, and each new one when it comes, until `heal`."""
        self._become(State.RESET)
        for connection in self._open:
            connection.abort()

    def silence(self) -> None:
        """Carry nothing and say nothing until `heal`; connections that met the silence are reset then."""
        for connection in self._open:
            connection.doomed = True
        self._become(State.SILENT)

    def freeze(self) -> None:
        """Hold every byte until `heal`, then deliver it; new connections are accepted and held too."""
        self._become(State.FROZEN)

    def heal(self) -> None:
        """Carry bytes again."""
        self._become(State.UP)
        for connection in self._open:
            if connection.doomed:
                connection.abort()

    def _become(self, state: State) -> None:
        self.state = state
        self._changed.set()
        self._changed = trio.Event()

    async def _passable(self) -> None:
        while self.state is not State.UP:
            await self._changed.wait()

    # --- carrying --------------------------------------------------------------------------------------------------------

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry connections until cancelled; then all are reset. Reports the port when it listens."""
        listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._carry, listeners)
            task_status.started(self.port)

    async def _carry(self, near: trio.SocketStream) -> None:
        self.accepted += 1
        connection = _Connection(near, doomed=self.state is State.SILENT)
        self._open.add(connection)
        try:
            with connection.scope:
                if self.state is not State.RESET:
                    await self._passable()
                    connection.far = await trio.open_tcp_stream(*self.target)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._pump, connection, near, connection.far, 0)
                        nursery.start_soon(self._pump, connection, connection.far, near, 1)
                    connection.ended = True
        except OSError:
            pass  # nothing listens there: the dialler is reset
        finally:
            self._open.discard(connection)
            connection.close()

    async def _pump(
        self, connection: _Connection, source: trio.SocketStream, sink: trio.SocketStream, way: int
    ) -> None:
        send, receive = trio.open_memory_channel[tuple[float, bytes]](MAX_CHUNKS)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._deliver, connection, receive, sink)
                async with send:
                    while data := await source.receive_some(CHUNK):
                        await send.send((self._due(len(data), way), data))
        except* BROKEN:
            connection.abort()

    async def _deliver(
        self, connection: _Connection, receive: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream
    ) -> None:
        latest = -math.inf  # jitter never reorders what TCP has ordered
        async with receive:
            async for due, data in receive:
                latest = max(latest, due)
                if latest > trio.current_time():
                    await trio.sleep_until(latest)
                await self._passable()
                await sink.send_all(data)
                self.carried += len(data)
        await self._passable()
        await sink.send_eof()

    def _due(self, length: int, way: int) -> float:
        """When bytes that came in now are to be delivered."""
        if self.shape.plain:
            return -math.inf
        start = max(trio.current_time(), self._free_at[way])
        self._free_at[way] = start + length / self.shape.bandwidth
        return self._free_at[way] + self.shape.latency + self._random.uniform(0, self.shape.jitter)


class _Connection:
    """One connection under way: both its ends, and the scope that ends it."""

    def __init__(self, near: trio.SocketStream, *, doomed: bool) -> None:
        self.near = near
        self.far: trio.SocketStream | None = None
        self.scope = trio.CancelScope()
        self.doomed = doomed
        self.ended = False  # both ends said so; else closing resets

    def abort(self) -> None:
        """Reset both ends soon."""
        self.scope.cancel()

    def close(self) -> None:
        """Close both ends now: in peace if both had ended, else by reset."""
        for stream in (self.near, self.far):
            if stream is not None:
                with suppress(OSError):
                    if not self.ended:
                        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                stream.socket.close()


class Network:
    """The links of every pair among named nodes. Links begin when `attach` tells where a node listens.

    >>> network.partition(["laptop"], ["phone", "desk"])
    >>> network.heal()
    """

    def __init__(self, nursery: trio.Nursery, *, seed: int = 0, shape: Shape = PLAIN) -> None:
        self._nursery, self._seed, self._shape = nursery, seed, shape
        self._links: dict[tuple[str, str], Link] = {}
        self._targets: dict[str, Address] = {}
        self._names: list[str] = []

    async def add(self, name: str) -> None:
        """A node that will dial, and later perhaps listen."""
        if name not in self._names:
            self._names.append(name)
            for other in self._targets:
                await self._connect(name, other)

    async def attach(self, name: str, target: Address) -> None:
        """``name`` listens at ``target`` now: make its links from everybody, or lead them there."""
        await self.add(name)
        self._targets[name] = target
        for dialler in self._names:
            if dialler != name:
                await self._connect(dialler, name)

    async def _connect(self, dialler: str, target: str) -> None:
        link = self._links.get((dialler, target))
        if link is None:
            link = Link(f"{dialler}→{target}", self._targets[target], seed=self._seed, shape=self._shape)
            self._links[dialler, target] = link
            await self._nursery.start(link.serve)
        link.target = self._targets[target]

    def link(self, dialler: str, target: str) -> Link:
        """The link that ``dialler`` takes to ``target``; `KeyError` before ``target`` was attached."""
        return self._links[dialler, target]

    def between(self, one: str, other: str) -> list[Link]:
        """The links of a pair, either way."""
        return [link for pair in ((one, other), (other, one)) if (link := self._links.get(pair))]

    def links(self) -> Iterable[Link]:
        """All links."""
        return self._links.values()

    def routes(self, dialler: str) -> Mapping[str, str]:
        """Where ``dialler`` must connect to instead: real address → address of the link, as ``host:port``."""
        return {
            f"{link.target[0]}:{link.target[1]}": f"{LOOPBACK}:{link.port}"
            for (source, _), link in self._links.items()
            if source == dialler
        }

    def partition(self, *groups: Iterable[str], kind: State = State.RESET) -> None:
        """Nodes reach those of their own group only; nodes in no group are on their own. ``kind``: how the others are cut off."""
        group_of = {name: number for number, group in enumerate(groups) for name in group}
        apart = {State.RESET: Link.cut, State.SILENT: Link.silence, State.FROZEN: Link.freeze, State.UP: Link.heal}[
            kind
        ]
        for (one, other), link in self._links.items():
            together = group_of.get(one, one) == group_of.get(other, other)
            (Link.heal if together else apart)(link)

    def isolate(self, name: str, kind: State = State.RESET) -> None:
        """Cut one node off from all others."""
        self.partition([other for other in self._names if other != name], kind=kind)

    def heal(self) -> None:
        """All links carry again."""
        for link in self._links.values():
            link.heal()

    def shape(self, **changes: float) -> None:
        """Change latency, jitter or bandwidth of all links."""
        for link in self._links.values():
            link.shape = replace(link.shape, **changes)
