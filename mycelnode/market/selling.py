"""What a creator does with a pattern that is registered: asks another price for it, or sells it no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from mycelnode.chain.policy import DAY_MS
from mycelnode.chain.registry import Registered
from mycelnode.chain.service import Chain
from mycelnode.errors import NearRefused, NearRpcWrong, NearUnreachable
from mycelnode.market.successors import successor
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.payment_journal import Intent, State

WAIT_SECONDS: Final = 60.0  # for it to be done on chain, before it is said that it goes on by itself
RELEASE_WAIT_MS: Final = (
    30 * DAY_MS
)  # from retiring a pattern until what is held for it can be taken back, as the contract has it


@dataclass(frozen=True, slots=True)
class Retired:
    """``number``: of the pattern. ``released``: what was held for it has come back; ``release_from``: or can, then (Unix ms)."""

    number: int
    released: bool
    release_from: int


class Seller:
    """Does it for `near.account`, while a server answers: under which number a pattern is sold, only the registry says."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def price(self, cid: Cid, price: int) -> int:
        """Ask another price, in yoctoNEAR, for the uses to come; returns the number of the pattern.

        Raises `NearRefused`, `NearUnreachable`, `OutcomeUnknown` while it is not done yet, `ConfigError`, `KeyFileError`.
        """
        chain = self._chain
        with _unchanged("the price is as it was"):
            pattern = await self._registered(cid)
            if pattern.retired_at is not None:
                raise NearRefused(f"{cid} is retired: nobody can use it any more")
            actions = await chain.actions(chain.account)
        await self._done(actions.price(pattern, price), cid)
        return pattern.id

    async def retire(self, cid: Cid) -> Retired:
        """Sell it no more; again, 30 days later, take back what is held for it. Raises as `price` does."""
        chain = self._chain
        with _unchanged("nothing was changed"):
            pattern = await self._registered(cid)
            actions, retired = await chain.actions(chain.account), pattern.retired_at
        if retired is None:
            await self._done(actions.retire(pattern), cid)
            pattern = await self._registered(cid)
            retired = pattern.retired_at or 0
        release_from = retired // 1_000_000 + RELEASE_WAIT_MS
        released = (await chain.near.block()).time // 1_000_000 >= release_from
        if released:
            await self._done(actions.release(pattern), cid)
        return Retired(pattern.id, released, release_from)

    async def _registered(self, cid: Cid) -> Registered:
        """The pattern of ours that is meant."""
        chain, account = self._chain, self._chain.account
        found = await chain.registry.pattern_by_hash(account, cid.digest.hex())
        if found is not None:
            return found
        later = await successor(chain, account, cid)
        if later is not None:
            raise NearRefused(f"{account} has put {later.cid} in the place of {cid}; that one is sold now")
        raise NearRefused(f"{account} has not registered {cid} at {chain.registry.contract}")

    async def _done(self, intent: Intent, cid: Cid) -> None:
        wanted = await self._chain.want(intent, about=str(cid))
        entry = await self._chain.payments.wait(wanted.intent.id, WAIT_SECONDS)
        if entry.state is not State.DONE:
            raise NearRefused(entry.word)


@contextmanager
def _unchanged(so: str) -> Iterator[None]:
    """What has no answer has changed nothing, and waits for none."""
    try:
        yield
    except (NearUnreachable, NearRpcWrong) as error:
        raise type(error)(f"{error}; {so}") from None
