"""What was paid for, or may have been, is listed to the last line, whatever else the journal has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mycelnode.chain.journal import Journal
from mycelnode.errors import ControlError
from mycelnode.node import Node
from mycelnode.protocols.payment_journal import Entry, Intent, Signature, State, json_args
from tests.chain.known import CID
from tests.node.nodes import ask, founder

NET = "devchain/1"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with founder(tmp_path) as made:
        yield made


async def keep(journal: Journal, number: int, state: State, method: str = "use_pattern") -> None:
    """A line that stands so."""
    args = json_args(id=7, nth=number)
    name, receiver = f"{NET}:bob.near:{method}:{number}", "registry.near"
    intent = Intent(name, NET, "bob.near", "ed25519:1", receiver, method, args, 10, 30, 1 << 50)
    await journal.add(intent, about=CID, creator="alice.near")
    signed = None if state is State.WAITING else Signature("hash", b"bytes", 1, 1, 2)
    await journal.keep(replace(Entry(intent), state=state, signed=signed))


async def test_what_may_have_been_paid_is_there_with_its_state(node: Node) -> None:
    for number, state in enumerate(State, 1):
        await keep(node.chain.journal, number, state)
    found = await ask(node, "chain.receipts")
    assert [(one["nth"], one["state"], one["paid"]) for one in found["receipts"]] == [
        (6, "unknown", "10"),
        (3, "done", "10"),
        (2, "signed", "10"),
    ]
    assert (found["more"], found["receipts"][0]["title"]) == (False, None)


async def test_it_is_cut_after_what_else_was_done_is_left_out(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.chain.journal.MAX_ROWS", 5)
    await keep(node.chain.journal, 1, State.DONE)
    for number in range(8):
        await keep(node.chain.journal, number, State.DONE, "set_price")
    assert [one["nth"] for one in (await ask(node, "chain.receipts"))["receipts"]] == [1]


async def test_page_by_page_each_comes_once(node: Node) -> None:
    for number in range(1, 8):
        await keep(node.chain.journal, number, State.DONE)
    found, before, pages = list[int](), None, 0
    while True:
        answer = await ask(node, "chain.receipts", limit=3, before=before)
        found += [one["nth"] for one in answer["receipts"]]
        pages += 1
        if not answer["more"]:
            break
        before = answer["receipts"][-1]["no"]
    assert (found, pages) == ([7, 6, 5, 4, 3, 2, 1], 3)
    for fields in ({"limit": 0}, {"limit": 1_001}, {"limit": "3"}, {"before": 0}):
        with pytest.raises(ControlError):
            await ask(node, "chain.receipts", **fields)
