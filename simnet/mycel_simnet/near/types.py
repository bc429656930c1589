"""What the chain is made of, in the network's own Borsh layouts: accounts, access keys, actions, transactions, receipts.

The layouts are those of nearcore's `near-primitives`; those of receipts and accounts are for this chain's store only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from mycel_simnet.near import borsh
from mycel_simnet.near.borsh import U64, U128, BorshError, Hash, Variants
from mycel_simnet.near.keys import PublicKey, Signature, sha256

SYSTEM = "system"  # the predecessor of refunds
NO_CODE = bytes(32)  # the code hash of an account without a contract


@dataclass(frozen=True, slots=True)
class Account:
    """An account's own record."""

    amount: U128
    locked: U128
    code_hash: Hash
    storage_usage: U64


@dataclass(frozen=True, slots=True)
class FunctionCallPermission:
    """May call methods of one contract, and spend at most ``allowance`` on gas."""

    allowance: U128 | None
    receiver_id: str
    method_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FullAccess:
    """May do everything."""


Permission = Annotated[FunctionCallPermission | FullAccess, Variants({0: FunctionCallPermission, 1: FullAccess})]


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What a public key may do in the name of an account, and its last nonce."""

    nonce: U64
    permission: Permission


# --- actions ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Make the receiver."""


@dataclass(frozen=True, slots=True)
class DeployContract:
    """Put code on the receiver."""

    code: bytes


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """Call a method of the receiver."""

    method_name: str
    args: bytes
    gas: U64
    deposit: U128


@dataclass(frozen=True, slots=True)
class Transfer:
    """Give the receiver tokens."""

    deposit: U128


@dataclass(frozen=True, slots=True)
class Stake:
    """Offer tokens as a validator."""

    stake: U128
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class AddKey:
    """Give the receiver another access key."""

    public_key: PublicKey
    access_key: AccessKey


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """Take an access key away."""

    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class DeleteAccount:
    """End the receiver; what it owns goes to the beneficiary."""

    beneficiary_id: str


Action = Annotated[
    CreateAccount | DeployContract | FunctionCall | Transfer | Stake | AddKey | DeleteKey | DeleteAccount,
    Variants(
        {
            0: CreateAccount,
            1: DeployContract,
            2: FunctionCall,
            3: Transfer,
            4: Stake,
            5: AddKey,
            6: DeleteKey,
            7: DeleteAccount,
        }
    ),
]


# --- transactions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transaction:
    """What a key signs (version 0)."""

    signer_id: str
    public_key: PublicKey
    nonce: U64
    receiver_id: str
    block_hash: Hash
    actions: tuple[Action, ...]

    @cached_property
    def hash(self) -> bytes:
        """Its name, which is also what is signed."""
        return sha256(borsh.encode(Transaction, self))


@dataclass(frozen=True)
class SignedTransaction:
    """A transaction and the signature of its key."""

    transaction: Transaction
    signature: Signature


def parse_transaction(data: bytes) -> SignedTransaction:
    """A signed transaction as clients send it; raises `BorshError`.

    Version 1, of which a length of at most 64 can't be the start, exists for gas keys only, which this chain has not.
    """
    if len(data) > 1 and data[1] != 0:
        raise BorshError("transactions of version 1 (gas keys) are not known here")
    return borsh.decode(SignedTransaction, data)


# --- receipts -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataReceiver:
    """Who waits for the outcome of a receipt, and under which name."""

    data_id: Hash
    receiver_id: str


@dataclass(frozen=True, slots=True)
class ActionReceipt:
    """Actions to be carried out on the receiver, once the data it waits for is there."""

    signer_id: str
    signer_public_key: PublicKey
    gas_price: U128
    output_data_receivers: tuple[DataReceiver, ...]
    input_data_ids: tuple[Hash, ...]
    actions: tuple[Action, ...]
    refund_to: str | None = None


@dataclass(frozen=True, slots=True)
class DataReceipt:
    """The outcome of one receipt for another; None is a failure."""

    data_id: Hash
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message from one account to another."""

    predecessor_id: str
    receiver_id: str
    receipt_id: Hash
    body: Annotated[ActionReceipt | DataReceipt, Variants({0: ActionReceipt, 1: DataReceipt})]

    @property
    def action(self) -> ActionReceipt:
        """The body of an action receipt."""
        assert isinstance(self.body, ActionReceipt)
        return self.body

    @property
    def is_refund(self) -> bool:
        """Is it the network that gives something back?"""
        return self.predecessor_id == SYSTEM


Json = Any  # what `json.dumps` takes; spelling it out gains nothing
