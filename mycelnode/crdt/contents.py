"""What a document consists of: its collections, what has been applied, and what is remembered for events still to come."""

from __future__ import annotations

from collections.abc import Iterator

from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.context import DotContext, Dotted, Event
from mycelnode.crdt.counters import PNCounter
from mycelnode.crdt.registers import LWWMap, LWWRegister, MVRegister
from mycelnode.crdt.sets import GSet, ORSet
from mycelnode.errors import LogError


class Contents:
    """The parts of a document. Collections of one name and different types are different collections."""

    __slots__ = (
        "context",
        "counters",
        "gsets",
        "hashes",
        "maps",
        "multis",
        "orsets",
        "registers",
        "rescues",
        "skipped",
        "waiting",
    )

    def __init__(self) -> None:
        self.context = (
            DotContext()
        )  # how many entries of each device are applied; nothing is applied early, so it has no cloud
        self.hashes: dict[DeviceId, bytes] = {}  # of the last entry applied
        self.rescues: set[bytes] = set()  # fingerprints of the rescue operations applied
        self.registers: dict[str, LWWRegister] = {}
        self.maps: dict[str, LWWMap] = {}
        self.gsets: dict[str, GSet] = {}
        self.orsets: dict[str, ORSet] = {}
        self.counters: dict[str, PNCounter] = {}
        self.multis: dict[str, MVRegister] = {}
        self.waiting: dict[Event, dict[int, Dotted]] = {}  # event → where a remove of it is remembered
        self.skipped = 0  # malformed operations met; not part of the state

    def register(self, name: str) -> LWWRegister:
        """The register, made now if need be; so for the other types."""
        found = self.registers.get(name)
        if found is None:
            found = self.registers[name] = LWWRegister()
        return found

    def map(self, name: str) -> LWWMap:
        """See `register`."""
        found = self.maps.get(name)
        if found is None:
            found = self.maps[name] = LWWMap()
        return found

    def gset(self, name: str) -> GSet:
        """See `register`."""
        found = self.gsets.get(name)
        if found is None:
            found = self.gsets[name] = GSet()
        return found

    def orset(self, name: str) -> ORSet:
        """See `register`."""
        found = self.orsets.get(name)
        if found is None:
            found = self.orsets[name] = ORSet(self.context)
        return found

    def counter(self, name: str) -> PNCounter:
        """See `register`."""
        found = self.counters.get(name)
        if found is None:
            found = self.counters[name] = PNCounter()
        return found

    def multi(self, name: str) -> MVRegister:
        """See `register`."""
        found = self.multis.get(name)
        if found is None:
            found = self.multis[name] = MVRegister(self.context)
        return found

    def wait_for(self, event: Event, dotted: Dotted) -> None:
        """A remove of an add of ``event``, which is not applied, is remembered in ``dotted``."""
        if event[1]:  # what floats is remembered for ever
            self.waiting.setdefault(event, {})[id(dotted)] = dotted

    def settle(self, event: Event) -> None:
        """``event`` is applied: what was remembered for it has served."""
        for dotted in self.waiting.pop(event, {}).values():
            dotted.settle(event)

    def merge(self, other: Contents) -> None:
        """Take in ``other``, which was folded from prefixes of the same logs. Raises `LogError`, unchanged, if it surely
        was not."""
        for device, seq in other.context.vector.items():
            if seq == self.context.vector.get(device) and other.hashes[device] != self.hashes[device]:
                raise LogError("two documents were folded from different logs of one device")
        for name, register in other.registers.items():
            self.register(name).merge(register)
        for name, cells in other.maps.items():
            self.map(name).merge(cells)
        for name, gset in other.gsets.items():
            self.gset(name).merge(gset)
        for name, counter in other.counters.items():
            self.counter(name).merge(counter)
        for name in {**self.orsets, **other.orsets}:
            self.orset(name).absorb(other.orsets.get(name, ORSet(other.context)))  # an empty one may remember removes
        for name in {**self.multis, **other.multis}:
            self.multi(name).absorb(other.multis.get(name, MVRegister(other.context)))
        for device, seq in other.context.vector.items():
            if seq > self.context.vector.get(device, 0):
                self.hashes[device] = other.hashes[device]
        self.rescues |= other.rescues
        self.context.merge(other.context)
        self.find_waiting()

    def copy(self) -> Contents:
        """An independent copy. Cells, packed values and dots never change, so both may hold them."""
        twin = Contents()
        twin.context = self.context.copy()
        twin.hashes, twin.rescues, twin.skipped = dict(self.hashes), set(self.rescues), self.skipped
        twin.registers = {name: register.copy() for name, register in self.registers.items()}
        twin.maps = {name: cells.copy() for name, cells in self.maps.items()}
        twin.gsets = {name: gset.copy() for name, gset in self.gsets.items()}
        twin.orsets = {name: orset.copy(twin.context) for name, orset in self.orsets.items()}
        twin.counters = {name: counter.copy() for name, counter in self.counters.items()}
        twin.multis = {name: multi.copy(twin.context) for name, multi in self.multis.items()}
        twin.find_waiting()
        return twin

    def find_waiting(self) -> None:
        """Set `waiting` anew, from what the collections remember."""
        self.waiting = {}
        for dotted in self.dotted():
            for event in dotted.killed:
                self.wait_for(event, dotted)

    def dotted(self) -> Iterator[Dotted]:
        """The dots of all observed-remove sets and multi-value registers."""
        for orset in self.orsets.values():
            yield orset.dotted
        for multi in self.multis.values():
            yield multi.dotted
