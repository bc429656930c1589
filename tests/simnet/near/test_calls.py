"""Calls: what they may do, what their failures undo and are called, who gets deposit and gas back, and what they cost."""

from __future__ import annotations

import base64

import pytest

from mycel_simnet.near.types import FunctionCall
from tests.simnet.near.contracts import EVERYTHING, contract, method
from tests.simnet.near.world import NEAR, TERAGAS, World, burnt, failure, receipts_of, succeeded


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def shop(world: World) -> str:
    return world.create("shop", code=EVERYTHING)


def value(answer: object) -> bytes:
    return base64.b64decode(answer["status"]["SuccessValue"])  # type: ignore[index]


def test_a_call_answers(world: World, shop: str) -> None:
    assert value(world.call("bob", shop, "echo", b"hello")) == b"hello"


def test_a_deposit_is_the_contracts_when_the_call_succeeds_and_the_callers_when_it_fails(
    world: World, shop: str
) -> None:
    before = world.balance("bob"), world.balance(shop)
    good = succeeded(world.call("bob", shop, "echo", deposit=NEAR))
    kept = world.balance(shop) - before[1]
    assert 0 <= kept - NEAR < 10**21, "besides the deposit there is only the contract's share of the gas"
    assert world.balance("bob") == before[0] - NEAR - burnt([good])
    before = world.balance("bob"), world.balance(shop)
    bad = world.call("bob", shop, "fail", b"no", deposit=NEAR)
    assert world.balance("bob") == before[0] - burnt([bad])
    assert world.balance(shop) - before[1] < 10**21


def test_a_failed_call_has_written_nothing(world: World, shop: str) -> None:
    succeeded(world.call("bob", shop, "store", b"first"))
    usage = world.account(shop).storage_usage
    failure(world.call("bob", shop, "store_and_fail", b"second and longer"))
    assert world.stored(shop) == b"first"
    assert world.account(shop).storage_usage == usage == world.usage_from_scratch(shop)


def test_storage_is_counted_as_it_is_written_overwritten_and_removed(world: World, shop: str) -> None:
    empty = world.account(shop).storage_usage
    for text in (b"12345", b"1", b"123456789"):
        succeeded(world.call("bob", shop, "store", text))
        assert world.account(shop).storage_usage == empty + 1 + len(text) + 40 == world.usage_from_scratch(shop)
    succeeded(world.call("bob", shop, "remove"))
    assert world.account(shop).storage_usage == empty == world.usage_from_scratch(shop)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fail", {"ExecutionError": "Smart contract panicked: no"}),
        ("nothing", {"MethodResolveError": "MethodNotFound"}),
        ("", {"MethodResolveError": "MethodEmptyName"}),
        ("trap", {"ExecutionError": "WebAssembly trap: An `unreachable` opcode was executed."}),
        ("divide", {"ExecutionError": "WebAssembly trap: An arithmetic exception, e.g. divided by zero."}),
        ("outside", {"ExecutionError": "WebAssembly trap: Memory out of bounds trap."}),
        ("deep", {"ExecutionError": "Accessed memory outside the bounds."}),
        ("wrong", {"MethodResolveError": "MethodInvalidSignature"}),
        ("plain", {"ExecutionError": "Smart contract panicked: explicit guest panic"}),
        ("absent", {"ExecutionError": "this local chain does not have the host function validator_stake"}),
    ],
)
def test_failures_have_the_names_that_the_network_gives_them(world: World, name: str, error: object) -> None:
    body = [
        method("fail", "(call $panic_utf8 (i64.const 2) (i64.const 0))"),
        method("trap", "(unreachable)"),
        method("divide", "(drop (i64.div_u (i64.const 1) (i64.const 0)))"),
        method("outside", "(drop (i64.load (i32.const -8)))"),
        '(func $deep (export "deep") (call $deep))',
        '(func (export "wrong") (result i64) (i64.const 0))',
        method("plain", "(call $panic)"),
        method("absent", "(call $validator_stake (i64.const 0) (i64.const 0) (i64.const 0))"),
    ]
    account = world.create("odd", code=contract("".join(body), '(data (i32.const 0) "no")'))
    assert failure(world.call("bob", account, name)) == {"FunctionCallError": error}


def test_an_account_without_a_contract_says_so(world: World) -> None:
    inner = {"CompilationError": {"CodeDoesNotExist": {"account_id": "carol"}}}
    assert failure(world.call("bob", "carol", "echo")) == {"FunctionCallError": inner}


@pytest.mark.parametrize("code", [b"", b"no wasm", b"\0asm\1\0\0\0\x0a\xff\xff\xff\xff\x0f"])
def test_code_that_is_no_wasm_can_be_put_there_but_not_called(world: World, code: bytes) -> None:
    account = world.create("bad", code=code)
    inner = {"CompilationError": {"PrepareError": "Deserialization"}}
    assert failure(world.call("bob", account, "echo")) == {"FunctionCallError": inner}


def test_a_contract_that_wants_what_the_host_has_not_can_not_run(world: World) -> None:
    import wasmtime

    code = wasmtime.wat2wasm('(module (import "env" "magic" (func)) (memory (export "memory") 1) (func (export "go")))')
    account = world.create("odd", code=bytes(code))
    shown = failure(world.call("bob", account, "go"))["FunctionCallError"]["ExecutionError"]
    assert shown == "unknown or invalid import"


def test_a_call_that_never_ends_burns_all_its_gas_and_no_more(world: World, shop: str) -> None:
    before = world.balance("bob")
    answer = world.call("bob", shop, "spin", gas=5, deposit=NEAR)
    assert failure(answer) == {"FunctionCallError": {"ExecutionError": "Exceeded the prepaid gas."}}
    gas = receipts_of(answer)[0]["gas_burnt"]
    fees = 108_059_500_000 + 780_000_000_000 + len("spin") * 2_235_934
    assert gas == fees + 5 * TERAGAS
    assert world.balance("bob") == before - burnt([answer])


def test_too_little_gas_for_the_code_to_be_loaded(world: World, shop: str) -> None:
    answer = world.send("bob", shop, FunctionCall("echo", b"", 1, 0))
    assert failure(answer) == {"FunctionCallError": {"ExecutionError": "Exceeded the prepaid gas."}}


def test_the_signer_pays_for_what_is_burnt_and_the_contract_gets_three_tenths_of_what_its_call_burnt(
    world: World, shop: str
) -> None:
    before = world.balance(shop)
    answer = succeeded(world.call("bob", shop, "echo", b"hi"))
    fees = 108_059_500_000 + 780_000_000_000 + (len("echo") + 2) * 2_235_934
    by_call = receipts_of(answer)[0]["gas_burnt"] - fees
    assert world.balance(shop) - before == by_call * 3 // 10 * 10**8
    assert world.total() == world.chain.head.total_supply


def test_logs_are_told_also_by_what_failed(world: World, shop: str) -> None:
    body = method("both", "(call $log_utf8 (i64.const 2) (i64.const 0))", "(call $panic)")
    account = world.create("loud", code=contract(body, '(data (i32.const 0) "hi")'))
    answer = world.call("bob", account, "both")
    assert receipts_of(answer)[0]["logs"] == ["hi"]
    assert receipts_of(succeeded(world.call("bob", shop, "log", "héllo ✓".encode())))[0]["logs"] == ["héllo ✓"]


def test_a_contract_that_is_poorer_than_its_bytes_fails(world: World) -> None:
    account = world.create("lean", 17 * NEAR // 100, EVERYTHING)
    shown = failure(world.call("bob", account, "store", bytes(20_000)))
    assert shown["LackBalanceForState"]["account_id"] == account
    assert world.stored(account) is None
    succeeded(world.call("bob", account, "store", bytes(20_000), deposit=NEAR))


def test_the_profile_says_what_the_gas_was_burnt_for(world: World, shop: str) -> None:
    answer = succeeded(world.call("bob", shop, "store", b"12"))
    receipt = receipts_of(answer)[0]
    profile = {row["cost"]: int(row["gas_used"]) for row in receipt["metadata"]["gas_profile"]}
    assert profile["STORAGE_WRITE_BASE"] == 64_196_736_000
    assert profile["STORAGE_WRITE_VALUE_BYTE"] == 2 * 31_018_539
    assert profile["TOUCHING_TRIE_NODE"] == 20 * 2_280_000_000
    assert profile["CONTRACT_LOADING_BYTES"] == len(EVERYTHING) * 1_089_295
    fees = 108_059_500_000 + 780_000_000_000 + (len("store") + 2) * 2_235_934
    assert sum(profile.values()) == receipt["gas_burnt"] - fees
