"""The local copy of a registry of N patterns on a devchain: catching up with N changes, and search with it. Argument: N.

The patterns are those of the search benchmark, all registered by the account that they name. What the chain takes alone is
measured beside it: the same pages, asked for by httpx and thrown away.
"""

from __future__ import annotations

import base64
import json
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import httpx
import numpy as np

from benchmarks.ours.search import BATCH, LIMIT, Texts, fill, queries_of, texts_of
from benchmarks.ours.world import Numbers, job
from mycel_simnet.near.devchain import NEAR, TERAGAS, Devchain, open_devchain
from mycel_simnet.near.types import FunctionCall
from mycelnode.chain import copied
from mycelnode.chain.indexer import Indexer
from mycelnode.chain.near import Near
from mycelnode.chain.registry import MAX_LIMIT, Registry
from mycelnode.chain.reputation import Standing
from mycelnode.chain.rpc import open_rpc
from mycelnode.clock import SystemClock
from mycelnode.collective.searching import Searcher
from mycelnode.database import Database, open_database
from mycelnode.market.asking import Asked
from mycelnode.paths import DataDir
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.search import Query
from mycelnode.tls import trusted

WASM: Final = Path(__file__).parents[2] / "contracts" / "res"
ALICE: Final = "alice.near"
AT_ONCE: Final = 25  # registrations in one transaction
DEPOSIT: Final = NEAR // 8
LOOKS: Final = 20


async def deploy(chain: Devchain) -> str:
    """Both contracts, owned by the root account; the registry's name."""
    registry, reputation = [await chain.create_account(name) for name in ("registry", "reputation")]
    owner = chain.root.account_id
    code = {name: (WASM / f"{name}.wasm").read_bytes() for name in ("registry", "reputation")}
    await chain.deploy(registry, code["registry"], "new", {"owner": owner, "reputation": reputation.account_id})
    await chain.deploy(reputation, code["reputation"], "new", {"owner": owner, "registry": registry.account_id})
    return registry.account_id


async def _register(chain: Devchain, registry: str, cids: Sequence[Cid]) -> None:
    for start in range(0, len(cids), AT_ONCE):
        calls = []
        for number, cid in enumerate(cids[start : start + AT_ONCE], start):
            args = {"pattern_hash": cid.digest.hex(), "metadata_cid": str(cid), "domain": f"domain-{number % 8}"}
            data = json.dumps({**args, "price_per_use": str(number)}).encode()
            calls.append(FunctionCall("register_pattern", data, 10 * TERAGAS, DEPOSIT))
        outcome = await chain.send(chain.wallets[ALICE], registry, *calls)
        assert "SuccessValue" in outcome["status"], outcome["status"]


async def _plain(url: str, registry: str, n: int) -> float:
    """Seconds for the same pages, one after the other, with nothing made of them."""
    started, from_seq = perf_counter(), 0
    async with httpx.AsyncClient(verify=trusted(), trust_env=False) as client:
        while from_seq < n:
            args = base64.b64encode(json.dumps({"from_seq": from_seq, "limit": MAX_LIMIT}).encode()).decode()
            asked = {
                "request_type": "call_function",
                "finality": "final",
                "account_id": registry,
                "method_name": "changes",
            }
            request = {"jsonrpc": "2.0", "id": "x", "method": "query", "params": {**asked, "args_base64": args}}
            answer: Any = (await client.post(url, json=request)).json()
            from_seq = json.loads(bytes(answer["result"]["result"]))["next_seq"]
    return perf_counter() - started


class _Copy:
    """A registry that need not be asked."""

    def __init__(self, asked: Asked) -> None:
        self._asked, self.copy = asked, asked.copy

    async def ask(self) -> Asked:
        """As it is."""
        return self._asked


async def _searches(database: Database, queries: Sequence[str]) -> Numbers:
    """Each query in turn with the copy and without, so that a slow moment falls on both."""
    asked = Asked("ok", database.look(copied.state))
    searchers = {"copy": Searcher(database, registry=_Copy(asked)), "alone": Searcher(database)}
    times: dict[str, list[float]] = {name: [] for name in searchers}
    for text in ("warm up", *queries):
        for name, searcher in searchers.items():
            started = perf_counter()
            searched = await searcher.search(Query(text, limit=LIMIT), lambda cid: (0, 0))
            times[name].append(perf_counter() - started)
            assert (len(searched.said) == len(searched.found)) == (name == "copy" or not searched.found)
    return {f"{name}_p50_ms": statistics.median(seconds[1:]) * 1000 for name, seconds in times.items()}


async def _fill(database: Database, texts: Sequence[Texts], n: int) -> None:
    none = np.zeros((0, 0), np.float32)
    for start in range(0, n, BATCH):
        part = texts[start : start + BATCH]
        await database.write(partial(fill, first=start, texts=part, vectors=none, near=ALICE))


async def measure(folder: Path, n: int) -> Numbers:
    """Seconds to catch up with n changes, milliseconds of a look that finds nothing new, and of searches."""
    rng = np.random.default_rng(1)
    texts = texts_of(rng, n)
    async with open_devchain() as chain:
        registry = await deploy(chain)
        data = DataDir(folder)
        async with open_database(data) as database, open_rpc("devchain", [chain.url]) as rpc:
            await _fill(database, texts, n)
            rows = database.look(lambda db: db.execute("SELECT cid FROM patterns ORDER BY no").fetchall())
            await _register(chain, registry, [Cid.from_bytes(cid) for (cid,) in rows])
            await chain.fast_forward(blocks=3)
            near = Near(rpc)
            indexer = Indexer(near, lambda: Registry(near, registry), database, SystemClock())
            started = perf_counter()
            while not await indexer.look():
                pass
            numbers: Numbers = {"catch_up_s": perf_counter() - started}
            held = database.look(copied.state)
            assert held is not None
            assert database.look(copied.count) == held.next_seq == n
            numbers["plain_s"] = await _plain(chain.url, registry, n)
            started = perf_counter()
            for _ in range(LOOKS):
                await indexer.look()
            numbers["look_ms"] = (perf_counter() - started) / LOOKS * 1000
            await database.write(partial(copied.put_scores, scores=[(ALICE, Standing(700, 9))], now=0))
            return {**numbers, **await _searches(database, queries_of(rng, texts))}


if __name__ == "__main__":
    job(measure)
