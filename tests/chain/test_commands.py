"""What the control socket answers about NEAR, of a node on a devchain."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode import audit
from mycelnode.chain.journal import Line
from mycelnode.errors import (
    AccountRefused,
    ConfigError,
    ControlError,
    KeyFileError,
    MycelError,
    NearRefused,
    NearUnreachable,
    SpendingRefused,
)
from mycelnode.market.receipts import receipt as receipt_of
from mycelnode.node import Node
from mycelnode.protocols.payment_journal import Entry, Intent, Outcome, State, json_args
from tests.chain.faults import LOST, a_proxy
from tests.chain.known import CID, cid_of
from tests.chain.market import NEAR, PRICE, Market, a_market
from tests.node.nodes import ask, founder, until

SECONDS = 20.0
RECEIPT_PRICE = 4 * 10**21


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@asynccontextmanager
async def a_node(
    tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch, *, url: str = "", account: str = "bob.near"
) -> AsyncIterator[Node]:
    """A node of whoever has ``account``."""
    monkeypatch.setenv("MYCEL_NEAR_NETWORK", "devchain")
    monkeypatch.setenv("MYCEL_NEAR_RPC", url or market.chain.url)
    monkeypatch.setenv("MYCEL_NEAR_REGISTRY", market.registry.account_id)
    async with founder(tmp_path) as node:
        if account:
            await ask(node, "chain.account.import", path=str(market.chain.key_file(account)))
        yield node


async def use(node: Node, market: Market, *, asked: bool = True) -> Any:
    chain = node.chain
    pattern = await chain.registry.pattern(market.pattern)
    assert pattern is not None
    quote = await chain.registry.quote(market.pattern, chain.spender)
    return await chain.buy(pattern, quote, begin=begun, unasked=[] if asked else chain.questions(pattern, quote))


async def begun(payment: str) -> None:
    pass


async def test_a_named_account_a_spender_and_another_spender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_market(tmp_path / "chain") as market, a_node(tmp_path, market, monkeypatch, account="") as node:
        empty = await ask(node, "chain.account")
        assert (empty["network"], empty["account"], empty["spender"], empty["keys"]) == ("devchain", None, None, [])
        assert "near" not in node.status()["services"]
        source = str(market.chain.key_file("bob.near"))
        made = await ask(node, "chain.account.create", name="fox.bob.near", **{"from": source}, amount=str(5 * NEAR))
        assert made["account"] == "fox.bob.near"
        spender = await ask(node, "chain.account.create", **{"from": "fox.bob.near"}, amount=str(2 * NEAR))
        assert len(spender["account"]) == 64
        known = await ask(node, "chain.account")
        assert (known["account"], known["spender"]) == ("fox.bob.near", spender["account"])
        assert [key["account"] for key in known["keys"]] == ["fox.bob.near", spender["account"]]
        balance = await ask(node, "chain.balance")
        assert (balance["account"], balance["balance"]) == (spender["account"], str(2 * NEAR))
        with pytest.raises(ConfigError, match="pays for this device already"):
            await ask(node, "chain.account.create")
        rotated = await ask(node, "chain.account.rotate")
        assert rotated["before"] == spender["account"]
        assert rotated["moved"] == str(2 * NEAR - 2 * NEAR // 100)
        balance = await ask(node, "chain.balance")
        assert (balance["account"], balance["balance"]) == (rotated["account"], rotated["moved"])
        assert (await ask(node, "chain.balance", account="fox.bob.near"))["account"] == "fox.bob.near"
        assert (await ask(node, "chain.policy"))["spent"] == "0", "what stays with its owner is not spent"
        assert node.status()["services"]["near"] == {"state": "ok", "detail": "devchain, 0 in the outbox"}


async def test_a_use_is_paid_listed_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_market(tmp_path / "chain") as market, a_node(tmp_path, market, monkeypatch) as node:
        entry = await use(node, market)
        assert (await node.chain.payments.wait(entry.intent.id, SECONDS)).state is State.DONE
        (receipt,) = (await ask(node, "chain.receipts"))["receipts"]
        assert (receipt["nth"], receipt["creator"], receipt["account"]) == (1, "alice.near", "bob.near")
        assert (receipt["price"], receipt["fee"]) == (str(PRICE), str(PRICE // 20))
        assert receipt["paid"] == str(PRICE + RECEIPT_PRICE)
        assert int(receipt["gas"]) > 0
        policy = await ask(node, "chain.policy")
        assert policy["spent"] == receipt["paid"]
        assert policy["creators"] == {"alice.near": receipt["paid"]}
        assert policy["left"] == str(NEAR - int(receipt["paid"]))
        assert (await ask(node, "chain.outbox"))["entries"] == []
        (line,) = (await ask(node, "chain.outbox", all=True))["entries"]
        assert (line["state"], line["word"], line["transaction"]) == ("done", "done", receipt["transaction"])
        kinds = [event.kind for event in node.mesh.database.look(lambda c: audit.tail(c, 10))]
        assert kinds[-2:] == ["payment.wanted", "payment.done"]


@pytest.mark.parametrize("told", ["²", "٣", "1" * 40, "01", "-1", "", 7, None, ["1"]])
def test_a_receipt_shows_no_amount_that_is_none(told: object) -> None:
    answer = json.dumps({"price": told, "fee": told, "refunded": told}).encode()
    args = json_args(id=7, nth=1)
    intent = Intent("use", "net/1", "bob.near", "k", "registry.near", "use_pattern", args, 10, 30, 1 << 50)
    entry = Entry(intent, State.DONE, outcome=Outcome("hash", True, answer, "", 1, 1))
    receipt = receipt_of(Line(1, CID, "alice.near", 10, 0, 0, entry))
    assert (receipt["price"], receipt["fee"], receipt["paid"]) == (None, None, "10")


async def test_the_first_use_asks_and_says_who_will_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_market(tmp_path / "chain") as market, a_node(tmp_path, market, monkeypatch) as node:
        with pytest.raises(SpendingRefused, match=r"public for ever, linked to bob\.near and to whoever funded it"):
            await use(node, market, asked=False)
        assert node.chain.journal.lines() == []
        entry = await use(node, market)
        await node.chain.payments.wait(entry.intent.id, SECONDS)
        entry = await use(node, market, asked=False)
        assert (await node.chain.payments.wait(entry.intent.id, SECONDS)).state is State.DONE
        await ask(node, "chain.account.import", path=str(market.chain.key_file("carol.near")), spender=True)
        with pytest.raises(SpendingRefused, match=r"public for ever, linked to carol\.near"):
            await use(node, market, asked=False)
        monkeypatch.setattr(node.chain.near.rpc, "genesis", "another")
        await ask(node, "config.set", key="near.spender", value="bob.near")
        pattern = await node.chain.registry.pattern(market.pattern)
        assert pattern is not None
        quote = await node.chain.registry.quote(market.pattern, "bob.near")
        assert len(node.chain.questions(pattern, quote)) == 1, "on another chain nobody has paid yet"


async def test_what_is_beyond_a_limit_is_refused_and_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_market(tmp_path / "chain") as market, a_node(tmp_path, market, monkeypatch) as node:
        for key, said in (
            ("near.spend_per_use", "one use may cost 0.001 NEAR"),
            ("near.spend_per_creator", "a day for one creator"),
            ("near.spend_per_day", "a day (near.spend_per_day)"),
        ):
            await ask(node, "config.set", key=key, value="0.001")
            with pytest.raises(SpendingRefused) as caught:
                await use(node, market)
            assert said in str(caught.value)
            await ask(node, "config.unset", key=key)
        await ask(node, "config.set", key="near.ask_above", value="0.001")
        with pytest.raises(SpendingRefused, match=r"near\.ask_above"):
            await use(node, market, asked=False)
        refused = [
            event for event in node.mesh.database.look(lambda c: audit.tail(c, 10)) if event.kind == "payment.refused"
        ]
        assert len(refused) == 4
        assert "near.spend_per_use" in str(refused[0].fields["why"])
        assert market.uses() == 0


async def test_a_node_asks_nothing_about_accounts_while_there_is_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        a_market(tmp_path / "chain") as market,
        a_proxy(market.chain.url) as proxy,
        a_node(tmp_path, market, monkeypatch, url=proxy.url, account="") as node,
    ):
        await ask(node, "config.set", key="near.account", value="bob.near")
        for kind in ("chain.account", "chain.policy", "chain.outbox", "chain.receipts"):
            await ask(node, kind)
        await trio.sleep(0.2)
        assert set(proxy.asked) <= {"status", "block", "call_function"}, "as following the registry takes, and no more"


async def test_what_waits_is_shown_and_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        a_market(tmp_path / "chain") as market,
        a_proxy(market.chain.url) as proxy,
        a_node(tmp_path, market, monkeypatch, url=proxy.url) as node,
    ):
        monkeypatch.setattr("mycelnode.market.commands.CANCEL_SECONDS", 0.3)
        proxy.faults["send_tx"] = [LOST] * 10_000
        entry = await use(node, market)
        await until(lambda: node.chain.journal.lines()[0].entry.state is State.SIGNED, "it is signed, and lost")
        (line,) = (await ask(node, "chain.outbox"))["entries"]
        assert line["state"] == "signed"
        assert line["word"] == f"unknown until height {line['until'] + 1}"
        with pytest.raises(NearRefused, match="under way"):
            await ask(node, "config.set", key="near.spender", value="bob.near")
            await ask(node, "chain.account.rotate")
        await ask(node, "config.unset", key="near.spender")
        cancelled = await ask(node, "chain.outbox.cancel", no=line["no"])
        assert cancelled["word"] == (
            f"you cancelled it, and its nonce is to be burnt; whether it was carried out before that is {line['word']}"
        ), "nobody has said yet that it was not carried out"
        proxy.faults.clear()
        assert (await node.chain.payments.wait(entry.intent.id, SECONDS)).state is State.CANCELLED
        with pytest.raises(NearRefused, match="has no number 99"):
            await ask(node, "chain.outbox.cancel", no=99)
        with pytest.raises(ControlError):
            await ask(node, "chain.outbox.cancel", no="1")
        assert market.uses() == 0


async def test_a_key_that_is_taken_in_does_not_change_who_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_market(tmp_path / "chain") as market, a_node(tmp_path, market, monkeypatch, account="") as node:

        async def take(account: str, **more: object) -> Any:
            return await ask(node, "chain.account.import", path=str(market.chain.key_file(account)), **more)

        assert (await take("bob.near"))["kept"] is None
        assert (await take("bob.near"))["kept"] is None
        taken = await take("carol.near")
        assert (taken["account"], taken["kept"]) == ("carol.near", "bob.near")
        assert (await take("carol.near", spender=True))["kept"] is None
        known = await ask(node, "chain.account")
        assert (known["account"], known["spender"]) == ("bob.near", "carol.near")


async def test_what_could_not_be_paid_out_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        a_market(tmp_path / "chain") as market,
        a_node(tmp_path, market, monkeypatch, account="alice.near") as node,
    ):
        assert await ask(node, "chain.claim") == {"claimed": {"alice.near": "0"}, "amount": "0"}
        await ask(node, "config.unset", key="near.account")
        with pytest.raises(ConfigError, match=r"near\.account is not set"):
            await ask(node, "chain.claim")
        await ask(node, "config.set", key="near.spender", value="bob.near")
        assert await ask(node, "chain.claim") == {"claimed": {"bob.near": "0"}, "amount": "0"}


async def test_with_nobody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        a_market(tmp_path / "chain") as market,
        a_proxy(market.chain.url) as proxy,
        a_node(tmp_path, market, monkeypatch, url=proxy.url) as node,
    ):
        proxy.down = True
        with pytest.raises(NearUnreachable, match="no NEAR RPC server answers"):
            await ask(node, "chain.balance")
        assert (await ask(node, "chain.outbox"))["entries"] == []
        assert (await ask(node, "chain.receipts"))["receipts"] == []
        assert (await ask(node, "chain.policy"))["left"] == str(NEAR)
        actions = await node.chain.actions("bob.near")
        entry = await node.chain.payments.want(replace(actions.transfer("carol.near", NEAR)))
        await trio.sleep(0.1)
        (line,) = (await ask(node, "chain.outbox"))["entries"]
        assert line["word"].startswith("waits to be sent; nothing was spent")
        proxy.down = False
        assert (await node.chain.payments.wait(entry.intent.id, SECONDS)).state is State.DONE


async def test_a_spender_is_not_replaced_while_money_is_on_its_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        a_market(tmp_path / "chain") as market,
        a_proxy(market.chain.url) as proxy,
        a_node(tmp_path, market, monkeypatch, url=proxy.url) as node,
    ):
        source = str(market.chain.key_file("carol.near"))
        with pytest.raises(NearRefused, match=r"carol\.near has .* nothing was spent"):
            await ask(node, "chain.account.create", **{"from": source}, amount=str(10**9 * NEAR))
        assert (await ask(node, "chain.account"))["spender"] == "bob.near", "nobody else pays from then on"
        spender = (await ask(node, "chain.account.create"))["account"]
        proxy.faults["send_tx"] = [LOST] * 10_000
        actions = await node.chain.actions("bob.near")
        entry = await node.chain.payments.want(actions.transfer(spender, NEAR))
        with pytest.raises(NearRefused, match=f"money is still on its way to {spender}.*chain outbox"):
            await ask(node, "chain.account.rotate")
        assert (await ask(node, "chain.account"))["spender"] == spender
        proxy.faults.clear()
        assert (await node.chain.payments.wait(entry.intent.id, SECONDS)).state is State.DONE
        assert (await ask(node, "chain.account.rotate"))["before"] == spender


async def test_a_creator_asks_another_price_and_retires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        a_market(tmp_path / "chain") as market,
        a_node(tmp_path, market, monkeypatch, account="alice.near") as node,
    ):
        priced = await ask(node, "pattern.price", cid=CID, price=str(3 * PRICE))
        assert priced == {"cid": CID, "id": market.pattern, "price": str(3 * PRICE)}
        assert (await node.chain.registry.quote(market.pattern, "bob.near")).price == 3 * PRICE
        other = cid_of("another")[1]
        with pytest.raises(NearRefused, match=f"alice.near has not registered {other}"):
            await ask(node, "pattern.price", cid=other, price="1")
        retired = await ask(node, "pattern.retire", cid=CID)
        assert not retired["released"]
        with pytest.raises(NearRefused, match="is retired"):
            await ask(node, "pattern.price", cid=CID, price="1")
        assert not (await ask(node, "pattern.retire", cid=CID))["released"], "it is too early"
        before = market.chain.balance("alice.near")
        await market.chain.fast_forward(seconds=31 * 24 * 3600)
        assert (await ask(node, "pattern.retire", cid=CID))["released"]
        assert market.chain.balance("alice.near") > before + NEAR // 11, "what was held has come back"
        for fields in ({"cid": CID}, {"price": "1"}, {"cid": CID, "price": "0.1"}):
            with pytest.raises(ControlError):
                await ask(node, "pattern.price", **fields)


async def test_a_fault_of_the_outbox_is_shown_and_does_not_end_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: object) -> None:
        raise LookupError("a fault of ours")

    monkeypatch.setattr("mycelnode.chain.outbox.Payments.run", broken)
    async with founder(tmp_path) as node:
        await until(lambda: "near" in node.status()["services"], "the fault is shown")
        assert node.status()["services"]["near"]["state"] == "failed"
        assert "a fault of ours" in node.status()["services"]["near"]["detail"]
        assert (await ask(node, "chain.outbox"))["entries"] == []


BAD: list[tuple[str, dict[str, Any], type[MycelError]]] = [
    ("chain.account.create", {"name": "Fox"}, AccountRefused),
    ("chain.account.create", {"name": "fox.near"}, AccountRefused),
    ("chain.account.create", {"name": "fox.bob.near", "from": "nobody.near"}, KeyFileError),
    ("chain.account.create", {"name": 7}, ControlError),
    ("chain.account.create", {"amount": "-1"}, ControlError),
    ("chain.account.import", {"path": "/nowhere.json"}, KeyFileError),
    ("chain.account.import", {}, ControlError),
    ("chain.balance", {"account": "a..b"}, AccountRefused),
    ("chain.balance", {"account": "nobody.near"}, NearRefused),
    ("chain.balance", {}, ConfigError),
    ("chain.claim", {}, ConfigError),
    ("chain.outbox.cancel", {}, NearRefused),
    ("chain.outbox", {"all": "yes"}, ControlError),
]


async def test_bad_input_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_market(tmp_path / "chain") as market, a_node(tmp_path, market, monkeypatch, account="") as node:
        for kind, fields, error in BAD:
            with pytest.raises(error) as caught:
                await ask(node, kind, **fields)
            assert "\n" not in str(caught.value), (kind, fields)
        assert node.mesh.settings.get("near.account") == ""
