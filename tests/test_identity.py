from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode import identity
from mycelnode.encoding import base32, key_of_peer
from mycelnode.errors import KeyFileError, PhraseError
from mycelnode.identity import Identity, create_identity, load_identity, mesh_id, new_phrase, root_from_phrase, verify
from mycelnode.paths import DataDir

ABANDON = " ".join(["abandon"] * 23 + ["art"])  # BIP-39's vector of 32 zero bytes


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


def test_a_device_key_comes_back_as_it_was(data: DataDir) -> None:
    made = create_identity(data)
    loaded = load_identity(data)
    assert loaded.device == made.device == key_of_peer(made.peer_id)
    assert verify(made.device, b"message", loaded.sign(b"message"))
    assert stat.S_IMODE(data.device_key.stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(data: DataDir) -> None:
    create_identity(data)
    before = data.device_key.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        create_identity(data)
    assert data.device_key.read_bytes() == before


def test_a_missing_key_file_is_named(data: DataDir) -> None:
    with pytest.raises(KeyFileError, match=f"{data.device_key} is missing"):
        load_identity(data)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_mode_open_to_others_is_refused_with_the_cure(data: DataDir, mode: int) -> None:
    create_identity(data)
    data.device_key.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {data.device_key}"):
        load_identity(data)


def test_any_damage_is_recognised(data: DataDir) -> None:
    create_identity(data)
    good = data.device_key.read_bytes()
    for place in range(len(good) - 1):  # the line's end may be missing
        for bad in (good[:place], good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]):
            data.device_key.write_bytes(bad)
            with pytest.raises(KeyFileError, match=re.escape(str(data.device_key))):
                load_identity(data)
    for bad in (
        b"",
        b"\xff" * 90,
        good * 2,
        bytes(100_000),
        b"mycel-key-1",
        b"mycel-key-1 " + base32(bytes(40)).encode(),
    ):
        data.device_key.write_bytes(bad)
        with pytest.raises(KeyFileError, match="is damaged"):
            load_identity(data)
    data.device_key.write_bytes(good)
    load_identity(data)


def test_a_key_pair_does_not_print_its_secret() -> None:
    pair = Identity(bytes(range(32)))
    assert pair.peer_id in repr(pair)
    assert pair.seed == bytes(range(32))
    assert pair.seed.hex() not in repr(pair)


def test_rfc_8032_vector() -> None:
    pair = Identity(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert pair.device.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert pair.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e0652249")


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_verify_answers_no_to_anything_malformed(key: bytes, message: bytes, signature: bytes) -> None:
    assert verify(key, message, signature) is False


@given(st.binary(max_size=40), st.integers(0, 511))
def test_verify_notices_every_bit(message: bytes, bit: int) -> None:
    pair = Identity(bytes(32))
    signature = bytearray(pair.sign(message))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(pair.device, message, bytes(signature))
    assert not verify(pair.device, message + b"x", pair.sign(message))


def test_phrase_to_key_by_the_published_vectors() -> None:
    assert new_phrase(bytes(32)) == ABANDON
    # SLIP-0010, test vector 1 for ed25519
    master = identity.slip10_master(bytes.fromhex("000102030405060708090a0b0c0d0e0f"))
    assert master.hex() == "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7"
    assert Identity(master).device.hex() == "a4b2856bfec510abab89753fac1ac0e1112364e7d250545963f135f2a33188ed"
    # BIP-39 seed of 24 words with an empty passphrase
    seed = identity._words().to_seed(ABANDON)
    assert seed.hex().startswith("408b285c123836004f4b8842c89324c1f01382450c0d439af345ba7fc49acf70")
    assert root_from_phrase(ABANDON).public == Identity(identity.slip10_master(seed)).public


def test_a_phrase_is_24_words_and_fresh() -> None:
    one, two = new_phrase(), new_phrase()
    assert len(one.split()) == 24
    assert one != two
    assert root_from_phrase(one).public != root_from_phrase(two).public


@given(st.binary(min_size=32, max_size=32))
def test_case_and_white_space_do_not_matter(entropy: bytes) -> None:
    phrase = new_phrase(entropy)
    sloppy = "  " + phrase.title().replace(" ", "\n\t ") + "\r\n"
    root = root_from_phrase(sloppy)
    assert root.public == root_from_phrase(phrase).public
    assert verify(root.public, b"statement", root.sign(b"statement"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ABANDON.replace("art", "artt"),
            ("word 24 of the recovery phrase, 'artt', is not in the list of words; did you mean 'art'?"),
        ),
        (ABANDON.replace("abandon", "äöü", 1), "word 1 of the recovery phrase, 'äöü', is not in the list of words"),
        (" ".join(["abandon"] * 24), "the recovery phrase does not check: a word is wrong, or two are swapped"),
        (" ".join(["abandon"] * 11 + ["about"]), "the recovery phrase has 24 words, and these are 12"),
        ("", "the recovery phrase has 24 words, and these are 0"),
        ("a" * 5000, "the recovery phrase is far too long: it has 24 words"),
    ],
)
def test_a_wrong_phrase_says_what_is_wrong(words: str, sentence: str) -> None:
    with pytest.raises(PhraseError) as caught:
        root_from_phrase(words)
    assert str(caught.value) == sentence


def test_entropy_of_another_size_is_refused() -> None:
    with pytest.raises(PhraseError):
        new_phrase(bytes(16))


def test_mesh_id_is_short_and_lower_case() -> None:
    assert mesh_id(bytes(32)) != mesh_id(bytes(31) + b"\x01")
    assert len(mesh_id(bytes(32))) == 26
    assert mesh_id(bytes(32)).islower()
