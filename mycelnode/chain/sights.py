"""What final blocks show of an intent; and what other servers show, where one may stand still, or lie.

A look asks one server. Others are asked when its block has not moved, and when something is to be given up for good, as it may be
wanted, and paid for, again then (docs/decisions/0034-two-servers.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from mycelnode.chain import batches
from mycelnode.chain.gas import BATCHES
from mycelnode.chain.near import Block, Near
from mycelnode.chain.prechecks import RATE, no_account, refusal
from mycelnode.chain.registry import Registry
from mycelnode.chain.rpc import GENESIS
from mycelnode.encoding import base58
from mycelnode.errors import ContractRefused, ContractWrong, MycelError, NearRefused
from mycelnode.protocols.payment import SETTLE_BLOCKS, Sight
from mycelnode.protocols.payment_journal import Entry, Intent

UNKNOWN_TRANSACTION: Final = "UNKNOWN_TRANSACTION"
UNKNOWN_BLOCK: Final = "UNKNOWN_BLOCK"
ENOUGH: Final = 2  # servers that show the same
TAKEN_BACK: Final = frozenset((RATE, "claim"))  # by their callbacks, where what they call fails


async def sight(near: Near, entry: Entry, block: Block, valid: int) -> Sight:
    """What a block shows: all of it read at that very block. Raises what the network's answers raise."""
    intent, fresh = entry.intent, entry.signed is None
    key = await near.access_key(intent.account, intent.key, block.hash)
    done: bool | None = None
    why = ""
    if intent.check is not None:
        try:
            viewed = await near.view(intent.receiver, intent.check.method, intent.check.args, block.hash)
        except (ContractRefused, ContractWrong) as error:  # what is signed is decided without it
            why = f"{error}; nothing was spent"
        else:
            done = intent.check.met(viewed.value)
    elif intent.method in BATCHES:
        done = await batches.done(near, intent, block.hash)
    if fresh and not done and not why:
        why = await (no_account(near, intent.account, block) if key is None else refusal(near, intent, key, block))
    nonce = None if key is None else key.nonce
    passing = bool(done) and intent.method in TAKEN_BACK and await _may_be_taken_back(near, intent, block)
    over = (passing or done is False) and intent.method in TAKEN_BACK and await _is_over(near, entry, block)
    alone = len(near.rpc.servers) < ENOUGH
    return Sight(block.height, block.digest, nonce, done, valid, why, alone, passing, over)


async def _may_be_taken_back(near: Near, intent: Intent, block: Block) -> bool:
    """Is anything of that kind under way at the registry? Its view of one account does not say whether that is settled."""
    try:
        info = await Registry(near, intent.receiver).info(block.hash)
    except (ContractRefused, ContractWrong):
        return True
    return bool(info.pending_ratings if intent.method == RATE else info.in_flight)


async def _is_over(near: Near, entry: Entry, block: Block) -> bool:
    """Was what was signed carried out by this block, with all that it caused?"""
    signed, outcome = entry.signed, entry.outcome
    if signed is None or outcome is None or outcome.hash != signed.hash or not outcome.success:
        return False
    try:
        last = await near.over(signed.hash, entry.intent.account)
    except NearRefused:  # it is forgotten, or its blocks are
        return False
    return last is not None and last <= block.height


async def newest(near: Near, block: Block) -> Block:
    """The newest final block that any server shows, if it is newer than ``block``; who is behind that one is left alone then."""
    found: list[tuple[Near, Block]] = []
    for one in near.each():
        with suppress(MycelError):
            found.append((one, await one.block()))
    best = max((seen for _, seen in found), key=lambda seen: seen.height, default=block)
    if best.height <= block.height:
        return block
    for one, seen in found:
        if seen.height <= block.height:
            one.rpc.servers[0].put_aside(f"stands still, at block {seen.height:,}")
    return best


async def disputed(near: Near, entry: Entry, seen: Sight) -> str:
    """Why nothing is to be given up for what was seen: fewer than two servers show it. Nothing, if two do, or only one answers."""
    agree: list[Near] = []
    against: list[Near] = []
    waits: list[Near] = []
    for one in near.each():
        with suppress(MycelError):
            same = await _shows(one, entry, seen)
            (waits if same is None else agree if same else against).append(one)
        if len(agree) == ENOUGH:
            return ""
    if against:
        for one in agree:
            one.rpc.servers[0].put_aside("was contradicted by another server")
        return f"{_names([*agree, *against])} contradict each other, so nothing is done; set near.rpc to those that you believe"
    return f"{_names(waits)} cannot tell yet what became of it" if waits else ""


def _names(servers: Sequence[Near]) -> str:
    return " and ".join(one.rpc.servers[0].name for one in servers)


async def _shows(one: Near, entry: Entry, seen: Sight) -> bool | None:
    """Does a server show the same of the same block, and tell the same of the transaction? None: it cannot tell yet.

    Raises if it does not answer.
    """
    try:
        block = await one.block(base58(seen.hash))
    except NearRefused as error:
        if error.kind != UNKNOWN_BLOCK:
            raise
        last = await one.block()  # raises if that is old
        if one.rpc.network not in GENESIS and last.height < seen.height:
            raise  # where no block is old, it may be behind for ever
        return False
    other = await sight(one, entry, block, seen.valid)
    if (other.height, other.nonce, other.done) != (seen.height, seen.nonce, seen.done):
        return False
    if seen.over and not other.over:
        return None
    return entry.spent_at is None or await _tells_the_same(one, entry, seen.height - entry.spent_at)


async def _tells_the_same(one: Near, entry: Entry, since: int) -> bool | None:
    """``since``: blocks after the nonce was first seen to be spent. By then what was carried out is, and may be forgotten."""
    name = entry.signed if entry.outcome is None else entry.outcome
    assert name is not None, "a nonce is spent on something"
    try:
        told = await one.outcome(name.hash, entry.intent.account)
    except NearRefused as error:
        if error.kind != UNKNOWN_TRANSACTION:
            raise
        told = None
    if entry.outcome is None:
        return told is None
    if told is None:
        return since > SETTLE_BLOCKS or None
    return told.success == entry.outcome.success
