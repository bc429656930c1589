"""Folders as blocks: as Kubo writes them, and what a hostile maker of blocks can't do."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.errors import BlockMissing, BlockRefused
from mycelnode.patterns import dagpb, folders
from mycelnode.patterns.cid import DAG_PB, RAW, Cid
from mycelnode.patterns.folders import read_folder, write_folder
from mycelnode.patterns.unixfs import folder_data, read_file
from mycelnode.protobuf import bytes_field, varint_field
from tests.patterns.contents import MIB, Blocks, content, kubos

SKILL: dict[str, Any] = {
    "SKILL.md": b"# A skill\n",
    "scripts/run.py": b"print(1)\n",
    "scripts/lib/deep/a.txt": b"",
    "references/béta.md": content(3000),
    "empty": None,
}
SORTED: dict[str, Any] = {
    **SKILL, "references/big.bin": content(MIB + 1), "Z": b"z", "a-b": b"1", "a": b"2", "a.b": b"3",
}  # fmt: skip


def contents(root: Cid, blocks: Blocks) -> dict[str, bytes | None]:
    return {
        path: None if cid is None else b"".join(read_file(cid, blocks.get, 2 * MIB))
        for path, cid in read_folder(root, blocks.get).items()
    }


def test_a_folder_has_the_cid_that_kubo_gives_it() -> None:
    """Of Kubo 0.40.1: `ipfs add -r --cid-version 1 --raw-leaves --chunker=size-1048576`."""
    blocks = Blocks()
    added = write_folder(SORTED, blocks.put)
    assert str(added.cid) == "bafybeiczxpgo3aotkaj3yjc2nvqndaqtuqvsaj7w6xspbw6i6aybleehnu"
    assert added.size == sum(len(data or b"") for data in SORTED.values())
    assert contents(added.cid, blocks) == SORTED
    assert str(write_folder({}, blocks.put).cid) == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"


def test_a_folder_of_kubo_has_the_very_blocks() -> None:
    root, theirs = kubos("kubo-folder")
    ours = Blocks()
    assert write_folder(SKILL, ours.put).cid == root
    assert ours == theirs
    assert contents(root, theirs) == SKILL


def test_a_sharded_folder_is_refused_in_a_sentence() -> None:
    root, blocks = kubos("kubo-folder-sharded")
    with pytest.raises(BlockRefused, match="sharded folder"):
        read_folder(root, blocks.get)


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)
TREES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(NAMES, st.binary(max_size=30), max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | st.binary(max_size=30), max_size=3),
    max_leaves=8,
)


def flat(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    files: dict[str, Any] = {}
    for name, inside in tree.items():
        if isinstance(inside, bytes):
            files[path + name] = inside
        elif inside:
            files |= flat(inside, f"{path}{name}/")
        else:
            files[path + name] = None
    return files


@settings(deadline=None)
@given(TREES, st.randoms())
def test_any_folder_comes_back_in_whatever_order_it_is_given(tree: dict[str, Any], random: Any) -> None:
    files, blocks = flat(tree), Blocks()
    added = write_folder(files, blocks.put)
    shuffled = list(files.items())
    random.shuffle(shuffled)
    sources = {path: data if data is None else io.BytesIO(data) for path, data in shuffled}
    assert write_folder(sources, blocks.put) == added
    assert contents(added.cid, blocks) == files


BAD_NAMES = ["", ".", "..", "a\0b", "x" * 256, "é" * 128, "\ud800"]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("path", ["{}", "{}/a", "a/{}", "a/{}/b"])
def test_names_that_lead_elsewhere_are_not_written(name: str, path: str) -> None:
    blocks = Blocks()
    with pytest.raises(BlockRefused):
        write_folder({path.format(name): b""}, blocks.put)
    assert not blocks


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a": b"", "a/b": b""}, "below something that is a file"),
        ({"a/b": b"", "a": b""}, "both a file and a folder"),
        ({"a/b": b"", "a": None}, "both a file and a folder"),
        ({"/etc/passwd": b""}, "no name"),
        ({"a//b": b""}, "no name"),
        ({"a/": b""}, "no name"),
        ({"/".join("x" * 34): b""}, "folders deep"),
        ({f"{number}": b"" for number in range(folders.MAX_ENTRIES + 1)}, "at most"),
    ],
)
def test_what_is_no_folder_is_not_written(files: dict[str, bytes], sentence: str) -> None:
    blocks = Blocks()
    with pytest.raises(BlockRefused, match=sentence):
        write_folder(files, blocks.put)
    assert not blocks


def kubos_names(last: int) -> dict[str, bytes]:
    """As kubo/test/cli/cid_profiles_test.go names the files of a folder that is just not in shards, if ``last`` is 21."""
    alphabet = "abcdefghijklmnopqrstuvwxyz01234567890-_"
    text = "".join(alphabet[byte % len(alphabet)] for byte in content(MIB, "hamt-unixfs-v1-2025"))
    lengths = [11] * 4765 + [last]
    return {text[11 * number : 11 * number + length]: b"x" for number, length in enumerate(lengths)}


def test_a_folder_that_kubo_would_write_in_shards_is_not_written_and_one_byte_less_is() -> None:
    cid = write_folder(kubos_names(21), Blocks().put).cid
    assert str(cid) == "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4"
    with pytest.raises(BlockRefused, match="too large"):
        write_folder(kubos_names(22), Blocks().put)


# --- blocks of others --------------------------------------------------------------------------------------------------------


def folder(blocks: Blocks, *links: tuple[str | None, Cid, int | None], more: bytes = b"") -> Cid:
    node = dagpb.Node(tuple(dagpb.Link(cid, name, size) for name, cid, size in links), folder_data() + more)
    block = dagpb.encode(node)
    blocks.put(Cid.of(DAG_PB, block), block)
    return Cid.of(DAG_PB, block)


LEAF = b"0123456789"
LEAF_CID = Cid.of(RAW, LEAF)


@pytest.mark.parametrize("name", [*BAD_NAMES[:-1], None, "a/b", "../a", "/"])
def test_names_that_lead_elsewhere_are_refused(name: str | None) -> None:
    blocks = Blocks({LEAF_CID: LEAF})
    inner = folder(blocks, (name, LEAF_CID, 10))
    for root in (inner, folder(blocks, ("a", inner, None))):
        with pytest.raises(BlockRefused, match="name"):
            read_folder(root, blocks.get)


def test_what_does_not_agree_is_refused() -> None:
    blocks = Blocks({LEAF_CID: LEAF})
    empty = folder(blocks)
    cases = {
        "two files of one name": folder(blocks, ("a", LEAF_CID, 10), ("a", LEAF_CID, 10)),
        "10 bytes where 11 should be": folder(blocks, ("a", LEAF_CID, 11)),
        "4 bytes where 5 should be": folder(blocks, ("a", empty, 5)),
        "content of its own": folder(blocks, more=bytes_field(2, b"x")),
        "has content": folder(blocks, ("a", LEAF_CID, 10), more=varint_field(4, 10)),
        "neither a file nor a folder": folder(blocks, ("a", Cid.of(0x71, b"\xa0"), 1)),
        "is a file, and no folder": LEAF_CID,
    }
    blocks.put(Cid.of(0x71, b"\xa0"), b"\xa0")
    for sentence, root in cases.items():
        with pytest.raises(BlockRefused, match=sentence):
            read_folder(root, blocks.get)
    missing = Cid.of(RAW, b"other")
    with pytest.raises(BlockMissing, match=str(missing)):
        read_folder(folder(blocks, ("a", missing, 1)), blocks.get)


def test_folders_that_unfold_to_very_many_files_are_refused_after_few_blocks() -> None:
    blocks = Blocks({LEAF_CID: LEAF})
    root = folder(blocks, *((str(number), LEAF_CID, 10) for number in range(100)))
    for _ in range(4):
        root = folder(blocks, *((str(number), root, None) for number in range(100)))
    asked = 0

    def get(cid: Cid) -> bytes | None:
        nonlocal asked
        asked += 1
        return blocks.get(cid)

    with pytest.raises(BlockRefused, match="10,000 entries"):
        read_folder(root, get)
    assert asked < 2 * folders.MAX_ENTRIES


def test_folders_far_too_deep_are_refused() -> None:
    blocks = Blocks()
    root = folder(blocks)
    for _ in range(1000):
        root = folder(blocks, ("a", root, None))
    with pytest.raises(BlockRefused, match="levels"):
        read_folder(root, blocks.get)
