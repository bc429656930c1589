"""Fees, limits and prices of the protocol that this chain speaks, from ``protocol_86.json`` (see `make_table`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

PROTOCOL_VERSION = 86  # unless a chain is begun with another
TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("protocol_86.json").read_text())


class Fee(NamedTuple):
    """What an action costs to send and to carry out, in gas."""

    send_sir: int  # the sender is the receiver
    send_not_sir: int
    execution: int

    def send(self, sir: bool) -> int:
        """To send it, to oneself or to somebody else."""
        return self.send_sir if sir else self.send_not_sir


def _fee(entry: dict[str, int]) -> Fee:
    return Fee(entry["send_sir"], entry["send_not_sir"], entry["execution"])


_costs = TABLE["transaction_costs"]
_actions = _costs["action_creation_config"]

RECEIPT = _fee(_costs["action_receipt_creation_config"])
DATA_BASE = _fee(_costs["data_receipt_creation_config"]["base_cost"])
DATA_BYTE = _fee(_costs["data_receipt_creation_config"]["cost_per_byte"])
CREATE_ACCOUNT = _fee(_actions["create_account_cost"])
DEPLOY_BASE = _fee(_actions["deploy_contract_cost"])
DEPLOY_BYTE = _fee(_actions["deploy_contract_cost_per_byte"])
CALL_BASE = _fee(_actions["function_call_cost"])
CALL_BYTE = _fee(_actions["function_call_cost_per_byte"])
TRANSFER = _fee(_actions["transfer_cost"])
STAKE = _fee(_actions["stake_cost"])
ADD_FULL_KEY = _fee(_actions["add_key_cost"]["full_access_cost"])
ADD_CALL_KEY = _fee(_actions["add_key_cost"]["function_call_cost"])
ADD_CALL_KEY_BYTE = _fee(_actions["add_key_cost"]["function_call_cost_per_byte"])
DELETE_KEY = _fee(_actions["delete_key_cost"])
DELETE_ACCOUNT = _fee(_actions["delete_account_cost"])

HOST: dict[str, int] = TABLE["wasm_config"]["ext_costs"]
LIMITS: dict[str, int] = TABLE["wasm_config"]["limit_config"]
OPERATION: int = TABLE["wasm_config"]["regular_op_cost"]

BYTE_PRICE = int(TABLE["storage_amount_per_byte"])
ACCOUNT_BYTES: int = _costs["storage_usage_config"]["num_bytes_account"]
RECORD_BYTES: int = _costs["storage_usage_config"]["num_extra_bytes_record"]
# Of the gas that a call burns, to the contract: all that later protocols have changed of what is here.
REWARDS: dict[int, tuple[int, int]] = {
    PROTOCOL_VERSION: tuple(_costs["burnt_gas_reward"]),
    87: (0, 1),
    88: (0, 1),
}
MIN_PURCHASE_PRICE = int(TABLE["min_gas_purchase_price"])
CREATION_CHARGE = int(TABLE["account_creation_charge"])
MIN_TOP_LEVEL: int = TABLE["account_creation_config"]["min_allowed_top_level_account_length"]
REGISTRAR: str = TABLE["account_creation_config"]["registrar_account_id"]

# Constants of nearcore's code, which its tables do not hold.
ZERO_BALANCE_BYTES = 770  # an account with less needs no balance (NEP-448)
NONCE_RANGE = 1_000_000  # nonces a block
MAX_DELETED_BYTES = 10_000  # of an account that can still be deleted, its code aside
LARGE_VALUE = 4000  # bytes, above which reading a value is charged more
GAS_PRICE = 100_000_000  # the lowest that the network has, in yoctoNEAR; it does not move here
GAS_LIMIT = 1_000_000_000_000_000  # of one block
VALIDITY_PERIOD = 86_400  # blocks, in which a transaction may name a block hash
EPOCH_LENGTH = 43_200  # blocks


def config(protocol_version: int) -> dict[str, Any]:
    """The table of a protocol version, as `EXPERIMENTAL_protocol_config` shows it."""
    costs = {**TABLE["transaction_costs"], "burnt_gas_reward": list(REWARDS[protocol_version])}
    return {**TABLE, "transaction_costs": costs}
