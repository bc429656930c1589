"""The store of blocks in many threads, and in a process that is killed: what was promised stays, and nothing is torn."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mycelnode.patterns.blockfiles import DISK_UNIT, cost
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.unixfs import write_file
from tests.patterns import storing
from tests.patterns.contents import PLENTY, raw


def in_threads(*work: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def run(each: Callable[[], None]) -> None:
        try:
            each()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_threads_share_it(tmp_path: Path) -> None:
    store = Blockstore(tmp_path / "store", 60 * DISK_UNIT)
    roots: list[Cid] = []

    def write(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(10):
            with store.adding() as adding:
                root = write_file([rng.randbytes(4000)], adding.put, part_bytes=1000).cid
                if rng.random() < 0.3:
                    store.pin(root)
                    roots.append(root)

    def read() -> None:
        rng = random.Random(0)
        for _ in range(300):
            for root in roots.copy():
                assert store.missing(root) == []
            cid, block = raw(f"{rng.randrange(30)}")
            assert store.get(cid) in (None, block)
            store.put(cid, block)

    in_threads(*(lambda seed=seed: write(seed) for seed in range(3)), read)  # type: ignore[misc]
    assert roots
    assert store.pins() == set(roots)
    assert all(store.missing(root) == [] for root in roots)
    assert store.usage == Blockstore(store.folder, PLENTY).usage <= store.quota


def test_a_process_that_is_killed_at_any_place_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    rng = random.Random(20261126)
    promised, pinned_at_all = set[Cid](), 0
    for seed in range(8):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.patterns.storing", tmp_path, str(seed)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        lines = [child.stdout.readline() for _ in range(rng.randrange(1, 12))]
        time.sleep(rng.uniform(0, 0.02))  # no synchronisation: it is to be killed anywhere
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        for line in lines:
            deed, text = line.split()
            pinned_at_all += deed == "pinned"
            (promised.add if deed == "pinned" else promised.discard)(Cid.parse(text))
        store = Blockstore(tmp_path, storing.QUOTA)
        assert list((tmp_path / "writing").iterdir()) == []
        assert promised <= store.pins()
        for cid in promised:
            assert store.missing(cid) == []
        present = [Cid.parse(path.name) for path in (tmp_path / "blocks").rglob("b*") if path.is_file()]
        for cid in present:
            assert store.get(cid) is not None, f"{cid} is torn"
        assert store.usage == sum(cost(store.size(cid) or 0) for cid in present) <= storing.QUOTA
        assert list((tmp_path / "damaged").iterdir()) == []
    assert pinned_at_all > 8
