"""The document: named, typed collections, folded from the devices' log entries.

What a document holds depends only on the set of entries applied. Each device's entries are applied in the order of its log,
exactly once; those of different devices in any order. docs/protocols/document.md has the whole semantics.

>>> laptop, phone = b"L" * 32, b"P" * 32
>>> document = Document()
>>> changes = document.apply(phone, 1, b"1" * 32, 10, [map_put("notes", "shopping", "milk")])
>>> changes = document.apply(laptop, 1, b"2" * 32, 9, [map_put("notes", "shopping", "bread"), document.add("tags", "home")])
>>> dict(document.map("notes")), list(document.orset("tags")), changes
({'shopping': 'milk'}, ['home'], [Change(name='tags', kind='orset', key='home', old=False, new=True)])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from mycelnode.crdt import state, state_reader
from mycelnode.crdt.changelog import MAX_CLOCK, MAX_ENTRY_DEPTH, MAX_SEQ, DeviceId
from mycelnode.crdt.contents import Contents
from mycelnode.crdt.context import Dot
from mycelnode.crdt.fold import Change, apply_operations, fingerprint, own_origin, packed
from mycelnode.crdt.operations import (
    MAX_INDEX,
    MAX_KEY_CHARS,
    MAX_NAME_CHARS,
    MULTI_SET,
    NOTHING,
    ORSET_ADD,
    ORSET_REMOVE,
    RESCUE,
    Operation,
    counter_add,
    describe,
    dot_groups,
    gset_add,
    map_put,
    map_remove,
    multi_set,
    orset_add,
    orset_remove,
    plain_json,
    read_dots,
    register_set,
)
from mycelnode.crdt.registers import MV_LABEL
from mycelnode.crdt.values import pack
from mycelnode.crdt.views import (
    COUNTER,
    GSET,
    MAP,
    MULTI,
    ORSET,
    REGISTER,
    CounterView,
    MapView,
    MultiView,
    RegisterView,
    SetView,
    View,
    plain_value,
)
from mycelnode.encoding import Value, blake2b, check
from mycelnode.errors import EncodingError, LogError, ValueRefused

HashAt = Callable[[DeviceId, int], "bytes | None"]
"""``hash_at(device, seq)``: the hash of an entry that is being rescued too; None for any other."""

RESCUE_LEVELS = 3  # of nesting, around an operation in a rescue: entry, rescue, list of operations


class Document:
    """The collections, and how far each device's log is applied."""

    __slots__ = ("_contents", "_digest")

    def __init__(self) -> None:
        self._contents = Contents()
        self._digest: bytes | None = None

    # --- folding -----------------------------------------------------------------------------------------------------

    @property
    def applied(self) -> Mapping[DeviceId, int]:
        """How many entries of each device are applied."""
        return MappingProxyType(self._contents.context.vector)

    @property
    def skipped(self) -> int:
        """How many malformed operations this object has skipped (since it was made or decoded)."""
        return self._contents.skipped

    def latest_clock(self) -> int:
        """The greatest hybrid clock of a write that the document shows; 0 if it has none with a clock."""
        contents = self._contents
        latest = max((register.cell[0] for register in contents.registers.values() if register.cell), default=0)
        for found in contents.maps.values():
            latest = max(latest, max(map(itemgetter(0), found.cells.values()), default=0))
        return latest

    def applied_hash(self, device: DeviceId) -> bytes | None:
        """The chain hash of the last entry of ``device`` applied; None if none is."""
        return self._contents.hashes.get(device)

    def apply(
        self, device: DeviceId, seq: int, entry_hash: bytes, clock: int, operations: Sequence[Any]
    ) -> list[Change]:
        """Apply the next entry of a device; returns what it changed.

        ``entry_hash`` is the chain hash after the entry (32 bytes), ``clock`` its hybrid clock. An entry without operations (a
        statement) counts as applied too. Malformed operations are skipped, alike on every device, and counted in `skipped`.
        Raises `LogError`, unchanged, if this is not the entry after the last one applied.
        """
        if len(device) != 32 or len(entry_hash) != 32 or not 0 <= clock <= MAX_CLOCK or len(operations) > MAX_INDEX + 1:
            raise LogError("an entry has a 32-byte device and hash, a 63-bit clock and a bounded number of operations")
        contents = self._contents
        vector = contents.context.vector
        if seq != vector.get(device, 0) + 1 or seq > MAX_SEQ:
            raise LogError(f"entry {seq} does not follow the {vector.get(device, 0)} entries applied")
        self._digest = None
        vector[device] = seq
        contents.hashes[device] = entry_hash
        changes: list[Change] = []
        apply_operations(contents, own_origin(device, seq, entry_hash, clock), operations, changes)
        if contents.waiting:
            contents.settle((device, seq))
        return changes

    def merge(self, other: Document) -> None:
        """Take in a document folded from prefixes of the same logs: the result is the fold of both sets of entries.

        Raises `LogError`, unchanged, if the logs surely differ.
        """
        self._contents.merge(other._contents)
        self._digest = None

    def copy(self) -> Document:
        """An independent copy; it shares what never changes, so it costs little, and may be read in another thread."""
        twin = Document()
        twin._contents, twin._digest = self._contents.copy(), self._digest
        return twin

    # --- reading -----------------------------------------------------------------------------------------------------

    def register(self, name: str) -> RegisterView:
        """A view of a last-writer-wins register."""
        return RegisterView(lambda: self._contents.registers.get(name))

    def map(self, name: str) -> MapView:
        """A view of a last-writer-wins map."""
        return MapView(lambda: self._contents.maps.get(name))

    def gset(self, name: str) -> SetView:
        """A view of a grow-only set."""
        return SetView(lambda: self._contents.gsets.get(name))

    def orset(self, name: str) -> SetView:
        """A view of an observed-remove set."""
        return SetView(lambda: self._contents.orsets.get(name))

    def counter(self, name: str) -> CounterView:
        """A view of a counter."""
        return CounterView(lambda: self._contents.counters.get(name))

    def multi(self, name: str) -> MultiView:
        """A view of a multi-value register."""
        return MultiView(lambda: self._contents.multis.get(name))

    def view(self, name: str, kind: str) -> View:
        """A view by type name; `ValueRefused` if there is no such type."""
        views: Mapping[str, Callable[[str], View]] = {
            REGISTER: self.register,
            MAP: self.map,
            GSET: self.gset,
            ORSET: self.orset,
            COUNTER: self.counter,
            MULTI: self.multi,
        }
        if kind not in views:
            raise ValueRefused(f"a collection's type is one of {', '.join(views)}")
        return views[kind](name)

    def names(self) -> list[tuple[str, str]]:
        """(name, type) of the collections that hold something, sorted."""
        contents = self._contents
        found = [(name, REGISTER) for name in contents.registers]
        found += [(name, MAP) for name, cells in contents.maps.items() if len(cells)]
        found += [(name, GSET) for name in contents.gsets]
        found += [(name, ORSET) for name, orset in contents.orsets.items() if len(orset)]
        found += [(name, COUNTER) for name in contents.counters]
        found += [(name, MULTI) for name, multi in contents.multis.items() if multi.versions]
        return sorted(found)

    # --- operations that name what was seen here ---------------------------------------------------------------------

    def add(self, name: str, element: Value) -> Operation:
        """The operation that adds to an observed-remove set; a concurrent remove does not undo it, also if the element is
        there."""
        return orset_add(name, element)

    def remove(self, name: str, element: Value) -> Operation | None:
        """The operation that removes ``element`` as seen here; None if it is not there."""
        orset = self._contents.orsets.get(name)
        dots = () if orset is None else orset.dotted.dots(pack(element))
        return orset_remove(name, element, dots) if dots else None

    def assign(self, name: str, value: Value) -> Operation:
        """The operation that replaces all versions of a multi-value register seen here."""
        multi = self._contents.multis.get(name)
        return multi_set(name, value, () if multi is None else multi.dots())

    def rescue_ops(
        self,
        device: DeviceId,
        seq: int,
        entry_hash: bytes,
        clock: int,
        operations: Sequence[Any],
        hash_at: HashAt | None = None,
    ) -> Operation | None:
        """The operation that re-issues an entry that does not count; None if there is nothing (left) to re-issue.

        Adds that a remove applied here has named already are left out (and versions that were replaced do not come back); the
        others keep their places, so that whoever rescues names them alike. ``hash_at`` tells the hashes of the other entries
        that are rescued (of the same version of the log): a remove that names an add of such an entry names the add's rescue
        too, else what was added and removed in the rescued entries would be there again.
        """
        kept = [self._reissued(op, (device, seq, index), entry_hash, hash_at) for index, op in enumerate(operations)]
        while kept and kept[-1] == [NOTHING]:
            kept.pop()
        rescue: Operation = [RESCUE, device, seq, entry_hash, clock, kept]
        return rescue if kept and fingerprint(rescue) not in self._contents.rescues else None

    def _reissued(self, op: Any, own: Dot, entry_hash: bytes, hash_at: HashAt | None) -> Operation:
        """One operation as a rescue carries it; ``own`` is its dot."""
        try:
            check(op, MAX_ENTRY_DEPTH - RESCUE_LEVELS)
        except EncodingError:
            return [NOTHING]  # malformed; carried, it would make the whole entry one that nobody can decode
        code = op[0] if type(op) is list and op else None
        if code == ORSET_ADD and self._removed(op, own):
            return [NOTHING]
        dots = read_dots(op[3]) if code in (ORSET_REMOVE, MULTI_SET) and len(op) == 4 else None
        if dots is None:
            return op  # type: ignore[no-any-return]
        more: set[Dot] = set()
        if code == MULTI_SET and self._replaced(op, own):
            more.add((entry_hash, 0, own[2]))  # it still replaces what it replaced, and is itself replaced already
        for device, seq, index in dots:
            if (device, seq) == own[:2]:  # an earlier operation of the same entry
                found = entry_hash if index < own[2] else None
            else:
                found = hash_at(device, seq) if hash_at is not None and seq else None
            if found is not None:
                more.add((found, 0, index))
        return [*op[:3], dot_groups({*dots, *more})] if more else op

    def _removed(self, op: Operation, dot: Dot) -> bool:
        orset = self._contents.orsets.get(op[1]) if len(op) == 3 and type(op[1]) is str else None
        label = None if orset is None else packed(op[2])
        return orset is not None and label is not None and orset.dotted.is_killed(label, dot)

    def _replaced(self, op: Operation, dot: Dot) -> bool:
        multi = self._contents.multis.get(op[1]) if type(op[1]) is str else None
        return multi is not None and multi.dotted.is_killed(MV_LABEL, dot)

    # --- state -------------------------------------------------------------------------------------------------------

    def encode_state(self) -> bytes:
        """The canonical state: equal bytes if and only if the same entries are applied, whatever the order in which they
        came."""
        encoded = b"".join(self.state_blocks())
        self._digest = blake2b(encoded)
        return encoded

    def state_blocks(self) -> Iterator[bytes]:
        """The canonical state, block by block; nothing may be applied meanwhile."""
        return state.encode_blocks(self._contents)

    @classmethod
    def decode_state(
        cls, data: bytes | Iterable[bytes], *, max_bytes: int = state.MAX_STATE, ours: bytes | None = None
    ) -> Document:
        """The document of a canonical state, whole or in pieces; `EncodingError` for anything else. ``ours``: the digest of a state
        that this device encoded or checked itself, so that it is not checked again that it is canonical."""
        document = cls()
        document._contents, document._digest = state_reader.decode(data, max_bytes, ours)
        return document

    def digest(self) -> bytes:
        """BLAKE2b-256 of the canonical state."""
        if self._digest is None:
            self._digest = state.digest(self._contents)
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.digest() == other.digest()

    __hash__ = None  # type: ignore[assignment]


def plain(document: Document, name: str, kind: str) -> Any:
    """The value of a collection as JSON can hold it (bytes as hex); `ValueRefused` if there is no such type."""
    return plain_json(plain_value(document.view(name, kind)))


_BUILDERS: Mapping[str, tuple[int, Callable[..., Operation | None]]] = {
    "set": (2, lambda document, name, value: register_set(name, value)),
    "put": (3, lambda document, name, key, value: map_put(name, key, value)),
    "delete": (2, lambda document, name, key: map_remove(name, key)),
    "append": (2, lambda document, name, element: gset_add(name, element)),
    "add": (2, Document.add),
    "remove": (2, Document.remove),
    "count": (2, lambda document, name, delta: counter_add(name, delta)),
    "assign": (2, Document.assign),
}


def from_verb(document: Document, request: Any) -> Operation | None:
    """The operation for ``[verb, name, …]`` (set, put, delete, append, add, remove, count, assign), as people and scripts
    say it.

    None if there is nothing to do (removing what is not there). Raises `ValueRefused`.
    """
    if not isinstance(request, (list, tuple)) or not request or str(request[0]) not in _BUILDERS:
        raise ValueRefused(f"an operation is a list that starts with one of {', '.join(_BUILDERS)}")
    verb, arguments = str(request[0]), request[1:]
    count, build = _BUILDERS[verb]
    if len(arguments) != count:
        raise ValueRefused(f"{verb!r} needs {count} arguments: the collection's name and what to do")
    return build(document, *arguments)


__all__ = [
    "COUNTER",
    "GSET",
    "MAP",
    "MAX_KEY_CHARS",
    "MAX_NAME_CHARS",
    "MULTI",
    "ORSET",
    "REGISTER",
    "Change",
    "Document",
    "counter_add",
    "describe",
    "from_verb",
    "gset_add",
    "map_put",
    "map_remove",
    "multi_set",
    "orset_add",
    "orset_remove",
    "plain",
    "register_set",
]
