"""Two meshes in one process, connected by the product's own sync driver over a pipe in memory, every byte counted.

What the CRDT peers are measured with has no network either; all else is the product: sessions, frames, verification, the committer,
fsync. Times over a real network are measured by `benchmarks.ours.replicate`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import memory_stream_pair

from benchmarks.ours.world import DEADLINE
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import peer_id
from mycelnode.errors import BrokenError
from mycelnode.mesh import Mesh
from mycelnode.p2p.framing import HASH_BYTES
from mycelnode.p2p.sync_driver import SyncDriver
from mycelnode.protocols.state_transfer import PIECE_BYTES
from mycelnode.protocols.sync_frames import ENTRIES, PROTOCOL, STATE

CODE_AT = 5  # of a frame: 4 bytes of length, the head of the CBOR list, then the code, below 24


class _Stream:
    """One end of the pipe, as `FrameStream` and `SyncDriver` want it."""

    def __init__(self, pipe: Any, key: DeviceId) -> None:
        self._pipe, self.key, self.peer = pipe, key, peer_id(key)
        self.sent: Counter[int] = Counter()  # bytes by the code of the frame; each frame is sent in one piece
        self.rest: trio.Event | None = None  # for which the sender waits once it has sent a state

    async def send_all(self, data: bytes, *, deadline: float) -> None:
        code = data[CODE_AT] if len(data) > CODE_AT + HASH_BYTES else 0
        self.sent[code] += len(data)
        try:
            await self._pipe.send_all(data)
            if self.rest is not None and code == STATE and len(data) < PIECE_BYTES:  # the last piece
                await self.rest.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise BrokenError("the pipe is gone") from error

    async def receive_some(self, max_bytes: int) -> bytes:
        try:
            return bytes(await self._pipe.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise BrokenError("the pipe is gone") from error

    async def aclose(self) -> None:
        await self._pipe.aclose()

    def reset(self) -> None:
        self._pipe.send_stream.close()
        self._pipe.receive_stream.close()

    cut = reset


class _Door:
    """Where the driver registers its handlers; nobody knocks here but `connected`."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[Any], Any]] = {}

    def set_handler(self, protocol: str, handler: Callable[[Any], Any], *, strangers: bool = False) -> None:
        self.handlers[protocol] = handler


class Link:
    """A running connection of two meshes."""

    def __init__(self, drivers: Sequence[SyncDriver], streams: Sequence[_Stream]) -> None:
        self._drivers, self._streams = drivers, streams
        self._news = trio.Event()

    def bytes(self, *, entries: bool = True) -> int:
        """Sent so far in both directions, with or without the frames that hold log entries."""
        return sum(size for stream in self._streams for code, size in stream.sent.items() if entries or code != ENTRIES)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something holds; looked at whenever either end has moved."""
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                for driver in self._drivers:
                    await nursery.start(self._watch, driver)
                while not true():
                    self._news = trio.Event()
                    await self._news.wait()
                nursery.cancel_scope.cancel()

    async def _watch(self, driver: SyncDriver, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            await driver.moved()
            self._news.set()

    def in_step(self) -> bool:
        """Does each end know that the other has all of it on disk?"""
        sessions = [link.session for driver in self._drivers for link in driver.links.values()]
        return len(sessions) == 2 and all(s.ready and not s.lacking() and not s.awaiting() for s in sessions)


@asynccontextmanager
async def connected(one: Mesh, other: Mesh, *, rest: bool = False) -> AsyncIterator[Link]:
    """Connect two open meshes for as long as the block lasts.

    ``rest``: who has sent a state sends nothing more. The two share one interpreter here; in life the newcomer has its own, and is
    not held up by the other's work on what comes next.
    """
    meshes, doors = (one, other), (_Door(), _Door())
    drivers = [SyncDriver(mesh, door, lambda *_: None) for mesh, door in zip(meshes, doors, strict=True)]  # type: ignore[arg-type]
    keys = (other.identity.device, one.identity.device)
    streams = [_Stream(pipe, key) for pipe, key in zip(memory_stream_pair(), keys, strict=True)]
    for stream in streams:
        stream.rest = trio.Event() if rest else None
    async with trio.open_nursery() as nursery:
        for door, stream in zip(doors, streams, strict=True):
            nursery.start_soon(door.handlers[PROTOCOL], stream)
        try:
            yield Link(drivers, streams)
        finally:
            nursery.cancel_scope.cancel()
            for driver in drivers:
                driver.close()
