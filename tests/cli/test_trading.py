"""`pattern publish --register`, `use` and `rate` as people type them, on a devchain; asked, and killed in the middle."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.cli.chain import _cell, _say_receipts
from tests.chain.market import NEAR
from tests.chain.trading import FILLED, uses
from tests.cli.conftest import Program, environment
from tests.cli.street import FILE, PRICE, USE, Street, a_street
from tests.cli.test_terminal import on_terminal

PIPE = subprocess.PIPE
pytestmark = pytest.mark.timeout(300)  # each starts the program many times


@pytest.fixture
async def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    async with a_street(tmp_path, monkeypatch) as made:
        yield made


async def test_sold_and_bought_without_a_node(street: Street) -> None:
    cid, number = await street.sell()
    refused = (await street.run(street.bob, "pattern", "use", cid, *USE, "--json")).failed("SpendingRefused")
    assert "public for ever, linked to bob.near and to whoever funded it; you have to say yes to it" in refused
    assert uses(street.market, number) == 0
    used = (await street.run(street.bob, "pattern", "use", cid, *USE, "--max-price", "0.02", "--yes", "--json")).json
    assert used == {
        "cid": cid,
        "output": FILLED,
        "kind": "prompt",
        "paid": str(PRICE + 4 * 10**21),
        "paid_before": "0",
        "pending": None,
    }
    rated = await street.run(street.bob, "pattern", "rate", cid, "--success", "yes")
    assert (rated.out, rated.err) == ("noted: 1 use, 1 went well, 0 did not\n", "the rating on chain: done\n")
    used = await street.run(street.bob, "pattern", "use", cid, *USE)
    assert (used.out, used.err) == (f"{FILLED}\n", "paid: 0.01 NEAR\n")
    assert uses(street.market, number) == 2


async def test_offline_it_waits_in_the_outbox_and_is_registered_later(street: Street) -> None:
    nobody = "http://127.0.0.1:9"
    made = await street.run(street.alice, "pattern", "publish", str(street.file), "--register", "--consent", url=nobody)
    assert made.code == 0, made
    assert "not registered yet: waits to be sent; nothing was spent" in made.err
    (line,) = (await street.run(street.alice, "chain", "outbox", "--json", url=nobody)).json["entries"]
    assert (line["method"], line["cid"], line["state"]) == ("register_pattern", made.out.strip(), "waiting")
    again = (
        await street.run(street.alice, "pattern", "publish", str(street.file), "--register", "--consent", "--json")
    ).json
    assert (again["cid"], again["registered"]) == (made.out.strip(), True)
    assert (await street.run(street.alice, "chain", "outbox", "--json")).json["entries"] == []


async def test_what_waits_is_sent_by_the_next_command_that_asks_a_server(street: Street) -> None:
    cid, number = await street.sell()
    assert (await street.run(street.bob, "pattern", "use", cid, *USE, "--yes")).code == 0
    left = await street.run(street.bob, "pattern", "rate", cid, "--success", "yes", url="http://127.0.0.1:9")
    assert left.err.startswith("the rating on chain: waits to be sent; nothing was spent"), left

    def rated() -> int:
        args = {"id": number, "account": "bob.near"}
        return int(street.market.chain.view(street.market.registry, "receipt", args)["rated"])

    assert (await street.run(street.bob, "chain", "outbox")).code == 0
    assert rated() == 0, "that asks nobody"
    for _ in range(3):  # a machine that has much else to do does not get it done in its time at once
        assert (await street.run(street.bob, "chain", "balance")).code == 0
        if rated():
            break
    assert rated() == 1


async def test_what_could_not_be_registered_is_public_and_told_with_status_1(street: Street) -> None:
    chain = street.market.chain

    async def pause(name: str, request: dict[str, Any]) -> None:
        if name == "send_tx":  # it was looked at, and is public
            street.proxy.before = _nothing
            await chain.call(chain.root, street.market.registry, "pause", deposit=1)

    street.proxy.before = pause
    publish = ("pattern", "publish", str(street.file), "--register", "--consent", "--json")
    made = await street.run(street.alice, *publish, url=street.proxy.url)
    assert made.code == 1
    told = json.loads(made.out)
    assert (told["registered"], told["waiting"], told["id"]) == (False, False, None)
    assert "paused" in told["registration"]
    (known,) = (await street.run(street.alice, "pattern", "list", "--json")).json["patterns"]
    assert known["published"]


async def test_who_has_too_little_for_registering_makes_nothing_public(street: Street) -> None:
    market, spender = street.market, "poor.alice.near"
    await market.chain.create_account(spender, NEAR // 10)
    key = market.chain.wallets[spender].key
    file = street.file.with_name(f"{spender}.json")
    file.write_text(json.dumps({"account_id": spender, "public_key": key.public_text, "private_key": key.secret_text}))
    file.chmod(0o600)
    assert (await street.run(street.alice, "chain", "account", "import", str(file))).code == 0
    assert (await street.run(street.alice, "config", "set", "near.account", spender)).code == 0
    made = await street.run(street.alice, "pattern", "publish", str(street.file), "--register", "--consent", "--json")
    assert "are needed, with the gas in advance; nothing was made public" in made.failed("NearRefused")
    assert (await street.run(street.alice, "pattern", "list", "--json")).json["patterns"] == []


async def test_what_registering_says_for_ever_and_takes_is_asked(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, street)
    seen = await trio.to_thread.run_sync(
        partial(_answer, street.alice, "y\n", "pattern", "publish", str(street.file), "--register")
    )
    assert "says on a public chain, for ever, that the account alice.near made it" in seen
    assert "its hash, the domain mail and the price, 0.01 NEAR" in seen
    assert "keeps 0.1" in seen
    assert "Make this public, and register it, for ever? [y/N]:" in seen
    assert "registered as number 1" in seen


async def test_a_request_that_was_paid_says_that_nothing_is_paid_again(street: Street) -> None:
    cid, _ = await street.sell()
    use = ("pattern", "use", cid, *USE, "--yes", "--request", "monday")
    assert (await street.run(street.bob, *use)).err == "paid: 0.014 NEAR\n"
    again = await street.run(street.bob, *use)
    assert (again.out, again.err) == (
        f"{FILLED}\n",
        "paid before, under this name: 0.014 NEAR; nothing was paid now\n",
    )
    told = (await street.run(street.bob, *use, "--json")).json
    assert (told["paid"], told["paid_before"]) == ("0", str(PRICE + 4 * 10**21))


async def test_offline_a_price_stays_as_it_is(street: Street) -> None:
    cid, _ = await street.sell()
    nobody = "http://127.0.0.1:9"
    refused = (await street.run(street.alice, "pattern", "price", cid, "0.02", "--json", url=nobody)).failed(
        "NearUnreachable"
    )
    assert refused.startswith("no NEAR RPC server answers: ")
    assert refused.endswith("; the price is as it was")
    assert (await street.run(street.alice, "chain", "outbox", "--json")).json["entries"] == []


async def test_a_payment_is_asked_for_on_a_terminal(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    cid, number = await street.sell()
    _set(monkeypatch, street)
    use = partial(_answer, street.bob)
    seen = await trio.to_thread.run_sync(partial(use, "n\n", "pattern", "use", cid, *USE))
    assert (
        "It costs 0.01 NEAR, and 0.004 NEAR for the record of a first use; 0.024 NEAR more have to be there for gas,"
        " and come back but for about 0.0005 NEAR." in " ".join(seen.split())
    )
    assert "Pay 0.014 NEAR for this use of what alice.near sells? [y/N]:" in seen
    assert "nothing was paid" in seen
    assert uses(street.market, number) == 0
    seen = await trio.to_thread.run_sync(partial(use, "y\n", "pattern", "use", cid, *USE, "--max-price", "0.02"))
    assert "public for ever, linked to bob.near and to whoever funded it." in seen
    assert FILLED in seen
    assert uses(street.market, number) == 1


async def test_a_use_that_is_killed_and_asked_again_pays_once(street: Street) -> None:
    cid, number = await street.sell()
    for when in ("before", "after"):
        killed: list[int] = []

        async def kill(name: str, request: dict[str, Any]) -> None:
            if name == "send_tx" and not killed:  # noqa: B023 # it is used within this round
                killed.append(process.pid)  # noqa: B023
                process.kill()  # noqa: B023

        setattr(street.proxy, when, kill)
        command = street.bob.command("pattern", "use", cid, *USE, "--yes", "--json")
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            env=environment(street.settings(street.proxy.url)),
            stdout=PIPE,
            stderr=PIPE,
        )
        assert await process.wait() == -signal.SIGKILL
        await _close(process)
        used = (await street.run(street.bob, "pattern", "use", cid, *USE, "--json")).json
        assert used["output"] == FILLED
        setattr(street.proxy, when, _nothing)
        assert uses(street.market, number) == ("before", "after").index(when) + 1, f"killed {when} it was sent"
    receipts = (await street.run(street.bob, "chain", "receipts", "--json")).json["receipts"]
    assert [one["nth"] for one in receipts] == [2, 1]


async def test_the_books_hold_no_formula_of_a_stranger(street: Street) -> None:
    title = '=HYPERLINK(""x"")'
    street.file.write_text(FILE.replace("title: Sort the post", f"title: '{title}'"))
    cid, _ = await street.sell()
    assert (await street.run(street.bob, "pattern", "use", cid, *USE, "--yes")).code == 0
    (row,) = csv.DictReader(io.StringIO((await street.run(street.bob, "chain", "receipts", "--csv")).out))
    assert (row["title"], row["state"], row["cid"], row["nth"]) == (f"'{title}", "done", cid, "1")
    (known,) = (await street.run(street.bob, "chain", "receipts", "--json")).json["receipts"]
    assert known["title"] == title, "what programs read is as it is"
    shown = (await street.run(street.bob, "chain", "receipts")).out
    assert cid in shown
    assert "1 use paid for" in shown


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", " =1", "\r1", "\uff1d1"])
def test_what_begins_as_a_formula_is_text(text: str) -> None:
    assert _cell(text) == f"'{text}"
    assert [_cell(one) for one in ("Sort = +", "", None, 7)] == ["Sort = +", "", None, 7]


def test_what_is_not_known_for_sure_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"no": 9, "time": None, "paid": str(PRICE), "nth": 1, "creator": "alice.near", "cid": "bafy", "title": None}
    _say_receipts({"receipts": [{**one, "state": "unknown"}, {**one, "no": 4, "state": "done"}], "more": True})
    printed = capsys.readouterr().out
    assert "0.01 NEAR?" in printed
    assert "1 use paid for\n? of 1: whether it was paid is not known" in printed
    assert "there are older ones: --before 4" in printed


async def _nothing(name: str, request: dict[str, Any]) -> None:
    pass


async def _close(process: trio.Process) -> None:
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            with suppress(trio.ClosedResourceError):
                await stream.aclose()


def _set(monkeypatch: pytest.MonkeyPatch, street: Street) -> None:
    """In the folders' own settings: what runs on a terminal gets no environment of ours."""
    for program in (street.alice, street.bob):
        for key, value in (
            ("near.network", "devchain"),
            ("near.rpc", street.market.chain.url),
            ("near.registry", street.market.registry.account_id),
        ):
            done = subprocess.run(
                program.command("config", "set", key, value), env=environment(), capture_output=True, check=False
            )
            assert done.returncode == 0, done


def _answer(program: Program, says: str, *arguments: str) -> str:
    """Run it on a terminal, and answer its question."""
    with on_terminal(program, *arguments) as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type(says)
        terminal.ended()
        return " ".join(terminal.seen.split())
