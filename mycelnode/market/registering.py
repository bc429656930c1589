"""A published pattern is registered on chain, with its price, or put in the place of the version before it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from mycelnode.chain.actions import ONE_CALL, TWO_CALLS
from mycelnode.chain.amounts import format_near
from mycelnode.chain.prechecks import NOTHING as NOTHING_SPENT
from mycelnode.chain.prechecks import refusal
from mycelnode.chain.registry import Registered
from mycelnode.chain.service import Chain
from mycelnode.errors import (
    ContractRefused,
    MycelError,
    NearRefused,
    NearRpcWrong,
    NearUnreachable,
    OutcomeUnknown,
    PatternRefused,
    SpendingRefused,
)
from mycelnode.patterns.manifest import Manifest
from mycelnode.protocols.payment_journal import Entry, Intent, State

WAIT_SECONDS: Final = 30.0  # for it to be final, before it is said that it goes on by itself
UNASKED_DEPOSIT: Final = (
    125 * 10**21
)  # yoctoNEAR, attached while no server says how much it takes; what is too much comes back
NOTHING: Final = "nothing was made public"


@dataclass(frozen=True, slots=True)
class Plan:
    """What registering will say to everybody, and ``deposit``, what it takes in yoctoNEAR.

    ``former``: what it takes the place of. ``asked``: a server has said so. ``known``: it is registered already, and nothing is
    to be done.
    """

    account: str
    registry: str
    domain: str
    price: int
    deposit: int
    former: Registered | None
    asked: bool
    known: Registered | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """``number``: of the pattern in the registry, once it is ``done``. ``word``: how it stands, in a sentence."""

    done: bool
    failed: bool
    number: int | None
    word: str


class Registrar:
    """Registers for `near.account`."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def plan(self, said: Mapping[str, Any], agreed: int | None = None, made: Manifest | None = None) -> Plan:
        """What registering the pattern of a draft will take; ``said`` has its fields, ``agreed`` is the most that it may take.

        ``made``: the pattern, if it was made of that draft before. Raises `ConfigError`, `KeyFileError`, `SpendingRefused`,
        `NearRefused`, `NearUnreachable` before anything is public.
        """
        chain, known = self._chain, None
        account, registry, former = chain.account, chain.registry, None
        deposit, asked, replaced = UNASKED_DEPOSIT, True, said.get("supersedes")
        try:
            await chain.actions(account)  # its key is here, and it is known which chain this is
        except NearUnreachable as error:
            raise NearUnreachable(
                f"no server has ever said which chain {chain.network} is ({error}); {NOTHING}"
            ) from error
        try:
            info = await registry.info()
            if info.paused:
                raise NearRefused(f"{registry.contract} is paused, so nothing can be registered now; {NOTHING}")
            deposit = info.pattern_total
            if made is not None:
                known = await registry.pattern_by_hash(account, made.cid.digest.hex())
            if replaced is not None and known is None:
                former = await registry.pattern_by_hash(account, replaced.digest.hex())
        except NearUnreachable as error:
            if replaced is not None:
                raise NearUnreachable(
                    f"no server says whether {replaced}, which this replaces, is registered ({error}); {NOTHING}"
                ) from error
            asked = False
        except (ContractRefused, NearRpcWrong) as error:
            raise NearRefused(f"{error}; {NOTHING}") from error
        if known is not None:
            if known.retired_at is not None:
                raise NearRefused(
                    f"{known.cid} is retired for ever, and cannot be registered again; nothing was changed"
                )
            return Plan(account, registry.contract, known.domain, known.price, 0, None, asked, known)
        price = int(said.get("price", 0))
        if former is not None:
            deposit = ONE_CALL if former.price == price else TWO_CALLS
        elif replaced is not None and self._is_under_way(str(replaced)):
            raise NearRefused(
                f"{replaced}, which this replaces, is just being registered, and that goes first; {NOTHING}"
            )
        plan = Plan(account, registry.contract, said["domain"], price, deposit, former, asked)
        await self._check(plan, agreed)
        if asked:
            with suppress(NearUnreachable):  # then it waits, and is looked at again before it is sent
                await self._precheck(plan)
        return plan

    async def _check(self, plan: Plan, agreed: int | None) -> None:
        former, why = plan.former, ""
        verdict = self._chain.verdict(plan.deposit, None, calls=1 if former is None else plan.deposit)
        if former is not None and former.retired_at is not None:
            raise NearRefused(f"{former.cid}, which this replaces, is retired for ever; {NOTHING}")
        if former is not None and former.domain != plan.domain:
            raise PatternRefused(
                f"{former.cid}, which this replaces, is registered in the domain {former.domain}, and stays there; {NOTHING}"
            )
        if not verdict.allowed:
            why = verdict.said
        elif agreed is not None and plan.deposit > agreed:
            takes, agreed_to = format_near(plan.deposit), format_near(agreed)
            why = f"registering takes {takes} by now, and {agreed_to} were agreed to; nothing was spent"
        if why:
            await self._chain.audit_refusal("", why)
            raise SpendingRefused(f"{why}, and {NOTHING}")

    async def _precheck(self, plan: Plan) -> None:
        """What would keep it from being sent, as that the account has too little, is said while nothing is public."""
        near = self._chain.near
        intent = await self._intent(plan, "", "")  # of which pattern it is makes no difference
        try:
            block = await near.block()
            key = await near.access_key(intent.account, intent.key, block.hash)
            if key is None:
                why = f"{intent.account} has no such key on this network"
            else:
                why = await refusal(near, intent, key, block)
        except (NearRefused, NearRpcWrong) as error:
            why = str(error)
        if why:
            raise NearRefused(f"{why.removesuffix(f'; {NOTHING_SPENT}')}; {NOTHING}")

    async def register(self, manifest: Manifest, plan: Plan) -> Registration:
        """Have it done; if a server answers, wait for it a while. The outbox goes on by itself. Raises nothing of ours."""
        chain, cid, known = self._chain, str(manifest.cid), plan.known
        if known is not None:
            return Registration(
                True, False, known.id, f"it was already, at {format_near(known.price)}; nothing was taken"
            )
        try:
            if manifest.near != plan.account:
                raise PatternRefused(f"it names {manifest.near or 'no account'}, and {plan.account} was to register it")
            wanted = await chain.want(await self._intent(plan, manifest.cid.digest.hex(), cid), about=cid)
            ended = await chain.payments.wait(wanted.intent.id, WAIT_SECONDS if plan.asked else 0)
        except OutcomeUnknown as error:
            return Registration(False, False, None, str(error))
        except MycelError as error:
            return Registration(False, True, None, str(error))
        if ended.state is not State.DONE:
            return Registration(False, True, None, ended.word)
        try:
            found = await chain.registry.pattern_by_hash(plan.account, manifest.cid.digest.hex())
        except MycelError:
            return Registration(True, False, None, _done(ended))
        if found is None:
            return Registration(False, True, None, "it was registered before, and another version has taken its place")
        return Registration(True, False, found.id, _done(ended))

    def _is_under_way(self, cid: str) -> bool:
        return any(not line.entry.ended for line in self._chain.journal.about(cid))

    async def _intent(self, plan: Plan, digest: str, cid: str) -> Intent:
        actions, former = await self._chain.actions(plan.account), plan.former
        if former is None:
            return actions.register(digest, cid, plan.domain, plan.price, plan.deposit)
        if former.price == plan.price:
            return actions.update(former, digest, cid)
        return actions.succeed(former, digest, cid, plan.price)


def _done(ended: Entry) -> str:
    burnt = 0 if ended.outcome is None else ended.outcome.burnt
    return f"done; the gas cost {format_near(burnt)}" if burnt else "done"
