"""A use is rated by the account that paid for it, with the key that is left of it, and else among the devices alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.errors import KeyFileError, NearRefused, PaymentNeeded, ValueRefused
from mycelnode.protocols.payment_journal import State
from tests.chain.faults import LOST
from tests.chain.market import NEAR
from tests.chain.test_trading import FIRST, Town, a_town
from tests.chain.trading import VARIABLES, outbox
from tests.node.nodes import ask, until


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    async with a_town(tmp_path, monkeypatch) as made:
        await ask(made.bob, "chain.account.create", **{"from": "bob.near"}, amount=str(NEAR))
        yield made


def receipt(town: Town, number: int, account: str) -> Any:
    return town.market.chain.view(town.market.registry, "receipt", {"id": number, "account": account})


async def test_what_an_account_paid_that_was_replaced_it_still_rates(town: Town) -> None:
    cid, number = await town.sell()
    assert (await town.bob.patterns.use(cid, VARIABLES, yes=True)).paid == FIRST
    before = (await ask(town.bob, "chain.account.rotate"))["before"]
    assert receipt(town, number, before)["rated"] == 0
    rated = await town.bob.patterns.rate(cid, success=True, stars=3)
    assert (rated.successes, rated.queued) == (1, "done")
    assert receipt(town, number, before)["rated"] == 1
    with pytest.raises(PaymentNeeded, match=f"each use that {before} has paid for can be rated once"):
        await town.bob.patterns.rate(cid, success=True)
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    spender = (await ask(town.bob, "chain.account"))["spender"]
    await town.bob.patterns.rate(cid, success=False)
    assert (receipt(town, number, spender)["rated"], receipt(town, number, before)["rated"]) == (1, 1)


async def test_offline_it_waits_for_the_account_that_paid(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.market.rating.RATING_SECONDS", 0.3)
    cid, number = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    before = (await ask(town.bob, "chain.account.rotate"))["before"]
    town.proxy.down = True
    assert (await town.bob.patterns.rate(cid, success=True)).queued.startswith("waits to be sent")
    (line,) = await outbox(town.bob)
    assert (line["method"], line["account"]) == ("rate_pattern", before)
    assert [(one["account"], one["unrated"]) for one in (await ask(town.bob, "chain.account"))["former"]] == [
        (before, 1)
    ]
    town.proxy.down = False
    town.bob.chain.payments._hurry()
    await until(lambda: town.bob.chain.journal.lines(ended=False) == [], "it is rated once somebody answers")
    assert receipt(town, number, before)["rated"] == 1
    town.proxy.down = True
    with pytest.raises(PaymentNeeded, match=f"each use that {before} has paid for"):
        await town.bob.patterns.rate(cid, success=True)


async def test_that_uses_can_still_be_rated_is_said_before_the_money_for_that_is_moved(town: Town) -> None:
    cid, _ = await town.sell()
    for request in ("one", "two"):
        await town.bob.patterns.use(cid, VARIABLES, yes=True, request=request)
    before = (await ask(town.bob, "chain.account.rotate"))["before"]
    await town.bob.patterns.rate(cid, success=True)
    (left,) = (await ask(town.bob, "chain.account"))["former"]
    plan = await ask(town.bob, "chain.account.sweep.plan", account=before)
    assert (left["account"], left["unrated"], plan["unrated"]) == (before, 1, 1)
    await town.bob.patterns.rate(cid, success=True)
    plan = await ask(town.bob, "chain.account.sweep.plan", account=before)
    assert (plan["account"], plan["unrated"], int(plan["moved"]) > 0) == (before, 0, True)


async def test_without_the_key_of_who_paid_it_is_said_and_nothing_is_noted(town: Town) -> None:
    cid, _ = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    before = (await ask(town.bob, "chain.account.rotate"))["before"]
    (town.bob.chain.credentials.folder / "devchain" / f"{before}.json").unlink()
    with pytest.raises(KeyFileError, match=f"there is no key of {before}"):
        await town.bob.patterns.rate(cid, success=True)
    assert (await town.bob.patterns.list()).patterns[0].successes == 0


async def test_what_became_free_is_rated_among_the_devices(town: Town) -> None:
    cid, number = await town.sell()
    await ask(town.alice, "pattern.price", cid=cid, price="0")
    assert (await town.bob.patterns.use(cid, VARIABLES)).paid == 0
    rated = await town.bob.patterns.rate(cid, success=True)
    assert (rated.uses, rated.successes, rated.queued) == (1, 1, "")
    assert receipt(town, number, "bob.near") is None


async def test_what_became_free_after_it_was_paid_for_is_rated_on_chain_as_often_as_it_was_paid(town: Town) -> None:
    cid, number = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    await ask(town.alice, "pattern.price", cid=cid, price="0")
    await town.bob.patterns.use(cid, VARIABLES)
    assert [(await town.bob.patterns.rate(cid, success=True)).queued for _ in range(2)] == ["done", ""]
    assert (await town.bob.patterns.list()).patterns[0].successes == 2
    spender = (await ask(town.bob, "chain.account"))["spender"]
    assert receipt(town, number, spender)["rated"] == 1


async def test_a_use_of_which_nobody_remembers_what_became_is_rated_if_the_registry_has_it(town: Town) -> None:
    cid, number = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    line = next(one for one in town.bob.chain.journal.lines() if one.entry.intent.method == "use_pattern")
    await town.bob.chain.journal.keep(replace(line.entry, state=State.UNKNOWN))
    await ask(town.bob, "config.unset", key="near.spender")
    await ask(town.bob, "config.unset", key="near.account")
    assert (await town.bob.patterns.rate(cid, success=True)).queued == "done", "who pays from now on does not matter"
    assert receipt(town, number, line.entry.intent.account)["rated"] == 1


async def test_without_a_registry_it_is_noted_among_the_devices(town: Town) -> None:
    cid, _ = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    await ask(town.bob, "config.unset", key="near.registry")
    assert (await town.bob.patterns.rate(cid, success=True)).queued == ""


async def test_what_was_sent_is_not_said_to_wait(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    cid, _ = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    monkeypatch.setattr("mycelnode.market.rating.RATING_SECONDS", 3.0)
    town.proxy.faults["send_tx"] = [LOST] * 10_000
    assert (await town.bob.patterns.rate(cid, success=True)).queued.startswith("unknown until height")
    (line,) = await outbox(town.bob)
    assert (line["method"], line["state"]) == ("rate_pattern", "signed")


async def test_what_the_other_contract_would_refuse_is_not_sent(town: Town) -> None:
    cid, number = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    chain = town.market.chain
    reputation = chain.view(town.market.registry, "info")["reputation"]
    await chain.call(chain.root, reputation, "pause", deposit=1)
    with pytest.raises(NearRefused, match=f"{reputation} is paused; nothing was spent"):
        await town.bob.patterns.rate(cid, success=True)
    await chain.call(chain.root, reputation, "resume", deposit=1)
    assert (await town.bob.patterns.rate(cid, success=True)).queued == "done"
    assert receipt(town, number, (await ask(town.bob, "chain.account"))["spender"])["rated"] == 1


async def test_uses_and_ratings_count_by_the_number_whichever_version_was_bought(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ratings given offline, of a version that took the place of another one: each is a rating that was not given before."""
    monkeypatch.setattr("mycelnode.market.rating.RATING_SECONDS", 3.0)
    cid, number = await town.sell()
    for _ in range(2):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    assert (await town.bob.patterns.rate(cid, success=True)).queued == "done"
    later, _ = await town.sell(title="Sort the post well", supersedes=cid)
    await town.bob.patterns.use(later, VARIABLES, yes=True)
    spender = (await ask(town.bob, "chain.account"))["spender"]
    for rated in (2, 3):
        town.proxy.down = True
        assert (await town.bob.patterns.rate(later, success=True)).queued.startswith("waits to be sent")
        assert [line["method"] for line in await outbox(town.bob)] == ["rate_pattern"]
        town.proxy.down = False
        town.bob.chain.payments._hurry()
        await until(lambda: town.bob.chain.journal.lines(ended=False) == [], "it is rated once somebody answers")
        assert receipt(town, number, spender)["rated"] == rated
    town.proxy.down = True
    with pytest.raises(
        PaymentNeeded, match=f"each use that {spender} has paid for can be rated once, and none is left"
    ):
        await town.bob.patterns.rate(later, success=True)
    counts = {one.cid: (one.uses, one.successes) for one in (await town.bob.patterns.list()).patterns}
    assert counts == {cid: (2, 2), later: (1, 1)}, "no use is made up: a rating counts for the version that was used"


async def test_a_server_that_does_not_know_of_the_last_rating_does_not_have_the_next_one_lost(town: Town) -> None:
    cid, number = await town.sell()
    for _ in range(2):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    before = receipt(town, number, (await ask(town.bob, "chain.account"))["spender"])
    assert (await town.bob.patterns.rate(cid, success=True)).queued == "done"
    old = {"result": list(json.dumps(before).encode()), "logs": [], "block_height": 1, "block_hash": "1" * 32}
    town.proxy.faults["call_function"] = [old]
    with pytest.raises(NearRefused, match="does not know of the last rating yet; ask again, nothing was rated"):
        await town.bob.patterns.rate(cid, success=True)
    assert (await town.bob.patterns.list()).patterns[0].successes == 1
    assert (await town.bob.patterns.rate(cid, success=True)).queued == "done"


async def test_two_ratings_at_the_same_time_are_two(town: Town) -> None:
    cid, number = await town.sell()
    for _ in range(2):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(partial(town.bob.patterns.rate, cid, success=True))
    assert receipt(town, number, (await ask(town.bob, "chain.account"))["spender"])["rated"] == 2


async def test_silence_is_waited_for_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who accepts a connection and says nothing is given up after one time for all that is asked, and the rating waits."""
    monkeypatch.setattr("mycelnode.market.rating.RATING_SECONDS", 1.0)
    cid, _ = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)

    async def silent(name: str, request: object) -> None:
        await trio.sleep_forever()

    town.proxy.before = silent
    town.bob.chain.near.rpc.servers[0].checked = False  # as in a program that has just begun
    with trio.fail_after(5):
        rated = await town.bob.patterns.rate(cid, success=True)
    assert rated.queued.startswith("waits to be sent")


async def test_a_rating_that_waits_goes_first(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.market.rating.RATING_SECONDS", 0.5)
    cid, number = await town.sell()
    for _ in range(2):
        await town.bob.patterns.use(cid, VARIABLES, yes=True)
    town.proxy.down = True
    assert (await town.bob.patterns.rate(cid, success=True)).queued.startswith("waits to be sent")
    town.proxy.down = False
    monkeypatch.setattr("mycelnode.market.rating.RATING_SECONDS", 30.0)
    assert (await town.bob.patterns.rate(cid, success=True)).queued == "done"
    assert receipt(town, number, (await ask(town.bob, "chain.account"))["spender"])["rated"] == 2


async def test_what_cannot_be_signed_here_holds_nobody_up(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.market.rating.RATING_SECONDS", 0.5)
    cid, _ = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    town.proxy.down = True
    assert (await town.bob.patterns.rate(cid, success=True)).queued.startswith("waits to be sent")
    spender = (await ask(town.bob, "chain.account"))["spender"]
    (town.bob.chain.credentials.folder / "devchain" / f"{spender}.json").unlink()
    town.proxy.down = False
    with trio.fail_after(20):
        await town.bob.chain.send_waiting(trio.current_time() + 300)
    (line,) = await outbox(town.bob)
    assert line["state"] == "waiting"


async def test_what_was_cancelled_and_is_rated_again_counts_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.market.rating.RATING_SECONDS", 0.5)
    cid, _ = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    town.proxy.down = True
    for success, counts in ((True, (1, 1, 0)), (True, (1, 1, 0)), (False, (1, 0, 1))):
        rated = await town.bob.patterns.rate(cid, success=success)
        assert (rated.uses, rated.successes, rated.failures) == counts
        (line,) = await outbox(town.bob)
        assert (await ask(town.bob, "chain.outbox.cancel", no=line["no"]))["state"] == "cancelled"


async def test_what_did_not_go_well_has_no_stars(town: Town) -> None:
    cid, _ = await town.sell()
    await town.bob.patterns.use(cid, VARIABLES, yes=True)
    with pytest.raises(ValueRefused, match="a use that did not go well has one star"):
        await town.bob.patterns.rate(cid, success=False, stars=5)
    assert not any(line["method"] == "rate_pattern" for line in await outbox(town.bob, all=True))
    assert (await town.bob.patterns.list()).patterns[0].failures == 0
    assert (await town.bob.patterns.rate(cid, success=False, stars=1)).queued == "done"
