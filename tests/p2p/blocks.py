"""Blocks, a store of them in memory, and a small kind of DAG, for the tests of Bitswap."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

from mycelnode.errors import EncodingError

RAW, NODE = 0x55, 0x71


def cid_of(block: bytes, codec: int = RAW) -> bytes:
    return bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(block).digest()


def random_block(size: int, number: int = 0) -> bytes:
    return random.Random(number).randbytes(size)


class Blocks(dict[bytes, bytes]):
    """A `BlockStore`; ``puts`` are what was put into it, in that order."""

    def __init__(self, blocks: Iterable[bytes] = ()) -> None:
        super().__init__({cid_of(block): block for block in blocks})
        self.puts = list[bytes]()

    def size(self, cid: bytes) -> int | None:
        return len(self[cid]) if cid in self else None

    def put(self, cid: bytes, block: bytes) -> None:
        assert cid == cid_of(block, cid[1])
        self[cid] = block
        self.puts.append(cid)


def links(cid: bytes, block: bytes) -> list[bytes]:
    """What a `node` names."""
    if len(block) % 36:
        raise EncodingError("not a node")
    return [block[at : at + 36] for at in range(0, len(block), 36)]


def node(children: Iterable[bytes]) -> bytes:
    return b"".join(children)


def a_dag(store: Blocks, leaves: int, leaf_bytes: int, fan_out: int = 174, seed: int = 0) -> bytes:
    """Put a tree of random leaves into the store; returns the root's CID."""
    level = []
    for number in range(leaves):
        block = random.Random(f"{seed} {number}").randbytes(leaf_bytes)
        level.append(cid_of(block))
        store[level[-1]] = block
    while True:
        parents = []
        for at in range(0, len(level), fan_out):
            block = node(level[at : at + fan_out])
            parents.append(cid_of(block, NODE))
            store[parents[-1]] = block
        level = parents
        if len(level) == 1:
            return level[0]
