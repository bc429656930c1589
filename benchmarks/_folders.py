"""Data folders of a mesh of any size, grown through the product: real keys, real statements, real commits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mycelnode.beginning import begin
from mycelnode.clock import SystemClock
from mycelnode.crdt.changelog import Head, SignedHead
from mycelnode.crdt.statements import ENROL
from mycelnode.identity import create_identity, load_identity
from mycelnode.joining import init_mesh
from mycelnode.mesh import Mesh, open_mesh
from mycelnode.paths import DataDir
from mycelnode.protocols.logset import MAX_RUN_BYTES
from mycelnode.protocols.replica import Replica

DAY_MS = 86_400_000
YEAR_DAYS = 365
GROUP_BYTES = 128 << 10  # of entries in one transaction of the committer while a folder is grown
GROUP_ENTRIES = 1000
ENTRY_BYTES = 100  # of the value in an entry where only the number of entries matters
KEYS = 1000  # overwritten again and again, so that the document stays of one size while the history grows

Value = Callable[[int], tuple[str, str, Any]]
"""The n-th write: (collection, key, value)."""


class SimulatedClock(SystemClock):
    """The system's clock, with a wall clock that is ``ahead`` by some milliseconds (behind, if negative)."""

    def __init__(self, ahead: int = 0) -> None:
        self.ahead = ahead

    def wall(self) -> int:
        return super().wall() + self.ahead


class Folders:
    """The folders of one mesh under ``base``: device 0 keeps everything, the others hold at least what they wrote."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.phrase = ""  # of the mesh, once it is founded

    def data(self, name: int | str) -> DataDir:
        """The folder of a device."""
        return DataDir(self.base / f"device-{name}")

    def all(self) -> list[DataDir]:
        """Those of all devices, in order."""
        return [self.data(number) for number in range(len(list(self.base.glob("device-[0-9]*"))))]

    async def found(self, devices: int, newcomer: bool = False) -> None:
        """A new mesh of so many devices, and one that never writes. They join as a person's would, except that the statements go
        from hand to hand."""
        clock = SimulatedClock(day_offset(0))
        first = _folder(self.data(0))
        self.phrase = (await init_mesh(first, "keeper", clock=clock)).phrase
        async with open_mesh(first, clock=clock) as keeper:
            for number in (*range(1, devices), *["newcomer"] * newcomer):
                data = _folder(self.data(number))
                identity = create_identity(data)
                info = {"name": f"device {number}"}

                def enrol(replica: Replica, key: bytes = identity.device, info: Any = info) -> object:
                    return replica.declare(ENROL, key, None, info, keeper.now())

                await keeper.commit(enrol)
                statements = list(keeper.replica.statements.values())
                await begin(data, keeper.root, statements, "mesh.join", f"device {number}", clock)

    def copy(self, source: int | str, name: str, key: int | str | None = None) -> DataDir:
        """A copy of a device's folder that is not in use; with the ``key`` of another device, who would hold the same if the two
        had been in step."""
        target = self.data(name)
        shutil.rmtree(target.path, ignore_errors=True)
        shutil.copytree(self.data(source).path, target.path)
        if key is not None:
            shutil.copyfile(self.data(key).device_key, target.device_key)
        return target


def _folder(data: DataDir) -> DataDir:
    data.create()
    data.config.write_text("[mesh]\nlan = false\n")
    data.config.chmod(0o600)
    return data


def overwriting(number: int) -> tuple[str, str, Any]:
    """A write of 100 bytes to one of a thousand keys."""
    return "bench", f"key-{number % KEYS}", f"{number:0{ENTRY_BYTES}d}"


def kilobyte(number: int) -> tuple[str, str, Any]:
    """A write of a new value of 1 KiB."""
    return "values", f"value-{number}", (f"{number:016x}" * 64).encode()


async def write(mesh: Mesh, numbers: Sequence[int], value: Value) -> None:
    """Write entries, one operation each, many in a transaction."""
    size = len(json.dumps(value(0), default=repr)) + 64
    step = max(1, min(GROUP_ENTRIES, GROUP_BYTES // size))
    for start in range(0, len(numbers), step):
        part = numbers[start : start + step]

        def propose(replica: Replica, part: Sequence[int] = part) -> None:
            for number in part:
                name, key, content = value(number)
                replica.write([[2, name, key, content]], mesh.now())

        await mesh.commit(propose, size=size * len(part))


async def grow(
    folders: Folders, keeper: Mesh, numbers: range, days: tuple[int, int], value: Value, done: Callable[[int], None]
) -> None:
    """Let the devices write these entries, in shares, from one day of the simulated year to another, and bring them to the keeper.

    ``done`` hears how many there are.
    """
    members = folders.all()
    share = -(-len(numbers) // len(members))
    for number, data in enumerate(members):
        own = numbers[number * share : (number + 1) * share]
        if number == 0:
            await _write_days(keeper, keeper.clock, own, days, value)
        elif own:
            clock = SimulatedClock()
            async with open_mesh(data, clock=clock) as author:
                await _write_days(author, clock, own, days, value)
                await _bring(author, keeper)
        done(numbers.start + min((number + 1) * share, len(numbers)))


async def _bring(author: Mesh, keeper: Mesh) -> None:
    """What the author wrote, verified and stored as if it had been sent: in its signed runs."""
    device = author.identity.device
    while (start := keeper.replica.logs.tip(device)) != author.replica.logs.tip(device):
        rows = list(author.replica.logs.rows(device, 0, start.seq, MAX_RUN_BYTES))
        while rows[-1].signature is None:
            rows.pop()
        head, entries = SignedHead(rows[-1].seq, rows[-1].hash, rows[-1].signature), [row.entry for row in rows]

        def propose(replica: Replica, start: Head = start, entries: Any = entries, head: SignedHead = head) -> object:
            return replica.accept(device, start, entries, head)

        await keeper.commit(propose, size=sum(map(len, entries)))


async def _write_days(mesh: Mesh, clock: Any, numbers: range, days: tuple[int, int], value: Value) -> None:
    """The writes of one device, spread over these days."""
    first, last = days
    steps = max(1, min(last - first, len(numbers)))
    for step in range(steps):
        clock.ahead = day_offset(first + (last - first) * (step + 1) // steps)
        today = numbers[len(numbers) * step // steps : len(numbers) * (step + 1) // steps]
        if today:
            await write(mesh, today, value)


def day_offset(day: int) -> int:
    """How far a clock is ahead on a day of the simulated year, which ends now: less than nothing before that. Milliseconds."""
    return (day - YEAR_DAYS) * DAY_MS


@contextmanager
def scratch(base: Path) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    base.mkdir(parents=True, exist_ok=True)
    try:
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


def key_of(data: DataDir) -> bytes:
    """The device key's public half."""
    return load_identity(data).device
