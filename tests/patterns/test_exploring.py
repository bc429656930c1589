"""Search with what others say of patterns: the place of those whom nobody has rated, and prices that have changed."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.patterns import library
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.columns import Columns
from mycelnode.patterns.search import EXPLORE_FROM, Query, search
from tests.patterns.known import open_library, signed

PATTERNS = 20


@pytest.fixture
def db() -> sqlite3.Connection:
    """Patterns that a query finds alike."""
    made = open_library()
    for number in range(PATTERNS):
        library.add(made, signed(title="backup", created=number), source="", now=0, kept=True)
    return made


def rated(connection: sqlite3.Connection, *unrated: int) -> dict[Cid, int]:
    """900 for all but those with these numbers."""
    return {entry.cid: 900 for entry in library.listing(connection) if entry.no not in unrated}


def test_one_place_is_for_the_best_that_nobody_has_rated(db: sqlite3.Connection) -> None:
    order = [one.entry.no for one in search(db, Columns(), Query("backup", limit=PATTERNS))]
    newcomers = order[-1], order[-3]
    found = search(db, Columns(), Query("backup", limit=EXPLORE_FROM), reputation=rated(db, *newcomers).get)
    assert [one.entry.no for one in found] == [*order[: EXPLORE_FROM - 1], order[-3]]
    assert [one.explored for one in found] == [*[False] * (EXPLORE_FROM - 1), True]


def test_nobody_has_that_place_who_has_one_already(db: sqlite3.Connection) -> None:
    order = [one.entry.no for one in search(db, Columns(), Query("backup", limit=PATTERNS))]
    reputation = rated(db, order[0], order[-1]).get
    found = search(db, Columns(), Query("backup", limit=EXPLORE_FROM), reputation=reputation)
    assert order[0] in {one.entry.no for one in found}
    assert order[-1] not in {one.entry.no for one in found}
    assert not any(one.explored for one in found)


@pytest.mark.parametrize("given", [{"limit": EXPLORE_FROM - 1}, {"limit": EXPLORE_FROM, "min_reputation": 1}])
def test_among_few_and_where_a_reputation_is_asked_for_there_is_no_such_place(
    db: sqlite3.Connection, given: dict[str, int]
) -> None:
    reputation = rated(db, PATTERNS).get
    found = search(db, Columns(), Query("backup", **given), reputation=reputation)  # type: ignore[arg-type]
    assert [one.entry.no for one in found if reputation(one.entry.cid) is None] == []


def test_without_anybody_unrated_the_place_is_for_the_next(db: sqlite3.Connection) -> None:
    found = search(db, Columns(), Query("backup", limit=EXPLORE_FROM), reputation=rated(db).get)
    assert len(found) == EXPLORE_FROM
    assert not any(one.explored for one in found)


@given(
    most=st.integers(0, (1 << 128) - 1),
    prices=st.lists(st.tuples(st.integers(0, (1 << 128) - 1), st.none() | st.integers(0, (1 << 128) - 1)), min_size=1),
)
@settings(max_examples=50, deadline=None)
def test_the_price_of_today_is_filtered_by_and_ranked_by(most: int, prices: list[tuple[int, int | None]]) -> None:
    db, columns = open_library(), Columns()
    today, now = dict[int, int](), dict[int, int]()
    for number, (before, after) in enumerate(prices[:20]):
        made = signed(title="backup", price=before, created=number)
        library.add(db, made, source="", now=0, kept=True)
        entry = library.get(db, made.cid)
        assert entry is not None
        now[entry.no] = before
        if after is not None:
            today[entry.no] = now[entry.no] = after
    found = search(db, columns, Query("backup", max_price=most, limit=100), prices=today)
    assert {one.entry.no for one in found} == {no for no, price in now.items() if price <= most}
    for one in found:
        said = next(part.value for part in one.score.parts if part.what == "price")
        assert said == pytest.approx(10**22 / (10**22 + now[one.entry.no]))
    again = search(db, columns, Query("backup", max_price=most, limit=100), prices={10**6: 0, **today})
    assert again == found, "the price of what is not here does nothing"
