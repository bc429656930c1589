"""Walks over a DAG, some blocks at once, wherever they come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from mycelnode.background import open_together
from mycelnode.errors import MycelError
from mycelnode.protocols.dag_walk import DagWalk


async def walk_all(walk: DagWalk, take: Callable[[bytes], Awaitable[None]], *, window: int) -> None:
    """Call ``take`` for the name of each block, of ``window`` at once; it gives the walk what is in the block.

    Once one fails, the others are cancelled. Raises the `MycelError` that it failed with.
    """
    freed, failure = trio.Event(), list[MycelError]()

    async def one(name: bytes) -> None:
        try:
            await take(name)
        except MycelError as error:
            failure.append(error)
        finally:
            walk.ended(name)
            freed.set()

    async with open_together() as nursery:
        while not failure and not walk.over:
            freed = trio.Event()
            while walk.under_way < window and (name := walk.next()) is not None:
                nursery.start_soon(one, name)
            await freed.wait()
        nursery.cancel_scope.cancel()
    if failure:
        raise failure[0]
