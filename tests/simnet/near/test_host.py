"""Host functions, each through a contract of a few lines: what they answer, what they refuse, and what they cost."""

from __future__ import annotations

import hashlib
from typing import Any

import coincurve
import pytest
from nacl.signing import SigningKey

from mycel_simnet.near.single import Contract, Setting
from mycel_simnet.near.tables import HOST
from tests.simnet.near.contracts import ECHO, EVERYTHING, Places, contract, method
from tests.simnet.near.host_calls import KNOWN, VIEW_REFUSES

MAX = "(i64.const -1)"


def run(*lines: str, data: str = "", args: bytes = b"", **setting: Any) -> Any:
    """What one method with these lines comes to."""
    code = contract(method("go", *lines) + ECHO, data)
    return Contract(code, account_id="shop.near").call("go", args, Setting(**setting))


def answered(*lines: str, data: str = "", **setting: Any) -> bytes:
    """What it returns from register 0."""
    shown = run(*lines, f"(call $value_return {MAX} (i64.const 0))", data=data, **setting)
    assert shown["error"] is None, shown["error"]
    return bytes.fromhex(shown["returned"])


def returned_number(line: str, data: str = "", **setting: Any) -> int:
    """The number that an expression of i64 comes to."""
    store = f"(i64.store (i32.const 0) {line})"
    shown = run(store, "(call $value_return (i64.const 8) (i64.const 0))", data=data, **setting)
    assert shown["error"] is None, shown["error"]
    return int.from_bytes(bytes.fromhex(shown["returned"]), "little")


def why(*lines: str, data: str = "", **setting: Any) -> str:
    """Why it fails."""
    error = run(*lines, data=data, **setting)["error"]
    assert error is not None, "it should have failed"
    return str(error.get("ExecutionError", error))


# --- what a call is told --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ("current_account_id", b"shop.near"),
        ("signer_account_id", b"signer.near"),
        ("predecessor_account_id", b"caller.near"),
        ("refund_to_account_id", b"caller.near"),
        ("signer_account_pk", bytes(33)),
        ("chain_id", b"devchain"),
        ("random_seed", bytes(32)),
    ],
)
def test_names_and_bytes(function: str, value: bytes) -> None:
    said = answered(
        f"(call ${function} (i64.const 0))",
        signer="signer.near",
        predecessor="caller.near",
    )
    assert said == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(call $block_index)", 77),
        ("(call $block_timestamp)", 88),
        ("(call $epoch_height)", 3),
        ("(call $storage_usage)", 500),
        ("(call $prepaid_gas)", 10**14),
        ("(call $promise_results_count)", 2),
        ("(call $register_len (i64.const 9))", (1 << 64) - 1),
    ],
)
def test_numbers(expression: str, value: int) -> None:
    said = returned_number(
        expression, height=77, timestamp=88, epoch=3, storage_usage=500, gas=10**14, promise_results=(b"", None)
    )
    assert said == value


def test_used_gas_grows() -> None:
    used = returned_number("(call $used_gas)")
    assert 0 < used < 10**12


@pytest.mark.parametrize(
    ("function", "value"), [("account_balance", 12), ("attached_deposit", 5), ("account_locked_balance", 0)]
)
def test_amounts(function: str, value: int) -> None:
    shown = run(
        f"(call ${function} (i64.const 0))", "(call $value_return (i64.const 16) (i64.const 0))", balance=7, deposit=5
    )
    assert int.from_bytes(bytes.fromhex(shown["returned"]), "little") == value


def test_the_code_that_runs() -> None:
    shown = run("(drop (call $current_contract_code (i64.const 0)))", f"(call $value_return {MAX} (i64.const 0))")
    code = contract(
        method("go", "(drop (call $current_contract_code (i64.const 0)))", f"(call $value_return {MAX} (i64.const 0))")
        + ECHO
    )
    assert bytes.fromhex(shown["returned"]) == hashlib.sha256(code).digest()


# --- views ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VIEW_REFUSES)
def test_what_views_may_not(name: str) -> None:
    assert why(VIEW_REFUSES[name], is_view=True) == f"{name} is not allowed in view calls"


def test_what_views_may() -> None:
    """The deposit of a view is nothing; the network does not refuse to tell."""
    line = "(call $attached_deposit (i64.const 0)) (call $account_balance (i64.const 16))"
    shown = run(line, "(drop (call $storage_usage))", "(call $value_return (i64.const 16) (i64.const 0))", is_view=True)
    assert shown["error"] is None
    assert int(shown["returned"], 16) == 0


# --- registers and memory ---------------------------------------------------------------------------------------------------


def test_registers_keep_what_is_written() -> None:
    places = Places()
    lines = (f"(call $write_register (i64.const 0) {places.text('kept')})",)
    assert answered(*lines, data=places.data) == b"kept"


def test_an_empty_register_can_not_be_read() -> None:
    assert why("(call $read_register (i64.const 4) (i64.const 0))") == "Accessed invalid register id: 4"


@pytest.mark.parametrize(
    "line",
    [
        "(call $log_utf8 (i64.const 8) (i64.const 67108860))",
        "(call $log_utf8 (i64.const 8) (i64.const -4))",
        "(call $attached_deposit (i64.const 67108860))",
        "(call $write_register (i64.const 0) (i64.const 4) (i64.const 67108864))",
    ],
)
def test_memory_ends_where_the_networks_does(line: str) -> None:
    assert why(line) == "Accessed memory outside the bounds."


def test_a_contract_has_the_memory_that_the_network_gives_every_contract() -> None:
    assert returned_number("(i64.extend_i32_u (memory.size))") == 1024
    assert returned_number("(i64.extend_i32_u (memory.grow (i32.const 1024)))") == 1024
    assert returned_number("(i64.extend_i32_u (memory.grow (i32.const 1025)))") == 0xFFFFFFFF


def test_the_input_is_not_paid_by_the_byte_but_other_registers_are() -> None:
    lines = ("(call $input (i64.const 0))",)
    cheap, dear = (
        run(*lines, args=b"x" * size)["gas"]["profile"].get("write_register_byte", 0) for size in (10, 10_000)
    )
    assert cheap == dear == 0
    shown = run("(call $current_account_id (i64.const 0))")
    assert shown["gas"]["profile"]["write_register_byte"] == len("shop.near") * HOST["write_register_byte"]


def test_there_are_at_most_a_hundred_registers() -> None:
    loop = (
        "(local $i i64) (loop $l (call $current_account_id (local.get $i))"
        "(local.set $i (i64.add (local.get $i) (i64.const 1))) (br_if $l (i64.lt_u (local.get $i) (i64.const 101))))"
    )
    assert why(loop) == "Accessed memory outside the bounds."


# --- storage ----------------------------------------------------------------------------------------------------------------


def test_storage_tells_what_was_there() -> None:
    shop = Contract(EVERYTHING)
    assert shop.call("store", b"one", Setting())["writes"] == {"6b": b"one".hex()}
    shown = shop.call("store", b"three", Setting())
    assert shown["storage_usage"] == 100_000 + 2
    assert shown["gas"]["profile"]["storage_write_evicted_byte"] == 3 * HOST["storage_write_evicted_byte"]
    assert bytes.fromhex(shop.call("read", b"", Setting())["returned"]) == b"three"
    gone = shop.call("remove", b"", Setting())
    assert gone["writes"] == {"6b": None}
    assert gone["storage_usage"] == 100_000 - 1 - 5 - 40
    assert shop.storage == {}


def test_a_large_value_costs_a_little_more_to_read() -> None:
    shop = Contract(EVERYTHING, {b"k": bytes(4001)})
    assert shop.call("read", b"", Setting())["gas"]["profile"]["storage_large_read_overhead_byte"] == 4001
    shop = Contract(EVERYTHING, {b"k": bytes(4000)})
    assert "storage_large_read_overhead_byte" not in shop.call("read", b"", Setting())["gas"]["profile"]


def test_keys_are_at_most_two_thousand_bytes() -> None:
    assert why("(drop (call $storage_has_key (i64.const 2049) (i64.const 0)))") == (
        "The length of a storage key 2049 exceeds the limit 2048"
    )
    assert returned_number("(call $storage_has_key (i64.const 2048) (i64.const 0))") == 0


def test_iterators_are_gone() -> None:
    assert why("(drop (call $storage_iter_prefix (i64.const 0) (i64.const 0)))") == (
        "Attempted to call deprecated host function storage_iter_prefix"
    )


# --- text -------------------------------------------------------------------------------------------------------------------


def test_logs_of_both_kinds_and_with_a_zero_at_the_end() -> None:
    places = Places()
    utf8, utf16 = places.text("héllo ✓\0"), places.raw("wörld\0".encode("utf-16-le"))
    ends = [place.rsplit(" (", 1)[1].rstrip(")") for place in (utf8, utf16)]
    shown = run(
        f"(call $log_utf8 (i64.const -1) ({ends[0]}))",
        f"(call $log_utf16 (i64.const -1) ({ends[1]}))",
        data=places.data,
    )
    assert shown["logs"] == ["héllo ✓", "wörld"]


def test_bad_text() -> None:
    data = '(data (i32.const 0) "\\ff\\fe")'
    assert why("(call $log_utf8 (i64.const 2) (i64.const 0))", data=data) == "String encoding is bad UTF-8 sequence."
    assert why("(call $log_utf16 (i64.const 1) (i64.const 0))") == "String encoding is bad UTF-16 sequence."


def test_a_hundred_lines_and_sixteen_kilobytes() -> None:
    loop = "(loop $l (call $log_utf8 (i64.const {0}) (i64.const 0)) (br $l))"
    assert why(loop.format(0)) == "The number of logs will exceed the limit 100"
    assert why(loop.format(1000)) == "The length of a log message 17000 exceeds the limit 16384"


def test_abort_as_assemblyscript_calls_it() -> None:
    message, file = "oops".encode("utf-16-le"), "a.ts".encode("utf-16-le")
    places = Places()
    places.raw(len(message).to_bytes(4, "little") + message + len(file).to_bytes(4, "little") + file)
    shown = run("(call $abort (i32.const 4) (i32.const 16) (i32.const 7) (i32.const 9))", data=places.data)
    assert shown["error"] == {"ExecutionError": 'Smart contract panicked: oops, filename: "a.ts" line: 7 col: 9'}
    assert shown["logs"] == ['ABORT: oops, filename: "a.ts" line: 7 col: 9']


# --- hashes and signatures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_hashes(name: str) -> None:
    places = Places()
    assert answered(f"(call ${name} {places.text('abc')} (i64.const 0))", data=places.data).hex() == KNOWN[name]


def test_ed25519() -> None:
    key = SigningKey(bytes(32))
    signature = key.sign(b"message").signature
    for message, good in ((b"message", 1), (b"Message", 0)):
        places = Places(64)
        line = (
            f"(call $ed25519_verify {places.raw(signature)} {places.raw(message)} {places.raw(bytes(key.verify_key))})"
        )
        assert returned_number(line, data=places.data) == good
    places = Places(64)
    line = f"(call $ed25519_verify {places.raw(b'short')} {places.raw(b'')} {places.raw(b'')})"
    assert why(f"(drop {line})", data=places.data) == "ED25519 signature verification error: invalid signature length"


def test_ecrecover() -> None:
    key = coincurve.PrivateKey(bytes(31) + b"\7")
    digest = hashlib.sha256(b"message").digest()
    signature = key.sign_recoverable(digest, hasher=None)
    places = Places()
    where = f"{places.raw(digest)} {places.raw(signature[:64])} (i64.const {signature[64]}) (i64.const 1) (i64.const 0)"
    said = answered(f"(drop (call $ecrecover {where}))", data=places.data)
    assert said == key.public_key.format(compressed=False)[1:]


# --- gas --------------------------------------------------------------------------------------------------------------------


def test_gas_is_the_networks_to_the_unit() -> None:
    """Everything but wasm's own operations, added up by hand for one small call."""
    code = contract(ECHO)
    shown = Contract(code).call("echo", b"hello", Setting())
    host = (
        HOST["contract_loading_base"]
        + len(code) * HOST["contract_loading_bytes"]
        + 2 * HOST["base"]
        + HOST["write_register_base"]
        + HOST["read_register_base"]
        + 5 * HOST["read_register_byte"]
    )
    assert shown["gas"]["burnt"] == host + shown["gas"]["profile"]["wasm_instruction"]
    operations = shown["gas"]["profile"]["wasm_instruction"] // 822_756
    frame = 64 // 8
    assert operations == frame + 5, "two calls and the three constants that they are given"


def test_a_loop_burns_an_operation_after_the_other() -> None:
    def turns(count: int) -> int:
        loop = (
            "(local $i i64) (loop $l (local.set $i (i64.add (local.get $i) (i64.const 1)))"
            f"(br_if $l (i64.lt_u (local.get $i) (i64.const {count}))))"
        )
        burnt: int = run(loop)["gas"]["burnt"]
        return burnt

    assert turns(2000) - turns(1000) == 1000 * 8 * 822_756


def test_a_call_pays_for_its_frame() -> None:
    """64 bytes and its locals, in words, as the network's nodes count it."""

    def entered(declared: str) -> int:
        code = contract(f'(func $inner {declared}) (func (export "go") (call $inner))')
        operations: int = Contract(code).call("go", b"")["gas"]["profile"]["wasm_instruction"]
        return operations // 822_756

    alone = entered("")
    assert entered("(local i64 i64 i64)") - alone == 3
    assert entered("(local i32 i32 i32)") - alone == 2, "twelve bytes are two words"
    assert entered("(local f64) (local i32)") - alone == 2


def test_a_contract_may_not_have_more_functions_and_locals_than_the_network_takes() -> None:
    many = contract(f'(func (export "go") (local {"i64 " * 1000}))')
    locals_place = many.index(b"\xe8\x07\x7e")  # a thousand of i64
    huge = many[:locals_place] + b"\xff\x7f\x7e" + many[locals_place + 3 :]
    assert Contract(huge).call("go", b"")["error"] is None, "16,383 are few enough"
    section = b"\x05" + b"\x01\xc1\x84\x3d\x7e" + b"\x0b"  # one function: a million and one locals, end
    body = b"\x01" + bytes([len(section)]) + section
    code = many[: many.index(b"\x0a", locals_place - 8)] + b"\x0a" + bytes([len(body)]) + body
    assert Contract(code).call("go", b"")["error"] is not None


def test_gas_given_to_promises_is_used_and_not_burnt() -> None:
    places = Places()
    call = f"{places.text('echo')} {places.text('')} {places.amount(0)} (i64.const {10**13})"
    shown = run(f"(drop (call $promise_create {places.text('shop.near')} {call}))", data=places.data)
    execution = 108_059_500_000 + 780_000_000_000 + 4 * 2_235_934
    assert shown["gas"]["used"] - shown["gas"]["burnt"] == 10**13 + execution
    assert shown["receipts"][0]["receiver_id"] == "shop.near"


def test_a_callback_pays_for_the_data_that_it_waits_for() -> None:
    places = Places()
    line = (
        f"(drop (call $promise_batch_then (call $promise_batch_create {places.text('other.near')})"
        f" {places.text('shop.near')}))"
    )
    with_then = run(line, data=places.data)["gas"]["profile"]["action:new_action_receipt"]
    alone = run(f"(drop (call $promise_batch_create {places.text('other.near')}))", data=places.data)
    data_receipt = 2 * 36_486_732_312
    assert with_then - alone["gas"]["profile"]["action:new_action_receipt"] == 108_059_500_000 + data_receipt


def test_an_answer_costs_what_it_takes_to_bring_it_to_who_waits() -> None:
    places = Places()
    line = f"(call $value_return {places.text('12345678')})"
    shown = run(line, data=places.data, output_data_receivers=("a.near", "shop.near"))
    by_byte = (47_683_715 + 17_212_011) + (17_212_011 + 17_212_011)
    assert shown["gas"]["profile"]["action:new_data_receipt_byte"] == 8 * by_byte
