"""DAG-CBOR is what the specification says: checked against another implementation, and against what must be refused."""

from __future__ import annotations

from typing import Any

import cbor2
import dag_cbor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from mycelnode.errors import EncodingError
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import Cid
from tests.patterns.strategies import CIDS, VALUES


def theirs(value: Any) -> Any:
    """With links as the other implementation has them."""
    if isinstance(value, Cid):
        return CID.decode(value.binary)
    if isinstance(value, list):
        return [theirs(item) for item in value]
    return {key: theirs(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(VALUES)
def test_it_writes_what_another_implementation_writes_and_reads_it_back(value: Any) -> None:
    block = dagcbor.encode(value)
    assert block == dag_cbor.encode(theirs(value))
    assert dag_cbor.decode(block) == theirs(value)
    assert dagcbor.decode(block) == value


@given(VALUES, st.data())
def test_whatever_is_accepted_is_written_just_so(value: Any, data: st.DataObject) -> None:
    block = bytearray(dagcbor.encode(value))
    place = data.draw(st.integers(0, len(block) - 1))
    block[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        again = dagcbor.decode(bytes(block))
    except EncodingError:
        return
    assert dagcbor.encode(again) == bytes(block)
    assert dag_cbor.decode(bytes(block)) == theirs(again)


@given(st.binary(max_size=60))
def test_noise_is_refused_or_is_the_encoding_of_something(noise: bytes) -> None:
    try:
        value = dagcbor.decode(noise)
    except EncodingError:
        return
    assert dagcbor.encode(value) == noise


@given(VALUES)
def test_links_are_found_wherever_they_stand(value: Any) -> None:
    def count(inside: Any) -> int:
        if isinstance(inside, Cid):
            return 1
        items = inside.values() if isinstance(inside, dict) else inside if isinstance(inside, list) else ()
        return sum(map(count, items))

    assert len(dagcbor.links(value)) == count(value)
    assert dagcbor.links({"a": [value], "b": value}) == dagcbor.links(value) * 2


LINK = cbor2.CBORTag(42, b"\x00" + Cid.of(0x55, b"").binary)
REFUSED = {
    "nothing": b"",
    "cut off": b"\x82\x01",
    "more after it": b"\x01\x01",
    "an integer written long": b"\x18\x01",
    "a length written long": b"\x58\x01a",
    "an indefinite list": b"\x9f\xff",
    "an indefinite text": b"\x7f\x61a\xff",
    "a float of 16 bits": b"\xf9\x3c\x00",
    "a float of 32 bits": b"\xfa\x3f\x80\x00\x00",
    "NaN": b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    "infinity": b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    "undefined": b"\xf7",
    "a simple value": b"\xe0",
    "a key that is a number": b"\xa1\x01\x02",
    "a key that is bytes": b"\xa1\x41a\x02",
    "keys out of order": b"\xa2\x61b\x01\x61a\x02",
    "keys in order of their bytes, not their length": b"\xa2\x62aa\x01\x61b\x02",
    "a key twice": b"\xa2\x61a\x01\x61a\x02",
    "text that is no UTF-8": b"\x61\xff",
    "a bignum": b"\xc2\x49\x01" + bytes(8),
    "a date": b"\xc1\x01",
    "a link without its prefix": cbor2.dumps(cbor2.CBORTag(42, Cid.of(0x55, b"").binary)),
    "a link that is text": cbor2.dumps(cbor2.CBORTag(42, "bafkqaaa")),
    "a link of another hash": cbor2.dumps(cbor2.CBORTag(42, b"\x00\x01\x55\x13\x20" + bytes(32))),
    "a link cut off": cbor2.dumps(cbor2.CBORTag(42, LINK.value[:-1])),
    "a link with more after it": cbor2.dumps(cbor2.CBORTag(42, LINK.value + b"\x00")),
    "a tag of a link written long": b"\xd9\x00\x2a" + cbor2.dumps(LINK)[2:],
    "too deep": b"\x81" * (dagcbor.MAX_DEPTH + 1) + b"\x01",
    "far too deep": b"\x81" * 500_000 + b"\x01",
    "too large": cbor2.dumps(bytes(dagcbor.MAX_BLOCK)),
    "too many": b"\x9a\x00\x0f\x00\x00" + b"\xa0" * 0xF0000,
}


@pytest.mark.parametrize("block", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_canonical_is_refused_in_a_sentence(block: bytes) -> None:
    with pytest.raises(EncodingError) as found:
        dagcbor.decode(block)
    assert str(found.value)


NO_PLACE = [
    *({1: 2}, {b"a": 1}, object(), {1}),
    *(1 << 64, -(1 << 64) - 1, float("nan"), float("inf")),
    *("\ud800", {"\ud800": 1}, bytes(dagcbor.MAX_BLOCK)),
]


@pytest.mark.parametrize("value", NO_PLACE, ids=lambda value: type(value).__name__)
def test_what_has_no_place_in_it_is_refused(value: Any) -> None:
    with pytest.raises(EncodingError):
        dagcbor.encode(value)


@given(CIDS)
def test_cids_come_back(cid: Cid) -> None:
    assert Cid.from_bytes(cid.binary) == Cid.parse(str(cid)) == Cid.parse(f"ipfs://{cid}") == cid
    assert CID.decode(str(cid)) == CID.decode(cid.binary)
    assert str(CID.decode(str(cid))) == str(cid)
