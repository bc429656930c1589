"""A program that follows a registry, and is killed at a given step: ``python -m tests.chain.follower``."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import trio

from mycelnode.chain import copied
from tests.chain.registries import a_follower

put = copied.put


async def main(folder: str, url: str, contract: str, step: str, page: int) -> None:
    """Follow until all is here, or die at ``page``: before its transaction is committed, or as soon as it is on the disk."""
    pages = 0

    def dying(connection: sqlite3.Connection, *args: Any, **named: Any) -> None:
        nonlocal pages
        put(connection, *args, **named)
        pages += 1
        if step == "before" and pages == page:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == "after" and pages == page + 1:  # the one before is committed
            os.kill(os.getpid(), signal.SIGKILL)

    copied.put = dying
    async with a_follower(Path(folder), contract, url) as one:
        while not await one.indexer.look():
            pass


if __name__ == "__main__":
    folder, url, contract, step, page = sys.argv[1:]
    trio.run(main, folder, url, contract, step, int(page))
