"""Rescue: what another device wrote beyond its fence, re-issued. Once, whoever does it, and as it would have been."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.crdt import document as ops
from mycelnode.crdt import fold as folding
from mycelnode.crdt.changelog import decode_entry, encode_entry
from mycelnode.crdt.document import Document
from mycelnode.crdt.fold import Origin, fingerprint
from mycelnode.crdt.operations import MAX_RESCUE_DEPTH, NOTHING, RESCUE, Operation
from mycelnode.errors import EncodingError
from tests.crdt.writing import (
    DEVICES,
    Entry,
    Writer,
    fold,
    histories,
    interleaved,
    live,
    logs_of,
    oracle,
    shown,
    writes,
)

A, B, C = DEVICES
LATE = 100  # a clock after everything in the histories
randoms = st.randoms(use_true_random=False)
fences = st.integers(-4, -1)  # how many of C's entries lie beyond its fence
fenced_histories = st.tuples(histories, writes, histories).map(lambda h: [*h[0], (h[1][0], 2, *h[1][2:]), *h[2]])


def rescue(document: Document, entries: Sequence[Entry]) -> list[Operation]:
    """What a device that holds ``document`` re-issues of these entries."""
    hashes = {(entry.device, entry.seq): entry.hash for entry in entries}
    found = (document.rescue_ops(*entry, lambda device, seq: hashes.get((device, seq))) for entry in entries)
    return [operation for operation in found if operation is not None]


def carried(writer: Writer, operations: Sequence[Operation], clock: int = LATE) -> Entry:
    """The entry with which ``writer`` rescues, as the next of its log."""
    last = writer.log[-1].seq if writer.log else 0
    return Entry(writer.device, last + 1, bytes([writer.device[0], clock % 251]) * 16, clock, operations)


def split(history: list[Any], fence: int) -> tuple[list[Writer], list[list[Entry]], Sequence[Entry]]:
    """Three devices; the logs as far as they count, when C's last ``-fence`` entries do not; what lies beyond it."""
    writers = live(history)
    a, b, c = logs_of(writers)
    return writers, [a, b, c[:fence]], c[fence:]


@given(history=fenced_histories, fence=fences, rng=randoms)
def test_a_full_rescue_shows_what_would_be_there_without_the_fence(
    history: list[Any], fence: int, rng: random.Random
) -> None:
    (writer, _, _), counted, beyond = split(history, fence)
    rescued = rescue(fold(interleaved(counted, rng)), beyond)
    document = fold(interleaved([[*counted[0], carried(writer, rescued)], *counted[1:]], rng))
    assert document.skipped == 0
    assert shown(document) == oracle([*(entry for log in counted for entry in log), *beyond])


@given(history=fenced_histories, fence=fences, rng=randoms, known=st.integers(0, 12))
def test_a_rescue_together_with_the_original_shows_the_original_alone(
    history: list[Any], fence: int, rng: random.Random, known: int
) -> None:
    (writer, _, _), counted, beyond = split(history, fence)
    everything = [*(entry for log in counted for entry in log), *beyond]
    entries = [
        [*counted[0], carried(writer, rescue(fold(interleaved(counted, rng)), beyond))],
        counted[1],
        [*counted[2], *beyond],
    ]
    assert shown(fold(interleaved(entries, rng))) == oracle(everything)
    half = fold(interleaved(entries, rng)[:known])  # and through a state
    rest = [entry for entry in interleaved(entries, rng) if entry.seq > half.applied.get(entry.device, 0)]
    assert shown(fold(rest, Document.decode_state(half.encode_state()))) == oracle(everything)


@given(history=fenced_histories, fence=fences, rng=randoms)
def test_it_does_not_matter_who_rescues_nor_how_many(history: list[Any], fence: int, rng: random.Random) -> None:
    (a, b, _), counted, beyond = split(history, fence)
    operations = rescue(fold(interleaved(counted, rng)), beyond)
    by_a, by_b = [*counted[0], carried(a, operations)], [*counted[1], carried(b, operations, LATE + 1)]
    alone = fold(interleaved([by_a, *counted[1:]], rng))
    other = fold(interleaved([counted[0], by_b, counted[2]], rng))
    both = fold(interleaved([by_a, by_b, counted[2]], rng))
    assert shown(alone) == shown(other) == shown(both)
    before = shown(both)  # whoever tries again changes nothing, and after that finds nothing left to do
    fold([Entry(B, both.applied[B] + 1, b"again" + bytes(27), LATE + 2, rescue(both, beyond))], both)
    assert shown(both) == before
    assert rescue(both, beyond) == []


@given(history=fenced_histories, fence=fences, rng=randoms, known=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_rescuers_who_know_different_things_converge(
    history: list[Any], fence: int, rng: random.Random, known: tuple[int, int]
) -> None:
    (a, b, _), counted, beyond = split(history, fence)
    entries = interleaved(counted, rng)
    first = carried(a, rescue(fold(entries[: known[0]]), beyond), 3)  # an early clock, which bounds what it carries
    second = carried(b, rescue(fold(entries[: known[1]]), beyond[::-1]))
    logs = [[*counted[0], first], [*counted[1], second], counted[2]]
    one, two = fold(interleaved(logs, rng)), fold(interleaved(logs, rng))
    assert one.encode_state() == two.encode_state()
    left, right = fold(logs[0]), fold(logs[1])
    left.merge(right)
    left.merge(fold(logs[2]))
    assert left.encode_state() == one.encode_state()
    assert Document.decode_state(one.encode_state()) == one


# --- one by one ------------------------------------------------------------------------------------------------------


def entry(device: bytes, seq: int, *operations: Operation, clock: int = 1) -> Entry:
    return Entry(device, seq, bytes([device[0], seq]) * 16, clock, operations)


def test_what_the_rescuer_knows_to_be_removed_is_left_out_and_the_rest_keeps_its_place() -> None:
    theirs = entry(C, 1, ops.orset_add("s", "gone"), ops.orset_add("s", "here"), ops.orset_add("s", "gone too"))
    removal = entry(A, 1, ops.orset_remove("s", "gone", [(C, 1, 0)]), ops.orset_remove("s", "gone too", [(C, 1, 2)]))
    document = fold([removal])
    assert rescue(document, [theirs]) == [[RESCUE, C, 1, theirs.hash, 1, [[NOTHING], ops.orset_add("s", "here")]]]
    assert shown(fold([entry(A, 2, *rescue(document, [theirs]))], document)) == oracle([theirs, removal])


def test_a_version_known_to_be_replaced_does_not_come_back_and_still_replaces_what_it_replaced() -> None:
    first = entry(A, 1, ops.multi_set("v", 1, []))
    fenced = entry(C, 1, ops.multi_set("v", 2, [(A, 1, 0)]))
    last = entry(B, 1, ops.multi_set("v", 3, [(C, 1, 0)]))
    document = fold([first, last])
    assert document.multi("v").values() == [1, 3]
    fold([entry(A, 2, *rescue(document, [fenced]))], document)
    assert document.multi("v").values() == [3]
    assert fold([fenced], document).multi("v").values() == [3]


@pytest.mark.parametrize("together", [True, False], ids=["one entry", "two entries"])
def test_what_was_added_and_removed_beyond_the_fence_does_not_come_back(together: bool) -> None:
    add, remove = ops.orset_add("s", "x"), ops.orset_remove("s", "x", [(C, 1, 0)])
    fenced = [entry(C, 1, add, remove)] if together else [entry(C, 1, add), entry(C, 2, remove)]
    operations = rescue(Document(), fenced)
    for order in permutations(operations):
        assert list(fold([entry(A, 1, *order)]).orset("s")) == []


def test_one_entry_alone_needs_nobody_to_tell_its_own_hash() -> None:
    fenced = entry(C, 1, ops.orset_add("s", "x"), ops.orset_remove("s", "x", [(C, 1, 0)]))
    operation = Document().rescue_ops(*fenced)
    assert list(fold([entry(A, 1, operation)]).orset("s")) == []  # type: ignore[arg-type]


def test_there_is_nothing_to_rescue_of_nothing() -> None:
    document = fold([entry(A, 1, ops.orset_remove("s", "x", [(C, 1, 0)]))])
    assert rescue(document, [entry(C, 1, ops.orset_add("s", "x")), entry(C, 2), entry(C, 3, [NOTHING])]) == []


def test_malformed_operations_are_rescued_as_they_are_and_skipped() -> None:
    nonsense: list[Any] = [
        "?",
        [4],
        [4, 1, 1],
        [5, "s", 1, 1],
        [5, 1, 1, []],
        [7, "v", 1, [[1]]],
        [7, 1, 1, []],
        [9, "?"],
    ]
    fenced = entry(C, 1, *nonsense, [4, "s", 1])
    document = fold([entry(B, 1, ops.orset_remove("s", 2, [(C, 1, 1)]), ops.multi_set("v", 2, [(C, 1, 5)]))])
    operation = document.rescue_ops(*fenced)
    assert operation is not None
    assert operation[5] == [*nonsense, [4, "s", 1]]
    fold([entry(A, 1, operation)], document)
    assert document.skipped == len(nonsense)
    assert list(document.orset("s")) == [1]


def test_an_operation_nested_too_deeply_does_not_take_the_rescue_of_the_others_with_it() -> None:
    deep: Any = 1
    while True:  # as deep as an entry may be
        try:
            written = encode_entry(1, [[1, "r", [deep]], [4, "s", 1]])
            decode_entry(written)
        except EncodingError:
            break
        deep, theirs = [deep], written
    clock, *operations = decode_entry(theirs)
    operation = Document().rescue_ops(C, 1, b"h" * 32, clock, operations)
    _, again = decode_entry(encode_entry(2, [operation]))
    assert list(fold([entry(A, 1, again)]).orset("s")) == [1]


def test_a_rescue_of_a_rescue_names_the_same_operations_up_to_a_bound() -> None:
    original = entry(C, 1, ops.orset_add("s", "x"), ops.counter_add("c", 5))
    document = Document()
    inner: Sequence[Operation] = rescue(document, [original])
    once = fold([entry(A, 1, *inner)])
    for depth in range(2, MAX_RESCUE_DEPTH + 2):
        inner = rescue(document, [Entry(B, 1, bytes([depth]) * 32, 1, inner)])
        nested = fold([entry(A, 1, *inner)])
        if depth <= MAX_RESCUE_DEPTH:
            assert shown(nested) == shown(once)
            assert shown(fold([entry(A, 2, *rescue(document, [original]))], nested)) == shown(once)
        else:
            assert nested.skipped == 1
            assert nested.names() == []


def test_a_rescue_is_no_way_into_the_future() -> None:
    fenced = entry(C, 1, ops.register_set("r", "from the future"), clock=1 << 60)
    operations = rescue(Document(), [fenced])
    document = fold([entry(A, 1, *operations, clock=5), entry(B, 1, ops.register_set("r", "now"), clock=6)])
    assert document.register("r").get() == "now"
    later = entry(A, 2, *operations, clock=7)  # somebody rescues it again, later: it counts from then
    assert fold([later], document).register("r").get() == "from the future"


def test_a_counter_counts_a_rescued_change_once_whoever_rescues_and_whatever_comes_after() -> None:
    fenced = [entry(C, 1, ops.counter_add("c", 5), ops.counter_add("c", -2)), entry(C, 2, ops.counter_add("c", 10))]
    rescued = rescue(Document(), fenced)
    by_a, by_b = entry(A, 1, *rescued), entry(B, 1, *rescued)
    for count in range(5):
        for order in permutations([by_a, by_b, *fenced], count):
            if fenced[1] not in order or (fenced[0] in order and order.index(fenced[0]) < order.index(fenced[1])):
                whole = by_a in order or by_b in order or fenced[1] in order
                assert fold(order).counter("c").value == (13 if whole else 3 if order else 0)


def test_another_version_of_the_same_entry_is_another_entry() -> None:
    """A cloned identity wrote two entries number 1; one counts, the other is rescued: both changes are real."""
    counts = entry(C, 1, ops.counter_add("c", 5), ops.orset_add("s", "x"))
    branch = counts._replace(
        hash=b"other branch" + bytes(20), operations=[ops.counter_add("c", 7), ops.orset_add("s", "y")]
    )
    for order in permutations([counts, entry(A, 1, *rescue(Document(), [branch]))]):
        document = fold(order)
        assert document.counter("c").value == 12
        assert sorted(document.orset("s")) == ["x", "y"]


def test_of_two_claims_about_one_entry_the_same_stays_everywhere() -> None:
    """A rescuer can lie about what an entry held; the devices agree all the same."""
    claims = [
        entry(
            device,
            1,
            [RESCUE, C, 1, b"h" * 32, 1, [ops.counter_add("c", delta), ops.multi_set("v", delta, []), [4, "s", delta]]],
        )
        for device, delta in zip(DEVICES, (3, -1, 8), strict=True)
    ]
    assert len({fold(order).encode_state() for order in permutations(claims)}) == 1
    assert fold(claims).counter("c").value == 8
    assert len(fold(claims).multi("v").values()) == 1


def test_a_fingerprint_leaves_the_clock_out() -> None:
    one, other = [RESCUE, C, 1, b"h" * 32, 1, [[4, "s", 1]]], [RESCUE, C, 1, b"h" * 32, 2, [[4, "s", 1]]]
    assert fingerprint(one) == fingerprint(other) != fingerprint([RESCUE, C, 2, b"h" * 32, 1, [[4, "s", 1]]])


# --- why rescued dots are named by the original entry (docs/decisions/0002) ------------------------------------------


def after_two_rescues_and_a_remove() -> set[tuple[str, ...]]:
    """C's add was fenced. A and B both rescue it; B, who has only its own rescue, removes it. What the others may see."""
    fenced = entry(C, 1, ops.orset_add("s", "milk"))
    by_a, by_b = (entry(device, 1, *rescue(Document(), [fenced])) for device in (A, B))
    b = fold([by_b])
    remove = b.remove("s", "milk")
    assert remove is not None
    gone = entry(B, 2, remove)
    orders = [order for order in permutations([by_a, by_b, gone]) if order.index(by_b) < order.index(gone)]
    return {tuple(fold(order).orset("s")) for order in orders}


def test_one_remove_takes_away_what_two_devices_rescued() -> None:
    assert after_two_rescues_and_a_remove() == {()}


def test_dots_named_by_the_rescuer_would_bring_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    original = folding.rescue_origin

    def by_rescuer(op: Operation, carrier: Origin) -> Origin | None:
        origin = original(op, carrier)
        return None if origin is None else origin._replace(event=carrier.event)

    monkeypatch.setattr(folding, "rescue_origin", by_rescuer)
    assert after_two_rescues_and_a_remove() == {("milk",)}


def test_dots_named_by_the_rescuer_and_each_entry_once_would_diverge(monkeypatch: pytest.MonkeyPatch) -> None:
    original = folding._rescue

    def once(contents: Any, origin: Origin, index: int, op: Operation, changes: list[Any]) -> bool:
        if fingerprint(op) in contents.rescues:
            return True
        contents.rescues.add(fingerprint(op))
        folding.apply_operations(contents, origin._replace(depth=1), op[5], changes)
        return True

    monkeypatch.setitem(folding._HANDLERS, RESCUE, once)  # type: ignore[misc]
    assert after_two_rescues_and_a_remove() == {(), ("milk",)}
    monkeypatch.setitem(folding._HANDLERS, RESCUE, original)  # type: ignore[misc]
