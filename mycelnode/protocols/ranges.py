"""Range-based reconciliation of sorted digests: which parts of two sets differ, and what the parts hold.

The set is cut into ranges with about as many digests each; a fingerprint tells whether both ends hold the same in one. After
Meyer, *Range-Based Set Reconciliation* (arXiv 2212.13567), and negentropy. A fingerprint is the keyed BLAKE2b over the digests
one after the other, and no sum of them: sums can be made to agree by whoever chooses enough of the summands
(docs/decisions/0020-catalogue.md).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from mycelnode.encoding import as_bytes, as_int, as_list
from mycelnode.errors import EncodingError

FANOUT: Final = 16  # parts that a range is cut into
FINGERPRINT_BYTES: Final = 16
BOUND_BYTES: Final = 33  # of the longest bound: a digest, and one byte more for what follows on it
END: Final = b""  # as an upper bound: no bound at all

_PERSON: Final = b"mycel-range"


@dataclass(frozen=True, slots=True)
class Range:
    """The digests from ``low`` on that are below ``high`` (`END`: all the rest), as byte strings compare."""

    low: bytes
    high: bytes

    def of(self, digests: Sequence[bytes]) -> slice:
        """Where they are in sorted ``digests``."""
        first = bisect_left(digests, self.low)
        return slice(first, len(digests) if self.high == END else bisect_left(digests, self.high, first))

    def after(self, digest: bytes) -> Range | None:
        """What of it lies beyond ``digest``; None if that is nothing."""
        low = max(self.low, digest + b"\x00")
        return Range(low, self.high) if self.high == END or low < self.high else None


WHOLE: Final = Range(b"", END)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a range at the other end: how many digests it has, and their fingerprint."""

    range: Range
    count: int
    fingerprint: bytes


def fingerprint(key: bytes, digests: Sequence[bytes]) -> bytes:
    """Of sorted digests. 200,000 of them take 20 to 30 ms."""
    return hashlib.blake2b(b"".join(digests), digest_size=FINGERPRINT_BYTES, key=key, person=_PERSON).digest()


def split(key: bytes, digests: Sequence[bytes], whole: Range) -> list[list[Any]]:
    """The parts of a range of sorted ``digests``, at most `FANOUT`, as they are sent: ``[upper bound, count, fingerprint]``."""
    held = digests[whole.of(digests)]
    parts = min(FANOUT, max(len(held), 1))
    cuts = [len(held) * part // parts for part in range(parts + 1)]
    bounds = [_between(held[cut - 1], held[cut]) for cut in cuts[1:-1]] + [whole.high]
    pieces = [held[first:last] for first, last in pairwise(cuts)]
    return [[bound, len(part), fingerprint(key, part)] for bound, part in zip(bounds, pieces, strict=True)]


def _between(left: bytes, right: bytes) -> bytes:
    """The shortest string above ``left`` that is not above ``right``."""
    shared = next(at for at, (one, other) in enumerate(zip(left, right, strict=True)) if one != other)
    return right[: shared + 1]


def read_parts(value: Any, whole: Range, count: int) -> list[Part]:
    """What `split` made of a range in which the other end said that it has ``count`` digests. Raises `EncodingError`."""
    found: list[Part] = []
    low = whole.low
    if not 0 < len(as_list(value)) <= FANOUT:
        raise EncodingError(f"a range has 1 to {FANOUT} parts")
    for item in value:
        bound, held, told = as_list(item, 3)
        high = read_bound(bound)
        if not _above(high, low) or (whole.high != END and (high == END or high > whole.high)):
            raise EncodingError("the parts of a range are out of order")
        found.append(Part(Range(low, high), as_int(held, high=count), as_bytes(told, FINGERPRINT_BYTES)))
        low = high
        if high == END:
            break
    if low != whole.high or len(found) != len(value) or sum(part.count for part in found) != count:
        raise EncodingError("the parts of a range do not make up the whole")
    return found


def write_ranges(ranges: Sequence[Range]) -> list[list[bytes]]:
    """As they are sent."""
    return [[each.low, each.high] for each in ranges]


def read_ranges(value: Any, most: int) -> list[Range]:
    """The inverse: at most ``most``, in order, and none overlaps another. Raises `EncodingError`."""
    if not 0 < len(as_list(value)) <= most:
        raise EncodingError(f"1 to {most} ranges are asked about at once")
    found: list[Range] = []
    for item in value:
        low, high = map(read_bound, as_list(item, 2))
        before = found[-1].high if found else b""
        if not _above(high, low) or (found and (before == END or low < before)):
            raise EncodingError("ranges are out of order")
        found.append(Range(low, high))
    return found


def read_bound(value: Any) -> bytes:
    """Raises `EncodingError`."""
    bound = as_bytes(value)
    if len(bound) > BOUND_BYTES:
        raise EncodingError(f"a bound has at most {BOUND_BYTES} bytes")
    return bound


def _above(high: bytes, low: bytes) -> bool:
    return high == END or high > low
