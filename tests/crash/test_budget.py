"""99 kills of three processes that spend one budget: it is never exceeded, and nothing is drawn twice."""

from __future__ import annotations

import json
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from mycelnode import schema
from mycelnode.identity import RootKey, verify
from mycelnode.privacy import budget, released
from mycelnode.protocols.release_ledger import WINDOWS_A_YEAR, Ledger
from tests.crash.spender import WINDOWS

KILLS, AT_ONCE = 99, 3


def start(database: Path, root: bytes, device: bytes, draws: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.crash.spender", database, root.hex(), device.hex(), draws]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.timeout(600)
def test_three_processes_that_are_killed_99_times_spend_each_window_once(tmp_path: Path) -> None:
    database, root, device = tmp_path / "budget.db", secrets.token_bytes(32), secrets.token_bytes(32)
    schema.open_writer(database, schema.shipped_migrations()).close()
    files = [tmp_path / f"draws {number}" for number in range(AT_ONCE)]
    running = [start(database, root, device, file) for file in files]
    kills = 0
    try:
        while kills < KILLS:
            time.sleep(random.uniform(0, 0.15))  # when it is killed is up to chance: that is the test
            number = random.randrange(AT_ONCE)
            if running[number].poll() is None:
                running[number].send_signal(signal.SIGKILL)
                kills += 1
            end(running[number])
            running[number] = start(database, root, device, files[number])
            with closing(sqlite3.connect(database)) as connection:
                (spent,) = connection.execute("SELECT count(*) FROM release_records").fetchone()
            if spent >= WINDOWS:
                break
        for process in running:
            assert process.wait() == 0
    finally:
        for process in running:
            process.kill()
            end(process)
    assert kills >= KILLS, f"the budget of {WINDOWS} windows was spent after {kills} kills"
    with closing(schema.open_writer(database, schema.shipped_migrations())) as connection:
        key = RootKey(root)
        ledger = Ledger(key.public, budget.check(connection, key.public, verify))
        rows = list(released.every(connection))
        stored = {row.window: {} for row in rows}
        for row in rows:
            stored[row.window][row.key.hex()] = row.n
        decided = {window for (window,) in connection.execute("SELECT start FROM release_drawn")}
    spends = ledger.spends()
    assert len({spend.window for spend in spends}) == len(spends) == WINDOWS, "each window is spent, and once"
    assert max(Counter(spend.window.year for spend in spends).values()) <= WINDOWS_A_YEAR
    drawn = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len({line["window"] for line in drawn}) == len(drawn), "no window is sampled twice"
    nonces = {spend.window.id: spend.nonce.hex() for spend in spends}
    assert all(nonces[line["window"]] == line["nonce"] for line in drawn), "what was sampled was spent before"
    samples = {line["window"]: line["outputs"] for line in drawn}
    assert all(samples[window] == outputs for window, outputs in stored.items()), "what is stored is what was sampled"
    assert {spend.window.start for spend in spends} >= decided
    lost = len(spends) - len(decided)
    assert 0 < lost <= KILLS, f"{lost} of {len(spends)} windows were lost in {kills} kills; some kills have to hit"
