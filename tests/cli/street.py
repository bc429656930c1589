"""Two people who type commands: one sells a pattern on a devchain, the other one has got it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from tests.chain.faults import Proxy, a_proxy
from tests.chain.market import NEAR, Market, a_market
from tests.chain.trading import TEMPLATE, set_chain
from tests.cli.conftest import Done, Program, environment

PRICE = NEAR // 100
FILE = f"""---
title: Sort the post
domain: mail
price: 0.01 NEAR
---
{TEMPLATE}
"""
USE = ("--var", "letters=a bill")


async def run(program: Program, *arguments: str, **settings: str) -> Done:
    """The program to its end, with settings by environment, while what this process serves goes on."""
    done = await trio.run_process(
        program.command(*arguments),
        stdin=b"",
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=environment(settings),
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass
class Street:
    """``alice`` and ``bob``: the program on their data folders."""

    market: Market
    proxy: Proxy
    alice: Program
    bob: Program
    file: Path

    async def run(self, program: Program, *arguments: str, url: str = "") -> Done:
        """The program to its end, with the chain, or what answers at ``url`` in its place."""
        return await run(program, *arguments, **self.settings(url))

    def settings(self, url: str = "") -> dict[str, str]:
        return {
            "MYCEL_NEAR_NETWORK": "devchain",
            "MYCEL_NEAR_RPC": url or self.market.chain.url,
            "MYCEL_NEAR_REGISTRY": self.market.registry.account_id,
            "MYCEL_MESH_LAN": "false",
        }

    async def sell(self) -> tuple[str, int]:
        """A pattern that Alice has registered and Bob has got; its CID, and its number."""
        made = (
            await self.run(self.alice, "pattern", "publish", str(self.file), "--register", "--consent", "--json")
        ).json
        assert made["registered"], made
        car = self.file.with_suffix(".car")
        await self.run(self.alice, "pattern", "export", made["cid"], "--format", "car", "--output", str(car))
        assert (await self.run(self.bob, "pattern", "import", str(car))).code == 0
        return made["cid"], made["id"]


@asynccontextmanager
async def a_street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    async with a_market(tmp_path / "chain") as market, a_proxy(market.chain.url) as proxy:
        set_chain(monkeypatch, tmp_path / "home", market)
        file = tmp_path / "post.md"
        file.write_text(FILE)
        made = Street(market, proxy, Program(tmp_path / "alice"), Program(tmp_path / "bob"), file)
        for program in (made.alice, made.bob):
            name = program.folder.name
            assert (await made.run(program, "init", "--name", name)).code == 0
            key = str(market.chain.key_file(f"{name}.near"))
            assert (await made.run(program, "chain", "account", "import", key)).code == 0
        yield made
