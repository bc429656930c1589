"""Logs: only the device's own entries, all of them, in their order and for this mesh, reach a signed head."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.crdt.changelog import (
    MAX_CLOCK,
    MAX_ENTRY,
    MAX_SEQ,
    Head,
    SignedHead,
    chain,
    chain_digests,
    decode_entry,
    digest,
    encode_entry,
    genesis,
    head_message,
    sign_head,
    verify_batch,
    verify_head,
)
from mycelnode.encoding import encode
from mycelnode.errors import EncodingError, LogError, MycelError, ValueRefused
from mycelnode.identity import Identity, RootKey, verify

ROOT, OTHER_ROOT = RootKey(b"r" * 32).public, RootKey(b"s" * 32).public
ME, OTHER = Identity(b"1" * 32), Identity(b"2" * 32)


class Log:
    """A device's log of ``count`` entries."""

    def __init__(self, count: int, *, owner: Identity = ME, root: bytes = ROOT) -> None:
        self.owner, self.root = owner, root
        self.entries = [encode_entry(clock, [[1, "r", clock]]) for clock in range(1, count + 1)]
        self.heads = [genesis(root, owner.device)]
        for entry in self.entries:
            self.heads.append(Head(self.heads[-1].seq + 1, chain(self.heads[-1].hash, entry)))

    def signed(self, seq: int) -> SignedHead:
        return sign_head(self.root, self.owner.device, self.heads[seq], self.owner.sign)


def accepted(
    start: Head, entries: list[bytes], head: SignedHead, *, root: bytes = ROOT, device: bytes = ME.device
) -> bool:
    try:
        verify_batch(root, device, start, entries, head, verify)
    except LogError as error:
        return not str(error)
    return True


LOG = Log(6)


@pytest.mark.parametrize(("start", "end"), [(0, 6), (0, 1), (2, 5), (6, 6), (0, 0)])
def test_a_run_of_entries_that_reaches_a_signed_head_is_accepted(start: int, end: int) -> None:
    hashes = verify_batch(ROOT, ME.device, LOG.heads[start], LOG.entries[start:end], LOG.signed(end), verify)
    assert [Head(start + 1 + place, found) for place, found in enumerate(hashes)] == LOG.heads[start + 1 : end + 1]


def test_the_chain_is_the_one_documented() -> None:
    def blake(data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=32).digest()

    first, second = LOG.entries[:2]
    start = blake(b"mycel-log" + ROOT + ME.device)
    assert genesis(ROOT, ME.device) == (0, start)
    assert LOG.heads[2].hash == blake(blake(start + blake(first)) + blake(second))
    assert chain_digests(LOG.heads[0], map(digest, LOG.entries)) == [head.hash for head in LOG.heads[1:]]
    assert (
        head_message(ROOT, ME.device, LOG.heads[2])
        == b"mycel-head" + ROOT + ME.device + bytes(7) + b"\2" + LOG.heads[2].hash
    )


@given(rng=st.randoms(use_true_random=False), start=st.integers(0, 5), end=st.integers(0, 6))
def test_no_other_run_of_entries_is_accepted(rng: random.Random, start: int, end: int) -> None:
    """Truncated, reordered, repeated, replaced, inserted: whatever is not exactly the run is refused."""
    honest = LOG.entries[start:end]
    entries = list(honest)
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(entries) + 1)
        match rng.randrange(5):
            case 0:
                del entries[place : place + 1]
            case 1:
                rng.shuffle(entries)
            case 2:
                entries[place:place] = [rng.choice(LOG.entries)]
            case 3:
                entries[place : place + 1] = [encode_entry(9, [[1, "r", "forged"]])]
            case _:
                entries[place:place] = [b""]
    assert accepted(LOG.heads[start], entries, LOG.signed(end)) == (entries == honest and start <= end)


@given(place=st.integers(0, 200), bit=st.integers(0, 7))
def test_no_bit_of_an_entry_or_head_can_change(place: int, bit: int) -> None:
    def flipped(data: bytes) -> bytes:
        index = place % len(data)
        return data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :]

    start, head = LOG.heads[0], LOG.signed(6)
    entries = list(LOG.entries)
    entries[place % 6] = flipped(entries[place % 6])
    assert not accepted(start, entries, head)
    assert not accepted(start, LOG.entries, SignedHead(head.seq, flipped(head.hash), head.signature))
    assert not accepted(start, LOG.entries, SignedHead(head.seq, head.hash, flipped(head.signature)))
    assert not accepted(Head(0, flipped(start.hash)), LOG.entries, head)


def test_a_head_is_worth_something_for_one_mesh_device_and_position_only() -> None:
    start, head = LOG.heads[0], LOG.signed(6)
    assert accepted(start, LOG.entries, head)
    assert not accepted(start, LOG.entries, head, root=OTHER_ROOT)
    assert not accepted(genesis(OTHER_ROOT, ME.device), LOG.entries, head, root=OTHER_ROOT)
    assert not accepted(start, LOG.entries, head, device=OTHER.device)
    assert not accepted(genesis(ROOT, OTHER.device), LOG.entries, head, device=OTHER.device)
    assert not accepted(Head(1, start.hash), LOG.entries, SignedHead(7, head.hash, head.signature))
    assert not accepted(Head(1, start.hash), LOG.entries, head)
    for foreign in (Log(6, owner=OTHER), Log(6, root=OTHER_ROOT)):
        assert not accepted(foreign.heads[0], foreign.entries, foreign.signed(6))
        assert not accepted(start, foreign.entries, foreign.signed(6))
    wrong = sign_head(ROOT, ME.device, LOG.heads[6], OTHER.sign)
    assert not accepted(start, LOG.entries, wrong)


def test_a_signature_over_something_else_is_no_head() -> None:
    statement_like = ME.sign(b"mycel-statement" + ROOT + ME.device + bytes(8) + LOG.heads[6].hash)
    with pytest.raises(LogError):
        verify_head(ROOT, ME.device, SignedHead(6, LOG.heads[6].hash, statement_like), verify)


def test_entries_larger_than_any_device_may_write_are_refused_though_signed() -> None:
    huge = encode([1, [1, "r", bytes(MAX_ENTRY)]])
    start = genesis(ROOT, ME.device)
    head = sign_head(ROOT, ME.device, Head(1, chain(start.hash, huge)), ME.sign)
    with pytest.raises(LogError, match="larger than any device may write"):
        verify_batch(ROOT, ME.device, start, [huge], head, verify)


def test_a_chain_can_be_verified_where_contents_are_gone() -> None:
    digests = [digest(entry) for entry in LOG.entries]
    hashes = chain_digests(LOG.heads[0], digests)
    verify_head(ROOT, ME.device, SignedHead(6, hashes[-1], LOG.signed(6).signature), verify)


# --- the wire --------------------------------------------------------------------------------------------------------


def test_a_signed_head_travels() -> None:
    head = LOG.signed(3)
    assert SignedHead.from_wire(head.to_wire()) == head
    assert head.head == LOG.heads[3]


@pytest.mark.parametrize(
    "wire",
    [
        None, [], [1, b"h" * 32], [0, b"h" * 32, b"s" * 64], [MAX_SEQ + 1, b"h" * 32, b"s" * 64], [True, b"h" * 32, b"s" * 64],
        [1, b"h" * 31, b"s" * 64], [1, b"h" * 32, b"s" * 63], [1, "h" * 32, b"s" * 64], [1, b"h" * 32, b"s" * 64, 0],
        (1, b"h" * 32, b"s" * 64),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_signed_head_is_refused(wire: Any) -> None:
    with pytest.raises(EncodingError):
        SignedHead.from_wire(wire)


def test_an_entry_travels() -> None:
    assert decode_entry(encode_entry(7, [[1, "r", {"a": [1.5]}], [0]])) == [7, [1, "r", {"a": [1.5]}], [0]]
    assert decode_entry(encode([0, b"statement"])) == [0, b"statement"]
    assert decode_entry(encode([MAX_CLOCK, None])) == [MAX_CLOCK, None]  # operations are the document's business


def test_a_transaction_is_neither_empty_nor_large() -> None:
    with pytest.raises(ValueRefused, match="without operations"):
        encode_entry(1, [])
    with pytest.raises(ValueRefused, match="262,144 are allowed"):
        encode_entry(1, [[1, "r", bytes(MAX_ENTRY)]])
    filler = MAX_ENTRY - len(encode_entry(1, [[1, "r", bytes(1000)]])) + 1000 - 2
    assert len(encode_entry(1, [[1, "r", bytes(filler)]])) == MAX_ENTRY


DEEP: Any = 1
for _ in range(25):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=str(place))
        for place, value in enumerate(
            [
                1,
                [],
                [1],
                [0],
                [-1, [0]],
                [True, [0]],
                ["1", [0]],
                [0, [0]],
                [0, b"a", b"b"],
                [0, "text"],
                {1: 2},
                [1, DEEP],
            ]
        )
    ],
)
def test_what_is_no_entry_is_refused(value: Any) -> None:
    with pytest.raises((EncodingError, LogError)):
        decode_entry(encode(value))


@given(data=st.binary(max_size=40))
def test_noise_is_refused_or_read_as_it_would_be_written(data: bytes) -> None:
    try:
        entry = decode_entry(data)
    except MycelError:
        return
    assert encode(entry) == data


@pytest.mark.parametrize("data", ["82180180", "9f0180ff", "82018000", "8201c100", "8201f97e00", "820082", "a0"])
def test_another_encoding_of_an_entry_is_another_entry_and_refused(data: str) -> None:
    with pytest.raises(EncodingError):
        decode_entry(bytes.fromhex(data))
