"""The clock of this process: the operating system's, unless a test or simnet put another in its place before the node opened."""

from __future__ import annotations

import time

from mycelnode.ports import Clock

# macOS has no CLOCK_BOOTTIME; there CLOCK_MONOTONIC counts sleep (clock_gettime(3)), and `time.monotonic` does not.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The operating system's clocks."""

    def wall(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never jump, not counted while the machine sleeps."""
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds since boot, counted also while the machine sleeps."""
        return time.clock_gettime(_BOOTTIME)


_current: Clock = SystemClock()


def system() -> Clock:
    """The clock that entry points hand to what they open; everything below gets it as an argument."""
    return _current


def use(clock: Clock) -> None:
    """Replace the process's clock; for a launcher such as simnet's, before anything is opened."""
    global _current  # noqa: PLW0603 -- one clock per process is what a process is given
    _current = clock
