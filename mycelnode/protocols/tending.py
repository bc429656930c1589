"""What a device does by itself to keep history bounded: propose a snapshot, confirm one, replace entries by state.

The decisions of MESH.md §5 are all here. They need no clock: whoever is asked with the lowest id proposes when history has grown
enough; who holds and counts the whole cut, sees the same membership and folds to the same digest confirms; who has confirmed a
complete snapshot replaces what lies under it.
"""

from __future__ import annotations

from collections.abc import Mapping

from mycelnode.crdt.changelog import DeviceId, Head, digest
from mycelnode.crdt.membership import Membership
from mycelnode.crdt.snapshots import Confirmation, Proposal, asks_rightly, extends, membership_within
from mycelnode.encoding import Digest
from mycelnode.errors import MycelError
from mycelnode.protocols.logset import ROW_BYTES, Row
from mycelnode.protocols.replica import Pruned, Replica

LEAST_GROWTH = 4 << 20  # bytes of entries that are worth a snapshot; or as much as the state takes, if that is more
CONFIRM_SHARE = 0.25  # of that is enough to confirm one: nobody can make us write states without end
OVERDUE_SHARE = (
    2.0  # of that shows that nobody has proposed: what counts as growth is not quite the same on all devices
)
MAX_BESIDE = 1024  # of a clone's statements that a proposal names
PRUNE_BYTES = 1 << 20  # of entries looked at in one transaction


def needed(replica: Replica) -> bool:
    """Is there something for `tend` to look at? Cheap."""
    if replica.snapshots.superfluous() or _prunable(replica):
        return True
    return replica.may_volunteer and (bool(_open(replica)) or _proposes(replica))


def tend(replica: Replica, now: int, *, least: int | None = None) -> bool:
    """One step, as tentative additions to the replica's batch; was there something to do? Then there may be more.

    ``least``: bytes of growth that are worth a snapshot.
    """
    batch = replica.batch
    for key in replica.snapshots.superfluous():
        batch.dropped += [key, *(c.id for c in replica.snapshots.confirmations.get(key, {}).values())]
    for device, number, seq in _prunable(replica)[:1]:
        batch.pruned.append(_prune(replica, device, number, seq))
    if batch.dropped or batch.pruned:
        return True  # what there is to gain by another snapshot shows only when all is gone that stands under the last
    try:
        replica.check_may_write(now)
    except MycelError:
        return False
    if replica.may_volunteer:
        for proposal in _open(replica, least):
            if _confirm(replica, proposal):  # or a piece of the way there
                return True
        if _proposes(replica, least):
            return _propose(replica)
    return False


# --- proposing ---------------------------------------------------------------------------------------------------------------


def asked_now(replica: Replica) -> frozenset[DeviceId]:
    """Whom a snapshot would ask: all members, less those that the phrase has called away."""
    return replica.membership.members - replica.membership.away


def growth(replica: Replica) -> int:
    """About how many bytes of entries a snapshot could replace by state."""
    return sum(
        branch.size for device, head in cut_now(replica).items() for _, branch in replica.logs.lineage(device, head)
    )


def cut_now(replica: Replica) -> dict[DeviceId, Head]:
    """How far each log is applied."""
    document = replica.document
    return {d: Head(seq, document.applied_hash(d) or b"") for d, seq in document.applied.items() if seq}


def pending(replica: Replica) -> Proposal | None:
    """The proposal that still waits for somebody, as the membership stands now."""
    asked, snapshots = asked_now(replica), replica.snapshots
    waiting = [p for p in snapshots.proposals.values() if not snapshots.full(p) and _same_view(replica, p)]
    return max((p for p in waiting if p.asked == asked), key=lambda p: p.position.seq, default=None)


def waits_for(replica: Replica, least: int | None = None) -> list[DeviceId]:
    """Which devices hold clean-up back: those that have not confirmed, or the one that has not proposed."""
    proposal = pending(replica)
    if proposal is not None:
        return sorted(proposal.asked - replica.snapshots.agreed(proposal).keys())
    if asked_now(replica) and _grown(replica, least, OVERDUE_SHARE) and not unsettled(replica, least):
        return [min(asked_now(replica))]
    return []


def unsettled(replica: Replica, least: int | None = None) -> list[DeviceId]:
    """Who is out by a revocation that no snapshot can hold: it stands beyond its author's fence. Until the phrase says it, too,
    clean-up waits (docs/decisions/0019)."""
    if pending(replica) is not None or not _grown(replica, least):
        return []
    _, held = _agreed_by_all(replica, cut_now(replica))
    return sorted(held.members - held.away - asked_now(replica))


def _grown(replica: Replica, least: int | None = None, share: float = 1.0) -> bool:
    enough = max((LEAST_GROWTH, *(p.size for p in replica.snapshots.complete)))
    return growth(replica) - replica.residue >= (enough * share if least is None else least)


def _proposes(replica: Replica, least: int | None = None) -> bool:
    asked = asked_now(replica)
    if not asked or replica.device != min(asked) or replica.base is not None or pending(replica) is not None:
        return False
    if not _grown(replica, least):
        return False
    cut, on_chain = cut_now(replica), replica.logs.on_chain
    return not extends(replica.snapshots.final, cut, on_chain) and _goes_on(replica, cut)


def _beside(replica: Replica, cut: Mapping[DeviceId, Head]) -> frozenset[bytes]:
    """Statements that a newcomer could take for a part of the cut, as it has not got the log that tells."""
    on_chain = replica.logs.on_chain
    forked = [s for s in replica.statements.values() if len(replica.logs.branches(s.author)) > 1 and s.author in cut]
    near = [s for s in forked if s.at is not None and s.at.seq <= cut[s.author].seq]
    beside = sorted(s.id for s in near if s.at is not None and on_chain(s.author, s.at, cut[s.author]) is False)
    return frozenset(beside[:MAX_BESIDE])


def _propose(replica: Replica) -> bool:
    """Propose, or go a piece of the way there; is there more to do?"""
    cut = replica.proposing or cut_now(replica)
    if replica.proposing is None and not _can_be_complete(replica, cut):
        return False
    replica.proposing = cut
    shadow = replica.towards(cut)
    if not shadow.done and shadow.possible:
        return True
    replica.proposing = None
    if not shadow.done or not all(replica.on_counted_chain(device, head) for device, head in cut.items()):
        return False
    state = shadow.state
    proposal = replica.enter(lambda position: _drafted(replica, position, cut, shadow.digest, len(state)))
    replica.batch.states[proposal.id] = state
    return True


def _can_be_complete(replica: Replica, cut: Mapping[DeviceId, Head]) -> bool:
    """Would it be, if all who are asked agree?

    Not where a revocation counts that stands beyond its author's fence, so in no cut: then whom it puts out would have to be asked.
    Who is asked alone would propose again and again.
    """
    return asks_rightly(*_agreed_by_all(replica, cut))


def _agreed_by_all(replica: Replica, cut: Mapping[DeviceId, Head]) -> tuple[Proposal, Membership]:
    """A proposal of that cut, and the membership on which it would stand."""
    draft = _drafted(replica, replica.head, cut, b"", 0)
    tips = {device: replica.logs.tip(device, replica.counted(device)[0]) for device in draft.asked}
    held = membership_within(
        replica.root, draft, tips, replica.statements.values(), replica.logs.on_chain, replica._common
    )
    return draft, held


def _drafted(replica: Replica, position: Head, cut: Mapping[DeviceId, Head], state: bytes, size: int) -> Proposal:
    """A proposal, of a state with that digest and size."""
    return Proposal(
        replica.device,
        position,
        cut,
        _root_statements(replica),
        dict(replica.membership.fences),
        dict(replica.membership.forked),
        _beside(replica, cut),
        asked_now(replica),
        state,
        size,
    )


# --- confirming --------------------------------------------------------------------------------------------------------------


def _open(replica: Replica, least: int | None = None) -> list[Proposal]:
    """Proposals that ask us, that we have not answered or found wrong, and that are worth the trouble."""
    snapshots = replica.snapshots
    if not snapshots.proposals or not _grown(replica, None if least is None else 0, CONFIRM_SHARE):
        return []
    return [
        p
        for p in snapshots.proposals.values()
        if replica.device in p.asked
        and replica.device not in snapshots.agreed(p)
        and p.id not in snapshots.disputed
        and p.author == min(p.asked)
        and _agrees(replica, p)
    ]


def _agrees(replica: Replica, proposal: Proposal) -> bool:
    """Do we see the same membership, and is all of the cut applied here, beyond all that we ever confirmed?"""
    applied = replica.document.applied
    return (
        _same_view(replica, proposal)
        and all(applied.get(device, 0) >= head.seq for device, head in proposal.cut.items())
        and all(replica.on_counted_chain(device, head) for device, head in proposal.cut.items())
        and _goes_on(replica, proposal.cut)
    )


def _same_view(replica: Replica, proposal: Proposal) -> bool:
    held = replica.membership
    return (
        proposal.asked == asked_now(replica)
        and proposal.fences == held.fences
        and proposal.forked == held.forked
        and proposal.root == _root_statements(replica)
    )


def _goes_on(replica: Replica, cut: Mapping[DeviceId, Head]) -> bool:
    """Does the cut reach at least as far as what is final, and as all that we confirmed?"""
    earlier = [replica.snapshots.final, *(p.cut for p in replica.snapshots.confirmed())]
    return all(extends(cut, before, replica.logs.on_chain) for before in earlier)


def _root_statements(replica: Replica) -> frozenset[bytes]:
    return frozenset(s.id for s in replica.statements.values() if s.author == replica.root)


def _confirm(replica: Replica, proposal: Proposal) -> bool:
    """Confirm it, or go a piece of the way there; is there more to do?"""
    shadow = replica.towards(proposal.cut)
    if not shadow.done:
        return shadow.possible
    if shadow.digest != proposal.digest:
        replica.snapshots.disputed.add(proposal.id)
        return False
    replica.enter(lambda position: Confirmation(replica.device, position, proposal.id))
    replica.batch.states[proposal.id] = shadow.state
    return True


# --- replacing entries by state ----------------------------------------------------------------------------------------------


def _prunable(replica: Replica) -> list[tuple[DeviceId, int, int]]:
    """(device, branch, up to which seq) under complete snapshots that we confirmed and whose state is on disk."""
    snapshots = replica.snapshots
    for p in snapshots.complete:
        if p.id in snapshots.pruned or replica.device not in snapshots.agreed(p) or p not in snapshots.grounds():
            continue
        left = [
            (device, number, seq)
            for device, head in p.cut.items()
            for number, seq in replica.logs.unpruned(device, head)
        ]
        if left:
            return left
        snapshots.pruned.add(p.id)
        replica.residue = growth(replica)
    return []


def _prune(replica: Replica, device: DeviceId, number: int, limit: int) -> Pruned:
    branch = replica.logs.durable[device][number]
    start = max(branch.base.seq, branch.pruned)
    digests: list[tuple[int, bytes]] = []
    freed = 0
    rows = replica.logs.rows(device, number, start, PRUNE_BYTES)
    for row in rows or [Row(limit, b"", Digest(), None)]:  # nothing left to do
        if row.seq > limit:
            break
        start = row.seq
        if not isinstance(row.entry, Digest):
            digests.append((row.seq, digest(row.entry)))
            freed += len(row.entry) + ROW_BYTES
    return Pruned(device, number, start, digests, freed)
