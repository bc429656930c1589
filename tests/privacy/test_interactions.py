from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import TurnRefused
from mycelnode.privacy.interactions import (
    AHEAD_MS,
    MAX_TURN_BYTES,
    Facts,
    Influence,
    Outcome,
    Turn,
    canonical,
    checked,
    day_mark,
    from_json,
    influence,
    influence_names,
    merged,
    moment,
    stamp,
    turn_mark,
)

NOW = 1_800_000_000_000
SECRET = b"s" * 32

FACTS = st.builds(
    Facts,
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from(["a", "b"]),
    st.sampled_from(list(Outcome)),
    st.sampled_from([Influence.NONE, Influence.WEB, Influence.TOOL | Influence.FILE]),
)


@given(st.lists(FACTS, min_size=1, max_size=4))
def test_what_reports_of_a_turn_say_together_depends_on_no_order_and_no_repetition(reports: list[Facts]) -> None:
    def together(some: tuple[Facts, ...]) -> Facts:
        found = some[0]
        for one in some[1:]:
            found = merged(found, one)
        return found

    assert len({together(order) for order in itertools.permutations(reports)}) == 1
    assert together((*reports, *reports)) == together(tuple(reports))


def test_a_day_that_somebody_named_wins_over_the_day_of_the_ingestion_and_any_influence_stays() -> None:
    told = Facts(9, True, "b", Outcome.YES, Influence.NONE)
    untold = Facts(3, False, "a", Outcome.NO, Influence.WEB)
    assert merged(untold, told) == Facts(9, True, "b", Outcome.NO, Influence.WEB)


def test_a_turn_is_its_words_and_who_said_them() -> None:
    assert canonical("a", "b") != canonical("b", "a")
    assert canonical("ab", "c") != canonical("a", "bc")
    assert canonical("cafe\u0301\r\nx ", "b") == canonical("caf\u00e9\nx", "b\n")
    assert turn_mark(SECRET, "a", "b") != turn_mark(b"t" * 32, "a", "b")
    assert (
        len(
            {
                turn_mark(SECRET, "a", "b"),
                day_mark(SECRET, b"a", 1),
                day_mark(SECRET, b"a", 2),
                day_mark(SECRET, b"b", 1),
            }
        )
        == 4
    )


def test_a_clock_that_is_put_right_moves_nothing_into_a_window_that_ended() -> None:
    assert stamp(NOW, None) == NOW
    assert stamp(NOW, NOW - 5) == NOW
    assert stamp(NOW, NOW + AHEAD_MS) == NOW + AHEAD_MS
    assert stamp(NOW, NOW + AHEAD_MS + 1) == NOW, "one that was years ahead holds nothing back once it is right"


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (Turn(" \n", "b"), "empty"),
        (Turn("a", ""), "empty"),
        (Turn("a", "b" * MAX_TURN_BYTES), "long"),
        (Turn("a", "\u00e9" * (MAX_TURN_BYTES // 2)), "long"),
        (Turn("a", "b", NOW + AHEAD_MS + 1), "future"),
        (Turn("a", "b", -1), "malformed"),
        (Turn("a", "b", 1 << 60), "malformed"),
    ],
)
def test_what_is_no_turn_is_refused_with_a_reason(turn: Turn, reason: str) -> None:
    with pytest.raises(TurnRefused) as refused:
        checked(turn, NOW)
    assert refused.value.reason == reason


def test_what_can_just_be_kept_is() -> None:
    assert checked(Turn("a", "b" * (MAX_TURN_BYTES - 1), NOW + AHEAD_MS), NOW).size == MAX_TURN_BYTES
    assert checked(Turn("a\ud83d", "b"), NOW).request == "a\ufffd", (
        "JSON can name half a character; a database cannot keep it"
    )


def test_times_are_text_or_seconds() -> None:
    assert (
        moment("2026-01-01T00:00:00Z")
        == moment("2026-01-01T01:00:00+01:00")
        == moment("2026-01-01")
        == 1_767_225_600_000
    )
    assert moment(1_767_225_600.5) == 1_767_225_600_500
    assert moment(None) is None
    for nonsense in ("soon", "", True, [], float("nan"), float("inf"), 1e300, "9999-99-99", "2026-01-01T00:00:00\n"):
        with pytest.raises(TurnRefused):
            moment(nonsense)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"request": "a"},
        {"request": "a", "answer": 1},
        {"request": "a", "answer": "b", "success": "yes"},
        {"request": "a", "answer": "b", "influenced": "web"},
        {"request": "a", "answer": "b", "influenced": ["magic"]},
        {"request": "a", "answer": "b", "influenced": [["web"]]},
        {"request": "a", "answer": "b", "source": ""},
        {"request": "a", "answer": "b", "source": "x" * 65},
        {"request": "a", "answer": "b", "source": "a\nb"},
        {"request": "a", "answer": "b", "time": {}},
    ],
)
def test_wrong_types_are_refused(value: dict[str, object]) -> None:
    with pytest.raises(TurnRefused) as refused:
        from_json(value, "import")
    assert refused.value.reason == "malformed"


def test_our_own_form_is_read_whole_and_what_it_does_not_know_is_left_alone() -> None:
    value = {
        "request": "a",
        "answer": "b",
        "time": 1,
        "success": False,
        "source": "x",
        "influenced": ["web", "tool"],
        "mood": 1,
    }
    assert from_json(value, "import") == Turn("a", "b", 1000, "x", Outcome.NO, Influence.WEB | Influence.TOOL)
    assert from_json({"request": "a", "answer": "b"}, "import") == Turn("a", "b", None, "import")
    assert influence_names(influence(["system", "pattern"])) == ["pattern", "system"]
