"""A devchain with both contracts, a creator who sells a pattern, a buyer, and what the buyer's device needs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mycel_simnet.near.devchain import NEAR, Devchain, Wallet, open_devchain
from mycelnode.background import open_background
from mycelnode.chain.actions import Actions, Signer
from mycelnode.chain.journal import Journal
from mycelnode.chain.keys import Credentials, NearKey
from mycelnode.chain.near import Near
from mycelnode.chain.outbox import Payments
from mycelnode.chain.registry import Registry
from mycelnode.chain.rpc import Rpc, open_rpc
from mycelnode.clock import SystemClock
from mycelnode.database import Database, open_database
from mycelnode.errors import OutcomeUnknown
from mycelnode.paths import DataDir
from mycelnode.ports import Clock
from mycelnode.protocols.payment_journal import Entry
from tests.chain.known import cid_of
from tests.needs import missing
from tests.node.nodes import until

WASM = Path(__file__).parents[2] / "contracts" / "res"
PRICE = NEAR // 100
POLL = 0.02


@dataclass
class Market:
    """``pattern``: the number of the one that ``creator`` sells."""

    chain: Devchain
    creator: Wallet
    buyer: Wallet
    registry: Wallet
    reputation: Wallet
    pattern: int = 0

    async def register(self, text: str, price: int = PRICE, domain: str = "mail") -> int:
        digest, cid = cid_of(text)
        args = {"pattern_hash": digest, "metadata_cid": cid, "domain": domain, "price_per_use": str(price)}
        outcome = await self.chain.call(self.creator, self.registry, "register_pattern", args, deposit=NEAR // 8)
        return int(self.value(outcome))

    def value(self, outcome: Any) -> Any:
        import base64

        return json.loads(base64.b64decode(outcome["status"]["SuccessValue"]))

    def uses(self) -> int:
        """That the buyer has bought, as the newest block has it."""
        receipt = self.chain.view(self.registry, "receipt", {"id": self.pattern, "account": self.buyer.account_id})
        return 0 if receipt is None else int(receipt["uses"])

    def paid(self) -> int:
        """By the buyer to the creator and the registry, in all, without gas."""
        receipt = self.chain.view(self.registry, "receipt", {"id": self.pattern, "account": self.buyer.account_id})
        return 0 if receipt is None else int(receipt["paid"])


@asynccontextmanager
async def a_market(folder: Path | None = None, **settings: Any) -> AsyncIterator[Market]:
    if not (WASM / "registry.wasm").exists():
        missing("needs contracts/res/registry.wasm: make contracts")
    async with open_devchain(folder, **settings) as chain:
        creator, buyer = chain.wallets["alice.near"], chain.wallets["bob.near"]
        market = Market(
            chain, creator, buyer, *[await chain.create_account(name) for name in ("registry", "reputation")]
        )
        registry, reputation, owner = market.registry.account_id, market.reputation.account_id, chain.root.account_id
        await chain.deploy(
            market.registry, (WASM / "registry.wasm").read_bytes(), "new", {"owner": owner, "reputation": reputation}
        )
        await chain.deploy(
            market.reputation, (WASM / "reputation.wasm").read_bytes(), "new", {"owner": owner, "registry": registry}
        )
        market.pattern = await market.register("a pattern")
        yield market


def keep_key(home: Path, wallet: Wallet, network: str = "devchain") -> Credentials:
    """The key of a wallet, where a person's tools keep it."""
    credentials = Credentials(home)
    credentials.write(network, wallet.account_id, NearKey.of(wallet.key.seed))
    return credentials


@dataclass
class Device:
    """What pays for a person: its journal, its outbox at work, and the registry as it sees it."""

    market: Market
    database: Database
    rpc: Rpc
    payments: Payments
    registry: Registry
    credentials: Credentials
    clock: Clock

    async def actions(self, wallet: Wallet | None = None) -> Actions:
        account = (wallet or self.market.buyer).account_id
        key = self.credentials.find(self.rpc.network, account).key.name
        signer = Signer(await self.rpc.identify(), account, key)
        return Actions(signer, self.registry.contract, self.clock.wall())

    async def signed(self, name: str) -> None:
        """Wait until an intent is signed; it has not ended by then."""
        await until(lambda: self._entry(name).signed is not None, "it is signed")
        with pytest.raises(OutcomeUnknown):
            await self.payments.wait(name, 0)

    async def burning(self, name: str) -> None:
        """Wait until what gives an intent up is signed."""
        await until(lambda: self._entry(name).burn is not None, "its nonce is to be burnt")

    async def spent(self, name: str) -> None:
        """Wait until it is seen that the nonce of an intent is spent."""
        await until(lambda: self._entry(name).spent_at is not None, "its nonce is spent")

    def _entry(self, name: str) -> Entry:
        entry = self.payments.entry(name)
        assert entry is not None
        return entry

    async def buy(self) -> Entry:
        """Have the next use bought, without waiting for it."""
        pattern = await self.registry.pattern(self.market.pattern)
        assert pattern is not None
        quote = await self.registry.quote(self.market.pattern, self.market.buyer.account_id)
        intent = (await self.actions()).use(pattern, quote)
        return await self.payments.want(intent, about=pattern.cid, creator=pattern.creator)

    async def until(self, name: str, true: Callable[[Entry], object], what: str = "it is signed") -> Entry:
        """Wait until something holds of an intent, and return how it stands then."""

        def holds() -> bool:
            entry = self.payments.entry(name)
            return entry is not None and bool(true(entry))

        await until(holds, what)
        entry = self.payments.entry(name)
        assert entry is not None
        return entry


@asynccontextmanager
async def a_device(
    market: Market,
    folder: Path,
    *urls: str,
    work: bool = True,
    clock: Clock | None = None,
    network: str = "devchain",
) -> AsyncIterator[Device]:
    """``urls``: what it takes for servers; the chain itself, if there are none. ``network``: what it takes that for."""
    data = DataDir(folder / "data")
    if not data.path.exists():
        data.create()
    home = folder / "home"
    for wallet in (market.buyer, market.creator):
        credentials = keep_key(home, wallet, network)
    async with (
        open_database(data) as database,
        open_rpc(network, urls or [market.chain.url], clock=clock) as rpc,
        open_background() as nursery,
    ):
        near = Near(rpc)
        clock = clock or SystemClock()
        payments = Payments(near, Journal(database, clock), credentials, clock, poll=POLL)
        if work:
            nursery.start_soon(payments.run)
        registry = Registry(near, market.registry.account_id)
        yield Device(market, database, rpc, payments, registry, credentials, clock)


__all__ = ["NEAR", "PRICE", "Device", "Market", "a_device", "a_market", "keep_key"]
