"""Files, folders and CARs: ours are Kubo's and Helia's, bit for bit, and theirs are read here."""

from __future__ import annotations

import io
import random
import subprocess
from pathlib import Path

import pytest

from mycelnode.errors import CarRefused
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.car import export_car, import_car
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.folders import read_folder, write_folder
from mycelnode.patterns.unixfs import read_file, write_file
from tests.peers.helia import Helia
from tests.peers.kubo import Kubo

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 256 * KIB, 256 * KIB + 1, MIB, MIB + 1, 10 * MIB]
V1_2025 = ("--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024")
FILES = {
    "SKILL.md": b"# How to",
    "empty": b"",
    "with space and é": bytes(3 * MIB),
    "references/one.txt": b"one",
    "references/deeper/two.bin": bytes(range(256)) * 8 * KIB,
}


@pytest.fixture
def store(tmp_path: Path) -> Blockstore:
    return Blockstore(tmp_path / "blocks", 256 * MIB)


def some(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def write(data: bytes, store: Blockstore) -> Cid:
    return write_file(io.BytesIO(data), store.put).cid


def read(cid: Cid, store: Blockstore) -> bytes:
    return b"".join(read_file(cid, store.get, 64 * MIB))


@pytest.mark.parametrize("size", SIZES)
def test_a_file_has_the_cid_that_kubo_and_helia_give_it(
    a_kubo: Kubo, a_helia: Helia, store: Blockstore, size: int
) -> None:
    data = some(size)
    ours = write(data, store)
    assert str(ours) == a_kubo.add(data, "--only-hash", *V1_2025)
    assert str(ours) == a_helia.add(data)
    assert read(ours, store) == data


@pytest.mark.parametrize(("part_bytes", "node_links", "size"), [(1024, 1024, 2 * MIB + 1), (512, 8, 300 * KIB)])
def test_a_file_of_many_levels_has_the_cid_that_kubo_gives_it(
    a_kubo: Kubo, store: Blockstore, part_bytes: int, node_links: int, size: int
) -> None:
    data = some(size)
    ours = write_file(io.BytesIO(data), store.put, part_bytes=part_bytes, node_links=node_links).cid
    options = (f"--chunker=size-{part_bytes}", f"--max-file-links={node_links}")
    assert str(ours) == a_kubo.add(data, "--only-hash", "--cid-version=1", "--raw-leaves", *options)


def make_folder(folder: Path) -> None:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "nothing in it").mkdir()


def test_a_folder_has_the_cid_that_kubo_gives_it(a_kubo: Kubo, store: Blockstore, tmp_path: Path) -> None:
    make_folder(tmp_path / "skill")
    ours = write_folder({**FILES, "nothing in it": None}, store.put).cid
    assert str(ours) == a_kubo.add(tmp_path / "skill", "--only-hash", *V1_2025)


@pytest.mark.parametrize(
    "options", [("--cid-version=1",), ("--cid-version=0",), ("--cid-version=1", "--trickle"), V1_2025]
)
def test_what_kubo_writes_is_read(a_kubo: Kubo, store: Blockstore, tmp_path: Path, options: tuple[str, ...]) -> None:
    data = some(50 * MIB if options == ("--cid-version=1",) else 3 * MIB)  # 200 chunks are more than the 174 of a node
    (root,) = import_car(io.BytesIO(a_kubo.dag_export(a_kubo.add(data, *options))), store)
    assert read(root, store) == data
    make_folder(tmp_path / "skill")
    (root,) = import_car(io.BytesIO(a_kubo.dag_export(a_kubo.add(tmp_path / "skill", *options))), store)
    found = read_folder(root, store.get)
    assert found.pop("nothing in it") is None
    assert {name: cid and read(cid, store) for name, cid in found.items()} == FILES


def test_a_car_of_ours_is_kubos_and_is_imported_there(two_kubos: tuple[Kubo, Kubo], store: Blockstore) -> None:
    kubo, _ = two_kubos
    ours = write_folder({**FILES, "mine": b"ours alone"}, store.put).cid
    car = io.BytesIO()
    assert export_car(store, [ours], car) == 11  # each block once, also where a file repeats it
    assert not kubo.holds(str(ours))
    assert kubo.dag_import(car.getvalue()) == [str(ours)]
    assert kubo.cat(f"/ipfs/{ours}/references/one.txt") == b"one"
    assert kubo.dag_export(str(ours)) == car.getvalue()


def test_a_car_that_was_changed_is_refused_here_and_there(a_kubo: Kubo, store: Blockstore) -> None:
    car = bytearray(a_kubo.dag_export(a_kubo.add(some(2 * MIB + 5), *V1_2025)))
    car[-1] ^= 1
    before, usage = write(b"what was there", store), store.usage
    with pytest.raises(CarRefused):
        import_car(io.BytesIO(car), store)
    assert store.usage == usage
    assert store.has(before)
    assert store.pins() == set()
    with pytest.raises(subprocess.CalledProcessError):
        a_kubo.dag_import(bytes(car))
