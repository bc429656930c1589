"""What is to be done so that both contracts are on chain as they should be, and what it costs: what is there in, steps out. Pure.

Nothing is remembered between two plans: after a crash, as after each step, the chain is looked at again, and what is left is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mycelnode.chain.amounts import GAS_PRICE, format_near, is_implicit
from mycelnode.chain.gas import (
    CREATE,
    LOCK,
    MARGIN,
    NEW_ACCOUNT,
    REPLACE,
    TRANSFER,
    UPGRADE,
    YOCTO_A_BYTE,
    gas_of,
    gas_of_batch,
    paid_in_advance,
)
from mycelnode.chain.shipped import MIN_PROTOCOL, NAMES, REGISTRY, REPUTATION, STATE_VERSION
from mycelnode.errors import DeployRefused

MAX_PARENT_CHARS: Final = 53  # so that reputation.PARENT is no longer than a name may be
GROWTH: Final = 10**23  # yoctoNEAR that a contract is given besides what its code takes
WAIT_NS: Final = 2 * 24 * 3600 * 10**9  # from saying which code comes until it may, as the contracts have it
PAUSE: Final = "pause"
RESUME: Final = "resume"
STAGE: Final = "stage_upgrade"
FUND: Final = "fund"
REST: Final = "rest"  # no transaction: what is under way comes to its end
MAINNET: Final = "mainnet"
ONE_YOCTO: Final = 1  # which shows that it is a full-access key


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator wants. ``codes``: size and checksum of the code, by contract. ``owner`` is empty where it was not said.

    ``real_money``: mainnet is meant.
    """

    network: str
    parent: str
    codes: Mapping[str, tuple[int, str]]
    owner: str = ""
    upgrade: bool = False
    lock: bool = False
    real_money: bool = False

    def contract(self, name: str) -> str:
        """The account of a contract."""
        return f"{name}.{self.parent}"

    @property
    def locks(self) -> bool:
        """Is every key to be deleted in the end? On mainnet, always."""
        return self.lock or self.network == MAINNET

    @property
    def owned_by(self) -> str:
        """The owner of what is made."""
        return self.owner or self.parent


@dataclass(frozen=True, slots=True)
class State:
    """What a contract says of itself. ``other``: the account of the other one; ``held``: yoctoNEAR that are not its own to spend;
    ``staged``: the checksum of the code that is announced; ``from_ns``: from when on it may come. ``left``: it is paused by an
    earlier run, which did not get to let it go on.
    """

    owner: str
    other: str
    version: int
    paused: bool
    at_rest: bool = True
    held: int = 0
    staged: str = ""
    from_ns: int = 0
    left: bool = False


@dataclass(frozen=True, slots=True)
class There:
    """The account of a contract. ``code``: the checksum of its code, empty if it has none; ``size``: of that, as far as it matters.

    ``keys``: those that may do everything. ``wrong``: why it is none of our contracts.
    """

    balance: int
    storage: int
    code: str
    size: int = 0
    keys: tuple[str, ...] = ()
    state: State | None = None
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One final block. ``owner_exists``: whether the owner does; ``contracts``: those that are there; ``keys``: those of them that
    are here, by contract.
    """

    protocol: int
    now_ns: int
    owner_exists: bool
    contracts: Mapping[str, There]
    keys: Mapping[str, str] = field(default_factory=dict)
    gas_price: int = GAS_PRICE


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction, or a wait. In yoctoNEAR: ``amount`` goes along, ``fee`` is for a new account, ``gas`` is bought first."""

    kind: str
    name: str
    contract: str
    signer: str
    said: str
    amount: int = 0
    fee: int = 0
    gas: int = 0
    code: str = ""
    keys: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """By which the operator agrees to it."""
        return f"{self.kind} {self.contract}"

    @property
    def total(self) -> int:
        """YoctoNEAR that the signer must have."""
        return self.amount + self.fee + self.gas


@dataclass(frozen=True, slots=True)
class Plan:
    """``until_ns``: nothing more can be done before. ``notes``: what else there is to know. ``codes``: what is there."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    until_ns: int | None = None
    codes: Mapping[str, str] = field(default_factory=dict)

    def needed(self, signer: str) -> int:
        """YoctoNEAR that an account must have for all its steps."""
        return sum(step.total for step in self.steps if step.signer == signer)


def check(asked: Asked) -> None:
    """What can be refused without asking anybody. Raises `DeployRefused`."""
    if is_implicit(asked.parent) or len(asked.parent) > MAX_PARENT_CHARS:
        raise DeployRefused(
            f"contracts go below an account with a name of at most {MAX_PARENT_CHARS} characters, such as fox.testnet, and"
            f" not below {asked.parent}"
        )
    if asked.owner in {asked.contract(name) for name in NAMES}:
        raise DeployRefused(f"{asked.owner} is to be a contract itself, which cannot own anything")
    if asked.network == MAINNET and not asked.real_money:
        raise DeployRefused("on mainnet this costs real money, and cannot be undone: say --real-money if that is meant")
    if asked.network == MAINNET and asked.owner in ("", asked.parent):
        raise DeployRefused(
            f"on mainnet the contracts belong to another account than {asked.parent}: say which with --owner"
        )


def check_protocol(asked: Asked, version: int) -> None:
    """Raise `DeployRefused` if the network cannot run this code, or counts in another way than we do."""
    if version < MIN_PROTOCOL:
        raise DeployRefused(
            f"{asked.network} has version {version} of the protocol, too old for these contracts: they need {MIN_PROTOCOL}"
        )


def plan(asked: Asked, seen: Seen) -> Plan:
    """What is left to be done. Raises `DeployRefused`."""
    check(asked)
    check_protocol(asked, seen.protocol)
    if not seen.owner_exists:
        raise DeployRefused(f"there is no account {asked.owned_by} on {asked.network}, which is to own the contracts")
    for name, there in seen.contracts.items():
        _judge(asked, name, there)
    old = [name for name in NAMES if name in seen.contracts and seen.contracts[name].code != asked.codes[name][1]]
    if old and not asked.upgrade:
        names, has = " and ".join(map(asked.contract, old)), "has" if len(old) == 1 else "have"
        raise DeployRefused(f"{names} {has} other code than this mycelnode brings; --upgrade puts it in")
    work = _Work(asked, seen, old)
    changes, until = work.replaced() if asked.upgrade else ([], None)
    steps = [*changes, *work.made(), *(work.locked() if asked.locks else ())]
    codes = {name: there.code for name, there in seen.contracts.items()}
    return Plan(tuple(work.funded(steps)), tuple(work.notes(until)), until, codes)


def _judge(asked: Asked, name: str, there: There) -> None:
    """Raise `DeployRefused` for what is none of ours, or does not fit."""
    contract, state = asked.contract(name), there.state
    if not there.code:
        raise DeployRefused(
            f"there is an account {contract} already, without a contract; use another parent, or delete it"
        )
    if there.wrong or state is None:
        raise DeployRefused(f"what is at {contract} is none of our contracts: {there.wrong}")
    if state.version > STATE_VERSION:
        raise DeployRefused(f"{contract} is of a newer mycelnode than this one; install that")
    other = asked.contract(REPUTATION if name == REGISTRY else REGISTRY)
    if state.other != other:
        raise DeployRefused(f"{contract} works with {state.other}, and not with {other}; use another parent")
    if state.owner != asked.owned_by:
        raise DeployRefused(f"{contract} belongs to {state.owner}: say --owner {state.owner} if that is right")


@dataclass(frozen=True, slots=True)
class _Work:
    asked: Asked
    seen: Seen
    old: list[str]

    def made(self) -> Iterator[Step]:
        """What is not there yet, each in one receipt."""
        for name in NAMES:
            if name not in self.seen.contracts:
                size, _ = self.asked.codes[name]
                amount = size * YOCTO_A_BYTE + GROWTH
                said = (
                    f"make {self.asked.contract(name)} with its contract of {size:,} bytes, and {format_near(amount)}"
                )
                yield self._step(CREATE, name, self.asked.parent, said, amount=amount, fee=NEW_ACCOUNT)

    def replaced(self) -> tuple[list[Step], int | None]:
        """New code, by the keys of the contracts or, where that is announced first, by their owner; and when it can go on."""
        if self.old and not self._keyed():
            staged = {name: self._state(name) for name in self.old}
            missing = [name for name in self.old if staged[name].staged != self.asked.codes[name][1]]
            if missing:
                return [*self._let_go_on(), *map(self._staging, missing)], self.seen.now_ns + WAIT_NS
            until = max(state.from_ns for state in staged.values())
            if self.seen.now_ns < until:
                return [*self._let_go_on()], until
        return [*self._changes()], None

    def _keyed(self) -> bool:
        if self.asked.locks:
            return False
        return all(self.seen.keys.get(name) in self.seen.contracts[name].keys for name in self.old)

    def _let_go_on(self) -> Iterator[Step]:
        """For the two days, what an earlier run has left paused. What the owner has paused otherwise stays so: it may be in need of
        the very code that is announced."""
        for name in reversed(NAMES):
            if name in self.seen.contracts and self._state(name).paused and self._state(name).left:
                yield self._call(RESUME, name)

    def _staging(self, name: str) -> Step:
        said = f"announce the new code of {self.asked.contract(name)}, which may come two days later"
        return self._step(STAGE, name, self._state(name).owner, said, amount=ONE_YOCTO)

    def _changes(self) -> Iterator[Step]:
        """Pause, wait, put it in, go on: the registry pauses whichever it is, as it calls the other one."""
        if self.old and REGISTRY in self.seen.contracts:
            registry = self._state(REGISTRY)
            if not registry.paused:
                yield self._call(PAUSE, REGISTRY)
            if not (registry.paused and registry.at_rest):
                said = "wait until no payment and no rating is under way"
                yield Step(REST, REGISTRY, self.asked.contract(REGISTRY), "", said)
        kind = REPLACE if self._keyed() else UPGRADE
        for name in reversed(self.old):
            if name != REGISTRY and not self._state(name).paused:
                yield self._call(PAUSE, name)
            contract, (size, _) = self.asked.contract(name), self.asked.codes[name]
            signer, amount = (contract, 0) if kind == REPLACE else (self._state(name).owner, ONE_YOCTO)
            said = f"put the new code of {size:,} bytes into {contract}, and migrate what it stores"
            yield self._step(kind, name, signer, said, amount=amount)
        for name in (name for name in reversed(NAMES) if name in self.seen.contracts):
            if self._state(name).paused or (self.old and name in (REGISTRY, *self.old)):
                yield self._call(RESUME, name)

    def locked(self) -> Iterator[Step]:
        """The end of all keys, of what is there, or will be."""
        for name in NAMES:
            there = self.seen.contracts.get(name)
            if there is None or there.keys:
                contract = self.asked.contract(name)
                said = f"delete every full-access key of {contract}, for ever"
                yield self._step(LOCK, name, contract, said, keys=() if there is None else there.keys)

    def funded(self, steps: list[Step]) -> Iterator[Step]:
        """The steps, and before those that a contract pays for by itself, what it must be given: what it holds is not its own."""
        done = set[str]()
        for step in steps:
            if step.kind in (REPLACE, UPGRADE, LOCK) and step.name not in done:
                done.add(step.name)
                own = sum(one.gas for one in steps if one.signer == step.contract)
                lacking = own + self._growth(step) - self._free(step.name)
                if lacking > 0:
                    said = (
                        f"give {step.contract} {format_near(lacking)} for the gas that it buys, and for what it stores"
                    )
                    gas = paid_in_advance(TRANSFER, self.seen.gas_price)
                    yield Step(FUND, step.name, step.contract, self.asked.parent, said, amount=lacking, gas=gas)
            yield step

    def _growth(self, step: Step) -> int:
        """YoctoNEAR that larger code keeps."""
        there = self.seen.contracts.get(step.name)
        if there is None or step.kind == LOCK:
            return 0
        return max(0, self.asked.codes[step.name][0] - there.size) * YOCTO_A_BYTE

    def _free(self, name: str) -> int:
        """YoctoNEAR that a contract has of its own."""
        there = self.seen.contracts.get(name)
        if there is None or there.state is None:
            return 0 if name == REGISTRY else GROWTH // 2  # the registry counts all that it is made with as its base
        return max(0, there.balance - max(there.state.held, there.storage * YOCTO_A_BYTE))

    def notes(self, until: int | None) -> Iterator[str]:
        """What the operator should know besides."""
        keep = any(there.keys for there in self.seen.contracts.values()) or len(self.seen.contracts) < len(NAMES)
        if keep and not self.asked.locks:
            yield "the keys of the contracts stay: who has them can replace the code, and take what it holds"
        for name in self.seen.contracts:
            if self._state(name).paused and not self.asked.upgrade:
                yield f"{self.asked.contract(name)} is paused; --upgrade lets it go on"
            if self._state(name).paused and until is not None and not self._state(name).left:
                yield f"{self.asked.contract(name)} is paused, though not by this command, and stays so until the new code is in"

    def _state(self, name: str) -> State:
        state = self.seen.contracts[name].state
        assert state is not None, "it was judged"
        return state

    def _call(self, kind: str, name: str) -> Step:
        said = f"{'pause' if kind == PAUSE else 'let go on'} {self.asked.contract(name)}"
        return self._step(kind, name, self._state(name).owner, said, amount=ONE_YOCTO)

    def _step(
        self, kind: str, name: str, signer: str, said: str, *, amount: int = 0, fee: int = 0, keys: tuple[str, ...] = ()
    ) -> Step:
        size, code = self.asked.codes[name]
        gas = gas_of(kind) + MARGIN if kind in (PAUSE, RESUME, STAGE) else gas_of_batch(kind, size)
        bought = paid_in_advance(gas, self.seen.gas_price)
        return Step(kind, name, self.asked.contract(name), signer, said, amount, fee, bought, code, keys)
