"""The control socket: only this user's processes, bounded lines, many clients, and a socket file left by kill -9."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from mycel_simnet.process import first_line
from mycelnode import control
from mycelnode.control import MAX_ANSWER, MAX_CLIENTS, MAX_LINE, ControlClient, ControlServer
from mycelnode.errors import BusyError, ControlError, DeviceUnknown, NodeNotRunning
from mycelnode.paths import DataDir

Request = Mapping[str, Any]


class Node:
    """What a node gives the server, and what the tests want to know of it."""

    def __init__(self) -> None:
        self.withdrawn = trio.Event()

    async def echo(self, request: Request) -> dict[str, Any]:
        return {"said": request.get("text")}

    async def refuse(self, request: Request) -> dict[str, Any]:
        raise DeviceUnknown("no device is called x")

    async def crash(self, request: Request) -> dict[str, Any]:
        raise ZeroDivisionError

    async def long(self, request: Request) -> dict[str, Any]:
        return {"text": "x" * (MAX_ANSWER + 1)}

    async def count(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        for number in range(3):
            yield {"type": "event", "number": number}
        yield {"type": "result", "done": True}

    async def wait(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        try:
            yield {"type": "event", "number": 0}
            await trio.sleep_forever()
        finally:
            self.withdrawn.set()


@contextlib.asynccontextmanager
async def serving(data: DataDir) -> AsyncIterator[Node]:
    node = Node()
    commands = {"echo": node.echo, "refuse": node.refuse, "crash": node.crash, "long": node.long}
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(data, commands, {"count": node.count, "wait": node.wait}).run)
        yield node
        nursery.cancel_scope.cancel()


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path / "device")
    data.create()
    return data


async def in_thread(function: Any, *arguments: Any) -> Any:
    """Clients block, so they run beside trio."""
    return await trio.to_thread.run_sync(function, *arguments)


def ask(data: DataDir, kind: str, **fields: Any) -> dict[str, Any]:
    with ControlClient(data) as client:
        return client.call(kind, **fields)


async def raw(data: DataDir) -> trio.SocketStream:
    return await trio.open_unix_socket(str(data.control_path))


async def line(stream: trio.SocketStream) -> dict[str, Any]:
    buffer = b""
    while not buffer.endswith(b"\n"):
        received = await stream.receive_some(1 << 16)
        assert received, "the node hung up without an answer"
        buffer += received
    answer = json.loads(buffer)
    assert isinstance(answer, dict)
    return answer


async def test_questions_and_answers(data: DataDir) -> None:
    async with serving(data):
        assert await in_thread(lambda: ask(data, "echo", text="grüße")) == {"said": "grüße"}
        with pytest.raises(DeviceUnknown, match="no device is called x"):
            await in_thread(lambda: ask(data, "refuse"))
        with pytest.raises(ControlError, match="knows no request 'nonsense'"):
            await in_thread(lambda: ask(data, "nonsense"))
        with pytest.raises(ControlError, match="its log says why"):
            await in_thread(lambda: ask(data, "crash"))
        with pytest.raises(ControlError, match="too long for one line"):
            await in_thread(lambda: ask(data, "long"))


async def test_events_come_before_the_result(data: DataDir) -> None:
    def numbers() -> list[Any]:
        with ControlClient(data) as client:
            return [answer.get("number", "end") for answer in client.stream("count")]

    async with serving(data):
        assert await in_thread(numbers) == [0, 1, 2, "end"]


async def test_a_client_that_goes_away_cancels_what_it_waited_for(data: DataDir) -> None:
    async with serving(data) as node, await raw(data) as stream:
        await stream.send_all(b'{"type": "wait"}\n')
        assert (await line(stream))["number"] == 0
        assert not node.withdrawn.is_set()
        await stream.aclose()
        with trio.fail_after(5):
            await node.withdrawn.wait()


@pytest.mark.parametrize(
    "request_line",
    [b"not json", b"[]", b'{"type": 1}', b"{}", b"\xff\xfe", b"[" * 100_000, b'{"type": "echo"'],
    ids=["words", "list", "number", "untyped", "bytes", "deep", "cut"],
)
async def test_garbage_gets_one_sentence_and_the_connection_lives(data: DataDir, request_line: bytes) -> None:
    async with serving(data), await raw(data) as stream:
        await stream.send_all(request_line + b"\n")
        answer = await line(stream)
        assert answer["type"] == "error"
        assert answer["error"] == "ControlError"
        await stream.send_all(b'\n{"type": "echo", "text": 1}\n')
        assert await line(stream) == {"type": "result", "said": 1}


async def test_a_line_is_one_mebibyte_at_most(data: DataDir) -> None:
    async with serving(data), await raw(data) as stream:
        fits = json.dumps({"type": "echo", "text": ""}).encode()
        padded = fits + b" " * (MAX_LINE - len(fits))
        await stream.send_all(padded + b"\n")
        assert (await line(stream))["type"] == "result"
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(b"x" * (MAX_LINE + (1 << 17)))
        assert "more than" in (await line(stream))["message"]


async def test_many_clients_at_once_and_a_limit(data: DataDir) -> None:
    async with serving(data):
        streams = [await raw(data) for _ in range(MAX_CLIENTS)]
        for number, stream in enumerate(streams):
            await stream.send_all(json.dumps({"type": "echo", "text": number}).encode() + b"\n")
        for number, stream in enumerate(streams):
            assert (await line(stream))["said"] == number
        with pytest.raises(BusyError):
            await in_thread(lambda: ask(data, "echo"))
        for stream in streams:
            await stream.aclose()
        with trio.fail_after(5):
            while True:
                try:
                    assert await in_thread(lambda: ask(data, "echo", text=1)) == {"said": 1}
                    break
                except BusyError:
                    await trio.lowlevel.checkpoint()


async def test_the_socket_is_for_its_owner_alone(data: DataDir) -> None:
    async with serving(data):
        info = data.control_path.lstat()
        assert stat.S_ISSOCK(info.st_mode)
        assert stat.S_IMODE(info.st_mode) == 0o600
        assert stat.S_IMODE(data.control_path.parent.stat().st_mode) == 0o700
    assert not data.control_path.exists(), "a node that stops takes its socket away"


async def test_another_user_is_turned_away(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(data):
        monkeypatch.setattr(control, "peer_uid", lambda connection: os.getuid() + 1)
        async with await raw(data) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(b'{"type": "echo"}\n')
                assert await stream.receive_some(100) == b""


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="the system does not tell who connects")
def test_the_kernel_says_who_connects() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert control.peer_uid(one) == os.getuid()


HOLD = """
import sys, trio
from mycel_simnet.process import first_line
from mycelnode.control import ControlServer
from mycelnode.paths import DataDir

async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(DataDir(sys.argv[1]), {}, {}).run)
        print("ready", flush=True)
trio.run(main)
"""


async def test_a_socket_left_by_kill_9_is_replaced(data: DataDir) -> None:
    with pytest.raises(NodeNotRunning):
        ControlClient(data)
    command = [sys.executable, "-c", HOLD, str(data.path)]
    holder = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    async with holder.stdout:
        assert await first_line(holder) == b"ready\n"
        holder.kill()
        await holder.wait()
    assert data.control_path.exists()
    with pytest.raises(NodeNotRunning):
        ControlClient(data)
    async with serving(data):
        assert await in_thread(lambda: ask(data, "echo", text=1)) == {"said": 1}
