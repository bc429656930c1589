"""Whether a transaction may be carried out, and what its signer pays up front (nearcore's `verifier.rs`)."""

from __future__ import annotations

from dataclasses import replace

from mycel_simnet.near import borsh, fees, tables
from mycel_simnet.near.accounts import is_valid
from mycel_simnet.near.errors import ActionsInvalid, InvalidTransaction, access_key_error
from mycel_simnet.near.fees import Cost
from mycel_simnet.near.keys import to_text, verifies
from mycel_simnet.near.state import ACCOUNT, KEY, State, access_key_of, account_of, key_name
from mycel_simnet.near.tables import LIMITS
from mycel_simnet.near.types import (
    AccessKey,
    Account,
    Action,
    AddKey,
    DeleteAccount,
    DeployContract,
    FullAccess,
    FunctionCall,
    FunctionCallPermission,
    SignedTransaction,
    Transaction,
)


def check_actions(actions: tuple[Action, ...]) -> None:
    """May a receipt carry these? Raises `ActionsInvalid`."""
    if len(actions) > LIMITS["max_actions_per_receipt"]:
        raise ActionsInvalid(
            "TotalNumberOfActionsExceeded",
            total_number_of_actions=len(actions),
            limit=LIMITS["max_actions_per_receipt"],
        )
    deploys = sum(isinstance(action, DeployContract) for action in actions)
    if deploys > LIMITS["max_deploy_actions_per_receipt"]:
        raise ActionsInvalid(
            "TotalNumberOfDeployActionsExceeded",
            number_of_deploy_actions=deploys,
            limit=LIMITS["max_deploy_actions_per_receipt"],
        )
    for place, action in enumerate(actions):
        if isinstance(action, DeleteAccount) and place != len(actions) - 1:
            raise ActionsInvalid("DeleteActionMustBeFinal")
        _check_action(action)
    gas = fees.prepaid_gas(actions)
    if gas > LIMITS["max_total_prepaid_gas"]:
        raise ActionsInvalid("TotalPrepaidGasExceeded", total_prepaid_gas=gas, limit=LIMITS["max_total_prepaid_gas"])


def _check_action(action: Action) -> None:
    if isinstance(action, DeployContract) and len(action.code) > LIMITS["max_contract_size"]:
        raise ActionsInvalid("ContractSizeExceeded", size=len(action.code), limit=LIMITS["max_contract_size"])
    if isinstance(action, FunctionCall):
        if action.gas == 0:
            raise ActionsInvalid("FunctionCallZeroAttachedGas")
        _check_length(
            "FunctionCallMethodNameLengthExceeded", len(action.method_name.encode()), "max_length_method_name"
        )
        _check_length("FunctionCallArgumentsLengthExceeded", len(action.args), "max_arguments_length")
    if isinstance(action, DeleteAccount) and not is_valid(action.beneficiary_id):
        raise ActionsInvalid("InvalidAccountId", account_id=action.beneficiary_id)
    if isinstance(action, AddKey) and isinstance(action.access_key.permission, FunctionCallPermission):
        permission = action.access_key.permission
        if not is_valid(permission.receiver_id):
            raise ActionsInvalid("InvalidAccountId", account_id=permission.receiver_id)
        for name in permission.method_names:
            _check_length("AddKeyMethodNameLengthExceeded", len(name.encode()), "max_length_method_name")
        total, limit = fees.method_names_bytes(permission.method_names), LIMITS["max_number_bytes_method_names"]
        if total > limit:
            raise ActionsInvalid("AddKeyMethodNamesNumberOfBytesExceeded", total_number_of_bytes=total, limit=limit)


def _check_length(error: str, length: int, limit: str) -> None:
    if length > LIMITS[limit]:
        raise ActionsInvalid(error, length=length, limit=LIMITS[limit])


def check_form(signed: SignedTransaction) -> None:
    """What can be said of a transaction without the state; raises `InvalidTransaction`."""
    transaction = signed.transaction
    try:
        check_actions(transaction.actions)
    except ActionsInvalid as error:
        raise InvalidTransaction.of("ActionsValidation", error.json) from None
    size = len(borsh.encode(SignedTransaction, signed))
    if size > LIMITS["max_transaction_size"]:
        raise InvalidTransaction("TransactionSizeExceeded", size=size, limit=LIMITS["max_transaction_size"])
    if not verifies(transaction.public_key, signed.signature, transaction.hash):
        raise InvalidTransaction("InvalidSignature")


def missing_balance(account: Account, amount: int) -> int:
    """How much an account with this balance lacks for the bytes that it takes (storage staking)."""
    required = account.storage_usage * tables.BYTE_PRICE
    if amount + account.locked >= required or account.storage_usage <= tables.ZERO_BALANCE_BYTES:
        return 0
    return required - amount - account.locked


def charge(state: State, transaction: Transaction, height: int, gas_price: int) -> Cost:
    """Take what the transaction costs from its signer and use up its nonce; raises `InvalidTransaction` and writes nothing then."""
    signer_id, public_key = transaction.signer_id, transaction.public_key
    cost = fees.transaction_cost(transaction, gas_price)
    if cost.total >= 1 << 128:
        raise InvalidTransaction("CostOverflow")
    signer = account_of(state, signer_id)
    if signer is None:
        raise InvalidTransaction("SignerDoesNotExist", signer_id=signer_id)
    key = access_key_of(state, signer_id, public_key)
    if key is None:
        raise access_key_error("AccessKeyNotFound", account_id=signer_id, public_key=to_text(public_key))
    if transaction.nonce <= key.nonce:
        raise InvalidTransaction("InvalidNonce", tx_nonce=transaction.nonce, ak_nonce=key.nonce)
    if transaction.nonce >= height * tables.NONCE_RANGE:
        raise InvalidTransaction("NonceTooLarge", tx_nonce=transaction.nonce, upper_bound=height * tables.NONCE_RANGE)
    if cost.total > signer.amount:
        raise InvalidTransaction(
            "NotEnoughBalance", signer_id=signer_id, balance=str(signer.amount), cost=str(cost.total)
        )
    charged = replace(key, nonce=transaction.nonce, permission=_charged_permission(key, transaction, cost))
    lacking = missing_balance(signer, signer.amount - cost.total)
    if lacking:
        raise InvalidTransaction("LackBalanceForState", signer_id=signer_id, amount=str(lacking))
    if isinstance(key.permission, FunctionCallPermission):
        _check_permission(key.permission, transaction)
    state.put(KEY, signer_id, key_name(public_key), charged)
    state.put(ACCOUNT, signer_id, b"", replace(signer, amount=signer.amount - cost.total))
    return cost


def _charged_permission(key: AccessKey, transaction: Transaction, cost: Cost) -> FunctionCallPermission | FullAccess:
    permission = key.permission
    if not isinstance(permission, FunctionCallPermission) or permission.allowance is None:
        return permission
    if cost.total > permission.allowance:
        raise access_key_error(
            "NotEnoughAllowance",
            account_id=transaction.signer_id,
            public_key=to_text(transaction.public_key),
            allowance=str(permission.allowance),
            cost=str(cost.total),
        )
    return replace(permission, allowance=permission.allowance - cost.total)


def _check_permission(permission: FunctionCallPermission, transaction: Transaction) -> None:
    call = transaction.actions[0] if len(transaction.actions) == 1 else None
    if not isinstance(call, FunctionCall):
        raise access_key_error("RequiresFullAccess")
    if call.deposit:
        raise access_key_error("DepositWithFunctionCall")
    if transaction.receiver_id != permission.receiver_id:
        raise access_key_error(
            "ReceiverMismatch", tx_receiver=transaction.receiver_id, ak_receiver=permission.receiver_id
        )
    if permission.method_names and call.method_name not in permission.method_names:
        raise access_key_error("MethodNameMismatch", method_name=call.method_name)
