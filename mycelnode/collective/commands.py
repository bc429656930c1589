"""What the control socket and the command line can ask about patterns: JSON in, JSON out (docs/cli.md has the objects).

Most work with or without a running node; what is not on this disk, only a node can fetch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from mycelnode.blocks import open_blocks
from mycelnode.collective.answers import FoundPattern, PatternInfo
from mycelnode.collective.api import FORMATS, MAX_STARS, Alone, Patterns, Tell
from mycelnode.collective.consent_commands import ConsentCommands, as_published, as_registering
from mycelnode.collective.requests import amount, canonical, file_path, optional, whole
from mycelnode.collective.searching import Searcher
from mycelnode.commands import Handler, Request, flag, rfc3339, text
from mycelnode.errors import ControlError
from mycelnode.keeping.keeper import Keeper
from mycelnode.market.asking import CopyAlone
from mycelnode.mesh import Mesh
from mycelnode.patterns import dagcbor
from mycelnode.patterns.files.plain import to_plain
from mycelnode.patterns.search import MAX_LIMIT
from mycelnode.privacy.generalise import MAX_CHARS, generalise
from mycelnode.privacy.owner import Dictionary
from mycelnode.releasing import dictionary
from mycelnode.streaming import Long, Watcher, untold
from mycelnode.turns import Turns

if TYPE_CHECKING:
    from mycelnode.market.trading import Trade


class PatternCommands:
    """The commands about patterns. ``patterns`` gives them, or raises why there are none."""

    def __init__(self, patterns: Callable[[], Patterns], owner: Callable[[], Dictionary]) -> None:
        self._patterns, self._owner = patterns, owner

    def table(self) -> dict[str, Handler]:
        """Command name → handler; those that may take long are among them, too, for whoever does not want to see progress."""
        quick: dict[str, Handler] = {
            "pattern.preview": self.preview,
            "pattern.publish": self.publish,
            "pattern.search": self.search,
            "pattern.list": self.list,
            "pattern.rate": self.rate,
            "pattern.forget": self.forget,
            "pattern.block": self.block,
            "pattern.blocked": self.blocked,
        }
        return quick | {name: partial(untold, handler) for name, handler in self.long().items()}

    def long(self) -> dict[str, Long]:
        """Those that may have to fetch something first."""
        return {
            "pattern.show": self.show,
            "pattern.quote": self.quote,
            "pattern.use": self.use,
            "pattern.export": self.export,
            "pattern.import": self.import_,
        }

    # --- making public -----------------------------------------------------------------------------------------------------

    async def preview(self, request: Request) -> dict[str, Any]:
        """What `publish` would make public; ``digest`` names that, so that nothing else is."""
        path = file_path(request)
        register = flag(request, "register")
        seen = await self._patterns().preview(path, new_key=flag(request, "new_key"), register=register)
        return {
            "path": path,
            "public": seen.text,
            "files": [{"path": path, "size": size} for path, size in seen.files.items()],
            "left_out": list(seen.left_out),
            "creator": seen.creator,
            "formers": list(seen.formers),
            "near": seen.near,
            "names": [{"cid": cid, "standing": standing} for cid, standing in seen.names.items()],
            "digest": seen.digest,
            "private": await self._private(seen.text),
            "registering": None if seen.registering is None else as_registering(seen.registering),
        }

    async def _private(self, shown: str) -> dict[str, Any]:
        """What a generaliser would take out of it, with the reason of each: a help for whoever has to look."""
        found = await trio.to_thread.run_sync(generalise, shown[:MAX_CHARS], self._owner())
        return {
            "output": found.output,
            "slots": [asdict(slot) for slot in found.slots],
            "dropped": found.dropped or None,
        }

    async def publish(self, request: Request) -> dict[str, Any]:
        """Make a file's pattern public. With ``digest`` only if the file still says what was shown."""
        made = await self._patterns().publish(
            file_path(request),
            digest=text(request, "digest", "") or None,
            new_key=flag(request, "new_key"),
            register=flag(request, "register"),
            deposit=amount(request, "deposit"),
        )
        return as_published(made)

    # --- finding -----------------------------------------------------------------------------------------------------------

    async def search(self, request: Request) -> dict[str, Any]:
        """The best patterns for a query."""
        answer = await self._patterns().search(
            text(request, "query"),
            domain=optional(request, "domain"),
            language=optional(request, "language"),
            kind=optional(request, "kind"),
            max_price=amount(request, "max_price"),
            creator=optional(request, "creator"),
            min_reputation=whole(request, "min_reputation", None, 0, 1_000),
            limit=whole(request, "limit", 10, 1, MAX_LIMIT) or 10,
        )
        return {
            "results": [_found(one) for one in answer.found],
            "sources": dict(answer.sources),
            "embedder": answer.embedder,
            "registry_as_of": None if answer.registry_as_of is None else _utc(answer.registry_as_of),
        }

    async def list(self, request: Request) -> dict[str, Any]:
        """What is kept; with ``seen`` also what was only heard of."""
        listing = await self._patterns().list(seen=flag(request, "seen"))
        return {"patterns": [_listed(one) for one in listing.patterns], "coming": listing.coming, "more": listing.more}

    async def show(self, request: Request, tell: Tell) -> dict[str, Any]:
        """Everything that a pattern says."""
        got = await self._patterns().get(text(request, "cid"), progress=tell)
        pattern = got.pattern
        return {
            "cid": got.cid,
            "title": pattern.title,
            "kind": pattern.kind,
            "price": str(pattern.price),
            "price_now": _amount(got.price_now),
            "creator": pattern.creator.hex(),
            "created": rfc3339(pattern.created),
            "dp": got.dp,
            "near": got.near,
            "formers": list(got.formers),
            "kept": got.kept,
            "source": got.source,
            "files": [{"path": path, "size": len(data)} for path, data in got.files.items()],
            "manifest": to_plain(dagcbor.decode(got.manifest)),
            "text": got.text,
        }

    # --- using ---------------------------------------------------------------------------------------------------------------

    async def quote(self, request: Request, tell: Tell) -> dict[str, Any]:
        """What the next use costs, and what is to be asked before."""
        found = await self._patterns().quote(
            text(request, "cid"),
            max_price=amount(request, "max_price"),
            request=optional(request, "request"),
            progress=tell,
        )
        return {
            "cid": found.cid,
            "price": str(found.price),
            "total": str(found.total),
            "creator": found.creator,
            "questions": found.questions,
            "gas_in_advance": str(found.gas_in_advance),
            "gas_burnt": str(found.gas_burnt),
        }

    async def use(self, request: Request, tell: Watcher) -> dict[str, Any]:
        """What a pattern gives, from then on kept; paid for first, if it costs something. Code is given, and never run."""
        variables = request.get("variables", {})
        if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
            raise ControlError("the field 'variables' is a map of texts")
        used = await self._patterns().use(
            text(request, "cid"),
            variables,
            max_price=amount(request, "max_price"),
            yes=flag(request, "yes"),
            request=optional(request, "request"),
            wait=not flag(request, "no_wait"),
            progress=tell,
            say=tell.say,
        )
        output = None if used.pending else used.output
        return {
            "cid": used.cid,
            "output": output,
            "kind": used.kind,
            "paid": str(used.paid),
            "paid_before": str(used.paid_before),
            "pending": used.pending or None,
        }

    async def rate(self, request: Request) -> dict[str, Any]:
        """Note how it went."""
        cid, stars = canonical(request), whole(request, "stars", None, 1, MAX_STARS)
        if "success" not in request:
            raise ControlError("the field 'success' is true or false")
        known = await self._patterns().rate(cid, success=flag(request, "success"), stars=stars)
        return {
            "cid": cid,
            "uses": known.uses,
            "successes": known.successes,
            "failures": known.failures,
            "queued": known.queued or None,
        }

    async def forget(self, request: Request) -> dict[str, Any]:
        """Keep a pattern no more."""
        cid = canonical(request)
        await self._patterns().forget(cid)
        return {"cid": cid, "kept": False}

    async def block(self, request: Request) -> dict[str, Any]:
        """Take nothing of a creator any more."""
        creator, undo, patterns = text(request, "creator"), flag(request, "undo"), self._patterns()
        await (patterns.unblock(creator) if undo else patterns.block(creator))
        return {"creator": creator.lower(), "blocked": not undo}

    async def blocked(self, request: Request) -> dict[str, Any]:
        """Of whom nothing is taken."""
        return {"creators": sorted(self._patterns().blocked())}

    # --- in and out ----------------------------------------------------------------------------------------------------------

    async def export(self, request: Request, tell: Tell) -> dict[str, Any]:
        """Write a pattern to a file that is not there yet."""
        cid, said, path = canonical(request), text(request, "format"), file_path(request)
        form = next((form for form in FORMATS if form == said), None)
        if form is None:
            raise ControlError(f"the field 'format' is one of {', '.join(FORMATS)}")
        size = await self._patterns().export(cid, path, form, progress=tell)
        return {"cid": cid, "format": form, "path": path, "bytes": size}

    async def import_(self, request: Request, tell: Tell) -> dict[str, Any]:
        """Keep what a CID names, a CAR holds, or a file says; the last is signed, and goes to nobody but the person's devices."""
        patterns, cid, left = self._patterns(), optional(request, "cid"), 0
        if cid is not None:
            kept = await patterns.keep(cid, progress=tell)
        elif (path := file_path(request)).lower().endswith(".car"):
            imported = await patterns.import_car(path)
            kept, left = imported.pattern, imported.left
        else:
            kept = await patterns.make(path)
        return {"cid": kept.cid, "title": kept.title, "mine": kept.mine, "left": left}


# --- as JSON ---------------------------------------------------------------------------------------------------------------


def _found(one: FoundPattern) -> dict[str, Any]:
    known = one.pattern
    return {
        "cid": known.cid,
        "title": known.title,
        "kind": known.kind,
        "domain": known.domain,
        "language": known.language,
        "price": str(one.price),
        "creator": known.creator,
        "kept": known.kept,
        "later": known.later,
        "score": round(one.score, 6),
        "explain": [part.as_json() for part in one.parts],
        "sources": [known.source, *(["registry"] if one.registered else [])],
        "registry": None if one.registered is None else {**asdict(one.registered), "price": str(one.price)},
    }


def _listed(known: PatternInfo) -> dict[str, Any]:
    return {
        **{name: getattr(known, name) for name in PatternInfo.__slots__},
        "price": str(known.price),
        "price_now": _amount(known.price_now),
        "created": _utc(known.created),
    }


def _amount(yocto: int | None) -> str | None:
    return None if yocto is None else str(yocto)


def _utc(time: datetime) -> str:
    """RFC 3339."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def patterns_without_node(mesh: Mesh, trade: Trade | None = None) -> Patterns:
    """The person's patterns on the data folder itself; its lock is held. Raises `DataDirUnusable`."""
    store = await trio.to_thread.run_sync(open_blocks, mesh)
    keeper = Keeper(mesh, store)
    await keeper.settle()
    others = Alone("no node is running to ask it" if mesh.settings.get("swarm.enabled") else "off")
    return Patterns(keeper, Searcher(mesh.database, registry=CopyAlone(mesh)), others, trade)


async def commands_without_node(mesh: Mesh, trade: Trade | None = None) -> dict[str, Handler]:
    """The same commands on the data folder itself; its lock is held. Raises `DataDirUnusable`."""
    patterns = await patterns_without_node(mesh, trade)
    return (
        PatternCommands(lambda: patterns, partial(dictionary.owner, mesh)).table()
        | ConsentCommands(mesh, Turns(mesh), lambda: patterns).table()
    )
