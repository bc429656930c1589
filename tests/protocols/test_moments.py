"""A revocation as of a moment: by the clock of the device that is put out, which may say anything."""

from __future__ import annotations

import pytest

from mycelnode.crdt.changelog import Head
from mycelnode.crdt.statements import REVOKE, TIME, Statement
from mycelnode.rescue import head_before
from tests.protocols.world import START_MS, Device, mesh, sync

DAY_MS = 86_400_000
BEFORE_ALL = -DAY_MS  # `--since 1969-12-31`


def put_out(thief: Device, victim: Device, time: object) -> Head:
    """A revocation in the thief's log, dated as it likes; its place."""
    replica = thief.replica
    position = Head(replica.head.seq + 1, replica.head.hash)
    head = replica.logs.tip(victim.id, 0)
    statement = Statement(REVOKE, victim.id, head, thief.id, position, {TIME: time})
    signed = statement.signed(replica.root, lambda message: thief.key.sign(message).signature)
    replica._append(signed.entry)
    replica.batch.statements.append(signed)
    thief.commit()
    return replica.head


def test_what_came_before_the_moment_counts() -> None:
    a, thief, victim = mesh(3)
    kept = thief.put("k", "mine")
    place = put_out(thief, victim, START_MS + DAY_MS)
    sync(a, thief)
    assert head_before(a.replica, thief.id, START_MS + DAY_MS) == kept
    assert head_before(a.replica, thief.id, START_MS + DAY_MS + 1) == place


@pytest.mark.parametrize("time", [-1, -(1 << 40), -(1 << 62), 0, True, "1969-01-01", b"\xff"])
def test_there_is_a_moment_before_whatever_a_thief_says(time: object) -> None:
    a, thief, victim = mesh(3)
    place = put_out(thief, victim, time)
    sync(a, thief)
    assert a.replica.logs.tip(thief.id, 0) == place
    assert victim.id not in a.replica.membership.members
    head = head_before(a.replica, thief.id, BEFORE_ALL)
    assert head.seq == 0
    a.learn(a.root_statement(REVOKE, thief.id, head))
    assert victim.id in a.replica.membership.members
    assert thief.id not in a.replica.membership.members
