"""What is measured about generalised texts is counted right."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ours import generalise as measured
from benchmarks.ours import ordinary
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


def test_ordinary_words_are_those_of_letters_outside_of_fences(tmp_path: Path) -> None:
    one = ordinary.Lost()
    one.add("Please ask Rohan about 3x blorptank now\n```python\nblorp = rohan\n```\nthanks\n")
    assert one.words == 7  # not "x", which stands at a digit
    assert {word for _, word in one.taken} == {"rohan", "blorptank"}
    assert one.share == pytest.approx(2 / 7)
    assert sum(many for _, many, _ in one.most()) == 2
    file = tmp_path / "habits.jsonl"
    file.write_text('{"split": "tuned", "request": "no"}\n{"split": "unseen", "request": "write it to Rohan"}\n')
    assert {split: one.share for split, one in ordinary.lost(file).items()} == {"unseen": 1 / 4}
    assert ordinary.Lost().share == 0
