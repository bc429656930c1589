"""CAR files: those of a real Kubo, any DAG there and back, and files that lie, which leave the store as it was."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.errors import BlockMissing, CarRefused, DiskFull, StoreFull
from mycelnode.patterns import car, dagcbor
from mycelnode.patterns.blockfiles import DISK_UNIT
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.car import export_car, import_car
from mycelnode.patterns.cid import DAG_CBOR, RAW, Cid
from mycelnode.patterns.folders import read_folder
from mycelnode.patterns.unixfs import read_file, write_file
from mycelnode.protobuf import varint
from tests.patterns.contents import PLENTY, content, files, kubos, node, raw

CARS = Path(__file__).parent / "cars"


@pytest.fixture
def store(tmp_path: Path) -> Blockstore:
    return Blockstore(tmp_path / "store", PLENTY)


def header(*roots: Cid, version: Any = 1, **more: Any) -> bytes:
    made = dagcbor.encode({"roots": list(roots), "version": version, **more})
    return varint(len(made)) + made


def section(cid: Cid | bytes, block: bytes) -> bytes:
    name = cid if isinstance(cid, bytes) else cid.binary
    return varint(len(name) + len(block)) + name + block


def exported(store: Blockstore, *roots: Cid, **how: Any) -> bytes:
    to = io.BytesIO()
    export_car(store, roots, to, **how)
    return to.getvalue()


# --- there and back ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kubo-file-trickle", "kubo-folder", "kubo-folder-sharded", "kubo-file-v0"])
def test_a_car_of_kubo_is_taken_and_written_just_so(store: Blockstore, name: str) -> None:
    root, blocks = kubos(name)
    with (CARS / f"{name}.car").open("rb") as file:
        assert import_car(file, store) == [root]
    assert {cid: store.get(cid) for cid in blocks} == blocks
    assert store.pins() == {root}
    assert store.missing(root) == []
    if name != "kubo-file-v0":  # whose names of blocks we don't write
        assert exported(store, root) == (CARS / f"{name}.car").read_bytes()


def test_what_is_in_a_car_of_kubo_can_be_read(store: Blockstore) -> None:
    for name in ("kubo-file-v0", "kubo-folder"):
        import_car(io.BytesIO((CARS / f"{name}.car").read_bytes()), store)
    assert b"".join(read_file(kubos("kubo-file-v0")[0], store.get, 1000)) == content(1000)
    assert set(read_folder(kubos("kubo-folder")[0], store.get)) >= {"SKILL.md", "scripts/run.py"}


@st.composite
def _dags(draw: st.DrawFn) -> list[tuple[Cid, bytes]]:
    blocks: list[tuple[Cid, bytes]] = []
    for number in range(draw(st.integers(1, 12))):
        links = draw(st.lists(st.sampled_from(blocks), max_size=4)) if blocks else []
        blocks.append(node(*(cid for cid, _ in links), said=number) if links else raw(f"{number}"))
    return blocks


@settings(max_examples=40, deadline=None)
@given(_dags(), st.randoms())
def test_any_dag_goes_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[tuple[Cid, bytes]], random: Any
) -> None:
    folder = tmp_path_factory.mktemp("dag")
    ours, theirs = Blockstore(folder / "ours", PLENTY), Blockstore(folder / "theirs", PLENTY)
    ours.put_many(blocks)
    root = blocks[-1][0]
    written = exported(ours, root)
    assert import_car(io.BytesIO(written), theirs) == [root]
    reached = set(ours.reachable([root]))
    assert set(theirs.reachable([root])) == reached
    assert {cid for cid, _ in blocks if theirs.has(cid)} == reached
    assert exported(theirs, root) == written
    # blocks may stand in any order, more than once, and others beside them
    sections = [section(cid, block) for cid, block in blocks for _ in range(2)]
    random.shuffle(sections)
    third = Blockstore(folder / "third", PLENTY)
    import_car(io.BytesIO(header(root) + b"".join(sections)), third)
    assert {cid for cid, _ in blocks if third.has(cid)} == reached
    assert exported(third, root) == written


def test_several_roots_and_what_is_not_complete(store: Blockstore, tmp_path: Path) -> None:
    leaf, absent = raw("leaf"), raw("absent")
    one, two = node(leaf[0], absent[0]), node(leaf[0], said=2)
    store.put_many([leaf, one, two])
    with pytest.raises(BlockMissing, match=str(absent[0])):
        exported(store, one[0], two[0])
    with pytest.raises(BlockMissing, match=str(absent[0])):
        exported(store, absent[0], partial=True)
    written = exported(store, one[0], two[0], partial=True)
    other = Blockstore(tmp_path / "other", PLENTY)
    file = io.BytesIO(b"before it" + written)
    file.seek(9)
    assert import_car(file, other) == [one[0], two[0]]
    assert other.pins() == {one[0], two[0]}
    assert other.missing(one[0]) == [absent[0]]
    with pytest.raises(CarRefused, match="at least one root"):
        exported(store)


def test_a_part_that_is_reached_through_a_block_that_is_here_is_kept(store: Blockstore) -> None:
    leaf = raw("leaf")
    middle = node(leaf[0])
    root = node(middle[0])
    store.put(*middle)
    import_car(io.BytesIO(header(root[0]) + section(*root) + section(*leaf)), store)
    assert store.missing(root[0]) == []


# --- files that lie ----------------------------------------------------------------------------------------------------------

A, B = raw("a"), raw("b")
SHA512 = b"\x01\x55\x13\x40" + bytes(64)
HUGE = node(*(raw(f"{number}")[0] for number in range(5000)))
LYING = {
    "nothing": (b"", "empty"),
    "no CAR": (b"GIF89a" * 100, "no CAR"),
    "text": (b"# A skill\n", "cut off|no CAR"),
    "a length without end": (b"\x80" * 20, "no end"),
    "a length of 65 bits": (b"\xff" * 9 + b"\x7f", "no CAR"),
    "a header far too long": (varint(1 << 40) + b"x", "more than"),
    "a header cut off": (header(A[0])[:-1], "cut off"),
    "a header that is a list": (varint(2) + b"\x81\x01", "no version"),
    "a header without a version": (varint(len(h := cbor2.dumps({"roots": []}))) + h, "no version"),
    "version 2": (bytes.fromhex("0aa16776657273696f6e02") + bytes(40), "version 2"),
    "a version that is text": (header(A[0], version="1") + section(*A), "no version"),
    "no roots": (header() + section(*A), "names no root"),
    "too many roots": (header(*[A[0]] * 1001) + section(*A), "names no root, or more"),
    "roots that are text": (varint(len(h := dagcbor.encode({"roots": ["a"], "version": 1}))) + h, "a kind that is not used"),
    "a root of another hash": (
        varint(len(h := cbor2.dumps({"roots": [cbor2.CBORTag(42, b"\0" + SHA512)], "version": 1}))) + h,
        "a kind that is not used",
    ),
    "a missing root": (header(A[0]) + section(*B), f"the root {A[0]}, and does not have it"),
    "one root of two missing": (header(B[0], A[0]) + section(*B), f"the root {A[0]}, and does not have it"),
    "no blocks": (header(A[0]), "does not have it"),
    "a lying root": (header(A[0]) + section(A[0], b"b"), f"for block {A[0]} are not that block"),
    "a lying block": (header(A[0]) + section(*A) + section(B[0], b"a"), f"for block {B[0]} are not that block"),
    "a root twice, once a lie": (header(A[0]) + section(*A) + section(A[0], b"b"), "are not that block"),
    "a block cut off": ((header(A[0]) + section(*A))[:-1], "cut off"),
    "a length cut off": (header(A[0]) + section(*A) + b"\x80", "cut off"),
    "a block of another hash": (header(A[0]) + section(*A) + section(SHA512, b"x"), "hash 0x13"),
    "a block of another codec": (
        header(A[0]) + section(*A) + section(b"\x01\x80\x04\x12\x20" + bytes(32), b"{}"), "codec 0x200",
    ),
    "a block inside its CID": (header(A[0]) + section(*A) + section(b"\x01\x55\x00\x01a", b""), "hash 0x0"),
    "a block without a CID": (header(A[0]) + section(*A) + section(b"\x02" * 40, b""), "without a CID"),
    "a section of nothing": (header(A[0]) + section(*A) + b"\x00", "can't be read"),
    "a CID cut off": (header(A[0]) + section(*A) + section(A[0].binary[:-1], b""), "can't be read"),
    "a section too large": (header(A[0]) + section(*A) + varint(1 << 40), "more than"),
    "a block too large": (
        header(A[0]) + section(*A) + section(Cid.of(RAW, bytes((2 << 20) + 1)), bytes((2 << 20) + 1)), "larger than",
    ),
    "a block that is no DAG-CBOR": (
        header(A[0]) + section(*A) + section(Cid.of(DAG_CBOR, b"\xd8\x2a\xff"), b"\xd8\x2a\xff"), "can't be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("lie", "sentence"), LYING.values(), ids=LYING.keys())
def test_a_car_that_lies_is_refused_in_a_sentence_and_leaves_all_as_it_was(
    store: Blockstore, lie: bytes, sentence: str
) -> None:
    store.put(*raw("was here"))
    store.pin(raw("was here")[0])
    before = files(store)
    with pytest.raises(CarRefused, match=sentence):
        import_car(io.BytesIO(lie), store)
    assert files(store) == before
    assert store.pins() == {raw("was here")[0]}


def test_more_blocks_or_links_than_a_car_may_have(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(car, "MAX_BLOCKS", 10)
    ten = header(A[0]) + section(*A) * 10
    assert import_car(io.BytesIO(ten), store) == [A[0]]
    with pytest.raises(CarRefused, match="at most 10 blocks"):
        import_car(io.BytesIO(ten + section(*A)), store)
    monkeypatch.setattr(car, "MAX_LINKS", 4999)
    with pytest.raises(CarRefused, match="4,999 links"):
        import_car(io.BytesIO(header(HUGE[0]) + section(*HUGE)), store)
    chain = [raw("end")]
    for _ in range(10):
        chain.append(node(chain[-1][0]))
    store.put_many(chain)
    with pytest.raises(CarRefused, match="do not go into one CAR"):
        exported(store, chain[-1][0])
    store.put(*HUGE)
    with pytest.raises(CarRefused, match="do not go into one CAR"):
        exported(store, HUGE[0], partial=True)


def test_a_car_for_which_there_is_no_room_drives_nothing_out(tmp_path: Path) -> None:
    big, small = Blockstore(tmp_path / "big", PLENTY), Blockstore(tmp_path / "small", 8 * DISK_UNIT)
    root = write_file([content(6000)], big.put, part_bytes=1000).cid
    pinned, cached = raw("pinned"), raw("cached")
    written = exported(big, root)
    small.put_many([pinned, cached, *(raw(f"{number}") for number in range(6))])
    small.pin(pinned[0])
    small.pin(cached[0])
    before = files(small)
    with pytest.raises(StoreFull):
        import_car(io.BytesIO(written), small)
    assert files(small) == before
    small.unpin(cached[0])
    import_car(io.BytesIO(written), small)
    assert small.missing(root) == []
    assert small.has(pinned[0])
    assert not small.has(cached[0])
    assert small.usage == small.quota


def test_many_roots_that_reach_the_same_are_read_once(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each root was made durable with all that it reaches: a file of 200 KB took three minutes, for the one who takes it."""
    chain = [raw("end")]
    for _ in range(99):
        chain.append(node(chain[-1][0]))
    reads = list[Cid]()
    get = store.get

    def counting(cid: Cid) -> bytes | None:
        reads.append(cid)
        return get(cid)

    monkeypatch.setattr(store, "get", counting)
    roots = [cid for cid, _ in chain]
    assert import_car(io.BytesIO(header(*roots) + b"".join(section(*block) for block in chain)), store) == roots
    assert store.pins() == set(roots)
    assert len(reads) <= 3 * len(chain)  # when it comes, and when it is pinned


def test_a_file_that_changes_while_it_is_read_leaves_all_as_it_was(store: Blockstore) -> None:
    """Between the look through it and the keeping."""
    written = header(B[0], A[0]) + section(*A) + section(*B)

    class Changing(io.BytesIO):
        def seek(self, *where: int) -> int:
            self.getbuffer()[-1] ^= 1
            return super().seek(*where)

    store.pin(B[0])
    before = files(store)
    with pytest.raises(CarRefused, match="changed"):
        import_car(Changing(written), store)
    assert files(store) == before
    assert store.pins() == {B[0]}


def test_a_disk_that_fails_at_the_pins_leaves_all_as_it_was(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    pin_many = store.pin_many

    def failing(cids: Sequence[Cid]) -> None:
        pin_many(cids)
        raise DiskFull

    store.put(*raw("was here"))
    before = files(store)
    monkeypatch.setattr(store, "pin_many", failing)
    with pytest.raises(DiskFull):
        import_car(io.BytesIO(header(A[0], B[0]) + section(*A) + section(*B)), store)
    assert files(store) == before
    assert store.pins() == set()


@given(st.binary(max_size=200), st.integers(0, 200))
def test_noise_in_a_car_is_refused_or_changes_nothing_of_what_is_kept(noise: bytes, place: int) -> None:
    """Only what is looked through: nothing is kept before that."""
    good = header(A[0]) + section(*A) + section(*B)
    place = min(place, len(good))
    try:
        roots, found = car._look_through(io.BytesIO(good[:place] + noise + good[place:]))
    except CarRefused:
        return
    assert set(roots) <= set(found)
