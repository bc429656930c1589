"""Every promise beyond "all are alike": nothing is lost, what counts is in the document once, copies are reported, history is one.

What counts is compared with a reading of the logs that shares no code with the document: the marks of `ledger`, looked for in the
entries that count, by fences and snapshots alone, and in the rescues among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.ledger import MARKS, TOTAL, Write, held
from mycel_simnet.virtual.node import Node
from mycel_simnet.virtual.world import World
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.membership import beyond_root_fences
from mycelnode.crdt.operations import GSET_ADD, RESCUE
from mycelnode.crdt.snapshots import Proposal, asks_rightly, membership_at
from mycelnode.encoding import decode
from mycelnode.protocols.logset import MAX_BRANCHES, Row
from mycelnode.protocols.replica import Replica

# --- what was written --------------------------------------------------------------------------------------------------------


def nothing_lost(world: World, healthy: Sequence[Node], reference: Replica) -> None:
    """Every acknowledged write stands on a disk; if its author is healthy, and it is not only on the disk of one that is out, with
    everybody."""
    everybody = [node.device.disk for node in world.nodes]
    members = {node.device.id for node in healthy}
    for write in world.ledger.writes:
        if write.head is None or write.gone:
            continue
        if not any(held(disk, write) for disk in everybody):
            name = world.name_of(write.author)
            raise Broken("lost", f"write {write.mark} of {name}, entry {write.head.seq}, is on no disk")
        if write.author in members and len(reference.logs.branches(write.author)) < MAX_BRANCHES:
            missing = [node.name for node in healthy if not held(node.device.disk, write)]
            if 0 < len(missing) < len(healthy) and len(members) > 1:
                raise Broken("lost", f"{missing} lack write {write.mark} of {world.name_of(write.author)}")


def as_written(world: World, reference: Replica, replica: Replica) -> None:
    """The document holds the transactions that count, each once, and no others.

    Where a log under a complete snapshot is on no disk any more, only the state tells what was in it, so nothing can be too much.
    """
    writes = {write.mark: write for write in world.ledger.writes}
    expected = counting(reference)
    found = set(replica.document.gset(MARKS))
    told = all(reference.logs.find(device, head) is not None for device, head in reference.snapshots.final.items())
    if found - expected and told:
        raise Broken("fenced", f"writes count that lie beyond a fence: {_named(world, writes, found - expected)}")
    if expected - found:
        raise Broken("uncounted", f"writes count that the document lacks: {_named(world, writes, expected - found)}")
    total = sum(writes[mark].delta for mark in found)
    if replica.document.counter(TOTAL).value != total:
        raise Broken("sum", f"the writes that count add up to {total}, and not {replica.document.counter(TOTAL).value}")


def _named(world: World, writes: Mapping[int, Write], marks: set[int]) -> list[str]:
    return [f"{mark} of {world.name_of(writes[mark].author)}" for mark in sorted(marks)]


def counting(replica: Replica) -> set[int]:
    """The marks in the entries that count: up to the fence, and up to what is final in a complete snapshot."""
    marks: set[int] = set()
    held, final = replica.membership, replica.snapshots.final
    for device, branches in replica.logs.durable.items():
        chains = [list(chain(replica, device, number)) for number in range(len(branches))]
        if device in final:
            _read_marks(_up_to(chains, final[device]), marks)
        if device not in held.enrolled:
            continue
        if device not in held.fences:
            _read_marks(chains[0], marks)
        elif (fence := held.fences[device]) is not None:
            within = _up_to(chains, fence)
            if device not in final or final[device] in [(row.seq, row.hash) for row in within]:
                _read_marks(within, marks)  # else what is final lies on another history, and only that counts
            elif _up_to(chains, final[device])[: fence.seq] == within:
                continue  # what is final reaches further
    return marks


def _up_to(chains: Sequence[Sequence[Row]], head: Head) -> Sequence[Row]:
    """What surely lies at or before ``head``, which may be an entry that nobody holds."""
    for rows in chains:
        if any((row.seq, row.hash) == head for row in rows):
            return rows[: head.seq]
    shared = [rows[0] for rows in zip(*chains, strict=False) if len({row.hash for row in rows}) == 1]
    return shared[: head.seq]


def _read_marks(rows: Sequence[Row], marks: set[int]) -> None:
    for row in rows:
        _, *operations = decode(row.entry)
        _find_marks(operations, marks)


def _find_marks(operations: Sequence[Any], marks: set[int]) -> None:
    for operation in operations:
        if type(operation) is list and operation[:2] == [GSET_ADD, MARKS]:
            marks.add(operation[2])
        elif type(operation) is list and operation[:1] == [RESCUE]:
            _find_marks(operation[5], marks)


def chain(replica: Replica, device: DeviceId, number: int) -> Iterator[Row]:
    """The entries of one version of a log, from the first."""
    logs, after = replica.logs, 0
    while after < logs.durable[device][number].head.seq:
        for row in logs.rows(device, number, after, 1 << 20):
            after = row.seq
            yield row


# --- copies and snapshots --------------------------------------------------------------------------------------------------------


def copies_reported(world: World, reference: Replica) -> None:
    """Whoever holds two histories of one key says so, and only keys that were copied have two."""
    for node in world.nodes:
        replica = node.device.replica
        for device, branches in replica.logs.durable.items():
            if len(branches) < 2:
                continue
            name = world.name_of(device)
            if device not in world.ledger.copied:
                raise Broken("fork", f"{node.name} holds two histories of {name}, of which nobody made a copy")
            if device in replica.membership.enrolled and device not in replica.membership.forked:
                raise Broken("unreported", f"{node.name} holds two histories of {name} and does not say so")
    copies: dict[DeviceId, dict[str, Replica]] = {}
    for node in world.nodes:
        copies.setdefault(node.device.id, {})[node.name] = node.device.replica
    held = reference.membership
    for device, found in copies.items():
        if len(found) < 2 or device in held.revoked or device not in held.members | held.forked.keys():
            continue
        heads = {replica.logs.tip(device) for replica in found.values()}
        for name, replica in found.items():
            if not replica.cloned and any(_apart(replica, device, head) for head in heads):
                raise Broken("unreported", f"{name} was copied, both copies have written, and it does not know")


def _apart(replica: Replica, device: DeviceId, head: Head) -> bool:
    """Is ``head`` surely on another history than what is held?"""
    return head.seq <= replica.logs.tip(device).seq and replica.logs.find(device, head) is None


def one_branch(reference: Replica) -> None:
    """No two complete snapshots have cuts on different histories of one log, unless only copies agreed to both, or one is of copies
    alone: of such as agreed on another history of their log than the one that the other snapshot goes on from."""
    snapshots, logs = reference.snapshots, reference.logs
    statements = reference.statements.values()
    beyond = beyond_root_fences(reference.root, statements, logs.on_chain, reference._common)

    def complete(proposal: Proposal) -> bool:
        said = snapshots.confirmations.get(proposal.id, {})
        held = membership_at(reference.root, proposal, said, statements, logs.on_chain, reference._common)
        agreed = snapshots.agreed(proposal)
        void = all(beyond(author, at) for author, at in agreed.items())
        return proposal.asked <= agreed.keys() and not void and asks_rightly(proposal, held)

    def copied(one: Proposal, other: Proposal) -> bool:
        """Did each that agreed to both do so on two histories of its own log?"""
        first, second = snapshots.agreed(one), snapshots.agreed(other)
        both = first.keys() & second.keys()
        return bool(both) and all(logs.on_chain(d, *sorted((first[d], second[d]))) is False for d in both)

    def aside(one: Proposal, other: Proposal) -> bool:
        """Do all agree to ``one`` on histories of their logs that ``other`` has passed by?"""
        ends = {**other.cut, **snapshots.agreed(other)}
        return all(
            device in ends and logs.on_chain(device, *sorted((at, ends[device]))) is False
            for device, at in snapshots.agreed(one).items()
        )

    for one, other in combinations(filter(complete, snapshots.proposals.values()), 2):
        if copied(one, other) or aside(one, other) or aside(other, one):
            continue
        for device in one.cut.keys() & other.cut.keys():
            low, high = sorted((one.cut[device], other.cut[device]))
            if logs.on_chain(device, low, high) is False:
                raise Broken("branches", f"two complete snapshots lie on two histories of {device.hex()[:6]}")
