"""The reputation contract, typed: how creators stand, by those who paid them. contracts/reputation has its other half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mycelnode.chain.amounts import account_id
from mycelnode.chain.answers import MAX_U64, Answer
from mycelnode.chain.near import FINAL, Near
from mycelnode.chain.registry import MAX_SCORE
from mycelnode.protocols.payment_journal import json_args

METHOD: Final = "get_reputation"


@dataclass(frozen=True, slots=True)
class Standing:
    """``score`` in 0…1000, decayed to now; with no ``ratings`` it is what the contract thinks of the unknown."""

    score: int
    ratings: int


class Reputation:
    """One reputation contract. Raises what `Near.view` raises."""

    def __init__(self, near: Near, contract: str) -> None:
        self.near, self.contract = near, account_id(contract)

    async def of(self, account: str, at: str = FINAL) -> Standing:
        """How a creator stands at the last final block, or that with a hash."""
        args = json_args(account=account_id(account))
        told = Answer((await self.near.view(self.contract, METHOD, args, at)).value, METHOD)
        ratings = told.number("successes", MAX_U64) + told.number("failures", MAX_U64)
        return Standing(told.number("score", MAX_SCORE), ratings)

    async def paused(self, at: str = FINAL) -> bool:
        """Does it take no ratings now?"""
        return Answer((await self.near.view(self.contract, "info", json_args(), at)).value, "info").flag("paused")
