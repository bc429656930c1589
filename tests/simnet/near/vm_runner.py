"""Calls that our virtual machine and the network's own must answer alike, and what the network's own answered.

``vm_runner.jsonl`` was recorded with a program around nearcore's `near-vm-runner`; `make contracts` records anew, and compares:

    python -m tests.simnet.near.vm_runner | cargo run --manifest-path contracts/vm/Cargo.toml --bin host_calls > recorded
    mv recorded tests/simnet/near/vm_runner.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mycel_simnet.near.single import Setting
from tests.simnet.near.contracts import ECHO, EVERYTHING, Places, contract, method
from tests.simnet.near.host_calls import KNOWN, VIEW_REFUSES, WRONG_PROMISES

RECORDED = Path(__file__).with_suffix(".jsonl")
ACCOUNT = "shop.near"
USUAL = Setting(signer="signer.near", predecessor="caller.near", deposit=5)


@dataclass(frozen=True)
class Step:
    """One call."""

    method: str
    args: bytes = b""
    setting: Setting = USUAL


@dataclass(frozen=True)
class Case:
    """Calls of one contract, one after the other."""

    name: str
    code: bytes
    steps: tuple[Step, ...]

    def json(self) -> Any:
        """For the program."""
        return {
            "name": self.name,
            "account_id": ACCOUNT,
            "code": self.code.hex(),
            "steps": [_step(step) for step in self.steps],
        }


def _step(step: Step) -> dict[str, Any]:
    shown: dict[str, Any] = {"method": step.method, "args": step.args.hex()}
    for name, value in asdict(step.setting).items():
        shown[name] = str(value) if type(value) is int else value
    shown["promise_results"] = [None if one is None else one.hex() for one in step.setting.promise_results]
    return shown


def go(name: str, *lines: str, data: str = "", args: bytes = b"", **setting: Any) -> Case:
    """One call of a method of these lines."""
    world = replace(USUAL, **setting)
    return Case(name, contract(method("go", *lines) + ECHO, data), (Step("go", args, world),))


def returning(name: str, line: str, data: str = "", **setting: Any) -> Case:
    """One that answers what it put into register 0."""
    return go(name, line, "(call $value_return (i64.const -1) (i64.const 0))", data=data, **setting)


def number(name: str, expression: str, data: str = "", **setting: Any) -> Case:
    """One that answers a number."""
    store = f"(i64.store (i32.const 0) {expression})"
    return go(name, store, "(call $value_return (i64.const 8) (i64.const 0))", data=data, **setting)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _told()
    yield from _hashes()
    yield from _text()
    yield from _promises()
    for name, line in VIEW_REFUSES.items():
        yield go(f"view: {name}", line, is_view=True)
    for name, line in WRONG_PROMISES.items():
        yield go(f"wrong: {name}", "(local $a i64)", line, data=_carol())
    texts = (b"one", b"three", b"")
    steps = [
        Step("read"),
        *(Step("store", text) for text in texts),
        Step("read"),
        Step("store_and_fail", b"never"),
        Step("remove"),
        Step("remove"),
        Step("log", "héllo ✓".encode()),
        Step("fail", b"no"),
        Step("nothing"),
        Step(""),
        Step("spin", setting=Setting(gas=10**12)),
        Step("echo", setting=Setting(gas=10**9)),
        Step("store", b"x", Setting(is_view=True)),
        Step("spin", setting=Setting(is_view=True)),
        Step("store", bytes(4001)),
        Step("read"),
        Step("remove"),
    ]
    yield Case("storage, logs and failures", EVERYTHING, tuple(steps))
    traps = {
        "unreachable": "(unreachable)",
        "division by zero": "(drop (i64.div_u (i64.const 1) (i64.const 0)))",
        "overflow": "(drop (i64.div_s (i64.const -9223372036854775808) (i64.const -1)))",
        "outside the memory": "(drop (i64.load (i32.const -8)))",
        "no such register": "(call $read_register (i64.const 4) (i64.const 0))",
        "register into nowhere": "(call $write_register (i64.const 0) (i64.const 4) (i64.const 67108864))",
        "panic": "(call $panic)",
        "long key": "(drop (call $storage_has_key (i64.const 2049) (i64.const 0)))",
        "iterator": "(drop (call $storage_iter_prefix (i64.const 0) (i64.const 0)))",
    }
    for name, line in traps.items():
        yield go(name, line)
    for name in ("copy", "fill"):
        yield go(f"memory.{name}", f"(memory.{name} (i32.const 0) (i32.const 9) (i32.const 100000))")
    loop = (
        "(local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 100000)))"
    )
    yield go("a long loop", "(local $i i32)", f"(loop $l {loop})")
    dropped = "(drop (i32.const 1)) (drop (i32.const 2)) (nop) (block (loop))"
    yield go("a loop of what is not counted", "(local $i i32)", f"(loop $l {dropped} {loop})")
    called = "(func $inner (param i64 i32) (local f64 f32) (return))"
    inner = f"(loop $l (call $inner (i64.const 1) (i32.const 1)) {loop})"
    many = contract(called + method("go", "(local $i i32)", inner))
    yield Case("many calls", many, (Step("go"),))
    deep = '(func $deep (export "go") (local i64 i64 i64 i64) (call $deep))'
    yield Case("too deep", contract(deep), (Step("go"),))
    yield Case("a result", contract('(func (export "go") (result i64) (i64.const 0))'), (Step("go"),))


def _told() -> Iterator[Case]:
    for name in ("current_account_id", "signer_account_id", "predecessor_account_id", "refund_to_account_id"):
        yield returning(name, f"(call ${name} (i64.const 0))")
    for name in ("signer_account_pk", "random_seed"):
        yield returning(name, f"(call ${name} (i64.const 0))")
    yield returning("current_contract_code", "(drop (call $current_contract_code (i64.const 0)))")
    yield returning("input", "(call $input (i64.const 0))", args=bytes(500))
    for name in (
        "block_index",
        "block_timestamp",
        "epoch_height",
        "storage_usage",
        "prepaid_gas",
        "promise_results_count",
    ):
        yield number(name, f"(call ${name})")
    yield number("register_len", "(call $register_len (i64.const 9))")
    yield number("memory.size", "(i64.extend_i32_u (memory.size))")
    for pages in (1024, 1025):
        yield number(f"memory.grow {pages}", f"(i64.extend_i32_u (memory.grow (i32.const {pages})))")
    for name in ("account_balance", "attached_deposit", "account_locked_balance"):
        yield go(name, f"(call ${name} (i64.const 0))", "(call $value_return (i64.const 16) (i64.const 0))")
    result = "(drop (call $promise_result (i64.const 0) (i64.const 0)))"
    yield returning("promise_result", result, promise_results=(b"value", None))
    failed = "(call $promise_result (i64.const 1) (i64.const 0))"
    yield number("promise_result that failed", failed, promise_results=(b"value", None))
    places = Places()
    answer = f"(call $value_return {places.text('12345678')})"
    yield go("an answer for two", answer, data=places.data, output_data_receivers=("a.near", ACCOUNT))


def _hashes() -> Iterator[Case]:
    for name in KNOWN:
        for text in ("", "abc", "x" * 200):
            places = Places()
            yield returning(f"{name} of {len(text)}", f"(call ${name} {places.text(text)} (i64.const 0))", places.data)
    places = Places(64)
    verify = f"(call $ed25519_verify {places.raw(bytes(64))} {places.raw(b'message')} {places.raw(bytes(32))})"
    yield number("ed25519_verify", verify, places.data)
    places = Places(64)
    short = f"(call $ed25519_verify {places.raw(b'short')} {places.raw(b'')} {places.raw(b'')})"
    yield number("ed25519_verify of too little", short, places.data)
    for size, recovery, flag in ((64, 0, 0), (63, 0, 0), (64, 4, 0), (64, 0, 2)):
        places = Places(64)
        where = (
            f"{places.raw(bytes(32))} {places.raw(bytes(size))} (i64.const {recovery}) (i64.const {flag}) (i64.const 0)"
        )
        yield number(f"ecrecover {size} {recovery} {flag}", f"(call $ecrecover {where})", places.data)


def _text() -> Iterator[Case]:
    places = Places()
    utf8, utf16 = places.text("héllo ✓\0"), places.raw("wörld\0".encode("utf-16-le"))
    ends = [place.rsplit(" (", 1)[1].rstrip(")") for place in (utf8, utf16)]
    yield go("logs that end with a zero", *(
        f"(call $log_{kind} (i64.const -1) ({end}))" for kind, end in zip(("utf8", "utf16"), ends, strict=True)
    ), data=places.data)  # fmt: skip
    bad = '(data (i32.const 0) "\\ff\\fe")'
    yield go("bad UTF-8", "(call $log_utf8 (i64.const 2) (i64.const 0))", data=bad)
    yield go("bad UTF-16", "(call $log_utf16 (i64.const 1) (i64.const 0))")
    for size in (0, 1000, 20_000):
        yield go(f"logs of {size}", f"(loop $l (call $log_utf8 (i64.const {size}) (i64.const 0)) (br $l))")
    message, file = "oops".encode("utf-16-le"), "a.ts".encode("utf-16-le")
    places = Places()
    places.raw(len(message).to_bytes(4, "little") + message + len(file).to_bytes(4, "little") + file)
    yield go("abort", "(call $abort (i32.const 4) (i32.const 16) (i32.const 7) (i32.const 9))", data=places.data)


def _carol() -> str:
    places = Places(64)
    places.text("carol")
    return places.data


def _promises() -> Iterator[Case]:
    places = Places(16)
    call = f"{places.text('echo')} {places.text('hello')} {places.amount(3)} (i64.const 10000000000000)"
    account, own = places.text("other.near"), places.text(ACCOUNT)
    amount, key = places.amount(2), places.raw(b"\0" + bytes(range(32)))
    names, child = places.text("a,bc"), places.text("child.shop.near")
    create = f"(local.set $a (call $promise_create {account} {call}))"
    declared = "(local $a i64) (local $b i64)"
    yield go("promise_create", declared, create, data=places.data)
    then = f"(local.set $b (call $promise_then (local.get $a) {own} {call}))"
    yield go(
        "promise_then and promise_return",
        declared,
        create,
        then,
        "(call $promise_return (local.get $a))",
        data=places.data,
    )
    joint = (
        "(i64.store (i32.const 0) (local.get $a))",
        f"(i64.store (i32.const 8) (call $promise_batch_create {own}))",
        "(local.set $b (call $promise_and (i64.const 0) (i64.const 2)))",
        f"(drop (call $promise_batch_then (local.get $b) {own}))",
    )
    yield go("promise_and", declared, create, *joint, data=places.data)
    batch = {
        "create_account": "",
        "transfer": amount,
        "deploy_contract": names,
        "add_key_with_full_access": f"{key} (i64.const 0)",
        "add_key_with_function_call": f"{key} (i64.const 0) {amount} {account} {names}",
        "delete_key": key,
        "delete_account": account,
        "function_call": call,
        "function_call_weight": f"{call} (i64.const 2)",
    }
    for receiver, name in ((child, "a child"), (own, "itself")):
        for action, given in batch.items():
            lines = (
                f"(local.set $a (call $promise_batch_create {receiver}))",
                f"(call $promise_batch_action_{action} (local.get $a) {given})",
            )
            yield go(f"{action} for {name}", declared, *lines, data=places.data)
    implicit = Places(0)
    receiver, few = implicit.text("00" * 32), implicit.amount(1)
    lines = (
        f"(local.set $a (call $promise_batch_create {receiver}))",
        f"(call $promise_batch_action_transfer (local.get $a) {few})",
    )
    yield go("transfer to a key", declared, *lines, data=implicit.data)
    poor = f"(call $promise_batch_action_transfer (call $promise_batch_create {account}) {amount})"
    yield go("too poor", poor, data=places.data, balance=0, deposit=1)
    yocto = Places(0)
    one = f"{yocto.text('m')} {yocto.text('')} {yocto.amount(1)} (i64.const 1000000000)"
    line = f"(drop (call $promise_create {yocto.text('other.near')} {one}))"
    yield go("one yocto of nothing", line, data=yocto.data, balance=0, deposit=0)


if __name__ == "__main__":
    json.dump([case.json() for case in cases()], sys.stdout)
