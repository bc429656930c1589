"""DAG-PB is what the specification says: its own examples, and what must be refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import EncodingError
from mycelnode.patterns import dagpb
from mycelnode.patterns.cid import DAG_PB, RAW, Cid
from mycelnode.protobuf import bytes_field, varint_field
from tests.patterns.strategies import NODES

CID = Cid.of(RAW, b"x")
V0 = b"\x12\x20" + CID.digest
HASH = bytes_field(1, CID.binary)


def link(*parts: bytes) -> bytes:
    return bytes_field(2, b"".join(parts))


@given(NODES)
def test_a_node_comes_back_with_its_links_sorted_by_name(node: dagpb.Node) -> None:
    block = dagpb.encode(node)
    again = dagpb.decode(block)
    assert again.data == node.data
    assert again.links == tuple(sorted(node.links, key=lambda link: (link.name or "").encode()))
    assert dagpb.encode(again) == block


@given(NODES, st.data())
def test_whatever_is_accepted_is_written_just_so(node: dagpb.Node, data: st.DataObject) -> None:
    block = bytearray(dagpb.encode(node))
    if not block:
        return
    block[data.draw(st.integers(0, len(block) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        again = dagpb.decode(bytes(block))
    except EncodingError:
        return
    assert len(dagpb.encode(again)) == len(block)  # what is sorted on writing may be unsorted in a block
    assert sorted(dagpb.encode(again)) == sorted(block)


@given(st.binary(max_size=80))
def test_noise_is_refused_or_is_a_node(noise: bytes) -> None:
    try:
        node = dagpb.decode(noise)
    except EncodingError:
        return
    assert dagpb.decode(dagpb.encode(node)).data == node.data


def test_the_block_without_a_byte_is_a_node_without_anything() -> None:
    assert dagpb.decode(b"") == dagpb.Node()
    assert str(Cid.of(DAG_PB, b"")) == "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert dagpb.decode(b"\x0a\x00") == dagpb.Node(data=b"")


def test_what_older_programs_wrote_is_read() -> None:
    node = dagpb.Node((dagpb.Link(Cid(DAG_PB, CID.digest), "", 3),), b"data")
    written = [
        link(bytes_field(1, hash_), bytes_field(2, b""), varint_field(3, 3)) for hash_ in (V0, node.links[0].cid.binary)
    ]
    data = bytes_field(1, b"data")
    for block in (data + written[0], written[0] + data, data + written[1], written[1] + data):
        assert dagpb.decode(block) == node
    assert dagpb.encode(node) == written[1] + data


def test_links_are_left_in_the_order_in_which_they_stand() -> None:
    block = link(HASH, bytes_field(2, b"b")) + link(HASH, bytes_field(2, b"a"))
    assert [found.name for found in dagpb.decode(block).links] == ["b", "a"]


REFUSED = {
    "cut off": link(HASH)[:-1],
    "a link that names nothing": link(bytes_field(2, b"a")),
    "a link whose fields are out of order": link(bytes_field(2, b"a"), HASH),
    "a link whose size comes first": link(varint_field(3, 1), HASH),
    "a link with two blocks": link(HASH, HASH),
    "a link with a field more": link(HASH, varint_field(4, 1)),
    "a name that is a number": link(HASH, varint_field(2, 1)),
    "a size that is bytes": link(HASH, bytes_field(3, b"1")),
    "a name that is no UTF-8": link(HASH, bytes_field(2, b"\xff")),
    "a link of another hash": link(bytes_field(1, b"\x01\x55\x13\x20" + bytes(32))),
    "a link of another codec": link(bytes_field(1, b"\x01\x51\x12\x20" + bytes(32))),
    "a link with the identity hash": link(bytes_field(1, b"\x01\x55\x00\x01a")),
    "data twice": bytes_field(1, b"a") * 2,
    "data that is a number": varint_field(1, 1),
    "data between links": link(HASH) + bytes_field(1, b"") + link(HASH),
    "a field more": varint_field(3, 1),
    "a length written long": b"\x0a\x81\x00a",
    "a size written long": link(HASH, b"\x18\x81\x00"),
    "too large": bytes_field(1, bytes(dagpb.MAX_BLOCK)),
    "too many links": link(HASH) * (dagpb.MAX_LINKS + 1),
    "far too many fields": b"\x12\x00" * (dagpb.MAX_BLOCK // 2),
}


@pytest.mark.parametrize("block", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_canonical_is_refused_in_a_sentence(block: bytes) -> None:
    with pytest.raises(EncodingError) as found:
        dagpb.decode(block)
    assert str(found.value)


@pytest.mark.parametrize(
    "node",
    [
        dagpb.Node((dagpb.Link(CID, "\ud800"),)),
        dagpb.Node((dagpb.Link(CID),) * (dagpb.MAX_LINKS + 1)),
        dagpb.Node((), bytes(dagpb.MAX_BLOCK)),
        dagpb.Node((dagpb.Link(CID, "", -1),)),
    ],
    ids=["half a character", "too many links", "too large", "a size below zero"],
)
def test_what_has_no_place_in_a_block_is_not_written(node: dagpb.Node) -> None:
    with pytest.raises(EncodingError):
        dagpb.encode(node)
