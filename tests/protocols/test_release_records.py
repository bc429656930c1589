"""What is signed about releases: it is read as it was written, and nothing that was changed on the way is believed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from mycelnode.encoding import encode
from mycelnode.errors import EncodingError
from mycelnode.identity import verify
from mycelnode.protocols.release_records import (
    CHOICES,
    MAX_NUMBER,
    MAX_RECORD_BYTES,
    Plan,
    Record,
    Seen,
    Spend,
    read_record,
)
from mycelnode.protocols.release_window import MAX_QUARTER, YEAR, Window

KEY = SigningKey(b"k" * 32)
ME = bytes(KEY.verify_key)
ROOT = b"r" * 32


def sign(message: bytes) -> bytes:
    return KEY.sign(message).signature


ids = st.binary(min_size=32, max_size=32)
plans = st.builds(
    Plan,
    st.just(ME),
    st.integers(0, MAX_NUMBER),
    st.integers(0, MAX_QUARTER),
    st.sampled_from((1, YEAR)),
    st.sampled_from(CHOICES),
    ids,
    st.none() | ids,
    st.none() | ids,
).filter(lambda plan: plan.releaser != plan.witness)
windows = st.builds(
    lambda start, size: Window(start, min(size, YEAR - start % YEAR)), st.integers(0, MAX_QUARTER), st.integers(1, YEAR)
)
spends = st.builds(Spend, st.just(ME), windows, st.sampled_from(CHOICES), ids, ids, st.binary(min_size=16, max_size=16))
records: st.SearchStrategy[Record] = st.one_of(plans, spends, st.builds(Seen, st.just(ME), ids)).map(
    lambda record: record.signed(ROOT, sign)
)


@given(records)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    again = read_record(record.encoded)
    assert again == record
    assert again.id == record.id
    assert len(record.encoded) <= MAX_RECORD_BYTES
    assert again.verified(ROOT, verify)


@given(records)
def test_a_record_of_another_mesh_is_not_signed_for_this_one(record: Record) -> None:
    assert not record.verified(b"x" * 32, verify)


ONE_OF_EACH = [
    Plan(ME, 1, 225, 1, "strict", ME, b"w" * 32, b"p" * 32),
    Plan(ME, 0, 0, YEAR, "loose", ME, None),
    Spend(ME, Window(225), "standard", b"v" * 32, b"d" * 32, b"n" * 16),
    Seen(ME, b"r" * 32),
]


@pytest.mark.parametrize("record", [one.signed(ROOT, sign) for one in ONE_OF_EACH], ids=lambda one: str(one.KIND))
def test_no_bit_of_it_can_be_changed(record: Record) -> None:
    for place in range(8 * len(record.encoded)):
        changed = bytearray(record.encoded)
        changed[place // 8] ^= 1 << place % 8
        with contextlib.suppress(EncodingError):
            assert not read_record(bytes(changed)).verified(ROOT, verify), f"bit {place}"


@given(st.binary(max_size=600))
def test_hostile_bytes_are_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(EncodingError, match=r"\w+ \w+"):
        read_record(data)


def body(*fields: object) -> bytes:
    return encode([encode(list(fields)), bytes(64)])


@pytest.mark.parametrize(
    "data",
    [
        body("plan", ME, 0, 0, 2, "strict", ME, None, None),
        body("plan", ME, 0, 0, True, "strict", ME, None, None),
        body("plan", ME, 0, 0, 1, "0.9", ME, None, None),
        body("plan", ME, -1, 0, 1, "strict", ME, None, None),
        body("plan", ME, 0, MAX_QUARTER + 1, 1, "strict", ME, None, None),
        body("plan", ME, 0, 0, 1, "strict", ME, ME, None),
        body("plan", ME, 0, 0, 1, "strict", ME, None),
        body("plan", b"short", 0, 0, 1, "strict", ME, None, None),
        body("spend", ME, 3, 2, "strict", ME, ME, bytes(16)),
        body("spend", ME, 3, 1, "strict", ME, ME, bytes(15)),
        body("seen", ME, bytes(31)),
        body("seen", ME, ME, ME),
        body("other", ME, ME),
        body("plan", ME, *range(20)),
        encode([encode(["seen", ME, ME]), bytes(63)]),
        encode([encode(["seen", ME, ME]), bytes(64), 1]),
        b"",
    ],
    ids=str,
)
def test_what_is_no_record_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(EncodingError, match=r"\w+ \w+"):
        read_record(data)
