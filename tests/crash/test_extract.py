"""`mycelnode pattern extract`, killed while it decides: a window is decided once or lost, and nothing is ever drawn again."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from mycelnode.paths import DataDir
from tests.cli.test_releases import QUARTER, Timed, live

KILLS, MOST = 10, 40  # more than the first only until one has come between the spend and the draw
SECONDS = 60.0  # for one decision


def counted(database: Path, question: str) -> int:
    """0 as long as the database cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0.05)) as connection:
            return int(connection.execute(question).fetchone()[0])
    except sqlite3.Error:
        return 0


SPENT, TAKEN, DECIDED = (
    "SELECT count(*) FROM audit WHERE instr(event, CAST('spend' AS BLOB))",
    "SELECT count(*) FROM release_frozen",
    "SELECT count(*) FROM release_drawn",
)


@pytest.mark.timeout(900)
def test_a_decision_that_is_killed_anywhere_is_made_once_or_never(tmp_path: Path) -> None:
    begun = Timed(tmp_path / "begun")
    assert begun("init", "--name", "fox").code == 0
    live(begun, tmp_path)
    assert begun("pattern", "extract", "--json").json["window"]["state"] == "open"
    states: list[str] = []
    while len(states) < KILLS or (len(states) < MOST and "lost" not in states):
        fox = Timed(tmp_path / f"fox {len(states)}")
        shutil.copytree(begun.folder, fox.folder)
        fox.skew = QUARTER
        with closing(fox):
            states.append(decide_and_kill(fox, until=(TAKEN, SPENT, SPENT)[len(states) % 3]))
    assert set(states) == {"decided", "lost"}, states


def decide_and_kill(fox: Timed, until: str) -> str:
    database = DataDir(fox.folder).database
    process = fox.start("pattern", "extract", "--json")
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and not counted(database, until) and time.monotonic() < deadline:
        pass
    time.sleep(random.choice((0.0, 0.0, random.uniform(0, 0.02))))  # where it is hit is up to chance: that is the test
    process.send_signal(signal.SIGKILL)
    process.wait()
    spent, drawn = bool(counted(database, SPENT)), bool(counted(database, DECIDED))
    fox("pattern", "extract", "--json")  # if it can still be decided, it is
    stands = fox("budget", "--json").json
    assert stands["ever"]["windows"] == 1
    window = next(str(one["id"]) for one in stands["windows"] if one["spent"])
    found, again = (fox("pattern", "extract", "--window", window, "--json").json for _ in range(2))
    assert found["window"]["state"] == ("decided" if drawn or not spent else "lost"), (spent, drawn)
    assert (found["candidates"], again["decided"]) == (again["candidates"], [])
    assert (found["candidates"] == []) == (found["window"]["state"] == "lost"), "sixty days are always released"
    assert fox("audit", "verify").code == 0
    return str(found["window"]["state"])
