"""The Bitswap message: what is written is read again, by us and by another implementation of Protocol Buffers."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.bitswap.pb import bitswap_pb2

from mycelnode.errors import EncodingError
from mycelnode.protobuf import bytes_field, varint_field
from mycelnode.protocols.bitswap_frames import (
    MAX_BLOCK,
    MAX_CID,
    MAX_ENTRIES,
    MAX_FIELDS,
    MAX_MESSAGE,
    Block,
    Entry,
    Message,
    decode_message,
    encode_message,
    name_of,
    spellings,
)

DIGEST = hashlib.sha256(b"block").digest()
RAW = b"\x01\x55\x12\x20" + DIGEST
DAG_PB = b"\x01\x70\x12\x20" + DIGEST
V0 = b"\x12\x20" + DIGEST
OTHERS = (
    b"",
    b"\x01\x55\x13\x40" + bytes(64),
    b"\x01\x55\x00\x05hello",
    b"\x01\x72\x12\x20" + DIGEST,
    b"\x02" + RAW[1:],
)

cids = st.one_of(st.sampled_from([RAW, DAG_PB, V0, *OTHERS]), st.binary(max_size=MAX_CID))
entries = st.builds(Entry, cids, st.booleans(), st.booleans(), st.booleans(), st.integers(0, (1 << 31) - 1))
blocks = st.builds(Block, st.binary(max_size=10), st.binary(max_size=200))
messages = st.builds(
    Message,
    entries=st.lists(entries, max_size=10).map(tuple),
    full=st.booleans(),
    blocks=st.lists(blocks, max_size=5).map(tuple),
    presences=st.lists(st.tuples(cids, st.booleans()), max_size=5).map(tuple),
    pending_bytes=st.integers(0, (1 << 31) - 1),
)


@given(messages)
def test_what_is_written_is_read(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(messages)
def test_another_implementation_reads_and_writes_the_same(message: Message) -> None:
    """Google's, with the schema that libp2p has of Bitswap."""
    theirs = bitswap_pb2.Message()
    theirs.ParseFromString(encode_message(message))
    assert theirs.HasField("wantlist")  # always: some peers read nothing without
    found = [(e.block, bool(e.wantType), e.cancel, e.sendDontHave, e.priority) for e in theirs.wantlist.entries]
    assert found == [(e.cid, e.want_have, e.cancel, e.send_dont_have, e.priority) for e in message.entries]
    assert theirs.wantlist.full == message.full
    assert [(b.prefix, b.data) for b in theirs.payload] == [(b.prefix, b.data) for b in message.blocks]
    assert [(p.cid, p.type == 0) for p in theirs.blockPresences] == list(message.presences)
    assert theirs.pendingBytes == message.pending_bytes
    assert decode_message(theirs.SerializeToString()) == message


@given(st.binary(max_size=300))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        message = decode_message(data)
    except EncodingError:
        return
    assert decode_message(encode_message(message)).entries == message.entries


def test_names() -> None:
    """A CIDv0 is another spelling of a name; what has another hash, codec or version names nothing here."""
    assert name_of(RAW) == RAW
    assert name_of(V0) == DAG_PB
    assert set(spellings(DAG_PB)) == {DAG_PB, V0}
    assert spellings(RAW) == (RAW,)
    assert [name_of(cid) for cid in OTHERS] == [None] * len(OTHERS)


def test_a_block_is_called_by_its_own_bytes() -> None:
    for cid in (RAW, DAG_PB, V0):
        assert Block.of(cid, b"block").name == name_of(cid)
        assert Block.of(cid, b"other").name != name_of(cid)
    assert Block(b"\x01\x55\x13\x40", b"block").name is None
    assert Block(b"", b"block").name is None


def test_more_entries_than_are_kept_are_passed_over() -> None:
    entry = bytes_field(1, bytes_field(1, RAW) + varint_field(4, 1))
    assert len(decode_message(bytes_field(1, entry * 50_000)).entries) == MAX_ENTRIES


@pytest.mark.parametrize(
    "data",
    [
        bytes(MAX_MESSAGE + 1),
        bytes_field(3, bytes_field(1, RAW[:4]) + bytes_field(2, bytes(MAX_BLOCK + 1))),
        bytes_field(1, bytes_field(1, bytes_field(1, bytes(MAX_CID + 1)))),
        bytes_field(4, bytes_field(1, bytes(MAX_CID + 1))),
        varint_field(1, 1),
        varint_field(3, 1),
        bytes_field(5, b"x"),
        bytes_field(1, varint_field(1, 1)),
        bytes_field(1, b"\x0a\x7f"),
        varint_field(9, 0) * (MAX_FIELDS + 1),
    ],
    ids=lambda data: data[:8].hex(),
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_message(data)
