"""Releases where the world is against them: a disk that is full, a clock that goes back, or far ahead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.test_offline import PASS
from tests.cli.test_releases import DAY, QUARTER, Timed, live
from tests.disks import small_disk

KIB = 1 << 10
DISK = 12_000  # KiB
TEN_YEARS = 3_653 * DAY


@pytest.fixture
def fox(tmp_path: Path) -> Iterator[Timed]:
    """A person whose whole folder is on a disk of `DISK`."""
    with small_disk(tmp_path / "fox", DISK):
        made = Timed(tmp_path / "fox")
        assert made("init", "--name", "fox").code == 0
        with closing(made):
            yield made


def fill(folder: Path, leave: int) -> Path:
    """Take all room but ``leave`` bytes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4 * KIB))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return filler


@pytest.mark.parametrize("leave", [0, 40 * KIB, 200 * KIB])
def test_a_full_disk_spends_nothing_or_loses_the_window_and_says_so(fox: Timed, tmp_path: Path, leave: int) -> None:
    live(fox, tmp_path)
    fox.skew = QUARTER
    filler = fill(fox.folder, leave)
    refused = fox("pattern", "extract", "--json")
    filler.unlink()
    if refused.code:
        assert '"error": "DiskFull"' in refused.err, refused
        assert "Traceback" not in refused.err
    after = fox("pattern", "extract", "--json").json
    spent = fox("budget", "--json").json["ever"]["windows"]
    states = {"decided": 1, "lost": 0}
    state = next(one["state"] for one in fox("budget", "--json").json["windows"])
    assert (spent, len(after["candidates"])) == (1, states[state]), (refused, after)
    if leave == 0:
        assert (refused.code, state) == (1, "decided"), "nothing was spent before there was room"
    assert fox("audit", "verify", "--json").json["ok"]


def test_a_clock_that_was_far_ahead_and_is_put_right_spends_nothing_and_loses_nothing(
    fox: Timed, tmp_path: Path
) -> None:
    live(fox, tmp_path)
    fox.skew = TEN_YEARS
    assert fox("pattern", "extract", "--json").json["decided"] == []
    fox.skew = 0.0
    assert fox("pattern", "extract", "--json").json["window"]["state"] == "open"
    assert fox("budget", "--json").json["ever"]["windows"] == 0
    fox.skew = QUARTER
    assert len(fox("pattern", "extract", "--json").json["candidates"]) == 1
    fox.skew = TEN_YEARS
    assert fox("pattern", "extract", "--json").json["decided"] == []
    assert fox("budget", "--json").json["ever"]["windows"] == 1
    assert fox("audit", "verify", "--json").json["ok"]


def test_a_clock_that_goes_back_opens_no_window_again(fox: Timed, tmp_path: Path) -> None:
    live(fox, tmp_path)
    fox.skew = QUARTER
    (released,) = fox("pattern", "extract", "--json").json["candidates"]
    for skew in (0.0, -QUARTER, QUARTER):
        fox.skew = skew
        again = fox("pattern", "extract", "--json").json
        assert again["decided"] == []
    assert fox("budget", "--json").json["ever"]["windows"] == 1
    assert [one["key"] for one in fox("pattern", "extract", "--json").json["candidates"]] == [released["key"]]


def test_a_device_from_a_backup_goes_on_releasing_and_knows_what_was_spent(tmp_path: Path) -> None:
    fox, new = Timed(tmp_path / "fox"), Timed(tmp_path / "new")
    with closing(fox), closing(new):
        phrase = fox("init", "--name", "fox", "--json").json["phrase"]
        live(fox, tmp_path)
        fox.skew = new.skew = QUARTER
        assert len(fox("pattern", "extract", "--json").json["decided"]) == 1
        file = fox("backup", "create", "--json", env=PASS).json["file"]
        assert new("backup", "restore", file, env=PASS).code == 0
        assert new("recover", "--revoke", "fox", says=phrase + "\n").code == 0
        budget = new("budget", "--json").json
        assert budget["ever"]["windows"] == 1
        assert budget["plan"]["decides"]["name"] != "fox"
        live(new, tmp_path)  # all of it counts no more
        new.skew = 2 * QUARTER
        again = new("pattern", "extract", "--json")
        assert (again.code, again.json["candidates"]) == (0, [])
