"""The snapshots that a device knows of: proposed, confirmed, complete; and what is final by them.

All answers are functions of the records, statements and chains held, never of the order in which they came; `judge` computes them
anew when one of these has changed. docs/protocols/snapshots.md has the states.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.membership import Common, beyond_root_fences
from mycelnode.crdt.snapshots import (
    Confirmation,
    Proposal,
    Record,
    asks_rightly,
    compatible,
    extends,
    membership_at,
)
from mycelnode.crdt.statements import Statement
from mycelnode.protocols.logset import LogSet
from mycelnode.protocols.state_transfer import Partial

MAX_COMPLETE = 16  # that do not extend each other: one, unless the mesh once fell apart
MAX_JUDGED = (
    64  # of one author's proposals to which all that it asked have agreed: an honest author's are complete then
)
MAX_OPEN_BYTES = (
    4 << 20
)  # of one author's proposals that are not complete: an honest one makes more as the membership changes


@dataclass
class Snapshots:
    """The records held, and what follows from them. ``states``: ids of the proposals whose state is on our disk."""

    root: bytes
    device: DeviceId
    logs: LogSet
    proposals: dict[bytes, Proposal] = field(default_factory=dict)
    confirmations: dict[bytes, dict[DeviceId, Confirmation]] = field(default_factory=dict)
    states: set[bytes] = field(default_factory=set)
    complete: list[Proposal] = field(default_factory=list)  # of the complete ones those that no other one extends
    final: dict[DeviceId, Head] = field(default_factory=dict)  # the cut of all complete ones together
    disputed: set[bytes] = field(default_factory=set)  # their cut folds to something else here
    pruned: set[bytes] = field(default_factory=set)  # nothing is left to replace under these
    _chosen: list[Proposal] = field(default_factory=list)  # all complete ones
    _sure: list[Proposal] = field(default_factory=list)  # of these, those of which no fence by the phrase undoes a part
    _awaited: dict[DeviceId, set[int]] = field(default_factory=dict)  # places that judging had to guess about
    fetching: Partial = field(default_factory=Partial)  # a state on its way to us

    # --- records -----------------------------------------------------------------------------------------------------

    def wants(self, record: Record) -> bool:
        """Is it new, and of any use?"""
        if isinstance(record, Confirmation):
            known = self.confirmations.get(record.proposal, {}).get(record.author)
            return known is None or _order(record) < _order(known)
        if record.id in self.proposals or record.author not in record.asked:
            return False
        if self._covered(record.cut) and self._passed(record, self._sure):
            return False
        complete = {p.id for p in self.complete}
        earlier = (p for p in self.proposals.values() if p.author == record.author and p.id not in complete)
        return sum(len(p.encoded) for p in earlier if _order(p) < _order(record)) < MAX_OPEN_BYTES

    def know(self, record: Record) -> None:
        """Take in a record, which is on disk."""
        if isinstance(record, Proposal):
            self.proposals[record.id] = record
        elif self.wants(record):
            self.confirmations.setdefault(record.proposal, {})[record.author] = record

    def agreed(self, proposal: Proposal) -> Mapping[DeviceId, Head]:
        """Who has agreed to a proposal, and where in its log it said so; the author did by proposing."""
        said = self.confirmations.get(proposal.id, {})
        found = {device: confirmation.at for device, confirmation in said.items()}
        return {d: at for d, at in {**found, proposal.author: proposal.at}.items() if at is not None}

    def records(self, proposal: Proposal) -> list[Confirmation]:
        """The confirmations of those asked."""
        return [c for device, c in self.confirmations.get(proposal.id, {}).items() if device in proposal.asked]

    def superfluous(self) -> list[bytes]:
        """Ids of proposals that are covered by what is complete, and that are of no use to anybody.

        The phrase makes a snapshot void by fencing all who agreed to it, perhaps on several devices that do not know of each other.
        Where a part of that has come true, what counts if the rest does is kept, with its state.
        """
        kept = {p.id for p in self.complete}
        covered = [p for p in self.proposals.values() if p.id not in kept and self._covered(p.cut)]
        return [p.id for p in covered if not self.full(p) or self._passed(p, self._sure)]

    def drop(self, ids: Iterable[bytes]) -> None:
        """Forget proposals with all that belongs to them."""
        for key in ids:
            self.proposals.pop(key, None)
            self.confirmations.pop(key, None)
            self.states.discard(key)

    # --- judging -----------------------------------------------------------------------------------------------------

    def judge(self, statements: Collection[Statement], common: Common) -> bool:
        """Which snapshots are complete, and what is final by them; did that change?"""
        before = {p.id for p in self.complete}, self.final
        on_chain = self.logs.on_chain
        beyond = beyond_root_fences(self.root, statements, on_chain, common)
        good, touched = [], set()
        self._awaited = {}
        for proposal in self._judged():
            self._await(proposal)
            undone = [beyond(author, at) for author, at in self.agreed(proposal).items()]
            said = self.confirmations.get(proposal.id, {})
            held = membership_at(self.root, proposal, said, statements, on_chain, common)
            if not all(undone) and asks_rightly(proposal, held):
                good.append(proposal)
            if any(undone):
                touched.add(proposal.id)
        chosen: list[Proposal] = []
        for proposal in sorted(good, key=self._rank):
            if all(compatible(proposal.cut, other.cut, on_chain) for other in chosen):
                chosen.append(proposal)
        furthest = [p for p in chosen if not any(q is not p and self._extends(q, p) for q in chosen)]
        self._chosen, self._sure = chosen, [p for p in chosen if p.id not in touched]
        self.complete = furthest[:MAX_COMPLETE]
        self.final = {}
        for proposal in self.complete:
            for device, head in proposal.cut.items():
                self.final[device] = max(head, self.final.get(device, head))
        return before != ({p.id for p in self.complete}, self.final)

    def _rank(self, proposal: Proposal) -> tuple[int, int, bytes]:
        """Of two on different histories, which only copies of keys can make, the lower one counts.

        Who was never copied has agreed to one of them at most, and may have let go of what lies under it.
        """
        single = sum(len(self.logs.branches(device)) < 2 for device in proposal.asked)
        return -single, -sum(head.seq for head in proposal.cut.values()), proposal.id

    def _await(self, proposal: Proposal) -> None:
        """Until an entry that it names is held, sequence numbers tell what lies before it; then its chain does."""
        named = (proposal.cut, self.agreed(proposal), proposal.forked)
        for device, head in chain.from_iterable(heads.items() for heads in named):
            if head is not None and self.logs.find(device, head) is None:
                self._awaited.setdefault(device, set()).add(head.seq)

    def awaits(self, device: DeviceId, first: int, last: int) -> bool:
        """May entries at these places of a log change what is complete?"""
        return any(first <= seq <= last for seq in self._awaited.get(device, ()))

    def _judged(self) -> list[Proposal]:
        by_author: dict[DeviceId, list[Proposal]] = {}
        for proposal in sorted(self.proposals.values(), key=_order):
            if self.full(proposal) and proposal.author == min(proposal.asked):
                by_author.setdefault(proposal.author, []).append(proposal)
        return [proposal for made in by_author.values() for proposal in made[:MAX_JUDGED]]

    def full(self, proposal: Proposal) -> bool:
        """Has everybody asked agreed?"""
        return proposal.asked <= self.agreed(proposal).keys()

    def may_lack(self, device: DeviceId) -> int:
        """Up to which seq the entries of a log may be missing, because a complete snapshot stands for them."""
        return max((p.cut[device].seq for p in self.complete if device in p.cut), default=0)

    def grounds(self) -> list[Proposal]:
        """The complete snapshots from whose state we fold: it is on our disk. The logs up to the cut may never come."""
        here = [p for p in self._chosen if p.id in self.states]
        return [p for p in here if not any(q is not p and self._extends(q, p) for q in here)]

    def missing(self) -> list[Proposal]:
        """The complete snapshots whose state is not on our disk, nor one that reaches further; the furthest first."""
        return [p for p in self._chosen if p.id not in self.states and not self._passed(p, self._chosen)]

    def confirmed(self) -> list[Proposal]:
        """Those that we agreed to ourselves."""
        return [p for p in self.proposals.values() if self.device in self.agreed(p)]

    def _extends(self, one: Proposal, other: Proposal) -> bool:
        on_chain = self.logs.on_chain
        return extends(one.cut, other.cut, on_chain) and (
            not extends(other.cut, one.cut, on_chain) or one.id < other.id
        )

    def _passed(self, proposal: Proposal, by: Iterable[Proposal]) -> bool:
        """Do we have the state of one of these that reaches further?"""
        return any(q.id in self.states and q.id != proposal.id and self._extends(q, proposal) for q in by)

    def _covered(self, cut: Mapping[DeviceId, Head]) -> bool:
        return extends(self.final, cut, self.logs.on_chain)


def _order(record: Record) -> tuple[int, bytes]:
    return record.position.seq, record.id
