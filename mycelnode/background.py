"""Tasks that last as long as a block, and errors that leave it as they were raised.

A trio nursery wraps whatever leaves it in a group, and forgets what the block raised where a cancellation comes out of it as well.
Whoever opens a node, a mesh or a host shall see neither: their errors are promised by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

T = TypeVar("T")


@asynccontextmanager
async def open_background() -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled when its block is left.

    What the block raises is raised again, also when we are cancelled meanwhile. What a task raises cancels the block and is raised;
    a lone error comes bare, several in a group.
    """
    raised: list[Exception] = []
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except Exception as error:
                raised.append(error)
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        rest = group.split(trio.Cancelled)[1] if raised else group
        if rest is not None:
            bare = _bare(BaseExceptionGroup("several errors", [*raised, *rest.exceptions]))
            raise bare from bare.__cause__
    if raised:
        raise raised[0]


@asynccontextmanager
async def open_together() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks are waited for; a lone error, of a task or the block, comes bare."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        bare = _bare(group)
        raise bare from bare.__cause__


async def to_its_end(work: Callable[[], Awaitable[T]], grace: float) -> T:
    """Do what should not be left half done: who is cancelled meanwhile waits for its end, ``grace`` seconds at most. What it raises
    comes bare, and goes before the cancellation."""
    await trio.lowlevel.checkpoint_if_cancelled()  # then it is not even begun
    done: list[T] = []
    failed: list[Exception] = []
    scope, ended = trio.CancelScope(shield=True), trio.Event()

    async def run() -> None:
        with scope:
            try:
                done.append(await work())
            except Exception as error:
                failed.append(error)
        ended.set()

    try:
        async with open_together() as nursery:
            nursery.start_soon(run)
            try:
                await ended.wait()
            except trio.Cancelled:
                scope.deadline = trio.current_time() + grace
                raise
    finally:
        if failed:
            raise failed[0]
    return done[0]


def _bare(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
