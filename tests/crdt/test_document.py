"""The document: a function of the set of entries applied, whatever nonsense some of them hold."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.crdt import document as ops
from mycelnode.crdt.changelog import MAX_CLOCK, MAX_SEQ
from mycelnode.crdt.document import Document, from_verb, plain
from mycelnode.crdt.fold import Change
from mycelnode.crdt.operations import (
    MAX_DOT_BYTES,
    MAX_INDEX,
    MAX_KEY_CHARS,
    MAX_NAME_CHARS,
    describe,
    dot_groups,
    read_dots,
)
from mycelnode.encoding import encode
from mycelnode.errors import LogError, ValueRefused
from tests.crdt.writing import DEVICES, NAMES, Entry, Writer, fold, histories, interleaved, live, logs_of, oracle, shown

A, B, C = DEVICES
randoms = st.randoms(use_true_random=False)


@given(history=histories, rng=randoms)
def test_any_order_that_keeps_each_log_in_order_gives_the_same_state(history: list[Any], rng: random.Random) -> None:
    logs = logs_of(live(history))
    one, other = fold(interleaved(logs, rng)), fold(interleaved(logs, rng))
    assert one.encode_state() == other.encode_state()
    assert one.digest() == other.digest()
    assert one == other
    assert one.skipped == 0


@given(history=histories)
def test_the_document_shows_what_the_definitions_say(history: list[Any]) -> None:
    writers = live(history)
    everything = [entry for log in logs_of(writers) for entry in log]
    assert shown(fold(everything)) == oracle(everything)
    for writer in writers:  # and so at each device, for as much as it has learnt
        known = [entry for entry in everything if entry.seq <= writer.document.applied.get(entry.device, 0)]
        assert shown(writer.document) == oracle(known)


@given(history=histories, rng=randoms)
def test_merging_documents_is_applying_both_sets_of_entries(history: list[Any], rng: random.Random) -> None:
    writers = live(history)
    whole = fold(interleaved(logs_of(writers), rng))
    one, other, third = (writer.document for writer in writers)
    left, right = one.copy(), other.copy()
    left.merge(other)
    right.merge(one)
    assert left.encode_state() == right.encode_state()
    again = left.copy()
    again.merge(left)
    again.merge(one)
    assert again == left
    left.merge(third)
    assert left == whole
    right.merge(third.copy())
    assert right.encode_state() == whole.encode_state()


@given(history=histories, rng=randoms, cut=st.integers(0, 20))
def test_a_merged_or_copied_document_continues_to_fold_equally(
    history: list[Any], rng: random.Random, cut: int
) -> None:
    writers = live(history)
    entries = interleaved(logs_of(writers), rng)
    whole = fold(entries)
    part = fold(entries[:cut])
    assert fold(entries[cut:], part.copy()) == whole
    part.merge(writers[0].document)
    rest = [entry for entry in entries if entry.seq > part.applied.get(entry.device, 0)]
    assert fold(rest, part) == whole


@given(history=histories, rng=randoms)
def test_an_entry_is_applied_once_and_in_its_turn(history: list[Any], rng: random.Random) -> None:
    entries = interleaved(logs_of(live(history)), rng)
    document = fold(entries)
    before = document.encode_state()
    for entry in entries:
        with pytest.raises(LogError):
            document.apply(*entry)
    for device in DEVICES:
        ahead = document.applied.get(device, 0) + 2
        with pytest.raises(LogError):
            document.apply(device, ahead, b"h" * 32, 1, [["x"]])
    assert document.encode_state() == before


@pytest.mark.parametrize(
    "wrong",
    [
        (A[:31], 1, b"h" * 32, 1, []),
        (A, 1, b"h" * 31, 1, []),
        (A, 1, b"h" * 32, -1, []),
        (A, 1, b"h" * 32, MAX_CLOCK + 1, []),
        (A, 0, b"h" * 32, 1, []),
        (A, MAX_SEQ + 1, b"h" * 32, 1, []),
        (A, 1, b"h" * 32, 1, [[0]] * (MAX_INDEX + 2)),
    ],
)
def test_what_is_no_entry_is_refused_and_changes_nothing(wrong: Any) -> None:
    document = Document()
    with pytest.raises(LogError):
        document.apply(*wrong)
    assert document == Document()


def test_documents_of_different_logs_are_not_merged() -> None:
    one, other = Writer(A), Writer(A)
    one.write(1, [ops.map_put("m", "k", 1)])
    other.write(1, [ops.map_put("m", "k", 2)])
    before = one.document.encode_state()
    with pytest.raises(LogError):
        one.document.merge(other.document)
    assert one.document.encode_state() == before


@given(history=histories, rng=randoms)
def test_changes_tell_exactly_what_changed(history: list[Any], rng: random.Random) -> None:
    document, model = Document(), {}  # type: ignore[var-annotated]
    for entry in interleaved(logs_of(live(history)), rng):
        for change in document.apply(*entry):
            place = (change.kind, change.name, encode(change.key))
            assert encode(model.get(place, False if change.kind in ("gset", "orset") else None)) in (
                encode(change.old),
                *([encode(None)] if change.old in (0, []) else []),
            )
            model[place] = change.new
    for name in NAMES:
        for kind in ("gset", "orset"):
            view = document.view(name, kind)
            told = sorted(key for (k, n, key), there in model.items() if (k, n) == (kind, name) and there)
            assert told == sorted(map(encode, view))  # type: ignore[arg-type]
        told_map = {key: value for (k, n, key), value in model.items() if (k, n) == ("map", name) and value is not None}
        assert {k: encode(v) for k, v in told_map.items()} == {
            encode(k): encode(v) for k, v in document.map(name).items() if v is not None
        }
        assert model.get(("counter", name, encode(None)), 0) == document.counter(name).value
        assert encode(model.get(("register", name, encode(None)))) == encode(document.register(name).get())
        assert encode(model.get(("multi", name, encode(None)), [])) == encode(document.multi(name).values())


# --- malformed operations --------------------------------------------------------------------------------------------

junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3) | st.binary(max_size=33) | st.just(A),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=8,
)  # fmt: skip
dots = st.lists(st.tuples(st.sampled_from(DEVICES), st.integers(0, 4), st.integers(0, 3)), max_size=4).map(dot_groups)
nearly = st.one_of(
    st.tuples(st.integers(-1, 10), st.sampled_from(["n", "m", ""]), st.sampled_from([1, "k"]), dots | junk).map(list),
    st.tuples(st.integers(-1, 10), st.sampled_from(["n", "m"]), st.sampled_from([1, "k"])).map(list),
    st.lists(junk, max_size=6),
    st.tuples(st.integers(0, 10), st.lists(junk, max_size=5)).map(lambda pair: [pair[0], *pair[1]]),
    junk,
)
rescues = st.recursive(
    st.lists(nearly, max_size=4),
    lambda inner: st.lists(
        nearly
        | st.tuples(
            st.just(9),
            st.sampled_from(DEVICES) | junk,
            st.integers(0, 3),
            st.just(b"e" * 32) | junk,
            st.integers(0, 9),
            inner,
        ).map(list),
        max_size=4,
    ),
    max_leaves=4,
)
garbage_logs = st.lists(st.lists(rescues, max_size=4), min_size=3, max_size=3)


@settings(max_examples=300)
@given(logs=garbage_logs, rng=randoms)
def test_malformed_operations_are_skipped_alike_whatever_the_order(logs: list[list[Any]], rng: random.Random) -> None:
    writers = [Writer(device) for device in DEVICES]
    for writer, log in zip(writers, logs, strict=True):
        for number, operations in enumerate(log):
            writer.write(number % 3 + 1, operations)
    first, second = fold(interleaved(logs_of(writers), rng)), fold(interleaved(logs_of(writers), rng))
    assert first.encode_state() == second.encode_state()
    assert first.skipped == second.skipped
    assert Document.decode_state(first.encode_state()).encode_state() == first.encode_state()
    merged = Document()
    for writer in writers:
        merged.merge(writer.document)
    assert merged == first


LONG = "x" * (MAX_KEY_CHARS + 1)
DEEP: Any = None
for _ in range(17):
    DEEP = [DEEP]
MALFORMED: list[Any] = [
    None, 1, [], [None], [True, "n", 1], [8, "n", 1], [99], [-1], [1.0, "n", 1], [0, 0], [[1], "n", 1],
    [1, "n"], [1, "", 1], [1, "n" * (MAX_NAME_CHARS + 1), 1], [1, b"n", 1], [1, "n", DEEP], [1, "n", {1.5: 1}], [1, "\ud800", 1],
    [1, "n", float("nan")], [1, "n", 1 << 64], [1, "n", "\udfff"],
    [2, "n"], [2, "n", 1, 1], [2, "n", LONG, 1], [2, "n", "k", 1, 2], [2, "n", "\ud800", 1],
    [3, "n"], [3, "n", 1, 2], [4, "n"], [4, "n", 1, []],
    [5, "n", 1], [5, "n", 1, None], [5, "n", 1, [[A]]], [5, "n", 1, [[A, 1]]], [5, "n", 1, [[A[1:], 1, 1]]],
    [5, "n", 1, [[A, -1, 1]]], [5, "n", 1, [[A, 1, MAX_INDEX + 1]]], [5, "n", 1, [[A, MAX_SEQ + 1, 1]]],
    [5, "n", 1, [[A, True, 1]]], [5, "n", 1, [[A, 1, 1, 2]]], [5, "n", 1, [A, 1, 1]], [7, "n", 1], [7, "n", 1, [[1, 1, 1]]],
    [6, "n"], [6, "n", "1"], [6, "n", 1.0], [6, "n", True], [6, "n", (1 << 53) + 1],
    [9], [9, A, 1, b"h" * 32, 1], [9, A, 0, b"h" * 32, 1, []], [9, A, 1, b"h", 1, []], [9, b"", 1, b"h" * 32, 1, []],
    [9, A, 1, b"h" * 32, -1, []], [9, A, 1, b"h" * 32, 1, {}], [9, A, 1, b"h" * 32, 1, [object()]],
]  # fmt: skip


@pytest.mark.parametrize("op", MALFORMED, ids=range(len(MALFORMED)))
def test_each_malformed_operation_is_skipped_and_changes_nothing(op: Any) -> None:
    well, ill = Document(), Document()
    well.apply(A, 1, b"h" * 32, 1, [[0], ops.map_put("n", "k", 1)])
    ill.apply(A, 1, b"h" * 32, 1, [op, ops.map_put("n", "k", 1)])
    assert ill == well
    assert ill.skipped == 1
    assert ill.names() == [("n", "map")]
    assert "\x1b" not in describe(op)


def test_a_statement_is_an_entry_without_operations() -> None:
    document = Document()
    assert document.apply(A, 1, b"h" * 32, 0, []) == []
    assert dict(document.applied) == {A: 1}
    assert document.applied_hash(A) == b"h" * 32
    assert document.applied_hash(B) is None


# --- building and reading --------------------------------------------------------------------------------------------


def test_a_remove_names_what_is_there_and_is_nothing_where_nothing_is() -> None:
    writer = Writer(A)
    assert writer.document.remove("s", "x") is None
    writer.write(1, [ops.orset_add("s", "x"), ops.orset_add("s", "x")])
    writer.write(2, [ops.orset_add("s", "x")])
    assert writer.document.remove("s", "x") == [5, "s", "x", [[A, 1, 0, 1, 1, 2, 0]]]
    assert writer.document.remove("s", "y") is None


def test_a_remove_that_comes_before_its_add_is_remembered_as_long_as_needed() -> None:
    add = Entry(A, 1, b"a" * 32, 1, [ops.orset_add("s", "x")])
    remove = Entry(B, 1, b"b" * 32, 2, [ops.orset_remove("s", "x", [(A, 1, 0)])])
    early = fold([remove])
    assert early.names() == []
    assert fold([add], early.copy()) == fold([add, remove])
    assert len(fold([remove, add]).encode_state()) < len(early.encode_state()) + 40


def test_verbs_build_the_operations_people_mean() -> None:
    document = Document()
    assert from_verb(document, ["put", "m", "k", 1]) == [2, "m", "k", 1]
    assert from_verb(document, ("delete", "m", "k")) == [2, "m", "k"]
    assert from_verb(document, ["assign", "v", 1]) == [7, "v", 1, []]
    assert from_verb(document, ["remove", "s", 1]) is None
    wrong_ones: list[Any] = [
        "put", [], ["shout", "m"], ["put", "m"], ["put", "", "k", 1], ["put", "m", LONG, 1], ["set", "r", {2}],
        ["count", "c", 1.5], ["set", None, 1], [["put"], "m"],
    ]  # fmt: skip
    for wrong in wrong_ones:
        with pytest.raises(ValueRefused):
            from_verb(document, wrong)


def test_views_show_the_collection_as_it_is_now() -> None:
    writer = Writer(A)
    views = {kind: writer.document.view("n", kind) for kind in ("register", "map", "gset", "orset", "counter", "multi")}
    assert [plain(writer.document, "n", kind) for kind in views] == [None, {}, [], [], 0, []]
    assert writer.document.register("n").get("default") == "default"
    writer.write(1, [[1, "n", b"\xff"], [2, "n", "k", 2], [3, "n", 3], [4, "n", 4], [6, "n", 5], [7, "n", 6, []]])
    assert [plain(writer.document, "n", kind) for kind in views] == ["ff", {"k": 2}, [3], [4], 5, [6]]
    assert [name for name, _ in writer.document.names()] == ["n"] * 6
    assert 3 in views["gset"]  # type: ignore[operator]
    assert "k" in views["map"]  # type: ignore[operator]
    with pytest.raises(KeyError):
        writer.document.map("n")["l"]
    with pytest.raises(ValueRefused):
        writer.document.view("n", "queue")


@pytest.mark.parametrize(
    "write", [ops.register_set, lambda name, value: ops.map_put(name, "k", value), None], ids=["set", "put", "assign"]
)
def test_a_change_between_values_that_python_mixes_up_is_told(write: Any) -> None:
    writer = Writer(A)
    for number, value in enumerate((1, True, 1.0)):
        op = writer.document.assign("n", value) if write is None else write("n", value)
        (change,) = writer.document.apply(A, number + 1, b"h" * 32, number + 1, [op])
        assert encode(change.new) == encode([value] if write is None else value)


def test_a_change_can_say_that_all_must_be_read_anew() -> None:
    assert Change.refolded(None).kind == "refolded"


def test_an_operation_names_no_more_dots_than_fit() -> None:
    many = [(device, seq, 0) for device in (A, B) for seq in range(1, 60_000)]
    groups = dot_groups(many)
    assert len(encode(groups)) <= MAX_DOT_BYTES
    assert set(read_dots(groups) or ()) < set(many)


@given(op=nearly)
def test_a_description_is_one_harmless_line(op: Any) -> None:
    assert describe(op).isprintable()
    assert len(describe(op)) < 4000


def test_an_entry_that_replaces_versions_thousands_of_times_does_not_copy_the_large_ones_as_often() -> None:
    """63 versions of 250 KB (16 MB of log), then one entry of 256 KiB: what a change shows was 150 GB in all."""
    document = Document()
    for seq in range(1, 64):
        document.apply(A, seq, bytes(32), 1, [[7, "draft", f"{seq}" + "x" * 250_000, []]])
    following = [[7, "draft", 1, [] if index == 0 else [[A, 64, index - 1]]] for index in range(4000)]
    assert len(encode([1, *following])) < 256 << 10
    tracemalloc.start()
    changes = document.apply(A, 64, bytes(32), 1, following)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20
    assert {(change.old, change.new) for change in changes} == {(None, None)}
    assert len(document.multi("draft").values()) == 64
