"""From what was released to what is public: a person confirms each text once, and it goes out when it is due.

What is published is made of the stored row alone, and that has to be what the decision's note in the audit log stands for: nothing
else can claim a promise of privacy.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

import trio

from mycelnode.collective import texts
from mycelnode.collective.answers import PatternPreview, PublishedPattern
from mycelnode.collective.api import Patterns
from mycelnode.creator import Creator
from mycelnode.encoding import blake2b
from mycelnode.errors import BlockMissing, EncodingError, MycelError, PatternRefused, ValueRefused
from mycelnode.identity import verify
from mycelnode.keeping.keeper import Keeper
from mycelnode.mesh import Mesh
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import Draft
from mycelnode.patterns.files.texts import write_markdown
from mycelnode.patterns.manifest import Manifest, Privacy
from mycelnode.privacy import budget, released
from mycelnode.privacy.key import Key
from mycelnode.privacy.offer import PRICES, offer, statement
from mycelnode.privacy.released import Released

YOCTO = 10**24
_log = logging.getLogger(__name__)
MENU = frozenset(int(Decimal(price) * YOCTO) for price in PRICES)


@dataclass(frozen=True, slots=True)
class Offered:
    """A released habit as it would be public, or is: its row, its pattern, what there is to see, and what is said about privacy.

    ``sensitive``: it is about health, sex, religion, politics, money, law or crime. ``unlinked``: a key that signs nothing else
    signs it.
    """

    row: Released
    draft: Draft
    preview: PatternPreview
    privacy: Privacy
    sensitive: bool
    unlinked: bool


class Confirming:
    """What is done with what was released. ``patterns``: where patterns are made public."""

    def __init__(self, mesh: Mesh, patterns: Callable[[], Patterns]) -> None:
        self._mesh, self._patterns = mesh, patterns
        self._publishing = trio.Lock()  # one at a time: each looks at a row, publishes, and notes what became of it

    async def released(self) -> list[Released]:
        """All that was released by this device, by their ids: an order that says nothing. Raises `BudgetBroken`."""

        def look(connection: sqlite3.Connection) -> list[Released]:
            rows = list(released.every(connection))
            for window in sorted({row.window for row in rows}):
                budget.sound(connection, window, self._mesh.root, verify)
            return rows

        return await self._mesh.database.scan(look)

    async def offered(self, name: str, price: int = 0, *, register: bool = False, unlinked: bool = False) -> Offered:
        """All that would be public of what is called so, or is. Raises `ReleaseUnknown`, `BudgetBroken`, `ValueRefused`.

        With ``register`` also what that would say on chain, and takes; it raises what `Patterns.publish` would. ``unlinked``:
        signed with a key that signs nothing else, and is thrown away then; what was confirmed so stays so.
        """
        seen, made = await self._look(name, price, register=register, unlinked=unlinked)
        if not register:
            return seen
        plan = await self._patterns()._registering(seen.draft, made)
        return replace(seen, preview=replace(seen.preview, registering=plan))

    async def _look(self, name: str, price: int, *, register: bool, unlinked: bool) -> tuple[Offered, Manifest | None]:
        """The same without asking a chain; and the pattern, if it was made."""
        if price not in MENU:
            raise ValueRefused(
                f"the price of what was released is one of {', '.join(PRICES)} NEAR: another would tell you from others"
            )
        row = await self._mesh.database.scan(lambda connection: self._checked(connection, name))
        if row.cid is not None and unlinked and row.unlinked is None:
            raise ValueRefused("that is public already, signed with your creator key")
        unlinked = unlinked or row.unlinked is not None
        if unlinked and (price or register):
            raise ValueRefused("what is unlinked is free, and in no registry: an account that is paid would link it")
        made = None if row.cid is None else await self._public(row.cid)
        draft, privacy = drafted(row, price) if made is None else (Draft.of(made.pattern), made.privacy)
        if made is None and not unlinked:  # the same may have been released, and published, before
            made = await self._keeper.find(draft, privacy=privacy)
        preview = self._preview(row, draft, privacy, made, register=register, unlinked=unlinked)
        return Offered(row, draft, preview, privacy, _key(row).sensitive, unlinked), made

    async def confirm(
        self,
        name: str,
        price: int = 0,
        *,
        digest: str | None = None,
        register: bool = False,
        deposit: int | None = None,
        unlinked: bool = False,
    ) -> PublishedPattern | Released:
        """A person has seen all of it, and says that it may be public: it is, or will be when it is due. On disk when this returns.

        With ``digest`` (of a preview) only what was shown; ``deposit``: the most that registering may take, in yoctoNEAR. Raises as
        `offered` and `Patterns.publish` do.
        """
        async with self._publishing:
            return await self._confirm(name, price, digest, register=register, deposit=deposit, unlinked=unlinked)

    async def _confirm(
        self, name: str, price: int, digest: str | None, *, register: bool, deposit: int | None, unlinked: bool
    ) -> PublishedPattern | Released:
        offered, _ = await self._look(name, price, register=register, unlinked=unlinked)
        seen, now = offered.preview.digest, self._mesh.clock.wall()
        if offered.row.cid is not None and offered.row.price != price:
            raise ValueRefused("that is public already; `mycelnode pattern price` asks another price")
        if digest is not None and digest != seen:
            raise PatternRefused(
                "what would be public, or the account or registry that it names, has changed since it was shown; nothing was made"
                " public: look again"
            )
        confirm = partial(released.confirm, name=offered.row.id, seen=bytes.fromhex(seen), price=price, now=now)
        await self._mesh.database.write(partial(confirm, register=register, deposit=deposit, unlinked=offered.unlinked))
        row = await self._mesh.database.scan(lambda connection: released.find(connection, offered.row.id))
        return row if row.due > now and row.cid is None else await self._publish(row)

    async def publish_due(self) -> list[PublishedPattern]:
        """Make public what is confirmed and due, with nobody at hand: what is sensitive waits for the person.

        What cannot be made public now stays, and holds up nothing else. What would not read as the person saw it, as after an
        update or under another account, has to be confirmed anew.
        """
        async with self._publishing:
            return await self._publish_due(self._mesh.clock.wall())

    async def _publish_due(self, now: int) -> list[PublishedPattern]:
        rows = await self._mesh.database.scan(lambda connection: released.waiting(connection, now))
        done = []
        for row in rows:
            try:
                if _key(row).sensitive:
                    continue
                offered, _ = await self._look(row.id, row.price, register=row.register, unlinked=False)
                if row.seen is None or row.seen.hex() != offered.preview.digest:
                    await self._mesh.database.write(partial(released.unconfirm, name=row.id))
                    continue
                done.append(await self._publish(row))
            except MycelError as error:
                _log.warning("something that was confirmed could not be made public: %s", error)
        return done

    async def _publish(self, row: Released) -> PublishedPattern:
        """Make it public, if it is not; and register it, if that is wanted."""
        offered, made = await self._look(row.id, row.price, register=row.register, unlinked=False)
        plan = None
        if row.register:
            plan = await self._patterns()._chain().registrar.plan(offered.draft.said, row.deposit, made)
        if row.cid is None:

            def note(connection: sqlite3.Connection, cid: Cid) -> None:
                released.published(connection, row.id, str(cid))

            # It says no time of its own. What is public is noted at once: else it could be made anew, in other words.
            signer = None if row.unlinked is None else Creator(row.unlinked)
            make = partial(self._keeper.make, offered.draft, privacy=offered.privacy, signer=signer, noting=note)
            made = await make(public=True, created=0)
            if signer is not None:
                await self._mesh.database.empty_log()  # the key is gone
        assert made is not None, "what is public is here"
        answer = await self._patterns()._published(made, plan)
        if plan is not None:
            await self._mesh.database.write(partial(released.registered, name=row.id))
            if not (answer.registered or answer.waiting):
                _log.warning("what was released was not registered: %s", answer.registration)
        return answer

    async def _public(self, cid: str) -> Manifest:
        try:
            return await self._keeper.load(texts.cid(cid))
        except BlockMissing as error:
            raise PatternRefused(f"that was made public as {cid}, and is not kept here any more") from error

    def _preview(
        self,
        row: Released,
        draft: Draft,
        privacy: Privacy,
        made: Manifest | None,
        *,
        register: bool,
        unlinked: bool,
    ) -> PatternPreview:
        """As that of `Patterns`, but ``digest`` is of what it says, promises and names, and of where it is registered, whichever
        key will sign it."""
        if row.cid is not None and made is not None:
            creator, near = made.pattern.creator.hex(), made.near
            formers = tuple(word.creator.hex() for word in made.succeeds)
        elif unlinked:
            creator, near, formers = None, None, ()
        else:
            standing = self._patterns()._preview(draft, False, False)
            creator, near, formers = standing.creator, standing.near, standing.formers
        settings = self._mesh.settings
        where = [settings.get("near.network"), settings.get("near.registry")] if register else None
        digest = blake2b(dagcbor.encode([draft.said, privacy.write(), near, unlinked, where])).hex()
        return PatternPreview(write_markdown(draft), {}, (), creator, formers, near, {}, digest)

    @property
    def _keeper(self) -> Keeper:
        return self._patterns()._keeper

    def _checked(self, connection: sqlite3.Connection, name: str) -> Released:
        """What is called so, if all of its window is what was decided, by the ε, δ and keys that its rows name."""
        row = released.find(connection, name)
        budget.sound(connection, row.window, self._mesh.root, verify)
        return row


def drafted(row: Released, price: int) -> tuple[Draft, Privacy]:
    """What a stored row gives, at a price in yoctoNEAR. Raises `PatternRefused` if this version has no words for it."""
    said = {**offer(_key(row), row.n), "price": str(price)}
    return Draft.read(said), Privacy.read(statement(row.choice, row.version))


def _key(row: Released) -> Key:
    """What was released, maybe by an earlier version. Raises `PatternRefused` if this one has no words for it."""
    try:
        return Key.stored(row.key)
    except EncodingError as error:
        raise PatternRefused("it was released by another version, whose words this one does not have") from error
