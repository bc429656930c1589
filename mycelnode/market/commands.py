"""What the control socket and the command line can ask about NEAR: JSON in, JSON out (docs/cli.md has the objects).

They work with or without a running node. Amounts are yoctoNEAR in decimal digits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import trio

from mycelnode.background import open_background
from mycelnode.chain.journal import Line
from mycelnode.chain.policy import DAY_MS
from mycelnode.chain.service import Chain, open_chain
from mycelnode.collective.requests import amount, canonical, whole
from mycelnode.commands import Handler, Request, flag, rfc3339
from mycelnode.errors import ControlError, NearRefused, OutcomeUnknown
from mycelnode.market.account_commands import AccountCommands
from mycelnode.market.deploy_commands import PLAN, DeployCommands, network_of
from mycelnode.market.receipts import PAGE, page
from mycelnode.market.selling import Seller
from mycelnode.mesh import Mesh
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.payment_journal import Entry, State

WAIT_SECONDS: Final = 60.0  # for something to be done on chain, before it is said that it goes on by itself
CANCEL_SECONDS: Final = 15.0
SENDING_SECONDS: Final = 10.0  # for what waits to be done, before a command that asks a server goes on without it
SEND_NOTHING: Final = frozenset((PLAN, "chain.policy", "chain.outbox", "chain.receipts"))  # not even what waits
SEND_FIRST: Final = frozenset(
    (
        "chain.account",
        "chain.account.create",
        "chain.account.fund",
        "chain.account.import",
        "chain.account.rotate",
        "chain.account.sweep",
        "chain.balance",
        "chain.claim",
        "pattern.price",
        "pattern.retire",
    )
)
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
        price = amount(request, "price")
        if price is None:
            raise ControlError("the request needs a text field 'price'")
        cid = canonical(request)
        number = await Seller(self._chain()).price(Cid.parse(cid), price)
        return {"cid": cid, "id": number, "price": str(price)}

    async def retire(self, request: Request) -> dict[str, Any]:
        """Sell a pattern of ours no more; again, 30 days later, take back what is held for it.

        ``released`` is whether that was done, ``release_from`` from when on it can be.
        """
        cid = canonical(request)
        done = await Seller(self._chain()).retire(Cid.parse(cid))
        return {"cid": cid, "id": done.number, "released": done.released, "release_from": rfc3339(done.release_from)}

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
        if kind not in SEND_NOTHING:
            nursery.start_soon(chain.run)
        if kind in SEND_FIRST:
            await chain.send_waiting(trio.current_time() + SENDING_SECONDS)
        return await ChainCommands(lambda: chain).table()[kind](request)
