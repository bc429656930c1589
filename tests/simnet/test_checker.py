"""The checker accepts what a right mesh shows, and catches each way in which a wrong one could differ."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mycel_simnet.checker import BAG, CHOICE, MARKS, OWN, SHARED, TOTAL, Difference, Outcome, Record, View, Write, check

Operation = Sequence[Any]
A, P, D, T = "laptop", "phone", "desk", "tablet"


def write(device: str, seq: int | None, *operations: Operation, seen: dict[str, int] | None = None) -> Write:
    outcome = Outcome.UNKNOWN if seq is None else Outcome.ACKNOWLEDGED
    return Write(device, [["append", MARKS, f"{device}/{seq}"], *operations], outcome, seq, seen or {})


@pytest.fixture
def record() -> Record:
    """Four devices; the tablet was revoked at entry 1; the phone was killed in the middle of its last write, which was kept."""
    writes = [
        write(A, 1, ["add", BAG, "a1"], ["count", TOTAL, 5]),
        write(P, 1, ["add", BAG, "p1"], ["put", OWN, "phone/0", "old"]),
        write(A, 2, ["remove", BAG, "p1"], ["put", SHARED, "0", "a2"], ["assign", CHOICE, "a2"]),
        write(P, 2, ["put", OWN, "phone/0", "new"], ["put", SHARED, "0", "p2"], seen={A: 2}),
        write(D, 1, ["put", SHARED, "0", "d1"], ["assign", CHOICE, "d1"]),
        write(T, 1, ["count", TOTAL, 100]),
        write(T, 2, ["count", TOTAL, 1000]),
        write(P, None, ["count", TOTAL, 7]),
        Write(D, [["append", MARKS, "desk/refused"]], Outcome.REFUSED),
    ]
    return Record([A, P, D, T], writes, {T: 1})


@pytest.fixture
def views() -> dict[str, View]:
    shown = {
        MARKS: ["laptop/1", "phone/1", "laptop/2", "phone/2", "desk/1", "tablet/1", "phone/None"],
        BAG: ["a1"],
        TOTAL: 112,
        OWN: {"phone/0": "new"},
        SHARED: {"0": "p2"},
        CHOICE: ["a2", "d1"],
    }
    view = View("d" * 64, {A: 2, P: 3, D: 1, T: 1}, frozenset({A, P, D}), shown)
    return {name: copy.deepcopy(view) for name in (A, P, D)}


def test_what_was_promised_is_accepted(record: Record, views: dict[str, View]) -> None:
    assert list(check(record, views)) == []


def test_a_write_without_an_answer_may_also_be_lost(record: Record, views: dict[str, View]) -> None:
    for view in views.values():
        view.collections[MARKS].remove("phone/None")
        view.collections[TOTAL] = 105
    assert list(check(record, views)) == []


def test_either_of_two_concurrent_values_is_accepted(record: Record, views: dict[str, View]) -> None:
    for view in views.values():
        view.collections[SHARED]["0"] = "d1"
    assert list(check(record, views)) == []


def everywhere(change: Callable[[Any], object]) -> Callable[[dict[str, View]], None]:
    """The same fault on all devices: they agree, and are wrong."""

    def tamper(views: dict[str, View]) -> None:
        for view in views.values():
            change(view.collections)

    return tamper


def on(device: str, **changes: Any) -> Callable[[dict[str, View]], None]:
    def tamper(views: dict[str, View]) -> None:
        for name, value in changes.items():
            setattr(views[device], name, value)

    return tamper


FAULTS: dict[str, tuple[Callable[[dict[str, View]], None], tuple[str, str, str]]] = {
    # fault → (how views are spoilt, (device, collection, key) of the first difference)
    "an acknowledged write lost": (everywhere(lambda c: c[MARKS].remove("laptop/1")), (A, MARKS, "laptop/1")),
    "a write beyond the fence": (everywhere(lambda c: c[MARKS].append("tablet/2")), (A, MARKS, "tablet/2")),
    "a write below the fence lost": (everywhere(lambda c: c[MARKS].remove("tablet/1")), (A, MARKS, "tablet/1")),
    "a refused write": (everywhere(lambda c: c[MARKS].append("desk/refused")), (A, MARKS, "desk/refused")),
    "a write of nobody": (everywhere(lambda c: c[MARKS].append("ghost/1")), (A, MARKS, "ghost/1")),
    "half a transaction": (everywhere(lambda c: c.update({TOTAL: 105})), (A, TOTAL, "")),
    "an element lost": (everywhere(lambda c: c[BAG].clear()), (A, BAG, "a1")),
    "a removed element back": (everywhere(lambda c: c[BAG].append("p1")), (A, BAG, "p1")),
    "an element twice": (everywhere(lambda c: c[BAG].append("a1")), (A, BAG, "a1")),
    "an old value back": (everywhere(lambda c: c[OWN].update({"phone/0": "old"})), (A, OWN, "phone/0")),
    "a replaced value back": (everywhere(lambda c: c[SHARED].update({"0": "a2"})), (A, SHARED, "0")),
    "a version of nobody": (everywhere(lambda c: c[CHOICE].append("x")), (A, CHOICE, "")),
    "all versions lost": (everywhere(lambda c: c[CHOICE].clear()), (A, CHOICE, "")),
    "one value differs": (lambda views: views[D].collections[SHARED].update({"0": "d1"}), (D, SHARED, "0")),
    "one element missing": (lambda views: views[P].collections[BAG].clear(), (P, BAG, "a1")),
    "a diverged digest": (on(D, digest="e" * 64), (D, "document digest", "")),
    "a log cut short": (on(P, applied={A: 1, P: 3, D: 1, T: 1}), (P, "log", A)),
    "a fence not respected": (on(P, applied={A: 2, P: 3, D: 1, T: 2}), (P, "log", T)),
    "a revoked member": (on(A, members=frozenset({A, P, D, T})), (A, "members", "")),
    "a lost member": (on(D, members=frozenset({A, D})), (D, "members", "")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_mesh_is_caught(fault: str, record: Record, views: dict[str, View]) -> None:
    tamper, where = FAULTS[fault]
    tamper(views)
    found = list(check(record, views))
    assert found, "the checker saw nothing"
    assert (found[0].device, found[0].collection, found[0].key) == where


def test_a_record_with_one_more_acknowledged_write_is_a_lost_write(record: Record, views: dict[str, View]) -> None:
    record.writes.append(write(D, 2, ["count", TOTAL, 1]))
    found = list(check(record, views))
    assert {difference.device for difference in found} == {A, P, D}
    assert found[0].promise == "all that a healthy device acknowledged counts"
    assert any(difference.key == "desk/2" for difference in found)


def test_a_device_that_was_not_looked_at_is_no_success(record: Record, views: dict[str, View]) -> None:
    del views[D]
    with pytest.raises(AssertionError, match="desk"):
        list(check(record, views))


def test_a_difference_reads_well() -> None:
    difference = Difference(P, "laptop and phone show the same", SHARED, "0", "milk", "bread", {A: 12, P: 7})
    assert str(difference) == (
        "laptop and phone show the same\n  on phone, sim.shared '0'\n"
        "    expected 'milk'\n    found    'bread'\n    entries counted there: laptop:12 phone:7"
    )
