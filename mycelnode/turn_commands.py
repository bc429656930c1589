"""What the control socket and the command line can ask about private turns: JSON in, JSON out (docs/cli.md has the objects).

All work with or without a running node.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from mycelnode.collective.requests import file_path, optional, whole
from mycelnode.commands import Handler, Request, flag, rfc3339
from mycelnode.errors import BudgetBroken, ControlError, TurnRefused
from mycelnode.mesh import Mesh
from mycelnode.privacy.interactions import from_json, influence_names, moment, source_name
from mycelnode.privacy.storekey import PROTECTS
from mycelnode.privacy.turnstore import Chosen, Kept
from mycelnode.releasing.releases import open_releases
from mycelnode.streaming import Long, Teller, Watcher, untold
from mycelnode.turns import Turns

MAX_LIMIT: Final = 1_000
MAX_IDS: Final = 1_000
ADDED: Final = "added"  # the source of a turn that was added and does not say where it comes from
_ENDING = {0: None, 1: True, 2: False}  # outcome → as JSON


class TurnCommands:
    """The commands about the turns of one mesh."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def table(self) -> dict[str, Handler]:
        """Command name → handler; those that may take long are among them, too."""
        quick: dict[str, Handler] = {
            "interactions.add": self.add,
            "interactions.list": self.list,
            "interactions.forget": self.forget,
        }
        return quick | {name: partial(untold, handler) for name, handler in self.long().items()}

    def long(self) -> dict[str, Long]:
        """Those that tell how far they are."""
        return {"interactions.import": self.import_}

    async def add(self, request: Request) -> dict[str, Any]:
        """Keep one turn."""
        turn = request.get("turn")
        if not isinstance(turn, dict):
            raise TurnRefused("a turn is a JSON object with the texts 'request' and 'answer'", "malformed")
        name, became = await self._turns.add(from_json(turn, ADDED), optional(request, "passphrase"))
        return {"id": name, "state": became, **self._key(made=True)}

    async def import_(self, request: Request, tell: Watcher) -> dict[str, Any]:
        """Keep the turns in a file that are not here yet."""
        source = optional(request, "source")
        done = await self._turns.import_file(
            Path(file_path(request)),
            None if source is None else source_name(source),
            optional(request, "passphrase"),
            tell,
        )
        skipped = [
            {"reason": reason, "count": count, "first": first}
            for reason, (count, first) in sorted(done.skipped.items())
        ]
        return {"new": done.new, "known": done.known, "skipped": skipped, **self._key(made=True)}

    async def list(self, request: Request) -> dict[str, Any]:
        """Turns, newest first; with ``text`` what was said."""
        limit = whole(request, "limit", 20, 1, MAX_LIMIT) or 20
        page = await self._turns.page(
            Chosen(source=optional(request, "source")),
            limit,
            after=optional(request, "after"),
            text=flag(request, "text"),
            passphrase=optional(request, "passphrase"),
        )
        return {
            "turns": [_listed(kept, said) for kept, said in page.turns],
            "total": page.total,
            "more": page.more,
            **self._key(),
        }

    async def forget(self, request: Request) -> dict[str, Any]:
        """Forget turns for good; with ``preview`` only say how many that would be."""
        chosen = _chosen(request)
        if flag(request, "preview"):
            return {"turns": await self._turns.count(chosen)}
        forgotten, erased = await self._turns.forget(chosen)
        return {"forgotten": forgotten, "erased": erased}

    def _key(self, *, made: bool = False) -> dict[str, Any]:
        """Where the key is, in a word and a sentence; with ``made`` also whether that is new since the last answer."""
        place = self._turns.place
        said: dict[str, Any] = {"kept": None if place is None else place.kind}
        said["protects"] = None if place is None else PROTECTS[place.kind]
        return {"key": {**said, "new": self._turns.tell_made()} if made else said}


async def carry_out(
    mesh: Mesh, kind: str, request: Request, tell: Callable[[dict[str, Any]], None] | None
) -> dict[str, Any]:
    """One of the commands on the data folder itself; its lock is held. ``tell`` hears how far one that takes long is."""
    turns = Turns(mesh)
    if kind in ("interactions.add", "interactions.import"):
        with suppress(BudgetBroken):  # that is told where something is to be released
            await open_releases(mesh, turns)  # the window that these turns belong to opens now, if it was not open yet
    commands = TurnCommands(turns)
    if tell is not None and kind in commands.long():
        return await commands.long()[kind](request, Teller(tell))
    return await commands.table()[kind](request)


def _chosen(request: Request) -> Chosen:
    """One way of saying which."""
    ids, source, before = request.get("ids"), optional(request, "source"), request.get("before")
    if sum((ids is not None, source is not None, before is not None, flag(request, "all"))) != 1:
        raise ControlError("the request names turns by one of 'ids', 'source', 'before' and 'all'")
    if ids is not None and not (
        isinstance(ids, list) and 0 < len(ids) <= MAX_IDS and all(isinstance(one, str) for one in ids)
    ):
        raise ControlError(f"the field 'ids' is a list of 1 to {MAX_IDS} texts")
    return Chosen(tuple(ids or ()), source, moment(before))


def _listed(kept: Kept, said: tuple[str, str] | None) -> dict[str, Any]:
    facts = kept.facts
    shown: dict[str, Any] = {
        "id": kept.id,
        "time": rfc3339(facts.time),
        "dated": facts.dated,
        "ingested": rfc3339(kept.ingested),
        "source": facts.source,
        "bytes": kept.size,
        "success": _ENDING[facts.success],
        "influenced": influence_names(facts.influenced),
        "state": "spent" if kept.spent else "influenced" if facts.influenced else "open",
    }
    return shown if said is None else {**shown, "request": said[0], "answer": said[1]}
