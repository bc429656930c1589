from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.database import open_database
from mycelnode.errors import ClosedError, DatabaseDamaged, DataDirUnusable, DiskFull, MycelError, SchemaTooNew
from mycelnode.paths import DataDir
from mycelnode.schema import (
    WAL_HEADER_BYTES,
    Migration,
    _check,
    open_reader,
    open_writer,
    shipped_migrations,
    split_statements,
    translate,
    version,
)
from tests.disks import read_only, small_disk

FIRST = Migration(1, "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;")
SECOND = Migration(
    2, "-- why; because\nALTER TABLE notes ADD COLUMN stars INTEGER;\nCREATE INDEX by_text ON notes (text);"
)
BROKEN = Migration(3, "CREATE TABLE more (id INTEGER) STRICT; INSERT INTO absent VALUES (1);")


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    folder = DataDir(tmp_path / "data")
    folder.create()
    return folder


def add(text: str | None) -> object:
    def work(connection: sqlite3.Connection) -> int:
        return int(connection.execute("INSERT INTO notes (text) VALUES (?)", (text,)).lastrowid or 0)

    return work


def texts(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]


def content(path: Path) -> dict[str, bytes]:
    return {item.name: item.read_bytes() for item in path.iterdir()}


async def test_what_was_written_is_read_at_once_and_after_reopening(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST]) as database:
        assert await database.write(add("a")) == 1
        assert texts(database.read) == ["a"]
    async with open_database(data, migrations=[FIRST]) as database:
        assert texts(database.read) == ["a"]


async def test_files_are_private_and_the_log_is_emptied_on_closing(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST]) as database:
        await database.write(add("a" * 10_000))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.path.iterdir()}
        assert modes == {"mycel.db": 0o600, "mycel.db-wal": 0o600, "mycel.db-shm": 0o600}
        assert database.size() == sum(path.stat().st_size for path in data.path.iterdir())
    assert [path.name for path in data.path.iterdir()] == ["mycel.db"]
    assert database.size() == data.database.stat().st_size


async def test_the_reader_cannot_write(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST]) as database:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.read.execute("DELETE FROM notes")
        with pytest.raises(DataDirUnusable, match="readonly"):
            await database.scan(add("a"))
        assert await database.scan(texts) == []


async def test_a_scan_reads_one_moment(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST]) as database:
        await database.write(add("before"))

        def twice(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
            first = texts(connection)
            trio.from_thread.run(database.write, add("meanwhile"))
            return first, texts(connection)

        assert await database.scan(twice) == (["before"], ["before"])
        assert await database.scan(texts) == ["before", "meanwhile"]


async def test_waiting_jobs_share_a_commit_and_one_failure_spoils_no_other(data: DataDir) -> None:
    gate, started = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()
    commits: list[str] = []
    outcomes: dict[int, object] = {}

    def blocker(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        token.run_sync_soon(started.set)
        gate.wait(10)

    async def attempt(number: int) -> None:
        try:
            outcomes[number] = await database.write(add(None if number % 3 == 0 else str(number)))
        except sqlite3.IntegrityError as error:
            outcomes[number] = type(error)

    async with open_database(data, migrations=[FIRST]) as database, trio.open_nursery() as nursery:
        nursery.start_soon(database.write, blocker)
        await started.wait()
        for number in range(20):
            nursery.start_soon(attempt, number)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert commits == ["COMMIT", "COMMIT"]
    assert sorted(n for n, outcome in outcomes.items() if outcome is sqlite3.IntegrityError) == list(range(0, 20, 3))
    async with open_database(data, migrations=[FIRST]) as database:
        assert sorted(texts(database.read), key=int) == [str(number) for number in range(20) if number % 3]


async def test_any_exception_of_the_work_comes_back_and_undoes_it(data: DataDir) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES ('a')")
        raise LookupError("mine")

    async with open_database(data, migrations=[FIRST]) as database:
        with pytest.raises(LookupError, match="mine"):
            await database.write(work)
        assert texts(database.read) == []


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_work_that_ends_the_transaction_is_told_so(data: DataDir, end: str) -> None:
    async with open_database(data, migrations=[FIRST]) as database:
        with pytest.raises(RuntimeError, match="must not end the transaction"):
            await database.write(lambda connection: connection.execute(end))
        assert await database.write(add("a")) == 1


async def test_cancelled_before_it_starts_it_is_not_done_and_later_it_is_completed(data: DataDir) -> None:
    gate, started = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def slow(connection: sqlite3.Connection) -> None:
        token.run_sync_soon(started.set)
        gate.wait(10)
        connection.execute("INSERT INTO notes (text) VALUES ('started')")

    async with open_database(data, migrations=[FIRST]) as database:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.write, slow)
            await started.wait()
            nursery.start_soon(database.write, add("queued"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        gate.set()
        await database.write(add("after"))
        assert texts(database.read) == ["started", "after"]


async def test_closing_finishes_what_is_queued_and_takes_no_more(data: DataDir) -> None:
    async with trio.open_nursery() as nursery, open_database(data, migrations=[FIRST]) as database:
        for number in range(50):
            nursery.start_soon(database.write, add(str(number)))
        await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ClosedError):
        await database.write(add("late"))
    async with open_database(data, migrations=[FIRST]) as database:
        assert sorted(texts(database.read), key=int) == [str(number) for number in range(50)]


# --- the schema ------------------------------------------------------------------------------------------------------------


async def test_the_shipped_migrations_are_numbered_without_gaps_and_apply(data: DataDir) -> None:
    numbers = [migration.number for migration in shipped_migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
    async with open_database(data) as database:
        assert version(database.read) == numbers[-1]


async def test_migrating_keeps_a_copy_first(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST]) as database:
        await database.write(add("a"))
    async with open_database(data, migrations=[FIRST, SECOND]) as database:
        assert database.read.execute("SELECT text, stars FROM notes").fetchall() == [("a", None)]
    copy = data.path / "mycel.db.before-2"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    copy.rename(data.database)
    async with open_database(data, migrations=[FIRST]) as database:
        assert texts(database.read) == ["a"]


async def test_a_fresh_file_has_no_copy(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST, SECOND]):
        pass
    assert [path.name for path in data.path.iterdir()] == ["mycel.db"]


async def test_a_failing_migration_changes_nothing(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST]) as database:
        await database.write(add("a"))
    with pytest.raises(sqlite3.OperationalError, match="absent"):
        async with open_database(data, migrations=[FIRST, SECOND, BROKEN]):
            pass
    async with open_database(data, migrations=[FIRST]) as database:
        assert version(database.read) == 1
        assert texts(database.read) == ["a"]


async def test_a_newer_schema_is_refused_and_left_alone(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST, SECOND]):
        pass
    before = content(data.path)
    with pytest.raises(
        SchemaTooNew, match=r"mycel\.db was written by a newer mycelnode \(schema 2, this one knows 1\)"
    ):
        async with open_database(data, migrations=[FIRST]):
            pass
    assert content(data.path) == before


@given(
    st.lists(
        st.sampled_from(
            ["SELECT ';--';", "-- a; b\nSELECT 1;", "CREATE TRIGGER t AFTER INSERT ON n BEGIN SELECT 1; SELECT 2; END;"]
        )
    )
)
def test_scripts_are_split_into_whole_statements(statements: list[str]) -> None:
    assert list(split_statements("\n".join(statements) + "\n-- the end")) == [
        ("\n" if place else "") + statement for place, statement in enumerate(statements)
    ]


def test_a_script_cut_off_is_refused() -> None:
    with pytest.raises(MycelError):
        list(split_statements("SELECT 1; SELECT"))


# --- trouble -----------------------------------------------------------------------------------------------------------------


async def broken_database(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST]) as database:
        for _ in range(50):
            await database.write(add("x" * 3000))
        await database.write(lambda connection: connection.execute("CREATE INDEX by_text ON notes (text)"))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda good: b"", id="empty"),
        pytest.param(lambda good: b"not a database" * 1000, id="other content"),
        pytest.param(lambda good: bytes(100) + good[100:], id="header lost"),
        pytest.param(lambda good: good[:18] + b"\x82" + good[19:], id="another format"),
        pytest.param(lambda good: good[: len(good) // 2], id="cut off"),
        pytest.param(lambda good: good[:20_000] + os.urandom(4096) * 4 + good[20_000 + 4096 * 4 :], id="garbled pages"),
    ],
)
async def test_a_damaged_file_is_named_and_not_touched(data: DataDir, damage) -> None:  # type: ignore[no-untyped-def]
    await broken_database(data)
    data.database.write_bytes(damage(data.database.read_bytes()))
    before = content(data.path)
    with pytest.raises(DatabaseDamaged, match=rf"{data.database} is .*restore a backup.*Nothing was overwritten"):
        async with open_database(data, migrations=[FIRST]):
            pass
    assert content(data.path) == before


@pytest.fixture
async def crashed(data: DataDir, tmp_path: Path) -> DataDir:
    """A folder whose write-ahead log holds what was written last."""
    async with open_database(data, migrations=[FIRST]) as database:
        await database.write(add("precious"))
        return DataDir(shutil.copytree(data.path, tmp_path / "crashed"))


@pytest.mark.parametrize("found", [b"", b"abc", bytes(4096)], ids=["empty", "short", "header lost"])
async def test_a_log_beside_a_foreign_file_is_not_touched(crashed: DataDir, found: bytes) -> None:
    good = crashed.database.read_bytes()
    crashed.database.write_bytes(found)
    before = content(crashed.path)
    with pytest.raises(DatabaseDamaged, match=f"{crashed.database} is not a database of mycelnode"):
        async with open_database(crashed, migrations=[FIRST]):
            pass
    assert content(crashed.path) == before
    with (
        suppress(DatabaseDamaged, sqlite3.DatabaseError),
        closing(open_reader(crashed.database)) as reader,  # as `backup create` does
    ):
        reader.execute("SELECT * FROM notes").fetchall()
    after = content(crashed.path)
    assert all(after[name] == before[name] for name in ("mycel.db", "mycel.db-wal"))
    crashed.database.write_bytes(good)
    async with open_database(crashed, migrations=[FIRST]) as database:
        assert texts(database.read) == ["precious"]


async def test_a_disk_that_fails_for_a_moment_is_not_called_damage(data: DataDir) -> None:
    """Real ones need strace or a device mapper; what SQLite says of them is in its btree.c and os_unix.c."""
    for code in (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        assert isinstance(translate(error, data.database), DataDirUnusable)
    for found in ("failed to get page 7", "*** in database main ***\nunable to get the page. error code=266"):
        checker = SimpleNamespace(execute=lambda _, found=found: SimpleNamespace(fetchone=lambda: (found.encode(),)))
        data.database.touch()
        with pytest.raises(DataDirUnusable, match="check the disk and try again"):
            _check(checker, data.database)  # type: ignore[arg-type]


async def test_a_lost_file_is_not_replaced_while_its_log_is_there(data: DataDir) -> None:
    (data.path / "mycel.db-wal").write_bytes(b"precious")
    with pytest.raises(DatabaseDamaged, match="is missing"):
        async with open_database(data):
            pass
    assert content(data.path) == {"mycel.db-wal": b"precious"}


async def test_a_log_that_is_none_is_damage_and_not_dropped(data: DataDir) -> None:
    await broken_database(data)
    log = data.path / "mycel.db-wal"
    log.write_bytes(bytes(WAL_HEADER_BYTES) + b"not acknowledged")
    async with open_database(data, migrations=[FIRST]):
        pass
    async with open_database(data, migrations=[FIRST]) as database:
        await database.write(add("acknowledged"))
        kept = log.read_bytes()
    log.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    before = content(data.path)
    with pytest.raises(DatabaseDamaged, match=rf"{log} is damaged .*Nothing was overwritten"):
        async with open_database(data, migrations=[FIRST]):
            pass
    assert content(data.path) == before
    log.write_bytes(kept)
    async with open_database(data, migrations=[FIRST]) as database:
        assert "acknowledged" in texts(database.read)


async def test_what_is_no_text_in_a_damaged_file_is_damage(data: DataDir) -> None:
    await broken_database(data)
    data.database.write_bytes(data.database.read_bytes().replace(b"TABLE notes", b"TABLE \xffotes"))
    with pytest.raises(DatabaseDamaged, match=rf"{data.database} is damaged"):
        async with open_database(data, migrations=[FIRST]):
            pass
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as no_text:
        connection.execute("SELECT CAST(x'ff' AS TEXT)").fetchone()
    connection.close()
    assert isinstance(translate(no_text.value, data.database), DatabaseDamaged)


async def test_another_programs_database_is_refused(data: DataDir) -> None:
    with sqlite3.connect(data.database) as other:
        other.execute("CREATE TABLE theirs (id)")
    other.close()
    with pytest.raises(DatabaseDamaged, match="not a database of mycelnode"):
        async with open_database(data):
            pass


async def test_a_read_only_folder_is_named(data: DataDir) -> None:
    async with open_database(data, migrations=[FIRST]):
        pass
    with read_only(data.path), pytest.raises(DataDirUnusable, match=str(data.database)):
        async with open_database(data, migrations=[FIRST, SECOND]):
            pass


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))


async def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        data = DataDir(disk)
        kept = []
        async with open_database(data, migrations=[FIRST]) as database:
            await database.write(add("first"))
            (disk / "filler").write_bytes(bytes(600_000))
            with pytest.raises(DiskFull, match=f"the disk of {data.database} is full; the change was not made"):
                while True:
                    await database.write(add("x" * 20_000))
                    kept.append("x" * 20_000)
            assert texts(database.read) == ["first", *kept]
            (disk / "filler").unlink()
            await database.write(add("last"))
        async with open_database(data, migrations=[FIRST]) as database:
            assert texts(database.read) == ["first", *kept, "last"]
        fill(disk / "filler")
        with pytest.raises(DiskFull):
            async with open_database(data, migrations=[FIRST, SECOND]):
                pass
        assert not list(disk.glob("*.before*"))
        (disk / "filler").unlink()
        async with open_database(data, migrations=[FIRST, SECOND]) as database:
            assert texts(database.read) == ["first", *kept, "last"]


LIMITED = """
import resource, sys, trio
from mycelnode.database import open_database
from mycelnode.errors import DataDirUnusable
from mycelnode.paths import DataDir
from tests.test_database import FIRST, add, texts

async def main():
    async with open_database(DataDir(sys.argv[1]), migrations=[FIRST]) as database:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        kept = 0
        try:
            while True:
                await database.write(add("x" * 20_000))
                kept += 1
        except DataDirUnusable as error:
            assert "the limit of a file's size" in str(error)
            assert len(texts(database.read)) == kept > 2
            print(kept)

trio.run(main)
"""


async def test_a_write_beyond_the_file_size_limit_is_told_and_loses_nothing(data: DataDir) -> None:
    done = await trio.run_process([sys.executable, "-c", LIMITED, str(data.path)], capture_stdout=True)
    async with open_database(data, migrations=[FIRST]) as database:
        assert len(texts(database.read)) == int(done.stdout)


async def test_where_a_failed_change_cannot_be_taken_back_everybody_is_told(
    data: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck:
        in_transaction = True

        def execute(self, statement: str) -> None:
            raise sqlite3.OperationalError(f"{statement}: disk I/O error")

    async with open_database(data, migrations=[FIRST]) as database:
        carry_out = database._writer._carry_out
        database._writer._carry_out = lambda _, group: carry_out(Stuck(), group)  # type: ignore[method-assign, assignment, arg-type]
        with trio.fail_after(5):
            with pytest.raises(sqlite3.OperationalError, match="BEGIN"):
                await database.write(add("a"))
            for _ in range(2):
                with pytest.raises(DataDirUnusable, match=r"takes no more changes.*ROLLBACK: disk I/O error"):
                    await database.write(add("b"))
    assert "takes no more changes" in caplog.text


KILLED = """
import sys, trio
from mycelnode.database import open_database
from mycelnode.paths import DataDir
from tests.test_database import FIRST, add

async def main():
    async with open_database(DataDir(sys.argv[1]), migrations=[FIRST]) as database, trio.open_nursery() as nursery:
        async def writer():
            while True:
                print(await database.write(add("x" * 500)), flush=True)
        for _ in range(5):
            nursery.start_soon(writer)

trio.run(main)
"""


def write_until_killed(data: DataDir) -> list[int]:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(data.path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(300)]
        process.send_signal(signal.SIGKILL)
        return acknowledged + [int(line) for line in process.stdout if line.endswith(b"\n")]


async def test_what_was_acknowledged_survives_kill_9(data: DataDir) -> None:
    acknowledged = await trio.to_thread.run_sync(write_until_killed, data)
    async with open_database(data, migrations=[FIRST]) as database:
        stored = {number for (number,) in database.read.execute("SELECT id FROM notes")}
        assert set(acknowledged) <= stored


def test_entries_of_an_earlier_schema_are_all_there(tmp_path: Path) -> None:
    path, shipped = tmp_path / "mycel.db", shipped_migrations()
    rows = [
        (1, 0, seq, b"h" * 32, b"e" * (900 + seq), None if seq % 3 else b"s" * 64, seq % 2) for seq in range(1, 301)
    ]
    with closing(open_writer(path, [m for m in shipped if m.number <= 3])) as connection:
        connection.execute("INSERT INTO devices VALUES (1, ?)", (b"d" * 32,))
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    with closing(open_writer(path, shipped)) as connection:
        assert connection.execute("SELECT * FROM entries ORDER BY seq").fetchall() == rows
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows[0])


def test_an_entry_of_more_than_a_kilobyte_takes_no_page_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mycel.db"
    with closing(open_writer(path, shipped_migrations())) as connection:
        connection.execute("INSERT INTO devices VALUES (1, ?)", (b"d" * 32,))
        connection.executemany(
            "INSERT INTO entries VALUES (1, 0, ?, ?, ?, NULL, 0)", ((n, b"h" * 32, b"e" * 1100) for n in range(2000))
        )
    assert path.stat().st_size < 2000 * 1100 * 1.5
