"""`mycelnode interactions`, with and without a running node: in, listed, forgotten, interrupted and killed."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SECONDS, Program
from tests.cli.test_terminal import on_terminal
from tests.disks import small_disk
from tests.privacy.talk import chatgpt, claude, lines, message, said, turn, zip_bytes, zipped

Make = Callable[[str], Program]
ROOT = Path(__file__).parent.parent.parent
LISTED = {"id", "time", "dated", "ingested", "source", "bytes", "success", "influenced", "state"}


def counts(answer: dict[str, Any]) -> tuple[int, int, dict[str, int]]:
    return answer["new"], answer["known"], {one["reason"]: one["count"] for one in answer["skipped"]}


@pytest.mark.parametrize("running", [False, True])
def test_the_whole_story_with_and_without_a_node(fox: Program, tmp_path: Path, running: bool) -> None:
    if running:
        fox.run_node()
    added = fox("interactions", "add", "--request", "bread?", "--answer", "flour", "--success", "yes", "--json").json
    assert (added["state"], added["key"]["kept"], added["key"]["new"]) == ("new", "file", True)
    by_json = json.dumps({"request": "and?", "answer": "salt", "time": "2026-01-02T03:04:05Z", "influenced": ["web"]})
    second = fox("interactions", "add", "-", "--json", says=by_json).json
    assert (second["state"], second["key"]["new"]) == ("new", False)
    assert fox("interactions", "add", "-", says=by_json).out == f"{second['id']}: here already\n"

    export = [chatgpt(message("user", "bread?"), message("assistant", "flour"), message("user", "left open"))]
    file = zipped(tmp_path / "export.zip", {"conversations.json": export, "user.json": {}})
    assert counts(fox("interactions", "import", str(file), "--json").json) == (0, 1, {"unanswered": 1})
    grown = [
        chatgpt(message("user", "salt?"), message("assistant", "a pinch")),
        claude(said("human", "a"), said("assistant", "b")),
    ]
    file = zipped(tmp_path / "export.zip", {"conversations.json": [*export, *grown]})
    assert counts(fox("interactions", "import", str(file), "--json").json) == (2, 1, {"unanswered": 1})

    listed = fox("interactions", "list", "--json").json
    assert (listed["total"], listed["more"], listed["key"]["kept"]) == (4, False, "file")
    assert all(set(one) == LISTED for one in listed["turns"])
    assert [(one["source"], one["state"]) for one in listed["turns"]] == [
        ("claude", "open"),
        ("added", "influenced"),
        ("chatgpt", "open"),
        ("chatgpt", "open"),
    ]
    assert "flour" not in json.dumps(listed)
    shown = fox("interactions", "list", "--text", "--limit", "1", "--after", second["id"], "--json").json
    assert (shown["turns"][0]["request"], shown["turns"][0]["answer"], shown["more"]) == ("salt?", "a pinch", True)

    assert "say --yes" in fox("interactions", "forget", second["id"]).sentence
    assert fox("interactions", "forget", second["id"], "--yes", "--json").json == {"forgotten": 1, "erased": True}
    assert "no turn on this device" in fox("interactions", "forget", second["id"], "--yes", "--json").failed(
        "TurnUnknown"
    )
    assert fox("interactions", "add", "-", "--json", says=by_json).json["state"] == "forgotten"
    assert fox("interactions", "forget", "--source", "chatgpt", "--yes", "--json").json["forgotten"] == 2
    assert fox("interactions", "forget", "--before", "2027-01-01", "--yes").out == "1 turn forgotten.\n"
    assert fox("interactions", "forget", "--all", "--yes", "--json").json["forgotten"] == 0
    assert fox("interactions", "list").out == "No turns on this device.\n"
    assert not (fox.folder / "turns.key").exists(), "with the last turn the key goes"


def test_for_people(fox: Program, tmp_path: Path) -> None:
    first = fox("interactions", "import", str(lines(tmp_path / "x", [*map(turn, range(25)), {}])))
    assert first.out.startswith(
        "25 new turns, 0 known already.\nLeft out, not readable: 1 (the first: line 26: a turn has"
    )
    assert "a file in the data folder that only you may read (0600)" in first.out, "said once, when the key is made"
    again = fox("interactions", "import", str(tmp_path / "x"))
    assert again.out.startswith("0 new turns, 25 known already.\n")
    assert "0600" not in again.out
    page = fox("interactions", "list", "--limit", "3")
    assert re.match(r"ID +ASKED +SOURCE +SIZE +DONE +STATE\n[0-9a-f]{16}  2026-01-\d\d \d\d:\d\d  import", page.out)
    after = re.search(r"25 in all; the next: --after ([0-9a-f]{16})\n", page.out)
    assert after
    assert len(fox("interactions", "list", "--after", after[1], "--json").json["turns"]) == 20
    assert "> question 7\n  answer 7\n" in fox("interactions", "list", "--text", "--limit", "30").out


def test_the_bar_is_on_a_terminal_and_ctrl_c_keeps_what_is_there(fox: Program, tmp_path: Path) -> None:
    file = lines(tmp_path / "x", (turn(n, answer="x" * 400) for n in range(12_000)))
    with on_terminal(fox, "interactions", "import", str(file)) as terminal:
        terminal.wait_for("reading: [")
        until_stored(fox, 300)
        terminal.interrupt()
        assert terminal.ended() == 130
    goes_on(fox, file, 12_000)


def stored(fox: Program) -> int:
    with closing(sqlite3.connect(f"file:{fox.folder / 'mycel.db'}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM turns").fetchone()[0])
        except sqlite3.OperationalError:  # it is just being opened
            return 0


def until_stored(fox: Program, count: int) -> None:
    end = time.monotonic() + SECONDS
    while stored(fox) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def goes_on(fox: Program, file: Path, count: int) -> None:
    """The same command takes in the rest, and nothing twice."""
    before = stored(fox)
    assert 0 < before < count, "it was interrupted in the middle"
    assert counts(fox("interactions", "import", str(file), "--json").json) == (count - before, before, {})
    assert stored(fox) == count
    assert fox("interactions", "list", "--text", "--json").json["total"] == count


@pytest.mark.parametrize("running", [False, True])
def test_killed_in_the_middle_it_keeps_what_was_taken_in_and_goes_on(
    fox: Program, tmp_path: Path, running: bool
) -> None:
    file = lines(tmp_path / "x", (turn(n, answer="x" * 400) for n in range(12_000)))
    node = fox.run_node()[0] if running else None
    importing = fox.start("interactions", "import", str(file))
    until_stored(fox, 300)
    (node or importing).send_signal(signal.SIGKILL)
    out, err = importing.communicate(timeout=SECONDS)
    if running:
        assert (importing.returncode, out) == (1, "")
        assert err == "mycelnode: the node stopped while it was answering\n"
    goes_on(fox, file, 12_000)


def test_on_a_full_disk_what_was_taken_in_stays(program: Make, tmp_path: Path) -> None:
    file = lines(tmp_path / "x", (turn(n, answer="x" * 2000) for n in range(6_000)))
    with small_disk(tmp_path / "disk", 8 << 10) as disk:
        fox = program("disk/fox")
        assert fox("init").code == 0
        sentence = fox("interactions", "import", str(file), "--json").failed("DiskFull")
        kept = re.search(
            r"the disk is full: .* was not taken in to its end \(([\d,]+) new turns of it are kept", sentence
        )
        assert kept, sentence
        assert int(kept[1].replace(",", "")) == stored(fox) > 0
        assert fox("interactions", "list", "--text", "--json").json["total"] == stored(fox)
        assert disk.exists()


# --- the key -------------------------------------------------------------------------------------------------------------------


def test_a_passphrase_is_asked_for_or_comes_from_the_environment(fox: Program) -> None:
    assert fox("config", "set", "privacy.turns_key", "passphrase").code == 0
    add = ("interactions", "add", "--request", "a", "--answer", "b")
    assert "choose one on a terminal" in fox(*add, "--json").failed("PassphraseWanted")
    pass_ = {"MYCEL_TURNS_PASSPHRASE": "correct horse"}
    assert fox(*add, env=pass_).code == 0
    assert not (fox.folder / "turns.key").exists()
    assert fox("interactions", "list", "--json").json["total"] == 1, "without text no key is needed"
    assert "MYCEL_TURNS_PASSPHRASE" in fox("interactions", "list", "--text", "--json").failed("PassphraseNeeded")
    wrong = fox("interactions", "list", "--text", env={"MYCEL_TURNS_PASSPHRASE": "wrong horse"})
    assert wrong.sentence == "that is not the passphrase of your turns"
    with on_terminal(fox, "interactions", "list", "--text") as terminal:
        terminal.wait_for("Passphrase of your turns")
        terminal.type("correct horse\n")
        terminal.wait_for("> a")
        assert terminal.ended() == 0
        assert "correct horse" not in terminal.seen


def test_a_keyring_keeps_the_key_out_of_the_folder(fox: Program, tmp_path: Path) -> None:
    ring = {
        "PYTHON_KEYRING_BACKEND": "tests.privacy.ring.Ring",
        "TEST_RING": str(tmp_path / "ring"),
        "PYTHONPATH": str(ROOT),
    }
    added = fox("interactions", "add", "--request", "a", "--answer", "b", "--json", env=ring).json
    assert added["key"]["kept"] == "keyring"
    assert not (fox.folder / "turns.key").exists()
    assert fox("interactions", "list", "--text", "--json", env=ring).json["turns"][0]["request"] == "a"
    assert "cannot be reached from here" in fox("interactions", "list", "--text", "--json").failed("TurnsLocked")
    assert fox("leave", "--yes", "--erase", env=ring).code == 0
    assert json.loads((tmp_path / "ring").read_text()) == {}, "what is erased leaves no key behind"


# --- what is wrong ---------------------------------------------------------------------------------------------------------------


def test_bad_files_are_refused_in_one_sentence_and_change_nothing(fox: Program, tmp_path: Path) -> None:
    assert fox("interactions", "add", "--request", "a", "--answer", "b").code == 0
    zip_ = zip_bytes({"conversations.json": json.dumps([chatgpt()] * 3000).encode()})
    for content, words in {
        b"": "is empty",
        bytes(range(256)) * 100: "neither JSON Lines nor an export",
        zip_[: len(zip_) // 2]: "damaged or truncated zip",
        b'{"request": "a"}\n' * 3: "holds no turn that could be read, and 3 that could not",
        b'{"request": "' + b"x" * 10_000_000 + b'", "answer": "y"}\n{"request": 5}': "holds no turn",
        b'{"a": ' + b"[" * 1_000_000: "holds no turn",
        b"\xff" * 1000: "neither JSON Lines",
        b'{"request": "\xff", "answer": "b"}': "it is not UTF-8 text",
        b'{"request": "a", "request": "c", "answer": "b"}': "names 'request' twice",
    }.items():
        (tmp_path / "x").write_bytes(content)
        done = fox("interactions", "import", str(tmp_path / "x"), "--json")
        if b"x" * 10_000_000 in content:
            assert counts(done.json) == (0, 0, {"long": 1, "malformed": 1})
        else:
            assert words in done.failed("ImportRefused"), words
    assert fox("interactions", "list", "--json").json["total"] == 1
    odd = [
        turn(1, time="9999-12-31T23:59:59Z"),
        turn(2),
        turn(3, time="0001-01-01"),
        turn(4, time=1e18),
        turn(5, answer="x" * 2_000_000),
    ]
    assert counts(fox("interactions", "import", str(lines(tmp_path / "x", odd)), "--json").json) == (
        1,
        0,
        {"future": 1, "long": 1, "malformed": 2},
    )
    assert fox("interactions", "import", str(tmp_path / "nothing")).code == 2


def test_a_turn_that_is_none_is_refused_in_one_sentence(fox: Program) -> None:
    for says, error, words in (
        ("", "BadInput", "not JSON"),
        ("[]", "BadInput", "no JSON object"),
        ("{}", "TurnRefused", "the texts 'request' and 'answer'"),
        ('{"request": "a", "answer": " "}', "TurnRefused", "empty"),
        ('{"request": "a", "answer": "b", "time": "soon"}', "TurnRefused", "'soon' is no time"),
        ('{"request": "a", "answer": "' + "x" * 131_072 + '"}', "BadInput", "into a file, and import"),
        ('{"request": "a", "answer": "' + "x" * 131_000 + '"}', "", ""),
    ):
        done = fox("interactions", "add", "-", "--json", says=says)
        if error:
            assert words in done.failed(error), says[:40]
        else:
            assert done.json["state"] == "new"
    for arguments in (
        ["add"],
        ["add", "--request", "a"],
        ["add", "-", "--request", "a"],
        ["forget"],
        ["forget", "--all", "--source", "x"],
        ["forget", "--before", "noon"],
        ["import"],
        ["list", "--limit", "0"],
    ):
        assert fox("interactions", *arguments).code == 2, arguments


def test_two_programs_do_not_get_in_each_others_way(fox: Program, tmp_path: Path) -> None:
    """One imports through the node while others add and forget."""
    fox.run_node()
    file = lines(tmp_path / "x", (turn(n, answer="x" * 400) for n in range(6_000)))
    importing = fox.start("interactions", "import", str(file), "--json")
    until_stored(fox, 300)
    assert fox("interactions", "forget", "--all", "--yes", "--json").json["forgotten"] >= 300
    assert fox("interactions", "add", "--request", "a", "--answer", "b", "--json").json["state"] == "new"
    out, err = importing.communicate(timeout=SECONDS)
    assert importing.returncode == 0, err
    assert json.loads(out)["new"] == 6_000
    listed = fox("interactions", "list", "--text", "--json").json
    assert 0 < listed["total"] < 6_001
    assert all("request" in one for one in listed["turns"]), "the key was not let go of in the middle"
