"""Bytes that a failing disk changed without a word: in entries, statements, heads and the folded state."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mycelnode import clock
from mycelnode.crdt import document as ops
from mycelnode.database import Database
from mycelnode.errors import DatabaseDamaged, DataDirUnusable
from mycelnode.joining import init_mesh
from mycelnode.logstore import StoredLogs
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir

CLOCK = clock.system()


@pytest.fixture
async def data(tmp_path: Path) -> DataDir:
    """A device that wrote eight notes, all of them milk."""
    data = DataDir(tmp_path / "data")
    await init_mesh(data, "milkmaid", clock=CLOCK)
    async with open_mesh(data, clock=CLOCK) as mesh:
        for number in range(8):
            await mesh.write([ops.map_put("notes", str(number), "milk")])
    return data


def notes(mesh: Mesh) -> set[object]:
    return set(mesh.replica.document.map("notes").values())


def change(data: DataDir, table: str, column: str, where: str = "1") -> None:
    """Another letter in a cell."""
    with closing(sqlite3.connect(data.database)) as connection, connection:
        keys = (
            "name" if table == "facts" else "seq" if table == "entries" else "no" if table == "statements" else "branch"
        )
        for key, cell in connection.execute(f"SELECT {keys}, {column} FROM {table} WHERE {where}").fetchall():
            changed = cell.replace(b"milk", b"silk") if b"milk" in cell else cell[:-1] + bytes([cell[-1] ^ 1])
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {keys} = ?", (changed, key))


def forget_the_fold(data: DataDir) -> None:
    with closing(sqlite3.connect(data.database)) as connection, connection:
        connection.execute("DELETE FROM facts WHERE name = 'document'")


@pytest.mark.parametrize("column", ["entry", "hash"])
async def test_a_changed_entry_is_named_when_it_is_folded_or_sent(
    data: DataDir, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    change(data, "entries", column, "seq = 4")
    named = r"mycel\.db is damaged \(entry 4 of the log of the device 12D3Koo\w+ is not what was stored\); .*restore"
    async with open_mesh(data, clock=CLOCK) as mesh:
        assert notes(mesh) == {"milk"}, "folded before"
        with pytest.raises(DatabaseDamaged, match=named):
            mesh.replica.logs.rows(mesh.identity.device, 0, 2, 1 << 20)
        assert "entry 4 of the log" in caplog.text
        assert mesh.replica.logs.rows(mesh.identity.device, 0, 4 + (column == "hash"), 1 << 20)
    forget_the_fold(data)
    with pytest.raises(DatabaseDamaged, match=named):
        async with open_mesh(data, clock=CLOCK):
            pass


async def test_a_missing_entry_is_named(data: DataDir) -> None:
    with closing(sqlite3.connect(data.database)) as connection, connection:
        connection.execute("DELETE FROM entries WHERE seq = 4")
    async with open_mesh(data, clock=CLOCK) as mesh:
        for after in (0, 3, 4):
            with pytest.raises(DatabaseDamaged, match=f"entry {max(4, after + 1)} of the log"):
                mesh.replica.logs.rows(mesh.identity.device, 0, after, 1 << 20)


@pytest.mark.parametrize("how", ["changed", "changed in a piece", "cut short", "of an earlier version"])
async def test_a_folded_state_that_is_not_as_it_was_written_is_folded_anew(
    data: DataDir, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    if how == "changed":
        change(data, "facts", "value", "name = 'document'")
    elif how == "changed in a piece":
        change(data, "facts", "value", "name LIKE 'document.%'")
    else:
        with closing(sqlite3.connect(data.database)) as connection, connection:
            if how == "cut short":
                assert connection.execute("DELETE FROM facts WHERE name LIKE 'document.%'").rowcount == 1
            else:
                connection.execute("UPDATE facts SET value = substr(value, 33) WHERE name = 'document'")
    with caplog.at_level(logging.WARNING):
        async with open_mesh(data, clock=CLOCK) as mesh:
            assert notes(mesh) == {"milk"}
        assert "the logs are folded anew" in caplog.text
        caplog.clear()
        async with open_mesh(data, clock=CLOCK) as mesh:
            assert notes(mesh) == {"milk"}
        assert not caplog.records, "once"


@pytest.mark.parametrize(
    ("table", "column"),
    [("statements", "statement"), ("branches", "tip_hash"), ("branches", "base_hash"), ("facts", "value")],
)
async def test_what_would_put_a_device_into_another_mesh_or_on_another_history_is_noticed_at_the_start(
    data: DataDir, table: str, column: str
) -> None:
    change(data, table, column, "name = 'root'" if table == "facts" else "1")
    with pytest.raises(DatabaseDamaged, match=r"mycel\.db is damaged"):
        async with open_mesh(data, clock=CLOCK):
            pass


async def test_a_disk_that_cannot_be_read_for_a_moment_is_not_called_damaged(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def execute(self, *_: object) -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
            raise error

    failing = Failing()
    async with open_mesh(data, clock=CLOCK) as mesh:
        monkeypatch.setattr(mesh.stored, "_read", failing)
        with pytest.raises(DataDirUnusable, match=r"mycel\.db cannot be read"):
            mesh.replica.logs.rows(mesh.identity.device, 0, 0, 1 << 20)
        with pytest.raises(DataDirUnusable, match=r"mycel\.db cannot be read"):
            Database(data.database, failing, None).look(lambda connection: connection.execute(""))  # type: ignore[arg-type]
    monkeypatch.setattr(StoredLogs, "branches", lambda self: StoredLogs(failing, data.database).fact("x"))  # type: ignore[arg-type]
    with pytest.raises(DataDirUnusable, match=r"mycel\.db cannot be read"):
        async with open_mesh(data, clock=CLOCK):
            pass
