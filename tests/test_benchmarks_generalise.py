"""What is measured about generalised texts is counted right."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ours import generalise as measured
from benchmarks.ours import labelled, ordinary
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


def test_marks_are_read_and_taken_out() -> None:
    text, pieces = labelled.parse(r"Ask [[name|Rohan]] at [[path|C:\Work]]:\n[[key|a]]")
    assert text == "Ask Rohan at C:\\Work:\na"
    assert [(kind, text[start:end]) for kind, start, end in pieces] == [
        ("name", "Rohan"),
        ("path", "C:\\Work"),
        ("key", "a"),
    ]


def test_what_is_left_of_a_marked_piece_and_what_was_lost_beside_it_are_counted() -> None:
    one = labelled.Hidden()
    one.add(*labelled.parse("my blorptank and [[name|Rohan]] or [[organisation|the little house]]"))
    assert one.pieces == {"name": [True], "organisation": [False]}
    assert one.mean == 0.5
    assert "the, little, house" in one.missed[0]
    assert one.lost.share == pytest.approx(1 / 4)
    one.add(*labelled.parse("for [[health|this illness]]"))
    assert one.mean == 0.5, "an illness is shown, and has no say"


@pytest.mark.parametrize("name", sorted(file.stem for file in labelled.TEXTS.glob("*.txt")))
def test_what_others_marked_is_hidden_and_most_of_the_rest_stays(name: str) -> None:
    one = dict(labelled.measured())[name]
    assert sum(map(len, one.pieces.values())) > 250
    assert one.mean >= 0.95, one.missed
    assert one.lost.share <= 0.20
