"""A Kubo in memory, for tests that must run where none is: what was put there, what is pinned and how, and what was asked for.

It does what the real one does where `kubo_suite` looks, which the real one passes as well (tests/peers).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11
import trio

from mycelnode.patterns.cid import CODECS, Cid
from mycelnode.patterns.dag import links_of
from mycelnode.protobuf import read_varint

WHO = {"ID": "12D3KooWTwin", "AgentVersion": "kubo/0.40.1/twin", "Addresses": []}
READ_BYTES = 1 << 16
CID_BYTES = 36
Params = Mapping[str, str]


class No(Exception):
    """As Kubo says no."""


@dataclass
class KuboTwin:
    """``pins``: CID → (kind, name). ``wanted``: every block that was asked for. ``commands``: all that was asked at all."""

    blocks: dict[Cid, bytes] = field(default_factory=dict)
    pins: dict[Cid, tuple[str, str]] = field(default_factory=dict)
    wanted: list[Cid] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, command: str, params: Params, body: bytes) -> bytes:
        """What it says. Raises `No`."""
        self.commands.append(command)
        calls: dict[str, Callable[[Params, bytes], bytes]] = {
            "id": lambda params, body: line(WHO),
            "block/put": self._put,
            "block/get": self._get,
            "dag/import": self._import,
            "pin/add": self._pin,
            "pin/rm": self._unpin,
            "pin/ls": self._list,
        }
        return calls[command](params, body)

    def below(self, root: Cid) -> set[Cid]:
        """All that a CID reaches, here or not."""
        found, waiting = {root}, [root]
        while waiting:
            cid = waiting.pop()
            for link in links_of(cid, self.blocks[cid]) if cid in self.blocks else ():
                if link not in found:
                    found.add(link)
                    waiting.append(link)
        return found

    def _put(self, params: Params, body: bytes) -> bytes:
        codec = next(number for number, name in CODECS.items() if name == params["cid-codec"])
        cid = Cid.of(codec, body)
        self.blocks[cid] = body
        return line({"Key": str(cid), "Size": len(body)})

    def _get(self, params: Params, body: bytes) -> bytes:
        cid = Cid.parse(params["arg"])
        self.wanted.append(cid)
        if cid not in self.blocks:
            raise No("context deadline exceeded")
        return self.blocks[cid]

    def _import(self, params: Params, body: bytes) -> bytes:
        self.blocks |= carried(body)
        assert params["pin-roots"] == "false", "the twin knows no other way"
        return b""

    def _pin(self, params: Params, body: bytes) -> bytes:
        cid, recursive = Cid.parse(params["arg"]), params["recursive"] == "true"
        if not recursive and self.pins.get(cid, ("", ""))[0] == "recursive":
            raise No(f"{cid} already pinned recursively")
        if missing := [below for below in (self.below(cid) if recursive else {cid}) if below not in self.blocks]:
            raise No(f"block was not found locally (offline): ipld: could not find {missing[0]}")
        self.pins[cid] = ("recursive" if recursive else "direct", params.get("name", ""))
        return line({"Pins": [str(cid)]})

    def _unpin(self, params: Params, body: bytes) -> bytes:
        if self.pins.pop(Cid.parse(params["arg"]), None) is None:
            raise No("not pinned or pinned indirectly")
        return line({"Pins": [params["arg"]]})

    def _list(self, params: Params, body: bytes) -> bytes:
        found = {cid: name for cid, (kind, name) in self.pins.items() if kind == params["type"]}
        if arg := params.get("arg"):
            found = {cid: name for cid, name in found.items() if str(cid) == arg}
            if not found:
                raise No(f"path '{arg}' is not pinned")
        named = "name" in params
        return b"".join(
            line({"Cid": str(cid), "Type": params["type"], **({"Name": name} if named and name else {})})
            for cid, name in found.items()
            if params.get("name", "") in name
        )

    async def handle(self, stream: trio.SocketStream) -> None:
        """Answer one request after another."""
        connection = h11.Connection(h11.SERVER)
        async with stream:
            with suppress(trio.BrokenResourceError, h11.RemoteProtocolError):
                while (asked := await _request(connection, stream)) is not None:
                    path, body = asked
                    parts = urlsplit(path)
                    try:
                        command = parts.path.removeprefix("/api/v0/")
                        said, status = self.answer(command, dict(parse_qsl(parts.query)), body), 200
                    except No as no:
                        said, status = line({"Message": str(no), "Code": 0, "Type": "error"}), 500
                    kind = (
                        "application/octet-stream" if command == "block/get" and status == 200 else "application/json"
                    )
                    head = h11.Response(
                        status_code=status, headers=[("Content-Type", kind), ("Content-Length", str(len(said)))]
                    )
                    for event in (head, h11.Data(data=said), h11.EndOfMessage()):
                        await stream.send_all(connection.send(event) or b"")
                    connection.start_next_cycle()


async def _request(connection: h11.Connection, stream: trio.SocketStream) -> tuple[str, bytes] | None:
    path, body, boundary = "", bytearray(), b""
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(READ_BYTES))
            case h11.Request():
                path = event.target.decode()
                kind = dict(event.headers).get(b"content-type", b"")
                boundary = kind.partition(b"boundary=")[2]
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                return path, _file(bytes(body), boundary) if boundary else bytes(body)
            case _:
                return None


def _file(form: bytes, boundary: bytes) -> bytes:
    return form.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n--" + boundary + b"--\r\n")


def carried(car: bytes) -> dict[Cid, bytes]:
    """All blocks in a CAR, whether its roots reach them or not."""
    found = dict[Cid, bytes]()
    size, at = read_varint(car, 0)
    at += size
    while at < len(car):
        size, at = read_varint(car, at)
        cid, block = Cid.from_bytes(car[at : at + CID_BYTES]), car[at + CID_BYTES : at + size]
        assert cid.names(block)
        found[cid] = block
        at += size
    return found


def line(value: Any) -> bytes:
    """As Kubo ends an object."""
    return json.dumps(value).encode() + b"\n"


@asynccontextmanager
async def serving(twin: KuboTwin, port: int = 0) -> AsyncIterator[KuboTwin]:
    """The twin listens, on a ``port`` that it had before, or any."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, twin.handle, port, host="127.0.0.1"))
        twin.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield twin
        nursery.cancel_scope.cancel()
