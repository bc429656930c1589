"""The commands of patterns on one device, as a person and as a script see them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli import learned
from tests.cli.conftest import Done, Program
from tests.cli.test_terminal import on_terminal
from tests.disks import read_only

Make = Callable[[str], Program]
NOWHERE = "bafyreif4r2zoyc3g3f6bnf6vpf3u3qgbpl5v3gqj4u6mfk2cmh5nqzl6ri"
SOMEBODY = "ab" * 32


@pytest.fixture(scope="module")
def stocked(first_device: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of a device that has published a pattern of each kind, to be copied, and their CIDs."""
    folder = tmp_path_factory.mktemp("stocked")
    made = Program(folder / "fox")
    shutil.copytree(first_device[0], made.folder)
    cids: dict[str, str] = {}
    for name, text in (("mail.md", learned.MAIL), ("disk.md", learned.DISK), ("adapter.json", learned.ADAPTER)):
        cids[name.split(".")[0]] = publish(made, learned.write(folder, name, text))
    cids["report"] = publish(made, learned.write(folder, "report.md", learned.REPORT.format(cid=cids["mail"])))
    return made.folder, cids


@pytest.fixture(scope="module")
def cids(stocked: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return stocked[1]


@pytest.fixture(scope="module")
def shelf(stocked: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program on a copy of that device, whose node runs. Tests share it, and take nothing away."""
    made = Program(tmp_path_factory.mktemp("shelf") / "shelf")
    shutil.copytree(stocked[0], made.folder)
    made.run_node()
    yield made
    made.close()


@pytest.fixture
def still(program: Make, stocked: tuple[Path, dict[str, str]]) -> Program:
    """The program on another copy, where no node runs."""
    made = program("still")
    shutil.copytree(stocked[0], made.folder)
    return made


def publish(program: Program, path: str, *more: str) -> str:
    return str(program("pattern", "publish", path, "--consent", "--json", *more).json["cid"])


def titles(done: Done) -> set[str]:
    return {found["title"] for found in done.json["results"]}


# --- making public -----------------------------------------------------------------------------------------------------


def test_publishing_shows_what_will_be_public_and_asks(fox: Program, tmp_path: Path) -> None:
    path = learned.write(tmp_path, "mail.md", learned.MAIL)
    before = learned.held(fox)
    done = fox("pattern", "publish", path)
    assert (done.code, done.out) == (1, "")
    assert "say --consent to go ahead" in done.err
    assert "say --consent" in fox("pattern", "publish", path, "--json").failed("ConfirmationNeeded")
    with on_terminal(fox, "pattern", "publish", path) as terminal:
        terminal.wait_for("Make this public, for ever? [y/N]:")
        for said in ("for everybody", "title: Summarise a mail", "{{mail}}", "a creator key, made now", "dp: none"):
            assert said in terminal.seen
        terminal.type("n\n")
        assert terminal.ended() == 1
        assert "mycelnode: nothing was made public" in terminal.seen
    assert learned.held(fox) == before
    with on_terminal(fox, "pattern", "publish", path) as terminal:
        terminal.wait_for("[y/N]:")
        learned.write(tmp_path, "mail.md", learned.MAIL.replace("points:", "points, politely:"))
        terminal.type("y\n")
        assert terminal.ended() == 1
        assert "the file, or who signs it, has changed since it was shown; nothing was made public" in terminal.seen
    assert learned.held(fox) == before
    with on_terminal(fox, "pattern", "publish", path) as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type("y\n")
        assert terminal.ended() == 0, terminal.seen
    (made,) = fox("pattern", "list", "--json").json["patterns"]
    assert made["cid"] in terminal.seen
    assert (made["published"], made["kept"], made["mine"], made["source"]) == (True, True, True, "own")
    with on_terminal(fox, "pattern", "publish", path) as terminal:
        terminal.wait_for(f"Signed with the creator key {made['creator']}")


def test_a_file_is_one_pattern_however_often_it_is_published(fox: Program, tmp_path: Path) -> None:
    path = learned.write(tmp_path, "mail.md", learned.MAIL)
    answer = fox("pattern", "publish", path, "--consent", "--json").json
    assert answer | {"id": None, "version": 1, "dp": "none", "registered": False} == answer
    assert "no node is running" in answer["told"]
    done = fox("pattern", "publish", path, "--consent")
    assert (done.code, done.out) == (0, answer["cid"] + "\n")
    assert done.err.startswith("published: ")
    anew = publish(fox, path, "--new-key")
    assert anew != answer["cid"]
    shown = fox("pattern", "show", anew, "--json").json
    old = fox("pattern", "show", answer["cid"], "--json").json["creator"]
    assert shown["creator"] != old
    former = shown["manifest"]["content"]["succeeds"][0]["creator"]["/"]["bytes"]
    assert former, "the new key names the one before"
    assert publish(fox, path) == anew, "the new key is the one in use"


def test_who_signs_and_what_links_the_person_is_shown_before_it_is_public(fox: Program, tmp_path: Path) -> None:
    """A creator key, those before it, a NEAR account: each is public for ever, so each is said, and bound by the question."""
    path = learned.write(tmp_path, "mail.md", learned.MAIL)
    first = fox("pattern", "show", publish(fox, path), "--json").json["creator"]
    assert fox("config", "set", "near.account", "alice.testnet").code == 0
    asked = fox("pattern", "publish", path, "--new-key").err
    for said in ("a creator key, made now", f"the same person as {first}", "the NEAR account alice.testnet"):
        assert said in asked
    with on_terminal(fox, "pattern", "publish", path, "--new-key") as terminal:
        terminal.wait_for("[y/N]:")
        assert fox("config", "set", "near.account", "mallory.testnet").code == 0
        terminal.type("y\n")
        assert terminal.ended() == 1
        assert "has changed since it was shown; nothing was made public" in terminal.seen
    cid = publish(fox, path, "--new-key")
    shown = fox("pattern", "show", cid)
    assert f"formerly {first}\n" in shown.out
    assert "near     mallory.testnet\n" in shown.out


def test_what_another_pattern_that_is_named_is_here_is_shown(fox: Program, tmp_path: Path) -> None:
    private = fox("pattern", "import", learned.write(tmp_path, "mail.md", learned.MAIL), "--json").json["cid"]
    asked = fox("pattern", "publish", learned.write(tmp_path, "report.md", learned.REPORT.format(cid=private))).err
    assert f"names the pattern {private}: private, so nobody but you can get it" in asked
    asked = fox("pattern", "publish", learned.write(tmp_path, "far.md", learned.REPORT.format(cid=NOWHERE))).err
    assert f"names the pattern {NOWHERE}: not on this device; nobody may have it" in asked


def test_what_is_left_out_of_a_folder_is_said(fox: Program, tmp_path: Path) -> None:
    root = learned.skill(tmp_path, {"scripts/eta.py": b"print(1)\n", ".env": b"SECRET=1\n"})
    done = fox("pattern", "publish", str(root))
    assert "scripts/eta.py, 9 bytes" in done.err
    assert "left out: .env" in done.err
    cid = publish(fox, str(root))
    shown = fox("pattern", "show", cid, "--json").json
    assert shown["files"] == [{"path": "scripts/eta.py", "size": 9}]
    assert "file     scripts/eta.py, 9 bytes" in fox("pattern", "show", cid).out


# --- finding and looking -----------------------------------------------------------------------------------------------


def test_search_finds_by_words_and_by_every_filter(shelf: Program, cids: dict[str, str]) -> None:
    everything = ["mail", "disk", "report", "german"]

    def found(*more: str) -> set[str]:
        return titles(shelf("pattern", "search", *everything, "--json", *more))

    assert len(found()) == 4
    assert len(found("--limit", "1")) == 1
    assert found("--domain", "mail") == {"Summarise a mail"}
    assert found("--language", "de") == {"Find what fills a disk"}
    assert found("--kind", "workflow") == {"Weekly report"}
    assert "Find what fills a disk" not in found("--max-price", "0.499999999999999999999999")
    assert "Find what fills a disk" in found("--max-price", "0.5")
    creator = shelf("pattern", "show", cids["mail"], "--json").json["creator"]
    assert len(found("--creator", creator)) == 4
    assert found("--creator", SOMEBODY) == set()
    assert found("--min-reputation", "1") == set(), "nobody has one before there is a chain to tell it"
    answer = shelf("pattern", "search", "mail", "--json").json
    assert set(answer) == {"results", "sources", "embedder", "registry_as_of"}
    fields = {"cid", "title", "kind", "domain", "price", "creator", "score", "explain", "sources"}
    assert fields <= set(answer["results"][0])
    assert answer["sources"] == {"library": "ok", "swarm": "off", "registry": "off", "subnet": "off"}

    done = shelf("pattern", "search", "fills", "disk", "--explain")
    first, second, *reasons = done.out.splitlines()
    assert first == f"{cids['disk']}  Find what fills a disk"
    assert second.startswith("    code, shell, 0.5 NEAR, score ")
    assert any("by its words" in reason for reason in reasons)
    assert "meaning compared by: " in done.err
    assert shelf("pattern", "search", "%%% (((").out == "nothing found\n"
    for bad in ("-1", "nan", "1e-25", "1e999999999", "9" * 400, "1000000.0000000000000000000000001"):
        said = shelf("pattern", "search", "x", "--max-price", bad, "--json").failed("UsageError", code=2)
        assert "is not an amount of NEAR such as 0.1" in said
    assert "64 hexadecimal digits" in shelf("pattern", "search", "x", "--creator", "me").sentence


def test_a_pattern_is_shown_whole(shelf: Program, cids: dict[str, str]) -> None:
    shown = shelf("pattern", "show", cids["disk"], "--json").json
    assert (shown["price"], shown["dp"], shown["source"]) == ("5" + "0" * 23, "none", "library")
    assert {"cid", "title", "kind", "creator", "created", "near", "kept", "files", "manifest", "text"} <= set(shown)
    said = shown["manifest"]["content"]["pattern"]
    assert (said["title"], said["price"]) == ("Find what fills a disk", "5" + "0" * 23)
    out = shelf("pattern", "show", cids["disk"]).out
    for line in ("title: Find what fills a disk", f"cid      {cids['disk']}", "price    0.5 NEAR", "privacy  dp: none"):
        assert line in out.splitlines()
    listed = shelf("pattern", "list", "--json").json
    assert listed["coming"] == []
    fields = {"cid", "title", "kind", "domain", "price", "creator", "published", "kept", "uses", "successes"}
    assert all(fields <= set(one) for one in listed["patterns"])
    assert {one["cid"] for one in listed["patterns"]} == set(cids.values())


def test_lists_fit_a_narrow_terminal(shelf: Program, cids: dict[str, str]) -> None:
    wide = shelf("pattern", "list").out.splitlines()
    assert wide[0].split() == ["TITLE", "KIND", "DOMAIN", "PRICE", "STATE", "USED/WELL", "CID"]
    with on_terminal(shelf, "pattern", "list", columns=70) as terminal:
        assert terminal.ended() == 0
    lines = terminal.seen.splitlines()
    assert max(map(len, lines)) <= 70, terminal.seen
    at = lines.index("Summarise a mail")
    assert lines[at + 1 : at + 3] == ["    prompt, mail, free, yours", f"    {cids['mail']}"]


# --- using -------------------------------------------------------------------------------------------------------------


def test_use_fills_a_template_and_never_runs_code(shelf: Program, cids: dict[str, str], tmp_path: Path) -> None:
    mail, disk, report = cids["mail"], cids["disk"], cids["report"]
    assert "the template needs a value for 'mail'" in shelf("pattern", "use", mail).sentence
    unknown = shelf("pattern", "use", mail, "--var", "mail=x", "--var", "male=x")
    assert "the template has no variable 'male'" in unknown.sentence
    wrong = shelf("pattern", "use", mail, "--var", "mail", "--json").failed("UsageError", code=2)
    assert "'mail' is not NAME=VALUE" in wrong
    uses = {one["uses"] for one in shelf("pattern", "list", "--json").json["patterns"]}
    assert uses == {0}, "what failed is no use"
    done = shelf("pattern", "use", mail, "--var", "mail=a=b {{points}}")
    assert (done.out, done.err) == ("Summarise this mail in 3 points:\n\na=b {{points}}\n", "")
    used = shelf("pattern", "use", disk, "--json").json
    assert used == {
        "cid": disk,
        "output": "touch was-run; find . -type f -size +100M",
        "kind": "code",
        "paid": "0",
        "paid_before": "0",
        "pending": None,
    }
    assert not list(tmp_path.rglob("was-run"))
    assert not Path("was-run").exists()
    steps = shelf("pattern", "use", report).out
    assert steps == f"1. Collect the mails of the week.\nLeave out newsletters.\n2. Summarise each. ({mail})\n"
    adapter = json.loads(learned.ADAPTER)["adapter_cid"]
    assert shelf("pattern", "use", cids["adapter"]).out == f"{adapter}\n"


def test_rating_again_counts_again(still: Program, cids: dict[str, str]) -> None:
    assert still("pattern", "rate", cids["mail"], "--success", "yes", "--stars", "5", "--json").json == {
        "cid": cids["mail"], "uses": 1, "successes": 1, "failures": 0, "queued": None,
    }  # fmt: skip
    assert still("pattern", "rate", cids["mail"], "--success", "no").out == "noted: 2 uses, 1 went well, 1 did not\n"
    for wrong in (["--success", "maybe"], ["--success", "yes", "--stars", "6"], []):
        assert still("pattern", "rate", cids["mail"], *wrong).code == 2
    said = still("pattern", "rate", NOWHERE, "--success", "yes", "--json").failed("BlockMissing")
    assert f"`mycelnode pattern show {NOWHERE}` fetches it" in said


def test_a_priced_pattern_of_a_stranger_is_refused(shelf: Program, fox: Program, cids: dict[str, str]) -> None:
    owl = fox  # of the same mesh until it has another creator key: made on its own
    car = str(owl.folder.parent / "disk.car")
    shelf("pattern", "export", cids["disk"], "--format", "car", "--output", car)
    assert owl("pattern", "import", car).code == 0
    said = owl("pattern", "use", cids["disk"], "--json").failed("PaymentNeeded")
    assert said == "this pattern costs 0.5 NEAR a use, and cannot be paid for here: near.registry is not set"
    (kept,) = owl("pattern", "list", "--json").json["patterns"]
    assert (kept["mine"], kept["uses"]) == (False, 0)


# --- in and out --------------------------------------------------------------------------------------------------------


def test_what_is_exported_comes_back(shelf: Program, fox: Program, cids: dict[str, str], tmp_path: Path) -> None:
    mail = cids["mail"]
    texts = {}
    fox.run_node()
    for form, name in (("json", "mail.json"), ("markdown", "mail.md"), ("skill", "summarise-a-mail"), ("car", "m.car")):
        path = tmp_path / "out" / name
        path.parent.mkdir(exist_ok=True)
        answer = shelf("pattern", "export", mail, "--format", form, "--output", str(path), "--json").json
        size = path.stat().st_size if path.is_file() else (path / "SKILL.md").stat().st_size
        assert answer == {"cid": mail, "format": form, "path": str(path), "bytes": size}
        again = shelf("pattern", "export", mail, "--format", form, "--output", str(path))
        assert again.sentence == f"{path}: something of this name is there already: choose another"
        imported = fox("pattern", "import", str(path), "--json").json
        assert imported["title"] == "Summarise a mail"
        assert (imported["cid"] == mail, imported["mine"]) == ((True, False) if form == "car" else (False, True))
        texts[form] = fox("pattern", "show", imported["cid"], "--json").json["text"]
    signed = shelf("pattern", "publish", str(tmp_path / "out" / "m.car"), "--consent").sentence
    assert signed.endswith("m.car: a CAR holds a pattern that is signed already: `mycelnode pattern import` keeps it")
    assert texts["json"] == texts["markdown"] == texts["car"]
    listed = fox("pattern", "list", "--json").json["patterns"]
    assert {(one["mine"], one["published"]) for one in listed} == {(True, False), (False, False)}
    assert (
        "small letters"
        in shelf("pattern", "export", mail, "--format", "skill", "--output", str(tmp_path / "A b")).sentence
    )


def test_a_folder_that_cannot_be_written_is_said(shelf: Program, cids: dict[str, str], tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    with read_only(locked):
        for form in ("json", "car", "skill"):
            done = shelf("pattern", "export", cids["mail"], "--format", form, "--output", str(locked / "out"))
            assert done.sentence.startswith(f"{locked / 'out'}: "), form
    assert os.listdir(locked) == []
    away = str(tmp_path / "away" / "out")
    assert "No such file" in shelf("pattern", "export", cids["mail"], "--format", "car", "--output", away).sentence


def test_a_skill_with_files_comes_back_byte_by_byte(fox: Program, program: Make, tmp_path: Path) -> None:
    files = {"scripts/eta.py": b"print(1)\n", "assets/map.bin": os.urandom(700_000), "references/empty.md": b""}
    root = learned.skill(tmp_path, files)
    cid = publish(fox, str(root))
    car = tmp_path / "order.car"
    fox("pattern", "export", cid, "--format", "car", "--output", str(car))
    owl = program("owl")
    owl("init", "--name", "owl")
    assert owl("pattern", "import", str(car), "--json").json["cid"] == cid
    out = tmp_path / "out" / "where-is-my-order"
    assert owl("pattern", "export", cid, "--format", "skill", "--output", str(out)).code == 0
    assert learned.contents(out) == learned.contents(root)


def test_what_is_forgotten_is_gone_and_can_be_kept_again(still: Program, cids: dict[str, str], tmp_path: Path) -> None:
    mail, car = cids["mail"], str(tmp_path / "mail.car")
    still.run_node()
    still("pattern", "export", mail, "--format", "car", "--output", car)
    assert still("pattern", "forget", mail).out == f"{mail} is kept no more\n"
    assert still("pattern", "forget", mail, "--json").json == {"cid": mail, "kept": False}, "nor the second time"
    assert mail not in {one["cid"] for one in still("pattern", "list", "--seen", "--json").json["patterns"]}
    done = still("pattern", "import", car)
    assert (done.out, done.err) == (f"{mail}\n", "kept: Summarise a mail\n")
    assert mail in {one["cid"] for one in still("pattern", "list", "--json").json["patterns"]}
    for cid in cids.values():
        still("pattern", "forget", cid)
    assert still("pattern", "list").out.startswith("no patterns yet: `mycelnode pattern publish FILE`")


def test_creators_are_blocked_and_unblocked(shelf: Program, fox: Program, cids: dict[str, str], tmp_path: Path) -> None:
    creator = shelf("pattern", "show", cids["mail"], "--json").json["creator"]
    assert "your own" in shelf("pattern", "block", creator).sentence
    car = str(tmp_path / "mail.car")
    shelf("pattern", "export", cids["mail"], "--format", "car", "--output", car)
    fox.run_node()
    assert fox("pattern", "block").out == "nobody is blocked\n"
    assert fox("pattern", "block", creator, "--json").json == {"creator": creator, "blocked": True}
    assert fox("pattern", "block", "--json").json == {"creators": [creator]}
    before = learned.held(fox)
    said = fox("pattern", "import", car, "--json").failed("CreatorBlocked")
    assert said == f"the creator {creator} is blocked; `mycelnode pattern block {creator} --undo` takes it back"
    assert learned.held(fox) == before
    assert fox("pattern", "block", creator, "--undo").out == f"{creator} is not blocked any more\n"
    assert fox("pattern", "import", car).code == 0
    assert "64 hexadecimal digits" in fox("pattern", "block", "fox").sentence
    assert fox("pattern", "block", "--undo").code == 2


# --- help and the shell ------------------------------------------------------------------------------------------------


def test_each_command_says_what_it_does_on_one_line(program: Make) -> None:
    listed = program("empty")("pattern", "--help").out
    commands = ["publish", "search", "show", "list", "use", "rate", "export", "import", "forget", "block"]
    for command in commands:
        assert f"\n  {command} " in listed
    assert "..." not in listed.split("Commands:")[1], "cut off"


def test_the_shell_completes_what_is_kept(shelf: Program, cids: dict[str, str]) -> None:
    def completed(words: str) -> list[str]:
        words = words.replace("mycelnode", f"mycelnode --data-dir {shelf.folder}")
        env = {"_MYCELNODE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return sorted(line.split(",")[1] for line in shelf(env=env).out.splitlines() if line)

    for command in ("show", "use", "rate", "forget"):
        assert completed(f"mycelnode pattern {command} bafy") == sorted(cids.values())
    assert completed(f"mycelnode pattern export {cids['mail'][:30]}") == [cids["mail"]]
    assert completed("mycelnode pattern show x") == []
