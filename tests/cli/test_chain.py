"""`mycelnode chain`, as a person types it: with a devchain in a process of its own, without a node and with one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Program, read_line
from tests.cli.test_terminal import on_terminal

Make = Callable[[str], Program]


@pytest.fixture
def fox(program: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A device on a devchain."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fox = program("fox")
    assert fox("init").code == 0
    ready = json.loads(read_line(fox.start("chain", "devchain", "--port", "0", "--json")))
    assert fox("config", "set", "near.network", "devchain").code == 0
    assert fox("config", "set", "near.rpc", ready["url"]).code == 0
    return fox


def key_file(fox: Program, account: str) -> str:
    return str(fox.folder / "devchain" / "near-credentials" / "devchain" / f"{account}.json")


def test_an_account_a_spender_and_what_they_have(fox: Program) -> None:
    assert "none yet" in fox("chain", "account").out
    made = fox("chain", "account", "create", "fox.bob.near", "--from", key_file(fox, "bob.near"), "--amount", "3")
    assert made.out == "fox.bob.near\n"
    assert "whoever has that file has the money" in made.err
    again = fox("chain", "account", "create", "fox.bob.near", "--from", key_file(fox, "bob.near"), "--amount", "3")
    gives = "was given nothing; `mycelnode chain account fund fox.bob.near` gives it more\n"
    assert again.err.endswith(f"it was there already, and {gives}")
    spender = fox("chain", "account", "create", "--from", "fox.bob.near", "--amount", "1.5", "--json").json["account"]
    balance = fox("chain", "balance", "--json").json
    assert (balance["account"], balance["balance"]) == (spender, "1500000000000000000000000")
    assert fox("chain", "balance").out == f"{spender}  1.5 NEAR\n"
    fox.run_node()
    rotated = fox("chain", "account", "rotate", "--yes", "--json").json
    assert (rotated["before"], rotated["moved"]) == (spender, "1480000000000000000000000")
    assert "1.48 NEAR" in fox("chain", "balance").out
    assert fox("chain", "account", "--json").json["spender"] == rotated["account"]
    (first, second) = fox("chain", "outbox", "--all", "--json").json["entries"]
    assert {first["state"], second["state"]} == {"done"}
    assert fox("chain", "outbox").out == "nothing waits\n"
    assert fox("status", "--json").json["services"]["near"]["state"] == "ok"


def test_more_for_the_spender_and_what_was_replaced_is_emptied(fox: Program) -> None:
    bob = key_file(fox, "bob.near")
    first = fox("chain", "account", "create", "--from", bob, "--amount", "1", "--json").json["account"]
    assert "`mycelnode chain account fund` gives it more" in fox("chain", "account", "create").sentence
    given = fox("chain", "account", "fund", "--from", bob, "--amount", "0.5")
    assert given.out == f"0.5 NEAR came from bob.near to {first}\n"
    second = fox("chain", "account", "rotate", "--yes", "--json").json["account"]
    assert fox("chain", "account", "--json").json["former"] == []
    assert fox("chain", "account", "fund", first, "--from", bob, "--amount", "2").code == 0
    assert f"before   {first}: was replaced, and has 2.01" in fox("chain", "account").out
    assert "say --yes" in fox("chain", "account", "sweep", first).sentence
    swept = fox("chain", "account", "sweep", first, "--yes").out
    assert swept.startswith("2.0")
    assert swept.endswith(f" NEAR came from {first} to {second}\n")
    assert fox("chain", "account", "sweep", first, "--yes").out == f"{first} has nothing that could be moved\n"


def test_before_money_is_moved_it_is_asked_how_much_and_from_where(fox: Program) -> None:
    bob = key_file(fox, "bob.near")
    first = fox("chain", "account", "create", "--from", bob, "--amount", "1", "--json").json["account"]
    with on_terminal(fox, "chain", "account", "rotate", "--amount", "0.5") as terminal:
        terminal.wait_for(f"Make a new spending account, and send 0.5 NEAR there from {first}? [y/N]: ")
        terminal.type("n\n")
        assert terminal.ended() == 1
    assert fox("chain", "account", "--json").json["spender"] == first
    second = fox("chain", "account", "rotate", "--amount", "0.5", "--yes", "--json").json["account"]
    known = fox("chain", "account").out.splitlines()
    assert [line.partition(": ed25519:")[0] for line in known if line.startswith("key ")] == [f"key      {second}"]
    with on_terminal(fox, "chain", "account", "sweep", first) as terminal:
        terminal.wait_for(f" NEAR from {first} to {second}? [y/N]: ")
        assert "Send 0.48" in terminal.seen
        terminal.type("y\n")
        assert terminal.ended() == 0
    assert fox("chain", "account", "import", bob, "--spender").code == 0
    assert fox("chain", "account", "import", bob).code == 0
    assert "bob.near publishes and is paid, too: say with --amount" in fox("chain", "account", "rotate").sentence


def test_who_is_paid_is_not_replaced_by_the_way(fox: Program) -> None:
    create = ("chain", "account", "create", "--from", key_file(fox, "bob.near"), "--amount", "1")
    assert fox(*create, "fox.bob.near").code == 0
    assert "fox.bob.near publishes and is paid already" in fox(*create, "cat.bob.near").sentence
    assert fox(*create, "cat.bob.near", "--replace").out == "cat.bob.near\n"
    assert (
        "before   fox.bob.near: was replaced, and has 1 NEAR; `mycelnode chain account sweep`"
        in fox("chain", "account").out
    )
    assert fox("config", "set", "near.rpc", "http://127.0.0.1:9").code == 0
    assert "before   fox.bob.near: what it has is not known, as no server answers" in fox("chain", "account").out


def test_another_network_says_what_counts_there_and_what_a_running_node_makes_of_it(fox: Program) -> None:
    assert fox("config", "set", "near.registry", "registry.alice.near").code == 0
    none = "near.account not set, near.registry not set, near.reputation not set, near.spender not set"
    fox.run_node()
    now, counts, note = fox("config", "set", "near.network", "testnet").out.splitlines()
    assert (now, counts) == ("near.network is now testnet on this device", f"what counts on testnet: {none}")
    assert note == (
        "near.network is testnet by now, and the node that is running is on devchain: stop it and start it again; until then it"
        " begins nothing that costs NEAR"
    )
    assert fox("chain", "policy").sentence == note
    back = fox("config", "set", "near.network", "devchain").out
    assert back.endswith(none.replace("registry not set", "registry registry.alice.near") + "\n")
    assert fox("chain", "policy").code == 0


def test_limits_receipts_and_what_is_not_set(fox: Program) -> None:
    policy = fox("chain", "policy")
    assert "near.spend_per_day" in policy.out
    assert "none, as near.registry is not set" in policy.out
    assert fox("config", "set", "near.spend_per_day", "2.5").code == 0
    assert fox("chain", "policy", "--json").json["per_day"] == "2500000000000000000000000"
    assert "an amount of NEAR" in fox("config", "set", "near.spend_per_day", "much").sentence
    header, *rows = fox("chain", "receipts", "--csv").out.splitlines()
    assert header.startswith("no,state,time,cid,title,pattern,nth,creator,account,paid,")
    assert rows == []
    assert fox("chain", "receipts").out == "0 uses paid for\n"
    assert "near.account is not set" in fox("chain", "claim").sentence
    assert "near.account is not set" in fox("chain", "balance").sentence
    assert (
        fox("chain", "outbox", "cancel", "7", "--json").failed("NearRefused").startswith("the outbox has no number 7")
    )
    assert fox("chain", "balance", "a..b", "--json").failed("AccountRefused")
    made = fox("chain", "account", "create")
    assert made.err.endswith("it has nothing yet: send it what may be spent\n")
    assert fox("config", "unset", "near.spender").code == 0
    assert "at most 24 decimals" in fox("chain", "account", "create", "--amount", "1e3").sentence
    loose = Path(key_file(fox, "carol.near"))
    loose.chmod(0o644)
    assert f"run: chmod 600 {loose}" in fox("chain", "account", "import", str(loose)).sentence
    loose.chmod(0o600)
    assert fox("chain", "account", "import", str(loose), "--json").json["account"] == "carol.near"


def test_a_network_that_cannot_be_reached(program: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    fox = program("fox")
    assert fox("init").code == 0
    assert fox("config", "set", "near.network", "devchain").code == 0
    assert "set near.rpc to the address of one" in fox("chain", "balance", "bob.near").sentence
    assert fox("config", "set", "near.rpc", "http://127.0.0.1:9").code == 0
    assert "127.0.0.1:9 cannot be reached" in fox("chain", "balance", "bob.near").sentence
    assert fox("chain", "outbox").out == "nothing waits\n"
    assert fox("chain", "policy").code == 0
