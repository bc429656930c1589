"""The canonical state of a document: compact, in columns, and bounded when it comes from outside.

State = version byte, then blocks (`mycelnode.crdt.columns`) ``[section, name, column, …]`` that follow each other by
section and name; the rows of one collection are sorted. Devices, and entry hashes of rescues, are numbers into the table of
the first section. Equal documents have equal bytes. `mycelnode.crdt.state_reader` reads it; docs/protocols/document.md
lists the columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Final

import cbor2

from mycelnode.crdt import columns as col
from mycelnode.crdt.clock import COUNTER_BITS
from mycelnode.crdt.contents import Contents
from mycelnode.crdt.context import Dot, Dotted
from mycelnode.crdt.counters import TAG_BYTES, PNCounter
from mycelnode.crdt.registers import Cell
from mycelnode.crdt.values import ABSENT

VERSION: Final = b"\x01"
MAX_STATE = 1 << 30  # bytes of a whole state

DEVICES, REGISTERS, MAP_LIVE, MAP_GONE, GSETS, ORSET_ALIVE, ORSET_KILLED = range(7)
COUNTER_TOTALS, COUNTER_TAGS, COUNTER_RESCUED, MULTI_ALIVE, MULTI_KILLED, RESCUES = range(7, 13)

ID_BYTES = 32  # of a device or an entry hash
COUNTER_MASK = (1 << COUNTER_BITS) - 1

Numbers = Mapping[bytes, int]


def digest(contents: Contents) -> bytes:
    """BLAKE2b-256 of the state."""
    state = hashlib.blake2b(digest_size=32)
    for block in encode_blocks(contents):
        state.update(block)
    return state.digest()


# --- writing ---------------------------------------------------------------------------------------------------------


def encode_blocks(contents: Contents) -> Iterator[bytes]:
    """The state: the version, then one block at a time."""
    yield VERSION
    ids = sorted(_ids(contents))
    numbers: Numbers = {name: number for number, name in enumerate(ids)}
    yield from _devices(contents, ids)
    registers = {name: register.cell for name, register in contents.registers.items() if register.cell is not None}
    yield from _cells(REGISTERS, "", registers, numbers)
    maps = sorted(contents.maps.items())
    for name, cells in maps:
        if len(cells) == len(cells.cells):
            yield from _cells(MAP_LIVE, name, cells.cells, numbers)
        else:
            yield from _cells(MAP_LIVE, name, {k: c for k, c in cells.cells.items() if c[4] != ABSENT}, numbers)
    for name, cells in maps:
        if len(cells) != len(cells.cells):
            yield from _cells(MAP_GONE, name, {k: c for k, c in cells.cells.items() if c[4] == ABSENT}, numbers)
    for name, gset in sorted(contents.gsets.items()):
        labels = sorted(gset.packed)
        for start, end in col.cuts(map(len, labels)):
            yield col.block(GSETS, name, [col.items(labels[start:end])])
    orsets = sorted(contents.orsets.items())
    for name, orset in orsets:
        yield from _labelled(ORSET_ALIVE, name, sorted((dot, label) for label, dot in orset.dotted.pairs()), numbers)
    for name, orset in orsets:
        yield from _labelled(ORSET_KILLED, name, sorted(_killed(orset.dotted)), numbers)
    counters = sorted(contents.counters.items())
    for name, counter in counters:
        yield from _totals(name, counter, numbers)
    for name, counter in counters:
        yield from _tags(name, counter, numbers)
    for name, counter in counters:
        yield from _rescued(name, counter, numbers)
    multis = sorted(contents.multis.items())
    for name, multi in multis:
        yield from _labelled(MULTI_ALIVE, name, sorted(multi.versions.items()), numbers)
    for name, multi in multis:
        yield from _labelled(MULTI_KILLED, name, sorted(_killed(multi.dotted)), numbers)
    marks = sorted(contents.rescues)
    for start, end in col.cuts(map(len, marks)):
        yield col.block(RESCUES, "", [col.fixed(marks[start:end])])


def _ids(contents: Contents) -> set[bytes]:
    """Every device and entry hash that some row names."""
    ids = set(contents.context.vector)
    ids.update(register.cell[1] for register in contents.registers.values() if register.cell is not None)
    for cells in contents.maps.values():
        ids.update({cell[1] for cell in cells.cells.values()})
    for counter in contents.counters.values():
        ids.update(counter.totals)
        ids.update(source[0] for source in counter.rescued)
    for dotted in contents.dotted():
        ids.update({dot[0] for dots in dotted.alive.values() for dot in dots})
        ids.update(event[0] for event in dotted.killed)
    return ids


def _devices(contents: Contents, ids: Sequence[bytes]) -> Iterator[bytes]:
    vector, hashes = contents.context.vector, contents.hashes
    for start, end in col.cuts(repeat(2 * ID_BYTES, len(ids))):
        part = ids[start:end]
        seqs = [vector.get(name, 0) for name in part]
        applied = col.fixed(hashes[name] for name in part if name in hashes)
        yield col.block(DEVICES, "", [col.fixed(part), col.integers(seqs), applied])


def _cells(section: int, name: str, cells: Mapping[str, Cell], numbers: Numbers) -> Iterator[bytes]:
    rows = sorted([(cell[1], cell, key) for key, cell in cells.items()])
    for start, end in col.cuts([len(row[1][4]) + len(row[2]) for row in rows]):
        _, part, keys = zip(*rows[start:end], strict=True)
        clocks, devices, seqs, indexes, values = zip(*part, strict=True)
        written = [
            col.differences([clock >> COUNTER_BITS for clock in clocks]),
            col.differences([clock & COUNTER_MASK for clock in clocks]),
            col.integers([numbers[device] for device in devices]),
            col.differences(seqs),
            col.integers(indexes),
            col.texts(keys),
        ]
        if section != MAP_GONE:
            written.append(col.items(values))
        yield col.block(section, name, written)


def _labelled(section: int, name: str, rows: Sequence[tuple[Dot, bytes]], numbers: Numbers) -> Iterator[bytes]:
    for start, end in col.cuts([len(label) for _, label in rows]):
        dots, labels = zip(*rows[start:end], strict=True)
        devices, seqs, indexes = zip(*dots, strict=True)
        numbered = col.integers([numbers[device] for device in devices])
        yield col.block(section, name, [numbered, col.differences(seqs), col.integers(indexes), col.items(labels)])


def _killed(dotted: Dotted) -> Iterator[tuple[Dot, bytes]]:
    for (device, seq), named in dotted.killed.items():
        for index, label in named:
            yield (device, seq, index), label


def _totals(name: str, counter: PNCounter, numbers: Numbers) -> Iterator[bytes]:
    rows = sorted(counter.totals.items())
    for start, end in col.cuts(repeat(0, len(rows))):
        devices, pairs = zip(*rows[start:end], strict=True)
        seqs, totals = zip(*pairs, strict=True)
        numbered = col.integers([numbers[device] for device in devices])
        yield col.block(COUNTER_TOTALS, name, [numbered, col.integers(seqs), cbor2.dumps([_signed(n) for n in totals])])


def _signed(number: int) -> bytes:
    """Two's complement, as short as can be: a total may be longer than 64 bits."""
    return number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True)


def _tags(name: str, counter: PNCounter, numbers: Numbers) -> Iterator[bytes]:
    rows = [(device, *row) for device, arrays in sorted(counter.tags.items()) for row in zip(*arrays, strict=True)]
    for start, end in col.cuts(repeat(0, len(rows))):
        devices, seqs, tags = zip(*rows[start:end], strict=True)
        numbered = col.integers([numbers[device] for device in devices])
        marks = col.fixed(tag.to_bytes(TAG_BYTES, "big") for tag in tags)
        yield col.block(COUNTER_TAGS, name, [numbered, col.differences(seqs), marks])


def _rescued(name: str, counter: PNCounter, numbers: Numbers) -> Iterator[bytes]:
    rows = sorted(
        (*source, index, delta) for source, changes in counter.rescued.items() for index, delta in changes.items()
    )
    for start, end in col.cuts(repeat(0, len(rows))):
        devices, seqs, tags, indexes, deltas = zip(*rows[start:end], strict=True)
        numbered = col.integers([numbers[device] for device in devices])
        marks = col.fixed(tag.to_bytes(TAG_BYTES, "big") for tag in tags)
        written = [numbered, col.differences(seqs), marks, col.integers(indexes), col.integers(deltas)]
        yield col.block(COUNTER_RESCUED, name, written)
