"""What a person confirmed becomes public once, as it was seen, and nothing else does, whatever changes or ends in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mycelnode.collective.answers import PublishedPattern
from mycelnode.collective.api import Patterns
from mycelnode.errors import MycelError, NetworkError, PatternRefused, ValueRefused
from mycelnode.identity import KeyPair
from mycelnode.node import Node
from mycelnode.privacy.key import Key
from tests.node.nodes import ask, founder
from tests.releasing.persons import let_out

HABIT = Key(("write", "test"), "coding", ("python",))


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """Of somebody of whom one habit was let out, which is due."""
    async with founder(tmp_path) as made:
        now = made.mesh.clock.wall()
        await made.mesh.database.write(partial(let_out, key=HABIT, n=20, window="2026-Q1", now=now))
        yield made


async def key_of(node: Node) -> str:
    (row,) = await node.confirming.released()
    return row.id


async def published(node: Node, **fields: Any) -> PublishedPattern:
    made = await node.confirming.confirm(await key_of(node), **fields)
    assert isinstance(made, PublishedPattern)
    return made


async def public(node: Node) -> list[str]:
    return [one.cid for one in (await node.patterns.list()).patterns]


async def test_what_is_public_is_never_made_anew(node: Node) -> None:
    first = await published(node)
    await node.patterns.publish({"title": "Other", "domain": "home", "template": "Another key."}, new_key=True)
    await ask(node, "config.set", key="near.account", value="fox.near")
    again = await published(node)
    assert again.cid == first.cid
    shown = (await node.confirming.offered(await key_of(node))).preview
    assert (shown.near, shown.creator) == (None, (await ask(node, "pattern.show", cid=first.cid))["creator"])
    assert len(await public(node)) == 2


async def test_what_is_public_is_noted_before_anybody_is_told(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(*_: object) -> None:
        raise NetworkError("as if it ended here")

    with monkeypatch.context() as patch:
        patch.setattr(Patterns, "_published", end)
        with pytest.raises(NetworkError):
            await published(node)
    (row,) = await node.confirming.released()
    assert [row.cid] == await public(node)
    await ask(node, "config.set", key="near.account", value="fox.near")
    assert await node.confirming.publish_due() == []
    assert (await published(node)).cid == row.cid
    assert await public(node) == [row.cid]


async def test_what_is_linked_already_is_not_called_unlinked(node: Node) -> None:
    await published(node)
    for call in (node.confirming.offered, node.confirming.confirm):
        with pytest.raises(ValueRefused, match="public already, signed with your creator key"):
            await call(await key_of(node), unlinked=True)


@pytest.mark.parametrize("fields", [{"register": True}, {"price": 10**22}])
async def test_what_is_unlinked_is_paid_by_nobody(node: Node, fields: dict[str, Any]) -> None:
    key = await key_of(node)
    for call in (node.confirming.offered, node.confirming.confirm):
        with pytest.raises(ValueRefused, match="an account that is paid would link it"):
            await call(key, unlinked=True, **fields)
    assert (await node.confirming.released())[0].confirmed is None


async def test_a_confirmation_is_of_one_registry(node: Node) -> None:
    key = await key_of(node)
    seen = (await node.confirming.offered(key)).preview.digest
    with pytest.raises(PatternRefused, match="look again"):
        await node.confirming.confirm(key, digest=seen, register=True)
    look = partial(node.confirming._look, key, 0, register=True, unlinked=False)
    before = (await look())[0].preview.digest
    await ask(node, "config.set", key="near.registry", value="other.near")
    assert (await look())[0].preview.digest != before
    assert await public(node) == []


async def test_a_wish_to_register_outlives_what_speaks_against_it(node: Node) -> None:
    first = await published(node)
    with pytest.raises(MycelError):  # no account
        await published(node, register=True)
    (row,) = await node.confirming.released()
    assert (row.cid, row.register) == (first.cid, True)
    assert await node.confirming.publish_due() == []  # tried, and said in the log
    assert (await node.confirming.released())[0].register
    await ask(node, "config.set", key="near.registry", value="other.near")  # which nobody has agreed to
    assert await node.confirming.publish_due() == []
    (row,) = await node.confirming.released()
    assert (row.cid, row.register, row.confirmed) == (first.cid, False, None)


async def test_the_key_of_what_is_unlinked_is_nowhere_once_it_has_signed(node: Node) -> None:
    seeds: list[bytes] = []

    def find(path: Path) -> bool:
        return any(seeds[0] in file.read_bytes() for file in path.rglob("*") if file.is_file())

    make = node.patterns._keeper.make

    async def look(*arguments: Any, signer: KeyPair, **named: Any) -> Any:
        seeds.append((await node.confirming.released())[0].unlinked or b"")
        return await make(*arguments, signer=signer, **named)  # type: ignore[arg-type]

    node.patterns._keeper.make = look  # type: ignore[method-assign,assignment]
    made = await published(node, unlinked=True)
    assert len(seeds[0]) == 32
    assert not find(node.mesh.database.path.parent)
    shown = await ask(node, "pattern.show", cid=made.cid)
    assert shown["creator"] == KeyPair(seeds[0]).public.hex()
