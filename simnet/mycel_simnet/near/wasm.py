"""The wasm of a contract, made ready: its memory gets the size that the network gives every contract, and calls their price.

For each function that is entered, the network charges as many operations as its frame has words (`prepare_v3.rs` of
`near-vm-runner`). Wasmtime's fuel does not, so each function here begins with so many constants that are dropped: each is an
operation, and no machine code.
"""

from __future__ import annotations

from mycel_simnet.near.tables import LIMITS

MAGIC = b"\0asm\1\0\0\0"
_CUSTOM, _TYPE, _FUNCTION, _MEMORY, _CODE = 0, 1, 3, 5, 10  # sections
_CONSTANT = b"\x41\x00\x1a"  # i32.const 0, drop
_FRAME, _WORD = 64, 8  # bytes
_ENTERED = 1  # operation that wasmtime counts by itself where a function is entered
_SIZES = {0x7F: 4, 0x7E: 8, 0x7D: 4, 0x7C: 8, 0x7B: 16}  # of i32, i64, f32, f64, v128; a reference has 8
_MAX_PARAMETERS = LIMITS["max_params_per_function"]


class BadWasm(ValueError):
    """Not a module of WebAssembly that the network takes; the text is nearcore's name for what is wrong (`PrepareError`)."""

    def __init__(self, reason: str = "Deserialization") -> None:
        super().__init__(reason)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    @property
    def is_empty(self) -> bool:
        return self.place >= len(self.data)

    def byte(self) -> int:
        if self.is_empty:
            raise BadWasm
        self.place += 1
        return self.data[self.place - 1]

    def number(self) -> int:
        """An unsigned LEB128 of 32 bits."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 28:
                raise BadWasm

    def take(self, size: int) -> bytes:
        if self.place + size > len(self.data):
            raise BadWasm
        self.place += size
        return self.data[self.place - size : self.place]


def _to_leb(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _sections(code: bytes) -> list[tuple[int, bytes]]:
    if not code.startswith(MAGIC):
        raise BadWasm
    reader, found = _Reader(code), []
    reader.take(len(MAGIC))
    while not reader.is_empty:
        kind = reader.byte()
        found.append((kind, reader.take(reader.number())))
    return found


def prepare(code: bytes) -> bytes:
    """The module without its custom sections, with the network's memory and the price of its calls; raises `BadWasm`."""
    sections = _sections(code)
    bodies = {kind: body for kind, body in sections if kind != _CUSTOM}
    out = bytearray(MAGIC)
    for kind, body in sections:
        if kind == _MEMORY and _Reader(body).number() == 1:
            body = b"\1\1" + _to_leb(LIMITS["initial_memory_pages"]) + _to_leb(LIMITS["max_memory_pages"])
        elif kind == _CODE:
            body = _priced(body, _parameters(bodies.get(_TYPE, b"\0"), bodies.get(_FUNCTION, b"\0")))
        if kind != _CUSTOM:
            out += bytes([kind]) + _to_leb(len(body)) + body
    return bytes(out)


def _parameters(types: bytes, functions: bytes) -> list[int]:
    """How many bytes the parameters of each function take."""
    reader, sizes = _Reader(types), []
    for _ in range(reader.number()):
        if reader.byte() != 0x60:
            raise BadWasm
        sizes.append(sum(_size(reader.byte()) for _ in range(_bounded(reader.number()))))
        reader.take(reader.number())  # results
    reader = _Reader(functions)
    if (count := reader.number()) > LIMITS["max_functions_number_per_contract"]:
        raise BadWasm("TooManyFunctions")
    indexes = [reader.number() for _ in range(count)]
    if any(index >= len(sizes) for index in indexes):
        raise BadWasm
    return [sizes[index] for index in indexes]


def _bounded(parameters: int) -> int:
    if parameters > _MAX_PARAMETERS:
        raise BadWasm("TooManyParamsPerFunction")
    return parameters


def _size(kind: int) -> int:
    return _SIZES.get(kind, 8)


def _priced(section: bytes, parameters: list[int]) -> bytes:
    """The code section, whose functions begin with what it costs to enter them."""
    reader, locals_left = _Reader(section), LIMITS["max_locals_per_contract"]
    if reader.number() != len(parameters):
        raise BadWasm
    out = bytearray(_to_leb(len(parameters)))
    for size in parameters:
        body = _Reader(reader.take(reader.number()))
        for _ in range(body.number()):
            count = body.number()
            locals_left -= count
            if locals_left < 0:
                raise BadWasm("TooManyLocals")
            size += count * _size(body.byte())
        words = (_FRAME + size + _WORD - 1) // _WORD
        priced = body.data[: body.place] + _CONSTANT * (words - _ENTERED) + body.data[body.place :]
        out += _to_leb(len(priced)) + priced
    return bytes(out)
