"""How inputs are made from real ones: bytes changed anywhere, or the values inside a CBOR encoding changed and encoded again, so
that what comes out is well-formed and only its meaning is wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import cbor2

from mycelnode.encoding import read
from mycelnode.errors import EncodingError

MAX_NODES = 400  # values of one input that are considered
INTS = (0, 1, 2, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 48, (1 << 53) + 1, (1 << 63) - 1, -1, -(1 << 63))
ODD: Sequence[Any] = (
    *INTS,
    None,
    True,
    False,
    0.0,
    -1.5,
    1e300,
    b"",
    b"\x00",
    bytes(32),
    b"\xff" * 32,
    bytes(64),
    "",
    "x" * 129,
    "x" * 600,
    "\u202e\x1b[31m\ud7ff",
    "mycel.names",
    [],
    {},
    [[]],
    [[[[[[[]]]]]]],
    {b"": {}},
    {1: 2, -1: []},
    [0] * 300,
)


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """``data`` with one to four changes; ``others`` are inputs to take parts from."""
    for _ in range(1 + rng.randrange(4)):
        data = tree(data, rng) if rng.random() < 0.6 else flat(data, rng, others)
    return data


# --- bytes -------------------------------------------------------------------------------------------------------------------


def flat(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Bytes changed, put in, taken out, repeated, cut off or joined to another input's."""
    at = rng.randrange(len(data) + 1)
    size = 1 << rng.randrange(6)
    kind = rng.randrange(7)
    if kind == 0:
        return data[:at] + rng.randbytes(size) + data[at:]
    if kind == 1:
        return data[:at] + data[at + size :]
    if kind == 2:
        return data[:at] + data[at : at + size] * 2 + data[at + size :]
    if kind == 3:
        return data[:at]
    if kind == 4 and others:
        other = rng.choice(others)
        return data[:at] + other[rng.randrange(len(other) + 1) :]
    if kind == 5:
        number = rng.choice(INTS) & ((1 << 64) - 1)
        length = rng.choice((1, 2, 4, 8))
        return data[:at] + (number & ((1 << 8 * length) - 1)).to_bytes(length, "big") + data[at + length :]
    changed = bytearray(data)
    for _ in range(1 + rng.randrange(3)):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


# --- values ------------------------------------------------------------------------------------------------------------------


def tree(data: bytes, rng: random.Random) -> bytes:
    """One value inside changed; as it is, if it is no CBOR."""
    try:
        value = read(data, 40)  # as carefully as a node: cbor2 by itself would build numbers for hours
    except EncodingError:
        return flat(data, rng)
    try:
        return cbor2.dumps(_changed(value, rng), canonical=True)
    except Exception:  # what was put in a map's key, a number of a thousand bits …
        return flat(data, rng)


def _changed(value: Any, rng: random.Random) -> Any:
    places = list(_places(value))
    if not places:
        return _other(value, rng)
    box, key = rng.choice(places)
    kind = rng.randrange(8)
    if kind == 0 and isinstance(box, list):
        del box[key]
    elif kind == 1 and isinstance(box, list):
        box[key:key] = [box[key]] * (1 << rng.randrange(5))
    elif kind == 2 and isinstance(box, list):
        other = rng.randrange(len(box))
        box[key], box[other] = box[other], box[key]
    elif kind == 3:
        source, name = rng.choice(places)
        if source is not box:
            box[key] = source[name]
    elif kind == 4 and isinstance(box, dict):
        box[_other(key, rng)] = box.pop(key)
    else:
        box[key] = _other(box[key], rng)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of the values inside, the outermost first."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting and len(found) < MAX_NODES:
        box = waiting.pop(0)
        keys = range(len(box)) if isinstance(box, list) else list(box) if isinstance(box, dict) else ()
        for key in keys:
            found.append((box, key))
            waiting.append(box[key])
    return found


def _other(value: Any, rng: random.Random) -> Any:
    """Another value, mostly of the same kind, and near."""
    if rng.random() < 0.3:
        return rng.choice(ODD)
    if type(value) is int:
        return value + rng.choice((-1, 1, 2, -value, value, 256))
    if type(value) is bytes:
        return tree(value, rng) if rng.random() < 0.7 else flat(value, rng)  # often an encoding of its own
    if type(value) is str:
        return flat(value.encode(), rng).decode(errors="replace")
    if type(value) is list:
        return value * 2 if value and rng.random() < 0.5 else value[1:]
    return rng.choice(ODD)
