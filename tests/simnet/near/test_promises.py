"""Promises: calls of other contracts, callbacks, joint promises, answers handed on, and who gets what back when they fail."""

from __future__ import annotations

import base64

import pytest

from mycel_simnet.near.runtime import receipt_id
from mycel_simnet.near.types import ActionReceipt, FunctionCall, Json, Transfer
from tests.simnet.near.contracts import ECHO, EVERYTHING, Places, contract, method
from tests.simnet.near.host_calls import WRONG_PROMISES
from tests.simnet.near.world import NEAR, TERAGAS, World, burnt, failure, key_of, receipts_of, succeeded

GAS = f"(i64.const {10 * TERAGAS})"
MORE_GAS = f"(i64.const {50 * TERAGAS})"


@pytest.fixture
def world() -> World:
    return World()


def value(answer: Json) -> bytes:
    return base64.b64decode(answer["status"]["SuccessValue"])


# Answers what the promises that it waited for came to: for each "1" and its value, or "2".
RESULTS = method(
    "results",
    "(local $i i64) (local $at i64) (local $end i64)",
    "(local.set $at (i64.const 8192))",
    "(local.set $end (call $promise_results_count))",
    "(block $done (loop $next",
    "(br_if $done (i64.ge_u (local.get $i) (local.get $end)))",
    "(if (i64.eq (call $promise_result (local.get $i) (i64.const 5)) (i64.const 1)) (then",
    "(i32.store8 (i32.wrap_i64 (local.get $at)) (i32.const 49))",
    "(local.set $at (i64.add (local.get $at) (i64.const 1)))",
    "(call $read_register (i64.const 5) (local.get $at))",
    "(local.set $at (i64.add (local.get $at) (call $register_len (i64.const 5)))))",
    "(else (i32.store8 (i32.wrap_i64 (local.get $at)) (i32.const 50))",
    "(local.set $at (i64.add (local.get $at) (i64.const 1)))))",
    "(local.set $i (i64.add (local.get $i) (i64.const 1)))",
    "(br $next)))",
    "(call $value_return (i64.sub (local.get $at) (i64.const 8192)) (i64.const 8192))",
)


def caller(*lines: str, places: Places, more: str = "") -> bytes:
    """A contract whose method ``go`` has these lines, and that answers callbacks."""
    return contract(
        method("go", "(local $a i64) (local $b i64) (local $c i64)", *lines) + RESULTS + ECHO + more, places.data
    )


def create(places: Places, account: str, name: str, args: str, deposit: int = 0, gas: str = GAS) -> str:
    """``promise_create``."""
    call = f"{places.text(name)} {places.text(args)} {places.amount(deposit)} {gas}"
    return f"(call $promise_create {places.text(account)} {call})"


def then(places: Places, after: str, account: str, name: str = "results", args: str = "") -> str:
    """``promise_then``."""
    call = f"{places.text(name)} {places.text(args)} {places.amount(0)} {GAS}"
    return f"(call $promise_then {after} {places.text(account)} {call})"


def test_a_promise_that_is_returned_answers_for_the_call(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    places = Places()
    code = caller(f"(call $promise_return {create(places, shop, 'echo', 'hello')})", places=places)
    asker = world.create("asker", code=code)
    answer = world.call("bob", asker, "go")
    assert value(answer) == b"hello"
    first, second = receipts_of(answer)[:2]
    assert (first["executor_id"], second["executor_id"]) == (asker, shop)
    assert "SuccessReceiptId" in first["status"]
    heights = [one["block_hash"] for one in answer["receipts_outcome"][:2]]
    assert heights[0] != heights[1], "what goes to another account is carried out in a later block"


def test_a_promise_that_is_not_returned_does_not_decide_how_the_call_ends(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    places = Places()
    asker = world.create("asker", code=caller(f"(drop {create(places, shop, 'fail', 'no')})", places=places))
    answer = succeeded(world.call("bob", asker, "go"))
    assert "Failure" in receipts_of(answer)[1]["status"]


@pytest.mark.parametrize(("name", "seen"), [("echo", b"1hello"), ("fail", b"2"), ("nothing", b"2")])
def test_a_callback_sees_the_value_or_that_it_failed(world: World, name: str, seen: bytes) -> None:
    shop = world.create("shop", code=EVERYTHING)
    places = Places()
    lines = (
        f"(local.set $a {create(places, shop, name, 'hello')})",
        f"(call $promise_return {then(places, '(local.get $a)', 'asker.alice')})",
    )
    asker = world.create("asker", code=caller(*lines, places=places))
    assert value(world.call("bob", asker, "go")) == seen


def test_a_callback_of_joint_promises_sees_all_of_them_in_order(world: World) -> None:
    shop, other = world.create("shop", code=EVERYTHING), world.create("other", code=EVERYTHING)
    places = Places(16)
    lines = (
        f"(i64.store (i32.const 0) {create(places, shop, 'echo', 'one')})",
        f"(i64.store (i32.const 8) {create(places, other, 'fail', 'no')})",
        "(local.set $a (call $promise_and (i64.const 0) (i64.const 2)))",
        f"(i64.store (i32.const 0) (local.get $a)) (i64.store (i32.const 8) {create(places, shop, 'echo', 'three')})",
        "(local.set $b (call $promise_and (i64.const 0) (i64.const 2)))",
        f"(call $promise_return {then(places, '(local.get $b)', 'asker.alice')})",
    )
    asker = world.create("asker", code=caller(*lines, places=places))
    assert value(world.call("bob", asker, "go")) == b"1one21three"


def test_a_callback_waits_for_what_the_promise_itself_returns(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    inner = Places()
    code = caller(f"(call $promise_return {create(inner, shop, 'echo', 'deep')})", places=inner)
    middle = world.create("middle", code=code)
    places = Places()
    lines = (
        f"(local.set $a {create(places, middle, 'go', '', gas=MORE_GAS)})",
        f"(call $promise_return {then(places, '(local.get $a)', 'asker.alice')})",
    )
    asker = world.create("asker", code=caller(*lines, places=places))
    assert value(world.call("bob", asker, "go", gas=300)) == b"1deep"


def test_the_deposit_of_a_failed_promise_goes_back_to_the_contract_and_the_gas_to_the_signer(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    places = Places()
    asker = world.create("asker", code=caller(f"(drop {create(places, shop, 'fail', 'no', NEAR)})", places=places))
    bob, contract_had = world.balance("bob"), world.balance(asker)
    answer = succeeded(world.call("bob", asker, "go", deposit=NEAR))
    refunds = [one["receiver_id"] for one in answer["receipts"] if one["predecessor_id"] == "system"]
    assert refunds.count(asker) == 1, "the deposit belongs to the contract that attached it, not to who began"
    assert set(refunds) == {asker, "bob"}
    assert 0 <= world.balance(asker) - contract_had - NEAR < 10**21
    assert world.balance("bob") == bob - NEAR - burnt([answer])


def test_a_refund_goes_where_the_contract_says(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    places = Places()
    lines = (
        f"(local.set $a {create(places, shop, 'fail', 'no', NEAR)})",
        f"(call $promise_set_refund_to (local.get $a) {places.text('carol')})",
    )
    asker = world.create("asker", code=caller(*lines, places=places))
    succeeded(world.call("bob", asker, "go", deposit=NEAR))
    assert world.balance("carol") == 1001 * NEAR


def test_what_a_failed_call_promised_never_happens(world: World) -> None:
    places = Places()
    lines = (
        f"(local.set $a (call $promise_batch_create {places.text('carol')}))",
        f"(call $promise_batch_action_transfer (local.get $a) {places.amount(NEAR)})",
        "(call $panic)",
    )
    asker = world.create("asker", code=caller(*lines, places=places))
    failure(world.call("bob", asker, "go", deposit=NEAR))
    assert world.balance("carol") == 1000 * NEAR


def test_a_contract_can_not_give_more_than_it_has(world: World) -> None:
    places = Places()
    lines = (
        f"(local.set $a (call $promise_batch_create {places.text('carol')}))",
        f"(call $promise_batch_action_transfer (local.get $a) {places.amount(100 * NEAR)})",
    )
    asker = world.create("asker", code=caller(*lines, places=places))
    error = {"FunctionCallError": {"ExecutionError": "Exceeded the account balance."}}
    assert failure(world.call("bob", asker, "go")) == error
    assert failure(world.call("bob", asker, "go", deposit=89 * NEAR)) == error, "its balance is 10 N, and the deposit"


def test_a_contract_makes_an_account_with_a_key_and_code(world: World) -> None:
    places = Places()
    key = places.raw(b"\0" + key_of("child").public.data)
    call = f"{places.text('store')} {places.text('v')} {places.amount(0)} {GAS}"
    lines = (
        f"(local.set $a (call $promise_batch_create {places.text('child.maker.alice')}))",
        "(call $promise_batch_action_create_account (local.get $a))",
        f"(call $promise_batch_action_transfer (local.get $a) {places.amount(NEAR)})",
        f"(call $promise_batch_action_add_key_with_full_access (local.get $a) {key} (i64.const 0))",
        f"(call $promise_batch_action_deploy_contract (local.get $a) {places.raw(EVERYTHING)})",
        f"(call $promise_batch_action_function_call (local.get $a) {call})",
    )
    maker = world.create("maker", code=caller(*lines, places=places))
    succeeded(world.call("bob", maker, "go"))
    assert world.stored("child.maker.alice") == b"v"
    assert world.account("child.maker.alice").storage_usage == world.usage_from_scratch("child.maker.alice")
    succeeded(world.send("child.maker.alice", "bob", Transfer(1), key=key_of("child")))


def test_gas_that_is_left_is_shared_by_weight(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    places = Places()

    def weighted(weight: int) -> str:
        call = f"{places.text('echo')} {places.text('')} {places.amount(0)} (i64.const 0) (i64.const {weight})"
        return f"(call $promise_batch_action_function_call_weight (local.get $a) {call})"

    lines = (
        f"(local.set $a (call $promise_batch_create {places.text(shop)}))",
        weighted(1),
        weighted(3),
    )
    asker = world.create("asker", code=caller(*lines, places=places))
    answer = succeeded(world.call("bob", asker, "go"))
    receipt = next(one for one in answer["receipts"] if one["receiver_id"] == shop)
    one, three = (action["FunctionCall"]["gas"] for action in receipt["receipt"]["Action"]["actions"])
    assert one * 3 <= three <= one * 3 + 3
    assert one + three > 90 * TERAGAS, "all that is left of a hundred"
    assert world.total() == world.chain.head.total_supply, "gas that was given away is not refunded as well"


def test_the_names_of_receipts_are_the_networks(world: World) -> None:
    signed = world.signed("alice", "bob", Transfer(1))
    answer = world.run(signed)
    included = world.chain.known(signed.transaction.hash)
    assert included is not None
    name = receipt_id(signed.transaction.hash, included.height, 0)
    receipt = world.chain.receipt(name)
    assert receipt is not None
    assert isinstance(receipt.body, ActionReceipt)
    assert answer["receipts_outcome"][0]["id"] == answer["transaction_outcome"]["outcome"]["receipt_ids"][0]


def test_a_contract_without_a_balance_may_still_attach_one_yocto(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    places = Places()
    line = f"(drop {create(places, shop, 'echo', '', 1)})"
    asker = world.create("asker", balance=0, code=contract(method("go", line), places.data))
    assert world.balance(asker) == 0
    before = world.total()
    answer = succeeded(world.call("bob", asker, "go"))
    assert receipts_of(answer)[1]["status"] == {"SuccessValue": ""}
    assert world.total() == world.chain.head.total_supply < before


@pytest.mark.parametrize("error", WRONG_PROMISES)
def test_wrong_promises_are_refused(world: World, error: str) -> None:
    places = Places(64)
    places.text("carol")
    asker = world.create("asker", code=caller(WRONG_PROMISES[error], places=places))
    shown = failure(world.call("bob", asker, "go", gas=1000))
    assert shown == {"FunctionCallError": {"ExecutionError": error}}


def test_a_promised_call_without_gas_is_no_receipt(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    places = Places()
    call = f"{places.text('echo')} {places.text('')} {places.amount(0)} (i64.const 0)"
    line = f"(drop (call $promise_create {places.text(shop)} {call}))"
    asker = world.create("asker", code=caller(line, places=places))
    shown = failure(world.call("bob", asker, "go"))
    assert shown == {"NewReceiptValidationError": {"ActionsValidation": "FunctionCallZeroAttachedGas"}}


def test_calls_in_one_receipt_see_one_anothers_writes(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    actions = (FunctionCall("store", b"seen", 10 * TERAGAS, 0), FunctionCall("read", b"", 10 * TERAGAS, 0))
    assert value(world.send("bob", shop, *actions)) == b"seen"
