"""The operations of a transaction: their form on the wire, how to build them, and how to tell people about them.

======  =================================  ==================================================================
code    operation                          meaning
======  =================================  ==================================================================
0       ``[0]``                            nothing; keeps the place of an operation that a rescue left out
1       ``[1, name, value]``               register: set
2       ``[2, name, key, value]``          map: put; without ``value``: remove
3       ``[3, name, element]``             grow-only set: add
4       ``[4, name, element]``             observed-remove set: add, under the dot (device, seq, index)
5       ``[5, name, element, dots]``       observed-remove set: remove the adds named
6       ``[6, name, delta]``               counter: add
7       ``[7, name, value, dots]``         multi-value register: set, replacing the versions named
9       ``[9, device, seq, hash, clock,    rescue: operations of another device's entry that does not count
        ops]``
======  =================================  ==================================================================

``index`` is the place of an operation in its entry's list, from 0. ``dots`` is a list of groups ``[device, seq, index, seq,
index, …]``. What does not fit this table is skipped by every device alike (docs/protocols/document.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final

from mycelnode.crdt.changelog import MAX_SEQ
from mycelnode.crdt.context import Dot
from mycelnode.crdt.counters import MAX_DELTA
from mycelnode.crdt.values import pack
from mycelnode.encoding import Value
from mycelnode.errors import ValueRefused

NOTHING: Final = 0
REGISTER_SET: Final = 1
MAP_PUT: Final = 2
GSET_ADD: Final = 3
ORSET_ADD: Final = 4
ORSET_REMOVE: Final = 5
COUNTER_ADD: Final = 6
MULTI_SET: Final = 7
RESCUE: Final = 9

MAX_NAME_CHARS = 128  # of a collection
MAX_KEY_CHARS = 512  # of a map
MAX_INDEX = (1 << 18) - 1  # an entry of 256 KiB holds fewer operations
MAX_DOT_BYTES = 128 * 1024  # of dots that one operation names: half an entry; see `dot_groups`
MAX_RESCUE_DEPTH = 3  # a rescue of a rescue of a rescue

Operation = list[Any]


def is_text(value: object, max_chars: int) -> bool:
    """Is ``value`` text of at most ``max_chars`` characters that has an encoding (no lone surrogates)?"""
    return type(value) is str and len(value) <= max_chars and (value.isascii() or _encodable(value))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_name(value: object) -> bool:
    """May ``value`` name a collection?"""
    return is_text(value, MAX_NAME_CHARS) and value != ""


def _name(name: str) -> str:
    if not is_name(name):
        raise ValueRefused(f"a collection's name is text of 1 to {MAX_NAME_CHARS} characters")
    return name


def _key(key: str) -> str:
    if not is_text(key, MAX_KEY_CHARS):
        raise ValueRefused(f"a key is text of at most {MAX_KEY_CHARS} characters")
    return key


def _value(value: Value) -> Value:
    pack(value)
    return value


def register_set(name: str, value: Value) -> Operation:
    """Set a register."""
    return [REGISTER_SET, _name(name), _value(value)]


def map_put(name: str, key: str, value: Value) -> Operation:
    """Put ``value`` under ``key``."""
    return [MAP_PUT, _name(name), _key(key), _value(value)]


def map_remove(name: str, key: str) -> Operation:
    """Remove ``key``."""
    return [MAP_PUT, _name(name), _key(key)]


def gset_add(name: str, element: Value) -> Operation:
    """Add to a grow-only set."""
    return [GSET_ADD, _name(name), _value(element)]


def orset_add(name: str, element: Value) -> Operation:
    """Add to an observed-remove set."""
    return [ORSET_ADD, _name(name), _value(element)]


def orset_remove(name: str, element: Value, dots: Iterable[Dot]) -> Operation:
    """Remove the adds of ``element`` that ``dots`` name."""
    return [ORSET_REMOVE, _name(name), _value(element), dot_groups(dots)]


def counter_add(name: str, delta: int) -> Operation:
    """Change a counter."""
    if type(delta) is not int or abs(delta) > MAX_DELTA:
        raise ValueRefused(f"a counter changes by a whole number of at most {MAX_DELTA}")
    return [COUNTER_ADD, _name(name), delta]


def multi_set(name: str, value: Value, dots: Iterable[Dot]) -> Operation:
    """Set a multi-value register, replacing the versions that ``dots`` name."""
    return [MULTI_SET, _name(name), _value(value), dot_groups(dots)]


def dot_groups(dots: Iterable[Dot]) -> list[list[Any]]:
    """The wire form of dots, as many as an operation may name (the oldest of each device first).

    More than that are only there if somebody added one element tens of thousands of times; removing it again takes the rest
    away.
    """
    groups: list[list[Any]] = []
    size = 0
    for device, members in groupby(sorted(dots), key=lambda dot: dot[0]):
        group: list[Any] = [device]
        size += 40
        for _, seq, index in members:
            size += 1 + (seq.bit_length() + 11) // 8 + (index.bit_length() + 11) // 8
            if size > MAX_DOT_BYTES:
                break
            group += [seq, index]
        if len(group) > 1:
            groups.append(group)
    return groups


def read_dots(groups: object) -> list[Dot] | None:
    """The dots of a wire form; None if it is not one."""
    if type(groups) is not list:
        return None
    dots: list[Dot] = []
    for group in groups:
        if type(group) is not list or len(group) < 3 or len(group) % 2 == 0:
            return None
        device, *numbers = group
        if type(device) is not bytes or len(device) != 32:
            return None
        for seq, index in zip(numbers[::2], numbers[1::2], strict=True):
            if not is_int(seq, 0, MAX_SEQ) or not is_int(index, 0, MAX_INDEX):
                return None
            dots.append((device, seq, index))
    return dots


def is_int(value: object, low: int, high: int) -> bool:
    """Is ``value`` an integer (no bool) in [low, high]?"""
    return type(value) is int and low <= value <= high


_VERBS = {
    REGISTER_SET: "set",
    GSET_ADD: "append",
    ORSET_ADD: "add",
    ORSET_REMOVE: "remove",
    COUNTER_ADD: "count",
    MULTI_SET: "assign",
}


def describe(operation: object) -> str:
    """One line about an operation, for people who decide whether to rescue it. Nothing in it can steer a terminal."""
    return "".join(char if char.isprintable() else "·" for char in _describe(operation))


def _describe(operation: object) -> str:
    if type(operation) is not list or len(operation) < 2:
        return "nothing"
    code, name, *rest = operation
    if code == RESCUE and len(rest) == 4 and type(rest[3]) is list:
        return "rescued: " + "; ".join(map(_describe, rest[3]))
    if type(name) is not str or not rest:
        return "nothing"
    if code == MAP_PUT:
        return f"put {name} {rest[0]} {_short(rest[1])}" if len(rest) > 1 else f"delete {name} {rest[0]}"
    verb = _VERBS.get(code) if type(code) is int else None
    return "nothing" if verb is None else f"{verb} {name} {_short(rest[0])}"


def _short(value: Value, chars: int = 80) -> str:
    text = value[:chars].hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= chars else text[: chars - 1] + "…"


def plain_json(value: Value) -> Any:
    """``value`` as JSON can hold it: bytes as hex, map keys as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(plain_json(key)): plain_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain_json(item) for item in value]
    return value
