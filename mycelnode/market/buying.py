"""A use of a priced pattern is bought: the right pattern, of the right creator, within the limits, once a request; then rated.

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
from mycelnode.chain.registry import Quote, Receipt, Registered
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
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.manifest import Manifest
from mycelnode.protocols.payment_journal import Entry, State

USE: Final = "use_pattern"
WAIT_SECONDS: Final = 60.0  # for a payment to be final, before it is said that it goes on by itself
RATING_SECONDS: Final = 10.0  # the same of a rating
MAYBE_PAID: Final = frozenset((State.DONE, State.UNKNOWN))  # the chain tells of which it was
BEST, WORST = 5, 1  # stars of a use that went well, and of one that did not, where nobody gave any

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
    """How a use stands. ``amount``: yoctoNEAR paid for it. ``again``: the same request had it before."""

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
            raise await self._refused(
                cid,
                f"{manifest.near}, whom it names, has not registered it at {registry.contract}, or has put another in its place",
            )
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
                entry = await self._chain.payments.wait(entry.intent.id, WAIT_SECONDS)
            if entry.state in (State.FAILED, State.CANCELLED):
                raise NearRefused(entry.word)
            done = entry.ended
            yield Paid(entry.intent.deposit if done else 0, done, use.served, entry.word)
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

    # --- rating ------------------------------------------------------------------------------------------------------------------

    async def rate(self, manifest: Manifest, *, success: bool, stars: int | None) -> Entry | None:
        """Have a use rated on chain, by the account that paid for it; None: none was paid for, so there is nothing to rate there.

        What is known here is enough while no server answers. Raises `PaymentNeeded` if each paid use is rated already, and
        `KeyFileError` if the key of the account that paid is not here any more.
        """
        chain, cid = self._chain, str(manifest.cid)
        if not chain.get("near.registry"):
            return None
        here = (chain.known, chain.registry.contract)
        entries = [line.entry for line in chain.journal.about(cid)]
        lines = [one for one in entries if (one.intent.network, one.intent.receiver) == here]
        bought = [entry for entry in lines if entry.intent.method == USE and entry.state in MAYBE_PAID]
        rated = [entry for entry in lines if entry.intent.method == "rate_pattern"]
        if any(not entry.ended for entry in rated):
            raise await self._unrated(cid, "a rating of it is under way, and goes first")
        number = await self._number(manifest, bought)
        if number is None:
            return None
        payers = dict.fromkeys(entry.intent.account for entry in bought)
        if not self.unable():
            payers[chain.spender] = None  # which may have paid by another device, or before this folder was made
        found = {account: await self._receipt(number, account, bought, rated) for account in payers}
        payer = next((account for account, receipt in found.items() if receipt.rated < receipt.uses), None)
        if payer is None:
            used = [account for account, receipt in found.items() if receipt.uses]
            if not used or await self._is_free_by_now(number):
                return None
            raise await self._unrated(
                cid, f"each use that {' or '.join(used)} has paid for can be rated once, and none is left"
            )
        intent = (await chain.actions(payer)).rate(
            number, found[payer], success=success, rating=stars or (BEST if success else WORST)
        )
        entry = await chain.want(intent, about=cid)
        try:
            entry = await chain.payments.wait(entry.intent.id, RATING_SECONDS)
        except OutcomeUnknown:  # by now it may be signed, or sent
            entry = chain.payments.entry(entry.intent.id) or entry
        if entry.ended and entry.state is not State.DONE:
            raise NearRefused(entry.word)
        return entry

    async def _number(self, manifest: Manifest, bought: Sequence[Entry]) -> int | None:
        """Under which the registry has a pattern: that of the payments, or what a server says."""
        if bought:
            return int(json.loads(bought[0].intent.args)["id"])
        if manifest.near is None:
            return None
        try:
            found = await self._chain.registry.pattern_by_hash(manifest.near, manifest.cid.digest.hex())
        except NearUnreachable:  # nobody here has paid for it, as far as is known
            return None
        return None if found is None else found.id

    async def _receipt(self, number: int, account: str, bought: Sequence[Entry], rated: Sequence[Entry]) -> Receipt:
        """The uses of an account; while no server answers, those that this device knows to be done."""
        try:
            told = await self._chain.registry.receipt(number, account)
        except NearUnreachable:
            done = [
                sum((entry.intent.account, entry.state) == (account, State.DONE) for entry in entries)
                for entries in (bought, rated)
            ]
            return Receipt(done[0], done[1], None, None)
        return told or Receipt(0, 0, None, None)

    async def _is_free_by_now(self, number: int) -> bool:
        """Can its uses have been free since the last one that was paid for?"""
        try:
            pattern = await self._chain.registry.pattern(number)
        except NearUnreachable:
            return False
        return pattern is not None and not pattern.price

    async def _unrated(self, cid: str, why: str) -> PaymentNeeded:
        await self._chain.audit_refusal(cid, why)
        return PaymentNeeded(f"this pattern was not rated: {why}")


def _was_done(line: Line, quote: Quote) -> bool:
    """Was a payment carried out of which nobody remembers what became of it?"""
    return line.entry.state is State.UNKNOWN and quote.nth > int(json.loads(line.entry.intent.args)["nth"])
