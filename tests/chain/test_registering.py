"""What speaks against registering is said before anything is public; what is registered takes nothing again, and is sold."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from mycelnode.collective.answers import PublishedPattern
from mycelnode.errors import NearRefused, NearUnreachable, SpendingRefused, ValueRefused
from mycelnode.privacy.key import Key
from tests.chain.market import NEAR, PRICE
from tests.chain.test_trading import Town, a_town
from tests.chain.trading import outbox, said
from tests.node.nodes import ask
from tests.releasing.persons import let_out


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    async with a_town(tmp_path, monkeypatch) as made:
        yield made


async def test_who_has_too_little_makes_nothing_public(town: Town) -> None:
    chain, name = town.market.chain, "poor.alice.near"
    await chain.create_account(name, NEAR // 10)
    file = town.folder / f"{name}.json"
    key = chain.wallets[name].key
    file.write_text(json.dumps({"account_id": name, "public_key": key.public_text, "private_key": key.secret_text}))
    file.chmod(0o600)
    await ask(town.alice, "chain.account.import", path=str(file))
    await ask(town.alice, "config.set", key="near.account", value=name)
    why = (
        rf"{name} has 0\.1 NEAR to spend, and 0\.143 NEAR are needed, with the gas in advance; nothing was made public"
    )
    with pytest.raises(NearRefused, match=why):
        await town.alice.patterns.preview(said(), register=True)
    with pytest.raises(NearRefused, match=why):
        await town.alice.patterns.publish(said(), register=True)
    assert ((await town.alice.patterns.list()).patterns, await outbox(town.alice, all=True)) == ([], [])


async def test_whose_key_is_gone_makes_nothing_public(town: Town) -> None:
    await ask(town.alice, "chain.account.create")
    spender = (await ask(town.alice, "chain.account"))["spender"]
    await ask(town.alice, "config.set", key="near.account", value=spender)
    with pytest.raises(NearRefused, match=f"{spender} has no such key on this network; nothing was made public"):
        await town.alice.patterns.publish(said(), register=True)
    assert (await town.alice.patterns.list()).patterns == []


async def test_what_is_registered_already_takes_nothing_and_costs_what_it_costs_there(town: Town) -> None:
    cid, number = await town.sell()
    await ask(town.alice, "pattern.price", cid=cid, price=str(2 * PRICE))
    before = len(await outbox(town.alice, all=True))
    seen = await town.alice.patterns.preview(said(), register=True)
    assert seen.registering is not None
    assert (seen.registering.number, seen.registering.price, seen.registering.deposit) == (number, 2 * PRICE, 0)
    again = await town.alice.patterns.publish(said(), register=True, digest=seen.digest, deposit=0)
    assert (again.cid, again.id, again.registered, again.waiting) == (cid, number, True, False)
    assert again.registration == "it was already, at 0.02 NEAR; nothing was taken"
    assert len(await outbox(town.alice, all=True)) == before


async def test_what_was_released_is_registered_once(town: Town) -> None:
    """Also after an end between the two: what it promises is a part of what is looked for."""
    habit = Key(("write", "test"), "coding", ("python",))
    now = town.alice.mesh.clock.wall()
    await town.alice.mesh.database.write(partial(let_out, key=habit, n=20, window="2026-Q1", now=now))
    confirming = town.alice.confirming
    (key,) = [row.id for row in await confirming.released()]
    shown = await confirming.offered(key, PRICE, register=True)
    registering = shown.preview.registering
    assert registering is not None
    agreed = partial(confirming.confirm, key, PRICE, digest=shown.preview.digest, register=True)
    with pytest.raises(SpendingRefused, match="were agreed to"):
        await agreed(deposit=registering.deposit - 1)
    assert (await town.alice.patterns.list()).patterns == []
    first = await agreed(deposit=registering.deposit)
    assert isinstance(first, PublishedPattern)
    assert (first.dp, first.registered) == ("discrete-laplace-threshold", True)
    before = len(await outbox(town.alice, all=True))
    again = await agreed(deposit=0)
    assert isinstance(again, PublishedPattern)
    assert (again.cid, again.id, again.registered) == (first.cid, first.id, True)
    assert len(await outbox(town.alice, all=True)) == before


async def test_what_is_retired_is_not_registered_again(town: Town) -> None:
    cid, _ = await town.sell()
    await ask(town.alice, "pattern.retire", cid=cid)
    for call in (town.alice.patterns.preview, town.alice.patterns.publish):
        with pytest.raises(NearRefused, match=f"{cid} is retired for ever, and cannot be registered again"):
            await call(said(), register=True)


async def test_a_price_and_the_end_of_a_sale_by_the_library(town: Town) -> None:
    cid, number = await town.sell()
    await town.alice.patterns.price(cid, 3 * PRICE)
    assert (await town.bob.patterns.quote(cid)).price == 3 * PRICE
    with pytest.raises(ValueRefused, match="a price is in yoctoNEAR"):
        await town.alice.patterns.price(cid, -1)
    retired = await town.alice.patterns.retire(cid)
    assert (retired.cid, retired.id, retired.released) == (cid, number, False)
    assert retired.release_from > datetime.now(UTC) + timedelta(days=29)
    with pytest.raises(NearRefused, match="is retired: nobody can use it any more"):
        await town.alice.patterns.price(cid, PRICE)
    town.proxy.down = True
    with pytest.raises(NearUnreachable, match=r"; nothing was changed$"):
        await town.alice.patterns.retire(cid)
