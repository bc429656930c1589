"""W1, W2 and W3 with pycrdt or loro, in one process, in memory. Arguments: library, workload (1–3), N.

Runs in the peers' own environment; imports nothing but the library measured and `benchmarks.data`. What each end must first say it
has (state vectors) is counted, as our greetings are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any, Protocol

from benchmarks.data import Sizes, key, now_swept, value

Numbers = dict[str, float]


class Replica(Protocol):
    """What a library is measured through: a map under one root."""

    def change(self, sets: Iterable[tuple[str, Any]], gone: Iterable[str] = ()) -> None:
        """Set and delete in one transaction."""

    def have(self) -> bytes:
        """What is held, for the other end."""

    def since(self, have: bytes) -> bytes:
        """What somebody who has that lacks."""

    def take(self, update: bytes) -> None:
        """Take in what `since` made."""

    def items(self) -> dict[str, Any]:
        """All keys and values."""


class Pycrdt:
    """pycrdt (Yrs): `Map` in a `Doc`."""

    def __init__(self, number: int) -> None:
        from pycrdt import Doc, Map

        self._doc: Any = Doc(client_id=number)
        self._map: Any = self._doc.get("m", type=Map)

    def change(self, sets: Iterable[tuple[str, Any]], gone: Iterable[str] = ()) -> None:
        with self._doc.transaction():
            for name, held in sets:
                self._map[name] = held
            for name in gone:
                del self._map[name]

    def have(self) -> bytes:
        return bytes(self._doc.get_state())

    def since(self, have: bytes) -> bytes:
        return bytes(self._doc.get_update(have))

    def take(self, update: bytes) -> None:
        self._doc.apply_update(update)

    def items(self) -> dict[str, Any]:
        return {name: self._map[name] for name in self._map}


class Loro:
    """loro: `LoroMap` in a `LoroDoc`."""

    def __init__(self, number: int) -> None:
        import loro

        self._loro = loro
        self._doc = loro.LoroDoc()
        self._doc.peer_id = number
        self._map = self._doc.get_map("m")

    def change(self, sets: Iterable[tuple[str, Any]], gone: Iterable[str] = ()) -> None:
        for name, held in sets:
            self._map.insert(name, held)
        for name in gone:
            self._map.delete(name)
        self._doc.commit()

    def have(self) -> bytes:
        return bytes(self._doc.oplog_vv.encode())

    def since(self, have: bytes) -> bytes:
        return bytes(self._doc.export(self._loro.ExportMode.Updates(self._loro.VersionVector.decode(have))))

    def take(self, update: bytes) -> None:
        self._doc.import_(update)

    def items(self) -> dict[str, Any]:
        return dict(self._map.get_deep_value())


LIBRARIES = {"pycrdt": Pycrdt, "loro": Loro}


def _exchange(one: Replica, other: Replica) -> tuple[float, int]:
    """Both ways, as a protocol would: seconds, and bytes of what is said and sent."""
    started = now_swept()
    mine, theirs = one.have(), other.have()
    out, back = one.since(theirs), other.since(mine)
    other.take(out)
    one.take(back)
    return perf_counter() - started, sum(map(len, (mine, theirs, out, back)))


def _to_empty(full: Replica, empty: Replica) -> tuple[float, int]:
    """One way: seconds and bytes."""
    started = now_swept()
    have = empty.have()
    update = full.since(have)
    empty.take(update)
    return perf_counter() - started, len(have) + len(update)


def _same(one: Replica, other: Replica, count: int) -> None:
    if not len(one.items()) == len(other.items()) == count:
        raise AssertionError("the replicas differ")


def w1(library: type, sizes: Sizes) -> Numbers:
    """To an empty replica."""
    full, empty = library(1), library(2)
    for number in range(sizes.n):
        full.change([(key(number), value(number))])
    seconds, size = _to_empty(full, empty)
    _same(full, empty, sizes.n)
    return {"state_s": seconds, "state_bytes": size}


def w2(library: type, sizes: Sizes) -> Numbers:
    """Two replicas in step, then both changed while apart."""
    one, other = library(1), library(2)
    one.change((key(number), value(number)) for number in range(sizes.n))
    _to_empty(one, other)
    for number in range(sizes.changed):
        one.change([(key(number), value(number, 1))])
        other.change([(key(sizes.changed + number), value(sizes.changed + number, 1))])
    seconds, size = _exchange(one, other)
    _same(one, other, sizes.n)
    return {"sync_s": seconds, "sync_bytes": size}


def w3(library: type, sizes: Sizes) -> Numbers:
    """A map used as a set, changed on both sides; then the merged set to an empty replica."""
    one, other, empty = library(1), library(2), library(3)
    for item in sizes.common():
        one.change([(item, 1)])
    _to_empty(one, other)
    for side, (added, removed) in ((one, sizes.one_side()), (other, sizes.other_side())):
        side.change(((item, 2) for item in added), removed)
    seconds, size = _exchange(one, other)
    held = one.items()
    probed = [item in held for item in sizes.probed()]
    _same(one, other, sizes.alive - probed.count(False))
    numbers: Numbers = {"sync_s": seconds, "sync_bytes": size, "add_wins": 100 * sum(probed) / len(probed)}
    numbers["state_s"], numbers["state_bytes"] = _to_empty(one, empty)
    _same(one, empty, len(held))
    return numbers


def main(arguments: Sequence[str]) -> None:
    """Measure once and print one line of JSON."""
    library, workload, n = LIBRARIES[arguments[0]], int(arguments[1]), int(arguments[2])
    library(99)  # what importing costs is not measured
    print(json.dumps((w1, w2, w3)[workload - 1](library, Sizes(n))))


if __name__ == "__main__":
    main(sys.argv[1:])
