"""Commands that need no running node: exit codes, sentences, JSON shapes."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import learned
from tests.cli.conftest import Done, Program
from tests.disks import read_only

Make = Callable[[str], Program]
PASS = {"MYCEL_BACKUP_PASSPHRASE": "correct horse"}


# --- before there is a device ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "config list", "sync", "leave --yes"])
def test_without_a_device_every_command_says_what_to_do(command: str, program: Make) -> None:
    empty = program("empty")
    sentence = empty(*command.split(), "--json").failed("NotInitialised")
    assert sentence.startswith(f"{empty.folder} holds no device yet")
    assert f"run `mycelnode init --data-dir {empty.folder}`" in sentence
    assert not empty.folder.exists()


def test_wrong_usage_exits_with_2(program: Make) -> None:
    empty = program("empty")
    for arguments in (
        ["nonsense"],
        ["status", "--nonsense"],
        ["devices", "revoke"],
        ["sync", "--wait", "-1"],
        ["sync", "--wait", "nan"],
        ["invite", "--ttl", "soon"],
        ["invite", "--ttl", "0"],
        ["invite", "--ttl", "8d"],
        ["recover", "--peer", "garbage"],
        ["join"],
    ):
        done = empty(*arguments)
        assert (done.code, done.out) == (2, ""), done
        assert done.err.startswith("Usage: mycelnode")
    assert "one second to seven days, not 8d" in empty("invite", "--ttl", "8d", "--json").failed("UsageError", code=2)
    assert "--nonsense" in empty("status", "--nonsense", "--json").failed("UsageError", code=2)


def test_help_and_version_come_from_everywhere(program: Make) -> None:
    empty = program("empty")
    assert "invite" in empty("--help").out
    assert "--with-enrolled" in empty("devices", "revoke", "-h").out
    assert re.fullmatch(r"mycelnode, version \d+\.\d+\.\d+\n", empty("--version").out)


# --- the first device --------------------------------------------------------------------------------------------------


def test_init_shows_the_phrase_once_and_only_on_one_device(program: Make) -> None:
    fox = program("fox")
    done = fox("init", "--name", "fox")
    assert (done.code, done.err) == (0, "")
    words = dict(re.findall(r"(\d+) ([a-z]+)", done.out.split("column by column:")[1].split("Write")[0]))
    assert sorted(map(int, words)) == list(range(1, 25))
    assert f"now: mycelnode run --data-dir {fox.folder}" in done.out
    assert "\x1b" not in done.out, "no colours where there is no terminal"
    before = (fox.folder / "device.key").read_bytes()
    assert "already holds a device" in fox("init", "--json").failed("AlreadyInitialised")
    assert "already holds a device" in fox("join", invite_of_nobody()).err
    assert (fox.folder / "device.key").read_bytes() == before
    for file in fox.folder.rglob("*"):
        assert not file.is_file() or " ".join(list(words.values())[:3]).encode() not in file.read_bytes()


def invite_of_nobody() -> str:
    from mycelnode.protocols.pairing import Invite

    return str(Invite(bytes(32), bytes(32), ("/ip4/127.0.0.1/tcp/1",), bytes(16), 2_000_000_000))


def test_the_json_objects_are_as_the_contract_says(fox: Program) -> None:
    status = fox("status", "--json").json
    assert {"mesh", "device", "name", "addrs", "devices", "held", "fenced", "disk", "services"} <= set(status)
    (device,) = status["devices"]
    assert {"device", "name", "connected", "addrs", "head", "lag", "revoked", "last_seen"} <= set(device)
    assert all({"state", "detail"} <= set(service) for service in status["services"].values())
    (listed,) = fox("--json", "devices").json["devices"]
    assert (
        listed | {"device": status["device"], "name": "fox", "enrolled_by": "root", "revoked": False, "this": True}
        == listed
    )
    setting = fox("config", "get", "assistant.tone", "--json").json
    assert {"key", "value", "source", "scope"} <= set(setting)
    settings = fox("config", "list", "--json").json["settings"]
    assert setting in settings
    audit = fox("audit", "verify", "--json").json
    assert (audit["ok"], set(audit)) == (True, {"ok", "events", "head"})
    event, planned = fox("audit", "tail", "--json").json["events"]
    assert planned["kind"] == "release.record"
    assert event["kind"] == "mesh.init"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])


def test_status_for_people(fox: Program) -> None:
    done = fox("status")
    assert (done.code, done.err) == (0, "")
    assert "no node is running" in done.out
    assert re.search(r"^fox +this +0 +0 ", done.out, re.MULTILINE)


def test_settings_are_set_taken_back_and_hidden(fox: Program) -> None:
    assert fox("config", "set", "assistant.tone", "dry").out == "assistant.tone is now dry on all devices\n"
    assert fox("config", "get", "assistant.tone").out == "dry\n"
    assert fox("config", "get", "assistant.tone", "--local", "--json").json["source"] == "default"
    answer = fox("config", "set", "assistant.tone", "warm", "--local", "--json").json
    assert (answer["value"], answer["source"]) == ("warm", "config.toml")
    hidden = fox("config", "set", "assistant.tone", "curt")
    assert "hidden here: in force is warm, from config.toml" in hidden.out
    named = fox("config", "get", "assistant.tone", "--json", env={"MYCEL_ASSISTANT_TONE": "loud"}).json
    assert (named["value"], named["variable"]) == ("loud", "MYCEL_ASSISTANT_TONE")
    fox("config", "unset", "assistant.tone", "--local")
    assert fox("config", "get", "assistant.tone").out == "curt\n"
    assert fox("config", "set", "user.level", "-5", "--json").json["value"] == -5
    assert "did you mean assistant.tone" in fox("config", "set", "assistant.tune", "x").sentence


def test_devices_are_renamed_and_the_last_one_is_not_put_out_by_mistake(fox: Program) -> None:
    assert fox("devices", "rename", "fox", "owl", "--json").json["name"] == "owl"
    assert fox("devices", "list", "--json").json["devices"][0]["name"] == "owl"
    assert "mycelnode leave" in fox("devices", "revoke", "owl", "--yes").sentence
    assert "no device of this mesh" in fox("devices", "revoke", "fox", "--yes", "--json").failed("DeviceUnknown")
    assert "nothing to rescue" in fox("devices", "rescue", "owl").out
    assert fox("devices", "revoke", "owl", "--since", "yesterday noon").code == 2


def test_names_are_shown_whole_or_refused(fox: Program, program: Make) -> None:
    family = "\U0001f4f1 Handy \U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert fox("devices", "rename", "fox", family, "--json").json["name"] == family
    assert (
        fox("devices", "rename", f" {family}\t", "a\u200db\u202e \U0001f525\u200d", "--json").json["name"]
        == "a b \U0001f525"
    )
    assert "can be seen" in fox("devices", "rename", "a b \U0001f525", "\u200d ", "--json").failed("ValueRefused")
    for arguments in (["devices", "rename", "a b \U0001f525", "x" * 65], ["init", "--name", "x" * 65]):
        new = program("new") if arguments[0] == "init" else fox
        assert "at most 64 characters, and this one has 65" in new(*arguments, "--json").failed("ValueRefused")
    assert not program("new").folder.exists()


SPENDER = "0" * 64


def test_a_question_without_a_terminal_needs_yes(fox: Program) -> None:
    assert "say --yes" in fox("leave", says="y\n").sentence
    left = fox("leave", "--yes", "--json").json
    assert (left["erased"], left["told"], left["spender"]) == (False, [], None)
    assert (Path(left["aside"]) / "mycel.db").exists()
    assert fox("init").code == 0
    assert fox("config", "set", "near.spender", SPENDER).code == 0
    assert fox("config", "set", "near.network", "devchain").code == 0
    assert f"{SPENDER} paid for uses from here" in fox("leave", "--yes").out, "also if that was on another network"
    assert fox("init").code == 0
    assert fox("leave", "--yes", "--erase", "--json").json["erased"] is True
    assert [name for name in os.listdir(fox.folder) if not name.startswith("left-")] == ["lock"]


# --- what is broken ------------------------------------------------------------------------------------------------------


def test_a_damaged_setting_is_named(fox: Program) -> None:
    (fox.folder / "config.toml").write_text("[log\n")
    assert "config.toml is not valid TOML" in fox("status", "--json").failed("ConfigError")
    (fox.folder / "config.toml").write_text('[log]\nlevel = "loud"\n')
    assert "log.level must be one of" in fox("run").sentence


def test_a_key_that_is_open_damaged_or_missing_is_named(fox: Program) -> None:
    key = fox.folder / "device.key"
    key.chmod(0o644)
    assert f"chmod 600 {key}" in fox("run", "--json").failed("KeyFileError")
    key.chmod(0o600)
    key.write_bytes(key.read_bytes()[:-5] + b"aaaa\n")
    assert "is damaged" in fox("status", "--json").failed("KeyFileError")
    key.unlink()
    assert "is missing; put it back" in fox("status").sentence
    assert "after `mycelnode leave`" in fox("status").sentence
    assert fox("leave", "--yes").code == 0
    assert fox("init").code == 0, "the advice works"


def test_a_damaged_database_is_named_and_leave_is_the_way_out(fox: Program) -> None:
    database = fox.folder / "mycel.db"
    pages = database.read_bytes()
    database.write_bytes(pages[:100] + b"x" * 4000 + pages[4100:])
    assert "damaged" in fox("run", "--json").failed("DatabaseDamaged")
    assert "damaged" in fox("backup", "create", env=PASS).sentence
    database.write_bytes(pages)
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    assert "newer mycelnode" in fox("status", "--json").failed("SchemaTooNew")
    assert fox("leave", "--yes", "--json").json["mesh"] is None
    assert fox("init").code == 0


def test_bytes_that_are_no_text_are_damage_too_and_a_backup_comes_back_after_leave(fox: Program) -> None:
    file = fox("backup", "create", "--json", env=PASS).json["file"]
    database = fox.folder / "mycel.db"
    database.write_bytes(database.read_bytes().replace(b"TABLE invites", b"TABLE \xffnvites"))
    for command in ("run", "status", "config list", "audit verify", "devices", "config set log.level debug"):
        assert "after `mycelnode leave`" in fox(*command.split(), "--json").failed("DatabaseDamaged")
    assert fox("leave", "--yes", "--json").json["mesh"] is None
    assert fox("backup", "restore", file, env=PASS).code == 0


def test_a_lost_database_is_not_replaced_by_an_empty_one(fox: Program, phrase: str) -> None:
    (fox.folder / "mycel.db").rename(fox.folder / "elsewhere")
    for command in ("run", "status", "config list", "sync", "devices", "backup create", "recover"):
        sentence = fox(*command.split(), "--json", says=phrase, env=PASS).failed("DatabaseDamaged")
        assert f"{fox.folder}/mycel.db is missing; put it back" in sentence
    assert not (fox.folder / "mycel.db").exists()
    (fox.folder / "elsewhere").rename(fox.folder / "mycel.db")
    assert fox("status").code == 0


def test_a_join_that_broke_off_is_told_alike_by_every_command(program: Make) -> None:
    new = program("new")
    assert new("join", invite_of_nobody(), "--json", env={"MYCEL_MESH_LAN": "false"}).code == 1
    before = sorted(file.name for file in new.folder.iterdir())
    for command in ("run", "status", "devices", "config list", "config set log.level debug", "audit verify", "invite"):
        assert new(*command.split(), "--json").failed("NotInitialised") == sentence_of(new), command
    assert new("sync", "--json").failed("NotInitialised") == sentence_of(new)
    assert new("init", "--json").failed("AlreadyInitialised") == sentence_of(new)
    assert sorted(file.name for file in new.folder.iterdir()) == before
    assert new("leave", "--yes").code == 0
    assert new("init").code == 0


def sentence_of(new: Program) -> str:
    """What every command says in a folder whose device is not enrolled yet."""
    folder = f"--data-dir {new.folder}"
    return (
        f"{new.folder} holds a device that is no member of a mesh yet: finish with `mycelnode join INVITE {folder}`, or"
        f" `mycelnode recover {folder}` with the phrase, or begin anew after `mycelnode leave {folder}`"
    )


def test_a_folder_that_cannot_be_used(program: Make, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for name in ("file", "file/below"):
        assert str(file) in program(name)("init", "--json").failed("DataDirUnusable")
    assert file.read_text() == "not a folder"


def test_a_folder_that_may_not_be_written(program: Make, fox: Program, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o700)
    with read_only(tmp_path / "locked") as locked:
        sentence = program("locked")("init", "--json").failed("DataDirUnusable")
        assert str(locked) in sentence
        assert "cannot be" in sentence
    with read_only(fox.folder):
        for command in (("config", "set", "log.level", "debug"), ("run",), ("devices", "rename", "fox", "wolf")):
            assert str(fox.folder) in fox(*command, "--json").failed("DataDirUnusable")
    assert fox("devices", "--json").json["devices"][0]["name"] == "fox"


def test_a_changed_audit_record_shows_and_exits_with_1(fox: Program) -> None:
    with sqlite3.connect(fox.folder / "mycel.db") as connection:
        connection.execute("UPDATE audit SET event = ? WHERE seq = 1", (b"\x80",))
    connection.close()
    done = fox("audit", "verify", "--json")
    assert done.code == 1
    answer = json.loads(done.out)
    assert (answer["ok"], answer["broken_at"]) == (False, 1)
    assert "event 1 was changed" in json.loads(done.err)["message"]


@pytest.mark.parametrize(
    ("invite", "sentence"),
    [("mycel:aaaa", "damaged or not complete"), ("-", "starts with `mycel:`")],
)
def test_a_bad_invite_leaves_nothing(invite: str, sentence: str, program: Make) -> None:
    new = program("new")
    assert sentence in new("join", invite, "--json", says="hello\n").failed("InviteError")
    assert not new.folder.exists()


# --- phrase and backup -----------------------------------------------------------------------------------------------------


def test_the_phrase_brings_a_device_back_and_a_wrong_one_does_not(fox: Program, phrase: str, program: Make) -> None:
    words = phrase.split()
    new = program("new")
    assert "did you mean" in new("recover", "--json", says=" ".join([*words[:-1], words[-1] + "x"])).failed(
        "PhraseError"
    )
    assert "24 words" in new("recover", says="").sentence
    assert "/p2p/" in new("recover", "--peer", "/ip4/127.0.0.1/tcp/1", "--json").failed("UsageError", code=2)
    assert not new.folder.exists()
    grid = "\n".join(f"{place}. {word.upper()}" for place, word in enumerate(words, 1))
    answer = new("recover", "--name", "owl", "--json", says=grid).json
    assert answer | {"name": "owl", "synced": False, "revoked": []} == answer
    assert answer["mesh"] == fox("status", "--json").json["mesh"]
    own = new("recover", "--revoke", "owl", "--json", says=phrase)
    assert "mycelnode leave" in own.failed("RecoverRefused")
    other = program("other")("init", "--json").json["phrase"]
    assert "another mesh" in new("recover", says=other).sentence


def test_a_backup_made_and_restored(fox: Program, program: Make) -> None:
    fox("config", "set", "assistant.tone", "dry")
    made = fox("backup", "create", "--json", env=PASS).json
    assert set(made) == {"file", "bytes", "mesh", "created"}
    assert fox("backup", "list", "--json").json == {"backups": [made]}
    assert "exists already" in fox("backup", "create", "--output", made["file"], env=PASS).sentence
    assert "at least 8" in fox("backup", "create", says="short\n").sentence
    new = program("new")
    assert "wrong passphrase" in new("backup", "restore", made["file"], says="wrong horse\n").sentence
    assert not new.folder.exists()
    restored = new("backup", "restore", made["file"], "--name", "owl", "--json", says="correct horse\n").json
    assert set(restored) == {"mesh", "device", "name", "entries", "created", "config_aside", "patterns", "spender"}
    assert new("config", "get", "assistant.tone").out == "dry\n"
    status = new("status").out
    assert status.startswith("owl (")
    assert "`mycelnode join INVITE` or `mycelnode recover`" in status
    for command in ("run", "config set assistant.tone curt", "devices rename fox owl", "devices revoke fox --yes"):
        assert new(*command.split(), "--json").failed("NotInitialised") == sentence_of(new), command
    assert new("init").sentence == sentence_of(new)
    assert "already holds a device" in new("backup", "restore", made["file"], env=PASS).sentence


def test_recover_from_a_backup_puts_the_lost_device_out(fox: Program, phrase: str, program: Make) -> None:
    fox("config", "set", "assistant.tone", "dry")
    file = fox("backup", "create", "--json", env=PASS).json["file"]
    new = program("new")
    says = f"{phrase}\ncorrect horse\n"
    wrong = new("recover", "--backup", file, "--revoke", "wolf", "--name", "owl", "--json", says=says)
    assert "no device of this mesh is called 'wolf'" in wrong.failed("DeviceUnknown")
    done = new("recover", "--backup", file, "--revoke", "fox", "--name", "owl", says=says)
    assert (done.code, done.err) == (0, ""), done
    names = {device["name"]: device["revoked"] for device in new("devices", "--json").json["devices"]}
    assert names == {"fox": True, "owl": False}
    assert new("config", "get", "assistant.tone").out == "dry\n"


def test_whoever_paid_there_does_not_pay_on_the_restored_device(fox: Program, phrase: str, program: Make) -> None:
    spender = "ab" * 32
    assert fox("config", "set", "near.spender", spender).code == 0
    assert fox("config", "set", "near.spend_per_day", "0.2").code == 0
    file = fox("backup", "create", "--json", env=PASS).json["file"]
    new, said = program("new"), f"{spender} paid for uses there and does not here, as its key is in no backup"
    assert said in new("backup", "restore", file, env=PASS).out
    assert new("config", "get", "near.spender", "--json").json["source"] == "default"
    assert new("config", "get", "near.spend_per_day").out == "0.2\n"
    done = program("other")("recover", "--backup", file, "--name", "owl", says=f"{phrase}\ncorrect horse\n")
    assert (done.code, done.err) == (0, ""), done
    assert said in done.out


def test_a_private_pattern_of_a_lost_device_comes_back_from_a_backup(
    fox: Program, phrase: str, program: Make, tmp_path: Path
) -> None:
    files = {"scripts/eta.py": b"print(1)\n", "assets/map.bin": os.urandom(600_000)}
    cid = fox("pattern", "import", str(learned.skill(tmp_path, files)), "--json").json["cid"]
    text = fox("pattern", "use", cid).out
    made = fox("backup", "create", "--output", str(tmp_path / "x.backup"), "--json", env=PASS).json
    assert "left_out" not in made
    shutil.rmtree(fox.folder)
    new = program("new")
    assert "1 pattern came with them." in new("backup", "restore", made["file"], env=PASS).out
    assert new("recover", says=f"{phrase}\n").code == 0
    told = new("pattern", "show", cid, "--json").json
    assert {file["path"]: file["size"] for file in told["files"]} == {path: len(data) for path, data in files.items()}
    assert new("pattern", "use", cid).out == text
    out = tmp_path / "out"
    assert new("pattern", "export", cid, "--format", "skill", "--output", str(out)).code == 0
    assert {path: (out / path).read_bytes() for path in files} == files


# --- the shell ---------------------------------------------------------------------------------------------------------------


def complete(program: Program, words: str) -> Done:
    count = str(len(words.split(" ")) - 1)
    return program(env={"_MYCELNODE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count})


def test_the_shell_completes_commands_and_settings(program: Make) -> None:
    empty = program("empty")
    script = empty("completion", "fish", "--json").json
    assert "_MYCELNODE_COMPLETE=fish_complete" in script["script"]
    assert "_MYCELNODE_COMPLETE" in empty("completion", "bash").out
    assert complete(empty, "mycelnode dev").out == "plain,devices\n"
    assert complete(empty, "mycelnode config get models.").out.split() == [
        "plain,models.embedder",
        "plain,models.local",
        "plain,models.ollama_url",
        "plain,models.temperature",
    ]
    assert complete(empty, "mycelnode devices revoke f").out.strip() == "", "no node is running"
