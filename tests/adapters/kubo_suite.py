"""What mycelnode relies on in a Kubo, so that its twin in memory is held to the same as the real one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from mycelnode.errors import KuboRefused
from mycelnode.patterns.cid import DAG_CBOR, RAW, Cid
from mycelnode.patterns.dagcbor import encode
from mycelnode.ports import IpfsNode
from mycelnode.protobuf import varint


def a_block(**said: object) -> tuple[Cid, bytes]:
    """One that was never there before."""
    block = encode({"salt": random.randbytes(8), **said})
    return Cid.of(DAG_CBOR, block), block


async def a_car(root: Cid, *sections: tuple[Cid, bytes]) -> AsyncIterator[bytes]:
    """With one root."""
    header = encode({"roots": [root], "version": 1})
    yield varint(len(header)) + header
    for cid, block in sections:
        yield varint(len(cid.binary) + len(block)) + cid.binary + block


async def a_block_is_pinned_alone(node: IpfsNode[Cid]) -> None:
    """However much it names that nobody has."""
    cid, block = a_block(other=Cid.of(RAW, b"nobody has this"))
    await node.block_put(cid, block)
    assert not await node.is_pinned(cid)
    await node.pin(cid, recursive=False)
    assert await node.is_pinned(cid)
    assert cid not in await node.pins()
    await node.unpin(cid)
    assert not await node.is_pinned(cid)


async def pins_are_known_by_their_names(node: IpfsNode[Cid]) -> None:
    """Whatever kind they are; and others' are not."""
    start = f"mycelnode:{random.randbytes(4).hex()}:"
    pinned = [a_block() for _ in range(4)]
    names = [start + "one", start + "two", f"x{start}three", ""]
    for (cid, block), name, recursive in zip(pinned, names, (True, False, True, True), strict=True):
        await node.block_put(cid, block)
        await node.pin(cid, recursive=recursive, name=name)
    assert await node.named_pins(start) == {pinned[0][0]: names[0], pinned[1][0]: names[1]}
    await node.pin(pinned[0][0])  # by somebody, who thereby makes it theirs
    assert await node.named_pins(start) == {pinned[1][0]: names[1]}
    for cid, _ in pinned:
        await node.unpin(cid)
    assert await node.named_pins(start) == {}


async def what_is_pinned_with_all_below_is_not_pinned_alone(node: IpfsNode[Cid]) -> None:
    """Which is why it is asked before."""
    cid, block = a_block()
    await node.block_put(cid, block)
    await node.pin(cid)
    with pytest.raises(KuboRefused, match="already pinned recursively"):
        await node.pin(cid, recursive=False)
    await node.unpin(cid)


async def a_car_is_taken_unpinned(node: IpfsNode[Cid]) -> None:
    """And pinned once all of it is there."""
    leaf, leaf_block = a_block()
    root, root_block = a_block(below=leaf)
    car = a_car(root, (root, root_block), (leaf, leaf_block))
    assert await node.dag_import(car, pin=False) == ()
    assert not await node.is_pinned(root)
    assert await node.block_get(leaf) == leaf_block
    await node.pin(root, name="mycelnode:it")
    assert root in await node.pins()


async def what_nobody_has_is_given_up(node: IpfsNode[Cid]) -> None:
    """In the time that was said, by Kubo itself, so that nothing is left behind."""
    with pytest.raises(KuboRefused, match="context deadline exceeded"):
        await node.block_get(a_block()[0], seconds=0.5)


SUITE = (
    a_block_is_pinned_alone,
    pins_are_known_by_their_names,
    what_is_pinned_with_all_below_is_not_pinned_alone,
    a_car_is_taken_unpinned,
    what_nobody_has_is_given_up,
)
