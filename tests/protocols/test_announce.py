"""Announcements: what is accepted, of whom how much, and that nothing that is kept grows without bound."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.encoding import encode
from mycelnode.errors import EncodingError, ValueRefused
from mycelnode.identity import KeyPair, verify
from mycelnode.protocols import announce
from mycelnode.protocols.announce import (
    CREATOR_RATE,
    FRESH_SECONDS,
    MAX_ANNOUNCEMENT_BYTES,
    MAX_REJECTED,
    PEER_RATE,
    Announcement,
    Judge,
    Verdict,
)
from mycelnode.protocols.buckets import Buckets, Rate

NOW = 1_800_000_000
CREATORS = [KeyPair(bytes([number]) * 32) for number in range(3)]


def cid(number: int) -> bytes:
    return b"\x01\x71\x12\x20" + hashlib.sha256(b"%d" % number).digest()


def made(number: int, creator: KeyPair = CREATORS[0], at: int = NOW) -> Announcement:
    return Announcement.sign(cid(number), creator.public, 100, at, creator.sign)


def judge(blocked: bytes = b"", wall: float = NOW) -> Judge:
    return Judge(verify, lambda creator: creator == blocked, lambda: wall)


@given(st.integers(0, 99), st.integers(1, 1 << 20), st.integers(0, 1 << 40))
def test_what_is_written_is_read_and_short(number: int, size: int, at: int) -> None:
    one = Announcement.sign(cid(number), CREATORS[0].public, size, at, CREATORS[0].sign)
    data = one.write()
    assert Announcement.read(data) == one
    assert len(data) <= MAX_ANNOUNCEMENT_BYTES
    assert one.signed_by_creator(verify)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff",
        encode([]),
        encode([cid(1), bytes(32), 5, 5]),
        encode([cid(1)[:-1], bytes(32), 5, 5, bytes(64)]),
        encode([b"\x01\x55" + cid(1)[2:], bytes(32), 5, 5, bytes(64)]),
        encode([cid(1), bytes(31), 5, 5, bytes(64)]),
        encode([cid(1), bytes(32), 0, 5, bytes(64)]),
        encode([cid(1), bytes(32), (1 << 20) + 1, 5, bytes(64)]),
        encode([cid(1), bytes(32), 5, -1, bytes(64)]),
        encode([cid(1), bytes(32), 5, 5, bytes(63)]),
        encode([cid(1), bytes(32), 5, 5, bytes(64)]) + b"\0",
        encode([[[[[]]]], bytes(32), 5, 5, bytes(64)]),
        bytes(MAX_ANNOUNCEMENT_BYTES + 1),
    ],
)
def test_what_is_no_announcement_is_refused_and_counted(bad: bytes) -> None:
    with pytest.raises(EncodingError):
        Announcement.read(bad)
    one = judge()
    verdicts = [one.judge("peer", bad, 0.0)[0] for _ in range(MAX_REJECTED)]
    assert verdicts == [Verdict.REJECT] * (MAX_REJECTED - 1) + [Verdict.CUT]


@pytest.mark.parametrize(
    ("name", "size"), [(cid(1)[:-1], 5), (b"\x01\x55" + cid(1)[2:], 5), (cid(1), 0), (cid(1), 1 << 21)]
)
def test_only_a_manifest_is_announced(name: bytes, size: int) -> None:
    with pytest.raises(ValueRefused):
        Announcement.sign(name, CREATORS[0].public, size, NOW, CREATORS[0].sign)


def test_a_signature_of_another_is_refused_and_costs_the_creator_nothing() -> None:
    one = judge()
    true = made(0)
    for number in range(int(CREATOR_RATE.burst) * 2):
        false = Announcement(cid(number), true.creator, 100, NOW, CREATORS[1].sign(b"x"))
        assert one.judge(f"peer{number}", false.write(), 0.0)[0] is Verdict.REJECT
    assert one.judge("peer", true.write(), 0.0) == (Verdict.ACCEPT, true)


@pytest.mark.parametrize(
    ("off", "verdict"),
    [(0, Verdict.ACCEPT), (FRESH_SECONDS, Verdict.ACCEPT), (FRESH_SECONDS + 1, Verdict.IGNORE)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_old_one_and_one_from_the_future_is_nobodys_fault(off: int, verdict: Verdict, sign: int) -> None:
    assert judge(wall=NOW + sign * off).judge("peer", made(1).write(), 0.0)[0] is verdict


def test_of_a_blocked_creator_everything_is_ignored() -> None:
    one = judge(blocked=CREATORS[0].public)
    assert one.judge("peer", made(1).write(), 0.0)[0] is Verdict.IGNORE
    assert one.judge("peer", made(1, CREATORS[1]).write(), 0.0)[0] is Verdict.ACCEPT


def test_a_creator_has_its_share_whoever_passes_it_on() -> None:
    one = judge()
    accepted = sum(one.judge(f"peer{number}", made(number).write(), 0.0)[0] is Verdict.ACCEPT for number in range(50))
    assert accepted == CREATOR_RATE.burst
    assert one.judge("peer", made(99, CREATORS[1]).write(), 0.0)[0] is Verdict.ACCEPT, "another pays for it"
    later = 1 / CREATOR_RATE.per_second
    assert one.judge("peer", made(100).write(), later)[0] is Verdict.ACCEPT


def test_a_peer_has_its_share_and_no_signature_is_checked_beyond_it() -> None:
    checked = []

    def counted(key: bytes, message: bytes, signature: bytes) -> bool:
        checked.append(key)
        return True

    one = Judge(counted, lambda creator: False, lambda: NOW)
    for number in range(int(PEER_RATE.burst) * 2):
        one.judge(
            "peer", Announcement(cid(number), hashlib.sha256(b"%d" % number).digest(), 9, NOW, bytes(64)).write(), 0.0
        )
    assert len(checked) == PEER_RATE.burst
    assert one.judge("other", made(1).write(), 0.0)[0] is Verdict.ACCEPT


def test_what_is_kept_of_peers_and_creators_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "MAX_PEERS", 5)
    monkeypatch.setattr(announce, "MAX_CREATORS", 5)
    one = Judge(lambda *_: True, lambda creator: False, lambda: NOW)
    for number in range(50):
        key = hashlib.sha256(b"%d" % number).digest()
        one.judge(f"peer{number}", Announcement(cid(number), key, 9, NOW, bytes(64)).write(), 0.0)
        one.judge(f"peer{number}", b"bad", 0.0)
    assert max(len(one._peers), len(one._creators), len(one._rejected)) == 5


# --- token buckets -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 5), st.floats(0.1, 3)), max_size=60))
def test_nobody_gets_more_than_the_rate(takes: list[tuple[int, float, float]]) -> None:
    buckets, now = Buckets(Rate(burst=4, per_second=0.5), most=4), 0.0
    got = dict.fromkeys(range(4), 0.0)
    for key, pause, amount in takes:
        now += pause
        if buckets.take(key, now, amount):
            got[key] += amount
        assert got[key] <= 4 + 0.5 * now + 1e-6


@given(st.lists(st.integers(0, 100), max_size=300))
def test_buckets_are_few(keys: list[int]) -> None:
    buckets = Buckets(Rate(burst=1, per_second=1), most=7)
    for key in keys:
        buckets.take(key, 0.0)
    assert len(buckets) <= 7


def test_what_is_owed_is_waited_for() -> None:
    buckets = Buckets(Rate(burst=10, per_second=2), most=4)
    assert buckets.owe("a", 0.0, 10) == 0
    assert buckets.owe("a", 0.0, 4) == 2.0
    assert buckets.owe("a", 2.0, 2) == 1.0
