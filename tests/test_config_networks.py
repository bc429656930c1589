"""Accounts and contracts of NEAR are settings of one network: on another one the same names are strangers'."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from mycelnode.config import Setting, Settings
from mycelnode.config_keys import NETWORKS, OF_A_NETWORK
from mycelnode.errors import ConfigError
from mycelnode.paths import DataDir

NETWORK, REGISTRY = "near.network", "near.registry"


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


def settings(data: DataDir, **environ: str) -> Settings:
    return Settings(data, environ=environ)


def write(data: DataDir, text: str) -> None:
    data.config.write_text(text)
    data.config.chmod(0o600)


def test_what_is_set_counts_for_the_network_that_is_set_then(data: DataDir) -> None:
    found = settings(data)
    for network in NETWORKS:
        found.set_local(NETWORK, network)
        for key in OF_A_NETWORK:
            assert found.get(key) == "", "nothing of another network"
            found.set_local(key, f"{network}.{key.partition('.')[2]}.near")
    for again in (found, settings(data)):
        for network in NETWORKS:
            again.set_local(NETWORK, network)
            assert [again.get(key) for key in OF_A_NETWORK] == [
                f"{network}.{key.partition('.')[2]}.near" for key in OF_A_NETWORK
            ]
    assert stat.S_IMODE(data.config.stat().st_mode) == 0o600


def test_one_of_another_network_is_read_written_and_listed_by_its_own_name(data: DataDir) -> None:
    found = settings(data)
    found.set_local("near.devchain.registry", "registry.alice.near")
    assert (found.get(REGISTRY), found.get("near.devchain.registry")) == ("", "registry.alice.near")
    names = [setting.key for setting in found.all()]
    assert "near.devchain.registry" in names
    assert "near.testnet.registry" not in names, "that is near.registry, now"
    found.set_local(NETWORK, "devchain")
    assert found.explain(REGISTRY) == Setting(REGISTRY, "registry.alice.near", "config.toml", "device", ABOUT)
    assert "near.devchain.registry" not in [setting.key for setting in found.all()]
    found.unset_local(REGISTRY)
    assert found.get("near.devchain.registry") == ""
    with pytest.raises(ConfigError, match=r"there is no setting 'near\.betanet\.registry'"):
        found.set_local("near.betanet.registry", "x.near")


ABOUT = "the contract with the registry of patterns"


def test_what_people_write_beside_the_network_is_of_that_and_goes_with_it(data: DataDir) -> None:
    write(data, '[near]\nnetwork = "devchain" # at home\nregistry = "registry.alice.near" # mine\nrpc = []\n')
    found = settings(data)
    assert (found.get(REGISTRY), found.explain(REGISTRY).source) == ("registry.alice.near", "config.toml")
    found.set_local(REGISTRY, "registry.bob.near")
    assert 'registry = "registry.bob.near" # mine\n' in data.config.read_text(), "it stays where it stands"
    found.set_local(NETWORK, "testnet")
    assert found.get(REGISTRY) == ""
    assert found.get("near.devchain.registry") == "registry.bob.near"
    text = data.config.read_text()
    assert 'network = "testnet" # at home\n' in text
    assert "# mine" in text
    found.set_local(REGISTRY, "registry.fox.testnet")
    assert settings(data).get(REGISTRY) == "registry.fox.testnet"
    found.set_local(NETWORK, "devchain")
    assert settings(data).get(REGISTRY) == "registry.bob.near"


def test_without_a_network_in_the_file_it_is_of_the_usual_one(data: DataDir) -> None:
    write(data, '[near]\naccount = "fox.testnet"\n')
    assert settings(data).get("near.account") == "fox.testnet"
    assert settings(data, MYCEL_NEAR_NETWORK="mainnet").get("near.account") == ""
    found = settings(data)
    found.set_local(NETWORK, "mainnet")
    assert found.get("near.account") == ""
    found.unset_local(NETWORK)
    assert found.get("near.account") == "fox.testnet"


def test_the_same_twice_is_said_and_not_guessed(data: DataDir) -> None:
    write(data, '[near]\nregistry = "a.near"\n[near.testnet]\nregistry = "b.near"\n')
    with pytest.raises(ConfigError, match=r"near\.registry and near\.testnet\.registry are the same setting: take one"):
        settings(data)


def test_the_environment_wins_on_every_network_and_says_which_that_is(data: DataDir) -> None:
    environ = {"MYCEL_NEAR_NETWORK": "devchain", "MYCEL_NEAR_REGISTRY": "registry.env.near"}
    found = settings(data, **environ)
    found.set_local("near.account", "alice.near")
    found.set_local(REGISTRY, "registry.alice.near")
    assert found.get(REGISTRY) == found.get("near.mainnet.registry") == "registry.env.near"
    assert found.explain("near.testnet.registry").variable == "MYCEL_NEAR_REGISTRY"
    found = settings(data)
    assert (found.get(NETWORK), found.get("near.account"), found.get(REGISTRY)) == ("testnet", "", "")
    assert settings(data, MYCEL_NEAR_NETWORK="devchain").get(REGISTRY) == "registry.alice.near"


def test_the_mesh_sets_none_of_them(data: DataDir) -> None:
    found = settings(data)
    found.set_shared({"near.testnet.registry": "thief.near", REGISTRY: "thief.near"})
    assert found.get(REGISTRY) == ""


def test_who_watches_is_told_of_what_another_network_changes(data: DataDir) -> None:
    found, told = settings(data), list[tuple[str, object]]()
    found.set_local(REGISTRY, "registry.fox.testnet")
    found.watch("*", lambda setting: told.append((setting.key, setting.value)))
    found.set_local(NETWORK, "devchain")
    assert (NETWORK, "devchain") in told
    assert (REGISTRY, "") in told


@pytest.mark.parametrize(
    "text",
    [
        "",
        'near = {network = "devchain", registry = "a.near"}\n',
        'near.network = "devchain"\nnear.registry = "a.near"\n[mesh]\nlan = false\n',
        '[near]\nnetwork = "devchain"\n\n[near.devchain]\nregistry = "a.near"\n\n[mesh]\nlan = false\n',
        '[near.devchain]\nregistry = "a.near"\n[near]\nnetwork = "devchain"\n',
        'near.devchain.registry = "a.near"\nnear.network = "devchain"\n',
        'near.devchain = {registry = "a.near"}\nnear.network = "devchain"\n',
        '[near]\nnetwork = "devchain"\ndevchain.registry = "a.near"\nrpc = ["http://a.example"]\n',
    ],
)
def test_however_the_file_is_written_it_is_changed_or_stays(data: DataDir, text: str) -> None:
    write(data, text)
    found = settings(data)
    registry = "a.near" if text else ""
    changes = ((NETWORK, "testnet"), (REGISTRY, "b.testnet"), ("near.rpc", "http://b.example"), (NETWORK, "devchain"))
    for key, value in changes:
        before = data.config.read_text()
        try:
            found.set_local(key, value)
        except ConfigError as error:
            assert "cannot be set" in str(error)  # noqa: PT017
            assert data.config.read_text() == before
            return
        tomllib.loads(data.config.read_text())
    again = settings(data)
    assert (again.get(REGISTRY), again.get("near.testnet.registry")) == (registry, "b.testnet")
    assert again.get("near.rpc") == ["http://b.example"]
