"""One call of one contract, outside any chain: for comparing this virtual machine with the network's own.

What comes out is JSON, with bytes in hexadecimal and amounts as decimal strings, for a program in another language to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mycel_simnet.near import vm
from mycel_simnet.near.borsh import encode
from mycel_simnet.near.host import Context, NewReceipt
from mycel_simnet.near.keys import Ed25519, PublicKey, sha256
from mycel_simnet.near.state import DATA, Ledger, Overlay
from mycel_simnet.near.types import Json
from mycel_simnet.near.views import action_view


@dataclass(frozen=True)
class Setting:
    """The world that a call sees; see `Context`."""

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


class Contract:
    """A contract's code and storage, between calls."""

    def __init__(
        self, code: bytes, storage: Mapping[bytes, bytes] | None = None, account_id: str = "contract.near"
    ) -> None:
        self.code, self.account_id = code, account_id
        self._ledger = Ledger()
        for key, value in (storage or {}).items():
            self._ledger.put(DATA, account_id, key, value)

    @property
    def storage(self) -> dict[bytes, bytes]:
        """Its records."""
        return dict(self._ledger.scan(DATA, self.account_id))

    def call(self, method: str, args: bytes, setting: Setting | None = None, trie_depth: int = 0) -> Json:
        """Call a method, keep what it wrote if it succeeded, and tell what came of it.

        ``gas.burnt`` has no trie nodes in it unless ``trie_depth`` says how many each write touches: the network's virtual
        machine alone does not count them either, nor does it share what gas is left.
        """
        overlay = Overlay(self._ledger)
        context = self._context(args, setting or Setting())
        outcome = vm.run(self.code, method, context, overlay, trie_depth, share_gas=False)
        changes = overlay.commit() if outcome.error is None else []
        returned = outcome.returned
        return {
            "error": None if outcome.error is None else outcome.error.json,
            "returned": returned.hex() if isinstance(returned, bytes) else returned,
            "logs": list(outcome.logs),
            "gas": {"burnt": outcome.gas_burnt, "used": outcome.gas_used, "profile": outcome.profile},
            "balance": str(outcome.balance),
            "storage_usage": outcome.storage_usage,
            "writes": {key.name.hex(): None if new is None else new.hex() for key, _, new in sorted(changes)},
            "receipts": [_receipt(one) for one in outcome.receipts],
        }

    def _context(self, args: bytes, setting: Setting) -> Context:
        return Context(
            current_account_id=self.account_id,
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
            code_hash=sha256(self.code),
            chain_id=setting.chain_id,
            is_view=setting.is_view,
        )


def _receipt(receipt: NewReceipt) -> Json:
    return {
        "receiver_id": receipt.receiver_id,
        "depends_on": list(receipt.depends_on),
        "actions": [action_view(action) for action in receipt.actions],
    }
