"""One call of one contract, outside any chain: for comparing this virtual machine with the network's own.

What comes out is JSON, with bytes in hexadecimal and amounts as decimal strings, for a program in another language to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mycel_simnet.near import vm
from mycel_simnet.near.borsh import encode
from mycel_simnet.near.host import Context, NewReceipt
from mycel_simnet.near.keys import Ed25519, PublicKey, sha256
from mycel_simnet.near.state import DATA, Key, Ledger, Overlay
from mycel_simnet.near.types import Json
from mycel_simnet.near.views import action_view


@dataclass(frozen=True)
class Setting:
    """The world that a call sees; see `Context`."""

    contract: str = "contract.near"
    signer: str = "alice.near"
    predecessor: str = "alice.near"
    deposit: int = 0
    gas: int = 300 * 10**12
    balance: int = 10**25  # before the deposit
    storage_usage: int = 100_000
    height: int = 100_000_000
    timestamp: int = 1_700_000_000_000_000_000
    epoch: int = 1
    chain_id: str = "devchain"
    promise_results: tuple[bytes | None, ...] = ()
    output_data_receivers: tuple[str, ...] = ()
    is_view: bool = False


@dataclass
class Contract:
    """A contract's code and storage, between calls."""

    code: bytes
    storage: dict[bytes, bytes] = field(default_factory=dict)

    def call(self, method: str, args: bytes, setting: Setting, trie_depth: int = 0) -> Json:
        """Call a method, keep what it wrote if it succeeded, and tell what came of it.

        ``gas.burnt`` has no trie nodes in it unless ``trie_depth`` says how many each write touches: the network's virtual
        machine alone does not count them either, nor does it share what gas is left.
        """
        ledger = Ledger()
        for key, value in self.storage.items():
            ledger.put(DATA, setting.contract, key, value)
        overlay = Overlay(ledger)
        outcome = vm.run(self.code, method, _context(self.code, args, setting), overlay, trie_depth, share_gas=False)
        writes: dict[bytes, bytes | None] = {}
        if outcome.error is None:
            writes = {key.name: value for key, value in _changed(overlay).items()}
            self._keep(writes)
        returned = outcome.returned
        return {
            "error": None if outcome.error is None else outcome.error.json,
            "returned": returned.hex() if isinstance(returned, bytes) else returned,
            "logs": list(outcome.logs),
            "gas": {"burnt": outcome.gas_burnt, "used": outcome.gas_used, "profile": outcome.profile},
            "balance": str(outcome.balance),
            "storage_usage": outcome.storage_usage,
            "writes": {key.hex(): None if value is None else value.hex() for key, value in sorted(writes.items())},
            "receipts": [_receipt(one) for one in outcome.receipts],
        }

    def _keep(self, writes: Mapping[bytes, bytes | None]) -> None:
        for key, value in writes.items():
            if value is None:
                self.storage.pop(key, None)
            else:
                self.storage[key] = value


def _changed(overlay: Overlay) -> dict[Key, bytes | None]:
    return {change.key: change.new for change in overlay.commit()}


def _context(code: bytes, args: bytes, setting: Setting) -> Context:
    return Context(
        current_account_id=setting.contract,
        signer_account_id=setting.signer,
        signer_public_key=encode(PublicKey, Ed25519(bytes(32))),
        predecessor_account_id=setting.predecessor,
        refund_to_account_id=setting.predecessor,
        input=args,
        promise_results=setting.promise_results,
        output_data_receivers=setting.output_data_receivers,
        block_height=setting.height,
        block_timestamp=setting.timestamp,
        epoch_height=setting.epoch,
        account_balance=setting.balance,
        locked_balance=0,
        storage_usage=setting.storage_usage,
        attached_deposit=setting.deposit,
        prepaid_gas=setting.gas,
        random_seed=bytes(32),
        code_hash=sha256(code),
        chain_id=setting.chain_id,
        is_view=setting.is_view,
    )


def _receipt(receipt: NewReceipt) -> Json:
    return {
        "receiver_id": receipt.receiver_id,
        "depends_on": list(receipt.depends_on),
        "actions": [action_view(action) for action in receipt.actions],
    }
