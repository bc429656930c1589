"""The standalone types keep the laws of state-based and operation-based CRDTs, and each its own promise."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.crdt.changelog import MAX_CLOCK
from mycelnode.crdt.clock import MAX_SKEW_MS, HybridClock, from_ms, to_ms
from mycelnode.crdt.context import DotContext
from mycelnode.crdt.counters import MAX_DELTA, PNCounter
from mycelnode.crdt.registers import LWWMap, LWWRegister, MVRegister
from mycelnode.crdt.sets import Added, GSet, ORSet, Removed
from mycelnode.errors import ClockWrong, ValueRefused

DEVICES = (b"a", b"b", b"c")
VALUES = (0, 1, True, 1.0, "x", None)


class Kind(NamedTuple):
    """How to drive one type: ``act`` is a local change at a device and returns the operation for the others."""

    new: Callable[[], Any]
    act: Callable[[Any, bytes, int, int], Any]  # (replica, device, two small random numbers) → operation


def _register(replica: LWWRegister, device: bytes, one: int, two: int) -> Any:
    return replica.set(VALUES[one % 6], two, device)


def _map(replica: LWWMap, device: bytes, one: int, two: int) -> Any:
    key = "kl"[one % 2]
    return replica.remove(key, two, device) if one < 2 else replica.put(key, VALUES[one % 6], two, device)


def _gset(replica: GSet, device: bytes, one: int, two: int) -> Any:
    return replica.add(VALUES[one % 6])


def _orset(replica: ORSet, device: bytes, one: int, two: int) -> Any:
    return replica.remove(VALUES[one % 3]) if two < 3 else replica.add(VALUES[one % 3], device)


def _counter(replica: PNCounter, device: bytes, one: int, two: int) -> Any:
    return replica.add(one - two, device)


def _multi(replica: MVRegister, device: bytes, one: int, two: int) -> Any:
    return replica.assign(VALUES[one % 6], device)


class Seen(DotContext):
    """A context whose operation is: an event was seen."""

    __slots__ = ()
    apply = DotContext.add


def _context(replica: Seen, device: bytes, one: int, two: int) -> Any:
    dot = replica.next(device)
    replica.add(dot)
    return dot


KINDS = {
    "LWWRegister": Kind(LWWRegister, _register),
    "LWWMap": Kind(LWWMap, _map),
    "GSet": Kind(GSet, _gset),
    "ORSet": Kind(ORSet, _orset),
    "PNCounter": Kind(PNCounter, _counter),
    "MVRegister": Kind(MVRegister, _multi),
    "DotContext": Kind(Seen, _context),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

# A history: at each step one of three devices changes its replica, or takes in another's (so that it knows more).
small = st.integers(0, 5)
histories = st.lists(st.tuples(st.sampled_from("cccm"), st.integers(0, 2), small, small), max_size=14)


def live(kind: Kind, history: list[Any]) -> tuple[list[Any], list[Any]]:
    """The three replicas and all operations after a history."""
    replicas, operations = [kind.new() for _ in DEVICES], []
    for step, device, one, two in history:
        if step == "c":
            operations.append(kind.act(replicas[device], DEVICES[device], one, two))
        else:
            replicas[device].merge(replicas[one % 3])
    return replicas, operations


def merged(*replicas: Any) -> Any:
    first, *others = copy.deepcopy(replicas)
    for other in others:
        first.merge(other)
    return first


@every_kind
@given(history=histories)
def test_merge_is_commutative_associative_and_idempotent(kind: Kind, history: list[Any]) -> None:
    (a, b, c), _ = live(kind, history)
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, a) == merged(kind.new(), a) == a
    a.merge(a)
    assert a == merged(a)


@every_kind
@given(history=histories, rng=st.randoms(use_true_random=False))
def test_operations_in_any_order_and_repeated_give_the_merged_state(
    kind: Kind, history: list[Any], rng: random.Random
) -> None:
    replicas, operations = live(kind, history)
    arriving = operations + rng.choices(operations, k=len(operations)) if operations else []
    rng.shuffle(arriving)
    replica = kind.new()
    for operation in arriving:
        replica.apply(operation)
    assert replica == merged(*replicas)


@every_kind
@given(history=histories, rng=st.randoms(use_true_random=False))
def test_lost_operations_are_made_good_by_a_merge(kind: Kind, history: list[Any], rng: random.Random) -> None:
    replicas, operations = live(kind, history)
    lossy = kind.new()
    for operation in rng.sample(operations, rng.randint(0, len(operations))):
        lossy.apply(operation)
    everything = merged(*replicas)
    assert merged(lossy, everything) == everything == merged(everything, lossy)
    for operation in operations:  # and what comes late after all changes nothing
        everything.apply(operation)
    assert everything == merged(*replicas)


@given(history=histories)
def test_a_counter_counts_each_change_once(history: list[Any]) -> None:
    replicas, _ = live(KINDS["PNCounter"], history)
    assert merged(*replicas).value == sum(one - two for step, _, one, two in history if step == "c")


# --- each type's own promise -----------------------------------------------------------------------------------------


def test_orset_a_concurrent_add_wins() -> None:
    here, there = ORSet(), ORSet()
    there.apply(here.add("x", b"a"))
    gone, again = there.remove("x"), here.add("x", b"a")
    here.apply(gone)
    there.apply(again)
    assert "x" in here
    assert here == there


def test_orset_a_remove_takes_what_its_author_saw_whichever_comes_first() -> None:
    author = ORSet()
    add = author.add("x", b"a")
    remove = author.remove("x")
    for order in ((add, remove), (remove, add)):
        other = ORSet()
        for operation in order:
            other.apply(operation)
        assert "x" not in other
        assert not other.dotted.killed  # nothing is remembered longer than it is needed


def test_orset_a_readd_keeps_earlier_adds_and_a_remove_names_them_all() -> None:
    here = ORSet()
    here.add("x", b"a")
    here.add("x", b"a")
    assert sorted(here.dotted.dots(here.add("x", b"b").label)) == [(b"a", 1, 0), (b"a", 2, 0), (b"b", 1, 0)]
    assert len(here) == 1
    assert len(here.remove("x").dots) == 3
    assert "x" not in here


def test_orset_a_remove_of_another_element_does_not_touch_the_add_it_names() -> None:
    author = ORSet()
    add = author.add("x", b"a")
    wrong = Removed(author.add("y", b"a").label, [add.dot])
    for order in ((add, wrong), (wrong, add)):
        other = ORSet()
        for operation in order:
            other.apply(operation)
        assert "x" in other


def test_sets_tell_apart_what_python_mixes_up() -> None:
    for made in (GSet(), ORSet()):
        for element in (1, True, 1.0, "1"):
            made.add(element) if isinstance(made, GSet) else made.add(element, b"a")
        assert len(made) == 4
        assert 1 in made
        assert 0 not in made
        assert object() not in made


def test_a_register_keeps_concurrent_versions_until_one_who_saw_them_decides() -> None:
    here, there = MVRegister(), MVRegister()
    here.apply(there.assign("coffee", b"b"))
    there.assign("cocoa", b"b")
    here.assign("tea", b"a")
    here.merge(there)
    assert here.values() == ["tea", "cocoa"]
    decided = here.assign("both", b"a")
    assert len(decided.replaced) == 2
    there.apply(decided)
    assert there.values() == ["both"]


def test_a_map_is_not_an_orset() -> None:
    here, there = LWWMap(), LWWMap()
    put, remove = here.put("k", 1, 5, b"a"), there.remove("k", 6, b"b")
    here.apply(remove)
    there.apply(put)
    assert "k" not in here
    assert len(here) == len(there) == 0
    assert here == there


def test_ties_of_the_clock_are_broken_by_device() -> None:
    here, there = LWWRegister(), LWWRegister()
    low, high = here.set("zzz", 7, b"a"), there.set("aaa", 7, b"b")
    here.apply(high)
    there.apply(low)
    assert here.get() == there.get() == "aaa"
    map_here, map_there = LWWMap(), LWWMap()
    low, high = map_here.put("k", "zzz", 7, b"a"), map_there.remove("k", 7, b"b")
    map_here.apply(high)
    map_there.apply(low)
    assert map_here.get("k", "gone") == map_there.get("k", "gone") == "gone"


@pytest.mark.parametrize("dot", [(b"a", 0, 0), (b"a", 1, 1)])
def test_dots_of_a_document_have_no_place_in_a_standalone_type(dot: Any) -> None:
    with pytest.raises(ValueRefused):
        ORSet().apply(Added(b"\x01", dot))
    with pytest.raises(ValueRefused):
        MVRegister().apply((dot, b"\x01", ()))  # type: ignore[arg-type]


@pytest.mark.parametrize("delta", [MAX_DELTA + 1, -MAX_DELTA - 1, 1.0, True, "1"])
def test_a_counter_refuses_what_json_cannot_hold(delta: Any) -> None:
    with pytest.raises(ValueRefused):
        PNCounter().add(delta, b"a")


@pytest.mark.parametrize("value", [float("nan"), 1 << 64, {1.5: 1}, object(), "\ud800", [[[]]] * 2 + [{"k": {2, 3}}]])
def test_no_type_takes_a_value_that_the_mesh_does_not_carry(value: Any) -> None:
    for attempt in (
        lambda: LWWRegister().set(value, 1, b"a"),
        lambda: LWWMap().put("k", value, 1, b"a"),
        lambda: GSet().add(value),
        lambda: ORSet().add(value, b"a"),
        lambda: MVRegister().assign(value, b"a"),
    ):
        with pytest.raises(ValueRefused):
            attempt()


# --- contexts and clocks ---------------------------------------------------------------------------------------------


@given(events=st.lists(st.tuples(st.sampled_from(DEVICES), st.integers(1, 8)), max_size=20))
def test_a_context_has_seen_exactly_what_was_added_in_its_shortest_form(events: list[tuple[bytes, int]]) -> None:
    context = DotContext()
    for device, seq in events:
        context.add((device, seq, 0))
    for device in DEVICES:
        for seq in range(10):
            assert context.covers(device, seq) == ((device, seq) in events)
        assert (device, context.vector.get(device, 0) + 1) not in context.cloud
    assert all(seq > context.vector.get(device, 0) for device, seq in context.cloud)


walls = st.integers(0, 1 << 42)


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, MAX_CLOCK), walls), max_size=30))
def test_a_clock_never_goes_back_nor_runs_ahead_of_what_it_saw(steps: list[tuple[bool, int, int]]) -> None:
    clock, limit = HybridClock(), 0
    for local, reading, wall in steps:
        before = clock.last
        if local:
            limit = max(limit + 1, from_ms(wall))
            assert before < clock.tick(wall) <= limit
        else:
            limit = max(limit, min(reading, from_ms(wall + MAX_SKEW_MS)))
            clock.observe(reading, wall)
            assert before <= clock.last <= limit


@given(readings=st.lists(st.integers(0, MAX_CLOCK), min_size=1), wall=walls, rng=st.randoms(use_true_random=False))
def test_observing_is_a_merge(readings: list[int], wall: int, rng: random.Random) -> None:
    one, other = HybridClock(), HybridClock()
    for reading in readings:
        one.observe(reading, wall)
    rng.shuffle(readings)
    for reading in readings + readings:
        other.observe(reading, wall)
    assert one.last == other.last
    assert one.tick(wall) > min(max(readings), from_ms(wall + MAX_SKEW_MS))


def test_one_wrong_clock_does_not_carry_the_others_far_away() -> None:
    clock = HybridClock()
    clock.observe(MAX_CLOCK, 1000)
    assert to_ms(clock.tick(1000)) == 1000 + MAX_SKEW_MS


def test_the_end_of_time_is_an_error_not_a_wrap() -> None:
    clock = HybridClock(MAX_CLOCK)
    with pytest.raises(ClockWrong):
        clock.tick(0)
    assert clock.last == MAX_CLOCK
    assert to_ms(HybridClock().tick(1 << 60)) == MAX_CLOCK >> 16


def test_the_laws_catch_a_set_that_forgets_what_it_removed() -> None:
    """The checks above can fail: an OR-Set without memory for removes that come early breaks them."""

    class Forgetful(ORSet):
        def discard(self, label: bytes, dots: Any) -> Any:
            super().discard(label, dots)
            self.dotted.killed.clear()
            return []

    law = test_operations_in_any_order_and_repeated_give_the_merged_state.hypothesis.inner_test  # type: ignore[attr-defined]
    history = [("c", 0, 0, 5), ("c", 0, 0, 0)]
    caught = 0
    for seed in range(50):
        law(KINDS["ORSet"], history, random.Random(seed))
        try:
            law(Kind(Forgetful, _orset), history, random.Random(seed))
        except AssertionError:
            caught += 1
    assert caught > 5
