"""The wasm of a contract, made ready for the virtual machine: its memory gets the size that the network gives every contract."""

from __future__ import annotations

from mycel_simnet.near.tables import LIMITS

MAGIC = b"\0asm\1\0\0\0"
_CUSTOM, _MEMORY = 0, 5  # sections


class BadWasm(ValueError):
    """Not a module of WebAssembly."""


def _leb(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 28:
            raise BadWasm
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


def _to_leb(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def prepare(code: bytes) -> bytes:
    """The module without its custom sections and with the network's limits on its own memory; raises `BadWasm`."""
    if not code.startswith(MAGIC):
        raise BadWasm
    out, place = bytearray(MAGIC), len(MAGIC)
    pages = b"\1\1" + _to_leb(LIMITS["initial_memory_pages"]) + _to_leb(LIMITS["max_memory_pages"])
    while place < len(code):
        kind = code[place]
        size, start = _leb(code, place + 1)
        end = start + size
        if end > len(code):
            raise BadWasm
        body = code[start:end]
        if kind == _MEMORY and _leb(body, 0)[0] == 1:
            body = pages
        if kind != _CUSTOM:
            out += bytes([kind]) + _to_leb(len(body)) + body
        place = end
    return bytes(out)
