from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backends.fail import Keyring as NoRing
from nacl.pwhash import argon2id

from mycelnode import clock
from mycelnode.errors import DatabaseDamaged, PassphraseNeeded, PassphraseWanted, TurnsLocked
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir
from mycelnode.privacy.interactions import Turn
from mycelnode.privacy.sealing import WRAPPED_BYTES, open_turn, seal_turn
from mycelnode.privacy.storekey import Place, destroy, fetch, keep, make
from mycelnode.privacy.turnstore import Chosen
from mycelnode.turns import Turns
from tests.privacy.ring import Ring

CHEAP = (argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
PASS = "correct horse"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file behind the keyring in use."""
    monkeypatch.setenv("TEST_RING", str(tmp_path / "ring.json"))
    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    yield tmp_path / "ring.json"
    keyring.set_keyring(before)


@pytest.fixture
def no_ring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(NoRing())
    yield
    keyring.set_keyring(before)


def entries(ring: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(ring.read_text()) if ring.exists() else {}
    return found


def folder(tmp_path: Path) -> DataDir:
    (tmp_path / "data").mkdir(mode=0o700)
    return DataDir(tmp_path / "data")


def test_a_keyring_that_can_be_used_has_the_key_and_the_folder_has_not(tmp_path: Path, ring: Path) -> None:
    data = folder(tmp_path)
    key, place = make(data, "auto", None)
    assert (place.kind, list(data.path.iterdir())) == ("keyring", [])
    assert list(json.loads(ring.read_text())) == [f"mycelnode/{place.name}"]
    again = Place.decoded(place.encoded())
    assert fetch(data, again, None) == key
    assert key not in place.encoded()
    destroy(data, place)
    assert json.loads(ring.read_text()) == {}
    with pytest.raises(TurnsLocked, match="cannot be reached from here"):
        fetch(data, place, None)


def test_without_a_keyring_it_is_a_file_that_others_cannot_read(tmp_path: Path, no_ring: None) -> None:
    data = folder(tmp_path)
    key, place = make(data, "auto", None)
    assert place.kind == "file"
    assert stat.S_IMODE(data.turns_key.stat().st_mode) == 0o600
    assert fetch(data, place, None) == key
    data.turns_key.chmod(0o644)
    with pytest.raises(TurnsLocked, match="open to other users"):
        fetch(data, place, None)
    data.turns_key.chmod(0o600)
    destroy(data, place)
    assert not data.turns_key.exists()
    with pytest.raises(TurnsLocked, match="no keyring of this system"):
        make(data, "keyring", None)


def test_a_keyring_that_is_locked_is_none_for_a_new_key_and_is_named_for_an_old_one(
    tmp_path: Path, ring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder(tmp_path)
    _, place = make(data, "auto", None)
    monkeypatch.delenv("TEST_RING")
    with pytest.raises(TurnsLocked, match=r"does not answer \(KeyringLocked\); unlock it"):
        fetch(data, place, None)
    assert make(data, "auto", None)[1].kind == "file"
    destroy(data, place)  # cannot be reached; that must not keep anybody from forgetting


def test_a_passphrase_opens_and_no_other_does(tmp_path: Path) -> None:
    data = folder(tmp_path)
    with pytest.raises(PassphraseWanted):
        make(data, "passphrase", None)
    with pytest.raises(PassphraseWanted, match="at least 8"):
        make(data, "passphrase", "short")
    key, place = make(data, "passphrase", "caf\u00e9 au lait", strength=CHEAP)
    assert (key in place.encoded(), list(data.path.iterdir())) == (False, [])
    assert fetch(data, place, "cafe\u0301 au lait") == key
    with pytest.raises(PassphraseNeeded, match="MYCEL_TURNS_PASSPHRASE"):
        fetch(data, place, None)
    with pytest.raises(PassphraseNeeded, match="not the passphrase"):
        fetch(data, place, "cafe au lait")


def test_another_key_is_told_from_the_right_one(tmp_path: Path) -> None:
    data = folder(tmp_path)
    _, place = make(data, "file", None)
    keep(data, bytes(32), "file", None)
    with pytest.raises(TurnsLocked, match="another one"):
        fetch(data, place, None)


@given(st.binary(max_size=60))
def test_a_damaged_place_is_told(data: bytes) -> None:
    with pytest.raises(DatabaseDamaged):
        Place.decoded(data)


def test_each_turn_has_a_key_of_its_own_and_opens_only_as_itself() -> None:
    store_key, mark, other = b"k" * 32, b"m" * 32, b"o" * 32
    one, two = (seal_turn(store_key, mark, "a", "b") for _ in range(2))
    assert len(one[0]) == WRAPPED_BYTES
    assert open_turn(store_key, mark, *one) == ("a", "b")
    for wrong in (
        (store_key, other, *one),
        (b"x" * 32, mark, *one),
        (store_key, mark, one[0], two[1]),
        (store_key, mark, b"", one[1]),
    ):
        with pytest.raises(DatabaseDamaged):
            open_turn(*wrong)
    with pytest.raises(DatabaseDamaged):
        open_turn(store_key, mark, bytes(WRAPPED_BYTES), one[1])


async def test_the_key_goes_where_the_setting_says_and_the_turns_stay(device: DataDir, ring: Path) -> None:
    async with open_mesh(device, clock=clock.system()) as mesh:
        turns = Turns(mesh, strength=CHEAP)
        await turns.add(Turn("a", "b"))
        assert (turns.tell_made(), turns.tell_made()) == (True, False)
        for wanted in ("keyring", "passphrase", "file", "passphrase", "keyring", "file"):
            mesh.settings.set_local("privacy.turns_key", wanted)
            again = Turns(mesh, strength=CHEAP)  # as after a new start: it has to be opened where it was
            ((_, said),) = (await again.page(Chosen(), 9, text=True, passphrase=PASS)).turns
            assert said == ("a", "b")
            assert again.place is not None
            assert again.place.kind == wanted
            assert device.turns_key.exists() == (wanted == "file")
            assert bool(entries(ring)) == (wanted == "keyring")
        mesh.settings.set_local("privacy.turns_key", "auto")
        await turns.add(Turn("c", "d"))
        assert turns.place is not None
        assert turns.place.kind == "file", "where it is, it stays"


def test_importing_the_program_imports_no_keyring() -> None:
    import subprocess
    import sys

    code = "import sys, mycelnode.cli, mycelnode.turn_commands, mycelnode.cli.interactions; print('keyring' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False\n"
