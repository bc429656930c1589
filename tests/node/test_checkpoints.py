"""The folded state on disk: what a start after a crash must fold again is bounded, and an unfinished one is never taken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mycelnode import checkpoints, logstore
from mycelnode.crdt import document as ops
from mycelnode.joining import init_mesh
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir
from tests.node.nodes import SkewedClock, folder, until

CLOCK = SkewedClock()
VALUE = "x" * 200


async def write(mesh: Mesh, count: int) -> None:
    for number in range(count):
        await mesh.write([ops.map_put("notes", str(number % 20), VALUE)])


def as_killed(data: DataDir, tmp_path: Path) -> DataDir:
    """What `kill -9` would leave now."""
    shutil.copytree(data.path, tmp_path / "killed", ignore=shutil.ignore_patterns("lock", "control.sock"))
    return DataDir(tmp_path / "killed")


@pytest.fixture
async def data(tmp_path: Path) -> DataDir:
    data = folder(tmp_path, "laptop")
    await init_mesh(data, "laptop", clock=CLOCK)
    return data


async def test_a_start_after_a_crash_folds_no_more_than_what_is_worth_a_checkpoint(
    data: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "LEAST_BYTES", 10_000)
    monkeypatch.setattr(checkpoints, "LEAST_PART", 1_000_000)
    async with open_mesh(data, clock=CLOCK) as mesh:
        await write(mesh, 300)
        assert mesh.replica.folded > 60_000
        await until(lambda: mesh.checkpoints._kept is not None, "a checkpoint while the node runs")
        await write(mesh, 5)
        killed = as_killed(data, tmp_path)
        digest = mesh.replica.document.digest()
    async with open_mesh(killed, clock=CLOCK) as mesh:
        assert mesh.replica.folded < 20_000
        assert mesh.replica.document.digest() == digest


async def test_what_is_on_disk_already_is_not_written_again(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_mesh(data, clock=CLOCK) as mesh:
        await write(mesh, 3)
    written = []
    monkeypatch.setattr(logstore, "save_piece", lambda *_, **__: written.append(1))
    async with open_mesh(data, clock=CLOCK) as mesh:
        assert mesh.replica.folded == 0
    assert not written


async def test_a_crash_between_two_pieces_leaves_the_state_before(
    data: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "PIECE_BYTES", 1000)
    monkeypatch.setattr("mycelnode.crdt.columns.BLOCK_ROWS", 2)
    async with open_mesh(data, clock=CLOCK) as mesh:
        await write(mesh, 40)
    async with open_mesh(data, clock=CLOCK) as mesh:
        await write(mesh, 1)
        pieces = 0
        real = logstore.save_piece

        def save_piece(*arguments: object, **named: object) -> None:
            nonlocal pieces
            pieces += 1
            real(*arguments, **named)  # type: ignore[arg-type]
            if pieces == 2:
                raise SystemExit("killed")

        monkeypatch.setattr(logstore, "save_piece", save_piece)
        with pytest.raises(SystemExit):
            await mesh.checkpoints.keep(mesh.replica)
        assert pieces == 2, "there are more than two"
        killed = as_killed(data, tmp_path)
        monkeypatch.setattr(logstore, "save_piece", real)
    async with open_mesh(killed, clock=CLOCK) as mesh:
        assert mesh.replica.folded < 1000, "one entry, on top of the state before"
        assert len(mesh.replica.document.map("notes")) == 20
