"""Patterns for whoever imports the library, and for the commands: made, made public, found, used. CIDs and keys are text here.

What is not on this disk, only a running node can fetch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import trio

from mycelnode import creator
from mycelnode.collective import texts
from mycelnode.collective.answers import (
    ImportedPattern,
    PatternContent,
    PatternInfo,
    PatternListing,
    PatternOutcomes,
    PatternPreview,
    PatternQuote,
    PatternRegistering,
    PatternSearch,
    PublishedPattern,
    RetiredPattern,
    UsedPattern,
)
from mycelnode.collective.carrying import read_car, size_of, write_car
from mycelnode.collective.searching import Searcher
from mycelnode.collective.texts import Source
from mycelnode.encoding import blake2b, encode
from mycelnode.errors import (
    BlockMissing,
    ConfigError,
    PatternRefused,
    PaymentNeeded,
    ValueRefused,
)
from mycelnode.keeping.keeper import SWARM, Keeper
from mycelnode.market.answers import found_pattern
from mycelnode.mesh import Mesh
from mycelnode.patterns import dagcbor, library
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import Draft, write_file
from mycelnode.patterns.files.texts import write_markdown
from mycelnode.patterns.library import Entry
from mycelnode.patterns.manifest import MAX_SUCCESSIONS, Manifest
from mycelnode.patterns.pattern import DOMAIN, LANGUAGE, MAX_YOCTO, Pattern
from mycelnode.patterns.ranking import near
from mycelnode.patterns.search import MAX_LIMIT, Query
from mycelnode.patterns.solutions import READERS

if TYPE_CHECKING:  # most of what patterns are used for needs no chain
    from mycelnode.market.buying import Buyer
    from mycelnode.market.trading import Trade

MAX_LISTED: Final = 999  # one less than a page of the library
MAX_STARS: Final = 5
WORST: Final = 1  # stars of what did not go well

Format = Literal["json", "markdown", "skill", "car"]
FORMATS: Final[tuple[Format, ...]] = ("json", "markdown", "skill", "car")
Tell = Callable[[int, int], None]  # bytes that are here, and bytes in all as far as known (0: not yet)
Say = Callable[[str], None]  # what is waited for


class Others(Protocol):
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

    def __init__(self, swarm: str = "off") -> None:
        self.sources: Mapping[str, str] = {"swarm": swarm, "registry": "off", "subnet": "off"}

    async def fetch(self, cid: Cid, tell: Tell) -> str:
        """Nobody can be asked."""
        raise BlockMissing(f"{cid} is not on this device, and no node is running to fetch it: `mycelnode run`")

    async def announce(self, manifest: Manifest) -> str:
        """It is announced by the next node that runs here."""
        return "no node is running; the next `mycelnode run` with swarm.enabled makes it known"


# --- what can be done ----------------------------------------------------------------------------------------------------------


class Patterns:
    """The patterns of a person, on all devices alike: `Node.patterns`.

    A ``source`` is a file (JSON, Markdown), a folder (an Agent Skill), or a map of the fields that such a file has
    (docs/pattern-files.md). A ``progress`` is called with the bytes that are here by now, and those in all as far as known.

    >>> made = await node.patterns.publish({"title": "Sort the post", "domain": "mail", "template": "Sort: {{post}}"})
    >>> await node.patterns.use(made.cid, {"post": "a bill, a card"})
    """

    def __init__(
        self, keeper: Keeper, searcher: Searcher, others: Others | None = None, trade: Trade | None = None
    ) -> None:
        self._opened, self._searcher, self._others = keeper, searcher, others or Alone()
        self.trade = trade  # None: no chain is open

    @property
    def _keeper(self) -> Keeper:
        """Raises `ClosedError` once the node is closed, and so does all that follows."""
        self._opened.mesh.check_open()
        return self._opened

    @property
    def _mesh(self) -> Mesh:
        return self._keeper.mesh

    # --- making ----------------------------------------------------------------------------------------------------------

    async def preview(
        self,
        source: Source,
        *,
        files: Mapping[str, bytes] | None = None,
        new_key: bool = False,
        register: bool = False,
    ) -> PatternPreview:
        """What `publish` would make public. Raises `PatternRefused`, `CreatorKeyMissing`; nothing is changed.

        With ``register`` also what that would say on chain, and takes; it raises what `publish` would.
        """
        draft = await texts.read(source, files)
        seen = self._preview(draft, new_key, register)
        if not register:
            return seen
        return replace(seen, registering=await self._registering(draft, await self._keeper.find(draft, anew=new_key)))

    async def _registering(self, draft: Draft, made: Manifest | None) -> PatternRegistering:
        plan = await self._chain().registrar.plan(draft.said, made=made)
        former, number = None if plan.former is None else plan.former.cid, None if plan.known is None else plan.known.id
        shown = (plan.account, plan.registry, plan.domain, plan.price, plan.deposit, former, plan.asked, number)
        return PatternRegistering(*shown)

    def _chain(self) -> Trade:
        if self.trade is None:
            raise ConfigError("no chain is open on which a pattern could be registered")
        return self.trade

    def _preview(self, draft: Draft, new_key: bool, register: bool) -> PatternPreview:
        key, former = creator.standing(self._mesh, anew=new_key), creator.current(self._mesh)
        if key is None:  # it names the one in use, and those before that
            formers = [] if former is None else [former.public, *(word.creator for word in former.succeeds)]
        else:
            formers = [word.creator for word in key.succeeds]
        near_account = self._mesh.settings.get("near.account") or None
        signer = [None if key is None else key.public, formers[:MAX_SUCCESSIONS], near_account]
        if register:
            signer.append(self._mesh.settings.get("near.registry"))
        files = [[path, blake2b(data)] for path, data in sorted(draft.files.items())]
        return PatternPreview(
            text=write_markdown(Draft(draft.said)),
            files={path: len(data) for path, data in draft.files.items()},
            left_out=draft.left_out,
            creator=None if key is None else key.public.hex(),
            formers=tuple(former.hex() for former in formers[:MAX_SUCCESSIONS]),
            near=near_account,
            names={str(cid): self._standing(cid) for cid in texts.named(draft)},
            digest=blake2b(dagcbor.encode(draft.said) + encode(files) + encode(signer)).hex(),
        )

    def _standing(self, cid: Cid) -> str:
        """Is a pattern that another one names there for whoever looks?"""
        if self._keeper.is_shown(cid):
            return "public"
        known = self._mesh.database.look(partial(library.get, cid=cid))
        return "not here" if known is None else "private"

    async def publish(
        self,
        source: Source,
        *,
        files: Mapping[str, bytes] | None = None,
        digest: str | None = None,
        new_key: bool = False,
        register: bool = False,
        deposit: int | None = None,
    ) -> PublishedPattern:
        """Make a pattern public, for ever: whoever calls this has the person's consent. On disk when this returns.

        With ``digest`` (of a `PatternPreview`) only what was shown. ``new_key``: signed with a new creator key. The same again is
        the same pattern. Raises `PatternRefused`, `StoreFull`, `CreatorKeyMissing`, and what writing raises; then nothing is
        public. Who could not be told is no error: the answer says it.

        ``register``: also on chain, at the price that it says, by `near.account`; for at most ``deposit`` yoctoNEAR. What speaks
        against that raises `ConfigError`, `KeyFileError`, `SpendingRefused`, `NearRefused`, `NearUnreachable` before anything is
        public; what becomes of it then, the answer says.
        """
        draft = await texts.read(source, files)
        if digest is not None and digest != self._preview(draft, new_key, register).digest:
            raise PatternRefused(
                "the file, or who signs it, has changed since it was shown; nothing was made public: look again"
            )
        plan = None
        if register:
            plan = await self._chain().registrar.plan(draft.said, deposit, await self._keeper.find(draft, anew=new_key))
        return await self._published(await self._keeper.make(draft, public=True, anew=new_key), plan)

    async def _published(self, made: Manifest, plan: Any) -> PublishedPattern:
        told = await self._others.announce(made)
        published = PublishedPattern(str(made.cid), made.pattern.version, made.privacy.mechanism, told)
        if plan is None:
            return published
        known = await self._chain().registrar.register(made, plan)
        waiting = not (known.done or known.failed)
        return replace(published, id=known.number, registered=known.done, waiting=waiting, registration=known.word)

    async def price(self, cid: str, price: int) -> None:
        """Ask another price, in yoctoNEAR a use, for a pattern that `near.account` has registered; 0 makes it free.

        A server has to answer. Raises `CidRefused`, `ConfigError`, `KeyFileError`, `NearUnreachable`, `NearRefused` for what is not
        registered any more, and `OutcomeUnknown` while it is not final: then it goes on by itself.
        """
        if not 0 <= price <= MAX_YOCTO:
            raise ValueRefused("a price is in yoctoNEAR, and below 2^128")
        await self._chain().seller.price(texts.cid(cid), price)

    async def retire(self, cid: str) -> RetiredPattern:
        """Sell a pattern that `near.account` has registered no more, for ever: whoever calls this has the person's consent.

        The same again, 30 days later, takes back what was held for it. Raises as `price` does.
        """
        named = texts.cid(cid)
        done = await self._chain().seller.retire(named)
        return RetiredPattern(
            str(named), done.number, done.released, datetime.fromtimestamp(done.release_from / 1000, UTC)
        )

    async def make(self, source: Source, *, files: Mapping[str, bytes] | None = None) -> PatternInfo:
        """Make a pattern that stays among the person's devices. Raises as `publish` does."""
        return self._info((await self._keeper.make(await texts.read(source, files), public=False)).cid)

    # --- finding ---------------------------------------------------------------------------------------------------------

    async def search(
        self,
        query: str,
        *,
        domain: str | None = None,
        language: str | None = None,
        kind: str | None = None,
        max_price: int | None = None,
        creator: str | None = None,
        min_reputation: int | None = None,
        limit: int = 10,
    ) -> PatternSearch:
        """The best patterns for a query, kept ones and those heard of; ``max_price`` in yoctoNEAR, ``min_reputation`` in 0…1000.

        Raises `ValueRefused` for a filter that cannot be.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise ValueRefused(f"a search gives 1 to {MAX_LIMIT} patterns")
        if domain is not None and not DOMAIN.fullmatch(domain):
            raise ValueRefused(f"{domain[:40]!r} is no domain: they have 1 to 32 small letters, digits, _ or -")
        if language is not None and not LANGUAGE.fullmatch(language):
            raise ValueRefused(f"{language[:40]!r} is no language tag such as en or pt-BR")
        if kind is not None and kind not in READERS:
            raise ValueRefused(f"the kinds are {', '.join(READERS)}")
        wanted = Query(
            query,
            domain=domain,
            language=language,
            kind=kind,
            max_price=max_price,
            creator=None if creator is None else texts.key(creator),
            min_reputation=min_reputation or None,
            limit=limit,
        )
        searched = await self._searcher.search(wanted, self._rated)
        copy = searched.registry.copy
        return PatternSearch(
            [found_pattern(self._describe(one.entry), one, searched.said.get(one.entry.cid)) for one in searched.found],
            {"library": "ok", **self._others.sources, "registry": searched.registry.state},
            searched.embedder,
            None if copy is None else datetime.fromtimestamp(copy.looked / 1000, UTC),
        )

    def _rated(self, cid: Cid) -> tuple[int, int]:
        """Uses of which the person said how they went."""
        known = self._keeper.outcomes(cid)
        return known.successes + known.failures, known.successes

    async def list(self, *, seen: bool = False) -> PatternListing:
        """What the person keeps; with ``seen`` also what was only heard of. At most `MAX_LISTED`, the latest first.

        ``more`` says whether there are others.
        """
        kept = None if seen else True
        entries = self._mesh.database.look(partial(library.listing, kept=kept, limit=MAX_LISTED + 1))
        here = {entry.cid for entry in entries}
        coming = [str(cid) for cid in self._keeper.kept() if cid not in here]
        shown = [self._describe(entry) for entry in entries[:MAX_LISTED]]
        return PatternListing(shown, coming[:MAX_LISTED], len(entries) > MAX_LISTED)

    def _info(self, cid: Cid) -> PatternInfo:
        entry = self._mesh.database.look(partial(library.get, cid=cid))
        if entry is None:
            raise BlockMissing(f"{cid} is not known here; `mycelnode pattern show {cid}` fetches it")
        return self._describe(entry)

    def _describe(self, entry: Entry) -> PatternInfo:
        known = self._keeper.outcomes(entry.cid)
        later = self._mesh.database.look(partial(library.later, cid=entry.cid))
        return PatternInfo(
            cid=str(entry.cid),
            title=entry.title,
            kind=entry.kind,
            domain=entry.domain,
            language=entry.language,
            price=entry.price,
            creator=entry.creator.hex(),
            created=datetime.fromtimestamp(entry.created / 1000, UTC),
            version=entry.version,
            mine=self._keeper.is_mine(entry.creator),
            published=self._keeper.is_published(entry.cid),
            kept=entry.kept,
            source=entry.source,
            uses=known.uses,
            successes=known.successes,
            failures=known.failures,
            later=None if later is None else str(later),
            price_now=self._searcher.price_now(entry.no),
        )

    async def get(self, cid: str, *, progress: Tell | None = None) -> PatternContent:
        """All of a pattern, checked; fetched if it is not here.

        Raises `CidRefused`, `PatternRefused` for what is no pattern, `BlockUnavailable` if nobody has it, `DagRefused` if its files
        are too large or not whole, `CreatorBlocked`, `StoreFull`.
        """
        manifest, source = await self._bring(cid, progress)
        entry = self._mesh.database.look(partial(library.get, cid=manifest.cid))
        return PatternContent(
            cid=str(manifest.cid),
            pattern=manifest.pattern,
            files=await self._keeper.files(manifest),
            dp=manifest.privacy.mechanism,
            near=manifest.near,
            formers=tuple(word.creator.hex() for word in manifest.succeeds),
            kept=self._keeper.is_kept(manifest.cid),
            source=source,
            manifest=manifest.block,
            price_now=None if entry is None else self._searcher.price_now(entry.no),
        )

    async def _bring(self, cid: str, progress: Tell | None) -> tuple[Manifest, str]:
        """A pattern with all that belongs to it, and from where it is."""
        named = texts.cid(cid)
        if await self._keeper.is_whole(named):
            source = "library"
        else:
            tell = progress or _nobody
            tell(0, 0)
            source = await self._others.fetch(named, tell)
        manifest = await self._keeper.load(named)
        if source == SWARM:
            await self._keeper.files(manifest)  # what cannot be had whole, or is no folder, is not taken up
            await self._keeper.see(manifest, source)  # from then on it is known, and others may have it of us
        return manifest, source

    # --- using -----------------------------------------------------------------------------------------------------------

    async def quote(
        self, cid: str, *, max_price: int | None = None, request: str | None = None, progress: Tell | None = None
    ) -> PatternQuote:
        """What the next use costs, and what is to be asked before; fetched if it is not here. Nothing is paid.

        With ``max_price`` (yoctoNEAR) what it may cost is not asked. Raises as `use` does.
        """
        manifest, _ = await self._bring(cid, progress)
        free = self._is_free(manifest.pattern)
        offer = None if free else await self._buyer(manifest.pattern).offer(manifest, request, max_price)
        if offer is None:
            return PatternQuote(str(manifest.cid), 0, 0, manifest.near, [])
        return PatternQuote(
            str(manifest.cid),
            offer.quote.price,
            offer.total,
            manifest.near,
            offer.questions,
            offer.gas_in_advance,
            offer.gas_burnt,
        )

    async def use(
        self,
        cid: str,
        variables: Mapping[str, str] | None = None,
        *,
        max_price: int | None = None,
        yes: bool = False,
        request: str | None = None,
        wait: bool = True,
        progress: Tell | None = None,
        say: Say | None = None,
    ) -> UsedPattern:
        """What a pattern gives, from then on kept; fetched if it is not here. Code is given, and never run.

        What costs something is paid for first, within the limits, once a request: interrupted and made again, by its ``request``
        (any name) or by none, it is not paid again. ``max_price`` (yoctoNEAR, all that is attached) says what it may cost, ``yes``
        that the person has agreed to all that there is to be asked, ``say`` is told what is waited for; without ``wait`` the
        payment goes on by itself.

        Raises as `get` does; `PatternRefused` names a variable that is missing or unknown; `PaymentNeeded` for what must not or
        cannot be paid, `SpendingRefused`, `NearUnreachable`, `NearRefused`; `OutcomeUnknown` if it is not known yet whether it was.
        """
        manifest, source = await self._bring(cid, progress)
        pattern = manifest.pattern
        output = texts.output(pattern, variables or {})  # what is wrong with them is said before anything is paid
        if self._is_free(pattern):
            await self._used(manifest, source)
            return UsedPattern(str(manifest.cid), pattern.kind, output, 0)
        buyer = self._buyer(pattern)
        async with buyer.use(manifest, max_price, yes=yes, request=request, wait=wait, say=say or _silent) as paid:
            if not paid.done:
                return UsedPattern(str(manifest.cid), pattern.kind, "", 0, paid.word)
            await self._used(manifest, source, again=paid.again)
            now, before = (0, paid.amount) if paid.again else (paid.amount, 0)
            return UsedPattern(str(manifest.cid), pattern.kind, output, now, paid_before=before)

    async def _used(self, manifest: Manifest, source: str, *, again: bool = False) -> None:
        await self._keeper.keep(manifest, source)
        if not again:
            await self._keeper.used(manifest.cid)

    def _is_free(self, pattern: Pattern) -> bool:
        """So its creator says, or we made it."""
        return not pattern.price or self._keeper.is_mine(pattern.creator)

    def _buyer(self, pattern: Pattern) -> Buyer:
        why = "near.registry is not set" if self.trade is None else self.trade.buyer.unable()
        if self.trade is None or why:
            raise PaymentNeeded(
                f"this pattern costs {near(pattern.price)} NEAR a use, and cannot be paid for here: {why}"
            )
        return self.trade.buyer

    async def rate(self, cid: str, *, success: bool, stars: int | None = None) -> PatternOutcomes:
        """Note how it went, which ranks what is found, among the person's devices. ``stars`` are 1 to 5; 1 if it did not go well.

        A use that was paid for is rated on chain, too, in public, by the account that paid; without stars as the best or the worst.

        Raises `CidRefused`, `BlockMissing` for what is not in the library, `ValueRefused`, and what writing raises;
        `PaymentNeeded` if all uses that were paid for are rated, `KeyFileError`, `NearRefused`.
        """
        named = texts.cid(cid)
        known = self._info(named)
        if stars is not None and not 1 <= stars <= MAX_STARS:
            raise ValueRefused(f"a rating has 1 to {MAX_STARS} stars")
        if not success and (stars or WORST) > WORST:
            raise ValueRefused("a use that did not go well has one star: leave the stars out, or say that it went well")
        rated = None
        if known.price and not known.mine and self.trade is not None:
            manifest = await self._keeper.load(named)
            rated = await self.trade.rater.rate(manifest, success=success, stars=stars)
        if rated is None:
            await self._keeper.rate(named, success=success, stars=stars)
        else:
            version = self._version([Cid.parse(one) for one in rated.cids], rated.since)
            await self._keeper.rate(version, success=success, stars=stars, since=rated.since)
        count = self._keeper.outcomes(named)
        return PatternOutcomes(count.uses, count.successes, count.failures, "" if rated is None else rated.word)

    def _version(self, versions: Sequence[Cid], since: int | None) -> Cid:
        """Of which a rated use was: one that was rated since then, or one with a use of which nobody has said how it went."""
        for cid in versions:
            if since is not None and self._keeper.was_rated(cid, since):
                return cid
        for cid in versions:
            known = self._keeper.outcomes(cid)
            if known.uses > known.successes + known.failures:
                return cid
        return versions[0]

    async def keep(self, cid: str, *, progress: Tell | None = None) -> PatternInfo:
        """Keep a pattern, on all devices; fetched if it is not here. Raises as `get` does."""
        manifest, source = await self._bring(cid, progress)
        await self._keeper.keep(manifest, source)
        return self._info(manifest.cid)

    async def forget(self, cid: str) -> None:
        """Keep a pattern no more, on any device, if it was kept; what is public stays so."""
        await self._keeper.forget(texts.cid(cid))

    async def block(self, creator: str) -> None:
        """Take nothing more of a creator (a key in hex), on any device; what is kept stays. Raises `ValueRefused`."""
        key = texts.key(creator)
        if self._keeper.is_mine(key):
            raise ValueRefused("this is your own creator key")
        await self._keeper.block(key)

    async def unblock(self, creator: str) -> None:
        """Take `block` back."""
        await self._keeper.block(texts.key(creator), undo=True)

    def blocked(self) -> frozenset[str]:
        """The creators of whom nothing is taken."""
        return frozenset(key.hex() for key in self._keeper.blocked())

    # --- in and out ------------------------------------------------------------------------------------------------------

    async def export(
        self, cid: str, path: str | os.PathLike[str], form: Format, *, progress: Tell | None = None
    ) -> int:
        """Write a pattern to a file or (``skill``) folder that is not there yet; returns its bytes. Only a CAR keeps the signature.

        Raises as `get` does, and `PatternFileRefused`.
        """
        if form not in FORMATS:
            raise ValueRefused(f"the format is one of {', '.join(FORMATS)}")
        manifest, _ = await self._bring(cid, progress)
        path = Path(path)
        if form == "car":
            roots = [manifest.cid, *self._keeper.roots(manifest)]
            return await trio.to_thread.run_sync(write_car, self._keeper, path, roots)
        draft = Draft.of(manifest.pattern, await self._keeper.files(manifest) if form == "skill" else None)
        await trio.to_thread.run_sync(write_file, draft, form, path)
        return await trio.to_thread.run_sync(size_of, path)

    async def import_car(self, path: str | os.PathLike[str]) -> ImportedPattern:
        """Keep the pattern that is the first root of a CAR, with its signature; all of it or nothing. Of other roots, nothing is.

        Raises `CarRefused`, `PatternRefused`, `PatternFileRefused`, `CreatorBlocked`, `StoreFull`.
        """
        taken = await trio.to_thread.run_sync(read_car, self._keeper, Path(path))
        try:
            await self._keeper.keep(await self._keeper.load(taken.pattern), "car")
        finally:
            await self._keeper.settle()  # what is pinned, and not kept in the end
        return ImportedPattern(self._info(taken.pattern), taken.others)


# --- for whoever does not look on ----------------------------------------------------------------------------------------------


def _nobody(here: int, total: int) -> None:
    """Nobody looks on."""


def _silent(said: str) -> None:
    """Nobody listens."""
