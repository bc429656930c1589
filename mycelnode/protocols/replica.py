"""One device's copy of the mesh: logs, statements, membership and the document folded from them.

Every decision about what to accept, what counts and what is applied is taken here, as a function of the entries and statements
held, never of the order in which they came. The machine is pure: proposals (`write`, `declare`, `accept`, `learn`) are
*tentative*; `take` hands the driver what to store in one transaction, and only then `durable` applies it, or `rollback` forgets
it. So *acknowledged* means fsynced, in the real node and in simnet alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mycelnode.crdt.changelog import (
    DeviceId,
    Head,
    Sign,
    SignedHead,
    Verify,
    chain,
    decode_entry,
    encode_entry,
    sign_head,
    verify_head,
)
from mycelnode.crdt.clock import EARLIEST_MS, MAX_SKEW_MS, HybridClock, to_ms
from mycelnode.crdt.document import Change, Document
from mycelnode.crdt.membership import Membership, membership
from mycelnode.crdt.statements import ENROL, FENCE, REVOKE, TIME, Statement, decode_statement, derived_fork
from mycelnode.errors import BusyError, ClockWrong, ForkDetected, LogError, MycelError, NotAMember
from mycelnode.protocols.logset import Addition, EntryStore, LogSet, Row

MAX_STATEMENTS = 10_000  # kept for ever, so bounded: a mesh needs a few per device
MAX_BY_ROOT = 500  # besides those: the phrase heals what a flood has clogged
READ_BYTES = 1 << 20  # how much of a log is read at a time while folding


@dataclass(slots=True)
class Batch:
    """What one transaction must store."""

    additions: list[Addition] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.additions or self.statements)


@dataclass(frozen=True, slots=True)
class Hold:
    """A log not applied from ``seq`` on, because that entry's clock is more than a day ahead; ``until`` is Unix ms."""

    seq: int
    until: int


@dataclass(slots=True)
class Progress:
    """What became true with one durable batch: the driver tells sessions, watchers and the audit."""

    logs: set[DeviceId] = field(default_factory=set)
    statements: list[Statement] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    membership_changed: bool = False
    forked: set[DeviceId] = field(default_factory=set)
    refolded: bool = False
    base_checked: bool | None = None  # True: the state we started from equals the logs; False: it did not, the logs won


@dataclass(frozen=True, slots=True)
class Base:
    """The folded state that ``giver`` gave a newcomer: unverified until the logs up to ``cut`` are held and fold to ``digest``.

    The giver has those logs. Put out before they came, it takes the state with it: nobody else may have them.
    """

    cut: Mapping[DeviceId, Head]
    digest: bytes
    giver: DeviceId


class Replica:
    """The machine. Times are Unix milliseconds; ``device`` is our own key, ``root`` the mesh's."""

    def __init__(self, root: bytes, device: DeviceId, sign: Sign, verify: Verify, store: EntryStore) -> None:
        self.root, self.device = root, device
        self.logs = LogSet(root, store, verify)
        self.statements: dict[bytes, Statement] = {}
        self.document = Document()
        self.clock = HybridClock()
        self.held: dict[DeviceId, Hold] = {}
        self.skews: dict[DeviceId, int] = {}  # ms that each peer's clock is ahead of ours, as it said
        self.base: Base | None = None
        self.membership: Membership = membership(root, (), self.logs.on_chain, self._common)
        self._sign, self._verify = sign, verify
        self._own: list[Row] = []
        self._batch = Batch()
        self._subjects: set[DeviceId] = set()
        self._fenced: set[DeviceId] = set()  # of whom a revocation or fence is held, whether it counts or not
        self._by_root = 0  # statements

    def load(
        self,
        statements: Iterable[Statement],
        document: Document | None = None,
        base: Base | None = None,
        *,
        clock: int = 0,
        now: int,
    ) -> None:
        """Begin with what is on disk: ``logs.durable`` is filled in already, ``document`` is a checkpoint, ``clock`` is the last
        reading of our hybrid clock, by which we go on whatever the wall clock says now.

        A checkpoint folded under a clock that was far ahead is left aside: what the other devices hold may be in it.
        """
        self.clock.last = max(self.clock.last, clock)
        if self.clock_ran_ahead(now):
            document = base = None
        for statement in statements:
            self._know(statement)
        self.membership = self._membership()
        self.base = base
        if document is not None and all(self._applies(device, seq) for device, seq in document.applied.items()):
            self.document = document
        else:
            self.base = None
        progress = Progress()
        for device in list(self.logs.durable):
            self._advance(device, now, progress)

    # --- what we are -------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """Our own log's end, tentative entries included."""
        return Head(self._own[-1].seq, self._own[-1].hash) if self._own else self.logs.tip(self.device)

    @property
    def cloned(self) -> bool:
        """Has our own key signed two histories?"""
        return len(self.logs.branches(self.device)) > 1

    def clock_wrong(self, now: int) -> bool:
        """Was our clock never set, or do two members (and more than agree with us) find it more than a day off, on the same side?
        Then it is ours that is wrong, and nothing is held."""
        skews = [skew for peer, skew in self.skews.items() if peer in self.membership.members]
        off = max(sum(skew > MAX_SKEW_MS for skew in skews), sum(skew < -MAX_SKEW_MS for skew in skews))
        return now < EARLIEST_MS or (off >= 2 and off > sum(abs(skew) <= MAX_SKEW_MS for skew in skews))

    @property
    def new(self) -> bool:
        """Does this device hold nothing of the others yet, so that it may begin with a peer's folded state?"""
        return self.base is None and self.document.applied.keys() <= {self.device}

    def clock_set(self, by: int) -> None:
        """Somebody set our clock, ``by`` ms ahead: what peers said of theirs is reckoned anew."""
        self.skews = {peer: skew - by for peer, skew in self.skews.items()}

    def clock_ran_ahead(self, now: int) -> bool:
        """Is our hybrid clock further ahead than other devices, which pull it by a day, account for?"""
        return now >= EARLIEST_MS and to_ms(self.clock.last) > now + 2 * MAX_SKEW_MS

    def check_writable(self) -> None:
        """Raise `ForkDetected` or `NotAMember` if we may not write any more."""
        if self.cloned:
            raise ForkDetected(
                "this device's key was used on another copy too; join again with a new key, then rescue this log"
            )
        if self.device in self.membership.members and self.device in self.membership.fences:
            raise NotAMember(
                "the log of this device was closed by another one; join again with a new key, then rescue it"
            )
        if self.device not in self.membership.members:
            raise NotAMember("this device was revoked; join again with a new key, then rescue what it wrote")

    # --- proposals ---------------------------------------------------------------------------------------------------

    def write(self, operations: Sequence[Any], now: int) -> Head:
        """A transaction of our own; returns its place in our log.

        Raises `ClockWrong`: what a clock far ahead stamps, the others hold for as long, with all that follows it.
        """
        self.check_writable()
        self._check_clock(now)
        return self._append(encode_entry(self.clock.tick(now), operations))

    def _check_clock(self, now: int) -> None:
        says = f"this device's clock says {_date(now)}"
        if now < EARLIEST_MS:
            raise ClockWrong(f"{says}; set it and try again")
        if self.clock_wrong(now):
            raise ClockWrong(
                f"{says}, and two other devices agree that it is more than a day off; set it and try again"
            )
        if self.clock_ran_ahead(now):
            raise ClockWrong(
                f"{says}, but it has written entries dated {_date(to_ms(self.clock.last))}; set it, or, if it was wrong"
                " then, join again with a new invite, or use `mycelnode recover` with the phrase, and rescue what this device"
                " wrote"
            )

    def declare(self, kind: str, subject: DeviceId, head: Head | None, info: Mapping[str, Any], now: int) -> Statement:
        """A statement of our own, as an entry of our log."""
        self.check_writable()
        self._check_room(1, 0)
        position = Head(self.head.seq + 1, self.head.hash)
        said = {**info, TIME: max(now, 0)}
        statement = Statement(kind, subject, head, self.device, position, said).signed(self.root, self._sign)
        self._append(statement.entry)
        self._batch.statements.append(statement)
        return statement

    def accept(self, device: DeviceId, start: Head, entries: Sequence[bytes], head: Any) -> bool:
        """Entries from another device, ending in a signed head; False if all are held. Raises `LogError`, `BusyError`."""
        if device not in self._subjects and not any(
            s.kind == ENROL and s.subject == device for s in self._batch.statements
        ):
            raise LogError("a log of a device that nobody enrolled")
        if device == self.device:
            self._seal()
        addition = self.logs.accept(device, start, entries, head)
        if addition is None:
            return False
        self._batch.additions.append(addition)
        for row in addition.rows:
            statement = _carried(device, row)
            if statement is not None and statement.at == Head(row.seq, row.hash):
                with suppress(MycelError):  # the log is valid whatever a statement in it is worth
                    self.learn([statement])
        return True

    def verify_head(self, device: DeviceId, head: SignedHead) -> None:
        """Raise `LogError` unless ``device`` signed ``head`` for this mesh."""
        verify_head(self.root, device, head, self._verify)

    def worth_learning(self, statements: Iterable[Statement]) -> list[Statement]:
        """Those that are new and that somebody known could have signed, verified. Raises `LogError` on a wrong signature."""
        known = self._subjects | {s.subject for s in self._batch.statements if s.kind == ENROL} | {self.root}
        seen = {statement.id for statement in self._batch.statements}
        new: list[Statement] = []
        for statement in statements:
            if statement.id in self.statements or statement.id in seen or statement.author not in known:
                continue
            statement.verify(self.root, self._verify)
            seen.add(statement.id)
            new.append(statement)
            if statement.kind == ENROL:
                known.add(statement.subject)
        return new

    def learn(self, statements: Iterable[Statement]) -> int:
        """Statements from outside; those that nobody known could have signed are ignored. Returns how many were new."""
        new = self.worth_learning(statements)
        by_root = sum(statement.author == self.root for statement in new)
        self._check_room(len(new) - by_root, by_root)
        self._batch.statements += new
        return len(new)

    def _check_room(self, more: int, more_by_root: int) -> None:
        """Raise `BusyError` if there is no room for so many statements."""
        by_root = self._by_root + sum(statement.author == self.root for statement in self._batch.statements)
        others = len(self.statements) + len(self._batch.statements) - by_root
        if (more and others + more > MAX_STATEMENTS) or (more_by_root and by_root + more_by_root > MAX_BY_ROOT):
            raise BusyError("this mesh has more statements than it can hold")

    def membership_with(self, statements: Iterable[Statement]) -> Membership:
        """The membership if these statements were held too."""
        return self._membership(statements)

    # --- durability --------------------------------------------------------------------------------------------------

    def take(self) -> Batch:
        """Everything tentative, our own entries sealed under one signature: to be stored in one transaction."""
        self._seal()
        return self._batch

    def rollback(self) -> None:
        """The transaction failed: nothing of it happened."""
        self.logs.rollback()
        self._own.clear()
        self._batch = Batch()

    def durable(self, now: int) -> Progress:
        """The transaction is on disk: apply it."""
        batch, self._batch = self._batch, Batch()
        self.logs.settle()
        progress = Progress(logs={a.device for a in batch.additions}, statements=batch.statements)
        progress.forked = {a.device for a in batch.additions if a.forks}
        for statement in batch.statements:
            self._know(statement)
        fenced = not progress.logs.isdisjoint(self._fenced)  # what lies beyond a fence may show only now
        if batch.statements or progress.forked or fenced:
            self._reconsider(now, progress)
        for addition in batch.additions:
            self._advance(addition.device, now, progress, addition)
        self._check_base(now, progress)
        return progress

    def tick(self, now: int) -> Progress:
        """Apply what was held until now."""
        progress = Progress()
        for device, hold in list(self.held.items()):
            if hold.until <= now or self.clock_wrong(now):
                self._advance(device, now, progress)
        return progress

    def start_from(self, document: Document, cut: Mapping[DeviceId, Head], giver: DeviceId, now: int) -> Progress:
        """Begin with a peer's folded state, which the driver stores; entries held beyond it are applied on top.

        Raises `BusyError` if this device is not new any more, or if the state says what it cannot: entries of our own that we never
        wrote, or writes from more than a day ahead, which logs would hold.
        """
        latest = document.latest_clock()
        if not self.new or document.applied.get(self.device, 0) > self.logs.tip(self.device).seq:
            raise BusyError("this device does not begin with that state")
        if to_ms(latest) > now + MAX_SKEW_MS and not self.clock_wrong(now):
            raise BusyError("the state offered holds writes from more than a day ahead")
        progress = Progress(refolded=True)
        self.base = Base(cut, document.digest(), giver)
        self.document = document
        self.clock.observe(latest, now)
        for device in list(self.logs.durable):
            self._advance(device, now, progress)
        self._drop_what_counts_no_more(now, progress)
        return progress

    # --- inside ------------------------------------------------------------------------------------------------------

    def _append(self, entry: bytes) -> Head:
        head = self.head
        self._own.append(Row(head.seq + 1, chain(head.hash, entry), entry, None))
        return self.head

    def _seal(self) -> None:
        if not self._own:
            return
        rows, self._own = self._own, []
        last = rows[-1]
        tip = sign_head(self.root, self.device, Head(last.seq, last.hash), self._sign)
        rows[-1] = last._replace(signature=tip.signature)
        self._batch.additions.append(self.logs.append(self.device, rows, tip))

    def _know(self, statement: Statement) -> None:
        if statement.id in self.statements:
            return
        self.statements[statement.id] = statement
        self._by_root += statement.author == self.root
        if statement.kind == ENROL:
            self._subjects.add(statement.subject)
        if statement.kind in (REVOKE, FENCE):
            self._fenced.add(statement.subject)

    def _membership(self, more: Iterable[Statement] = ()) -> Membership:
        forks = [
            derived_fork(device, self.logs.fork_point(device))
            for device, branches in self.logs.durable.items()
            if len(branches) > 1
        ]
        return membership(self.root, [*self.statements.values(), *more, *forks], self.logs.on_chain, self._common)

    def _common(self, device: DeviceId, one: Head, other: Head) -> Head | None:
        first, second = self.logs.find(device, one), self.logs.find(device, other)
        if first is None or second is None:
            return None
        common = self.logs.common(device, first, second)
        return min(common, one, other, key=lambda head: head.seq)

    def _reconsider(self, now: int, progress: Progress) -> None:
        """Membership anew; if something applied no longer counts, fold again from the start."""
        before, self.membership = self.membership, self._membership()
        if before == self.membership:
            return
        progress.membership_changed = True
        if not self._drop_what_counts_no_more(now, progress):
            for device in self.logs.durable:
                self._advance(device, now, progress)

    def _drop_what_counts_no_more(self, now: int, progress: Progress) -> bool:
        """If something applied does not count, fold again from the start."""
        if all(self._applies(device, seq) for device, seq in self.document.applied.items()):
            return False
        self._refold(now, progress)
        return True

    def _refold(self, now: int, progress: Progress) -> None:
        self.document, self.base = Document(), None
        self.held.clear()
        progress.refolded = True
        for device in self.logs.durable:
            self._advance(device, now, progress)

    def counted(self, device: DeviceId) -> tuple[int, int]:
        """(branch, up to which seq) of ``device``'s entries count, of those held."""
        if device not in self.membership.enrolled:
            return 0, 0
        if device not in self.membership.fences:
            return 0, self.logs.tip(device).seq
        fence = self.membership.fences[device]
        if fence is None:
            return 0, 0
        number = self.logs.find(device, fence)
        if number is not None:
            return number, fence.seq
        fork = self.logs.fork_point(device)  # the fence is not held yet: what surely lies before it
        limit = self.logs.tip(device).seq if fork is None else fork.seq
        return 0, min(limit, fence.seq)

    def _applies(self, device: DeviceId, seq: int) -> bool:
        """May the first ``seq`` entries of ``device`` stay applied?"""
        number, limit = self.counted(device)
        if self.base is not None and self.logs.tip(device, number).seq < seq:
            head = self.membership.fences.get(device, self.base.cut.get(device))
            known = device in self.membership.enrolled and self.base.giver in self.membership.members
            return known and head is not None and seq <= head.seq
        applied = self.document.applied_hash(device)
        return seq <= limit and (applied is None or self.logs.hash_at(device, number, seq) == applied)

    def _advance(self, device: DeviceId, now: int, progress: Progress, addition: Addition | None = None) -> None:
        """Apply what counts and is not applied yet, up to an entry that must be held."""
        number, limit = self.counted(device)
        done = self.document.applied.get(device, 0)
        ready: Sequence[Row] = ()
        if addition is not None and addition.number == number and addition.rows[0].seq == done + 1:
            ready = addition.rows
        while done < limit:
            rows = ready or self.logs.rows(device, number, done, READ_BYTES)
            ready = ()
            if not rows:
                return
            for row in rows:
                if row.seq > limit:
                    break
                if not self._apply(device, row, now, progress):
                    return
                done = row.seq
        self.held.pop(device, None)

    def _apply(self, device: DeviceId, row: Row, now: int, progress: Progress) -> bool:
        clock, operations = _read(row.entry)
        if to_ms(clock) > now + MAX_SKEW_MS and not self.clock_wrong(now):
            self.held[device] = Hold(row.seq, to_ms(clock) - MAX_SKEW_MS)
            return False
        if clock:
            self.clock.observe(clock, now)
        progress.changes += self.document.apply(device, row.seq, row.hash, clock, operations)
        return True

    def _check_base(self, now: int, progress: Progress) -> None:
        """Once the logs reach the cut that we started from: do they fold to the same state?"""
        base = self.base
        if base is None or any(self.logs.tip(device).seq < head.seq for device, head in base.cut.items()):
            return
        if any(self.logs.find(device, head) is None for device, head in base.cut.items()):
            self._refold(now, progress)  # another version of a log came first; whoever is to blame, the logs win
            return
        shadow = Document()
        for device, head in base.cut.items():
            number = self.logs.find(device, head) or 0
            while shadow.applied.get(device, 0) < head.seq:
                for row in self.logs.rows(device, number, shadow.applied.get(device, 0), READ_BYTES):
                    if row.seq <= head.seq:
                        shadow.apply(device, row.seq, row.hash, *_read(row.entry))
        progress.base_checked = shadow.digest() == base.digest
        self.base = None
        if not progress.base_checked:
            self._refold(now, progress)
        self._drop_what_counts_no_more(now, progress)


def _read(entry: bytes) -> tuple[int, list[Any]]:
    """(clock, operations); a signed entry that is no transaction counts as one without operations, alike on every device."""
    try:
        clock, *operations = decode_entry(entry)
    except MycelError:
        return 0, []
    return (clock, operations) if clock else (0, [])


def _carried(device: DeviceId, row: Row) -> Statement | None:
    """The statement in an entry, if its author is the log's device."""
    try:
        entry = decode_entry(row.entry)
        statement = decode_statement(entry[1]) if entry[0] == 0 else None
        return statement if statement is not None and statement.author == device else None
    except MycelError:
        return None


def _date(ms: int) -> str:
    """A day, for people."""
    return datetime.fromtimestamp(min(max(ms // 1000, 0), 253402300799), UTC).strftime("%Y-%m-%d")
