"""`mycelnode privacy preview`: a text or JSON lines in, what is left out, with reasons; no node, no data folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TEXT = "Please ask Rohan Patel, rohan@example.com.\nThanks!\n"


def preview(content: bytes | str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mycelnode.cli", "privacy", "preview", *arguments]
    given = content if isinstance(content, bytes) else content.encode()
    return subprocess.run(command, input=given, capture_output=True, check=False, cwd=folder, timeout=50)


def lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_text_for_scripts() -> None:
    done = preview(TEXT, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done) == [
        {
            "id": None,
            "output": "Please ask [NAME], [EMAIL].\nThanks!\n",
            "slots": [
                {"type": "NAME", "start": 11, "end": 22, "reason": "not in the public vocabulary", "text": "[NAME]"},
                {"type": "EMAIL", "start": 24, "end": 41, "reason": "has an @", "text": "[EMAIL]"},
            ],
            "dropped": None,
            "key": None,
        }
    ]


def test_a_text_for_people(tmp_path: Path) -> None:
    file = tmp_path / "turn.txt"
    file.write_text(TEXT)
    done = preview("", str(file), "--data-dir", str(tmp_path / "none"))
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode()
    assert "Rohan Patel" in said
    assert "Please ask [NAME], [EMAIL]." in said
    assert "not in the public vocabulary" in said
    assert not (tmp_path / "none").exists()


def test_the_key_of_a_request_is_named(tmp_path: Path) -> None:
    asked = "Please write unit tests for Rohan's python module."
    assert lines(preview(asked, "--json"))[0]["key"] == "write a test (python)"
    assert "As a request: write a test (python)." in preview(asked).stdout.decode()
    assert "As a request: of no habit, as it is not in English for sure." in preview("Bitte hilf mir.").stdout.decode()
    own = tmp_path / "own.txt"
    own.write_text("python")
    assert lines(preview(asked, "--json", "--dictionary", str(own)))[0]["key"] == "write a test"


def test_json_lines_are_answered_by_one_line_each() -> None:
    given = (
        '{"id": "a", "text": "hello Rohan"}\n\n{"id": 2, "text": "\\ud83d\\ude00 \\ud800 hi"}\n{"text": "a quiet day"}'
    )
    done = preview(given, "--json")
    assert done.returncode == 0
    first, second, third = lines(done)
    assert (first["id"], first["output"]) == ("a", "hello [NAME]")
    assert second["id"] == 2
    assert (second["slots"][0]["start"], second["slots"][0]["end"]) == (0, 3)  # code points, not bytes
    assert (third["id"], third["output"], third["slots"]) == (None, "a quiet day", [])


def test_a_file_of_json_lines_is_one_whatever_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "turns.jsonl"
    file.write_text('junk\n{"id": 1, "text": "hi"}\n')
    done = preview("", str(file), "--json")
    assert done.returncode == 1
    assert [(line["id"], line.get("output")) for line in lines(done)] == [(None, None), (1, "hi")]


def test_one_bad_line_does_not_spoil_the_others() -> None:
    long = json.dumps({"id": "long", "text": "a" * 10_000_000})
    given = b'{"id": 1, "text": "hi"}\n{"id": 2}\nnot json\n\xff\xfe\n' + long.encode() + b'\n{"id": 3, "text": "hi"}\n'
    done = preview(given, "--json")
    assert done.returncode == 1
    assert [(line["id"], line.get("error")) for line in lines(done)] == [
        (1, None), (None, "BadInput"), (None, "BadInput"), (None, "BadInput"), ("long", "TextRefused"), (3, None),
    ]  # fmt: skip
    assert json.loads(done.stderr) == {"error": "BadInput", "message": "4 texts of 6 could not be read"}


def test_what_is_no_text_is_refused_in_one_sentence() -> None:
    junk = bytes(range(256)) * 100
    done = preview(junk)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == "mycelnode: the text is not UTF-8: byte 129 is wrong\n"
    done = preview("a" * 10_000_000)
    assert done.returncode == 1
    assert done.stderr.decode() == "mycelnode: the text has 10,000,000 characters, and 1,000,000 are the most of one\n"


def test_a_line_of_junk_that_is_text() -> None:
    done = preview(bytes(range(128)), "--json")
    assert done.returncode == 0
    assert "\\u0000" not in done.stdout.decode()


def test_nothing_of_a_text_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    said = preview("\x1b[2Jhello \u202eRohan\n").stdout.decode()
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_the_owners_dictionary(tmp_path: Path) -> None:
    own = tmp_path / "mine.txt"
    own.write_text("garden party\n\nbluebird\n")
    done = preview("the garden party is on", "--dictionary", str(own), "--json")
    assert lines(done)[0]["output"] == "the [TEXT] is on"
    own.write_bytes(b"\xff")
    done = preview("the garden party is on", "--dictionary", str(own))
    assert done.stderr.decode() == "mycelnode: the dictionary is not UTF-8: byte 1 is wrong\n"


def test_code() -> None:
    done = preview("print(rohan)\n", "--code", "python", "--json")
    assert lines(done)[0]["output"] == "print(SLOT_1)\n"


def test_a_recovery_phrase_is_told() -> None:
    phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    assert lines(preview(phrase, "--json"))[0]["dropped"] == "a recovery phrase"
    assert "is never used at all" in preview(phrase).stdout.decode()


def test_empty_input() -> None:
    assert lines(preview("", "--json")) == [{"id": None, "output": "", "slots": [], "dropped": None, "key": None}]
    assert "Nothing was taken out." in preview("").stdout.decode()
