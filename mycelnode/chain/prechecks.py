"""Why an intent would fail if it were sent now, as a final block shows it: what can be known before is not paid for with gas."""

from __future__ import annotations

import json
from typing import Any, Final

from mycelnode.chain.amounts import format_near, is_implicit
from mycelnode.chain.batches import gas_bought
from mycelnode.chain.gas import (
    BATCHES,
    CREATE,
    FREE_BYTES,
    MARGIN,
    NEW_ACCOUNT,
    SUCCEED,
    YOCTO_A_BYTE,
    gas_of_transfer,
    paid_in_advance,
)
from mycelnode.chain.near import AccessKey, Block, Near
from mycelnode.chain.registry import Registry
from mycelnode.chain.reputation import Reputation
from mycelnode.errors import ContractRefused, ContractWrong, DeployRefused
from mycelnode.protocols.payment_journal import Intent

RATE: Final = "rate_pattern"
PAUSABLE: Final = frozenset(
    ("register_pattern", "update_pattern", "set_price", SUCCEED, RATE, "record_fl_contribution")
)
NOTHING: Final = "nothing was spent"


async def refusal(near: Near, intent: Intent, key: AccessKey, block: Block) -> str:
    """A sentence, or nothing if it may succeed. Raises what the network's answers raise."""
    try:
        why = _of_key(intent, key, block) or await _of_money(near, intent, block)
    except DeployRefused as error:  # it would bring other code than was meant
        why = str(error)
    if not why and intent.method and intent.method not in BATCHES - PAUSABLE:
        try:
            why = await _of_contract(near, intent, block)
        except (ContractRefused, ContractWrong) as error:
            why = str(error)
    return f"{why}; {NOTHING}" if why else ""


async def no_account(near: Near, account: str, block: Block) -> str:
    """The same of an account of which there is no key; nothing if it is there."""
    return "" if await near.account(account, block.hash) else f"{missing(account)}; {NOTHING}"


def missing(account: str, network: str = "this network") -> str:
    """That there is no such account, and how there would be one."""
    made = "; it is made by what is first sent to it" if is_implicit(account) else ""
    return f"there is no account {account} on {network}{made}"


def _of_key(intent: Intent, key: AccessKey, block: Block) -> str:
    """A key that may only call functions cannot attach even one yoctoNEAR."""
    if key.receiver is None:
        return ""
    if intent.deposit or not intent.method:
        return f"the key {intent.key} of {intent.account} may only call methods, and cannot pay"
    if key.receiver != intent.receiver or (key.methods and intent.method not in key.methods):
        return f"the key {intent.key} of {intent.account} may not call {intent.method} of {intent.receiver}"
    needed = paid_in_advance(intent.gas + MARGIN, block.gas_price)
    if key.allowance is not None and key.allowance < needed:
        return (
            f"the key {intent.key} may spend {format_near(key.allowance)} on gas, and {format_near(needed)} are needed"
        )
    return ""


async def _of_money(near: Near, intent: Intent, block: Block) -> str:
    account = await near.account(intent.account, block.hash)
    if account is None:
        return missing(intent.account)
    gas, more = intent.gas + MARGIN, 0
    if intent.method in BATCHES:
        gas, more = gas_bought(intent), NEW_ACCOUNT if intent.method == CREATE else 0
    elif not intent.method:
        gas = gas_of_transfer(intent.receiver)
        if await near.account(intent.receiver, block.hash) is None:
            if not is_implicit(intent.receiver):
                return missing(intent.receiver)
            more = NEW_ACCOUNT
    kept = account.storage * YOCTO_A_BYTE if account.storage > FREE_BYTES else 0
    has = max(0, account.balance - max(0, kept - account.locked))
    needed = intent.deposit + more + paid_in_advance(gas, block.gas_price)
    if has < needed:
        return f"{intent.account} has {format_near(has)} to spend, and {format_near(needed)} are needed, with the gas in advance"
    return ""


async def _of_contract(near: Near, intent: Intent, block: Block) -> str:
    registry = Registry(near, intent.receiver)
    if intent.method in PAUSABLE:
        info = await registry.info(block.hash)
        if info.paused:
            return f"{intent.receiver} is paused"
        # it would take the rating, and take it back when the other one refuses it
        paused = intent.method == RATE and await Reputation(near, info.reputation).paused(block.hash)
        return f"{info.reputation} is paused" if paused else ""
    if intent.method != "use_pattern":
        return ""
    args: dict[str, Any] = json.loads(intent.args)
    quote = await registry.quote(args["id"], intent.account, block.hash)
    if quote.paused:
        return f"{intent.receiver} is paused"
    if quote.retired:
        return f"the pattern {args['id']} is retired"
    if quote.hash != args["expected_hash"]:
        return f"the pattern {args['id']} is another one by now than was agreed to"
    if quote.price > int(args["max_price"]) or quote.total > intent.deposit:
        return f"the pattern {args['id']} costs {format_near(quote.total)} by now, more than was agreed to"
    if quote.nth != args["nth"]:
        return f"the next use of the pattern {args['id']} is number {quote.nth}, not {args['nth']}"
    return ""
