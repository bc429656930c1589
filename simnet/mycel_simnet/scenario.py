"""Random stories for a cluster: edits and faults made from a seed, as a list of steps that can be printed, read and run again.

The same steps ask the same things in the same order; what real processes make of them differs a little from run to run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio

from mycel_simnet.checker import (
    BAG,
    CHOICE,
    MARKS,
    OWN,
    SHARED,
    TOTAL,
    Difference,
    Outcome,
    Record,
    Write,
    check,
    observe,
)
from mycel_simnet.cluster import Cluster
from mycel_simnet.links import State
from mycel_simnet.process import NoAnswer, Refused

MAX_SKEW = 10 * 3600  # seconds either way: two devices stay within the day beyond which entries are held
MAX_BURST_MS = 60  # a kill comes at most this long after the first of the writes that it interrupts
KEYS = 6  # of a map, per device or shared
DURATION = (3, 25)  # edits between a fault and its end
AMBIGUOUS: Final = frozenset({"ControlError"})  # errors that do not say whether the write happened

EDITS: Final = ("add", "add", "remove", "count", "put", "put", "delete", "share", "share", "choose")
FAULTS: Final = ("partition", "kill", "restart", "freeze", "skew")
PARTITIONS: Final = {state.value: state for state in (State.RESET, State.SILENT, State.FROZEN)}


@dataclass(frozen=True, slots=True)
class Step:
    """One step, in words: an edit ``add phone``, ``put phone 3``, or a fault ``partition silent a,b c``, ``kill phone 20``."""

    verb: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.verb, *self.arguments))


def parse_steps(text: str) -> list[Step]:
    """Steps as they were printed, one a line."""
    return [Step(words[0], tuple(words[1:])) for line in text.splitlines() if (words := line.split())]


class _Generator:
    """Makes steps while keeping track of which device can do what."""

    def __init__(self, seed: int, devices: Sequence[str]) -> None:
        self.random = random.Random(seed)
        self.devices = list(devices)
        self.steps: list[Step] = []
        self.down: set[str] = set()
        self.frozen: set[str] = set()
        self.skewed: set[str] = set()
        self.revoked: set[str] = set()
        self.parted = False
        self.ends: list[tuple[int, Step]] = []  # (at which edit, step that ends a fault)

    def say(self, verb: str, *arguments: object) -> None:
        self.steps.append(Step(verb, tuple(map(str, arguments))))

    def awake(self) -> list[str]:
        return [name for name in self.devices if name not in self.down | self.frozen]

    def healthy(self) -> list[str]:
        return [name for name in self.awake() if name not in self.revoked]

    def edit(self) -> None:
        verb, device = self.random.choice(EDITS), self.random.choice(self.awake())
        self.say(verb, device, *([] if verb in {"add", "choose"} else [self.random.randrange(KEYS)]))

    def fault(self, kind: str, edit: int) -> bool:
        """Add a fault that is possible now, and plan its end."""
        until = edit + self.random.randint(*DURATION)
        if kind == "partition":
            if self.parted:
                return False
            self.parted = True
            shuffled = self.random.sample(self.devices, len(self.devices))
            cut = self.random.randint(1, len(shuffled) - 1)
            self.say(kind, self.random.choice(sorted(PARTITIONS)), ",".join(shuffled[:cut]), ",".join(shuffled[cut:]))
            self.ends.append((until, Step("heal")))
            return True
        candidates = self.healthy()
        if len(candidates) < 3 and kind != "skew":
            return False  # somebody must be left to go on
        device = self.random.choice(candidates)
        if kind == "skew":
            self.skewed.add(device)
            self.say(kind, device, self.random.randint(-MAX_SKEW, MAX_SKEW))
        elif kind == "restart":
            self.say(kind, device)
        elif kind == "kill":
            self.down.add(device)
            self.say(kind, device, self.random.randint(0, MAX_BURST_MS))
            self.ends.append((until, Step("start", (device,))))
        elif kind == "freeze":
            self.frozen.add(device)
            self.say(kind, device)
            self.ends.append((until, Step("thaw", (device,))))
        elif kind == "revoke":
            self.revoked.add(device)
            self.say(kind, self.random.choice([name for name in candidates if name != device]), device)
        return True

    def end(self, edit: float) -> None:
        """End the faults whose time has come."""
        for until, step in sorted(self.ends, key=lambda end: end[0]):
            if until <= edit:
                self.ends.remove((until, step))
                self.steps.append(step)
                self.parted &= step.verb != "heal"
                self.down.difference_update(step.arguments)
                self.frozen.difference_update(step.arguments)

    def finish(self) -> None:
        """End everything, so that the devices can come together."""
        self.end(float("inf"))
        for device in sorted(self.skewed):
            self.say("skew", device, 0)


def generate(
    seed: int, devices: Sequence[str], *, edits: int = 200, faults: int = 20, revocations: int = 1
) -> list[Step]:
    """``edits`` random writes by ``devices`` with ``faults`` in between; all faults end at last, except for the revocations."""
    assert len(devices) >= revocations + 3 or not revocations, "too few devices for so many revocations"
    made = _Generator(seed, devices)
    kinds = [*FAULTS[: faults - revocations], *["revoke"] * revocations]
    kinds += [made.random.choice(FAULTS) for _ in range(faults - len(kinds))]
    made.random.shuffle(kinds)
    when = sorted(made.random.sample(range(edits), faults))
    waiting: list[str] = []
    for edit in range(edits):
        made.end(edit)
        waiting += [kind for at, kind in zip(when, kinds, strict=True) if at == edit]
        waiting = [kind for kind in waiting if not made.fault(kind, edit)]
        made.edit()
    for kind in waiting:
        made.end(float("inf"))
        made.fault(kind, edits)
    made.finish()
    return made.steps


class Player:
    """Carries out steps on a cluster and keeps the record of what was written. ``told`` hears each step before it is taken."""

    def __init__(self, cluster: Cluster, told: Callable[[Step], None] = lambda step: None) -> None:
        self.cluster, self._told = cluster, told
        self.record = Record(list(cluster.nodes))

    async def play(self, steps: Iterable[Step]) -> None:
        """One step after the other; edits on a device that is down or frozen are left out."""
        for step in steps:
            self._told(step)
            if step.verb in EDITS:
                device, *rest = step.arguments
                node = self.cluster.nodes[device]
                if node.running and not node.frozen:
                    await self.edit(step.verb, device, int(rest[0]) if rest else 0)
            else:
                await self._fault(step.verb, *step.arguments)

    async def finish(self, deadline: float) -> list[Difference]:
        """Wait until the healthy devices are in step and check them. Raises `NotConverged`."""
        await self.cluster.converged(deadline)
        return list(check(self.record, await observe(self.cluster, self.cluster.healthy)))

    # --- edits -------------------------------------------------------------------------------------------------------------

    async def edit(self, verb: str, device: str, number: int = 0) -> Write:
        """One write with unique content on a device."""
        label = f"{device}/{sum(write.device == device for write in self.record.writes)}"
        seen: dict[str, int] = {}
        operations: list[list[Any]] = []
        if verb == "add":
            operations = [["add", BAG, label]]
        elif verb == "remove":
            there = await self.cluster.read(device, BAG, "orset")
            operations = [["remove", BAG, sorted(there)[number % len(there)]]] if there else []
        elif verb == "count":
            operations = [["count", TOTAL, number - KEYS // 2]]
        elif verb == "put":
            operations = [["put", OWN, f"{device}/{number}", label]]
        elif verb == "delete":
            operations = [["delete", OWN, f"{device}/{number}"]]
        elif verb == "share":
            seen = await self._seen(device)
            operations = [["put", SHARED, str(number), label]]
        elif verb == "choose":
            seen = await self._seen(device)
            operations = [["assign", CHOICE, label]]
        return await self.write(device, operations, label, seen)

    async def _seen(self, device: str) -> dict[str, int]:
        return dict((await self.cluster.standing(device)).applied)

    async def write(
        self, device: str, operations: Sequence[Sequence[Any]], mark: str, seen: dict[str, int] | None = None
    ) -> Write:
        """A write with its unique mark, kept in the record with what came of it."""
        write = Write(device, [["append", MARKS, mark], *operations], seen=seen or {})
        self.record.writes.append(write)
        try:
            write.seq = await self.cluster.write(device, write.operations)
            write.outcome = Outcome.ACKNOWLEDGED
        except Refused as error:
            if error.kind not in AMBIGUOUS:
                write.outcome = Outcome.REFUSED
        except NoAnswer:
            pass
        return write

    # --- faults ------------------------------------------------------------------------------------------------------------

    async def _fault(self, verb: str, *arguments: str) -> None:
        cluster = self.cluster
        match verb, arguments:
            case "partition", (kind, *groups):
                cluster.partition(*(group.split(",") for group in groups), kind=PARTITIONS[kind])
            case "heal", ():
                cluster.heal()
            case "kill", (device, delay):
                await self.kill_while_writing(device, int(delay) / 1000)
            case "start", (device,):
                await cluster.start(device)
            case "restart", (device,):
                await cluster.restart(device)
            case "freeze", (device,):
                cluster.freeze(device)
            case "thaw", (device,):
                cluster.thaw(device)
            case "skew", (device, seconds):
                cluster.skew(device, float(seconds))
            case "revoke", (by, device):
                self.record.fences[device] = await cluster.revoke(by, device)
            case _:
                raise ValueError(f"no such step: {verb} {' '.join(arguments)}")

    async def kill_while_writing(self, device: str, seconds: float) -> None:
        """Kill -9 ``seconds`` after a device was given writes without end; none after the kill."""
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def write_on() -> None:
                while (await self.edit("count", device, KEYS)).outcome is Outcome.ACKNOWLEDGED:
                    pass

            await trio.sleep(seconds)
            await self.cluster.kill(device)
