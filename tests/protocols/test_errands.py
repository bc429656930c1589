"""What is to be fetched is tried until it is there, few at a time, and not too often."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from mycelnode.protocols.errands import AT_ONCE, FIRST_SECONDS, LONGEST_SECONDS, Errands

KEYS = st.lists(st.integers(0, 20), unique=True, max_size=20)


@given(KEYS, st.data())
def test_each_is_tried_until_it_is_done(keys: list[int], data: st.DataObject) -> None:
    errands: Errands[int] = Errands()
    now, left, tries = 0.0, set(keys), 0
    errands.want(keys, now)
    while left:
        due = errands.due(now)
        assert len(due) <= AT_ONCE
        for key in due:
            tries += 1
            if tries > 60 or data.draw(st.booleans()):
                errands.done(key)
                left.remove(key)
            else:
                errands.failed(key, now)
        if not due:
            assert now < errands.next_due() < math.inf
            now = errands.next_due()
    assert len(errands) == 0
    assert errands.next_due() == math.inf


def test_what_fails_is_tried_less_and_less_often_until_somebody_new_comes() -> None:
    errands: Errands[str] = Errands()
    errands.want("a", 0.0)
    now, pauses = 0.0, []
    for _ in range(14):
        assert errands.due(now) == ["a"]
        assert errands.due(now) == []
        errands.failed("a", now)
        pauses.append(errands.next_due() - now)
        now = errands.next_due()
    assert pauses == [min(LONGEST_SECONDS, FIRST_SECONDS * 2**n) for n in range(14)]
    assert errands.due(now) == ["a"]
    errands.failed("a", now)
    assert errands.due(now) == []
    errands.hurry(now)
    assert errands.due(now) == ["a"]


def test_what_is_wanted_no_more_is_dropped_once_it_is_not_under_way() -> None:
    errands: Errands[str] = Errands()
    errands.want("abc", 0.0)
    assert errands.due(0.0) == ["c", "b", "a"]
    errands.failed("b", 0.0)
    errands.want("d", 0.0)
    assert len(errands) == 3  # a and c are under way
    errands.done("a")
    errands.failed("c", 0.0)
    errands.want("d", 0.0)
    assert errands.due(9.0) == ["d"]
    assert len(errands) == 1


def test_what_is_done_may_be_due_again() -> None:
    errands: Errands[str] = Errands()
    errands.want("a", 0.0)
    assert errands.due(0.0) == ["a"]
    errands.failed("a", 0.0)
    assert errands.due(FIRST_SECONDS) == ["a"]
    errands.done("a", again=100.0)
    assert errands.next_due() == 100.0
    assert errands.due(100.0) == ["a"]
    errands.failed("a", 100.0)
    assert errands.next_due() == 100.0 + FIRST_SECONDS


def test_thousands_of_things_that_nobody_has_hold_up_nothing_new() -> None:
    errands: Errands[int] = Errands()
    errands.want(range(10_000), 0.0)
    for key in errands.due(0.0):
        errands.failed(key, 0.0)
    errands.hurry(1.0)
    errands.want(range(10_001), 1.0)
    assert errands.due(1.0)[0] == 10_000
