from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mycelnode import paths
from mycelnode.errors import DataDirBusy, DataDirUnusable, DiskFull, KeyFileError
from mycelnode.paths import DataDir, write_durably, write_new
from tests.disks import read_only, small_disk

HOLD = """
import sys, time
from mycelnode.paths import DataDir
with DataDir(sys.argv[1]).lock():
    print('held', flush=True)
    time.sleep(60)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_argument_wins_over_the_environment_over_the_platform(tmp_path: Path) -> None:
    environ = {"MYCEL_DATA_DIR": str(tmp_path / "env")}
    assert DataDir(tmp_path / "arg", environ=environ).path == tmp_path / "arg"
    assert DataDir(environ=environ).path == tmp_path / "env"
    assert DataDir(environ={}).path.name == "mycelnode"


def test_a_relative_path_does_not_follow_later_changes_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = DataDir("here")
    monkeypatch.chdir("/")
    assert data.path == tmp_path / "here"


def test_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        DataDir(tmp_path / "a").create()
        write_durably(tmp_path / "a" / "file", b"x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o700
    assert mode(tmp_path / "a" / "file") == 0o600


def test_an_empty_folder_is_made_private_and_one_that_no_node_could_run_in_is_refused(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "d")
    data.path.mkdir()
    data.path.chmod(0o775)
    data.create()
    assert mode(data.path) == 0o700
    data.config.touch()
    data.path.chmod(0o775)
    with pytest.raises(DataDirUnusable, match=f"run: chmod 700 {data.path}"):
        data.create()
    with data.lock():  # what is there already can be read, left and backed up
        pass


def test_initialised_tells_a_device_from_an_empty_folder(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "d")
    assert not data.initialised()
    data.create()
    assert not data.initialised()
    data.database.touch()
    assert data.initialised()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "d").touch()
    with pytest.raises(DataDirUnusable, match=f"{tmp_path}/d is a file"):
        DataDir(tmp_path / "d").create()
    with pytest.raises(DataDirUnusable, match=f"{tmp_path}/d/e"):
        DataDir(tmp_path / "d" / "e").create()


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "d")
    data.create()
    with read_only(data.path):
        with pytest.raises(DataDirUnusable, match=f"{data.path}"), data.lock():
            pass
        with pytest.raises(DataDirUnusable, match=r"x cannot be written"):
            write_durably(data.path / "x", b"")


def test_the_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataDirBusy, match=f"{tmp_path} is in use by process {holder.pid};"), data.lock():
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with data.lock():  # kill -9 leaves the file, not the lock
            assert data.lock_file.read_text() == f"{os.getpid()}\n"


def test_the_lock_also_holds_within_one_process_and_is_given_back(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    with data.lock(), pytest.raises(DataDirBusy, match=str(os.getpid())), DataDir(tmp_path).lock():
        pass
    with data.lock():
        pass


def test_what_a_crash_left_half_written_is_swept_under_the_lock(tmp_path: Path) -> None:
    for left in (f".config.toml.0011aabb{paths.TEMPORARY}", ".restoring.part-wal", "..restoring.part.part-journal"):
        (tmp_path / left).touch()
    with DataDir(tmp_path).lock():
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_the_lock_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "lock").symlink_to("precious")
    with pytest.raises(DataDirUnusable, match=f"{tmp_path}/lock cannot be opened"), DataDir(tmp_path).lock():
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_the_names_of_new_folders_are_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(paths, "sync_folder", synced.append)
    DataDir(tmp_path / "a" / "b").create()
    assert sorted(synced) == [tmp_path, tmp_path / "a"]
    DataDir(tmp_path / "a" / "b").create()
    assert len(synced) == 2


def test_write_durably_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_durably(tmp_path / "f", b"old")
    write_durably(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_durably(tmp_path / "f", b"old")

    def fail(handle: int) -> None:
        raise OSError(paths.errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskFull, match=f"{tmp_path}/f could not be written"):
        write_durably(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_really_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        write_durably(disk / "f", b"old")
        with pytest.raises(DiskFull):
            write_durably(disk / "f", bytes(100_000))
        assert (disk / "f").read_bytes() == b"old"
        (disk / "lock").write_bytes(bytes(40_000))


def test_write_new_never_overwrites_not_even_through_a_link(tmp_path: Path) -> None:
    write_new(tmp_path / "f", b"old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "f", tmp_path / "link"):
        with pytest.raises(KeyFileError, match="exists already"):
            write_new(path, b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert not (tmp_path / "elsewhere").exists()


def test_the_control_socket_lies_in_the_data_folder(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "d")
    assert data.prepare_control() == tmp_path / "d" / "control.sock"


def test_a_path_too_long_for_a_socket_falls_back_to_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / str(os.geteuid())
    runtime.mkdir(0o700)
    monkeypatch.setattr(paths, "RUN_USER", tmp_path)
    first, second = (DataDir(tmp_path / name / ("long" * 25)).prepare_control() for name in ("a", "b"))
    assert first != second
    assert mode(first.parent) == 0o700
    assert first.is_relative_to(runtime)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(first))


@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_is_the_systems_limit(tmp_path: Path, extra: int) -> None:
    base = tmp_path / "x"
    padding = paths.SUN_PATH_BYTES - len(os.fsencode(base / "control.sock")) + extra
    if padding < 0:
        pytest.skip("the temporary folder itself is too long")
    data = DataDir(f"{base}{'x' * padding}")
    assert (data.control_path.parent == data.path) is (extra == 0)


def test_without_a_runtime_folder_a_private_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RUN_USER", tmp_path / "absent")
    monkeypatch.setattr(paths, "SHARED_TEMPORARY", tmp_path)
    folder = DataDir(tmp_path / ("long" * 30)).prepare_control().parent
    assert folder == tmp_path / f"mycelnode-{os.geteuid()}"
    assert mode(folder) == 0o700


def test_a_runtime_folder_open_to_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RUN_USER", tmp_path / "absent")
    monkeypatch.setattr(paths, "SHARED_TEMPORARY", tmp_path)
    planted = tmp_path / f"mycelnode-{os.geteuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    with pytest.raises(DataDirUnusable, match="chmod 700"):
        DataDir(tmp_path / ("long" * 30)).prepare_control()
    planted.rmdir()
    (tmp_path / "elsewhere").mkdir()
    planted.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDirUnusable, match="not a folder of this user"):
        DataDir(tmp_path / ("long" * 30)).prepare_control()
