"""Key files, as NEAR's tools write them, and as they should not be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mycelnode.chain.keys import Credentials, NearKey, parse_public, parse_secret
from mycelnode.errors import AccountRefused, KeyFileError

SEED = bytes(range(32))


def put(home: Path, name: str, content: object, mode: int = 0o600) -> Path:
    path = home / ".near-credentials" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def key() -> NearKey:
    return NearKey.of(SEED)


def said(key: NearKey, **more: str) -> dict[str, str]:
    from mycelnode.encoding import base58

    return {"public_key": key.name, "private_key": "ed25519:" + base58(key.secret), **more}


def test_a_key_comes_back_from_what_it_is_called(key: NearKey) -> None:
    from mycelnode.encoding import base58

    assert parse_public(key.name) == key.public
    assert parse_secret("ed25519:" + base58(key.secret)) == key
    assert parse_secret(base58(SEED)) == key
    assert key.secret[:32] == SEED
    assert SEED.hex() not in repr(key)


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "secp256k1:" + "2" * 88, "ed25519:0OIl", "ed25519:" + "2" * 50, "ed25519:ed25519:2"]
)
def test_what_is_no_key_is_told_without_it(text: str) -> None:
    for parse in (parse_public, parse_secret):
        with pytest.raises(KeyFileError) as caught:
            parse(text)
        assert text[10:] not in str(caught.value) or len(text) < 12


def test_halves_that_do_not_belong_together(key: NearKey) -> None:
    from mycelnode.encoding import base58

    with pytest.raises(KeyFileError, match="do not belong together"):
        parse_secret("ed25519:" + base58(SEED + bytes(32)))


def test_files_of_near_cli_js_and_of_near_cli_rs_are_read(home: Path, key: NearKey) -> None:
    put(home, "testnet/alice.testnet.json", said(key, account_id="alice.testnet"))
    assert Credentials(home).find("testnet", "alice.testnet").key == key
    other = NearKey.new()
    phrase = {"master_seed_phrase": "a b c", "seed_phrase_hd_path": "m/44'/397'/0'"}
    put(home, f"testnet/bob.testnet/{other.name.replace(':', '_')}.json", said(other, **phrase))
    found = Credentials(home).find("testnet", "bob.testnet")
    assert (found.account, found.key) == ("bob.testnet", other)


def test_what_is_written_is_private_and_read_by_us_again(home: Path, key: NearKey) -> None:
    credentials = Credentials(home)
    os.umask(0o022)
    path = credentials.write("devchain", "alice.devchain", key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert credentials.find("devchain", "alice.devchain").key == key
    assert json.loads(path.read_text())["account_id"] == "alice.devchain"
    credentials.write("devchain", "alice.devchain", key)
    with pytest.raises(
        KeyFileError,
        match=r"alice\.devchain\.json has another key .* a chain that is gone, and is not overwritten: move it away",
    ):
        credentials.write("devchain", "alice.devchain", NearKey.new())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_a_file_that_others_can_read_is_refused_with_the_cure(home: Path, key: NearKey, mode: int) -> None:
    path = put(home, "testnet/alice.testnet.json", said(key), mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        Credentials(home).find("testnet", "alice.testnet")


BROKEN = {
    "no JSON": ("{", "no JSON object"),
    "deep": ("[" * 100_000, "too long|no JSON"),
    "a list": ("[]", "no JSON object"),
    "no key": ({"account_id": "alice.testnet"}, "no private_key"),
    "no text": ({"private_key": 7}, "no private_key"),
    "another kind": ({"private_key": "secp256k1:2222"}, "like ed25519"),
    "too long": ("x" * 70_000, "too long"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_told_in_a_sentence_that_names_it(home: Path, fault: str) -> None:
    content, words = BROKEN[fault]
    path = put(home, "testnet/alice.testnet.json", content)
    with pytest.raises(KeyFileError, match=words) as caught:
        Credentials(home).find("testnet", "alice.testnet")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_of_another_account_is_refused(home: Path, key: NearKey) -> None:
    put(home, "testnet/alice.testnet.json", said(key, account_id="eve.testnet"))
    with pytest.raises(KeyFileError, match=r"a key of eve\.testnet, not of alice\.testnet"):
        Credentials(home).find("testnet", "alice.testnet")
    put(home, "testnet/bad.testnet.json", said(key, account_id="EVE"))
    with pytest.raises(KeyFileError, match="does not say whose key it is"):
        Credentials(home).find("testnet", "bad.testnet")


def test_a_file_named_after_another_key_is_refused(home: Path, key: NearKey) -> None:
    put(home, f"testnet/alice.testnet/{NearKey.new().name.replace(':', '_')}.json", said(key))
    with pytest.raises(KeyFileError, match="another public key"):
        Credentials(home).find("testnet", "alice.testnet")
    put(home, "testnet/bob.testnet.json", {**said(key), "public_key": NearKey.new().name})
    with pytest.raises(KeyFileError, match="another public key"):
        Credentials(home).find("testnet", "bob.testnet")


def test_a_key_under_two_networks_is_refused(home: Path, key: NearKey) -> None:
    put(home, "testnet/alice.testnet.json", said(key))
    put(home, "mainnet/alice.near.json", said(key))
    with pytest.raises(KeyFileError, match="under two networks, testnet and mainnet"):
        Credentials(home).find("testnet", "alice.testnet")
    (home / ".near-credentials/mainnet/alice.near.json").rename(home / ".near-credentials/mainnet/notes.txt")
    assert Credentials(home).find("testnet", "alice.testnet").key == key


@pytest.mark.parametrize("half", ["private_key", "secret_key"])
def test_a_file_that_does_not_name_its_key_is_seen_there_as_well(home: Path, key: NearKey, half: str) -> None:
    put(home, "testnet/alice.testnet.json", said(key))
    put(home, "mainnet/alice.near.json", {half: said(key)["private_key"]})
    with pytest.raises(KeyFileError, match="under two networks, testnet and mainnet"):
        Credentials(home).find("testnet", "alice.testnet")


def test_no_key_and_several_keys(home: Path, key: NearKey) -> None:
    credentials = Credentials(home)
    with pytest.raises(KeyFileError, match=r"no key of alice\.testnet"):
        credentials.find("testnet", "alice.testnet")
    with pytest.raises(AccountRefused):
        credentials.find("testnet", "../../etc/passwd")
    other = NearKey.new()
    for one in (key, other):
        put(home, f"testnet/alice.testnet/{one.name.replace(':', '_')}.json", said(one))
    with pytest.raises(KeyFileError, match="several keys"):
        credentials.find("testnet", "alice.testnet")
    assert credentials.find("testnet", "alice.testnet", other.name).key == other
    with pytest.raises(KeyFileError, match="with the public half"):
        credentials.find("testnet", "alice.testnet", NearKey.new().name)


def test_a_link_and_a_folder_are_no_key_files(home: Path, key: NearKey) -> None:
    real = put(home, "testnet/real.json", said(key))
    (real.parent / "alice.testnet.json").symlink_to(real)
    with pytest.raises(KeyFileError, match="cannot be read"):
        Credentials(home).find("testnet", "alice.testnet")
    (real.parent / "bob.testnet.json").mkdir()
    with pytest.raises(KeyFileError):
        Credentials(home).find("testnet", "bob.testnet")
