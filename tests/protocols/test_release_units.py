"""What is counted: one day of one habit, once, in one window, whatever came in twice, late, or on several devices."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.encoding import blake2b, encode
from mycelnode.errors import EncodingError
from mycelnode.protocols.release_units import FORGOTTEN, MAX_DAY, Handed, counts, digest, label

OURS = label(225)


def mark(number: int, secret: int = 0) -> bytes:
    return blake2b(b"turn %d %d" % (number, secret))


def day_marks(key: bytes, day: int) -> list[bytes]:
    return [blake2b(b"day %d " % day + key)]


def turn(
    number: int, key: bytes = b"k", day: int = 1, *, dated: bool = True, secrets: tuple[int, ...] = (0,)
) -> Handed:
    return Handed(tuple(mark(number, secret) for secret in secrets), key, day, dated)


def count(*handed: Handed, spent: dict[bytes, int] | None = None) -> dict[bytes, int]:
    labels = spent or {}
    return counts(handed, OURS, lambda one: [labels[one]] if one in labels else [OURS], day_marks)


turns = st.lists(
    st.builds(
        lambda number, day, dated: turn(number, b"key %d" % (number % 3), day, dated=dated),
        st.integers(0, 12),
        st.integers(0, 5),
        st.booleans(),
    )
)


@given(turns, st.randoms(use_true_random=False))
def test_neither_order_nor_what_comes_twice_makes_a_difference(handed: list[Handed], rng: random.Random) -> None:
    again = handed + rng.choices(handed, k=len(handed)) if handed else []
    rng.shuffle(again)
    assert count(*again) == count(*handed)


@given(turns)
def test_it_counts_as_a_plain_reckoning_does(handed: list[Handed]) -> None:
    copies: defaultdict[bytes, list[Handed]] = defaultdict(list)
    for one in handed:
        copies[one.marks[0]].append(one)
    days: defaultdict[bytes, set[int]] = defaultdict(set)
    for ones in copies.values():
        days[ones[0].key].add(min(one.day for one in [one for one in ones if one.dated] or ones))
    assert count(*handed) == {key: len(found) for key, found in days.items()}


def test_a_burst_is_one_day_and_two_habits_are_two() -> None:
    assert count(turn(1), turn(2), turn(3), turn(4, day=2), turn(5, b"other")) == {b"k": 2, b"other": 1}
    assert count() == {}


def test_a_turn_on_two_devices_counts_on_the_day_that_it_names_itself() -> None:
    assert count(turn(1, day=3, dated=False), turn(1, day=5), turn(1, day=4), turn(2, day=4)) == {b"k": 1}


def test_a_turn_is_known_by_any_mark_that_two_devices_have_in_common() -> None:
    old, new, both = turn(1, day=1, secrets=(0,)), turn(1, day=3, secrets=(2,)), turn(1, day=2, secrets=(2, 1, 0))
    assert count(old, new, both) == count(both, old, new) == count(new, both, old) == {b"k": 1}
    assert count(old, new) == {b"k": 2}, "nothing tells that these two are one"
    assert count(old, both, spent={mark(1, 1): OURS - 1}) == {}


@pytest.mark.parametrize("earlier", [FORGOTTEN, OURS - 1, label(0)])
def test_what_was_handed_in_before_counts_no_more(earlier: int) -> None:
    assert count(turn(1), turn(2, day=2), spent={mark(1): earlier}) == {b"k": 1}
    assert count(turn(1), turn(2, day=2), spent={day_marks(b"k", 2)[0]: earlier}) == {b"k": 1}
    assert count(turn(1), spent={mark(1): earlier}) == {}


@pytest.mark.parametrize("now_or_later", [OURS, OURS + 1])
def test_what_was_handed_in_now_or_later_counts_now(now_or_later: int) -> None:
    assert count(turn(1), spent={mark(1): now_or_later, day_marks(b"k", 1)[0]: now_or_later}) == {b"k": 1}


def test_labels_rise_with_time_above_what_is_forgotten() -> None:
    assert FORGOTTEN < label(0) < label(1)


def test_a_digest_stands_for_the_counts_under_a_salt() -> None:
    assert digest(b"s", {b"a": 1, b"b": 2}) == digest(b"s", {b"b": 2, b"a": 1})
    others = [(b"t", {b"a": 1, b"b": 2}), (b"s", {b"a": 2, b"b": 1}), (b"s", {b"a": 1}), (b"s", {})]
    assert len({digest(b"s", {b"a": 1, b"b": 2}), *(digest(salt, found) for salt, found in others)}) == 5


@given(
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=8),
    st.binary(min_size=1),
    st.integers(0, MAX_DAY),
)
def test_a_turn_travels_as_it_is(marks: list[bytes], key: bytes, day: int) -> None:
    for dated in (True, False):
        one = Handed(tuple(marks), key, day, dated)
        assert Handed.read(one.write()) == one


@pytest.mark.parametrize(
    "value",
    [
        [],
        [[], b"k", 1, True],
        [[bytes(32)] * 9, b"k", 1, True],
        [[bytes(31)], b"k", 1, True],
        [[bytes(32)], b"", 1, True],
        [[bytes(32)], bytes(1025), 1, True],
        [[bytes(32)], b"k", -1, True],
        [[bytes(32)], b"k", MAX_DAY + 1, True],
        [[bytes(32)], b"k", 1, 1],
        [[bytes(32)], "k", 1, True],
        [[bytes(32)], b"k", True, True],
    ],
    ids=lambda value: encode(value).hex()[:40],
)
def test_what_is_no_turn_is_refused_in_a_sentence(value: object) -> None:
    with pytest.raises(EncodingError, match=r"\w+ \w+"):
        Handed.read(value)
