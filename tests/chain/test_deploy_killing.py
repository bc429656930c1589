"""Contracts are put on a chain by a program that is killed again and again; each step is done once, and the last run finishes."""

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

import pytest
import trio

pytest.importorskip("wasmtime", reason="the local chain needs wasmtime")

from mycel_simnet.near.devchain import Devchain, open_devchain
from mycelnode.chain.near import Near
from mycelnode.chain.rpc import open_rpc
from tests.chain.faults import Proxy, a_proxy
from tests.chain.market import keep_key
from tests.cli.conftest import environment

ROOT = Path(__file__).parents[2]
CONTRACTS = ("registry.alice.near", "reputation.alice.near")
JOURNAL = ("before it is wanted", "before the fsync", "after the fsync", "final but not journalled")
TRANSACTIONS = 5  # two accounts, two locks, and the money for the gas of one of these
SIGNED_BY_PARENT = 3  # of them
MOST_RUNS = 60


@dataclass
class Deployment:
    """Runs of `chain deploy --lock`, of which most are killed."""

    folder: Path
    chain: Devchain
    proxy: Proxy
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
        wanted = ("--network", "devchain", "--from", "alice.near", "--lock", "--yes", "--json")
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

    async def check(self, printed: str) -> None:
        """Done, and each once."""
        answer = json.loads(printed)
        assert set(answer["contracts"].values()) == set(CONTRACTS)
        async with open_rpc("devchain", [self.chain.url]) as rpc:
            near = Near(rpc)
            assert [await near.full_access_keys(name) for name in CONTRACTS] == [(), ()]
            key = await near.access_key("alice.near", self.chain.wallets["alice.near"].key.public_text)
        assert key is not None
        assert key.nonce == SIGNED_BY_PARENT, "what was signed was sent, as it was, and nothing was signed twice"
        code, said = await self.run(["mycelnode.cli"], "chain", "outbox", "--all", "--json")
        assert code == 0, said
        states = [entry["state"] for entry in json.loads(said)["entries"]]
        assert states == ["done"] * TRANSACTIONS, "the journal knows of each, and that it was done"
        code, said = await self.deploy(["mycelnode.cli"])
        assert code == 0, said
        assert json.loads(said)["actions"] == []


@asynccontextmanager
async def a_deployment(folder: Path) -> AsyncIterator[Deployment]:
    async with open_devchain(protocol_version=87) as chain, a_proxy(chain.url) as proxy:
        keep_key(folder / "home", chain.wallets["alice.near"])
        deployment = Deployment(folder, chain, proxy)
        proxy.before, proxy.after = deployment.before, deployment.after
        code, said = await deployment.run(["mycelnode.cli"], "init")
        assert code == 0, said
        yield deployment


@pytest.mark.timeout(240)
async def test_killed_wherever_the_journal_is_written(tmp_path: Path) -> None:
    async with a_deployment(tmp_path) as deployment:
        kills = 0
        for run in range(MOST_RUNS):
            code, said = await deployment.deploy(["tests.chain.deployer", JOURNAL[run % len(JOURNAL)]])
            if code == 0:
                break
            assert code == -signal.SIGKILL, said
            kills += 1
        assert kills >= TRANSACTIONS * len(JOURNAL) - 1
        code, said = await deployment.deploy(["mycelnode.cli"])
        assert code == 0, said
        await deployment.check(said)


@pytest.mark.timeout(240)
async def test_killed_before_and_after_each_transaction_is_sent_and_between_questions(tmp_path: Path) -> None:
    async with a_deployment(tmp_path) as deployment:
        each = ["before send_tx", "after send_tx", "before view_access_key_list", "after view_account"]
        deployment.strikes = each * TRANSACTIONS
        for _ in range(MOST_RUNS):
            code, said = await deployment.deploy(["mycelnode.cli"])
            if code == 0:
                break
            assert code == -signal.SIGKILL, said
        assert code == 0
        assert len(deployment.strikes) < len(each), "nearly all of them have struck"
        await deployment.check(said)
