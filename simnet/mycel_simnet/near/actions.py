"""Carrying out the actions of a receipt, one after the other (nearcore's `actions.rs` and `access_keys.rs`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from mycel_simnet.near import borsh, tables
from mycel_simnet.near.accounts import is_child, is_implicit, is_near_implicit, is_top_level
from mycel_simnet.near.errors import ActionFailed
from mycel_simnet.near.keys import NO_KEY, Ed25519, Secp256k1, sha256, to_text
from mycel_simnet.near.state import (
    ACCOUNT,
    CODE,
    DATA,
    KEY,
    State,
    access_key_of,
    account_of,
    key_name,
)
from mycel_simnet.near.types import (
    NO_CODE,
    SYSTEM,
    AccessKey,
    Account,
    Action,
    ActionReceipt,
    AddKey,
    CreateAccount,
    DataReceipt,
    DeleteAccount,
    DeleteKey,
    DeployContract,
    FullAccess,
    FunctionCallPermission,
    Receipt,
    Stake,
    Transfer,
)

UNNAMED = bytes(32)  # the id of a receipt until it is sent


@dataclass(frozen=True)
class Block:
    """What a block tells those who run in it."""

    height: int
    timestamp: int  # nanoseconds
    gas_price: int
    epoch_height: int
    random: bytes
    chain_id: str
    reward: tuple[int, int]  # the part of the gas that a call burns which is its contract's

    @property
    def first_nonce(self) -> int:
        """Of a key that is added in this block: no transaction that an earlier key of this name signed can be played again."""
        return (self.height - 1) * tables.NONCE_RANGE


@dataclass
class Run:
    """One receipt being carried out, and what has come of it so far."""

    state: State
    receipt: Receipt
    block: Block
    promise_results: tuple[bytes | None, ...]
    actor: str = ""
    gas_burnt: int = tables.RECEIPT.execution
    gas_used: int = tables.RECEIPT.execution
    gas_burnt_by_calls: int = 0
    logs: list[str] = field(default_factory=list)
    new_receipts: list[Receipt] = field(default_factory=list)
    returned: bytes | int = b""  # a value, or the index of a new receipt
    profile: Counter[str] = field(default_factory=Counter)
    subsidised: int = 0

    def __post_init__(self) -> None:
        self.actor = self.receipt.predecessor_id

    @property
    def receiver(self) -> str:
        """Whose receipt it is."""
        return self.receipt.receiver_id

    @property
    def account(self) -> Account | None:
        """The receiver's record."""
        return account_of(self.state, self.receiver)

    def change(self, account: Account | None) -> None:
        """Write the receiver's record."""
        self.state.put(ACCOUNT, self.receiver, b"", account)


def check_existence(run: Run, action: Action, alone: bool) -> None:
    """Is the account there, or not there, as the action needs it? Raises `ActionFailed`."""
    exists = run.account is not None
    if isinstance(action, CreateAccount):
        if exists:
            raise ActionFailed("AccountAlreadyExists", account_id=run.receiver)
        if is_implicit(run.receiver):
            raise ActionFailed("OnlyImplicitAccountCreationAllowed", account_id=run.receiver)
    elif not exists:
        may_make = isinstance(action, Transfer) and alone and not run.receipt.is_refund and is_implicit(run.receiver)
        if not may_make:
            raise ActionFailed("AccountDoesNotExist", account_id=run.receiver)


def check_permission(run: Run, action: Action) -> None:
    """May who acts do this to the receiver? Raises `ActionFailed`."""
    if isinstance(action, DeployContract | Stake | AddKey | DeleteKey | DeleteAccount) and run.actor != run.receiver:
        raise ActionFailed("ActorNoPermission", account_id=run.receiver, actor_id=run.actor)
    account = run.account
    if isinstance(action, DeleteAccount) and account is not None and account.locked:
        raise ActionFailed("DeleteAccountStaking", account_id=run.receiver)


def carry_out(run: Run, action: Action) -> None:
    """Any action but a call; raises `ActionFailed`."""
    if isinstance(action, CreateAccount):
        _create_account(run)
    elif isinstance(action, Transfer):
        _transfer(run, action.deposit)
    elif isinstance(action, DeployContract):
        _deploy(run, action.code)
    elif isinstance(action, AddKey):
        _add_key(run, action.public_key, action.access_key)
    elif isinstance(action, DeleteKey):
        _delete_key(run, action.public_key)
    elif isinstance(action, DeleteAccount):
        _delete_account(run, action.beneficiary_id)
    else:
        # Validators are not simulated, so the minimum stake is more than anybody has.
        assert isinstance(action, Stake)
        everything = str((1 << 128) - 1)
        raise ActionFailed(
            "InsufficientStake", account_id=run.receiver, stake=str(action.stake), minimum_stake=everything
        )


def _existing(run: Run) -> Account:
    account = run.account
    assert account is not None, "checked before"
    return account


def _create_account(run: Run) -> None:
    account, predecessor = run.receiver, run.receipt.predecessor_id
    if is_top_level(account):
        if len(account) < tables.MIN_TOP_LEVEL and predecessor != tables.REGISTRAR:
            raise ActionFailed(
                "CreateAccountOnlyByRegistrar",
                account_id=account,
                registrar_account_id=tables.REGISTRAR,
                predecessor_id=predecessor,
            )
    elif not is_child(account, predecessor):
        raise ActionFailed("CreateAccountNotAllowed", account_id=account, predecessor_id=predecessor)
    run.actor = account
    run.change(Account(0, 0, NO_CODE, tables.ACCOUNT_BYTES))


def _transfer(run: Run, amount: int) -> None:
    account = run.account
    if account is None:
        _make_implicit(run, amount)
        return
    run.change(replace(account, amount=account.amount + amount))
    if run.receipt.is_refund and run.receipt.action.signer_id == run.receiver:
        _refund_allowance(run, amount)


def _make_implicit(run: Run, amount: int) -> None:
    run.actor = run.receiver
    account = Account(amount, 0, NO_CODE, tables.ACCOUNT_BYTES)
    if is_near_implicit(run.receiver):
        run.change(account)
        _add_key(run, Ed25519(bytes.fromhex(run.receiver)), AccessKey(0, FullAccess()))
    else:
        run.change(account)


def _refund_allowance(run: Run, amount: int) -> None:
    public_key = run.receipt.action.signer_public_key
    key = access_key_of(run.state, run.receiver, public_key)
    if key is None or not isinstance(key.permission, FunctionCallPermission) or key.permission.allowance is None:
        return
    allowance = min(key.permission.allowance + amount, (1 << 128) - 1)
    permission = replace(key.permission, allowance=allowance)
    run.state.put(KEY, run.receiver, key_name(public_key), replace(key, permission=permission))


def _deploy(run: Run, code: bytes) -> None:
    account = _existing(run)
    old = run.state.get(CODE, run.receiver) or b""
    usage = account.storage_usage - len(old) + len(code)
    run.change(replace(account, code_hash=sha256(code), storage_usage=usage))
    run.state.put(CODE, run.receiver, b"", code)


def key_bytes(name: bytes, key: AccessKey) -> int:
    """What an access key takes of its account's storage."""
    return len(name) + len(borsh.encode(AccessKey, key)) + tables.RECORD_BYTES


def _add_key(run: Run, public_key: Ed25519 | Secp256k1, access_key: AccessKey) -> None:
    name = key_name(public_key)
    if run.state.get(KEY, run.receiver, name) is not None:
        raise ActionFailed("AddKeyAlreadyExists", account_id=run.receiver, public_key=to_text(public_key))
    key = replace(access_key, nonce=run.block.first_nonce)
    run.state.put(KEY, run.receiver, name, key)
    account = _existing(run)
    run.change(replace(account, storage_usage=account.storage_usage + key_bytes(name, key)))


def _delete_key(run: Run, public_key: Ed25519 | Secp256k1) -> None:
    name = key_name(public_key)
    key = access_key_of(run.state, run.receiver, public_key)
    if key is None:
        raise ActionFailed("DeleteKeyDoesNotExist", account_id=run.receiver, public_key=to_text(public_key))
    run.state.put(KEY, run.receiver, name, None)
    account = _existing(run)
    run.change(replace(account, storage_usage=max(account.storage_usage - key_bytes(name, key), 0)))


def _delete_account(run: Run, beneficiary: str) -> None:
    account = _existing(run)
    code = run.state.get(CODE, run.receiver) or b""
    if account.storage_usage - len(code) > tables.MAX_DELETED_BYTES:
        raise ActionFailed("DeleteAccountWithLargeState", account_id=run.receiver)
    if account.amount:
        run.new_receipts.append(balance_refund(beneficiary, account.amount))
    for kind in (KEY, DATA):
        for name, _ in list(run.state.scan(kind, run.receiver)):
            run.state.put(kind, run.receiver, name, None)
    run.state.put(CODE, run.receiver, b"", None)
    run.change(None)
    run.actor = run.receipt.predecessor_id


# --- receipts that the network itself makes ----------------------------------------------------------------------------------


def balance_refund(receiver: str, amount: int) -> Receipt:
    """Tokens that come back to whom they belong."""
    body = ActionReceipt(SYSTEM, NO_KEY, 0, (), (), (Transfer(amount),))
    return Receipt(SYSTEM, receiver, UNNAMED, body)


def gas_refund(receiver: str, public_key: Ed25519 | Secp256k1, amount: int) -> Receipt:
    """Gas that was paid for and not burnt; it goes back to the allowance of the key, too."""
    body = ActionReceipt(receiver, public_key, 0, (), (), (Transfer(amount),))
    return Receipt(SYSTEM, receiver, UNNAMED, body)


def data_receipt(sender: str, receiver: str, data_id: bytes, data: bytes | None) -> Receipt:
    """The outcome of a receipt, for one that waits for it."""
    return Receipt(sender, receiver, UNNAMED, DataReceipt(data_id, data))


def is_instant(receipt: Receipt) -> bool:
    """Is it carried out right after what made it, in the same block?"""
    body = receipt.body
    return (
        isinstance(body, ActionReceipt)
        and not body.input_data_ids
        and [type(action) for action in body.actions] == [DeleteAccount]
    )
