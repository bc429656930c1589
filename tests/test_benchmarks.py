"""The benchmarks at tiny sizes: every number that a row needs is measured, and what is printed is well-formed.

Speed is not judged here; bytes are exact, so those aims are.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from benchmarks import install, jobs, report
from benchmarks.data import Sizes, key
from benchmarks.ours import (
    blocks,
    catalogue,
    cids,
    crdt,
    fetch,
    finding,
    idle,
    keys,
    labelled,
    log,
    ordinary,
    publish,
    registry,
    release,
    remote,
    replicate,
    search,
    together,
    windows,
)
from benchmarks.ours.world import Numbers
from benchmarks.rows import SPECS, Row, rows

ROOT = Path(__file__).parent.parent
SIZES = Sizes(2_100)  # the fewest entries that a newcomer gets as a state
FIELDS = ["name", "unit", "ours", "peer", "floor", "ratio"]
ABSENT = {job.name: "absent" for job in jobs.jobs(jobs.Scale()) if job.needs or job.beside}

TOGETHER = {
    spec.name for spec in SPECS if spec.ours[0] in ABSENT
}  # ours is measured where a peer is, on what that gives


def line(name: str, of: list[Row]) -> Row:
    return next(row for row in of if row.name == name)


@pytest.fixture
async def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """The table, from one round of our own measurements."""
    monkeypatch.setenv("MYCEL_MESH_LAN", "false")
    monkeypatch.setattr(replicate, "remote", remote.here)
    monkeypatch.setattr(idle, "SETTLE_SECONDS", 0.0)
    runs: jobs.Runs = {}

    async def once(name: str, measure: Callable[..., Awaitable[Numbers]], *arguments: int) -> None:
        folder = tmp_path / name
        await trio.Path(folder).mkdir()
        runs[name] = {metric: [value] for metric, value in (await measure(folder, *arguments)).items()}

    await once("w1.mycelnode", crdt.measure, 1, SIZES.n)
    await once("w2.mycelnode", crdt.measure, 2, 100)
    await once("w3.mycelnode", crdt.measure, 3, SIZES.n)
    await once("w4.mycelnode", log.measure, 50)
    await once("net.mycelnode", replicate.measure, 20)
    await once("together.mycelnode", together.measure, 2)
    await once("catalogue", catalogue.measure, SIZES.catalogue)
    for n in jobs.LIBRARIES:
        await once(f"search.{n}", search.measure, 200)
    await once("registry", registry.measure, 60)
    await once("finding", finding.measure, 100)
    await once("publish", publish.measure, 2)
    await once("fetch", fetch.measure, 1, 100_000)
    await once("cids", cids.measure, 1, (1 << 20) + 1)
    await once("blocks", blocks.measure, 2 << 20, 100)
    await once("keys", keys.measure)
    await once("ordinary", ordinary.measure)
    await once("labelled", labelled.measure)
    await once("windows", windows.measure)
    await once("release", release.measure, 100)
    await once("idle", idle.measure, 0, 1)
    # as programs: libp2p's own host leaves sockets open, and py-near wants asyncio
    for name in ("dial", "chain"):
        numbers = await trio.to_thread.run_sync(jobs.run, jobs.Job(name, [f"benchmarks.ours.{name}", "1"]))
        runs[name] = {metric: [value] for metric, value in numbers.items()}
    assert runs.keys() == {job.name for job in jobs.jobs(jobs.Scale()) if job.name not in ABSENT}
    return rows(runs, ABSENT, SIZES)


@pytest.mark.timeout(240)  # eleven processes that import libp2p, on a busy machine
async def test_every_row_is_measured_and_well_formed(measured: list[Row], tmp_path: Path) -> None:
    assert len(measured) == len(SPECS)
    for row in measured:
        printed = json.loads(row.to_json())
        assert list(printed)[:6] == FIELDS
        if row.name in TOGETHER:
            assert (row.ours, row.skipped) == (None, "absent"), row.name
            continue
        assert row.ours is not None, row.name
        assert row.ours > 0 or row.unit == "% of a core", row.name
        assert (row.ratio is not None) == bool(row.peer or (row.floor and row.skipped is None)), row.name

    for name in ("W1 by state", "W1 entry by entry", "W3 by state"):
        row = line(f"{name}, bytes", measured)
        assert row.ratio is not None
        assert row.ratio >= 1, f"{name}: fewer bytes than the data have"
        assert row.met is True, f"{name}: {row.ratio:.3f} times the floor"
    catalogues = [row for row in measured if row.name.startswith("catalogue") and row.aim is not None]
    assert len(catalogues) == 5
    assert [row.name for row in catalogues if row.met is not True] == []
    assert line("W3 add wins", measured).met is True
    assert line("W1 by state, time", measured).skipped == "absent"

    table = report.table(measured)
    assert all(row.name in table for row in measured)
    assert "left out: absent" in table
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.rewrite(page, report.markdown(measured, {"cores": 2}, ["images/bench-bytes.png"]))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("\n| ") == len(SPECS) + 2


def test_the_page_has_a_place_for_the_table(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text((ROOT / "docs/performance.md").read_text())
    report.rewrite(page, "the table")
    assert f"{report.BEGIN}\n\nthe table\n\n{report.END}" in page.read_text()
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no part"):
        report.rewrite(page, "the table")


def test_a_peer_that_is_not_there_is_left_out_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(install, "HYPERCORE", tmp_path / "hypercore")
    peers = [job for job in jobs.jobs(jobs.Scale()) if job.name in ABSENT]
    told: list[str] = []
    runs, skipped = jobs.run_all(peers, 2, told.append)
    assert not runs
    assert skipped.keys() == {job.name for job in peers}
    assert "not installed" in skipped["w1.pycrdt"]
    assert "node" in skipped["w4.hypercore"] or "hypercore" in skipped["w4.hypercore"]
    assert len(told) == len(peers), "what is missing is not tried again"


def test_a_failed_measurement_says_what_it_said() -> None:
    with pytest.raises(jobs.Failed, match=r"(?s)broken ended with status 1.*No module named benchmarks\.nothing"):
        jobs.run(jobs.Job("broken", ["benchmarks.nothing"]))


def test_the_data_are_those_of_the_other_languages() -> None:
    assert key(0) == "0aWsmgFfrC73s0Fn", "hypercore.mjs makes the same"
    assert len({key(n) for n in range(1000)}) == 1000
    common, (added, removed), (others, gone) = SIZES.common(), SIZES.one_side(), SIZES.other_side()
    alive = (set(common) - set(removed) - set(gone)) | set(added) | set(others)
    assert len(alive) == SIZES.alive
    assert set(SIZES.probed()) <= set(gone)
