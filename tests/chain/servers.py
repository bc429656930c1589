"""What may listen at ``near.rpc``: servers on loopback that answer as a test says, rightly or not."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio

from mycelnode.background import open_background

Answer = Any  # bytes: all of an HTTP answer; a callable: whatever it does; else the result of JSON-RPC
Handler = Callable[["Server", trio.SocketStream, dict[str, Any]], Awaitable[None]]
GENESIS = "11111111111111111111111111111111"
STATUS = {
    "chain_id": "devchain",
    "genesis_hash": GENESIS,
    "protocol_version": 86,
    "sync_info": {"latest_block_height": 100, "latest_block_hash": GENESIS, "syncing": False},
}


class Server:
    """``acts`` by method, ``query`` by its request_type; a list gives one answer after the other, the last one for ever."""

    def __init__(self, acts: Mapping[str, Answer]) -> None:
        self.acts: dict[str, Answer] = {"status": STATUS, **acts}
        self.asked: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.sent = 0
        self.url = ""

    def act(self, request: dict[str, Any]) -> Answer:
        params = request["params"]
        name = params["request_type"] if request["method"] == "query" else request["method"]
        self.asked.append(name)
        self.requests.append(request)
        found = self.acts.get(name, refusal("METHOD_NOT_FOUND"))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found

    async def handle(self, stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
                while True:
                    while b"\r\n\r\n" not in data:
                        if not (more := await stream.receive_some(1 << 16)):
                            return
                        data += more
                    head, _, body = data.partition(b"\r\n\r\n")
                    size = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
                    while len(body) < size:
                        body += await stream.receive_some(1 << 16)
                    body, data = body[:size], body[size:]
                    if not await self.answer(stream, json.loads(body)):
                        return

    async def answer(self, stream: trio.SocketStream, request: dict[str, Any]) -> bool:
        found = self.act(request)
        if callable(found):
            await found(self, stream, request)
            return False
        if not isinstance(found, bytes):
            found = told(found, request["id"])
        await self.send(stream, found)
        return b"Connection: close" not in found

    async def send(self, stream: trio.SocketStream, data: bytes) -> None:
        await stream.send_all(data)
        self.sent += len(data)


@asynccontextmanager
async def a_server(**acts: Answer) -> AsyncIterator[Server]:
    server = Server(acts)
    async with open_background() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1"))
        server.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield server


def http(body: bytes, status: int = 200, kind: str = "application/json", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status} Such", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join((*head, "", "")).encode() + body


def told(result: Any, number: str) -> bytes:
    """A result, or what `refusal` made."""
    kind = "error" if isinstance(result, Refusal) else "result"
    return http(json.dumps({"jsonrpc": "2.0", "id": number, kind: result}).encode())


class Refusal(dict[str, Any]):
    """An error of JSON-RPC."""


def refusal(cause: str, info: Any = None, data: Any = None, name: str = "HANDLER_ERROR") -> Refusal:
    """As nearcore puts it."""
    said = {} if data is None else {"data": data}
    return Refusal(name=name, cause={"name": cause, "info": info or {}}, code=-32000, message="Server error", **said)


def with_status(result: Any, status: int) -> Handler:
    """The same with another status of HTTP."""

    async def act(server: Server, stream: trio.SocketStream, request: dict[str, Any]) -> None:
        await server.send(stream, told(result, request["id"]).replace(b"HTTP/1.1 200", f"HTTP/1.1 {status}".encode()))

    return act


def html(status: int = 200) -> bytes:
    return http(b"<html><h1>Welcome to nginx!</h1></html>", status, "text/html; charset=utf-8")


async def silent(server: Server, stream: trio.SocketStream, request: dict[str, Any]) -> None:
    await trio.sleep_forever()


async def endless(server: Server, stream: trio.SocketStream, request: dict[str, Any]) -> None:
    """Zeros for ever."""
    await server.send(stream, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n")
    for _ in range(1600):
        await server.send(stream, bytes(1 << 16))


async def cut_off(server: Server, stream: trio.SocketStream, request: dict[str, Any]) -> None:
    """The connection ends in the middle of an answer."""
    await server.send(stream, told({"x": 1}, request["id"])[:-5])
