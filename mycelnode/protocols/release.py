"""Release decisions over all devices of a person, as a machine: what a device may do about a window of time, and in which order.

Each device notes under which terms a window opened for it, and takes over the dictionary of the device that decides it. When the
window is over, its *releaser* asks every device for its part (`Ask`, `Freeze`), compares what counts no more with the *witness*
(`Compare`), counts (`Seal`), has the spend countersigned (`Countersign`), keeps it (`Keep`), and only then decides (`Draw`), once.
docs/protocols/release.md has the states.

The machine holds what is on disk (`Kept`, `Ledger`), and in memory the one attempt that this process makes. The driver does what
`Part.next` says and tells what came of it; what it is told to keep is on disk before it says so. A crash forgets the attempt and
nothing else: a window that was spent and not decided is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from mycelnode.crdt.changelog import DeviceId, Sign
from mycelnode.errors import PlanRefused
from mycelnode.protocols.release_answering import Answering
from mycelnode.protocols.release_records import NONCE_BYTES, Plan, Seen, Spend
from mycelnode.protocols.release_steps import (
    Ask,
    Call,
    Compare,
    Countersign,
    Draw,
    Effect,
    Keep,
    Seal,
    Wait,
)
from mycelnode.protocols.release_window import YEAR, Window, quarter_of

PATIENCE_MS: Final = (
    30 * 86_400_000
)  # after the end of a window; then it is decided without devices that were not there


@dataclass(slots=True)
class _Attempt:
    """What this process does about one window. Nothing of it is on a disk: a copy of the device has another one."""

    window: Window
    plan: Plan
    silent: set[DeviceId] = field(default_factory=set)  # as devices that have a part
    mute: set[DeviceId] = field(default_factory=set)  # as those without whom nothing is decided
    asking_mute: bool = False  # what `next` said last was to ask one of those
    compared: set[DeviceId] = field(default_factory=set)
    devices: frozenset[DeviceId] = frozenset()
    before: frozenset[DeviceId] = frozenset()  # who may have decided an older window while we counted
    spend: Spend | None = None
    seen: Seen | None = None
    sent: bool = False  # somebody may have the spend
    ours: bool = False  # the spend is on our disk, and this process put it there


class Part(Answering):
    """One device's part in the releases of its mesh, as one that may also decide."""

    _attempt: _Attempt | None = None

    def kept(self, done: Keep) -> None:
        """See `Answering`."""
        super().kept(done)
        attempt = self._attempt
        if attempt is not None:
            attempt.ours |= attempt.spend in done.records
            if any(isinstance(one, Spend) for one in done.records):  # there may be more that counts no more
                attempt.compared.clear()

    # --- plans -----------------------------------------------------------------------------------------------------------------

    def plan(
        self,
        now: int,
        *,
        choice: str | None = None,
        quarters: int | None = None,
        releaser: DeviceId | None = None,
        witness: DeviceId | None = None,
    ) -> Plan:
        """A new plan for the next window, signed; what is not given stays as it is. It holds once it is kept, and the witness of
        the last plan has seen it. Raises `PlanRefused`."""
        last = self.ledger.last_plan
        if last is None or last.releaser != self.me or self.me not in self._members:
            raise PlanRefused(
                "only the device that decides releases can change how they are decided; else the phrase can"
            )
        if self.pending_plan() is not None:
            raise PlanRefused("a change that was made before waits for the word of the witness; else the phrase can")
        wanted, decides = quarters or last.quarters, self._member(releaser or last.releaser)
        made = Plan(
            self.me,
            last.number + 1,
            self._next(now, wanted, last.since),
            wanted,
            choice or last.choice,
            decides,
            self._named(decides, witness, last.witness),
            last.id,
        )
        return made.signed(self._root, self._sign)

    def plan_of_root(self, now: int, sign: Sign, *, releaser: DeviceId, witness: DeviceId | None = None) -> Plan:
        """A plan by the phrase, from the next window on: the way out when the releaser or its witness is lost.

        The old releaser and its witness go on deciding, if neither is in the new plan and both do not hear of it: who uses the
        phrase so says that one of them is lost. The witness, which stays as it is if nobody says otherwise, is the safeguard.
        """
        last = self.ledger.last_plan
        quarters, choice = (1, "standard") if last is None else (last.quarters, last.choice)
        since = self._next(now, quarters, 0)
        seen = self._named(releaser, witness, None if last is None else last.witness)
        number = max(self.ledger.next_number, now // 1000)  # we may not have heard of all there are
        made = Plan(self._root, number, since, quarters, choice, releaser, seen)
        return made.signed(self._root, sign)

    def word_wanted(self, plan: Plan) -> DeviceId | None:
        """The witness that has to see a plan of ours before it holds; None if nobody has to."""
        last = self.ledger.last_plan
        if last is None or plan.author == self._root or plan.previous != last.id or last.witness not in self._members:
            return None
        return last.witness

    def is_word(self, seen: Seen, record: Spend | Plan, witness: DeviceId) -> bool:
        """Is this the word of that witness for that record?"""
        return seen.record == record.id and seen.author == witness and seen.verified(self._root, self._verify)

    def pending_plan(self) -> Plan | None:
        """A plan of ours that waits for the word of the witness. It may have that already: a second one could get the word of a
        witness that was put back to an old state, and then nobody would know which of the two holds."""
        last = self.ledger.last_plan
        if last is None or last.releaser != self.me or last.witness is None:
            return None
        ours = [
            one for one in self.ledger if isinstance(one, Plan) and one.author == self.me and one.previous == last.id
        ]
        return min(ours, key=lambda one: one.id, default=None)

    def tend(self, now: int) -> Plan | None:
        """A new plan, if we decide and the witness is missing or was put out, and there is another device to be one."""
        last = self.ledger.last_plan
        if last is None or last.releaser != self.me or self.me not in self._members or last.witness in self._members:
            return None
        witness = self._witness(self.me, None)
        return self.plan(now, witness=witness) if witness and self.pending_plan() is None else None

    def _next(self, now: int, quarters: int, least: int) -> int:
        window = self.ledger.window(now)
        following = quarter_of(now) + 1 if window is None else window.end
        following = max(self.local.free(following), least, self.ledger.spent_until())
        return following if quarters == 1 else -(-following // YEAR) * YEAR

    def _witness(self, releaser: DeviceId, last: DeviceId | None) -> DeviceId | None:
        others = self._members - {releaser}
        return last if last in others else min(others, default=None)

    def _named(self, releaser: DeviceId, witness: DeviceId | None, last: DeviceId | None) -> DeviceId | None:
        if witness == releaser:
            raise PlanRefused("the witness is another device than the one that decides")
        return self._witness(releaser, last) if witness is None else self._member(witness)

    def _member(self, device: DeviceId) -> DeviceId:
        if device not in self._members:
            raise PlanRefused("only a device of the mesh can decide releases, or be the witness")
        return device

    # --- the releaser ------------------------------------------------------------------------------------------------------------

    def due(self, now: int) -> Window | None:
        """The first window that is over, that we have to decide, and that can still be decided.

        Not one whose witness was put out: it is lost once a later one is decided.
        """
        ended = self._ended(self.ledger.spent_until(), now)
        ours = (window for window, plan in ended if plan.releaser == self.me and not self.hindered(window, now))
        return next(ours, None)

    def begin(self, now: int) -> Window | None:
        """Try anew what waits: devices that were silent are asked again. The window that is due."""
        window = self.due(now)
        attempt = self._attempt
        if attempt is not None and not attempt.ours and (attempt.window != window or not attempt.sent):
            self._attempt = None
        elif attempt is not None:
            attempt.silent.clear()
            attempt.mute.clear()
        return window

    def next(self, now: int, version: bytes, secrets: bytes, *, hurry: bool = False) -> Effect | None:
        """What is to be done next about the window that is due; None if none is.

        ``hurry``: decide without the devices that do not answer; what they have of the window never counts.
        """
        attempt = self._attempt
        if attempt is not None and attempt.ours:
            assert attempt.spend is not None
            untold = attempt.before & self._members - attempt.compared
            return self._compare(attempt, untold) or Draw(attempt.spend, attempt.devices, bool(attempt.before))
        window = self.due(now)
        plan = None if window is None else self.ledger.plan(window.start)
        if window is None or plan is None:
            return None
        if attempt is None or (attempt.window, attempt.plan) != (window, plan):
            attempt = self._attempt = _Attempt(window, plan)
        attempt.asking_mute = False
        if attempt.spend is None:
            return self._gather(attempt, now, version, secrets, hurry=hurry)
        if plan.witness is not None and attempt.seen is None:
            if plan.witness in attempt.mute:
                return Wait(window, frozenset((plan.witness,)), witness=True)
            attempt.sent = attempt.asking_mute = True
            return Countersign(attempt.spend, plan.witness)
        return Keep((attempt.spend,) if attempt.seen is None else (attempt.spend, attempt.seen))

    def _gather(self, attempt: _Attempt, now: int, version: bytes, secrets: bytes, *, hurry: bool) -> Effect:
        window, plan = attempt.window, attempt.plan
        if window.start not in self.local.frozen:
            return self._freeze(window, self.me, version)
        got = self.local.got.get(window.start, set())
        missing = self._members - got - {self.me}
        if asking := min(missing - attempt.silent, default=None):
            return Ask(Call(window, plan.id, self.local.opened[window.start], secrets), asking)
        if missing and not hurry and now < window.closes + PATIENCE_MS:
            return Wait(window, frozenset(missing))
        if comparing := self._compare(attempt, self._who_knows(attempt) - attempt.compared):
            return comparing
        own = {self.me} if self.local.frozen[window.start][0] == window else set()
        return Seal(window, frozenset(got & self._members | own))

    def _compare(self, attempt: _Attempt, devices: AbstractSet[DeviceId]) -> Compare | Wait | None:
        device = min(devices, default=None)
        if device is None:
            return None
        if device in attempt.mute:
            return Wait(attempt.window, frozenset((device,)), witness=True)
        attempt.asking_mute = True
        return Compare(attempt.window, device)

    def _who_knows(self, attempt: _Attempt) -> set[DeviceId]:
        """With whom we have to compare what counts no more: the witness, so that it is known to whoever decides next; and all who
        may have decided since the last window that we know to be spent."""
        plans = self.ledger.plans(self.ledger.spent_until() - 1, attempt.window.start - 1)
        return self._roles(plans) | {attempt.plan.witness or self.me} - {self.me}

    def _roles(self, plans: Iterable[Plan]) -> set[DeviceId]:
        named = {device for plan in plans for device in (plan.releaser, plan.witness) if device is not None}
        return named & self._members - {self.me}

    @property
    def drawing(self) -> bool:
        """Is there something that this process spent, and has to decide yet?"""
        return self._attempt is not None and self._attempt.ours

    @property
    def undrawn(self) -> Window | None:
        """The window that this process spent, and has to decide yet: what was counted may have to be counted again."""
        return self._attempt.window if self._attempt is not None and self._attempt.ours else None

    def got(self, window: Window, device: DeviceId) -> None:
        """The part of a device is on the disk."""
        self.local.got.setdefault(window.start, set()).add(device)
        if self._attempt is not None:
            self._attempt.compared.clear()

    def sealing(self, window: Window) -> bool:
        """Has what is here been counted already? Then nothing more is taken in."""
        attempt = self._attempt
        sealed = attempt is not None and attempt.window == window and attempt.spend is not None
        return sealed or window.start < self.ledger.spent_until()

    def silent(self, device: DeviceId) -> None:
        """A device does not answer, or refuses what `next` wanted of it; it is not asked for that again before `begin`."""
        attempt = self._attempt
        if attempt is not None:
            (attempt.mute if attempt.asking_mute else attempt.silent).add(device)

    def compared(self, witness: DeviceId) -> None:
        """What counts no more is the same here and there."""
        if self._attempt is not None:
            self._attempt.compared.add(witness)

    def sealed(self, done: Seal, digest: bytes, version: bytes) -> None:
        """What was counted, of the parts of ``done.devices``, and under which version of the keys."""
        attempt = self._attempt
        if attempt is not None and attempt.window == done.window and attempt.spend is None:
            nonce = self._random(NONCE_BYTES)
            spend = Spend(self.me, done.window, attempt.plan.choice, version, digest, nonce)
            attempt.spend, attempt.devices = spend.signed(self._root, self._sign), done.devices
            undecided = self.ledger.plans(self.ledger.spent_until(), done.window.start - 1)
            attempt.before = frozenset(self._roles(undecided))  # of a copy of ours, the witness

    def countersigned(self, seen: Seen) -> None:
        """The witness's word, which is checked."""
        attempt = self._attempt
        if attempt is None or attempt.spend is None:
            return
        if attempt.plan.witness is not None and self.is_word(seen, attempt.spend, attempt.plan.witness):
            attempt.seen = seen
        elif attempt.plan.witness is not None:
            attempt.mute.add(attempt.plan.witness)

    def drew(self, done: Draw) -> None:
        """It is decided, and on the disk."""
        self.local.drawn.add(done.spend.window.start)
        self._attempt = None

    def missed(self, done: Draw) -> None:
        """It can't be decided: what was sealed is not what counts. It is lost."""
        if self._attempt is not None and self._attempt.spend == done.spend:
            self._attempt = None

    def lost(self) -> list[Spend]:
        """What we spent and did not decide: a crash came between, or a copy of this device was quicker."""
        ours = self._attempt.spend if self._attempt is not None and self._attempt.ours else None
        return [
            one
            for one in self.ledger.spends()
            if one.author == self.me and one.window.start not in self.local.drawn and one != ours
        ]
