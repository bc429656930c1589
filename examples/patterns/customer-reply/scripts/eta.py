"""Prints when a parcel should arrive: five working days after the order."""

from __future__ import annotations

import sys
from datetime import date, timedelta

day = date.fromisoformat(sys.argv[1])
left = 5
while left:
    day += timedelta(days=1)
    left -= day.weekday() < 5
print(day.isoformat())
