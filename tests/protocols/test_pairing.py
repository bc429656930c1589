"""The pairing machines: one paste, one device, nothing for anybody else."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.encoding import encode
from mycelnode.errors import InviteError, MycelError, PairingRefused, PeerMisbehaved
from mycelnode.protocols import pairing
from mycelnode.protocols.pairing import Enrol, Invite, InviteBook, Inviter, Joiner, Welcome, parse_invite

NOW = 1_700_000_000
INVITER, JOINER, OTHER = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32


def make_invite(**changes: object) -> Invite:
    fields: dict[str, object] = {
        "root": b"r" * 32,
        "inviter": INVITER,
        "addresses": ("/ip4/192.168.1.2/tcp/4001",),
        "secret": os.urandom(16),
        "expires": NOW + 600,
    }
    return Invite(**{**fields, **changes})  # type: ignore[arg-type]


def opened(invite: Invite) -> InviteBook:
    book = InviteBook()
    book.open(invite, NOW)
    return book


def pair(book: InviteBook, invite: Invite, key: bytes = JOINER, name: str = "phone", at: float = NOW) -> Welcome:
    """Run both machines; the inviter's driver claims and welcomes."""
    inviter, joiner = Inviter(book, INVITER, key, os.urandom(32)), Joiner(invite, key, name, os.urandom(32))
    frame: bytes | None = joiner.start()
    while True:
        assert frame is not None
        answer = inviter.receive(frame, wall_seconds=at, now=at)
        if isinstance(answer, Enrol):
            book.claim(answer)
            answer = inviter.enrolled([], "laptop")
        assert answer is not None
        reply = joiner.receive(answer)
        if isinstance(reply, Welcome):
            assert inviter.receive(joiner.confirm(), wall_seconds=at, now=at) is None
            assert inviter.done
            return reply
        frame = reply


def test_pairing_tells_both_ends_the_other_name() -> None:
    invite = make_invite()
    book = opened(invite)
    assert pair(book, invite).inviter_name == "laptop"
    assert book.invites[invite.id].used_name == "phone"


def test_the_same_device_may_ask_again_and_another_is_told_who_used_it() -> None:
    invite = make_invite()
    book = opened(invite)
    pair(book, invite)
    assert pair(book, invite, name="other name").inviter_name == "laptop"
    assert book.invites[invite.id].used_name == "phone"
    with pytest.raises(PairingRefused, match="already used by phone"):
        pair(book, invite, key=OTHER)


def test_expiry_is_judged_by_the_inviters_clock() -> None:
    invite = make_invite()
    book = opened(invite)
    with pytest.raises(PairingRefused, match="expired"):
        pair(book, invite, at=NOW + 600)


def test_a_wrong_secret_is_refused_and_does_not_burn_the_invite() -> None:
    invite = make_invite()
    book = opened(invite)
    with pytest.raises(PairingRefused):
        pair(book, make_invite())
    assert pair(book, invite).inviter_name == "laptop"


def test_wrong_secrets_are_rate_limited_for_a_minute_and_keep_the_right_one_not_out() -> None:
    invite = make_invite()
    book = opened(invite)
    for _ in range(pairing.WRONG_PER_MINUTE):
        with pytest.raises(PairingRefused):
            pair(book, make_invite())
    with pytest.raises(PairingRefused, match="too many wrong attempts"):
        pair(book, make_invite())
    assert pair(book, invite).inviter_name == "laptop"
    with pytest.raises(PairingRefused, match="does not know this invite"):
        pair(book, make_invite(), at=NOW + 61)


def test_a_device_that_does_not_know_the_secret_cannot_pose_as_the_inviter() -> None:
    invite = make_invite()
    impostor_book = opened(make_invite())
    inviter, joiner = (
        Inviter(impostor_book, INVITER, JOINER, os.urandom(32)),
        Joiner(invite, JOINER, "phone", os.urandom(32)),
    )
    inviter.receive(joiner.start(), wall_seconds=NOW, now=NOW)
    hello_back = encode([pairing.HELLO_BACK, os.urandom(32)])
    joiner.receive(hello_back)
    with pytest.raises(PeerMisbehaved, match="attack"):
        joiner.receive(encode([pairing.WELCOME, os.urandom(32), [], "laptop"]))


def test_a_proof_cannot_be_reflected_or_carried_to_another_key() -> None:
    invite = make_invite()
    book = opened(invite)
    joiner, inviter = Joiner(invite, JOINER, "phone", os.urandom(32)), Inviter(book, INVITER, OTHER, os.urandom(32))
    back = inviter.receive(joiner.start(), wall_seconds=NOW, now=NOW)
    assert isinstance(back, bytes)
    proof = joiner.receive(back)
    assert isinstance(proof, bytes)
    refused = inviter.receive(proof, wall_seconds=NOW, now=NOW)
    assert refused == encode([pairing.REFUSED, pairing.WRONG, ""]), "a proof made for one key must not enrol another"


def test_too_many_open_invites_are_refused() -> None:
    book = InviteBook()
    for _ in range(pairing.MAX_OPEN):
        book.open(make_invite(), NOW)
    with pytest.raises(InviteError):
        book.open(make_invite(), NOW)
    book.open(make_invite(expires=NOW + 2000), NOW + 700)


def test_an_invite_survives_the_clipboard() -> None:
    invite = make_invite()
    text = str(invite)
    assert parse_invite(f"  {text[:50]}\n {text[50:]} ") == invite


@given(position=st.integers(6, 200), letter=st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_letter_is_never_the_same_invite(position: int, letter: str) -> None:
    invite = make_invite()
    text = str(invite)
    position = min(position, len(text) - 1)
    changed = text[:position] + letter + text[position + 1 :]
    if changed == text:
        return
    with contextlib.suppress(InviteError):
        assert parse_invite(changed) != invite


@given(text=st.text(max_size=300))
def test_garbage_invites_get_one_sentence(text: str) -> None:
    with pytest.raises(InviteError):
        parse_invite(pairing.PREFIX + text)


@given(data=st.binary(max_size=100), turn=st.integers(0, 1))
def test_garbage_on_the_stream_is_refused(data: bytes, turn: int) -> None:
    invite = make_invite()
    joiner, inviter = (
        Joiner(invite, JOINER, "n", os.urandom(32)),
        Inviter(opened(invite), INVITER, JOINER, os.urandom(32)),
    )
    try:
        if turn:
            inviter.receive(joiner.start(), wall_seconds=NOW, now=NOW)
            answer = inviter.receive(data, wall_seconds=NOW, now=NOW)
        else:
            answer = joiner.receive(data)
        assert not isinstance(answer, (Enrol, Welcome))
    except MycelError:
        pass


@pytest.mark.parametrize("name", ["", "   ", "a\nb\x1b[31m", "é" * 500])
def test_names_are_made_safe_to_show(name: str) -> None:
    cleaned = pairing.clean_name(name)
    assert cleaned.isprintable()
    assert 1 <= len(cleaned) <= 64
