"""The ledger of releases is a function of its records: in whatever order they came, the same plans hold and the same is spent."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.protocols import release_ledger
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import Plan, Record, Seen
from mycelnode.protocols.release_window import Window
from tests.protocols.releases import (
    FIRST,
    OVER,
    ROOT,
    A,
    Author,
    B,
    C,
    D,
    plan_after,
    plan_of_root,
    quarter,
    seen,
    spend,
)

START = FIRST.start
DEVICES = (A, B, C, D)


def ledger(*records: Record, out: tuple[Author, ...] = ()) -> Ledger:
    return Ledger(ROOT.public, records, frozenset(one.public for one in out))


def reading(found: Ledger) -> object:
    quarters = range(START - 2, START + 14)
    return (
        [found.plan(one) for one in quarters],
        [found.window_of(one) for one in quarters],
        found.last_plan,
        found.next_number,
        [one.id for one in found.spends()],
        found.spent_until(),
        {year: found.spent_in(year) for year in range(2025, 2031)},
    )


def chance(rng: random.Random) -> list[Record]:
    """Plans that follow each other, and plans that exclude each other; words, and spends."""
    made: list[Plan] = [plan_of_root(A, B, since=START)]
    for _ in range(rng.randrange(8)):
        last, since = rng.choice(made), START + rng.randrange(8)
        releaser, witness = rng.sample(DEVICES, 2)
        if rng.random() < 0.25:
            made.append(plan_of_root(releaser, witness, number=rng.randrange(4), since=since))
        else:
            by = (
                next(one for one in DEVICES if one.public == last.releaser)
                if rng.random() < 0.9
                else rng.choice(DEVICES)
            )
            made.append(plan_after(last, by, releaser=releaser, witness=rng.choice((witness, None)), since=since))
    words = [seen(plan, one) for plan in made for one in DEVICES if rng.random() < 0.6]
    spends = [
        spend(rng.choice(DEVICES), Window(START + rng.randrange(6)), bytes([n]) * 16) for n in range(rng.randrange(6))
    ]
    return [*made, *words, *spends]


@given(st.integers(0, 1 << 32))
@settings(max_examples=200)
def test_neither_order_nor_repetition_makes_a_difference(seed: int) -> None:
    rng = random.Random(seed)
    records = chance(rng)
    expected = reading(ledger(*records, out=(B,)))
    again = records + rng.choices(records, k=5)
    rng.shuffle(again)
    grown = ledger(out=(B,))
    for record in again:
        grown.add(record)
    later = ledger(*reversed(again))
    later.put_out(frozenset((B.public,)))
    assert reading(grown) == reading(later) == expected
    assert len(grown) == len({record.id for record in records})


@given(st.integers(0, 1 << 32))
@settings(max_examples=200)
def test_what_held_before_the_root_made_a_plan_holds_as_before(seed: int) -> None:
    rng = random.Random(seed)
    records, since = chance(rng), START + rng.randrange(8)
    before, after = ledger(*records), ledger(*records, plan_of_root(D, C, number=99, since=since))
    assert [after.plan(one) for one in range(since)] == [before.plan(one) for one in range(since)]
    assert after.plan(since) == after.last_plan
    assert after.last_plan is not None
    assert after.last_plan.number == 99


# --- plans -------------------------------------------------------------------------------------------------------------------


def test_there_is_no_window_before_the_first_plan() -> None:
    assert ledger().window(OVER) is None
    assert ledger().last_plan is None
    assert ledger(plan_of_root(A)).window_of(START - 1) is None
    assert ledger(plan_of_root(A)).window_of(START) == FIRST


def test_a_plan_of_a_device_holds_once_the_witness_of_the_last_one_has_seen_it() -> None:
    first = plan_of_root(A, B)
    second = plan_after(first, A, releaser=C, witness=D, since=START + 1)
    assert ledger(first, second).last_plan == first
    assert ledger(first, second, seen(second, D)).last_plan == first
    found = ledger(first, second, seen(second, B))
    assert (found.plan(START), found.plan(START + 1)) == (first, second)
    assert (
        ledger(plan_of_root(A), plan_after(plan_of_root(A), A, releaser=C, witness=D, since=START)).plan(START) != first
    )


@pytest.mark.parametrize("wrong", ["author", "previous", "number", "since"])
def test_a_plan_of_a_device_is_by_who_decides_and_comes_after_the_last_one(wrong: str) -> None:
    first = plan_of_root(A, B, since=START)
    last = plan_of_root(A, B, since=START + 1) if wrong == "previous" else first
    by = C if wrong == "author" else A
    since = START - 1 if wrong == "since" else START + 1
    second = plan_after(last, by, releaser=C, witness=D, since=since, number=3 if wrong == "number" else 1)
    assert ledger(first, second, seen(second, B)).last_plan == first


def test_a_plan_does_not_wait_for_a_witness_that_was_put_out_but_its_word_still_tells_two_apart() -> None:
    first = plan_of_root(A, B)
    second = plan_after(first, A, releaser=A, witness=C, since=START + 1)
    other = plan_after(first, A, releaser=A, witness=D, since=START + 1)
    assert ledger(first, second, out=(B,)).last_plan == second
    assert ledger(first, second, other, seen(other, B), out=(B,)).last_plan == other
    assert ledger(first, second, other, out=(B,)).last_plan is None


def test_of_two_plans_that_exclude_each_other_none_holds_until_the_root_makes_one() -> None:
    first = plan_of_root(A, B)
    two = [plan_after(first, A, releaser=one, witness=B, since=START + since) for one, since in ((C, 1), (D, 3))]
    later = plan_after(two[0], C, releaser=C, witness=B, since=START + 2)
    torn = [first, *two, later, *(seen(one, B) for one in (*two, later))]
    found = ledger(*torn)
    assert [found.plan(START + one) for one in range(5)] == [first, None, None, None, None]
    assert found.window_of(START + 1) is None
    assert found.last_plan is None
    healed = ledger(*torn, plan_of_root(D, C, number=found.next_number, since=START + 3))
    assert [plan and plan.releaser for plan in map(healed.plan, range(START, START + 4))] == [
        A.public,
        None,
        None,
        D.public,
    ]


def test_two_papers_with_one_phrase_exclude_each_other_too() -> None:
    two = [plan_of_root(A, B, number=1, since=START + 1), plan_of_root(C, D, number=1, since=START + 2)]
    found = ledger(plan_of_root(A), *two)
    assert (found.plan(START), found.plan(START + 1), found.last_plan) == (plan_of_root(A), None, None)
    assert ledger(plan_of_root(A), *two, plan_of_root(D, number=2, since=START + 3)).last_plan is not None


def test_a_plan_of_the_root_ends_what_devices_planned_from_then_on_and_nothing_before() -> None:
    first = plan_of_root(A, B)
    second = plan_after(first, A, releaser=C, witness=B, since=START + 2)
    third = plan_after(second, C, releaser=D, witness=B, since=START + 5)
    root = plan_of_root(B, A, number=1, since=START + 4)
    found = ledger(first, second, third, root, seen(second, B), seen(third, B))
    assert [found.plan(START + one) for one in range(6)] == [first, first, second, second, root, root]
    assert found.plans(START + 3, START + 4) == [second, root]


def test_a_new_plan_cuts_a_year_short() -> None:
    year = plan_of_root(A, since=Window.called("2027").start, quarters=4)
    later = plan_of_root(A, number=1, since=Window.called("2027-Q3").start)
    found = ledger(year, later)
    assert ledger(year).window(quarter("2027-Q2")) == Window.called("2027")
    assert found.window(quarter("2027-Q2")) == Window.called("2027-Q1-Q2")
    assert found.window(quarter("2027-Q3")) == Window.called("2027-Q3")
    middle = plan_of_root(A, since=Window.called("2027-Q2").start, quarters=4)
    assert ledger(middle).window(quarter("2027-Q3")) == Window.called("2027-Q2-Q4")


# --- spends ------------------------------------------------------------------------------------------------------------------


def test_what_is_spent_stays_spent_and_so_does_all_before_it() -> None:
    found = ledger(plan_of_root(A), spend(A, Window(START + 2)), spend(A), spend(B, nonce=bytes([1]) * 16))
    assert found.spent_until() == START + 3
    assert found.spent_in(2026) == [FIRST, Window(START + 2)]
    assert [one.window.start for one in found.spends(Window(START + 2))] == [START + 2]
    assert len(found.spends(FIRST)) == 2


# --- what is worth holding -----------------------------------------------------------------------------------------------------


def test_what_no_plan_names_is_not_held() -> None:
    found = ledger(plan_of_root(A, B))
    plan = plan_after(plan_of_root(A, B), A, releaser=C, witness=B, since=START + 1)
    assert found.wanted(plan, OVER)
    assert not found.wanted(plan_after(plan, C, releaser=C, witness=B, since=START), OVER)
    assert found.wanted(plan_of_root(D, number=1), OVER)
    assert found.wanted(spend(A), OVER)
    assert not found.wanted(spend(B), OVER)
    assert not found.wanted(spend(A), FIRST.closes - 1), "its window is not over"
    assert not found.wanted(seen(spend(A), B), OVER), "of what is not held"
    found.add(spend(A))
    assert not found.wanted(spend(A), OVER), "held"
    assert found.wanted(seen(spend(A), B), OVER)
    assert not found.wanted(seen(spend(A), C), OVER), "no witness"
    found.add(seen(spend(A), B))
    assert not found.wanted(Seen(B.public, spend(A).id, signature=bytes(64)), OVER), "one word is enough"


def test_a_device_cannot_fill_disks_with_what_it_spends_and_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ledger(plan_of_root(A, B), spend(A), spend(A, nonce=bytes([1]) * 16))
    assert not found.wanted(spend(A, nonce=bytes([2]) * 16), OVER)
    assert found.wanted(spend(A, Window(START - 1)), OVER)
    monkeypatch.setattr(release_ledger, "MAX_PLANS", 1)
    assert not found.wanted(plan_of_root(D, number=1), OVER)
    monkeypatch.setattr(release_ledger, "MAX_RECORDS", 3)
    assert not found.wanted(spend(A, Window(START - 1)), OVER)
