"""A walk over a DAG visits each block once, and no more than it may."""

from __future__ import annotations

import hashlib
import random

import pytest

from mycelnode.errors import CidRefused, DagRefused
from mycelnode.protocols.dag_walk import DagWalk


def cid_of(data: bytes, codec: int = 0x55) -> bytes:
    return bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(data).digest()


def tree(store: dict[bytes, bytes], *children: bytes) -> bytes:
    block = b"".join(children)
    store[cid_of(block, 0x71)] = block
    return cid_of(block, 0x71)


def walked(root: bytes, store: dict[bytes, bytes], max_blocks: int = 100, max_bytes: int = 10**6) -> DagWalk:
    def links(cid: bytes, block: bytes) -> list[bytes]:
        return [block[at : at + 36] for at in range(0, len(block), 36)]

    walk = DagWalk(root, links, max_blocks, max_bytes)
    while (name := walk.next()) is not None:
        walk.take(name, len(store[name]), store[name])
        walk.ended(name)
    assert walk.over
    return walk


def test_each_block_of_a_dag_is_visited_once() -> None:
    """A DAG of thirty levels, each naming the one below twice: a thousand million paths, and 31 blocks."""
    store = {cid_of(b"leaf"): b"leaf"}
    root = cid_of(b"leaf")
    for _ in range(30):
        root = tree(store, root, root)
    assert walked(root, store).blocks == 31


def test_a_dag_beyond_its_bounds_is_refused() -> None:
    store = {cid_of(block): block for block in (random.Random(number).randbytes(1000) for number in range(50))}
    root = tree(store, *store)
    assert walked(root, store, 51, 52_000).size == 50_000 + 50 * 36
    with pytest.raises(DagRefused, match="blocks"):
        walked(root, store, max_blocks=50)
    with pytest.raises(DagRefused, match="bytes"):
        walked(root, store, max_bytes=51_000)


def test_a_dag_that_cannot_be_read_is_refused() -> None:
    def links(cid: bytes, block: bytes) -> list[bytes]:
        raise CidRefused("no")

    walk = DagWalk(cid_of(b"x", 0x71), links, 10, 10)
    with pytest.raises(DagRefused, match="cannot be read"):
        walk.take(cid_of(b"x", 0x71), 1, b"x")
    walk = DagWalk(cid_of(b"x", 0x71), lambda cid, block: [bytes(36)], 10, 10)
    with pytest.raises(DagRefused, match="a kind"):
        walk.take(cid_of(b"x", 0x71), 1, b"x")
