"""From what was released to what is public: a person confirms each text once, and it goes out when it is due.

What is published is made of the stored row alone, and that has to be what the decision's note in the audit log stands for: nothing
else can claim a promise of privacy.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from mycelnode.collective.answers import PublishedPattern
from mycelnode.collective.api import Patterns
from mycelnode.errors import EncodingError, MycelError, PatternRefused, ValueRefused
from mycelnode.identity import verify
from mycelnode.mesh import Mesh
from mycelnode.patterns.files import Draft
from mycelnode.patterns.files.texts import write_markdown
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
    """A released habit as it would be public: its row, the whole text, what is said about privacy, and whether it is about health,
    sex, religion, politics, money, law or crime."""

    row: Released
    text: str
    privacy: Privacy
    sensitive: bool


class Confirming:
    """What is done with what was released. ``patterns``: where patterns are made public."""

    def __init__(self, mesh: Mesh, patterns: Callable[[], Patterns]) -> None:
        self._mesh, self._patterns = mesh, patterns

    async def offered(self, name: str, price: int = 0) -> Offered:
        """All that would be public of what is called so. Raises `ReleaseUnknown`, `BudgetBroken`, `ValueRefused`."""
        if price not in MENU:
            raise ValueRefused(
                f"the price of what was released is one of {', '.join(PRICES)} NEAR: another would tell you from others"
            )
        row = await self._mesh.database.scan(lambda connection: self._checked(connection, name))
        draft, privacy = _draft(row, price)
        return Offered(row, write_markdown(draft), privacy, _key(row).sensitive)

    async def confirm(self, name: str, price: int = 0, *, register: bool = False) -> PublishedPattern | Released:
        """A person has seen all of it, and says that it may be public: it is, or will be when it is due. On disk when this returns.

        Raises as `offered` and `Patterns.publish` do.
        """
        seen = await self.offered(name, price)
        if seen.row.cid is not None and seen.row.price != price:
            raise ValueRefused("that is public already; `mycelnode pattern price` asks another price")
        now = self._mesh.clock.wall()
        confirm = partial(released.confirm, name=seen.row.id, price=price, now=now, register=register)
        await self._mesh.database.write(confirm)
        row = await self._mesh.database.scan(lambda connection: released.find(connection, seen.row.id))
        if row.due > now and row.cid is None:
            return row
        return await self._publish(row)

    async def publish_due(self) -> list[PublishedPattern]:
        """Make public what is confirmed and due, with nobody at hand: what is sensitive waits for the person.

        What cannot be made public now stays, and holds up nothing else.
        """
        now = self._mesh.clock.wall()
        rows = await self._mesh.database.scan(lambda connection: released.waiting(connection, now))
        done = []
        for row in rows:
            try:
                if _key(row).sensitive:
                    continue
                await self._mesh.database.scan(partial(self._checked, name=row.id))
                done.append(await self._publish(row))
            except MycelError as error:
                _log.warning("something that was confirmed could not be made public: %s", error)
        return done

    async def _publish(self, row: Released) -> PublishedPattern:
        draft, privacy = _draft(row, row.price)
        made = await self._patterns()._publish_released(draft, privacy, register=row.register)
        await self._mesh.database.write(lambda connection: released.published(connection, row.id, made.cid))
        return made

    def _checked(self, connection: sqlite3.Connection, name: str) -> Released:
        """What is called so, if all of its window is what was decided."""
        row = released.find(connection, name)
        budget.sound(connection, row.window, self._mesh.root, verify)
        return row


def _key(row: Released) -> Key:
    """What was released, maybe by an earlier version. Raises `PatternRefused` if this one has no words for it."""
    try:
        return Key.stored(row.key)
    except EncodingError as error:
        raise PatternRefused("it was released by another version, whose words this one does not have") from error


def _draft(row: Released, price: int) -> tuple[Draft, Privacy]:
    said = {**offer(_key(row), row.n), "price": str(price)}
    return Draft.read(said), Privacy.read(statement(row.choice, row.version))
