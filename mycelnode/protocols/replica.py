"""One device's copy of the mesh: logs, statements, membership and the document folded from them.

Every decision about what to accept, what counts and what is applied is taken here, as a function of the entries and statements
held, never of the order in which they came. The machine is pure: proposals (`write`, `declare`, `accept`, `learn`) are
*tentative*; `take` hands the driver what to store in one transaction, and only then `durable` applies it, or `rollback` forgets
it. So *acknowledged* means fsynced, in the real node and in simnet alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

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
from mycelnode.crdt.clock import EARLIEST_MS, MAX_SKEW_MS, to_ms
from mycelnode.crdt.document import Document
from mycelnode.crdt.membership import Membership, membership
from mycelnode.crdt.snapshots import Confirmation, Proposal, Record, decode_record
from mycelnode.crdt.statements import ENROL, FENCE, REVOKE, TIME, Statement, decode_statement, derived_fork
from mycelnode.encoding import Digest
from mycelnode.errors import BusyError, ClockWrong, ForkDetected, LogError, MycelError, NotAMember
from mycelnode.protocols.folding import Base, Fold, Progress
from mycelnode.protocols.logset import MAX_BRANCHES, MAX_CHOOSING, Addition, EntryStore, Filled, Row
from mycelnode.protocols.shares import Shares

CLOCK_SET_MS = 60_000  # a clock that is disciplined moves by less; one that somebody sets, by more
CARRIES = b"\x82\x00"  # how an entry begins that carries a statement: a list of two, the first of them 0

R = TypeVar("R", Proposal, Confirmation)


class Pruned(NamedTuple):
    """Entries of a branch to be replaced by their digests: all up to ``seq`` are, then. ``freed``: bytes."""

    device: DeviceId
    number: int
    seq: int
    digests: list[tuple[int, bytes]]
    freed: int


@dataclass(slots=True)
class Batch:
    """What one transaction must store: entries, also in the place of digests, statements, snapshots and states by proposal id; and
    what it must replace or erase: statements (``unsaid``), entries, proposals by id."""

    additions: list[Addition] = field(default_factory=list)
    filled: list[Filled] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    unsaid: list[Statement] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    states: dict[bytes, bytes] = field(default_factory=dict)
    pruned: list[Pruned] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        stored = self.additions or self.filled or self.statements or self.records or self.states
        return bool(stored or self.pruned or self.dropped)


class Replica(Fold):
    """The machine. Times are Unix milliseconds; ``device`` is our own key, ``root`` the mesh's."""

    def __init__(self, root: bytes, device: DeviceId, sign: Sign, verify: Verify, store: EntryStore) -> None:
        super().__init__(root, device, verify, store)
        self.membership: Membership = membership(root, (), self.logs.on_chain, self._common)
        self.residue = 0  # bytes of entries that the last snapshot left
        self.proposing: Mapping[DeviceId, Head] | None = None  # the cut of a snapshot that we are about to propose
        self.own_log_shown = False  # has another device shown that it holds no more of our log than we do?
        self._offset: int | None = None  # of our wall clock, as it was last set
        self._sign, self._verify = sign, verify
        self._own: list[Row] = []
        self.batch = Batch()
        self._subjects: set[DeviceId] = set()
        self._fenced: set[DeviceId] = set()  # of whom a revocation or fence is held, whether it counts or not
        self.order: list[Statement] = []  # in which they came, also those that had to go
        self.shares = Shares(root, lambda author, at: self.logs.find(author, at) is not None, self.logs.branches)

    def load(
        self,
        statements: Iterable[Statement],
        document: Document | None = None,
        base: Base | None = None,
        *,
        clock: int = 0,
        records: Iterable[Record] = (),
        states: Iterable[bytes] = (),
        now: int,
    ) -> None:
        """Begin with what is on disk: ``logs.durable`` is filled in already, ``document`` is a checkpoint, ``clock`` is the last
        reading of our hybrid clock, by which we go on whatever the wall clock says now; ``records`` of snapshots, proposals first,
        and the ids of those whose state is held.

        A checkpoint folded under a clock that was far ahead is left aside: what the other devices hold may be in it.
        """
        self.clock.last = max(self.clock.last, clock)
        if self.clock_ran_ahead(now):
            document = base = None
        for statement in statements:
            self._know(statement)
        for record in records:
            self.snapshots.know(record)
        self.snapshots.states.update(states)
        self.membership = self._membership()
        self.snapshots.judge(self.statements.values(), self._common)
        self.base = base
        self.document = document or self.document  # for `_applies`, which asks what is applied of each log
        if document is None or not all(self._applies(device, seq) for device, seq in document.applied.items()):
            self.document, self.base = self._ground(), None
        progress = Progress(refolded=True)
        for device in list(self.logs.durable):
            self._advance(device, now, progress)
        self._fill_holes(now, progress)

    # --- what we are -------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """Our own log's end, tentative entries included."""
        return Head(self._own[-1].seq, self._own[-1].hash) if self._own else self.logs.tip(self.device)

    @property
    def cloned(self) -> bool:
        """Has our own key signed two histories?"""
        return len(self.logs.branches(self.device)) > 1

    @property
    def new(self) -> bool:
        """Does this device hold nothing of the others yet, so that it may begin with a peer's folded state?"""
        return self.base is None and self.document.applied.keys() <= {self.device}

    @property
    def may_volunteer(self) -> bool:
        """May we write unasked? Not before somebody has shown that we hold all of our own log.

        A device that was put back to an older state, by a copy of its disk, would fork its log before it could learn of the longer
        one.
        """
        return self.own_log_shown or self.membership.members <= {self.device}

    def clock_reads(self, offset: int) -> None:
        """Our wall clock is that many ms ahead of one that nobody can set. Has somebody set it? Then what peers said of theirs is
        reckoned anew."""
        by = offset - (offset if self._offset is None else self._offset)
        if self._offset is None or abs(by) > CLOCK_SET_MS:
            self._offset = offset
            self.skews = {peer: skew - by for peer, skew in self.skews.items()}

    def check_writable(self) -> None:
        """Raise `ForkDetected` or `NotAMember` if we may not write any more."""
        if self.cloned:
            raise ForkDetected(
                "this device's key was used on another copy too; join again with a new key, then rescue this log"
            )
        final = self.snapshots.final.get(self.device)
        if final is not None and self.logs.find(self.device, final) is None:
            raise ForkDetected(
                "this device's disk is older than what it has agreed to with the others: let it meet one of them first"
            )
        if self.device in self.membership.members and self.device in self.membership.fences:
            raise NotAMember(
                "the log of this device was closed by another one; join again with a new key, then rescue it"
            )
        if self.device not in self.membership.members:
            raise NotAMember("this device was revoked; join again with a new key, then rescue what it wrote")

    def check_may_write(self, now: int) -> None:
        """Raise if we may not write, or our clock is wrong."""
        self.check_writable()
        self._check_clock(now)

    # --- proposals ---------------------------------------------------------------------------------------------------

    def write(self, operations: Sequence[Any], now: int) -> Head:
        """A transaction of our own; returns its place in our log.

        Raises `ClockWrong`: what a clock far ahead stamps, the others hold for as long, with all that follows it.
        """
        self.check_may_write(now)
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
        position = Head(self.head.seq + 1, self.head.hash)
        said = {**info, TIME: max(now, 0)}
        statement = Statement(kind, subject, head, self.device, position, said).signed(self.root, self._sign)
        fitting, _ = self.shares.admit(self.batch.statements, [statement])
        if not fitting or self.shares.full(self.device, kind):
            raise BusyError("this device has said as much about others as one device may")
        self._append(statement.entry)
        self.batch.statements.append(statement)
        return statement

    def enter(self, at: Callable[[Head], R]) -> R:
        """A proposal or confirmation of our own, as an entry of our log; ``at`` makes it for a position."""
        record = at(Head(self.head.seq + 1, self.head.hash)).signed(self.root, self._sign)
        self._append(record.entry)
        self.batch.records.append(record)
        return record

    def accept(self, device: DeviceId, start: Head, entries: Sequence[bytes], head: Any) -> bool:
        """Entries from another device, ending in a signed head; False if all are held. Raises `LogError`, `BusyError`."""
        if device not in self._subjects and not any(
            s.kind == ENROL and s.subject == device for s in self.batch.statements
        ):
            raise LogError("a log of a device that nobody enrolled")
        if device == self.device:
            self._seal()
        addition = self.logs.accept(device, start, entries, head, most=self._most_versions(device))
        if device in self.holes:
            self.batch.filled += self.logs.fill(device, start, entries, head)
        if addition is None:
            return bool(self.batch.filled)
        self.batch.additions.append(addition)
        carried = [(said, row) for row in addition.rows if (said := _carried(device, row)) is not None]
        rightly = [said for said, row in carried if said.at == Head(row.seq, row.hash)]
        self._learn_quietly([said for said in rightly if isinstance(said, Statement)])
        for said in rightly:
            if not isinstance(said, Statement):
                with suppress(MycelError):
                    self.learn_records([said])
        return True

    def _learn_quietly(self, statements: Sequence[Statement]) -> None:
        """What is carried in a log, which is valid whatever a statement in it is worth."""
        try:
            self.learn(statements)
        except BusyError:
            return
        except MycelError:  # one of them is signed wrongly
            for statement in statements:
                with suppress(MycelError):
                    self.learn([statement])

    def learn_records(self, records: Iterable[Record]) -> None:
        """Proposals and confirmations from outside, a proposal before those who confirm it; what is of no use is ignored.

        Raises `LogError` on a wrong signature.
        """
        for record in records:
            fresh = {tentative.id for tentative in self.batch.records}
            if record.id in fresh or record.author not in self._known_authors() or not self.snapshots.wants(record):
                continue
            if isinstance(record, Confirmation) and not {record.proposal} & (self.snapshots.proposals.keys() | fresh):
                continue
            record.verify_signature(self.root, self._verify)
            self.batch.records.append(record)

    def learn_state(self, snapshot: bytes, state: bytes, document: Document) -> None:
        """The state of a complete snapshot, as somebody sent it, and decoded. Raises `LogError` if it is another one."""
        proposal = self.snapshots.proposals.get(snapshot)
        if proposal is None or snapshot in self.snapshots.states:
            return
        cut = {device: head.seq for device, head in proposal.cut.items()}
        if document.digest() != proposal.digest or dict(document.applied) != cut:
            raise LogError("a state does not belong to its snapshot")
        self.batch.states[snapshot] = state

    def verify_head(self, device: DeviceId, head: SignedHead) -> None:
        """Raise `LogError` unless ``device`` signed ``head`` for this mesh."""
        verify_head(self.root, device, head, self._verify)

    def worth_learning(self, statements: Iterable[Statement]) -> list[Statement]:
        """Those that are new and that somebody known could have signed, verified. Raises `LogError` on a wrong signature."""
        known = self._known_authors() | {self.root}
        seen = {statement.id for statement in self.batch.statements}
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

    def _known_authors(self) -> set[DeviceId]:
        return self._subjects | {s.subject for s in self.batch.statements if s.kind == ENROL}

    def learn(self, statements: Iterable[Statement]) -> int:
        """Statements from outside; those that nobody known could have signed are ignored, and so are those beyond their author's
        share, see `shares`. Returns how many were new. Raises `BusyError` if there is no place for any of them."""
        new = self.worth_learning(statements)
        fitting, going = self.shares.admit(self.batch.statements, new)
        gone = {statement.id for statement in going}
        self.batch.unsaid += [statement for statement in going if statement.id in self.statements]
        self.batch.statements = [s for s in self.batch.statements if s.id not in gone] + fitting
        kept = {statement.id for statement in fitting}
        self.shares.leave_out(statement for statement in new if statement.id not in kept)
        if new and not fitting:
            raise BusyError("more statements than a device, or this mesh, may have")
        return len(fitting)

    def knows_of(self, statements: AbstractSet[bytes]) -> bool:
        """Is each of these held, or was it left out?"""
        return not (statements - self.statements.keys()) - self.shares.left_out.keys()

    def membership_with(self, statements: Iterable[Statement]) -> Membership:
        """The membership if these statements were held too."""
        return self._membership(statements)

    # --- durability --------------------------------------------------------------------------------------------------

    def take(self) -> Batch:
        """Everything tentative, our own entries sealed under one signature: to be stored in one transaction."""
        self._seal()
        return self.batch

    def rollback(self) -> None:
        """The transaction failed: nothing of it happened."""
        self.logs.rollback()
        self._own.clear()
        self.batch = Batch()

    def durable(self, now: int) -> Progress:
        """The transaction is on disk: apply it."""
        batch, self.batch = self.batch, Batch()
        self.logs.settle()
        progress = Progress(logs={a.device for a in batch.additions}, statements=batch.statements)
        progress.forked = {a.device for a in batch.additions if a.forks}
        for statement in batch.unsaid:
            self.statements.pop(statement.id, None)
            self.shares.remove(statement)
        for statement in batch.statements:
            self._know(statement)
        for record in batch.records:
            self.snapshots.know(record)
        self.snapshots.states.update(batch.states)
        self.snapshots.drop(batch.dropped)
        for device, number, seq, _, freed in batch.pruned:
            self.logs.pruned(device, number, seq, freed)
        for filled in batch.filled:
            self.logs.filled(filled)
            self.holes.discard(filled.device)
            progress.logs.add(filled.device)
        fenced = not progress.logs.isdisjoint(self._fenced)  # what lies beyond a fence may show only now
        if batch.statements or progress.forked or fenced:
            self._reconsider(now, progress)
        come = any(self.snapshots.awaits(a.device, a.rows[0].seq, a.branch.head.seq) for a in batch.additions)
        changed = batch.records or batch.statements or progress.forked or fenced or come
        if self.snapshots.proposals and (changed or self.holes):
            self._judge_snapshots(now, progress)
        for addition in batch.additions:
            self._advance(addition.device, now, progress, addition)
        for filled in batch.filled:
            self._advance(filled.device, now, progress)
        self._fill_holes(now, progress)
        self._check_base(now, progress)
        return progress

    def tick(self, now: int) -> Progress:
        """Apply what was held until now; and go on with what is done piece by piece."""
        progress = Progress()
        self._check_base(now, progress)
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

    def give_up_base(self, giver: DeviceId) -> None:
        """Nobody will prove the state that ``giver`` gave us: what the logs hold is all there is."""
        self.base_lost = self.base is not None and self.base.giver == giver

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
        self.batch.additions.append(self.logs.append(self.device, rows, tip))

    def _know(self, statement: Statement) -> None:
        if statement.id in self.statements:
            return
        self.statements[statement.id] = statement
        self.order.append(statement)
        self.shares.add(statement)
        if statement.kind == ENROL:
            self._subjects.add(statement.subject)
        if statement.kind in (REVOKE, FENCE):
            self._fenced.add(statement.subject)

    def _membership(self, more: Iterable[Statement] = ()) -> Membership:
        forks = [
            derived_fork(device, self._forked_at(device, len(branches)))
            for device, branches in self.logs.durable.items()
            if len(branches) > 1
        ]
        return membership(self.root, [*self.statements.values(), *more, *forks], self.logs.on_chain, self._common)

    def _forked_at(self, device: DeviceId, versions: int) -> Head | None:
        """Where the versions of a log part. Of as many as are kept nobody knows how many more there are, and where those leave: so
        that all devices agree, whichever they hold, nothing of such a log counts (None)."""
        return None if versions >= MAX_BRANCHES else self.logs.fork_point(device)

    def takes_versions(self, device: DeviceId) -> bool:
        """Is there place for one more version of that log?"""
        return 1 < len(self.logs.branches(device)) < self._most_versions(device)

    def _most_versions(self, device: DeviceId) -> int:
        """How many versions of a log are taken: more while the one that a fence has chosen is not among those held."""
        fence = self.membership.fences.get(device)
        return MAX_BRANCHES if fence is None or self.logs.find(device, fence) is not None else MAX_CHOOSING

    def _reconsider(self, now: int, progress: Progress) -> None:
        """Membership anew; if something applied no longer counts, fold again from the start."""
        before, self.membership = self.membership, self._membership()
        if before == self.membership:
            self._drop_what_counts_no_more(now, progress)  # the entry that a fence names may have come only now
            return
        progress.membership_changed = True
        if not self._drop_what_counts_no_more(now, progress):
            for device in self.logs.durable:
                self._advance(device, now, progress)


def _carried(device: DeviceId, row: Row) -> Statement | Record | None:
    """The statement, proposal or confirmation in an entry, if its author is the log's device."""
    if isinstance(row.entry, Digest) or row.entry[:2] != CARRIES:
        return None
    for decode in (decode_statement, decode_record):
        with suppress(MycelError):
            carried: Statement | Record = decode(decode_entry(row.entry)[1])
            return carried if carried.author == device else None
    return None


def _date(ms: int) -> str:
    """A day, for people."""
    return datetime.fromtimestamp(min(max(ms // 1000, 0), 253402300799), UTC).strftime("%Y-%m-%d")
