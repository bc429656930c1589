"""The small Protocols through which lower rooms reach what they must not import."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Where every reading of time comes from, so that tests and simnet can own it."""

    def wall(self) -> int:
        """Unix time in milliseconds, as the operating system believes it."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; not counted while the machine sleeps."""
        ...

    def boottime(self) -> float:
        """Seconds since boot, counted also while the machine sleeps (CLOCK_BOOTTIME)."""
        ...
