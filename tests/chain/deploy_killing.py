"""Contracts are put on a chain by a program that is killed again and again; in the end each step is done, and was done once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from mycel_simnet.near.devchain import Devchain, open_devchain
from mycelnode.chain.near import Near
from mycelnode.chain.rpc import open_rpc
from mycelnode.chain.shipped import STATE_VERSION
from tests.chain.faults import Proxy, a_proxy
from tests.chain.market import keep_key
from tests.chain.operators import BEFORE, CONTRACTS
from tests.cli.conftest import environment

ROOT = Path(__file__).parents[2]
JOURNAL = ("before it is wanted", "before the fsync", "after the fsync", "final but not journalled")
MADE_AND_LOCKED = ("+create", "+create", "transfer", "+lock", "+lock")  # the transfer is for the gas of one of these
UPGRADED = ("pause", "pause", "+replace", "+replace", "resume", "resume")
SIGNED_BY_PARENT = 3  # of them
MOST_RUNS = 60


@dataclass
class Deployment:
    """Runs of `chain deploy`, of which most are killed."""

    folder: Path
    chain: Devchain
    proxy: Proxy
    wanted: tuple[str, ...] = ("--lock",)
    process: trio.Process | None = None
    strikes: list[str] = field(default_factory=list)  # what the next runs are killed at, by request

    async def run(self, program: list[str], *arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", *program, *arguments, "--data-dir", str(self.folder / "fox")]
        env = environment({"HOME": str(self.folder / "home"), "MYCEL_NEAR_RPC": self.proxy.url})
        self.process = await trio.lowlevel.open_process(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=env
        )
        assert self.process.stdout is not None
        said = b""
        while more := await self.process.stdout.receive_some():
            said += more
        return await self.process.wait(), said.decode()

    async def deploy(self, program: list[str]) -> tuple[int, str]:
        wanted = ("--network", "devchain", "--from", "alice.near", *self.wanted, "--yes", "--json")
        return await self.run(program, "chain", "deploy", *wanted)

    async def strike(self, when: str, name: str) -> None:
        if self.strikes and self.strikes[0] == f"{when} {name}":
            self.strikes.pop(0)
            assert self.process is not None
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    async def before(self, name: str, request: dict[str, Any]) -> None:
        await self.strike("before", name)

    async def after(self, name: str, request: dict[str, Any]) -> None:
        await self.strike("after", name)

    async def killed(self, transactions: int) -> str:
        """Runs that are killed wherever they write into the journal, and one that is not; what that printed."""
        kills = 0
        for run in range(MOST_RUNS):
            code, said = await self.deploy(["tests.chain.deployer", JOURNAL[run % len(JOURNAL)]])
            if code == 0:
                break
            assert code == -signal.SIGKILL, said
            kills += 1
        assert kills >= transactions * len(JOURNAL) - 1
        code, said = await self.deploy(["mycelnode.cli"])
        assert code == 0, said
        return said

    async def struck(self, strikes: list[str]) -> str:
        """Runs that are killed, each at the next of ``strikes``, and one that is not; what that printed."""
        self.strikes = list(strikes)
        for _ in range(MOST_RUNS):
            code, said = await self.deploy(["mycelnode.cli"])
            if code == 0:
                break
            assert code == -signal.SIGKILL, said
        assert code == 0, said
        assert len(self.strikes) < len(set(strikes)), "nearly all of them have struck"
        return said

    async def old(self) -> None:
        """The contracts of before are there, and their keys here."""
        for account in CONTRACTS:
            name, other = account.split(".")[0], CONTRACTS[account == CONTRACTS[0]]
            wallet = await self.chain.create_account(account)
            init = {"owner": "alice.near", other.split(".")[0]: other}
            await self.chain.deploy(wallet, (BEFORE / f"{name}-1.wasm").read_bytes(), "new", init)
            keep_key(self.folder / "home", wallet)

    async def journalled(self) -> list[tuple[str, str]]:
        """(state, method) of each line, the first one first."""
        code, said = await self.run(["mycelnode.cli"], "chain", "outbox", "--all", "--json")
        assert code == 0, said
        return [(entry["state"], entry["method"]) for entry in reversed(json.loads(said)["entries"])]

    async def check_locked(self, printed: str) -> None:
        """Made and locked, and each step once."""
        answer = json.loads(printed)
        assert set(answer["contracts"].values()) == set(CONTRACTS)
        async with open_rpc("devchain", [self.chain.url]) as rpc:
            near = Near(rpc)
            assert [await near.full_access_keys(name) for name in CONTRACTS] == [(), ()]
            key = await near.access_key("alice.near", self.chain.wallets["alice.near"].key.public_text)
        assert key is not None
        assert key.nonce == SIGNED_BY_PARENT, "what was signed was sent, as it was, and nothing was signed twice"
        assert await self.journalled() == [("done", method) for method in MADE_AND_LOCKED], (
            "the journal knows of each, and that it was done"
        )
        code, said = await self.deploy(["mycelnode.cli"])
        assert code == 0, said
        assert json.loads(said)["actions"] == []

    async def check_upgraded(self, printed: str) -> None:
        """Of the newest version, at work, and each step once."""
        assert json.loads(printed)["actions"] == []
        assert await self.journalled() == [("done", method) for method in UPGRADED]
        infos = [self.chain.view(name, "info") for name in CONTRACTS]
        assert [(info["state_version"], info["paused"]) for info in infos] == [(STATE_VERSION, False)] * 2


@asynccontextmanager
async def a_deployment(folder: Path) -> AsyncIterator[Deployment]:
    async with open_devchain(protocol_version=87) as chain, a_proxy(chain.url) as proxy:
        keep_key(folder / "home", chain.wallets["alice.near"])
        deployment = Deployment(folder, chain, proxy)
        proxy.before, proxy.after = deployment.before, deployment.after
        code, said = await deployment.run(["mycelnode.cli"], "init")
        assert code == 0, said
        yield deployment
