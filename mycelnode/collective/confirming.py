"""From what was released to what is public: a person confirms each text once, and it goes out when it is due.

What is published is made of the stored row alone, and that has to be what the decision's note in the audit log stands for: nothing
else can claim a promise of privacy.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
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
from mycelnode.patterns.files import Draft
from mycelnode.patterns.manifest import Privacy
from mycelnode.privacy import budget, released
from mycelnode.privacy.key import Key
from mycelnode.privacy.offer import PRICES, offer, statement
from mycelnode.privacy.released import Released

YOCTO = 10**24
_log = logging.getLogger(__name__)
MENU = frozenset(int(Decimal(price) * YOCTO) for price in PRICES)


@dataclass(frozen=True, slots=True)
class Offered:
    """A released habit as it would be public: its row, what there is to see, and what is said about privacy.

    ``sensitive``: it is about health, sex, religion, politics, money, law or crime. ``unlinked``: a key that signs nothing else
    signs it.
    """

    row: Released
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
        """All that would be public of what is called so. Raises `ReleaseUnknown`, `BudgetBroken`, `ValueRefused`.

        With ``register`` also what that would say on chain, and takes; it raises what `Patterns.publish` would. ``unlinked``:
        signed with a key that signs nothing else, and is thrown away then; what was confirmed so stays so.
        """
        if price not in MENU:
            raise ValueRefused(
                f"the price of what was released is one of {', '.join(PRICES)} NEAR: another would tell you from others"
            )
        row = await self._settled(await self._mesh.database.scan(lambda connection: self._checked(connection, name)))
        unlinked = unlinked or row.unlinked is not None
        if unlinked and (price or register):
            raise ValueRefused("what is unlinked is free, and in no registry: an account that is paid would link it")
        draft, privacy = await self._draft(row, price)
        preview = await self._previewed(draft, privacy, register=register, unlinked=unlinked)
        return Offered(row, preview, privacy, _key(row).sensitive, unlinked)

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
        offered = await self.offered(name, price, unlinked=unlinked)
        seen, now = offered.preview.digest, self._mesh.clock.wall()
        if offered.row.cid is not None and offered.row.price != price:
            raise ValueRefused("that is public already; `mycelnode pattern price` asks another price")
        if digest is not None and digest != seen:
            raise PatternRefused(
                "what would be public, or the account that it names, has changed since it was shown; nothing was made public:"
                " look again"
            )
        confirm = partial(released.confirm, name=offered.row.id, seen=bytes.fromhex(seen), price=price, now=now)
        await self._mesh.database.write(partial(confirm, register=register, deposit=deposit, unlinked=unlinked))
        row = await self._mesh.database.scan(lambda connection: released.find(connection, offered.row.id))
        if row.due > now and row.cid is None:
            return row
        return await self._publish(row, register=register, deposit=deposit)

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
                offered = await self.offered(row.id, row.price)
                if row.seen is None or row.seen.hex() != offered.preview.digest:
                    await self._mesh.database.write(partial(released.unconfirm, name=row.id))
                    continue
                done.append(await self._publish(row, register=row.register, deposit=row.deposit))
            except MycelError as error:
                _log.warning("something that was confirmed could not be made public: %s", error)
        return done

    async def _publish(self, row: Released, *, register: bool, deposit: int | None) -> PublishedPattern:
        draft, privacy = await self._draft(row, row.price)
        if row.cid is not None and row.unlinked is not None:  # the key that it was signed with is gone
            return PublishedPattern(row.cid, 1, privacy.mechanism, "that is public already")
        signer, plan = _signer(row), None
        if register:
            made = await self._keeper.find(draft, privacy=privacy, signer=signer)
            plan = await self._patterns()._chain().registrar.plan(draft.said, deposit, made)
        # It says no time of its own.
        made = await self._keeper.make(draft, public=True, privacy=privacy, created=0, signer=signer)
        answer = await self._patterns()._published(made, plan)
        await self._mesh.database.write(lambda connection: released.published(connection, row.id, answer.cid))
        return answer

    async def _previewed(self, draft: Draft, privacy: Privacy, *, register: bool, unlinked: bool) -> PatternPreview:
        """As `Patterns.preview`, but ``digest`` is of what it says, promises and names, whichever key will sign it."""
        seen = self._patterns()._preview(draft, False, register)
        seen = replace(seen, creator=None, formers=(), near=None) if unlinked else seen
        digest = blake2b(dagcbor.encode([draft.said, privacy.write(), seen.near, unlinked])).hex()
        plan = await self._patterns()._registering(draft, privacy=privacy) if register else None
        return replace(seen, digest=digest, registering=plan)

    @property
    def _keeper(self) -> Keeper:
        return self._patterns()._keeper

    def _checked(self, connection: sqlite3.Connection, name: str) -> Released:
        """What is called so, if all of its window is what was decided, by the ε, δ and keys that its rows name."""
        row = released.find(connection, name)
        budget.sound(connection, row.window, self._mesh.root, verify)
        return row

    async def _settled(self, row: Released) -> Released:
        """The row, with its CID if it was made public and the program was ended before that was noted: at another price, or in
        other words, it would be made public twice."""
        if row.confirmed is None or row.cid is not None:
            return row
        draft, privacy = await self._draft(row, row.price)
        made = await self._keeper.find(draft, privacy=privacy, signer=_signer(row))
        if made is None:
            return row
        await self._mesh.database.write(lambda connection: released.published(connection, row.id, str(made.cid)))
        return replace(row, cid=str(made.cid))

    async def _draft(self, row: Released, price: int) -> tuple[Draft, Privacy]:
        """What is public of it by now; else what it gives, at a price."""
        if row.cid is not None:
            with suppress(BlockMissing):
                made = await self._keeper.load(texts.cid(row.cid))
                return Draft.of(made.pattern), made.privacy
        return drafted(row, price)


def drafted(row: Released, price: int) -> tuple[Draft, Privacy]:
    """What a stored row gives, at a price in yoctoNEAR. Raises `PatternRefused` if this version has no words for it."""
    said = {**offer(_key(row), row.n), "price": str(price)}
    return Draft.read(said), Privacy.read(statement(row.choice, row.version))


def _signer(row: Released) -> Creator | None:
    """The key that signs this alone, if it is to be linked with nothing else. Raises `PatternRefused` if it is gone."""
    if row.unlinked == b"":
        raise PatternRefused("it was signed with a key of its own, which is gone: nothing else may sign it")
    return None if row.unlinked is None else Creator(row.unlinked)


def _key(row: Released) -> Key:
    """What was released, maybe by an earlier version. Raises `PatternRefused` if this one has no words for it."""
    try:
        return Key.stored(row.key)
    except EncodingError as error:
        raise PatternRefused("it was released by another version, whose words this one does not have") from error
