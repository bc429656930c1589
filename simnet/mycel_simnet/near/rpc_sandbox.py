"""RPC methods that no network has: for tests, to let time pass, and to go back to where one was.

``sandbox_fast_forward`` is that of near-sandbox, which takes a number of blocks only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mycel_simnet.near import params as read
from mycel_simnet.near.chain import BLOCK_NANOSECONDS, MAX_SKIPPED, TooFar
from mycel_simnet.near.node import Node
from mycel_simnet.near.rpc_errors import handler_error, parse_error
from mycel_simnet.near.types import Json

MAX_SNAPSHOTS = 16
MAX_STEPS = 1000
MAX_SECONDS = 10_000_000_000  # some three hundred years


async def fast_forward(node: Node, params: Json) -> Json:
    """Let ``delta_height`` blocks and ``delta_seconds`` pass: a second a block unless said otherwise."""
    asked = read.as_object(params)
    blocks, seconds = asked.get("delta_height", 0), asked.get("delta_seconds")
    if type(blocks) is not int or not 0 <= blocks <= MAX_SKIPPED:
        raise parse_error(f"Failed parsing args: delta_height is a number up to {MAX_SKIPPED}")
    if seconds is not None and (type(seconds) is not int or not 0 <= seconds <= MAX_SECONDS):
        raise parse_error(f"Failed parsing args: delta_seconds is a number up to {MAX_SECONDS}")
    skipped = blocks * BLOCK_NANOSECONDS if seconds is None else seconds * 1_000_000_000
    try:
        node.chain.skip(blocks or 3, skipped)
    except TooFar as error:
        raise handler_error("TOO_FAR", {}, str(error)) from None
    node.tell()
    return {}


async def step(node: Node, params: Json) -> Json:
    """Make ``blocks`` blocks now, one unless said otherwise."""
    blocks = read.as_object(params).get("blocks", 1)
    if type(blocks) is not int or not 1 <= blocks <= MAX_STEPS:
        raise parse_error(f"Failed parsing args: blocks is a number up to {MAX_STEPS}")
    for _ in range(blocks):
        node.chain.produce()
    node.tell()
    return {}


async def snapshot(node: Node, _: Json) -> Json:
    """Keep the chain as it is now; answers the snapshot's number."""
    if len(node.snapshots) >= MAX_SNAPSHOTS:
        raise handler_error("TOO_MANY_SNAPSHOTS", {}, f"there are {MAX_SNAPSHOTS} snapshots already")
    node.chain.settle()
    node.snapshots.append(node.chain.copy())
    return len(node.snapshots) - 1


async def restore(node: Node, params: Json) -> Json:
    """Make the chain what it was; the snapshot can be used again."""
    number = read.as_object(params).get("snapshot")
    if type(number) is not int or not 0 <= number < len(node.snapshots):
        raise handler_error("UNKNOWN_SNAPSHOT", {}, "there is no such snapshot")
    node.chain.put_back(node.snapshots[number])
    node.tell()
    return {}


METHODS: dict[str, Callable[[Node, Json], Awaitable[Json]]] = {
    "sandbox_fast_forward": fast_forward,
    "devchain_step": step,
    "devchain_snapshot": snapshot,
    "devchain_restore": restore,
}
