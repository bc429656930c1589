"""One device cannot use up the room for statements, or for versions of its log; what is kept does not depend on what came first."""

from __future__ import annotations

import random
from itertools import pairwise, permutations

import pytest

from mycelnode.crdt.changelog import Head
from mycelnode.crdt.statements import ENROL, REVOKE, TIME, Statement
from mycelnode.errors import BusyError
from mycelnode.protocols import shares
from mycelnode.protocols.logset import MAX_BRANCHES
from tests.protocols.world import Device, Link, mesh, sync

FEW = 6


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_ENROLMENTS", "MAX_OTHERS"):
        monkeypatch.setattr(shares, name, FEW)


def claimed(author: Device, seq: int, number: int = 0) -> Statement:
    """An enrolment that ``author`` signs for a place in its log at which nothing of the kind stands."""
    subject = bytes(Device(author.root).id)
    statement = Statement(ENROL, subject, None, author.id, Head(seq, bytes([number] * 32)), {TIME: 1})
    return statement.signed(author.replica.root, lambda message: author.key.sign(message).signature)


def learn(device: Device, *statements: Statement) -> None:
    for statement in statements:
        try:
            device.replica.learn([statement])
        except BusyError:
            continue
    device.commit()


def kept(device: Device) -> set[bytes]:
    return set(device.replica.statements)


@pytest.mark.usefixtures("few")
def test_a_flood_takes_no_more_than_its_authors_share() -> None:
    a, thief = mesh(2)
    learn(a, *(claimed(thief, seq) for seq in range(1, 40)))
    assert a.replica.shares.by(thief.id) == FEW
    a.revoke(thief)
    assert thief.id not in a.replica.membership.members


@pytest.mark.usefixtures("few")
def test_what_stands_in_the_log_is_not_pushed_out_by_what_is_claimed() -> None:
    a, b = mesh(2)
    honest = [b.enrol(Device(b.root)) for _ in range(3)]
    sync(a, b)
    learn(a, *(claimed(b, 1, number) for number in range(100)))
    assert {statement.id for statement in honest} <= kept(a)


@pytest.mark.usefixtures("few")
def test_a_device_that_has_said_its_share_is_told_so() -> None:
    a, _ = mesh(2)
    with pytest.raises(BusyError, match="as much"):
        for _ in range(FEW + 1):
            a.enrol(Device(a.root))


@pytest.mark.usefixtures("few")
def test_what_is_kept_does_not_depend_on_what_came_first() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        a, b, c, thief = mesh(4)
        thief.put("k", 1)
        written = [thief.enrol(Device(thief.root)) for _ in range(3)]
        said = [*written, *(claimed(thief, rng.randrange(1, 50), number) for number in range(rng.randrange(26)))]
        for device in (a, b, c):
            rng.shuffle(said)
            part = rng.randrange(len(said) + 1) if device is not a else len(said)
            learn(device, *said[:part])
            if rng.random() < 0.5:
                sync(device, thief)
        for _ in range(2):
            for one, other in permutations((a, b, c, thief), 2):
                sync(one, other)
        assert kept(a) == kept(b) == kept(c) == kept(thief)
        assert {statement.id for statement in written} <= kept(a)
        assert a.replica.membership == b.replica.membership == c.replica.membership


def test_lower_and_lower_places_are_not_claimed_for_ever() -> None:
    """Each would push another out, and all devices would pass it on: only a lower hash does, and those run out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shares, "MAX_ENROLMENTS", FEW)
        a, thief = mesh(2)
        before = len(a.replica.order)
        learn(a, *(claimed(thief, seq) for seq in range(400, 0, -1)))
        assert len(a.replica.order) - before < 20 * FEW  # about FEW × ln(400/FEW) + FEW


def test_when_all_places_are_taken_a_device_can_still_be_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, thief = mesh(3)
    monkeypatch.setattr(shares, "MAX_STATEMENTS", len(a.replica.statements) + 4)
    learn(a, *(claimed(thief, seq) for seq in range(1, 20)))
    with pytest.raises(BusyError):
        a.enrol(Device(a.root))
    a.replica.rollback()
    a.revoke(thief)
    sync(a, b)
    assert thief.id not in b.replica.membership.members
    a.learn(a.root_statement(REVOKE, b.id, None))
    assert b.id not in a.replica.membership.members


# --- versions of a log -------------------------------------------------------------------------------------------------------


def versions(count: int) -> tuple[list[Device], list[Device]]:
    """(three honest devices, so many copies of a fourth that have gone their own way since different entries)"""
    *honest, thief = mesh(4)
    thief.put("before", 1)
    thief.put("before", 2)
    copies = []
    for number in range(count):
        copy = thief.clone()
        copy.put("version", number)
        copies.append(copy)
        if number % 2:
            thief.put("before", 3 + number)
    return honest, copies


@pytest.mark.parametrize("count", range(2, 8))
def test_devices_that_hold_different_versions_of_a_log_agree_on_what_counts(count: int) -> None:
    for seed in range(6):
        rng = random.Random(seed)
        honest, copies = versions(count)
        for device in honest:
            rng.shuffle(copies)
            for copy in copies[: rng.randrange(1, count + 1)]:
                _meet(device, copy)
        for _ in range(2):
            for one, other in permutations(honest, 2):
                _meet(one, other)
        for one, other in pairwise(honest):
            assert one.map() == other.map()
            assert one.replica.document.digest() == other.replica.document.digest()


def test_the_version_that_a_revocation_chooses_is_taken_beyond_the_bound() -> None:
    honest, copies = versions(2 * MAX_BRANCHES)
    a, b, _ = honest
    for copy in copies[:MAX_BRANCHES]:
        _meet(a, copy)
    for copy in copies[-MAX_BRANCHES:]:
        _meet(b, copy)
    a.revoke(copies[0], copies[0].replica.head)
    for _ in range(3):
        _meet(a, b)
    assert a.map()["version"] == b.map()["version"] == 0


def _meet(one: Device, other: Device) -> None:
    """A connection, until nothing moves any more; what was refused stays behind."""
    link, rng = Link(one, other), random.Random(0)
    while link.left is None and link.time < 5:
        while link.left is None and link.step(rng):
            pass
        link.time += 0.3
        for session in link.sessions:
            session.tick(now=link.time)


def test_a_refused_log_ends_no_session_until_there_is_place_for_it() -> None:
    """Else who makes many versions of its log, and then anything that changes the membership, parts all the others for ever."""
    honest, copies = versions(2 * MAX_BRANCHES)
    a, b, _ = honest
    for copy in copies[:MAX_BRANCHES]:
        _meet(a, copy)
    for copy in copies[-MAX_BRANCHES:]:
        _meet(b, copy)
    link, rng = Link(a, b), random.Random(0)
    while link.step(rng):
        pass
    full = link.sessions[1]
    assert full._full
    b.enrol(Device(b.root))
    full.reopen()
    assert full.closing is None
    b.learn(a.revoke(copies[0], copies[0].replica.head))
    full.reopen()
    assert full.closing is not None
