"""Contracts put on a real local chain: once, again, locked, upgraded, and all that is refused before anything is spent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mycel_simnet.near.devchain import NEAR, ROOT, Wallet
from mycel_simnet.near.keys import KeyPair
from mycelnode import audit
from mycelnode.chain import deploy
from mycelnode.chain.near import Viewed
from mycelnode.chain.shipped import NAMES, STATE_VERSION, shipped
from mycelnode.errors import (
    ConfigError,
    ControlError,
    DeployRefused,
    KeyFileError,
    MycelError,
    NearRefused,
    NearRpcWrong,
    OutcomeUnknown,
)
from tests.chain.faults import LOST
from tests.chain.market import keep_key
from tests.chain.operators import CONTRACTS, Operator, an_operator
from tests.chain.servers import STATUS, a_server
from tests.node.nodes import ask, founder

TWO_DAYS = 2 * 86_400
A_WEEK = 7 * 86_400
REGISTRY, REPUTATION = CONTRACTS
MADE = [f"+create {REGISTRY}", f"+create {REPUTATION}"]
LOCKED = [f"fund {REGISTRY}", f"+lock {REGISTRY}", f"+lock {REPUTATION}"]
MIGRATED = [STATE_VERSION, STATE_VERSION]
MUCH = str(10 * NEAR)
MANY_SECONDS = pytest.mark.timeout(120)


async def refused(operator: Operator, error: type[MycelError], said: str, **wanted: Any) -> None:
    """Both the plan and the deed are refused, in one sentence, and nothing was signed."""
    before = operator.chain.balance("alice.near"), operator.chain.chain.head.height
    for kind in ("chain.deploy.plan", "chain.deploy"):
        with pytest.raises(error, match=said) as caught:
            asked = {
                "network": operator.network,
                "from": "alice.near",
                "agreed": dict.fromkeys((*MADE, *LOCKED), MUCH),
                **wanted,
            }
            await ask(operator.node, kind, **asked)
        assert "\n" not in str(caught.value)
    assert (operator.chain.balance("alice.near"), operator.chain.chain.head.height) == before


@pytest.mark.parametrize("network", ["devchain", "testnet"])
async def test_both_are_made_told_of_each_other_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    """A testnet is here a local chain with that name, and its own first block."""
    async with an_operator(tmp_path, monkeypatch, network) as operator:
        before = operator.chain.balance("alice.near")
        planned = await operator.plan()
        assert [step["id"] for step in planned["actions"]] == MADE
        assert operator.chain.balance("alice.near") == before, "a plan costs nothing"
        assert not (operator.home / ".near-credentials" / network / f"{REGISTRY}.json").exists()
        assert await operator.deploy() == MADE
        registry, reputation = (operator.chain.view(name, "info") for name in CONTRACTS)
        assert (registry["owner"], registry["reputation"]) == ("alice.near", REPUTATION)
        assert (reputation["owner"], reputation["registry"]) == ("alice.near", REGISTRY)
        assert operator.versions() == MIGRATED, "STATE_VERSION is that of the wasm"
        spent = before - operator.chain.balance("alice.near")
        amounts = sum(int(step["amount"]) + int(step["account_fee"]) for step in planned["actions"])
        assert amounts < spent < int(planned["needed"]["alice.near"])
        assert await operator.spent() == 2
        after = await operator.plan()
        assert (after["actions"], after["needed"]) == ([], {})
        assert after["code"] == {name: shipped(name).sha256 for name in NAMES}, "read from the chain"
        assert await operator.deploy() == []
        assert await operator.spent() == 2
        get = operator.node.mesh.settings.get
        assert (get("near.registry"), get("near.reputation")) == CONTRACTS
        kinds = [event.kind for event in operator.node.mesh.database.look(lambda c: audit.tail(c, 10))]
        assert kinds.count("payment.wanted") == kinds.count("payment.done") == 2
        assert (await ask(operator.node, "chain.policy"))["spent"] == "0", "it is the operator's money still"


async def test_the_money_that_is_said_is_enough_and_a_yocto_less_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_operator(tmp_path, monkeypatch) as operator:
        needed = int((await operator.plan())["needed"]["alice.near"])
        poor = await operator.chain.create_account("poor.alice.near", needed - 1)
        operator.keep(poor)
        await refused(operator, DeployRefused, r"poor\.alice\.near has .* are needed", **{"from": "poor.alice.near"})
        rich = await operator.chain.create_account("rich.alice.near", needed)
        operator.keep(rich)
        assert len(await operator.deploy(**{"from": "rich.alice.near"})) == 2
        left = operator.chain.balance(rich)
        assert 0 < left < NEAR // 10, "what came back of the gas"


async def test_what_is_not_agreed_to_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with an_operator(tmp_path, monkeypatch) as operator:
        first = (await operator.plan())["actions"][0]
        less = str(int(first["total"]) - 1)
        for agreed in ({}, {MADE[1]: MUCH}, {MADE[0]: less}):
            with pytest.raises(DeployRefused, match="was not in the plan"):
                await ask(operator.node, "chain.deploy", network="devchain", agreed=agreed, **{"from": "alice.near"})
        for wrong in (None, MADE, {MADE[0]: 1}, {MADE[0]: "-1"}, {str(n): "1" for n in range(101)}):
            with pytest.raises(ControlError, match="agreed"):
                await ask(operator.node, "chain.deploy", network="devchain", agreed=wrong, **{"from": "alice.near"})
        assert await operator.spent() == 0


async def test_what_cannot_be_is_refused_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_operator(tmp_path, monkeypatch) as operator:
        await refused(
            operator, ConfigError, "is on devchain: stop it, or set near.network to testnet", network="testnet"
        )
        await refused(operator, ConfigError, "mainnet, testnet, devchain", network="betanet")
        await refused(operator, KeyFileError, "there is no key of nobody.near", **{"from": "nobody.near"})
        await refused(
            operator, DeployRefused, "no account nobody.near on devchain, which is to own", owner="nobody.near"
        )
        await refused(operator, DeployRefused, "is to be a contract itself", owner=REGISTRY)
        await refused(operator, MycelError, "is no NEAR account", owner="No Body")
        long = await operator.chain.create_account("a" * 43 + ".alice.near")
        operator.keep(long)
        await refused(operator, DeployRefused, "at most 53 characters", **{"from": long.account_id})
        operator.keep(Wallet("bob.near", operator.chain.new_key()))
        await refused(operator, NearRefused, r"bob\.near has no key ed25519:", **{"from": "bob.near"})


@MANY_SECONDS
async def test_an_account_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with an_operator(tmp_path, monkeypatch) as operator:
        taken = await operator.chain.create_account(REGISTRY)
        await refused(operator, DeployRefused, "there is an account registry.alice.near already, without a contract")
        reputation = shipped("reputation").data
        await operator.chain.deploy(taken, reputation, "new", {"owner": "alice.near", "registry": "bob.near"})
        await refused(operator, DeployRefused, "registry.alice.near is none of our contracts", upgrade=True)
        registry = shipped("registry").data
        theirs = await operator.chain.create_account("theirs.alice.near")
        other = await operator.chain.create_account("registry.theirs.alice.near", 5 * NEAR)
        await operator.chain.deploy(other, registry, "new", {"owner": "bob.near", "reputation": "bob.near"})
        operator.keep(theirs)
        source = {"from": "theirs.alice.near"}
        await refused(operator, DeployRefused, "works with bob.near, and not with reputation.theirs", **source)
        others = await operator.chain.create_account("others.alice.near")
        foreign = await operator.chain.create_account("registry.others.alice.near", 5 * NEAR)
        init = {"owner": "bob.near", "reputation": "reputation.others.alice.near"}
        await operator.chain.deploy(foreign, registry, "new", init)
        operator.keep(others)
        await refused(
            operator, DeployRefused, "belongs to bob.near: say --owner bob.near", **{"from": "others.alice.near"}
        )
        assert [
            step["id"] for step in (await operator.plan(**{"from": "others.alice.near"}, owner="bob.near"))["actions"]
        ] == ["+create reputation.others.alice.near"]


@MANY_SECONDS
async def test_an_upgrade_with_the_deploy_key_keeps_all_that_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_operator(tmp_path, monkeypatch) as operator:
        assert await operator.before(monkeypatch) == MADE
        known = operator.stored()
        assert operator.versions() == [1, 1]
        await refused(operator, DeployRefused, "have other code than this mycelnode brings; --upgrade")
        done = await operator.deploy(upgrade=True)
        assert done == [
            f"pause {REGISTRY}",
            f"pause {REPUTATION}",
            f"+replace {REPUTATION}",
            f"fund {REGISTRY}",
            f"+replace {REGISTRY}",
            f"resume {REPUTATION}",
            f"resume {REGISTRY}",
        ]
        assert operator.versions() == MIGRATED
        assert operator.stored() == known
        assert solvent(operator)
        assert await operator.deploy(upgrade=True) == []
        assert await operator.deploy() == []


@MANY_SECONDS
async def test_after_the_lock_only_its_owner_upgrades_it_two_days_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_operator(tmp_path, monkeypatch) as operator:
        assert await operator.before(monkeypatch, lock=True, owner="carol.near") == [*MADE, *LOCKED]
        known = operator.stored()
        assert await operator.keys_left() == [(), ()]
        with pytest.raises(KeyFileError, match=r"there is no key of carol\.near"):
            await operator.plan(upgrade=True, owner="carol.near")
        operator.keep(operator.chain.wallets["carol.near"])
        planned = await operator.plan(upgrade=True, owner="carol.near")
        assert [step["id"] for step in planned["actions"]] == [f"stage_upgrade {name}" for name in CONTRACTS]
        assert planned["until"]
        assert await operator.deploy(upgrade=True, owner="carol.near") == [
            f"stage_upgrade {name}" for name in CONTRACTS
        ]
        assert operator.versions() == [1, 1]
        async with founder(tmp_path, "another") as node:  # what is announced stands on chain, whoever did it
            await goes_on_two_days_later(replace(operator, node=node), known)


async def goes_on_two_days_later(operator: Operator, known: dict[str, Any]) -> None:
    early = await operator.plan(upgrade=True, owner="carol.near")
    assert early["actions"] == []
    assert early["until"]
    await operator.chain.fast_forward(seconds=TWO_DAYS - 60)
    assert await operator.deploy(upgrade=True, owner="carol.near") == [], "a minute too early"
    await operator.chain.fast_forward(seconds=120)
    done = await operator.deploy(upgrade=True, owner="carol.near")
    assert done == [
        f"pause {REGISTRY}",
        f"pause {REPUTATION}",
        f"+upgrade {REPUTATION}",
        f"+upgrade {REGISTRY}",
        f"resume {REPUTATION}",
        f"resume {REGISTRY}",
    ]
    assert operator.versions() == MIGRATED
    assert operator.stored() == known
    assert solvent(operator)
    assert await operator.keys_left() == [(), ()]
    assert await operator.deploy(upgrade=True, owner="carol.near") == []


def solvent(operator: Operator) -> bool:
    """The registry has all that it owes, and what it was made with."""
    ledger = operator.chain.view(REGISTRY, "info")["ledger"]
    return operator.chain.balance(REGISTRY) >= sum(int(amount) for amount in ledger.values())


@MANY_SECONDS
async def test_mainnet_asks_twice_belongs_to_another_and_ends_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_operator(tmp_path, monkeypatch, "mainnet") as operator:
        await refused(operator, DeployRefused, "say --real-money", owner=ROOT)
        await refused(operator, DeployRefused, "to another account than alice.near: say which", real_money=True)
        await refused(
            operator, DeployRefused, "to another account than alice.near", real_money=True, owner="alice.near"
        )
        done = await operator.deploy(real_money=True, owner=ROOT)
        assert done == [*MADE, *LOCKED]
        assert await operator.keys_left() == [(), ()]
        assert solvent(operator)
        assert operator.chain.view(REGISTRY, "info")["owner"] == ROOT
        assert await operator.deploy(real_money=True, owner=ROOT) == []


async def test_a_network_that_is_too_old_or_another_one_is_asked_for_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    keep_key(tmp_path, Wallet("fox.near", KeyPair(bytes(32))))
    asked = {"network": "devchain", "from": "fox.near"}
    config = {"protocol_version": 84, "transaction_validity_period": 86_400}
    async with a_server(EXPERIMENTAL_protocol_config=config) as server:
        monkeypatch.setenv("MYCEL_NEAR_RPC", server.url)
        monkeypatch.setenv("MYCEL_NEAR_NETWORK", "devchain")
        async with founder(tmp_path) as node:
            with pytest.raises(DeployRefused, match="version 84 of the protocol, too old"):
                await ask(node, "chain.deploy.plan", **asked)
        asked_for = [method for method in server.asked if method != "status"]
        assert asked_for == ["EXPERIMENTAL_protocol_config"], "read first, and nothing after it"
    async with a_server(status={**STATUS, "chain_id": "testnet"}) as server:
        monkeypatch.setenv("MYCEL_NEAR_RPC", server.url)
        async with founder(tmp_path, "desktop") as node:
            with pytest.raises(NearRpcWrong, match=r"is a server of testnet, and near\.network says devchain"):
                await ask(node, "chain.deploy.plan", **asked)


@MANY_SECONDS
async def test_what_is_not_known_is_said_and_decided_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_operator(tmp_path, monkeypatch) as operator:
        operator.proxy.faults["send_tx"] = [LOST] * 100
        monkeypatch.setattr(deploy, "OUTCOME_SECONDS", 1.0)
        for _ in range(2):
            with pytest.raises(OutcomeUnknown, match=r"unknown until height \d+"):
                await operator.deploy()
        waiting = await operator.plan()
        assert waiting["notes"][0].startswith("a step of an earlier run comes first")
        assert len(waiting["actions"]) == 2
        operator.proxy.faults.clear()
        monkeypatch.setattr(deploy, "OUTCOME_SECONDS", 30.0)
        assert await operator.deploy() == MADE[1:], "the first one was signed, and came first"
        assert await operator.spent() == 2


@MANY_SECONDS
@pytest.mark.parametrize("for_a_week", [False, True])
async def test_an_upgrade_waits_for_what_is_under_way_and_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, for_a_week: bool
) -> None:
    """Books that a callback left open for ever stand in the way for a week, as the contract has it."""
    async with an_operator(tmp_path, monkeypatch) as operator:
        await operator.before(monkeypatch)
        looked, view, since = 0, operator.node.chain.near.view, ""

        async def busy(contract: str, method: str, args: bytes, at: str = "final") -> Viewed:
            nonlocal looked, since
            found = await view(contract, method, args, at)
            if (contract, method) == (REGISTRY, "info"):
                looked += 1
                found.value["ledger"]["in_flight"] = "1"
                if found.value["paused"]:  # that of before does not tell since when
                    since = since or str(operator.chain.chain.head.timestamp)
                    found.value["paused_since"] = since
            return found

        monkeypatch.setattr(deploy, "REST_POLL", 0.01)
        monkeypatch.setattr(deploy, "REST_SECONDS", 0.5)
        with monkeypatch.context() as patch:
            patch.setattr(operator.node.chain.near, "view", busy)
            with pytest.raises(OutcomeUnknown, match="still under way; it stays paused: try again later, after a week"):
                await operator.deploy(upgrade=True)
            assert looked > 4, "it has waited"
            assert operator.versions() == [1, 1]
            assert operator.chain.view(REGISTRY, "info")["paused"]
            if not for_a_week:
                patch.undo()
            else:
                await operator.chain.fast_forward(seconds=A_WEEK - 60)
                with pytest.raises(OutcomeUnknown, match="still under way"):
                    await operator.deploy(upgrade=True)
                await operator.chain.fast_forward(seconds=120)
            assert "+replace registry.alice.near" in await operator.deploy(upgrade=True)
        assert operator.versions() == MIGRATED
        assert not operator.chain.view(REGISTRY, "info")["paused"]
