"""Another device in a process of its own: a node on loopback that does what it is told, a line of JSON at a time.

Program: ``python -m benchmarks.ours.remote FOLDER`` opens the device in FOLDER (making a mesh if there is none), prints where it
is, and answers requests from standard input until that ends. `Remote` is the other end.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic_ns
from typing import Any

import trio

import mycelnode
from benchmarks.data import entry, key, value
from benchmarks.ours.world import DEADLINE, at_once, child, objects

# linux/tcp.h, struct tcp_info: tcpi_bytes_acked and tcpi_bytes_received, 64 bits each
TCP_INFO_BYTES, ACKED_AT, RECEIVED_AT = 192, 120, 128


def bytes_on_wire(port: int) -> int | None:
    """TCP payload, both ways, of this process's connections to ``port``, as the kernel counts it; None where it does not say."""
    if sys.platform != "linux":
        return None
    total = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError, LookupError, TypeError):  # no socket, none of TCP, or gone meanwhile
            if not link.readlink().name.startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(link.name))) as found:
                if found.type == socket.SOCK_STREAM and found.getpeername()[1] == port:
                    info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
                    total += sum(int.from_bytes(info[at : at + 8], sys.byteorder) for at in (ACKED_AT, RECEIVED_AT))
    return total


class Remote:
    """A device to which ``ask(what, **fields)`` says what to do; listens at ``addresses``, on ``port``."""

    def __init__(self, device: str, addresses: list[str], ask: Callable[..., Awaitable[Any]]) -> None:
        self.device, self.addresses, self.ask = device, addresses, ask
        self.port = int(addresses[0].rsplit("/", 1)[1])


@asynccontextmanager
async def remote(folder: Path) -> AsyncIterator[Remote]:
    """Run the device in ``folder`` in another process for as long as the block lasts.

    It listens at a port that no run before had, so nobody dials it by itself.
    """
    async with child("benchmarks.ours.remote", str(folder)) as (process, answers):

        async def ask(what: str, **fields: Any) -> Any:
            assert process.stdin is not None
            await process.stdin.send_all(json.dumps({"do": what, **fields}).encode() + b"\n")
            with trio.fail_after(DEADLINE):
                return await anext(answers)

        with trio.fail_after(DEADLINE):
            hello = await anext(answers)
        yield Remote(hello["device"], hello["addresses"], ask)


@asynccontextmanager
async def here(folder: Path) -> AsyncIterator[Remote]:
    """The same in this process, which is quicker to start, and no use for measuring."""
    async with _opened(folder) as node:
        yield Remote(node.device, node.addresses, lambda what, **fields: _REQUESTS[what](node, **fields))


# --- in the other process ----------------------------------------------------------------------------------------------------


async def _serve(folder: Path) -> None:
    async with _opened(folder) as node:
        print(json.dumps({"device": node.device, "addresses": node.addresses}), flush=True)
        async for request in objects(trio.lowlevel.FdStream(os.dup(0))):
            print(json.dumps(await _REQUESTS[request.pop("do")](node, **request)), flush=True)


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[mycelnode.Node]:
    if not await trio.Path(folder).exists():
        await trio.Path(folder.parent).mkdir(exist_ok=True)
        await mycelnode.init(folder, name=folder.name)
    async with mycelnode.open_node(folder, listen=[f"/ip4/127.0.0.1/tcp/{_free_port()}"]) as node:
        yield node


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _invite(node: mycelnode.Node) -> str:
    return str(await node.invite())


async def _put_now(node: mycelnode.Node, name: str, number: int) -> int:
    """Change one key; the answer is the system's monotonic clock, in ns, just before."""
    before = monotonic_ns()
    await node.map(name).put(key(number), value(number))
    return before


async def _fill_map(node: mycelnode.Node, name: str, n: int) -> None:
    shared = node.map(name)
    await at_once(lambda number: shared.put(key(number), value(number)), range(n))


async def _fill_log(node: mycelnode.Node, name: str, n: int) -> None:
    log = node.log(name)
    await at_once(lambda number: log.add(entry(number)), range(n))


_REQUESTS: dict[str, Callable[..., Awaitable[object]]] = {
    "invite": _invite,
    "put_now": _put_now,
    "fill_map": _fill_map,
    "fill_log": _fill_log,
}

if __name__ == "__main__":
    os.environ["MYCEL_MESH_LAN"] = "false"
    trio.run(_serve, Path(sys.argv[1]))
