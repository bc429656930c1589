"""The store of blocks: what it was given it has, what is pinned stays, and what a crash or a disk broke is never served."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.errors import BlockRefused, DiskFull, MycelError, StoreFull
from mycelnode.patterns import blockfiles, dagpb
from mycelnode.patterns.blockfiles import DISK_UNIT, cost
from mycelnode.patterns.blockstore import USED_AFTER_NS, Blockstore
from mycelnode.patterns.cid import DAG_CBOR, DAG_PB, RAW, Cid
from mycelnode.patterns.unixfs import write_file
from tests.patterns.contents import PLENTY, files, node, raw


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        self.now += USED_AFTER_NS
        return self.now


def store_of(folder: Path, quota: int = PLENTY) -> Blockstore:
    return Blockstore(folder / "store", quota, now_ns=Clock())


@pytest.fixture
def store(tmp_path: Path) -> Blockstore:
    return store_of(tmp_path)


def the_file(store: Blockstore, cid: Cid) -> Path:
    (path,) = (store.folder / "blocks").rglob(str(cid))
    return path


# --- in and out --------------------------------------------------------------------------------------------------------------


def test_what_is_put_is_there_also_for_the_next_who_opens_it(store: Blockstore) -> None:
    for cid, block in (raw(""), raw("a"), node(), (Cid.of(DAG_PB, b""), b"")):
        assert not store.has(cid)
        assert (store.get(cid), store.size(cid)) == (None, None)
        assert store.put(cid, block)
        assert not store.put(cid, block)
        for each in (store, Blockstore(store.folder, PLENTY)):
            assert (each.get(cid), each.size(cid), each.has(cid)) == (block, len(block), True)
            assert each.usage == store.usage


def test_nobody_else_can_look_at_it(store: Blockstore) -> None:
    store.put(*raw("a"))
    store.pin(raw("a")[0])
    for path in (store.folder, *store.folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


LARGEST = bytes(2 << 20)
REFUSED = {
    "another block": (Cid.of(RAW, b"a"), b"b"),
    "another block of the same links": (Cid.of(DAG_PB, b""), b"\x0a\x00"),
    "too large": (Cid.of(RAW, LARGEST + b"a"), LARGEST + b"a"),
    "a node that is none": (Cid.of(DAG_PB, b"\xff"), b"\xff"),
    "links that can't be read": (Cid.of(DAG_CBOR, b"\xd8\x2a\x41a"), b"\xd8\x2a\x41a"),
}


@pytest.mark.parametrize(("cid", "block"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_block_changes_nothing(store: Blockstore, cid: Cid, block: bytes) -> None:
    store.put(*raw("here"))
    before = files(store)
    with pytest.raises(BlockRefused):
        store.put(cid, block)
    with pytest.raises(BlockRefused):
        store.put_many([raw("first"), (cid, block), raw("last")])
    assert files(store) == before
    assert store.usage == Blockstore(store.folder, PLENTY).usage == cost(4)


def test_the_largest_block_is_taken(store: Blockstore) -> None:
    cid = Cid.of(RAW, LARGEST)
    store.put(cid, LARGEST)
    assert store.get(cid) == LARGEST


@pytest.mark.parametrize(
    "damage", [b"", b"torn", b"a" * 5000, bytes(3 << 20)], ids=["empty", "torn", "longer", "far longer"]
)
def test_a_damaged_block_is_not_served_and_said_once(
    store: Blockstore, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cid, block = raw("whole and right")
    store.put(cid, block)
    store.pin(cid)
    the_file(store, cid).write_bytes(damage)
    store = Blockstore(store.folder, PLENTY)
    with caplog.at_level(logging.WARNING):
        assert store.get(cid) is None
        assert store.get(cid) is None
    assert [str(cid) in record.getMessage() for record in caplog.records] == [True]
    assert not store.has(cid)
    assert store.missing(cid) == [cid]
    assert store.usage == 0
    assert [path.read_bytes() for path in (store.folder / "damaged").iterdir()] == [damage]
    assert store.put(cid, block)
    assert store.get(cid) == block


def test_a_pin_finds_what_the_power_took_before_it_promises_anything(store: Blockstore) -> None:
    leaves = [raw(f"leaf {number}") for number in range(3)]
    root = node(*(cid for cid, _ in leaves))
    store.put_many([*leaves, root])
    the_file(store, leaves[1][0]).write_bytes(b"")
    store = Blockstore(store.folder, PLENTY)
    assert store.missing(root[0]) == []
    store.pin(root[0])
    assert store.missing(root[0]) == [leaves[1][0]]


def test_a_damaged_block_that_comes_again_takes_its_place(store: Blockstore) -> None:
    cid, block = raw("whole")
    store.put(cid, block)
    the_file(store, cid).write_bytes(b"torn.")
    assert store.put(cid, block)
    assert store.get(cid) == block
    assert store.usage == cost(len(block))


def test_damaged_files_do_not_pile_up(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockfiles, "MAX_DAMAGED", 3)
    for number in range(5):
        cid, block = raw(f"{number}")
        store.put(cid, block)
        the_file(store, cid).write_bytes(b"x")
        assert store.get(cid) is None
    assert len(list((store.folder / "damaged").iterdir())) == 3
    assert store.usage == 0


def test_a_disk_that_fails_says_so(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    before = files(store)
    monkeypatch.setattr("mycelnode.patterns.blockfiles.os.utime", broken)
    with pytest.raises(MycelError, match="disk is full"):
        store.put(*raw("a"))
    assert files(store) == before
    assert store.usage == 0


def test_what_does_not_belong_there_is_left_alone(store: Blockstore) -> None:
    store.put(*raw("a"))
    (store.folder / "blocks" / ".DS_Store").write_bytes(b"x")
    (the_file(store, raw("a")[0]).parent / "notes.txt").write_bytes(b"x")
    (store.folder / "pins" / "README").write_bytes(b"x")
    (store.folder / "writing" / "7").write_bytes(b"left over by a crash")
    again = Blockstore(store.folder, 0)
    assert again.usage == cost(1)
    assert again.pins() == set()
    assert again.collect() == cost(1)
    assert {path.name for path in store.folder.rglob("*") if path.is_file()} == {".DS_Store", "notes.txt", "README"}


# --- what is below -----------------------------------------------------------------------------------------------------------


def test_links_are_those_of_the_codec(store: Blockstore) -> None:
    leaf, other = raw("leaf"), raw("other")
    block = dagpb.encode(dagpb.Node((dagpb.Link(leaf[0], "a"), dagpb.Link(other[0], "b"), dagpb.Link(leaf[0], "c"))))
    pb = Cid.of(DAG_PB, block), block
    cbor = node(pb[0], leaf[0], pb[0])
    store.put_many([pb, cbor, leaf])
    for each in (store, Blockstore(store.folder, PLENTY)):
        assert each.links(pb[0]) == (leaf[0], other[0])
        assert each.links(cbor[0]) == (pb[0], leaf[0])
        assert each.links(leaf[0]) == each.links(other[0]) == ()
        assert set(each.reachable([cbor[0]])) == {cbor[0], pb[0], leaf[0]}
        assert each.missing(cbor[0]) == [other[0]]
        assert each.missing(other[0]) == [other[0]]


def test_what_is_missing_is_told_in_portions(store: Blockstore) -> None:
    absent = [raw(f"{number}")[0] for number in range(50)]
    root = node(*absent)
    store.put(*root)
    assert store.missing(root[0], 20) == absent[:20]
    assert store.missing(root[0]) == absent


def test_very_deep_and_very_wide_are_walked(store: Blockstore) -> None:
    blocks = [raw("end")]
    for _ in range(3000):
        blocks.append(node(blocks[-1][0]))
    wide = [raw(f"{number}") for number in range(2000)]
    blocks += [*wide, node(*(cid for cid, _ in wide), blocks[-1][0])]
    store.put_many(blocks)
    root = blocks[-1][0]
    store.pin(root)
    store.quota = 0
    assert store.collect() == 0
    assert set(store.reachable([root])) == {cid for cid, _ in blocks}
    store.unpin(root)
    assert store.collect() > 0
    assert store.usage == 0


def test_ways_through_a_dag_are_not_counted_each(store: Blockstore) -> None:
    """Forty levels of two ways each: a trillion ways."""
    below = raw("end")
    store.put(*below)
    for number in range(40):
        left, right = node(below[0], said=f"left {number}"), node(below[0], said=f"right {number}")
        below = node(left[0], right[0])
        store.put_many([left, right, below])
    assert len(list(store.reachable([below[0]]))) == 121
    assert store.missing(below[0]) == []


# --- pins and room -----------------------------------------------------------------------------------------------------------


def filled(store: Blockstore, count: int) -> list[Cid]:
    cids = []
    for number in range(count):
        cid, block = raw(f"cached {number}")
        store.put(cid, block)
        cids.append(cid)
    return cids


def here(store: Blockstore, cids: list[Cid]) -> list[bool]:
    return [store.has(cid) for cid in cids]


def test_the_least_recently_used_goes_first_and_no_more_than_needed(tmp_path: Path) -> None:
    store = store_of(tmp_path, 5 * DISK_UNIT)
    cids = filled(store, 5)
    assert store.get(cids[0]) is not None
    store.put(*raw("new"))
    assert here(store, cids) == [True, False, True, True, True]
    assert store.get(cids[2]) is not None
    store.put(Cid.of(RAW, bytes(5000)), bytes(5000))
    assert here(store, cids) == [True, False, True, False, False]
    assert store.usage == store.quota


def test_a_use_counts_after_a_restart_and_in_a_list_made_before_it(tmp_path: Path) -> None:
    store = store_of(tmp_path, 4 * DISK_UNIT)
    cids = filled(store, 4)
    store.put(*raw("new"))
    assert here(store, cids) == [False, True, True, True]
    store.get(cids[1])
    store.put(*raw("newer"))
    assert here(store, cids) == [False, True, False, True]
    later = Blockstore(store.folder, 2 * DISK_UNIT, now_ns=store._now_ns)
    later.collect()
    assert here(later, [*cids, raw("new")[0], raw("newer")[0]]) == [False, True, False, False, False, True]


def test_what_is_pinned_or_reached_from_a_pin_stays(tmp_path: Path) -> None:
    store = store_of(tmp_path, 6 * DISK_UNIT)
    leaf, middle = raw("leaf"), node(raw("leaf")[0])
    root = node(middle[0])
    store.put_many([leaf, middle, root])
    store.pin(root[0])
    filled(store, 20)
    assert store.missing(root[0]) == []
    again = Blockstore(store.folder, 3 * DISK_UNIT)
    assert again.pins() == {root[0]}
    again.collect()
    assert again.usage == 3 * DISK_UNIT
    with pytest.raises(StoreFull):
        again.put(*raw("one too many"))
    assert again.missing(root[0]) == []
    again.unpin(root[0])
    again.put(*raw("one too many"))
    assert again.missing(root[0]) != []


def test_a_pin_before_its_blocks_keeps_each_as_it_comes(tmp_path: Path) -> None:
    store = store_of(tmp_path, 8 * DISK_UNIT)
    leaves = [raw(f"leaf {number}") for number in range(4)]
    root = node(*(cid for cid, _ in leaves))
    store.pin(root[0])
    assert store.missing(root[0]) == [root[0]]
    store.put(*root)
    for cid, block in leaves:
        filled(store, 20)
        store.put(cid, block)
    filled(store, 20)
    assert store.missing(root[0]) == []


def test_a_block_that_was_listed_to_go_stays_once_a_pin_reaches_it(tmp_path: Path) -> None:
    store = store_of(tmp_path, 5 * DISK_UNIT)
    leaf = raw("leaf")
    root = node(leaf[0])
    store.pin(root[0])
    filled(store, 4)
    store.put(*leaf)
    store.put(*raw("makes a list, with the leaf at its end"))
    store.put(*root)
    filled(store, 20)
    assert store.missing(root[0]) == []


def test_a_block_that_was_listed_to_go_and_came_again_is_another(tmp_path: Path) -> None:
    store = store_of(tmp_path, 5 * DISK_UNIT)
    leaf = raw("leaf")
    root = node(leaf[0])
    store.pin(root[0])
    filled(store, 4)
    store.put(*leaf)
    store.put(*raw("makes a list, with the leaf at its end"))
    the_file(store, leaf[0]).unlink()  # by hand, say, and nobody says so
    store.put(*root)
    store.put(*leaf)
    filled(store, 20)
    assert store.missing(root[0]) == []


def test_many_pins_wait_for_the_disk_once(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = filled(store, 50)
    synced, fsync = list[int](), os.fsync

    def counted(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", counted)
    store.pin_many(roots)
    assert store.pins() == Blockstore(store.folder, PLENTY).pins() == set(roots)
    assert len(synced) == len(set(synced)), "nothing twice"
    pins, *others = (path.stat().st_ino for path in (store.folder / "pins", *(the_file(store, cid) for cid in roots)))
    assert set(synced) >= {pins, *others}
    synced.clear()
    store.unpin_many(roots)
    assert synced == [pins]
    assert store.pins() == Blockstore(store.folder, PLENTY).pins() == set()


def test_if_one_of_many_pins_finds_no_room_there_is_none(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.pin(raw("before")[0])
    made, open_ = 0, os.open

    def full(path: Any, *arguments: Any) -> int:
        nonlocal made
        made += 1
        if made == 4:
            raise OSError(28, "No space left on device")
        return open_(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        with pytest.raises(DiskFull):
            store.pin_many([raw(f"{number}")[0] for number in range(8)])
    assert made == 4
    assert store.pins() == Blockstore(store.folder, PLENTY).pins() == {raw("before")[0]}


def test_who_listens_hears_of_each_block_that_goes(tmp_path: Path) -> None:
    store, gone = store_of(tmp_path, 3 * DISK_UNIT), list[Cid]()
    store.listeners.append(gone.append)
    cids = filled(store, 4)
    assert gone == [cids[0]], "it made room"
    the_file(store, cids[1]).write_bytes(b"x")
    assert store.get(cids[1]) is None
    assert gone == cids[:2], "it was damaged"
    with pytest.raises(KeyError), store.adding() as adding:
        adding.put(*raw("new"))
        raise KeyError
    assert gone == [*cids[:2], raw("new")[0]], "it was taken back"
    odd = store.folder / "blocks" / "aa" / ("x" * 59)  # as long as a name, and none
    odd.parent.mkdir(exist_ok=True)
    odd.write_bytes(b"x")
    store.unpin(cids[0])  # which makes a list of what can go necessary
    store.quota = 0
    store.collect()
    assert set(gone) == {*cids, raw("new")[0]}


def test_what_was_put_together_and_not_pinned_can_go_afterwards(tmp_path: Path) -> None:
    store = store_of(tmp_path, 4 * DISK_UNIT)
    with store.adding() as adding:
        for number in range(4):
            adding.put(*raw(f"{number}"))
        with pytest.raises(StoreFull):
            store.put(*raw("other"))
    store.put(*raw("other"))
    assert here(store, [raw(f"{number}")[0] for number in range(4)]) == [False, True, True, True]


def test_a_block_that_does_not_fit_drives_nothing_out(tmp_path: Path) -> None:
    store = store_of(tmp_path, 4 * DISK_UNIT)
    cids = filled(store, 4)
    store.pin(cids[0])
    before = files(store)
    for size in (4 * DISK_UNIT, 4 * DISK_UNIT + 1):
        with pytest.raises(StoreFull, match="pinned"):
            store.put(Cid.of(RAW, bytes(size)), bytes(size))
    assert files(store) == before
    store.put(Cid.of(RAW, bytes(3 * DISK_UNIT)), bytes(3 * DISK_UNIT))
    assert here(store, cids) == [True, False, False, False]


def test_blocks_put_together_are_not_collected_meanwhile(tmp_path: Path) -> None:
    store = store_of(tmp_path, 8 * DISK_UNIT)
    filled(store, 8)
    with store.adding() as adding:
        root = write_file([bytes(range(256)) * 24], adding.put, part_bytes=1024).cid
        store.pin(root)
    filled(store, 8)
    assert store.missing(root) == []
    assert store.usage == store.quota


def test_what_fails_half_way_leaves_what_was_there_before(tmp_path: Path) -> None:
    store = store_of(tmp_path, 8 * DISK_UNIT)
    pinned, cached = raw("pinned"), raw("cached")
    store.put_many([pinned, cached])
    store.pin(pinned[0])
    before = files(store)
    with pytest.raises(StoreFull), store.adding() as adding:
        adding.put(*pinned)
        adding.put(*cached)
        for number in range(7):
            adding.put(*raw(f"new {number}"))
    assert files(store) == before
    assert store.usage == 2 * DISK_UNIT


def test_what_another_thread_pinned_meanwhile_stays_when_it_fails(store: Blockstore) -> None:
    with pytest.raises(KeyError), store.adding() as adding:
        adding.put(*raw("shared"))
        adding.put(*raw("other"))
        store.pin(node(raw("shared")[0])[0])
        store.put(*node(raw("shared")[0]))
        raise KeyError
    assert here(store, [raw("shared")[0], raw("other")[0]]) == [True, False]


def test_a_full_store_looks_at_everything_once_and_not_for_each_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path, 50 * DISK_UNIT)
    filled(store, 50)
    looks = 0
    scan = blockfiles.BlockFiles.scan

    def counted(self: blockfiles.BlockFiles) -> Iterator[tuple[int, int, str]]:
        nonlocal looks
        looks += 1
        return scan(self)

    monkeypatch.setattr(blockfiles.BlockFiles, "scan", counted)
    for number in range(200):
        store.put(*raw(f"new {number}"))
    assert looks <= 5
    store.quota = store.usage
    for cid in {raw(f"new {number}")[0] for number in range(200)}:
        if store.has(cid):
            store.pin(cid)
    looks = 0
    for number in range(10):
        with pytest.raises(StoreFull):
            store.put(*raw(f"too many {number}"))
    assert looks == 1


@st.composite
def _stories(draw: st.DrawFn) -> tuple[list[tuple[Cid, bytes]], list[tuple[str, int]]]:
    """A DAG of any shape, and what is done with its blocks."""
    blocks: list[tuple[Cid, bytes]] = []
    for number in range(draw(st.integers(1, 10))):
        links = draw(st.lists(st.integers(0, number - 1), max_size=3)) if number else []
        blocks.append(node(*(blocks[link][0] for link in links), said=number) if links else raw(f"{number}"))
    deeds = st.tuples(
        st.sampled_from(("put", "put", "put", "get", "pin", "pin many", "unpin", "collect", "open")), st.integers(0, 9)
    )
    return blocks, draw(st.lists(deeds, max_size=40))


@settings(max_examples=60, deadline=None)
@given(_stories(), st.integers(1, 8))
def test_in_any_story_what_a_pin_reaches_stays(
    tmp_path_factory: pytest.TempPathFactory,
    story: tuple[list[tuple[Cid, bytes]], list[tuple[str, int]]],
    units: int,
) -> None:
    blocks, deeds = story
    folder = tmp_path_factory.mktemp("story")
    clock = Clock()
    store = Blockstore(folder, units * DISK_UNIT, now_ns=clock)
    content, pinned = dict(blocks), set[Cid]()

    def present() -> set[Cid]:
        return {cid for cid in content if store.has(cid)}

    for deed, number in deeds:
        cid, block = blocks[number % len(blocks)]
        before = present()
        safe = set(store.reachable(pinned))
        if deed == "put":
            try:
                store.put(cid, block)
                assert cid in present()
            except StoreFull:
                assert present() == before
                assert len(safe) >= units
        elif deed == "get":
            assert store.get(cid) == (block if cid in before else None)
        elif deed == "pin":
            store.pin(cid)
            pinned.add(cid)
        elif deed == "pin many":
            store.pin_many(list(content)[:number])
            pinned.update(list(content)[:number])
        elif deed == "unpin":
            store.unpin(cid)
            pinned.discard(cid)
            safe = set()
        elif deed == "collect":
            store.quota = (number % units) * DISK_UNIT
            store.collect()
            assert store.usage <= max(store.quota, len(safe) * DISK_UNIT)
            store.quota = units * DISK_UNIT
        else:
            store = Blockstore(folder, units * DISK_UNIT, now_ns=clock)
        assert safe <= present()
        assert store.pins() == pinned
        assert store.usage == len(present()) * DISK_UNIT <= store.quota
        assert set(store.reachable(pinned)) <= present()
