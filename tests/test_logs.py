from __future__ import annotations

import logging
import re
import stat
from pathlib import Path

import pytest

from mycelnode import logs
from mycelnode.errors import DataDirUnusable
from mycelnode.logs import logging_to, set_level
from mycelnode.paths import DataDir


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


def test_our_lines_from_the_level_on_and_theirs_from_warning_on(data: DataDir) -> None:
    with logging_to(data):
        logging.getLogger("mycelnode.node").info("hello %s", "there")
        logging.getLogger("mycelnode.node").debug("too quiet")
        logging.getLogger("libp2p.network").info("chatter")
        logging.getLogger("zeroconf").warning("trouble")
        set_level("debug")
        logging.getLogger("mycelnode.node").debug("now audible")
    lines = data.log.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO mycelnode\.node hello there", lines[0])
    assert [line.split(" ", 1)[1] for line in lines[1:]] == [
        "WARNING zeroconf trouble",
        "DEBUG mycelnode.node now audible",
    ]
    assert stat.S_IMODE(data.log.stat().st_mode) == 0o600


def test_what_a_peer_says_cannot_forge_a_line(data: DataDir) -> None:
    with logging_to(data):
        logging.getLogger("mycelnode").warning(
            "peer says %s", "x\n2025-01-01T00:00:00.000Z INFO all is well\x1b[2J\u2028\ud800"
        )
        try:
            raise ValueError("a\nb")
        except ValueError:
            logging.getLogger("mycelnode").exception("failed")
    first, second, *rest = data.log.read_text().splitlines()
    assert first.endswith(r"x\x0a2025-01-01T00:00:00.000Z INFO all is well\x1b[2J\u2028\ud800")
    assert second.endswith("ERROR mycelnode failed")
    assert rest
    assert all(line.startswith("  ") for line in rest)


def test_files_are_rotated_and_bounded(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 1000)
    with logging_to(data, files=3):
        for number in range(100):
            logging.getLogger("mycelnode").info("line %d %s", number, "x" * 50)
    files = sorted(data.path.iterdir())
    assert [path.name for path in files] == ["node.log", "node.log.1", "node.log.2"]
    assert all(path.stat().st_size <= 1000 and stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert "line 99" in data.log.read_text()


def test_warnings_reach_a_person_and_only_them(data: DataDir, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(data, interactive=True):
        logging.getLogger("mycelnode").info("quiet")
        logging.getLogger("mycelnode").warning("loud")
    with logging_to(data, interactive=False):
        logging.getLogger("mycelnode").warning("nobody is there")
    assert "loud" in (shown := capsys.readouterr().err)
    assert len(shown.splitlines()) == 1


def test_leaving_puts_everything_back(data: DataDir) -> None:
    watched = [logging.getLogger(name) for name in (*logs.OURS, *logs.THEIRS)]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in watched]
    root = list(logging.getLogger().handlers)
    with logging_to(data):
        assert logging.getLogger().handlers == root
    assert [(logger.level, logger.propagate, list(logger.handlers)) for logger in watched] == before


def test_a_full_disk_costs_lines_and_nothing_else(
    data: DataDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to(data, interactive=False) as handler:
        assert isinstance(handler, logging.StreamHandler)

        def fail() -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(handler, "flush", fail)
            logging.getLogger("mycelnode").info("lost or not")
        logging.getLogger("mycelnode").info("goes on")
    assert "goes on" in data.log.read_text()
    assert capsys.readouterr().err == ""


def test_a_disk_that_is_full_at_the_end_raises_nothing(data: DataDir) -> None:
    with logging_to(data, interactive=False) as handler:
        assert isinstance(handler, logging.StreamHandler)
        full = open("/dev/full", "w")  # noqa: SIM115
        full.write("what is buffered still")
        before = handler.setStream(full)
        assert before is not None
        before.close()


def test_a_log_that_cannot_be_opened_is_named(data: DataDir) -> None:
    data.log.mkdir()
    with pytest.raises(DataDirUnusable, match=r"node\.log cannot be opened"), logging_to(data):
        pass
