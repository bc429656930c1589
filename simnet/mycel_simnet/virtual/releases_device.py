"""One device of the world of releases: the product's machine on a simulated disk, and what its driver does for it.

A commit is synced when it returns; the device can die before and after each. What another device is asked, it answers in one go, as
the product's does under its lock; a line can break before the question and before the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from mycel_simnet.virtual.keys import Key, verify
from mycel_simnet.virtual.releases_disk import DAY_MS, Disk, Mark, Turn, day_mark, read_kept, turn_mark
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import blake2b
from mycelnode.protocols.release import Part
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import Plan, Record, Seen, Spend
from mycelnode.protocols.release_steps import (
    Agree,
    Call,
    Freeze,
    Give,
    Keep,
    No,
    Terms,
)
from mycelnode.protocols.release_units import FORGOTTEN, Handed, label
from mycelnode.protocols.release_window import Window, quarter_begins, quarter_of

if TYPE_CHECKING:
    from mycel_simnet.virtual.releases import World

T = TypeVar("T")
Rows = tuple[Handed, ...]
Work = Iterator[None]  # goes on where it stopped, once other work had its turn
MAX_EFFECTS = 300  # of one decision; more is an endless loop


class Died(Exception):
    """A device died."""

    def __init__(self, device: Answering) -> None:
        super().__init__(device.name)
        self.device = device


class LineBroken(Exception):
    """The other end cannot be reached any more."""


class DiskFull(Exception):
    """Nothing was stored."""


class Answering:
    """A device key, a disk, and a process that may run: what it does by itself, and when it is asked."""

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

    def boot(self) -> bool:
        """Start, unless it runs or is switched off."""
        if self.part is None and not self.away and not self.gone:
            self.starts += 1
            self.busy = False
            self.forget_attempts()
            ledger = Ledger(self.world.root.public, self.disk.records.values())
            kept = read_kept(self.disk.kept)
            self.part = Part(
                self.world.root.public, self.me, self.key.sign, verify, ledger, kept, self.world.random_bytes
            )
            self.refresh()
            return True
        return False

    def forget_attempts(self) -> None:
        """A process begins with nothing in its memory."""

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
                for start in [start for start in disk.kept.opened if start > opened.window.start]:
                    if start not in disk.kept.frozen:
                        del disk.kept.opened[start]
                        disk.kept.agreed.pop(start, None)
                disk.kept.opened.setdefault(opened.window.start, opened.terms)

            self.commit(note)
            self.machine.opened(opened)
        while (freeze := self.machine.own(self.now, self.terms.version)) is not None:
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
        if not self.machine.stands(done):
            return
        start, rows = done.window.start, list[Handed]()
        for turn in [] if done.empty else sorted(self.disk.turns.values(), key=lambda turn: turn.number):
            marks = self.marks_of(turn.number)
            earlier = any(found < label(start) for mark in marks for found in self.disk.labels(mark))
            if done.window.opens <= turn.ingested < done.window.closes and not earlier:
                read_by = self.terms.version[:4] + self.machine.local.opened[start].dictionary[-4:]
                rows.append(Handed(marks, b"%d %s" % (turn.habit, read_by), turn.day, turn.dated))

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

    def hear_terms(self, device: Answering) -> None:
        """By which dictionary another device reads the windows that it decides."""
        for window in self.machine.untaken(device.me, self.now):
            terms = device.machine.terms_for(window, self.me)
            agree = None if isinstance(terms, No) else self.machine.agree(window, device.me, terms)
            self.world.words["the window has not opened there" if isinstance(terms, No) else type(agree).__name__] += 1
            if agree is not None:
                self._agree(agree)

    def _agree(self, done: Agree) -> None:
        def store(disk: Disk) -> None:
            disk.kept.opened[done.window.start] = done.terms
            disk.kept.agreed[done.window.start] = done.releaser

        self.commit(store)
        self.machine.agreed(done)

    def called(self, call: Call, caller: DeviceId) -> Rows:
        """Our part. Raises `LineBroken` for a refusal."""
        self.refresh()
        answer = self.machine.call(call, caller, self.now, self.terms.version, self.known_secrets())
        if isinstance(answer, Freeze):
            self.freeze(answer)
            answer = self.machine.call(call, caller, self.now, self.terms.version, self.known_secrets())
        self.world.said(answer)
        if not isinstance(answer, Give):
            raise LineBroken
        return () if answer.empty else self.disk.rows.get((call.window.start, self.me), ())

    def given(self, window: Window) -> None:
        """Our part is on the releaser's disk."""

        def erase(disk: Disk) -> None:
            disk.rows.pop((window.start, self.me), None)

        self.commit(erase)

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
