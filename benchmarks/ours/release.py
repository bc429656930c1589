"""How fast noise is drawn and releases are decided. Argument: how many counts, of 1 to 25 days."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from benchmarks.ours.world import Numbers, job
from mycelnode.privacy.accounting import CHOICES, DEFAULT
from mycelnode.privacy.noise import discrete_laplace
from mycelnode.privacy.release import decide

SINGLE = 2_000  # draws one by one


async def measure(folder: Path, count: int) -> Numbers:
    """Microseconds of a draw, decisions a second, for the usual choice."""
    choice = CHOICES[DEFAULT]
    counts = {f"{number:08}".encode(): 1 + number % 25 for number in range(count)}
    started = perf_counter()
    for _ in range(SINGLE):
        discrete_laplace(choice.epsilon)
    between = perf_counter()
    decide(counts, choice)
    ended = perf_counter()
    return {"draw_us": 1e6 * (between - started) / SINGLE, "decisions_per_s": count / (ended - between)}


if __name__ == "__main__":
    job(measure)
