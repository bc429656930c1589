"""The law of scale: what it costs two devices to meet grows with devices and changes, never with history.

Counted in bytes, frames, reads of the store and calls of the machines' own functions, so the same on every machine. docs/scale.md
has the curves up to a million entries.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import pytest

from mycelnode.crdt.changelog import DeviceId, SignedHead
from mycelnode.protocols.peer_view import PeerView
from tests.protocols.world import CheapDevice, CheapKey, Device, Link

LITTLE, MUCH = 100, 10_000  # entries of history
FEW, MANY = 5, 45  # devices
CHANGES = 100
PLACE_BYTES = 4  # more for larger numbers: a place in a log is said in 1 to 5 bytes
TIMES_SAID = 2  # the tip of each log, by both ends …
TIMES_MORE = 4  # … and of the log that changes, as it is sent and when it is there
KEYS = 50
ORDER = 5  # which log is looked at first differs from run to run: so many looks more or less …
CALLS = 20  # … of so many calls each


@dataclass
class Cost:
    """Of one meeting."""

    bytes: int
    frames: int
    reads: int
    rows: int
    calls: int


class Counted(Link):
    """A wire that counts frames."""

    frames = 0

    def step(self, rng: random.Random) -> bool:
        before = self.bytes
        moved = super().step(rng)
        self.frames += self.bytes > before
        return moved


def mesh(count: int) -> list[Device]:
    """Devices that know each other; signatures cost nothing here."""
    root = CheapKey("root")
    devices: list[Device] = [CheapDevice(root, CheapKey(f"device {number}")) for number in range(count)]
    first = devices[0]
    first.learn(first.root_statement("enrol", first.id, None))
    for other in devices[1:]:
        first.enrol(other)
    for other in devices[1:]:
        other.learn(*first.replica.statements.values())
    return devices


def write(device: Device, count: int) -> None:
    """Entries of one size, whatever came before, some under one signature."""
    for number in range(count):
        device.wall += 1
        device.replica.write([[2, "m", f"k{number % KEYS:03}", "x" * 50]], device.now)
        if number % 20 == 19 or number == count - 1:
            device.commit()


def pass_on(giver: Device, taker: Device, device: DeviceId) -> None:
    """A log, in its signed runs."""
    while (start := taker.replica.logs.tip(device)) != giver.replica.logs.tip(device):
        rows = list(giver.replica.logs.rows(device, 0, start.seq, 100_000))
        while rows[-1].signature is None:
            rows.pop()
        head = SignedHead(rows[-1].seq, rows[-1].hash, rows[-1].signature or b"")
        taker.replica.accept(device, start, [row.entry for row in rows], head)
        taker.commit()


def pair(devices: int, history: int) -> tuple[Device, Device]:
    """Two of so many devices, which have written so many entries in all; the two hold all of them."""
    one, other, *others = mesh(devices)
    for device in (one, other, *others):
        write(device, history // devices)
    for device in (one, *others):
        pass_on(device, other, device.id)
    for device in (other, *others):
        pass_on(other, one, device.id)
    return one, other


def meet(one: Device, other: Device, changes: int) -> Cost:
    """Let one write, and both meet until they are in step."""
    write(one, changes)
    reads: Counter[str] = Counter()
    for device in (one, other):
        _count_reads(device, reads)
    calls: Counter[CodeType] = Counter()

    def called(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and "mycelnode" in frame.f_code.co_filename:
            calls[frame.f_code] += 1

    link = Counted(one, other)
    sys.setprofile(called)
    try:
        link.run()
    finally:
        sys.setprofile(None)
    return Cost(link.bytes, link.frames, reads["hash_at"] + reads["read"], reads["rows"], sum(calls.values()))


def _count_reads(device: Device, reads: Counter[str]) -> None:
    store = device.store
    hash_at, read = type(store).hash_at, type(store).read

    def counted_hash_at(*arguments: Any) -> bytes | None:
        reads["hash_at"] += 1
        return hash_at(store, *arguments)

    def counted_read(*arguments: Any) -> Any:
        rows = read(store, *arguments)
        reads["read"] += 1
        reads["rows"] += len(rows)
        return rows

    store.hash_at, store.read = counted_hash_at, counted_read  # type: ignore[method-assign]


def test_what_a_meeting_costs_does_not_grow_with_history() -> None:
    for changes in (0, CHANGES):
        little, much = (meet(*pair(FEW, history), changes) for history in (LITTLE, MUCH))
        said = TIMES_SAID * FEW + (TIMES_MORE if changes else 0)
        assert 0 <= much.bytes - little.bytes <= said * PLACE_BYTES
        assert (much.frames, much.rows) == (little.frames, little.rows)
        assert abs(much.reads - little.reads) <= ORDER
        assert abs(much.calls - little.calls) <= ORDER * CALLS


def test_what_a_meeting_costs_grows_in_proportion_to_the_devices() -> None:
    few, between, many = (meet(*pair(count, 20 * count), 0) for count in (FEW, (FEW + MANY) // 2, MANY))
    for quantity in ("bytes", "calls"):
        first, second, third = (getattr(cost, quantity) for cost in (few, between, many))
        assert abs((third - second) - (second - first)) <= 0.1 * (third - first), quantity
    assert few.frames == many.frames


def test_what_a_meeting_costs_grows_in_proportion_to_the_changes() -> None:
    costs = [meet(*pair(FEW, LITTLE), count) for count in (100, 200, 300)]
    first, second, third = (cost.bytes for cost in costs)
    assert abs((third - second) - (second - first)) <= 0.05 * (third - first)
    assert [cost.rows for cost in costs] == sorted(cost.rows for cost in costs)


def test_a_session_that_looks_through_history_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    known_seq = PeerView.known_seq

    def slow(view: PeerView, device: DeviceId, number: int) -> int:
        view.logs.rows(device, number, 0, 1 << 30)
        return known_seq(view, device, number)

    monkeypatch.setattr(PeerView, "known_seq", slow)
    little, much = (meet(*pair(FEW, history), CHANGES) for history in (LITTLE, MUCH))
    assert much.rows > 10 * little.rows
