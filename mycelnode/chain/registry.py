"""The registry contract, typed: what it can be asked, and the intents that change it. contracts/registry has its other half.

Whatever it answers is checked field by field; a contract that answers otherwise is none of ours (`ContractWrong`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mycelnode.chain.amounts import account_id
from mycelnode.chain.answers import MAX_U32, Answer
from mycelnode.chain.near import FINAL, NONE_OF_OURS, Near
from mycelnode.errors import CidRefused, ContractRefused, ContractWrong
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.payment_journal import json_args

MAX_LIMIT: Final = 50  # of a page
MAX_SCORE: Final = 1_000
MAX_DOMAIN_CHARS: Final = 32
CID_CHARS: Final = 100
MAX_BPS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Registered:
    """A pattern as the registry has it: price in yoctoNEAR, times in nanoseconds. ``score``: of its creator, if that was asked."""

    id: int
    creator: str
    hash: str
    cid: str
    domain: str
    price: int
    version: int
    registered_at: int
    updated_at: int
    retired_at: int | None
    uses: int
    ratings: int
    seq: int
    score: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What the next use costs an account: ``total`` is to be attached, ``nth`` the number of that use."""

    price: int
    fee: int
    storage: int
    total: int
    hash: str
    version: int
    nth: int
    paused: bool
    retired: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """The uses of a pattern by an account. Once it was dropped, only the counts are left."""

    uses: int
    rated: int
    hash: str | None
    paid: int | None


@dataclass(frozen=True, slots=True)
class Changes:
    """(number, pattern as it is now), and from where to ask on."""

    items: Sequence[tuple[int, Registered]]
    next_seq: int


@dataclass(frozen=True, slots=True)
class Info:
    """How the contract stands. ``instance`` is another one after it was made anew; ``pattern_total`` is what registering takes.

    ``pending_ratings`` and ``in_flight`` (yoctoNEAR): what it may take back yet, as it has not heard what became of it.
    """

    instance: int
    state_version: int
    seq: int
    owner: str
    reputation: str
    paused: bool
    fee_bps: int
    pattern_price: int
    deposit: int
    pending_ratings: int = 0
    in_flight: int = 0

    @property
    def pattern_total(self) -> int:
        """yoctoNEAR to be attached when a pattern is registered."""
        return self.pattern_price + self.deposit


class Registry:
    """One registry. ``at`` is a final block, by its hash. All raise what `Near.view` raises."""

    def __init__(self, near: Near, contract: str) -> None:
        self.near, self.contract = near, account_id(contract)

    async def quote(self, pattern: int, account: str, at: str = FINAL) -> Quote:
        """What the next use of a pattern costs."""
        told = Answer(await self._ask("quote", at, id=pattern, account=account), "quote")
        found = Quote(
            told.amount("price"),
            told.amount("fee"),
            told.amount("storage"),
            told.amount("total"),
            told.hash("hash"),
            told.number("version", MAX_U32),
            told.number("nth", MAX_U32),
            told.flag("paused"),
            told.flag("retired"),
        )
        if found.total != found.price + found.storage or found.fee > found.price or not found.nth:
            raise ContractWrong(f"{self.contract} quotes a price that does not add up")
        return found

    async def pattern(self, pattern: int, at: str = FINAL) -> Registered | None:
        """A pattern by its number."""
        return self._maybe(await self._ask("get_pattern", at, id=pattern), "get_pattern")

    async def pattern_by_hash(self, creator: str, digest: str, at: str = FINAL) -> Registered | None:
        """The pattern that a creator registered under a hash that it has now."""
        found = self._maybe(await self._ask("pattern_by_hash", at, creator=creator, hash=digest), "pattern_by_hash")
        if found is not None and (found.creator, found.hash) != (creator, digest):
            raise ContractWrong(f"{self.contract} answers with another pattern than it was asked for")
        return found

    async def patterns_by_creator(self, creator: str, from_index: int, limit: int = MAX_LIMIT) -> list[Registered]:
        """A page of the patterns of a creator, the oldest first."""
        asked = {"creator": creator, "from_index": from_index, "limit": limit}
        return self._page(await self._ask("patterns_by_creator", FINAL, **asked), "patterns_by_creator", limit)

    async def find(
        self, domain: str, min_reputation: int = 0, from_index: int = 0, limit: int = MAX_LIMIT
    ) -> list[Registered]:
        """A page of a domain, with the scores of the creators.

        The contract looks at a thousand creators, and does not say so: a page that is not full need not be the last.
        """
        asked = {"domain": domain, "min_reputation": min_reputation, "from_index": from_index, "limit": limit}
        return self._page(await self._ask("find_patterns", FINAL, **asked), "find_patterns", limit, scored=True)

    async def changes(self, from_seq: int, limit: int = MAX_LIMIT, at: str = FINAL) -> Changes:
        """The patterns that changed from a number on."""
        told = Answer(await self._ask("changes", at, from_seq=from_seq, limit=limit), "changes")
        next_seq, items = told.number("next_seq", MAX_U32), []
        last = from_seq - 1
        for item in told.items("items", limit):
            change = Answer(item, "changes")
            seq, pattern = change.number("seq", MAX_U32), _registered(change.any("pattern"), "changes")
            if not last < seq < next_seq or pattern.seq != seq:
                raise ContractWrong(f"{self.contract} tells its changes out of order")
            items.append((seq, pattern))
            last = seq
        return Changes(items, next_seq)

    async def receipt(self, pattern: int, account: str, at: str = FINAL) -> Receipt | None:
        """The uses of a pattern by an account, which everybody can see."""
        value = await self._ask("receipt", at, id=pattern, account=account)
        if value is None:
            return None
        told = Answer(value, "receipt")
        uses = told.number("uses", MAX_U32)
        return Receipt(uses, told.number("rated", uses), told.maybe("hash", told.hash), told.maybe("paid", told.amount))

    async def claimable(self, account: str) -> int:
        """yoctoNEAR that could not be paid out to an account, and wait for it."""
        return Answer({"amount": await self._ask("claimable", FINAL, account=account)}, "claimable").amount("amount")

    async def info(self, at: str = FINAL) -> Info:
        """How the contract stands."""
        told = Answer(await self._ask("info", at), "info")
        prices = told.inside("prices")
        return Info(
            told.nanoseconds("instance"),
            told.number("state_version", 1 << 16),
            told.number("seq", MAX_U32),
            told.account("owner"),
            told.account("reputation"),
            told.flag("paused"),
            told.number("fee_bps", MAX_BPS),
            prices.amount("pattern"),
            prices.amount("deposit"),
            told.number("pending_ratings", MAX_U32),
            told.inside("ledger").amount("in_flight"),
        )

    async def _ask(self, method: str, at: str, **named: Any) -> Any:
        try:
            return (await self.near.view(self.contract, method, json_args(**named), at)).value
        except ContractRefused as error:
            if error.kind not in NONE_OF_OURS:
                raise
            raise ContractRefused(f"{error}; set near.registry to the account of a registry", error.kind) from None

    def _maybe(self, value: Any, what: str) -> Registered | None:
        return None if value is None else _registered(value, what)

    def _page(self, value: Any, what: str, limit: int, *, scored: bool = False) -> list[Registered]:
        return [_registered(item, what, scored=scored) for item in Answer({"page": value}, what).items("page", limit)]


def _registered(value: Any, what: str, *, scored: bool = False) -> Registered:
    told = Answer(value, what)
    digest, cid = told.hash("pattern_hash"), told.text("metadata_cid", CID_CHARS)
    try:
        named = Cid.parse(cid).digest.hex()
    except CidRefused:
        named = ""
    if named != digest:
        raise told.error("the CID whose digest is pattern_hash", "metadata_cid")
    return Registered(
        told.number("id"),
        told.account("creator"),
        digest,
        cid,
        told.text("domain", MAX_DOMAIN_CHARS),
        told.amount("price_per_use"),
        told.number("version", MAX_U32),
        told.nanoseconds("registered_at"),
        told.nanoseconds("updated_at"),
        told.maybe("retired_at", told.nanoseconds),
        told.number("uses"),
        told.number("ratings"),
        told.number("seq", MAX_U32),
        told.number("score", MAX_SCORE) if scored else None,
    )
