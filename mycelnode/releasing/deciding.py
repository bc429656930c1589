"""The releaser's way through a window that is over: what the machine says is to be done, one step after the other."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final, Protocol

import trio

from mycelnode.background import to_its_end
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import blake2b
from mycelnode.errors import ClockWrong, DatabaseDamaged
from mycelnode.identity import verify
from mycelnode.privacy import budget, partstore, released
from mycelnode.privacy.accounting import CHOICES
from mycelnode.privacy.key import version
from mycelnode.privacy.release import decide
from mycelnode.protocols.release_records import Plan, Seen, Spend
from mycelnode.protocols.release_steps import Ask, Call, Compare, Countersign, Draw, Effect, Freeze, Keep, Seal, Wait
from mycelnode.protocols.release_units import digest
from mycelnode.protocols.release_window import Window
from mycelnode.releasing.releases import Releases, Sealed, Telling

Asking = Callable[[DeviceId], None]

STOP_SECONDS: Final = 20.0  # so long may what is being spent keep a node from stopping
RANDOM_BYTES: Final = 16  # in the note of a decision, so that nobody can guess it from the chain's hash


class Devices(Protocol):
    """The other devices, as far as a release needs them. What they answer is on their disks, and ours."""

    async def meet(self, device: DeviceId) -> bool:
        """Have the same records, and the same turns and days that count no more, on both ends; False if that failed."""

    async def ask(self, call: Call, device: DeviceId) -> str:
        """Get a device's part; why not, or an empty text."""

    async def countersign(self, record: Spend | Plan, device: DeviceId) -> Seen | str:
        """The witness's word; or why it gives none."""


class Nobody:
    """No other device can be reached: there is no running node."""

    async def meet(self, device: DeviceId) -> bool:
        """See `Devices`."""
        return False

    async def ask(self, call: Call, device: DeviceId) -> str:
        """See `Devices`."""
        return "no node is running to reach it"

    async def countersign(self, record: Spend | Plan, device: DeviceId) -> Seen | str:
        """See `Devices`."""
        return "no node is running to reach it"


class State(Enum):
    """How a window stands for this device."""

    OPEN = "open"  # it is not over
    WAITING = "waiting"  # other devices are needed
    DECIDED = "decided"
    LOST = "lost"  # it was spent, and a crash came before it was decided
    ELSEWHERE = "elsewhere"  # another device has decided it, or spent it
    THERE = "there"  # another device is to decide it
    NEVER = "never"  # it will not be decided: a device that it needs is out of the mesh, or it is too late
    NONE = "none"  # nobody does


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a decision waits for: device → why, where something is known; ``witness``: it is the witness."""

    window: Window
    devices: Mapping[DeviceId, str]
    witness: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of the windows that are over: those that were decided now, and what the next one waits for."""

    decided: tuple[Window, ...]
    waiting: Waiting | None


@dataclass(slots=True)
class Decider:
    """One at a time decides; what it sampled, and could not store, is stored at the next try and never sampled again."""

    releases: Releases
    devices: Devices = field(default_factory=Nobody)
    _running: trio.Lock = field(default_factory=trio.Lock)
    _sealed: dict[Window, Sealed] = field(default_factory=dict)
    _sampled: dict[bytes, Mapping[bytes, int]] = field(default_factory=dict)

    async def decide(
        self,
        *,
        hurry: bool = False,
        tell: Telling = lambda here, total: None,
        asking: Asking = lambda device: None,
    ) -> Decision:
        """Decide on the windows that are over, the earliest first.

        ``hurry``: without the devices that do not answer. ``tell`` hears how many bytes of our own turns of how many were read,
        ``asking`` which device is waited for.

        Raises `ClockWrong`, `BudgetBroken`, `BudgetSpent`, `TurnsLocked`, and what `Database.write` raises.
        """
        async with self._running:
            decision = await self._decide(hurry=hurry, tell=tell, asking=asking)
        if decision.decided:  # let the others know what was spent; who is away hears it later
            for device in sorted(self.releases.others()):
                await self.devices.meet(device)
        return decision

    async def _decide(self, *, hurry: bool, tell: Telling, asking: Asking) -> Decision:
        releases = self.releases
        if releases.clock_doubted():
            raise ClockWrong(
                "the clock of this device is more than a day off, by those of two others; set it and try again"
            )
        done: list[Window] = []
        await releases.refresh()
        await self.tend()
        while releases.part.begin(releases.now()) is not None or releases.part.drawing:
            # before a witness is asked, for whom it is spent as soon as it has answered
            await releases.mesh.database.scan(partial(budget.check, root=releases.mesh.root, verify=verify))
            reasons: dict[DeviceId, str] = {}
            found = await self._through(reasons, hurry=hurry, tell=tell, asking=asking)
            if found is None:
                break
            if isinstance(found, Wait):
                said = {device: reasons.get(device, "") for device in found.devices}
                return Decision(tuple(done), Waiting(found.window, said, found.witness))
            done.append(found)
        return Decision(tuple(done), None)

    async def tend(self) -> None:
        """Name a witness, if there is none and somebody who could be one; and get the word of the last one for a new plan.

        Raises what `Database.write` raises.
        """
        part = self.releases.part
        plan = part.tend(self.releases.now()) or part.pending_plan()
        if plan is not None:
            await self.propose(plan)

    async def propose(self, plan: Plan) -> str:
        """Keep a new plan of ours, and have it seen by the witness of the one that holds: why that failed, or an empty text.

        Raises what `Database.write` raises.
        """
        part, said = self.releases.part, ""
        witness = part.word_wanted(plan)
        await self.releases.save(plan)
        if witness is not None:
            answer: Seen | str = "it does not answer"
            if await self.devices.meet(witness):
                answer = await self.devices.countersign(plan, witness)
            if isinstance(answer, Seen) and part.is_word(answer, plan, witness):
                await self.releases.save(answer)
            else:
                said = answer if isinstance(answer, str) else "its word is not signed as it should be"
        return said

    async def _through(
        self, reasons: dict[DeviceId, str], *, hurry: bool, tell: Telling, asking: Asking
    ) -> Wait | Window | None:
        """Through one window, to its end or to where it waits; None if nothing is to be done."""
        releases, part = self.releases, self.releases.part
        while True:
            effect = part.next(releases.now(), version(), releases.secrets(), hurry=hurry)
            match effect:
                case Freeze():
                    await releases.freeze(effect, tell)
                case Ask(call, device):
                    asking(device)
                    if said := await self.devices.ask(call, device):
                        reasons[device] = said
                        part.silent(device)
                case Compare(_, device) if not part.drawing:
                    asking(device)
                    await self._compare(device)
                case Seal(window, counted):
                    left = releases.others() - counted
                    await releases.leave_out(window, {one: reasons.get(one) or "it did not answer" for one in left})
                    self._sealed[window] = await releases.seal(effect)
                case Compare() | Countersign() | Keep() | Draw():
                    # a process that ended between the witness's word and the draw would lose the window
                    spending = partial(self._spend, effect, reasons, asking)
                    if (drawn := await to_its_end(spending, STOP_SECONDS)) is not None:
                        return drawn
                case Wait():
                    return effect
                case _:
                    return None

    async def _spend(self, effect: Effect | None, reasons: dict[DeviceId, str], asking: Asking) -> Window | None:
        """From the question to the witness to what is drawn; None if it does not come so far."""
        releases, part = self.releases, self.releases.part
        while True:
            match effect:
                case Countersign(record, witness):
                    asking(witness)
                    answer = await self.devices.countersign(record, witness)
                    if isinstance(answer, Seen):
                        part.countersigned(answer)
                    else:
                        reasons[witness] = answer
                        part.silent(witness)
                case Keep():
                    async with releases.lock:
                        await releases.keep(effect)
                case Compare(_, device) if part.drawing:
                    asking(device)
                    await self._compare(device)
                case Draw(spend):
                    return spend.window if await self._draw(effect) else None
                case _:
                    return None
            effect = part.next(releases.now(), version(), releases.secrets())

    async def _compare(self, device: DeviceId) -> None:
        if await self.devices.meet(device):
            self.releases.part.compared(device)
        else:
            self.releases.part.silent(device)

    async def _draw(self, done: Draw) -> bool:
        """Sample once, and store what was sampled, in one transaction; a disk that is full makes nothing be sampled again.

        False if nothing may be sampled: what was sealed counts no more, as another device has decided an older window meanwhile.
        """
        releases, spend = self.releases, done.spend
        sealed = self._sealed.get(spend.window)
        if sealed is None or digest(sealed.salt, sealed.counts) != spend.digest:
            raise DatabaseDamaged("what was counted is not what was sealed")
        if done.again and spend.id not in self._sampled and await self._changed(done, sealed):
            releases.part.missed(done)
            return False
        if spend.id not in self._sampled:
            self._sampled[spend.id] = await trio.to_thread.run_sync(decide, sealed.counts, CHOICES[spend.choice])
        outputs, now = self._sampled[spend.id], releases.now()

        def store(connection: sqlite3.Connection) -> None:
            budget.check(connection, releases.mesh.root, verify)
            found = released.store(connection, spend.window.id, spend.choice, spend.version, outputs, now)
            random = secrets.token_bytes(RANDOM_BYTES)
            budget.note_decision(connection, spend, blake2b(random + found), random, now)
            partstore.drawn(connection, spend.window.start, now)

        await releases.mesh.database.write(store)
        releases.part.drew(done)
        self._sealed.pop(spend.window, None)
        self._sampled.pop(spend.id, None)
        return True

    async def _changed(self, done: Draw, sealed: Sealed) -> bool:
        found = await self.releases.count(done.spend.window, done.devices)
        return digest(sealed.salt, found) != done.spend.digest


def state_of(releases: Releases, window: Window, now: int) -> State:
    """How a window stands."""
    part = releases.part
    plan = part.ledger.plan(window.start)
    if window.start in part.local.drawn:
        return State.DECIDED
    if any(one.window.overlaps(window) for one in part.lost()):
        return State.LOST
    if part.ledger.spends(window):
        return State.ELSEWHERE
    if plan is None:
        return State.NONE
    if not window.over(now):
        return State.OPEN
    if part.hindered(window, now):
        return State.NEVER
    return State.WAITING if plan.releaser == part.me else State.THERE
