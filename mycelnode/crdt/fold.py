"""Applying an entry's operations to a document. One function per operation; each returns False, and has changed nothing, if the
operation is malformed: a device that signs nonsense must not stop the others, so all of them skip it alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from mycelnode.crdt.changelog import MAX_CLOCK, MAX_SEQ, DeviceId
from mycelnode.crdt.contents import Contents
from mycelnode.crdt.context import Event
from mycelnode.crdt.counters import MAX_DELTA, Source, source_of
from mycelnode.crdt.operations import (
    COUNTER_ADD,
    GSET_ADD,
    MAP_PUT,
    MAX_INDEX,
    MAX_KEY_CHARS,
    MAX_RESCUE_DEPTH,
    MULTI_SET,
    NOTHING,
    ORSET_ADD,
    ORSET_REMOVE,
    REGISTER_SET,
    RESCUE,
    Operation,
    is_int,
    is_name,
    is_text,
    read_dots,
)
from mycelnode.crdt.registers import MVRegister
from mycelnode.crdt.values import ABSENT, pack, unpack, unpack_or_none
from mycelnode.crdt.views import COUNTER, GSET, MAP, MULTI, ORSET, REGISTER
from mycelnode.encoding import Value, blake2b, encode
from mycelnode.errors import EncodingError, ValueRefused

REFOLDED: Final = "refolded"  # kind of the change that says: read the collection anew
FINGERPRINT_BYTES = 16  # of a rescue operation that was applied; only ever compared for equality
MAX_SHOWN_VERSIONS = (
    64  # of a multi-value register in a change: a flood of versions must not cost the square of their number
)
MAX_SHOWN_BYTES = 4096  # of all versions together: an entry of 5,000 changes would copy large ones as often


class Change(NamedTuple):
    """What one operation changed: in a map the value under ``key``, in a set the presence of ``key``, else the value.

    ``old`` and ``new`` are values (None also for: there was none, there is none any more); for sets False and True; for a
    counter its sums; for a multi-value register the lists of versions (None: more than `MAX_SHOWN_VERSIONS`, or several of
    more than `MAX_SHOWN_BYTES`). ``kind`` is the collection's type, or ``"refolded"``: read it anew.

    >>> async with node.watch("notes") as changes:  # doctest: +SKIP
    ...     async for change in changes:
    ...         print(change.key, change.old, change.new)
    """

    name: str | None
    kind: str
    key: Value = None
    old: Value = None
    new: Value = None

    @classmethod
    def refolded(cls, name: str | None) -> Change:
        """Everything in ``name`` (None: in all collections) may have changed."""
        return cls(name, REFOLDED)


class Origin(NamedTuple):
    """The entry that operations come from: its own, or the original one of a rescue, with its chain ``hash``.

    ``event`` is the first part of their dots: (device, seq), or (entry hash, 0) if they are rescued: the same whoever
    rescues them.
    """

    device: DeviceId
    seq: int
    clock: int
    hash: bytes
    event: Event
    depth: int

    @property
    def rescued(self) -> bool:
        """Are these operations re-issued by another device?"""
        return self.depth > 0

    @property
    def source(self) -> Source:
        """How a counter names the entry."""
        return source_of(self.device, self.seq, self.hash)


def own_origin(device: DeviceId, seq: int, entry_hash: bytes, clock: int) -> Origin:
    """Of operations in their own log."""
    return Origin(device, seq, clock, entry_hash, (device, seq), 0)


def apply_operations(contents: Contents, origin: Origin, operations: Sequence[Any], changes: list[Change]) -> None:
    """Apply all but the malformed ones, which are counted."""
    for index, op in enumerate(operations):
        handler = _HANDLERS.get(op[0]) if type(op) is list and op and type(op[0]) is int else None
        if handler is None or index > MAX_INDEX or not handler(contents, origin, index, op, changes):
            contents.skipped += 1


def packed(value: Value) -> bytes | None:
    """The packed value, or None if it is not acceptable."""
    try:
        return pack(value)
    except ValueRefused:
        return None


def _nothing(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    return len(op) == 1


def _register(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    if len(op) != 3 or not is_name(op[1]):
        return False
    value = packed(op[2])
    if value is None:
        return False
    old = contents.register(op[1]).write((origin.clock, origin.device, origin.seq, index, value))
    if old is not None and old != value:
        changes.append(Change(op[1], REGISTER, None, unpack_or_none(old), op[2]))
    return True


def _map(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    if not 3 <= len(op) <= 4 or not is_name(op[1]) or not is_text(op[2], MAX_KEY_CHARS):
        return False
    value = packed(op[3]) if len(op) == 4 else ABSENT
    if value is None:
        return False
    old = contents.map(op[1]).write(op[2], (origin.clock, origin.device, origin.seq, index, value))
    if old is not None and old != value:
        changes.append(Change(op[1], MAP, op[2], unpack_or_none(old), op[3] if value else None))
    return True


def _gset(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    if len(op) != 3 or not is_name(op[1]):
        return False
    label = packed(op[2])
    if label is None:
        return False
    if contents.gset(op[1]).apply(label):
        changes.append(Change(op[1], GSET, op[2], False, True))
    return True


def _orset_add(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    if len(op) != 3 or not is_name(op[1]):
        return False
    label = packed(op[2])
    if label is None:
        return False
    if contents.orset(op[1]).insert(label, (*origin.event, index)):
        changes.append(Change(op[1], ORSET, op[2], False, True))
    return True


def _orset_remove(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    if len(op) != 4 or not is_name(op[1]):
        return False
    label, dots = packed(op[2]), read_dots(op[3])
    if label is None or dots is None:
        return False
    orset = contents.orset(op[1])
    present = label in orset.dotted.alive
    for event in orset.discard(label, dots):
        contents.wait_for(event, orset.dotted)
    if present and label not in orset.dotted.alive:
        changes.append(Change(op[1], ORSET, op[2], True, False))
    return True


def _counter(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    if len(op) != 3 or not is_name(op[1]) or not is_int(op[2], -MAX_DELTA, MAX_DELTA):
        return False
    counter = contents.counter(op[1])
    old = counter.value
    if origin.rescued:
        counter.count_rescued(origin.source, index, op[2])
    else:
        counter.count(origin.source, op[2])
    if counter.value != old:
        changes.append(Change(op[1], COUNTER, None, old, counter.value))
    return True


def _multi(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    if len(op) != 4 or not is_name(op[1]):
        return False
    value, dots = packed(op[2]), read_dots(op[3])
    if value is None or dots is None:
        return False
    multi = contents.multi(op[1])
    old = _shown(multi)
    for event in multi.replace(dots):
        contents.wait_for(event, multi.dotted)
    multi.write((*origin.event, index), value)
    new = _shown(multi)
    if new is None or new != old:
        changes.append(Change(op[1], MULTI, None, _values(old), _values(new)))
    return True


def _shown(multi: MVRegister) -> list[bytes] | None:
    versions = multi.versions
    few = len(versions) <= MAX_SHOWN_VERSIONS and (
        len(versions) == 1 or sum(map(len, versions.values())) <= MAX_SHOWN_BYTES
    )
    return multi.packed() if few else None


def _values(versions: list[bytes] | None) -> list[Value] | None:
    return None if versions is None else [unpack(version) for version in versions]


def _rescue(contents: Contents, origin: Origin, index: int, op: Operation, changes: list[Change]) -> bool:
    inner = rescue_origin(op, origin)
    if inner is None:
        return False
    try:
        mark = fingerprint(op)
    except (EncodingError, UnicodeError):
        return False
    contents.rescues.add(mark)
    apply_operations(contents, inner, op[5], changes)
    return True


def rescue_origin(op: Operation, carrier: Origin) -> Origin | None:
    """Where the operations of a rescue come from; None if it is malformed.

    Their clock is the original one, but never later than that of the entry which carries them: a rescue must not be a way
    around the rule that entries from the future are held.
    """
    if len(op) != 6 or carrier.depth >= MAX_RESCUE_DEPTH:
        return None
    _, device, seq, entry_hash, clock, operations = op
    if type(device) is not bytes or len(device) != 32 or type(entry_hash) is not bytes or len(entry_hash) != 32:
        return None
    if not is_int(seq, 1, MAX_SEQ) or not is_int(clock, 0, MAX_CLOCK) or type(operations) is not list:
        return None
    return Origin(device, seq, min(clock, carrier.clock), entry_hash, (entry_hash, 0), carrier.depth + 1)


def fingerprint(op: Operation) -> bytes:
    """What tells two rescue operations apart; not the clock, which `rescue_origin` bounds."""
    _, device, seq, entry_hash, _, operations = op
    return blake2b(encode([device, seq, entry_hash, operations]), FINGERPRINT_BYTES)


_HANDLERS: Final[dict[int, Callable[[Contents, Origin, int, Operation, list[Change]], bool]]] = {
    NOTHING: _nothing,
    REGISTER_SET: _register,
    MAP_PUT: _map,
    GSET_ADD: _gset,
    ORSET_ADD: _orset_add,
    ORSET_REMOVE: _orset_remove,
    COUNTER_ADD: _counter,
    MULTI_SET: _multi,
    RESCUE: _rescue,
}
