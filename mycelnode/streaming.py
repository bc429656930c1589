"""Commands that may take long: whoever asked is told how far they are, as events before the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any, Final, Protocol

import trio

from mycelnode.background import open_background
from mycelnode.commands import Request

PROGRESS_SECONDS: Final = 0.2  # between two events of one transfer


class Watcher(Protocol):
    """Whoever looks on while something takes long: is told of bytes, or in words what is waited for."""

    def __call__(self, here: int, total: int) -> None:
        """So many bytes are done, of ``total`` (0: nobody knows yet)."""
        ...

    def say(self, said: str) -> None:
        """What is waited for."""
        ...


Long = Callable[[Request, Watcher], Awaitable[dict[str, Any]]]


class _Unseen:
    """Nobody looks on."""

    def __call__(self, here: int, total: int) -> None:
        """Nothing."""

    def say(self, said: str) -> None:
        """Nothing."""


class Teller:
    """Tells ``send`` of progress as events, but not more often than is good to look at."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._told = -inf  # the first word, that others are asked, comes at once

    def __call__(self, here: int, total: int) -> None:
        """See `Watcher`."""
        if trio.current_time() >= self._told + PROGRESS_SECONDS:
            self._told = trio.current_time()
            self._send({"type": "event", "event": "progress", "bytes": here, "total": total})

    def say(self, said: str) -> None:
        """See `Watcher`."""
        self._send({"type": "event", "event": "waiting", "said": said})


async def untold(handler: Long, request: Request) -> dict[str, Any]:
    """Carry out a command at which nobody looks on."""
    return await handler(request, _Unseen())


def with_progress(handler: Long) -> Callable[[Request], AsyncIterator[dict[str, Any]]]:
    """The same as a stream: events of what is here by now, and then the result."""

    async def run(request: Request) -> AsyncIterator[dict[str, Any]]:
        send, receive = trio.open_memory_channel[dict[str, Any]](1)

        def tell(event: dict[str, Any]) -> None:
            with suppress(trio.WouldBlock):  # whoever listens is slow: it gets the next one
                send.send_nowait(event)

        async def work() -> None:
            with send:  # not `async with`: that is cancelled once the channel is closed, and the error would be lost
                await send.send({"type": "result", **await handler(request, Teller(tell))})

        async with open_background() as nursery:
            nursery.start_soon(work)
            async for answer in receive:
                yield answer

    return run
