"""Two people's nodes on a chain: one sells a pattern, the other one has got it, and may use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mycelnode import audit
from mycelnode.node import Node
from tests.chain.market import PRICE, Market
from tests.node.nodes import ask, founder

RECEIPT_PRICE = 4 * 10**21
TEMPLATE = "Sort these letters: {{letters}}"
FILLED = "Sort these letters: a bill"
VARIABLES = {"letters": "a bill"}


def said(price: int = PRICE, **more: Any) -> dict[str, Any]:
    """The fields of a pattern."""
    return {"title": "Sort the post", "domain": "mail", "template": TEMPLATE, "price": str(price), **more}


def set_chain(monkeypatch: pytest.MonkeyPatch, home: Path, market: Market, url: str = "") -> None:
    """What all nodes of this process are told of the chain, and where they find keys."""
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MYCEL_NEAR_NETWORK", "devchain")
    monkeypatch.setenv("MYCEL_NEAR_RPC", url or market.chain.url)


@asynccontextmanager
async def a_person(folder: Path, market: Market, account: str) -> AsyncIterator[Node]:
    """A node of whoever has ``account``."""
    async with founder(folder, account.partition(".")[0]) as node:
        await ask(node, "config.set", key="near.registry", value=market.registry.account_id)
        await ask(node, "chain.account.import", path=str(market.chain.key_file(account)))
        yield node


async def hand_over(seller: Node, buyer: Node, cid: str, folder: Path) -> None:
    """Let the buyer have a pattern's blocks."""
    path = folder / f"{cid}.car"
    await seller.patterns.export(cid, path, "car")
    await buyer.patterns.import_car(path)


async def outbox(node: Node, **fields: Any) -> list[dict[str, Any]]:
    """What `chain outbox` shows."""
    found: list[dict[str, Any]] = (await ask(node, "chain.outbox", **fields))["entries"]
    return found


def uses(market: Market, number: int, account: str = "bob.near") -> int:
    """That an account has bought, as the newest block has it."""
    receipt = market.chain.view(market.registry, "receipt", {"id": number, "account": account})
    return 0 if receipt is None else int(receipt["uses"])


def refusals(node: Node) -> list[str]:
    """Why payments were refused, as the audit has it."""
    events = node.mesh.database.look(lambda connection: audit.tail(connection, 100))
    return [str(event.fields["why"]) for event in events if event.kind == "payment.refused"]
