"""Who belongs to the mesh: each rule of docs/protocols/membership.md, and that the answer is a function of the set."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mycelnode.crdt.changelog import Head
from mycelnode.crdt.membership import Membership, membership
from mycelnode.crdt.statements import AWAY, ENROL, FENCE, REVOKE, Statement
from tests.crdt.mesh_model import (
    ROOT,
    WRONG_RULES,
    Held,
    Rule,
    World,
    by_the_book,
    device,
    disagreement,
    random_world,
    summary,
)

SOAK_RUNS = int(os.environ.get("MYCEL_SOAK_RUNS", "400"))
SOAK_SEED = int(os.environ.get("MYCEL_SOAK_SEED", "1"))

laptop, phone, tablet, server = map(device, ("laptop", "phone", "tablet", "server"))


@pytest.fixture
def world() -> World:
    """The root enrolled the laptop, the laptop the phone and the tablet, and everybody has written a little."""
    world = World()
    world.enrol(ROOT, laptop)
    world.enrol(laptop, phone, tablet)
    for author in (laptop, phone, tablet):
        world.write(author, 3)
    return world


def names(devices: object) -> set[str]:
    return {who.decode().strip() for who in devices}  # type: ignore[attr-defined]


# --- rule 1: the root ------------------------------------------------------------------------------------------------


def test_the_root_begins_the_mesh(world: World) -> None:
    assert names(world.judge().members) == {"laptop", "phone", "tablet"}
    assert world.judge().fences == {}
    assert World().judge() == Membership()


def test_a_root_statement_counts_wherever_it_stands(world: World) -> None:
    world.revoke(phone, laptop)
    world.revoke(ROOT, phone)
    world.enrol(ROOT, server)
    assert names(world.judge().members) == {"tablet", "server"}
    assert world.judge(statements=world.statements[-1:]).members == {server}  # and needs nothing before it


# --- rule 2: revocations ---------------------------------------------------------------------------------------------


def test_a_member_revokes_another(world: World) -> None:
    statement = world.revoke(phone, tablet)
    answer = world.judge()
    assert names(answer.members) == {"laptop", "phone"}
    assert answer.revoked == {tablet: (statement,)}
    assert answer.fences == {tablet: statement.head}
    assert answer.reason(tablet) == "revoked"


def test_devices_that_revoke_each_other_are_both_out(world: World) -> None:
    world.revoke(phone, tablet)
    world.revoke(tablet, phone)
    assert names(world.judge().members) == {"laptop"}


def test_devices_that_revoke_in_a_ring_are_all_out(world: World) -> None:
    for author, subject in ((laptop, phone), (phone, tablet), (tablet, laptop)):
        world.revoke(author, subject, world.branch(subject)[2])
    assert world.judge().members == set()
    assert names(world.judge().revoked) == {"laptop", "phone", "tablet"}


def test_one_whose_own_enrolment_does_not_count_any_more_can_still_revoke(world: World) -> None:
    before = world.head(phone)
    world.enrol(phone, server)
    world.revoke(laptop, phone, before)  # so the server is out too
    assert server not in world.judge().enrolled
    world.revoke(server, tablet)
    assert names(world.judge().members) == {"laptop"}


def test_a_stranger_revokes_nobody(world: World) -> None:
    statement = world.revoke(server, phone)
    answer = world.judge()
    assert names(answer.members) == {"laptop", "phone", "tablet"}
    assert "never enrolled" in answer.ignored[statement.id]


def test_a_revocation_beyond_a_fence_by_the_phrase_does_not_count(world: World) -> None:
    world.say(ROOT, FENCE, phone, world.head(phone))
    statement = world.revoke(phone, tablet)
    answer = world.judge()
    assert names(answer.members) == {"laptop", "phone", "tablet"}
    assert statement.id in answer.ignored


def test_one_can_leave_by_revoking_itself(world: World) -> None:
    statement = world.revoke(phone, phone)
    assert names(world.judge().members) == {"laptop", "tablet"}
    assert world.judge().fences == {phone: statement.head}


# --- rule 3: enrolments ----------------------------------------------------------------------------------------------


def test_enrolments_up_to_a_revocation_fence_count(world: World) -> None:
    world.enrol(phone, server)
    world.revoke(laptop, phone)
    assert names(world.judge().members) == {"laptop", "tablet", "server"}


def test_an_enrolment_beyond_its_authors_revocation_fence_does_not_count_nor_what_follows_from_it(world: World) -> None:
    fence = world.head(phone)
    other = device("other")
    world.enrol(phone, server)
    world.enrol(server, other)
    world.revoke(laptop, phone, fence)
    answer = world.judge()
    assert names(answer.enrolled) == {"laptop", "phone", "tablet"}
    assert [answer.reason(who) for who in (laptop, phone, server, other)] == [
        "",
        "revoked",
        "not enrolled",
        "not enrolled",
    ]
    assert len(answer.ignored) == 2


def test_a_fence_without_revocation_by_a_device_voids_no_enrolment_and_one_by_the_phrase_does(world: World) -> None:
    fence = world.head(phone)
    world.enrol(phone, server)
    world.say(laptop, FENCE, phone, fence)
    assert server in world.judge().members
    world.say(ROOT, FENCE, phone, fence)
    assert names(world.judge().members) == {"laptop", "phone", "tablet"}
    assert world.judge().reason(phone) == "fenced"


def test_a_backdated_enrolment_does_not_count(world: World) -> None:
    """A thief with the phone's key signs an enrolment for an early place of the phone's log, where something else stands."""
    early = world.branch(phone)[1]
    forged = Statement(ENROL, server, None, phone, Head(2, early.hash))
    world.statements.append(forged)
    world.revoke(laptop, phone)
    assert server not in world.judge().enrolled


def test_while_the_chain_is_not_held_an_enrolment_by_a_revoked_device_counts_unless_it_is_surely_too_late(
    world: World,
) -> None:
    world.enrol(phone, server)
    world.write(phone)
    world.revoke(laptop, phone)
    late = device("late")
    world.enrol(phone, late)
    assert server in world.judge(held={}).members, "else who lacks the log takes nobody for a member who could bring it"
    assert late not in world.judge(held={}).members
    assert world.judge(held={}).members == world.judge().members


def test_a_fork_voids_no_enrolment(world: World) -> None:
    clone = world.clone(phone)
    world.write(phone, number=clone)
    world.enrol(phone, server)
    answer = world.judge()
    assert names(answer.members) == {"laptop", "tablet", "server"}
    assert answer.reason(phone) == "cloned"


def test_an_enrolment_that_is_repeated_changes_nothing(world: World) -> None:
    before = world.judge()
    world.enrol(tablet, phone)
    assert world.judge() == before
    world.revoke(laptop, phone)
    world.enrol(laptop, phone)  # a key that is out stays out
    assert phone not in world.judge().members


# --- rule 4: the phrase against devices ------------------------------------------------------------------------------


def test_the_phrase_against_one_device_brings_the_other_back(world: World) -> None:
    """A thief has the phone, and puts everyone out."""
    safe = world.head(phone)
    for victim in (laptop, tablet):
        world.revoke(phone, victim, world.branch(victim)[1])
    world.revoke(laptop, phone)
    assert world.judge().members == set()
    world.revoke(ROOT, phone, safe)
    answer = world.judge()
    assert names(answer.members) == {"laptop", "tablet"}
    assert answer.fences == {phone: safe}


def test_a_fence_by_the_phrase_replaces_those_by_devices(world: World) -> None:
    early, late = world.branch(phone)[1], world.head(phone)
    world.revoke(laptop, phone, early)
    world.say(ROOT, FENCE, phone, late)
    answer = world.judge()
    assert answer.fences == {phone: late}
    assert phone in answer.revoked  # what it wrote counts again; a member it is only under a new key


def test_a_fence_by_the_phrase_bounds_who_was_ever_enrolled(world: World) -> None:
    fence = world.head(phone)
    world.enrol(phone, server)
    world.revoke(server, tablet)
    assert tablet not in world.judge().members
    world.revoke(ROOT, phone, fence)
    assert names(world.judge().members) == {"laptop", "tablet"}


# --- rule 5: several fences, forks -----------------------------------------------------------------------------------


def test_several_fences_leave_what_they_have_in_common(world: World) -> None:
    early, late = world.branch(phone)[1], world.head(phone)
    world.revoke(laptop, phone, late)
    world.revoke(tablet, phone, early)
    assert world.judge().fences == {phone: early}
    assert world.judge(held={}).fences == {phone: early}


def test_fences_on_two_versions_of_a_log_leave_the_last_common_entry(world: World) -> None:
    common = world.head(phone)
    clone = world.clone(phone)
    first, second = world.write(phone), world.write(phone, 2, clone)
    world.revoke(laptop, phone, first)
    assert world.judge().fences == {phone: first}
    world.revoke(tablet, phone, second)
    assert world.judge().fences == {phone: common}


def test_a_fence_at_nothing_leaves_nothing(world: World) -> None:
    world.say(laptop, REVOKE, phone, None)
    assert world.judge().fences == {phone: None}
    world.say(laptop, REVOKE, tablet, world.branch(tablet)[0])
    assert world.judge().fences == {phone: None, tablet: None}


def test_a_fork_fences_data_at_its_last_common_entry_until_a_revocation_selects_a_version(world: World) -> None:
    common = world.head(phone)
    clone = world.clone(phone)
    world.write(phone, 2)
    good = world.write(phone, 2, clone)
    answer = world.judge()
    assert (answer.fences, answer.forked, phone in answer.members) == ({phone: common}, {phone: common}, False)
    world.revoke(laptop, phone, good)
    assert world.judge().fences == {phone: good}


def test_a_fork_from_the_first_entry_on_leaves_nothing() -> None:
    world = World()
    world.enrol(ROOT, laptop)
    world.branch(laptop)
    world.write(laptop, number=world.clone(laptop))
    world.write(laptop)
    fence = world.judge().fences[laptop]
    assert fence is None or fence.seq == 0


# --- rule 7, and the rest --------------------------------------------------------------------------------------------


def test_who_is_no_member_may_still_be_read_up_to_a_fence(world: World) -> None:
    world.enrol(phone, server)
    world.write(server)
    world.revoke(laptop, server)
    answer = world.judge()
    assert (server in answer.enrolled, server in answer.members, answer.fences[server]) == (
        True,
        False,
        world.head(server),
    )


def test_away_is_only_for_the_phrase_to_say(world: World) -> None:
    world.say(laptop, AWAY, tablet)
    assert world.judge().away == frozenset()
    world.say(ROOT, AWAY, phone)
    assert names(world.judge().away) == {"phone"}
    assert phone in world.judge().members


# --- a function of the set -------------------------------------------------------------------------------------------

worlds = st.builds(
    lambda seed, steps: random_world(random.Random(seed), steps), st.integers(0, 1 << 32), st.integers(0, 16)
)


@given(world=worlds, rng=st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(world: World, rng: random.Random) -> None:
    arriving = world.statements + rng.sample(world.statements, rng.randint(0, len(world.statements)))
    rng.shuffle(arriving)
    assert world.judge(statements=arriving) == world.judge()


@given(world=worlds, rng=st.randoms(use_true_random=False))
def test_the_rules_are_those_of_the_book(world: World, rng: random.Random) -> None:
    assert disagreement(world, membership, rng, orders=1) is None


def partly(held: Held, rng: random.Random) -> Held:
    return {who: [rng.randint(0, count) for count in counts] for who, counts in held.items() if rng.random() < 0.8}


@given(world=worlds, rng=st.randoms(use_true_random=False))
def test_whatever_is_held_first_there_is_an_answer_and_in_the_end_the_same(world: World, rng: random.Random) -> None:
    """Statements and parts of logs arrive in any order: no part of them raises, forks too are taken as far as they show."""
    order = rng.sample(world.statements, len(world.statements))
    for count in range(0, len(order) + 1, 3):
        held = partly(world.everything(), rng)
        part = world.judge(statements=order[:count], held=held)
        assert part == world.judge(statements=order[:count][::-1], held=held)
        assert part.members <= part.enrolled.keys()
        assert part.revoked.keys() <= part.enrolled.keys()
        assert part.fences.keys() <= part.enrolled.keys()
    assert summary(world.judge(statements=order)) == by_the_book(world)


@given(world=worlds, rng=st.randoms(use_true_random=False))
def test_while_logs_are_missing_no_revocation_counts_that_will_not(world: World, rng: random.Random) -> None:
    """So a thief whom the phrase has fenced can't be heard where its log is missing, and recovery gets through."""
    part, whole = world.judge(held=partly(world.everything(), rng)), world.judge()
    fences = {s.id for s in world.statements if s.kind in (REVOKE, FENCE)}
    assert whole.ignored.keys() & fences <= part.ignored.keys()


@given(world=worlds, rng=st.randoms(use_true_random=False))
def test_while_logs_are_missing_nobody_is_shut_out_who_belongs(world: World, rng: random.Random) -> None:
    """So whoever can bring the missing logs is let in, whatever lies behind a fence in them."""
    part, whole = world.judge(held=partly(world.everything(), rng)), world.judge()
    assert whole.members <= part.members
    assert whole.enrolled.keys() <= part.enrolled.keys()


@given(world=worlds, rng=st.randoms(use_true_random=False))
def test_while_logs_are_missing_no_enrolment_counts_that_will_not_unless_in_a_forked_log_or_one_the_phrase_fenced(
    world: World, rng: random.Random
) -> None:
    assume(all(len(versions) == 1 for versions in world.logs.values()))
    world.statements = [s for s in world.statements if s.author != ROOT or s.kind == ENROL]
    part, whole = world.judge(held=partly(world.everything(), rng)), world.judge()
    assert part.enrolled.keys() == whole.enrolled.keys()
    assert part.revoked.keys() <= whole.revoked.keys()


def test_where_a_log_that_the_phrase_fenced_is_missing_a_revocation_may_wait(world: World) -> None:
    """The price of the above: who enrolled the author is told by a log that is not there yet."""
    world.revoke(tablet, phone)
    world.say(ROOT, FENCE, laptop, world.head(laptop))
    assert phone in world.judge().revoked
    world.write(laptop)
    held = world.everything()
    assert world.judge(held={who: counts for who, counts in held.items() if who != laptop}).revoked == {}
    assert phone in world.judge(held=held).revoked


def soak(rule: Rule, runs: int, seed: int) -> list[str]:
    """What the check has against ``rule``, over this many random meshes."""
    found = []
    for run in range(runs):
        rng = random.Random(f"{seed}/{run}")
        wrong = disagreement(random_world(rng, rng.randint(3, 24)), rule, rng)
        if wrong is not None:
            found.append(f"run {run}: {wrong}")
    return found


def test_healthy_devices_agree_on_random_schedules() -> None:
    assert soak(membership, SOAK_RUNS, SOAK_SEED) == []


@pytest.mark.parametrize("rule", WRONG_RULES, ids=lambda rule: rule.__name__)
def test_the_same_check_catches_rules_that_only_look_right(rule: Rule) -> None:
    assert soak(rule, 150, SOAK_SEED), f"not caught: {rule.__doc__}"
