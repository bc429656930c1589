"""What all commands share: options at any position, one-sentence errors, exit codes, output for people and for scripts."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mycelnode.errors import MycelError, NodeNotRunning

if TYPE_CHECKING:
    from mycelnode.paths import DataDir

F = TypeVar("F", bound=Callable[..., Any])

FAILED, USAGE, INTERRUPTED = 1, 2, 130


@dataclass(slots=True)
class Options:
    """What was said anywhere on the command line."""

    data_dir: str | None = None
    as_json: bool = False

    @property
    def data(self) -> DataDir:
        """The data folder."""
        from mycelnode.paths import DataDir

        return DataDir(self.data_dir)


def shared_options(function: F) -> F:
    """Add ``--data-dir`` and ``--json`` to a command; what is said nearer to the end wins."""

    def note(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        options = ctx.find_root().ensure_object(Options)
        if value is not None and value is not False:
            setattr(options, "data_dir" if parameter.name == "data_dir" else "as_json", value)
        return value

    decorate: list[Callable[[F], F]] = [
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False),
            callback=note,
            expose_value=False,
            help="The folder of this device (default: the platform's, or MYCEL_DATA_DIR).",
        ),
        click.option("--json", is_flag=True, callback=note, expose_value=False, help="One JSON object for scripts."),
    ]
    for one in reversed(decorate):
        function = one(function)
    return function


def command(group: click.Group | None = None, **settings: Any) -> Callable[[Callable[..., None]], click.Command]:
    """A command with the shared options; its function gets the `Options` first."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def wrapped(*args: Any, **named: Any) -> None:
            function(click.get_current_context().find_root().ensure_object(Options), *args, **named)

        made = shared_options(wrapped)
        return (group.command if group is not None else click.command)(**settings)(made)

    return decorate


def run_cli(group: click.Group) -> None:
    """Run the command line: exit status 0 done, 1 failed with one sentence, 2 wrong usage, 130 interrupted."""
    as_json = "--json" in sys.argv
    try:
        group(standalone_mode=False, prog_name="mycelnode")
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.UsageError as error:
        error.show()
        sys.exit(USAGE)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BaseExceptionGroup as group_error:
        _fail(_first(group_error), as_json)
    except Exception as error:
        _fail(error, as_json)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _fail(error: BaseException, as_json: bool) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    if os.environ.get("MYCEL_DEBUG") or not isinstance(error, (MycelError, OSError, click.ClickException)):
        if os.environ.get("MYCEL_DEBUG"):
            raise error
        message, kind = f"something went wrong inside mycelnode ({type(error).__name__}: {error}); MYCEL_DEBUG=1 shows where", "InternalError"
    else:
        message = error.message if isinstance(error, click.ClickException) else str(error)
        kind = type(error).__name__
    if as_json:
        print(json.dumps({"error": kind, "message": message}, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"mycelnode: {message}", file=sys.stderr)
    sys.exit(FAILED)


def show(options: Options, answer: Mapping[str, Any], people: Callable[[Mapping[str, Any]], None]) -> None:
    """The answer as one JSON object, or for people."""
    if options.as_json:
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    else:
        people(answer)


def ask(options: Options, kind: str, **fields: Any) -> dict[str, Any]:
    """Ask the running node, or else the data folder itself, under its lock."""
    from mycelnode.control import ControlClient

    try:
        with ControlClient(options.data) as client:
            return client.call(kind, **fields)
    except NodeNotRunning:
        return ask_offline(options, kind, fields)


def ask_offline(options: Options, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a command on the data folder itself. Raises `DataDirBusy` while somebody else uses it."""
    import trio

    from mycelnode import clock
    from mycelnode.commands import MeshCommands
    from mycelnode.mesh import open_mesh
    from mycelnode.status import status

    async def run() -> dict[str, Any]:
        async with open_mesh(options.data, clock=clock.system()) as mesh:
            if kind == "status":
                return status(mesh)
            return await MeshCommands(mesh).table()[kind](fields)

    return trio.run(run)


def ask_node(options: Options, kind: str, **fields: Any) -> dict[str, Any]:
    """Ask the running node; `NodeNotRunning` if there is none."""
    from mycelnode.control import ControlClient

    if not options.data.initialised():
        from mycelnode.errors import NotInitialised

        raise NotInitialised()
    with ControlClient(options.data) as client:
        return client.call(kind, **fields)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Aligned columns."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def local_time(text: str | None) -> str:
    """An RFC 3339 time as a person here reads it."""
    if not text:
        return "-"
    moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone()
    same_day = moment.date() == datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M")


def short(device: str) -> str:
    """The end of a peer id, enough for people to tell devices apart."""
    return "…" + device[-8:]


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size:,} bytes"


def read_secret(prompt: str, variable: str | None = None) -> str:
    """A secret from the environment, the terminal without echo, or standard input."""
    if variable and os.environ.get(variable):
        return os.environ[variable]
    if sys.stdin.isatty():
        return str(click.prompt(prompt, hide_input=True, err=True))
    return sys.stdin.readline(8192).rstrip("\n")


__all__ = ["Options", "Path", "ask", "ask_node", "command", "local_time", "megabytes", "read_secret", "run_cli", "shared_options", "short", "show", "table"]
