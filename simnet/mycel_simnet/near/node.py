"""Keeps a chain going: makes its blocks, and lets whoever waits for one know."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

import trio

from mycel_simnet.near.chain import Chain
from mycel_simnet.near.finality import Progress, progress, reached

WAIT_SECONDS = 10.0  # for a transaction to come as far as was asked, as on the network's nodes


class Node:
    """A chain whose blocks are made while there is something to do, ``block_seconds`` after one another."""

    def __init__(
        self, chain: Chain, block_seconds: float = 0.0, sleep: Callable[[float], Awaitable[None]] = trio.sleep
    ) -> None:
        self.chain, self.block_seconds, self._sleep = chain, block_seconds, sleep
        self.snapshots: list[sqlite3.Connection] = []
        self._work = trio.Event()
        self._block = trio.Event()  # the next one

    async def run(self) -> None:
        """Make blocks, for ever."""
        while True:
            while not self.chain.busy:
                self.chain.sync()
                self._work = trio.Event()
                await self._work.wait()
            if self.block_seconds:
                await self._sleep(self.block_seconds)
            if self.chain.busy:  # still: a test may have made the blocks meanwhile
                self.chain.produce()
                self.tell()
            await trio.lowlevel.checkpoint()

    def wake(self) -> None:
        """There is something to do."""
        self._work.set()

    def tell(self) -> None:
        """There is a new block."""
        block, self._block = self._block, trio.Event()
        block.set()

    async def wait(self, name: bytes, level: str) -> Progress | None:
        """What has come of a transaction when it has come as far as ``level``; None if it is in no block yet.

        Raises `trio.TooSlowError` when that takes longer than nodes wait.
        """
        with trio.fail_after(WAIT_SECONDS):
            while True:
                block = self._block
                found = progress(self.chain, name)
                if level == "NONE" or (found is not None and reached(self.chain, found, level)):
                    return found
                if found is None and not self.chain.is_waiting(name):
                    return None
                self.wake()
                await block.wait()
