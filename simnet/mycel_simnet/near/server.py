"""The chain's RPC over HTTP/1.1 on loopback: whoever asks is on this machine, and is believed nothing all the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import h11
import trio

from mycel_simnet.near.rpc_errors import BAD_REQUEST, parse_error
from mycelnode.background import open_background

LOOPBACK = "127.0.0.1"
MAX_BODY = 10 * 1024 * 1024  # of a request, as on the network's nodes
MAX_CONNECTIONS = 256
IDLE_SECONDS = 60.0  # a connection on which nothing comes is closed
READ_BYTES = 1 << 16
LINGER_SECONDS = 2.0  # for who sends on although the answer is there

Answer = Callable[[bytes], Awaitable[tuple[int, bytes]]]
_HEADERS = [
    ("content-type", "application/json"),
    ("access-control-allow-origin", "*"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-methods", "GET, POST"),
]
_TOO_LARGE, _NO_CONTENT = 413, 204


class _Connection:
    """One connection, with one request at a time."""

    def __init__(self, stream: trio.SocketStream, answer: Answer) -> None:
        self._stream, self._answer = stream, answer
        self._http = h11.Connection(h11.SERVER)

    async def serve(self) -> None:
        while True:
            request = await self._next()
            if not isinstance(request, h11.Request):
                return
            body = await self._body()
            if body is None:
                await self._send(request, _TOO_LARGE, b"")
                await self._linger()
                return
            await self._send(request, *await self._reply(request, body))
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _linger(self) -> None:
        """Let who still sends read the answer: to close on unread data would take it away from them."""
        await self._stream.send_eof()
        with trio.move_on_after(LINGER_SECONDS):
            while await self._stream.receive_some(READ_BYTES):
                pass

    async def _reply(self, request: h11.Request, body: bytes) -> tuple[int, bytes]:
        if request.method == b"POST":
            return await self._answer(body)
        if request.method == b"GET" and request.target in (b"/status", b"/health"):
            asked = {"jsonrpc": "2.0", "id": 1, "method": request.target[1:].decode(), "params": []}
            return await self._answer(json.dumps(asked).encode())
        if request.method == b"OPTIONS":
            return _NO_CONTENT, b""
        error = parse_error("requests are sent with POST").json
        return BAD_REQUEST, json.dumps({"jsonrpc": "2.0", "error": error, "id": None}).encode()

    async def _body(self) -> bytes | None:
        """The whole body, or None if it is too long."""
        body = bytearray()
        while isinstance(event := await self._next(), h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                return None
        return bytes(body)

    async def _next(self) -> h11.Event | None:
        """The next part of a request; None if there can be none."""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Event):
                return event
            if event is h11.PAUSED:
                return None
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self._stream.send_all(self._http.send(go_on) or b"")
            with trio.fail_after(IDLE_SECONDS):
                self._http.receive_data(await self._stream.receive_some(READ_BYTES))

    async def _send(self, request: h11.Request, status: int, body: bytes) -> None:
        headers = [*_HEADERS, ("content-length", str(len(body)))]
        response = h11.Response(status_code=status, headers=headers)
        data = self._http.send(response) or b""
        if request.method != b"HEAD":  # whose answer has no body, whatever its length says
            data += self._http.send(h11.Data(data=body)) or b""
        await self._stream.send_all(data + (self._http.send(h11.EndOfMessage()) or b""))


@asynccontextmanager
async def serving(answer: Answer, port: int = 0) -> AsyncIterator[int]:
    """A server whose requests ``answer`` answers; yields its port. Raises `OSError` if there is no such port to be had."""
    room = trio.Semaphore(MAX_CONNECTIONS)

    async def handle(stream: trio.SocketStream) -> None:
        async with room:
            try:
                async with stream:
                    await _Connection(stream, answer).serve()
            except (h11.RemoteProtocolError, trio.BrokenResourceError, trio.TooSlowError):
                pass  # whoever it was is gone, or does not speak HTTP

    listeners = await trio.open_tcp_listeners(port, host=LOOPBACK)
    async with open_background() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield int(listeners[0].socket.getsockname()[1])
