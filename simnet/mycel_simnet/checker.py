"""What devices must show after a scenario, from a record of what was written and a model that shares no code with the product.

Every write of a scenario is one transaction that also appends a unique *mark* to a grow-only set. So the marks that a device shows
tell exactly which writes count there, also those that were never acknowledged (a killed node may or may not have kept them), and
from the writes that count everything else that must be seen follows:

- acknowledged by a device in good standing: it counts; by a revoked one: it counts up to its fence, and not beyond;
- refused: it does not count; never attempted: it is not there; a transaction counts as a whole or not at all;
- a set holds what was added and not removed again (each element is added once), a counter the sum, a key that one device
  alone writes that device's last value, and a contended key or register only values that no later write has seen and replaced.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mycel_simnet.cluster import Cluster

MARKS: Final = "sim.marks"  # a mark of every write
BAG: Final = "sim.bag"  # unique elements, some of them removed again
TOTAL: Final = "sim.total"
OWN: Final = "sim.own"  # keys that one device writes
SHARED: Final = "sim.shared"  # keys that all devices write
CHOICE: Final = "sim.choice"  # a multi-value register
KINDS: Final[Mapping[str, str]] = {
    MARKS: "gset",
    BAG: "orset",
    TOTAL: "counter",
    OWN: "map",
    SHARED: "map",
    CHOICE: "multi",
}
MISSING: Final = "nothing"


class Outcome(enum.Enum):
    """What a device answered to a write."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # no answer came


@dataclass(slots=True)
class Write:
    """One transaction as it was asked of ``device``: operations as `collection.apply` takes them, the first of which is the mark.

    ``seq``: its place in the device's log, if it was acknowledged. ``seen``: entries of each device counted there before.
    """

    device: str
    operations: Sequence[Sequence[Any]]
    outcome: Outcome = Outcome.UNKNOWN
    seq: int | None = None
    seen: Mapping[str, int] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """The unique text that it appends to `MARKS`."""
        return str(self.operations[0][2])

    def has_seen(self, other: Write) -> bool:
        """Was ``other`` surely counted where this was written, when it was written?"""
        return other.seq is not None and self.seen.get(other.device, 0) >= other.seq


@dataclass(slots=True)
class Record:
    """All that was asked of the devices, in order for each device. ``fences``: revoked device → up to which entry it counts."""

    devices: Sequence[str]
    writes: list[Write] = field(default_factory=list)
    fences: dict[str, int] = field(default_factory=dict)

    @property
    def healthy(self) -> list[str]:
        """The devices that were not revoked."""
        return [device for device in self.devices if device not in self.fences]


@dataclass(slots=True)
class View:
    """What one device shows. ``collections``: the collections of `KINDS`, as `collection.get` answers."""

    digest: str
    applied: Mapping[str, int]
    members: frozenset[str]
    collections: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One broken promise, as it shows on ``device``."""

    device: str
    promise: str
    collection: str
    key: str
    expected: Any
    found: Any
    heads: Mapping[str, int]

    def __str__(self) -> str:
        heads = " ".join(f"{name}:{seq}" for name, seq in sorted(self.heads.items()))
        key = f" {self.key!r}" if self.key else ""
        return (
            f"{self.promise}\n  on {self.device}, {self.collection}{key}\n"
            f"    expected {self.expected!r}\n    found    {self.found!r}\n    entries counted there: {heads}"
        )


async def observe(cluster: Cluster, devices: Iterable[str]) -> dict[str, View]:
    """What each of ``devices`` shows now; they should be in step and at rest."""
    views = {}
    for device in devices:
        standing = await cluster.standing(device)
        shown = {name: await cluster.read(device, name, kind) for name, kind in KINDS.items()}
        views[device] = View(standing.digest, standing.applied, standing.members, shown)
    return views


def check(record: Record, views: Mapping[str, View]) -> Iterator[Difference]:
    """Every way in which the healthy devices differ from each other or from what was acknowledged; what tells most comes first."""
    missing = [device for device in record.healthy if device not in views]
    assert not missing, f"no view of {missing}"
    yield from _standing(record, views)
    yield from _alike(record, views)
    for device in record.healthy:
        yield from _as_written(record, device, views[device])


def _standing(record: Record, views: Mapping[str, View]) -> Iterator[Difference]:
    """Membership, and how much of each log counts."""
    for device in record.healthy:
        view = views[device]
        if view.members != frozenset(record.healthy):
            promise = "the members are those who joined and were not revoked"
            yield Difference(device, promise, "members", "", sorted(record.healthy), sorted(view.members), view.applied)
        for author, fence in record.fences.items():
            if view.applied.get(author, 0) != fence:
                promise = "a revoked device counts exactly up to its fence"
                yield Difference(device, promise, "log", author, fence, view.applied.get(author, 0), view.applied)
        for author in record.healthy:
            last = max((write.seq or 0 for write in record.writes if write.device == author), default=0)
            if view.applied.get(author, 0) < last:
                promise = "all that a healthy device acknowledged counts"
                yield Difference(device, promise, "log", author, last, view.applied.get(author, 0), view.applied)


def _alike(record: Record, views: Mapping[str, View]) -> Iterator[Difference]:
    """All devices show the same."""
    first, *others = record.healthy
    for other in others:
        one, two = views[first], views[other]
        promise = f"{first} and {other} show the same"
        for name in KINDS:
            ours, theirs = _cells(one.collections[name]), _cells(two.collections[name])
            for key in sorted(ours.keys() | theirs.keys()):
                if ours.get(key, MISSING) != theirs.get(key, MISSING):
                    yield Difference(
                        other, promise, name, key, ours.get(key, MISSING), theirs.get(key, MISSING), two.applied
                    )
        if one.applied != two.applied:
            yield Difference(other, promise, "entries counted", "", dict(one.applied), dict(two.applied), two.applied)
        if one.digest != two.digest:
            yield Difference(other, promise, "document digest", "", one.digest, two.digest, two.applied)


def _cells(value: Any) -> dict[str, Any]:
    """A collection's value as comparable cells: map entries by key, elements by their text, anything else under one key."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, list):
        cells: dict[str, Any] = {}
        for item in value:
            label = str(item)
            cells[label] = item if label not in cells else f"{item} twice"
        return cells
    return {"": value}


def _as_written(record: Record, device: str, view: View) -> Iterator[Difference]:
    """One device against the record."""
    shown: Mapping[str, Any] = view.collections
    marks = _cells(shown[MARKS])

    def differs(promise: str, collection: str, key: str, expected: Any, found: Any) -> Difference:
        return Difference(device, promise, collection, key, expected, found, view.applied)

    for mark in sorted(marks.keys() - {write.mark for write in record.writes}):
        yield differs("nothing is there that nobody wrote", MARKS, mark, MISSING, marks[mark])
    for write in record.writes:
        if (must := _must_count(record, write)) is not None and must != (write.mark in marks):
            told = f"{write.outcome.value} by {write.device}" + (f" as entry {write.seq}" if write.seq else "")
            promise = "no acknowledged write is lost" if must else "what was refused or fenced does not count"
            expected, found = (told, MISSING) if must else (f"{MISSING} ({told})", write.mark)
            yield differs(promise, MARKS, write.mark, expected, found)

    counted = [write for write in record.writes if write.mark in marks]
    model = _expected(counted)
    for name in (BAG, TOTAL, OWN):
        want, have = _cells(model[name]), _cells(shown[name])
        for key in sorted(want.keys() | have.keys()):
            if want.get(key, MISSING) != have.get(key, MISSING):
                promise = f"{name} holds what the writes that count add up to"
                yield differs(promise, name, key, want.get(key, MISSING), have.get(key, MISSING))
    yield from _contended(counted, shown, differs)


def _must_count(record: Record, write: Write) -> bool | None:
    """Must (True) or must not (False) a write count? None: either."""
    if write.outcome is Outcome.UNKNOWN:
        return None
    if write.outcome is Outcome.REFUSED:
        return False
    fence = record.fences.get(write.device)
    return fence is None or (write.seq or 0) <= fence


def _expected(counted: Iterable[Write]) -> dict[str, Any]:
    """The collections that follow from the writes that count alone."""
    added: set[str] = set()
    removed: set[str] = set()
    total = 0
    own: dict[str, Any] = {}
    for write in counted:
        for verb, name, *rest in write.operations:
            what = verb, name
            if what == ("add", BAG):
                added.add(rest[0])
            elif what == ("remove", BAG):
                removed.add(rest[0])
            elif what == ("count", TOTAL):
                total += rest[0]
            elif what == ("put", OWN):
                own[rest[0]] = rest[1]
            elif what == ("delete", OWN):
                own.pop(rest[0], None)
    return {BAG: sorted(added - removed), TOTAL: total, OWN: own}


def _contended(counted: Sequence[Write], shown: Mapping[str, Any], differs: Any) -> Iterator[Difference]:
    """Keys and registers that several devices write: one of the values (or several) that nothing later has seen."""
    promise = "a value that a later write has seen and replaced does not come back"
    candidates: dict[str, dict[int, Any]] = {}  # key → index of the write → value
    versions: dict[int, Any] = {}
    for index, write in enumerate(counted):
        for verb, name, *rest in write.operations:
            if (verb, name) == ("put", SHARED):
                _replace(candidates.setdefault(rest[0], {}), counted, index, rest[1])
            elif (verb, name) == ("assign", CHOICE):
                _replace(versions, counted, index, rest[0])
    values = _cells(shown[SHARED])
    for key in sorted(candidates.keys() | values.keys()):
        allowed = list(candidates.get(key, {}).values())
        if values.get(key, MISSING) not in allowed:
            yield differs(promise, SHARED, key, allowed, values.get(key, MISSING))
    kept = shown[CHOICE]
    if any(value not in versions.values() for value in kept) or bool(kept) != bool(versions):
        yield differs(promise, CHOICE, "", list(versions.values()), kept)


def _replace(candidates: dict[int, Any], counted: Sequence[Write], index: int, value: Any) -> None:
    """A write takes the place of those of its own device and of those that were seen there."""
    write = counted[index]
    for other in list(candidates):
        if counted[other].device == write.device or write.has_seen(counted[other]):
            del candidates[other]
    candidates[index] = value
