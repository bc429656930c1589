"""Commands that talk to a running node, in stories of several real devices."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable

from tests.cli.conftest import SECONDS, Program, read_line

Make = Callable[[str], Program]


def stopped(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
    """Send a signal; the exit status and what it had on standard error."""
    process.send_signal(how)
    _, err = process.communicate(timeout=SECONDS)
    return process.returncode, err


def invite_line(process: subprocess.Popen[str]) -> str:
    """The invite that a waiting `mycelnode invite` shows, read up to where it waits."""
    found, line = "", ""
    while "Waiting" not in line:
        line = read_line(process)
        if line.startswith("mycelnode join "):
            found = line.split()[2]
    return found


def test_a_second_device_joins_syncs_is_put_out_and_rescued(fox: Program, program: Make) -> None:
    node, ready = fox.run_node()
    assert {"ready", "mesh", "device", "peer", "addrs", "swarm", "control"} == set(ready)

    waiting = fox.start("invite", "--ttl", "2m")
    invite = invite_line(waiting)
    owl = program("owl")
    done = owl("join", "-", "--name", "owl", says=invite + "\n")
    assert (done.code, done.err) == (0, ""), done
    assert f"mesh {ready['mesh']}, invited by the device with the key …{ready['device'][-8:]}, until " in done.out
    assert re.search(r", until (\d{4}-\d\d-\d\d )?\d\d:\d\d", done.out), "both screens show when the invite ends"
    key = re.search(r"owl, key (…\w{8}), was let in by fox\.\nnow: mycelnode run", done.out)
    assert key, done.out
    out, _ = waiting.communicate(timeout=SECONDS)
    assert waiting.returncode == 0
    assert f"owl joined, key {key[1]}" in out, "both screens show the same"

    assert "not in step with owl (out of reach); `mycelnode status" in fox("sync", "--wait", "1").sentence
    missing = fox("sync", "--wait", "1", "--json")
    assert missing.code == 1
    assert {"synced", "unreachable"} <= set(json.loads(missing.out))
    assert json.loads(missing.err)["error"] == "NotInStep"
    assert set(json.loads(fox("devices", "revoke", "owl", "--json").err)) == {"error", "message"}, (
        "and nothing for people"
    )

    owl_node, owl_ready = owl.run_node()
    fox("config", "set", "assistant.tone", "dry")
    answer = owl("sync", "--wait", "20", "--json").json
    assert (answer["synced"], answer["unreachable"]) == ([ready["device"]], [])
    assert owl("config", "get", "assistant.tone").out == "dry\n"
    shown = owl("status").out
    assert re.search(r"^fox +connected +\d+ +0 ", shown, re.MULTILINE), shown
    assert f"listening on {owl_ready['addrs'][0]}/p2p/{owl_ready['device']}" in shown

    assert stopped(owl_node) == (0, "")
    assert owl("config", "set", "assistant.tone", "curt").code == 0, "alone, and before it hears that it is out"
    assert "say --yes" in fox("devices", "revoke", "owl").err
    revoked = fox("devices", "revoke", "owl", "--yes", "--json").json
    assert (revoked["revoked"], revoked["enrolled"]) == ([owl_ready["device"]], [])
    assert "is running" in fox("leave", "--yes").sentence

    owl_node, _ = owl.run_node()
    shown = ""
    deadline = time.monotonic() + 20
    while "this device was revoked" not in shown and time.monotonic() < deadline:  # it learns it when it connects
        shown = owl("status").out
    assert "! this device was revoked" in shown, shown
    assert "! not counted of owl: 1 entry after entry" in shown
    assert "join again" in owl("config", "set", "assistant.tone", "loud").sentence
    out = owl("sync", "--wait", "1")
    assert "this device is out of the mesh" in out.sentence
    assert " of 1 other devices connected" in owl("status", "--json").json["services"]["mesh"]["detail"]
    assert stopped(owl_node) == (0, "")

    invite = fox("invite", "--json").json["invite"]
    assert owl("join", invite, "--json").json["name"] == "owl"
    old = owl_ready["device"][-8:]
    assert f"`mycelnode devices rescue {old}` shows what" in owl("status").out, "two are called owl now"
    rescued = owl("devices", "rescue", old, "--yes", "--json").json
    assert (rescued["rescued"], rescued["entries"][0]["operations"]) == (1, ["put mycel.config assistant.tone curt"])
    assert "nothing to rescue" in owl("devices", "rescue", old).out
    assert stopped(node, signal.SIGINT) == (0, "")


def test_an_invite_is_withdrawn_with_ctrl_c(fox: Program, program: Make) -> None:
    fox.run_node()
    waiting = fox.start("invite")
    invite = invite_line(waiting)
    code, err = stopped(waiting, signal.SIGINT)
    assert (code, err.split()) == (130, ["withdrawn"])
    late = program("late")
    assert "withdrawn" in late("join", invite, "--json").failed("InviteError")
    answer = fox("invite", "--ttl", "90", "--json").json
    assert {"invite", "expires"} <= set(answer)
    assert late("join", answer["invite"], "--json").json["inviter"] == "fox"
    nobody = fox("invite", "--ttl", "1")
    assert nobody.code == 1
    assert "nobody used it" in nobody.err


def test_a_restored_device_joins_and_keeps_its_data_and_the_phrase_puts_the_lost_one_out(
    fox: Program, phrase: str, program: Make
) -> None:
    fox("config", "set", "assistant.tone", "dry")
    fox("budget", "plan", "--choice", "strict")
    _, ready = fox.run_node()
    file = fox("backup", "create", "--json", says="correct horse\n").json["file"]
    fox("config", "set", "assistant.tone", "curt")
    back = program("back")
    back("backup", "restore", file, "--name", "back", says="correct horse\n")
    invite = fox("invite", "--json").json["invite"]
    assert back("join", invite, "--json").json["name"] == "back"
    assert back("config", "get", "assistant.tone").out == "dry\n", "as of the backup, until it runs"
    back_node, _ = back.run_node()
    assert back("sync", "--wait", "20", "--json").json["unreachable"] == []
    assert back("config", "get", "assistant.tone").out == "curt\n"
    assert stopped(back_node) == (0, "")

    new = program("new")
    address = f"{ready['addrs'][0]}/p2p/{ready['device']}"
    answer = new("recover", "--peer", address, "--revoke", "back", "--name", "new", "--json", says=phrase).json
    assert answer["synced"] is True
    names = {device["name"]: device["revoked"] for device in fox("devices", "--json").json["devices"]}
    assert names == {"fox": False, "back": True, "new": False}, "those who run know it at once"
    for one in (fox, new):  # the phrase takes the decision from nobody who is there
        plan = one("budget", "--json").json["plan"]
        assert (plan["decides"]["name"], plan["choice"]) == ("fox", "strict")

    left = new("leave", "--yes", "--erase", "--json").json
    assert left["told"] == [ready["device"]]
    names = {device["name"]: device["revoked"] for device in fox("devices", "--json").json["devices"]}
    assert names == {"fox": False, "back": True, "new": True}
