"""How a story must end: everybody heals, and what they hold is the same.

What devices hold is compared with a replica that is given everything at once, with no entry replaced by state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from mycel_simnet.virtual.device import Device
from mycel_simnet.virtual.disk import RECORDS, ROWS, STATES
from mycel_simnet.virtual.keys import Broken, Key, verify
from mycel_simnet.virtual.node import Node
from mycel_simnet.virtual.promises import as_written, chain, copies_reported, nothing_lost, one_branch
from mycel_simnet.virtual.talk import Talk
from mycel_simnet.virtual.world import World, calm
from mycelnode.crdt.changelog import DeviceId, Head, SignedHead
from mycelnode.crdt.clock import to_ms
from mycelnode.crdt.document import Document
from mycelnode.crdt.membership import beyond_root_fences
from mycelnode.crdt.snapshots import Confirmation
from mycelnode.encoding import Digest
from mycelnode.errors import BusyError
from mycelnode.protocols.logset import MAX_BRANCHES, Row
from mycelnode.protocols.replica import Replica

HEAL_SECONDS = 12 * 24 * 3600  # until no clock is in the future any more
DAY_MS = 24 * 3_600_000
ROUNDS = 12


def heal(world: World) -> None:
    """All are started, their clocks set right, and on one network until nothing is new to anybody."""
    for node in world.nodes:
        node.device.fuse = None
        world.boot(node)
        node.device.set_clock(0)
    world.part(*world.nodes)
    world.rest()
    world.clock.leap(HEAL_SECONDS)
    for node in world.nodes:
        node.device.tick()
    copies: dict[DeviceId, list[Node]] = {}
    for node in world.nodes:
        copies.setdefault(node.device.id, []).append(node)
    before: list[Any] = []
    turns = list(product(*copies.values()))  # every copy of one key meets every copy of another
    quiet = 0
    for number in range(ROUNDS * len(turns)):
        if number == ROUNDS * len(turns) // 2:
            calm()
        behind = _all_meet(world, turns[number % len(turns)])
        now = [holdings(node.device.replica) for node in world.nodes]
        in_step = len(turns) == 1 and not behind and _agree(world.nodes)
        quiet = quiet + 1 if in_step or (now == before and not behind) else 0
        if quiet == len(turns):
            return
        before = now
    raise Broken("loop", f"still something new, or behind, after {ROUNDS} rounds: {behind}")


def _agree(nodes: Sequence[Node]) -> bool:
    """Do all who take themselves for members hold the same?"""
    replicas = [node.device.replica for node in nodes]
    found = [holdings(replica) for replica in replicas if replica.device in replica.membership.members]
    return all(held == found[0] for held in found)


def _all_meet(world: World, nodes: Sequence[Node]) -> list[Talk]:
    """All are on one network and find each other; who does not know of somebody is told where that is. Returns who is behind.

    Copies of one key take turns: a device talks with one of them at a time.
    """
    world.network.join([nodes])
    world.network.free = True
    for node in nodes:
        node.network_changed()
    world.rest()
    for one, other in combinations(nodes, 2):
        if other.device.id not in one.links:
            one.connect(other)
    world.clock.run(0.5)
    world.rest()
    world.network.free = False
    behind = [talk for node in nodes for talk in node.links.values() if not talk.in_step()]
    world.part(*nodes)
    return behind


NAMES = ("logs", "statements", "document", "membership", "what is final")


def holdings(replica: Replica) -> tuple[Any, ...]:
    """What two devices in step have alike; of a log in as many versions as are kept, each may have others."""
    few = {d: branches for d, branches in replica.logs.durable.items() if len(branches) < MAX_BRANCHES}
    tips = {(d, b.head) for d, branches in few.items() for b in branches if b.tip is not None}
    final = dict(replica.snapshots.final)
    return frozenset(tips), frozenset(replica.statements), replica.document.digest(), replica.membership, final


def judge(world: World) -> None:
    """Raises `Broken` unless every promise was kept."""
    healthy = list(world.nodes)
    while True:
        reference = fold(world, healthy)
        left = [node for node in healthy if node.device.id in reference.membership.members]
        if len(left) == len(healthy):
            break
        healthy = left
    if kept_out := _kept_out(world, reference, healthy):
        reference = fold(world, healthy, without=kept_out)
    copies_reported(world, reference)
    nothing_lost(world, healthy, reference)
    if not healthy or (len(healthy) > 1 and len({node.device.id for node in healthy}) == 1):
        return  # copies of one key cannot meet
    one_branch(reference)
    reach = _given_up(reference, healthy)
    whole = [node for node in healthy if not _lacks_what_is_gone(world, node, healthy, reach)]
    _alike(whole, reference)
    if whole:
        as_written(world, reference, whole[0].device.replica)


def _kept_out(world: World, reference: Replica, healthy: Sequence[Node]) -> set[bytes]:
    """Snapshots that only those have who are out: the phrase has put them out, and undone the one that came after."""
    there = {key for node in healthy for table in (STATES, RECORDS) for key in node.device.disk.tables[table]}
    out = {key for node in world.nodes if node not in healthy for key in node.device.disk.tables[STATES]}
    return {p.id for p in reference.snapshots.complete if p.id in out - there}


def _given_up(reference: Replica, healthy: Sequence[Node]) -> dict[DeviceId, int]:
    """How far snapshots reach in each log that the phrase has made void, or of which it has put out all who have the state."""
    snapshots, statements = reference.snapshots, reference.statements.values()
    beyond = beyond_root_fences(reference.root, statements, reference.logs.on_chain, reference._common)
    reach: dict[DeviceId, int] = {}
    for proposal in filter(snapshots.full, snapshots.proposals.values()):
        there = any(proposal.id in node.device.disk.tables[STATES] for node in healthy)
        if not there or all(beyond(author, at) for author, at in snapshots.agreed(proposal).items()):
            for device, head in proposal.cut.items():
                reach[device] = max(head.seq, reach.get(device, 0))
    return reach


def _lacks_what_is_gone(world: World, node: Node, healthy: Sequence[Node], given_up: Mapping[DeviceId, int]) -> bool:
    """Does it lack entries that no healthy device has any more?

    The phrase can make a snapshot void after those who confirmed it have replaced the entries by state, or put out all who have the
    state, without having seen it itself; if all others who had the entries are gone, too, nobody can fill the holes.
    """
    replica = node.device.replica
    for device in sorted(replica.holes):
        number, limit = replica.counted(device)
        applied = replica.document.applied.get(device, 0)
        gone = [r for r in chain(replica, device, number) if applied < r.seq <= limit and isinstance(r.entry, Digest)]
        if not gone:
            raise Broken("holes", f"{node.name} lacks nothing of {world.name_of(device)}, and thinks so")
        row = gone[0]  # without it, those after it are of no use
        if row.seq > given_up.get(device, 0) or any(_whole(other, device, row) for other in healthy):
            raise Broken("holes", f"{node.name} lacks entry {row.seq} of {world.name_of(device)}")
    return bool(replica.holes)


def _whole(node: Node, device: DeviceId, row: Row) -> bool:
    rows = (node.device.disk.tables[ROWS].get((device, number, row.seq)) for number in range(MAX_BRANCHES))
    return any(r is not None and r.hash == row.hash and not isinstance(r.entry, Digest) for r in rows)


def fold(world: World, nodes: Sequence[Node], without: Collection[bytes] = ()) -> Replica:
    """One who never had anything is given all that ``nodes`` hold, and what they have replaced by state, and folds it.

    Among what was replaced may be records of snapshots that none of them ever saw: the phrase has put out all who did. Nor does it,
    nor those of the snapshots ``without``.
    """
    nobody = Device("nobody", world.root.public, Key("nobody"), verify, world.clock, world.rng)
    nobody.boot()
    seen = set[bytes]().union(*(node.device.disk.records_seen for node in nodes)).difference(without)
    know = nobody.replica.snapshots.know
    nobody.replica.snapshots.know = lambda record: know(record) if record.id in seen else None  # type: ignore[method-assign]
    statements = {s.id: s for node in nodes for s in node.device.replica.statements.values()}
    while statements:
        new = nobody.replica.worth_learning(statements.values())
        if not new:
            raise Broken("orphans", "statements of devices that nobody enrolled")
        nobody.replica.learn(new)
        nobody.commit(lambda replica: None)
        statements = {key: s for key, s in statements.items() if key not in nobody.replica.statements}
    done: set[tuple[DeviceId, Head]] = set()
    refused: set[tuple[DeviceId, Head]] = set()  # in more versions than anybody keeps
    for node in nodes:
        for device, start, rows, head in _runs(node.device.replica):
            if (device, start) in refused:
                refused.add((device, head.head))
            elif (device, head.head) not in done:
                try:
                    nobody.replica.accept(device, start, [world.archive[row.hash] for row in rows], head)
                except BusyError:
                    refused.add((device, head.head))
                nobody.commit(lambda replica: None)
                done.add((device, head.head))
    records = {r.id: r for node in nodes for r in node.device.disk.tables[RECORDS].values()}
    ordered = sorted(records.values(), key=lambda record: isinstance(record, Confirmation))
    nobody.commit(lambda replica: replica.learn_records(ordered))
    for proposal in nobody.replica.snapshots.missing():
        states = (node.device.disk.tables[STATES].get(proposal.id) for node in nodes)
        state = next((found for found in states if found is not None), None)
        if state is not None and not nobody.replica.covers(proposal):  # somebody's log is nowhere any more
            document = Document.decode_state(state)
            nobody.commit(lambda replica, p=proposal, s=state, d=document: replica.learn_state(p.id, s, d))  # type: ignore[misc]
    return nobody.replica


def _runs(replica: Replica) -> Iterator[tuple[DeviceId, Head, list[Row], SignedHead]]:
    """All logs held, in signed runs."""
    logs = replica.logs
    for device, branches in logs.durable.items():
        for number, branch in enumerate(branches):
            run: list[Row] = []
            start = Head(0, logs.hash_at(device, number, 0) or b"")
            for row in chain(replica, device, number):
                run.append(row)
                if row.signature is not None or row.hash == branch.head.hash:
                    signature = row.signature or (branch.tip.signature if branch.tip else b"")
                    yield device, start, run, SignedHead(row.seq, row.hash, signature)
                    start, run = Head(row.seq, row.hash), []


def _alike(healthy: Sequence[Node], reference: Replica) -> None:
    expected = holdings(reference)
    for node in healthy:
        replica = node.device.replica
        found = zip(NAMES, holdings(replica), expected, strict=True)
        different = [name for name, mine, theirs in found if mine != theirs]
        if different:
            raise Broken("differ", f"{node.name} of {[n.name for n in healthy]}: {different}")
        if replica.held or replica.cloned or to_ms(replica.clock.last) > node.device.now + DAY_MS:
            raise Broken("clock", f"{node.name}: held {replica.held}, clock {replica.clock.last}")
        base = replica.base  # once the logs are there, the next transaction settles it
        if base is not None and any(replica.logs.find(d, head) is None for d, head in base.cut.items()):
            raise Broken("base", f"{node.name} has not checked the state that it began with")
