"""Carrying out a call: the contract runs, and the promises that it made become receipts (nearcore's `function_call.rs`)."""

from __future__ import annotations

from dataclasses import replace

from mycel_simnet.near import borsh, vm
from mycel_simnet.near.actions import UNNAMED, Run
from mycel_simnet.near.errors import ActionFailed, no_code
from mycel_simnet.near.host import Context, NewReceipt
from mycel_simnet.near.keys import PublicKey, sha256
from mycel_simnet.near.state import CODE
from mycel_simnet.near.types import Account, ActionReceipt, DataReceiver, FunctionCall, Receipt

_U64 = 8  # bytes


def call_hash(receipt_id: bytes, height: int, index: int) -> bytes:
    """Names one action of a receipt; the names of its data and its randomness come from it."""
    return sha256(receipt_id, height.to_bytes(_U64, "little"), ((1 << 64) - 1 - index).to_bytes(_U64, "little"))


def call(run: Run, action: FunctionCall, index: int, is_last: bool) -> None:
    """Run the method. What it burnt and logged is noted whatever comes of it; raises `ActionFailed`."""
    account = run.account
    assert account is not None, "checked before"
    name = call_hash(run.receipt.receipt_id, run.block.height, index)
    code = run.state.get(CODE, run.receiver)
    if code is None:
        raise ActionFailed.of("FunctionCallError", no_code(run.receiver).json)
    outcome = vm.run(code, action.method_name, _context(run, account, action, name, is_last), run.state)
    run.gas_burnt += outcome.gas_burnt
    run.gas_burnt_by_calls += outcome.gas_burnt
    run.gas_used += outcome.gas_used
    run.logs.extend(outcome.logs)
    run.profile.update(outcome.profile)
    if outcome.error is not None:
        raise ActionFailed.of("FunctionCallError", outcome.error.json)
    run.change(replace(account, amount=outcome.balance, storage_usage=outcome.storage_usage))
    run.subsidised += outcome.subsidised
    first = len(run.new_receipts)
    run.new_receipts.extend(to_receipts(run.receipt, outcome.receipts, name, run.block.height))
    run.returned = first + outcome.returned if isinstance(outcome.returned, int) else outcome.returned or b""


def _context(run: Run, account: Account, action: FunctionCall, name: bytes, is_last: bool) -> Context:
    receipt = run.receipt.action
    return Context(
        current_account_id=run.receiver,
        signer_account_id=receipt.signer_id,
        signer_public_key=borsh.encode(PublicKey, receipt.signer_public_key),
        predecessor_account_id=run.receipt.predecessor_id,
        refund_to_account_id=receipt.refund_to or run.receipt.predecessor_id,
        input=action.args,
        promise_results=run.promise_results,
        output_data_receivers=tuple(one.receiver_id for one in receipt.output_data_receivers) if is_last else (),
        block_height=run.block.height,
        block_timestamp=run.block.timestamp,
        epoch_height=run.block.epoch_height,
        account_balance=account.amount,
        locked_balance=account.locked,
        storage_usage=account.storage_usage,
        attached_deposit=action.deposit,
        prepaid_gas=action.gas,
        random_seed=sha256(name, run.block.random),
        code_hash=account.code_hash,
        chain_id=run.block.chain_id,
    )


def to_receipts(parent: Receipt, made: tuple[NewReceipt, ...], name: bytes, height: int) -> list[Receipt]:
    """The receipts of a call's promises; those that wait for others get the names of the data they wait for."""
    outputs: list[list[DataReceiver]] = [[] for _ in made]
    inputs: list[tuple[bytes, ...]] = []
    count = 0
    for one in made:
        ids = []
        for index in one.depends_on:
            data_id = sha256(name, height.to_bytes(_U64, "little"), count.to_bytes(_U64, "little"))
            count += 1
            outputs[index].append(DataReceiver(data_id, one.receiver_id))
            ids.append(data_id)
        inputs.append(tuple(ids))
    body = parent.action
    return [
        Receipt(
            parent.receiver_id,
            one.receiver_id,
            UNNAMED,
            ActionReceipt(
                body.signer_id,
                body.signer_public_key,
                body.gas_price,
                tuple(outputs[index]),
                inputs[index],
                tuple(one.actions),
                one.refund_to,
            ),
        )
        for index, one in enumerate(made)
    ]
