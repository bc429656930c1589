"""The whole story on a devchain: a pattern is registered by one node, and bought, used and rated by another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import trio

from mycelnode.errors import (
    ConfigError,
    MycelError,
    NearRefused,
    NearUnreachable,
    OutcomeUnknown,
    PatternRefused,
    PaymentNeeded,
    SpendingRefused,
    ValueRefused,
)
from mycelnode.node import Node
from mycelnode.protocols.payment_journal import State
from mycelnode.serving import NodeCommands
from tests.chain.faults import LOST, Proxy, a_proxy
from tests.chain.market import NEAR, PRICE, Market, a_market
from tests.chain.trading import (
    FILLED,
    RECEIPT_PRICE,
    VARIABLES,
    a_person,
    hand_over,
    outbox,
    refusals,
    said,
    set_chain,
    uses,
)
from tests.node.nodes import ask, until

FIRST = PRICE + RECEIPT_PRICE


@dataclass
class Town:
    """``proxy``: between the nodes and the chain."""

    market: Market
    proxy: Proxy
    alice: Node
    bob: Node
    folder: Path

    async def sell(self, **more: object) -> tuple[str, int]:
        """A pattern that Alice has registered, and Bob has got; its CID, and its number."""
        made = await self.alice.patterns.publish(said(**more), register=True)
        assert made.registered, made.registration
        assert made.id is not None
        await hand_over(self.alice, self.bob, made.cid, self.folder)
        return made.cid, made.id


@asynccontextmanager
async def a_town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    async with a_market(tmp_path / "chain") as market, a_proxy(market.chain.url) as proxy:
        set_chain(monkeypatch, tmp_path / "home", market, proxy.url)
        async with a_person(tmp_path, market, "alice.near") as alice, a_person(tmp_path, market, "bob.near") as bob:
            yield Town(market, proxy, alice, bob, tmp_path)


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    async with a_town(tmp_path, monkeypatch) as made:
        yield made


async def test_registered_bought_used_and_rated(town: Town) -> None:
    cid, number = await town.sell()
    quote = await town.bob.patterns.quote(cid)
    assert (quote.price, quote.total, quote.creator) == (PRICE, FIRST, "alice.near")
    (question,) = quote.questions
    assert "alice.near is public for ever, linked to bob.near and to whoever funded it" in question
    used = await town.bob.patterns.use(cid, VARIABLES, max_price=quote.total, yes=True)
    assert (used.output, used.paid, used.pending) == (FILLED, FIRST, "")
    assert uses(town.market, number) == 1
    (receipt,) = (await ask(town.bob, "chain.receipts"))["receipts"]
    assert quote.gas_burnt / 2 < int(receipt["gas"]) <= quote.gas_burnt < quote.gas_in_advance
    again = await town.bob.patterns.use(cid, VARIABLES)
    assert (again.output, again.paid) == (FILLED, PRICE), "the second needs no question, and no storage"
    assert uses(town.market, number) == 2
    rated = await town.bob.patterns.rate(cid, success=True, stars=4)
    assert (rated.uses, rated.successes, rated.queued) == (2, 1, "done")
    told = town.market.chain.view(town.market.registry, "receipt", {"id": number, "account": "bob.near"})
    assert told["rated"] == 1
    await town.bob.patterns.rate(cid, success=False)
    with pytest.raises(
        PaymentNeeded, match=r"each use that bob\.near has paid for can be rated once, and none is left"
    ):
        await town.bob.patterns.rate(cid, success=True)
    assert town.bob.patterns._keeper.outcomes(town.bob.patterns._keeper.kept()[0]).uses == 2


async def test_who_made_it_uses_it_for_nothing(town: Town) -> None:
    cid, number = await town.sell()
    assert (await town.alice.patterns.use(cid, VARIABLES)).paid == 0
    assert (await town.alice.patterns.quote(cid)).total == 0
    assert (await town.alice.patterns.rate(cid, success=True)).queued == ""
    assert uses(town.market, number, "alice.near") == 0


async def test_published_again_it_is_registered_once(town: Town) -> None:
    cid, number = await town.sell()
    again = await town.alice.patterns.publish(said(), register=True)
    assert (again.cid, again.id, again.registered) == (cid, number, True)
    assert len(await outbox(town.alice, all=True)) == 1


async def test_what_is_wrong_with_the_variables_is_said_before_anything_is_paid(town: Town) -> None:
    cid, number = await town.sell()
    with pytest.raises(PatternRefused, match="letters"):
        await town.bob.patterns.use(cid, {}, yes=True)
    assert (uses(town.market, number), await outbox(town.bob, all=True)) == (0, [])


# --- asked, refused ------------------------------------------------------------------------------------------------------------


async def test_without_a_yes_nothing_is_paid(town: Town) -> None:
    cid, number = await town.sell()
    for price in (None, FIRST):  # what it may cost is one thing, that it is public another
        with pytest.raises(SpendingRefused, match=r"public for ever.*you have to say yes to it \(--yes\)"):
            await town.bob.patterns.use(cid, VARIABLES, max_price=price)
    with pytest.raises(SpendingRefused, match=r"it costs 0\.014 NEAR, and at most 0\.01 NEAR were to be paid"):
        await town.bob.patterns.use(cid, VARIABLES, max_price=PRICE, yes=True)
    await ask(town.bob, "config.set", key="near.spend_per_use", value="0.01")
    with pytest.raises(SpendingRefused, match=r"near\.spend_per_use"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    await ask(town.bob, "config.set", key="near.spend_per_use", value="1")
    await ask(town.bob, "config.set", key="near.contracts", value=["other.near"])
    with pytest.raises(SpendingRefused, match=r"is none of the contracts that may be paid \(near\.contracts\)"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    assert len(refusals(town.bob)) == 5, "each is audited"
    assert (uses(town.market, number), await outbox(town.bob, all=True)) == (0, [])


async def test_what_costs_more_than_its_limit_is_asked_for(town: Town) -> None:
    cid, _ = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    await ask(town.bob, "config.set", key="near.ask_above", value="0.001")
    (question,) = (await town.bob.patterns.quote(cid)).questions
    assert "near.ask_above" in question
    with pytest.raises(SpendingRefused, match=r"near\.ask_above"):
        await town.bob.patterns.use(cid, VARIABLES)
    assert (await town.bob.patterns.quote(cid, max_price=PRICE)).questions == [], "that is what was asked"
    assert (await town.bob.patterns.use(cid, VARIABLES, max_price=PRICE)).paid == PRICE


async def test_a_price_that_was_raised_is_asked_for_and_one_raised_in_between_is_not_paid(town: Town) -> None:
    cid, number = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    before = await town.bob.patterns.quote(cid)
    await ask(town.alice, "pattern.price", cid=cid, price=str(2 * PRICE))
    with pytest.raises(SpendingRefused, match="at most"):
        await town.bob.patterns.use(cid, VARIABLES, max_price=before.total)
    with pytest.raises(SpendingRefused, match=r"costs 0\.02 NEAR by now, and not 0\.01 NEAR as it says itself"):
        await town.bob.patterns.use(cid, VARIABLES)

    async def raise_it(name: str, request: object) -> None:
        if name == "send_tx" and not raised:
            raised.append(True)
            args = {"id": number, "price_per_use": str(3 * PRICE)}
            await town.market.chain.call(town.market.creator, town.market.registry, "set_price", args, deposit=1)

    raised: list[bool] = []
    town.proxy.before = raise_it
    with pytest.raises(NearRefused, match="price"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    assert raised
    assert uses(town.market, number) == 1


async def test_a_pattern_that_was_replaced_is_not_bought(town: Town) -> None:
    cid, number = await town.sell()
    later = said(2 * PRICE, title="Sort the post well", supersedes=cid)
    seen = await town.alice.patterns.preview(later, register=True)
    assert seen.registering is not None
    assert (seen.registering.replaces, seen.registering.deposit) == (cid, 2)
    made = await town.alice.patterns.publish(later, register=True, digest=seen.digest, deposit=2)
    assert (made.id, made.registered) == (number, True), made.registration
    found = await town.alice.chain.registry.pattern(number)
    assert found is not None
    assert (found.cid, found.price, found.version) == (made.cid, 2 * PRICE, 2)
    with pytest.raises(PaymentNeeded, match=r"alice\.near.*or has put another in its place; nothing was spent"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    assert len(refusals(town.bob)) == 1
    await hand_over(town.alice, town.bob, made.cid, town.folder)
    with pytest.raises(PaymentNeeded, match=f"alice.near has put {made.cid} in its place; nothing was spent"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    for call in (partial(town.alice.patterns.price, price=PRICE), town.alice.patterns.retire):
        with pytest.raises(
            NearRefused, match=f"alice.near has put {made.cid} in the place of {cid}; that one is sold now"
        ):
            await call(cid)
    assert (await town.bob.patterns.use(made.cid, VARIABLES, yes=True)).paid == 2 * PRICE + RECEIPT_PRICE


async def test_what_cannot_take_the_place_of_another_is_not_made_public(town: Town) -> None:
    cid, _ = await town.sell()
    elsewhere = said(title="Elsewhere", domain="home", supersedes=cid)
    with pytest.raises(
        PatternRefused, match="is registered in the domain mail, and stays there; nothing was made public"
    ):
        await town.alice.patterns.publish(elsewhere, register=True)
    later = await town.alice.patterns.publish(said(title="Later", supersedes=cid), register=True)
    again = await town.alice.patterns.publish(said(), register=True)
    assert (again.cid, again.registered, again.waiting, again.id) == (cid, False, False, None)
    assert again.registration == "it was registered before, and another version has taken its place"
    town.proxy.faults["send_tx"] = [LOST] * 10_000
    transfer = (await town.alice.chain.actions("alice.near")).transfer("bob.near", 1)
    waits = await town.alice.chain.payments.want(transfer, about=cid)
    with pytest.raises(NearRefused, match="is just being registered, and that goes first; nothing was made public"):
        await town.alice.patterns.publish(said(title="Last", supersedes=cid), register=True)
    await town.alice.chain.payments.cancel(waits.intent.id, "it was a test")
    town.proxy.faults.clear()
    await town.alice.chain.payments.wait(waits.intent.id, 20)
    await ask(town.alice, "pattern.retire", cid=later.cid)
    with pytest.raises(NearRefused, match="which this replaces, is retired for ever; nothing was made public"):
        await town.alice.patterns.publish(said(title="Last", supersedes=later.cid), register=True)
    assert len((await town.alice.patterns.list()).patterns) == 2


async def test_whoever_registers_the_pattern_of_another_is_not_paid(town: Town) -> None:
    made = await town.alice.patterns.publish(said())
    await hand_over(town.alice, town.bob, made.cid, town.folder)
    manifest = await town.bob.patterns._keeper.load(town.bob.patterns._keeper.kept()[0])
    args = {
        "pattern_hash": manifest.cid.digest.hex(),
        "metadata_cid": made.cid,
        "domain": "mail",
        "price_per_use": str(PRICE),
    }
    squatter = town.market.chain.wallets["carol.near"]
    await town.market.chain.call(squatter, town.market.registry, "register_pattern", args, deposit=NEAR // 8)
    with pytest.raises(PaymentNeeded, match=r"alice\.near, whom it names, has not registered it"):
        await town.bob.patterns.use(made.cid, VARIABLES, yes=True)
    assert "alice.near" in refusals(town.bob)[0]
    assert await outbox(town.bob, all=True) == []


async def test_a_pattern_that_names_nobody_cannot_be_bought(town: Town) -> None:
    await ask(town.alice, "config.unset", key="near.account")
    with pytest.raises(ConfigError, match=r"near\.account is not set"):
        await town.alice.patterns.publish(said(), register=True)
    assert (await town.alice.patterns.list()).patterns == [], "nothing was made public"
    made = await town.alice.patterns.publish(said())
    await hand_over(town.alice, town.bob, made.cid, town.folder)
    with pytest.raises(PaymentNeeded, match="names no NEAR account"):
        await town.bob.patterns.use(made.cid, VARIABLES, yes=True)


async def test_paused_retired_and_poor(town: Town) -> None:
    cid, number = await town.sell()
    chain, registry = town.market.chain, town.market.registry
    await chain.call(chain.root, registry, "pause", deposit=1)
    with pytest.raises(PaymentNeeded, match=rf"{registry.account_id} is paused; nothing was spent"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    with pytest.raises(NearRefused, match="is paused, so nothing can be registered now; nothing was made public"):
        await town.alice.patterns.publish(said(title="Another"), register=True)
    assert len((await town.alice.patterns.list()).patterns) == 1
    await chain.call(chain.root, registry, "resume", deposit=1)
    await ask(town.bob, "chain.account.create")
    with pytest.raises(NearRefused, match="; it is made by what is first sent to it; nothing was spent"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    spender = (await ask(town.bob, "chain.account"))["spender"]
    await town.bob.chain.payments.wait(
        (
            await town.bob.chain.payments.want((await town.bob.chain.actions("bob.near")).transfer(spender, 10**22))
        ).intent.id,
        20,
    )
    with pytest.raises(NearRefused, match=r"to spend, and .* are needed, with the gas in advance; nothing was spent"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    await ask(town.alice, "pattern.retire", cid=cid)
    with pytest.raises(PaymentNeeded, match=r"alice\.near has retired it; nothing was spent"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    assert uses(town.market, number, spender) == 0


async def test_what_became_free_is_not_paid_for(town: Town) -> None:
    cid, number = await town.sell()
    await ask(town.alice, "pattern.price", cid=cid, price="0")
    used = await town.bob.patterns.use(cid, VARIABLES)
    assert (used.output, used.paid, uses(town.market, number)) == (FILLED, 0, 0)


# --- offline, interrupted --------------------------------------------------------------------------------------------------------


async def test_registered_while_nobody_answers(town: Town) -> None:
    town.proxy.down = True
    seen = await town.alice.patterns.preview(said(), register=True)
    assert seen.registering is not None
    assert not seen.registering.asked
    made = await town.alice.patterns.publish(
        said(), register=True, digest=seen.digest, deposit=seen.registering.deposit
    )
    assert (made.registered, made.id) == (False, None)
    assert made.registration.startswith("waits to be sent; nothing was spent")
    (line,) = await outbox(town.alice)
    assert (line["method"], line["cid"], line["state"]) == ("register_pattern", made.cid, "waiting")
    with pytest.raises(NearUnreachable, match=r"which this replaces.*nothing was made public"):
        await town.alice.patterns.publish(said(supersedes=made.cid, title="Later"), register=True)
    town.proxy.down = False
    await ask(town.alice, "chain.outbox")
    town.alice.chain.payments._hurry()
    await until(lambda: town.alice.chain.journal.lines(ended=False) == [], "it is registered once somebody answers")
    await hand_over(town.alice, town.bob, made.cid, town.folder)
    assert (await town.bob.patterns.use(made.cid, VARIABLES, yes=True)).paid == FIRST
    town.proxy.down = True
    rated = await town.bob.patterns.rate(made.cid, success=True)
    assert rated.queued.startswith("waits to be sent")
    with pytest.raises(PaymentNeeded, match="a rating of it is under way"):
        await town.bob.patterns.rate(made.cid, success=True)


async def test_not_waited_for_and_asked_again_it_is_paid_once(town: Town) -> None:
    cid, number = await town.sell()
    town.proxy.faults["send_tx"] = [LOST] * 1_000
    left = await town.bob.patterns.use(cid, VARIABLES, yes=True, wait=False)
    assert (left.output, left.paid) == ("", 0)
    assert left.pending
    assert (await town.bob.patterns.quote(cid)).questions == [], "it is being paid for already"
    town.proxy.faults.clear()
    used = await town.bob.patterns.use(cid, VARIABLES)
    assert (used.output, used.paid) == (FILLED, FIRST)
    assert uses(town.market, number) == 1


async def test_one_payment_is_never_for_two_requests(town: Town) -> None:
    cid, number = await town.sell()
    town.proxy.faults["send_tx"] = [LOST] * 10_000
    assert (await town.bob.patterns.use(cid, VARIABLES, yes=True, wait=False, request="monday")).pending
    for other in ("tuesday", None):
        with pytest.raises(NearRefused, match="another use of this pattern is being paid for, and goes first"):
            await town.bob.patterns.use(cid, VARIABLES, yes=True, request=other)
    town.proxy.faults.clear()
    for request in ("tuesday", "monday", None):
        if request == "tuesday":
            await until(lambda: town.bob.chain.journal.lines(ended=False) == [], "the first is paid")
        assert (await town.bob.patterns.use(cid, VARIABLES, yes=True, request=request)).output == FILLED
    assert uses(town.market, number) == 3


async def test_a_use_in_doubt_goes_on_with_the_same_payment(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    cid, number = await town.sell()
    monkeypatch.setattr("mycelnode.market.buying.WAIT_SECONDS", 3.0)
    town.proxy.faults["send_tx"] = [LOST] * 1_000
    with pytest.raises(OutcomeUnknown):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    journal = town.bob.chain.journal
    await until(lambda: [line.entry.state for line in journal.lines()] == [State.SIGNED], "it is signed, and lost")
    doubt = r"^whether this use was paid is unknown until height \d+ \(.*\); the same command goes on with it$"
    with pytest.raises(OutcomeUnknown, match=doubt):
        await town.bob.patterns.use(cid, VARIABLES)
    monkeypatch.setattr("mycelnode.market.buying.WAIT_SECONDS", 30.0)
    town.proxy.faults.clear()
    assert (await town.bob.patterns.use(cid, VARIABLES)).paid == FIRST
    assert uses(town.market, number) == 1
    town.proxy.down = True
    with pytest.raises(NearUnreachable):
        await town.bob.patterns.use(cid, VARIABLES)


async def test_a_request_with_a_name_is_paid_once_for_ever(town: Town) -> None:
    cid, number = await town.sell()
    for paid in ((FIRST, 0), (0, FIRST)):
        used = await town.bob.patterns.use(cid, VARIABLES, yes=True, request="monday")
        assert (used.output, used.paid, used.paid_before) == (FILLED, *paid)
    assert uses(town.market, number) == 1
    town.proxy.down = True
    assert (await town.bob.patterns.use(cid, VARIABLES, request="monday")).output == FILLED, "nobody need be asked"
    town.proxy.down = False
    assert (await town.bob.patterns.use(cid, VARIABLES, request="tuesday")).paid == PRICE
    assert uses(town.market, number) == 2
    assert (await town.bob.patterns.list()).patterns[0].uses == 2
    other, _ = await town.sell(title="Another")
    with pytest.raises(ValueRefused, match="the request monday was for another pattern"):
        await town.bob.patterns.use(other, VARIABLES, request="monday")
    with pytest.raises(ValueRefused, match="the name of a request"):
        await town.bob.patterns.use(other, VARIABLES, request="a:b")


async def test_what_was_paid_and_not_given_is_given_without_paying(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    cid, number = await town.sell()
    with monkeypatch.context() as patched:
        patched.setattr("mycelnode.keeping.keeper.Keeper.used", _full)
        with pytest.raises(OSError, match="no room"):
            await town.bob.patterns.use(cid, VARIABLES, yes=True)
    assert uses(town.market, number) == 1
    town.proxy.down = True
    assert (await town.bob.patterns.use(cid, VARIABLES)).output == FILLED
    assert uses(town.market, number) == 1


async def test_what_the_network_forgot_and_the_registry_has_is_not_paid_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid, number = await town.sell()
    with monkeypatch.context() as patched:
        patched.setattr("mycelnode.keeping.keeper.Keeper.used", _full)
        with pytest.raises(OSError, match="no room"):
            await town.bob.patterns.use(cid, VARIABLES, yes=True)
    (line,) = town.bob.chain.journal.lines()
    await town.bob.chain.journal.keep(replace(line.entry, state=State.UNKNOWN))
    assert (await town.bob.patterns.use(cid, VARIABLES)).paid == FIRST
    assert uses(town.market, number) == 1


async def test_two_requests_at_the_same_time_are_two_uses(town: Town) -> None:
    cid, number = await town.sell()
    paid: list[int] = []

    async def use() -> None:
        paid.append((await town.bob.patterns.use(cid, VARIABLES, yes=True)).paid)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        nursery.start_soon(use)
    assert (sorted(paid), uses(town.market, number)) == ([PRICE, FIRST], 2)


async def test_where_there_is_no_registry_nothing_is_paid(town: Town) -> None:
    cid, _ = await town.sell()
    for registry, said_so in (("carol.near", "carol.near"), ("nobody.near", "nobody.near")):
        for node in (town.alice, town.bob):
            await ask(node, "config.set", key="near.registry", value=registry)
        with pytest.raises(MycelError, match=said_so) as caught:
            await town.bob.patterns.use(cid, VARIABLES, yes=True)
        assert "\n" not in str(caught.value)
        with pytest.raises(MycelError, match=said_so):
            await town.alice.patterns.publish(said(title="Another"), register=True)
    for node in (town.alice, town.bob):
        await ask(node, "config.unset", key="near.registry")
    with pytest.raises(
        PaymentNeeded, match=r"costs 0\.01 NEAR a use, and cannot be paid for here: near\.registry is not set"
    ):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    with pytest.raises(ConfigError, match=r"near\.registry is not set"):
        await town.alice.patterns.publish(said(title="Another"), register=True)
    assert (await town.bob.patterns.rate(cid, success=True)).queued == "", "it stays among the devices"
    assert (len((await town.alice.patterns.list()).patterns), await outbox(town.bob, all=True)) == (1, [])


async def test_who_has_not_paid_rates_among_the_devices_alone(town: Town) -> None:
    cid, number = await town.sell()
    rated = await town.bob.patterns.rate(cid, success=True)
    assert (rated.successes, rated.queued) == (1, "")
    made = await town.alice.patterns.publish(said(title="Never registered"))
    await hand_over(town.alice, town.bob, made.cid, town.folder)
    assert (await town.bob.patterns.rate(made.cid, success=True)).queued == ""
    town.proxy.down = True
    assert (await town.bob.patterns.rate(cid, success=False)).failures == 1, "nobody need answer for that"
    assert (uses(town.market, number), await outbox(town.bob, all=True), refusals(town.bob)) == (0, [], [])


async def test_a_deposit_that_grew_is_not_paid(town: Town) -> None:
    with pytest.raises(SpendingRefused, match=r"registering takes .* by now, and .* were agreed to; nothing was spent"):
        await town.alice.patterns.publish(said(), register=True, deposit=1)
    await ask(town.alice, "config.set", key="near.spend_per_day", value="0.01")
    with pytest.raises(SpendingRefused, match=r"near\.spend_per_day.*nothing was made public"):
        await town.alice.patterns.publish(said(), register=True)
    assert (await town.alice.patterns.list()).patterns == []
    assert len(refusals(town.alice)) == 2


async def test_what_speaks_against_it_once_it_is_public_is_told(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a limit that somebody else has used up meanwhile."""

    async def refuse(*_: object, **__: object) -> None:
        raise SpendingRefused("nothing is left of the day")

    monkeypatch.setattr("mycelnode.chain.service.Chain.want", refuse)
    made = await town.alice.patterns.publish(said(), register=True)
    assert (made.registered, made.waiting, made.registration) == (False, False, "nothing is left of the day")
    assert (await town.alice.patterns.list()).patterns[0].published


async def test_what_is_waited_for_is_told(town: Town) -> None:
    cid, _ = await town.sell()
    handler = NodeCommands(town.bob).streams["pattern.use"]
    told = [event async for event in handler({"cid": cid, "variables": VARIABLES, "yes": True})]
    assert told[-1]["type"] == "result"
    (waiting,) = [event for event in told if event.get("event") == "waiting"]
    assert waiting["said"] == "paying 0.014 NEAR on devchain; waiting until that is final"


async def test_who_goes_away_while_it_is_paid_and_asks_again_pays_once(town: Town) -> None:
    cid, number = await town.sell()
    town.proxy.faults["send_tx"] = [LOST] * 10_000
    handler = NodeCommands(town.bob).streams["pattern.use"]
    async with aclosing(handler({"cid": cid, "variables": VARIABLES, "yes": True})) as events:
        async for event in events:
            if event.get("event") == "waiting":
                break
    town.proxy.faults.clear()
    assert (await town.bob.patterns.use(cid, VARIABLES)).paid == FIRST
    assert uses(town.market, number) == 1


async def _full(*_: object, **__: object) -> None:
    raise OSError("no room")
