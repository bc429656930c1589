"""Bounded history: snapshots are proposed, confirmed by all asked, complete; what lies under them goes, newcomers fold alike."""

from __future__ import annotations

import random

import pytest
from nacl.signing import SigningKey

from mycel_simnet.virtual.disk import ROWS
from mycelnode.crdt.changelog import digest
from mycelnode.crdt.snapshots import Proposal
from mycelnode.crdt.statements import AWAY, ENROL, FENCE, REVOKE
from mycelnode.encoding import Digest
from mycelnode.protocols import tending
from mycelnode.protocols.shadow import Shadow
from mycelnode.rescue import head_before, held_beyond
from tests.protocols.world import Device, Link, mesh, sync


def filled(count: int, writes: int = 12) -> list[Device]:
    """A mesh in step, the device with the lowest id first."""
    devices = mesh(count)
    for number in range(writes):
        devices[number % count].put(f"k{number}", number)
    meet(*devices)
    return sorted(devices, key=lambda device: device.id)


def meet(*devices: Device) -> None:
    for _ in range(2):
        for one in devices:
            for other in devices:
                if one is not other:
                    sync(one, other)


def left(device: Device) -> int:
    """How many entries are still there whole."""
    return sum(not isinstance(row.entry, Digest) for rows in device.store.rows.values() for row in rows.values())


def snapshot(*devices: Device) -> None:
    """Propose, let everybody confirm, and prune."""
    devices[0].tend()
    meet(*devices)
    for device in devices:
        device.tend(1 << 60)
    meet(*devices)
    for device in devices:
        device.tend(1 << 60)


def newcomer(inviter: Device) -> Device:
    other = Device(inviter.root)
    inviter.enrol(other)
    other.learn(*inviter.replica.statements.values())
    return other


def test_a_lone_device_replaces_its_history_at_once_and_starts_again_from_it() -> None:
    (alone,) = filled(1)
    before, entries = alone.map(), left(alone)
    alone.tend()
    assert left(alone) == 1 < entries  # the proposal itself lies beyond its cut
    assert alone.map() == before
    alone.restart()
    assert alone.map() == before
    alone.put("more", 1)
    alone.restart()
    assert alone.map() == {**before, "more": 1}


def test_nobody_deletes_before_everybody_has_confirmed() -> None:
    a, b, c = filled(3)
    a.tend()
    sync(a, b)
    entries = left(b)
    b.tend(1 << 60)  # confirms
    sync(a, b)
    a.tend(1 << 60)
    b.tend(1 << 60)
    assert min(left(a), left(b)) >= entries
    assert tending.waits_for(a.replica) == tending.waits_for(b.replica) == [c.id]
    meet(a, b, c)
    c.tend(1 << 60)
    meet(a, b, c)
    for device in (a, b, c):
        device.tend(1 << 60)
        assert left(device) <= 3
        assert tending.waits_for(device.replica) == []
    assert a.map() == b.map() == c.map()
    assert len({d.replica.document.digest() for d in (a, b, c)}) == 1


def test_a_newcomer_folds_the_same_document_from_what_is_left() -> None:
    a, b = filled(2)
    snapshot(a, b)
    a.put("late", 1)
    other = newcomer(a)
    sync(a, other)
    assert other.map() == a.map()
    assert other.replica.document.digest() == a.replica.document.digest()
    other.restart()
    assert other.map() == a.map()
    another = newcomer(other)  # and passes it on
    sync(other, another)
    assert another.replica.document.digest() == other.replica.document.digest()
    for device, seq in a.replica.document.applied.items():
        assert other.replica.logs.hash_at(device, 0, seq) == a.replica.logs.hash_at(device, 0, seq)


def test_a_state_that_cannot_be_kept_is_not_fetched_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = filled(2)
    snapshot(a, b)
    other = newcomer(a)
    fetched: list[object] = []
    with monkeypatch.context() as full_disk:
        full_disk.setattr(type(other.replica), "learn_state", lambda replica, *state: fetched.append(state))
        sync(a, other)
    assert len(fetched) == 1
    assert other.map() != a.map()
    sync(a, other)
    assert other.map() == a.map()


def test_one_who_was_called_away_comes_back_with_what_it_wrote() -> None:
    a, b, c = filled(3)
    c.put("mine", "from away")
    for device in (a, b):
        device.learn(device.root_statement(AWAY, c.id, None))
        for number in range(5):
            device.put(f"{number}", number)
    meet(a, b)
    snapshot(a, b)
    assert left(a) <= 2
    meet(a, b, c)
    assert a.map() == b.map() == c.map()
    assert a.map()["mine"] == "from away"
    assert len({d.replica.document.digest() for d in (a, b, c)}) == 1
    assert left(c) > left(a)  # it confirmed nothing, so it deletes nothing


@pytest.mark.parametrize("kind", [REVOKE, FENCE])
def test_what_is_in_a_complete_snapshot_is_final_and_what_is_beyond_is_not(kind: str) -> None:
    a, b = filled(2)
    early = b.replica.logs.hash_at(b.id, 0, 1)
    snapshot(a, b)
    b.put("k1", "too late")
    meet(a, b)
    final = {**a.map(), "k1": 1}
    assert early is not None
    fence = type(b.replica.head)(1, early)
    a.replica.declare(kind, b.id, fence, {}, a.now)
    a.commit()
    assert a.map() == final
    other = newcomer(a)
    sync(a, other)
    assert other.map() == final
    a.restart()
    assert a.map() == final


def test_a_snapshot_that_only_a_thief_agreed_to_is_void_once_the_phrase_has_fenced_him() -> None:
    a, thief = mesh(2)
    a.put("a", 1)
    sync(a, thief)
    good = thief.replica.head
    thief.revoke(a)
    thief.put("a", "mine")
    thief.tend()
    sync(a, thief)
    assert thief.replica.snapshots.complete
    for device in (a, thief):
        device.learn(device.root_statement(REVOKE, thief.id, good if good.seq else None))
    assert not a.replica.snapshots.complete
    assert a.map() == {"a": 1}


def test_entries_that_a_void_snapshot_has_replaced_come_back_from_those_who_have_them() -> None:
    """A newcomer began with the state of a thief's snapshot; the phrase voids it, and the owner still has the entries."""
    owner, thief = mesh(2)
    owner.put("a", 1)
    sync(owner, thief)
    good = thief.replica.head
    thief.put("b", 2)
    sync(owner, thief)
    thief.revoke(owner)
    thief.tend()
    lagging = newcomer(thief)
    sync(thief, lagging)
    assert left(lagging) < left(owner)
    for device in (owner, lagging):
        device.learn(*[s for s in thief.replica.statements.values() if s.id not in device.replica.statements])
    returning = Device(owner.root)
    returning.learn(returning.root_statement(ENROL, returning.id, None))
    returning.learn(*owner.replica.statements.values())
    verdict = returning.root_statement(REVOKE, thief.id, good if good.seq else None)
    anew = returning.root_statement(ENROL, lagging.id, None)
    for device in (owner, lagging, returning):
        device.learn(
            *[
                s
                for s in (verdict, anew, *returning.replica.statements.values())
                if s.id not in device.replica.statements
            ]
        )
    assert lagging.replica.unfilled
    assert lagging.map() == {}
    sync(owner, lagging)
    assert not lagging.replica.holes
    assert lagging.map() == owner.map() == {"a": 1}
    lagging.restart()
    assert lagging.map() == {"a": 1}


def test_what_counts_again_after_two_recoveries_that_do_not_know_of_each_other_is_still_there() -> None:
    """Each fences one of two who agreed to a snapshot; together they void it, and the one before counts again."""
    a, b = filled(2)
    snapshot(a, b)
    first = a.map()
    heads = {device.id: a.replica.logs.tip(device.id) for device in (a, b)}
    restored = a.clone(SigningKey.generate())  # a backup from now
    b.put("k1", "later")
    meet(a, b)
    snapshot(a, b)
    joining = Device(a.root)
    for device in (restored, joining):
        device.learn(device.root_statement(ENROL, device.id, None))
    joining.learn(*b.replica.statements.values())
    b.learn(*joining.replica.statements.values())
    sync(b, joining)  # it begins with the later one, and never has the other
    restored.learn(restored.root_statement(REVOKE, a.id, heads[a.id]))
    b.learn(*restored.replica.statements.values())
    meet(restored, b, joining)
    assert restored.map() == joining.map() == {**first, "k1": "later"}
    for device in (restored, joining):
        device.tend(1 << 60)
    verdict = b.root_statement(REVOKE, b.id, heads[b.id])
    for device in (restored, joining):
        device.learn(verdict)
    meet(restored, joining)
    assert not restored.replica.holes | joining.replica.holes
    assert restored.map() == joining.map() == first
    for device in (restored, joining):
        device.restart()
        assert device.map() == first


def test_a_snapshot_that_one_end_has_let_go_of_is_said_again_on_the_same_connection() -> None:
    """It was superseded for one end and not for the other, when the phrase voids what superseded it."""
    a, b = filled(2)
    snapshot(a, b)
    first = a.map()
    heads = {device.id: a.replica.logs.tip(device.id) for device in (a, b)}
    restored = a.clone(SigningKey.generate())
    joining = Device(a.root)
    for device in (restored, joining):
        device.learn(device.root_statement(ENROL, device.id, None))
    restored.learn(*joining.replica.statements.values())
    joining.learn(*restored.replica.statements.values())
    link = Link(restored, joining)
    link.run()
    assert joining.map() == first
    seen = len(joining.progressed)
    b.put("k1", "later")
    meet(a, b)
    snapshot(a, b)
    b.learn(*joining.replica.statements.values())
    sync(b, joining)
    joining.tend(1 << 60)
    assert joining.map() == {**first, "k1": "later"}
    assert len(joining.replica.snapshots.proposals) == 1
    for device in (a, b):
        verdict = device.root_statement(REVOKE, device.id, heads[device.id])
        for end in (restored, joining):
            end.learn(verdict)
    for progress in joining.progressed[seen:]:  # what came over other connections
        link.progress(1, progress)
    link.run()
    assert not joining.replica.holes
    assert joining.map() == restored.map() == first


def test_a_revocation_leaves_whole_what_this_device_folds_from() -> None:
    a, b = filled(2)
    copy = b.clone()
    snapshot(a, b)
    (proposal,) = a.replica.snapshots.complete
    agreed = a.replica.snapshots.agreed(proposal)[b.id]
    assert head_before(a.replica, b.id, 0) == agreed  # however early the moment
    b.put("k1", "beyond")
    sync(a, b)
    assert head_before(a.replica, b.id, 0) == agreed
    assert head_before(a.replica, b.id, None) == b.replica.head
    assert head_before(a.replica, b.id, b.now + 1) == b.replica.head
    assert held_beyond(a.replica, b.id, agreed) == 1
    forked = copy.replica.head
    copy.put("k1", "copied")
    copy.put("k1", "copied")
    sync(a, copy)
    assert a.replica.logs.fork_point(b.id) == forked < agreed
    assert head_before(a.replica, b.id, None) == agreed  # the snapshot has chosen between the two
    assert head_before(a.replica, b.id, b.now + 1_000_000) == agreed
    assert held_beyond(a.replica, b.id, agreed) == 1 + 2
    assert held_beyond(a.replica, b.id, forked) == (b.replica.head.seq - forked.seq) + 2


def test_a_proposal_whose_state_is_not_the_fold_of_its_cut_is_refused_and_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = filled(2)
    with monkeypatch.context() as patched:
        patched.setattr(Shadow, "digest", property(lambda shadow: b"x" * 32))
        a.tend()
    sync(a, b)
    b.tend(1 << 60)
    assert b.replica.snapshots.disputed
    assert not b.replica.snapshots.complete


def proposal_by(author: Device, asked: set[bytes]) -> Proposal:
    """What a hostile ``author`` may say: that only those count whom it asks."""
    replica = author.replica
    made = replica.enter(
        lambda position: Proposal(
            author.id,
            position,
            tending.cut_now(replica),
            frozenset(s.id for s in replica.statements.values() if s.author == replica.root),
            {},
            {},
            frozenset(),
            frozenset(asked),
            replica.document.digest(),
            len(replica.document.encode_state()),
        )
    )
    author.commit()
    return made


def test_nobody_can_leave_out_whom_it_has_let_in() -> None:
    """The proposal stands in the log beyond the enrolment, whatever its cut says."""
    (thief,) = filled(1)
    alone = proposal_by(thief, {thief.id})
    assert thief.replica.snapshots.complete == [alone]
    other = newcomer(thief)
    proposal_by(thief, {thief.id})
    sync(thief, other)
    for device in (thief, other):
        assert device.replica.snapshots.complete == [alone]


def test_nobody_can_leave_out_who_let_it_in() -> None:
    owner, thief = mesh(2)
    owner.put("a", 1)
    sync(owner, thief)
    proposal_by(thief, {thief.id})
    sync(owner, thief)
    for device in (owner, thief):
        assert device.replica.snapshots.complete == []


def test_a_snapshot_that_asked_too_few_does_not_excuse_missing_entries() -> None:
    owner, thief = mesh(2)
    owner.put("a", 1)
    sync(owner, thief)
    lagging = newcomer(owner)
    false = proposal_by(thief, {thief.id})
    lagging.learn(*thief.replica.statements.values())
    lagging.replica.learn_records([false])
    lagging.commit()
    assert lagging.replica.snapshots.full(false)
    assert lagging.replica.snapshots.may_lack(owner.id) == 0


def test_entries_that_somebody_leaves_out_come_from_somebody_else() -> None:
    owner, liar = mesh(2)
    for number in range(5):
        owner.put(f"{number}", number)
    sync(owner, liar)
    rows = list(owner.replica.logs.rows(owner.id, 0, 0, 1 << 20))
    for row in rows[2:]:
        liar.store.tables[ROWS][owner.id, 0, row.seq] = row._replace(entry=Digest(digest(row.entry)))
    other = newcomer(owner)
    liar.learn(*[s for s in owner.replica.statements.values() if s.id not in liar.replica.statements])
    session = sync(liar, other)
    assert other.replica.logs.tip(owner.id).seq == rows[-1].seq
    assert other.map() != owner.map()
    mark = session.sessions[1].mark()
    session.run()
    assert not session.sessions[1].reached(mark)
    sync(owner, other)
    assert other.map() == owner.map()
    assert left(other) == left(owner)


@pytest.mark.parametrize("seed", range(30))
def test_devices_that_write_meet_propose_and_prune_at_random_end_alike(seed: int) -> None:
    rng = random.Random(seed)
    devices = filled(rng.randint(1, 4), rng.randint(1, 8))
    for _ in range(rng.randint(5, 25)):
        one = rng.choice(devices)
        match rng.choice(["write", "write", "meet", "meet", "tend", "tend", "restart", "join"]):
            case "write":
                one.put(f"k{rng.randrange(6)}", rng.randrange(100))
            case "meet":
                other = rng.choice(devices)
                if other is not one:
                    sync(one, other, rng)
            case "tend":
                one.tend(rng.choice([0, 0, 1 << 60]), most=rng.randint(1, 10))
            case "restart":
                one.restart()
            case "join" if len(devices) < 6:
                devices.append(newcomer(one))
    for _ in range(3):
        meet(*devices)
        for device in devices:
            device.tend(0)
    meet(*devices)
    assert len({device.replica.document.digest() for device in devices}) == 1
    assert len({tuple(p.id for p in device.replica.snapshots.complete) for device in devices}) == 1
    alone = newcomer(devices[0])
    sync(devices[0], alone, rng)
    assert alone.map() == devices[0].map()


def test_a_revocation_that_no_snapshot_can_hold_is_named_until_the_phrase_says_it_too() -> None:
    """Two put each other out, and one of them a third, beyond its fence: who is left can clean up nothing by itself."""
    a, b, c, d = filled(4)
    a.revoke(b)
    b.revoke(c)
    b.revoke(a)
    meet(a, b, c, d)
    assert d.replica.membership.members == {d.id}
    before = left(d)
    d.tend()
    assert not d.replica.snapshots.proposals
    unsettled = tending.unsettled(d.replica, 0)
    assert c.id in unsettled
    assert tending.waits_for(d.replica, 0) == []
    assert tending.unsettled(d.replica) == []  # as long as it is not worth a snapshot
    for device in unsettled:
        tip = d.replica.logs.tip(device, d.replica.counted(device)[0])
        d.learn(d.root_statement(REVOKE, device, tip))
    assert tending.unsettled(d.replica, 0) == []
    d.tend()
    d.tend(1 << 60)
    assert left(d) < before
