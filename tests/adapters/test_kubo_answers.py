"""Whatever the answer, however it is cut: a value, or one of the two errors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import trio
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.adapters.kubo import KuboNode
from mycelnode.adapters.transport import Upload
from mycelnode.errors import KuboRefused, KuboUnreachable
from mycelnode.patterns.cid import RAW, Cid

BLOCK = b"a block"
CID = Cid.of(RAW, BLOCK)
NAMES = ["ID", "Addresses", "AgentVersion", "Hash", "Key", "Type", "Size", "Cid", "/", "Root", "PinErrorMsg", "Message"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([str(CID), "file", "error", "", "12D3", "kubo/0.40.1"])
    | st.text(max_size=20),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(NAMES), below, max_size=6),
    max_leaves=12,
)
BODIES = st.binary(max_size=200) | st.lists(VALUES, max_size=4).map(
    lambda values: b"\n".join(json.dumps(value).encode() for value in values)
)


class Said:
    """A transport and all its answers: ``chunks``."""

    content_type = "application/json"

    def __init__(self, chunks: list[bytes]) -> None:
        self.all, self.left = chunks, chunks

    async def post(self, command: str, params: Mapping[str, str], upload: Upload | None) -> Said:
        if upload:
            assert b"".join([chunk async for chunk in upload.chunks]).endswith(b"--\r\n")
        self.left = list(self.all)
        return self

    async def read(self) -> bytes:
        return self.left.pop(0) if self.left else b""

    async def aclose(self) -> None:
        pass


class Nothing:
    def __aiter__(self) -> Nothing:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


async def cat(node: KuboNode) -> bytes:
    async with node.cat(CID, 1000) as chunks:
        return b"".join([chunk async for chunk in chunks])


@given(body=BODIES, cuts=st.lists(st.integers(1, 200), max_size=5))
def test_any_answer_is_taken_or_refused(body: bytes, cuts: list[int]) -> None:
    edges = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    chunks = [body[start:end] for start, end in itertools.pairwise(edges)]

    async def ask() -> None:
        node = KuboNode(Said(chunks))
        for call, kind in (
            (node.identity, object),
            (node.pins, frozenset),
            (lambda: node.add(Nothing()), Cid),
            (lambda: node.dag_import(Nothing()), tuple),
            (lambda: node.block_put(CID, BLOCK), type(None)),
            (lambda: node.block_get(CID), bytes),
            (lambda: node.pin(CID), type(None)),
            (lambda: node.unpin(CID), type(None)),
            (lambda: cat(node), bytes),
        ):
            try:
                found: Any = await call()
            except (KuboRefused, KuboUnreachable) as error:
                assert str(error).isprintable()  # noqa: PT017
            else:
                assert isinstance(found, kind)

    trio.run(ask)


@given(
    st.lists(st.sampled_from([b"\n", b" \n", json.dumps({"Cid": str(CID)}).encode() + b"\n"]), max_size=9), st.data()
)
def test_lines_are_lines_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    body = b"".join(lines)
    cuts = data.draw(st.sets(st.integers(0, len(body)), max_size=6))
    edges = sorted({0, len(body), *cuts})
    chunks = [body[start:end] for start, end in itertools.pairwise(edges)]

    async def ask() -> frozenset[Cid]:
        return await KuboNode(Said(chunks)).pins()

    assert trio.run(ask) == (frozenset({CID}) if any(b"Cid" in line for line in lines) else frozenset())
