"""How fast noise is drawn, releases are decided, and whole windows get to the disk. Argument: how many counts, of 1 to 25 days."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path
from time import perf_counter

import trio

from benchmarks.ours.world import Numbers, job
from mycelnode.database import open_database
from mycelnode.encoding import blake2b
from mycelnode.identity import SEED_BYTES, Identity, RootKey, verify
from mycelnode.paths import DataDir
from mycelnode.privacy import budget, partstore, released
from mycelnode.privacy.accounting import CHOICES, DEFAULT
from mycelnode.privacy.noise import discrete_laplace
from mycelnode.privacy.release import decide
from mycelnode.protocols.release_records import NONCE_BYTES, Spend
from mycelnode.protocols.release_window import Window

SINGLE = 2_000  # draws one by one
FIRST, WINDOWS = 224, 40  # quarters: ten years from 2026 on, as windows only go forward, and a year has four
HABITS = 100  # of a window
MOST_DAYS = 25  # of a habit


async def measure(folder: Path, count: int) -> Numbers:
    """Microseconds of a draw, decisions a second, and windows a second, for the usual choice."""
    choice, counts = CHOICES[DEFAULT], _counts(count)
    started = perf_counter()
    for _ in range(SINGLE):
        discrete_laplace(choice.epsilon)
    between = perf_counter()
    decide(counts, choice)
    ended = perf_counter()
    return {
        "draw_us": 1e6 * (between - started) / SINGLE,
        "decisions_per_s": count / (ended - between),
        "windows_per_s": await _windows_per_s(folder),
    }


def _counts(habits: int) -> dict[bytes, int]:
    return {f"{number:08}".encode(): 1 + number % MOST_DAYS for number in range(habits)}


async def _windows_per_s(folder: Path) -> float:
    """As the releaser does it: what is spent is on the disk before anything is drawn, and what was drawn before it is shown.

    Each of the two steps reads the ledger and the audit log from their beginnings, so later windows take longer.
    """
    root, me = RootKey(secrets.token_bytes(SEED_BYTES)), Identity(secrets.token_bytes(SEED_BYTES))
    counts, now = _counts(HABITS), Window(FIRST + WINDOWS).opens
    async with open_database(DataDir(folder)) as database:

        async def decided(window: Window) -> None:
            nonce = secrets.token_bytes(NONCE_BYTES)
            spend = Spend(me.device, window, DEFAULT, bytes(32), blake2b(nonce), nonce).signed(root.public, me.sign)
            await database.write(lambda connection: budget.reserve(connection, [spend], root.public, verify, now))
            outputs = await trio.to_thread.run_sync(decide, counts, CHOICES[DEFAULT])

            def store(connection: sqlite3.Connection) -> None:
                budget.check(connection, root.public, verify)
                found = released.store(connection, window.id, DEFAULT, spend.version, outputs, now)
                random = secrets.token_bytes(NONCE_BYTES)
                budget.note_decision(connection, spend, blake2b(random + found), random, now)
                partstore.drawn(connection, window.start, now)

            await database.write(store)

        started = perf_counter()
        for quarter in range(FIRST, FIRST + WINDOWS):
            await decided(Window(quarter))
        return WINDOWS / (perf_counter() - started)


if __name__ == "__main__":
    job(measure)
