"""What the control socket and the command line can ask about accounts: made, taken in, given more, replaced, emptied, looked at."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import trio

from mycelnode.chain.amounts import account_id, format_near
from mycelnode.chain.gas import MARGIN, NEW_ACCOUNT, gas_of, gas_of_transfer, paid_in_advance
from mycelnode.chain.keys import KeyFile
from mycelnode.chain.prechecks import missing
from mycelnode.chain.service import Chain
from mycelnode.collective.requests import amount, file_path, optional
from mycelnode.commands import Handler, Request, flag, text
from mycelnode.errors import (
    ConfigError,
    ContractRefused,
    ContractWrong,
    ControlError,
    KeyFileError,
    MycelError,
    NearRefused,
)
from mycelnode.protocols.payment_journal import Entry, State

WAIT_SECONDS: Final = 60.0  # for a transfer to be final, before it is said that it goes on by itself
ASK_SECONDS: Final = 5.0  # for what accounts have that are not used any more
SHARES: Final = ("balance", "spendable", "claimable")  # of an account that was replaced
LEFT_BEHIND: Final = 2 * 10**22  # yoctoNEAR that stay in an account that is replaced, for the gas of the transfer


class AccountCommands:
    """The commands about accounts. ``chain`` gives it, or raises why there is none."""

    def __init__(self, chain: Callable[[], Chain]) -> None:
        self._chain = chain
        self._lock = trio.Lock()  # two who ask for a spender at the same time do not get two

    def table(self) -> dict[str, Handler]:
        """Command name → handler."""
        return {
            "chain.account": self.account,
            "chain.account.create": self._one_at_a_time(self.create),
            "chain.account.import": self._one_at_a_time(self.import_),
            "chain.account.fund": self._one_at_a_time(self.fund),
            "chain.account.rotate": self._one_at_a_time(self.rotate),
            "chain.account.rotate.plan": self._one_at_a_time(self.plan_rotation),
            "chain.account.sweep": self._one_at_a_time(self.sweep),
            "chain.account.sweep.plan": self._one_at_a_time(self.plan_sweep),
            "chain.balance": self.balance,
        }

    def _one_at_a_time(self, handler: Handler) -> Handler:
        async def handle(request: Request) -> dict[str, Any]:
            async with self._lock:
                return await handler(request)

        return handle

    # --- which there are -----------------------------------------------------------------------------------------------------

    async def account(self, request: Request) -> dict[str, Any]:
        """Who publishes and who pays, whether their keys are here, and which ones did before and have money all the same.

        Nobody is asked anything but what those have; null while nobody answers.
        """
        chain = self._chain()
        get = chain.get
        named = dict.fromkeys(account for account in (get("near.account"), get("near.spender")) if account)
        former: dict[str, dict[str, Any] | None] = {
            account: {**dict.fromkeys(SHARES), "account": account, "unrated": _unrated(chain, account)}
            for account in chain.accounts.former
        }
        with trio.move_on_after(ASK_SECONDS), suppress(MycelError):
            for account in former:
                former[account] = await _former(chain, account)
        return {
            "network": chain.network,
            "account": get("near.account") or None,
            "spender": get("near.spender") or get("near.account") or None,
            "keys": [_key(chain, account) for account in named],
            "former": [{**one, "problem": _key(chain, one["account"])["problem"]} for one in former.values() if one],
        }

    async def balance(self, request: Request) -> dict[str, Any]:
        """What an account has at the last final block."""
        chain = self._chain()
        account = optional(request, "account") or chain.spender
        found = await chain.wallet.balance(account_id(account))
        if found is None:
            raise NearRefused(missing(account, chain.network))
        return {
            "account": account,
            "balance": str(found.total),
            "spendable": str(found.spendable),
            "height": found.height,
            "network": chain.network,
        }

    # --- made, taken in ------------------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> dict[str, Any]:
        """A new account: ``name`` publishes and is paid; without a name it is named after its key, and pays for this device.

        ``from``: the account, or the key file of one, that gives it ``amount``. ``replace``: in the place of the one that
        publishes and is paid so far. ``given``: what it was; nothing if it ``existed``, as when the same is asked again.
        """
        chain, name, said = self._chain(), optional(request, "name"), amount(request, "amount")
        source, get = optional(request, "from"), chain.get
        parent, given = None if source is None else chain.wallet.find(source), said or 0
        if parent is None and given:
            raise ConfigError("say with --from which account gives it that")
        if parent is not None and (said is None or not (given or name)):
            raise ConfigError(f"say with --amount how much {parent.account} gives it")
        if name is not None:
            before = get("near.account")
            if before not in ("", name) and not flag(request, "replace"):
                raise ConfigError(
                    f"{before} publishes and is paid already, and what it has published names it; --replace puts {name} in"
                    " its place"
                )
            existed = await chain.wallet.balance(account_id(name)) is not None
            made = await chain.wallet.create(name, parent=parent, amount=given)
            await chain.identify()  # from then on things can be wanted while nobody answers
            await chain.accounts.remember(before, made.account)
            chain.set("near.account", made.account)
            return {**_made(chain, made), "given": str(0 if existed else given), "existed": existed}
        await chain.accounts.go_on()
        if spender := get("near.spender"):
            raise ConfigError(
                f"{spender} pays for this device already; `mycelnode chain account fund` gives it more, and"
                " `mycelnode chain account rotate` puts another in its place"
            )
        if parent is not None and given:  # or an account would be set that has nothing, and another could not be made
            await chain.wallet.afford(parent.account, given)
        made = await self._another(chain, parent, given)
        return {**_made(chain, made), "given": str(given), "existed": False}

    async def import_(self, request: Request) -> dict[str, Any]:
        """Take in a key file that the network knows as a full-access key; with ``spender`` its account pays for uses.

        ``kept``: who publishes and is paid as before, as that was another account already.
        """
        chain, path = self._chain(), Path(file_path(request))
        found = chain.credentials.read(path, optional(request, "account"))
        await chain.wallet.confirm(found)
        await chain.identify()
        taken = chain.wallet.take_in(path, found.account)
        before, kept = chain.get("near.account"), None
        if flag(request, "spender"):
            await chain.accounts.remember(chain.get("near.spender"), taken.account)
            chain.set("near.spender", taken.account)
        elif before and before != taken.account:
            kept = before  # a key that is only needed here, such as an owner's, must not change who is paid
        else:
            await chain.accounts.remember(taken.account)
            chain.set("near.account", taken.account)
        return {**_made(chain, taken), "kept": kept}

    # --- money goes from one to the other ------------------------------------------------------------------------------------

    async def fund(self, request: Request) -> dict[str, Any]:
        """Give an account of ours, by default the one that pays for this device, ``amount`` more, ``from`` another one."""
        chain, given = self._chain(), amount(request, "amount")
        source = chain.wallet.find(text(request, "from"))
        account = optional(request, "account") or chain.get("near.spender")
        if not account:
            raise ConfigError("near.spender is not set: `mycelnode chain account create` makes one")
        if account_id(account) not in {*chain.accounts.known, *_set(chain)}:
            raise NearRefused(f"{account} is no account that this device has made or taken in; nothing was spent")
        if account == source.account:
            raise NearRefused(f"{account} cannot give itself anything; nothing was spent")
        if not given:
            raise ControlError("the request needs an amount above 0")
        wanted = await self._send(chain, source, account, given)
        _ended(await chain.payments.wait(wanted.intent.id, WAIT_SECONDS))
        return {"network": chain.network, "account": account, "from": source.account, "amount": str(given)}

    async def rotate(self, request: Request) -> dict[str, Any]:
        """Another spending account, named after a new key, to which what the one before has is sent, or ``amount`` of it."""
        chain = self._chain()
        before, moved = await self._rotation(chain, request)
        source = chain.credentials.find(chain.network, before) if moved else None
        made = await self._another(chain, source, moved)
        return {**_made(chain, made), "before": before or None, "moved": str(moved)}

    async def plan_rotation(self, request: Request) -> dict[str, Any]:
        """What `rotate` would move, and from where. Nothing is made or sent."""
        chain = self._chain()
        before, moved = await self._rotation(chain, request)
        return {"network": chain.network, "before": before or None, "moved": str(moved)}

    async def _rotation(self, chain: Chain, request: Request) -> tuple[str, int]:
        """Who pays so far, empty if nobody does, and how much of what it has goes to the next one."""
        given = amount(request, "amount")
        await chain.accounts.go_on()
        before, publishes = (chain.get(key) for key in ("near.spender", "near.account"))
        if not before:
            if given:
                raise ConfigError("near.spender is not set: `mycelnode chain account create` makes one")
            return "", 0
        _refuse_under_way(chain, before)
        if given is None and before == publishes:  # all of that was never meant to lie in a spender
            raise NearRefused(
                f"{before} publishes and is paid, too: say with --amount how much of its money the new account is to have;"
                " nothing was spent"
            )
        has = await chain.wallet.balance(before)
        most = 0 if has is None else max(0, has.spendable - _left_behind(chain, before))
        if given is not None and given > most:
            raise NearRefused(
                f"{before} can give {format_near(most)} at most, as it keeps what gas takes; nothing was spent"
            )
        return before, most if given is None else given

    async def sweep(self, request: Request) -> dict[str, Any]:
        """Send all that an account has, which this device does not use any more, to the one that pays now."""
        chain = self._chain()
        source, receiver, moved = await self._sweeping(chain, request)
        if moved:
            wanted = await self._send(chain, source, receiver, moved)
            _ended(await chain.payments.wait(wanted.intent.id, WAIT_SECONDS))
        return {"network": chain.network, "account": source.account, "to": receiver, "moved": str(moved)}

    async def plan_sweep(self, request: Request) -> dict[str, Any]:
        """What `sweep` would move, and how many uses nobody can rate afterwards. Nothing is sent."""
        chain = self._chain()
        source, receiver, moved = await self._sweeping(chain, request)
        return {
            "network": chain.network,
            "account": source.account,
            "to": receiver,
            "moved": str(moved),
            "unrated": _unrated(chain, source.account),
        }

    async def _sweeping(self, chain: Chain, request: Request) -> tuple[KeyFile, str, int]:
        """From whom, to whom, and how much."""
        account = account_id(text(request, "account"))
        if account not in chain.accounts.former:
            raise NearRefused(
                f"{account} is none of the accounts that were replaced on this device; `mycelnode chain account` lists them"
            )
        source, receiver = chain.credentials.find(chain.network, account), chain.spender
        _refuse_under_way(chain, account)
        has, price = await chain.wallet.balance(account), (await chain.near.block()).gas_price
        takes = paid_in_advance(gas_of_transfer(receiver), price)
        if await chain.wallet.balance(receiver) is None:
            takes += NEW_ACCOUNT
        return source, receiver, max(0, 0 if has is None else has.spendable - takes)

    async def _another(self, chain: Chain, source: KeyFile | None, yocto: int) -> KeyFile:
        """Another spender, which ``source`` gives so much. See `accounts` for the order."""
        before, accounts = chain.get("near.spender"), chain.accounts
        made = None
        if accounts.coming:  # its turn broke off before it was given anything
            with suppress(KeyFileError):
                made = chain.credentials.find(chain.network, accounts.coming)
        made = made or chain.wallet.new_implicit()
        await accounts.expect(made.account)
        wanted = await self._send(chain, source, made.account, yocto) if source is not None and yocto else None
        await accounts.arrive()
        if wanted is not None:
            entry = await chain.payments.wait(wanted.intent.id, WAIT_SECONDS)
            if entry.state in (State.FAILED, State.CANCELLED):
                await accounts.go_back(before)
            _ended(entry)
        return made

    async def _send(self, chain: Chain, source: KeyFile, receiver: str, yocto: int) -> Entry:
        """Journalled like a payment, though no limit holds for it: the money stays with its owner."""
        if source.account not in _set(chain):
            chain.credentials.write(chain.network, source.account, source.key)  # the outbox may have to sign later
        actions = await chain.actions(source.account)
        return await chain.payments.want(actions.transfer(receiver, yocto))


def _set(chain: Chain) -> set[str]:
    """Whom the settings name."""
    return {chain.get("near.account"), chain.get("near.spender")} - {""}


def _refuse_under_way(chain: Chain, account: str) -> None:
    """Raise `NearRefused` while what an account has is not known, or not all."""
    live = [line.entry.intent for line in chain.journal.lines(ended=False)]
    if any(intent.account == account for intent in live):
        raise NearRefused(f"payments of {account} are under way; wait for them, or cancel them, and then rotate")
    if any(intent.receiver == account for intent in live):
        raise NearRefused(f"money is still on its way to {account}, and would stay there; see `mycelnode chain outbox`")


def _left_behind(chain: Chain, account: str) -> int:
    """yoctoNEAR that stay in an account that is replaced: for the gas of the transfer, and of a rating of what it has paid for,
    which nobody else can give. That is paid in advance; most of it comes back, for the next one."""
    return LEFT_BEHIND + (paid_in_advance(gas_of("rate_pattern") + MARGIN) if _unrated(chain, account) else 0)


def _unrated(chain: Chain, account: str) -> int:
    """How many uses that an account has paid for can still be rated, as far as this device knows."""
    done = frozenset((State.DONE,))
    paid, rated = (
        sum(line.entry.intent.account == account for line in chain.journal.calls(method, done))
        for method in ("use_pattern", "rate_pattern")
    )
    return max(0, paid - rated)


async def _former(chain: Chain, account: str) -> dict[str, Any] | None:
    """What an account has that is not used any more; None: no more than moving it could take."""
    found, waits = await chain.wallet.balance(account), 0
    if found is None:
        return None
    if chain.get("near.registry"):
        with suppress(ContractRefused, ContractWrong):  # a setting that names no registry is said elsewhere
            waits = await chain.registry.claimable(account)
    if found.spendable <= LEFT_BEHIND and not waits:
        return None
    return {
        "account": account,
        "balance": str(found.total),
        "spendable": str(found.spendable),
        "claimable": str(waits),
        "unrated": _unrated(chain, account),
    }


def _ended(entry: Entry) -> Entry:
    if entry.state is not State.DONE:
        raise NearRefused(entry.word)
    return entry


def _key(chain: Chain, account: str) -> dict[str, Any]:
    try:
        found = chain.credentials.find(chain.network, account)
    except KeyFileError as error:
        return {"account": account, "key": None, "file": None, "problem": str(error)}
    return {"account": account, "key": found.key.name, "file": str(found.path), "problem": None}


def _made(chain: Chain, made: KeyFile) -> dict[str, Any]:
    return {"network": chain.network, "account": made.account, "key": made.key.name, "file": str(made.path)}
