"""Canonical CBOR: one value, one encoding, and nothing hostile gets further than an error."""

from __future__ import annotations

import itertools
import time

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.encoding import MAX_BYTES, base32, decode, encode, from_base32, key_of_peer, peer_id
from mycelnode.errors import EncodingError

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=40)
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=20,
)


def kinds(value: object) -> object:
    """The value with its types, as 1 == True == 1.0 in Python."""
    if isinstance(value, list):
        return [kinds(item) for item in value]
    if isinstance(value, dict):
        return {(type(key), key): kinds(item) for key, item in value.items()}
    return type(value), value


@given(plain)
def test_what_is_encoded_comes_back_and_has_one_encoding(value: object) -> None:
    data = encode(value)
    assert kinds(decode(data)) == kinds(value)
    assert encode(decode(data)) == data


@given(st.binary(max_size=200))
def test_bytes_from_outside_give_a_value_or_one_kind_of_error(data: bytes) -> None:
    try:
        value = decode(data)
    except EncodingError:
        return
    assert encode(value) == data


@given(plain, st.data())
def test_damaged_encodings_are_refused_or_canonical(value: object, data: st.DataObject) -> None:
    whole = bytearray(encode(value))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode(bytes(whole))
    except EncodingError:
        return
    assert encode(changed) == bytes(whole)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode(1) + b"\x00",
        b"\x18\x01",  # 1 in two bytes
        b"\x9f\x01\xff",  # a list of indefinite length
        b"\xa2\x01\x01\x01\x02",  # one key twice
        b"\xa2\x02\x01\x01\x01",  # keys out of order
        b"\xf9\x7e\x00",  # not a number
        b"\xf7",  # undefined
        b"\xc2\x49" + b"\x01" + bytes(8),  # a bignum
        b"\x1b" + b"\xff" * 8,  # beyond 64 bits signed
        b"\x81" * 1000 + b"\x00",
        b"\x9b" + b"\xff" * 8,  # a list of 2^64 items
        bytes(MAX_BYTES + 1),
    ],
)
def test_what_is_not_canonical_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode(data)


@pytest.mark.parametrize("tag", range(300))
def test_tags_are_refused(tag: int) -> None:
    head = (
        bytes([0xC0 | tag]) if tag < 24 else b"\xd8" + bytes([tag]) if tag < 256 else b"\xd9" + tag.to_bytes(2, "big")
    )
    for content in (b"\x01", b"\x61a", b"\x82\x01\x02"):
        with pytest.raises(EncodingError):
            decode(head + content)


def test_a_tagged_number_is_refused_before_it_is_built() -> None:
    """A decimal of 250 KB takes cbor2 nine seconds to build; this one would take hours, if it got that far."""
    huge = cbor2.dumps(cbor2.CBORTag(4, [2, cbor2.CBORTag(2, b"\xff" * (MAX_BYTES - 100))]))
    with pytest.raises(EncodingError, match="semantic tag"):
        decode(huge)


@pytest.mark.parametrize("head", [b"", b"\xa1\x01"], ids=["at once", "below a map with integers as keys"])
def test_keys_that_all_have_one_hash_cost_no_more_than_others(head: bytes) -> None:
    """Python's hash of -1 is that of -2, and so is that of every list of them: in 58,000 such keys, looking each one up among
    those before it takes half a minute."""
    keys = itertools.product((b"\x20", b"\x21"), repeat=16)
    pairs = b"".join(b"\x90" + b"".join(next(keys)) + b"\x00" for _ in range(58_000))
    started = time.process_time()
    with pytest.raises(EncodingError, match="key"):
        decode(head + b"\xb9" + (58_000).to_bytes(2, "big") + pairs)
    assert time.process_time() - started < 1


@given(st.dictionaries(st.integers(-(2**63), 2**63 - 1), plain, min_size=1, max_size=3), st.data())
def test_keys_that_are_integers_are_read_by_another_way_and_held_to_the_same(
    value: object, data: st.DataObject
) -> None:
    whole = encode([value, "x" * 30, {b"": [value]}])
    assert encode(decode(whole)) == whole
    with pytest.raises(EncodingError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=64))
def test_base32_comes_back(data: bytes) -> None:
    assert from_base32(base32(data)) == data
    assert from_base32(base32(data).upper()) == data


@given(st.binary(min_size=32, max_size=32))
def test_peer_ids_come_back(key: bytes) -> None:
    text = peer_id(key)
    assert text.startswith("12D3KooW")
    assert key_of_peer(text) == key
    for damaged in (text[:-1], text + "1", text.replace(text[20], "l"), "x" + text[1:], ""):
        with pytest.raises(EncodingError):
            key_of_peer(damaged)


@pytest.mark.parametrize(
    "item", [b"\x80", b"\xa0", b"\x40", b"\x01", b"\xf6"], ids=["list", "map", "bytes", "int", "null"]
)
def test_many_items_in_few_bytes_are_refused_before_anything_is_made_of_them(item: bytes) -> None:
    count = 1000
    made = b"\x99" + count.to_bytes(2, "big") + item * count
    assert decode(made, max_items=count + 1) == decode(made)
    with pytest.raises(EncodingError, match=f"more than {count} items"):
        decode(made, max_items=count)
    nested = b"\x82" + made + made
    assert decode(nested, max_items=2 * count + 3) == decode(nested)
    with pytest.raises(EncodingError, match="items"):
        decode(nested, max_items=2 * count)
    declared = b"\x9a\xff\xff\xff\xff" + item * count  # more than there are
    with pytest.raises(EncodingError, match="items"):
        decode(declared, max_items=count)
