"""What the control socket and the command line can ask about NEAR: JSON in, JSON out (docs/cli.md has the objects).

They work with or without a running node. Amounts are yoctoNEAR in decimal digits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from mycelnode.background import open_background
from mycelnode.chain.journal import Line
from mycelnode.chain.policy import DAY_MS
from mycelnode.chain.registry import Registered
from mycelnode.chain.service import Chain, open_chain
from mycelnode.collective.requests import amount, canonical, whole
from mycelnode.commands import Handler, Request, flag, rfc3339
from mycelnode.errors import ControlError, NearRefused, OutcomeUnknown
from mycelnode.market.account_commands import AccountCommands
from mycelnode.market.deploy_commands import PLAN, DeployCommands, network_of
from mycelnode.market.receipts import PAGE, page
from mycelnode.mesh import Mesh
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.payment_journal import Entry, Intent, State

WAIT_SECONDS: Final = 60.0  # for something to be done on chain, before it is said that it goes on by itself
CANCEL_SECONDS: Final = 15.0
RELEASE_WAIT_MS: Final = (
    30 * DAY_MS
)  # from retiring a pattern until what is held for it can be taken back, as the contract has it
SHOWN: Final = 1_000  # lines at once


class ChainCommands:
    """The commands about NEAR. ``chain`` gives it, or raises why there is none."""

    def __init__(self, chain: Callable[[], Chain]) -> None:
        self._chain = chain

    def table(self) -> dict[str, Handler]:
        """Command name → handler."""
        return {
            "chain.policy": self.policy,
            "chain.outbox": self.outbox,
            "chain.outbox.cancel": self.cancel,
            "chain.receipts": self.receipts,
            "chain.claim": self.claim,
            **AccountCommands(self._chain).table(),
            **DeployCommands(self._chain).table(),
            "pattern.price": self.price,
            "pattern.retire": self.retire,
        }

    # --- limits ------------------------------------------------------------------------------------------------------------------

    async def policy(self, request: Request) -> dict[str, Any]:
        """The limits, and what of them is used up."""
        chain = self._chain()
        limits, spent = chain.limits, chain.journal.spent(chain.known)
        today = sum(one.amount for one in spent)
        creators = {one.creator for one in spent if one.creator is not None}
        return {
            "per_use": str(limits.per_use),
            "per_day": str(limits.per_day),
            "per_creator": str(limits.per_creator),
            "ask_above": str(limits.ask_above),
            "contracts": sorted(limits.contracts),
            "spent": str(today),
            "left": str(max(0, limits.per_day - today)),
            "creators": {
                creator: str(sum(one.amount for one in spent if one.creator == creator)) for creator in sorted(creators)
            },
            "since": rfc3339(chain.mesh.clock.wall() - DAY_MS),
        }

    # --- the outbox --------------------------------------------------------------------------------------------------------------

    async def outbox(self, request: Request) -> dict[str, Any]:
        """What waits or is under way; with ``all`` also what has ended."""
        chain = self._chain()
        lines = chain.journal.lines(ended=None if flag(request, "all") else False, most=SHOWN)
        return {"network": chain.network, "entries": [_line(chain, line) for line in lines]}

    async def cancel(self, request: Request) -> dict[str, Any]:
        """What is not wanted any more, by its number: it is not sent, or its nonce is burnt."""
        chain, number = self._chain(), whole(request, "no", None, 1, 1 << 62)
        line = next((line for line in chain.journal.lines() if line.no == number), None)
        if line is None:
            raise NearRefused(f"the outbox has no number {number}; `mycelnode chain outbox --all` lists what it has")
        await chain.payments.cancel(line.entry.intent.id, "you cancelled it")
        with suppress(OutcomeUnknown):  # then the answer says how it stands
            await chain.payments.wait(line.entry.intent.id, CANCEL_SECONDS)
        found = chain.journal.find(line.entry.intent.id)
        assert found is not None, "it was there"
        return _line(chain, found)

    async def receipts(self, request: Request) -> dict[str, Any]:
        """The uses that were paid for, the newest first: at most ``limit``, of those ``before`` the number of the last one that is
        known already. See `receipts.page`."""
        before, limit = whole(request, "before", None, 1, 1 << 62), whole(request, "limit", PAGE, 1, PAGE)
        assert limit is not None, "it has a default"
        return page(self._chain(), before, limit)

    # --- what a creator does -----------------------------------------------------------------------------------------------------

    async def price(self, request: Request) -> dict[str, Any]:
        """Ask another price for a pattern of ours: ``price`` in yoctoNEAR."""
        chain, price = self._chain(), amount(request, "price")
        if price is None:
            raise ControlError("the request needs a text field 'price'")
        cid, pattern = await self._registered(chain, request)
        if pattern.retired_at is not None:
            raise NearRefused(f"{cid} is retired: nobody can use it any more")
        await self._done(chain, (await chain.actions(chain.account)).price(pattern, price), cid)
        return {"cid": cid, "id": pattern.id, "price": str(price)}

    async def retire(self, request: Request) -> dict[str, Any]:
        """Sell a pattern of ours no more; again, 30 days later, take back what is held for it.

        ``released`` is whether that was done, ``release_from`` from when on it can be.
        """
        chain = self._chain()
        cid, pattern = await self._registered(chain, request)
        actions, retired = await chain.actions(chain.account), pattern.retired_at
        if retired is None:
            await self._done(chain, actions.retire(pattern), cid)
            _, pattern = await self._registered(chain, request)
            retired = pattern.retired_at or 0
        release_from = retired // 1_000_000 + RELEASE_WAIT_MS
        released = (await chain.near.block()).time // 1_000_000 >= release_from
        if released:
            await self._done(chain, actions.release(pattern), cid)
        return {"cid": cid, "id": pattern.id, "released": released, "release_from": rfc3339(release_from)}

    async def _registered(self, chain: Chain, request: Request) -> tuple[str, Registered]:
        """The pattern of ours that a request means."""
        cid, account = canonical(request), chain.account
        found = await chain.registry.pattern_by_hash(account, Cid.parse(cid).digest.hex())
        if found is None:
            raise NearRefused(f"{account} has not registered {cid} at {chain.registry.contract}")
        return cid, found

    async def _done(self, chain: Chain, intent: Intent, cid: str) -> Entry:
        wanted = await chain.want(intent, about=cid)
        return _ended(await chain.payments.wait(wanted.intent.id, WAIT_SECONDS))

    async def claim(self, request: Request) -> dict[str, Any]:
        """Take what could not be paid out to our accounts, those that were replaced among them."""
        chain, claimed = self._chain(), dict[str, str]()
        publishes = chain.get("near.account")  # who only buys has none
        used = dict.fromkeys((chain.account if publishes else chain.spender, chain.spender))
        for account in dict.fromkeys((*used, *chain.accounts.former)):
            waiting = await chain.registry.claimable(account)
            if waiting:
                wanted = await chain.want((await chain.actions(account)).claim())
                _ended(await chain.payments.wait(wanted.intent.id, WAIT_SECONDS))
            if waiting or account in used:
                claimed[account] = str(waiting)
        return {"claimed": claimed, "amount": str(sum(map(int, claimed.values())))}


def _ended(entry: Entry) -> Entry:
    if entry.state is not State.DONE:
        raise NearRefused(entry.word)
    return entry


def _line(chain: Chain, line: Line) -> dict[str, Any]:
    entry = chain.payments.entry(line.entry.intent.id) or line.entry
    intent, signed = entry.intent, entry.signed
    elsewhere = not entry.ended and intent.network != chain.known
    return {
        "no": line.no,
        "state": entry.state.value,
        "method": intent.method or "transfer",
        "receiver": intent.receiver,
        "account": intent.account,
        "network": intent.network,
        "cid": line.about or None,
        "amount": str(line.amount),
        "transaction": signed.hash if signed else None,
        "until": signed.until if signed and not entry.ended else None,
        "word": f"waits for another chain, {intent.network}" if elsewhere else entry.word,
        "said": entry.said,
        "added": rfc3339(line.added),
        "changed": rfc3339(line.changed),
    }


async def ask_without_node(mesh: Mesh, kind: str, request: Request) -> dict[str, Any]:
    """Carry a command out on the data folder itself; its lock is held. What is not done by then waits for the next time."""
    async with open_chain(mesh, network=network_of(kind, request)) as chain, open_background() as nursery:
        if kind != PLAN:  # which sends nothing, not even what waits
            nursery.start_soon(chain.run)
        return await ChainCommands(lambda: chain).table()[kind](request)
