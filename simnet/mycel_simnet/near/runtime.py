"""From a transaction to its last receipt: what is charged, carried out, undone, answered and given back (nearcore's `runtime`)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from mycel_simnet.near import fees, tables
from mycel_simnet.near.actions import (
    Block,
    Run,
    balance_refund,
    carry_out,
    check_existence,
    check_permission,
    data_receipt,
    gas_refund,
    is_instant,
)
from mycel_simnet.near.calls import call
from mycel_simnet.near.errors import ActionFailed, ActionsInvalid
from mycel_simnet.near.keys import sha256, to_base58
from mycel_simnet.near.state import (
    ACCOUNT,
    PENDING,
    POSTPONED,
    RECEIVED,
    WAITING,
    Change,
    Ledger,
    Overlay,
    account_of,
)
from mycel_simnet.near.types import (
    ActionReceipt,
    DataReceipt,
    DataReceiver,
    FunctionCall,
    Json,
    Receipt,
    Transaction,
)
from mycel_simnet.near.verify import charge, check_actions, missing_balance


@dataclass(frozen=True)
class Outcome:
    """What came of a transaction or a receipt."""

    id: bytes
    executor_id: str
    receipt_ids: tuple[bytes, ...]
    gas_burnt: int
    tokens_burnt: int
    value: bytes | None = None  # it succeeded, with this value
    next_id: bytes | None = None  # it succeeded, and the outcome of this receipt is its own
    failure: Json = None  # it failed (`TxExecutionError`)
    logs: tuple[str, ...] = ()
    profile: dict[str, int] | None = None  # what a receipt burnt its gas for


class Written(NamedTuple):
    """Changes of the state, and what made them."""

    cause: Json
    changes: list[Change]


def receipt_id(parent: bytes, height: int, index: int) -> bytes:
    """The name of the receipt that a transaction or another receipt makes."""
    return sha256(parent, height.to_bytes(8, "little"), index.to_bytes(8, "little"))


class Runtime:
    """Carries out the transactions and receipts of one block on the ledger."""

    def __init__(self, ledger: Ledger, block: Block) -> None:
        self.ledger, self.block = ledger, block
        self.outcomes: list[Outcome] = []
        self.written: list[Written] = []
        self.outgoing: list[Receipt] = []  # for the next block
        self.local: list[Receipt] = []  # from signers to themselves: for this one
        self.delayed: list[Receipt] = []  # what this block has no gas left for
        self.gas_burnt = 0
        self.supply_change = 0  # of all tokens there are: what was burnt, less what came from nowhere
        self.made: list[Receipt] = []  # every receipt that came into being

    def _commit(self, overlay: Overlay, cause: str, **names: Json) -> None:
        changes = overlay.commit()
        if changes:
            self.written.append(Written({"type": cause, **names}, changes))

    def convert(self, transaction: Transaction) -> None:
        """Charge a transaction and make its receipt; raises `InvalidTransaction`."""
        overlay = Overlay(self.ledger)
        cost = charge(overlay, transaction, self.block.height, self.block.gas_price)
        self._commit(overlay, "transaction_processing", tx_hash=to_base58(transaction.hash))
        name = receipt_id(transaction.hash, self.block.height, 0)
        body = ActionReceipt(transaction.signer_id, transaction.public_key, cost.gas_price, (), (), transaction.actions)
        receipt = Receipt(transaction.signer_id, transaction.receiver_id, name, body)
        self.made.append(receipt)
        (self.local if transaction.signer_id == transaction.receiver_id else self.outgoing).append(receipt)
        self.outcomes.append(
            Outcome(transaction.hash, transaction.signer_id, (name,), cost.gas_burnt, cost.burnt, next_id=name)
        )
        self.gas_burnt += cost.gas_burnt
        self.supply_change -= cost.burnt

    def process(self, receipts: Iterable[Receipt]) -> None:
        """Carry out receipts, those from signers to themselves first, until the block's gas is burnt."""
        for receipt in (*self.local, *receipts):
            if self.gas_burnt >= tables.GAS_LIMIT:
                self.delayed.append(receipt)
                continue
            queue = deque([receipt])
            while queue:
                for new in self._process(queue.popleft()):
                    (queue if is_instant(new) else self.outgoing).append(new)
        self.local = []

    def _process(self, receipt: Receipt) -> list[Receipt]:
        if isinstance(receipt.body, DataReceipt):
            return self._receive(receipt.receiver_id, receipt.body)
        overlay = Overlay(self.ledger)
        missing = [
            data_id
            for data_id in receipt.action.input_data_ids
            if overlay.get(RECEIVED, receipt.receiver_id, data_id) is None
        ]
        if not missing:
            return self._apply(receipt)
        for data_id in missing:
            overlay.put(WAITING, receipt.receiver_id, data_id, receipt.receipt_id)
        overlay.put(PENDING, receipt.receiver_id, receipt.receipt_id, len(missing).to_bytes(4, "little"))
        overlay.put(POSTPONED, receipt.receiver_id, receipt.receipt_id, receipt)
        self._commit(overlay, "postponed_receipt", receipt_hash=to_base58(receipt.receipt_id))
        return []

    def _receive(self, account: str, data: DataReceipt) -> list[Receipt]:
        """Keep the data; the receipt that waited for it last of all is carried out."""
        overlay = Overlay(self.ledger)
        overlay.put(RECEIVED, account, data.data_id, data)
        waiting = overlay.get(WAITING, account, data.data_id)
        ready: Receipt | None = None
        if waiting is not None:
            overlay.put(WAITING, account, data.data_id, None)
            count = int.from_bytes(overlay.get(PENDING, account, waiting), "little") - 1
            overlay.put(PENDING, account, waiting, count.to_bytes(4, "little") if count else None)
            if not count:
                ready = overlay.get(POSTPONED, account, waiting)
                overlay.put(POSTPONED, account, waiting, None)
        self._commit(overlay, "postponed_receipt", receipt_hash=to_base58(waiting or data.data_id))
        return [] if ready is None else self._apply(ready)

    def _apply(self, receipt: Receipt) -> list[Receipt]:
        """Carry an action receipt out, or undo all of it; returns the receipts that it makes."""
        started = Overlay(self.ledger)
        results = []
        for data_id in receipt.action.input_data_ids:
            results.append(started.get(RECEIVED, receipt.receiver_id, data_id).data)
            started.put(RECEIVED, receipt.receiver_id, data_id, None)
        self._commit(started, "action_receipt_processing_started", receipt_hash=to_base58(receipt.receipt_id))
        overlay = Overlay(self.ledger)
        existed = account_of(overlay, receipt.receiver_id) is not None
        run = Run(overlay, receipt, self.block, tuple(results))
        failure = _carry_out_all(run)
        if failure is not None:
            run.new_receipts.clear()
            run.subsidised = 0
        created = failure is None and not existed and run.account is not None
        refunds, burnt = self._refunds(run, failure is not None, created)
        if failure is None:
            self._commit(overlay, "receipt_processing", receipt_hash=to_base58(receipt.receipt_id))
        self.gas_burnt += run.gas_burnt
        self.supply_change += run.subsidised - burnt + self._reward(run)
        if receipt.is_refund and failure is not None:
            self.supply_change -= fees.deposit(receipt.action.actions)
        receipts = self._named(receipt, _answered(run, failure, refunds))
        self.made.extend(receipts)
        self.outcomes.append(_outcome(run, failure, burnt, receipts))
        return receipts

    def _refunds(self, run: Run, failed: bool, created: bool) -> tuple[list[Receipt], int]:
        """Receipts that give back the deposit of what failed and the gas that was not burnt; and the tokens that were."""
        receipt, body = run.receipt, run.receipt.action
        if receipt.is_refund:
            return [], 0
        purchase = body.gas_price
        burn = min(purchase, self.block.gas_price)
        bought = fees.prepaid_gas(body.actions) + fees.execution_gas(body.actions, receipt.receiver_id)
        unused = (bought - (run.gas_burnt if failed else run.gas_used)) * purchase
        surplus = (purchase - burn) * run.gas_burnt
        charged = 0
        if created:
            paid = burn * tables.CREATE_ACCOUNT.execution
            charged = min(max(tables.CREATION_CHARGE - paid, 0), surplus)
        refunds = []
        deposit = fees.deposit(body.actions) if failed else 0
        if deposit:
            refunds.append(balance_refund(body.refund_to or receipt.predecessor_id, deposit))
        gas = unused + surplus - charged
        if gas:
            refunds.append(gas_refund(body.signer_id, body.signer_public_key, gas))
        return refunds, burn * run.gas_burnt + charged

    def _reward(self, run: Run) -> int:
        """The contract's share of the gas that its calls burnt (none since protocol 87), whether they succeeded or not."""
        part, whole = self.block.reward
        gas = run.gas_burnt_by_calls * part // whole
        reward = gas * min(run.receipt.action.gas_price, self.block.gas_price)
        overlay = Overlay(self.ledger)
        account = account_of(overlay, run.receiver)
        if not reward or account is None:
            return 0
        overlay.put(ACCOUNT, run.receiver, b"", replace(account, amount=account.amount + reward))
        self._commit(overlay, "action_receipt_gas_reward", receipt_hash=to_base58(run.receipt.receipt_id))
        return reward

    def _named(self, parent: Receipt, receipts: list[Receipt]) -> list[Receipt]:
        return [
            replace(one, receipt_id=receipt_id(parent.receipt_id, self.block.height, index))
            for index, one in enumerate(receipts)
        ]


def _carry_out_all(run: Run) -> Json:
    """All actions of the receipt; returns what went wrong (`TxExecutionError`), or None."""
    actions = run.receipt.action.actions
    index: int | None = None
    try:
        for index, action in enumerate(actions):
            execution = fees.fee(action, run.receiver).execution
            run.gas_burnt += execution
            run.gas_used += execution
            check_existence(run, action, len(actions) == 1)
            check_permission(run, action)
            run.returned = b""
            first = len(run.new_receipts)
            if isinstance(action, FunctionCall):
                call(run, action, index, index == len(actions) - 1)
            else:
                carry_out(run, action)
            _check_new(run.new_receipts[first:])
        index = None
        _check_storage(run)
    except ActionFailed as error:
        return {"ActionError": {"index": index, "kind": error.json}}
    return None


def _check_new(receipts: list[Receipt]) -> None:
    try:
        for receipt in receipts:
            check_actions(receipt.action.actions)
    except ActionsInvalid as error:
        raise ActionFailed.of("NewReceiptValidationError", {"ActionsValidation": error.json}) from None


def _check_storage(run: Run) -> None:
    account = run.account
    lacking = 0 if account is None else missing_balance(account, account.amount)
    if lacking:
        raise ActionFailed("LackBalanceForState", account_id=run.receiver, amount=str(lacking))


def _answered(run: Run, failure: Json, refunds: list[Receipt]) -> list[Receipt]:
    """The new receipts, the refunds, and the answers to who waits for this one."""
    receipts = [*run.new_receipts, *refunds]
    waiting = run.receipt.action.output_data_receivers
    if failure is None and isinstance(run.returned, int):
        receipts[run.returned] = _with_receivers(receipts[run.returned], waiting)
        return receipts
    data = run.returned if failure is None else None
    assert data is None or isinstance(data, bytes)
    return [*receipts, *(data_receipt(run.receiver, one.receiver_id, one.data_id, data) for one in waiting)]


def _with_receivers(receipt: Receipt, more: tuple[DataReceiver, ...]) -> Receipt:
    body = receipt.action
    return replace(receipt, body=replace(body, output_data_receivers=(*body.output_data_receivers, *more)))


def _outcome(run: Run, failure: Json, burnt: int, receipts: list[Receipt]) -> Outcome:
    returned = run.returned
    return Outcome(
        run.receipt.receipt_id,
        run.receiver,
        tuple(one.receipt_id for one in receipts if isinstance(one.body, ActionReceipt)),
        run.gas_burnt,
        burnt,
        value=returned if failure is None and isinstance(returned, bytes) else None,
        next_id=receipts[returned].receipt_id if failure is None and isinstance(returned, int) else None,
        failure=failure,
        logs=tuple(run.logs),
        profile=dict(Counter(run.profile)),
    )
