"""The score: within its bounds, growing with each part, honest about few uses, and what it says adds up."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.patterns import ranking
from mycelnode.patterns.pattern import MAX_COUNT, MAX_YOCTO
from mycelnode.patterns.ranking import (
    Facts,
    explain,
    price_value,
    reputation_value,
    score,
    similarity_at,
    success_value,
)

COUNTS = st.integers(0, 10_000) | st.integers(0, MAX_COUNT)
INPUTS = st.fixed_dictionaries(
    {
        "similarity": st.floats(0, 1),
        "uses": COUNTS,
        "successes": COUNTS,
        "reputation": st.none() | st.integers(0, 1000),
        "price": st.integers(0, MAX_YOCTO),
    }
)


def value(**given: Any) -> float:
    return score(Facts(**given))


@given(INPUTS)
def test_a_score_is_within_its_bounds_and_the_sum_of_what_it_says(inputs: dict[str, Any]) -> None:
    found = explain(Facts(**inputs), "so")
    assert found.value == score(Facts(**inputs))
    assert 0 <= found.value <= 1
    assert math.isclose(found.value, sum(part.weight * part.value for part in found.parts))
    assert math.isclose(sum(part.weight for part in found.parts), 1)
    assert [part.what for part in found.parts] == ["similarity", "success", "reputation", "price"]
    for part in found.parts:
        assert 0 <= part.value <= 1
        assert math.isclose(part.contribution, part.weight * part.value)
        assert part.sentence


@given(INPUTS, st.floats(0, 1), st.integers(0, 1000), st.integers(0, MAX_YOCTO))
def test_more_of_what_is_good_is_never_less(
    inputs: dict[str, Any], similarity: float, reputation: int, price: int
) -> None:
    before = value(**inputs)
    assert value(**{**inputs, "similarity": max(similarity, inputs["similarity"])}) >= before
    assert value(**{**inputs, "price": min(price, inputs["price"])}) >= before
    known = ranking.UNKNOWN_REPUTATION if inputs["reputation"] is None else inputs["reputation"]
    assert value(**{**inputs, "reputation": max(reputation, known)}) >= before


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_each_success_raises_and_each_failure_lowers(uses: int, successes: int) -> None:
    uses, successes = max(uses, successes), min(uses, successes)
    here = success_value(uses, successes)
    assert 0 < here < 1
    assert success_value(uses + 1, successes + 1) > here
    assert success_value(uses + 1, successes) < here


def test_few_uses_never_beat_many_good_ones() -> None:
    proven = success_value(100, 95)
    for uses in range(10):
        assert success_value(uses, uses) < proven, uses
    assert success_value(1, 1) < success_value(20, 19) < proven


def test_the_unknown_are_neither_bad_nor_good() -> None:
    assert success_value(20, 0) < success_value(1, 0) < success_value(0, 0) < success_value(1, 1)
    assert success_value(0, 0) == pytest.approx(0.2764, abs=1e-4), "as the module says"
    assert reputation_value(0) < reputation_value(None) < reputation_value(1000)


def test_worked_examples() -> None:
    assert success_value(100, 95) == pytest.approx(0.9038, abs=1e-4)  # by hand: n = 104, p = 97/104
    assert [round(similarity_at(position), 2) for position in (1, 2, 3, 10)] == [1, 0.91, 0.83, 0.53]
    assert price_value(0) == 1
    assert price_value(ranking.HALF_PRICE) == 0.5
    assert reputation_value(5_000) == 1


def test_what_it_says_can_be_read() -> None:
    told = explain(Facts(1, 3, 2, 870, 15 * 10**21), "number 1 by its words")
    assert [part.sentence for part in told.parts] == [
        "number 1 by its words", "it worked in 2 of your 3 uses", "others rate it 870 of 1,000", "0.015 NEAR a use",
    ]  # fmt: skip
    new = explain(Facts(0, 0, 0, None, 0), "")
    assert [part.sentence for part in new.parts[1:]] == [
        "you have not used it yet", "nobody has rated it yet", "it is free",
    ]  # fmt: skip
    assert told.parts[0].as_json() == {
        "what": "similarity", "value": 1.0, "weight": 0.6, "contribution": 0.6, "sentence": "number 1 by its words",
    }  # fmt: skip


@given(st.integers(0, MAX_YOCTO))
def test_near_is_exact(price: int) -> None:
    from decimal import Decimal, localcontext

    with localcontext(prec=60):
        assert Decimal(ranking.near(price)) * 10**24 == price
