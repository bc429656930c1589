"""Large inputs from real ones: as large as a peer or a file may make them, and well-formed, so that a decoder goes through all of
them. What costs the square of a length shows at these sizes, and hardly below."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cbor2

from mycelnode.encoding import read
from mycelnode.errors import EncodingError

SLACK = 64  # bytes for the heads of lists and strings, which grow with what is in them
MAX_NODES = 2000  # values of one input that are considered
INSIDE = 0.7  # how often what is made large is inside a byte string that is an encoding of its own
CHARS = "aA0.-_ \n\t[{(\"'\\/=,:#\u202eé\U0001f469\x00"  # what texts are made long with, besides their own characters

Shape = Callable[[bytes, int, random.Random], bytes]


def enlarged(seeds: Sequence[bytes], size: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """One input of each shape, with its name: each from one of ``seeds``, and not longer than ``size``."""
    for shape in SHAPES:
        yield shape.__name__.strip("_"), shape(rng.choice(seeds), size, rng)[:size]
    for change in CHANGES:
        made = _grown(rng.choice(seeds), change, size, rng)
        if made is not None:
            yield change.__name__.strip("_"), made[:size]


# --- bytes and texts -----------------------------------------------------------------------------------------------------------


def _repeated(data: bytes, size: int, rng: random.Random) -> bytes:
    """The whole input again and again."""
    return data * (size // max(len(data), 1))


def _part_repeated(data: bytes, size: int, rng: random.Random) -> bytes:
    """A part of the input again and again, in its place."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((1, 2, 4, 16, 64)))
    return data[:start] + _fill(data[start:end], size - len(data)) + data[start:]


def _one_char(data: bytes, size: int, rng: random.Random) -> bytes:
    """One character many times, somewhere."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + _fill(rng.choice(CHARS).encode(), size - len(data)) + data[at:]


def _one_byte(data: bytes, size: int, rng: random.Random) -> bytes:
    """One byte many times, somewhere."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((b"\x00", b"\x01", b"\x80", b"\xff")) * (size - len(data)) + data[at:]


def _digits(data: bytes, size: int, rng: random.Random) -> bytes:
    """A digit of the input made a long number."""
    places = [at for at, byte in enumerate(data) if 48 <= byte <= 57] or [len(data)]
    at = rng.choice(places)
    return data[:at] + b"7" * (size - len(data)) + data[at:]


def _lines(data: bytes, size: int, rng: random.Random) -> bytes:
    """A line of the input, often with a part of it again and again, many times; the first word has another number each time."""
    lines = data.splitlines(keepends=True) or [b""]
    chosen = rng.randrange(len(lines))
    line = lines[chosen].rstrip(b"\r\n")
    line = _part_repeated(line, rng.choice((0, 64, 512, 4096)), rng) + b"\n"
    word = next((at for at, byte in enumerate(line) if not 97 <= byte <= 122), 0)
    count = max(size - len(data), 0) // (len(line) + 6)
    more = b"".join(line[:word] + b"%06d" % number + line[word:] for number in range(count))
    return b"".join(lines[: chosen + 1]).rstrip(b"\r\n") + b"\n" + more + b"".join(lines[chosen + 1 :])


def _brackets(data: bytes, size: int, rng: random.Random) -> bytes:
    """A number of the input made a list or a table, as JSON and TOML write them."""
    found = rng.choice([*re.finditer(rb"\d+", data)] or [*re.finditer(b"$", data)])
    room = size - len(data) - 300
    first, part, last = rng.choice(
        (
            (b"[0", b",0", b"]"),
            (b"[[]", b",[]", b"]"),
            (b'["', b"x", b'"]'),
            (b'{"a":0', b',"k%07d":0', b"}"),
            (b"{a=0", b",k%07d=0", b"}"),
            (b"[{}", b",{k%07d=0}", b"]"),
            (b"[" * 90, b"7", b"]" * 90),
        )
    )
    numbered = b"%" in part
    count = room // (len(part) + 4 * numbered)  # seven digits in the place of three signs
    middle = b"".join(part % number for number in range(count)) if numbered else part * count
    return data[: found.start()] + first + middle + last + data[found.end() :]


def _noise(data: bytes, size: int, rng: random.Random) -> bytes:
    """The input, and then anything."""
    return data + rng.randbytes(max(size - len(data), 0))


def _fill(part: bytes, size: int) -> bytes:
    return part * (size // max(len(part), 1))


SHAPES: Sequence[Shape] = (_repeated, _part_repeated, _one_char, _one_byte, _digits, _lines, _brackets, _noise)


# --- values: each makes another value, of about ``room`` bytes, in the place of one that is there -------------------------


class _Encoded(bytes):
    """Bytes that stand in a value as they are, without a head: what cbor2 would not write."""


def _same_members(value: Any, room: int, rng: random.Random) -> Any:
    """A list with one of its members again and again."""
    if type(value) is not list or not value:
        return [value] * _count(value, room)
    at = rng.randrange(len(value))
    return value[:at] + [value[at]] * _count(value[at], room) + value[at:]


def _other_members(value: Any, room: int, rng: random.Random) -> Any:
    """A list with one of its members again and again, and something in it is another each time."""
    members = value if type(value) is list and value else [value]
    at = rng.randrange(len(members))
    member = members[at]
    places = _places([member])
    spot = rng.choice([path for path, leaf in places if type(leaf) in (int, str, bytes)] or [()])
    most = _count(member, room)
    count = _count(_varied([member], spot, most)[0], room)
    return members[:at] + [_varied([member], spot, number + 1)[0] for number in range(count)] + members[at:]


def _long_string(value: Any, room: int, rng: random.Random) -> Any:
    """A long string."""
    if type(value) is str:
        char = rng.choice([*CHARS, *value[:8]])
        return value + char * (room // len(char.encode()))
    if type(value) is bytes:
        return value + (
            rng.choice((b"\x00", b"\xff", value[:1] or b"\x00")) * room if rng.random() < 0.7 else rng.randbytes(room)
        )
    return rng.choice((b"\x00" * room, "x" * room))


def _many_keys(value: Any, room: int, rng: random.Random) -> Any:
    """A map with many keys."""
    keys, item = (list(value), value[next(iter(value))]) if type(value) is dict and value else ([], 0)
    kind = rng.choice([type(key) for key in keys] or [int, str, bytes])
    count = room // (len(cbor2.dumps(item)) + {int: 5, str: 9}.get(kind, 33))
    more = {_made(kind, number): item for number in range(count)}
    return {**value, **more} if keys else more


def _keys_of_one_hash(value: Any, room: int, rng: random.Random) -> Any:
    """A map with keys that all have one hash to Python: lists of -1 and -2."""
    count = room // 20
    keys = (bytes((0x90, *(0x20 + (number >> bit & 1) for bit in range(16)))) for number in range(count % 65536))
    return _Encoded(_head(5, count % 65536) + b"".join(key + b"\x00" for key in keys))


def _empties(value: Any, room: int, rng: random.Random) -> Any:
    """Many of the smallest values."""
    return [rng.choice(([], [], {}, "", b"", 0, None, [[]]))] * (room // 2 if rng.random() < 0.3 else room)


def _empty_lists(value: Any, room: int, rng: random.Random) -> Any:
    """Many empty lists: what takes the most memory for a byte."""
    return _Encoded(_head(4, room) + b"\x80" * room)


def _deep(value: Any, room: int, rng: random.Random) -> Any:
    """Lists in lists: as deep as there is room, or many that are as deep as is allowed, more or less."""
    depth = rng.choice((room, 4, 10, 14, 28))
    return _Encoded(_head(4, room // (depth + 1)) + (b"\x81" * depth + b"\x80") * (room // (depth + 1)))


def _numbers(value: Any, room: int, rng: random.Random) -> Any:
    """A list of numbers."""
    number = rng.choice((0, -1, 1 << 48, (1 << 63) - 1, -(1 << 63), 0.1, 1e300))
    return [number] * (room // len(cbor2.dumps(number)))


Change = Callable[[Any, int, random.Random], Any]
CHANGES: Sequence[Change] = (
    _same_members,
    _other_members,
    _long_string,
    _many_keys,
    _keys_of_one_hash,
    _empties,
    _empty_lists,
    _deep,
    _numbers,
)


def _grown(data: bytes, change: Change, size: int, rng: random.Random) -> bytes | None:
    """``data`` with one of its values made large; None if it is no encoding of a list or map."""
    try:
        value = read(data, 40)  # as carefully as a node: cbor2 by itself would build numbers for hours
    except EncodingError:
        return None
    if type(value) not in (list, dict):
        return None
    room = max(size - len(data) - SLACK, 0)
    path, old = rng.choice([(path, old) for path, old in _places([value]) if _fits(change, old)] or [((0,), value)])
    new: Any = None
    if type(old) is bytes and rng.random() < INSIDE:
        new = _grown(old, change, len(old) + room, rng)
    if new is None:
        new = change(old, room, rng)
    return _encoded(_with([value], path, new)[0])


def _fits(change: Change, value: Any) -> bool:
    """Is this a value to make large in that way? A list made longer goes further than one in the place of a number."""
    kinds: dict[Change, Sequence[type]] = {_long_string: (str, bytes), _many_keys: (dict, bytes)}
    return type(value) in kinds.get(change, (list, bytes))


def _places(value: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """(path, value) of the values inside, the outermost first."""
    found: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    for path, box in found:
        if len(found) > MAX_NODES:
            break
        keys = range(len(box)) if type(box) is list else list(box) if type(box) is dict else ()
        found += [((*path, key), box[key]) for key in keys]
    return found[1:]


def _with(box: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of ``box`` with another value in one place."""
    if not path:
        return new
    copy = box.copy()
    copy[path[0]] = _with(box[path[0]], path[1:], new)
    return copy


def _varied(box: Any, path: tuple[Any, ...], number: int) -> Any:
    """A copy of ``box`` with the number, text or bytes in one place changed."""
    old = box
    for key in path:
        old = old[key]
    if type(old) is str:
        return _with(box, path, f"{old}{number}")
    if type(old) is bytes:
        return _with(box, path, (number.to_bytes(4, "big") + old)[: max(len(old), 4)])
    return _with(box, path, old + number) if type(old) is int else box


def _made(kind: type, number: int) -> Any:
    """A key of that kind."""
    return number if kind is int else f"k{number:07}" if kind is str else number.to_bytes(32, "big")


def _count(member: Any, room: int) -> int:
    return room // len(cbor2.dumps(member))


def _head(major: int, argument: int) -> bytes:
    """The head of an item (RFC 8949 §3), in its shortest form."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    size = next(size for size in range(4) if argument < 1 << (8 << size))
    return bytes((major << 5 | 24 + size,)) + argument.to_bytes(1 << size, "big")


def _encoded(value: Any) -> bytes:
    """Canonical CBOR, with what is encoded already as it is."""
    if isinstance(value, _Encoded):
        return value
    if type(value) is list:
        return _head(4, len(value)) + b"".join(map(_encoded, value))
    if type(value) is dict:
        items = sorted((cbor2.dumps(key), _encoded(item)) for key, item in value.items())
        items.sort(key=lambda item: len(item[0]))  # shorter keys first (RFC 8949 §4.2.3)
        return _head(5, len(items)) + b"".join(key + item for key, item in items)
    return cbor2.dumps(value, canonical=True)
