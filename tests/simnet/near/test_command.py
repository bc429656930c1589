"""`mycelnode chain devchain`: a process of its own that goes on where it stopped, however it stopped."""

from __future__ import annotations

import json
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE, run
from typing import Any

import trio

from mycel_simnet.near.keys import KeyPair, from_base58, parse_secret, to_base58
from mycel_simnet.near.types import SignedTransaction, Transaction, Transfer
from tests.simnet.near.asking import Asker, base64_of

START_SECONDS = 30


@asynccontextmanager
async def a_process(folder: Path, *options: str) -> AsyncIterator[tuple[trio.Process, dict[str, Any]]]:
    """The command, running; and its ready line."""
    command = [sys.executable, "-m", "mycelnode", "chain", "devchain", "--port", "0", "--json", *options]
    start = partial(trio.run_process, [*command, "--data-dir", str(folder)], stdout=PIPE, check=False)
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(start)
        assert process.stdout is not None
        line = b""
        with trio.fail_after(START_SECONDS):
            while not line.endswith(b"\n"):
                received = await process.stdout.receive_some()
                assert received, "it ended before it was ready"
                line += received
        yield process, json.loads(line)
        if process.poll() is None:
            process.kill()


def key(ready: dict[str, Any], account: str) -> KeyPair:
    """From the key file that the ready line names."""
    return parse_secret(json.loads(Path(ready["keys"][account]).read_text())["private_key"])


def check_key_file(account: str, path: Path) -> None:
    """It is named after its account, and only its owner can read it."""
    shown = json.loads(path.read_text())
    assert (path.name, shown["account_id"]) == (f"{account}.json", account)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def transfer(asker: Asker, pair: KeyPair, nonce: int, amount: int) -> tuple[SignedTransaction, Any]:
    """Send tokens from ``alice.near`` to ``bob.near``."""
    block = await asker.ask("block", {"finality": "final"})
    base = from_base58(block["header"]["hash"], 32)
    transaction = Transaction("alice.near", pair.public, nonce, "bob.near", base, (Transfer(amount),))
    signed = SignedTransaction(transaction, pair.sign(transaction.hash))
    return signed, await asker.ask("send_tx", {"signed_tx_base64": base64_of(signed), "wait_until": "INCLUDED"})


async def test_it_stops_when_asked_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with a_process(tmp_path) as (process, ready):
        assert ready["chain_id"] == "devchain"
        assert set(ready["keys"]) == {"root.near", "alice.near", "bob.near", "carol.near"}
        for account, path in ready["keys"].items():
            check_key_file(account, Path(path))
        async with Asker(ready["url"]) as asker:
            await transfer(asker, key(ready, "alice.near"), 1, 7)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    async with a_process(tmp_path) as (_, again):
        assert (again["genesis_hash"], again["keys"]) == (ready["genesis_hash"], ready["keys"])
        async with Asker(again["url"]) as asker:
            bob = await asker.query("view_account", "optimistic", account_id="bob.near")
            assert int(bob["amount"]) == 10_000 * 10**24 + 7


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Killed right after each answer, at whatever point its blocks are."""
    sent = 0
    for nonce in range(1, 9):
        async with a_process(tmp_path) as (process, ready), Asker(ready["url"]) as asker:
            pair = key(ready, "alice.near")
            signed, shown = await transfer(asker, pair, nonce, 10**nonce)
            process.kill()
            await process.wait()
        assert shown["transaction"]["hash"] == to_base58(signed.transaction.hash)
        sent += 10**nonce
    async with a_process(tmp_path) as (_, ready), Asker(ready["url"]) as asker:
        asked = {
            "tx_hash": to_base58(signed.transaction.hash),
            "sender_account_id": "alice.near",
            "wait_until": "FINAL",
        }
        assert (await asker.ask("tx", asked))["status"] == {"SuccessValue": ""}
        bob = await asker.query("view_account", account_id="bob.near")
        assert int(bob["amount"]) == 10_000 * 10**24 + sent, "each transfer once"


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "devchain"
    folder.mkdir()
    (folder / "chain.sqlite").write_bytes(b"no chain " * 1000)
    command = [sys.executable, "-m", "mycelnode", "chain", "devchain", "--port", "0", "--data-dir", str(tmp_path)]
    done = run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert "holds no chain" in done.stderr
    assert stat.S_IMODE(tmp_path.stat().st_mode) & 0o077 == 0
    assert "Traceback" not in done.stderr


def test_without_wasmtime_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['wasmtime'] = None; from mycelnode.cli import main; main()"
    command = [sys.executable, "-c", hidden, "chain", "devchain", "--data-dir", str(tmp_path)]
    done = run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert "pip install 'mycelnode[simnet]'" in done.stderr
    assert "Traceback" not in done.stderr
