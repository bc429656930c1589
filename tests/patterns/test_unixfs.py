"""Files as blocks: the very CIDs of a real Kubo, and what a hostile maker of blocks can't do."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.errors import BlockMissing, BlockRefused
from mycelnode.patterns import dagpb, unixfs
from mycelnode.patterns.cid import DAG_CBOR, DAG_PB, RAW, Cid
from mycelnode.patterns.unixfs import read_file, write_file
from mycelnode.protobuf import bytes_field, varint_field
from tests.patterns.contents import MIB, Blocks, content, kubos, pieces

KIB = 1024
# of Kubo 0.40.1: `ipfs add --cid-version 1 --raw-leaves --chunker=size-1048576`
IN_THE_PROFILE = {
    0: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    1: "bafkreibtinm3sdx625o2l4fnuhk6nmsw6stl2cxop2zzyd4qdavaeh74rm",
    256 * KIB: "bafkreifzwzg5x455mislv2csuzmrqfu3o3kspbe6jxvk3ywf2glm2im3vq",
    256 * KIB + 1: "bafkreibiijnx6rpkimnocgx5wm4gxkycgyh55nob4qf2qg76qonukvrrfa",
    MIB: "bafkreihnui6kuty7vlyzxfnleefdsncejuppw7lbostqenfru3l5nxtkiu",
    MIB + 1: "bafybeigpo24wd3tink5bmyple4vqo7vkdcieezwikljgh74zs7qlgheg2i",
    10 * MIB: "bafybeif57rk5kkuwxhodhkkableb24s3ojkuyjm3xft5c3ym7x6xyz44oe",
}
# and with `--chunker=size-262144 --max-file-links=174`
IN_ITS_OWN = {
    0: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    1: "bafkreibtinm3sdx625o2l4fnuhk6nmsw6stl2cxop2zzyd4qdavaeh74rm",
    256 * KIB: "bafkreifzwzg5x455mislv2csuzmrqfu3o3kspbe6jxvk3ywf2glm2im3vq",
    256 * KIB + 1: "bafybeig3mlth6fear2ng753rlb2lhafwmwbn6vl7m7sa6ofbu447igf4uy",
    MIB: "bafybeibmrchbh7hmltzskgphfkck4js4i5q36dln3qcw7edmebojpvarim",
    MIB + 1: "bafybeihopdx7cvuprzkya2fkhi2rtpepysunmuicdhcj37jtndkjyogxoa",
    10 * MIB: "bafybeiajmkybaskur7oaw4kdgpwfnalcpihasl7wjk3v377wgh4pjk5uu4",
}
# and with `--chunker=size-64 --max-file-links=4`, at the edges of its levels
IN_SMALL = {
    255: "bafybeieugfoq6uaeoyoekquouwi3xe4ryyvyn6fia6q2oj4n6riufwwupm",
    256: "bafybeihdtz6cq6tmecl2gcuxarwbdlt5xlvcl2pcwvngz2dljmnlqlohte",
    257: "bafybeic5w55u36ui5o2h3apueuzr7rrrkdo6ipio7hzvvhfusj6yxy5i2i",
    1024: "bafybeiafyywe23qe5ljmd6e2yk6avu7f3gmwmnrmx4ta62bpydf2eqrk3e",
    1025: "bafybeiembq6qarnkbneoxdrugxpi7slobkhvcxvlp7odw4m3dfvs37jqji",
    1280: "bafybeig2u6fy24wp7txwnnsbtkqziruiyswnrd3cfxem5w3guslqa5oht4",
    4097: "bafybeicioxlmf5omfzd46dpwjh5p6exa3p5djkpoeshbnf4xgct6mrxdf4",
}
LAYOUT_OF = [(IN_THE_PROFILE, {}), (IN_ITS_OWN, {"part_bytes": 256 * KIB, "node_links": 174})]


@pytest.mark.parametrize("size", IN_THE_PROFILE)
def test_a_file_has_the_cid_that_kubo_gives_it_and_comes_back(size: int) -> None:
    data = content(size)
    for cids, layout in LAYOUT_OF:
        blocks = Blocks()
        added = write_file(io.BytesIO(data), blocks.put, **layout)
        assert (str(added.cid), added.size) == (cids[size], size)
        assert added.total == sum(map(len, blocks.values()))
        assert b"".join(read_file(added.cid, blocks.get, size)) == data


@pytest.mark.parametrize(
    ("size", "seed", "cid"),
    [  # of kubo/test/cli/cid_profiles_test.go
        (MIB, "chunk-v1-seed", "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"),
        (MIB + 1, "chunk-v1-seed", "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"),
        (1024 * MIB + 1, "v1-2025-seed", "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe"),
    ],
)
def test_the_vectors_that_kubo_has_for_the_profile(size: int, seed: str, cid: str) -> None:
    assert str(write_file(pieces(size, seed), lambda cid, block: None).cid) == cid


@pytest.mark.parametrize("size", IN_SMALL)
def test_levels_begin_where_they_do_in_kubo(size: int) -> None:
    assert str(write_file([content(size)], Blocks().put, part_bytes=64, node_links=4).cid) == IN_SMALL[size]


@pytest.mark.parametrize("name", ["kubo-file-v0", "kubo-file-trickle"])
def test_layouts_that_we_do_not_write_are_read(name: str) -> None:
    root, blocks = kubos(name)
    assert b"".join(read_file(root, blocks.get, 1000)) == content(1000)


SIZES = st.integers(0, 300)
LAYOUTS = st.fixed_dictionaries({"part_bytes": st.integers(1, 40), "node_links": st.integers(2, 5)})


@given(st.lists(st.one_of(st.binary(max_size=9), st.binary(min_size=4, max_size=4)), max_size=12))
def test_how_a_source_is_cut_makes_no_difference(cut: list[bytes]) -> None:
    whole = b"".join(cut)
    made = [write_file(source, lambda cid, block: None, part_bytes=4, node_links=3) for source in (cut, [whole])]
    assert made[0] == made[1]


@settings(deadline=None)
@given(SIZES, st.integers(1, 60), LAYOUTS)
def test_a_file_of_any_size_comes_back_from_any_layout(size: int, piece: int, layout: dict[str, int]) -> None:
    data, blocks = content(size), Blocks()
    added = write_file(pieces(size, "mycel", piece), blocks.put, **layout)
    assert added == write_file(io.BytesIO(data), blocks.put, **layout)
    assert b"".join(read_file(added.cid, blocks.get, size)) == data
    nodes = [dagpb.decode(block) for cid, block in blocks.items() if cid.codec == DAG_PB]
    assert all(1 <= len(node.links) <= layout["node_links"] for node in nodes)
    with pytest.raises(BlockRefused, match="more than"):
        list(read_file(added.cid, blocks.get, size - 1))


@settings(deadline=None)
@given(SIZES, st.data(), LAYOUTS)
def test_a_file_with_a_block_missing_or_false_says_so(size: int, data: st.DataObject, layout: dict[str, int]) -> None:
    blocks = Blocks()
    root = write_file([content(size)], blocks.put, **layout).cid
    lost = data.draw(st.sampled_from(sorted(blocks)))
    with pytest.raises(BlockMissing, match=str(lost)):
        list(read_file(root, lambda cid: None if cid == lost else blocks[cid], size))
    with pytest.raises(BlockRefused, match=str(lost)):
        list(read_file(root, lambda cid: blocks[cid] + b"x" if cid == lost else blocks[cid], size))


def test_a_large_file_takes_no_memory() -> None:
    """Sixty thousand parts in three levels: their links alone would be more than what is allowed."""
    tracemalloc.start()
    try:
        added = write_file((bytes(1000) for _ in range(6000)), lambda cid, block: None, part_bytes=100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert added.size == 6_000_000
    assert peak < 2 * MIB


# --- blocks of others --------------------------------------------------------------------------------------------------------


def node(
    below: Sequence[tuple[Cid, int, int | None]] = (),
    *,
    kind: int | None = 2,
    data: bytes | None = None,
    size: int | None = None,
    more: bytes = b"",
) -> bytes:
    """A block with any claims: of each link the CID, the size of the content and Tsize."""
    said = b"" if kind is None else varint_field(1, kind)
    said += b"" if data is None else bytes_field(2, data)
    said += varint_field(3, sum(part for _, part, _ in below) + len(data or b"") if size is None else size)
    said += b"".join(varint_field(4, part) for _, part, _ in below) + more
    return dagpb.encode(dagpb.Node(tuple(dagpb.Link(cid, "", total) for cid, _, total in below), said))


LEAF = b"0123456789"
LEAF_CID = Cid.of(RAW, LEAF)
LYING: dict[str, tuple[bytes, str]] = {
    "a part shorter than said": (node([(LEAF_CID, 11, 10)]), "10 bytes of a file where 11 should be"),
    "a part longer than said": (node([(LEAF_CID, 9, 10)]), "10 bytes of a file where 9 should be"),
    "a whole longer than its parts": (node([(LEAF_CID, 10, 10)], size=11), "11 bytes, and has parts of 10"),
    "a whole shorter than its parts": (node([(LEAF_CID, 10, 10)], size=9), "9 bytes, and has parts of 10"),
    "another sum of bytes": (node([(LEAF_CID, 10, 11)]), "10 bytes where 11 should be"),
    "no sum of bytes, said as 0": (node([(LEAF_CID, 10, 0)]), "10 bytes where 0 should be"),
    "a part of nothing": (node([(LEAF_CID, 10, 10), (Cid.of(RAW, b""), 0, 0)]), "a part with nothing in it"),
    "fewer sizes than parts": (
        dagpb.encode(dagpb.Node((dagpb.Link(LEAF_CID, "", 10),), varint_field(1, 2))), "1 parts, and sizes for 0",
    ),
    "more sizes than parts": (node([(LEAF_CID, 10, 10)], more=varint_field(4, 1), size=11), "1 parts, and sizes for 2"),
    "a folder": (node(kind=1), "is a folder, and no file"),
    "a sharded folder": (node(kind=5), "sharded folder"),
    "a symbolic link": (node(kind=4, data=b"/etc/passwd"), "a symbolic link"),
    "metadata": (node(kind=3), "metadata"),
    "a kind that does not exist": (node(kind=6), "does not say"),
    "no kind": (node(kind=None), "does not say"),
    "a kind twice": (node(more=varint_field(1, 2)), "there twice"),
    "data twice": (node(data=b"a", more=bytes_field(2, b"b")), "of another kind"),
    "a size that is bytes": (node(more=bytes_field(3, b"a")), "of another kind"),
    "no data at all": (dagpb.encode(dagpb.Node()), "does not say"),
    "data that is no message": (dagpb.encode(dagpb.Node(data=b"\xff")), "cut off"),
    "a block that is no node": (b"\xff\xff", "cut off"),
    "very many sizes": (node(more=varint_field(4, 1) * 20_000), "more than"),
}  # fmt: skip


@pytest.mark.parametrize(("block", "sentence"), LYING.values(), ids=LYING.keys())
def test_what_does_not_agree_is_refused(block: bytes, sentence: str) -> None:
    blocks = Blocks({LEAF_CID: LEAF, Cid.of(RAW, b""): b""})
    root = Cid.of(DAG_PB, block)
    blocks.put(root, block)
    with pytest.raises(BlockRefused, match=sentence):
        list(read_file(root, blocks.get, 1000))
    if "kind" not in sentence:  # and below another node, too
        above = node([(root, 10, None)])
        blocks[Cid.of(DAG_PB, above)] = above
        with pytest.raises(BlockRefused):
            list(read_file(Cid.of(DAG_PB, above), blocks.get, 1000))


def test_what_is_neither_file_nor_folder_is_refused() -> None:
    block = b"\xa0"
    with pytest.raises(BlockRefused, match="neither a file nor a folder"):
        list(read_file(Cid.of(DAG_CBOR, block), {Cid.of(DAG_CBOR, block): block}.get, 10))


def test_what_a_node_holds_itself_comes_before_what_is_below_it() -> None:
    block = node([(LEAF_CID, 10, None), (LEAF_CID, 10, 10)], data=b"first ", more=varint_field(7, 0o644))
    blocks = Blocks({LEAF_CID: LEAF, Cid.of(DAG_PB, block): block})
    assert b"".join(read_file(Cid.of(DAG_PB, block), blocks.get, 26)) == b"first " + LEAF + LEAF


def counted(blocks: Blocks) -> tuple[Callable[[Cid], bytes | None], list[int]]:
    asked = [0]

    def get(cid: Cid) -> bytes | None:
        asked[0] += 1
        return blocks.get(cid)

    return get, asked


def unfolding(levels: int, width: int, part: int) -> tuple[Cid, Blocks, int]:
    """A few blocks that name one another again and again, and are true in all they say."""
    data, blocks = bytes(part), Blocks()
    cid, size, total = Cid.of(RAW, data), part, part
    blocks.put(cid, data)
    for _ in range(levels):
        block = node([(cid, size, total)] * width)
        cid, size, total = Cid.of(DAG_PB, block), size * width, len(block) + total * width
        blocks.put(cid, block)
    return cid, blocks, size


def test_a_small_dag_that_unfolds_to_terabytes_is_refused_at_its_first_block() -> None:
    root, blocks, size = unfolding(3, 100, MIB)
    assert size == MIB * 1_000_000
    get, asked = counted(blocks)
    with pytest.raises(BlockRefused, match="more than the"):
        next(read_file(root, get, 1 << 30))
    assert asked == [1]


def test_a_file_of_very_many_tiny_parts_is_refused_after_few_blocks() -> None:
    root, blocks, size = unfolding(3, 100, 1)
    get, asked = counted(blocks)
    with pytest.raises(BlockRefused, match="far more blocks"):
        list(read_file(root, get, size))
    assert asked[0] <= unixfs.MORE_BLOCKS + size // unixfs.FEWEST_BYTES + 1


def test_a_file_of_very_many_levels_is_refused() -> None:
    root, blocks, size = unfolding(unixfs.MAX_DEPTH, 1, 100)
    assert b"".join(read_file(root, blocks.get, size)) == bytes(100)
    root, blocks, size = unfolding(unixfs.MAX_DEPTH + 1, 1, 100)
    with pytest.raises(BlockRefused, match="levels"):
        list(read_file(root, blocks.get, size))
