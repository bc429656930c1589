"""The blocks of the chain: what a header says, and how blocks, epochs and their hashes follow from one another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mycel_simnet.near import tables
from mycel_simnet.near.borsh import U64, U128, Hash, encode
from mycel_simnet.near.keys import sha256
from mycel_simnet.near.types import Receipt

NO_HASH = bytes(32)
FINAL_DEPTH = 2  # a block is final when two have followed it


@dataclass(frozen=True)
class Header:
    """A block, as it is kept."""

    chain_id: str
    protocol_version: U64
    height: U64
    ordinal: U64  # how many blocks there were up to this one: heights have gaps where time was skipped
    timestamp: U64  # nanoseconds
    prev_hash: Hash
    prev_height: U64
    prev_state_root: Hash
    state_root: Hash
    outcome_root: Hash
    transactions: tuple[Hash, ...]
    gas_price: U128
    gas_used: U64
    balance_burnt: U128
    total_supply: U128
    outgoing: tuple[Receipt, ...]  # for the next block
    delayed: tuple[Receipt, ...]  # for the next block, before those
    genesis_height: U64
    last_final: Hash

    @cached_property
    def hash(self) -> bytes:
        """The block's name."""
        return sha256(encode(Header, self))

    @property
    def random(self) -> bytes:
        """What nobody could choose, were there more than one validator."""
        return sha256(b"random", self.prev_hash, self.height.to_bytes(8, "little"))

    @property
    def epoch_height(self) -> int:
        """Which epoch the block is in; the first is 1."""
        return epoch_of(self.height, self.genesis_height)

    @cached_property
    def chunk_hash(self) -> bytes:
        """The name of its only chunk."""
        return sha256(b"chunk", self.hash)


def epoch_of(height: int, genesis_height: int) -> int:
    """Which epoch a height is in."""
    return (height - genesis_height) // tables.EPOCH_LENGTH + 1


def epoch_id(chain_id: str, number: int) -> bytes:
    """The name of an epoch."""
    return sha256(b"epoch", chain_id.encode(), number.to_bytes(8, "little"))


def root(*parts: bytes) -> bytes:
    """A hash over a list: it changes with what it stands for, but is no Merkle root, and proves nothing."""
    return sha256(*parts) if parts else NO_HASH


def is_idle(header: Header) -> bool:
    """Is nothing left for the next block?"""
    return not header.outgoing and not header.delayed
