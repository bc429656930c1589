"""A hybrid logical clock (Kulkarni et al. 2014, "Logical Physical Clocks"), packed into one integer.

A reading is ``(Unix milliseconds << 16) | counter``: later events have greater readings, readings stay close to the wall
clock, and a counter that overflows simply runs over into the milliseconds. The wall clock is passed in; nothing here reads
one.
"""

from __future__ import annotations

from mycelnode.crdt.changelog import MAX_CLOCK
from mycelnode.errors import ClockWrong

COUNTER_BITS = 16
MAX_MS = MAX_CLOCK >> COUNTER_BITS  # year 6429
EARLIEST_MS = 1_735_689_600_000  # 2025-01-01: nobody had this program before; a clock that says so was never set
MAX_SKEW_MS = 24 * 3600 * 1000  # how far another device's clock may pull ours ahead of our wall clock


def to_ms(clock: int) -> int:
    """The Unix milliseconds in a reading."""
    return clock >> COUNTER_BITS


def from_ms(ms: int) -> int:
    """The least reading of a Unix millisecond; times before 1970 count as 1970."""
    return min(max(ms, 0), MAX_MS) << COUNTER_BITS


class HybridClock:
    """One device's clock.

    >>> clock = HybridClock()
    >>> first, second = clock.tick(1000), clock.tick(1000)
    >>> first < second, to_ms(second)
    (True, 1000)
    >>> clock.observe(from_ms(5000), 1000)  # an entry from a device whose clock is 4 s ahead
    >>> to_ms(clock.tick(1001))
    5000
    """

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def tick(self, wall_ms: int) -> int:
        """The reading for a new event at wall-clock time ``wall_ms`` (Unix ms): greater than every reading given or
        observed before.

        Raises `ClockWrong` at the end of the 63-bit range.
        """
        reading = max(self.last + 1, from_ms(wall_ms))
        if reading > MAX_CLOCK:
            raise ClockWrong
        self.last = reading
        return reading

    def observe(self, clock: int, wall_ms: int) -> None:
        """Take note of another device's reading, so that what is written from now on counts as later.

        A reading more than `MAX_SKEW_MS` ahead of ``wall_ms`` pulls our clock that far and no further: one wrong clock must not
        carry all others into the future.
        """
        self.last = max(self.last, min(clock, from_ms(wall_ms + MAX_SKEW_MS)))
