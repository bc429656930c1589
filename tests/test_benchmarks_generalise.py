"""What is measured about generalised texts is counted right."""

from __future__ import annotations

import pytest

from benchmarks.ours import generalise as measured
from mycelnode.privacy.generalise import generalise


def sentence(before: str, entity: str, after: str, kind: str) -> dict[str, object]:
    return {"text": before + entity + after, "type": kind, "start": len(before), "end": len(before) + len(entity)}


def test_an_entity_is_caught_if_nothing_of_it_is_left_but_generic_words() -> None:
    sentences = [
        sentence("I told ", "Rohan Patel", " about the house.", "name"),
        sentence("I told ", "the little house", " about it.", "name"),  # three public words: they stay
        sentence("I work at ", "Patel and Rohan Ltd", " now.", "organisation"),
    ]
    cased, lost, ms, missed = measured.measure(sentences, lower=False)
    assert cased == {"name": 0.5, "organisation": 1.0}
    assert len(missed["name"]) == 1
    assert lost == 0
    assert ms > 0
    lowered, *_ = measured.measure(sentences, lower=True)
    assert lowered == cased


def test_ordinary_words_that_went_are_counted() -> None:
    _, lost, _, _ = measured.measure([sentence("My blorptank told ", "Rohan", " so.", "name")], lower=False)
    assert lost == pytest.approx(1 / 4)


def test_what_is_left_is_what_no_slot_covers() -> None:
    text = "ask Rohan Patel now"
    assert measured.left(text, 0, len(text), [(slot.start, slot.end) for slot in generalise(text).slots]) == [
        "ask",
        "now",
    ]
