"""Accounts: made, taken in, replaced and looked at. A key is on the disk before anything on chain names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from mycelnode.chain import faucet
from mycelnode.chain.amounts import account_id, format_near, implicit_account
from mycelnode.chain.gas import CREATION, FREE_BYTES, NEW_ACCOUNT, YOCTO_A_BYTE, paid_in_advance
from mycelnode.chain.keys import Credentials, KeyFile, NearKey
from mycelnode.chain.near import Action, AddKey, CreateAccount, Near, Transfer, sign
from mycelnode.errors import AccountRefused, NearRefused, OutcomeUnknown
from mycelnode.protocols.payment_journal import Outcome

POLL_SECONDS: Final = 1.0
OUTCOME_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Balance:
    """Of an account, in yoctoNEAR: all of it, and what of it can be spent, as the rest pays for what the account stores."""

    account: str
    total: int
    spendable: int
    height: int


class Wallet:
    """The accounts of this user on one network."""

    def __init__(self, near: Near, credentials: Credentials, *, poll: float = POLL_SECONDS) -> None:
        self.near, self.credentials, self._poll = near, credentials, poll

    @property
    def network(self) -> str:
        """Which one."""
        return self.near.rpc.network

    async def balance(self, account: str) -> Balance | None:
        """What an account has at the last final block; None: there is no such account."""
        block = await self.near.block()
        found = await self.near.account(account, block.hash)
        if found is None:
            return None
        kept = found.storage * YOCTO_A_BYTE if found.storage > FREE_BYTES else 0
        return Balance(account, found.balance + found.locked, max(0, found.balance - kept), block.height)

    def find(self, source: str) -> KeyFile:
        """The key of an account of ours, or that in a key file (``….json``). Raises `KeyFileError`, `AccountRefused`."""
        path = Path(source)
        return self.credentials.read(path) if path.suffix == ".json" else self.credentials.find(self.network, source)

    def new_implicit(self) -> KeyFile:
        """A new account that is named after its key; it exists once something is sent to it."""
        key = NearKey.new()
        account = implicit_account(key.public)
        return KeyFile(account, key, self.credentials.write(self.network, account, key))

    def take_in(self, path: Path, account: str | None = None) -> KeyFile:
        """Copy a key file to where the keys of this network are. Raises `KeyFileError`."""
        found = self.credentials.read(path, account)
        self.credentials.refuse_elsewhere(self.network, found)
        return KeyFile(found.account, found.key, self.credentials.write(self.network, found.account, found.key))

    async def confirm(self, found: KeyFile) -> None:
        """Raise `NearRefused` unless the account has that key, and the key may do everything."""
        key = await self.near.access_key(found.account, found.key.name)
        if key is None:
            raise NearRefused(
                f"{found.account} has no key {found.key.name} on {self.network}: that key file is of another account or network, or"
                " was replaced",
                "UNKNOWN_ACCESS_KEY",
            )
        if key.receiver is not None:
            raise NearRefused(
                f"the key {found.key.name} of {found.account} may only call {key.receiver}: it cannot pay. Use a full-access key"
                " of an account that has little"
            )

    async def create(
        self, account: str, *, parent: KeyFile | None = None, amount: int = 0, url: str = faucet.URL
    ) -> KeyFile:
        """Make a named account: a sub-account of ``parent``, which gives it ``amount``; on testnet, without one, by the faucet.

        Asked again after a crash, it goes on: the key that was made is used. Raises `OutcomeUnknown` if nobody says in time that it
        is there, `NearRefused`, `AccountRefused`, `KeyFileError`.
        """
        account_id(account)
        if parent is not None and not account.endswith(f".{parent.account}"):
            raise AccountRefused(
                f"{parent.account} can only make accounts such as {account.split('.', maxsplit=1)[0]}.{parent.account}"
            )
        if parent is None and self.network != "testnet":
            raise AccountRefused(f"on {self.network} an account is made by another one: say which with --from")
        if parent is None and not account.endswith(".testnet"):
            raise AccountRefused("the faucet makes accounts such as alice.testnet")
        path = self.credentials.folder / self.network / f"{account}.json"
        key = self.credentials.read(path, account).key if path.exists() else NearKey.new()
        made = KeyFile(account, key, self.credentials.write(self.network, account, key))
        if await self.near.access_key(account, key.name) is not None:
            return made
        if parent is None:
            await faucet.create_account(account, key.name, url=url)
        else:
            await self.afford(parent.account, amount)
            await self._act(parent, account, [CreateAccount(), AddKey(key.public), Transfer(amount)])
        await self.confirm(made)
        return made

    async def afford(self, account: str, amount: int) -> None:
        """Raise `NearRefused` unless the account has that, and what making an account with it takes."""
        has = await self.balance(account)
        needed = amount + NEW_ACCOUNT + paid_in_advance(CREATION)
        if has is None or has.spendable < needed:
            left = format_near(0 if has is None else has.spendable)
            raise NearRefused(f"{account} has {left} to spend, and {format_near(needed)} are needed; nothing was spent")

    async def _act(self, signer: KeyFile, receiver: str, actions: list[Action]) -> Outcome:
        """Sign and send what cannot be carried out twice, and wait for it."""
        block = await self.near.block()
        key = await self.near.access_key(signer.account, signer.key.name, block.hash)
        if key is None:
            raise NearRefused(f"{signer.account} has no key {signer.key.name} on {self.network}", "UNKNOWN_ACCESS_KEY")
        signed = sign(signer.key, signer.account, receiver, key.nonce + 1, block.digest, actions)
        with trio.move_on_after(OUTCOME_SECONDS):
            outcome = await self.near.send(signed, signer.account)
            while outcome is None:
                await trio.sleep(self._poll)
                outcome = await self.near.outcome(signed.hash, signer.account)
            if not outcome.success:
                raise NearRefused(outcome.said)
            return outcome
        raise OutcomeUnknown(
            f"nobody says what became of the transaction {signed.hash}; try again, which does nothing twice"
        )
