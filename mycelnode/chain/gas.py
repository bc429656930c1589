"""How much gas each method is given: twice what it takes at its dearest, by contracts/res/gas.json. What is not burnt comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mycelnode.chain.amounts import GAS_PRICE, TGAS

_OTHER: Final = 12 * TGAS
_METHODS: Final[Mapping[str, int]] = {
    "update_pattern": 5 * TGAS,
    "set_price": 5 * TGAS,
    "retire_pattern": 6 * TGAS,
    "register_pattern": 16 * TGAS,
    "use_pattern": 22 * TGAS,
    "sync_reputation": 73 * TGAS,
    "rate_pattern": 76 * TGAS,  # with the call of the other contract, and what comes after it
    "upgrade": 70 * TGAS,
}
TRANSFER: Final = TGAS  # of a transfer, on both sides
CREATION: Final = 10 * TGAS  # of one that makes an account, with its key
NEW_ACCOUNT: Final = 7 * 10**21  # yoctoNEAR that the network takes for a new account
MARGIN: Final = 2 * TGAS  # of a call, for what the network takes besides the gas that is given


def gas_of(method: str) -> int:
    """Gas for a call of ``method``; without a method, none is given: a transfer takes what it takes."""
    return _METHODS.get(method, _OTHER) if method else 0


def paid_in_advance(gas: int, price: int = GAS_PRICE) -> int:
    """yoctoNEAR that an account must have for this gas. What is not burnt comes back."""
    return gas * max(price, GAS_PRICE)
