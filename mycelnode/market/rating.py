"""A use that was paid for is rated on chain, by the account that paid: once, whatever is known while no server answers.

The registry counts uses and ratings under the number of a pattern, whichever version has it; so does what is known here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio

from mycelnode.chain.journal import AGAIN, Line
from mycelnode.chain.registry import Receipt
from mycelnode.chain.rpc import within
from mycelnode.chain.service import Chain
from mycelnode.errors import NearRefused, NearUnreachable, OutcomeUnknown, PaymentNeeded
from mycelnode.patterns.manifest import Manifest
from mycelnode.protocols.payment_journal import State

USE, RATE = "use_pattern", "rate_pattern"
RATING_SECONDS: Final = 10.0  # for all that is asked and for it to be final; then it goes on by itself
MAYBE_PAID: Final = frozenset((State.DONE, State.UNKNOWN))  # the chain tells of which it was
BEST, WORST = 5, 1  # stars of a use that went well, and of one that did not, where nobody gave any


@dataclass(frozen=True, slots=True)
class Rated:
    """``word``: how a rating stands. ``cids``: under which uses of that pattern were paid for here, those of other versions, too.

    ``since``: from when on the same use was rated before, which came to nothing, in Unix ms.
    """

    word: str
    cids: Sequence[str]
    since: int | None


class Rater:
    """Rates for this device. Every refusal is a sentence, and an event of the audit."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._lock = trio.Lock()  # two who rate at the same time do not rate the same use

    async def rate(self, manifest: Manifest, *, success: bool, stars: int | None) -> Rated | None:
        """Have a use rated on chain, by the account that paid for it; None: none was paid for, so there is nothing to rate there.

        What is known here is enough while no server answers in time. Raises `PaymentNeeded` if each paid use is rated already,
        `NearRefused`, and `KeyFileError` if the key of the account that paid is not here any more.
        """
        if not self._chain.get("near.registry"):
            return None
        async with self._lock:
            return await self._rate(
                manifest, success=success, stars=stars, deadline=trio.current_time() + RATING_SECONDS
            )

    async def _rate(self, manifest: Manifest, *, success: bool, stars: int | None, deadline: float) -> Rated | None:
        chain, cid = self._chain, str(manifest.cid)
        await chain.send_waiting(deadline)
        number = await self._number(manifest, deadline)
        if number is None:
            return None
        bought, rated = self._lines(USE, number), self._lines(RATE, number)
        bought = [line for line in bought if line.entry.state in MAYBE_PAID]
        if any(not line.entry.ended for line in rated):
            raise await self._unrated(cid, "a rating of it is under way, and goes first")
        payers = dict.fromkeys(line.entry.intent.account for line in bought)
        get = chain.get
        if get("near.spender") or get("near.account"):
            payers[chain.spender] = None  # which may have paid by another device, or before this folder was made
        found = {account: await self._receipt(number, account, bought, rated, deadline) for account in payers}
        payer = next((account for account, receipt in found.items() if receipt.rated < receipt.uses), None)
        if payer is None:
            used = [account for account, receipt in found.items() if receipt.uses]
            if not used or await self._is_free_by_now(number, deadline):
                return None
            raise await self._unrated(
                cid, f"each use that {' or '.join(used)} has paid for can be rated once, and none is left"
            )
        actions = await chain.actions(payer, deadline)
        intent = actions.rate(number, found[payer], success=success, rating=stars or (BEST if success else WORST))
        before = chain.journal.last(intent.id)
        if (
            before is not None and before.entry.state not in AGAIN
        ):  # it is another one, and its end would be taken for this one's
            raise NearRefused(
                "the server that was asked does not know of the last rating yet; ask again, nothing was rated"
            )
        entry = await chain.want(intent, about=cid)
        try:
            entry = await chain.payments.wait(entry.intent.id, max(0.0, deadline - trio.current_time()))
        except OutcomeUnknown:  # by now it may be signed, or sent
            entry = chain.payments.entry(entry.intent.id) or entry
        if entry.ended and entry.state is not State.DONE:
            raise NearRefused(entry.word)
        cids = dict.fromkeys([cid, *(line.about for line in bought)])
        first = chain.journal.find(intent.id)
        return Rated(entry.word, tuple(cids), None if before is None or first is None else first.added)

    def _lines(self, method: str, number: int) -> list[Line]:
        """What was wanted of a pattern, by its number, the newest first: a version that was replaced has another CID."""
        lines = self._chain.journal.calls(method, tuple(State))
        return [line for line in self._here(lines) if _number(line) == number]

    def _here(self, lines: Sequence[Line]) -> list[Line]:
        """Those of this registry, on this chain."""
        here = (self._chain.known, self._chain.registry.contract)
        return [line for line in lines if (line.entry.intent.network, line.entry.intent.receiver) == here]

    async def _number(self, manifest: Manifest, deadline: float) -> int | None:
        """Under which the registry has a pattern: that of the payments, or what a server says."""
        bought = [
            line
            for line in self._here(self._chain.journal.about(str(manifest.cid)))
            if line.entry.intent.method == USE and line.entry.state in MAYBE_PAID
        ]
        if bought:
            return _number(bought[0])
        if manifest.near is None:
            return None
        try:
            with within(deadline):
                found = await self._chain.registry.pattern_by_hash(manifest.near, manifest.cid.digest.hex())
        except NearUnreachable:  # nobody here has paid for it, as far as is known
            return None
        return None if found is None else found.id

    async def _receipt(
        self, number: int, account: str, bought: Sequence[Line], rated: Sequence[Line], deadline: float
    ) -> Receipt:
        """The uses of an account; while no server answers, those that this device knows to be done."""
        try:
            with within(deadline):
                told = await self._chain.registry.receipt(number, account)
        except NearUnreachable:
            uses, ratings = (
                sum((line.entry.intent.account, line.entry.state) == (account, State.DONE) for line in lines)
                for lines in (bought, rated)
            )
            return Receipt(uses, ratings, None, None)
        return told or Receipt(0, 0, None, None)

    async def _is_free_by_now(self, number: int, deadline: float) -> bool:
        """Can its uses have been free since the last one that was paid for?"""
        try:
            with within(deadline):
                pattern = await self._chain.registry.pattern(number)
        except NearUnreachable:
            return False
        return pattern is not None and not pattern.price

    async def _unrated(self, cid: str, why: str) -> PaymentNeeded:
        await self._chain.audit_refusal(cid, why)
        return PaymentNeeded(f"this pattern was not rated: {why}")


def _number(line: Line) -> int:
    """Of the pattern that a line is about."""
    return int(json.loads(line.entry.intent.args)["id"])
