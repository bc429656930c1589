"""The canonical state: read back exactly, continued equally, and refused when it is anything else."""

from __future__ import annotations

import copy
import random
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.crdt import columns, state
from mycelnode.crdt import document as ops
from mycelnode.crdt.document import Document
from mycelnode.crdt.operations import MAX_INDEX
from mycelnode.errors import EncodingError
from tests.crdt.writing import DEVICES, Entry, Writer, fold, histories, interleaved, live, logs_of, shown

A, B, C = DEVICES
randoms = st.randoms(use_true_random=False)


@given(history=histories, rng=randoms, cut=st.integers(0, 24))
def test_a_decoded_state_continues_to_fold_equally(history: list[Any], rng: random.Random, cut: int) -> None:
    entries = interleaved(logs_of(live(history)), rng)
    part = fold(entries[:cut])
    encoded = part.encode_state()
    decoded = Document.decode_state(encoded)
    assert decoded.encode_state() == encoded
    assert decoded.digest() == part.digest()
    assert decoded.applied == part.applied
    assert shown(decoded) == shown(part)
    assert fold(entries[cut:], decoded).encode_state() == fold(entries).encode_state()


@given(history=histories, size=st.integers(1, 400))
def test_a_state_travels_in_pieces_of_any_size(history: list[Any], size: int) -> None:
    document = fold(entry for log in logs_of(live(history)) for entry in log)
    encoded = document.encode_state()
    pieces = [encoded[start : start + size] for start in range(0, len(encoded), size)]
    assert Document.decode_state(iter(pieces)) == document


@given(history=histories)
def test_many_blocks_are_read_like_one(history: list[Any]) -> None:
    document = fold(entry for log in logs_of(live(history)) for entry in log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BLOCK_ROWS", 2)
        document._digest = None
        encoded = document.encode_state()
        assert Document.decode_state(encoded).encode_state() == encoded
    assert Document.decode_state(document.encode_state()).encode_state() == document.encode_state()


def test_a_large_state_is_cut_into_bounded_blocks() -> None:
    writer = Writer(A)
    for number in range(10):
        writer.write(number + 1, [ops.map_put("m", "🦔" * 500 + str(number * 500 + key), key) for key in range(80)])
        writer.write(number + 1, [ops.orset_add("s", key) for key in range(1000)])
        writer.write(number + 1, [ops.register_set("r", b"x" * 60_000), ops.gset_add("g", bytes([number]) * 190_000)])
    encoded = writer.document.encode_state()
    bodies = list(columns.frames([encoded[1:]]))
    assert len(bodies) > 15
    assert max(map(len, bodies)) <= columns.MAX_BLOCK
    assert Document.decode_state(encoded) == writer.document


def test_the_largest_numbers_survive() -> None:
    writer = Writer(A)
    writer.write((1 << 63) - 1, [[6, "c", 1 << 53]] * 1100 + [[6, "d", -(1 << 53)]] * 1100)
    for _ in range(3):
        writer.write(
            1, [[6, "c", 1 << 53], [2, "m", "k", (1 << 63) - 1], [2, "m", "l", -(1 << 63)], [2, "m", "", 1e300]]
        )
    writer.write(1, [[5, "s", 1, [[B, (1 << 48) - 1, MAX_INDEX]]]])
    decoded = Document.decode_state(writer.document.encode_state())
    assert shown(decoded) == shown(writer.document)
    assert decoded.counter("c").value == 1103 << 53


def test_equal_documents_are_small() -> None:
    writer = Writer(A)
    for number in range(1000):
        writer.write(number << 16, [ops.map_put("m", f"{number:04}", number)])
    assert len(writer.document.encode_state()) < 20_000  # 20 bytes a key, the key and value included


# --- what comes from outside -----------------------------------------------------------------------------------------


def example() -> Document:
    """A document with rows in every section."""
    a, b = Writer(A), Writer(B)
    a.write(
        70_000,
        [[1, "r", "x"], [2, "m", "k", 1], [2, "m", "l", {"a": [1]}], [4, "s", "x"], [4, "s", "y"], [7, "v", 1, []]],
    )
    a.write(70_001, [[2, "m", "l"], [3, "g", b"e"], [3, "g", 1], [6, "c", 5], [6, "c", -7]])
    b.write(
        9, [[6, "c", 1 << 53], [5, "s", "z", [[C, 7, 1]]], [7, "v", 2, [[C, 7, 2, 8, 0]]], [5, "s", "x", [[A, 1, 3]]]]
    )
    b.write(10, [[9, C, 4, b"h" * 32, 8, [[6, "c", 3], [4, "s", "r"], [7, "v", 3, []], [2, "m", "q", 1]]]])
    b.write(11, [[5, "s", "w", [[b"f" * 32, 0, 1]]], [6, "c", 2]])
    return fold([*a.log, *b.log])


STATE = example().encode_state()
NEXT: Any = [
    [1, "r", 1], [2, "m", "k"], [2, "m", "l", 1], [3, "g", 1], [4, "s", "x"], [5, "s", "y", [[A, 1, 4], [C, 9, 1]]], [6, "c", -1],
    [7, "v", 2, [[A, 1, 5]]], [9, C, 4, b"h" * 32, 8, [[6, "c", 4], [7, "v", 4, []]]],
]  # fmt: skip


def refused_or_canonical(data: bytes) -> bool:
    """Is ``data`` refused, and in the one way allowed? If it is read, then it must be exactly what is written again."""
    try:
        document = Document.decode_state(data)
    except EncodingError:
        return True
    assert document.encode_state() == data
    for device in DEVICES:  # whatever it holds, life goes on from there
        document.apply(device, document.applied.get(device, 0) + 1, b"n" * 32, 80_000, NEXT)
    shown(document)
    document.merge(document.copy())
    Document.decode_state(document.encode_state())
    return False


def test_the_example_has_every_section() -> None:
    assert {columns.read_block(body)[0] for body in columns.frames([STATE[1:]])} == set(range(13))
    assert not refused_or_canonical(STATE)


def test_every_truncation_is_refused_unless_it_is_a_state() -> None:
    boundaries = {1}
    for body in columns.frames([STATE[1:]]):
        boundaries.add(max(boundaries) + columns.LENGTH_BYTES + len(body))
    for length in range(len(STATE)):
        assert refused_or_canonical(STATE[:length]) or length in boundaries
    assert refused_or_canonical(b"")
    assert not refused_or_canonical(state.VERSION)


@given(place=st.integers(0, len(STATE) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_another_state(place: int, byte: int) -> None:
    refused_or_canonical(STATE[:place] + bytes([byte]) + STATE[place + 1 :])


@given(start=st.integers(0, len(STATE)), end=st.integers(0, len(STATE)), more=st.binary(max_size=8))
def test_a_replaced_piece_is_refused_or_another_state(start: int, end: int, more: bytes) -> None:
    refused_or_canonical(STATE[:start] + more + STATE[end:])


@given(data=st.binary(max_size=60))
def test_noise_is_refused(data: bytes) -> None:
    refused_or_canonical(state.VERSION + len(data).to_bytes(4, "big") + data)
    refused_or_canonical(data)


# Blocks that are well-formed CBOR and wrong inside get further than noise.
number = st.integers(-2, 3) | st.sampled_from([1 << 48, 1 << 63, (1 << 64) - 1, -(1 << 63)])
item = st.one_of(
    number, st.none(), st.booleans(), st.floats(), st.binary(max_size=3), st.text(max_size=2), st.just([]), st.just({}),
    st.lists(number, max_size=6), st.sampled_from([A, b"f" * 32, A + B, b"\0" * 8, cbor2.CBORTag(2, b"1" * 9), cbor2.undefined]),
)  # fmt: skip


def edit(value: Any, rng: random.Random, new: Any) -> Any:
    """``value`` with one part of it, at any depth, replaced, repeated, moved or taken out."""
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                return value[:place] + value[place + 1 :]
            case 1:
                return [*value[:place], value[place], *value[place:]]
            case 2:
                return [*value[place:], *value[:place]]
            case _:
                return [*value[:place], edit(value[place], rng, new), *value[place + 1 :]]
    if type(value) is int and rng.random() < 0.6:
        return value + rng.choice((-1, 1))
    if isinstance(value, bytes) and value and rng.random() < 0.4:
        half = len(value) // 2
        return rng.choice((value[half:], value + value, value[half:] + value[:half], value + b"x"))
    return copy.deepcopy(new) if isinstance(new, list | dict) else new


def block_of(value: Any) -> bytes:
    body = cbor2.dumps(value)
    return len(body).to_bytes(columns.LENGTH_BYTES, "big") + body


@settings(max_examples=600)
@given(rng=randoms, new=item, times=st.integers(1, 2))
def test_wrong_blocks_are_refused_or_another_state(rng: random.Random, new: Any, times: int) -> None:
    blocks = [cbor2.loads(body) for body in columns.frames([STATE[1:]])]
    for _ in range(times):
        if rng.random() < 0.2:
            moved = edit(blocks, rng, new)
            blocks = moved if isinstance(moved, list) else [moved]
        elif blocks:
            place = rng.randrange(len(blocks))
            blocks[place] = edit(blocks[place], rng, new)
    refused_or_canonical(state.VERSION + b"".join(map(block_of, blocks)))


def changed(section: int, column: int, value: Any) -> bytes:
    """The example with one column of one section replaced."""
    blocks = [cbor2.loads(body) for body in columns.frames([STATE[1:]])]
    for block in blocks:
        if block[0] == section:
            block[2 + column] = value
    return state.VERSION + b"".join(map(block_of, blocks))


@pytest.mark.parametrize(
    ("section", "column", "value"),
    [
        pytest.param(state.REGISTERS, 6, ["x", "y"], id="more values than keys"),
        pytest.param(state.MAP_LIVE, 6, [1], id="fewer values than keys"),
        pytest.param(state.MAP_LIVE, 5, ["k", "k"], id="a key twice"),
        pytest.param(state.REGISTERS, 5, [""], id="a register without a name"),
        pytest.param(state.DEVICES, 1, [0, 9, 9, 9, 9], id="more applied than hashes"),
        pytest.param(state.COUNTER_TOTALS, 2, [b"\0" * 17, b"\0"], id="a total too long"),
        pytest.param(state.COUNTER_TAGS, 1, [0, 2, -1, 0], id="entries that do not ascend"),
        pytest.param(state.MULTI_KILLED, 3, [1, 2], id="a version with a label"),
        pytest.param(state.ORSET_ALIVE, 1, [0, 90], id="an add that is not applied"),
        pytest.param(state.ORSET_KILLED, 1, [0, 1], id="a remove that has served"),
        pytest.param(state.RESCUES, 0, b"x", id="half a fingerprint"),
    ],
)
def test_what_the_parts_promise_each_other_is_checked(section: int, column: int, value: Any) -> None:
    assert refused_or_canonical(changed(section, column, value))


def test_an_order_or_version_of_its_own_is_refused() -> None:
    bodies = list(columns.frames([STATE[1:]]))
    blocks = [len(body).to_bytes(columns.LENGTH_BYTES, "big") + body for body in bodies]
    assert refused_or_canonical(state.VERSION + b"".join(reversed(blocks)))
    assert refused_or_canonical(STATE + blocks[-1])
    assert refused_or_canonical(b"\x02" + STATE[1:])
    assert refused_or_canonical(state.VERSION + block_of([13, "", b""]))
    assert refused_or_canonical(state.VERSION + block_of([state.DEVICES, "x", A, [0, 1], b"h" * 32]))


def test_a_state_larger_than_allowed_is_refused_before_it_is_held() -> None:
    read = 0

    def endless() -> Any:
        nonlocal read
        yield state.VERSION + (columns.MAX_BLOCK).to_bytes(4, "big")
        while True:
            read += 1
            yield b"\0" * 1000

    with pytest.raises(EncodingError, match="more than 20000 bytes"):
        Document.decode_state(endless(), max_bytes=20_000)
    assert read <= 21
    with pytest.raises(EncodingError, match="too large"):
        Document.decode_state(state.VERSION + (columns.MAX_BLOCK + 1).to_bytes(4, "big"))


def test_a_run_cannot_stand_for_more_rows_than_there_are() -> None:
    rows = [1, 5, (1 << 63) - 1]
    assert refused_or_canonical(state.VERSION + block_of([state.DEVICES, "", A, rows, b"h" * 32]))


def test_a_state_reveals_an_equal_set_of_entries_only() -> None:
    one, other = fold([Entry(A, 1, b"1" * 32, 1, [[0]])]), fold([Entry(A, 1, b"2" * 32, 1, [[0]])])
    assert one != other
    assert one.encode_state() != other.encode_state()


def test_a_state_of_our_own_is_told_by_its_digest() -> None:
    document = Document()
    document.apply(b"d" * 32, 1, b"h" * 32, 10, [[2, "m", "k", "v"]])
    encoded = document.encode_state()
    assert Document.decode_state(encoded, ours=document.digest()) == document
    with pytest.raises(EncodingError):
        Document.decode_state(encoded.replace(b"av", b"aw"), ours=document.digest())
