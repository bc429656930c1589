"""`mycelnode pattern extract` and `mycelnode budget`, in a world whose clock the test moves."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mycel_simnet.node import Conditions
from mycelnode.identity import KeyPair
from mycelnode.paths import DataDir
from mycelnode.privacy.key import Key
from tests.cli.conftest import Program
from tests.cli.test_terminal import on_terminal
from tests.releasing.persons import note_as_decided

Make = Callable[[str], Program]
DAY = 86_400.0
QUARTER = 95 * DAY  # more than any
HABIT, RARE = "Please write a unit test for this function.", "Plan a dinner for my guests."
SENSITIVE = "Explain my symptoms."


class Timed(Program):
    """The program, with a clock that is ahead by ``skew`` seconds."""

    skew = 0.0
    stdin = subprocess.PIPE  # it ends with that

    def command(self, *arguments: str) -> list[str]:
        world = self.folder.parent / f"{self.folder.name}.world"
        Conditions(skew=self.skew).write(world)
        launcher = [sys.executable, "-m", "mycel_simnet.node", "--world", str(world), "--"]
        return [*launcher, *arguments, "--data-dir", str(self.folder)]


@pytest.fixture
def fox(tmp_path: Path) -> Iterator[Timed]:
    made = Timed(tmp_path / "fox")
    assert made("init", "--name", "fox").code == 0
    with closing(made):
        yield made


def history(path: Path, request: str, days: int, until: datetime) -> Path:
    turns = [
        {"request": request, "answer": f"done {day}", "time": (until - timedelta(days=day)).isoformat()}
        for day in range(days)
    ]
    path.write_text("".join(json.dumps(turn) + "\n" for turn in turns))
    return path


def change(fox: Timed, statement: str) -> None:
    """Edit the database behind the program's back."""
    with closing(sqlite3.connect(DataDir(fox.folder).database)) as connection:
        connection.execute(statement)
        connection.commit()


def live(fox: Timed, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for name, request, days in (("habit", HABIT, 60), ("rare", RARE, 1)):
        assert (
            fox("interactions", "import", str(history(tmp_path / name, request, days, now)), "--json").json["new"]
            == days
        )


@pytest.mark.parametrize("running", [False, True])
def test_a_habit_is_released_once_its_window_is_over(fox: Timed, tmp_path: Path, running: bool) -> None:
    live(fox, tmp_path)
    if running:
        fox.run_node()
    open_ = fox("pattern", "extract", "--json").json
    assert (open_["window"]["state"], open_["decided"], open_["waiting"]) == ("open", [], [])
    assert {one["decision"] for one in open_["candidates"]} == {"none"}
    assert "60" not in json.dumps(open_["candidates"]), "no count is told"
    left = str(4 - (datetime.now(UTC).month - 1) // 3)  # the mesh has begun just now: what was before has no window
    assert fox("budget", "--json").json["epsilon"] == {"spent": "0", "left": left, "cap": left}
    fox.close()
    fox.skew = QUARTER
    if running:
        fox.run_node()
    dry = fox("pattern", "extract", "--dry-run", "--json").json
    assert (dry["window"]["state"], dry["decided"]) == ("waiting", [])
    assert len(dry["candidates"]) == 2
    done = fox("pattern", "extract", "--json").json
    assert (len(done["decided"]), done["window"]["state"], len(done["candidates"])) == (1, "decided", 1)
    (released,) = done["candidates"]
    assert released["decision"] == "released"
    assert released["n"] > 14
    assert fox("pattern", "extract", "--window", done["decided"][0], "--json").json["candidates"] == [released]
    again = fox("pattern", "extract", "--json").json
    assert again["decided"] == []
    people = fox("budget", "--plot").out
    assert "your habits are not hidden" in people
    assert "█" in people
    budget = fox("budget", "--json").json
    assert budget["ever"]["windows"] == 1
    assert next(one["state"] for one in budget["windows"]) == "decided"
    assert fox("audit", "verify", "--json").json["ok"]
    log = fox("audit", "tail", "--json").json
    events = [one for one in log["events"] if one["kind"].startswith("release.")]
    assert "release.decide" in {one["kind"] for one in events}
    assert not any({"key", "count", "n", "refused"} & set(one["fields"]) for one in events)


def test_a_plan_counts_from_the_next_window_on(fox: Timed) -> None:
    made = fox("budget", "plan", "--choice", "strict", "--json").json
    assert (made["holds"], made["plan"]["choice"]) == (True, "strict")
    budget = fox("budget", "--json").json
    assert [one["epsilon"] for one in budget["windows"]] == ["1"]
    fox.skew = QUARTER
    assert [one["epsilon"] for one in fox("budget", "--json").json["windows"]][-1] == "1/2"
    said = fox("budget", "plan").err
    assert "say what is to change" in said
    assert fox("budget", "plan", "--decides", "nobody").code == 1


def test_a_ledger_that_was_edited_releases_nothing(fox: Timed, tmp_path: Path) -> None:
    live(fox, tmp_path)
    with closing(sqlite3.connect(DataDir(fox.folder).database)) as connection:
        connection.execute("UPDATE release_records SET record = x'00'")
        connection.commit()
    fox.skew = QUARTER
    for arguments in (("pattern", "extract"), ("budget",)):
        assert "nothing is released from this device any more" in fox(*arguments).sentence
    fox.run_node()  # all else goes on
    assert fox("status", "--json").json["name"] == "fox"
    assert "nothing is released from this device any more" in fox("pattern", "extract").sentence


def test_the_phrase_lets_a_device_decide(tmp_path: Path) -> None:
    fox = Timed(tmp_path / "fox")
    phrase = fox("init", "--name", "fox", "--json").json["phrase"]
    made = fox("budget", "plan", "--phrase", "--json", says=phrase + "\n").json
    assert (made["holds"], made["plan"]["decides"]["name"]) == (True, "fox")
    assert fox("budget", "plan", "--phrase", says="abandon " * 24).code == 1
    fox.close()


def test_the_owners_dictionary(fox: Timed, tmp_path: Path) -> None:
    (tmp_path / "book").write_text("Rohan Patel\nProject Nightjar\n\n")
    assert (
        fox("privacy", "dictionary", "--import", str(tmp_path / "book"), "--add", "Otto", "--json").json["added"] == 3
    )
    assert fox("privacy", "dictionary").out == "Otto\nProject Nightjar\nRohan Patel\n"
    assert fox("privacy", "dictionary", "--remove", "Otto", "--json").json["entries"] == [
        "Project Nightjar",
        "Rohan Patel",
    ]
    assert fox("privacy", "dictionary", "--add", "x" * 200).code == 1
    everyday = fox("privacy", "dictionary", "--add", "Will", "--add", "Test", "--add", "Nightjar")
    assert (everyday.code, everyday.err.count("requests are understood by")) == (0, 2)


def test_an_address_book_is_taken_in_as_names(fox: Timed, tmp_path: Path) -> None:
    book, asked = tmp_path / "book.vcf", "please ask summer garden about the plan"
    photo = "A" * 74 + "\n " + "A" * 74
    book.write_text(
        "BEGIN:VCARD\nVERSION:3.0\nN:Garden;Summer;;Dr.;\nFN:Dr. Summer Garden\nTEL:+44 7700 900123\n"
        f"ORG:{'very ' * 30}long\nPHOTO;ENCODING=b:{photo}\nEND:VCARD\n"
    )
    assert fox("privacy", "preview", "--json", says=asked).json["output"] == asked
    told = fox("privacy", "dictionary", "--import", str(book))
    assert told.out == "4 added, 0 removed, 4 entries now\n"
    assert told.err.startswith("left out: 1 name of more than 120 characters\n")
    mine = fox("privacy", "dictionary").out
    assert mine == "Dr. Summer Garden\nGarden\nSummer\nSummer Garden\n"
    (tmp_path / "mine.txt").write_text(mine)
    for file in ("mine.txt", "book.vcf"):
        seen = fox("privacy", "preview", "--json", "--dictionary", str(tmp_path / file), says=asked).json
        assert seen["output"] == "please ask [TEXT] about the plan"
    (tmp_path / "plan.json").write_text(
        json.dumps({"title": "Plan the summer garden", "domain": "home", "template": "x"})
    )
    slots = fox("pattern", "publish", str(tmp_path / "plan.json"), "--dry-run", "--json").json["private"]["slots"]
    assert "in your dictionary" in {slot["reason"] for slot in slots}
    assert (
        fox("privacy", "dictionary", "--import", "-", "--json", says="Name,Company\nRohan,Nightjar\n").json["added"]
        == 2
    )


def test_what_is_no_address_book_and_no_text_adds_nothing(fox: Timed, tmp_path: Path) -> None:
    file = tmp_path / "book.vcf"
    for content, said in (
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "the dictionary is not UTF-8: byte 1 is wrong"),
        (b"BEGIN:VCARD\nFN:J\xf6rg\n", "the dictionary is not UTF-8: byte 17 is wrong"),
        ("FN:Rohan\n".encode("utf-16-le"), "the dictionary is no text in UTF-8"),
        (b"BEGIN:VCARD\nTEL:1\nEND:VCARD\n", "the address book holds no names"),
        (
            b"Vorname,Nachname\nRohan,Patel\n",
            "the file looks like a CSV, and has none of the columns first name, given name",
        ),
        (
            b"NICKNAME:x\nBEGIN:VCARD\n" + b"".join(b"FN:Rohan %d\n" % one for one in range(10_001)),
            "makes 10,001 entries",
        ),
    ):
        file.write_bytes(content)
        assert said in fox("privacy", "dictionary", "--import", str(file)).sentence
    with file.open("wb") as stream:
        stream.truncate((64 << 20) + 1)
    assert "more than 67,108,864 bytes" in fox("privacy", "dictionary", "--import", str(file)).sentence
    assert fox("privacy", "dictionary").out == ""


@pytest.mark.parametrize("running", [False, True])
def test_what_was_released_is_published_once_a_person_says_so_and_it_is_due(
    fox: Timed, tmp_path: Path, running: bool
) -> None:
    live(fox, tmp_path)
    fox.skew = QUARTER
    if running:
        fox.run_node()
    (released,) = fox("pattern", "extract", "--json").json["candidates"]
    key = released["key"]
    assert "--consent" in fox("pattern", "publish", key).err
    assert fox("pattern", "publish", key, "--price", "0.03", "--consent").code == 1
    assert fox("pattern", "list", "--json").json["patterns"] == []
    waiting = fox("pattern", "publish", key, "--consent", "--json").json
    assert (waiting["cid"], waiting["due"]) == (None, released["due"])
    fox.close()
    fox.skew = QUARTER + 4 * DAY
    if running:
        fox.run_node()
    made = fox("pattern", "publish", key, "--consent", "--json").json
    assert made["dp"] == "discrete-laplace-threshold"
    assert fox("pattern", "publish", key, "--consent", "--json").json["cid"] == made["cid"], "it is published once"
    shown = fox("pattern", "show", made["cid"], "--json").json["manifest"]["content"]
    said = shown["privacy"]
    assert (said["unit"], said["epsilon"], said["delta"]) == ("one day of one habit", "1", "1e-6")
    assert shown["pattern"]["days"] == released["n"]
    assert shown["pattern"]["created"] == 0
    assert "not said" in fox("pattern", "show", made["cid"]).out
    window = datetime.now(UTC)
    named = f"{window.year}-Q{(window.month + 2) // 3}"
    (row,) = fox("pattern", "extract", "--window", named, "--json").json["candidates"]
    assert (row["key"], row["cid"]) == (key, made["cid"])


@pytest.mark.parametrize("edit", ["n = n + 1", "choice = 'strict'", "version = zeroblob(32)", "due = 0"])
def test_a_row_that_was_edited_claims_nothing(fox: Timed, tmp_path: Path, edit: str) -> None:
    live(fox, tmp_path)
    fox.skew = QUARTER + 4 * DAY
    (released,) = fox("pattern", "extract", "--json").json["candidates"]
    change(fox, f"UPDATE released SET {edit}")
    said = fox("pattern", "publish", released["key"], "--consent", "--json").failed("BudgetBroken")
    assert "is not what was decided" in said
    assert "is not what was decided" in fox("pattern", "extract").sentence
    assert fox("pattern", "list", "--json").json["patterns"] == []


def test_what_a_person_saw_is_what_goes_out(fox: Timed, tmp_path: Path) -> None:
    """After an update the same key may read otherwise: that is asked for anew, and never goes out by itself."""
    live(fox, tmp_path)
    fox.skew = QUARTER
    (released,) = fox("pattern", "extract", "--json").json["candidates"]
    assert fox("pattern", "publish", released["key"], "--consent", "--json").json["due"]
    change(fox, "UPDATE released SET seen = zeroblob(32)")
    fox.skew = QUARTER + 4 * DAY
    (listed,) = fox("pattern", "extract", "--json").json["candidates"]
    assert (listed["confirmed"], listed["cid"]) == (False, None)
    made = fox("pattern", "publish", released["key"], "--consent", "--json").json
    assert made["dp"] == "discrete-laplace-threshold"


def test_what_is_unlinked_is_signed_by_a_key_that_signs_nothing_else(fox: Timed, tmp_path: Path) -> None:
    live(fox, tmp_path)
    (tmp_path / "mine.md").write_text("---\ntitle: Write a test of mine\ndomain: writing\n---\nSay {{what}}.\n")
    mine = fox("pattern", "publish", str(tmp_path / "mine.md"), "--consent", "--json").json["cid"]
    fox("config", "set", "near.account", "fox.near")
    fox.skew = QUARTER
    (released,) = fox("pattern", "extract", "--json").json["candidates"]
    key = released["key"]
    assert "links" not in fox("pattern", "publish", key, "--unlinked").err
    assert "thrown away" in fox("pattern", "publish", key, "--unlinked", "--dry-run").err
    assert (
        f"Something like it is in your library, by you: Write a test of mine ({mine})"
        in fox("pattern", "publish", key, "--dry-run").err
    )
    assert fox("pattern", "publish", key, "--unlinked", "--consent", "--json").json["due"]
    for wrong in (("--price", "0.01"), ("--register",)):  # also where it is not said again
        assert "would link it" in fox("pattern", "publish", key, "--consent", *wrong).err
    fox.skew = QUARTER + 4 * DAY
    shown = fox("pattern", "publish", key, "--dry-run", "--json").json
    assert (shown["unlinked"], shown["creator"], shown["near"]) == (True, None, None), "what was confirmed so stays so"
    with closing(sqlite3.connect(DataDir(fox.folder).database)) as connection:
        (before,) = connection.execute("SELECT unlinked FROM released").fetchone()
    cid = fox("pattern", "publish", key, "--consent", "--json").json["cid"]
    with closing(sqlite3.connect(DataDir(fox.folder).database)) as connection:
        assert connection.execute("SELECT unlinked FROM released").fetchall() == [(b"",)], "its key is thrown away"
    content = fox("pattern", "show", cid, "--json").json["manifest"]["content"]
    assert content["privacy"]["dp"] == "discrete-laplace-threshold"
    assert "near" not in content
    assert "succeeds" not in content
    creators = {fox("pattern", "show", one, "--json").json["creator"] for one in (mine, cid)}
    assert creators >= {KeyPair(before).public.hex()}
    assert len(creators) == 2
    assert fox("pattern", "publish", key, "--consent", "--json").json["cid"] == cid
    assert len(fox("pattern", "list", "--json").json["patterns"]) == 2


def test_what_another_version_released_hides_nothing_in_a_list(fox: Timed, tmp_path: Path) -> None:
    live(fox, tmp_path)
    fox.skew = QUARTER
    assert fox("pattern", "extract", "--json").code == 0
    # What this version never makes, and what it has no words for.
    for key, text in (
        (Key(("plan", "test"), "coding"), "plan a test"),
        (Key(("write", "xyzzy"), "coding"), "a habit for which this version of the program has no words"),
    ):
        with closing(sqlite3.connect(DataDir(fox.folder).database)) as connection:
            connection.execute("UPDATE released SET key = ?", (key.encode(),))
            (window,) = connection.execute("SELECT window FROM released").fetchone()
            note_as_decided(connection, window)  # as it would have been then
            connection.commit()
        assert [one["text"] for one in fox("pattern", "extract", "--json").json["candidates"]] == [text]


def test_a_turn_is_published_by_hand_without_a_promise(fox: Timed) -> None:
    asked = "Write to Rohan Patel at rohan@example.com that the report is late"
    turn = fox("interactions", "add", "--request", asked, "--answer", "x", "--json").json["id"]
    refused = fox("pattern", "publish", "--turn", turn)
    assert refused.code == 1
    assert "Rohan Patel" in refused.err
    assert "[NAME]" in refused.err
    assert "[EMAIL]" in refused.err
    seen = fox("pattern", "publish", "--turn", turn, "--dry-run", "--json").json
    assert seen["original"] == asked
    assert {"[NAME]", "[EMAIL]"} <= {slot["text"] for slot in seen["slots"]}
    assert all(slot["reason"] for slot in seen["slots"])
    assert fox("pattern", "publish", "--turn", turn, "--dry-run", "--consent").code == 2
    assert fox("pattern", "list", "--json").json["patterns"] == []
    made = fox("pattern", "publish", "--turn", turn, "--consent", "--json").json
    assert made["dp"] == "none"
    shown = fox("pattern", "show", made["cid"], "--json").out
    assert "Rohan" not in shown
    assert "example.com" not in shown


def test_words_of_the_dictionary_are_marked_beside_a_file(fox: Timed, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(
        json.dumps({"title": "Plan the market stall", "domain": "home", "template": "Plan the market stall"})
    )
    before = fox("pattern", "publish", str(file), "--dry-run", "--json").json["private"]["slots"]
    assert fox("privacy", "dictionary", "--add", "market stall").code == 0
    after = fox("pattern", "publish", str(file), "--dry-run", "--json").json["private"]["slots"]
    assert len(after) == len(before) + 2


def test_what_is_neither_a_file_nor_a_key_is_said(fox: Timed) -> None:
    assert "is no file, and no KEY" in fox("pattern", "publish", "nothing.md").err
    assert "nothing that was released" in fox("pattern", "publish", "abcdef").sentence
    assert fox("pattern", "publish").code == 2


def test_what_a_turn_hides_does_not_move_the_cursor_of_whoever_has_to_look(fox: Timed) -> None:
    asked = "Fix this \x1b[2Jcode\x9b1m for \u202eme"
    turn = fox("interactions", "add", "--request", asked, "--answer", "x", "--json").json["id"]
    shown = fox("pattern", "publish", "--turn", turn).err
    assert "code" in shown
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)


@pytest.mark.parametrize(
    "arguments",
    [
        ("abcdef", "--new-key"),
        ("abcdef", "--title", "x"),
        ("--turn", "abcdef", "--price", "0.01"),
        ("--turn", "abcdef", "--register"),
    ],
)
def test_an_option_that_would_say_nothing_is_refused(fox: Timed, arguments: tuple[str, ...]) -> None:
    refused = fox("pattern", "publish", *arguments, "--consent")
    assert refused.code == 2
    assert "goes with" in refused.err


def test_what_is_sensitive_goes_out_by_hand_only_and_holds_up_nothing(fox: Timed, tmp_path: Path) -> None:
    for name, request in (("habit", HABIT), ("sensitive", SENSITIVE)):
        asked = str(history(tmp_path / name, request, 60, datetime.now(UTC)))
        assert fox("interactions", "import", asked, "--json").json["new"] == 60
    fox.skew = QUARTER
    candidates = fox("pattern", "extract", "--json").json["candidates"]
    told = {one["key"]: fox("pattern", "publish", one["key"], "--consent", "--json").json["note"] for one in candidates}
    (secret,) = (key for key, note in told.items() if note)
    assert len(told) == 2
    fox.skew = QUARTER + 4 * DAY
    fox.run_node()
    fox("pattern", "extract")  # through the node, it makes public what is due
    public = {one["cid"] for one in fox("pattern", "list", "--json").json["patterns"]}
    assert len(public) == 1
    made = fox("pattern", "publish", secret, "--consent", "--json").json
    assert made["dp"] == "discrete-laplace-threshold"
    assert made["cid"] not in public


def test_the_statement_has_the_figures_of_the_plan(fox: Timed) -> None:
    said = fox("privacy", "statement", "--json").json
    assert (said["epsilon"], said["delta"], said["threshold"], said["usual_days"]) == ("1", "0.000001", 14, 17)
    assert "your habits are not hidden" in " ".join(fox("privacy", "statement").out.split())
    assert fox("budget", "plan", "--choice", "loose", "--json").json["holds"]
    fox.skew = QUARTER
    assert fox("privacy", "statement", "--json").json["usual_days"] == 13


def test_a_bar_shows_how_far_the_reading_of_the_turns_is_and_ctrl_c_decides_nothing(fox: Timed, tmp_path: Path) -> None:
    file = history(tmp_path / "long", HABIT, 800, datetime.now(UTC))
    assert fox("interactions", "import", str(file), "--json").json["new"] == 800
    assert fox("pattern", "extract", "--dry-run", "--json").json["window"]["state"] == "open"
    fox.skew = QUARTER
    with on_terminal(fox, "pattern", "extract") as terminal:
        terminal.wait_for("reading your turns: [")
        terminal.interrupt()
        assert terminal.ended() == 130
    assert fox("budget", "--json").json["ever"]["windows"] == 0
    assert len(fox("pattern", "extract", "--json").json["candidates"]) == 1
