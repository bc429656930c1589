"""Windows of releases: quarters and years of the calendar, what they are called, and that plans tile the time line with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import EncodingError
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_window import MAX_QUARTER, YEAR, Window, quarter_begins, quarter_of
from tests.protocols.releases import ROOT, Author, plan_of_root

quarters = st.integers(0, MAX_QUARTER - 1)
windows = st.builds(
    lambda start, size: Window(start, min(size, YEAR - start % YEAR)), quarters, st.sampled_from((1, 2, 3, YEAR))
)


def utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("name", "opens", "closes"),
    [
        ("2026-Q4", utc(2026, 10, 1), utc(2027, 1, 1)),
        ("2028-Q1", utc(2028, 1, 1), utc(2028, 4, 1)),
        ("2026", utc(2026, 1, 1), utc(2027, 1, 1)),
        ("2026-Q2-Q4", utc(2026, 4, 1), utc(2027, 1, 1)),
        ("1970-Q1", 0, utc(1970, 4, 1)),
    ],
)
def test_windows_are_those_of_the_calendar(name: str, opens: int, closes: int) -> None:
    window = Window.called(name)
    assert (window.id, window.opens, window.closes) == (name, opens, closes)
    assert (window.over(closes - 1), window.over(closes)) == (False, True)
    assert quarter_of(opens) == window.start
    assert quarter_of(closes - 1) == window.end - 1
    assert window.year == int(name[:4])


@given(windows)
def test_a_window_is_what_it_is_called(window: Window) -> None:
    assert Window.called(window.id) == window
    assert Window(window.start, window.quarters) == window


@pytest.mark.parametrize(
    "name", ["", "2026-Q5", "2026-Q0", "2026-Q3-Q2", "1969-Q4", "26-Q1", "2026-q1", "2026-Q1 ", "٢٠٢٦", "2026-Q1-Q5"]
)
def test_other_names_are_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(EncodingError, match="no window is called so; 2026-Q4 is one, and 2026"):
        Window.called(name)


@pytest.mark.parametrize(("start", "size"), [(-1, 1), (0, 0), (0, 5), (1, 4), (3, 2), (MAX_QUARTER + 1, 1)])
def test_a_window_lies_in_one_year(start: int, size: int) -> None:
    with pytest.raises(EncodingError, match="one to four quarters of one year"):
        Window(start, size)


@given(windows, windows)
def test_windows_overlap_if_they_share_a_quarter(one: Window, other: Window) -> None:
    shared = set(range(one.start, one.end)) & set(range(other.start, other.end))
    assert one.overlaps(other) == other.overlaps(one) == bool(shared)


@given(st.integers(-(10**13), 3 * 10**14))
def test_each_moment_lies_in_one_quarter(moment: int) -> None:
    quarter = quarter_of(moment)
    assert 0 <= quarter <= MAX_QUARTER
    if 0 <= moment < quarter_begins(MAX_QUARTER):
        assert quarter_begins(quarter) <= moment < quarter_begins(quarter + 1)
        then = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)
        assert quarter == (then.year - 1970) * YEAR + (then.month - 1) // 3


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from((1, YEAR))), min_size=1, max_size=6))
def test_whatever_is_planned_each_quarter_lies_in_one_window_at_most(plans: list[tuple[int, int]]) -> None:
    ledger, device = Ledger(ROOT.public), Author("d")
    for number, (since, size) in enumerate(plans):
        since = since if size == 1 else -(-since // YEAR) * YEAR
        ledger.add(plan_of_root(device, number=number, since=since, quarters=size))
    first = next(quarter for quarter in range(60) if ledger.plan(quarter) is not None)
    at = first
    while at < 50:
        window = ledger.window_of(at)
        assert window is not None
        assert window.start == at
        assert all(ledger.window_of(quarter) == window for quarter in range(window.start, window.end))
        at = window.end
    assert all(ledger.window_of(quarter) is None for quarter in range(first))
