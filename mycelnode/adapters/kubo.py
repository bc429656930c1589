"""A Kubo, by its RPC (https://docs.ipfs.tech/reference/kubo/rpc/): an `IpfsNode` that believes nothing it is told.

Whatever listens at that address, an answer is bounded in size and in the time it may keep us waiting.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self

import trio

from mycelnode.adapters.transport import READ_BYTES, Answer, Transport, Upload
from mycelnode.errors import CidRefused, ConfigError, KuboRefused, KuboUnreachable, shown
from mycelnode.patterns.cid import CODECS, Cid
from mycelnode.ports import IpfsIdentity, IpfsNode

BLOCK_BYTES: Final = 2 << 20  # as bitswap carries them at most
JSON_BYTES: Final = 1 << 20  # of an answer in one piece
LINE_BYTES: Final = 1 << 16  # of one in lines
MAX_LINES: Final = 250_000  # pins that a Kubo may have for us to list them, 250 bytes of memory each
MAX_ADDRS: Final = 256
MAX_ROOTS: Final = 1000
TEXT_CHARS: Final = 1024
PATIENCE: Final = 60.0  # seconds without a byte, and to the first one
SLOWEST: Final = 16 << 10  # bytes a second: who is slower for long uses up that patience
BUFFERED_BYTES: Final = 4 << 20  # of an upload, in sockets and proxies
# What makes the CIDs that mycelnode.patterns makes: the profile unixfs-v1-2025 (IPIP-499), in base32.
PROFILE: Final = {
    "cid-version": "1",
    "cid-base": "base32",
    "raw-leaves": "true",
    "chunker": "size-1048576",
    "max-file-links": "1024",
}
TRANSPORTS: Final = ("httpx", "ipfshttpclient")


@asynccontextmanager
async def open_ipfs(url: str, client: str = "httpx", patience: float = PATIENCE) -> AsyncIterator[IpfsNode[Cid]]:
    """The Kubo of the settings ``kubo.url`` and ``kubo.client``. Nothing is asked of it yet: it need not be there.

    ``patience``: seconds that it may keep us waiting in a call, of which what it sends restores some (`SLOWEST`).

    Raises `ConfigError` for a client that is not known, and `Unsupported` where it is not installed.
    """
    transport: Transport
    if client == "httpx":
        from mycelnode.adapters.kubo_httpx import HttpxTransport

        transport = HttpxTransport(url)
    elif client == "ipfshttpclient":
        from mycelnode.adapters.ipfsclient import IpfsClientTransport

        transport = IpfsClientTransport(url)
    else:
        raise ConfigError(f"kubo.client must be one of {', '.join(TRANSPORTS)}, not {shown(client)!r}")
    async with KuboNode(transport, patience) as node:
        yield node


class KuboNode:
    """An `IpfsNode` over a transport; ``patience`` in seconds, see `PATIENCE`."""

    def __init__(self, transport: Transport, patience: float = PATIENCE) -> None:
        self._transport = transport
        self._patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    # --- who it is, and whom it knows ---

    async def identity(self) -> IpfsIdentity:
        """See `IpfsNode`."""
        told = await self._json("id", {})
        addrs = told.get("Addresses") or []  # null while it does not listen
        if not isinstance(addrs, list) or len(addrs) > MAX_ADDRS:
            raise _no_kubo("id")
        return IpfsIdentity(_text(told, "ID"), tuple(_line("id", addr) for addr in addrs), _text(told, "AgentVersion"))

    async def connect(self, multiaddr: str) -> None:
        """See `IpfsNode`."""
        await self._json("swarm/connect", {"arg": multiaddr})

    # --- files ---

    async def add(self, chunks: AsyncIterable[bytes], *, pin: bool = True) -> Cid:
        """See `IpfsNode`."""
        params = {**PROFILE, "pin": _flag(pin), "progress": "false"}
        return _cid("add", (await self._json("add", params, chunks)).get("Hash"))

    @asynccontextmanager
    async def cat(self, cid: Cid, max_bytes: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `IpfsNode`."""
        # Kubo tells of an error midway in a trailer that no client shows, so how long the file is has to be known before.
        told = await self._json("files/stat", {"arg": f"/ipfs/{cid}"})
        size = told.get("Size")
        if told.get("Type") != "file" or type(size) is not int or size < 0:
            raise KuboRefused(f"{cid} is no file, but {shown(str(told.get('Type')))}")
        if size > max_bytes:
            raise KuboRefused(f"{cid} has {size:,} bytes, and at most {max_bytes:,} are wanted")
        async with self._call("cat", {"arg": str(cid)}) as body:
            yield _Counted(body, cid, size)

    # --- pins ---

    async def pin(self, cid: Cid, *, recursive: bool = True, name: str = "") -> None:
        """See `IpfsNode`."""
        params = {"arg": str(cid), "recursive": _flag(recursive), "progress": "false"}
        await self._json("pin/add", {**params, "name": name} if name else params)

    async def unpin(self, cid: Cid) -> None:
        """See `IpfsNode`."""
        try:
            await self._json("pin/rm", {"arg": str(cid), "recursive": "true"})
        except KuboRefused as error:
            if "not pinned" not in str(error):
                raise

    async def pins(self) -> frozenset[Cid]:
        """See `IpfsNode`."""
        return frozenset(await self._pins({"type": "recursive"}))

    async def named_pins(self, start: str) -> Mapping[Cid, str]:
        """See `IpfsNode`."""
        # Kubo looks for the name anywhere in a name; one from before there were names knows none, and tells of all its pins.
        found = dict[Cid, str]()
        for kind in ("recursive", "direct"):
            found |= await self._pins({"type": kind, "names": "true", "name": start})
        return {cid: name for cid, name in found.items() if name.startswith(start)}

    async def is_pinned(self, cid: Cid) -> bool:
        """See `IpfsNode`."""
        for kind in ("recursive", "direct"):  # not "all", for which it would look through what lies below all pins
            try:
                if cid in await self._pins({"type": kind, "arg": str(cid)}):
                    return True
            except KuboRefused as error:
                if "not pinned" not in str(error):
                    raise
        return False

    async def _pins(self, params: Mapping[str, str]) -> dict[Cid, str]:
        """CIDs and names."""
        found = dict[Cid, str]()

        def take(told: dict[str, Any]) -> None:
            text, name = told.get("Cid"), told.get("Name", "")
            if not isinstance(text, str) or not isinstance(name, str):
                raise _no_kubo("pin/ls")
            with suppress(CidRefused):  # another hash function: nothing of ours
                found[Cid.parse(text)] = name

        await self._lines("pin/ls", {**params, "stream": "true"}, None, take)
        return found

    # --- blocks ---

    async def block_get(self, cid: Cid, *, seconds: float | None = None) -> bytes:
        """See `IpfsNode`."""
        block = bytearray()
        params = {"arg": str(cid)} if seconds is None else {"arg": str(cid), "timeout": f"{seconds:g}s"}
        async with self._call("block/get", params) as body:
            while chunk := await body.read():
                block += chunk
                if len(block) > BLOCK_BYTES:
                    raise KuboRefused(f"Kubo's block of {cid} has more than {BLOCK_BYTES:,} bytes, which none has")
        if not cid.names(bytes(block)):
            raise KuboRefused(f"what Kubo gave for {cid} is not what that names")
        return bytes(block)

    async def block_put(self, cid: Cid, block: bytes) -> None:
        """See `IpfsNode`."""
        if len(block) > BLOCK_BYTES or not cid.names(block):
            raise CidRefused(f"{cid} is not the CID of that block, or the block has more than {BLOCK_BYTES:,} bytes")
        params = {"cid-codec": CODECS[cid.codec], "mhtype": "sha2-256", "allow-big-block": "true", "pin": "false"}
        told = await self._json("block/put", params, _Once(block))
        if (named := _cid("block/put", told.get("Key"))) != cid:
            raise KuboRefused(f"Kubo calls the block {cid} by another name, {named}")

    async def dag_import(self, chunks: AsyncIterable[bytes], *, pin: bool = True) -> tuple[Cid, ...]:
        """See `IpfsNode`."""
        roots: list[Cid] = []

        def take(told: dict[str, Any]) -> None:
            root = told.get("Root")
            if not isinstance(root, dict):
                return  # statistics, of a later Kubo perhaps
            if failed := root.get("PinErrorMsg"):
                raise KuboRefused(f"Kubo could not pin what it imported: {shown(str(failed))}")
            link = root.get("Cid")
            roots.append(_cid("dag/import", link.get("/") if isinstance(link, dict) else None))
            if len(roots) > MAX_ROOTS:
                raise _no_kubo("dag/import")

        params = {"pin-roots": _flag(pin), "allow-big-block": "true"}
        await self._lines("dag/import", params, chunks, take)
        return tuple(roots)

    # --- requests ---

    async def _json(
        self, command: str, params: Mapping[str, str], chunks: AsyncIterable[bytes] | None = None
    ) -> dict[str, Any]:
        """The one object of an answer."""
        found = bytearray()
        async with self._call(command, params, chunks, json_only=True) as body:
            while chunk := await body.read():
                found += chunk
                if len(found) > JSON_BYTES:
                    raise KuboRefused(
                        f"what answers at kubo.url said more than {JSON_BYTES:,} bytes to {command}; it is no Kubo"
                    )
        return _object(command, found)

    async def _lines(
        self,
        command: str,
        params: Mapping[str, str],
        chunks: AsyncIterable[bytes] | None,
        take: Callable[[dict[str, Any]], None],
    ) -> None:
        """Give each object of an answer in lines to ``take``."""
        rest, count = bytearray(), 0
        async with self._call(command, params, chunks, json_only=True) as body:
            while chunk := await body.read():
                *lines, last = chunk.split(b"\n")
                for line in lines:
                    rest += line
                    count += 1
                    if rest.strip():
                        take(_object(command, rest))
                    rest.clear()
                rest += last
                if len(rest) > LINE_BYTES or count > MAX_LINES:
                    raise KuboRefused(f"what answers at kubo.url says too much to {command}")
            if rest.strip():
                take(_object(command, rest))

    @asynccontextmanager
    async def _call(
        self,
        command: str,
        params: Mapping[str, str],
        chunks: AsyncIterable[bytes] | None = None,
        *,
        json_only: bool = False,
    ) -> AsyncIterator[_Body]:
        late = KuboUnreachable(f"Kubo took too long for {command}: it kept us waiting for {self._patience:g} s in all")
        with trio.move_on_after(self._patience) as scope:
            upload = None
            if chunks is not None:
                boundary = secrets.token_hex(16)
                form = _Form(chunks, boundary, scope, self._patience)
                upload = Upload(f"multipart/form-data; boundary={boundary}", form, form.taken)
            answer = await self._transport.post(command, params, upload)
        if scope.cancelled_caught:
            raise late
        try:
            kind = answer.content_type.partition(";")[0].strip().lower()
            if kind == "text/html" or (json_only and kind != "application/json"):
                raise KuboRefused(
                    f"what answers at kubo.url is no Kubo: its answer to {command} is {shown(kind) or 'of no kind'}"
                )
            yield _Body(answer, self._patience, late)
        finally:
            await answer.aclose()


class _Body:
    """An answer that may keep us waiting for ``patience`` seconds in all, of which what comes restores some."""

    def __init__(self, answer: Answer, patience: float, late: KuboUnreachable) -> None:
        self._answer = answer
        self._most = self._left = patience
        self._late = late

    async def read(self) -> bytes:
        """The next bytes, none at the end."""
        chunk = b""
        start = trio.current_time()
        with trio.move_on_after(max(self._left, 0.0)) as scope:
            chunk = await self._answer.read()
        if scope.cancelled_caught:
            raise self._late
        self._left += start - trio.current_time() + len(chunk) / SLOWEST
        self._left = min(self._left, self._most)
        return chunk


class _Counted:
    """The chunks of a file that has ``size`` bytes."""

    def __init__(self, body: _Body, cid: Cid, size: int) -> None:
        self._body = body
        self._cid = cid
        self._left = size

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._body.read()
        self._left -= len(chunk)
        if self._left < 0:
            raise KuboRefused(f"Kubo gave more bytes for {self._cid} than it said that there are")
        if not chunk:
            if self._left:
                raise KuboUnreachable(f"Kubo broke off {self._left:,} bytes before the end of {self._cid}")
            raise StopAsyncIteration
        return chunk


class _Form:
    """A file as multipart/form-data, in pieces of `READ_BYTES`. Only what Kubo takes to accept one counts against its patience."""

    def __init__(self, chunks: AsyncIterable[bytes], boundary: str, scope: trio.CancelScope, patience: float) -> None:
        self._chunks = aiter(chunks)
        self._scope = scope
        self._patience = patience
        self._sent = 0
        head = 'Content-Disposition: form-data; name="file"; filename="file"\r\nContent-Type: application/octet-stream'
        self._end = f"\r\n--{boundary}--\r\n".encode()
        self._part = memoryview(f"--{boundary}\r\n{head}\r\n\r\n".encode())
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._part:
            if self._ended:
                self.taken(True)
                raise StopAsyncIteration
            self._scope.deadline = float("inf")
            try:
                self._part = memoryview(await anext(self._chunks))
            except StopAsyncIteration:
                self._part, self._ended = memoryview(self._end), True
        piece, self._part = bytes(self._part[:READ_BYTES]), self._part[READ_BYTES:]
        self._sent += len(piece)
        self.taken(False)
        return piece

    def taken(self, last: bool) -> None:
        """So far so good: the patience begins anew. After the last piece, much of it may still lie in buffers on the way."""
        on_its_way = min(self._sent, BUFFERED_BYTES) / SLOWEST if last else 0.0
        self._scope.deadline = trio.current_time() + self._patience + on_its_way


class _Once:
    """Chunks of which there is one. No generator: see `kubo_httpx`."""

    def __init__(self, chunk: bytes) -> None:
        self._chunks = [chunk]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop()


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _no_kubo(command: str) -> KuboRefused:
    return KuboRefused(
        f"what answers at kubo.url is no Kubo, or one of another age: its answer to {command} makes no sense"
    )


def _object(command: str, data: bytes | bytearray) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        raise _no_kubo(command) from None
    if not isinstance(told, dict):
        raise _no_kubo(command)
    if told.get("Type") == "error":  # how Kubo tells of an error once it has begun to answer
        raise KuboRefused(f"Kubo refused {command}: {shown(str(told.get('Message')))}")
    return told


def _line(command: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= TEXT_CHARS:
        raise _no_kubo(command)
    return value


def _text(told: Mapping[str, Any], name: str) -> str:
    return _line("id", told.get(name))


def _cid(command: str, value: object) -> Cid:
    if not isinstance(value, str):
        raise _no_kubo(command)
    try:
        return Cid.parse(value)
    except CidRefused as error:
        raise KuboRefused(f"Kubo's answer to {command} names no CID of ours: {error}") from error
