"""Reading the canonical state of a document, from anyone: bounded, and refused unless it is exactly what `state` would have
written."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from operator import lshift, or_
from typing import Any, Final

from mycelnode.crdt import columns as col
from mycelnode.crdt import state
from mycelnode.crdt.changelog import MAX_CLOCK, MAX_SEQ
from mycelnode.crdt.clock import COUNTER_BITS
from mycelnode.crdt.contents import Contents
from mycelnode.crdt.context import Dot, Dotted
from mycelnode.crdt.counters import MAX_DELTA, TAG_BYTES
from mycelnode.crdt.fold import FINGERPRINT_BYTES
from mycelnode.crdt.operations import MAX_INDEX, MAX_KEY_CHARS, MAX_NAME_CHARS, is_name
from mycelnode.crdt.registers import MV_LABEL, Cell
from mycelnode.crdt.values import ABSENT
from mycelnode.errors import EncodingError

MAX_TOTAL_BYTES = 16  # of a counter's total: 2^48 entries of 2^18 changes of 2^53


def decode(
    data: bytes | Iterable[bytes], max_bytes: int = state.MAX_STATE, ours: bytes | None = None
) -> tuple[Contents, bytes]:
    """The contents of a state, whole or in pieces, and its digest. Raises `EncodingError` for anything but a canonical state.

    That it is canonical shows when it is encoded again; where we wrote it ourselves, its digest, ``ours``, says so.
    """
    received = hashlib.blake2b(digest_size=32)
    reader = _Reader()
    for body in col.frames(_checked([data] if isinstance(data, bytes) else data, max_bytes, received)):
        section, name, columns = col.read_block(body)
        read = _READERS.get(section)
        if read is None:
            raise EncodingError("a section of the state is not known")
        if name != "" if section in _NAMELESS else not is_name(name):
            raise EncodingError("a collection's name is malformed")
        read(reader, name, columns)
    contents = reader.finish()
    if (state.digest(contents) if ours is None else ours) != received.digest():
        raise EncodingError("not the canonical encoding of a state")
    return contents, received.digest()


def _checked(pieces: Iterable[bytes], max_bytes: int, received: hashlib.blake2b) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        if not size and piece[:1] not in (b"", state.VERSION):
            raise EncodingError("a state of another version")
        received.update(piece)
        yield piece if size else piece[1:]
        size += len(piece)
        if size > max_bytes:
            raise EncodingError(f"a state of more than {max_bytes} bytes")
    if not size:
        raise EncodingError("an empty state")


class _Reader:
    """Fills `Contents` block by block. Order, minimal tables and canonical forms need no check: `decode` encodes again."""

    def __init__(self) -> None:
        self.contents = Contents()
        self.ids: list[bytes] = []

    def devices(self, name: str, columns: list[Any]) -> None:
        ids, seqs, hashes = _count(columns, 3)
        ids = col.read_fixed(ids, state.ID_BYTES)
        seqs = col.read_integers(seqs, len(ids), 0, MAX_SEQ)
        applied = [(device, seq) for device, seq in zip(ids, seqs, strict=True) if seq]
        heads = col.read_fixed(hashes, state.ID_BYTES) if applied else []
        if len(heads) != len(applied):
            raise EncodingError("a state needs one hash for each device applied")
        self.ids += ids
        self.contents.context.vector.update(applied)
        self.contents.hashes.update((device, head) for (device, _), head in zip(applied, heads, strict=True))

    def registers(self, name: str, columns: list[Any]) -> None:
        *stamps, keys, values = _count(columns, 7)
        for key, cell in self._cells(stamps, col.read_texts(keys, MAX_NAME_CHARS), col.read_values(values)):
            if not is_name(key):
                raise EncodingError("a collection's name is malformed")
            self.contents.register(key).cell = cell

    def map_live(self, name: str, columns: list[Any]) -> None:
        *stamps, keys, values = _count(columns, 7)
        cells = self.contents.map(name)
        cells.cells.update(self._cells(stamps, col.read_texts(keys, MAX_KEY_CHARS), col.read_values(values)))
        cells.live = len(cells.cells)

    def map_gone(self, name: str, columns: list[Any]) -> None:
        *stamps, keys = _count(columns, 6)
        keys = col.read_texts(keys, MAX_KEY_CHARS)
        for key, cell in self._cells(stamps, keys, [ABSENT] * len(keys)):
            self.contents.map(name).write(key, cell)

    def gsets(self, name: str, columns: list[Any]) -> None:
        (labels,) = _count(columns, 1)
        self.contents.gset(name).packed.update(dict.fromkeys(col.read_values(labels)))

    def orset_alive(self, name: str, columns: list[Any]) -> None:
        *dots, labels = _count(columns, 4)
        labels = col.read_values(labels)
        self._alive(self.contents.orset(name).dotted, zip(labels, self._dots(dots, len(labels)), strict=True))

    def orset_killed(self, name: str, columns: list[Any]) -> None:
        *dots, labels = _count(columns, 4)
        labels = col.read_values(labels)
        self._killed(self.contents.orset(name).dotted, zip(labels, self._dots(dots, len(labels)), strict=True))

    def counter_totals(self, name: str, columns: list[Any]) -> None:
        devices, seqs, totals = _count(columns, 3)
        if type(totals) is not list or set(map(type, totals)) != {bytes} or max(map(len, totals)) > MAX_TOTAL_BYTES:
            raise EncodingError("a column of totals was expected")
        seqs = col.read_integers(seqs, len(totals), 1, MAX_SEQ)
        sums = [int.from_bytes(total, "big", signed=True) for total in totals]
        parts = zip(seqs, sums, strict=True)
        self.contents.counter(name).totals.update(zip(self._numbered(devices, len(totals)), parts, strict=True))

    def counter_tags(self, name: str, columns: list[Any]) -> None:
        devices, seqs, tags = _count(columns, 3)
        tags = col.read_fixed(tags, TAG_BYTES)
        seqs = col.read_integers(seqs, len(tags), 1, MAX_SEQ, differences=True)
        kept = self.contents.counter(name).tags
        for device, seq, tag in zip(self._numbered(devices, len(tags)), seqs, tags, strict=True):
            arrays = kept.get(device) or kept.setdefault(device, (array("Q"), array("Q")))
            if arrays[0] and arrays[0][-1] >= seq:
                raise EncodingError("the entries of a counter do not ascend")
            arrays[0].append(seq)
            arrays[1].append(int.from_bytes(tag, "big"))

    def counter_rescued(self, name: str, columns: list[Any]) -> None:
        devices, seqs, tags, indexes, deltas = _count(columns, 5)
        tags = [int.from_bytes(tag, "big") for tag in col.read_fixed(tags, TAG_BYTES)]
        seqs = col.read_integers(seqs, len(tags), 1, MAX_SEQ, differences=True)
        indexes = col.read_integers(indexes, len(tags), 0, MAX_INDEX)
        deltas = col.read_integers(deltas, len(tags), -MAX_DELTA, MAX_DELTA)
        rescued = self.contents.counter(name).rescued
        for *source, index, delta in zip(self._numbered(devices, len(tags)), seqs, tags, indexes, deltas, strict=True):
            rescued.setdefault(tuple(source), {})[index] = delta

    def multi_alive(self, name: str, columns: list[Any]) -> None:
        *dots, values = _count(columns, 4)
        values = col.read_values(values)
        dots = self._dots(dots, len(values))
        multi = self.contents.multi(name)
        multi.versions.update(zip(dots, values, strict=True))
        self._alive(multi.dotted, zip(repeat(MV_LABEL, len(dots)), dots, strict=True))

    def multi_killed(self, name: str, columns: list[Any]) -> None:
        *dots, labels = _count(columns, 4)
        labels = col.read_values(labels)
        if set(labels) != {MV_LABEL}:
            raise EncodingError("a multi-value register has one place for versions")
        self._killed(self.contents.multi(name).dotted, zip(labels, self._dots(dots, len(labels)), strict=True))

    def rescues(self, name: str, columns: list[Any]) -> None:
        (marks,) = _count(columns, 1)
        self.contents.rescues.update(col.read_fixed(marks, FINGERPRINT_BYTES))

    def finish(self) -> Contents:
        """Check what the parts promise each other, and complete what is derived."""
        vector = self.contents.context.vector
        for counter in self.contents.counters.values():
            if counter.tags.keys() != counter.totals.keys():
                raise EncodingError("a counter's totals and entries do not belong together")
            for device, (seq, _) in counter.totals.items():
                if counter.tags[device][0][-1] != seq or seq > vector.get(device, 0):
                    raise EncodingError("a counter's totals and entries do not belong together")
            counter.recount()
        self.contents.find_waiting()
        return self.contents

    def _numbered(self, column: Any, rows: int) -> list[bytes]:
        ids = self.ids
        return list(map(ids.__getitem__, col.read_integers(column, rows, 0, len(ids) - 1)))

    def _cells(self, stamps: list[Any], keys: list[str], values: list[bytes]) -> Iterator[tuple[str, Cell]]:
        rows = len(keys)
        if len(values) != rows:
            raise EncodingError("a column does not have as many rows as the others")
        millis, counts, devices, seqs, indexes = stamps
        millis = col.read_integers(millis, rows, 0, MAX_CLOCK >> COUNTER_BITS, differences=True)
        counts = col.read_integers(counts, rows, 0, state.COUNTER_MASK, differences=True)
        clocks = map(or_, map(lshift, millis, repeat(COUNTER_BITS)), counts)
        seqs = col.read_integers(seqs, rows, 1, MAX_SEQ, differences=True)
        indexes = col.read_integers(indexes, rows, 0, MAX_INDEX)
        cells = zip(clocks, self._numbered(devices, rows), seqs, indexes, values, strict=True)
        return zip(keys, cells, strict=True)

    def _dots(self, columns: list[Any], rows: int) -> list[Dot]:
        devices, seqs, indexes = columns
        seqs = col.read_integers(seqs, rows, 0, MAX_SEQ, differences=True)
        indexes = col.read_integers(indexes, rows, 0, MAX_INDEX)
        return list(zip(self._numbered(devices, rows), seqs, indexes, strict=True))

    def _alive(self, dotted: Dotted, rows: Iterable[tuple[bytes, Dot]]) -> None:
        vector = self.contents.context.vector
        for label, dot in rows:
            if dot[1] > vector.get(dot[0], 0):
                raise EncodingError("a state holds an add of an entry that is not applied")
            dotted.add(label, dot)

    def _killed(self, dotted: Dotted, rows: Iterable[tuple[bytes, Dot]]) -> None:
        context = self.contents.context
        for label, dot in rows:
            if context.seen(dot) or dot in dotted.dots(label):
                raise EncodingError("a state remembers a remove that has served")
            dotted.killed.setdefault((dot[0], dot[1]), set()).add((dot[2], label))


def _count(columns: list[Any], count: int) -> list[Any]:
    if len(columns) != count:
        raise EncodingError("a block of the state has another number of columns")
    return columns


_NAMELESS: Final = {state.DEVICES, state.REGISTERS, state.RESCUES}
_READERS: Final[dict[int, Callable[[_Reader, str, list[Any]], None]]] = {
    state.DEVICES: _Reader.devices,
    state.REGISTERS: _Reader.registers,
    state.MAP_LIVE: _Reader.map_live,
    state.MAP_GONE: _Reader.map_gone,
    state.GSETS: _Reader.gsets,
    state.ORSET_ALIVE: _Reader.orset_alive,
    state.ORSET_KILLED: _Reader.orset_killed,
    state.COUNTER_TOTALS: _Reader.counter_totals,
    state.COUNTER_TAGS: _Reader.counter_tags,
    state.COUNTER_RESCUED: _Reader.counter_rescued,
    state.MULTI_ALIVE: _Reader.multi_alive,
    state.MULTI_KILLED: _Reader.multi_killed,
    state.RESCUES: _Reader.rescues,
}
