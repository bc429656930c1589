"""How long NEAR takes to answer our client and py-near's own, at the same local chain. Argument: repetitions.

The chain is a program of its own (`mycelnode chain devchain`) with the contracts of `contracts/res`. A view is `info` of the
registry; a transaction is a call that writes one record, until its outcome is final, with all that is asked before it is signed:
we ask for key and block each time, py-near keeps both for a while.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import trio

from benchmarks.ours.world import Numbers, job
from mycel_simnet.near.devchain import NEAR, Wallet, open_devchain
from mycelnode.chain.keys import NearKey
from mycelnode.chain.near import Call, Near, sign
from mycelnode.chain.rpc import open_rpc

WASM = Path(__file__).parents[2] / "contracts" / "res"
METHOD = "record_fl_contribution"
GAS = 20 * 10**12
WARM = 3  # what is done once in a process is not measured


def _arguments(number: int) -> dict[str, str]:
    return {"model": "llama3.2:3b", "gradient_hash": f"{number:064x}"}


async def _begin(folder: Path) -> tuple[Wallet, Wallet]:
    """A chain in ``folder`` with both contracts; the account that calls, and the registry."""
    async with open_devchain(folder) as chain:
        registry, reputation = [await chain.create_account(name) for name in ("registry", "reputation")]
        owner, caller = chain.wallets["alice.near"], chain.wallets["bob.near"]
        for one, other, field in ((registry, reputation, "reputation"), (reputation, registry, "registry")):
            code = (WASM / f"{one.account_id.split('.')[0]}.wasm").read_bytes()
            await chain.deploy(one, code, "new", {"owner": owner.account_id, field: other.account_id})
        await chain.call(caller, registry, METHOD, _arguments(0), deposit=NEAR // 100)  # pays for the record
        return caller, registry


async def _timed(times: int, one: Callable[[int], Awaitable[object]]) -> float:
    took = []
    for number in range(times + WARM):
        started = perf_counter()
        await one(number)
        took.append((perf_counter() - started) * 1000)
    return statistics.median(took[WARM:])


async def _ours(url: str, caller: Wallet, registry: str, times: int) -> Numbers:
    key = NearKey.of(caller.key.seed)
    async with open_rpc("devchain", [url]) as rpc:
        near = Near(rpc)

        async def transact(number: int) -> None:
            block, known = await near.block(), await near.access_key(caller.account_id, key.name)
            if known is None:
                raise RuntimeError("the caller has no such key")
            call = Call(METHOD, json.dumps(_arguments(number)).encode(), GAS, 0)
            signed = sign(key, caller.account_id, registry, known.nonce + 1, block.digest, [call])
            outcome = await near.send(signed, caller.account_id)
            if outcome is None or not outcome.success:
                raise RuntimeError(f"the call failed: {outcome}")

        view = await _timed(times, lambda _: near.view(registry, "info", b"{}"))
        return {"view_ms": view, "transaction_ms": await _timed(times, transact)}


async def _stock(url: str, caller: Wallet, registry: str, times: int) -> Numbers:
    from py_near.account import Account

    account: Any = Account(caller.account_id, caller.key.secret_text, url)
    await account.startup()

    async def transact(number: int) -> None:
        outcome = await account.function_call(registry, METHOD, _arguments(number), gas=GAS)
        if "Failure" in outcome.status:
            raise RuntimeError(f"the call failed: {outcome.status}")

    view = await _timed(times, lambda _: account.view_function(registry, "info", {}))
    found = {"pynear_view_ms": view, "pynear_transaction_ms": await _timed(times, transact)}
    await account.shutdown()
    return found


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The chain in ``folder``, in a program of its own; its address."""
    command = [sys.executable, "-m", "mycelnode", "chain", "devchain", "--json", "--port", "0"]
    command += ["--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


async def measure(folder: Path, times: int) -> Numbers:
    """Medians, in ms; and what the contracts weigh, in kB."""
    caller, registry = await _begin(folder / "devchain")
    with _served(folder) as url:
        numbers = await _ours(url, caller, registry.account_id, times)
        # py-near wants asyncio, which must not run in this task
        stock = partial(asyncio.run, _stock(url, caller, registry.account_id, times))
        numbers |= await trio.to_thread.run_sync(stock)
    return numbers | {
        f"{name}_kb": (WASM / f"{name}.wasm").stat().st_size / 1000 for name in ("registry", "reputation")
    }


if __name__ == "__main__":
    job(measure)
