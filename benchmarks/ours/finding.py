"""A registry of N patterns by a hundred creators on a devchain: gas to register and to use one, and a page of 50. Argument: N.

The page is what `find_patterns` tells of one domain in which all of them lie, asked for by our client.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.ours.registry import AT_ONCE, DEPOSIT, deploy
from benchmarks.ours.world import Numbers, job
from mycel_simnet.near.devchain import NEAR, TERAGAS, Devchain, Wallet, open_devchain
from mycel_simnet.near.rpc_query import view_call
from mycel_simnet.near.state import account_of
from mycel_simnet.near.types import FunctionCall
from mycelnode.chain.near import Near
from mycelnode.chain.registry import MAX_LIMIT, Registry
from mycelnode.chain.rpc import open_rpc
from mycelnode.patterns.cid import DAG_CBOR, Cid

CREATORS: Final = 100
DOMAIN: Final = "code"
PRICE: Final = NEAR // 100
PAGES: Final = 20  # asked for, of which the median is taken


def _registering(number: int) -> FunctionCall:
    digest = hashlib.sha256(b"%d" % number).digest()
    args = {"pattern_hash": digest.hex(), "metadata_cid": str(Cid(DAG_CBOR, digest)), "domain": DOMAIN}
    return FunctionCall(
        "register_pattern", json.dumps({**args, "price_per_use": str(PRICE)}).encode(), 10 * TERAGAS, DEPOSIT
    )


async def _register(chain: Devchain, registry: str, wallet: Wallet, numbers: Sequence[int]) -> None:
    for start in range(0, len(numbers), AT_ONCE):
        outcome = await chain.send(wallet, registry, *map(_registering, numbers[start : start + AT_ONCE]))
        assert "SuccessValue" in outcome["status"], outcome["status"]


def _tgas(outcome: dict[str, Any]) -> float:
    """What a transaction burnt, with all that followed."""
    assert "SuccessValue" in outcome["status"], outcome["status"]
    parts = [outcome["transaction_outcome"], *outcome["receipts_outcome"]]
    return float(sum(part["outcome"]["gas_burnt"] for part in parts)) / TERAGAS


def _page_tgas(chain: Devchain, registry: str) -> float:
    """What the page takes; RPC servers do not tell."""
    head, account = chain.chain.head, account_of(chain.chain.ledger, registry)
    assert account is not None
    args = json.dumps({"domain": DOMAIN, "min_reputation": 0, "from_index": 0, "limit": MAX_LIMIT}).encode()
    outcome = view_call(chain.chain, head, chain.chain.state_at(head), registry, account, "find_patterns", args)
    assert outcome.error is None
    return outcome.gas_burnt / TERAGAS


async def measure(folder: Path, n: int) -> Numbers:
    """Tgas of a registration, of a use and of a page; and the page's milliseconds."""
    async with open_devchain() as chain:
        registry = await deploy(chain)
        for number in range(CREATORS):
            wallet = await chain.create_account(f"creator-{number}", 100 * NEAR)
            await _register(chain, registry, wallet, range(number, n, CREATORS))
        alice, bob = chain.wallets["alice.near"], chain.wallets["bob.near"]
        numbers: Numbers = {"register_tgas": _tgas(await chain.send(alice, registry, _registering(n)))}
        digest = hashlib.sha256(b"%d" % n).hexdigest()
        use = {"id": n, "expected_hash": digest, "max_price": str(PRICE), "nth": 1}
        call = FunctionCall("use_pattern", json.dumps(use).encode(), 50 * TERAGAS, 2 * PRICE)
        numbers["use_tgas"] = _tgas(await chain.send(bob, registry, call))
        numbers["page_tgas"] = _page_tgas(chain, registry)
        await chain.fast_forward(blocks=3)
        async with open_rpc("devchain", [chain.url]) as rpc:
            took = []
            for _ in range(PAGES + 1):
                started = perf_counter()
                found = await Registry(Near(rpc), registry).find(DOMAIN)
                took.append((perf_counter() - started) * 1000)
                assert len(found) == MAX_LIMIT
        return {**numbers, "page_ms": statistics.median(took[1:])}


if __name__ == "__main__":
    job(measure)
