"""What the control socket and the command line can ask about releases: the window and what came of it, the budget, the plan, and
the owner's dictionary. With a running node, or on the data folder itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from mycelnode.collective.commands import patterns_without_node
from mycelnode.collective.confirming import Confirming
from mycelnode.collective.requests import optional
from mycelnode.commands import Handler, Request, device_name, find_device, flag, rfc3339, text
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import peer_id
from mycelnode.errors import ControlError, EncodingError, NoPlan
from mycelnode.identity import root_from_phrase, verify
from mycelnode.mesh import Mesh
from mycelnode.privacy import budget as budget_of
from mycelnode.privacy import released
from mycelnode.privacy.accounting import CHOICES, DEFAULT
from mycelnode.privacy.budget import Budget, Sum, budget
from mycelnode.privacy.frametables import is_common
from mycelnode.privacy.key import Key
from mycelnode.privacy.offer import MECHANISM, UNIT
from mycelnode.protocols.release_records import Plan
from mycelnode.protocols.release_steps import Keep
from mycelnode.protocols.release_window import YEAR, Window, quarter_of
from mycelnode.releasing import dictionary
from mycelnode.releasing.deciding import Decider, Decision, State, state_of
from mycelnode.releasing.planning import let_decide
from mycelnode.releasing.releases import Releases, open_releases
from mycelnode.streaming import Teller, Watcher, untold
from mycelnode.turns import Turns

PROMISED: Final = (
    "One day of one habit changes the probability of whatever a release decision lets out by e^ε at most, but for δ.",
    "A habit that was there on one day only is let out with a probability of at most δ.",
    "Each day of each habit counts in one window, over all your devices, and each window is decided once.",
    "What is published is made of the habit's public words and one noisy number; none of your own words, and no answer, is in it.",
    "Nothing that is released is published before you have seen all of it and said yes.",
)
NOT_PROMISED: Final = (
    "Σε is the loss of someone with one counted day in every window; your habits are not hidden.",
    "Whoever looks can link all that your creator key and your NEAR account sign, with each other and with who funded them.",
    "A raw copy of the disk of a lone device cannot be told from the device, and could decide the same window again.",
    "An old backup of a lone device knows nothing of what was decided after it: days may be counted a second time.",
    "Your own dictionary is not protected by ε.",
    "What you withhold, or publish by hand, after looking is your own disclosure; detectors miss things, and are a help there.",
    "Your own devices are trusted: who has one unlocked reads your turns, and can spoil counts until it is put out.",
)
LENGTHS: Final = {"quarter": 1, "year": YEAR}
PASSED: Final = "its count, with the noise, passed the threshold"
UNKNOWN: Final = "a habit for which this version of the program has no words"
NOT_YET: Final = "nothing is decided before the window is over"
MAX_WORDS: Final = 10_000

Long = Callable[[Request, Watcher], Awaitable[dict[str, Any]]]


class ReleaseCommands:
    """The commands about releases. ``of``: what decides here, which may be damaged (`BudgetBroken`); ``publish_due``: make public
    what is confirmed and due, if that can be done."""

    def __init__(
        self,
        mesh: Mesh,
        of: Callable[[], Awaitable[Decider]],
        publish_due: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._mesh, self._of, self._publish_due = mesh, of, publish_due

    def table(self) -> dict[str, Handler]:
        """Command name → handler; those that may take long are among them, too."""
        quick: dict[str, Handler] = {
            "budget": self.budget,
            "budget.plan": self.plan,
            "budget.phrase": self.phrase,
            "privacy.dictionary": self.dictionary,
            "privacy.statement": self.statement,
        }
        return quick | {name: partial(untold, handler) for name, handler in self.long().items()}

    def long(self) -> dict[str, Long]:
        """Those that tell how far they are."""
        return {"pattern.extract": self.extract}

    # --- extract -----------------------------------------------------------------------------------------------------------------

    async def extract(self, request: Request, tell: Watcher) -> dict[str, Any]:
        """Decide on what is over, and list what was released; before that, or with ``dry_run``, list what could be, and decide
        nothing."""
        decider = await self._of()
        releases = decider.releases
        if (passphrase := optional(request, "passphrase")) is not None:
            await releases.turns.ready(passphrase)
        await releases.refresh()
        dry, hurry = flag(request, "dry_run"), flag(request, "without_missing")
        asking = lambda device: tell.say(f"waiting for {device_name(self._mesh, device)}")  # noqa: E731
        decision = Decision((), None) if dry else await decider.decide(hurry=hurry, tell=tell, asking=asking)
        if not dry and self._publish_due is not None:
            await self._publish_due()
        now = releases.now()
        window = self._window(releases, optional(request, "window"), decision, now, dry=dry)
        state = state_of(releases, window, now)
        if state in (State.DECIDED, State.LOST, State.ELSEWHERE, State.NEVER):
            candidates = await self._released(window)
        else:
            candidates = await self._possible(releases, window, tell)
        waiting, left = decision.waiting, await releases.left_out(window)
        if waiting is not None and waiting.window == window:  # nothing is settled yet about whom it waits for
            left = {device: said for device, said in left.items() if device not in waiting.devices}
        return {
            "candidates": candidates,
            "window": self._described(releases, window, now),
            "decided": [one.id for one in decision.decided],
            "waiting": []
            if waiting is None
            else [self._missing(device, said) for device, said in waiting.devices.items()],
            "witness": waiting is not None and waiting.witness,
            "left_out": [self._missing(device, said) for device, said in left.items()],
        }

    def _window(self, releases: Releases, named: str | None, decision: Decision, now: int, *, dry: bool) -> Window:
        """Which one is meant: that which was named, was decided now, is waited for, was the last to be decided, or is open.

        ``dry``: not one that was decided before, as it is the next that will be paid for.
        """
        ledger = releases.part.ledger
        if named is not None:
            try:
                asked = Window.called(named)
            except EncodingError as error:
                raise ControlError(str(error)) from error
            if asked not in (ledger.window_of(asked.start), *(one.window for one in ledger.spends())):
                raise ControlError(f"{named} is no window of this mesh; `mycelnode budget` lists them")
            return asked
        if decision.waiting is not None:
            return decision.waiting.window
        if decision.decided:
            return decision.decided[-1]
        if (due := releases.part.due(now)) is not None:  # nothing was decided: it was only asked
            return due
        drawn = [] if dry else [one.window for one in ledger.spends() if one.window.start in releases.part.local.drawn]
        if drawn and drawn[-1].end >= (releases.part.ledger.window(now) or drawn[-1]).start:
            return drawn[-1]
        window = ledger.window(now)
        if window is None:
            raise NoPlan
        return window

    async def _released(self, window: Window) -> list[dict[str, Any]]:
        def look(connection: sqlite3.Connection) -> list[released.Released]:
            budget_of.sound(connection, window.id, self._mesh.root, verify)
            return list(released.every(connection))

        rows = await self._mesh.database.scan(look)
        return [
            {
                "key": row.id,
                "text": _title(row.key),
                "decision": "released",
                "reason": PASSED,
                "n": row.n,
                "due": rfc3339(row.due),
                "confirmed": row.confirmed is not None,
                "sensitive": _sensitive(row.key),
                "cid": row.cid,
            }
            for row in rows
            if row.window == window.id
        ]

    async def _possible(self, releases: Releases, window: Window, tell: Watcher) -> list[dict[str, Any]]:
        """What this device's turns of a window are about, in the order of the words: no count, no decision."""
        titles = sorted({_title(key) for key in await releases.keys(window, tell)})
        return [{"key": None, "text": title, "decision": "none", "reason": NOT_YET} for title in titles]

    def _described(self, releases: Releases, window: Window, now: int) -> dict[str, Any]:
        plan = releases.part.ledger.plan(window.start)
        choice = CHOICES["standard" if plan is None else plan.choice]
        return {
            "id": window.id,
            "closes": rfc3339(window.closes),
            "state": (state := state_of(releases, window, now)).value,
            "reason": releases.part.hindered(window, now) if state is State.NEVER else "",
            "unit": UNIT,
            "epsilon": str(choice.epsilon),
            "delta": str(choice.delta),
            "usual_days": choice.support,
            "decides": None if plan is None else self._named(plan.releaser),
        }

    def _missing(self, device: DeviceId, said: str) -> dict[str, Any]:
        return {**self._named(device), "reason": said or "it does not answer"}

    def _named(self, device: DeviceId) -> dict[str, str]:
        return {"device": peer_id(device), "name": device_name(self._mesh, device)}

    # --- budget and plan ---------------------------------------------------------------------------------------------------------

    async def budget(self, request: Request) -> dict[str, Any]:
        """What was spent, what is left, and how each window stands."""
        releases = (await self._of()).releases
        await releases.refresh()
        await self._mesh.database.scan(lambda connection: budget_of.check(connection, self._mesh.root, verify))
        now, ledger = releases.now(), releases.part.ledger
        stands = budget(ledger, now)
        windows = {one.window for one in ledger.spends()} | set(releases.part.undecided(now))
        if (current := ledger.window(now)) is not None:
            windows.add(current)
        return {
            "windows": [self._line(releases, window, now) for window in sorted(windows)],
            "year": stands.year,
            "epsilon": _sums(stands, lambda one: str(one.epsilon)),
            "delta": _sums(stands, lambda one: str(one.delta)),
            "ever": {
                "epsilon": str(stands.ever.epsilon),
                "delta": str(stands.ever.delta),
                "windows": stands.ever.windows,
            },
            "plan": self._plan(ledger.last_plan),
        }

    def _line(self, releases: Releases, window: Window, now: int) -> dict[str, Any]:
        return {**self._described(releases, window, now), "spent": bool(releases.part.ledger.spends(window))}

    def _plan(self, plan: Plan | None) -> dict[str, Any] | None:
        if plan is None:
            return None
        lengths = {quarters: name for name, quarters in LENGTHS.items()}
        return {
            "since": Window(plan.since).id,
            "window": lengths[plan.quarters],
            "choice": plan.choice,
            "decides": self._named(plan.releaser),
            "witness": None if plan.witness is None else self._named(plan.witness),
        }

    async def plan(self, request: Request) -> dict[str, Any]:
        """Change how releases are decided, from the next window on."""
        decider = await self._of()
        releases = decider.releases
        await releases.refresh()
        length, choice = optional(request, "length"), optional(request, "choice")
        if (length is not None and length not in LENGTHS) or (choice is not None and choice not in CHOICES):
            raise ControlError("a window is a quarter or a year, and the choice strict, standard or loose")
        made = releases.part.plan(
            releases.now(),
            choice=choice,
            quarters=None if length is None else LENGTHS[length],
            releaser=self._device(request, "decides"),
            witness=self._device(request, "witness"),
        )
        said = await decider.propose(made)
        return {"plan": self._plan(made), "holds": not said, "waiting": said or None}

    async def phrase(self, request: Request) -> dict[str, Any]:
        """Let this device decide, by the recovery phrase."""
        releases = (await self._of()).releases
        made = await let_decide(self._mesh, root_from_phrase(text(request, "phrase")), anyway=True)
        assert made is not None
        releases.part.kept(Keep((made,)))
        releases.on_kept()
        return {"plan": self._plan(made), "holds": True, "waiting": None}

    def _device(self, request: Request, field: str) -> DeviceId | None:
        named = optional(request, field)
        return None if named is None else find_device(self._mesh, named)

    async def statement(self, request: Request) -> dict[str, Any]:
        """What is promised by the plan that holds now, and what is not; docs/privacy.md has it at length."""
        releases = (await self._of()).releases
        plan = releases.part.ledger.plan(quarter_of(releases.now()))
        choice = CHOICES[DEFAULT if plan is None else plan.choice]
        return {
            "mechanism": MECHANISM,
            "unit": UNIT,
            "epsilon": str(choice.epsilon),
            "delta": str(choice.delta),
            "threshold": choice.threshold,
            "usual_days": choice.support,
            "window": "quarter" if plan is None or plan.quarters == 1 else "year",
            "promised": list(PROMISED),
            "not_promised": list(NOT_PROMISED),
        }

    # --- the owner's dictionary ----------------------------------------------------------------------------

    async def dictionary(self, request: Request) -> dict[str, Any]:
        """Add to the dictionary, remove from it, and show it."""
        words = _words(request, "add")
        added = await dictionary.add(self._mesh, words)
        removed = await dictionary.remove(self._mesh, _words(request, "remove"))
        common = sorted({word for word in words if is_common(word)})
        return {"entries": dictionary.entries(self._mesh), "added": added, "removed": removed, "common": common}


def _sensitive(key: bytes) -> bool:
    try:
        return Key.stored(key).sensitive
    except EncodingError:
        return True  # who knows


def _title(key: bytes) -> str:
    """A stored key in words. What another version made, and this one has no words for, hides nothing else in a list."""
    try:
        return Key.stored(key).title
    except EncodingError:
        return UNKNOWN


def _words(request: Request, field: str) -> list[str]:
    found = request.get(field, [])
    if not isinstance(found, list) or len(found) > MAX_WORDS or not all(isinstance(one, str) for one in found):
        raise ControlError(f"the field {field!r} is a list of at most {MAX_WORDS:,} texts")
    return found


def _sums(stands: Budget, write: Callable[[Sum], str]) -> dict[str, str]:
    return {"spent": write(stands.spent), "left": write(stands.left), "cap": write(stands.cap)}


async def carry_out(
    mesh: Mesh, kind: str, request: Request, tell: Callable[[dict[str, Any]], None] | None
) -> dict[str, Any]:
    """One of the commands on the data folder itself; its lock is held. ``tell`` hears how far one that takes long is."""

    async def alone() -> Decider:
        return Decider(await open_releases(mesh, Turns(mesh)))

    async def publish_due() -> None:
        now = mesh.clock.wall()
        if await mesh.database.scan(lambda connection: released.waiting(connection, now)):
            patterns = await patterns_without_node(mesh)
            await Confirming(mesh, lambda: patterns).publish_due()

    commands = ReleaseCommands(mesh, alone, publish_due)
    if tell is not None and kind in commands.long():
        return await commands.long()[kind](request, Teller(tell))
    return await commands.table()[kind](request)
