"""`mycelnode chain deploy`, as an operator types it: on a devchain in a process of its own, without a node and with one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Program, read_line

DEPLOY = ("chain", "deploy", "--network", "devchain", "--from")


@pytest.fixture
def operator(program: Callable[[str], Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A device that has not said yet which network it uses."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fox = program("fox")
    assert fox("init").code == 0
    ready = json.loads(read_line(fox.start("chain", "devchain", "--port", "0", "--json")))
    assert fox("config", "set", "near.rpc", ready["url"]).code == 0
    return fox


def key_file(operator: Program, account: str = "alice.near") -> str:
    return str(operator.folder / "devchain" / "near-credentials" / "devchain" / f"{account}.json")


@pytest.mark.timeout(120)
def test_from_a_dry_run_to_contracts_and_settings(operator: Program, tmp_path: Path) -> None:
    key = key_file(operator)
    dry = operator(*DEPLOY, key, "--dry-run")
    assert dry.code == 0, dry
    assert "1. make registry.alice.near with its contract of " in dry.out
    assert "alice.near needs 3." in dry.out
    assert "note: the keys of the contracts stay" in dry.out
    planned = operator(*DEPLOY, key, "--dry-run", "--json").json
    assert planned["dry_run"]
    assert len(planned["actions"]) == 2
    assert not (tmp_path / "home" / ".near-credentials").exists(), "a dry run leaves nothing behind"
    unasked = operator(*DEPLOY, key)
    assert unasked.code == 1
    assert "1. make registry.alice.near" in unasked.err, "what it would be asked about"
    assert unasked.err.endswith("say --yes to go ahead\n")
    assert operator("config", "get", "near.registry", "--json").json["value"] == ""
    done = operator(*DEPLOY, key, "--yes", "--json").json
    assert done["contracts"] == {"registry": "registry.alice.near", "reputation": "reputation.alice.near"}
    assert [step["id"] for step in done["actions"]] == [step["id"] for step in planned["actions"]]
    assert all(int(step["burnt"]) and step["transaction"] for step in done["actions"])
    for setting, value in (
        ("near.network", "devchain"),
        ("near.registry", "registry.alice.near"),
        ("near.reputation", "reputation.alice.near"),
    ):
        assert operator("config", "get", setting, "--json").json["value"] == value
    again = operator(*DEPLOY, "alice.near", "--yes")
    assert "0 steps done; burnt, for gas and new accounts: 0 NEAR" in again.out
    assert operator("chain", "policy", "--json").json["contracts"] == ["registry.alice.near"]
    operator.run_node()
    assert operator(*DEPLOY, "alice.near", "--json").json["actions"] == []
    locked = operator(*DEPLOY, "alice.near", "--lock", "--yes", "--json").json
    assert [step["id"] for step in locked["actions"]][-1] == "+lock reputation.alice.near"
    refused = operator("chain", "deploy", "--network", "testnet", "--from", "alice.near", "--json")
    assert "the node that is running is on devchain" in refused.failed("ConfigError")


def test_what_is_wrong_is_one_sentence(operator: Program) -> None:
    assert "say with --from below which account" in operator(*DEPLOY[:-1], "--yes").sentence
    assert "there is no key of owl.near" in operator(*DEPLOY, "owl.near").sentence
    elsewhere = operator("chain", "deploy", "--network", "testnet", "--from", key_file(operator), "--dry-run")
    assert "is a server of devchain, and near.network says testnet" in elsewhere.sentence
    mainnet = operator("chain", "deploy", "--network", "mainnet", "--from", key_file(operator), "--owner", "owl.near")
    assert "say --real-money if that is meant" in mainnet.sentence
    assert operator("chain", "deploy", "--from", "alice.near").code == 2, "which network, is to be said"
