"""`devices away`, and what `status` says to people of the clean-up of history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mycelnode.cli.status import _history_lines
from tests.cli.conftest import SECONDS, Program

Make = Callable[[str], Program]


@pytest.mark.parametrize("running", [True, False], ids=["node", "no node"])
def test_the_phrase_calls_a_device_away(fox: Program, phrase: str, program: Make, running: bool) -> None:
    node, _ = fox.run_node()
    invite = fox("invite", "--json").json["invite"]
    owl = program("owl")("join", invite, "--name", "owl", "--json").json
    if not running:
        node.terminate()
        node.wait(SECONDS)
    other = program("other")("init", "--json").json["phrase"]
    assert "belongs to another mesh" in fox("devices", "away", "owl", says=other).sentence
    assert "has 24 words, and these are 2" in fox("devices", "away", "owl", says="one two\n").sentence
    assert "nobody" in fox("devices", "away", "nobody", says=phrase).sentence
    assert marks(fox) == {"fox": False, "owl": False}
    done = fox("devices", "away", "owl", "--json", says=phrase).json
    assert (done["device"], done["name"]) == (owl["device"], "owl")
    assert marks(fox) == {"fox": False, "owl": True}
    assert fox("devices", "away", "owl", says=phrase).out == "history is not kept for owl any more\n"


def marks(fox: Program) -> dict[str, bool]:
    return {device["name"]: device["away"] for device in fox("devices", "--json").json["devices"]}


def lines(connected: bool = False, **history: Any) -> list[str]:
    devices = [
        {"device": key, "name": name, "connected": connected} for key, name in (("k1", "owl"), ("k2", "my phone"))
    ]
    empty: dict[str, Any] = {"bytes": 7 << 20, "waits_for": [], "unsettled": [], "disputed": [], "missing": []}
    return _history_lines({"devices": devices, "history": {**empty, **history}})


def test_nothing_is_said_while_nothing_waits() -> None:
    assert lines() == []


def test_who_holds_history_back_is_named_with_what_helps() -> None:
    (line,) = lines(waits_for=["k2"])
    assert line.startswith(
        "7.3 MB of history stay on every device until 'my phone' is back: `mycelnode devices away 'my phone'`"
    )


def test_who_is_connected_and_does_not_agree_is_named_too() -> None:
    (line,) = lines(connected=True, waits_for=["k1"])
    assert (
        "until owl has agreed to a snapshot; if it does not, though it is connected: `mycelnode devices away owl`"
        in line
    )


def test_what_only_the_phrase_can_settle_is_said() -> None:
    (line,) = lines(unsettled=["k1", "k2"])
    assert "until the recovery phrase has put out owl, 'my phone', too" in line
    assert line.endswith("`mycelnode recover --revoke owl --revoke 'my phone'`")
