"""The control socket: JSON lines over a UNIX socket that only this user's processes may use. docs/control-socket.md describes it.

A request is one line ``{"type": "config.get", …}``; the answer is one line ``{"type": "result", …}`` or
``{"type": "error", "error": <class>, "message": <sentence>}``. Some requests answer with several ``{"type": "event", …}`` lines
before.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mycelnode import errors
from mycelnode.errors import BusyError, ControlError, MycelError, NodeNotRunning, Unsupported
from mycelnode.paths import DataDir

if TYPE_CHECKING:
    import trio

MAX_LINE = 1 << 20  # bytes of one request
MAX_ANSWER = (
    8 << 20
)  # bytes of one answer: a block of a pattern has a MiB, and JSON writes some of that as six characters a byte
MAX_CLIENTS = 64
WRITE_SECONDS = 10.0  # for one answer: a client that does not read is dropped
CONNECT_SECONDS = 5.0

Handler = Callable[[Mapping[str, Any]], Any]  # a coroutine function, or one that returns an async iterator
_log = logging.getLogger(__name__)


# --- server ----------------------------------------------------------------------------------------------------------------


class ControlServer:
    """Serves ``commands`` (one answer) and ``streams`` (several). The data folder's lock is held by the caller."""

    def __init__(
        self,
        data: DataDir,
        commands: Mapping[str, Handler],
        streams: Mapping[str, Callable[[Mapping[str, Any]], AsyncIterator[dict[str, Any]]]],
    ) -> None:
        self._path, self._commands, self._streams = data.prepare_control(), commands, streams
        self._clients = 0

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Listen until cancelled; the socket file is removed at the end."""
        import trio

        listener = await self._bind()
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    connection, _ = await listener.accept()
                    nursery.start_soon(self._serve, trio.SocketStream(connection))
        finally:
            listener.close()
            with suppress(FileNotFoundError):
                self._path.unlink()

    async def _bind(self) -> trio.socket.SocketType:
        """A listening socket at our path. A file left there by a killed node is replaced: we hold the folder's lock."""
        import trio

        if not hasattr(socket, "AF_UNIX"):
            raise Unsupported("the control socket needs Linux or macOS; on Windows, run mycelnode inside WSL")
        with suppress(FileNotFoundError):
            self._path.unlink()
        listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # the file is born 0600, in a folder that only we can enter
        try:
            await listener.bind(str(self._path))
        finally:
            os.umask(before)
        listener.listen(MAX_CLIENTS)
        return listener

    async def _serve(self, stream: trio.SocketStream) -> None:
        import trio

        async with stream:
            if peer_uid(stream.socket) != os.getuid():
                return
            self._clients += 1
            try:
                if self._clients > MAX_CLIENTS:
                    await _send(stream, _error(BusyError("too many programs talk to this node at once")))
                    return
                await self._talk(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                self._clients -= 1

    async def _talk(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        while True:
            end = buffer.find(b"\n")
            if end < 0:
                if len(buffer) > MAX_LINE:
                    await _send(stream, _error(ControlError(f"a request of more than {MAX_LINE} bytes")))
                    return
                data = await stream.receive_some(64 << 10)
                if not data:
                    return
                buffer += data
                continue
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            if line.strip():
                await self._answer(stream, line)

    async def _answer(self, stream: trio.SocketStream, line: bytes) -> None:
        """Handle one request; a client that goes away meanwhile cancels it."""
        import trio

        from mycelnode.background import open_background

        try:
            request = parse_request(line)
            name = request["type"]
            if name in self._streams:
                async with open_background() as nursery:
                    nursery.start_soon(_cancel_when_gone, stream, nursery.cancel_scope)
                    async with aclosing(self._streams[name](request)) as events:  # type: ignore[type-var]
                        async for event in events:
                            await _send(stream, event)
            elif name in self._commands:
                await _send(stream, {"type": "result", **await self._commands[name](request)})
            else:
                raise ControlError(f"this node knows no request {name!r}")
        except MycelError as error:
            await _send(stream, _error(error))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except Exception:
            _log.exception("a request failed")
            await _send(stream, _error(ControlError("the node failed to answer; its log says why")))


async def _cancel_when_gone(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """While a stream of events is sent, the client sends nothing; its end cancels the request."""
    import trio

    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.receive_some(1)
    scope.cancel()


def parse_request(line: bytes) -> dict[str, Any]:
    """A request line; `ControlError` if it is none."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise ControlError("a request is one line with a JSON object") from None
    if not isinstance(request, dict) or not isinstance(request.get("type"), str):
        raise ControlError('a request is one line with a JSON object that has a "type"')
    return request


def _error(error: MycelError) -> dict[str, Any]:
    return {"type": "error", "error": type(error).__name__, "message": str(error)}


async def _send(stream: trio.SocketStream, answer: Mapping[str, Any]) -> None:
    import trio

    line = json.dumps(answer, ensure_ascii=False).encode() + b"\n"
    if len(line) > MAX_ANSWER:
        line = json.dumps(_error(ControlError("the answer is too long for one line"))).encode() + b"\n"
    with trio.move_on_after(WRITE_SECONDS) as scope:
        await stream.send_all(line)
    if scope.cancelled_caught:
        raise trio.BrokenResourceError("the client does not read")


def peer_uid(connection: Any) -> int:
    """The user id of the process at the other end of a UNIX socket; -1 if the system does not tell."""
    system: str = sys.platform  # a plain str, or the type checker takes all other systems' code for dead
    if system == "linux":
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", data)[1])
    if system == "darwin":
        data = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred {version, uid, …} (unix(4))
        return int(struct.unpack("2I", data[:8])[1])
    return -1


# --- client: plain blocking sockets, so that `mycelnode status` need not import trio -----------------------------------------


class ControlClient:
    """A connection to a running node. Raises `NodeNotRunning` when there is none."""

    def __init__(self, data: DataDir) -> None:
        self._socket = _connect(data.control_path)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def stream(self, kind: str, /, **fields: Any) -> Iterator[dict[str, Any]]:
        """Send a request and yield its answers up to the result; raises the error that the node answered with."""
        line = json.dumps({"type": kind, **fields}, ensure_ascii=False).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise ControlError(f"a request of more than {MAX_LINE} bytes")
        try:
            self._socket.sendall(line)
            while True:
                answer = self._read()
                if answer.get("type") == "error":
                    raise error_from(answer)
                yield answer
                if answer.get("type") == "result":
                    return
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NodeNotRunning("the node stopped while it was answering") from error

    def call(self, kind: str, /, **fields: Any) -> dict[str, Any]:
        """Send a request and return its result."""
        for answer in self.stream(kind, **fields):
            if answer.get("type") == "result":
                return {key: value for key, value in answer.items() if key != "type"}
        raise NodeNotRunning("the node stopped while it was answering")

    def _read(self) -> dict[str, Any]:
        line = self._file.readline(MAX_ANSWER + 1)
        if not line.endswith(b"\n"):
            raise NodeNotRunning("the node stopped while it was answering")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ControlError("the node answered nonsense")
        return answer


def _connect(path: Path) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise Unsupported("the control socket needs Linux or macOS; on Windows, run mycelnode inside WSL")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(str(path))
        connection.settimeout(None)
    except OSError as error:
        connection.close()
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR):
            raise NodeNotRunning from None
        raise ControlError(f"the node's socket {path} cannot be used: {error.strerror}") from error
    return connection


def error_from(answer: Mapping[str, Any]) -> MycelError:
    """The error that an error answer stands for; a class we do not know becomes `ControlError`."""
    kind = getattr(errors, str(answer.get("error")), ControlError)
    if not (isinstance(kind, type) and issubclass(kind, MycelError)):
        kind = ControlError
    return kind(str(answer.get("message") or ""))
