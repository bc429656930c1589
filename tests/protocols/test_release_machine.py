"""The machine of releases: what it does in which order, what it refuses and why, and what a crash at each place leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mycelnode.protocols.release import PATIENCE_MS, Part
from mycelnode.protocols.release_records import Plan, Seen, Spend
from mycelnode.protocols.release_steps import (
    Ask,
    Compare,
    Countersign,
    Draw,
    Effect,
    Freeze,
    Keep,
    No,
    Seal,
    Wait,
)
from mycelnode.protocols.release_window import Window
from tests.protocols.releases import (
    FIRST,
    OVER,
    ROOT,
    SECRETS,
    TERMS,
    A,
    Author,
    B,
    C,
    D,
    begun,
    call,
    part,
    plan_after,
    plan_of_root,
    seen,
    spend,
    take,
    word,
)

PLAN = plan_of_root(A, B)
LONE = plan_of_root(A)
NEXT = Window(FIRST.start + 1)
DIGEST = b"d" * 32


def following(releaser: Part, at: int = OVER, *, hurry: bool = False) -> Effect | None:
    return releaser.next(at, TERMS.version, SECRETS, hurry=hurry)


def gathered(releaser: Part, others: list[Part], plan: Plan = PLAN) -> None:
    """All parts are there, and what counts no more was compared."""
    assert releaser.begin(OVER) == FIRST
    assert following(releaser) == Freeze(FIRST, A.public)
    releaser.froze(Freeze(FIRST, A.public))
    for other in sorted(others, key=lambda one: one.me):
        assert following(releaser) == Ask(call(plan), other.me)
        take(other, releaser, plan)
    if plan.witness is not None:
        assert following(releaser) == Compare(FIRST, plan.witness)
        releaser.compared(plan.witness)


def sealed(releaser: Part) -> Spend | None:
    """It is counted."""
    effect = following(releaser)
    assert isinstance(effect, Seal)
    releaser.sealed(effect, DIGEST, TERMS.version)
    effect = following(releaser)
    return effect.record if isinstance(effect, Countersign) and isinstance(effect.record, Spend) else None


# --- from the end of a window to its decision ----------------------------------------------------------------------------------


def test_a_window_is_decided_in_this_order() -> None:
    mesh = (A, B, C)
    releaser, witness, other = (begun(one, [PLAN], mesh=mesh) for one in mesh)
    assert releaser.due(FIRST.closes - 1) is None
    gathered(releaser, [witness, other])
    assert following(releaser) == Seal(FIRST, frozenset(one.public for one in mesh))
    made = sealed(releaser)
    assert made is not None
    assert (made.author, made.window, made.digest, made.choice) == (A.public, FIRST, DIGEST, "standard")
    assert releaser.sealing(FIRST)
    given = word(witness, made, A)
    releaser.countersigned(given)
    assert following(releaser) == Keep((made, given))
    assert not releaser.drawing
    releaser.kept(Keep((made, given)))
    assert releaser.drawing
    draw = Draw(made, frozenset(one.public for one in mesh))
    assert following(releaser) == following(releaser) == draw, "until it is on the disk"
    releaser.drew(draw)
    assert releaser.local.drawn == {FIRST.start}
    assert releaser.begin(OVER) is None
    assert following(releaser) is None
    assert releaser.lost() == []


def test_a_lone_device_asks_nobody() -> None:
    alone = begun(A, [LONE], mesh=[A])
    gathered(alone, [], LONE)
    assert sealed(alone) is None
    keep = following(alone)
    assert isinstance(keep, Keep)
    alone.kept(keep)
    assert isinstance(following(alone), Draw)


def test_who_is_silent_is_waited_for_a_month_and_then_no_more() -> None:
    mesh = (A, B, C)
    releaser, witness = (begun(one, [PLAN], mesh=mesh) for one in (A, B))
    releaser.froze(Freeze(FIRST, A.public))
    take(witness, releaser, PLAN)
    assert following(releaser) == Ask(call(PLAN), C.public)
    releaser.silent(C.public)
    assert following(releaser) == Wait(FIRST, frozenset((C.public,)))
    assert following(releaser, FIRST.closes + PATIENCE_MS - 1) == Wait(FIRST, frozenset((C.public,)))
    assert following(releaser, FIRST.closes + PATIENCE_MS) == Compare(FIRST, B.public)
    assert following(releaser, hurry=True) == Compare(FIRST, B.public)
    assert releaser.begin(OVER) == FIRST
    assert following(releaser) == Ask(call(PLAN), C.public), "asked again"


def test_nothing_is_decided_without_the_witness_however_long_it_takes() -> None:
    releaser, witness = (begun(one, [PLAN], mesh=(A, B)) for one in (A, B))
    releaser.froze(Freeze(FIRST, A.public))
    take(witness, releaser, PLAN)
    much_later = FIRST.closes + 3 * PATIENCE_MS
    assert following(releaser, much_later, hurry=True) == Compare(FIRST, B.public)
    releaser.silent(B.public)
    assert following(releaser, much_later, hurry=True) == Wait(FIRST, frozenset((B.public,)), witness=True)


def test_a_witness_that_refuses_its_part_can_still_see_the_spend() -> None:
    releaser = begun(A, [PLAN], mesh=(A, B))
    releaser.froze(Freeze(FIRST, A.public))
    assert isinstance(following(releaser), Ask)
    releaser.silent(B.public)
    assert following(releaser, hurry=True) == Compare(FIRST, B.public)


def test_what_comes_in_after_it_was_compared_is_compared_again() -> None:
    mesh = (A, B, C)
    releaser, witness, other = (begun(one, [PLAN], mesh=mesh) for one in mesh)
    releaser.froze(Freeze(FIRST, A.public))
    take(witness, releaser, PLAN)
    assert isinstance(following(releaser), Ask)
    releaser.silent(C.public)
    assert isinstance(following(releaser, hurry=True), Compare)
    releaser.compared(B.public)
    assert isinstance(following(releaser, hurry=True), Seal)
    take(other, releaser, PLAN)
    assert following(releaser, hurry=True) == Compare(FIRST, B.public)


def test_the_part_of_a_device_that_was_put_out_does_not_count() -> None:
    mesh = (A, B, C)
    releaser, witness, other = (begun(one, [PLAN], mesh=mesh) for one in mesh)
    gathered(releaser, [witness, other])
    releaser.membership(frozenset((A.public, B.public)), frozenset(one.public for one in mesh))
    assert following(releaser) == Seal(FIRST, frozenset((A.public, B.public)))


def test_who_takes_over_compares_with_all_who_may_have_decided_before() -> None:
    second = plan_after(PLAN, A, releaser=C, witness=D, since=NEXT.start)
    records = [PLAN, second, seen(second, B)]
    releaser, witness = (begun(one, records, at=NEXT.opens) for one in (C, D))
    releaser.froze(Freeze(NEXT, C.public))
    take(witness, releaser, second, NEXT, NEXT.closes)
    for silent in sorted((A.public, B.public)):
        assert following(releaser, NEXT.closes, hurry=True) == Ask(call(second, NEXT), silent)
        releaser.silent(silent)
    asked: set[bytes] = set()
    while isinstance(effect := following(releaser, NEXT.closes, hurry=True), Compare):
        asked.add(effect.witness)
        releaser.compared(effect.witness)
    assert asked == {A.public, B.public, D.public}
    assert isinstance(effect, Seal)
    releaser.begin(NEXT.closes)
    releaser.membership(frozenset((C.public, D.public)), frozenset(one.public for one in (A, B, C, D)))
    assert following(releaser, NEXT.closes, hurry=True) == Compare(NEXT, D.public), "not with those who were put out"


def test_whoever_may_have_decided_an_older_window_meanwhile_is_asked_once_more_before_the_draw() -> None:
    second = plan_after(PLAN, A, releaser=C, witness=B, since=NEXT.start)
    releaser, witness = (begun(one, [PLAN, second, seen(second, B)], at=NEXT.opens) for one in (C, B))
    releaser.froze(Freeze(NEXT, C.public))
    for device in (A, B, D):
        releaser.got(NEXT, device.public)
    for _ in (A, B):
        effect = following(releaser, NEXT.closes)
        assert isinstance(effect, Compare)
        releaser.compared(effect.witness)
    effect = following(releaser, NEXT.closes)
    assert isinstance(effect, Seal)
    releaser.sealed(effect, DIGEST, TERMS.version)
    effect = following(releaser, NEXT.closes)
    assert isinstance(effect, Countersign)
    assert isinstance(effect.record, Spend)
    releaser.countersigned(word(witness, effect.record, C, NEXT.closes))
    keep = following(releaser, NEXT.closes)
    assert isinstance(keep, Keep)
    releaser.kept(keep)
    asked: set[bytes] = set()
    while isinstance(effect := following(releaser, NEXT.closes), Compare):
        asked.add(effect.witness)
        releaser.compared(effect.witness)
    assert asked == {A.public, B.public}
    assert isinstance(effect, Draw)
    assert effect.again
    releaser.missed(effect)
    assert not releaser.drawing
    assert releaser.lost() == [effect.spend]
    assert releaser.begin(NEXT.closes) is None


# --- crashes, copies, and spends that come back ----------------------------------------------------------------------------------


def countersigned() -> tuple[Part, Part, Spend, Seen]:
    releaser, witness = (begun(one, [PLAN], mesh=(A, B)) for one in (A, B))
    gathered(releaser, [witness])
    made = sealed(releaser)
    assert made is not None
    return releaser, witness, made, word(witness, made, A)


def again(old: Part, author: Author = A) -> Part:
    """The same disk, and another process."""
    return part(author, old.ledger, old.local, mesh=(A, B))


def test_a_window_is_lost_if_the_process_dies_after_the_witness_has_seen_its_spend() -> None:
    releaser, witness, made, given = countersigned()
    reborn = again(releaser)
    assert reborn.begin(OVER) == FIRST
    heard = reborn.hear(witness.ledger, OVER)
    assert heard == Keep((made, given))
    reborn.kept(heard)
    assert reborn.begin(OVER) is None
    assert following(reborn) is None
    assert reborn.lost() == [made]


def test_a_window_is_lost_if_the_process_dies_between_the_spend_and_the_draw() -> None:
    releaser, _, made, given = countersigned()
    releaser.countersigned(given)
    releaser.kept(Keep((made, given)))
    assert releaser.lost() == [], "it is still to be decided"
    reborn = again(releaser)
    assert not reborn.drawing
    assert reborn.begin(OVER) is None
    assert reborn.lost() == [made]


def test_nothing_is_lost_if_the_process_dies_before_the_spend_was_sent() -> None:
    releaser, witness = (begun(one, [PLAN], mesh=(A, B)) for one in (A, B))
    gathered(releaser, [witness])
    reborn = again(releaser)
    assert reborn.begin(OVER) == FIRST
    assert following(reborn) == Compare(FIRST, B.public)
    reborn.compared(B.public)
    other = sealed(reborn)
    assert isinstance(word(witness, other, A), Seen) if other else pytest.fail("not countersigned")


def test_a_spend_of_ours_that_comes_back_by_another_way_is_ours() -> None:
    releaser, witness, made, given = countersigned()
    heard = releaser.hear(witness.ledger, OVER)
    assert heard == Keep((made, given))
    releaser.kept(heard)
    assert releaser.begin(OVER) is None
    assert following(releaser) == Draw(made, frozenset((A.public, B.public)))


def test_of_two_copies_only_one_gets_the_word_and_the_other_gives_way() -> None:
    releaser, witness = (begun(one, [PLAN], mesh=(A, B)) for one in (A, B))
    gathered(releaser, [witness])
    twin = again(Part(ROOT.public, A.public, A.sign, lambda *_: True, releaser.ledger, releaser.local, bytes))
    twin.compared(B.public)
    assert following(twin) == Compare(FIRST, B.public)
    twin.compared(B.public)
    one, other = sealed(releaser), sealed(twin)
    assert one is not None
    assert other is not None
    assert one.id != other.id
    given = word(witness, one, A)
    assert witness.asked(other, A.public, OVER) == No("that window was spent before, or one after it")
    assert witness.asked(one, A.public, OVER) == given, "the same word again"
    twin.silent(B.public)
    assert following(twin) == Wait(FIRST, frozenset((B.public,)), witness=True)
    heard = twin.hear(witness.ledger, OVER)
    assert heard is not None
    twin.kept(heard)
    assert following(twin) is None
    assert not twin.drawing


def test_a_word_for_something_else_or_by_somebody_else_is_none() -> None:
    releaser, _, made, given = countersigned()
    for wrong in (seen(made, C), replace(given, signature=bytes(64)), seen(spend(A), B)):
        releaser.begin(OVER)
        releaser.countersigned(wrong)
        assert not isinstance(following(releaser), Keep)


def test_a_spend_that_was_not_sent_is_counted_anew_and_one_that_was_sent_is_not() -> None:
    alone = begun(A, [LONE], mesh=[A])
    gathered(alone, [], LONE)
    sealed(alone)
    assert isinstance(following(alone), Keep)
    alone.begin(OVER)
    assert isinstance(following(alone), Seal), "the disk was full: nobody has it"
    releaser, witness = (begun(one, [PLAN], mesh=(A, B)) for one in (A, B))
    gathered(releaser, [witness])
    made = sealed(releaser)
    releaser.silent(B.public)
    assert isinstance(following(releaser), Wait)
    releaser.begin(OVER)
    assert following(releaser) == Countersign(made, B.public) if made else pytest.fail("no spend")


# --- which windows are due -------------------------------------------------------------------------------------------------------


def test_a_window_that_did_not_open_for_its_releaser_is_not_decided() -> None:
    assert part(A, [PLAN]).due(OVER) is None
    assert begun(A, [PLAN]).due(OVER) == FIRST
    assert begun(B, [PLAN]).due(OVER) is None, "another one decides"
    assert begun(A, [PLAN], at=NEXT.opens).due(NEXT.closes) == NEXT


def test_a_window_is_decided_within_a_year_or_not_at_all() -> None:
    late = begun(A, [LONE])
    assert late.due(Window(FIRST.end + 4).opens) == FIRST
    assert late.due(Window(FIRST.end + 5).opens) is None


def test_what_lies_before_something_spent_is_lost_and_four_windows_a_year_are_the_most() -> None:
    later = spend(A, NEXT)
    assert begun(A, [LONE, later]).due(OVER) is None
    full = [spend(A, Window(FIRST.start - 2 + place // 2), bytes([place]) * 16) for place in range(2)]
    assert begun(A, [LONE, *full]).due(OVER) == FIRST


def test_a_window_whose_witness_was_put_out_holds_back_no_later_one() -> None:
    releaser = begun(A, [PLAN])
    releaser.membership(frozenset((A.public, C.public)), frozenset((A.public, B.public, C.public)))
    assert releaser.due(OVER) is None
    made = releaser.tend(OVER)
    assert made is not None
    assert (made.since, made.releaser, made.witness) == (FIRST.end + 1, A.public, C.public)
    releaser.kept(Keep((made,)))
    assert releaser.ledger.last_plan == made
    assert releaser.tend(OVER) is None


def test_a_window_stays_with_the_plan_of_its_time() -> None:
    second = plan_after(PLAN, A, releaser=C, witness=D, since=NEXT.start)
    records = [PLAN, second, seen(second, B)]
    releaser, witness, new = (begun(one, records) for one in (A, B, C))
    assert releaser.due(NEXT.closes) == FIRST
    assert new.due(NEXT.closes) is None, "it was not open for the new one, and is not its own"
    take(witness, releaser, PLAN)
    assert witness.asked(spend(C), C.public, OVER) == No("it goes by another plan")
    assert isinstance(word(witness, spend(A), A), Seen)


def test_a_year_is_decided_when_it_is_over() -> None:
    year = plan_of_root(A, since=Window.called("2027").start, quarters=4)
    window = Window.called("2027")
    releaser = begun(A, [year], at=window.opens, mesh=[A])
    assert releaser.due(window.closes - 1) is None
    assert releaser.due(window.closes) == window
