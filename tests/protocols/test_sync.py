"""Two machines and a wire: everything held at one end reaches the other, and nothing else does."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.crdt.changelog import Head, decode_entry
from mycelnode.crdt.document import Document
from mycelnode.crdt.statements import AWAY, FENCE, REVOKE
from mycelnode.encoding import decode, encode
from mycelnode.errors import ForkDetected, MycelError, NotAMember, PeerMisbehaved
from mycelnode.protocols import sync_frames as wire
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.replica import CLOCK_SET_MS
from mycelnode.protocols.shadow import Shadow
from mycelnode.protocols.state_transfer import Draft, Offer
from tests.protocols.world import Device, Link, mesh, sync


def converged(*devices: Device) -> bool:
    return (
        len({d.replica.document.digest() for d in devices}) == 1
        and len({frozenset(d.replica.statements) for d in devices}) == 1
    )


def test_entries_and_statements_reach_the_other_end() -> None:
    a, b = mesh(2)
    a.put("k", 1)
    b.put("l", 2)
    sync(a, b)
    assert a.map() == b.map() == {"k": 1, "l": 2}
    assert converged(a, b)


def test_a_third_device_gets_everything_through_one_neighbour() -> None:
    a, b, c = mesh(3)
    for i in range(50):
        a.put(f"a{i}", i)
        b.put(f"b{i}", i)
    sync(a, b)
    sync(b, c)
    assert c.map() == a.map()
    assert converged(a, b, c)


def test_live_changes_are_pushed_once() -> None:
    a, b = mesh(2)
    link = sync(a, b)
    before = link.bytes
    head = a.put("k", "v" * 100)
    link.progress(0, a.progressed[-1])
    link.run()
    assert b.map() == {"k": "v" * 100}
    assert link.bytes - before < 2 * (100 + 64 + 32 + 64) + 300, "a small change must not cost much more than itself"
    assert b.replica.logs.tip(a.id) == head


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(2, 5))
def test_any_order_of_edits_and_meetings_converges(seed: int, count: int) -> None:
    rng = random.Random(seed)
    devices = mesh(count)
    for step in range(30):
        who = rng.choice(devices)
        if rng.random() < 0.6:
            who.put(rng.choice("abcdef"), step)
        else:
            sync(who, rng.choice([d for d in devices if d is not who]), rng)
    for _ in range(2):
        for one, other in itertools.pairwise(devices):
            sync(one, other, rng)
        for one, other in zip(devices[::-1], devices[-2::-1], strict=False):
            sync(one, other, rng)
    assert converged(*devices)


def test_a_cut_wire_loses_nothing() -> None:
    a, b = mesh(2)
    for i in range(200):
        a.put(f"k{i}", "x" * 20_000)
    link = Link(a, b)
    rng = random.Random(1)
    while b.replica.logs.tip(a.id).seq < 60:
        assert link.step(rng)
    b.restart()
    held = b.replica.logs.tip(a.id).seq
    link = Link(a, b)
    link.run()
    assert b.map() == a.map()
    assert link.bytes < (200 - held + 30) * 20_200, "what was on disk is not sent again"


def test_a_newcomer_starts_by_state_and_checks_it_against_the_logs() -> None:
    a, b = mesh(2)
    for i in range(300):
        a.put(f"k{i % 50}", "x" * 1000)
    link = Link(a, b, fresh=True)
    rng = random.Random(2)
    while not any(p.refolded for p in b.progressed):
        assert link.step(rng)
    assert b.map() == a.map(), "usable before the logs are there"
    link.run()
    assert [p.base_checked for p in b.progressed if p.base_checked is not None] == [True]
    assert converged(a, b)


def test_a_state_is_encoded_in_pieces_and_comes_before_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.crdt.columns.BLOCK_BYTES", 2000)
    monkeypatch.setattr(Draft.step, "__defaults__", (1000,))
    a, b = mesh(2)
    for i in range(50):
        a.put(f"k{i}", "x" * 1000)
    a.source.make = lambda: Draft.of(a.replica.document, a.replica.logs)
    link = Link(a, b, fresh=True)
    giver, rng, silent = link.sessions[0], random.Random(1), 0
    while not any(p.refolded for p in b.progressed):
        if not link.step(rng):
            assert giver.next_due(now=link.time) == link.time, "it goes on at once"
            silent += 1
    assert silent > 10, "other things are done in between"
    assert b.map() == a.map()
    assert b.replica.logs.tip(a.id).seq < a.replica.head.seq, "usable before the logs are there"
    link.run()
    assert converged(a, b)


def test_the_logs_are_compared_with_the_state_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = mesh(2)
    for i in range(100):
        a.put(f"k{i % 50}", "x" * 1000)
    monkeypatch.setattr(Shadow.step, "__defaults__", (10_000,))
    Link(a, b, fresh=True).run()
    ticks = [p for p in b.progressed if not p.logs and not p.refolded]
    assert len(ticks) >= 10, "10 pieces of 10 kB, and the state"
    assert ticks[-1].base_checked is True
    assert converged(a, b)


def test_nobody_is_sent_its_own_long_log_back_as_a_state() -> None:
    a, b = mesh(2)
    a.source.least = b.source.least = 10
    for i in range(30):
        a.put(f"a{i}", i)
    b.put("b", 0)
    Link(a, b, fresh=True).run()
    assert converged(a, b)
    assert any(progress.refolded for progress in b.progressed), "b is new, and lacks much"
    assert not any(progress.refolded for progress in a.progressed), "a lacks next to nothing"


@pytest.mark.parametrize("more", [True, False], ids=["and more was written", "and nothing since"])
def test_a_wrong_state_is_reported_and_the_logs_win(more: bool) -> None:
    a, b = mesh(2)
    for i in range(20):
        a.put(f"k{i}", i)
    lie, true = Document(), a._offer()
    assert true is not None
    for row in a.replica.logs.rows(a.id, 0, 0, 1 << 20):
        clock, *operations = decode_entry(row.entry)
        lie.apply(a.id, row.seq, row.hash, clock, [[*op[:3], "lie"] if op[2:3] == ["k1"] else op for op in operations])
    wrong = Offer(lie.encode_state(), lie.digest(), true.cut)
    if more:
        a.put("k99", 99)
    a.source.make = lambda: wrong
    link = Link(a, b, fresh=True)
    link.run()
    assert [p.base_checked for p in b.progressed if p.base_checked is not None] == [False]
    assert b.map() == a.map()
    assert b.map()["k1"] == 1


def test_a_revoked_device_is_told_and_cut_and_its_later_writes_do_not_count() -> None:
    a, b, c = mesh(3)
    b.put("before", 1)
    sync(a, b)
    sync(a, c)
    a.revoke(b)
    b.put("after", 2)
    sync(a, c)
    link = Link(a, b)
    link.run()
    assert link.left == "not a member"
    assert a.map() == c.map() == {"before": 1}
    with pytest.raises(NotAMember):
        b.put("never", 3)


def test_a_clone_is_noticed_by_everybody_and_fences_its_data_at_the_fork() -> None:
    a, b, c = mesh(3)
    b.put("shared", 0)
    twin = b.clone()
    b.put("left", 1)
    twin.put("right", 2)
    sync(a, b)
    sync(c, twin)
    with pytest.raises(AssertionError):
        assert a.map() == c.map()
    link = Link(a, c)
    link.run()
    assert b.id in a.replica.membership.forked
    assert b.id in c.replica.membership.forked
    assert a.map() == c.map() == {"shared": 0}
    link = Link(a, b)
    link.run(parting=True)
    assert link.left == "this device's key was used on another copy too"
    with pytest.raises(ForkDetected):
        b.put("never", 1)


@settings(max_examples=25, deadline=None)
@given(shared=st.integers(0, 200), left=st.integers(1, 40), right=st.integers(1, 40))
def test_the_last_common_entry_of_two_versions_is_found(shared: int, left: int, right: int) -> None:
    a, b, c = mesh(3)
    for i in range(shared):
        b.put("k", i)
    twin = b.clone()
    for i in range(left):
        b.put("l", i)
    for i in range(right):
        twin.put("r", i)
    sync(a, b)
    sync(c, twin)
    sync(a, c)
    for device in (a, c):
        fork = device.replica.logs.fork_point(b.id)
        assert fork is not None
        assert fork.seq == shared


def test_a_revocation_of_a_clone_selects_the_branch_it_names() -> None:
    a, b, c = mesh(3)
    b.put("shared", 0)
    twin = b.clone()
    good = b.put("left", 1)
    twin.put("right", 2)
    sync(a, b)
    sync(c, twin)
    sync(a, c)
    a.revoke(b, good)
    sync(a, c)
    assert a.map() == c.map() == {"shared": 0, "left": 1}


def test_the_root_brings_a_device_back_that_a_thief_revoked() -> None:
    a, b, thief = mesh(3)
    thief.put("stolen", 1)
    sync(a, thief)
    before = thief.replica.head
    thief.revoke(b)
    sync(a, thief)
    assert b.id not in a.replica.membership.members
    a.learn(a.root_statement(REVOKE, thief.id, before))
    assert b.id in a.replica.membership.members
    assert thief.id not in a.replica.membership.members
    assert a.map() == {"stolen": 1}
    a.learn(a.root_statement(FENCE, b.id, None))
    assert b.id in a.replica.membership.members


def test_entries_from_the_far_future_wait_with_the_rest_of_their_log() -> None:
    a, b = mesh(2)
    b.skew_ms = 3 * 24 * 3600 * 1000
    b.put("future", 1)
    sync(a, b)
    assert a.map() == {}
    assert a.replica.held[b.id].seq == 1
    a.wall += 2 * 24 * 3600 * 1000 + 10
    progress = a.replica.tick(a.now)
    assert a.map() == {"future": 1}
    assert progress.changes
    assert not a.replica.held


def test_a_device_whose_clock_two_peers_contradict_holds_nothing() -> None:
    a, b, c = mesh(3)
    a.skew_ms = -3 * 24 * 3600 * 1000
    b.put("k", 1)
    link_b, link_c = Link(a, b), Link(a, c)
    link_b.run()
    assert a.replica.held
    link_c.run()
    assert a.replica.clock_wrong(a.now)
    a.replica.tick(a.now)
    assert a.map() == {"k": 1}
    a.replica.clock_reads(0)
    a.replica.clock_reads(CLOCK_SET_MS)  # disciplined
    assert a.replica.clock_wrong(a.now)
    a.skew_ms += 3 * 24 * 3600 * 1000
    a.replica.clock_reads(3 * 24 * 3600 * 1000)
    assert not a.replica.clock_wrong(a.now)


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200)
    | st.recursive(st.none() | st.integers(0, 12) | st.binary(max_size=40), st.lists).map(encode)
)
def test_garbage_after_the_greeting_is_refused_not_fatal(data: bytes) -> None:
    a, b = mesh(2)
    link = Link(a, b)
    link.run()
    try:
        for proposal in link.sessions[0].receive(data, wall=a.now, now=link.time):
            if isinstance(proposal, wire.Accept):
                with pytest.raises(MycelError):
                    a.replica.accept(proposal.device, proposal.start, proposal.entries, proposal.head)
    except PeerMisbehaved:
        pass
    a.put("still", "alive")
    link.progress(0, a.progressed[-1])
    assert a.map()["still"] == "alive"


def test_a_silent_peer_is_given_up() -> None:
    a, b = mesh(2)
    link = Link(a, b)
    link.run()
    session = link.sessions[0]
    session.tick(now=link.time + wire.SILENT_AFTER + 1)
    frames = []
    while (frame := session.next_frame(now=link.time + 20)) is not None:
        frames.append(frame)
    assert session.finished


@pytest.mark.parametrize("seed", range(20))
def test_a_mark_is_reached_when_what_was_on_disk_then_is_on_both_and_not_before(seed: int) -> None:
    a, b = mesh(2)
    link, rng = Link(a, b), random.Random(seed)
    for number in range(5):
        statement = a.root_statement(AWAY, b.id, Head(number + 1, bytes(32)))
        mine, theirs = a.put("mine", number), b.put("theirs", number)
        a.learn(statement)
        for end, device in enumerate((a, b)):
            link.progress(end, device.progressed[-1])
        mark = link.sessions[0].mark()
        for _ in range(10_000):
            if link.sessions[0].reached(mark):
                break
            if not link.step(rng):
                link.time += 0.3
                for session in link.sessions:
                    session.tick(now=link.time)
            if rng.random() < 0.1:
                link.progress(1, _written(b))  # what is written meanwhile does not matter
        assert link.sessions[0].reached(mark)
        assert statement.id in b.replica.statements
        assert b.replica.logs.on_disk(a.id, mine)
        assert a.replica.logs.on_disk(b.id, theirs)


def _written(device: Device) -> Progress:
    device.put("more", 1)
    return device.progressed[-1]


def test_a_long_log_holds_up_no_other() -> None:
    """A member that floods us would keep the peer from ever hearing what we write ourselves, or what a third device does."""
    a, b, flooder, third = mesh(4)
    for number in range(40):
        flooder.put(f"k{number}", "x" * 200_000)
    sync(flooder, a)
    third.put("k", 1)
    sync(third, a)
    link = Link(a, b)
    while not link.sessions[0].ready:
        link.step(random.Random(0))
    sent: list[bytes] = []
    a.put("k", 2)
    link.sessions[0].progress({a.id}, now=0.0)
    while (frame := link.sessions[0].next_frame(now=1.0)) is not None:
        message = decode(frame)
        if message[0] == wire.ENTRIES:
            sent.append(message[1])
    assert sent[0] == a.id
    assert third.id in sent[:4]
    assert sent.count(flooder.id) > 5
