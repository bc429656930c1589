"""NEAR as this device uses it: the network that the settings name, the journal, the outbox, the wallet and the limits."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf

import trio

from mycelnode import audit
from mycelnode.chain.accounts import Accounts
from mycelnode.chain.actions import Actions, Signer
from mycelnode.chain.amounts import account_id
from mycelnode.chain.gas import calls_of
from mycelnode.chain.indexer import Indexer
from mycelnode.chain.journal import Journal
from mycelnode.chain.keys import Credentials
from mycelnode.chain.near import Near
from mycelnode.chain.outbox import POLL_SECONDS, Payments
from mycelnode.chain.policy import Limits, Payment, Spent, Verdict, decide
from mycelnode.chain.registry import Quote, Registered, Registry
from mycelnode.chain.rpc import open_rpc, within
from mycelnode.chain.wallet import Wallet
from mycelnode.config_keys import NETWORK, OF_A_NETWORK, on
from mycelnode.errors import ConfigError, MycelError, NearUnreachable, SpendingRefused, first
from mycelnode.mesh import Mesh
from mycelnode.protocols.payment_journal import Entry, Intent, State

Begin = Callable[[str], Awaitable[None]]

_log = logging.getLogger(__name__)

BEGINNING = (NETWORK, "near.rpc")  # what a chain is opened with, and keeps
ANSWER_SECONDS = 5.0  # for a server to answer at all, where something waits to be sent
GENESIS = "near.genesis."  # the fact, with the name of the network, that keeps which chain this is


class Chain:
    """Made by `open_chain`. `run` is to run for as long as anything shall be sent."""

    def __init__(self, mesh: Mesh, near: Near, credentials: Credentials, poll: float) -> None:
        self.mesh, self.near, self.credentials = mesh, near, credentials
        self._begun = [mesh.settings.get(key) for key in BEGINNING]
        self.journal = Journal(mesh.database, mesh.clock)
        self.payments = Payments(near, self.journal, credentials, mesh.clock, poll=poll)
        self.wallet = Wallet(near, credentials, poll=poll)
        self.accounts = Accounts(mesh, self.journal, near.rpc.network)
        self.indexer = Indexer(near, lambda: self._registry, mesh.database, mesh.clock)
        self._problem = ""

    async def run(self) -> None:
        """See to what is wanted, until cancelled. A fault of ours ends that, and not the node: `services` says so."""
        try:
            await self.payments.run()
        except Exception as error:
            _log.exception("the outbox of payments has failed")
            self._problem = f"the outbox has failed ({first(error)}); what waits in it goes on with the next start"

    def services(self) -> dict[str, tuple[str, str]]:
        """For `mycelnode status`; nothing of payments while no account is set, and nothing waits."""
        waiting = len(self.journal.lines(ended=False))
        states = self.indexer.services()
        if problem := self._problem or self.outdated:
            return {**states, "near": ("failed", problem)}
        if not (self._said("near.account") or self._said("near.spender") or waiting):
            return states
        said = [f"; {one.name} {one.said or one.wrong}" for one in self.near.rpc.servers if one.said or one.wrong]
        return {**states, "near": ("ok", f"{self.network}, {waiting} in the outbox{''.join(said)}")}

    # --- who, where, how much ----------------------------------------------------------------------------------------------------

    @property
    def network(self) -> str:
        """The name of the network."""
        return self.near.rpc.network

    @property
    def outdated(self) -> str:
        """Why nothing is done here any more: the settings name another network, or other servers, than this was opened with."""
        network, servers = (self.mesh.settings.get(key) for key in BEGINNING)
        if [network, servers] == self._begun:
            return ""
        said = f"near.network is {network} by now, and the node that is running is on {self._begun[0]}"
        if network == self._begun[0]:
            said = "near.rpc has other servers by now than the node that is running"
        return f"{said}: stop it and start it again; until then it begins nothing that costs NEAR"

    def in_force(self) -> Chain:
        """This chain. Raises `ConfigError` while it is `outdated`: nobody is to pay on a network that they have just left."""
        if why := self.outdated:
            raise ConfigError(why)
        return self

    def get(self, key: str) -> str:
        """One of the settings that belong to a network, as it is on this one; empty: not set. Raises as `in_force`."""
        return self.in_force()._said(key)

    def set(self, key: str, account: str) -> None:
        """Set one of them, for this network. Raises what `Settings.set_local` raises."""
        self.mesh.settings.set_local(on(self.network, key), account)

    def _said(self, key: str) -> str:
        return str(self.mesh.settings.get(on(self.network, key)))

    @property
    def account(self) -> str:
        """Who publishes and is paid. Raises `ConfigError` if nobody is set."""
        cure = "`mycelnode chain account create` makes one, `import` takes one in"
        return _named("near.account", self.get("near.account"), cure)

    @property
    def spender(self) -> str:
        """Who pays for uses. Raises `ConfigError` if nobody is set."""
        return self.get("near.spender") or self.account

    @property
    def registry(self) -> Registry:
        """The registry. Raises `ConfigError` if none is set."""
        return self.in_force()._registry

    @property
    def _registry(self) -> Registry:
        """The same, to be followed for as long as the node runs."""
        cure = "`mycelnode chain deploy` sets it, or who runs one says it"
        return Registry(self.near, _named("near.registry", self._said("near.registry"), cure))

    @property
    def limits(self) -> Limits:
        """What the person has set."""
        return Limits.of(lambda key: self.get(key) if key in OF_A_NETWORK else self.mesh.settings.get(key))

    @property
    def known(self) -> str:
        """Names the very chain, as far as anybody has said; it ends with / if nobody has."""
        return f"{self.network}/{self.near.rpc.genesis or self.mesh.fact(f'{GENESIS}{self.network}', '')}"

    async def identify(self, deadline: float = inf) -> str:
        """Names the very chain, also while nobody answers, if somebody has before. Raises `NearUnreachable`, `NearRpcWrong`."""
        before = self.known
        try:
            with within(deadline):
                found = await self.near.rpc.identify()
        except NearUnreachable:
            if before.endswith("/"):
                raise
            return before
        if found != before or not self.mesh.fact(f"{GENESIS}{self.network}", ""):
            await self.mesh.keep_fact(f"{GENESIS}{self.network}", self.near.rpc.genesis)
        return found

    async def actions(self, account: str, deadline: float = inf) -> Actions:
        """What an account of ours can do at the registry. Raises `KeyFileError`, `ConfigError`, and what `identify` raises."""
        registry = self.get("near.registry")
        key = self.credentials.find(self.network, account).key.name
        return Actions(Signer(await self.identify(deadline), account, key), registry, self.mesh.clock.wall())

    # --- paying ------------------------------------------------------------------------------------------------------------------

    def verdict(self, amount: int, creator: str | None, calls: int = 1) -> Verdict:
        """May that be paid to the registry now?"""
        payment = Payment(self.get("near.registry"), amount, creator, calls)
        return decide(self.limits, payment, self.journal.spent(self.known))

    def questions(self, pattern: Registered, quote: Quote, *, priced: bool = False) -> list[str]:
        """What the person is to be asked before this use is paid for, in sentences. What may not be paid at all, `buy` refuses.

        ``priced``: how much it may cost has been said already; that it is public, and for ever, is another matter.
        """
        verdict = self.verdict(quote.total, pattern.creator)
        asked = [verdict.said] if verdict.ask and not priced else []
        here = ("use_pattern", self.known, self.spender)  # another account, or chain, has told nobody about this one
        paid = (line.entry.intent for line in self.journal.lines(state=State.DONE))
        if not any((intent.method, intent.network, intent.account) == here for intent in paid):
            asked.append(
                f"it is the first that this account pays for: that {self.spender} has paid {pattern.creator} is public for ever,"
                f" linked to {self.spender} and to whoever funded it"
            )
        return asked if verdict.allowed else []

    async def buy(self, pattern: Registered, quote: Quote, *, begin: Begin, unasked: Sequence[str] = ()) -> Entry:
        """Have the next use bought, as it was quoted; wait for it with ``payments.wait``.

        ``begin`` is told the id of the payment before that is wanted; ``unasked`` is what of `questions` nobody has said yes
        to. Raises `SpendingRefused`, which is audited, `KeyFileError`, `ConfigError`.
        """
        intent = (await self.actions(self.spender)).use(pattern, quote)
        await begin(intent.id)
        return await self.want(intent, about=pattern.cid, creator=pattern.creator, unasked=unasked)

    async def want(
        self, intent: Intent, *, about: str = "", creator: str | None = None, unasked: Sequence[str] = ()
    ) -> Entry:
        """Have something done, within the limits. ``unasked``: what the person would have to be asked first.

        Raises `SpendingRefused`, which is audited.
        """
        limits = self.limits

        def judge(spent: Sequence[Spent]) -> None:
            payment = Payment(intent.receiver, intent.deposit, creator, len(calls_of(intent.method)))
            verdict = decide(limits, payment, spent)
            if not verdict.allowed:
                raise SpendingRefused(verdict.said)
            if unasked:
                them = "it" if len(unasked) == 1 else "them"
                raise SpendingRefused(f"{'; '.join(unasked)}; you have to say yes to {them} (--yes). Nothing was spent")

        return await self.payments.want(intent, about=about, creator=creator, judge=judge)

    async def send_waiting(self, deadline: float) -> None:
        """What waits in the outbox goes first, until then (trio's clock), if a server answers. Raises nothing of ours."""
        if not self.payments.waiting:
            return
        try:
            with within(min(deadline, trio.current_time() + ANSWER_SECONDS)):
                await self.near.block()
        except MycelError:  # as whatever is asked next will say
            return
        with trio.move_on_at(deadline):
            await self.payments.settle()

    async def audit_refusal(self, about: str, why: str) -> None:
        """Note what was refused before it was wanted."""
        fields, now = {"about": about, "why": why}, self.mesh.clock.wall()
        await self.mesh.database.write(lambda connection: audit.record(connection, "payment.refused", fields, now))


def _named(key: str, account: str, cure: str) -> str:
    if not account:
        raise ConfigError(f"{key} is not set: {cure}")
    return account_id(account)


@asynccontextmanager
async def open_chain(
    mesh: Mesh, *, network: str | None = None, credentials: Credentials | None = None, poll: float = POLL_SECONDS
) -> AsyncIterator[Chain]:
    """The network of the settings, or another one. Nobody is asked anything yet."""
    async with open_rpc(network or mesh.settings.get(NETWORK), mesh.settings.get("near.rpc"), clock=mesh.clock) as rpc:
        chain = Chain(mesh, Near(rpc), credentials or Credentials(), poll)
        try:
            await chain.accounts.go_on()
        except MycelError as error:
            _log.warning("who is to pay from now on could not be kept, until the next start: %s", error)
        yield chain
