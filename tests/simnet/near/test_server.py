"""The HTTP side: what a client that is slow, rude or large can do, and that it is found on loopback only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing

from mycel_simnet.near import server
from mycel_simnet.near.server import LOOPBACK, serving
from mycelnode.tls import trusted


async def echo(body: bytes) -> tuple[int, bytes]:
    """Answers the body."""
    return 200, body


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(echo) as bound:
        yield bound


async def said(port: int, *parts: bytes) -> bytes:
    """Everything that is answered to these bytes until the connection is closed."""
    stream = await trio.open_tcp_stream(LOOPBACK, port)
    async with stream:
        for part in parts:
            await stream.send_all(part)
        answer = b""
        while received := await stream.receive_some():
            answer += received
        return answer


async def test_requests_follow_one_another_on_a_connection(port: int) -> None:
    async with httpx.AsyncClient(verify=trusted(), trust_env=False) as client:
        for text in (b"one", b"two"):
            assert (await client.post(f"http://{LOOPBACK}:{port}", content=text)).content == text


async def test_many_at_once(port: int) -> None:
    async with httpx.AsyncClient(verify=trusted(), trust_env=False) as client, trio.open_nursery() as nursery:

        async def ask(number: int) -> None:
            answer = await client.post(f"http://{LOOPBACK}:{port}", content=str(number))
            assert answer.text == str(number)

        for number in range(50):
            nursery.start_soon(ask, number)


async def test_a_body_that_is_too_long_is_refused_before_it_is_all_there(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    stream = await trio.open_tcp_stream(LOOPBACK, port)
    sent = 0

    async def send() -> None:
        nonlocal sent
        await stream.send_all(head)
        while True:
            await stream.send_all(bytes(1 << 16))
            sent += 1 << 16

    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        answer = await stream.receive_some()
        nursery.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 4 * server.MAX_BODY, "it went on reading"


@pytest.mark.parametrize("data", [b"\0\1\2", b"GET", b"POST / HTTP/9.9\r\n\r\n", b"x" * 200_000 + b"\r\n\r\n"])
async def test_what_is_no_http_ends_the_connection(port: int, data: bytes) -> None:
    stream = await trio.open_tcp_stream(LOOPBACK, port)
    async with stream:
        with trio.move_on_after(10):
            try:
                await stream.send_all(data)
                await stream.send_eof()
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
    async with httpx.AsyncClient(verify=trusted(), trust_env=False) as client:
        assert (await client.post(f"http://{LOOPBACK}:{port}", content=b"still here")).content == b"still here"


async def test_who_says_nothing_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.05)
    with trio.fail_after(10):
        assert await said(port, b"POST / HTTP/1.1\r\n") == b""


async def test_browsers_may_ask(port: int) -> None:
    async with httpx.AsyncClient(verify=trusted(), trust_env=False) as client:
        answer = await client.options(f"http://{LOOPBACK}:{port}", headers={"Origin": "http://localhost:3000"})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_get_is_for_status_only(port: int) -> None:
    async with httpx.AsyncClient(verify=trusted(), trust_env=False) as client:
        asked = (await client.get(f"http://{LOOPBACK}:{port}/status")).json()
        assert asked["method"] == "status"
        wrong = await client.get(f"http://{LOOPBACK}:{port}/")
        assert wrong.status_code == 400
        assert json.loads(wrong.content)["error"]["name"] == "REQUEST_VALIDATION_ERROR"


async def test_a_port_that_is_taken_is_an_error(port: int) -> None:
    with pytest.raises(OSError, match="in use"):
        async with serving(echo, port):
            pass
