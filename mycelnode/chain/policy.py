"""What may be spent: a decision made of the person's limits, of a payment, and of what was spent before. Pure.

The balance of the spending account is the only limit that the chain itself keeps; these are kept here. Gas is not counted: it is a
few ten-thousandths of a NEAR for each payment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from mycelnode.chain.amounts import format_near, parse_near

DAY_MS: Final = 24 * 3600 * 1000
FREE: Final = 1  # yoctoNEAR: what a contract takes to see a full-access key; no limit on spending is about that


@dataclass(frozen=True, slots=True)
class Limits:
    """In yoctoNEAR: of one use, of a day, of a day for one creator; above ``ask_above`` the person is asked first.

    ``contracts``: which may be called and paid. Those that are named, whatever else is set; where none are, the registry alone.
    """

    per_use: int
    per_day: int
    per_creator: int
    ask_above: int
    contracts: frozenset[str]

    @classmethod
    def of(cls, get: Callable[[str], Any]) -> Limits:
        """Those of the settings ``near.…``."""
        return cls(
            per_use=parse_near(get("near.spend_per_use")),
            per_day=parse_near(get("near.spend_per_day")),
            per_creator=parse_near(get("near.spend_per_creator")),
            ask_above=parse_near(get("near.ask_above")),
            contracts=frozenset(get("near.contracts") or ({get("near.registry")} - {""})),
        )


@dataclass(frozen=True, slots=True)
class Payment:
    """``amount`` yoctoNEAR to a contract, by so many ``calls``; ``creator``: whose pattern is used; None: it is no use of one."""

    contract: str
    amount: int
    creator: str | None = None
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Spent:
    """One payment of the last day, or one that may still happen."""

    amount: int
    creator: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``said``: why not, or why the person is to be asked, in a sentence."""

    allowed: bool
    ask: bool
    said: str


def decide(limits: Limits, payment: Payment, before: Iterable[Spent]) -> Verdict:
    """May this be paid, after what was paid ``before`` within a day?"""
    spent = list(before)
    today = sum(one.amount for one in spent)
    to_creator = sum(one.amount for one in spent if payment.creator is not None and one.creator == payment.creator)
    amount = payment.amount
    if payment.contract not in limits.contracts:
        return _no(f"{payment.contract} is none of the contracts that may be paid (near.contracts)")
    if amount <= FREE * payment.calls:
        return Verdict(True, False, "")
    if payment.creator is not None and amount > limits.per_use:
        return _no(
            f"it costs {format_near(amount)}, and one use may cost {format_near(limits.per_use)} (near.spend_per_use)"
        )
    if today + amount > limits.per_day:
        return _no(
            f"it costs {format_near(amount)}, and of the {format_near(limits.per_day)} a day (near.spend_per_day)"
            f" {format_near(max(0, limits.per_day - today))} are left"
        )
    if payment.creator is not None and to_creator + amount > limits.per_creator:
        return _no(
            f"it costs {format_near(amount)}, and of the {format_near(limits.per_creator)} a day for one creator"
            f" (near.spend_per_creator) {format_near(max(0, limits.per_creator - to_creator))} are left for {payment.creator}"
        )
    if amount > limits.ask_above:
        return Verdict(
            True, True, f"it costs {format_near(amount)}, more than {format_near(limits.ask_above)} (near.ask_above)"
        )
    return Verdict(True, False, "")


def _no(why: str) -> Verdict:
    return Verdict(False, False, f"{why}; nothing was spent")
