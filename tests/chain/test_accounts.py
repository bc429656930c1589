"""No account with money is forgotten: those that were replaced are shown and emptied, and what broke off goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.chain.accounts import MAX_KNOWN, Accounts
from mycelnode.chain.gas import TRANSFER, paid_in_advance
from mycelnode.chain.journal import Journal
from mycelnode.config import Settings
from mycelnode.errors import ConfigError, ControlError, KeyFileError, NearRefused
from mycelnode.joining import init_mesh
from mycelnode.market.account_commands import LEFT_BEHIND
from mycelnode.node import Node
from mycelnode.paths import DataDir
from mycelnode.protocols.payment_journal import Entry, State
from mycelnode.serving import NodeCommands
from tests.chain.faults import LOST, Proxy, a_proxy
from tests.chain.market import NEAR, Market, a_market
from tests.node.nodes import SkewedClock, ask, folder, running, until


@dataclass
class Purse:
    """A device that can be started again and again; ``source`` is the key file of Bob, who has money elsewhere."""

    market: Market
    proxy: Proxy
    data: DataDir
    source: str

    def on(self) -> AbstractAsyncContextManager[Node]:
        """Its node, while that runs."""
        return running(self.data)

    async def create(self, node: Node, amount: int = NEAR) -> str:
        made = await ask(node, "chain.account.create", **{"from": self.source}, amount=str(amount))
        return str(made["account"])

    def has(self, account: str) -> int:
        return self.market.chain.balance(account)


@pytest.fixture
async def purse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Purse]:
    (tmp_path / "home").mkdir()
    async with a_market(tmp_path / "chain") as market, a_proxy(market.chain.url) as proxy:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("MYCEL_NEAR_NETWORK", "devchain")
        monkeypatch.setenv("MYCEL_NEAR_RPC", proxy.url)
        monkeypatch.setenv("MYCEL_NEAR_REGISTRY", market.registry.account_id)
        made = Purse(market, proxy, folder(tmp_path, "purse"), str(market.chain.key_file("bob.near")))
        await init_mesh(made.data, "purse", clock=SkewedClock())
        yield made


@pytest.fixture
async def bag(purse: Purse) -> AsyncIterator[tuple[Purse, Node]]:
    async with purse.on() as node:
        yield purse, node


async def former(node: Node) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await ask(node, "chain.account"))["former"]
    return found


# --- replaced --------------------------------------------------------------------------------------------------------------------


async def test_what_comes_to_an_account_that_was_replaced_is_shown_and_moved(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    first = await purse.create(node)
    second = (await ask(node, "chain.account.rotate"))["account"]
    assert await former(node) == [], "what is left of its gas is not worth a line"
    await ask(node, "chain.account.fund", account=first, **{"from": purse.source}, amount=str(NEAR))
    (left,) = await former(node)
    assert (left["account"], left["problem"], left["claimable"]) == (first, None, "0")
    assert int(left["balance"]) == purse.has(first) > NEAR
    before = purse.has(second)
    swept = await ask(node, "chain.account.sweep", account=first)
    assert (swept["account"], swept["to"]) == (first, second)
    assert purse.has(second) == before + int(swept["moved"]) > before + NEAR
    assert purse.has(first) < LEFT_BEHIND
    assert await former(node) == []
    assert (await ask(node, "chain.account.sweep", account=first))["moved"] == "0"


async def test_all_that_there_is_goes_to_whoever_pays_and_is_there_or_not(bag: tuple[Purse, Node]) -> None:
    """To an account that is named after its key it takes more gas, also when that is there already."""
    purse, node = bag
    first = await purse.create(node)
    await ask(node, "config.set", key="near.account", value="bob.near")
    await ask(node, "config.unset", key="near.spender")
    assert (await ask(node, "chain.account.sweep", account=first))["to"] == "bob.near"
    assert purse.has(first) < paid_in_advance(TRANSFER)
    await ask(node, "chain.account.fund", account=first, **{"from": purse.source}, amount=str(NEAR))
    second = (await ask(node, "chain.account.create"))["account"]
    assert (await ask(node, "chain.account.sweep", account=first))["to"] == second
    assert purse.has(second) > NEAR * 97 // 100


async def test_while_nobody_answers_it_is_named_all_the_same(
    bag: tuple[Purse, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    purse, node = bag
    first = await purse.create(node)
    await ask(node, "chain.account.rotate")
    await ask(node, "chain.account.fund", account=first, **{"from": purse.source}, amount=str(NEAR))
    purse.proxy.down = True
    (left,) = await former(node)
    assert (left["account"], left["balance"], left["claimable"]) == (first, None, None)
    purse.proxy.down = False
    (node.chain.credentials.folder / "devchain" / f"{first}.json").unlink()
    (left,) = await former(node)
    assert f"there is no key of {first}" in left["problem"]
    with pytest.raises(KeyFileError):
        await ask(node, "chain.account.sweep", account=first)


async def test_what_is_not_of_this_device_is_not_emptied_and_not_funded(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    spender = await purse.create(node)
    for account in (spender, "bob.near", "carol.near"):
        with pytest.raises(NearRefused, match="is none of the accounts that were replaced on this device"):
            await ask(node, "chain.account.sweep", account=account)
    give = {"from": purse.source, "amount": str(NEAR)}
    with pytest.raises(NearRefused, match="no account that this device has made or taken in; nothing was spent"):
        await ask(node, "chain.account.fund", account="carol.near", **give)
    with pytest.raises(NearRefused, match="cannot give itself"):
        await ask(node, "chain.account.fund", account=spender, **{**give, "from": spender})
    for fields in ({"from": purse.source}, {"amount": "1"}, {"from": purse.source, "amount": "0"}):
        with pytest.raises(ControlError):
            await ask(node, "chain.account.fund", **fields)
    with pytest.raises(NearRefused, match=r"bob\.near has .* to spend, and .* are needed"):
        await ask(node, "chain.account.fund", **{**give, "amount": str(10**9 * NEAR)})


async def test_the_spender_is_given_more(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    with pytest.raises(ConfigError, match=r"near\.spender is not set"):
        await ask(node, "chain.account.fund", **{"from": purse.source}, amount=str(NEAR))
    spender = await purse.create(node)
    with pytest.raises(ConfigError, match="`mycelnode chain account fund` gives it more"):
        await purse.create(node)
    given = await ask(node, "chain.account.fund", **{"from": purse.source}, amount=str(2 * NEAR))
    assert given == {"network": "devchain", "account": spender, "from": "bob.near", "amount": str(2 * NEAR)}
    assert purse.has(spender) == 3 * NEAR
    assert (await ask(node, "chain.policy"))["spent"] == "0"


async def test_what_waits_for_an_account_that_was_replaced_is_claimed(bag: tuple[Purse, Node]) -> None:
    """A share that could not be paid out, as the account was not there at that moment."""
    purse, node = bag
    await ask(node, "chain.account.import", path=str(purse.market.chain.key_file("alice.near")))
    await ask(node, "chain.account.create", name="fox.bob.near", **{"from": purse.source}, amount="0", replace=True)
    asked: list[str] = []

    async def claimable(self: object, account: str) -> int:
        asked.append(account)
        return 7 if account == "alice.near" else 0

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mycelnode.chain.registry.Registry.claimable", claimable)
        (left,) = await former(node)
        assert (left["account"], left["claimable"]) == ("alice.near", "7")
        asked.clear()
        assert (await ask(node, "chain.claim"))["claimed"] == {"fox.bob.near": "0", "alice.near": "7"}
    assert asked == ["fox.bob.near", "alice.near"], "those that are in use come first"


async def test_who_is_paid_is_replaced_only_if_that_is_said(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    fields = {"from": purse.source, "amount": str(NEAR)}
    for _ in range(2):  # the same again goes on
        await ask(node, "chain.account.create", name="fox.bob.near", **fields)
    with pytest.raises(ConfigError, match=r"fox\.bob\.near publishes and is paid already.*--replace puts cat"):
        await ask(node, "chain.account.create", name="cat.bob.near", **fields)
    known = await ask(node, "chain.account")
    assert (known["account"], known["former"]) == ("fox.bob.near", [])
    assert node.chain.wallet.credentials.folder.joinpath("devchain", "cat.bob.near.json").exists() is False
    await ask(node, "chain.account.create", name="cat.bob.near", **fields, replace=True)
    known = await ask(node, "chain.account")
    assert known["account"] == "cat.bob.near"
    assert [(one["account"], one["balance"]) for one in known["former"]] == [("fox.bob.near", str(NEAR))]


async def test_two_who_ask_at_the_same_time_make_one(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    create, refused = NodeCommands(node).commands["chain.account.create"], list[str]()

    async def make() -> None:
        try:
            await create({"from": purse.source, "amount": str(NEAR)})
        except ConfigError as error:
            refused.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make)
        nursery.start_soon(make)
    assert len(refused) == 1
    assert len(node.chain.accounts.known) == 1


async def test_the_same_account_again_is_given_nothing_and_that_is_said(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    fields = {"name": "fox.bob.near", "from": purse.source, "amount": str(NEAR)}
    made = await ask(node, "chain.account.create", **fields)
    assert (made["given"], made["existed"]) == (str(NEAR), False)
    before = purse.has("bob.near")
    again = await ask(node, "chain.account.create", **fields)
    assert again == {**made, "given": "0", "existed": True}
    assert (purse.has("bob.near"), purse.has("fox.bob.near")) == (before, NEAR)


async def test_who_gives_and_how_much_are_both_said_or_neither(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    for fields in ({"name": "fox.bob.near"}, {}, {"amount": "0"}):
        with pytest.raises(ConfigError, match=r"say with --amount how much bob\.near gives it"):
            await ask(node, "chain.account.create", **{"from": purse.source}, **fields)
    for fields in ({"name": "fox.bob.near"}, {}):
        with pytest.raises(ConfigError, match="say with --from which account gives it that"):
            await ask(node, "chain.account.create", amount="1", **fields)
    assert (await ask(node, "chain.account"))["keys"] == [], "nothing was made"
    empty = await ask(node, "chain.account.create")
    assert (empty["given"], empty["existed"]) == ("0", False)
    with pytest.raises(
        NearRefused, match=f"there is no account {empty['account']} on devchain; it is made by what is first"
    ):
        await ask(node, "chain.balance")


# --- an account that publishes and pays ---------------------------------------------------------------------------------------


async def test_who_publishes_and_pays_too_gives_another_spender_no_more_than_was_said(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    for fields in ({}, {"spender": True}):
        await ask(node, "chain.account.import", path=purse.source, **fields)
    before = purse.has("bob.near")
    for kind in ("chain.account.rotate.plan", "chain.account.rotate"):
        with pytest.raises(NearRefused, match=r"bob\.near publishes and is paid, too: say with --amount how much"):
            await ask(node, kind)
        with pytest.raises(NearRefused, match=r"bob\.near can give [\d,.]+ NEAR at most, as it keeps what gas takes"):
            await ask(node, kind, amount=str(before))
    assert (purse.has("bob.near"), node.mesh.settings.get("near.spender")) == (before, "bob.near")
    plan = await ask(node, "chain.account.rotate.plan", amount=str(2 * NEAR))
    assert plan == {"network": "devchain", "before": "bob.near", "moved": str(2 * NEAR)}
    assert node.mesh.settings.get("near.spender") == "bob.near", "a plan makes nothing"
    made = await ask(node, "chain.account.rotate", amount=str(2 * NEAR))
    assert purse.has(made["account"]) == 2 * NEAR
    assert before - 2 * NEAR - NEAR // 10 < purse.has("bob.near") < before - 2 * NEAR
    assert (await ask(node, "chain.account"))["account"] == "bob.near"


async def test_a_part_of_what_a_spender_has_leaves_the_rest_where_it_can_be_swept(bag: tuple[Purse, Node]) -> None:
    purse, node = bag
    with pytest.raises(ConfigError, match=r"near\.spender is not set: `mycelnode chain account create` makes one"):
        await ask(node, "chain.account.rotate", amount="1")
    first = await purse.create(node)
    second = (await ask(node, "chain.account.rotate", amount=str(NEAR // 4)))["account"]
    assert purse.has(second) == NEAR // 4
    (left,) = await former(node)
    assert (left["account"], left["unrated"], int(left["spendable"]) > NEAR // 2) == (first, 0, True)
    plan = await ask(node, "chain.account.sweep.plan", account=first)
    swept = await ask(node, "chain.account.sweep", account=first)
    assert plan == {**swept, "unrated": 0}


# --- broken off ------------------------------------------------------------------------------------------------------------------


class Killed(Exception):
    """In the place of a power cut."""


def die(*_: object, **__: object) -> Any:
    raise Killed


async def die_soon(*_: object, **__: object) -> Any:
    raise Killed


@pytest.mark.parametrize("kind", ["create", "rotate"])
async def test_broken_off_once_money_is_on_its_way_the_next_start_goes_on(purse: Purse, kind: str) -> None:
    async with purse.on() as node:
        before = await purse.create(node) if kind == "rotate" else ""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Settings, "set_local", die)
            with pytest.raises(Killed):
                await (purse.create(node) if kind == "create" else ask(node, "chain.account.rotate"))
        assert node.mesh.settings.get("near.spender") == before
    for _ in range(2):  # it goes on once
        async with purse.on() as node:
            spender = str(node.mesh.settings.get("near.spender"))
            assert spender == node.chain.accounts.known[-1] != before
            await until(lambda: node.chain.journal.lines(ended=False) == [], "the money arrives")
            assert purse.has(spender) > NEAR // 2
            assert [one["account"] for one in await former(node)] == []


@pytest.mark.parametrize("kind", ["create", "rotate"])
async def test_broken_off_before_that_the_same_account_is_used_the_next_time(purse: Purse, kind: str) -> None:
    async with purse.on() as node:
        before = await purse.create(node) if kind == "rotate" else ""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Journal, "add", die_soon)
            with pytest.raises(Killed):
                await (purse.create(node) if kind == "create" else ask(node, "chain.account.rotate"))
    async with purse.on() as node:
        assert node.mesh.settings.get("near.spender") == before, "nothing is on its way"
        coming = node.chain.accounts.coming
        if kind == "create":
            assert await purse.create(node) == coming
        else:
            assert (await ask(node, "chain.account.rotate"))["account"] == coming
        assert purse.has(coming) > NEAR // 2
        assert node.chain.accounts.coming == ""


async def test_who_has_set_another_spender_since_keeps_it(purse: Purse) -> None:
    async with purse.on() as node:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Accounts, "arrive", die_soon)
            with pytest.raises(Killed):
                await purse.create(node)
        coming = node.chain.accounts.coming
        await ask(node, "config.set", key="near.spender", value="carol.near")
    async with purse.on() as node:
        assert node.mesh.settings.get("near.spender") == "carol.near"
        await until(lambda: node.chain.journal.lines(ended=False) == [], "the money arrives")
        assert [one["account"] for one in await former(node)] == [coming], "and is not forgotten"


async def test_what_does_not_come_leaves_who_paid_before(
    bag: tuple[Purse, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    purse, node = bag
    before = await purse.create(node)
    purse.proxy.faults["send_tx"] = [LOST] * 10_000
    failures: list[type[Exception]] = []

    async def rotate() -> None:
        try:
            await ask(node, "chain.account.rotate")
        except NearRefused:
            failures.append(NearRefused)

    def waiting() -> list[Entry]:
        return [line.entry for line in node.chain.journal.lines(ended=False)]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rotate)
        await until(lambda: bool(waiting()) and node.chain.accounts.coming == "", "it is under way")
        await node.chain.payments.cancel(waiting()[0].intent.id, "it was a test")
        purse.proxy.faults.clear()
    assert failures == [NearRefused]
    assert [line.entry.state for line in node.chain.journal.lines(most=1)] == [State.CANCELLED]
    assert node.mesh.settings.get("near.spender") == before
    coming = node.chain.accounts.coming
    assert (await ask(node, "chain.account.rotate"))["account"] == coming != before


async def test_the_oldest_of_very_many_are_forgotten_first(bag: tuple[Purse, Node]) -> None:
    _, node = bag
    await node.chain.accounts.remember(*(f"a{number}.near" for number in range(MAX_KNOWN + 5)), "a7.near", "")
    known = node.chain.accounts.known
    assert (len(known), known[0], known[-1]) == (MAX_KNOWN, "a5.near", "a7.near")
