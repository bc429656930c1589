"""What actions cost: to send, to carry out, and a whole transaction up front (nearcore's `runtime/src/config.rs`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mycel_simnet.near import tables
from mycel_simnet.near.accounts import is_implicit, is_near_implicit
from mycel_simnet.near.tables import Fee
from mycel_simnet.near.types import (
    Action,
    AddKey,
    CreateAccount,
    DeleteAccount,
    DeleteKey,
    DeployContract,
    FullAccess,
    FunctionCall,
    Stake,
    Transaction,
    Transfer,
)

_FLAT: dict[type, Fee] = {
    CreateAccount: tables.CREATE_ACCOUNT,
    Stake: tables.STAKE,
    DeleteKey: tables.DELETE_KEY,
    DeleteAccount: tables.DELETE_ACCOUNT,
}


def transfer_fee(receiver: str) -> Fee:
    """Tokens to an implicit account may have to make it, so that is always paid for."""
    parts = [tables.TRANSFER]
    if is_implicit(receiver):
        parts.append(tables.CREATE_ACCOUNT)
    if is_near_implicit(receiver):
        parts.append(tables.ADD_FULL_KEY)
    return _sum(parts)


def method_names_bytes(names: Iterable[str]) -> int:
    """How many bytes the method names of a key count: each ends with a zero."""
    return sum(len(name.encode()) + 1 for name in names)


def fee(action: Action, receiver: str) -> Fee:
    """Of one action."""
    if isinstance(action, Transfer):
        return transfer_fee(receiver)
    if isinstance(action, DeployContract):
        return _with_bytes(tables.DEPLOY_BASE, tables.DEPLOY_BYTE, len(action.code))
    if isinstance(action, FunctionCall):
        size = len(action.method_name.encode()) + len(action.args)
        return _with_bytes(tables.CALL_BASE, tables.CALL_BYTE, size)
    if isinstance(action, AddKey):
        permission = action.access_key.permission
        if isinstance(permission, FullAccess):
            return tables.ADD_FULL_KEY
        names = method_names_bytes(permission.method_names)
        return _with_bytes(tables.ADD_CALL_KEY, tables.ADD_CALL_KEY_BYTE, names)
    return _FLAT[type(action)]


def _sum(fees: Iterable[Fee]) -> Fee:
    return Fee(*map(sum, zip(*fees, strict=True)))


def _with_bytes(base: Fee, byte: Fee, count: int) -> Fee:
    return Fee(*(one + count * each for one, each in zip(base, byte, strict=True)))


def prepaid_gas(actions: Iterable[Action]) -> int:
    """The gas that calls are given."""
    return sum(action.gas for action in actions if isinstance(action, FunctionCall))


def execution_gas(actions: Iterable[Action], receiver: str) -> int:
    """To carry out a receipt with these actions, what calls burn aside."""
    return tables.RECEIPT.execution + sum(fee(action, receiver).execution for action in actions)


def deposit(actions: Iterable[Action]) -> int:
    """The tokens that go along."""
    return sum(action.deposit for action in actions if isinstance(action, FunctionCall | Transfer))


class Cost(NamedTuple):
    """What a transaction takes from its signer up front."""

    gas_burnt: int  # to make and send its receipt
    burnt: int  # the tokens for that
    gas_price: int  # at which the rest is bought
    total: int


def transaction_cost(transaction: Transaction, gas_price: int) -> Cost:
    """All of it; what is not used comes back with the refunds."""
    actions, receiver = transaction.actions, transaction.receiver_id
    sir = transaction.signer_id == receiver
    gas_burnt = tables.RECEIPT.send(sir) + sum(fee(action, receiver).send(sir) for action in actions)
    burnt = gas_burnt * gas_price
    purchase = max(gas_price, tables.MIN_PURCHASE_PRICE)
    bought = (prepaid_gas(actions) + execution_gas(actions, receiver)) * purchase
    return Cost(gas_burnt, burnt, purchase, burnt + bought + deposit(actions))
