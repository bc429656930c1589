"""What is measured about privacy is counted right, and large peers that are not there are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import install
from benchmarks.ours import detectors, windows
from benchmarks.ours.keys import Turn
from benchmarks.ours.year import LABELS, Year
from mycelnode.privacy.accounting import CHOICES
from mycelnode.privacy.detectors import DETECTORS


def test_days_are_binomial() -> None:
    assert windows.spread(2, 0.25) == [0.5625, 0.375, 0.0625]
    assert sum(windows.spread(364, 5 / 7)) == pytest.approx(1)


def test_a_habit_of_each_day_is_released_as_often_as_there_are_windows() -> None:
    for choice in CHOICES.values():
        for many in windows.WINDOWS.values():
            each = windows.expected(choice, many, 7, 100)
            assert each.releases == pytest.approx(many, abs=1e-6)
            assert each.at_all == pytest.approx(1)
            assert windows.expected(choice, many, 0, 100) == windows.Expected(0, 0)


def test_scattering_is_as_bad_as_fewer_days() -> None:
    choice = CHOICES["standard"]
    assert windows.expected(choice, 4, 3, 50) == windows.expected(choice, 4, 1.5, 100)
    assert windows.expected(choice, 4, 2, 100).at_all > windows.expected(choice, 4, 2, 67).at_all


def test_a_simulated_year_is_that_of_the_formulas_if_each_habit_is_known() -> None:
    habits = {f"{number}": [Turn("a", "", None)] for number in range(100)}
    found = windows.simulated(habits, 1.0, people=5)
    for window, many in windows.WINDOWS.items():
        wanted = 100 * windows.expected(CHOICES["standard"], many, 1, 100).at_all
        assert found[window, "perfect"] == pytest.approx(wanted, abs=5)
        assert found[window, "key"] == 0, "what has no key is not released"
        assert found[window, "text"] == pytest.approx(1), "what is said alike is one thing"


def test_habits_that_scatter_are_released_less() -> None:
    said = Year({"mine": [Turn(text, "", None) for text in ("A", "a", "b")]}, 2, seed=1)
    assert said.said == Year({"mine": [Turn(text, "", None) for text in ("A", "a", "b")]}, 2, seed=1).said
    choice = CHOICES["standard"]
    perfect, text = (said.released(LABELS[name], 4, choice) for name in ("perfect", "text"))
    assert 0 < text < perfect <= 1


SENTENCES = [
    {"text": "Ask 10.0.0.1 now.", "type": "ip", "start": 4, "end": 12},
    {"text": "Ask 10.0.0.2 now.", "type": "ip", "start": 4, "end": 12},
    {"text": "Ask Rohan Patel now.", "type": "name", "start": 4, "end": 15},
]


def test_what_is_marked_in_part_is_not_found() -> None:
    def half(texts: Sequence[str]) -> detectors.Marks:
        return [(2.0, [(4, 12)]), (4.0, [(4, 11)]), (3.0, [(0, 20)])]

    assert detectors.measure(SENTENCES, half, lower=False) == ({"ip": 0.5, "name": 1.0}, 3.0)


def test_our_tools_say_what_they_mark() -> None:
    assert detectors.measure(SENTENCES, detectors.detectors, lower=True)[0] == {"ip": 1.0, "name": 0.0}
    assert detectors.measure(SENTENCES, detectors.generaliser, lower=True)[0] == {"ip": 1.0, "name": 1.0}


def test_the_slowest_detector_is_named_with_the_text_that_is_worst_for_it() -> None:
    def careless(text: str) -> list[int]:
        return [text[:at].count("a") for at in range(len(text))]

    ms, name, text = detectors.slowest({"b": "b" * 100, "a": "a" * 20_000}, [*DETECTORS, careless])  # type: ignore[list-item]
    assert (name, text) == ("careless", "a")
    assert ms > 0


def test_large_peers_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "ENVIRONMENT", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    assert install.python()
    with pytest.raises(install.Missing, match=r"python -m benchmarks\.install privacy"):
        detectors.presidio(["text"])
