"""A local NEAR chain with funded accounts: for `mycelnode chain devchain`, and for tests and demos in this process.

>>> async with open_devchain() as chain:
...     alice = await chain.create_account("alice", 10 * NEAR)
...     shop = await chain.create_account("shop")
...     await chain.deploy(shop, wasm, "new", {"owner": alice.account_id})
...     outcome = await chain.call(alice, shop, "buy", {"id": 1}, deposit=NEAR)
...     await chain.fast_forward(seconds=3600)

Others reach the same chain at ``chain.url``.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mycel_simnet.near import finality, rpc
from mycel_simnet.near.chain import BLOCK_NANOSECONDS, Chain
from mycel_simnet.near.errors import CallFailed
from mycel_simnet.near.keys import KeyPair, parse_secret, sha256, to_base58
from mycel_simnet.near.node import Node
from mycel_simnet.near.rpc_query import view_call
from mycel_simnet.near.server import LOOPBACK, serving
from mycel_simnet.near.state import access_key_of, account_of
from mycel_simnet.near.store import Store
from mycel_simnet.near.tables import PROTOCOL_VERSION
from mycel_simnet.near.types import (
    AccessKey,
    Action,
    AddKey,
    CreateAccount,
    DeployContract,
    FullAccess,
    FunctionCall,
    Json,
    SignedTransaction,
    Transaction,
    Transfer,
)
from mycelnode.background import open_background
from mycelnode.paths import make_private_folder, write_durably

NEAR = 10**24  # yoctoNEAR
TERAGAS = 10**12
CHAIN_ID = "devchain"
ROOT = "root.near"
ACCOUNTS = {ROOT: 1_000_000 * NEAR, **dict.fromkeys(("alice.near", "bob.near", "carol.near"), 10_000 * NEAR)}
CREDENTIALS = "near-credentials"  # the folder of key files, laid out as NEAR's tools do it in ~/.near-credentials
CALL_GAS = 100 * TERAGAS
NEW_BALANCE = 100 * NEAR


class TransactionFailed(Exception):
    """The transaction was carried out and failed; ``outcome`` is what RPCs answer for it."""

    def __init__(self, outcome: Json) -> None:
        super().__init__(json.dumps(outcome["status"]))
        self.outcome = outcome


@dataclass(frozen=True)
class Wallet:
    """An account and a key that may do everything with it."""

    account_id: str
    key: KeyPair


class Devchain:
    """The chain of this process; made by `open_devchain`."""

    def __init__(self, node: Node, keys: Mapping[str, KeyPair], folder: Path | None) -> None:
        self.node, self.chain, self.folder = node, node.chain, folder
        self.url = ""
        self.wallets = {account_id: Wallet(account_id, key) for account_id, key in keys.items()}
        self._made = 0  # keys

    @property
    def root(self) -> Wallet:
        """The account that has the most, and below which new ones are made."""
        return self.wallets[ROOT]

    def key_file(self, account_id: str) -> Path | None:
        """Where the key of a funded account is, if the chain has a folder."""
        return None if self.folder is None else _key_file(self.folder, account_id)

    # --- transactions ---

    def sign(self, signer: Wallet, receiver_id: str, actions: Iterable[Action]) -> SignedTransaction:
        """A transaction that could be sent now."""
        key = access_key_of(self.chain.ledger, signer.account_id, signer.key.public)
        nonce = 1 if key is None else key.nonce + 1
        block_hash = self.chain.final.hash
        transaction = Transaction(signer.account_id, signer.key.public, nonce, receiver_id, block_hash, tuple(actions))
        return SignedTransaction(transaction, signer.key.sign(transaction.hash))

    async def send(self, signer: Wallet, receiver_id: str, *actions: Action, wait_until: str = "FINAL") -> Json:
        """Send a transaction and wait; what came of it, as RPCs answer it.

        Raises `errors.InvalidTransaction` if it is refused. That it failed is not raised.
        """
        signed = self.sign(signer, receiver_id, actions)
        self.chain.submit(signed)
        found = await self.node.wait(signed.transaction.hash, wait_until)
        self.chain.sync()
        return None if found is None else finality.answer(self.chain, found)

    async def _sent(self, signer: Wallet, receiver_id: str, *actions: Action) -> Json:
        outcome = await self.send(signer, receiver_id, *actions)
        if "Failure" in outcome["status"]:
            raise TransactionFailed(outcome)
        return outcome

    async def call(
        self,
        signer: Wallet,
        contract: Wallet | str,
        method: str,
        args: Json = None,
        *,
        deposit: int = 0,
        gas: int = CALL_GAS,
    ) -> Json:
        """Call a method; what came of it, as RPCs answer it. Raises `TransactionFailed`."""
        action = FunctionCall(method, _arguments(args), gas, deposit)
        return await self._sent(signer, _id(contract), action)

    # --- accounts ---

    def new_key(self) -> KeyPair:
        """A key that no account has; the same ones in every new chain."""
        self._made += 1
        return KeyPair(sha256(self.chain.genesis_header.hash, self._made.to_bytes(8, "little")))

    async def create_account(self, name: str, balance: int = NEW_BALANCE) -> Wallet:
        """Make ``name`` below the root account, or any name below an account whose wallet is known here."""
        account_id = name if "." in name else f"{name}.{ROOT}"
        parent, wallet = self.wallets[account_id.partition(".")[2]], Wallet(account_id, self.new_key())
        add = AddKey(wallet.key.public, AccessKey(0, FullAccess()))
        await self._sent(parent, account_id, CreateAccount(), Transfer(balance), add)
        self.wallets[account_id] = wallet
        return wallet

    async def deploy(self, wallet: Wallet, code: bytes, init: str = "", args: Json = None) -> Json:
        """Put a contract on an account and call ``init`` in the same transaction. Raises `TransactionFailed`."""
        actions: list[Action] = [DeployContract(code)]
        if init:
            actions.append(FunctionCall(init, _arguments(args), CALL_GAS, 0))
        return await self._sent(wallet, wallet.account_id, *actions)

    # --- looking ---

    def balance(self, account: Wallet | str) -> int:
        """What an account has, in yoctoNEAR; 0 if there is none."""
        found = account_of(self.chain.ledger, _id(account))
        return 0 if found is None else found.amount

    def view(self, contract: Wallet | str, method: str, args: Json = None) -> Json:
        """Call a method that only looks, on the newest block; its JSON. Raises `errors.CallFailed`."""
        account_id, chain = _id(contract), self.chain
        account = account_of(chain.ledger, account_id)
        if account is None:
            raise CallFailed(None, f"account {account_id} does not exist")
        state = chain.state_at(chain.head)
        outcome = view_call(chain, chain.head, state, account_id, account, method, _arguments(args))
        if outcome.error is not None:
            raise outcome.error
        assert isinstance(outcome.returned, bytes)
        return json.loads(outcome.returned)

    # --- time ---

    async def fast_forward(self, *, blocks: int = 0, seconds: int | None = None) -> None:
        """Let blocks and seconds pass: a second a block unless said otherwise. Raises `chain.TooFar`."""
        nanoseconds = blocks * BLOCK_NANOSECONDS if seconds is None else seconds * 10**9
        self.chain.skip(blocks or 3, nanoseconds)
        self.node.tell()

    def step(self, blocks: int = 1) -> None:
        """Make so many blocks now: with ``block_seconds`` infinite, nobody else does."""
        for _ in range(blocks):
            self.chain.produce()
        self.chain.sync()
        self.node.tell()

    def snapshot(self) -> sqlite3.Connection:
        """The chain as it is, for `restore`."""
        self.chain.settle()
        return self.chain.copy()

    def restore(self, snapshot: sqlite3.Connection) -> None:
        """Make the chain what it was."""
        self.chain.put_back(snapshot)
        self.node.tell()


def _id(account: Wallet | str) -> str:
    return account if isinstance(account, str) else account.account_id


def _arguments(args: Json) -> bytes:
    return args if isinstance(args, bytes) else json.dumps({} if args is None else args).encode()


def _key_file(folder: Path, account_id: str) -> Path:
    return folder / CREDENTIALS / CHAIN_ID / f"{account_id}.json"


def write_key_file(path: Path, wallet: Wallet) -> None:
    """Write an account's key as NEAR's tools do, readable by its owner only."""
    make_private_folder(path.parent)
    key = wallet.key
    shown = {"account_id": wallet.account_id, "public_key": key.public_text, "private_key": key.secret_text}
    write_durably(path, json.dumps(shown).encode())


def _keys(folder: Path | None, accounts: Iterable[str], random: Callable[[int], bytes]) -> dict[str, KeyPair]:
    """The keys of the funded accounts: from their files, which are written first if there are none."""
    keys = {}
    for account_id in accounts:
        if folder is None:
            keys[account_id] = KeyPair(sha256(account_id.encode()))
            continue
        path = _key_file(folder, account_id)
        if not path.exists():
            write_key_file(path, Wallet(account_id, KeyPair(random(32))))
        keys[account_id] = parse_secret(json.loads(path.read_bytes())["private_key"])
    return keys


@asynccontextmanager
async def open_devchain(
    folder: Path | None = None,
    *,
    port: int = 0,
    block_seconds: float = 0.0,
    protocol_version: int = PROTOCOL_VERSION,
    clock: Callable[[], int] = time.time_ns,
    random: Callable[[int], bytes] = os.urandom,
    heard: Callable[[bytes], None] = lambda body: None,
) -> AsyncIterator[Devchain]:
    """The chain in ``folder``, begun if there is none yet; without a folder a new one that is forgotten when the block is left.

    Its RPC listens on loopback, on ``port`` or on a free one. A block is made as soon as there is something to do, or
    ``block_seconds`` later; with `math.inf` only when `Devchain.step` is called. ``protocol_version`` is that of a
    chain that begins. ``clock`` tells nanoseconds. ``heard`` is told the body of each request.
    """
    if folder is not None:
        make_private_folder(folder)
    store = Store(None if folder is None else folder / "chain.sqlite")
    try:
        chain = Chain(store, clock)
        keys = _keys(folder, ACCOUNTS, random)
        if not chain.exists:
            chain.genesis(
                CHAIN_ID, {name: (keys[name].public, amount) for name, amount in ACCOUNTS.items()}, protocol_version
            )
        node = Node(chain, block_seconds)
        devchain = Devchain(node, keys, folder)

        async def answer(body: bytes) -> tuple[int, bytes]:
            heard(body)
            return await rpc.answer(node, body)

        async with serving(answer, port) as bound, open_background() as nursery:
            nursery.start_soon(node.run)
            devchain.url = f"http://{LOOPBACK}:{bound}"
            yield devchain
    finally:
        store.close()


def ready_line(devchain: Devchain) -> dict[str, Any]:
    """What the command prints when the chain is ready."""
    return {
        "ready": True,
        "url": devchain.url,
        "chain_id": devchain.chain.chain_id,
        "genesis_hash": to_base58(devchain.chain.genesis_header.hash),
        "keys": {account_id: str(devchain.key_file(account_id)) for account_id in devchain.wallets},
    }
