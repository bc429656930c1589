"""The document of one device, folded from the entries that count: which those are, and what is applied, held or missing.

A function of logs, statements and snapshots held, never of the order in which they came. `Replica` adds proposals and durability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mycelnode.crdt.changelog import DeviceId, Head, Verify
from mycelnode.crdt.clock import EARLIEST_MS, MAX_SKEW_MS, HybridClock, to_ms
from mycelnode.crdt.document import Change, Document
from mycelnode.crdt.membership import Membership
from mycelnode.crdt.snapshots import Proposal
from mycelnode.crdt.statements import Statement
from mycelnode.encoding import Digest
from mycelnode.errors import LogError
from mycelnode.protocols.logset import Addition, EntryStore, LogSet, Row
from mycelnode.protocols.shadow import Shadow, read_entry
from mycelnode.protocols.snapshots import Snapshots

READ_BYTES = 1 << 20  # how much of a log is read at a time while folding


@dataclass(frozen=True, slots=True)
class Hold:
    """A log not applied from ``seq`` on, because that entry's clock is more than a day ahead; ``until`` is Unix ms."""

    seq: int
    hash: bytes
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
    snapshots_changed: bool = False
    base_checked: bool | None = None  # True: the state we started from equals the logs; False: it did not, the logs won


@dataclass(frozen=True, slots=True)
class Base:
    """The folded state that ``giver`` gave a newcomer: unverified until the logs up to ``cut`` are held and fold to ``digest``.

    The giver has those logs. Put out before they came, it takes the state with it: nobody else may have them.
    """

    cut: Mapping[DeviceId, Head]
    digest: bytes
    giver: DeviceId


class Fold:
    """The logs, who counts, and the document folded so far. Times are Unix milliseconds; ``device`` is our own key."""

    def __init__(self, root: bytes, device: DeviceId, verify: Verify, store: EntryStore) -> None:
        self.root, self.device = root, device
        self.logs = LogSet(root, store, verify)
        self.statements: dict[bytes, Statement] = {}
        self.membership = Membership()
        self.snapshots = Snapshots(root, device, self.logs)
        self.document = Document()
        self.clock = HybridClock()
        self.base: Base | None = None
        self.base_lost = False  # its giver has not those logs any more: its disk was put back
        self._base_shadow: Shadow | None = None  # what the logs up to the base's cut fold to, as far as that has come
        self._shadow: Shadow | None = None
        self.folded = 0  # bytes of entries applied since this object was made
        self.held: dict[DeviceId, Hold] = {}
        self.skews: dict[DeviceId, int] = {}  # ms that each peer's clock is ahead of ours, as it said
        self.holes: set[DeviceId] = set()  # logs whose next entry to apply was replaced by state
        self.unfilled: set[DeviceId] = (
            set()
        )  # of these, those that no complete snapshot fills: others may have the entries

    # --- our clock -----------------------------------------------------------------------------------------------------

    def clock_wrong(self, now: int) -> bool:
        """Was our clock never set, or do two members (and more than agree with us) find it more than a day off, on the same side?
        Then it is ours that is wrong, and nothing is held."""
        skews = [skew for peer, skew in self.skews.items() if peer in self.membership.members]
        off = max(sum(skew > MAX_SKEW_MS for skew in skews), sum(skew < -MAX_SKEW_MS for skew in skews))
        return now < EARLIEST_MS or (off >= 2 and off > sum(abs(skew) <= MAX_SKEW_MS for skew in skews))

    def clock_ran_ahead(self, now: int) -> bool:
        """Is our hybrid clock further ahead than other devices, which pull it by a day, account for?"""
        return now >= EARLIEST_MS and to_ms(self.clock.last) > now + 2 * MAX_SKEW_MS

    # --- which entries count -------------------------------------------------------------------------------------------

    def _common(self, device: DeviceId, one: Head, other: Head) -> Head | None:
        first, second = self.logs.find(device, one), self.logs.find(device, other)
        if first is None or second is None:
            return None
        common = self.logs.common(device, first, second)
        return min(common, one, other, key=lambda head: head.seq)

    def counted(self, device: DeviceId) -> tuple[int, int]:
        """(branch, up to which seq) of ``device``'s entries count, of those held: up to its fence, or what is final beyond that."""
        number, limit = self._within_fence(device)
        final = self.snapshots.final.get(device)
        if final is None or (limit >= final.seq and self.logs.hash_at(device, number, final.seq) == final.hash):
            return number, limit
        found = self.logs.find(device, final)
        if found is not None:
            return found, final.seq
        other = (
            self.logs.tip(device, number).seq >= final.seq
        )  # and not the version that is final: a state has what counts
        return number, 0 if other else limit

    def _within_fence(self, device: DeviceId) -> tuple[int, int]:
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

    def on_counted_chain(self, device: DeviceId, head: Head) -> bool:
        """Does that entry count, and all before it?"""
        number, limit = self.counted(device)
        known = head.seq <= limit and self.logs.hash_at(device, number, head.seq) == head.hash
        return known or self.snapshots.final.get(device) == head  # by a state, whose logs may not be held

    def _applies(self, device: DeviceId, seq: int) -> bool:
        """May the first ``seq`` entries of ``device`` stay applied?"""
        final = self.snapshots.final.get(device)
        if final is not None and final == (seq, self.document.applied_hash(device)):
            return True
        number, limit = self.counted(device)
        if self.base is not None and self.logs.tip(device, number).seq < seq:
            head = self.membership.fences.get(device, self.base.cut.get(device))
            known = device in self.membership.enrolled and self.base.giver in self.membership.members
            return known and head is not None and seq <= head.seq
        applied = self.document.applied_hash(device)
        return seq <= limit and (applied is None or self.logs.hash_at(device, number, seq) == applied)

    # --- folding -------------------------------------------------------------------------------------------------------

    def _advance(self, device: DeviceId, now: int, progress: Progress, addition: Addition | None = None) -> None:
        """Apply what counts and is not applied yet, up to an entry that must be held."""
        number, limit = self.counted(device)
        done = self.document.applied.get(device, 0)
        if self._still_held(device, number, done + 1, limit, now):
            return
        if device in self.snapshots.final and self._elsewhere(device, number, done):
            return
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
                if isinstance(row.entry, Digest):
                    self.holes.add(device)
                    return
                if not self._apply(device, row, now, progress):
                    return
                done = row.seq
        self.held.pop(device, None)

    def _still_held(self, device: DeviceId, number: int, seq: int, limit: int, now: int) -> bool:
        """Is the next entry that counts the one that is held? Then it need not be read again for whatever joins the logs."""
        hold = self.held.get(device)
        if hold is None or hold.seq != seq or seq > limit or hold.until <= now or self.clock_wrong(now):
            return False
        return self.logs.hash_at(device, number, seq) == hold.hash

    def _elsewhere(self, device: DeviceId, number: int, done: int) -> bool:
        """Was another version of the log applied, by a state whose logs are not held?"""
        here = self.logs.hash_at(device, number, done) if done else None
        return here is not None and here != self.document.applied_hash(device)

    def _apply(self, device: DeviceId, row: Row, now: int, progress: Progress) -> bool:
        clock, operations = read_entry(row.entry)
        if to_ms(clock) > now + MAX_SKEW_MS and not self.clock_wrong(now):
            self.held[device] = Hold(row.seq, row.hash, to_ms(clock) - MAX_SKEW_MS)
            return False
        if clock:
            self.clock.observe(clock, now)
        self.folded += len(row.entry)
        changes = self.document.apply(device, row.seq, row.hash, clock, operations)
        if not progress.refolded:  # else whoever listens reads everything anew, and a list of all history is of no use
            progress.changes += changes
        return True

    def _drop_what_counts_no_more(self, now: int, progress: Progress) -> bool:
        """If something applied does not count, fold again from the start."""
        if all(self._applies(device, seq) for device, seq in self.document.applied.items()):
            return False
        self._refold(now, progress)
        return True

    def _refold(self, now: int, progress: Progress) -> None:
        self.document = self._ground()
        self._drop_base()
        self.held.clear()
        self.holes.clear()
        progress.refolded = True
        for device in self.logs.durable:
            self._advance(device, now, progress)

    @property
    def checking(self) -> bool:
        """Do the logs reach the cut that we started from, or never will, so that `tick` should go on comparing?"""
        base = self.base
        if base is None or self.base_lost:
            return base is not None
        return all(self.logs.tip(device).seq >= head.seq for device, head in base.cut.items())

    def _check_base(self, now: int, progress: Progress) -> None:
        """Once the logs reach the cut that we started from: do they fold to the same state? A piece of them at each call."""
        base = self.base
        if base is None or not self.checking:
            return
        if any(self.logs.find(device, head) is None for device, head in base.cut.items()):
            self._refold(now, progress)  # another version of a log came first, or none will; the logs win
            return
        shadow = self._base_shadow = self._base_shadow or Shadow(self.logs, base.cut, self._ground(), encode=False)
        if not shadow.step():
            return
        if not shadow.possible:  # a snapshot has taken the place of logs meanwhile
            self._refold(now, progress)
            return
        progress.base_checked = shadow.digest == base.digest
        self._drop_base()
        if not progress.base_checked:
            self._refold(now, progress)
        self._drop_what_counts_no_more(now, progress)

    def _drop_base(self) -> None:
        self.base = self._base_shadow = None
        self.base_lost = False

    # --- from state ----------------------------------------------------------------------------------------------------

    def _judge_snapshots(self, now: int, progress: Progress) -> None:
        """Which snapshots are complete; what is final by them counts, whatever fence lies below."""
        if self.snapshots.judge(self.statements.values(), self._common):
            progress.snapshots_changed = True
            if not self._drop_what_counts_no_more(now, progress):
                for device in self.logs.durable:
                    self._advance(device, now, progress)

    def _fill_holes(self, now: int, progress: Progress) -> None:
        """Where entries were replaced by state, or do not come, take them from the state; others may fill what is left of holes."""
        if not all(map(self.covers, self.snapshots.grounds())):
            self._refold(now, progress)  # not merged: what was applied may be of another version of a log
        applied = self.document.applied
        # A fence may have come before a hole: then nothing is lacking.
        self.holes = {d for d in self.holes if applied.get(d, 0) < self.counted(d)[1]}
        self.unfilled = {d for d in self.holes if applied.get(d, 0) >= self.snapshots.may_lack(d)}

    def covers(self, proposal: Proposal) -> bool:
        """Is all of its cut applied?"""
        return all(self.document.applied.get(device, 0) >= head.seq for device, head in proposal.cut.items())

    def _ground(self) -> Document:
        """What the states of complete snapshots amount to: folding begins with it."""
        document = Document()
        for proposal in self.snapshots.grounds():
            state = Document.decode_state(self.logs.store.state(proposal.id))
            if state.digest() != proposal.digest:
                raise LogError("the state of a snapshot is not what was stored")
            document.merge(state)
        return document

    def towards(self, cut: Mapping[DeviceId, Head]) -> Shadow:
        """The entries up to ``cut`` folded by themselves, a piece further at each call with the same cut; see `Shadow`."""
        if self._shadow is None or self._shadow.cut != cut:
            here = {d: Head(seq, self.document.applied_hash(d) or b"") for d, seq in self.document.applied.items()}
            ground = self.document.copy() if here == cut else self._ground()
            self._shadow = Shadow(self.logs, dict(cut), ground, encode=True)
        shadow = self._shadow
        if shadow.step():
            self._shadow = None
        return shadow
