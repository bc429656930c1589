"""Windows of time, each of which ends in one release decision: calendar quarters, or whole years, in UTC.

Quarters are counted from 1970 on: quarter 0 is January to March of that year. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from mycelnode.errors import EncodingError

YEAR: Final = 4  # quarters
MAX_QUARTER: Final = (9_999 - 1970) * YEAR  # the last that RFC 3339 can write is after this one
MONTHS: Final = 3  # of a quarter
DAY_MS: Final = 86_400_000

_ID = re.compile(r"(?P<year>[0-9]{4})(?:-Q(?P<first>[1-4])(?:-Q(?P<last>[2-4]))?)?")


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """``quarters`` whole quarters from the quarter ``start`` on. More than one is a year, or what a new plan has left of it.

    >>> Window.called("2026-Q4").opens == 1_790_812_800_000  # 2026-10-01T00:00:00Z, in Unix ms
    True
    """

    start: int
    quarters: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.start <= MAX_QUARTER and 1 <= self.quarters <= YEAR - self.start % YEAR):
            raise EncodingError("a window is one to four quarters of one year")

    @property
    def end(self) -> int:
        """The quarter after it."""
        return self.start + self.quarters

    @property
    def opens(self) -> int:
        """Its first millisecond (Unix ms)."""
        return quarter_begins(self.start)

    @property
    def closes(self) -> int:
        """The first millisecond after it."""
        return quarter_begins(self.end)

    @property
    def year(self) -> int:
        """Of the calendar."""
        return 1970 + self.start // YEAR

    @property
    def id(self) -> str:
        """What people and scripts call it: 2026-Q4, or 2026 for a whole year."""
        first = self.start % YEAR + 1
        if self.quarters == YEAR:
            return f"{self.year:04}"
        last = "" if self.quarters == 1 else f"-Q{first + self.quarters - 1}"
        return f"{self.year:04}-Q{first}{last}"

    @classmethod
    def called(cls, name: str) -> Window:
        """The inverse of ``id``. Raises `EncodingError`."""
        found = _ID.fullmatch(name)
        if found is None or int(found["year"]) < 1970:
            raise EncodingError("no window is called so; 2026-Q4 is one, and 2026")
        base = (int(found["year"]) - 1970) * YEAR
        if found["first"] is None:
            return cls(base, YEAR)
        first, last = int(found["first"]), int(found["last"] or found["first"])
        if last < first:
            raise EncodingError("no window is called so; 2026-Q4 is one, and 2026")
        return cls(base + first - 1, last - first + 1)

    def overlaps(self, other: Window) -> bool:
        """Is there a quarter in both?"""
        return self.start < other.end and other.start < self.end

    def over(self, now: int) -> bool:
        """Has it ended at ``now`` (Unix ms)?"""
        return now >= self.closes


@lru_cache(maxsize=256)
def quarter_begins(quarter: int) -> int:
    """Its first millisecond (Unix ms, UTC)."""
    years, part = divmod(quarter, YEAR)
    return int(datetime(1970 + years, 1 + MONTHS * part, 1, tzinfo=UTC).timestamp()) * 1000


def quarter_of(moment: int) -> int:
    """In which quarter a moment lies (Unix ms); the first or the last there is, if that is before or after them."""
    if moment < 0:
        return 0
    if moment >= quarter_begins(MAX_QUARTER):
        return MAX_QUARTER
    at = datetime.fromtimestamp(moment // 1000, UTC)
    return (at.year - 1970) * YEAR + (at.month - 1) // MONTHS
