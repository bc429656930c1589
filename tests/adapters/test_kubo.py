"""The adapter against what is no Kubo, by each client: one clear sentence, soon, and little read."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from mycelnode.adapters.kubo import BLOCK_BYTES, open_ipfs
from mycelnode.errors import ConfigError, KuboRefused, KuboUnreachable, MycelError, Unsupported
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.ports import IpfsNode
from tests.adapters.server import (
    Act,
    a_server,
    answer,
    begun,
    chunk,
    dripping,
    endless,
    endless_plain,
    hasty,
    html,
    silent,
    told,
)

MIB = 1 << 20
SOON = 20.0  # seconds, on a loaded machine
PATIENCE = 0.5
READ_AHEAD = 48 * MIB  # what lies in buffers of sockets, and what answers may have
BLOCK = b"a block"
CID = Cid.of(RAW, BLOCK)
CLIENTS = ["httpx", "ipfshttpclient"]
OCTETS = "application/octet-stream"

Node = IpfsNode[Cid]
Call = Callable[[Node], Awaitable[object]]


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Zeros:
    """A source of ``size`` bytes, which counts what was taken."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.taken = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        size = min(self.left, MIB)
        self.left -= size
        self.taken += size
        return bytes(size)


async def cat(node: Node) -> bytes:
    async with node.cat(CID, 100 * MIB) as chunks:
        return b"".join([piece async for piece in chunks])


def stat(size: object, kind: str = "file") -> bytes:
    return told({"Hash": str(CID), "Size": size, "Type": kind})


def identity(node: Node) -> Awaitable[object]:
    return node.identity()


def pins(node: Node) -> Awaitable[object]:
    return node.pins()


def block_get(node: Node) -> Awaitable[object]:
    return node.block_get(CID)


def block_put(node: Node) -> Awaitable[object]:
    return node.block_put(CID, BLOCK)


def add(node: Node) -> Awaitable[object]:
    return node.add(Zeros(3 * MIB))


def add_much(node: Node) -> Awaitable[object]:
    return node.add(Zeros(64 * MIB))


def dag_import(node: Node) -> Awaitable[object]:
    return node.dag_import(Zeros(MIB))


DEEP = b"[" * 200_000
LINE = b'{"Cid":"bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e","Type":"recursive"}\n'
OTHER = str(Cid.of(RAW, b"another block"))
NO_KUBO = "is no Kubo"
WHO = {"ID": "12D3", "AgentVersion": "kubo/0.40.1", "Addresses": []}


@pytest.mark.parametrize(
    ("call", "acts", "sentence"),
    [
        pytest.param(identity, {}, NO_KUBO, id="404"),
        pytest.param(identity, {"id": html()}, NO_KUBO, id="html"),
        pytest.param(identity, {"id": html(500)}, NO_KUBO, id="500"),
        pytest.param(identity, {"id": answer(b"", status=204)}, NO_KUBO, id="204"),
        pytest.param(identity, {"id": answer(b"{}", "")}, NO_KUBO, id="of no kind"),
        pytest.param(identity, {"id": answer(b"not JSON")}, NO_KUBO, id="no JSON"),
        pytest.param(identity, {"id": answer(b"\xff\xfe{")}, NO_KUBO, id="no text"),
        pytest.param(identity, {"id": answer(DEEP)}, NO_KUBO, id="deep"),
        pytest.param(identity, {"id": answer(DEEP, status=500)}, NO_KUBO, id="a deep error"),
        pytest.param(identity, {"id": told([1])}, NO_KUBO, id="a list"),
        pytest.param(identity, {"id": told({})}, NO_KUBO, id="nothing in it"),
        pytest.param(identity, {"id": told({**WHO, "ID": 7})}, NO_KUBO, id="a number"),
        pytest.param(identity, {"id": told({**WHO, "Addresses": ["a\x1b[2J"]})}, NO_KUBO, id="an escape"),
        pytest.param(identity, {"id": told({**WHO, "Addresses": ["a"] * 1000})}, NO_KUBO, id="many addresses"),
        pytest.param(identity, {"id": endless(b" " * 60_000, begun())}, "more than", id="endless JSON"),
        pytest.param(
            identity,
            {"id": endless_plain(b" " * 60_000, answer(b"").replace(b"Length: 0", b"Length: 99999999999"))},
            "more than",
            id="endless JSON, announced",
        ),
        pytest.param(
            identity,
            {"id": endless_plain(b" " * 60_000, b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")},
            "more than",
            id="endless JSON, old",
        ),
        pytest.param(identity, {"id": endless(b" " * 60_000, begun(status=500))}, NO_KUBO, id="endless error"),
        pytest.param(
            identity, {"id": answer(b"x", "application/json", 200, "Content-Encoding: gzip")}, "compresses", id="gzip"
        ),
        pytest.param(
            identity,
            {"id": told({"Message": "no\x1b[2J\n" * 1000, "Code": 0, "Type": "error"}, 500)},
            r"^Kubo refused id: no \[2J no",
            id="an error with escapes",
        ),
        pytest.param(pins, {"pin/ls": endless(LINE[:-1] * 500, begun())}, "says too much", id="an endless line"),
        pytest.param(pins, {"pin/ls": told({"Cid": 5})}, NO_KUBO, id="a pin that is a number"),
        pytest.param(pins, {"pin/ls": told({"Message": "so", "Type": "error"})}, "refused pin/ls: so", id="late error"),
        pytest.param(
            block_get, {"block/get": endless(bytes(60_000), begun(OCTETS))}, "has more than", id="endless block"
        ),
        pytest.param(
            block_get,
            {"block/get": endless(bytes(8 * MIB), begun(OCTETS))},
            "has more than",
            id="a block in large chunks",
        ),
        pytest.param(block_get, {"block/get": answer(b"else", OCTETS)}, "not what that names", id="another block"),
        pytest.param(block_get, {"block/get": html()}, NO_KUBO, id="html for a block"),
        pytest.param(block_put, {"block/put": told({"Key": OTHER})}, "by another name", id="another name"),
        pytest.param(block_put, {"block/put": told({"Key": "x"})}, "names no CID", id="no name"),
        pytest.param(add, {"add": told({"Hash": None})}, NO_KUBO, id="no hash"),
        pytest.param(add, {"add": told({"Hash": "b" * 59})}, "names no CID", id="no CID"),
        pytest.param(
            dag_import,
            {"dag/import": told({"Root": {"Cid": {"/": OTHER}, "PinErrorMsg": "block missing"}})},
            "could not pin what it imported: block missing",
            id="a root not pinned",
        ),
        pytest.param(dag_import, {"dag/import": told({"Root": {"Cid": 3}})}, NO_KUBO, id="a root that is a number"),
        pytest.param(cat, {"files/stat": stat(1 << 60)}, "at most 104,857,600 are wanted", id="a long file"),
        pytest.param(cat, {"files/stat": stat(-1)}, "is no file", id="a negative size"),
        pytest.param(cat, {"files/stat": stat(True)}, "is no file", id="true bytes"),
        pytest.param(
            cat,
            {"files/stat": stat(100_000), "cat": endless(bytes(60_000), begun("text/plain"))},
            "more bytes for .* than it said",
            id="endless file",
        ),
    ],
)
async def test_it_is_refused(client: str, call: Call, acts: dict[str, bytes | Act], sentence: str) -> None:
    await expect(KuboRefused, sentence, client, call, acts, patience=SOON)


@pytest.mark.parametrize(
    ("call", "acts", "sentence"),
    [
        pytest.param(identity, {"id": b"SSH-2.0-OpenSSH_9.2\r\n"}, "speaks no HTTP", id="ssh"),
        pytest.param(identity, {"id": b""}, "broke off", id="closed at once"),
        pytest.param(identity, {"id": answer(bytes(99))[:-50]}, "broke off", id="closed midway"),
        pytest.param(identity, {"id": begun() + chunk(b"{")}, "broke off", id="closed between chunks"),
        pytest.param(identity, {"id": answer(bytes(99), status=500)[:-50]}, "broke off", id="an error closed midway"),
        pytest.param(identity, {"id": begun(status=500) + b"zzz\r\n"}, "broke off", id="an error, no chunk"),
        pytest.param(
            identity, {"id": dripping(b" ", begun(status=500), 0.02)}, "took too long", id="an error that drips"
        ),
        pytest.param(identity, {"id": begun() + b"zzz\r\n"}, "broke off", id="no chunk"),
        pytest.param(identity, {"id": silent}, "took too long for id", id="silent"),
        pytest.param(identity, {"id": dripping(b" ", begun(), 0.02)}, "took too long for id", id="dripping"),
        pytest.param(
            identity,
            {"id": endless_plain(b"X-Such: such\r\n" * 1000, b"HTTP/1.1 200 OK\r\n")},
            "broke off, or speaks no HTTP",
            id="endless head",
        ),
        pytest.param(add_much, {"add": silent}, "took too long for add", id="does not read"),
        pytest.param(
            cat,
            {"files/stat": stat(100), "cat": answer(bytes(50), "text/plain")},
            "broke off 50 bytes before the end",
            id="a file that ends early",
        ),
        pytest.param(
            cat,
            {"files/stat": stat(MIB), "cat": dripping(b"x", begun("text/plain"), 0.02)},
            "took too long for cat",
            id="a file that drips",
        ),
    ],
)
async def test_it_is_unreachable(client: str, call: Call, acts: dict[str, bytes | Act], sentence: str) -> None:
    await expect(KuboUnreachable, sentence, client, call, acts, patience=PATIENCE)


async def expect(
    kind: type[MycelError], sentence: str, client: str, call: Call, acts: dict[str, bytes | Act], patience: float
) -> None:
    async with a_node(client, acts, patience) as (node, sent):
        with trio.fail_after(SOON):
            with pytest.raises(kind, match=sentence) as caught:
                await call(node)
            assert str(caught.value).isprintable()
            assert len(str(caught.value)) < 500
            assert sent() < READ_AHEAD


@asynccontextmanager
async def a_node(
    client: str, acts: dict[str, bytes | Act], patience: float = SOON
) -> AsyncIterator[tuple[Node, Callable[[], int]]]:
    async with (
        a_server(**{command.replace("/", "_"): act for command, act in acts.items()}) as server,
        open_ipfs(server.url, client, patience) as node,
    ):
        yield node, lambda: server.sent


async def test_no_redirect_is_followed(client: str) -> None:
    async with a_server(id=told(WHO)) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            here = answer(b"", "text/plain", status, f"Location: {elsewhere.url}/api/v0/id")
            await expect(KuboRefused, "sends us elsewhere", client, identity, {"id": here}, SOON)
        assert elsewhere.asked == []


async def test_nobody_there(client: str) -> None:
    async with a_server() as server:
        pass
    async with open_ipfs(server.url, client) as node:
        with trio.fail_after(SOON), pytest.raises(KuboUnreachable, match="is the Kubo daemon running"):
            await node.identity()


async def test_an_early_answer_ends_an_upload(client: str) -> None:
    source = Zeros(64 * MIB)
    async with a_node(client, {"add": hasty(html(413))}, patience=5.0) as (node, _):
        with trio.fail_after(SOON), pytest.raises((KuboRefused, KuboUnreachable)):
            await node.add(source)


async def test_a_slow_reader_of_a_file_is_no_slow_kubo(client: str) -> None:
    data = bytes(200_000)
    acts: dict[str, bytes | Act] = {"files/stat": stat(len(data)), "cat": answer(data, "text/plain")}
    async with a_node(client, acts, 2.0) as (node, _), node.cat(CID, len(data)) as chunks:
        found = await anext(chunks)
        await trio.sleep(3.0)  # longer than a Kubo might take
        assert found + b"".join([piece async for piece in chunks]) == data


async def test_giving_up_midway_leaves_nothing_open(client: str) -> None:
    acts: dict[str, bytes | Act] = {"files/stat": stat(10 * MIB), "cat": endless(bytes(60_000), begun("text/plain"))}
    async with a_node(client, acts) as (node, _):
        with trio.fail_after(SOON):
            for _ in range(10):  # more often than it has connections
                async with node.cat(CID, 10 * MIB) as chunks:
                    assert await anext(chunks)


async def test_a_block_of_the_largest_size_is_taken(client: str) -> None:
    block = bytes(BLOCK_BYTES)
    async with a_node(client, {"block/get": answer(block, OCTETS)}) as (node, _):
        assert await node.block_get(Cid.of(RAW, block)) == block


async def test_unpinning_what_is_not_pinned_is_no_error(client: str) -> None:
    no = told({"Message": "not pinned or pinned indirectly", "Code": 0, "Type": "error"}, 500)
    async with a_node(client, {"pin/rm": no}) as (node, _):
        await node.unpin(CID)


async def test_pins_of_another_kind_are_left_out(client: str) -> None:
    lines = (
        begun()
        + chunk(LINE[:20])
        + chunk(LINE[20:] + b'{"Cid":"zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA"}\n\n')
    )
    async with a_node(client, {"pin/ls": lines + chunk(LINE[:-1]) + b"0\r\n\r\n"}) as (node, _):
        assert len(await node.pins()) == 1


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:99999", "http://:1"])
async def test_an_address_that_is_none(client: str, url: str) -> None:
    with pytest.raises(KuboUnreachable, match=r"address|answers at"):
        async with open_ipfs(url, client) as node:
            await node.identity()


async def test_a_client_that_is_not_known_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="one of httpx, ipfshttpclient"):
        async with open_ipfs("http://127.0.0.1:1", "curl"):
            pass
    monkeypatch.setitem(sys.modules, "ipfshttpclient", None)
    with pytest.raises(Unsupported, match="pip install"):
        async with open_ipfs("http://127.0.0.1:1", "ipfshttpclient"):
            pass
