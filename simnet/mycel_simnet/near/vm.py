"""Runs contracts on wasmtime, the virtual machine that the network itself runs them on since protocol 84.

Wasmtime counts the operations of a contract as fuel; each is paid at the network's price. For drops, loops and returns, which the
network charges for, fuel takes nothing: a call is cheaper here by one or two in a hundred (docs/devchain.md).
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wasmtime

from mycel_simnet.near.errors import CallFailed, HostError, bad_code, link_failed, no_method, trapped
from mycel_simnet.near.gas import GasCounter
from mycel_simnet.near.host import FUNCTIONS, TRIE_DEPTH, Context, NewReceipt
from mycel_simnet.near.host_context import ContextCall
from mycel_simnet.near.host_crypto import CryptoCall
from mycel_simnet.near.host_promises import AbsentCall, PromiseCall
from mycel_simnet.near.host_storage import StorageCall
from mycel_simnet.near.keys import sha256
from mycel_simnet.near.state import State
from mycel_simnet.near.tables import LIMITS, OPERATION
from mycel_simnet.near.types import FunctionCall
from mycel_simnet.near.wasm import BadWasm, prepare

MAX_MODULES = 64  # compiled and kept
_MASKS = {"I": (1 << 64) - 1, "i": (1 << 32) - 1}
_SIGNS = {"I": 1 << 63, "i": 1 << 31}
_TRAPS = {
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "MemoryOutOfBounds",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "CallIndirectOOB",
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: "IndirectCallToNull",
    wasmtime.TrapCode.BAD_SIGNATURE: "IncorrectCallIndirectSignature",
    wasmtime.TrapCode.INTEGER_OVERFLOW: "IllegalArithmetic",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "IllegalArithmetic",
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: "IllegalArithmetic",
    wasmtime.TrapCode.UNREACHABLE: "Unreachable",
}


class _Call(ContextCall, StorageCall, PromiseCall, CryptoCall, AbsentCall):
    """One execution, with every host function."""


@dataclass(frozen=True)
class Outcome:
    """What came of a call."""

    returned: bytes | int | None  # a value, the index of one of the receipts, or nothing
    error: CallFailed | None
    gas_burnt: int
    gas_used: int
    balance: int
    storage_usage: int
    logs: tuple[str, ...]
    receipts: tuple[NewReceipt, ...]
    profile: dict[str, int]  # what the gas was burnt for
    subsidised: int = 0


class _Machine:
    """The engine, the host functions and the compiled contracts of this process: they depend on nothing but code."""

    def __init__(self) -> None:
        config = wasmtime.Config()
        config.consume_fuel = True
        config.cranelift_opt_level = "none"  # a contract runs for a moment, and is compiled each time a process starts
        config.cranelift_nan_canonicalization = True
        config.max_wasm_stack = 4 * LIMITS["max_stack_height"]  # which counts what wasm sees; machine code takes more
        for feature in ("simd", "relaxed_simd", "threads", "multi_memory", "memory64", "tail_call", "multi_value"):
            setattr(config, f"wasm_{feature}", False)
        self.engine = wasmtime.Engine(config)
        self.linker = wasmtime.Linker(self.engine)
        self.call: _Call | None = None  # the execution that host functions are for; there is one at a time
        self.store: wasmtime.Store | None = None
        self._modules: OrderedDict[bytes, wasmtime.Module | CallFailed] = OrderedDict()
        for name, (parameters, results) in FUNCTIONS.items():
            kind = wasmtime.FuncType([_value_type(one) for one in parameters], [_value_type(one) for one in results])
            self.linker.define_func("env", name, kind, self._host_function(name, parameters, results))

    def _host_function(self, name: str, parameters: str, results: str) -> Callable[..., Any]:
        masks = [_MASKS[one] for one in parameters]
        function = getattr(_Call, name)
        sign = _SIGNS[results] if results else 0

        def run(*arguments: int) -> int | None:
            call, store = self.call, self.store
            assert call is not None
            assert store is not None
            burn_operations(call.gas, store)
            given = [argument & mask for argument, mask in zip(arguments, masks, strict=True)]
            result: int | None = function(call, *given)
            fuel_up(call.gas, store)
            return result if result is None else ((result + sign) % (2 * sign)) - sign

        return run

    def module(self, code_hash: bytes, code: bytes) -> wasmtime.Module:
        """The compiled contract; raises `CallFailed` if it is none."""
        found = self._modules.get(code_hash)
        if found is None:
            try:
                found = wasmtime.Module(self.engine, prepare(code))
            except BadWasm as error:
                found = bad_code(str(error))
            except wasmtime.WasmtimeError:
                found = bad_code("Deserialization")
            self._modules[code_hash] = found
            if len(self._modules) > MAX_MODULES:
                self._modules.popitem(last=False)
        self._modules.move_to_end(code_hash)
        if isinstance(found, CallFailed):
            raise found
        return found


def _value_type(letter: str) -> wasmtime.ValType:
    return wasmtime.ValType.i64() if letter == "I" else wasmtime.ValType.i32()


def burn_operations(gas: GasCounter, store: wasmtime.Store) -> None:
    """Pay for the operations that ran since the fuel was last filled up."""
    ran = gas.remaining // OPERATION - store.get_fuel()
    gas.profile["wasm_instruction"] += ran * OPERATION
    gas.burn(ran * OPERATION)


def fuel_up(gas: GasCounter, store: wasmtime.Store) -> None:
    """As much fuel as there is gas for."""
    store.set_fuel(gas.remaining // OPERATION)


_machine: _Machine | None = None


def _the_machine() -> _Machine:
    global _machine  # noqa: PLW0603 -- what is compiled once serves every chain of the process
    if _machine is None:
        _machine = _Machine()
    return _machine


def run(
    code: bytes, method: str, context: Context, state: State, trie_depth: int = TRIE_DEPTH, share_gas: bool = True
) -> Outcome:
    """Run a method of a contract in ``context``; it reads and writes ``state``. Gas that is left is shared if ``share_gas``.

    What it wrote is to be thrown away when the outcome has an error.
    """
    machine = _the_machine()
    gas = GasCounter(context.prepaid_gas, LIMITS["max_gas_burnt"], context.is_view)
    call = _Call(context, gas, state, trie_depth)
    error: CallFailed | None = None
    try:
        module = machine.module(sha256(code), code)
        _check_method(module, method)
        gas.pay("contract_loading_bytes", len(code))
        gas.pay("contract_loading_base")
        _execute(machine, module, method, call)
    except CallFailed as failed:
        error = failed
    if error is None and share_gas:
        _share_gas(call)
    return Outcome(
        call.returned,
        error,
        gas.burnt,
        gas.used,
        call.balance,
        call.usage,
        tuple(call.logs),
        tuple(call.receipts),
        dict(gas.profile),
        call.subsidised,
    )


def _check_method(module: wasmtime.Module, method: str) -> None:
    if not method:
        raise no_method("MethodEmptyName")
    kind = next((export.type for export in module.exports if export.name == method), None)
    if not isinstance(kind, wasmtime.FuncType):
        raise no_method("MethodNotFound")
    if kind.params or kind.results:
        raise no_method("MethodInvalidSignature")


def _execute(machine: _Machine, module: wasmtime.Module, method: str, call: _Call) -> None:
    store = wasmtime.Store(machine.engine)
    machine.call, machine.store = call, store
    fuel_up(call.gas, store)
    try:
        instance = machine.linker.instantiate(store, module)
        exports = instance.exports(store)
        memory = exports.get("memory")
        if isinstance(memory, wasmtime.Memory):
            call.memory_start = ctypes.addressof(memory.data_ptr(store).contents)
            call.memory_size = lambda: memory.data_len(store)
        function = exports[method]
        assert isinstance(function, wasmtime.Func)
        function(store)
        burn_operations(call.gas, store)
    except wasmtime.Trap as trap:
        burn_operations(call.gas, store)
        if trap.trap_code == wasmtime.TrapCode.OUT_OF_FUEL:
            _out_of_gas(call.gas)
        if trap.trap_code == wasmtime.TrapCode.STACK_OVERFLOW:
            raise HostError("MemoryAccessViolation") from None  # so the network calls it, which counts the stack itself
        kind = None if trap.trap_code is None else _TRAPS.get(trap.trap_code)
        raise trapped(kind or "GenericTrap") from None
    except wasmtime.WasmtimeError:
        raise link_failed("unknown or invalid import") from None
    finally:
        machine.call = machine.store = None


def _out_of_gas(gas: GasCounter) -> None:
    """There is not enough left for one more operation."""
    try:
        gas.burn(gas.remaining + OPERATION)
    except HostError as error:
        raise error from None


def _share_gas(call: _Call) -> None:
    """Give what gas is left to the calls that asked for a share, by their weights."""
    shares = [(receipt, index, weight) for receipt in call.receipts for index, weight in receipt.weights.items()]
    left = call.gas.prepaid - call.gas.used
    if not shares or call.context.is_view:
        return
    total, given = sum(weight for _, _, weight in shares), 0
    for place, (receipt, index, weight) in enumerate(shares):
        share = left - given if place == len(shares) - 1 else left * weight // total
        given += share
        action = receipt.actions[index]
        assert isinstance(action, FunctionCall)
        receipt.actions[index] = dataclasses.replace(action, gas=action.gas + share)
    call.gas.give(left)
