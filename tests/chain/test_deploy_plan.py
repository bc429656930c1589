"""What is left to be done, from whatever is on chain; and what it costs, to the yocto."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.chain.amounts import GAS_PRICE
from mycelnode.chain.deploy_plan import (
    FUND,
    GROWTH,
    PAUSE,
    REST,
    RESUME,
    STAGE,
    WAIT_NS,
    Asked,
    Plan,
    Seen,
    State,
    Step,
    There,
    plan,
)
from mycelnode.chain.gas import CREATE, LOCK, NEW_ACCOUNT, REPLACE, UPGRADE, YOCTO_A_BYTE
from mycelnode.chain.shipped import NAMES, REGISTRY, REPUTATION, STATE_VERSION
from mycelnode.errors import DeployRefused

NEW, OLD, KEY = "ab" * 32, "cd" * 32, "ed25519:x"
ASKED = Asked("testnet", "fox.testnet", {REGISTRY: (200_000, NEW), REPUTATION: (100_000, NEW)})
NEAR = 10**24
MOST_STEPS = 30


def there(name: str, code: str = NEW, *, keys: tuple[str, ...] = (KEY,), size: int = 0, **state: object) -> There:
    other = "reputation.fox.testnet" if name == REGISTRY else "registry.fox.testnet"
    held = 2 * NEAR if name == REGISTRY else 0
    said = replace(State("fox.testnet", other, STATE_VERSION, False, held=held), **state)  # type: ignore[arg-type]
    return There(2 * NEAR, 200_000, code, size, keys, said)


def seen(*contracts: str, code: str = NEW, **more: object) -> Seen:
    made = {name: there(name, code) for name in contracts}
    return replace(Seen(86, 10**18, True, made, dict.fromkeys(made, KEY)), **more)  # type: ignore[arg-type]


def kinds(found: Plan) -> list[str]:
    return [f"{step.kind} {step.name}" for step in found.steps]


def test_a_new_pair_costs_what_its_bytes_take_and_some_to_grow() -> None:
    found = plan(ASKED, seen())
    assert kinds(found) == [f"{CREATE} {REGISTRY}", f"{CREATE} {REPUTATION}"]
    registry, reputation = found.steps
    assert (
        (registry.amount, registry.fee) == (2 * NEAR + GROWTH, NEW_ACCOUNT) == (2_100 * NEAR // 1000, 7 * NEAR // 1000)
    )
    assert reputation.amount == NEAR + GROWTH
    assert registry.gas == (10 * 10**12 + 12 * 10**12 + 115 * 10**6 * 200_000) * GAS_PRICE
    assert found.needed("fox.testnet") == registry.total + reputation.total
    assert {step.signer for step in found.steps} == {"fox.testnet"}
    dearer = plan(ASKED, seen(gas_price=3 * GAS_PRICE))
    assert dearer.steps[0].gas == 3 * registry.gas
    assert plan(ASKED, seen(gas_price=1)).steps[0].gas == registry.gas, "gas is bought at a least price"


def test_what_is_there_is_not_made_again() -> None:
    assert kinds(plan(ASKED, seen(REGISTRY))) == [f"{CREATE} {REPUTATION}"]
    assert kinds(plan(ASKED, seen(REPUTATION))) == [f"{CREATE} {REGISTRY}"]
    done = plan(ASKED, seen(*NAMES))
    assert (done.steps, done.until_ns) == ((), None)
    assert "the keys of the contracts stay" in done.notes[0], "the operator is told"
    locked = seen(contracts={name: there(name, keys=()) for name in NAMES})
    assert plan(ASKED, locked).notes == (), "none is left that could"


def test_a_lock_is_for_ever_and_its_gas_is_given_first() -> None:
    locking = replace(ASKED, lock=True)
    assert kinds(plan(locking, seen())) == [
        f"{CREATE} {REGISTRY}",
        f"{CREATE} {REPUTATION}",
        f"{FUND} {REGISTRY}",
        f"{LOCK} {REGISTRY}",
        f"{LOCK} {REPUTATION}",
    ]
    half = {REGISTRY: there(REGISTRY, keys=()), REPUTATION: there(REPUTATION, keys=("ed25519:x", "ed25519:y"))}
    found = plan(locking, seen(contracts=half, keys={}))
    assert kinds(found) == [f"{FUND} {REPUTATION}", f"{LOCK} {REPUTATION}"]
    assert found.steps[1].keys == ("ed25519:x", "ed25519:y"), "all of them"
    assert found.notes == ()
    assert plan(locking, seen(contracts={name: there(name, keys=()) for name in NAMES})).steps == ()


def test_an_upgrade_stops_everything_first_and_gives_room_to_larger_code() -> None:
    old = {name: there(name, OLD, size=100_000) for name in NAMES}
    found = plan(replace(ASKED, upgrade=True), seen(contracts=old, keys=dict.fromkeys(NAMES, KEY)))
    assert kinds(found) == [
        f"{PAUSE} {REGISTRY}",
        f"{REST} {REGISTRY}",
        f"{PAUSE} {REPUTATION}",
        f"{FUND} {REPUTATION}",
        f"{REPLACE} {REPUTATION}",
        f"{FUND} {REGISTRY}",
        f"{REPLACE} {REGISTRY}",
        f"{RESUME} {REPUTATION}",
        f"{RESUME} {REGISTRY}",
    ]
    given = {step.name: step.amount for step in found.steps if step.kind == FUND}
    gas = {step.name: step.gas for step in found.steps if step.kind == REPLACE}
    assert given[REGISTRY] == gas[REGISTRY] + 100_000 * YOCTO_A_BYTE, "what it holds is not its own"
    assert given[REPUTATION] == gas[REPUTATION], "its code is not larger"
    only = old | {REGISTRY: there(REGISTRY)}
    assert f"{REPLACE} {REGISTRY}" not in kinds(plan(replace(ASKED, upgrade=True), seen(contracts=only)))


def test_without_the_key_new_code_is_announced_two_days_before() -> None:
    upgrading, old = replace(ASKED, upgrade=True), {name: there(name, OLD, size=200_000) for name in NAMES}
    found = plan(upgrading, seen(contracts=old, keys={}))
    assert kinds(found) == [f"{STAGE} {name}" for name in NAMES]
    assert found.until_ns == 10**18 + WAIT_NS
    since = 10**18 + 5
    staged = {name: there(name, OLD, size=200_000, staged=NEW, from_ns=since) for name in NAMES}
    found = plan(upgrading, seen(contracts=staged, keys={}))
    assert (found.steps, found.until_ns) == ((), since)
    found = plan(upgrading, seen(contracts=staged, keys={}, now_ns=since))
    assert [step for step in kinds(found) if UPGRADE in step] == [f"{UPGRADE} {REPUTATION}", f"{UPGRADE} {REGISTRY}"]
    other = staged | {REGISTRY: there(REGISTRY, OLD, staged=OLD)}
    assert kinds(plan(upgrading, seen(contracts=other, keys={}))) == [f"{STAGE} {REGISTRY}"]
    mainnet = replace(upgrading, network="mainnet", owner="owl.near", real_money=True)
    owned = {name: there(name, OLD, owner="owl.near") for name in NAMES}
    assert kinds(plan(mainnet, seen(contracts=owned, keys=dict.fromkeys(NAMES, KEY))))[:2] == [
        f"{STAGE} {name}" for name in NAMES
    ]


def test_what_a_crash_left_paused_is_let_go_on() -> None:
    paused = {name: there(name, paused=True) for name in NAMES}
    assert kinds(plan(replace(ASKED, upgrade=True), seen(contracts=paused))) == [
        f"{RESUME} {REPUTATION}",
        f"{RESUME} {REGISTRY}",
    ]
    found = plan(ASKED, seen(contracts=paused))
    assert found.steps == (), "its owner may have meant it"
    assert found.notes[1] == "registry.fox.testnet is paused; --upgrade lets it go on"


def test_what_a_run_left_paused_goes_on_for_the_two_days_until_newer_code_may_come() -> None:
    upgrading, since = replace(ASKED, upgrade=True), 10**18 + 5
    for staged, announced in (("", [f"{STAGE} {name}" for name in NAMES]), (NEW, [])):
        old = {
            name: there(name, OLD, size=200_000, staged=staged, from_ns=since, paused=True, left=name == REGISTRY)
            for name in NAMES
        }
        found = plan(upgrading, seen(contracts=old, keys={}))
        assert kinds(found) == [f"{RESUME} {REGISTRY}", *announced]
        assert found.until_ns is not None
        said = "reputation.fox.testnet is paused, though not by this command, and stays so until the new code is in"
        assert said in found.notes


@pytest.mark.parametrize(
    ("asked", "sight", "said"),
    [
        (replace(ASKED, parent="ab" * 32), seen(), "not below abab"),
        (replace(ASKED, parent="a" * 46 + ".testnet"), seen(), "at most 53 characters"),
        (replace(ASKED, owner="registry.fox.testnet"), seen(), "which cannot own anything"),
        (replace(ASKED, network="mainnet", owner="owl.near"), seen(), "say --real-money"),
        (replace(ASKED, network="mainnet", real_money=True), seen(), "say which with --owner"),
        (ASKED, seen(protocol=84), "testnet has version 84 of the protocol, too old for these contracts: they need 85"),
        (ASKED, seen(owner_exists=False), "there is no account fox.testnet on testnet"),
        (ASKED, seen(REGISTRY, code=OLD), "registry.fox.testnet has other code"),
        (ASKED, seen(*NAMES, code=OLD), "registry.fox.testnet and reputation.fox.testnet have other code"),
        (ASKED, seen(contracts={REGISTRY: There(1, 100, "")}), "already, without a contract"),
        (
            ASKED,
            seen(contracts={REGISTRY: There(1, 100, OLD, wrong="it has no info")}),
            "none of our contracts: it has no info",
        ),
        (ASKED, seen(contracts={REGISTRY: there(REGISTRY, version=STATE_VERSION + 1)}), "of a newer mycelnode"),
        (
            ASKED,
            seen(contracts={REGISTRY: there(REGISTRY, other="owl.near")}),
            "works with owl.near, and not with reputation",
        ),
        (
            ASKED,
            seen(contracts={REPUTATION: there(REPUTATION, owner="owl.near")}),
            "belongs to owl.near: say --owner owl.near",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(asked: Asked, sight: Seen, said: str) -> None:
    with pytest.raises(DeployRefused) as caught:
        plan(asked, sight)
    assert said in str(caught.value)


# --- whatever happens in between, it comes to an end --------------------------------------------------------------------------


def carried_out(sight: Seen, step: Step) -> Seen:
    """What is on chain after a step."""
    contracts, now = dict(sight.contracts), sight.now_ns + 10**9
    if step.kind == CREATE:
        contracts[step.name] = replace(
            there(step.name), balance=step.amount, storage=step.amount // YOCTO_A_BYTE - 9_000
        )
        return replace(sight, contracts=contracts, keys={**sight.keys, step.name: KEY}, now_ns=now)
    before = contracts[step.name]
    state = before.state
    assert state is not None
    changed = {
        FUND: lambda: replace(before, balance=before.balance + step.amount),
        LOCK: lambda: replace(before, keys=(), balance=before.balance - step.gas // 10),
        PAUSE: lambda: replace(before, state=replace(state, paused=True, at_rest=False)),
        RESUME: lambda: replace(before, state=replace(state, paused=False)),
        REST: lambda: replace(before, state=replace(state, at_rest=True)),
        STAGE: lambda: replace(before, state=replace(state, staged=step.code, from_ns=now + WAIT_NS)),
        REPLACE: lambda: replace(before, code=NEW, size=0, balance=before.balance - step.gas // 10),
        UPGRADE: lambda: replace(before, code=NEW, size=0, state=replace(state, staged="")),
    }[step.kind]()
    return replace(sight, contracts={**contracts, step.name: changed}, now_ns=now)


@given(
    there_already=st.sets(st.sampled_from(NAMES)),
    old=st.booleans(),
    keyed=st.booleans(),
    lock=st.booleans(),
    paused=st.sets(st.sampled_from(NAMES)),
)
def test_a_plan_made_anew_after_each_step_never_asks_for_the_same_twice(
    there_already: set[str], old: bool, keyed: bool, lock: bool, paused: set[str]
) -> None:
    """Which is all that a crash, at any point, makes of it."""
    keys = (KEY,) if keyed else ()
    contracts = {
        name: there(name, OLD if old else NEW, keys=keys, size=50_000 if old else 0, paused=name in paused)
        for name in there_already
    }
    sight = seen(contracts=contracts, keys=dict.fromkeys(contracts, KEY) if keyed else {})
    asked, done = replace(ASKED, upgrade=True, lock=lock), list[str]()
    for _ in range(MOST_STEPS):
        found = plan(asked, sight)
        if found.steps:
            agreed = {step.id: step.total for step in found.steps}
            sight = carried_out(sight, found.steps[0])
            done.append(found.steps[0].id)
            left = plan(asked, sight)
            if left.until_ns is None:
                more = [step.id for step in left.steps if step.total > agreed.get(step.id, -1)]
                assert not more, "nothing comes up, and nothing costs more, than was agreed to"
        elif found.until_ns is not None:
            sight, done = replace(sight, now_ns=found.until_ns), []  # another run, two days later
        else:
            break
    assert len(done) == len(set(done)), done
    found = plan(asked, sight)
    assert (found.steps, found.until_ns) == ((), None)
    for name in NAMES:
        state = sight.contracts[name].state
        assert state is not None
        assert (sight.contracts[name].code, state.paused) == (NEW, False)
        assert not (lock and sight.contracts[name].keys)
