"""Backups: what comes back, what must never be inside, and that a wrong or damaged file changes nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.pwhash import argon2id

from mycelnode import backup, clock, joining, leaving, logstore, recovering
from mycelnode.backup import create, list_backups, restore
from mycelnode.backup_file import MAGIC, Opener, Sealer, new_file
from mycelnode.config import taken_out
from mycelnode.crdt import document as ops
from mycelnode.encoding import decode, encode
from mycelnode.errors import (
    AlreadyInitialised,
    BackupError,
    DataDirUnusable,
    InviteError,
    KeyFileError,
    MycelError,
    NotInitialised,
    PhraseError,
    SchemaTooNew,
)
from mycelnode.identity import load_identity, root_from_phrase
from mycelnode.joining import Initialised
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.protocols.pairing import Invite

CLOCK = clock.system()
CHEAP = (argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)  # of the many derivations here, none guards anything
PASSPHRASE = "correct horse"
SECRET = b"an open invite's"  # 16 bytes
BLOCK = b"a block of somebody"
CID = Cid.of(RAW, BLOCK).binary
CANARY = "milk and a great deal of honey"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataDir, Initialised, bytes]:
    """A device with some data, a setting and an open invite; its phrase; the digest of its document."""
    data = DataDir(tmp_path_factory.mktemp("source") / "data")
    made = trio.run(partial(joining.init_mesh, data, "fox", clock=CLOCK))

    async def fill() -> bytes:
        async with open_mesh(data, clock=CLOCK) as mesh:
            for number in range(20):
                await mesh.write([ops.map_put("notes", f"note {number}", CANARY)])
            await mesh.write([ops.gset_add("big", bytes(200_000)), ops.counter_add("count", 3)])
            invite = Invite(mesh.root, mesh.identity.device, (), SECRET, 2_000_000_000)
            await mesh.database.write(
                partial(logstore.save_invite, key=invite.id, text=str(invite), used_by=None, used_name="")
            )
            return mesh.replica.document.digest()

    digest = trio.run(fill)
    data.config.write_text('[log]\nlevel = "debug" # as I like it\n')
    return data, made, digest


@pytest.fixture(scope="module")
def file(source: tuple[DataDir, Initialised, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    return create(source[0], PASSPHRASE, tmp_path_factory.mktemp("file") / "x.backup", clock=CLOCK, strength=CHEAP).file


async def digest_of(data: DataDir) -> bytes:
    async with open_mesh(data, clock=CLOCK) as mesh:
        return mesh.replica.document.digest()


def contents(file: Path) -> bytes:
    """Everything a backup holds, in the clear."""
    return b"".join(encode(record) for record in Opener(file, PASSPHRASE).records())


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}


# --- what comes back -------------------------------------------------------------------------------------------------


async def test_a_restored_folder_holds_the_same_document_under_a_new_key(
    source: tuple[DataDir, Initialised, bytes], file: Path, tmp_path: Path
) -> None:
    data, made, digest = source
    target = DataDir(tmp_path / "new")
    restored = restore(target, file, PASSPHRASE, clock=CLOCK)
    assert (restored.mesh, restored.entries) == (made.mesh, 21)
    assert restored.device == load_identity(target).peer_id != made.device
    assert await digest_of(target) == digest
    assert target.config.read_text() == data.config.read_text()
    assert stat.S_IMODE(target.database.stat().st_mode) == 0o600
    assert not list(target.path.glob(".*")), "nothing half-made is left"
    async with open_mesh(target, clock=CLOCK) as mesh:
        assert mesh.identity.device not in mesh.replica.membership.enrolled
        assert mesh.stored.invites() == []


async def test_the_phrase_makes_a_restored_device_a_member_that_keeps_the_data(
    source: tuple[DataDir, Initialised, bytes], file: Path, tmp_path: Path
) -> None:
    _data, made, digest = source
    target = DataDir(tmp_path / "new")
    restored = restore(target, file, PASSPHRASE, "owl", clock=CLOCK, root=root_from_phrase(made.phrase).public)
    answer = await recovering.recover_mesh(target, made.phrase, clock=CLOCK, revoke=["fox"])
    assert (answer["name"], answer["revoked"]) == ("owl", [made.device])
    assert not target.joining.exists()
    assert await digest_of(target) == digest, "what the lost device had written up to the backup still counts"
    async with open_mesh(target, clock=CLOCK) as mesh:
        assert list(mesh.replica.membership.members) == [load_identity(target).device]
        await mesh.write([ops.map_put("notes", "after", "it writes again")])
    assert restored.device == answer["device"]
    with pytest.raises(AlreadyInitialised):
        restore(target, file, PASSPHRASE, clock=CLOCK)


async def test_a_phrase_of_another_mesh_restores_nothing(file: Path, tmp_path: Path) -> None:
    other = await joining.init_mesh(DataDir(tmp_path / "other"), "x", clock=CLOCK)
    target = DataDir(tmp_path / "new")
    with pytest.raises(PhraseError, match="another mesh"):
        restore(target, file, PASSPHRASE, clock=CLOCK, root=root_from_phrase(other.phrase).public)
    assert not target.initialised()
    restore(target, file, PASSPHRASE, clock=CLOCK)
    with pytest.raises(PhraseError, match="another mesh"):
        await recovering.recover_mesh(target, other.phrase, clock=CLOCK)


async def test_a_restored_folder_takes_invites_of_its_own_mesh_only(
    source: tuple[DataDir, Initialised, bytes], file: Path, tmp_path: Path
) -> None:
    target = DataDir(tmp_path / "new")
    restore(target, file, PASSPHRASE, clock=CLOCK)
    before = files_in(target.path)
    foreign = Invite(bytes(32), bytes(32), (), bytes(16), 2_000_000_000)
    with pytest.raises(InviteError, match="is of the mesh"):
        await joining.join_mesh(target, str(foreign), None, clock=CLOCK)
    assert load_identity(target) is not None
    assert files_in(target.path)[str(target.joining)] == before[str(target.joining)]
    with pytest.raises(AlreadyInitialised, match="no member of a mesh yet"):
        await joining.init_mesh(target, None, clock=CLOCK)


async def test_beside_a_running_node_it_copies_what_is_on_disk(tmp_path: Path) -> None:
    data, target = DataDir(tmp_path / "a"), DataDir(tmp_path / "b")
    await joining.init_mesh(data, "fox", clock=CLOCK)
    async with open_mesh(data, clock=CLOCK) as mesh:  # holds the folder's lock
        await mesh.write([ops.map_put("notes", "one", "before")])
        digest = mesh.replica.document.digest()
        made = create(data, PASSPHRASE, clock=CLOCK, strength=CHEAP)
        await mesh.write([ops.map_put("notes", "two", "after")])
        assert mesh.replica.document.digest() != digest
    restore(target, made.file, PASSPHRASE, clock=CLOCK)
    assert await digest_of(target) == digest


async def test_what_is_written_meanwhile_is_in_it_wholly_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataDir(tmp_path / "a")
    await joining.init_mesh(data, "fox", clock=CLOCK)
    write = Sealer.write

    def write_late(self: Sealer, records: Iterator[list[Any]]) -> None:
        with closing(sqlite3.connect(data.database)) as connection, connection:
            connection.execute("INSERT INTO statements (id, statement) VALUES (x'01', x'6c617465')")
        write(self, records)

    monkeypatch.setattr(Sealer, "write", write_late)
    made = create(data, PASSPHRASE, clock=CLOCK, strength=CHEAP)
    assert b"late" not in contents(made.file), "one moment of the database: the one at which the backup began"
    with closing(sqlite3.connect(data.database)) as connection:
        assert connection.execute("SELECT count(*) FROM statements").fetchone() == (2,)


async def test_a_left_folder_and_a_join_never_finished_can_be_restored_into(file: Path, tmp_path: Path) -> None:
    left, begun = DataDir(tmp_path / "left"), DataDir(tmp_path / "begun")
    await joining.init_mesh(left, "x", clock=CLOCK)
    with pytest.raises(AlreadyInitialised):
        restore(left, file, PASSPHRASE, clock=CLOCK)
    leaving._remove(left)
    restore(left, file, PASSPHRASE, clock=CLOCK)
    begun.create()
    key = joining.create_identity(begun)
    begun.joining.write_text("mycel:…")
    assert restore(begun, file, PASSPHRASE, clock=CLOCK).device != key.peer_id


async def test_a_backup_of_the_first_format_comes_back(tmp_path: Path) -> None:
    """As mycelnode wrote it before it put blocks into backups; the file is one of these."""
    target = DataDir(tmp_path / "new")
    old = Path(__file__).parent / "backups" / "format-1.backup"
    restored = restore(target, old, PASSPHRASE, clock=CLOCK)
    assert (restored.entries, restored.patterns) == (1, 0)
    assert not target.blocks.exists()
    assert target.config.read_text() == '[log]\nlevel = "debug"\n'
    async with open_mesh(target, clock=CLOCK) as mesh:
        assert mesh.replica.document.map("notes") == {"old": "as the first format kept it"}
        assert (
            mesh.replica.document.digest().hex() == "f38abb2669de875665685b0a90c758bb5458b8a7bb2db8d4880bdbd498b68ab2"
        )


# --- what must not be in it ------------------------------------------------------------------------------------------


def test_no_key_and_no_invite_is_in_it(source: tuple[DataDir, Initialised, bytes], file: Path) -> None:
    data, made, _ = source
    data.swarm_key.write_bytes(b"the key of the other door")
    secrets = {
        "device seed": load_identity(data).seed,
        "key file": data.device_key.read_bytes().split()[1],
        "root seed": bytes(root_from_phrase(made.phrase)._key),
        "invite secret": SECRET,
        "invite": b"mycel:",
        "swarm key": data.swarm_key.read_bytes(),
    }
    clear, sealed = contents(file), file.read_bytes()
    for name, secret in secrets.items():
        assert secret not in clear, name
        assert secret not in sealed, name
    assert CANARY.encode() in clear, "the search finds what is there"
    assert CANARY.encode() not in sealed
    assert b"mycel:" in data.database.read_bytes(), "the invite was there to be copied"


def test_a_product_that_kept_the_invites_would_be_caught(
    source: tuple[DataDir, Initialised, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_TABLES", {**backup._TABLES, "invites": ("id", "invite")})
    leaky = create(source[0], PASSPHRASE, tmp_path / "leaky.backup", clock=CLOCK, strength=CHEAP)
    assert b"mycel:" in contents(leaky.file)


# --- wrong, damaged, hostile -----------------------------------------------------------------------------------------


def refused(file: Path, target: DataDir, passphrase: str = PASSPHRASE, match: str = ".") -> None:
    with pytest.raises(BackupError, match=match):
        restore(target, file, passphrase, clock=CLOCK)
    assert not target.path.exists(), "nothing has changed"


def test_a_wrong_passphrase_is_one_sentence_and_changes_nothing(file: Path, tmp_path: Path) -> None:
    refused(file, DataDir(tmp_path / "new"), "correct hose", "wrong passphrase, or a damaged file")


def test_the_same_letters_typed_on_another_system_open_it(
    source: tuple[DataDir, Initialised, bytes], tmp_path: Path
) -> None:
    made = create(source[0], "caf\u00e9 au lait", tmp_path / "x.backup", clock=CLOCK, strength=CHEAP)
    restore(DataDir(tmp_path / "new"), made.file, "cafe\u0301 au lait", clock=CLOCK)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_bit_flipped_anywhere_is_noticed(file: Path, tmp_path: Path, place: float, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    bad = tmp_path / "bad.backup"
    bad.write_bytes(content)
    refused(bad, DataDir(tmp_path / "new"))


def test_one_bit_flipped_in_the_header_is_noticed(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    end = len(MAGIC) + 4 + int.from_bytes(content[len(MAGIC) : len(MAGIC) + 4], "big")
    for place in range(0, end + 4, 3):
        bad = tmp_path / "bad.backup"
        bad.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        refused(bad, DataDir(tmp_path / "new"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_noticed(file: Path, tmp_path: Path, kept: float) -> None:
    content = file.read_bytes()
    bad = tmp_path / "bad.backup"
    bad.write_bytes(content[: int(kept * len(content))])
    refused(bad, DataDir(tmp_path / "new"))


def chunk_ends(content: bytes) -> Iterator[int]:
    place = len(MAGIC) + 4 + int.from_bytes(content[len(MAGIC) : len(MAGIC) + 4], "big")
    while place < len(content):
        place += 4 + int.from_bytes(content[place : place + 4], "big")
        yield place


def test_whole_chunks_missing_swapped_or_added_are_noticed(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    ends = list(chunk_ends(content))
    assert len(ends) >= 2
    assert ends[-1] == len(content)
    first, last = content[ends[0] - 100 : ends[0]], content[ends[-2] :]
    for bad_content in (content[: ends[-2]], content + last, content + b"x", content[: ends[0]] + last + first):
        bad = tmp_path / "bad.backup"
        bad.write_bytes(bad_content)
        refused(bad, DataDir(tmp_path / "new"), match="cannot be read")


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        (2, 1 << 40, "header is damaged"),  # opslimit: centuries of work
        (3, 1 << 40, "header is damaged"),  # memlimit: a terabyte
        (3, 0, "header is damaged"),
        (0, 3, "newer mycelnode"),
        (1, b"short", "header is damaged"),
    ],
)
def test_a_hostile_header_costs_nothing(file: Path, tmp_path: Path, field: int, value: Any, match: str) -> None:
    content = file.read_bytes()
    start = len(MAGIC) + 4
    length = int.from_bytes(content[len(MAGIC) : start], "big")
    header = list(decode(content[start : start + length]))
    header[field] = value
    packed = encode(header)
    bad = tmp_path / "bad.backup"
    bad.write_bytes(MAGIC + len(packed).to_bytes(4, "big") + packed + content[start + length :])
    refused(bad, DataDir(tmp_path / "new"), match=match)


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0" * 10, MAGIC, MAGIC + b"\xff\xff\xff\xff"])
def test_what_is_no_backup_is_refused(content: bytes, tmp_path: Path) -> None:
    bad = tmp_path / "bad.backup"
    bad.write_bytes(content)
    refused(bad, DataDir(tmp_path / "new"))
    refused(tmp_path / "missing.backup", DataDir(tmp_path / "new"), match="No such file")


def sealed(path: Path, records: list[list[Any]]) -> Path:
    """A file that opens, with other things inside."""
    with new_file(path) as file:
        Sealer(file, PASSPHRASE, CHEAP, "mesh", 0).write(iter(records))
    return path


@pytest.mark.parametrize(
    ("records", "error"),
    [
        ([["about", 99]], SchemaTooNew),
        ([["about", 2]], BackupError),  # no root key
        ([["about", 2], ["wallet", b"x"]], BackupError),
        ([["about", 2], ["entries", 1]], BackupError),
        ([["about", 2], ["piece", "root"]], BackupError),
        ([["about", 2], ["piece", "root", 7]], BackupError),
        ([["about", 2], ["block", CID, 1]], BackupError),
        ([["about", 2], ["block", CID, 1, b"another block"]], BackupError),
        ([["about", 2], ["block", CID, 2, BLOCK]], BackupError),
        ([["about", 2], ["block", CID, 1, 7]], BackupError),
        ([["about", 2], ["block", [CID], 1, BLOCK]], BackupError),
        ([["about", 2], ["block", b"no CID", 1, BLOCK]], BackupError),
        ([["about", 2], ["block", CID, 0, BLOCK[:2]], ["block", CID[:-1] + b"x", 1, BLOCK[2:]]], BackupError),
        ([["about", 2], *[["block", CID, 0, bytes(1 << 18)]] * 9], BackupError),  # more than a block has
        ([["about", 2], ["piece", "root", bytes(32)], ["block", CID, 0, BLOCK]], BackupError),  # it does not end
        ([["about", 2], ["block", CID, 1, BLOCK]], BackupError),  # no root key
        ([["about", 0], ["audit", 1, b"", bytes(32)]], BackupError),
        ([["about", "2"]], BackupError),
        ([["about"]], BackupError),
        ([], BackupError),
    ],
)
def test_what_opens_but_makes_no_sense_leaves_no_device_behind(
    records: list[list[Any]], error: type[MycelError], tmp_path: Path
) -> None:
    target = DataDir(tmp_path / "new")
    with pytest.raises(error):
        restore(target, sealed(tmp_path / "odd.backup", records), PASSPHRASE, clock=CLOCK)
    assert not target.initialised()
    assert not list(target.path.glob(".*"))
    assert not target.blocks.exists()


async def test_a_restore_that_was_cut_short_can_be_repeated(
    source: tuple[DataDir, Initialised, bytes], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = DataDir(tmp_path / "new")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail)
        with pytest.raises(DataDirUnusable):
            restore(target, file, PASSPHRASE, clock=CLOCK)
    restore(target, file, PASSPHRASE, clock=CLOCK)
    assert await digest_of(target) == source[2]


async def test_a_restore_that_was_killed_can_be_repeated_at_once(file: Path, tmp_path: Path) -> None:
    target = DataDir(tmp_path / "new")
    target.create()
    for left in (".restoring.part-wal", ".restoring.part-shm", "..restoring.part.part-journal"):
        (target.path / left).write_bytes(b"half")
    restore(target, file, PASSPHRASE, clock=CLOCK)
    assert not list(target.path.glob(".*"))


def test_settings_that_lie_there_are_kept_aside(
    source: tuple[DataDir, Initialised, bytes], file: Path, tmp_path: Path
) -> None:
    target = DataDir(tmp_path / "new")
    target.create()
    target.config.write_text("# mine\n")
    aside = restore(target, file, PASSPHRASE, clock=CLOCK).config_aside
    assert aside == target.path / "config.toml.before-restore"
    assert aside.read_text() == "# mine\n"
    assert target.config.read_text() == source[0].config.read_text()
    leaving._remove(target)
    target.config.write_bytes(source[0].config.read_bytes())
    assert restore(target, file, PASSPHRASE, clock=CLOCK).config_aside is None


def test_who_paid_there_does_not_pay_here(source: tuple[DataDir, Initialised, bytes], tmp_path: Path) -> None:
    data, _, _ = source
    before = data.config.read_text()
    said = '[near]\nregistry = "registry.near" # mine\n{}account = "bob.near"\n'
    try:
        data.config.write_text(said.format(f'spender = "{"a" * 64}"\n'))
        made = create(data, PASSPHRASE, tmp_path / "x.backup", clock=CLOCK, strength=CHEAP).file
    finally:
        data.config.write_text(before)
    target = DataDir(tmp_path / "new")
    assert restore(target, made, PASSPHRASE, clock=CLOCK).spender == "a" * 64
    assert target.config.read_text() == said.format(""), "all else is as it was"


def test_who_paid_there_on_any_network_does_not_pay_here(
    source: tuple[DataDir, Initialised, bytes], tmp_path: Path
) -> None:
    data, _, _ = source
    before = data.config.read_text()
    said = '[near]\nnetwork = "testnet"\n[near.testnet]\n{}account = "fox.testnet"\n[near.mainnet]\n{}'
    try:
        data.config.write_text(said.format('spender = "fox.testnet"\n', f'spender = "{"b" * 64}"\n'))
        made = create(data, PASSPHRASE, tmp_path / "x.backup", clock=CLOCK, strength=CHEAP).file
    finally:
        data.config.write_text(before)
    target = DataDir(tmp_path / "new")
    assert restore(target, made, PASSPHRASE, clock=CLOCK).spender == "b" * 64, "the one that may have real money"
    assert target.config.read_text() == said.format("", "")


@pytest.mark.parametrize(
    "content", [b"", b"near = 7\n", b"[near\n", b"\xff", b"[near]\naccount = 'x'\n", b"near.spender.x = 1\n"]
)
def test_a_config_that_names_nobody_stays_as_it_is(content: bytes) -> None:
    kept, spender = taken_out(content, "near.spender")
    assert (kept, spender) == (content, None) or isinstance(spender, dict)


def test_a_last_chunk_that_claims_to_be_longer_is_refused(file: Path, tmp_path: Path) -> None:
    content = bytearray(file.read_bytes())
    place = len(MAGIC)
    place += 4 + int.from_bytes(content[place : place + 4], "big")
    while (after := place + 4 + int.from_bytes(content[place : place + 4], "big")) < len(content):
        place = after
    content[place : place + 4] = (after - place - 4 + 1).to_bytes(4, "big")
    (tmp_path / "bad.backup").write_bytes(content)
    refused(tmp_path / "bad.backup", DataDir(tmp_path / "new"))


def test_what_a_killed_backup_left_goes_with_the_next_and_what_is_being_written_stays(
    source: tuple[DataDir, Initialised, bytes],
) -> None:
    data, _, _ = source
    data.backups.mkdir(exist_ok=True)
    old, new = (data.backups / f".mycel-x.backup.{name}.part" for name in ("old", "new"))
    for part in (old, new):
        part.touch()
    os.utime(old, (1_700_000_000, 1_700_000_000))
    create(data, PASSPHRASE, clock=CLOCK, strength=CHEAP).file.unlink()
    assert list(data.backups.iterdir()) == [new]
    new.unlink()


# --- writing it ------------------------------------------------------------------------------------------------------


async def test_it_is_private_listed_and_never_overwritten(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "a")
    with pytest.raises(NotInitialised):
        create(data, PASSPHRASE, clock=CLOCK, strength=CHEAP)
    assert list_backups(data) == []
    made = await joining.init_mesh(data, "fox", clock=CLOCK)
    first = create(data, PASSPHRASE, clock=CLOCK, strength=CHEAP)
    assert stat.S_IMODE(first.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(data.backups.stat().st_mode) == 0o700
    assert (first.mesh, first.size) == (made.mesh, first.file.stat().st_size)
    (data.backups / "noise.backup").write_bytes(b"noise")
    assert list_backups(data) == [first]
    content = first.file.read_bytes()
    with pytest.raises(BackupError, match="exists already"):
        create(data, PASSPHRASE, first.file, clock=CLOCK, strength=CHEAP)
    assert first.file.read_bytes() == content
    with pytest.raises(BackupError, match="at least 8"):
        create(data, "short", clock=CLOCK, strength=CHEAP)
    with pytest.raises(DataDirUnusable):
        create(data, PASSPHRASE, tmp_path / "no" / "such" / "folder.backup", clock=CLOCK, strength=CHEAP)


async def test_a_write_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataDir(tmp_path / "a")
    await joining.init_mesh(data, "fox", clock=CLOCK)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(MycelError, match="disk is full"):
            create(data, PASSPHRASE, tmp_path / "x.backup", clock=CLOCK, strength=CHEAP)
    assert os.listdir(tmp_path) == ["a"]


async def test_a_damaged_key_does_not_keep_a_backup_from_being_made(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "a")
    await joining.init_mesh(data, "fox", clock=CLOCK)
    data.device_key.write_bytes(b"rubbish")
    with pytest.raises(KeyFileError):
        await digest_of(data)
    made = create(data, PASSPHRASE, clock=CLOCK, strength=CHEAP)
    restore(DataDir(tmp_path / "b"), made.file, PASSPHRASE, clock=CLOCK)
