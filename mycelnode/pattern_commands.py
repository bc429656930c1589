"""What the control socket and the command line can ask about patterns: JSON in, JSON out (docs/cli.md has the objects).

Most work with or without a running node; what is not on this disk, only a node can fetch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from mycelnode import creator
from mycelnode.background import open_background
from mycelnode.commands import Handler, Request, flag, rfc3339, text
from mycelnode.encoding import blake2b, encode
from mycelnode.errors import (
    BlockMissing,
    BlockRefused,
    CarRefused,
    ControlError,
    PatternFileRefused,
    PatternRefused,
    PaymentNeeded,
)
from mycelnode.keeping import QUOTA_BYTES, Keeper
from mycelnode.mesh import Mesh
from mycelnode.pattern_requests import amount, optional, read_cid, read_key, whole
from mycelnode.patterns import dagcbor, library
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.car import export_car, import_car
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import Draft, Format, read_file, write_file
from mycelnode.patterns.files.plain import to_plain
from mycelnode.patterns.files.texts import write_markdown
from mycelnode.patterns.library import Entry
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.ranking import near
from mycelnode.patterns.search import Query
from mycelnode.patterns.solutions import Adapter, Code, Prompt, Workflow
from mycelnode.searching import Searcher

FORMATS: Final[Mapping[str, Format]] = {"json": "json", "markdown": "markdown", "skill": "skill"}
MAX_LISTED: Final = 1_000
PROGRESS_SECONDS: Final = 0.2  # between two events of one transfer

Tell = Callable[[int, int], None]  # bytes that are here, and bytes in all as far as known (0: not yet)
Long = Callable[[Request, Tell], Awaitable[dict[str, Any]]]


class Collective(Protocol):
    """What a running node adds: the others."""

    async def fetch(self, cid: Cid, tell: Tell) -> str:
        """Bring a pattern's blocks into the store; says from where. Raises `BlockMissing`, `NetworkError`, `PatternRefused`."""
        ...

    async def announce(self, manifest: Manifest) -> str:
        """Let the others know of what was published; a sentence that says how far that went."""
        ...

    @property
    def sources(self) -> Mapping[str, str]:
        """swarm, registry, subnet → "ok", "off", or why not."""
        ...


class Alone:
    """No node runs, so there are no others."""

    sources: Mapping[str, str] = {"swarm": "off", "registry": "off", "subnet": "off"}

    async def fetch(self, cid: Cid, tell: Tell) -> str:
        """Nobody can be asked."""
        raise BlockMissing(f"{cid} is not on this device, and no node is running to fetch it: `mycelnode run`")

    async def announce(self, manifest: Manifest) -> str:
        """It is announced by the next node that runs here."""
        return "no node is running; the next `mycelnode run` with swarm.enabled makes it known"


class PatternCommands:
    """The commands about patterns. ``others`` is what a running node adds."""

    def __init__(self, keeper: Keeper, searcher: Searcher, others: Collective | None = None) -> None:
        self.keeper, self.mesh, self.others = keeper, keeper.mesh, others or Alone()
        self._searcher = searcher

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
        return quick | {name: partial(_untold, handler) for name, handler in self.long().items()}

    def long(self) -> dict[str, Long]:
        """Those that may have to fetch something first."""
        return {
            "pattern.show": self.show,
            "pattern.use": self.use,
            "pattern.export": self.export,
            "pattern.import": self.import_,
        }

    # --- making public -----------------------------------------------------------------------------------------------------

    async def preview(self, request: Request) -> dict[str, Any]:
        """What `publish` would make public; ``digest`` names that, so that nothing else is."""
        draft = await self._draft(request)
        key = creator.current(self.mesh)
        return {
            "path": text(request, "path"),
            "public": write_markdown(Draft(draft.said)),
            "files": [{"path": path, "size": len(data)} for path, data in draft.files.items()],
            "left_out": list(draft.left_out),
            "creator": None if key is None else key.public.hex(),
            "digest": _digest(draft),
        }

    async def publish(self, request: Request) -> dict[str, Any]:
        """Make a file's pattern public. With ``digest`` only if the file still says what was shown."""
        draft = await self._draft(request)
        if text(request, "digest", "") not in ("", _digest(draft)):
            raise PatternRefused("the file has changed since it was shown; nothing was made public: look again")
        made = await self.keeper.make(draft, public=True, anew=flag(request, "new_key"))
        told = await self.others.announce(made)
        return {
            "cid": str(made.cid),
            "id": None,
            "version": made.pattern.version,
            "dp": made.privacy.mechanism,
            "registered": False,
            "told": told,
        }

    async def _draft(self, request: Request) -> Draft:
        path = Path(text(request, "path"))
        if path.suffix == ".car":
            raise PatternFileRefused(
                f"{path}: a CAR holds a pattern that is signed already: `mycelnode pattern import` keeps it"
            )
        return await trio.to_thread.run_sync(read_file, path)

    # --- finding -----------------------------------------------------------------------------------------------------------

    async def search(self, request: Request) -> dict[str, Any]:
        """The best patterns for a query."""
        query = Query(
            text(request, "query"),
            domain=optional(request, "domain"),
            language=optional(request, "language"),
            kind=optional(request, "kind"),
            max_price=amount(request, "max_price"),
            creator=None if request.get("creator") is None else read_key(text(request, "creator")),
            min_reputation=whole(request, "min_reputation", None, 0, 1_000),
            limit=whole(request, "limit", 10, 1, 100) or 10,
        )
        found, embedder = await self._searcher.search(query, self._rated)
        return {
            "results": [one.as_json() for one in found],
            "sources": {"library": "ok", **self.others.sources},
            "embedder": embedder,
        }

    def _rated(self, cid: Cid) -> tuple[int, int]:
        """Uses of which the person said how they went."""
        known = self.keeper.outcomes(cid)
        return known.successes + known.failures, known.successes

    async def list(self, request: Request) -> dict[str, Any]:
        """What is kept; with ``seen`` also what was only heard of."""
        kept = None if flag(request, "seen") else True
        entries = self.mesh.database.look(partial(library.listing, kept=kept, limit=MAX_LISTED))
        ours = creator.ours(self.mesh)
        here = {entry.cid for entry in entries}
        return {
            "patterns": [self._listed(entry, ours) for entry in entries],
            "coming": [str(cid) for cid in self.keeper.kept() if cid not in here][:MAX_LISTED],
        }

    def _listed(self, entry: Entry, ours: set[bytes]) -> dict[str, Any]:
        known = self.keeper.outcomes(entry.cid)
        return {
            "cid": str(entry.cid),
            "title": entry.title,
            "kind": entry.kind,
            "domain": entry.domain,
            "language": entry.language,
            "price": str(entry.price),
            "creator": entry.creator.hex(),
            "created": rfc3339(entry.created),
            "version": entry.version,
            "mine": entry.creator in ours,
            "published": self.keeper.is_published(entry.cid),
            "kept": entry.kept,
            "source": entry.source,
            "uses": known.uses,
            "successes": known.successes,
            "failures": known.failures,
        }

    async def show(self, request: Request, tell: Tell) -> dict[str, Any]:
        """Everything that a pattern says."""
        manifest, source = await self._bring(read_cid(request), tell)
        pattern = manifest.pattern
        return {
            "cid": str(manifest.cid),
            "title": pattern.title,
            "kind": pattern.kind,
            "price": str(pattern.price),
            "creator": pattern.creator.hex(),
            "created": rfc3339(pattern.created),
            "dp": manifest.privacy.mechanism,
            "near": manifest.near,
            "kept": self.keeper.is_kept(manifest.cid),
            "source": source,
            "files": [{"path": path, "size": len(data)} for path, data in (await self.keeper.files(manifest)).items()],
            "manifest": to_plain(dagcbor.decode(manifest.block)),
            "text": write_markdown(Draft.of(pattern)),
        }

    # --- using ---------------------------------------------------------------------------------------------------------------

    async def use(self, request: Request, tell: Tell) -> dict[str, Any]:
        """What a pattern gives, from then on kept. Code is given, and never run."""
        variables = request.get("variables", {})
        if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
            raise ControlError("the field 'variables' is a map of texts")
        manifest, source = await self._bring(read_cid(request), tell)
        pattern = manifest.pattern
        if pattern.price and not self.keeper.is_mine(pattern.creator):
            raise PaymentNeeded(
                f"this pattern costs {near(pattern.price)} NEAR a use, and this mycelnode cannot pay yet"
            )
        output = _output(manifest, variables)
        await self.keeper.keep(manifest, source)
        await self.keeper.used(manifest.cid)
        return {"cid": str(manifest.cid), "output": output, "kind": pattern.kind, "paid": "0"}

    async def rate(self, request: Request) -> dict[str, Any]:
        """Note how it went."""
        cid = read_cid(request)
        if self.mesh.database.look(partial(library.get, cid=cid)) is None:
            raise BlockMissing(f"{cid} is not known here; `mycelnode pattern show {cid}` fetches it")
        stars = whole(request, "stars", None, 1, 5)
        await self.keeper.rate(cid, success=flag(request, "success"), stars=stars)
        known = self.keeper.outcomes(cid)
        return {"cid": str(cid), "uses": known.uses, "successes": known.successes, "failures": known.failures}

    async def forget(self, request: Request) -> dict[str, Any]:
        """Keep a pattern no more."""
        cid = read_cid(request)
        await self.keeper.forget(cid)
        return {"cid": str(cid), "kept": False}

    async def block(self, request: Request) -> dict[str, Any]:
        """Take nothing of a creator any more."""
        key, undo = read_key(text(request, "creator")), flag(request, "undo")
        if self.keeper.is_mine(key):
            raise ControlError("this is your own creator key")
        await self.keeper.block(key, undo=undo)
        return {"creator": key.hex(), "blocked": not undo}

    async def blocked(self, request: Request) -> dict[str, Any]:
        """Of whom nothing is taken."""
        return {"creators": sorted(key.hex() for key in self.keeper.blocked())}

    # --- in and out ----------------------------------------------------------------------------------------------------------

    async def export(self, request: Request, tell: Tell) -> dict[str, Any]:
        """Write a pattern to a file that is not there yet."""
        manifest, _ = await self._bring(read_cid(request), tell)
        form, path = text(request, "format"), Path(text(request, "path"))
        if form == "car":
            roots = [manifest.cid, *self.keeper.roots(manifest)]
            size = await trio.to_thread.run_sync(_write_car, self.keeper, path, roots)
        elif form in FORMATS:
            draft = Draft.of(manifest.pattern, await self.keeper.files(manifest) if form == "skill" else None)
            await trio.to_thread.run_sync(partial(write_file, draft, FORMATS[form], path))
            size = await trio.to_thread.run_sync(_size, path)
        else:
            raise ControlError("the field 'format' is json, markdown, skill or car")
        return {"cid": str(manifest.cid), "format": form, "path": str(path), "bytes": size}

    async def import_(self, request: Request, tell: Tell) -> dict[str, Any]:
        """Keep what a CID names, a CAR holds, or a file says; the last is signed, and goes to nobody but the person's devices."""
        if request.get("cid") is not None:
            manifest, source = await self._bring(read_cid(request), tell)
            await self.keeper.keep(manifest, source)
        elif (path := Path(text(request, "path"))).suffix == ".car":
            manifest = await self._import_car(path)
        else:
            manifest = await self.keeper.make(await self._draft(request), public=False)
        return {
            "cid": str(manifest.cid),
            "title": manifest.pattern.title,
            "mine": self.keeper.is_mine(manifest.pattern.creator),
        }

    async def _import_car(self, path: Path) -> Manifest:
        """The pattern of the first root; all or nothing."""
        roots = await trio.to_thread.run_sync(_read_car, self.keeper, path)
        try:
            manifest = await self.keeper.load(roots[0])
            await self.keeper.keep(manifest, "car")
        finally:
            await self.keeper.settle()  # what is pinned, and not kept in the end
        return manifest

    async def _bring(self, cid: Cid, tell: Tell) -> tuple[Manifest, str]:
        """A pattern with all that belongs to it, fetched if it is not here; and from where it is."""
        if await self.keeper.is_whole(cid):
            source = "library"
        else:
            source = await self.others.fetch(cid, tell)
        return await self.keeper.load(cid), source


# --- reading requests ------------------------------------------------------------------------------------------------------


async def _untold(handler: Long, request: Request) -> dict[str, Any]:
    return await handler(request, lambda here, total: None)


def with_progress(handler: Long) -> Callable[[Request], AsyncIterator[dict[str, Any]]]:
    """The same as a stream: events of what is here by now, and then the result."""

    async def run(request: Request) -> AsyncIterator[dict[str, Any]]:
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        told = trio.current_time()

        def tell(here: int, total: int) -> None:
            nonlocal told
            if trio.current_time() >= told + PROGRESS_SECONDS:
                told = trio.current_time()
                with suppress(trio.WouldBlock):  # whoever listens is slow: it gets the next one
                    send.send_nowait({"type": "event", "event": "progress", "bytes": here, "total": total})

        async def work() -> None:
            with send:  # not `async with`: that is cancelled once the channel is closed, and the error would be lost
                await send.send({"type": "result", **await handler(request, tell)})

        async with open_background() as nursery:
            nursery.start_soon(work)
            async for answer in receive:
                yield answer

    return run


def _write_car(keeper: Keeper, path: Path, roots: Sequence[Cid]) -> int:
    """To a new file; returns its size."""
    try:
        with path.open("xb") as file:
            try:
                export_car(keeper.store, roots, file, partial=True)
                return file.tell()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise PatternFileRefused(f"{path}: something of this name is there already: choose another") from None
    except OSError as error:
        raise PatternFileRefused(f"{path}: {error.strerror or error}") from error


def _read_car(keeper: Keeper, path: Path) -> list[Cid]:
    """Its blocks in the store, with a pattern of which all is here as the first root; or nothing."""

    def check(roots: Sequence[Cid]) -> None:
        try:
            keeper.load_whole(roots[0])
        except BlockMissing as error:
            raise CarRefused(f"{path} has not all files of the pattern {roots[0]}: {error}") from error
        except BlockRefused as error:
            raise CarRefused(f"{path} has files with the pattern {roots[0]} that cannot be taken: {error}") from error

    try:
        with path.open("rb") as file:
            return import_car(file, keeper.store, check=check)
    except OSError as error:
        raise PatternFileRefused(f"{path}: {error.strerror or error}") from error


def _digest(draft: Draft) -> str:
    """Names all that would be public."""
    files = [[path, blake2b(data)] for path, data in sorted(draft.files.items())]
    return blake2b(dagcbor.encode(draft.said) + encode(files)).hex()


def _output(manifest: Manifest, variables: Mapping[str, str]) -> str:
    solution = manifest.pattern.solution
    match solution:
        case Prompt():
            return solution.fill(variables)
        case Code():
            return solution.code
        case Adapter():
            return f"{solution.adapter_cid}"
        case Workflow():
            steps = (f"{step.instruction}{f' ({step.pattern})' if step.pattern else ''}" for step in solution.steps)
            return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    raise PatternRefused(f"a pattern of the kind {manifest.pattern.kind} cannot be used yet")


def _size(path: Path) -> int:
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


async def commands_without_node(mesh: Mesh) -> dict[str, Handler]:
    """The same commands on the data folder itself; its lock is held. Raises `DataDirUnusable`."""
    store = await trio.to_thread.run_sync(Blockstore, mesh.data.blocks, QUOTA_BYTES)
    keeper = Keeper(mesh, store)
    await keeper.settle()
    return PatternCommands(keeper, Searcher(mesh.database)).table()
