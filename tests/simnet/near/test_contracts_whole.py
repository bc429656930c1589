"""The registry and the reputation on the whole local chain, beside the network's own machine: in the end both worlds are the same.

There each receipt runs at once. Here they go through blocks, each a nanosecond later, which is taken out again before anything is
compared. Gas costs something here; it is given back to the
signers' balances by what the outcomes say was burnt. Protocol 87 gives contracts none of it.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mycel_simnet.near import borsh, devchain, tables
from mycel_simnet.near.devchain import NEAR, Devchain, Wallet, open_devchain
from mycel_simnet.near.errors import CallFailed
from mycel_simnet.near.state import ACCOUNT, DATA, account_of, key_name
from mycel_simnet.near.types import (
    AccessKey,
    AddKey,
    CreateAccount,
    DeployContract,
    FullAccess,
    FunctionCall,
    Json,
    Transfer,
)
from tests.simnet.near.stories import RECORDED, STORIES, args_of, code_of

REGISTRY, REPUTATION, OWNER = "registry.mycel.test", "reputation.mycel.test", "mycel.test"
MADE_WITH = {REGISTRY: 5 * NEAR, REPUTATION: 3 * NEAR}
PEOPLE = {OWNER: 100 * NEAR + sum(MADE_WITH.values()), "creator.test": 100 * NEAR, "user.test": 100 * NEAR}
GAS = 300 * 10**12
BEGAN = 1_800_000_000_000_000_000  # nanoseconds, as the other machine has it
DAY = 86_400 * 10**9
WAITS = (0, 2 * DAY, 7 * DAY, 30 * DAY)  # after which contracts let things happen; they store when that is
SPREAD = 100_000  # nanoseconds that blocks take here at most, all together
NO_REWARD = 87


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = BEGAN
        self._known = {BEGAN + wait for wait in WAITS}

    def __call__(self) -> int:
        return self.now

    def pass_days(self, days: int) -> None:
        self.now += days * DAY
        self._known |= {self.now + wait for wait in WAITS}

    def whole(self, number: int) -> int:
        """A number, without the nanoseconds of the blocks if it is a time of this story."""
        return next((known for known in self._known if 0 <= number - known < SPREAD), number)

    def stored(self, data: bytes) -> str:
        """Bytes that a contract stores, in hexadecimal, with each time in them made whole."""
        kept, place = bytearray(data), 0
        while place + 8 <= len(kept):
            number = int.from_bytes(kept[place : place + 8], "little")
            whole = self.whole(number)
            kept[place : place + 8] = whole.to_bytes(8, "little")
            place += 8 if number != whole else 1
        return kept.hex()

    def told(self, value: Json) -> Json:
        """What a contract says, the same way."""
        text = json.dumps(value)
        return json.loads(re.sub(r"\d{19}", lambda found: str(self.whole(int(found[0]))), text))


class Story:
    """A sequence, played on a chain; what came of each step, and what was logged and burnt."""

    def __init__(self, name: str, chain: Devchain, clock: Clock) -> None:
        self.contracts, self.steps = STORIES[name]["contracts"], STORIES[name]["steps"]
        self.recorded, self.chain, self.clock = RECORDED[name], chain, clock
        self.results: list[dict[str, Any]] = []
        self.logs: dict[str, list[str]] = defaultdict(list)
        self.burnt: dict[str, int] = defaultdict(int)

    async def begin(self) -> None:
        """Both contracts, each made by its parent in one receipt."""
        owner = self.chain.wallets[OWNER]
        for account, other, code in zip(MADE_WITH, reversed(MADE_WITH), self.contracts, strict=True):
            key = self.chain.new_key()
            args = {"owner": OWNER, other.partition(".")[0]: other}
            made = await self.chain.send(
                owner,
                account,
                CreateAccount(),
                AddKey(key.public, AccessKey(0, FullAccess())),
                Transfer(MADE_WITH[account]),
                DeployContract(code_of(code)),
                FunctionCall("new", json.dumps(args).encode(), GAS, 0),
            )
            self._count(owner, made)
            self.chain.wallets[account] = Wallet(account, key)

    def storage(self, account: str) -> dict[str, str]:
        """What a contract stores."""
        found = self.chain.chain.ledger.scan(DATA, account)
        return {self.clock.stored(name): self.clock.stored(value) for name, value in found}

    async def play(self) -> None:
        for step in self.steps:
            self.clock.pass_days(step.get("days", 0))
            contract = REPUTATION if step.get("contract") == "reputation" else REGISTRY
            with self._without(step.get("absent")):
                self.results.append(await self._one(step, contract))

    async def _one(self, step: dict[str, Any], contract: str) -> dict[str, Any]:
        if step.get("view"):
            try:
                return {"value": self.clock.told(self.chain.view(contract, step["method"], step["args"]))}
            except CallFailed as error:
                return {"error": self._why(error.json)}
        signer = self.chain.wallets[step["signer"]]
        call = FunctionCall(step["method"], args_of(step), GAS, int(step["deposit"]))
        answer = await self.chain.send(signer, contract, call)
        self._count(signer, answer)
        if "Failure" in answer["status"]:
            return {"error": self._why(answer["status"]["Failure"])}
        value = b64decode(answer["status"]["SuccessValue"])
        return {"value": self.clock.told(json.loads(value)) if value else None}

    def _why(self, failure: Json) -> str:
        return json.dumps(self.clock.told(failure), ensure_ascii=False).replace('\\"', '"')

    def _count(self, signer: Wallet, answer: Json) -> None:
        for outcome in (answer["transaction_outcome"], *answer["receipts_outcome"]):
            said = outcome["outcome"]
            self.burnt[signer.account_id] += int(said["tokens_burnt"])
            self.logs[said["executor_id"]] += [self.clock.told(log) for log in said["logs"]]

    @contextmanager
    def _without(self, account: str | None) -> Iterator[None]:
        """While the account is not there."""
        if account is None:
            yield
            return
        ledger = self.chain.chain.ledger
        found = ledger.get(ACCOUNT, account)
        ledger.put(ACCOUNT, account, b"", None)
        yield
        ledger.put(ACCOUNT, account, b"", found)


@pytest.fixture(params=STORIES)
async def story(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    monkeypatch.setattr(devchain, "ACCOUNTS", PEOPLE)
    clock = Clock()
    async with open_devchain(protocol_version=NO_REWARD, clock=clock) as chain:
        yield Story(request.param, chain, clock)


async def test_the_whole_chain_ends_where_the_networks_machine_ends(story: Story) -> None:
    await story.begin()
    for account in MADE_WITH:
        assert story.storage(account) == story.recorded["began"][account], account
    story.logs.clear()
    await story.play()
    assert len(story.steps) == len(story.recorded["results"]) > 40
    for number, (ours, theirs) in enumerate(zip(story.results, story.recorded["results"], strict=True)):
        where = f"step {number}, {story.steps[number]['method']}"
        if "error" in theirs:
            assert theirs["error"].removeprefix("Smart contract panicked: ") in ours["error"], where
        else:
            assert ours == theirs, where
    for account in MADE_WITH:
        logs = [log for call in story.recorded["calls"] if call["account"] == account for log in call["logs"]]
        assert story.logs[account] == logs
        assert len(logs) > 1
    for account, ended in story.recorded["ended"].items():
        found = account_of(story.chain.chain.ledger, account)
        assert found is not None
        assert found.amount + story.burnt[account] == int(ended["balance"]), account
        if account in MADE_WITH:
            assert story.storage(account) == ended["storage"], account
            assert found.storage_usage - _key_bytes(story.chain.wallets[account]) == ended["usage"], account


def _key_bytes(wallet: Wallet) -> int:
    """What the one key of a contract takes; there it has none."""
    return (
        len(key_name(wallet.key.public))
        + len(borsh.encode(AccessKey, AccessKey(0, FullAccess())))
        + tables.RECORD_BYTES
    )
