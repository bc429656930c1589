"""A buyer, or the chain, is killed in the middle of a purchase; what then is true on chain, the journal says."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio

from mycelnode.chain.journal import Journal
from mycelnode.chain.near import Near
from mycelnode.chain.registry import Registry
from mycelnode.chain.rpc import open_rpc
from mycelnode.clock import SystemClock
from mycelnode.database import open_database
from mycelnode.paths import DataDir
from mycelnode.tls import trusted
from tests.chain.faults import Proxy, a_proxy
from tests.chain.market import a_market, keep_key

ROOT = Path(__file__).parents[2]
BLOCK_SECONDS = 0.02
NOT_WANTED = "before it is wanted"
STEPS = (
    NOT_WANTED,
    "before the fsync",
    "after the fsync",
    "after send",
    "reply lost",
    "chain killed",
    "included but not final",
    "final but not journalled",
    "at any moment",
)


@dataclass
class Town:
    """A chain in a process of its own, that can be killed and goes on where it was."""

    folder: Path
    registry: str
    buyer: str
    pattern: int
    port: int = 0
    process: trio.Process | None = None
    url: str = ""

    async def start(self) -> None:
        command = [sys.executable, "-m", "mycelnode.cli", "chain", "devchain", "--json", "--port", str(self.port)]
        command += ["--block-time", str(BLOCK_SECONDS), "--data-dir", str(self.folder)]
        self.process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        data = b""
        while b"\n" not in data:
            more = await self.process.stdout.receive_some()
            assert more, "the chain did not start"
            data += more
        self.url = json.loads(data)["url"]
        self.port = int(self.url.rpartition(":")[2])

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        if self.process.stdout is not None:
            await self.process.stdout.aclose()

    async def uses(self) -> int:
        """At the last final block."""
        async with open_rpc("devchain", [self.url]) as rpc:
            receipt = await Registry(Near(rpc), self.registry).receipt(self.pattern, self.buyer)
        return 0 if receipt is None else receipt.uses


@asynccontextmanager
async def a_town(folder: Path) -> AsyncIterator[Town]:
    async with a_market(folder / "devchain") as market:
        town = Town(folder, market.registry.account_id, market.buyer.account_id, market.pattern)
        keep_key(folder / "home", market.buyer)
    await town.start()
    try:
        yield town
    finally:
        with trio.CancelScope(shield=True):
            await town.kill()


class Kill:
    """One purchase that is interrupted."""

    def __init__(self, town: Town, proxy: Proxy, folder: Path, step: str, chance: random.Random) -> None:
        self.town, self.proxy, self.folder, self.step, self.chance = town, proxy, folder, step, chance
        self.process: trio.Process | None = None
        self.struck = False

    async def pay(self, step: str) -> tuple[int, str]:
        """Run the payer; its exit status and what it printed."""
        town = self.town
        command = [
            sys.executable,
            "-m",
            "tests.chain.payer",
            str(self.folder),
            self.proxy.url,
            town.registry,
            town.buyer,
        ]
        command += [str(town.pattern), step]
        self.process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        printed = b""
        while more := await self.process.stdout.receive_some():
            printed += more
            if step == "at any moment" and b"wanted" in printed and not self.struck:
                self.struck = True
                await trio.sleep(self.chance.uniform(0, 0.25))
                self.process.kill()
        return await self.process.wait(), printed.decode()

    def strike(self) -> None:
        assert self.process is not None
        self.struck = True
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)

    async def before(self, name: str, request: dict[str, Any]) -> None:
        if name != "send_tx" or self.struck:
            return
        if self.step == "after send":
            self.strike()
        if self.step == "included but not final":
            early = {**request, "params": {**request["params"], "wait_until": "INCLUDED"}}
            async with httpx.AsyncClient(verify=trusted(), trust_env=False, timeout=None) as client:
                await client.post(self.proxy.upstream, content=json.dumps(early))
            self.strike()
        if self.step == "chain killed":
            self.struck = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forward, request)
                await trio.sleep(self.chance.uniform(0, 6 * BLOCK_SECONDS))
                await self.town.kill()
            await self.town.start()

    async def _forward(self, request: dict[str, Any]) -> None:
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(verify=trusted(), trust_env=False, timeout=None) as client:
                await client.post(self.proxy.upstream, content=json.dumps(request))

    async def after(self, name: str, request: dict[str, Any]) -> None:
        if name == "send_tx" and self.step == "reply lost" and not self.struck:
            self.strike()


async def kill_once(town: Town, folder: Path, step: str, seed: int) -> None:
    """Interrupt a purchase at ``step``, go on, and check that there was one purchase or none, and that the journal says which."""
    (folder / "home").symlink_to(town.folder / "home")
    before = await town.uses()
    async with a_proxy(town.url) as proxy:
        kill = Kill(town, proxy, folder, step, random.Random(f"{step}/{seed}"))
        proxy.before, proxy.after = kill.before, kill.after
        code, printed = await kill.pay(step)
        if step != "chain killed":
            assert code == -signal.SIGKILL or step == "at any moment", (
                f"it was to be killed, and ended with {code}: {printed}"
            )
            kill.struck = True
            said = await word(folder)
            assert re.fullmatch(r"|done|waits to be sent; nothing was spent|unknown until height \d+", said), said
            code, printed = await kill.pay("go on")
        assert code == 0, printed
        states = json.loads(printed.splitlines()[-1])["states"]
        bought = await town.uses() - before
        assert bought <= 1, f"bought {bought} times"
        assert states == ["done"] * bought, f"the journal says {states}, and it was bought {bought} times"
        assert bought == (step != NOT_WANTED), "what was wanted is bought, as nothing stood in its way"


async def word(folder: Path) -> str:
    """What the journal says, without asking anybody."""
    async with open_database(DataDir(folder / "data")) as database:
        lines = Journal(database, SystemClock()).lines()
    return lines[0].entry.word if lines else ""
