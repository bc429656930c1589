"""What a search says of the registry, in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mycelnode.chain.copied import MAX_OTHERS, Record, Said, State
from mycelnode.collective.answers import PatternInfo
from mycelnode.market.answers import found_pattern
from mycelnode.market.asking import Asked, age, asked
from mycelnode.patterns import library
from mycelnode.patterns.ranking import Facts, explain
from mycelnode.patterns.search import Found
from tests.patterns.known import open_library, signed

COPY = State("devchain/abc", "registry.near", 7, "reputation.near", 4, 4, 100, 1_000_000)
RECORD = Record(7, "alice.near", 5, 1, None)


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (-5, "0 seconds"),
        (999, "0 seconds"),
        (1_000, "1 second"),
        (59_999, "59 seconds"),
        (60_000, "1 minute"),
        (7_200_000, "2 hours"),
        (86_400_000 * 1_500, "1,500 days"),
    ],
)
def test_an_age_for_people(milliseconds: int, said: str) -> None:
    assert age(milliseconds) == said


@pytest.mark.parametrize(
    ("copy", "problem", "said"),
    [
        (COPY, "", "ok"),
        (COPY, "nobody answers", "nobody answers; the copy that was used is 1 minute old"),
        (None, "", "nothing of it has come yet"),
        (None, "nobody answers", "nobody answers"),
        (State("c", "r", 7, "s", 1_000, 5_000, 1, 1), "", "1,000 of its 5,000 changes have come"),
    ],
)
def test_how_the_registry_could_be_asked(copy: State | None, problem: str, said: str) -> None:
    assert asked(copy, problem, 1_060_000) == Asked(said, copy)


@pytest.mark.parametrize(
    ("said", "explored", "sentence"),
    [
        (None, False, "nobody has rated it yet"),
        (None, True, "nobody has rated it yet; one place is kept for those whom nobody has rated, and this is it"),
        (
            Said("alice.near", RECORD, 0, None, is_asked=False),
            False,
            "alice.near registered it and is paid; its rating is not known here yet",
        ),
        (
            Said("alice.near", RECORD, 1, 812, is_asked=True),
            False,
            (
                "alice.near registered it and is paid, and is rated 812 of 1,000 by those who paid;"
                " another account registered it too, which counts nothing"
            ),
        ),
        (
            Said("", None, MAX_OTHERS, None, is_asked=False),
            False,
            "100 other accounts or more registered it, and it names no account: that counts nothing",
        ),
    ],
)
def test_what_is_explained(said: Said | None, explored: bool, sentence: str) -> None:
    db = open_library()
    made = signed()
    library.add(db, made, source="", now=0)
    entry = library.get(db, made.cid)
    assert entry is not None
    score = explain(Facts(1.0, 0, 0, None if said is None else said.score, 0), "found")
    info = PatternInfo(
        str(made.cid), "t", "prompt", "d", "en", 3, "00", datetime.now(UTC), 1, False, False, False, "swarm", 0, 0, 0
    )
    answer = found_pattern(info, Found(entry, score, explored), said)
    assert next(part.sentence for part in answer.parts if part.what == "reputation") == sentence
    assert sum(part.contribution for part in answer.parts) == pytest.approx(answer.score)
    assert answer.price == (5 if said is not None and said.record is not None else 3)
