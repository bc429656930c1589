"""Columns and blocks: the wire form of tables of rows, compact, canonical and bounded. See `mycelnode.crdt.state` for what
is in them.

A block is a 4-byte length and a canonical CBOR array of columns. A column of integers is ``[0, v, v, …]`` or, where that
has fewer items, ``[1, v, n, v, n, …]`` (runs); it may hold the differences to the row before instead of the values. The
work on whole columns is left to C (cbor2, itertools), which is what makes 10,000 rows a matter of milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, groupby, islice, repeat
from operator import ne, sub
from typing import Any, Final

import cbor2

from mycelnode.crdt.changelog import MAX_ENTRY
from mycelnode.crdt.values import pack
from mycelnode.encoding import read
from mycelnode.errors import EncodingError, ValueRefused

BLOCK_ROWS = 4096
BLOCK_BYTES = 256 * 1024  # of keys (in characters) and values in one block; a single row may be longer
MAX_BLOCK = 4 << 20  # bytes: what these can come to, with four-byte characters in the keys
MAX_BLOCK_DEPTH = 20  # block, column, and a value
LENGTH_BYTES = 4

_PLAIN, _RUNS = 0, 1
_FLAT: Final = {bytes, str, bool, type(None)}  # kinds of values that need no look inside
_dumps = partial(cbor2.dumps, canonical=True)


# --- writing ---------------------------------------------------------------------------------------------------------


def cuts(weights: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Where to cut rows of these weights into blocks: (start, end) of each."""
    sums = [0, *accumulate(weights)]
    start, rows = 0, len(sums) - 1
    while start < rows:
        end = bisect_right(sums, sums[start] + BLOCK_BYTES, start + 1, min(start + BLOCK_ROWS, rows) + 1) - 1
        end = max(end, start + 1)
        yield start, end
        start = end


def block(section: int, name: str, columns: Iterable[bytes]) -> bytes:
    """A block of encoded columns, with its length."""
    body = items([cbor2.dumps(section), cbor2.dumps(name), *columns])
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def items(encoded: Sequence[bytes]) -> bytes:
    """A CBOR array of items that are encoded already."""
    return _array_head(len(encoded)) + b"".join(encoded)


def _array_head(count: int) -> bytes:
    if count < 24:
        return bytes((0x80 | count,))
    if count < 1 << 8:
        return bytes((0x98, count))
    if count < 1 << 16:
        return b"\x99" + count.to_bytes(2, "big")
    return b"\x9a" + count.to_bytes(4, "big")


def integers(values: Sequence[int]) -> bytes:
    """A column of integers within 64 bits."""
    runs = 1 + sum(map(ne, values, islice(values, 1, None)))
    if 2 * runs >= len(values):
        return cbor2.dumps([_PLAIN, *values])
    flat = [_RUNS]
    for value, group in groupby(values):
        flat += (value, len(list(group)))
    return cbor2.dumps(flat)


def differences(values: Sequence[int]) -> bytes:
    """A column of integers, as differences; the first row is as it is."""
    return integers([values[0], *map(sub, islice(values, 1, None), values)])


def texts(values: Sequence[str]) -> bytes:
    """A column of texts."""
    return cbor2.dumps(list(values))


def fixed(values: Iterable[bytes]) -> bytes:
    """A column of byte strings of one length."""
    return cbor2.dumps(b"".join(values))


# --- reading: each function raises EncodingError for anything malformed ------------------------------------------------


def frames(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bodies of the blocks in a stream that comes in pieces of any size."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        start = 0
        while len(buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(buffer[start : start + LENGTH_BYTES], "big")
            if length > MAX_BLOCK:
                raise EncodingError("a block of the state is too large")
            end = start + LENGTH_BYTES + length
            if len(buffer) < end:
                break
            yield bytes(buffer[start + LENGTH_BYTES : end])
            start = end
        del buffer[:start]
    if buffer:
        raise EncodingError("the state ends inside a block")


def read_block(body: bytes) -> tuple[int, str, list[Any]]:
    """(section, name, columns) of a block. That the encoding is canonical is not checked here."""
    value = read(body, MAX_BLOCK_DEPTH)
    if type(value) is not list or len(value) < 3 or type(value[0]) is not int or type(value[1]) is not str:
        raise EncodingError("a block of the state is malformed")
    return value[0], value[1], value[2:]


def read_integers(column: Any, rows: int, low: int, high: int, *, differences: bool = False) -> list[int]:
    """A column of ``rows`` integers in [low, high]."""
    if type(column) is not list or not column or set(map(type, column)) != {int}:
        raise EncodingError("a column of integers was expected")
    values = column[1:]
    if column[0] == _RUNS:
        counts = values[1::2]
        if len(values) % 2 or min(counts, default=0) < 1 or sum(counts) != rows:
            raise EncodingError("a column does not have as many rows as the others")
        values = list(chain.from_iterable(map(repeat, values[::2], counts)))
    if column[0] not in (_PLAIN, _RUNS) or len(values) != rows or not rows:
        raise EncodingError("a column does not have as many rows as the others")
    if differences:
        values = list(accumulate(values))
    if min(values) < low or max(values) > high:
        raise EncodingError("an integer of the state is out of range")
    return values


def read_texts(column: Any, max_chars: int) -> list[str]:
    """A column of texts; its length is the number of rows."""
    if type(column) is not list or not column or set(map(type, column)) != {str} or max(map(len, column)) > max_chars:
        raise EncodingError("a column of short texts was expected")
    return column


def read_values(column: Any) -> list[bytes]:
    """A column of values, packed; its length is the number of rows."""
    if type(column) is not list or not column:
        raise EncodingError("a column of values was expected")
    kinds = set(map(type, column))
    try:
        if kinds == {bytes} and len(sizes := set(map(len, column))) == 1:  # as keys, hashes and numbers often are
            head = _dumps(column[0])[: -sizes.pop() or None]
            packed = [head + value for value in column]
        else:
            packed = list(map(_dumps if kinds <= _FLAT else pack, column))
    except ValueRefused as error:
        raise EncodingError(str(error)) from error
    if max(map(len, packed)) > MAX_ENTRY:
        raise EncodingError("a value is larger than any entry")
    return packed


def read_fixed(column: Any, size: int) -> list[bytes]:
    """A column of byte strings of ``size`` bytes; its length is the number of rows."""
    if type(column) is not bytes or not column or len(column) % size:
        raise EncodingError("a column of byte strings was expected")
    return [column[start : start + size] for start in range(0, len(column), size)]
