"""What a person consents to, by hand: what was released, once they have seen all of it; and a turn, or a file, beside what a
generaliser would take out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio

from mycelnode.collective.answers import PatternRegistering, PublishedPattern
from mycelnode.collective.api import Patterns
from mycelnode.collective.confirming import Confirming, Offered
from mycelnode.collective.requests import amount, optional
from mycelnode.commands import Handler, Request, flag, rfc3339, text
from mycelnode.errors import PatternRefused, TurnRefused
from mycelnode.mesh import Mesh
from mycelnode.privacy.generalise import generalise
from mycelnode.privacy.key import Key
from mycelnode.privacy.turnstore import Chosen
from mycelnode.releasing import dictionary
from mycelnode.turns import Turns

MAX_TITLE_CHARS: Final = 80
MAX_ALIKE: Final = 3  # patterns that are shown beside what was released
SENSITIVE: Final = (
    "It is about health, sex, religion, politics, money, law or crime: it never goes out by itself, only by hand."
)


class ConsentCommands:
    """The commands about consent. ``patterns``: where patterns are made public."""

    def __init__(
        self, mesh: Mesh, turns: Turns, patterns: Callable[[], Patterns], confirming: Confirming | None = None
    ) -> None:
        self._mesh, self._turns, self._patterns = mesh, turns, patterns
        self._confirming = confirming or Confirming(mesh, patterns)

    def table(self) -> dict[str, Handler]:
        """Command name → handler."""
        return {
            "pattern.released": self.offered,
            "pattern.confirm": self.confirm,
            "pattern.turn": self.turn,
            "pattern.consent": self.consent,
        }

    async def offered(self, request: Request) -> dict[str, Any]:
        """All that would be public of what was released."""
        seen = await self._confirming.offered(
            text(request, "key"),
            amount(request, "price") or 0,
            register=flag(request, "register"),
            unlinked=flag(request, "unlinked"),
        )
        preview = seen.preview
        return {
            "key": seen.row.id,
            "public": preview.text,
            "creator": preview.creator,
            "formers": list(preview.formers),
            "near": preview.near,
            "digest": preview.digest,
            "registering": None if preview.registering is None else as_registering(preview.registering),
            "window": seen.row.window,
            "n": seen.row.n,
            "privacy": {
                "dp": seen.privacy.mechanism,
                "unit": seen.privacy.unit,
                "epsilon": seen.privacy.epsilon,
                "delta": seen.privacy.delta,
                "version": seen.privacy.version,
            },
            "due": rfc3339(seen.row.due),
            "confirmed": seen.row.confirmed is not None,
            "unlinked": seen.unlinked,
            "cid": seen.row.cid,
            "note": SENSITIVE if seen.sensitive else None,
            "alike": await self._alike(seen),
        }

    async def _alike(self, seen: Offered) -> list[dict[str, Any]]:
        """What there is of the kind in the library, for the person to see: it decides nothing, and nobody else is asked for it."""
        found = (await self._patterns().search(seen.draft.title, limit=MAX_ALIKE + 1)).found
        others = [one.pattern for one in found if one.pattern.cid != seen.row.cid]
        return [{"cid": one.cid, "title": one.title, "mine": one.mine} for one in others[:MAX_ALIKE]]

    async def confirm(self, request: Request) -> dict[str, Any]:
        """The person has seen it: it is public, or will be when it is due."""
        done = await self._confirming.confirm(
            text(request, "key"),
            amount(request, "price") or 0,
            digest=optional(request, "digest"),
            register=flag(request, "register"),
            deposit=amount(request, "deposit"),
            unlinked=flag(request, "unlinked"),
        )
        if isinstance(done, PublishedPattern):
            return {**as_published(done), "due": None, "note": None}
        note = SENSITIVE if Key.stored(done.key).sensitive else None
        nothing = {"cid": None, "id": None, "version": 1, "dp": None, "registered": False, "waiting": True}
        return {**nothing, "registration": None, "told": None, "due": rfc3339(done.due), "note": note}

    async def turn(self, request: Request) -> dict[str, Any]:
        """A turn's request, and what is left of it when only public words may stay; with the reason of each change."""
        found = await self._request_of(request)
        left = await trio.to_thread.run_sync(generalise, found, dictionary.owner(self._mesh))
        if left.dropped:
            raise TurnRefused(f"this turn can never be published: there is {left.dropped} in it", "phrase")
        slots = [
            {"type": slot.type, "start": slot.start, "end": slot.end, "reason": slot.reason, "text": slot.text}
            for slot in left.slots
        ]
        title = optional(request, "title") or " ".join(left.output.split())[:MAX_TITLE_CHARS]
        asked = await trio.to_thread.run_sync(generalise, title, dictionary.owner(self._mesh))
        private = optional(request, "title") is not None and bool(asked.slots)
        return {"original": found, "output": left.output, "slots": slots, "title": title, "private_title": private}

    async def consent(self, request: Request) -> dict[str, Any]:
        """Publish what is left of a turn, as it was shown: the person's own disclosure, with no promise (dp: none)."""
        shown = await self.turn(request)
        if shown["output"] != text(request, "output"):
            raise PatternRefused(
                "what is left of this turn has changed since it was shown; nothing was made public: look again"
            )
        title = shown["title"]
        body = shown["output"].replace("{{", "{ {").replace("}}", "} }")
        said = {"title": title, "kind": "prompt", "domain": optional(request, "domain") or "general", "template": body}
        return as_published(await self._patterns().publish(said))

    async def _request_of(self, request: Request) -> str:
        page = await self._turns.page(
            Chosen(ids=(text(request, "turn"),)), 1, text=True, passphrase=optional(request, "passphrase")
        )
        ((_, said),) = page.turns
        assert said is not None
        return said[0]


def as_registering(plan: PatternRegistering) -> dict[str, Any]:
    """What registering takes, as JSON."""
    named = {name: getattr(plan, name) for name in PatternRegistering.__slots__}
    return {**named, "price": str(plan.price), "deposit": str(plan.deposit)}


def as_published(made: PublishedPattern) -> dict[str, Any]:
    """What came of publishing, as JSON."""
    return {
        "cid": made.cid,
        "id": made.id,
        "version": made.version,
        "dp": made.dp,
        "registered": made.registered,
        "waiting": made.waiting,
        "registration": made.registration or None,
        "told": made.told,
    }
