"""Carries out what `deploy_plan` says, a step at a time, through the journal: what was signed before is decided first.

So a crash at any point neither repeats nor loses a step: the journal knows what is signed, and the chain knows what is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import trio

from mycelnode.chain.actions import USE_MS
from mycelnode.chain.amounts import account_id, format_near
from mycelnode.chain.answers import Answer
from mycelnode.chain.deploy_plan import (
    FUND,
    PAUSE,
    REST,
    RESUME,
    STAGE,
    Asked,
    Plan,
    Seen,
    State,
    Step,
    There,
    check,
    check_protocol,
    plan,
)
from mycelnode.chain.gas import BATCHES, CREATE, LOCK, gas_of
from mycelnode.chain.keys import KeyFile, NearKey
from mycelnode.chain.near import Block
from mycelnode.chain.service import Chain
from mycelnode.chain.shipped import NAMES, REGISTRY, REPUTATION, shipped
from mycelnode.config_keys import NETWORK, on
from mycelnode.encoding import from_base58
from mycelnode.errors import ContractRefused, ContractWrong, DeployRefused, KeyFileError, NearRefused, OutcomeUnknown
from mycelnode.protocols import payment_journal as kept
from mycelnode.protocols.payment_journal import Check, Entry, Intent, json_args

ABOUT: Final = "deploy"  # of lines of the journal
NO_CODE: Final = bytes(32)  # the code hash of an account without a contract
OUTCOME_SECONDS: Final = 90.0
REST_SECONDS: Final = 120.0
REST_POLL: Final = 1.0
STILL_NS: Final = (
    7 * 24 * 3600 * 10**9
)  # of a pause; then nothing is under way, whatever the books say, as the contract has it
LEDGER: Final = ("base", "storage", "deposits", "fees", "claimable", "in_flight")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator says. ``source``: the account below which the contracts are, with its key."""

    source: KeyFile
    owner: str = ""
    upgrade: bool = False
    lock: bool = False
    real_money: bool = False


class Deployer:
    """Puts both contracts on a network. For `step`, the outbox of ``chain`` must be at work."""

    def __init__(self, chain: Chain, wanted: Wanted) -> None:
        self._chain, self._near, self._wanted = chain, chain.near, wanted
        codes = {name: shipped(name) for name in NAMES}
        self.asked = Asked(
            chain.network,
            wanted.source.account,
            {name: (code.size, code.sha256) for name, code in codes.items()},
            account_id(wanted.owner) if wanted.owner else "",
            wanted.upgrade,
            wanted.lock,
            wanted.real_money,
        )

    # --- what is to be done ------------------------------------------------------------------------------------------------------

    async def plan(self) -> Plan:
        """What is left to be done, as a final block shows it. Nothing is sent.

        Raises `DeployRefused`, `KeyFileError` and `NearRefused` for what would not succeed.
        """
        asked = self.asked
        check(asked)
        network = await self._chain.identify()
        protocol, _ = await self._near.protocol()
        check_protocol(asked, protocol)
        block = await self._near.block()
        looked = {name: await self._there(name, block) for name in NAMES}
        there = {name: found for name, found in looked.items() if found is not None}
        owner = await self._near.account(asked.owned_by, block.hash)
        keys = {name: key for name in there if (key := self._key_here(asked.contract(name)))}
        found = plan(asked, Seen(protocol, block.time, owner is not None, there, keys, block.gas_price))
        await self._signers(found, there)
        if count := len(self._under_way(network)):
            more = "a step of an earlier run comes" if count == 1 else f"{count} steps of an earlier run come"
            found = replace(found, notes=(f"{more} first: `mycelnode chain outbox` shows it", *found.notes))
        return found

    async def _there(self, name: str, block: Block) -> There | None:
        contract, wanted = self.asked.contract(name), self.asked.codes[name][1]
        account = await self._near.account(contract, block.hash)
        if account is None:
            return None
        digest = from_base58(account.code_hash)
        code = "" if digest == NO_CODE else digest.hex()
        keys = await self._near.full_access_keys(contract, block.hash)
        state, wrong, size = None, "", 0
        if code:
            try:
                state = await self._state(name, contract, block)
            except (ContractRefused, ContractWrong) as error:
                wrong = str(error)
            if code != wanted:
                size = len(await self._near.code(contract, block.hash))
        return There(account.balance, account.storage, code, size, keys, state, wrong)

    async def _state(self, name: str, contract: str, block: Block) -> State:
        told = Answer((await self._near.view(contract, "info", json_args(), block.hash)).value, "info")
        owner, version, paused = told.account("owner"), told.number("state_version", 1 << 16), told.flag("paused")
        staged, since = told.maybe("staged", told.hash) or "", told.maybe("staged_from", told.nanoseconds) or 0
        left = paused and self._left_paused(contract)
        if name == REPUTATION:
            return State(owner, told.account(REGISTRY), version, paused, staged=staged, from_ns=since, left=left)
        ledger = told.inside("ledger")
        at_rest = not ledger.amount("in_flight") and not told.number("pending_ratings")
        paused_since = told.maybe("paused_since", told.nanoseconds)
        at_rest = at_rest or (paused_since is not None and block.time >= paused_since + STILL_NS)
        held = sum(ledger.amount(part) for part in LEDGER)
        return State(owner, told.account(REPUTATION), version, paused, at_rest, held, staged, since, left)

    def _left_paused(self, contract: str) -> bool:
        """Has an earlier run on this device paused it, and not let it go on since?"""
        for line in self._chain.journal.lines(state=kept.State.DONE):
            intent = line.entry.intent
            here = (line.about, intent.network, intent.receiver) == (ABOUT, self._chain.known, contract)
            if here and intent.method in (PAUSE, RESUME):
                return intent.method == PAUSE
        return False

    async def _signers(self, found: Plan, there: Mapping[str, There]) -> None:
        """Raise unless all who sign are there, with their keys and enough money."""
        made = {self.asked.contract(name) for name in NAMES if name not in there}
        contracts = {self.asked.contract(name) for name in NAMES}
        for signer in sorted({step.signer for step in found.steps if step.signer} - made):
            has = await self._chain.wallet.balance(signer)
            if has is None:
                raise DeployRefused(f"there is no account {signer} on {self.asked.network}")
            await self._chain.wallet.confirm(self._key_file(signer))
            if signer not in contracts and has.spendable < found.needed(signer):
                raise DeployRefused(
                    f"{signer} has {format_near(has.spendable)} to spend, and {format_near(found.needed(signer))} are needed,"
                    " with the gas in advance; nothing was spent"
                )

    def _key_file(self, account: str) -> KeyFile:
        if account == self._wanted.source.account:
            return self._wanted.source
        return self._chain.credentials.find(self.asked.network, account)

    def _key_here(self, account: str) -> str:
        try:
            return self._key_file(account).key.name
        except KeyFileError:
            return ""

    # --- doing it ----------------------------------------------------------------------------------------------------------------

    async def step(self, agreed: Mapping[str, int]) -> tuple[Step | None, Entry | None, Plan]:
        """Do what comes next: the step, its line in the journal, and the plan before it.

        ``agreed``: by `Step.id`, the most yoctoNEAR that the operator agreed to. Without a step, the chain shows that all is done
        that can be done now; then the settings name the contracts. Raises `OutcomeUnknown` while nobody says what became of a step:
        called again, it goes on, and if it is cancelled, too.
        """
        network = await self._chain.identify()
        for name in self._under_way(network):
            await self._chain.payments.wait(name, OUTCOME_SECONDS)
        found = await self.plan()
        if not found.steps:
            self._settle()
            return None, None, found
        step = found.steps[0]
        if step.total > agreed.get(step.id, -1):
            raise DeployRefused(f"what is on chain has changed: to {step.said} was not in the plan; look at it again")
        if step.kind == REST:
            await self._rest()
            return step, None, found
        return step, await self._carry_out(step, network), found

    def _under_way(self, network: str) -> list[str]:
        lines = self._chain.journal.lines(ended=False)
        return [line.entry.intent.id for line in lines if (line.about, line.entry.intent.network) == (ABOUT, network)]

    async def _carry_out(self, step: Step, network: str) -> Entry:
        self._chain.credentials.write(self.asked.network, self._wanted.source.account, self._wanted.source.key)
        args, check_, again = self._call(step)
        method = "" if step.kind == FUND else step.kind
        now = self._chain.mesh.clock.wall()
        intent = Intent(
            f"{network}:{step.signer}:{ABOUT}:{step.kind}:{step.contract}:{now}",
            network,
            step.signer,
            self._key_file(step.signer).key.name,
            step.contract,
            method,
            args,
            step.amount,
            gas_of(method),
            now + USE_MS,
            check_,
            again,
        )
        wanted = await self._chain.payments.want(intent, about=ABOUT)
        entry = await self._chain.payments.wait(wanted.intent.id, OUTCOME_SECONDS)
        if entry.state is not kept.State.DONE:
            raise NearRefused(entry.word)
        return entry

    def _call(self, step: Step) -> tuple[bytes, Check | None, bool]:
        """The arguments, how to tell that it is done, and whether it cannot be done twice."""
        code: dict[str, Any] = {"contract": step.name, "code": step.code}
        match step.kind:
            case kind if kind == CREATE:
                other = REPUTATION if step.name == REGISTRY else REGISTRY
                init = {"owner": self.asked.owned_by, other: self.asked.contract(other)}
                return json_args(**code, key=self._deploy_key(step.contract).name, init=init), None, True
            case kind if kind == LOCK:
                return json_args(keys=list(step.keys)), None, True
            case kind if kind in BATCHES:
                return json_args(**code), None, True
            case kind if kind in (PAUSE, RESUME):
                return json_args(), Check("info", json_args(), "paused", equals=json.dumps(kind == PAUSE)), True
            case kind if kind == STAGE:
                return json_args(code_hash=step.code), Check("info", json_args(), "staged", equals=step.code), True
            case _:
                return b"", None, False

    def _deploy_key(self, contract: str) -> NearKey:
        """The key of an account that is to be made, on the disk before anything names it; after a crash the same one."""
        credentials, network = self._chain.credentials, self.asked.network
        path = credentials.folder / network / f"{contract}.json"
        key = credentials.read(path, contract).key if path.exists() else NearKey.new()
        credentials.write(network, contract, key)
        return key

    async def _rest(self) -> None:
        contract = self.asked.contract(REGISTRY)
        with trio.move_on_after(REST_SECONDS):
            while True:
                if (await self._state(REGISTRY, contract, await self._near.block())).at_rest:
                    return
                await trio.sleep(REST_POLL)
        raise OutcomeUnknown(
            f"payments or ratings of {contract} are still under way; it stays paused: try again later, after a week at the latest"
        )

    def _settle(self) -> None:
        """The settings name the contracts."""
        settings, asked = self._chain.mesh.settings, self.asked
        wanted = {on(asked.network, f"near.{name}"): asked.contract(name) for name in NAMES} | {NETWORK: asked.network}
        for key, value in wanted.items():
            if settings.get(key) != value:
                settings.set_local(key, value)
