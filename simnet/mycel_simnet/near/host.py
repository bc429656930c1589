"""What a contract's call is to its host: registers, memory, gas, logs. The host functions themselves are in the `host_*` modules.

Semantics, costs and the order in which they are charged are those of nearcore's `near-vm-runner` (`logic.rs`, `vmstate.rs`).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mycel_simnet.near.accounts import is_valid
from mycel_simnet.near.errors import HostError
from mycel_simnet.near.gas import MAX, GasCounter
from mycel_simnet.near.tables import LIMITS
from mycel_simnet.near.types import Action

if TYPE_CHECKING:
    from mycel_simnet.near.state import State

F = TypeVar("F", bound=Callable[..., Any])
TRIE_DEPTH = 20  # nodes of the trie that a write touches: what contracts of some size see on the network

FUNCTIONS: dict[str, tuple[str, str]] = {}  # host function → its parameters and results: "I" is i64, "i" is i32


def host(signature: str) -> Callable[[F], F]:
    """Make a method of `Call` a host function; ``II>I`` takes two i64 and returns one."""
    parameters, _, results = signature.partition(">")

    def note(function: F) -> F:
        FUNCTIONS[function.__name__] = (parameters, results)
        return function

    return note


def not_in_view(function: F) -> F:
    """Refuse a host function to views, after the base cost, as the network does."""
    name = function.__name__.removesuffix("_weight")

    @functools.wraps(function)
    def guarded(call: Call, *arguments: int) -> Any:
        call.gas.pay("base")
        if call.context.is_view:
            raise HostError("ProhibitedInView", method_name=name)
        return function(call, *arguments)

    return cast(F, guarded)


@dataclass(frozen=True)
class Context:
    """What a call is told about the world."""

    current_account_id: str
    signer_account_id: str
    signer_public_key: bytes  # in Borsh
    predecessor_account_id: str
    refund_to_account_id: str
    input: bytes
    promise_results: tuple[bytes | None, ...]  # None: failed
    output_data_receivers: tuple[str, ...]
    block_height: int
    block_timestamp: int
    epoch_height: int
    account_balance: int
    locked_balance: int
    storage_usage: int
    attached_deposit: int
    prepaid_gas: int
    random_seed: bytes
    code_hash: bytes
    chain_id: str
    is_view: bool = False


@dataclass
class NewReceipt:
    """A receipt that the call makes."""

    receiver_id: str
    depends_on: tuple[int, ...]
    actions: list[Action] = field(default_factory=list)
    weights: dict[int, int] = field(default_factory=dict)  # of its calls: index → share of the gas that is left
    refund_to: str | None = None


@dataclass(frozen=True)
class Joint:
    """A promise of several receipts, which nothing but a callback can follow."""

    receipts: tuple[int, ...]


class Call:
    """One execution of one method; the host functions are methods that the `host_*` modules put here."""

    def __init__(self, context: Context, gas: GasCounter, state: State, trie_depth: int = TRIE_DEPTH) -> None:
        self.context, self.gas, self.state, self.trie_depth = context, gas, state, trie_depth
        self.balance = context.account_balance + context.attached_deposit
        self.subsidised = 0  # yoctoNEAR that came from nowhere, see `host_promises`
        self.usage = context.storage_usage
        self.logs: list[str] = []
        self.log_bytes = 0
        self.returned: bytes | int | None = None  # a value, the index of a receipt, or nothing
        self.receipts: list[NewReceipt] = []
        self.promises: list[int | Joint] = []
        self._registers: dict[int, bytes] = {}
        self._register_bytes = 0
        self.memory_size: Callable[[], int] = lambda: 0
        self.memory_start = 0

    # --- memory ---

    def peek(self, pointer: int, size: int) -> bytes:
        """Bytes of the contract's memory, free of charge."""
        if pointer + size > self.memory_size():
            raise HostError("MemoryAccessViolation")
        return ctypes.string_at(self.memory_start + pointer, size)

    def read(self, pointer: int, size: int) -> bytes:
        """Bytes of the contract's memory."""
        self.gas.pay("read_memory_base")
        self.gas.pay("read_memory_byte", size)
        return self.peek(pointer, size)

    def write(self, pointer: int, data: bytes) -> None:
        """Put bytes into the contract's memory."""
        self.gas.pay("write_memory_base")
        self.gas.pay("write_memory_byte", len(data))
        if pointer + len(data) > self.memory_size():
            raise HostError("MemoryAccessViolation")
        ctypes.memmove(self.memory_start + pointer, data, len(data))

    def read_u128(self, pointer: int) -> int:
        """A number of 16 bytes, such as an amount."""
        return int.from_bytes(self.read(pointer, 16), "little")

    def write_u128(self, pointer: int, value: int) -> None:
        """Put a number of 16 bytes into the memory."""
        self.write(pointer, value.to_bytes(16, "little"))

    # --- registers ---

    def register(self, number: int) -> bytes:
        """What is in a register."""
        data = self._registers.get(number)
        if data is None:
            raise HostError("InvalidRegisterId", register_id=number)
        self.gas.pay("read_register_base")
        self.gas.pay("read_register_byte", len(data))
        return data

    def register_size(self, number: int) -> int | None:
        """How many bytes are in a register, or None."""
        data = self._registers.get(number)
        return None if data is None else len(data)

    def set_register(self, number: int, data: bytes, free_bytes: bool = False) -> None:
        """Put bytes into a register; those of the input and of promises' results are there already."""
        self.gas.pay("write_register_base")
        if not free_bytes:
            self.gas.pay("write_register_byte", len(data))
        if len(data) > LIMITS["max_register_size"] or len(self._registers) >= LIMITS["max_number_registers"]:
            raise HostError("MemoryAccessViolation")
        old = self._registers.get(number)
        usage = self._register_bytes + len(data) + 8 - (0 if old is None else len(old) + 8)
        if usage > LIMITS["registers_memory_limit"]:
            raise HostError("MemoryAccessViolation")
        self._register_bytes = usage
        self._registers[number] = data

    def given(self, size: int, pointer: int) -> bytes:
        """An argument: bytes of the memory, or of the register ``pointer`` when the size is the highest there is."""
        return self.register(pointer) if size == MAX else self.read(pointer, size)

    # --- arguments of a kind ---

    def account_id(self, size: int, pointer: int) -> str:
        """An argument that names an account."""
        data = self.given(size, pointer)
        self.gas.pay("utf8_decoding_base")
        self.gas.pay("utf8_decoding_byte", len(data))
        try:
            account = data.decode()
        except UnicodeDecodeError:
            raise HostError("BadUTF8") from None
        if not is_valid(account):
            raise HostError("InvalidAccountId")
        return account

    def utf8(self, size: int, pointer: int) -> str:
        """Text for a log or a panic; the highest size means that a zero ends it."""
        self.gas.pay("utf8_decoding_base")
        room = LIMITS["max_total_log_length"] - self.log_bytes
        if size != MAX:
            if size > room:
                self._log_too_long(size)
            data = self.read(pointer, size)
        else:
            found = bytearray()
            while (byte := self.read(pointer + len(found), 1)) != b"\0":
                if len(found) == room:
                    self._log_too_long(room + 1)
                found += byte
            data = bytes(found)
        self.gas.pay("utf8_decoding_byte", len(data))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise HostError("BadUTF8") from None

    def utf16(self, size: int, pointer: int) -> str:
        """As `utf8`, in UTF-16."""
        self.gas.pay("utf16_decoding_base")
        room = LIMITS["max_total_log_length"] - self.log_bytes
        if size == MAX:
            size = 0
            while self.read(pointer + size, 2) != b"\0\0":
                size += 2
                if size > room:
                    self._log_too_long(size)
            data = self.peek(pointer, size)
        else:
            data = self.read(pointer, size)
        if size % 2:
            raise HostError("BadUTF16")
        if size > room:
            self._log_too_long(size)
        self.gas.pay("utf16_decoding_byte", size)
        try:
            return data.decode("utf-16-le")
        except UnicodeDecodeError:
            raise HostError("BadUTF16") from None

    # --- logs ---

    def check_log(self) -> None:
        """Is there room for another line?"""
        if len(self.logs) >= LIMITS["max_number_logs"]:
            raise HostError("NumberOfLogsExceeded", limit=LIMITS["max_number_logs"])

    def log(self, message: str) -> None:
        """Keep a line that was paid for."""
        size = len(message.encode())
        if self.log_bytes + size > LIMITS["max_total_log_length"]:
            self._log_too_long(size)
        self.log_bytes += size
        self.logs.append(message)

    def _log_too_long(self, more: int) -> None:
        raise HostError(
            "TotalLogLengthExceeded", length=min(self.log_bytes + more, MAX), limit=LIMITS["max_total_log_length"]
        )
