"""Plans of releases: who makes them, from when on they hold, whose word they need; and what is heard of others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mycelnode.errors import PlanRefused
from mycelnode.protocols.release_records import Seen, Spend
from mycelnode.protocols.release_steps import (
    Keep,
    No,
)
from mycelnode.protocols.release_window import Window
from tests.protocols.releases import (
    FIRST,
    NOW,
    OVER,
    ROOT,
    TERMS,
    A,
    Author,
    B,
    C,
    D,
    begun,
    part,
    plan_after,
    plan_of_root,
    seen,
    spend,
    word,
)

PLAN = plan_of_root(A, B)
NEXT = Window(FIRST.start + 1)
DIGEST = b"d" * 32


def test_a_plan_begins_with_the_next_window_and_changes_what_it_says() -> None:
    releaser = begun(A, [PLAN])
    made = releaser.plan(NOW, choice="strict")
    assert (made.since, made.choice, made.quarters, made.releaser, made.witness) == (
        NEXT.start,
        "strict",
        1,
        A.public,
        B.public,
    )
    assert made.verified(ROOT.public, lambda *_: True)
    year = releaser.plan(NOW, quarters=4)
    assert year.since == Window.called("2027").start
    handed = releaser.plan(NOW, releaser=B.public)
    assert (handed.releaser, handed.witness) == (B.public, min(one.public for one in (A, C, D)))


def test_a_plan_waits_for_the_word_and_there_is_one_at_a_time() -> None:
    releaser, witness = begun(A, [PLAN]), begun(B, [PLAN])
    made = releaser.plan(NOW, releaser=C.public)
    assert releaser.word_wanted(made) == B.public
    releaser.kept(Keep((made,)))
    assert releaser.pending_plan() == made
    assert releaser.ledger.last_plan == PLAN
    with pytest.raises(PlanRefused, match="waits for the word of the witness; else the phrase can"):
        releaser.plan(NOW, choice="loose")
    given = word(witness, made, A, NOW)
    other = plan_after(PLAN, A, releaser=D, witness=B, since=NEXT.start)
    assert witness.asked(other, A.public, NOW) == No("it goes by another plan")
    assert releaser.is_word(given, made, B.public)
    assert not releaser.is_word(given, other, B.public)
    assert not releaser.is_word(given, made, C.public)
    releaser.kept(Keep((given,)))
    assert releaser.ledger.last_plan == made
    assert releaser.pending_plan() is None


def test_a_witness_sees_one_plan_of_a_number_whatever_holds_for_it() -> None:
    witness = begun(B, [PLAN])
    one, other = (plan_after(PLAN, A, releaser=A, witness=who, since=NEXT.start) for who in (C, D))
    witness.kept(Keep((one, seen(one, B), other, seen(other, C))))
    assert isinstance(witness.asked(one, A.public, NOW), Seen)
    assert isinstance(witness.asked(other, A.public, NOW), No)


@pytest.mark.parametrize(
    ("who", "changes", "said"),
    [
        (C, {}, "only the device that decides releases can change how they are decided; else the phrase can"),
        (A, {"releaser": Author("x").public}, "only a device of the mesh can decide releases, or be the witness"),
        (A, {"witness": Author("x").public}, "only a device of the mesh can decide releases, or be the witness"),
        (A, {"witness": A.public}, "the witness is another device than the one that decides"),
        (A, {"releaser": B.public, "witness": B.public}, "the witness is another device than the one that decides"),
    ],
)
def test_a_plan_is_refused_in_a_sentence(who: Author, changes: dict[str, bytes], said: str) -> None:
    with pytest.raises(PlanRefused, match=said):
        begun(who, [PLAN]).plan(NOW, **changes)  # type: ignore[arg-type]


def test_the_phrase_names_who_decides_and_keeps_the_witness_if_it_can() -> None:
    device = begun(D, [PLAN])
    made = device.plan_of_root(NOW, ROOT.sign, releaser=C.public)
    assert (made.since, made.releaser, made.witness) == (NEXT.start, C.public, B.public)
    assert made.number > PLAN.number
    assert device.hear([made], NOW) == Keep((made,))
    taken = device.plan_of_root(NOW, ROOT.sign, releaser=B.public)
    assert taken.witness == min(one.public for one in (A, C, D))
    with pytest.raises(PlanRefused):
        device.plan_of_root(NOW, ROOT.sign, releaser=C.public, witness=C.public)
    first = part(A, mesh=[A]).plan_of_root(NOW, ROOT.sign, releaser=A.public)
    assert (first.since, first.quarters, first.choice, first.witness) == (NEXT.start, 1, "standard", None)


def test_nothing_is_heard_that_nobody_of_this_mesh_signed() -> None:
    device = begun(C, [PLAN])
    forged = replace(spend(A), signature=bytes(64))
    foreign = Spend(A.public, FIRST, "standard", TERMS.version, DIGEST, bytes(16)).signed(b"x" * 32, A.sign)
    assert device.hear([forged, foreign, PLAN], OVER) is None
    right = spend(A)
    assert device.hear([seen(right, B), forged, right], OVER) == Keep((right, seen(right, B))), (
        "in the order of their needs"
    )
