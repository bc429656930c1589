"""The measurement of scale still measures, and writes its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from benchmarks import _catch_up, _scenes, scale
from benchmarks._folders import ENTRY_BYTES, YEAR_DAYS, Folders
from benchmarks._points import Point
from benchmarks._processes import grow_and_kill

ROOT = Path(__file__).parent.parent


def test_two_devices_are_grown_met_and_started(tmp_path: Path) -> None:
    points = {point.curve: point for point in _scenes.devices(tmp_path, [2], 200, lambda *_: None)}
    assert points["devices: in step, bytes"].value < points["devices: 100 changes, bytes"].value
    assert points["devices: 100 changes, bytes"].value >= (points["devices: 100 changes, bytes"].floor or 0) > 0
    assert points["crowd: a change, frames that each device sends"].value >= 1
    assert points["devices: durable write, CPU"].value > 0


async def test_what_it_costs_to_meet_grows_with_changes(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    await folders.found(2)
    met = await _scenes.meet(folders.data(0), folders.data(1), YEAR_DAYS, (0, 10, 100))
    assert 10 * ENTRY_BYTES <= met[10].bytes - met[0].bytes < 20 * ENTRY_BYTES  # 1,559
    assert 100 * ENTRY_BYTES <= met[100].bytes - met[0].bytes < 200 * ENTRY_BYTES  # 13,170


def test_what_was_measured_earlier_is_shown_and_written_into_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [Point("history: in step, bytes", x, 10.0 * x, "B", 5.0) for x in (1000, 10_000)]
    results, page = tmp_path / "scale.jsonl", tmp_path / "page.md"
    results.write_text("".join(json.dumps(scale.row(point)) + "\n" for point in points))
    page.write_text(f"before\n{scale.BEGIN}\nold\n{scale.END}\nafter\n")
    scale.main(["--from", str(results), "--docs", str(page), "--json"])
    assert [json.loads(line)["ratio"] for line in capsys.readouterr().out.splitlines()] == [2000, 20_000]
    text = page.read_text()
    assert "| in step, bytes | 10,000 | 100,000 | B |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")


def test_the_page_has_room_for_the_results() -> None:
    text = (ROOT / "docs/scale.md").read_text()
    assert text.index(scale.BEGIN) < text.index(scale.END)


def test_curves_begin_and_end_where_they_should() -> None:
    assert scale.steps(1_000_000, 1000) == [1000, 10_000, 100_000, 1_000_000]
    assert scale.steps(20_000, 1000) == [1000, 2000, 20_000]
    assert scale.steps(1000, 1000) == [1000]


def test_who_was_away_is_in_step_again_with_a_snapshot_for_fewer_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_catch_up, "AFTER_SNAPSHOT", 10)
    folders = Folders(tmp_path)
    trio.run(folders.found, 3, True)
    _catch_up.leave(folders)
    grow_and_kill(folders, range(3000), (YEAR_DAYS - 1, YEAR_DAYS), "overwriting", lambda _: None)
    points = {point.curve: point.value for point in _catch_up.away(folders, YEAR_DAYS, 3000, lambda *_: None)}
    assert points["away: no snapshot, bytes"] > 3000 * ENTRY_BYTES / 1e6
    # 252 kB of 395: a thousand values, and the chain of hashes that the entries leave.
    assert points["away: a snapshot, bytes"] < 3000 * ENTRY_BYTES / 1e6
