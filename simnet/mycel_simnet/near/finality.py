"""How far a transaction has come (`TxExecutionStatus`), and what its outcome is so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mycel_simnet.near.blocks import Header
from mycel_simnet.near.chain import Chain
from mycel_simnet.near.keys import from_base58, to_base58
from mycel_simnet.near.types import Json
from mycel_simnet.near.views import receipt_view, transaction_view

LEVELS = ("NONE", "INCLUDED", "EXECUTED_OPTIMISTIC", "INCLUDED_FINAL", "EXECUTED", "FINAL")
DEFAULT = "EXECUTED_OPTIMISTIC"


class _Done(NamedTuple):
    name: bytes
    header: Header
    outcome: Json


class Progress(NamedTuple):
    """What has come of a transaction that is in a block."""

    transaction: _Done
    receipts: tuple[_Done, ...]  # carried out, in the order in which one made the other
    pending: tuple[bytes, ...]  # receipts to come
    refunds_pending: tuple[bytes, ...]


def progress(chain: Chain, name: bytes) -> Progress | None:
    """Of the transaction with this hash; None while it is in no block."""
    found = chain.outcome(name)
    if found is None:
        return None
    receipts: list[_Done] = []
    pending: list[bytes] = []
    refunds: list[bytes] = []
    queue = list(_children(found[1]))
    while queue:
        receipt_id = queue.pop(0)
        done = chain.outcome(receipt_id)
        if done is not None:
            receipts.append(_Done(receipt_id, *done))
            queue.extend(_children(done[1]))
            continue
        receipt = chain.receipt(receipt_id)
        assert receipt is not None, "whatever an outcome names was kept with it"
        (refunds if receipt.is_refund else pending).append(receipt_id)
    return Progress(_Done(name, *found), tuple(receipts), tuple(pending), tuple(refunds))


def _children(outcome: Json) -> Iterator[bytes]:
    return (from_base58(one, 32) for one in outcome["receipt_ids"])


def reached(chain: Chain, found: Progress, level: str) -> bool:
    """Has the transaction come as far as ``level``?"""
    executed = not found.pending
    included_final = found.transaction.header.height <= chain.final.height
    if level in ("NONE", "INCLUDED"):
        return True
    if level == "EXECUTED_OPTIMISTIC":
        return executed
    if level == "INCLUDED_FINAL":
        return included_final
    if level == "EXECUTED":
        return executed and included_final
    return status(chain, found) == "FINAL"


def status(chain: Chain, found: Progress) -> str:
    """The furthest level that it has come to."""
    final = chain.final.height
    included_final = found.transaction.header.height <= final
    if found.pending:
        return "INCLUDED_FINAL" if included_final else "INCLUDED"
    if not found.refunds_pending and all(done.header.height <= final for done in (found.transaction, *found.receipts)):
        return "FINAL"
    return "EXECUTED" if included_final else "EXECUTED_OPTIMISTIC"


def _result(found: Progress) -> Json:
    """The status that the whole transaction has: that of the receipt at the end of its chain."""
    outcomes = {to_base58(done.name): done.outcome for done in found.receipts}
    current = found.transaction.outcome["status"]
    while "SuccessReceiptId" in current:
        following = outcomes.get(current["SuccessReceiptId"])
        if following is None:
            return "Started"
        current = following["status"]
    return current


def _outcome_view(done: _Done) -> Json:
    return {
        "proof": [],
        "block_hash": to_base58(done.header.hash),
        "id": to_base58(done.name),
        "outcome": done.outcome,
    }


def answer(chain: Chain, found: Progress, with_receipts: bool = False) -> Json:
    """What `send_tx` and `tx` answer."""
    known = chain.known(found.transaction.name)
    assert known is not None
    shown = {
        "final_execution_status": status(chain, found),
        "status": _result(found),
        "transaction": transaction_view(known.signed),
        "transaction_outcome": _outcome_view(found.transaction),
        "receipts_outcome": [_outcome_view(done) for done in found.receipts],
    }
    if with_receipts:
        names = [*(done.name for done in found.receipts), *found.pending, *found.refunds_pending]
        receipts = [chain.receipt(name) for name in names]
        shown["receipts"] = [receipt_view(one) for one in receipts if one is not None]
    return shown
