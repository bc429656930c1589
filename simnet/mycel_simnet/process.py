"""One device of a simulation: its folder, its world, its commands, and, while it runs, its real node process.

Nodes run in process groups of their own, so that Ctrl-C reaches the simulation alone; when the simulation is gone they end by
themselves (see `mycel_simnet.node`), and frozen ones by the SIGHUP that the kernel sends to orphaned groups with stopped processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from mycel_simnet.links import LOOPBACK, Address
from mycel_simnet.node import Conditions

START_SECONDS = 60.0  # until the ready line; several nodes start at once on a busy machine
STOP_SECONDS = 20.0  # from SIGTERM to the end
COMMAND_SECONDS = 60.0  # for a command such as `join`
CALL_SECONDS = 15.0  # for one control request
MAX_LINE = 8 << 20  # bytes of an answer; the control socket's own limit
TAIL_LINES = 12  # of standard error, in an error message
LISTEN = f"/ip4/{LOOPBACK}/tcp/0"
OWN_GROUP: dict[str, Any] = {"process_group": 0}  # for Popen; types of trio do not know it on every platform
SETTINGS = {"MYCEL_MESH_LAN": "false"}  # devices of different simulations on one machine must not find each other


class NodeFailed(Exception):
    """A process did not do what it was started for; the text has the end of what it said."""


class NoAnswer(Exception):
    """The node went away or kept silent: whether it did what was asked is unknown."""


class Refused(Exception):
    """The node answered with an error; ``kind`` is its class in `mycelnode.errors`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


def environment(settings: Mapping[str, str] = SETTINGS) -> dict[str, str]:
    """What processes of a simulation see: ``settings``, none of the person who runs it, and our packages."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MYCEL_")}
    return {**kept, **settings, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


async def ask(path: str | Path, kind: str, fields: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """One request to a control socket, on a connection of its own. Raises `Refused` or `NoAnswer`."""
    request = json.dumps({"type": kind, **fields}).encode() + b"\n"
    buffer = bytearray()
    try:
        with trio.fail_after(deadline):
            async with await trio.open_unix_socket(str(path)) as stream:
                await stream.send_all(request)
                while not buffer.endswith(b"\n"):
                    data = await stream.receive_some(64 << 10)
                    if not data or len(buffer) > MAX_LINE:
                        raise NoAnswer(f"no whole answer to {kind!r}: the node went away")
                    buffer += data
    except trio.TooSlowError as error:
        raise NoAnswer(f"no answer to {kind!r} within {deadline:g} s") from error
    except (OSError, trio.BrokenResourceError) as error:
        raise NoAnswer(f"no answer to {kind!r}: {error}") from error
    answer: dict[str, Any] = json.loads(buffer)
    if answer.pop("type") == "error":
        raise Refused(answer["error"], answer["message"])
    return answer


class NodeProcess:
    """A device called ``name`` with its data folder, world file and outputs in ``folder``.

    ``prefix``: what its commands start with, such as ``nsenter …``. ``listen``: where its node listens; none: as it is set.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        prefix: Sequence[str] = (),
        listen: Sequence[str] = (LISTEN,),
        settings: Mapping[str, str] = SETTINGS,
    ) -> None:
        self.name = name
        self._prefix, self._listen, self._environment = prefix, listen, environment(settings)
        self.data = folder / name
        self.starts = 0
        self.frozen = False
        self.ready: dict[str, Any] = {}  # the ready line of the last start
        self._world = folder / f"{name}.world"
        self._errors = folder / f"{name}.stderr"
        self._process: trio.Process | None = None
        self._conditions = Conditions(routes={})
        self._conditions.write(self._world)

    # --- the world -------------------------------------------------------------------------------------------------------

    @property
    def conditions(self) -> Conditions:
        """The world as this device sees it."""
        return self._conditions

    def change(self, **changes: Any) -> None:
        """Change ``skew``, ``slept`` or ``routes``, also while the process runs."""
        changed = replace(self._conditions, **changes)
        if changed != self._conditions:
            self._conditions = changed
            changed.write(self._world)

    # --- commands --------------------------------------------------------------------------------------------------------

    def settle(self, **settings: str) -> None:
        """Settings in the environment, such as ``MYCEL_NEAR_RPC``, for all that is started from now on."""
        self._environment = {**self._environment, **settings}

    def _command(self, *arguments: str) -> list[str]:
        launcher = [*self._prefix, sys.executable, "-m", "mycel_simnet.node", "--world", str(self._world), "--"]
        return [*launcher, *arguments, "--json", "--data-dir", str(self.data)]

    async def command(self, *arguments: str, deadline: float = COMMAND_SECONDS) -> dict[str, Any]:
        """Run ``mycelnode ARGUMENTS`` on this device to its end and return its object. Raises `NodeFailed`, `Refused`."""
        called = f"{self.name}: mycelnode {arguments[0]}"
        with trio.move_on_after(deadline) as scope:
            done = await trio.run_process(
                self._command(*arguments),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=self._environment,
                **OWN_GROUP,
            )
        if scope.cancelled_caught:
            raise NodeFailed(f"{called} took more than {deadline:g} s")
        if done.returncode == 1:
            try:
                refusal = json.loads(done.stderr.decode().splitlines()[-1])
                raise Refused(refusal["error"], refusal["message"])
            except (ValueError, LookupError):
                pass
        if done.returncode != 0:
            raise NodeFailed(
                f"{called} ended with status {done.returncode}\n{tail(done.stderr.decode(errors='replace'))}"
            )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    # --- the node --------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Is there a process? Also when it is frozen."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running node."""
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> Address:
        """Where the node of the last start listens."""
        for addr in self.ready["addrs"]:
            parts = str(addr).split("/")  # "", "ip4", host, "tcp", port
            if parts[1:4] == ["ip4", LOOPBACK, "tcp"]:
                return parts[2], int(parts[4])
        raise NodeFailed(f"{self.name} listens at {self.ready['addrs']}, not on {LOOPBACK}")

    async def start(self, *, deadline: float = START_SECONDS) -> dict[str, Any]:
        """Start the node and return its ready line. Raises `NodeFailed` if it ends or does not come in time; then it is killed."""
        assert not self.running, f"{self.name} runs already"
        self.starts += 1
        with self._errors.open("ab") as errors:
            process = await trio.lowlevel.open_process(
                self._command("run", *(part for addr in self._listen for part in ("--listen", addr))),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment,
                **OWN_GROUP,
            )
        self._process = process
        self.frozen = False
        try:
            with trio.fail_after(deadline):
                line = await first_line(process)
            if not line:
                raise NodeFailed(
                    f"{self.name} ended with status {await process.wait()} before it was ready\n{self.said()}"
                )
            self.ready = json.loads(line)
        except trio.TooSlowError:
            await self.kill()
            raise NodeFailed(f"{self.name} was not ready within {deadline:g} s\n{self.said()}") from None
        except BaseException:
            await self.kill()
            raise
        return self.ready

    def said(self) -> str:
        """The end of what this device's nodes wrote to standard error."""
        return tail(self._errors.read_text(errors="replace")) if self._errors.exists() else ""

    async def stop(self, *, deadline: float = STOP_SECONDS) -> None:
        """SIGTERM, and wait. Raises `NodeFailed` unless the node ends in time, with status 0 and without a traceback."""
        assert self._process is not None
        self.thaw()
        self._process.terminate()
        with trio.move_on_after(deadline) as scope:
            status = await self._process.wait()
        if scope.cancelled_caught:
            await self.kill()
            raise NodeFailed(f"{self.name} did not stop within {deadline:g} s\n{self.said()}")
        await self._close()
        if status != 0 or "Traceback" in self.said():
            raise NodeFailed(f"{self.name} did not stop cleanly (exit status {status})\n{self.said()}")

    async def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told. Harmless when nothing runs."""
        if self._process is not None:
            self._process.kill()
            with trio.CancelScope(shield=True):
                await self._process.wait()
                await self._close()

    async def _close(self) -> None:
        assert self._process is not None
        self.frozen = False
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                await stream.aclose()
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: the process does nothing, its connections stay open. Returns when it has stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):  # the kernel wakes what an ended simulation leaves, if it is stopped by then
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        if self.frozen and self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    async def call(self, request: str, /, *, deadline: float = CALL_SECONDS, **fields: Any) -> dict[str, Any]:
        """Ask the running node through its control socket. Raises `Refused` or `NoAnswer`."""
        try:
            return await ask(self.ready.get("control", self.data / "control.sock"), request, fields, deadline)
        except NoAnswer as error:
            if not self.running:
                raise NoAnswer(f"{self.name} is not running; {error}\n{self.said()}") from error
            raise NoAnswer(f"{self.name}: {error}") from error


async def first_line(process: trio.Process) -> bytes:
    """The first line of standard output; nothing if it ends before."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        data = await process.stdout.receive_some(4096)
        if not data:
            return b""
        line += data
    return line


def tail(text: str) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def texts(group: BaseExceptionGroup[BaseException]) -> list[str]:
    """What the errors in (nested) groups say."""
    return [
        text
        for error in group.exceptions
        for text in (texts(error) if isinstance(error, BaseExceptionGroup) else [str(error)])
    ]
