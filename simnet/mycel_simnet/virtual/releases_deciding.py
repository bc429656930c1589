"""What a device of the world of releases asks of others, and how it decides: in parts, so that others come between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.releases_device import Answering, Died, DiskFull, LineBroken, Rows
from mycel_simnet.virtual.releases_disk import Disk
from mycelnode.crdt.changelog import DeviceId
from mycelnode.errors import PlanRefused
from mycelnode.protocols.release_steps import Ask, Call, Compare, Countersign, Draw, Freeze, Keep, Seal, Wait
from mycelnode.protocols.release_units import counts, digest, label
from mycelnode.protocols.release_window import Window

T = TypeVar("T")
Work = Iterator[None]  # goes on where it stopped, once other work had its turn
MAX_EFFECTS = 300  # of one decision; more is an endless loop


@dataclass(slots=True)
class Counted:
    """What a process sealed: in memory alone."""

    effect: Seal
    counts: dict[bytes, int]
    rows: dict[DeviceId, Rows]
    witness: DeviceId | None
    turns: dict[int, tuple[bytes, int]] = field(default_factory=dict)  # by the reckoning of `Promises`
    outputs: dict[bytes, int] | None = None


class Device(Answering):
    """A device that asks, too."""

    def forget_attempts(self) -> None:
        """A process begins with nothing in its memory."""
        self.busy, self.counted = False, dict[Window, Counted]()

    # --- asking -----------------------------------------------------------------------------------------------------------------

    def at(self, other: Device, call: Callable[[], T]) -> T:
        """Have another device do something. Raises `LineBroken`, also when it was done and the answer is lost."""
        self.world.line(self, other)
        try:
            result = call()
        except Died as death:
            if death.device is not other:
                raise
            raise LineBroken from None
        except DiskFull:
            raise LineBroken from None
        self.world.line(self, other)
        return result

    def meet(self, other: Device) -> Work:
        """The same records and the same marks on both ends."""
        self.world.greet(self, other)
        yield
        self.at(other, lambda: other.hear(self.disk.records.values()))
        yield
        self.hear(self.at(other, lambda: list(other.disk.records.values())))
        yield
        self.at(other, lambda: other.take_marks(self.disk.marks))
        yield
        self.take_marks(self.at(other, lambda: dict(other.disk.marks)))
        yield
        self.hear_terms(other)
        self.at(other, lambda: other.hear_terms(self))

    def _ask(self, call: Call, other: Device) -> Work:
        yield from self.meet(other)
        yield
        rows = self.at(other, lambda: other.called(call, self.me))
        yield
        if self.machine.sealing(call.window):
            raise LineBroken
        start, whose = call.window.start, other.me

        def store(disk: Disk) -> None:
            disk.rows[start, whose] = rows
            disk.note(self._marks(rows, start))
            disk.kept.got.setdefault(start, set()).add(whose)

        self.commit(store)
        self.machine.got(call.window, whose)
        yield
        self.at(other, lambda: other.given(call.window))

    def change_plan(self, **changes: object) -> Work:
        """A new plan, as a person wants it, or as the machine does."""
        try:
            plan = self.machine.plan(self.now, **changes) if changes else self.machine.tend(self.now)  # type: ignore[arg-type]
        except PlanRefused:
            return
        plan = plan or self.machine.pending_plan()
        if plan is None or not self.world.may_name(plan):
            return
        witness = self.machine.word_wanted(plan)
        self.keep(Keep((plan,)))
        yield
        if witness is not None:
            try:
                other = self.world.reach(self, witness)
                yield from self.meet(other)
                yield
                word = self.at(other, lambda: other.asked(plan, self.me))
                yield
                if self.machine.is_word(word, plan, witness):
                    self.keep(Keep((word,)))
            except LineBroken:
                return

    # --- deciding -----------------------------------------------------------------------------------------------------------------

    def decide(self, *, hurry: bool = False) -> Work:
        """Windows that are over, the earliest first, as far as it goes."""
        if self.busy:
            return
        self.busy = True
        try:
            self.refresh()
            self.tick()
            yield from self.change_plan()
            while self.machine.begin(self.now) is not None or self.machine.drawing:
                for _ in range(MAX_EFFECTS):
                    effect = self.machine.next(self.now, self.terms.version, self.known_secrets(), hurry=hurry)
                    if effect is None or isinstance(effect, Wait):
                        return
                    yield
                    try:
                        yield from self._do(effect)
                    except LineBroken:
                        self._unanswered(effect)
                    yield
                    if isinstance(effect, Draw):
                        break
                else:
                    raise Broken("endless", f"{self.name} goes on and on about a window")
        except DiskFull:
            return
        finally:
            self.busy = False

    def _unanswered(self, effect: object) -> None:
        match effect:
            case Ask(_, device) | Compare(_, device) | Countersign(_, device):
                self.machine.silent(device)
            case _:
                raise Broken("crash", f"{self.name}: nobody was asked anything")

    def _do(self, effect: object) -> Work:
        machine = self.machine
        match effect:
            case Freeze():
                self.freeze(effect)
            case Ask(call, device):
                yield from self._ask(call, self.world.reach(self, device))
            case Compare(_, device):
                yield from self.meet(self.world.reach(self, device))
                machine.compared(device)
            case Seal(window, devices):
                rows = {device: self.disk.rows.get((window.start, device), ()) for device in sorted(devices)}
                handed = (one for part in rows.values() for one in part)
                found = counts(handed, label(window.start), self.disk.labels, self.day_marks)
                plan = machine.ledger.plan(window.start)
                self.counted[window] = Counted(effect, found, rows, None if plan is None else plan.witness)
                self.world.promises.sealed(self, self.counted[window])
                machine.sealed(effect, digest(self.disk.salt, found), self.disk.kept.opened[window.start].version)
            case Countersign(record, device):
                other = self.world.reach(self, device)
                self.world.greet(self, other)
                machine.countersigned(self.at(other, partial(other.asked, record, self.me)))
            case Keep():
                self.keep(effect)
            case Draw():
                self._draw(effect)
            case _:
                raise Broken("crash", f"{self.name}: {effect} was not foreseen")

    def _draw(self, effect: Draw) -> None:
        start = effect.spend.window.start
        counted = self.counted[effect.spend.window]
        if effect.again and counted.outputs is None:
            handed = (one for part in counted.rows.values() for one in part)
            found = counts(handed, label(start), self.disk.labels, self.day_marks)
            if digest(self.disk.salt, found) != effect.spend.digest:
                self.machine.missed(effect)
                return
            counted.turns = self.world.promises.reckon(self, counted)
        if counted.outputs is None:
            self.world.promises.drawn(self, effect, counted)
            counted.outputs = dict(counted.counts)

        def store(disk: Disk) -> None:
            disk.outputs[start] = dict(counted.outputs or {})
            disk.kept.drawn.add(start)
            for place in [place for place in disk.rows if place[0] == start]:
                del disk.rows[place]

        self.commit(store)
        self.machine.drew(effect)
