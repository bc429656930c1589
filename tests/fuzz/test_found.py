"""What fuzzing, and reading the code for it, has found: one example each, so that it stays found. Faults of one module stand with
that module's tests (`tests/test_encoding.py`, `tests/crdt/test_document.py`)."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
import trio

from mycelnode import backup, checkpoints, logstore
from mycelnode.backup_blocks import putting_back
from mycelnode.clock import SystemClock
from mycelnode.commands import device_name
from mycelnode.config import MAX_DOTS, MAX_FILE_BYTES, Settings
from mycelnode.crdt.operations import map_put
from mycelnode.crdt.statements import ENROL
from mycelnode.encoding import blake2b, encode, peer_id
from mycelnode.errors import ConfigError, DatabaseDamaged, EncodingError
from mycelnode.identity import Identity
from mycelnode.joining import init_mesh, join_mesh
from mycelnode.mesh import NAMES, open_mesh
from mycelnode.paths import DataDir
from mycelnode.patterns import dagcbor
from mycelnode.protobuf import varint
from mycelnode.protocols.pairing import Invite
from mycelnode.status import status
from tests.fuzz.guard import traced
from tests.fuzz.targets import TARGETS, folder
from tests.node.nodes import folder as new_folder
from tests.patterns.contents import node, raw


@pytest.mark.parametrize("header", ["81818181818180", "1a00010000", "a201022080", "83a0a0a0", "83004083a1408000"])
def test_a_checkpoint_with_a_header_of_another_shape_is_malformed_and_no_crash(header: str) -> None:
    packed = bytes.fromhex(header)
    with pytest.raises(EncodingError):
        checkpoints.read_header(blake2b(packed) + packed)
    TARGETS["checkpoint"].feed(packed)


def test_a_setting_nested_a_thousand_deep_is_refused_with_a_sentence() -> None:
    folder().config.write_text(".".join("a" * 1200) + " = 1")
    with pytest.raises(ConfigError):
        Settings(folder(), environ={})


def test_a_name_of_thousands_of_parts_in_the_settings_is_refused_before_it_is_taken_apart() -> None:
    """tomllib keeps each part with all before it: a file of 200 KB, a fifth of what is allowed, took all memory there was."""
    folder().config.write_text("a." * (MAX_DOTS + 1) + "a = 1")
    with pytest.raises(ConfigError, match="dots"):  # without the cure it says that there is no such setting
        Settings(folder(), environ={})


@pytest.mark.parametrize("dots", [200, 2000])
def test_many_names_of_many_parts_in_the_settings_are_refused_before_they_take_memory(dots: int) -> None:
    """Lines of 2,000 dots, less than was allowed, took 4 GB for a file of 1 MiB; here it would be 100 MB for 24 KB."""
    line = b"a." * dots + b"a = 1\n"
    lines = b"".join(b"a%d." % number + line for number in range(12_000 // dots))
    with traced():
        assert not TARGETS["config.toml"].feed_within_memory(lines)
    with pytest.raises(ConfigError, match="dots"):
        Settings(folder(), environ={})


@pytest.mark.parametrize(
    "line",
    [
        'user.x = "{}"',
        "user.x = '{}'",
        'user.x = """{}"""',
        "user.x = '''{}'''",
        'user.x = "\\"{}\\\\" # it\'s',
        'user.x = """"{}\\""""',
        "user.x = 1 # it's \"{}",
        "user.y = '\"{0}'\nuser.x = \"'{0}\"",
    ],
)
def test_dots_in_texts_and_comments_are_no_parts_of_names(line: str) -> None:
    name = "\nuser." + "a." * MAX_DOTS + "a = 1"
    folder().config.write_text(line.format("." * 1000))
    assert Settings(folder(), environ={}).get("user.x")
    folder().config.write_text(line.format("." * 1000) + name)
    with pytest.raises(ConfigError, match="dots"):
        Settings(folder(), environ={})


def test_texts_that_do_not_end_cost_no_more_than_others() -> None:
    for part in (b'"\\"', b"'", b'"', b'"""x', b"#'\n", b'"\\\n', b"\\"):
        TARGETS["config.toml"].feed((part * MAX_FILE_BYTES)[:MAX_FILE_BYTES])


def test_a_backup_of_many_small_pieces_costs_no_more_than_one_of_few(tmp_path: Path) -> None:
    """All the lengths so far were added up for each piece: a chunk of 60,000 of them took hours."""
    records = [["piece", number, b""] for number in range(60_000)]
    records += [["block", bytes(36), 0, bytes(number % 2)] for number in range(60_000)]
    started = time.process_time()
    with putting_back(tmp_path / "blocks", 1 << 20) as restoring:
        backup._load(sqlite3.connect(":memory:"), iter(records), restoring)
    assert time.process_time() - started < 5


def test_a_car_whose_blocks_reach_each_other_costs_no_more_than_another() -> None:
    """The target makes each block a root. Each root was made durable with all that it reaches."""
    chain = [raw("end")]
    while len(chain) < 200:
        chain.append(node(chain[-1][0]))
    parts = [dagcbor.encode({"roots": [chain[-1][0]], "version": 1}), *(cid.binary + block for cid, block in chain)]
    assert TARGETS["car"].feed(b"".join(varint(len(part)) + part for part in parts))


async def test_a_join_goes_on_over_a_damaged_mark_of_an_earlier_one(tmp_path: Path) -> None:
    data = new_folder(tmp_path, "new")
    data.joining.write_bytes(b"\xff\xfe\x00")
    nowhere = Invite(bytes(32), Identity(bytes(32)).device, ("/ip4/127.0.0.1/tcp/1",), bytes(16), 1 << 40)
    with trio.move_on_after(1):  # it looks for the inviter for a while
        await join_mesh(data, str(nowhere), None, clock=SystemClock())
    assert data.joining.read_text() == str(nowhere)


@pytest.mark.parametrize("name", [5, b"bytes", "x" * 2000, ""])
async def test_a_device_enrolled_under_an_odd_name_can_be_shown(tmp_path: Path, name: object) -> None:
    """`status` and `devices` of everybody ended in an error as soon as one member had signed such a statement."""
    async with _open(await _initialised(tmp_path)) as laptop:
        odd = bytes(range(32))
        await laptop.commit(lambda replica: replica.declare(ENROL, odd, None, {"name": name}, laptop.now()))
        assert 0 < len(device_name(laptop, odd)) <= 64
        assert len(status(laptop)["devices"]) == 2
        await laptop.write([map_put(NAMES, peer_id(odd), "y" * 200_000)])
        assert device_name(laptop, odd) == "y" * 64


@pytest.mark.parametrize(("fact", "value"), [("clock", 1.5), ("clock", "x")])
async def test_a_fact_of_another_kind_is_damage(tmp_path: Path, fact: str, value: object) -> None:
    """A clock that a failing disk had made a float went into every entry written from then on."""
    data = await _initialised(tmp_path)
    async with _open(data) as laptop:
        await laptop.database.write(lambda connection: logstore.save_fact(connection, fact, encode(value)))
    with pytest.raises(DatabaseDamaged):
        async with _open(data):
            pass


async def _initialised(tmp_path: Path) -> DataDir:
    data = new_folder(tmp_path, "laptop")
    await init_mesh(data, "laptop", clock=SystemClock())
    return data


def _open(data: DataDir):  # type: ignore[no-untyped-def]
    return open_mesh(data, clock=SystemClock())
