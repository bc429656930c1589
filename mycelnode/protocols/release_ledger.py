"""The ledger of releases: a set of signed records that only grows, the same on all devices once they have met.

What is read from it is a function of the set, and of which devices are out: in which order records came makes no difference.
Nothing that a fence, a revocation or a snapshot does takes a record away, as a spend that is forgotten would be made again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from mycelnode.crdt.changelog import DeviceId
from mycelnode.protocols.release_records import Plan, Record, Seen, Spend
from mycelnode.protocols.release_window import YEAR, Window, quarter_of

MAX_PLANS: Final = 4_096  # a person who changes the plan each quarter for ten centuries
MAX_SPENDS_OF_A_DEVICE: Final = (
    2  # in one window: a second one shows that there are two copies of it; more show nothing new
)
MAX_RECORDS: Final = 16_384
WINDOWS_A_YEAR: Final = 4  # the cap: not more are decided


class Ledger:
    """The records that a device holds. ``root``: the mesh's root key, whose plans go before those of devices.

    ``out``: the devices that were put out of the mesh. A plan does not wait for the word of a witness among them.
    """

    def __init__(self, root: bytes, records: Iterable[Record] = (), out: AbstractSet[DeviceId] = frozenset()) -> None:
        self._root, self._out = root, out
        self._records: dict[bytes, Record] = {}
        self._plans: list[Plan] = []
        self._spends: list[Spend] = []
        self._words: dict[tuple[bytes, DeviceId], Seen] = {}
        self._read: list[tuple[int, Plan | None]] | None = None
        for record in records:
            self.add(record)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, record: object) -> bool:
        return isinstance(record, Record) and record.id in self._records

    def add(self, record: Record) -> None:
        """Hold one more."""
        if record.id in self._records:
            return
        self._records[record.id] = record
        if isinstance(record, Spend):
            self._spends.append(record)
            return
        self._read = None
        if isinstance(record, Plan):
            self._plans.append(record)
        elif isinstance(record, Seen):
            known = self._words.setdefault((record.record, record.author), record)
            self._words[record.record, record.author] = min(known, record, key=lambda one: one.id)

    def put_out(self, out: AbstractSet[DeviceId]) -> None:
        """These devices are out of the mesh."""
        if out != self._out:
            self._out, self._read = out, None

    def wanted(self, record: Record, now: int) -> bool:
        """Is this verified record worth holding, at ``now`` (Unix ms)?

        What a device says is, if some plan named it: as the releaser, or the witness. Any other member could only fill disks with
        it, or use up what is not its own. A spend is, once its window is over.
        """
        if record in self or len(self) >= MAX_RECORDS:
            return False
        if isinstance(record, Seen):
            named = any(plan.witness == record.author for plan in self._plans)
            return named and record.record in self._records and not self.seen(record.record, record.author)
        decides = any(plan.releaser == record.author for plan in self._plans)
        if isinstance(record, Spend):
            same = [one for one in self.spends(record.window) if one.author == record.author]
            return decides and record.window.over(now) and len(same) < MAX_SPENDS_OF_A_DEVICE
        return (decides or record.author == self._root) and len(self._plans) < MAX_PLANS

    # --- plans -------------------------------------------------------------------------------------------------------------

    @property
    def last_plan(self) -> Plan | None:
        """The newest plan that holds; None if there is none, or if nobody knows which of two does."""
        return self._spans[-1][1] if self._spans else None

    @property
    def next_number(self) -> int:
        """Of a plan that the root makes: higher than all there are."""
        return max((one.number for one in self._plans), default=-1) + 1

    def plan(self, quarter: int) -> Plan | None:
        """The plan that holds in a quarter; None if there is none."""
        return next((plan for since, plan in reversed(self._spans) if since <= quarter), None)

    def plans(self, first: int, last: int) -> list[Plan]:
        """The plans that hold in the quarters from ``first`` to ``last``."""
        ends = [since for since, _ in self._spans[1:]] + [last + 1]
        return [
            plan
            for (since, plan), end in zip(self._spans, ends, strict=False)
            if plan is not None and since <= last and end > first and first <= last
        ]

    def window(self, moment: int) -> Window | None:
        """The window that a moment (Unix ms) lies in; None before the first plan."""
        return self.window_of(quarter_of(moment))

    def window_of(self, quarter: int) -> Window | None:
        """The window that a quarter lies in; None where no plan holds. A year that a new plan cuts short ends there."""
        plan = self.plan(quarter)
        if plan is None:
            return None
        year = quarter - quarter % YEAR
        start, end = (quarter, quarter + 1) if plan.quarters == 1 else (max(plan.since, year), year + YEAR)
        later = [since for since, _ in self._spans if since > quarter]
        return Window(start, min([end, *later]) - start)

    @property
    def _spans(self) -> list[tuple[int, Plan | None]]:
        """Which plans hold, and from which quarter on; no plan where nobody knows who decides.

        A plan of the root begins an era, which ends where that with the next number begins. In it, a plan of a device holds if it
        is by the releaser of the plan before, which it names, and the witness of that has seen it. Two that exclude each other come
        of two copies of one device, or of two papers with one phrase: then neither holds, and none that comes after in this era.
        What held before an era begins is left as it was: somebody may have decided by it.
        """
        if self._read is not None:
            return self._read
        eras: dict[int, list[Plan]] = {}
        following: dict[bytes, list[Plan]] = {}
        for made in self._plans:
            if made.author == self._root:
                eras.setdefault(made.number, []).append(made)
            elif made.previous is not None:
                following.setdefault(made.previous, []).append(made)
        spans: list[tuple[int, Plan | None]] = []
        for number in sorted(eras):
            holding = eras[number]
            while holding:
                since, plan = min(one.since for one in holding), holding[0] if len(holding) == 1 else None
                while spans and spans[-1][0] >= since:
                    spans.pop()
                spans.append((since, plan))
                holding = [] if plan is None else self._after(plan, following.get(plan.id, []))
        self._read = spans
        return spans

    def _after(self, last: Plan, following: Iterable[Plan]) -> list[Plan]:
        rightly = [
            one
            for one in following
            if one.author == last.releaser and one.number == last.number + 1 and one.since >= last.since
        ]
        if last.witness is None:
            return rightly
        seen = [one for one in rightly if self.seen(one.id, last.witness)]
        return seen or (rightly if last.witness in self._out else [])

    # --- spends ------------------------------------------------------------------------------------------------------------

    def spends(self, window: Window | None = None) -> list[Spend]:
        """All that was spent, or what was spent of the quarters of one window, in the order of windows."""
        found = [one for one in self._spends if window is None or one.window.overlaps(window)]
        return sorted(found, key=lambda one: (one.window, one.id))

    def spent_until(self) -> int:
        """The first quarter after all that was spent: what lies before it is not decided any more, and not for the first time
        either."""
        return max((one.window.end for one in self._spends), default=0)

    def spent_in(self, year: int) -> list[Window]:
        """The windows of a calendar year that were spent, each once."""
        return sorted({one.window for one in self.spends() if one.window.year == year})

    def seen(self, record: bytes, witness: DeviceId) -> Seen | None:
        """The countersignature of a record (its id) by a device."""
        return self._words.get((record, witness))
