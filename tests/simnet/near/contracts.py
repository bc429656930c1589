"""Small contracts in the text format of WebAssembly, for what the real contracts do not reach."""

from __future__ import annotations

import re
from functools import cache

import wasmtime

from mycel_simnet.near.vm import FUNCTIONS  # all are known once the machine is

_KINDS = {"I": "i64", "i": "i32"}


def _import(name: str) -> str:
    parameters, results = FUNCTIONS[name]
    given = f"(param {' '.join(_KINDS[one] for one in parameters)})" if parameters else ""
    answer = f"(result {_KINDS[results]})" if results else ""
    return f'(import "env" "{name}" (func ${name} {given} {answer}))'


@cache
def contract(body: str, data: str = "") -> bytes:
    """A module with ``body``; the host functions that it calls are imported, and ``data`` lies in its memory."""
    imports = "\n".join(_import(name) for name in dict.fromkeys(re.findall(r"call \$(\w+)", body)) if name in FUNCTIONS)
    code = wasmtime.wat2wasm(f'(module {imports} (memory (export "memory") 1) {data} {body})')
    return bytes(code)


def method(name: str, *lines: str) -> str:
    """An exported method."""
    return f'(func (export "{name}") {" ".join(lines)})'


# Returns its arguments: `input` to register 0, and from there.
ECHO = method("echo", "(call $input (i64.const 0))", "(call $value_return (i64.const -1) (i64.const 0))")

# Panics with its arguments as the message.
PANIC = method(
    "fail",
    "(call $input (i64.const 0))",
    "(call $read_register (i64.const 0) (i64.const 4096))",
    "(call $panic_utf8 (call $register_len (i64.const 0)) (i64.const 4096))",
)

# Writes its arguments under the key "k", and then panics if the method says so.
_STORE = (
    "(call $input (i64.const 0))",
    "(drop (call $storage_write (i64.const 1) (i64.const 0) (i64.const -1) (i64.const 0) (i64.const 1)))",
)
STORE = method("store", *_STORE)
STORE_AND_FAIL = method("store_and_fail", *_STORE, "(call $panic)")
REMOVE = method("remove", "(drop (call $storage_remove (i64.const 1) (i64.const 0) (i64.const 1)))")
READ = method(
    "read",
    "(drop (call $storage_read (i64.const 1) (i64.const 0) (i64.const 2)))",
    "(call $value_return (i64.const -1) (i64.const 2))",
)
SPIN = method("spin", "(loop $again (br $again))")
LOG = method(
    "log",
    "(call $input (i64.const 0))",
    "(call $read_register (i64.const 0) (i64.const 4096))",
    "(call $log_utf8 (call $register_len (i64.const 0)) (i64.const 4096))",
)

EVERYTHING = contract(ECHO + PANIC + STORE + STORE_AND_FAIL + REMOVE + READ + SPIN + LOG, '(data (i32.const 0) "k")')


def u128(value: int) -> str:
    """A number of 16 bytes, as text of a data segment."""
    return "".join(f"\\{byte:02x}" for byte in value.to_bytes(16, "little"))


class Places:
    """Texts and numbers in a contract's memory, one after the other from ``start``."""

    def __init__(self, start: int = 0) -> None:
        self._next, self._segments = start, ""

    @property
    def data(self) -> str:
        """The data segments."""
        return self._segments

    def text(self, text: str) -> str:
        """``(size) (address)`` of a text."""
        size, place = len(text.encode()), self._next
        escaped = "".join(f"\\{byte:02x}" for byte in text.encode())
        self._segments += f'(data (i32.const {place}) "{escaped}")'
        self._next += size
        return f"(i64.const {size}) (i64.const {place})"

    def amount(self, amount: int) -> str:
        """The address of an amount."""
        place = self._next
        self._segments += f'(data (i32.const {place}) "{u128(amount)}")'
        self._next += 16
        return f"(i64.const {place})"

    def raw(self, data: bytes) -> str:
        """``(size) (address)`` of bytes."""
        place = self._next
        self._segments += f'(data (i32.const {place}) "{"".join(f"{chr(92)}{byte:02x}" for byte in data)}")'
        self._next += len(data)
        return f"(i64.const {len(data)}) (i64.const {place})"
