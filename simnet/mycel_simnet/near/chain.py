"""The chain: takes transactions, makes blocks while there is something to do, and remembers what came of it.

Nothing here waits: who wants to, asks `Chain.produce` for blocks until what it waits for has happened. `Chain.sync` makes all of it
durable, and is called before anybody is told anything.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mycel_simnet.near import borsh, tables
from mycel_simnet.near.actions import Block
from mycel_simnet.near.blocks import FINAL_DEPTH, NO_HASH, Header, epoch_of, is_idle, root
from mycel_simnet.near.errors import InvalidTransaction
from mycel_simnet.near.keys import Ed25519, sha256
from mycel_simnet.near.runtime import Outcome, Runtime, Written
from mycel_simnet.near.state import ACCOUNT, KEY, Change, Key, Ledger, Overlay, State, key_name, to_bytes
from mycel_simnet.near.store import Store
from mycel_simnet.near.types import NO_CODE, AccessKey, Account, FullAccess, Json, Receipt, SignedTransaction
from mycel_simnet.near.verify import charge, check_form
from mycel_simnet.near.views import outcome_view

GENESIS_HEIGHT = 100_000_000  # far enough that nonces have room (nonce < height · 10⁶), as on the networks
BLOCK_NANOSECONDS = 1_000_000_000  # between blocks that are skipped
FORGETTING = 5 * tables.EPOCH_LENGTH  # blocks after which a node knows no transaction any more
MAX_QUEUE = 10_000  # transactions that wait for a block
MAX_SKIPPED = 100_000_000  # blocks at once
MAX_TIME = 18 * 10**18  # nanoseconds: the year 2540, ten years and more before headers could not hold the time any more
MAX_HEIGHT = 10**12  # nonces of new keys are millions of times that, in 8 bytes


class TooFar(Exception):
    """Time cannot pass so far that nothing could be written down any more."""

    def __init__(self) -> None:
        super().__init__(f"time passes up to the year 2540, and blocks up to {MAX_HEIGHT:,}")


class QueueFull(Exception):
    """More transactions wait for a block than this chain takes."""


@dataclass(frozen=True)
class Known:
    """A transaction that is in a block."""

    signed: SignedTransaction
    height: int


class Chain:
    """One chain, kept in ``store``; `genesis` begins one where there is none yet."""

    def __init__(self, store: Store, clock: Callable[[], int] = time.time_ns) -> None:
        self.store, self._clock = store, clock
        self.ledger = Ledger()
        self.chain_id = ""
        self.genesis_header: Header
        self.head: Header
        self._hashes: dict[bytes, int] = {}  # of all blocks → their heights
        self._recent: list[Header] = []  # the head and those that are not final, and the one that is
        self._queue: dict[bytes, SignedTransaction] = {}
        self._skew = 0  # nanoseconds that were skipped
        self._load()

    # --- beginning ---

    @property
    def exists(self) -> bool:
        """Has it begun?"""
        return bool(self._hashes)

    def genesis(
        self,
        chain_id: str,
        accounts: Mapping[str, tuple[Ed25519, int]],
        protocol_version: int = tables.PROTOCOL_VERSION,
    ) -> None:
        """Begin: account id → its first key and what it has."""
        changes = []
        for account_id, (public_key, amount) in accounts.items():
            name, key = key_name(public_key), AccessKey(0, FullAccess())
            usage = tables.ACCOUNT_BYTES + len(name) + len(borsh.encode(AccessKey, key)) + tables.RECORD_BYTES
            account = Account(amount, 0, NO_CODE, usage)
            changes.append(Change(Key(ACCOUNT, account_id, b""), None, account))
            changes.append(Change(Key(KEY, account_id, name), None, key))
        for change in changes:
            self.ledger.put(*change.key, change.new)
        supply = sum(amount for _, amount in accounts.values())
        written = [Written({"type": "initial_state"}, changes)]
        header = Header(
            chain_id=chain_id,
            protocol_version=protocol_version,
            height=GENESIS_HEIGHT,
            ordinal=1,
            timestamp=self._clock(),
            prev_hash=NO_HASH,
            prev_height=0,
            prev_state_root=NO_HASH,
            state_root=_state_root(NO_HASH, written),
            outcome_root=NO_HASH,
            transactions=(),
            gas_price=tables.GAS_PRICE,
            gas_used=0,
            balance_burnt=0,
            total_supply=supply,
            outgoing=(),
            delayed=(),
            genesis_height=GENESIS_HEIGHT,
            last_final=NO_HASH,
        )
        self.store.add_block(header, written, (), (), ())
        self._append(header)
        for _ in range(FINAL_DEPTH):
            self.produce()
        self.sync()

    def _load(self) -> None:
        self.ledger = Ledger()
        self._hashes, self._recent = {}, []
        self._queue.clear()
        self._skew = int(self.store.meta("skew") or 0)
        for header in self.store.headers():
            self._append(header)
        for key, value in self.store.state():
            self.ledger.put(*key, value)

    def _append(self, header: Header) -> None:
        if not self._hashes:
            self.genesis_header, self.chain_id = header, header.chain_id
        self.head = header
        self._hashes[header.hash] = header.height
        self._recent = [*self._recent, header][-FINAL_DEPTH - 1 :]

    # --- blocks ---

    @property
    def final(self) -> Header:
        """The newest block that nothing can undo."""
        return self._recent[0]

    @property
    def busy(self) -> bool:
        """Is there something that another block would bring forward?"""
        idle = all(is_idle(header) and not header.transactions for header in self._recent[1:])
        return bool(self._queue) or not idle or not is_idle(self._recent[0])

    def now(self) -> int:
        """The chain's time, in nanoseconds."""
        return self._clock() + self._skew

    def produce(self, height: int | None = None) -> Header:
        """The next block, with every transaction that waits; at ``height`` if blocks are skipped."""
        head = self.head
        height = head.height + 1 if height is None else height
        timestamp = max(self.now(), head.timestamp + 1)
        block = Block(
            height=height,
            timestamp=timestamp,
            gas_price=head.gas_price,
            epoch_height=epoch_of(height, head.genesis_height),
            random=sha256(b"random", head.hash, height.to_bytes(8, "little")),
            chain_id=self.chain_id,
            reward=tables.REWARDS[head.protocol_version],
        )
        runtime = Runtime(self.ledger, block)
        included = self._include(runtime)
        runtime.process((*head.delayed, *head.outgoing))
        outcomes = [(one.id, outcome_view(one)) for one in runtime.outcomes]
        header = Header(
            chain_id=self.chain_id,
            protocol_version=head.protocol_version,
            height=height,
            ordinal=head.ordinal + 1,
            timestamp=timestamp,
            prev_hash=head.hash,
            prev_height=head.height,
            prev_state_root=head.state_root,
            state_root=_state_root(head.state_root, runtime.written),
            outcome_root=root(*(name for name, _ in outcomes)),
            transactions=tuple(signed.transaction.hash for signed in included),
            gas_price=tables.GAS_PRICE,
            gas_used=runtime.gas_burnt,
            balance_burnt=max(-runtime.supply_change, 0),
            total_supply=head.total_supply + runtime.supply_change,
            outgoing=tuple(runtime.outgoing),
            delayed=tuple(runtime.delayed),
            genesis_height=head.genesis_height,
            last_final=self._recent[1 if len(self._recent) > FINAL_DEPTH else 0].hash,
        )
        signed_bytes = [(one.transaction.hash, borsh.encode(SignedTransaction, one)) for one in included]
        self.store.add_block(header, runtime.written, signed_bytes, outcomes, runtime.made)
        self._append(header)
        return header

    def _include(self, runtime: Runtime) -> list[SignedTransaction]:
        """Charge what waits, each key's by its nonces; what has become invalid since it came has that as its outcome."""
        waiting = sorted(self._queue.values(), key=lambda one: one.transaction.nonce)
        self._queue.clear()
        for signed in waiting:
            transaction = signed.transaction
            try:
                self._check_base(transaction.block_hash, runtime.block.height)
                runtime.convert(transaction)
            except InvalidTransaction as error:
                failure = {"InvalidTxError": error.json}
                runtime.outcomes.append(Outcome(transaction.hash, transaction.signer_id, (), 0, 0, failure=failure))
        return waiting

    def settle(self) -> None:
        """Make blocks until nothing is left to do."""
        while self.busy:
            self.produce()

    def sync(self) -> None:
        """Make durable what happened."""
        self.store.sync()

    def skip(self, blocks: int, nanoseconds: int) -> None:
        """Let time pass: the height grows by ``blocks``, of which the last three are made; the clock goes on by ``nanoseconds``.

        Raises `TooFar`.
        """
        if max(self.now(), self.head.timestamp) + nanoseconds > MAX_TIME or self.head.height + blocks > MAX_HEIGHT:
            raise TooFar
        self.settle()
        self._skew += nanoseconds
        self.store.note("skew", str(self._skew))
        target = self.head.height + blocks
        for height in range(max(target - FINAL_DEPTH, self.head.height + 1), target + 1):
            self.produce(height)
        self.sync()

    # --- transactions ---

    def submit(self, signed: SignedTransaction) -> None:
        """Take a transaction for the next block; one that is known already changes nothing.

        Raises `InvalidTransaction`, `QueueFull`.
        """
        transaction = signed.transaction
        if transaction.hash in self._queue or self.known(transaction.hash) is not None:
            return
        if len(self._queue) >= MAX_QUEUE:
            raise QueueFull
        height = self.head.height + 1
        self._check_base(transaction.block_hash, height)
        check_form(signed)
        charge(Overlay(self.ledger), transaction, height, self.head.gas_price)
        self._queue[transaction.hash] = signed

    def _check_base(self, block_hash: bytes, height: int) -> None:
        """Is the block that a transaction names one of this chain, and young enough?"""
        base = self._hashes.get(block_hash)
        if base is None or height - 1 > base + tables.VALIDITY_PERIOD:
            raise InvalidTransaction("Expired")

    def is_waiting(self, name: bytes) -> bool:
        """Does this transaction wait for a block?"""
        return name in self._queue

    def known(self, name: bytes) -> Known | None:
        """A transaction that is in a block, unless it is so old that nodes forget it."""
        found = self.store.transaction(name)
        if found is None or found[0] + FORGETTING < self.head.height:
            return None
        return Known(borsh.decode(SignedTransaction, found[1]), found[0])

    def outcome(self, name: bytes) -> tuple[Header, Json] | None:
        """Where a transaction or a receipt was carried out, and what came of it."""
        found = self.store.outcome(name)
        return None if found is None else (self.at(found[0]), found[1])

    def receipt(self, name: bytes) -> Receipt | None:
        """A receipt by its id."""
        return self.store.receipt(name)

    # --- looking ---

    def at(self, height: int) -> Header:
        """The block at a height; `KeyError` if there is none."""
        for header in self._recent:
            if header.height == height:
                return header
        found = self.store.header(height)
        if found is None:
            raise KeyError(height)
        return found

    def by_hash(self, block_hash: bytes) -> Header:
        """The block with this hash; `KeyError` if there is none."""
        return self.at(self._hashes[block_hash])

    def state_at(self, header: Header) -> State:
        """The state after a block, for looking only."""
        past = self.store.changed_since(header.height) if header.height < self.head.height else {}
        return Overlay(self.ledger, past)

    # --- copies ---

    def copy(self) -> sqlite3.Connection:
        """Everything, to be put back later."""
        return self.store.copy()

    def put_back(self, copy: sqlite3.Connection) -> None:
        """Be again what it was when ``copy`` was made."""
        self.store.put_back(copy)
        self._load()


def _state_root(before: bytes, written: list[Written]) -> bytes:
    """It changes with every record that changes. It is not the root of a trie."""
    parts = [before]
    for _, changes in written:
        for key, _, new in changes:
            value = b"" if new is None else to_bytes(key, new)
            parts.append(sha256(key.kind.encode(), b"\0", key.account.encode(), b"\0", key.name, b"\0", value))
    return sha256(*parts)
