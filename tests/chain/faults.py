"""A server between us and a chain, which passes on what it is asked, but for what a test wants it to lose, break or make up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import trio

from mycelnode.background import open_background
from mycelnode.tls import trusted
from tests.chain.servers import Answer, Server, http

LOST = "lost"  # the request never arrives
REPLY_LOST = "reply lost"  # the answer never does
Watcher = Callable[[str, dict[str, Any]], Awaitable[None]]


class Proxy(Server):
    """``faults`` by method: of each list the first is for the next request, None passes it on, and so does an empty list.

    ``before`` and ``after`` are called with the method and the request, when it comes and when the chain has answered.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__({})
        self.upstream = upstream
        self.faults: dict[str, list[Answer]] = {}
        self.before: Watcher = _nothing
        self.after: Watcher = _nothing
        self.down = False

    async def answer(self, stream: trio.SocketStream, request: dict[str, Any]) -> bool:
        params = request["params"]
        name = params["request_type"] if request["method"] == "query" else request["method"]
        self.asked.append(name)
        self.requests.append(request)
        await self.before(name, request)
        fault = self.faults[name].pop(0) if self.faults.get(name) else None
        if self.down or fault == LOST:
            return False
        if fault not in (None, REPLY_LOST):
            self.acts[name] = fault
            self.asked.pop()
            self.requests.pop()
            return await super().answer(stream, request)
        async with httpx.AsyncClient(verify=trusted(), trust_env=False, timeout=None) as client:
            response = await client.post(self.upstream, content=json.dumps(request))
        await self.after(name, request)
        if fault == REPLY_LOST:
            return False
        await self.send(stream, http(response.content, response.status_code))
        return True


async def _nothing(name: str, request: dict[str, Any]) -> None:
    pass


@asynccontextmanager
async def a_proxy(upstream: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(upstream)
    async with open_background() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, proxy.handle, 0, host="127.0.0.1"))
        proxy.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield proxy
