"""Gas of calls and batches: twice what they take at their dearest, by contracts/res/gas.json. What is not burnt comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mycelnode.chain.amounts import GAS_PRICE, TGAS, is_implicit

# Batches: several actions in one receipt, which `batches` makes. No method of a contract has such a name.
CREATE: Final = "+create"  # an account, its key, its money, its code, and its beginning
REPLACE: Final = "+replace"  # the code, by the account's own key, and the migration of its state
UPGRADE: Final = "+upgrade"  # the same, by a call of the owner, who has announced it
LOCK: Final = "+lock"  # every full-access key goes
SUCCEED: Final = "+succeed"  # a price and a manifest, in the place of those that a pattern has
BATCHES: Final = frozenset((CREATE, REPLACE, UPGRADE, LOCK, SUCCEED))
SUCCESSION: Final = ("set_price", "update_pattern")  # what it calls

_OTHER: Final = 12 * TGAS
USE_BURNS: Final = 5 * TGAS  # of the gas of a use, at its dearest; the rest of what is bought for it comes back
_METHODS: Final[Mapping[str, int]] = {
    "update_pattern": 5 * TGAS,
    "set_price": 5 * TGAS,
    "retire_pattern": 6 * TGAS,
    "register_pattern": 16 * TGAS,
    "use_pattern": 22 * TGAS,
    "sync_reputation": 73 * TGAS,
    "rate_pattern": 76 * TGAS,  # with the call of the other contract, and what comes after it
    "upgrade": 70 * TGAS,
    UPGRADE: 70 * TGAS,
    CREATE: 10 * TGAS,  # of `new`
    REPLACE: 10 * TGAS,  # of `migrate`
    LOCK: 0,
    SUCCEED: 10 * TGAS,  # of both
}
TRANSFER: Final = TGAS  # of a transfer, on both sides
CREATION: Final = 10 * TGAS  # of one that makes an account, with its key
NEW_ACCOUNT: Final = 7 * 10**21  # yoctoNEAR that the network takes for a new account
MARGIN: Final = 2 * TGAS  # of a call, for what the network takes besides the gas that is given
DEPLOYED_BYTE: Final = 115 * 10**6  # of code in an action, sent and carried out
PASSED_BYTE: Final = 51 * 10**6  # of the arguments of a call
YOCTO_A_BYTE: Final = 10**19  # that an account must keep for what it stores
FREE_BYTES: Final = 770  # an account that stores no more need keep nothing (NEP-448)


def gas_of(method: str) -> int:
    """Gas for a call of ``method``; without a method, none is given: a transfer takes what it takes."""
    return _METHODS.get(method, _OTHER) if method else 0


def gas_of_transfer(receiver: str) -> int:
    """All the gas that is bought for a transfer. An account that is named after its key is paid for as if it had to be made."""
    return CREATION if is_implicit(receiver) else TRANSFER


def calls_of(method: str) -> tuple[str, ...]:
    """What is called for an intent with this method, one after the other."""
    return SUCCESSION if method == SUCCEED else (method,)


def paid_in_advance(gas: int, price: int = GAS_PRICE) -> int:
    """yoctoNEAR that an account must have for this gas. What is not burnt comes back."""
    return gas * max(price, GAS_PRICE)


def gas_of_batch(kind: str, size: int) -> int:
    """All the gas that is bought for a batch; ``size``: of the code that it brings."""
    each = {CREATE: DEPLOYED_BYTE, REPLACE: DEPLOYED_BYTE, UPGRADE: PASSED_BYTE}.get(kind, 0)
    return gas_of(kind) + each * size + MARGIN + (CREATION if kind == CREATE else 0)
