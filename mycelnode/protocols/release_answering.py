"""What every device does about releases of its mesh: it notes when windows open, hears what is signed, hands over its part, and as
the witness sees what is spent. The first half of the machine; the other is `mycelnode.protocols.release`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from mycelnode.crdt.changelog import DeviceId, Sign, Verify
from mycelnode.protocols.release_ledger import WINDOWS_A_YEAR, Ledger
from mycelnode.protocols.release_records import Plan, Record, Seen, Spend
from mycelnode.protocols.release_steps import Agree, Call, Freeze, Give, Keep, Kept, No, Open, Terms
from mycelnode.protocols.release_window import YEAR, Window, quarter_of

LATE_QUARTERS: Final = 4  # a window that ended longer ago than this is decided no more
_OTHER_WINDOW: Final = "it has given its part of a longer or a shorter window"
_OTHER_TERMS: Final = "it began the window with another version or another dictionary"
_UNHEARD: Final = "it has not heard yet by which dictionary the window is read"
_UPDATED: Final = "its version changed before its part was taken"
_DECIDED: Final = "the window, or a later one, was decided before its part was taken"


class Answering:
    """What a device does when it is asked, and by itself. ``random(n)``: n random bytes.

    ``version``, wherever it is asked for: of the keys, as this program makes them now.
    """

    def __init__(
        self,
        root: bytes,
        me: DeviceId,
        sign: Sign,
        verify: Verify,
        ledger: Ledger,
        kept: Kept,
        random: Callable[[int], bytes],
    ) -> None:
        self._root, self.me, self._sign, self._verify, self._random = root, me, sign, verify, random
        self.ledger, self.local = ledger, kept
        self._members: AbstractSet[DeviceId] = frozenset((me,))
        self._enrolled: AbstractSet[DeviceId] = frozenset((me,))

    def membership(self, members: AbstractSet[DeviceId], enrolled: AbstractSet[DeviceId]) -> None:
        """Who is in the mesh, and who ever was."""
        self._members, self._enrolled = members, enrolled
        self.ledger.put_out(frozenset(enrolled - members))

    # --- every device --------------------------------------------------------------------------------------------------------

    def open(self, now: int, terms: Terms) -> Open | None:
        """Note under which terms the window of ``now`` (Unix ms) opened for us, if that is not noted yet.

        What was noted for later windows, by a clock that was ahead then, is forgotten with that: else the next time that a clock is
        ahead would use up the window into which this time fell, and all those before.
        """
        window = self.ledger.window(now)
        if window is None:
            return None
        known = self.local.opened.get(window.start)
        return Open(window, terms if known is None else known) if known is None or self._later(window) else None

    def opened(self, done: Open) -> None:
        """It is on the disk, and nothing of later windows is but of those of which our part was taken."""
        for start in self._later(done.window):
            del self.local.opened[start]
            self.local.agreed.pop(start, None)
        self.local.opened.setdefault(done.window.start, done.terms)

    def _later(self, window: Window) -> list[int]:
        return [start for start in self.local.opened if start > window.start and start not in self.local.frozen]

    def hear(self, records: Iterable[Record], now: int) -> Keep | None:
        """What another device holds: what of it is to be kept here. Records that nobody of this mesh signed are left out."""
        heard: list[Record] = []
        held = Ledger(self._root, self.ledger, frozenset())
        for record in sorted(records, key=_by_rank):
            if held.wanted(record, now) and record.verified(self._root, self._verify):
                held.add(record)
                heard.append(record)
        return Keep(tuple(heard)) if heard else None

    def kept(self, done: Keep) -> None:
        """They are on the disk."""
        for record in done.records:
            self.ledger.add(record)

    # --- windows that are over ----------------------------------------------------------------------------------------------------

    def hindered(self, window: Window, now: int) -> str:
        """Why a window that is over will not be decided, as far as we know; empty if it can be."""
        plan = self.ledger.plan(window.start)
        if plan is None:
            return "nobody decides it"
        if self._past(window):
            return "a later window was decided before it"
        if plan.releaser not in self._members:
            return "the device that decides it is out of the mesh"
        if plan.witness is not None and plan.witness not in self._members:
            return "its witness is out of the mesh"
        if window.end + LATE_QUARTERS < quarter_of(now):
            return "it ended more than a year ago"
        if plan.releaser == self.me and window.start not in self.local.opened:
            # we were not there, or it is a clock that is far ahead which says that it is over
            return "it did not open for the device that decides it"
        return "" if self._left(window) else "the budget of that year is spent"

    def undecided(self, now: int) -> list[Window]:
        """The windows of the last two years that are over, opened for us, and were not spent."""
        return [
            window
            for window, _ in self._ended(0, now)
            if window.start in self.local.opened and not self.ledger.spends(window)
        ]

    def _left(self, window: Window) -> bool:
        return len(self.ledger.spent_in(window.year)) < WINDOWS_A_YEAR

    def _ended(self, quarter: int, now: int) -> Iterator[tuple[Window, Plan]]:
        """The windows from a quarter on that are over, with their plans; not those of long ago."""
        quarter, end = max(quarter, quarter_of(now) - LATE_QUARTERS - YEAR, 0), quarter_of(now)
        while quarter < end:
            window, plan = self.ledger.window_of(quarter), self.ledger.plan(quarter)
            if window is not None and plan is not None and window.over(now):
                yield window, plan
            quarter = quarter + 1 if window is None else window.end

    # --- one dictionary for a window ---------------------------------------------------------------------------------------------

    # Each device opens a window by itself, perhaps before it has heard of the newest words; what counts is read by one dictionary,
    # or it would not count together: that with which the window opened for the device that decides it.

    def untaken(self, releaser: DeviceId, now: int) -> list[Window]:
        """The windows that another device decides, of which our part is not taken yet: by which terms is to be heard from it."""
        windows = [(self.ledger.window(now), self.ledger.plan(quarter_of(now))), *self._ended(0, now)]
        return [
            window
            for window, plan in windows
            if window is not None
            and plan is not None
            and plan.releaser == releaser != self.me
            and window.start in self.local.opened
            and not self._taken(window)
            and not self.hindered(window, now)
        ]

    def terms_for(self, window: Window, caller: DeviceId) -> Terms | No:
        """Those under which a window opened for us, who decide it."""
        plan, begun = self.ledger.plan(window.start), self.local.opened.get(window.start)
        if caller not in self._members or self.me not in self._members:
            return No("it is no member")
        if plan is None or plan.releaser != self.me or self.ledger.window_of(window.start) != window:
            return No("it goes by another plan")
        return No("the window has not opened there") if begun is None else begun

    def agree(self, window: Window, releaser: DeviceId, terms: Terms) -> Agree | None:
        """What to do about the terms that the device which decides a window has told us: another version cannot be ours."""
        plan, begun = self.ledger.plan(window.start), self.local.opened.get(window.start)
        if plan is None or plan.releaser != releaser or self.ledger.window_of(window.start) != window:
            return None
        if begun is None or begun.version != terms.version or self._taken(window):
            return None
        known = begun == terms and self._agreed(window, plan)
        return None if known else Agree(window, terms, releaser)

    def _agreed(self, window: Window, plan: Plan) -> bool:
        """Do we know by which terms a window is read? Those of a device that does not decide it any more say nothing."""
        return plan.releaser == self.me or self.local.agreed.get(window.start) == plan.releaser

    def agreed(self, done: Agree) -> None:
        """It is on the disk."""
        self.local.opened[done.window.start] = done.terms
        self.local.agreed[done.window.start] = done.releaser

    def unheard(self, call: Call, caller: DeviceId, now: int) -> bool:
        """Are we asked for our part by another dictionary than ours, and can still read by that? Then we need its words first."""
        begun = self.local.opened.get(call.window.start)
        other = begun is not None and begun != call.terms and begun.version == call.terms.version
        return other and not self._taken(call.window) and not self._refused(call, caller, now)

    def _taken(self, window: Window) -> bool:
        return any(window.overlaps(taken) for taken, _ in self.local.frozen.values())

    # --- handing over ----------------------------------------------------------------------------------------------------------

    def call(self, call: Call, caller: DeviceId, now: int, version: bytes, secrets: bytes) -> Freeze | Give | No:
        """What to do about a releaser's question. After `Freeze` and `froze`, the same question is answered with `Give`."""
        window = call.window
        frozen = self.local.frozen.get(window.start)
        begun = self.local.opened.get(window.start)
        if said := self._refused(call, caller, now):
            return No(said)
        if frozen is not None:
            if frozen[0] != window:
                return No(_OTHER_WINDOW)
            return Give(window, "" if begun in (None, call.terms) else _OTHER_TERMS)
        if self._taken(window):
            return No(_OTHER_WINDOW)
        if call.secrets != secrets:
            return No("it has not heard yet of a secret of the mesh")
        if self.unheard(call, caller, now):
            return No(_UNHEARD)
        if begun is not None and begun != call.terms:
            return Freeze(window, caller, _OTHER_TERMS)
        return self._freeze(window, caller, version)

    def _refused(self, call: Call, caller: DeviceId, now: int) -> str:
        plan = self.ledger.plan(call.window.start)
        if caller not in self._members or self.me not in self._members:
            return "it is no member"
        if (
            plan is None
            or plan.id != call.plan
            or plan.releaser != caller
            or self.ledger.window_of(call.window.start) != call.window
        ):
            return "it goes by another plan"
        return "" if call.window.over(now) else "the window is not over by the clock there"

    def own(self, now: int, version: bytes) -> Freeze | None:
        """Our own part of a window that has ended, whether its releaser has asked for it or not: an update that comes later would
        read our turns in another way, and then none of them could count. By which dictionary it is read has to be heard before."""
        for window, plan in self._ended(0, now):
            known = self._agreed(window, plan) or self._past(window)
            if known and window.start in self.local.opened and not self._taken(window):
                return self._freeze(window, plan.releaser, version)
        return None

    def _past(self, window: Window) -> bool:
        return window.start < self.ledger.spent_until()

    def _freeze(self, window: Window, releaser: DeviceId, version: bytes) -> Freeze:
        begun = self.local.opened.get(window.start)
        if begun is None:
            return Freeze(window, releaser, "it was not there in that window")
        if self._past(window):
            return Freeze(window, releaser, _DECIDED)
        return Freeze(window, releaser, "" if begun.version == version else _UPDATED, begun)

    def stands(self, done: Freeze) -> bool:
        """Is it still to be done? Reading takes long, and meanwhile we may hear of other terms, or that the window is decided."""
        same = done.empty or (self.local.opened.get(done.window.start) == done.terms and not self._past(done.window))
        return same and done.window.start not in self.local.frozen

    def froze(self, done: Freeze) -> None:
        """It is on the disk."""
        self.local.frozen[done.window.start] = (done.window, done.releaser)
        if done.releaser == self.me:
            self.local.got.setdefault(done.window.start, set()).add(self.me)

    # --- the witness -----------------------------------------------------------------------------------------------------------

    def asked(self, record: Spend | Plan, caller: DeviceId, now: int) -> Keep | Seen | No:
        """What to do about a record that we are to see: keep it with our word and then send that; or send it, if it was given."""
        if caller not in self._members or self.me not in self._members or record.author != caller:
            return No("it is no member")
        if not record.verified(self._root, self._verify):
            return No("its signature is wrong")
        if (given := self.ledger.seen(record.id, self.me)) is not None:
            return given
        if said := self._against_plan(record) if isinstance(record, Plan) else self._against(record, now):
            return No(said)
        word = Seen(self.me, record.id).signed(self._root, self._sign)
        return Keep((word,) if record in self.ledger else (record, word))

    def _against(self, spend: Spend, now: int) -> str:
        plan = self.ledger.plan(spend.window.start)
        if plan is None or plan.releaser != spend.author or plan.witness != self.me or plan.choice != spend.choice:
            return "it goes by another plan"
        if self.ledger.window_of(spend.window.start) != spend.window or not spend.window.over(now):
            return "the window is not over by the clock there"
        if spend.window.start < self.ledger.spent_until():
            return "that window was spent before, or one after it"
        if not self._left(spend.window):
            return "the budget of that year is spent"
        return ""

    def _against_plan(self, plan: Plan) -> str:
        last = self.ledger.last_plan
        if last is None or last.witness != self.me or plan.author != last.releaser or plan.previous != last.id:
            return "it goes by another plan"
        others = [one for one in self.ledger if isinstance(one, Plan) and one.number == plan.number and one != plan]
        if any(self.ledger.seen(one.id, self.me) for one in others):
            return "it has seen another plan of that number"
        return ""


def _by_rank(record: Record) -> tuple[int, int]:
    """Plans in the order of their numbers, then spends, then what witnesses say of them: each needs those before it."""
    return (0, record.number) if isinstance(record, Plan) else (1 if isinstance(record, Spend) else 2, 0)
