"""The first exchange on a connection: who is let in, what each learns of it, and what a stranger cannot plant."""

from __future__ import annotations

import pytest
from nacl.signing import SigningKey

from mycelnode.crdt.changelog import Head
from mycelnode.crdt.statements import ENROL, FENCE, REVOKE
from mycelnode.encoding import encode
from mycelnode.errors import PeerMisbehaved
from mycelnode.protocols import admission
from mycelnode.protocols.admission import Admission, Verdict
from tests.protocols.world import Device, mesh, sync


def meet(dialler: Device, other: Device) -> tuple[Verdict, Verdict]:
    """The exchange, carried out as drivers do; what the dialler and the other made of it."""
    asks, answers = Admission(dialler.replica, other.id), Admission(other.replica, dialler.id)
    answer, theirs = answers.respond(asks.request())
    ours = asks.conclude(answer)
    for device, verdict in ((dialler, ours), (other, theirs)):
        device.learn(*verdict.learn)
    return ours, theirs


def outsider(like: Device) -> Device:
    """A device of nobody's, that knows the mesh's root."""
    return Device(like.root)


def test_members_let_each_other_in() -> None:
    a, b = mesh(2)
    ours, theirs = meet(a, b)
    assert (ours.admitted, ours.admits_us, theirs.admitted, theirs.admits_us) == (True, True, True, None)


def test_who_was_enrolled_while_we_were_away_is_let_in() -> None:
    a, b, c = mesh(3)
    new = outsider(a)
    b.enrol(new)
    new.learn(*b.replica.statements.values())
    ours, theirs = meet(new, c)
    assert ours.admits_us
    assert theirs.admitted
    assert new.id in c.replica.membership.members


def test_a_chain_of_many_enrolments_is_shown_whole() -> None:
    (first,) = mesh(1)
    last = first
    for _ in range(60):
        new = outsider(first)
        last.enrol(new)
        new.learn(*last.replica.statements.values())
        last = new
    assert meet(last, first)[0].admits_us
    assert meet(first, last)[0].admits_us


def test_a_stranger_is_not_let_in_and_plants_nothing() -> None:
    a, b = mesh(2)
    stranger = outsider(a)
    stranger.learn(*a.replica.statements.values())
    before = dict(b.replica.statements)
    ours, theirs = meet(stranger, b)
    assert (ours.admits_us, theirs.admitted) == (False, False)
    assert b.replica.statements == before


def test_a_device_that_is_out_cannot_plant_enrolments() -> None:
    a, b, thief = mesh(3)
    sync(a, thief)
    a.revoke(thief)
    sync(a, b)
    fake = outsider(a)
    thief.enrol(fake)
    thief.enrol(outsider(a))
    before = dict(b.replica.statements)
    assert not meet(thief, b)[1].admitted
    fake.learn(*thief.replica.statements.values())
    assert not meet(fake, b)[1].admitted
    assert b.replica.statements == before


def test_a_revoked_device_is_told_also_by_those_whose_word_it_could_not_judge() -> None:
    a, b, out = mesh(3)
    new = outsider(a)
    a.enrol(new)
    new.learn(*a.replica.statements.values())
    meet(new, b)
    new.revoke(out)
    sync(new, b)
    assert new.id not in out.replica.membership.enrolled
    ours, theirs = meet(out, b)
    assert (ours.admits_us, theirs.admitted) == (False, False)
    assert out.id not in out.replica.membership.members


def test_the_word_of_the_phrase_reaches_those_whom_a_thief_has_put_apart() -> None:
    a, b, thief = mesh(3)
    sync(a, thief)
    sync(b, thief)
    before = thief.replica.head
    thief.revoke(a)
    sync(thief, b)
    a.learn(a.root_statement(REVOKE, thief.id, before))
    assert a.id not in b.replica.membership.members
    ours, theirs = meet(a, b)
    assert theirs.admitted
    assert ours.admits_us
    assert b.replica.membership.members == {a.id, b.id}


def test_what_the_phrase_said_is_shown_as_far_as_it_fits() -> None:
    a, b = mesh(2)
    a.learn(*(a.root_statement(FENCE, a.id, Head(number, bytes(32))) for number in range(1, 400)))
    request = Admission(a.replica, b.id).request()
    assert 32 << 10 < len(request) <= admission.MAX_MESSAGE
    answer, verdict = Admission(b.replica, a.id).respond(request)
    assert len(answer) <= admission.MAX_MESSAGE
    assert len(verdict.learn) > 100


def test_a_false_signature_and_garbage_are_offences() -> None:
    a, b = mesh(2)
    stranger = Device(SigningKey.generate())  # of another root
    forged = stranger.root_statement(ENROL, stranger.id, None)
    forged = type(forged)(ENROL, stranger.id, None, a.replica.root, None, {}, forged.signature)
    for message in (
        encode([1, [forged.encoded], None]),
        encode([1, [b"x"] * (admission.MAX_SHOWN + 1), None]),
        encode([1, [], "yes"]),
        b"garbage",
        b"",
    ):
        with pytest.raises(PeerMisbehaved):
            Admission(a.replica, b.id).respond(message)
    with pytest.raises(PeerMisbehaved, match="without a decision"):
        Admission(a.replica, b.id).conclude(encode([1, [], None]))
