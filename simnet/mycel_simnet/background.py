"""A nursery for helpers that last as long as a block, and what errors in groups say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_background() -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled when its block is left; a lone exception comes out bare, so that tests can expect or skip."""
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__


def texts(group: BaseExceptionGroup[BaseException]) -> list[str]:
    """What the errors in (nested) groups say."""
    return [
        text
        for error in group.exceptions
        for text in (texts(error) if isinstance(error, BaseExceptionGroup) else [str(error)])
    ]
