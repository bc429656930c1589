"""Runs catalogue sessions over libp2p streams: answers neighbours within limits, and asks them what we lack.

Nothing is decided here: that is the machines' affair, in `mycelnode.protocols`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import trio

from mycelnode.background import open_background
from mycelnode.encoding import encode
from mycelnode.errors import BrokenError, PeerMisbehaved
from mycelnode.p2p.framing import FrameStream
from mycelnode.p2p.host import Host, Stream
from mycelnode.ports import Clock, DigestSet
from mycelnode.protocols.catalogue import Initiator, Result
from mycelnode.protocols.catalogue_answers import Responder
from mycelnode.protocols.catalogue_frames import BUSY, MAX_DIGESTS, MAX_FRAME, PROTOCOL
from mycelnode.protocols.catalogue_hints import HintBook
from mycelnode.protocols.holding import Holding
from mycelnode.protocols.riblt import KEY_BYTES, Sketch
from mycelnode.protocols.turns import Allowed, Turns

OPEN_SECONDS = 10.0  # to open a stream
IDLE_SECONDS = 10.0  # for the other end to say or to take one frame
SESSION_SECONDS = 60.0  # of a session that we answer; 6 MB of digests on a line of 1 Mbit/s
KEY_SECONDS = 3600.0  # that one key is used: who knows it can look for digests that collide under it
REKEY_PAUSE_SECONDS = 60.0  # between two keys, whatever neighbours complain of
THREADS = 1  # that compute for all sessions, so that no more than one core is taken

T = TypeVar("T")
Told = Callable[[str, Sequence[bytes]], None]
_log = logging.getLogger(__name__)


class CatalogueDriver:
    """Made by `open_catalogue`. Whoever follows its hints reports back by `hint_held` and `hint_failed`."""

    def __init__(self, host: Host, holding: Holding, clock: Clock, told: Told, random: Callable[[int], bytes]) -> None:
        self.host, self.holding = host, holding
        self._clock, self._told, self._random = clock, told, random
        self._hints = HintBook()
        self._turns = Turns(Allowed())
        self._threads = trio.CapacityLimiter(THREADS)
        self._stuck = trio.Event()

    # --- asking --------------------------------------------------------------------------------------------------------

    async def reconcile(self, peer: str, *, most: int = MAX_DIGESTS, deadline: float = SESSION_SECONDS) -> Result:
        """Which digests we lack and ``peer`` says that it holds, ``most`` at most, and the reverse, of which it was told.

        Raises `BrokenError` without a connection or after ``deadline`` seconds, `Unsupported`, `BusyError` when it has no time now,
        and `PeerMisbehaved`, also while the peer is shunned. Cancelled, nothing is left behind.
        """
        if self._hints.shuns(peer, self._clock.monotonic()):
            raise PeerMisbehaved("what this peer claimed to hold was not there; it is not asked for a while")
        with trio.move_on_after(deadline):
            stream = await self.host.open_stream(self.host.line(peer), PROTOCOL, deadline=OPEN_SECONDS)
            try:
                return await self._ask(FrameStream(stream, MAX_FRAME), most)
            except PeerMisbehaved:
                self._hints.shun(peer, self._clock.monotonic())
                raise
        raise BrokenError(f"{peer} did not end a catalogue session within {deadline:.0f} seconds")

    async def _ask(self, frames: FrameStream, most: int) -> Result:
        machine = Initiator(self.holding.view().digests, most)
        try:
            requests = [machine.start()]
            while True:
                for request in requests:
                    await frames.send(request, deadline=IDLE_SECONDS)
                if machine.result is not None:
                    await frames.aclose()
                    return machine.result
                answer = await frames.receive(deadline=IDLE_SECONDS)
                if answer is None:
                    raise BrokenError("the other end left in the middle of a catalogue session")
                requests = await self._in_thread(partial(machine.receive, answer))
        finally:
            frames.stream.reset()

    # --- answering -----------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """The handler of the protocol. Raises `NetworkError`, and `trio.TooSlowError` after `SESSION_SECONDS`."""
        frames = FrameStream(stream, MAX_FRAME)
        peer = stream.peer
        try:
            request = await frames.receive(
                deadline=IDLE_SECONDS
            )  # what is closed unread is reset, and nobody hears why
            if request is None:
                return
            if not self._turns.begin(peer, self._clock.monotonic()):
                await frames.send(encode([BUSY]), deadline=IDLE_SECONDS)
                await frames.aclose()
                return
            machine = Responder(self.holding.view())
            try:
                with trio.fail_after(SESSION_SECONDS):
                    await self._answer(machine, request, frames)
            finally:
                self._turns.end(peer)
                if machine.stuck and machine.view.key == self.holding.key:
                    self._stuck.set()
            await frames.aclose()
        finally:
            stream.reset()
        if machine.told and not self._hints.shuns(peer, self._clock.monotonic()):
            self._told(peer, machine.told)

    async def _answer(self, machine: Responder, request: bytes | None, frames: FrameStream) -> None:
        while request is not None:
            for answer in await self._in_thread(partial(machine.receive, request)):
                await frames.send(answer, deadline=IDLE_SECONDS)
            request = await frames.receive(deadline=IDLE_SECONDS)

    # --- hints ---------------------------------------------------------------------------------------------------------

    def hint_held(self, peer: str) -> None:
        """A manifest that ``peer`` claimed was fetched, and verified."""
        self._hints.hint_held(peer)

    def hint_failed(self, peer: str) -> bool:
        """One was not to be had, or does not verify. False: ``peer`` is shunned now, and its other claims are to be dropped."""
        return self._hints.hint_failed(peer, self._clock.monotonic())

    # --- keys ----------------------------------------------------------------------------------------------------------

    async def change_keys(self) -> None:
        """Take another key now and then, and soon after a neighbour could not take the difference out of the cells."""
        while True:
            with trio.move_on_after(KEY_SECONDS):
                await self._stuck.wait()
            copied = self.holding.copy()
            self.holding.rekey(await self._in_thread(partial(Sketch, self._random(KEY_BYTES), copied)))
            self._stuck = trio.Event()
            _log.debug("catalogue cells have another key")
            await trio.sleep(REKEY_PAUSE_SECONDS)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._threads)


@asynccontextmanager
async def open_catalogue(
    host: Host, held: DigestSet, clock: Clock, *, told: Told, random: Callable[[int], bytes] = secrets.token_bytes
) -> AsyncIterator[CatalogueDriver]:
    """Serve the catalogue of what is ``held`` on ``host``, and ask others, for as long as the block lasts.

    ``told(peer, digests)`` hears what neighbours say that we lack: hints, as all that a session finds. ``random`` makes the keys.
    """
    changes: list[tuple[bytes, bool]] = []

    def note(digest: bytes, here: bool) -> None:
        changes.append((digest, here))

    held.listeners.append(note)
    try:
        digests = list(held.digests())
        holding = await trio.to_thread.run_sync(Holding, random(KEY_BYTES), digests)
    finally:
        held.listeners.remove(note)
    for change in changes:
        holding.change(*change)
    driver = CatalogueDriver(host, holding, clock, told, random)
    held.listeners.append(holding.change)
    host.set_handler(PROTOCOL, driver.serve, strangers=True)
    try:
        async with open_background() as nursery:
            nursery.start_soon(driver.change_keys)
            yield driver
    finally:
        host.remove_handler(PROTOCOL)
        held.listeners.remove(holding.change)
