"""The machine of releases: under which terms a device takes and hands over its part, and what it refuses and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mycelnode.protocols.release import Part
from mycelnode.protocols.release_records import Plan, Spend
from mycelnode.protocols.release_steps import (
    Agree,
    Freeze,
    Give,
    Keep,
    Kept,
    No,
    Open,
    Terms,
)
from mycelnode.protocols.release_window import Window
from tests.protocols.releases import (
    FIRST,
    NOW,
    OTHER_TERMS,
    OTHER_WORDS,
    OVER,
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
    quarter,
    spend,
)

PLAN = plan_of_root(A, B)
LONE = plan_of_root(A)
NEXT = Window(FIRST.start + 1)
DIGEST = b"d" * 32


# --- clocks and terms ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_ahead_leaves_nothing_open_of_what_is_to_come() -> None:
    device = begun(A, [LONE], mesh=[A])
    ahead = Window.called("2036-Q4")
    opened = device.open(ahead.opens, TERMS)
    assert opened == Open(ahead, TERMS)
    device.opened(opened)
    own = device.own(ahead.opens, TERMS.version)
    assert own is None, "what ended so long ago is not looked at"
    right = device.open(NOW, OTHER_TERMS)
    assert right == Open(FIRST, TERMS), "under the terms under which it began"
    device.opened(right)
    assert device.local.opened == {FIRST.start: TERMS}
    assert device.open(NOW, TERMS) is None
    assert device.due(OVER) == FIRST


def test_what_was_taken_in_a_time_to_come_is_no_reason_for_anything_before_it() -> None:
    kept = Kept(frozen={FIRST.start: (FIRST, A.public), FIRST.start + 9: (Window(FIRST.start + 9), A.public)})
    assert kept.free(FIRST.start - 1) == FIRST.start - 1
    assert kept.free(FIRST.start) == FIRST.start + 1
    assert kept.free(FIRST.start + 9) == FIRST.start + 10
    kept.frozen[FIRST.start + 1] = (Window(FIRST.start + 1), A.public)
    assert kept.free(FIRST.start) == FIRST.start + 2


def test_our_own_part_is_taken_when_the_window_is_over_for_whoever_decides() -> None:
    device = agreed(begun(C, [PLAN]))
    assert device.own(FIRST.closes - 1, TERMS.version) is None
    done = device.own(OVER, TERMS.version)
    assert done == Freeze(FIRST, A.public)
    device.froze(done)
    assert device.own(OVER, TERMS.version) is None
    assert device.call(call(PLAN), A.public, OVER, TERMS.version, SECRETS) == Give(FIRST)


def test_what_was_read_under_other_terms_is_not_handed_over() -> None:
    said = "it began the window with another version or another dictionary"
    device = begun(C, [PLAN])
    other = call(PLAN, terms=OTHER_TERMS)
    assert device.call(other, A.public, OVER, TERMS.version, SECRETS) == Freeze(FIRST, A.public, said)
    device.froze(Freeze(FIRST, A.public))
    answer = device.call(other, A.public, OVER, TERMS.version, SECRETS)
    assert answer == Give(FIRST, said)
    assert isinstance(answer, Give)
    assert answer.empty
    late = agreed(begun(C, [PLAN])).own(OVER, OTHER_TERMS.version)
    assert late == Freeze(FIRST, A.public, "its version changed before its part was taken")
    assert late is not None
    assert late.empty


def agreed(device: Part, terms: Terms = TERMS) -> Part:
    """It has heard from A by which terms that reads the window."""
    done = device.agree(FIRST, A.public, terms)
    assert done == Agree(FIRST, terms, A.public)
    device.agreed(done)
    return device


def test_a_window_is_read_by_the_dictionary_of_the_device_that_decides_it() -> None:
    device, releaser = begun(C, [PLAN]), part(A, [PLAN])
    opened = releaser.open(NOW, OTHER_WORDS)
    assert opened is not None
    releaser.opened(opened)
    assert device.untaken(A.public, NOW) == [FIRST]
    assert device.untaken(B.public, NOW) == releaser.untaken(A.public, NOW) == []
    assert device.own(OVER, TERMS.version) is None, "by which dictionary is not known yet"
    terms = releaser.terms_for(FIRST, C.public)
    assert isinstance(terms, Terms)
    agreed(device, terms)
    assert device.agree(FIRST, A.public, terms) is None, "that is known"
    assert device.own(OVER, TERMS.version) == Freeze(FIRST, A.public)
    asked = call(PLAN, terms=OTHER_WORDS)
    assert not device.unheard(asked, A.public, OVER)
    assert device.call(asked, A.public, OVER, TERMS.version, SECRETS) == Freeze(FIRST, A.public)


def test_who_is_asked_by_another_dictionary_hears_its_words_first() -> None:
    device, asked = begun(C, [PLAN]), call(PLAN, terms=OTHER_WORDS)
    assert device.unheard(asked, A.public, OVER)
    answer = device.call(asked, A.public, OVER, TERMS.version, SECRETS)
    assert answer == No("it has not heard yet by which dictionary the window is read")
    agreed(device, OTHER_WORDS)
    device.froze(Freeze(FIRST, A.public))
    assert device.call(asked, A.public, OVER, TERMS.version, SECRETS) == Give(FIRST)


def test_what_a_device_said_that_does_not_decide_any_more_is_asked_anew() -> None:
    device = agreed(begun(C, [PLAN]))
    other = plan_of_root(B, number=1)
    device.kept(Keep((other,)))
    assert device.own(OVER, TERMS.version) is None
    assert device.untaken(B.public, NOW) == [FIRST]
    done = device.agree(FIRST, B.public, OTHER_WORDS)
    assert done is not None
    device.agreed(done)
    assert device.own(OVER, TERMS.version) == Freeze(FIRST, B.public)


def test_what_was_read_by_other_terms_than_those_of_now_is_not_kept() -> None:
    device = agreed(begun(C, [PLAN]))
    done = device.own(OVER, TERMS.version)
    assert done is not None
    assert device.stands(done)
    agreed(device, OTHER_WORDS)
    assert not device.stands(done), "it was read by the words of before"
    again = device.own(OVER, TERMS.version)
    assert again is not None
    assert device.stands(again)
    device.kept(Keep((spend(A),)))
    assert not device.stands(again), "the window is decided"


def test_a_stranger_or_an_early_question_makes_nobody_dial_back() -> None:
    device, asked = begun(C, [PLAN]), call(PLAN, terms=OTHER_WORDS)
    assert not device.unheard(asked, B.public, OVER)
    assert not device.unheard(asked, A.public, NOW)
    assert not device.unheard(replace(asked, plan=bytes(32)), A.public, OVER)


def test_a_clock_that_is_put_right_forgets_what_was_agreed_of_a_time_to_come() -> None:
    device = begun(C, [PLAN], at=Window(FIRST.start + 1).opens)
    done = device.agree(Window(FIRST.start + 1), A.public, OTHER_WORDS)
    assert done is not None
    device.agreed(done)
    opened = device.open(NOW, TERMS)
    assert opened is not None
    device.opened(opened)
    assert device.local.agreed == {}


def test_a_year_of_which_a_quarter_was_taken_is_taken_all_the_same() -> None:
    """A clock that was a year ahead took a quarter; the year that a later plan made of it is decided without what is in that."""
    year = plan_of_root(A, number=1, quarters=4, since=Window.called("2027").start)
    device = begun(A, [LONE, year], at=quarter("2027-Q1"), mesh=(A,))
    taken = Window.called("2027-Q2")
    device.froze(Freeze(taken, A.public))
    effect = device.next(quarter("2028-Q1"), TERMS.version, SECRETS)
    assert isinstance(effect, Freeze)
    assert device.stands(effect)


def test_terms_are_those_of_the_device_that_decides_and_of_our_version() -> None:
    device = begun(C, [PLAN])
    assert device.agree(FIRST, B.public, OTHER_WORDS) is None, "B does not decide"
    assert device.agree(FIRST, A.public, OTHER_TERMS) is None, "we have not read by that version"
    assert device.agree(Window(FIRST.start, 2), A.public, OTHER_WORDS) is None
    assert part(C, [PLAN]).agree(FIRST, A.public, OTHER_WORDS) is None, "it did not open for us"
    device.froze(Freeze(FIRST, A.public))
    assert device.agree(FIRST, A.public, OTHER_WORDS) is None, "our part is taken"
    assert device.untaken(A.public, NOW) == []


def test_terms_are_told_to_members_by_the_device_that_decides() -> None:
    releaser = begun(A, [PLAN])
    assert releaser.terms_for(FIRST, B.public) == TERMS
    assert releaser.terms_for(FIRST, Author("stranger").public) == No("it is no member")
    assert releaser.terms_for(Window(FIRST.start, 2), B.public) == No("it goes by another plan")
    assert begun(C, [PLAN]).terms_for(FIRST, B.public) == No("it goes by another plan")
    assert part(A, [PLAN]).terms_for(FIRST, B.public) == No("the window has not opened there")


def test_of_a_window_that_was_decided_no_part_is_taken() -> None:
    device = begun(C, [PLAN])
    done = device.hear([spend(A)], OVER)
    assert done is not None
    device.kept(done)
    said = "the window, or a later one, was decided before its part was taken"
    assert device.own(OVER, TERMS.version) == Freeze(FIRST, A.public, said)


def test_why_a_window_will_not_be_decided() -> None:
    releaser = begun(A, [PLAN])
    assert releaser.hindered(FIRST, OVER) == ""
    assert releaser.undecided(OVER) == [FIRST]
    assert part(A, [PLAN]).hindered(FIRST, OVER) == "it did not open for the device that decides it"
    assert begun(A, [PLAN], mesh=(A, C)).hindered(FIRST, OVER) == "its witness is out of the mesh"
    assert begun(C, [PLAN], mesh=(B, C)).hindered(FIRST, OVER) == "the device that decides it is out of the mesh"
    assert releaser.hindered(FIRST, quarter("2027-Q4")) == "it ended more than a year ago"
    assert releaser.hindered(Window(FIRST.start - 1), OVER) == "nobody decides it"
    later = spend(A, Window(FIRST.start + 1))
    releaser.kept(Keep((later,)))
    assert releaser.hindered(FIRST, OVER) == "a later window was decided before it"
    assert releaser.undecided(OVER) == [FIRST]


def test_who_was_not_there_has_nothing_to_give() -> None:
    device = part(C, [PLAN])
    answer = device.call(call(PLAN), A.public, OVER, TERMS.version, SECRETS)
    assert answer == Freeze(FIRST, A.public, "it was not there in that window")


# --- every refusal ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("it is no member", {"caller": Author("stranger")}),
        ("it goes by another plan", {"caller": B}),
        ("it goes by another plan", {"plan": plan_of_root(A, C)}),
        ("it goes by another plan", {"window": Window(FIRST.start - 1)}),
        ("it goes by another plan", {"window": Window(FIRST.start, 2)}),
        ("the window is not over by the clock there", {"at": FIRST.closes - 1}),
        ("it has not heard yet of a secret of the mesh", {"secrets": b"x" * 32}),
    ],
)
def test_a_part_is_refused_in_a_sentence(said: str, changes: dict[str, object]) -> None:
    given = {"caller": A, "plan": PLAN, "window": FIRST, "at": OVER, "secrets": SECRETS, **changes}
    device = begun(C, [PLAN])
    asked = replace(call(given["plan"], given["window"]), secrets=given["secrets"])  # type: ignore[arg-type]
    answer = device.call(asked, given["caller"].public, given["at"], TERMS.version, SECRETS)  # type: ignore[attr-defined, arg-type]
    assert answer == No(said)
    assert device.local == begun(C, [PLAN]).local


def test_a_part_of_a_longer_window_is_not_given_for_a_shorter_one() -> None:
    year, cut = Window.called("2026-Q2-Q4"), plan_of_root(A, B, number=1)
    for frozen in ({FIRST.start: (year, A.public)}, {FIRST.start - 1: (Window(FIRST.start - 1, 3), A.public)}):
        device = part(C, [PLAN, cut], Kept(frozen=dict(frozen)))
        answer = device.call(call(cut), A.public, OVER, TERMS.version, SECRETS)
        assert answer == No("it has given its part of a longer or a shorter window")


@pytest.mark.parametrize(
    ("said", "record", "changes"),
    [
        ("it is no member", spend(A), {"caller": Author("stranger")}),
        ("it is no member", spend(A), {"caller": C}),
        ("its signature is wrong", replace(spend(A), signature=bytes(64)), {}),
        ("it goes by another plan", spend(B), {"caller": B}),
        ("it goes by another plan", spend(A, choice="loose"), {}),
        ("it goes by another plan", spend(A, Window(FIRST.start - 1)), {}),
        ("the window is not over by the clock there", spend(A), {"at": FIRST.closes - 1}),
        ("the window is not over by the clock there", spend(A, Window(FIRST.start, 2)), {}),
        ("that window was spent before, or one after it", spend(A), {"records": [spend(A, nonce=b"1" * 16)]}),
        ("that window was spent before, or one after it", spend(A), {"records": [spend(A, NEXT)]}),
        ("it goes by another plan", plan_after(PLAN, C, releaser=C, witness=B, since=NEXT.start), {"caller": C}),
        (
            "it goes by another plan",
            plan_after(plan_of_root(A, C), A, releaser=C, witness=B, since=NEXT.start),
            {},
        ),
    ],
)
def test_a_word_is_refused_in_a_sentence(said: str, record: Spend | Plan, changes: dict[str, object]) -> None:
    given = {"caller": A, "at": OVER, "records": [], **changes}
    witness = begun(B, [PLAN, *given["records"]])  # type: ignore[misc]
    before = len(witness.ledger)
    assert witness.asked(record, given["caller"].public, given["at"]) == No(said)  # type: ignore[attr-defined, arg-type]
    assert len(witness.ledger) == before


def test_a_word_is_refused_once_the_budget_of_the_year_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.protocols.release_answering.WINDOWS_A_YEAR", 1)
    early = plan_of_root(A, B, since=FIRST.start - 1)
    witness = begun(B, [early, spend(A, Window(FIRST.start - 1))])
    assert witness.asked(spend(A), A.public, OVER) == No("the budget of that year is spent")
    assert begun(A, [early, spend(A, Window(FIRST.start - 1))]).due(OVER) is None


def test_who_was_put_out_neither_gives_nor_decides_nor_sees() -> None:
    for author in (A, B, C):
        device = begun(author, [PLAN])
        rest = frozenset(one.public for one in (A, B, C, D) if one is not author)
        device.membership(rest, rest | {author.public})
        assert device.due(OVER) is None
        assert device.call(call(PLAN), A.public, OVER, TERMS.version, SECRETS) == No("it is no member")
        assert device.asked(spend(A), A.public, OVER) == No("it is no member")
