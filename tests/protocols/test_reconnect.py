"""Reconnecting: who is dialled, when, where; and what people are told about a device that stays away."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mycelnode.protocols import reconnect
from mycelnode.protocols.reconnect import (
    JITTER,
    LONGEST_SECONDS,
    MAX_ADDRESSES,
    MAX_LAN,
    MAX_STRANGERS,
    Attempt,
    Reconnect,
)

LONGEST_WAIT = LONGEST_SECONDS * (1 + JITTER)
A, B, C = "A", "B", "C"


def addr(number: int) -> str:
    return f"/ip4/10.0.0.{number}/tcp/4001"


def machine(random: Callable[[], float] = lambda: 0.0, **register: list[str]) -> Reconnect:
    made = Reconnect(random)
    made.members(register, {}, 0.0)
    return made


def fail(one: Reconnect, times: int, why: str = "refused") -> float:
    """Let every attempt on A fail at once; returns when the next is due."""
    now = one.next_due(0.0)
    for _ in range(times):
        (attempt,) = one.due(now)
        one.failed(A, dict.fromkeys(attempt.addrs, why), now)
        now = one.next_due(now)
    return now


# --- when ----------------------------------------------------------------------------------------------------------------


def test_a_new_member_is_tried_at_once_and_once() -> None:
    one = machine(A=[addr(1)])
    assert one.next_due(0.0) == 0.0
    assert one.due(0.0) == [Attempt(A, (addr(1),))]
    assert one.due(1.0) == [], "an attempt is under way"


@pytest.mark.parametrize("random", [0.0, 0.999])
def test_waits_double_up_to_a_minute_plus_jitter(random: float) -> None:
    one = machine(lambda: random, A=[addr(1)])
    now, waits = 0.0, []
    for _ in range(9):
        assert one.due(now)
        one.failed(A, {}, now)
        waits.append(one.next_due(now) - now)
        now = one.next_due(now)
    plain = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert waits == pytest.approx([wait * (1 + JITTER * random) for wait in plain])


def test_an_attempt_of_which_nothing_is_heard_again_does_not_block_the_peer_for_ever() -> None:
    one = machine(A=[addr(1)])
    one.due(0.0)
    assert one.next_due(0.0) <= LONGEST_WAIT
    assert one.due(one.next_due(0.0))


def test_a_lost_connection_is_dialled_again_within_a_second() -> None:
    one = machine(lambda: 0.999, A=[addr(1)])
    fail(one, 5)
    one.connected(A, 100.0)
    assert one.next_due(100.0) == math.inf
    assert one.due(1e9) == []
    one.disconnected(A, 200.0)
    assert 200.0 <= one.next_due(200.0) <= 201.0


def test_a_connection_that_breaks_at_once_every_time_is_not_dialled_without_pause() -> None:
    one = machine(A=[addr(1)])
    now, waits = 0.0, []
    for _ in range(8):
        assert one.due(now)
        one.connected(A, now)
        one.disconnected(A, now + 0.1)
        waits.append(one.next_due(now) - now - 0.1)
        now = one.next_due(now)
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


def test_a_hint_brings_the_next_attempt_forward_but_a_flood_of_hints_only_so_far() -> None:
    one = machine(A=[addr(1)])
    now = fail(one, 7) - LONGEST_SECONDS  # the moment of the last failure: a minute to wait
    attempts = 0
    for step in range(1000):  # ten seconds of a hundred hints a second
        at = now + step / 100
        one.hint(A, [addr(step % 200 + 2)], at)
        for attempt in one.due(at):
            attempts += 1
            one.failed(A, dict.fromkeys(attempt.addrs, "refused"), at)
    assert 1 <= attempts <= 10 / reconnect.HINT_GAP_SECONDS


def test_what_is_heard_during_an_attempt_is_tried_right_after_it() -> None:
    one = machine(A=[addr(1)])
    fail(one, 6)
    now = one.next_due(0.0)
    one.due(now)
    one.hint(A, [addr(2)], now + 1)
    assert one.due(now + 1) == []
    one.failed(A, {addr(1): "no answer"}, now + 10)
    assert one.due(now + 10) == [Attempt(A, (addr(2), addr(1)))]
    one.failed(A, {}, now + 20)
    assert one.next_due(now + 20) > now + 21, "one hint, one attempt"


def test_an_attempt_that_failed_after_the_peer_had_dialled_us_is_no_news() -> None:
    one = machine(A=[addr(1)])
    one.due(0.0)
    one.connected(A, 1.0)
    one.failed(A, {addr(1): "no answer"}, 10.0)
    assert one.next_due(10.0) == math.inf
    one.disconnected(A, 50.0)
    report = one.report(A, 50.0)
    assert report is not None
    assert report["failures"] == 0


def test_a_new_address_in_the_register_is_tried_soon_and_an_old_one_changes_nothing() -> None:
    one = machine(A=[addr(1)])
    due = fail(one, 7)
    now = due - 10
    one.members({A: [addr(1)]}, {}, now)
    assert one.next_due(now) == due
    one.members({A: [addr(2)]}, {}, now)
    assert one.next_due(now) == now
    assert one.due(now) == [Attempt(A, (addr(2),))]


def test_after_a_change_of_network_everybody_missing_is_due_at_once_and_waits_begin_anew() -> None:
    one = machine(A=[addr(1)], B=[addr(2)], C=[addr(3)])
    one.due(0.0)
    one.connected(C, 0.0)
    for _ in range(7):
        one.attempt(B, 0.0)
        one.failed(B, {}, 0.0)
    one.network_changed(0.5)  # A is being tried, over the old network
    assert one.due(0.5) == [Attempt(B, (addr(2),))]
    one.failed(A, {}, 1.0)
    assert one.due(1.0) == [Attempt(A, (addr(1),))]
    one.failed(B, {}, 1.0)
    assert one.next_due(1.0) == 2.0
    one.disconnected(C, 1.0)
    assert one.due(1.0) == [Attempt(C, (addr(3),))], "its connection was of the old network"


def test_a_person_may_ask_for_an_attempt_at_any_time_but_only_on_a_member() -> None:
    one = machine(A=[addr(1)])
    fail(one, 7)
    assert one.attempt(A, 100.0) == Attempt(A, (addr(1),))
    assert one.attempt("stranger", 100.0) == Attempt("stranger", ())


# --- where ---------------------------------------------------------------------------------------------------------------


def test_the_address_that_answered_comes_first_then_the_local_network_then_the_register() -> None:
    one = Reconnect(lambda: 0.0)
    one.members({A: [addr(1), addr(2), addr(3)]}, {A: addr(2)}, 0.0)
    one.hint(A, [addr(9), addr(3)], 0.0)
    assert one.due(0.0) == [Attempt(A, (addr(2), addr(9), addr(3), addr(1)))]
    one.connected(A, 1.0, addr(9))
    one.disconnected(A, 100.0)
    assert one.attempt(A, 100.0).addrs == (addr(9), addr(3), addr(1), addr(2))


def test_a_liar_on_the_local_network_cannot_crowd_out_the_register() -> None:
    one = machine(A=[addr(n) for n in range(8)])
    one.hint(A, [addr(n) for n in range(100, 200)], 0.0)
    addrs = one.due(0.0)[0].addrs
    assert len(addrs) == MAX_ADDRESSES
    assert set(addrs[MAX_LAN:]) == {addr(n) for n in range(8)}


def test_strangers_are_never_dialled_and_what_was_heard_of_them_helps_once_they_are_members() -> None:
    one = machine(A=[])
    one.hint(B, [addr(7)], 0.0)
    assert one.due(1e9) == []
    assert one.next_due(0.0) == math.inf
    one.members({B: []}, {}, 5.0)
    assert one.due(5.0) == [Attempt(B, (addr(7),))]


def test_a_revoked_member_is_forgotten() -> None:
    one = machine(A=[addr(1)])
    one.members({}, {}, 1.0)
    assert one.due(1e9) == []
    assert one.report(A, 1.0) is None


def test_strangers_cannot_fill_the_memory() -> None:
    one = machine()
    for number in range(1000):
        one.hint(f"stranger {number}", [addr(n) for n in range(100)], 0.0)
    one.members({f"stranger {number}": [] for number in range(1000)}, {}, 0.0)
    remembered = one.due(0.0)
    assert [attempt.peer for attempt in remembered] == [f"stranger {n}" for n in range(1000 - MAX_STRANGERS, 1000)]
    assert all(len(attempt.addrs) == MAX_LAN for attempt in remembered)


# --- what people are told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            ["refused", "refused"],
            "something answers at that address but not mycelnode: is `mycelnode run` running there?",
        ),
        (["no answer"], "is the device on the same network, and does its firewall let the port in?"),
        (["no answer", "no route"], "no answer:"),
        (["refused", "no answer"], "some addresses refuse and others do not answer"),
        (["no network", "no route"], "no network leads there"),
        (["another device answers there"], "another device has that address now"),
        (["it does not let us in", "no route"], "it answers but does not talk to this device"),
        (["it does not take us for a member"], "it answers but does not talk to this device"),
        (["it is no member of this mesh"], "it answers but does not talk to this device"),
        (["no device of ours answers there"], "something answers at that address but not mycelnode"),
    ],
)
def test_after_three_failures_the_report_says_what_to_do(answers: list[str], words: str) -> None:
    one = machine(A=[addr(n) for n in range(len(answers))])
    tried = {addr(n): answer for n, answer in enumerate(answers)}
    for count in range(1, 4):
        now = one.next_due(0.0)
        one.due(now)
        one.failed(A, tried, now)
        report: dict[str, Any] | None = one.report(A, now)
        assert report is not None
        assert (report["tried"], report["failures"], report["since"]) == (tried, count, 0.0)
        assert (report["hint"] is not None) == (count == 3)
    assert words in report["hint"]


def test_a_report_on_a_device_without_a_known_address_says_so_at_once() -> None:
    report = machine(A=[]).report(A, 0.0)
    assert report is not None
    assert report["hint"].startswith("no address of it is known yet: ")


def test_a_connected_device_has_no_report_and_a_lost_one_a_fresh_one() -> None:
    one = machine(A=[addr(1)])
    fail(one, 4)
    one.connected(A, 50.0)
    assert one.report(A, 50.0) is None
    one.disconnected(A, 90.0)
    assert one.report(A, 91.0) == {"tried": {}, "failures": 0, "since": 90.0, "hint": None}


@given(st.dictionaries(st.text(), st.text()))
def test_any_reasons_make_a_bounded_report(reasons: dict[str, str]) -> None:
    one = machine(A=[addr(1)])
    for _ in range(3):
        one.attempt(A, 0.0)
        one.failed(A, reasons, 0.0)
    report = one.report(A, 0.0)
    assert report is not None
    assert len(report["tried"]) <= MAX_ADDRESSES
    assert all(len(why) <= reconnect.MAX_REASON_CHARS for why in report["tried"].values())


# --- any history -------------------------------------------------------------------------------------------------------------

PEERS = ["A", "B", "C", "stranger"]
peers = st.sampled_from(PEERS)
addresses = st.lists(st.integers(0, 40).map(addr), max_size=20)


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens in whatever order: only members are dialled, never twice at once, and a missing one is never forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.random = 0.0
        self.one = Reconnect(lambda: self.random)
        self.known: dict[str, set[str]] = {}  # every address ever told of a member
        self.heard: dict[str, set[str]] = {}
        self.connected: set[str] = set()
        self.trying: dict[str, float] = {}

    @rule(
        register=st.dictionaries(st.sampled_from(PEERS[:3]), addresses),
        good=st.dictionaries(peers, st.integers(0, 40).map(addr)),
    )
    def members(self, register: dict[str, list[str]], good: dict[str, str]) -> None:
        self.one.members(register, good, self.now)
        gone = self.known.keys() - register.keys()
        self.connected -= gone
        self.trying = {peer: at for peer, at in self.trying.items() if peer not in gone}
        self.known = {
            peer: self.known.get(peer, set())
            | set(addrs)
            | ({good[peer]} if peer in good else set())
            | self.heard.get(peer, set())
            for peer, addrs in register.items()
        }

    @rule(peer=peers, addrs=addresses)
    def hint(self, peer: str, addrs: list[str]) -> None:
        self.one.hint(peer, addrs, self.now)
        self.heard.setdefault(peer, set()).update(addrs)
        if peer in self.known:
            self.known[peer] |= set(addrs)

    @rule(peer=peers)
    def connect(self, peer: str) -> None:
        self.one.connected(peer, self.now)
        if peer in self.known:
            self.connected.add(peer)
            self.trying.pop(peer, None)

    @rule(peer=peers)
    def disconnect(self, peer: str) -> None:
        self.one.disconnected(peer, self.now)
        self.connected.discard(peer)

    @precondition(lambda self: self.trying)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        peer = data.draw(st.sampled_from(sorted(self.trying)))
        del self.trying[peer]
        self.one.failed(peer, {}, self.now)

    @rule()
    def network_changed(self) -> None:
        trying = set(self.trying)
        self.one.network_changed(self.now)
        assert {attempt.peer for attempt in self.begin()} >= self.missing() - trying

    @rule(seconds=st.floats(0, 100), random=st.floats(0, 1, exclude_max=True))
    def wait(self, seconds: float, random: float) -> None:
        self.now += seconds
        self.random = random

    @rule()
    def wait_for_everybody(self) -> None:
        self.now += LONGEST_WAIT
        assert {attempt.peer for attempt in self.begin()} == self.missing()

    @rule()
    def look(self) -> None:
        self.begin()

    def begin(self) -> list[Attempt]:
        attempts = self.one.due(self.now)
        for attempt in attempts:
            assert attempt.peer in self.known, "not a member"
            assert attempt.peer not in self.connected
            assert self.now - self.trying.get(attempt.peer, -math.inf) >= reconnect.LOST_SECONDS, "tried twice at once"
            assert 0 < len(attempt.addrs) <= MAX_ADDRESSES
            assert len(set(attempt.addrs)) == len(attempt.addrs)
            assert set(attempt.addrs) <= self.known[attempt.peer]
            self.trying[attempt.peer] = self.now
        assert self.one.due(self.now) == []
        return attempts

    def missing(self) -> set[str]:
        """The members that are not connected and have an address."""
        reports = {peer: self.one.report(peer, self.now) for peer in self.known.keys() - self.connected}
        return {peer for peer, report in reports.items() if report and "no address" not in (report["hint"] or "")}

    @invariant()
    def nobody_missing_is_forgotten(self) -> None:
        due = self.one.next_due(self.now)
        assert self.now <= due
        assert due <= self.now + LONGEST_WAIT or not self.missing()


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=30)
