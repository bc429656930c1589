"""A program that buys one use of a pattern, and is killed at a given step: ``python -m tests.chain.payer``; see killing.py."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import trio

from mycelnode.chain.actions import Actions, Signer
from mycelnode.chain.journal import Journal
from mycelnode.chain.keys import Credentials
from mycelnode.chain.near import Near
from mycelnode.chain.outbox import Payments
from mycelnode.chain.registry import Registry
from mycelnode.chain.rpc import open_rpc
from mycelnode.clock import SystemClock
from mycelnode.database import open_database
from mycelnode.paths import DataDir
from mycelnode.protocols.payment_journal import Entry, Intent, State

SECONDS = 30.0


class Dying(Journal):
    """A journal whose process dies at a step."""

    step = ""

    async def add(self, intent: Intent, **more: Any) -> Entry:
        if self.step == "before it is wanted":
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().add(intent, **more)

    async def keep(self, entry: Entry) -> None:
        signing = entry.state is State.SIGNED and entry.spent_at is None
        if (signing and self.step == "before the fsync") or (entry.ended and self.step == "final but not journalled"):
            os.kill(os.getpid(), signal.SIGKILL)
        await super().keep(entry)
        if signing and self.step == "after the fsync":
            os.kill(os.getpid(), signal.SIGKILL)


async def main(folder: str, url: str, contract: str, account: str, pattern: int, step: str) -> dict[str, Any]:
    data, clock = DataDir(Path(folder) / "data"), SystemClock()
    if not data.path.exists():
        data.create()
    async with open_database(data) as database, open_rpc("devchain", [url]) as rpc, trio.open_nursery() as nursery:
        near, credentials = Near(rpc), Credentials(Path(folder) / "home")
        journal = Dying(database, clock)
        journal.step = step
        payments, registry = Payments(near, journal, credentials, clock, poll=0.05), Registry(near, contract)
        if step != "go on":
            known = await registry.pattern(pattern)
            assert known is not None
            quote = await registry.quote(pattern, account)
            signer = Signer(await rpc.identify(), account, credentials.find("devchain", account).key.name)
            intent = Actions(signer, contract, clock.wall()).use(known, quote)
            await payments.want(intent, about=known.cid, creator=known.creator)
        print("wanted", flush=True)
        nursery.start_soon(payments.run)
        states = [(await payments.wait(line.entry.intent.id, SECONDS)).state.value for line in journal.lines()]
        nursery.cancel_scope.cancel()
    return {"states": states}


if __name__ == "__main__":
    folder, url, contract, account, pattern, step = sys.argv[1:]
    print(json.dumps(trio.run(main, folder, url, contract, account, int(pattern), step)))
