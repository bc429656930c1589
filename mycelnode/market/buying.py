"""A use of a priced pattern is bought: the right pattern, of the right creator, within the limits, once a request.

The order is quote, check, ask, pay, and only then is the pattern used; docs/chain.md says what each step is for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

import trio

from mycelnode.chain.amounts import format_near
from mycelnode.chain.gas import MARGIN, USE_BURNS, gas_of, paid_in_advance
from mycelnode.chain.journal import AGAIN, Line
from mycelnode.chain.registry import Quote, Registered
from mycelnode.chain.service import Chain
from mycelnode.chain.uses import Use, Uses
from mycelnode.errors import (
    ContractRefused,
    NearRefused,
    NearRpcWrong,
    NearUnreachable,
    OutcomeUnknown,
    PaymentNeeded,
    SpendingRefused,
)
from mycelnode.market.successors import successor
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.manifest import Manifest
from mycelnode.protocols.payment_journal import Entry, State

USE: Final = "use_pattern"
WAIT_SECONDS: Final = 60.0  # for a payment to be final, before it is said that it goes on by itself

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Offer:
    """What the next use costs, and what the person is to be asked before it is paid for.

    ``gas_price``: yoctoNEAR a gas, as it is burnt now.
    """

    pattern: Registered
    quote: Quote
    questions: list[str]
    gas_price: int

    @property
    def total(self) -> int:
        """yoctoNEAR to be paid; what is free is not called on chain."""
        return self.quote.total if self.quote.price else 0

    @property
    def gas_in_advance(self) -> int:
        """yoctoNEAR that have to be there for gas besides, most of which come back."""
        return paid_in_advance(gas_of(USE) + MARGIN, self.gas_price) if self.total else 0

    @property
    def gas_burnt(self) -> int:
        """yoctoNEAR of them that are expected not to come back."""
        return USE_BURNS * self.gas_price if self.total else 0


@dataclass(frozen=True, slots=True)
class Paid:
    """How a use stands. ``amount``: yoctoNEAR paid for it. ``again``: the same request had it before. ``word``: why not yet."""

    amount: int = 0
    done: bool = True
    again: bool = False
    word: str = ""


class Buyer:
    """Buys for this device. Every refusal is a sentence, and an event of the audit."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._uses = Uses(chain.mesh.database, chain.mesh.clock)
        self._locks = WeakValueDictionary[Cid, trio.Lock]()  # one payment is never taken for two requests

    # --- before ------------------------------------------------------------------------------------------------------------------

    def unable(self) -> str:
        """Why nothing can be paid here; nothing if it can."""
        get = self._chain.get
        if not get("near.registry"):
            return "near.registry is not set"
        return "" if get("near.spender") or get("near.account") else "neither near.spender nor near.account is set"

    async def offer(self, manifest: Manifest, request: str | None, max_price: int | None) -> Offer | None:
        """What the next use costs; None: that is paid already, or being paid, for a request that was interrupted.

        ``max_price``: yoctoNEAR to be paid at most, of which the person is not asked.

        Raises `PaymentNeeded` for what must not be bought, and what asking raises.
        """
        line = self._line(self._uses.find(str(manifest.cid), request, self._chain.known))
        if line is not None and line.entry.state not in AGAIN:
            return None
        return await self._offer(manifest, max_price)

    async def _offer(self, manifest: Manifest, max_price: int | None) -> Offer:
        try:
            return await self._quoted(manifest, priced=max_price is not None)
        except ContractRefused as error:
            raise await self._refused(str(manifest.cid), str(error)) from None
        except (NearUnreachable, NearRpcWrong) as error:
            raise type(error)(f"{error}; nothing was spent") from None

    async def _quoted(self, manifest: Manifest, *, priced: bool) -> Offer:
        chain, cid, digest = self._chain, str(manifest.cid), manifest.cid.digest.hex()
        if manifest.near is None:
            raise await self._refused(cid, "it names no NEAR account, so nobody can be paid for it")
        if manifest.near == chain.spender:
            raise await self._refused(cid, f"{chain.spender} sells it, and cannot pay itself")
        registry = chain.registry
        found = await registry.pattern_by_hash(manifest.near, digest)
        pattern = None if found is None else await registry.pattern(found.id)
        if pattern is None or (pattern.creator, pattern.hash) != (manifest.near, digest):
            later = await successor(chain, manifest.near, manifest.cid)
            why = f"{manifest.near}, whom it names, has not registered it at {registry.contract}, or has put another in its place"
            if later is not None:
                why = f"{manifest.near} has put {later.cid} in its place"
            raise await self._refused(cid, why)
        quote = await registry.quote(pattern.id, chain.spender)
        if quote.paused:
            raise await self._refused(cid, f"{registry.contract} is paused")
        if quote.retired:
            raise await self._refused(cid, f"{manifest.near} has retired it")
        if quote.hash != digest:
            raise await self._refused(cid, f"{manifest.near} has just put another in its place")
        gas_price = (await chain.near.block()).gas_price
        return Offer(pattern, quote, self._questions(manifest, pattern, quote, priced), gas_price)

    def _questions(self, manifest: Manifest, pattern: Registered, quote: Quote, priced: bool) -> list[str]:
        asked = self._chain.questions(pattern, quote, priced=priced) if quote.price else []
        said = manifest.pattern.price
        if quote.price > said and not priced:
            asked.insert(
                0, f"it costs {format_near(quote.price)} by now, and not {format_near(said)} as it says itself"
            )
        return asked

    # --- paying ------------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def use(
        self, manifest: Manifest, max_price: int | None, *, yes: bool, request: str | None, wait: bool, say: Say
    ) -> AsyncIterator[Paid]:
        """Have a use paid for; left without an error, whoever asked has had it, and the next request pays anew.

        ``max_price``: yoctoNEAR to be paid at most, of which the person is not asked; ``yes``: to all questions; ``request``: its
        name.

        Raises `PaymentNeeded`, `SpendingRefused`, `NearRefused` if it failed, and `OutcomeUnknown` while that is not known: then
        the same request again goes on with it.
        """
        cid = str(manifest.cid)
        async with self._locks.setdefault(manifest.cid, trio.Lock()):
            use = self._uses.find(cid, request, self._chain.known)
            line = self._line(use)
            if line is None or line.entry.state in AGAIN:
                offer = await self._offer(manifest, max_price)
                if not offer.total:
                    yield Paid()
                    return
                if line is None or not _was_done(line, offer.quote):
                    use = await self._buy(cid, offer, max_price, [] if yes else offer.questions, request)
                    line = self._line(use)
            assert use is not None, "it has begun"
            assert line is not None, "it is in the journal"
            entry = line.entry
            if not entry.ended and wait:
                say(f"paying {format_near(entry.intent.deposit)} on {self._chain.network}; waiting until that is final")
                try:
                    entry = await self._chain.payments.wait(entry.intent.id, WAIT_SECONDS)
                except OutcomeUnknown:
                    raise OutcomeUnknown(_doubt(self._chain.payments.entry(entry.intent.id) or entry)) from None
            if entry.state in (State.FAILED, State.CANCELLED):
                raise NearRefused(entry.word)
            done = entry.ended
            yield Paid(entry.intent.deposit if done else 0, done, use.served, "" if done else _doubt(entry))
            if done:
                await self._uses.serve(use)

    async def _buy(
        self, cid: str, offer: Offer, max_price: int | None, unasked: Sequence[str], request: str | None
    ) -> Use | None:
        pattern, quote = offer.pattern, offer.quote
        if max_price is not None and offer.total > max_price:
            why = f"it costs {format_near(offer.total)}, and at most {format_near(max_price)} were to be paid"
            raise await self._refused(cid, why, SpendingRefused)

        async def begin(payment: str) -> None:
            known = self._chain.journal.last(payment)
            if known is not None and not known.entry.ended:
                raise NearRefused(f"another use of this pattern is being paid for, and goes first: {known.entry.word}")
            if known is not None and known.entry.state is State.DONE:
                raise NearRefused(
                    "the server that was asked does not know of the last use yet; ask again, nothing was spent"
                )
            await self._uses.begin(cid, request, payment)  # whatever happens from then on, it is paid once

        await self._chain.buy(pattern, quote, begin=begin, unasked=unasked)
        return self._uses.find(cid, request, self._chain.known)

    def _line(self, use: Use | None) -> Line | None:
        return None if use is None else self._chain.journal.last(use.payment)

    async def _refused(
        self, cid: str, why: str, kind: type[PaymentNeeded | SpendingRefused] = PaymentNeeded
    ) -> Exception:
        await self._chain.audit_refusal(cid, why)
        return kind(f"this pattern was not bought: {why}; nothing was spent")


def _doubt(entry: Entry) -> str:
    """A sentence on a use that is not known to be paid, and what leads on."""
    if entry.state is State.WAITING:
        how = f"this use is not paid yet: it {entry.word}"
    elif entry.spent_at is not None:
        how = f"the payment for this use {entry.word}"
    else:
        how = f"whether this use was paid is {entry.word}"
    said = f" ({entry.said})" if entry.said and entry.said not in entry.word else ""
    return f"{how}{said}; the same command goes on with it"


def _was_done(line: Line, quote: Quote) -> bool:
    """Was a payment carried out of which nobody remembers what became of it?"""
    return line.entry.state is State.UNKNOWN and quote.nth > int(json.loads(line.entry.intent.args)["nth"])
