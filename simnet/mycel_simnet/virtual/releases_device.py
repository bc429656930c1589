"""One device of the world of releases: the product's machine on a simulated disk, and what its driver does for it.

A commit is synced when it returns; the device can die before and after each. What another device is asked, it answers in one go, as
the product's does under its lock; a line can break before the question and before the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mycel_simnet.virtual.keys import Broken, Key, verify
from mycel_simnet.virtual.releases_disk import DAY_MS, Disk, Mark, Turn, day_mark, read_kept, turn_mark
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import blake2b
from mycelnode.errors import PlanRefused
from mycelnode.protocols.release import Part
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import Plan, Record, Seen, Spend
from mycelnode.protocols.release_steps import (
    Ask,
    Call,
    Compare,
    Countersign,
    Draw,
    Freeze,
    Give,
    Keep,
    No,
    Seal,
    Terms,
    Wait,
)
from mycelnode.protocols.release_units import FORGOTTEN, Handed, counts, digest, label
from mycelnode.protocols.release_window import Window, quarter_begins, quarter_of

if TYPE_CHECKING:
    from mycel_simnet.virtual.releases import World

T = TypeVar("T")
Rows = tuple[Handed, ...]
Work = Iterator[None]  # goes on where it stopped, once other work had its turn
MAX_EFFECTS = 300  # of one decision; more is an endless loop


class Died(Exception):
    """A device died."""

    def __init__(self, device: Device) -> None:
        super().__init__(device.name)
        self.device = device


class LineBroken(Exception):
    """The other end cannot be reached any more."""


class DiskFull(Exception):
    """Nothing was stored."""


@dataclass(slots=True)
class Counted:
    """What a process sealed: in memory alone."""

    effect: Seal
    counts: dict[bytes, int]
    rows: dict[DeviceId, Rows]
    witness: DeviceId | None
    turns: dict[int, tuple[bytes, int]] = field(default_factory=dict)  # by the reckoning of `Promises`
    outputs: dict[bytes, int] | None = None


class Device:
    """A device key, a disk, and a process that may run."""

    def __init__(self, world: World, name: str, key: Key, disk: Disk) -> None:
        self.world, self.name, self.key, self.disk = world, name, key, disk
        self.terms = Terms(b"v" * 32, b"d" * 32)
        self.statements: set[tuple[str, DeviceId]] = set()  # of the mesh: ("enrol" or "revoke", whom)
        self.secrets: tuple[bytes, ...] = ()  # of the mesh, that in use last
        self.skew_ms = 0
        self.away = self.gone = self.busy = False  # switched off for a while; for ever; at a decision
        self.starts = 0  # of processes
        self.taken_before: dict[int, set[int]] = {}  # windows → turns, by what was lost with an older disk
        self.part: Part | None = None

    # --- the process --------------------------------------------------------------------------------------------------------

    @property
    def me(self) -> DeviceId:
        """The device key."""
        return self.key.public

    @property
    def up(self) -> bool:
        """Does its process run?"""
        return self.part is not None

    @property
    def now(self) -> int:
        """By its clock, in Unix ms."""
        return self.world.now + self.skew_ms

    @property
    def machine(self) -> Part:
        """Of the process that runs."""
        if self.part is None:
            raise LineBroken
        return self.part

    def boot(self) -> None:
        """Start, unless it runs or is switched off."""
        if self.part is None and not self.away and not self.gone:
            self.starts += 1
            self.busy = False
            self.counted: dict[Window, Counted] = {}
            ledger = Ledger(self.world.root.public, self.disk.records.values())
            kept = read_kept(self.disk.kept)
            self.part = Part(
                self.world.root.public, self.me, self.key.sign, verify, ledger, kept, self.world.random_bytes
            )
            self.refresh()

    def crash(self) -> None:
        """The process ends; so does the machine, which makes no difference, as all commits are synced."""
        self.part = None

    def commit(self, change: Callable[[Disk], None]) -> None:
        """One transaction. Raises `Died`, `DiskFull`."""
        if self.world.dies():
            self.crash()
            raise Died(self)
        if self.world.fills():
            raise DiskFull
        change(self.disk)
        self.world.promises.stored(self)
        if self.world.dies():
            self.crash()
            raise Died(self)

    def refresh(self) -> None:
        """Let the machine know who is in the mesh."""
        enrolled = frozenset(whom for kind, whom in self.statements if kind == "enrol")
        revoked = frozenset(whom for kind, whom in self.statements if kind == "revoke")
        self.machine.membership(enrolled - revoked, enrolled)

    @property
    def members(self) -> frozenset[DeviceId]:
        """As it knows them."""
        revoked = {whom for kind, whom in self.statements if kind == "revoke"}
        return frozenset(whom for kind, whom in self.statements if kind == "enrol" and whom not in revoked)

    def known_secrets(self) -> bytes:
        """What stands for them."""
        return blake2b(b"".join(sorted(self.secrets)))

    def tick(self) -> None:
        """What the product does now and then, and when it starts: note terms, take its own part."""
        if (opened := self.machine.open(self.now, self.terms)) is not None:

            def note(disk: Disk) -> None:
                later = [start for start in disk.kept.opened if start > opened.window.start]
                for start in later:
                    del disk.kept.opened[start]
                disk.kept.opened.setdefault(opened.window.start, opened.terms)

            self.commit(note)
            self.machine.opened(opened)
        while (freeze := self.machine.own(self.now, self.terms)) is not None:
            self.freeze(freeze)

    # --- turns ------------------------------------------------------------------------------------------------------------------

    def take_in(self, number: int, habit: int, day: int | None) -> None:
        """A turn comes in; ``day``: that which it names. Nothing happens if it is here, or counts no more."""
        marks = self.marks_of(number)
        if number in self.disk.turns or any(FORGOTTEN in self.disk.labels(mark) for mark in marks):
            return
        stamp = max(self.now, quarter_begins(self.machine.local.free(quarter_of(self.now))))
        turn = Turn(number, habit, self.now // DAY_MS if day is None else day, day is not None, stamp)

        def store(disk: Disk) -> None:
            disk.turns[number] = turn

        self.commit(store)

    def forget(self, number: int) -> None:
        """A turn is forgotten, for ever."""

        def store(disk: Disk) -> None:
            disk.turns.pop(number, None)
            disk.note((mark, FORGOTTEN) for mark in self.marks_of(number))

        self.commit(store)

    def marks_of(self, number: int) -> tuple[bytes, ...]:
        """Of a turn, that under the secret in use first."""
        marks = tuple(turn_mark(secret, number) for secret in reversed(self.secrets))
        self.world.promises.numbers.update(dict.fromkeys(marks, number))
        return marks

    def day_marks(self, key: bytes, day: int) -> list[bytes]:
        """Of a day of a habit."""
        return [day_mark(secret, key, day) for secret in self.secrets]

    def _marks(self, rows: Iterable[Handed], start: int) -> list[Mark]:
        of_days = [mark for one in rows for mark in self.day_marks(one.key, one.day)]
        return [(mark, label(start)) for mark in [*(mark for one in rows for mark in one.marks), *of_days]]

    def freeze(self, done: Freeze) -> None:
        """As `Freeze` says."""
        start, rows = done.window.start, list[Handed]()
        for turn in [] if done.empty else sorted(self.disk.turns.values(), key=lambda turn: turn.number):
            marks = self.marks_of(turn.number)
            earlier = any(found < label(start) for mark in marks for found in self.disk.labels(mark))
            if done.window.opens <= turn.ingested < done.window.closes and not earlier:
                rows.append(Handed(marks, b"%d %s" % (turn.habit, self.terms.version[:4]), turn.day, turn.dated))

        def store(disk: Disk) -> None:
            disk.kept.frozen[start] = (done.window, done.releaser)
            disk.rows[start, self.me] = tuple(rows)
            disk.note(self._marks(rows, start))
            if done.releaser == self.me:
                disk.kept.got.setdefault(start, set()).add(self.me)
            self.world.promises.took(self, done.window, rows)

        self.commit(store)
        self.machine.froze(done)

    # --- answering, each in one go ------------------------------------------------------------------------------------------------

    def hear(self, records: Iterable[Record]) -> None:
        """All records that another device has."""
        if (keep := self.machine.hear(records, self.now)) is not None:
            self.keep(keep)

    def keep(self, done: Keep) -> None:
        """With one fsync."""

        def store(disk: Disk) -> None:
            disk.records.update((record.id, record) for record in done.records)

        self.commit(store)
        self.machine.kept(done)

    def take_marks(self, marks: dict[bytes, frozenset[int]]) -> None:
        """What counts no more, by another device."""
        known = self.disk.marks
        new = [
            (mark, label)
            for mark, labels in marks.items()
            if (more := known.get(mark)) != labels
            for label in labels - (more or frozenset())
        ]
        if new:
            self.commit(lambda disk: disk.note(new))

    def called(self, call: Call, caller: DeviceId) -> Rows:
        """Our part. Raises `LineBroken` for a refusal."""
        self.refresh()
        answer = self.machine.call(call, caller, self.now, self.terms, self.known_secrets())
        if isinstance(answer, Freeze):
            self.freeze(answer)
            answer = self.machine.call(call, caller, self.now, self.terms, self.known_secrets())
        self.world.said(answer)
        if not isinstance(answer, Give):
            raise LineBroken
        return () if answer.empty else self.disk.rows.get((call.window.start, self.me), ())

    def given(self, window: Window) -> None:
        """Our part is on the releaser's disk."""
        self.commit(lambda disk: disk.rows.pop((window.start, self.me), None) and None)

    def asked(self, record: Spend | Plan, caller: DeviceId) -> Seen:
        """Our word. Raises `LineBroken` for a refusal."""
        self.refresh()
        answer = self.machine.asked(record, caller, self.now)
        self.world.said(answer)
        if isinstance(answer, Keep):
            self.keep(answer)
            answer = next(one for one in answer.records if isinstance(one, Seen))
        if isinstance(answer, No):
            raise LineBroken
        return answer

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
                    effect = self.machine.next(self.now, self.terms, self.known_secrets(), hurry=hurry)
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
                self.counted[window] = Counted(effect, found, rows, plan and plan.witness)
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
