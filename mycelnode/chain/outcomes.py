"""What became of a transaction, as the network tells it, and why one failed, in a sentence."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from mycelnode.chain.amounts import format_near
from mycelnode.chain.answers import Answer
from mycelnode.chain.replies import words
from mycelnode.encoding import base58
from mycelnode.errors import NearRpcWrong, shown
from mycelnode.protocols.payment_journal import Outcome

MAX_RECEIPTS: Final = 1_000
MAX_VALUE_CHARS: Final = 64 << 10  # of base64
PANIC: Final = "Smart contract panicked: "
_PANIC_MSG: Final = re.compile(r'panic_msg"?: "((?:[^"\\]|\\.)*)"')
LAST: Final = frozenset(("FINAL",))  # all that it caused is done, in final blocks


def read_outcome(told: Any, name: str, signer: str) -> Outcome | None:
    """The outcome of the transaction ``name`` (its hash) of ``signer``; None while it is not final. Raises `NearRpcWrong`."""
    answer = Answer(told, "tx", NearRpcWrong)
    if answer.any("final_execution_status") not in LAST:
        return None
    transaction = answer.inside("transaction")
    if transaction.text("hash", 64) != name or transaction.account("signer_id") != signer:
        raise NearRpcWrong("an RPC server tells of another transaction than it was asked for")
    status = answer.inside("status")
    outcomes = [answer.inside("transaction_outcome").inside("outcome")]
    outcomes += [
        Answer(one, "tx", NearRpcWrong).inside("outcome") for one in answer.items("receipts_outcome", MAX_RECEIPTS)
    ]
    burnt = sum(outcome.amount("tokens_burnt") for outcome in outcomes)
    gas = sum(outcome.number("gas_burnt") for outcome in outcomes)
    if status.has("SuccessValue"):
        return Outcome(name, True, _value(status.text("SuccessValue", MAX_VALUE_CHARS)), "", gas, burnt)
    if not status.has("Failure"):
        return None
    said = f"{failure(status.any('Failure'))}; what was attached came back, and {format_near(burnt)} of gas was burnt"
    return Outcome(name, False, b"", said, gas, burnt)


def read_blocks(told: Any) -> set[str]:
    """The hashes of the blocks in which a transaction, and what it caused, was carried out. Raises `NearRpcWrong`."""
    answer = Answer(told, "tx", NearRpcWrong)
    outcomes = [answer.inside("transaction_outcome")]
    outcomes += [Answer(one, "tx", NearRpcWrong) for one in answer.items("receipts_outcome", MAX_RECEIPTS)]
    return {base58(outcome.base58("block_hash")) for outcome in outcomes}


def _value(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise NearRpcWrong("the answer to tx makes no sense: SuccessValue should be base64") from None


def failure(told: Any) -> str:
    """Why, from ``{"ActionError": {"index": 0, "kind": {…}}}`` or ``{"InvalidTxError": …}``."""
    found = told
    for wrapper in ("TxExecutionError", "ActionError", "kind", "InvalidTxError", "FunctionCallError", "ExecutionError"):
        found = found.get(wrapper, found) if isinstance(found, dict) else found
    if isinstance(found, str):
        return panic(found) or f"the network says: {shown(found)}"
    if isinstance(found, dict) and len(found) == 1:
        ((kind, about),) = found.items()
        return f"the network says {shown(str(kind))}{_about(about)}"
    return f"the network says: {words(told)}"


def panic(text: str) -> str:
    """The contract's own words, without what the network wraps around them; none if it has not spoken."""
    if match := _PANIC_MSG.search(text):
        unescaped = re.sub(r"\\(.)", r"\1", match[1])
        return f"the contract says: {shown(unescaped)}"
    if text.startswith(PANIC):
        return f"the contract says: {shown(text.removeprefix(PANIC))}"
    return ""


def error_code(text: str) -> str:
    """ERR_PAUSED and the like, if that is in it: by which programs tell what our contracts refuse."""
    found = re.search(r"\bERR_[A-Z_]{1,40}", text)
    return found[0] if found else ""


def _about(value: Any) -> str:
    return f": {words(value)}" if value else ""
