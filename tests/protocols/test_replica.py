"""One device's copy of the mesh: what it takes, what it refuses, and that the order in which it came leaves no trace."""

from __future__ import annotations

import itertools
import random

import pytest

from mycelnode.crdt.changelog import Head, chain_digests, digest, encode_entry, sign_head
from mycelnode.crdt.statements import FENCE
from mycelnode.errors import BusyError, LogError, NotAMember
from mycelnode.protocols import logset
from mycelnode.protocols.state_transfer import Offer
from tests.protocols.world import Device, Link, mesh, sync

HOUR = 3_600_000
DAY = 24 * HOUR


def give(giver: Device, taker: Device, author: Device) -> None:
    """The whole log of ``author``, without anything else."""
    branch = giver.replica.logs.durable[author.id][0]
    rows = giver.replica.logs.rows(author.id, 0, 0, 1 << 30)
    assert branch.tip is not None
    start = Head(0, giver.replica.logs.hash_at(author.id, 0, 0) or b"")
    taker.replica.accept(author.id, start, [row.entry for row in rows], branch.tip)
    taker.commit()


def begin(taker: Device, giver: Device) -> None:
    """Start by the state of ``giver``."""
    offer = Offer.of(giver.replica.document, giver.replica.logs)
    assert offer is not None
    document = giver.replica.document.decode_state(offer.state)
    taker.replica.start_from(document, {device: head.head for device, head in offer.cut.items()}, giver.id, taker.now)


# --- order leaves no trace -------------------------------------------------------------------------------------------


def test_a_fence_on_a_device_that_is_out_is_judged_anew_when_its_log_comes() -> None:
    """Statements come before logs: what a fenced device has revoked counts only once its log shows that it was in time."""
    a, out, b = mesh(3)
    victim = Device(a.root)
    out.enrol(victim)
    victim_revoked = out.revoke(victim)
    a.learn(*out.replica.statements.values())
    fence = a.root_statement(FENCE, out.id, out.put("k", 1))
    late, early = b, a
    early.learn(fence)
    give(out, early, out)
    late.learn(*out.replica.statements.values(), fence)
    assert victim_revoked.id in late.replica.membership.ignored
    give(out, late, out)
    assert late.replica.membership == early.replica.membership
    assert victim.id not in late.replica.membership.members


def test_a_device_put_back_to_an_older_state_adopts_its_own_longer_log() -> None:
    a, b = mesh(2)
    b.put("k", 1)
    old = b.clone()
    b.put("k", 2)
    sync(a, b)
    sync(a, old)
    assert old.replica.head == b.replica.head
    assert not old.replica.cloned
    assert old.map() == {"k": 2}
    old.put("k", 3)


def test_statements_are_never_held_whatever_the_clock_that_wrote_them() -> None:
    a, b, c = mesh(3)
    b.skew_ms = 5 * DAY
    b.put("k", 1)
    b.revoke(c)
    sync(a, b)
    assert a.map() == {}
    assert b.id in a.replica.held
    assert c.id not in a.replica.membership.members


# --- starting by state -----------------------------------------------------------------------------------------------


def test_a_state_does_not_bring_in_what_a_fence_leaves_out() -> None:
    a, b, c = mesh(3)
    b.put("good", 1)
    sync(a, b)
    fence = b.replica.head
    b.put("evil", 1)
    sync(b, c)
    a.revoke(b, fence)
    new = Device(a.root)
    a.enrol(new)
    new.learn(*a.replica.statements.values())
    begin(new, c)
    assert "evil" not in new.map()
    sync(new, a)
    assert new.map() == a.map() == {"good": 1}


def test_a_state_lasts_through_a_revocation_and_a_restart() -> None:
    a, b, c = mesh(3)
    b.put("old", 1)
    sync(a, b)
    a.revoke(b)
    new = Device(a.root)
    a.enrol(new)
    new.learn(*a.replica.statements.values())
    begin(new, a)
    assert new.map() == {"old": 1}
    a.revoke(c)
    new.learn(*a.replica.statements.values())
    assert new.map() == {"old": 1}


def test_who_begins_by_state_writes_later_than_all_that_it_shows() -> None:
    a, b = mesh(2)
    a.skew_ms = 20 * HOUR
    a.put("k", "theirs")
    begin(b, a)
    b.put("k", "mine")
    assert b.map() == {"k": "mine"}


def test_a_state_is_no_way_around_the_hold() -> None:
    a, b = mesh(2)
    a.skew_ms = 30 * HOUR
    a.put("k", "early")
    with pytest.raises(BusyError, match="more than a day ahead"):
        begin(b, a)
    assert b.map() == {}


def test_a_state_is_taken_by_new_devices_only() -> None:
    a, b = mesh(2)
    a.put("k", 1)
    sync(a, b)
    with pytest.raises(BusyError):
        begin(b, a)


def test_nobody_else_says_what_we_wrote() -> None:
    a, b = mesh(2)
    b.put("mine", 1)
    sync(a, b)
    forgotten = Device(b.root, b.key)
    forgotten.learn(*b.replica.statements.values())
    with pytest.raises(BusyError):
        begin(forgotten, a)


def test_a_state_is_offered_only_up_to_signed_heads_and_only_once_it_is_proved() -> None:
    a, b = mesh(2)
    a.replica.write([[2, "m", "k", 1]], a.now)
    a.replica.write([[2, "m", "k", 2]], a.now)
    a.commit()
    assert Offer.of(a.replica.document, a.replica.logs) is not None
    sync(a, b)
    a.revoke(b, Head(0, b.replica.logs.hash_at(b.id, 0, 0) or b""))
    rows = a.replica.logs.rows(a.id, 0, 0, 1 << 20)
    unsigned = next(row for row in rows if row.signature is None)
    assert a.replica.logs.signed(a.id, Head(unsigned.seq, unsigned.hash)) is None
    assert a.replica.logs.signed(a.id, Head(rows[-1].seq, rows[-1].hash)) is not None
    new, third = Device(a.root), Device(a.root)
    for device in (new, third):
        a.enrol(device)
    for device in (new, third):
        device.learn(*a.replica.statements.values())
    begin(new, a)
    link = Link(new, third, fresh=True)
    for _ in range(200):
        link.step(random.Random(0))
    assert not any(progress.refolded for progress in third.progressed), "an unproved state is not handed on"


def test_two_senders_do_not_undo_each_other() -> None:
    a, b = mesh(2)
    for number in range(40):
        a.put(f"k{number}", "x" * 40_000)
    sync(a, b)
    b.put("other", 1)  # so that the two offer different states
    new = Device(a.root)
    a.enrol(new)
    new.learn(*a.replica.statements.values())
    links = [Link(giver, new, fresh=True) for giver in (a, b)]
    rng = random.Random(1)
    for _ in range(4000):
        moved = [link.step(rng) for link in links]
        if not any(moved):
            break
    assert [progress.refolded for progress in new.progressed].count(True) >= 1
    assert len(new.map()) >= 40


# --- while a transaction is under way --------------------------------------------------------------------------------


def test_what_is_under_way_to_the_disk_is_not_looked_for_there() -> None:
    a, b = mesh(2)
    b.put("k", 0)
    twin = b.clone()
    b.put("k", 1)
    twin.put("k", 2)
    sync(a, b)
    logs = twin.replica.logs
    rows, tip = logs.rows(b.id, 0, 0, 1 << 20), logs.durable[b.id][0].tip
    assert tip is not None
    a.replica.accept(b.id, Head(0, logs.hash_at(b.id, 0, 0) or b""), [row.entry for row in rows], tip)
    assert a.replica.logs.find(b.id, tip.head) == 1
    assert a.replica.logs.unpruned(b.id, tip.head) == []
    a.commit()
    assert a.replica.logs.unpruned(b.id, tip.head) == [(1, tip.seq), (0, 1)]


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_a_run_that_could_not_be_passed_on_is_refused() -> None:
    a, b = mesh(2)
    entry = encode_entry(b.now << 16, [[2, "m", "k", "x" * 200_000]])
    entries = [entry] * 3
    logs = b.replica.logs
    start = Head(0, logs.hash_at(b.id, 0, 0) or b"")
    last = chain_digests(start, map(digest, entries))[-1]
    head = sign_head(b.replica.root, b.id, Head(3, last), lambda m: b.key.sign(m).signature)
    with pytest.raises(LogError, match="under one signature"):
        a.replica.accept(b.id, start, entries, head)


def test_there_is_a_bound_on_logs_that_one_commit_cannot_overrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logset, "MAX_LOGS", 3)
    a, b, c, d = mesh(4)
    for device in (b, c, d):
        device.put("k", 1)
    for number, device in enumerate((b, c, d)):
        logs = device.replica.logs
        rows = logs.rows(device.id, 0, 0, 1 << 20)
        tip = logs.durable[device.id][0].tip
        start = Head(0, logs.hash_at(device.id, 0, 0) or b"")
        if number < 2:
            a.replica.accept(device.id, start, [row.entry for row in rows], tip)
        else:
            with pytest.raises(BusyError):  # with our own they would be four
                a.replica.accept(device.id, start, [row.entry for row in rows], tip)


def test_a_device_whose_log_was_closed_does_not_write_for_nothing() -> None:
    a, b = mesh(2)
    b.put("k", 1)
    sync(a, b)
    a.replica.declare(FENCE, b.id, b.replica.head, {}, a.now)
    a.commit()
    sync(a, b)
    assert b.id in b.replica.membership.members
    with pytest.raises(NotAMember, match="closed"):
        b.put("k", 2)


def test_two_lying_clocks_do_not_outvote_three_honest_ones() -> None:
    a, *others = mesh(6)
    a.replica.skews = {other.id: 0 for other in others}
    for liar in others[:2]:
        a.replica.skews[liar.id] = 3 * DAY
    assert not a.replica.clock_wrong(a.now)
    for liar in others[2:4]:
        a.replica.skews[liar.id] = 3 * DAY
    assert a.replica.clock_wrong(a.now)
    for liar in others[:4]:
        a.revoke(liar)
    assert not a.replica.clock_wrong(a.now), "who is out has no say"


def test_versions_beyond_the_bound_are_refused_and_cost_no_session() -> None:
    a, b, thief = mesh(3)
    thief.put("k", 0)
    twins = [thief.clone() for _ in range(2 * logset.MAX_BRANCHES)]
    for number, twin in enumerate(twins):
        for count in range(3):
            twin.put("k", [number, count, "x" * 200_000])
    for twin, taker in zip(twins, itertools.cycle((a, b)), strict=False):
        sync(taker, twin)
    a.put("alive", 1)
    link = sync(a, b)
    assert b.map()["alive"] == 1
    a.put("alive", 2)
    link.progress(0, a.progressed[-1])
    link.run()
    assert b.map()["alive"] == 2
