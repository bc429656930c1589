"""Output that cannot be written, streams that are closed, letters that the terminal lacks, arguments that are no text."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest

from mycelnode.cli._common import local_time
from tests.cli.conftest import Program

Make = Callable[[str], Program]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("$mycelnode init >/dev/full", "No space left on device"),
        ("$mycelnode init --json >/dev/full", "No space left on device"),
        ("$mycelnode init >&-", "standard output is closed"),
        ("$mycelnode init | exec 0<&-", "Broken pipe"),
    ],
)
def test_a_phrase_that_nobody_could_read_leaves_no_mesh(line: str, why: str, program: Make) -> None:
    new = program("new")
    done = new.shell(line)
    assert (done.code, done.out) == (1, ""), done
    assert f"the recovery phrase could not be shown ({why}), so no mesh was begun" in done.err
    assert done.err.count("\n") == 1
    assert os.listdir(new.folder) == ["lock"]
    assert new("init").code == 0


def test_output_that_cannot_be_written_is_said_and_what_was_done_stays(fox: Program) -> None:
    done = fox.shell("$mycelnode config set assistant.tone dry >/dev/full")
    assert "the output could not be written (No space left on device)" in done.sentence
    assert fox("config", "get", "assistant.tone").out == "dry\n"
    done = fox.shell("$mycelnode devices --json >/dev/full")
    assert json.loads(done.err)["error"] == "OutputLost"
    assert fox.shell("$mycelnode --help >/dev/full").code == 1


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing_else(closed: str, fox: Program) -> None:
    done = fox.shell(f"$mycelnode config set assistant.tone dry {closed}")
    assert (done.code, done.err) == (0, ""), done
    assert fox("config", "get", "assistant.tone").out == "dry\n"
    assert fox.shell(f"$mycelnode devices rename nobody x {closed}").code == 1
    assert fox.shell(f"$mycelnode nonsense {closed}").code == 2


def test_the_exit_status_tells_where_the_error_cannot_be_written(fox: Program) -> None:
    assert fox.shell("$mycelnode devices rename nobody x 2>/dev/full").code == 1
    assert fox.shell("$mycelnode nonsense 2>/dev/full").code == 2


@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_letters_that_the_terminal_lacks_end_nothing(env: dict[str, str], fox: Program) -> None:
    fox("devices", "rename", "fox", "F\u00fcchsin")
    for command in ("status", "devices", "devices rescue F\u00fcchsin", "devices rename nob\u00f6dy x", "--help"):
        done = fox.shell(f"$mycelnode {command}", env=env)
        assert done.code == ("nob" in command), done
        assert "something went wrong" not in done.err
    listed = fox.shell("$mycelnode devices --json", env=env).json["devices"]
    assert listed[0]["name"] == "F\u00fcchsin"


def test_input_that_is_no_text_is_said(fox: Program) -> None:
    assert "standard input is not UTF-8 text" in fox.shell("printf '\\xff\\n' | $mycelnode recover").sentence
    assert "standard input is not UTF-8 text" in fox.shell("printf '\\xff\\n' | $mycelnode join -").sentence


def test_an_argument_that_is_no_text_is_wrong_usage(fox: Program) -> None:
    for command in ("devices rename fox $'\\xff'", "config set assistant.tone $'\\xff'", "join $'\\xff'"):
        done = fox.shell(f"$mycelnode --json {command}")
        assert "is not UTF-8 text" in done.failed("UsageError", code=2)


def test_the_last_moment_there_is_can_be_shown_east_of_greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert local_time("9999-12-31T23:59:59.000Z") == "9999-12-31T23:59:59.000Z"
        assert local_time("2020-01-01T00:00:00Z") == "2020-01-01 09:00"
    finally:
        monkeypatch.undo()
        time.tzset()
