"""Catalogue sync: any two sets are reconciled exactly, at a cost that grows with the difference; liars cost a bounded amount."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.protocols import catalogue_frames as frames
from mycelnode.protocols.ranges import WHOLE, Range, fingerprint, split
from mycelnode.protocols.riblt import (
    MAX_CELLS,
    Cells,
    Decoder,
    Encoder,
    Sketch,
    keyed,
    places,
)
from tests.protocols.catalogues import KEY, check, digest, many

# --- cells -------------------------------------------------------------------------------------------------------------------


def test_a_digest_lies_in_the_same_cells_for_everybody() -> None:
    """Numbers that every machine must come to: a device that computes otherwise reconciles with nobody."""
    check_bytes, state = keyed(KEY)(digest(1))
    assert check_bytes.hex() == "564e8a39d4d66ab7"
    assert list(places(state, 100)) == [0, 2, 3, 5, 21, 29, 32, 50, 60]


@given(st.sets(st.integers(0, 500), max_size=60), st.integers(1, 300), st.binary(min_size=16, max_size=16))
@settings(deadline=None)
def test_cells_by_numpy_in_steps_and_one_by_one_are_the_same(numbers: set[int], end: int, key: bytes) -> None:
    digests = many(numbers)
    by_steps = Encoder(key, digests)
    by_steps.extend(end // 3)
    found = by_steps.extend(end)
    sketch = Sketch(key)
    for each in digests:
        sketch.add(each)
    sketch.add(digest(1000))
    sketch.remove(digest(1000))
    rows, counts = [bytes(40)] * end, [0] * end
    for each in digests:
        check_bytes, state = keyed(key)(each)
        for at in places(state, end):
            rows[at] = bytes(a ^ b for a, b in zip(rows[at], each + check_bytes, strict=True))
            counts[at] += 1
    assert rows == [row.tobytes() for row in found.rows]
    assert counts == found.counts.tolist()
    assert sketch.cells()[:end].encode() == found.encode()
    again = Cells.decode(found.encode(), end)
    assert again.encode() == found.encode()


def test_about_as_many_cells_are_needed_as_the_paper_says() -> None:
    for differences, most in ((10, 2.4), (100, 1.7), (1000, 1.5), (8000, 1.42)):
        theirs, mine = Encoder(KEY, many(range(differences))), Encoder(KEY, [])
        decoder, step = Decoder(KEY), max(1, differences // 50)
        while not decoder.done:
            have = len(decoder)
            decoder.add(theirs.extend(have + step)[have:], mine.extend(have + step)[have:])
        assert decoder.found.keys() == set(many(range(differences)))
        assert len(decoder) <= most * differences, f"{len(decoder)} cells for {differences} differences"


def test_the_number_of_differences_is_estimated_from_few_cells() -> None:
    ratios = []
    for seed in range(20):
        key = bytes([seed] * 16)
        here, there = Encoder(key, many(range(2000))).extend(64), Encoder(key, many(range(1000, 4000))).extend(64)
        decoder = Decoder(key)
        decoder.add(there, here)
        ratios.append(decoder.estimate() / 3000)
    assert 0.85 < float(np.mean(ratios)) < 1.15
    assert all(0.4 < ratio < 2 for ratio in ratios)


# --- ranges ------------------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 2000), max_size=200), st.binary(max_size=3), st.binary(max_size=3))
@settings(deadline=None)
def test_parts_make_up_their_range(numbers: set[int], one: bytes, other: bytes) -> None:
    digests = many(numbers)
    low, high = min(one, other), max(one, other)
    whole = Range(low, high) if low < high else WHOLE
    parts = split(KEY, digests, whole)
    held, at = [], whole.low
    for bound, count, told in parts:
        part = digests[Range(at, bound).of(digests)]
        assert (len(part), fingerprint(KEY, part)) == (count, told)
        held += part
        at = bound
    assert held == digests[whole.of(digests)]
    assert at == whole.high
    sizes = [count for _, count, _ in parts]
    assert max(sizes) - min(sizes) <= 1


# --- any two sets ------------------------------------------------------------------------------------------------------------

SETS = st.sets(st.integers(0, 400), max_size=300)


@given(SETS, SETS, st.sampled_from([1, 2, 30, 64, MAX_CELLS]))
@settings(deadline=None, max_examples=150)
def test_any_two_sets_are_reconciled_exactly(mine: set[int], theirs: set[int], cells: int) -> None:
    """Also where the other end has fewer cells than the difference takes."""
    check(many(mine), many(theirs), cells=cells)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (range(0), range(0)),
        (range(5000), range(5000)),
        (range(0), range(5000)),
        (range(5000), range(0)),
        (range(5000), range(5000, 10_000)),
        (range(1), range(5000)),
        (range(5000), range(1)),
        (range(20_000), range(10_000, 50_000)),
        (range(40_000), range(100)),
        (range(4000), range(100, 4100)),
    ],
    ids=str,
)
def test_the_ends_of_what_can_be(mine: range, theirs: range) -> None:
    check(many(mine), many(theirs))


def test_a_difference_beyond_the_cells_goes_by_ranges() -> None:
    base = range(60_000)
    wire, result = check(many(base), many(itertools.chain(base[15_000:], range(60_000, 75_000))))
    assert result.ranged
    assert wire.bytes < 1.1 * 32 * 60_000 + 32 * frames.MAX_TOLD + 20_000


def test_digests_that_share_a_long_beginning_are_told_apart() -> None:
    """Whoever grinds digests can give them a beginning in common: ranges are cut by number, not by bits."""
    alike = sorted(bytes(12) + digest(number)[:20] for number in range(400))
    check(many(range(200)), alike, cells=1)
    check(sorted(alike[::2] + many(range(2000))), sorted(alike + many(range(3, 2003))), cells=30)


# --- bytes -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> list[bytes]:
    return many(range(100_000))


@pytest.mark.parametrize(("differences", "times"), [(0, 0), (1, 6), (10, 6), (100, 3), (1000, 2.5)])
def test_bytes_grow_with_the_difference(large: list[bytes], differences: int, times: float) -> None:
    away = random.Random(differences).sample(large, len(large) - differences)
    wire, result = check(sorted(away), large)
    assert not result.ranged
    floor = 32 * differences
    print(
        f"\nd = {differences}: {wire.bytes} B, {wire.bytes / max(floor, 1):.2f} times the floor, {result.requests} requests"
    )
    assert wire.bytes <= max(times * floor, 200)


@pytest.mark.parametrize(("differences", "times"), [(10, 6), (100, 3), (1000, 3)])
def test_bytes_where_both_ends_have_something_new(large: list[bytes], differences: int, times: float) -> None:
    new = many(range(100_000, 100_000 + differences // 2))
    mine = sorted(random.Random(differences).sample(large, len(large) - differences // 2) + new)
    wire, result = check(mine, large)
    told = 32 * (differences // 2)
    print(f"\nd = {differences}, both: {wire.bytes - told} B and {told} B told, {result.requests} requests")
    assert wire.bytes - told <= times * 32 * differences


def test_a_newcomer_takes_little_more_than_the_digests(large: list[bytes]) -> None:
    wire, result = check([], large)
    print(f"\nfrom nothing: {wire.bytes} B, {result.requests} requests")
    assert wire.bytes < 1.005 * 32 * len(large)
