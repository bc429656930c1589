"""Whatever comes over HTTP has an answer in the network's shape, and the chain goes on; there is no fault of its own in the log."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import trio

from mycel_simnet.near import rpc
from mycel_simnet.near.chain import TooFar
from mycel_simnet.near.devchain import NEAR, Devchain, open_devchain
from mycel_simnet.near.keys import to_base58
from mycel_simnet.near.types import Transfer
from tests.simnet.near.asking import Asker, base64_of
from tests.simnet.near.contracts import EVERYTHING

SECONDS = 15.0  # for one answer: nodes wait ten for a transaction
YEARS = 365 * 86_400
DEEP = 128
NAMES = {
    "HANDLER_ERROR": {-32000},
    "REQUEST_VALIDATION_ERROR": {-32700, -32601},
}


def nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


# of every type that JSON has, as it may be meant, and as it may not
GARBAGE: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    2**63,
    2**64,
    -(2**70),
    int("9" * 4000),
    "",
    "x",
    "\0",
    "\ud800",
    "☃" * 50,
    "1" * 32,
    "AAAA",
    "=" * 7,
    "a" * 100_000,
    [],
    [None],
    [[]],
    ["x", 1, {}],
    {},
    {"x": {"": None}},
    nested(DEEP // 2),
]


async def requests(chain: Devchain) -> dict[str, Sequence[dict[str, Any]]]:
    """Of each method that takes any, right parameters, by name. Without a block, where none is needed, the newest is meant."""
    shop = await chain.create_account("shop")
    await chain.deploy(shop, EVERYTHING)
    signed = chain.sign(chain.root, "alice.near", [Transfer(1)])
    await chain.send(chain.root, "bob.near", Transfer(1))
    header = chain.chain.head
    final, key = {"finality": "final"}, chain.root.key.public_text
    at = {"block_id": to_base58(chain.chain.final.hash)}
    ours = {"account_id": shop.account_id, **final}
    sent = {"signed_tx_base64": base64_of(signed), "wait_until": "FINAL"}
    known = {"tx_hash": to_base58(signed.transaction.hash), "sender_account_id": "root.near", "wait_until": "EXECUTED"}
    changed = {"changes_type": "account_changes", "account_ids": ["alice.near"], **at}
    keys = [{"account_id": "root.near", "public_key": key}]
    return {
        "query": [
            {"request_type": "view_account", "account_id": "alice.near", **at},
            {"request_type": "view_access_key", "account_id": "root.near", "public_key": key, **final},
            {"request_type": "view_access_key_list", "account_id": "root.near", **final},
            {"request_type": "view_code", **ours},
            {"request_type": "view_state", "prefix_base64": "", **ours},
            {"request_type": "call_function", "method_name": "echo", "args_base64": "e30=", **ours},
        ],
        "block": [at, final, {"sync_checkpoint": "genesis"}],
        "chunk": [{**at, "shard_id": 0}, {"chunk_id": to_base58(header.chunk_hash)}],
        **dict.fromkeys(
            ("changes", "EXPERIMENTAL_changes"),
            (
                changed,
                {"changes_type": "single_access_key_changes", "keys": keys, **at},
                {"changes_type": "data_changes", "account_ids": [shop.account_id], "key_prefix_base64": "", **at},
            ),
        ),
        **dict.fromkeys(("block_effects", "EXPERIMENTAL_changes_in_block"), (at,)),
        "gas_price": [at],
        "EXPERIMENTAL_protocol_config": [final],
        **dict.fromkeys(("status", "health", "network_info", "validators"), ({},)),
        **dict.fromkeys(("genesis_config", "EXPERIMENTAL_genesis_config"), ({},)),
        **dict.fromkeys(("send_tx", "broadcast_tx_commit", "broadcast_tx_async"), (sent,)),
        **dict.fromkeys(("tx", "EXPERIMENTAL_tx_status"), (known,)),
        "EXPERIMENTAL_receipt": [{"receipt_id": "1" * 32}],
        "sandbox_fast_forward": [{"delta_height": 3, "delta_seconds": 5}],
        "devchain_step": [{"blocks": 1}],
        "devchain_snapshot": [{}],
        "devchain_restore": [{"snapshot": 0}],
    }


def no_number(text: str) -> NoReturn:
    raise AssertionError(f"{text} is no JSON")


def shape(response: httpx.Response) -> dict[str, Any]:
    """An answer of JSON-RPC, which is a result, or an error as the network's nodes send it."""
    told: dict[str, Any] = json.loads(response.content, parse_constant=no_number)
    assert set(told) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}), told
    if "error" in told:
        error = told["error"]
        assert {"name", "cause", "code", "message", "data"} == set(error), error
        assert error["code"] in NAMES[error["name"]], error
        assert isinstance(error["cause"]["name"], str)
    assert response.status_code in (200, 400, 408, 422), told
    return told


@asynccontextmanager
async def an_open_chain(caplog: pytest.LogCaptureFixture) -> AsyncIterator[tuple[Devchain, httpx.AsyncClient]]:
    """A chain that goes on when all was asked, and has logged no fault of its own."""
    with caplog.at_level(logging.WARNING):
        async with open_devchain() as chain, httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
            yield chain, client
            before = chain.balance("carol.near")
            outcome = await chain.send(chain.root, "carol.near", Transfer(NEAR))
            assert "SuccessValue" in outcome["status"], "the chain goes on"
            assert chain.balance("carol.near") == before + NEAR
    assert [record.getMessage() for record in caplog.records] == []


def spoilt(right: dict[str, Any]) -> Iterator[Any]:
    """Parameters of which one is something else, or is not there, or all are."""
    yield from GARBAGE
    yield [right]
    for name in (*right, "finality", "wait_until", "blocks"):
        yield {key: value for key, value in right.items() if key != name}
        yield from ({**right, name: value} for value in GARBAGE)


async def test_every_field_of_every_method_may_be_anything(caplog: pytest.LogCaptureFixture) -> None:
    async with an_open_chain(caplog) as (chain, client):
        asked = await requests(chain)
        assert set(asked) == {*rpc._LOOKING, *rpc._WAITING}, "every method"
        await client.post(chain.url, json={"id": 1, "method": "devchain_snapshot", "params": {}})
        for method, examples in asked.items():
            for right in examples:
                for params in (right, *spoilt(right)):
                    body = json.dumps({"jsonrpc": "2.0", "id": "1", "method": method, "params": params}).encode()
                    told = shape(await client.post(chain.url, content=body))
                    assert told["id"] == "1"


async def test_every_field_of_a_request_may_be_anything(caplog: pytest.LogCaptureFixture) -> None:
    async with an_open_chain(caplog) as (chain, client):
        right = {"jsonrpc": "2.0", "id": "1", "method": "status", "params": []}
        for name in (*right, "more"):
            for value in GARBAGE:
                told = shape(await client.post(chain.url, content=json.dumps({**right, name: value}).encode()))
                if name == "id":
                    assert told["id"] == value
                assert ("error" in told) == (name == "method")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b'"status"',
        b'[{"method": "status", "id": 1}]',
        b'{"id": NaN, "method": "status"}',
        b'{"id": -Infinity, "method": "status"}',
        b'{"id": 1e999, "method": "status"}',
        b'{"id": 1, "method": "chunk", "params": {"block_id": 100000000, "shard_id": 1e999}}',
        b'{"id": %s, "method": "status"}' % (b"9" * 5000),
        *(b'{"id": %s1%s, "method": "status"}' % (b"[" * depth, b"]" * depth) for depth in (DEEP, 500, 985, 10**5)),
        *(b'{"id": %s1%s, "method": "status"}' % (b'{"":' * depth, b"}" * depth) for depth in (DEEP, 985, 10**5)),
    ],
    ids=lambda body: body[:50].decode("latin-1"),
)
async def test_what_is_no_request_is_refused(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with an_open_chain(caplog) as (chain, client):
        told = shape(await client.post(chain.url, content=body))
        assert told["error"]["cause"]["name"] == "PARSE_ERROR"
        assert told["id"] is None


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"])
async def test_other_verbs_have_an_answer(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with an_open_chain(caplog) as (chain, client):
        for path in ("/", "/status", "/nothing"):
            response = await client.request(verb, f"{chain.url}{path}", content=b"{}")
            assert response.status_code in (200, 204, 400), response
            if response.content:
                shape(response)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 100,
        b"A" * 100_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda data: data[:20].decode("latin-1"),
)
async def test_what_is_no_http_ends_nothing_but_its_connection(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with an_open_chain(caplog) as (chain, _):
        stream = await trio.open_tcp_stream("127.0.0.1", int(chain.url.rpartition(":")[2]))
        async with stream:
            with (
                trio.fail_after(SECONDS),
                suppress(trio.BrokenResourceError),
            ):  # it may hang up before it has read all of it
                await stream.send_all(data)
                await stream.send_eof()
                while await stream.receive_some(1 << 16):
                    pass


async def test_time_passes_only_as_far_as_it_can_be_written_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Some six hundred years of it made a chain that could make no block any more, and was kept like that."""
    async with open_devchain(tmp_path) as chain, Asker(chain.url) as asker:
        await asker.ask("sandbox_fast_forward", {"delta_seconds": 300 * YEARS})
        for asked in ({"delta_seconds": 300 * YEARS}, {"delta_height": 100_000_000, "delta_seconds": 250 * YEARS}):
            assert (await asker.error("sandbox_fast_forward", asked))["cause"]["name"] == "TOO_FAR"
        with pytest.raises(TooFar, match="2540"):
            await chain.fast_forward(seconds=300 * YEARS)
        await chain.send(chain.root, "alice.near", Transfer(5))
        assert (await asker.ask("status", []))["sync_info"]["latest_block_time"] > "2300"
    async with open_devchain(tmp_path) as again:
        await again.send(again.root, "alice.near", Transfer(5))
        assert again.balance("alice.near") == 10_000 * NEAR + 10
