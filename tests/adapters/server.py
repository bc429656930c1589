"""What may listen at ``kubo.url`` and be no Kubo: a server on loopback that answers as a test says."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio

Act = Callable[["Server", trio.SocketStream], Awaitable[None]]
HEAD_BYTES = 1 << 12


class Server:
    """``acts`` by command; a command that is not among them gets a 404 of HTML."""

    def __init__(self, acts: Mapping[str, bytes | Act]) -> None:
        self.acts = acts
        self.asked: list[str] = []
        self.sent = 0
        self.url = ""

    async def handle(self, stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (received := await stream.receive_some(HEAD_BYTES)):
                        return
                    head += received
                found = re.match(rb"POST /api/v0/([a-z/]+)", head)
                command = found[1].decode() if found else head.partition(b"\r\n")[0].decode()
                self.asked.append(command)
                act = self.acts.get(command, html(404))
                if isinstance(act, bytes):
                    await self.swallow(stream, head)
                    await self.send(stream, act)
                else:
                    await act(self, stream)

    async def send(self, stream: trio.SocketStream, data: bytes) -> None:
        await stream.send_all(data)
        self.sent += len(data)

    async def swallow(self, stream: trio.SocketStream, head: bytes) -> None:
        """The body of the request, if it has one."""
        if b"transfer-encoding: chunked" in head.lower():
            rest = head.partition(b"\r\n\r\n")[2]
            while not rest.endswith(b"0\r\n\r\n"):
                rest = rest[-16:] + await stream.receive_some()


@asynccontextmanager
async def a_server(**acts: bytes | Act) -> AsyncIterator[Server]:
    """In the names of ``acts``, ``_`` is ``/``."""
    server = Server({name.replace("_", "/"): act for name, act in acts.items()})
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1"))
        server.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield server
        nursery.cancel_scope.cancel()


def answer(body: bytes, kind: str = "application/json", status: int = 200, *more: str) -> bytes:
    """A whole answer, after which the connection is closed."""
    head = [
        f"HTTP/1.1 {status} Such",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *more,
    ]
    return "\r\n".join((*head, "", "")).encode() + body


def told(value: Any, status: int = 200) -> bytes:
    """An answer in JSON."""
    return answer(json.dumps(value).encode(), status=status)


def html(status: int = 200) -> bytes:
    """Some web server's page."""
    return answer(b"<html><h1>Welcome to nginx!</h1></html>", "text/html; charset=utf-8", status)


def begun(kind: str = "application/json", status: int = 200) -> bytes:
    """The head of an answer in chunks."""
    return f"HTTP/1.1 {status} Such\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def endless(piece: bytes, head: bytes) -> Act:
    """``piece`` for ever, in chunks."""

    async def act(server: Server, stream: trio.SocketStream) -> None:
        await server.send(stream, head)
        while True:
            await server.send(stream, chunk(piece))

    return act


def endless_plain(piece: bytes, head: bytes) -> Act:
    """``piece`` for ever, as it is."""

    async def act(server: Server, stream: trio.SocketStream) -> None:
        await server.send(stream, head)
        while True:
            await server.send(stream, piece)

    return act


def dripping(piece: bytes, head: bytes, seconds: float) -> Act:
    """``piece`` now and then, in chunks."""

    async def act(server: Server, stream: trio.SocketStream) -> None:
        await server.send(stream, head)
        while True:
            await server.send(stream, chunk(piece))
            await trio.sleep(seconds)

    return act


async def silent(server: Server, stream: trio.SocketStream) -> None:
    """It neither reads nor answers."""
    await trio.sleep_forever()


def hasty(data: bytes) -> Act:
    """It answers what it has hardly read, and closes."""

    async def act(server: Server, stream: trio.SocketStream) -> None:
        await server.send(stream, data)

    return act
