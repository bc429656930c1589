"""Whoever puts the contracts on a chain in this process: a node, its key files, and contracts of before to be upgraded."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mycel_simnet.near import devchain
from mycel_simnet.near.devchain import Devchain, Wallet, open_devchain
from mycel_simnet.near.keys import to_base58
from mycelnode.chain import batches, deploy, rpc
from mycelnode.chain.shipped import Code
from mycelnode.node import Node
from tests.chain.faults import Proxy, a_proxy
from tests.chain.known import cid_of
from tests.chain.market import NEAR, keep_key
from tests.node.nodes import ask, founder

CONTRACTS = ("registry.alice.near", "reputation.alice.near")
BEFORE = Path(__file__).parents[2] / "contracts" / "vm" / "tests" / "before"
MOST = 20  # requests
NO_REWARD = 87  # the protocol since which contracts are given nothing for the gas that they burn


@dataclass
class Operator:
    """``alice.near`` is the parent, unless a test says otherwise."""

    node: Node
    chain: Devchain
    home: Path
    network: str
    proxy: Proxy

    async def plan(self, **wanted: Any) -> dict[str, Any]:
        return await ask(self.node, "chain.deploy.plan", **{"network": self.network, "from": "alice.near", **wanted})

    async def deploy(self, **wanted: Any) -> list[str]:
        """Agree to the plan and carry it out; the ids of what was done."""
        return [action["id"] for action in await self.carry_out(**wanted)]

    async def carry_out(self, **wanted: Any) -> list[dict[str, Any]]:
        """The same; all that was said of what was done."""
        wanted = {"network": self.network, "from": "alice.near", **wanted}
        agreed = {step["id"]: step["total"] for step in (await self.plan(**wanted))["actions"]}
        done = []
        for _ in range(MOST):
            action = (await ask(self.node, "chain.deploy", **wanted, agreed=agreed))["action"]
            if action is None:
                return done
            done.append(action)
        raise AssertionError(f"it goes on for ever: {done}")

    def keep(self, wallet: Wallet) -> None:
        keep_key(self.home, wallet, self.network)

    async def spent(self, signer: str = "alice.near") -> int:
        """Transactions that an account has signed since the chain began."""
        key = await self.node.chain.near.access_key(signer, self.chain.wallets[signer].key.public_text)
        assert key is not None
        return key.nonce

    async def before(self, monkeypatch: pytest.MonkeyPatch, **wanted: Any) -> list[str]:
        """The contracts of before, as the mycelnode of then put them there, with a pattern, a use and a rating in them."""
        with monkeypatch.context() as patch:
            for module in (deploy, batches):
                patch.setattr(module, "shipped", brought_before)
            done = await self.deploy(**wanted)
        registry = CONTRACTS[0]
        digest, cid = cid_of("before")
        args = {"pattern_hash": digest, "metadata_cid": cid, "domain": "mail", "price_per_use": str(NEAR // 100)}
        await self.chain.call(self.chain.wallets["carol.near"], registry, "register_pattern", args, deposit=NEAR // 5)
        bob = self.chain.wallets["bob.near"]
        use = {"id": 0, "expected_hash": digest, "max_price": str(NEAR // 100), "nth": 1}
        await self.chain.call(bob, registry, "use_pattern", use, deposit=NEAR // 10)
        rating = {"id": 0, "success": True, "rating": 5}
        await self.chain.call(bob, registry, "rate_pattern", rating, gas=150 * 10**12)
        return done

    def stored(self) -> dict[str, Any]:
        """What the contracts know, without what an upgrade changes."""
        registry, reputation = CONTRACTS
        view = self.chain.view
        info = view(registry, "info")
        return {
            "pattern": view(registry, "get_pattern", {"id": 0}),
            "receipt": view(registry, "receipt", {"id": 0, "account": "bob.near"}),
            "found": view(
                registry, "find_patterns", {"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 50}
            ),
            "changes": view(registry, "changes", {"from_seq": 0, "limit": 50}),
            "ledger": info["ledger"],
            "instance": info["instance"],
            "score": view(reputation, "get_reputation", {"account": "carol.near"})["version"],
        }

    def versions(self) -> list[int]:
        return [self.chain.view(name, "info")["state_version"] for name in CONTRACTS]

    async def keys_left(self) -> list[tuple[str, ...]]:
        return [await self.node.chain.near.full_access_keys(name) for name in CONTRACTS]


def brought_before(name: str) -> Code:
    data = (BEFORE / f"{name}-1.wasm").read_bytes()
    return Code(name, data, hashlib.sha256(data).hexdigest())


@asynccontextmanager
async def an_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str = "devchain"
) -> AsyncIterator[Operator]:
    """With a devchain that is taken for ``network``, and the keys of alice.near."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(devchain, "CHAIN_ID", network)
    async with open_devchain(protocol_version=NO_REWARD) as chain, a_proxy(chain.url) as proxy:
        monkeypatch.setenv("MYCEL_NEAR_RPC", proxy.url)
        monkeypatch.setenv("MYCEL_NEAR_NETWORK", network)
        if network in rpc.GENESIS:
            monkeypatch.setitem(rpc.GENESIS, network, to_base58(chain.chain.genesis_header.hash))  # type: ignore[arg-type]
        async with founder(tmp_path) as node:
            operator = Operator(node, chain, home, network, proxy)
            operator.keep(chain.wallets["alice.near"])
            yield operator
