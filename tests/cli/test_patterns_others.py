"""Patterns between people who never met, and between one person's devices: real programs on loopback."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mycelnode.control import ControlClient
from mycelnode.paths import DataDir
from tests.cli import learned
from tests.cli.conftest import SECONDS, Program
from tests.cli.test_terminal import on_terminal

Make = Callable[[str], Program]
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


def person(program: Program, *bootstrap: str) -> str:
    """Somebody who takes part in the collective, and whose node runs; the address for others."""
    program("init", "--name", program.folder.name)
    known = ", ".join(f'"{addr}"' for addr in bootstrap)
    config = program.folder / "config.toml"
    config.write_text(f'[swarm]\nenabled = true\nlisten = ["{LOOPBACK}"]\nbootstrap = [{known}]\n')
    config.chmod(0o600)
    _, ready = program.run_node()
    return f"{ready['swarm']['addrs'][0]}/p2p/{ready['swarm']['peer']}"


def eventually(look: Callable[[], Any], what: str) -> Any:
    """Ask until the answer says something: what neighbours tell each other takes a moment."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {SECONDS} s")


def call(program: Program, kind: str, /, **fields: Any) -> dict[str, Any]:
    with ControlClient(DataDir(program.folder)) as client:
        return client.call(kind, **fields)


def found(program: Program, query: str) -> Any:
    return call(program, "pattern.search", query=query)["results"]


def met(program: Program) -> bool:
    swarm = call(program, "status")["swarm"]
    return bool(swarm and swarm["peers"])


def test_strangers_find_fetch_and_keep_and_get_nothing_private(program: Make, tmp_path: Path) -> None:
    anna, ben = program("anna"), program("ben")
    person(ben, person(anna))
    eventually(lambda: met(anna) and met(ben), "the two meeting")

    # what is published is found, fetched, and kept
    path = learned.write(tmp_path, "mail.md", learned.MAIL)

    def told() -> (
        Any
    ):  # who is connected is not yet a neighbour; the same file again is the same pattern, and told again
        done = anna("pattern", "publish", path, "--consent", "--json").json
        return done["cid"] if "1 neighbour was told" in done["told"] else None

    mail = eventually(told, "ben being a neighbour")
    (result,) = eventually(lambda: found(ben, "summarise mail"), "ben hearing of it")
    assert (result["cid"], result["sources"]) == (mail, ["swarm"])
    seen = {one["cid"]: one for one in ben("pattern", "list", "--seen", "--json").json["patterns"]}
    assert (seen[mail]["kept"], seen[mail]["mine"]) == (False, False)
    assert ben("pattern", "list", "--json").json["patterns"] == []
    assert " seen " in ben("pattern", "list", "--seen").out
    assert ben("pattern", "use", mail, "--var", "mail=hello").out.endswith("\nhello\n")
    assert [one["cid"] for one in ben("pattern", "list", "--json").json["patterns"]] == [mail]

    # a skill with a large file travels byte by byte, and says how far it is
    files = {"scripts/eta.py": b"print(1)\n", "assets/map.bin": os.urandom(10 << 20), "references/a.md": b"# A\n"}
    root = learned.skill(tmp_path, files)
    cid = anna("pattern", "publish", str(root), "--consent", "--json").json["cid"]
    eventually(lambda: found(ben, "where order"), "ben hearing of the skill")
    with ControlClient(DataDir(ben.folder)) as client:
        *events, last = client.stream("pattern.show", cid=cid)
    assert {event["event"] for event in events} <= {"progress"}
    assert all(0 < event["bytes"] <= event["total"] or event["bytes"] == 0 for event in events), events
    assert last["source"] == "swarm"
    assert sum(file["size"] for file in last["files"]) == sum(map(len, files.values()))
    out = tmp_path / "out" / root.name
    assert ben("pattern", "export", cid, "--format", "skill", "--output", str(out)).code == 0
    assert learned.contents(out) == learned.contents(root)

    # what was only imported goes to nobody, though its name is known; until it is published
    report = learned.write(tmp_path, "report.md", learned.REPORT.format(cid=mail))
    private = anna("pattern", "import", report, "--json").json["cid"]
    before = learned.held(ben)
    began = time.monotonic()
    said = ben("pattern", "import", private, "--json").failed("BlockUnavailable")
    assert said == f"{private} was not found; asked: your devices (0 connected), swarm (1 connected)"
    assert time.monotonic() - began < SECONDS
    assert learned.held(ben) == before
    assert found(ben, "weekly report") == []
    assert anna("pattern", "publish", report, "--consent", "--json").json["cid"] == private, "it is the same pattern"
    eventually(lambda: found(ben, "weekly report"), "ben hearing of what was private")
    assert ben("pattern", "import", private, "--json").json == {
        "cid": private,
        "title": "Weekly report",
        "mine": False,
        "left": 0,
    }

    # of whom ben blocks, he sees nothing more but what he keeps
    assert ben("pattern", "block", last["creator"]).code == 0
    assert found(ben, "where order") == []
    assert "is blocked" in ben("pattern", "import", cid).sentence
    assert {one["cid"] for one in call(ben, "pattern.list", seen=True)["patterns"]} == {mail, private}


def test_what_is_kept_on_one_device_is_on_the_other(fox: Program, program: Make, tmp_path: Path) -> None:
    fox.run_node()
    invite = fox("invite", "--json").json["invite"]
    owl = program("owl")
    owl("join", invite, "--name", "owl")
    owl.run_node()
    root = learned.skill(tmp_path, {"scripts/eta.py": b"print(1)\n", "assets/map.bin": os.urandom(600_000)})
    cid = fox("pattern", "import", str(root), "--json").json["cid"]

    def kept(program: Program) -> list[str]:
        return [one["cid"] for one in call(program, "pattern.list")["patterns"]]

    eventually(lambda: cid in kept(owl), "owl getting what fox keeps")
    (one,) = call(owl, "pattern.list")["patterns"]
    assert (one["mine"], one["published"]) == (True, False), "private, and yet on all devices"
    out = tmp_path / "out" / root.name
    assert owl("pattern", "export", cid, "--format", "skill", "--output", str(out)).code == 0
    assert learned.contents(out) == learned.contents(root)
    owl("pattern", "use", cid)
    owl("pattern", "rate", cid, "--success", "yes")
    eventually(lambda: call(fox, "pattern.list")["patterns"][0]["successes"] == 1, "fox hearing how it went")
    owl("pattern", "forget", cid)
    eventually(lambda: kept(fox) == [], "fox forgetting it, too")


def test_a_wait_for_others_is_shown_and_ends_with_ctrl_c(fox: Program) -> None:
    """The node asks a Kubo that takes the call, and never answers."""
    cid = "bafyreif4r2zoyc3g3f6bnf6vpf3u3qgbpl5v3gqj4u6mfk2cmh5nqzl6ri"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert fox("config", "set", "kubo.url", f"http://127.0.0.1:{mute.getsockname()[1]}").code == 0
        node, _ = fox.run_node()
        with on_terminal(fox, "pattern", "show", cid) as terminal:
            terminal.wait_for("asking who has it…")
            terminal.interrupt()
            assert terminal.ended() == 130
            assert "Traceback" not in terminal.seen
        assert call(fox, "status")["running"], "and the node goes on"
        node.send_signal(signal.SIGINT)
        assert node.wait(SECONDS) == 0
