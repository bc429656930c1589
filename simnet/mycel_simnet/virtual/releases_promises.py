"""What is promised of releases, checked at every step: by a view of everything that no device has, and a reckoning of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from mycel_simnet.virtual.keys import Broken
from mycelnode.crdt.changelog import DeviceId
from mycelnode.protocols.release_ledger import WINDOWS_A_YEAR
from mycelnode.protocols.release_records import Seen, Spend
from mycelnode.protocols.release_steps import Draw
from mycelnode.protocols.release_units import Handed, digest, label
from mycelnode.protocols.release_window import Window

if TYPE_CHECKING:
    from mycel_simnet.virtual.releases_deciding import Counted, Device
    from mycel_simnet.virtual.releases_device import Answering

Unit = tuple[bytes, int]  # a habit and a day of it


class Promises:
    """Everything that ever happened to the releases of one world."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}  # which turn a mark is of
        self.windows: dict[Window, dict[int, Unit]] = {}  # drawn → turn → what it counted as
        self.units: dict[Unit, Window] = {}
        self.turns: dict[int, Window] = {}
        self.held: set[tuple[DeviceId, bytes]] = set()  # which device ever had which record on a disk
        self.reserved: dict[bytes, Spend] = {}  # what was on the disk of whoever was to decide
        self.spends: defaultdict[str, set[bytes]] = defaultdict(set)  # by device: what its disk has
        self.sizes: Counter[str] = Counter()
        self.decided: defaultdict[str, set[int]] = defaultdict(set)
        self.frozen: defaultdict[str, dict[int, set[int]]] = defaultdict(dict)  # by device: window → turns

    # --- at every commit ----------------------------------------------------------------------------------------------------

    def stored(self, device: Answering) -> None:
        """A transaction is on a disk."""
        disk = device.disk
        if len(disk.records) == self.sizes[device.name] and disk.kept.drawn == self.decided[device.name]:
            return
        self.sizes[device.name], self.decided[device.name] = len(disk.records), set(disk.kept.drawn)
        spends = {record.id for record in disk.records.values() if isinstance(record, Spend)}
        if self.spends[device.name] - spends:
            raise Broken("spend forgotten", device.name)
        self.spends[device.name] = spends
        for record in disk.records.values():
            self.held.add((device.me, record.id))
            if isinstance(record, Spend) and record.author == device.me:
                self.reserved[record.id] = record
            if isinstance(record, Seen) and record.author == device.me:
                self.held.add((device.me, b"word" + record.record))
        if not disk.kept.drawn <= {one.window.start for one in disk.records.values() if isinstance(one, Spend)}:
            raise Broken("drawn without its spend", device.name)

    def took(self, device: Answering, window: Window, rows: list[Handed]) -> None:
        """A device's part of a window was taken from its turns."""
        frozen = self.frozen[device.name]
        if window.start in frozen:
            raise Broken("frozen twice", f"{device.name} takes {window.id} again")
        frozen[window.start] = {self.numbers[one.marks[0]] for one in rows}

    def copied(self, old: Device, new: Device) -> None:
        """A device's disk is a copy of another's now, or an older one of its own."""
        self.sizes[new.name] = -1
        self.spends[new.name] = {record.id for record in new.disk.records.values() if isinstance(record, Spend)}
        self.frozen[new.name] = {
            start: set(turns) for start, turns in self.frozen[old.name].items() if start in new.disk.kept.frozen
        }

    # --- counting ---------------------------------------------------------------------------------------------------------------

    def sealed(self, device: Device, counted: Counted) -> None:
        """What a releaser counted is what the turns come to."""
        window = counted.effect.window
        counted.turns = self.reckon(device, counted)
        by_habit = Counter(key for key, _ in set(counted.turns.values()))
        if by_habit != Counter(counted.counts):
            raise Broken("count", f"{device.name} counts {counted.counts} in {window.id}")
        terms = device.disk.kept.opened[window.start]
        if any(not key.endswith(terms.version[:4] + terms.dictionary[-4:]) for key in by_habit):
            raise Broken("terms mixed", f"{device.name} in {window.id}")
        for whose, rows in counted.rows.items():
            self._was_taken(whose, window, rows, device)

    def _was_taken(self, whose: DeviceId, window: Window, rows: tuple[Handed, ...], device: Device) -> None:
        taken: set[int] = set()
        for one in device.world.devices:
            if one.me == whose:
                taken |= self.frozen[one.name].get(window.start, set()) | one.taken_before.get(window.start, set())
        if not {self.numbers[one.marks[0]] for one in rows} <= taken:
            raise Broken("counted late", f"{device.name} has what came in after the end of {window.id}")

    def reckon(self, device: Device, counted: Counted) -> dict[int, Unit]:
        """Which turn counts as which unit, by turns and not by marks."""
        disk, limit = device.disk, label(counted.effect.window.start)
        copies: defaultdict[int, list[Handed]] = defaultdict(list)
        for rows in counted.rows.values():
            for one in rows:
                copies[self.numbers[one.marks[0]]].append(one)
        found: dict[int, Unit] = {}
        for number, ones in copies.items():
            dated = [one for one in ones if one.dated] or ones
            key, day = min((one.key, one.day) for one in dated if one.day == min(two.day for two in dated))
            marks = [mark for one in ones for mark in one.marks] + device.day_marks(key, day)
            if not any(known < limit for mark in marks for known in disk.labels(mark)):
                found[number] = (key, day)
        return found

    # --- deciding ---------------------------------------------------------------------------------------------------------------

    def drawn(self, device: Device, effect: Draw, counted: Counted) -> None:
        """A window is sampled, now."""
        spend, window = effect.spend, effect.spend.window
        for other in self.windows:
            if other.overlaps(window):
                raise Broken("drawn twice", f"{window.id}, by {device.name}")
        if any(one.window.overlaps(window) for one in self.reserved.values() if one.id != spend.id):
            raise Broken("drawn after it was lost", f"{window.id}, by {device.name}")
        if spend.id not in device.disk.records:
            raise Broken("drawn without its spend", f"{window.id}, by {device.name}")
        witness = counted.witness
        if witness is not None and not {(witness, b"word" + spend.id), (witness, spend.id)} <= self.held:
            raise Broken("drawn without the witness", f"{window.id}, by {device.name}")
        rows = {whose: device.disk.rows.get((window.start, whose), ()) for whose in sorted(effect.devices)}
        if effect.devices != counted.effect.devices or rows != counted.rows:
            raise Broken("digest", f"{device.name} draws on other parts of {window.id} than it sealed")
        if digest(device.disk.salt, counted.counts) != spend.digest:
            raise Broken("digest", f"{device.name} draws on something else in {window.id}")
        turns = counted.turns
        for number, unit in turns.items():
            if number in self.turns:
                raise Broken("turn counted twice", f"{number} in {self.turns[number].id} and {window.id}")
            if unit in self.units:
                raise Broken("unit counted twice", f"{unit} in {self.units[unit].id} and {window.id}")
        self.turns.update(dict.fromkeys(turns, window))
        self.units.update(dict.fromkeys(turns.values(), window))
        self.windows[window] = turns
        if sum(other.year == window.year for other in self.windows) > WINDOWS_A_YEAR:
            raise Broken("too many", f"windows were drawn in {window.year}")
