"""Tokens are never made and never lost: whatever random people do, what accounts have and what was burnt stays the same sum."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mycel_simnet.near.errors import InvalidTransaction
from mycel_simnet.near.types import (
    AccessKey,
    Action,
    AddKey,
    CreateAccount,
    DeleteAccount,
    DeleteKey,
    DeployContract,
    FullAccess,
    FunctionCall,
    FunctionCallPermission,
    Transfer,
)
from tests.simnet.near.contracts import EVERYTHING, Places
from tests.simnet.near.test_promises import caller, create, then
from tests.simnet.near.world import NEAR, TERAGAS, World, key_of

PEOPLE = ("alice", "bob", "a.alice", "b.alice", "asker.alice", "00" * 32, "nobody")


def asking() -> bytes:
    """A contract that calls `shop.alice` with what gas is left, and again, which fails, and `bob`, who is no contract.

    It waits for the two that fail.
    """
    places = Places(16)
    share = f"{places.text('store')} {places.text('x')} {places.amount(0)} (i64.const 0) (i64.const 1)"
    lines = (
        f"(local.set $a (call $promise_batch_create {places.text('shop.alice')}))",
        f"(call $promise_batch_action_function_call_weight (local.get $a) {share})",
        f"(i64.store (i32.const 0) {create(places, 'shop.alice', 'fail', 'no', 3)})",
        f"(i64.store (i32.const 8) {create(places, 'bob', 'echo', 'hi', 4)})",
        "(local.set $a (call $promise_and (i64.const 0) (i64.const 2)))",
        f"(call $promise_return {then(places, '(local.get $a)', 'asker.alice')})",
    )
    return caller(*lines, places=places)


amounts = st.sampled_from([0, 1, 5, NEAR, 3 * NEAR, 999 * NEAR])
gas = st.sampled_from([1, TERAGAS, 30 * TERAGAS, 300 * TERAGAS])
methods = st.sampled_from(
    ["echo", "fail", "store", "store", "store_and_fail", "remove", "spin", "log", "nothing", "go", "results"]
)
keys = st.sampled_from(["alice", "bob", "a.alice", "new"]).map(lambda name: key_of(name).public)
actions: st.SearchStrategy[Action] = st.one_of(
    st.just(CreateAccount()),
    st.builds(Transfer, amounts),
    st.builds(FunctionCall, methods, st.binary(max_size=5), gas, amounts),
    st.sampled_from([EVERYTHING, b"", bytes(2000)]).map(DeployContract),
    st.builds(
        AddKey,
        keys,
        st.sampled_from([AccessKey(0, FullAccess()), AccessKey(0, FunctionCallPermission(NEAR, "shop.alice", ()))]),
    ),
    st.builds(DeleteKey, keys),
    st.sampled_from(PEOPLE).map(DeleteAccount),
)
people = st.sampled_from(PEOPLE)
signers = st.sampled_from(["alice", "bob", "a.alice", "b.alice"])
contracts = st.sampled_from(["shop.alice", "asker.alice", "a.alice"])
Step = tuple[str, str, list[Action]]


def child(name: str, amount: int, code: bytes | None) -> Step:
    """``alice`` makes an account below it."""
    batch: list[Action] = [CreateAccount(), Transfer(amount), AddKey(key_of(name).public, AccessKey(0, FullAccess()))]
    return "alice", name, batch if code is None else [*batch, DeployContract(code)]


def alone(signer: str, batch: list[Action]) -> Step:
    """Somebody does something to itself."""
    return signer, signer, batch


calls = st.builds(FunctionCall, methods, st.binary(max_size=5), gas, st.sampled_from([0, 1, NEAR]))
steps = st.lists(
    st.one_of(
        st.tuples(signers, people, amounts.map(lambda amount: [Transfer(amount)])),
        st.tuples(signers, contracts, st.lists(calls, min_size=1, max_size=3)),
        st.builds(child, st.sampled_from(["a.alice", "b.alice"]), amounts, st.none() | st.just(EVERYTHING)),
        st.builds(alone, signers, st.lists(actions, min_size=1, max_size=2)),
        st.tuples(people, people, st.lists(actions, min_size=1, max_size=4)),
    ),
    max_size=12,
)


@settings(max_examples=120, deadline=None)
@given(steps)
def test_what_accounts_have_is_all_there_is(story: list[Step]) -> None:
    world = World()
    world.create("shop", code=EVERYTHING)
    world.create("asker", code=asking())
    world.create("a")
    for signer, receiver, batch in story:
        try:
            world.chain.submit(world.signed(signer, receiver, *batch))
        except InvalidTransaction:
            continue
        world.chain.settle()
    assert world.total() == world.chain.head.total_supply
    for account in world.chain.ledger.accounts():
        assert world.account(account).storage_usage == world.usage_from_scratch(account), account
    left = {key.kind for key, _ in world.chain.ledger.records()}
    assert left <= {"account", "key", "code", "data"}, "no receipt waits for ever"


def test_a_wait_for_two_that_fail_ends() -> None:
    world = World()
    world.create("shop", code=EVERYTHING)
    world.create("asker", code=asking())
    answer = world.call("bob", "asker.alice", "go", deposit=NEAR)
    assert answer["status"] == {"SuccessValue": "MjI="}, "both are told to have failed"
    assert world.total() == world.chain.head.total_supply
