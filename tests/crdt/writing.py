"""Devices that write logs of random transactions, and an oracle that reads off, from the definitions, what they amount to."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from mycelnode.crdt.changelog import chain, encode_entry, genesis
from mycelnode.crdt.document import COUNTER, GSET, MAP, MULTI, ORSET, REGISTER, Document, from_verb, plain
from mycelnode.crdt.operations import Operation, dot_groups
from mycelnode.crdt.values import pack

ROOT = b"R" * 32
DEVICES = tuple(bytes([code]) * 32 for code in b"ABC")
NAMES = ("n", "m")
KEYS = ("", "k", "ключ")
VALUES = (None, 0, 1, True, 1.0, "x", b"x", [1, "y"], {"a": [None]})


class Entry(NamedTuple):
    """One transaction in a log, as `Document.apply` takes it."""

    device: bytes
    seq: int
    hash: bytes
    clock: int
    operations: Sequence[Any]


class Writer:
    """One device: its log, and the document as it knows it."""

    def __init__(self, device: bytes) -> None:
        self.device = device
        self.document = Document()
        self.log: list[Entry] = []

    def write(self, clock: int, operations: Sequence[Any]) -> Entry:
        last = self.log[-1].hash if self.log else genesis(ROOT, self.device).hash
        hashed = chain(last, encode_entry(clock, operations or [[0]]))
        entry = Entry(self.device, len(self.log) + 1, hashed, clock, operations)
        self.log.append(entry)
        self.document.apply(*entry)
        return entry

    def learn(self, other: Writer, count: int) -> None:
        """Some more of ``other``'s log."""
        done = self.document.applied.get(other.device, 0)
        for entry in other.log[done : done + count]:
            self.document.apply(*entry)


# --- random histories ------------------------------------------------------------------------------------------------

small = st.integers(0, 8)
_named = st.sampled_from(NAMES)
_value = st.sampled_from(VALUES)
_element = st.sampled_from(VALUES[1:3])
_any_dot = st.tuples(st.sampled_from(DEVICES), st.integers(1, 4), st.integers(0, 2))
_set_verbs = st.one_of(
    st.tuples(st.just("add"), st.just("n"), _element),
    st.tuples(st.just("remove"), st.just("n"), _element),
    st.tuples(st.sampled_from(["5", "7"]), st.just("n"), _element, st.lists(_any_dot, max_size=2)),
)
verbs = st.one_of(
    st.tuples(st.just("add"), st.just("n"), _element), st.tuples(st.just("remove"), st.just("n"), _element)
)
verbs = st.one_of(
    _set_verbs,  # more often than the others: they have most ways to go wrong
    _set_verbs,
    st.tuples(st.just("set"), _named, _value),
    st.tuples(st.just("put"), _named, st.sampled_from(KEYS), _value),
    st.tuples(st.just("delete"), _named, st.sampled_from(KEYS)),
    st.tuples(st.just("append"), _named, _value),
    st.tuples(st.just("count"), _named, st.integers(-9, 9)),
    st.tuples(st.just("assign"), _named, _value),
)
writes = st.tuples(st.just("write"), st.integers(0, 2), st.integers(1, 5), st.lists(verbs, max_size=4))
learns = st.tuples(st.just("learn"), st.integers(0, 2), st.integers(0, 2), st.integers(1, 4))
histories = st.lists(st.one_of(writes, writes, learns), max_size=16)


def live(history: Iterable[Any]) -> list[Writer]:
    """Three devices after a history. Removes and assignments name what their device had seen."""
    writers = [Writer(device) for device in DEVICES]
    for step in history:
        writer = writers[step[1]]
        if step[0] == "learn":
            other = writers[step[2]]
            if other is not writer:
                writer.learn(other, step[3])
        else:
            operations = [op for verb in step[3] if (op := _operation(writer, verb)) is not None]
            writer.write(step[2], operations)
    return writers


def _operation(writer: Writer, verb: Any) -> Operation | None:
    """Removes and assignments name what was seen, or ("5", "7") whatever a careless program makes them name."""
    if verb[0] not in ("5", "7"):
        return from_verb(writer.document, verb)
    own = (writer.device, len(writer.log) + 1)  # to name what stands in the same entry has no meaning
    return [int(verb[0]), verb[1], verb[2], dot_groups({dot for dot in verb[3] if dot[:2] != own})]


def logs_of(writers: Iterable[Writer]) -> list[list[Entry]]:
    return [writer.log for writer in writers]


def interleaved(logs: Iterable[Sequence[Entry]], rng: random.Random) -> list[Entry]:
    """All entries, each log in its order, the logs mixed."""
    turns = [log for log in logs for _ in log]
    rng.shuffle(turns)
    iterators = {id(log): iter(log) for log in turns}
    return [next(iterators[id(log)]) for log in turns]


def fold(entries: Iterable[Entry], document: Document | None = None) -> Document:
    document = Document() if document is None else document
    for entry in entries:
        document.apply(*entry)
    return document


# --- what a document shows -------------------------------------------------------------------------------------------


def shown(document: Document) -> dict[tuple[str, str], Any]:
    """All collections as people see them, without order."""
    return {(name, kind): _shown(document, name, kind) for name, kind in document.names()}


def _shown(document: Document, name: str, kind: str) -> Any:
    if kind in (GSET, ORSET):
        return sorted(map(pack, document.view(name, kind)))  # type: ignore[arg-type]
    if kind == MAP:
        return {key: pack(value) for key, value in document.map(name).items()}
    if kind == MULTI:
        return [pack(value) for value in document.multi(name).values()]
    return pack(document.register(name).get()) if kind == REGISTER else plain(document, name, kind)


def oracle(entries: Iterable[Entry]) -> dict[tuple[str, str], Any]:
    """What `shown` must give for a set of well-formed entries, whatever their order."""
    rows = [(entry, index, op) for entry in entries for index, op in enumerate(entry.operations)]
    named = {
        (op[0] == 7, op[1], b"" if op[0] == 7 else pack(op[2]), group[0], seq, index)
        for _, _, op in rows
        if op[0] in (5, 7)
        for group in op[3]
        for seq, index in zip(group[1::2], group[2::2], strict=True)
    }
    result: dict[tuple[str, str], Any] = {}
    cells: dict[tuple[str, str, Any], Any] = {}
    for entry, index, op in rows:
        code, name = op[0], op[1]
        stamp = (entry.clock, entry.device, entry.seq, index)
        if code in (1, 2):
            cell = (REGISTER if code == 1 else MAP, name, op[2] if code == 2 else None)
            value = pack(op[2]) if code == 1 else pack(op[3]) if len(op) == 4 else None
            cells[cell] = max(cells.get(cell, ((-1,), None)), (stamp, value), key=lambda pair: pair[0])
        elif code == 3:
            result.setdefault((name, GSET), set()).add(pack(op[2]))
        elif code == 4 and (False, name, pack(op[2]), entry.device, entry.seq, index) not in named:
            result.setdefault((name, ORSET), set()).add(pack(op[2]))
        elif code == 6:
            result[name, COUNTER] = result.get((name, COUNTER), 0) + op[2]
        elif code == 7 and (True, name, b"", entry.device, entry.seq, index) not in named:
            result.setdefault((name, MULTI), set()).add(pack(op[2]))
    for (kind, name, key), (_, value) in cells.items():
        if kind == REGISTER:
            result[name, kind] = value
        elif value is not None:
            result.setdefault((name, kind), {})[key] = value
    return {place: sorted(value) if isinstance(value, set) else value for place, value in result.items()}
