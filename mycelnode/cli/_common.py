"""What all commands share: options at any position, one-sentence errors, exit codes, output for people and for scripts."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mycelnode.cli._streams import OutputLost, check_arguments, drop, lost_output, mend_streams, to_stderr
from mycelnode.errors import ConfigError, MycelError, NodeNotRunning, first

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from mycelnode.control import ControlClient
    from mycelnode.paths import DataDir

F = TypeVar("F", bound=Callable[..., Any])

FAILED, USAGE, INTERRUPTED = 1, 2, 130
PASSPHRASE = "MYCEL_BACKUP_PASSPHRASE"  # the environment variable
MAX_SECRET_CHARS = 8192  # read from standard input
SHORT_CHARS = 8  # of a peer id's end: enough for people to tell their devices apart
ERASE_LINE = "\r\x1b[K"
READS = frozenset(  # what also a folder can answer that was restored from a backup and is not enrolled yet
    ("status", "devices.list", "config.get", "config.list", "audit.verify", "audit.tail")
)

ON_CHAIN = frozenset(("pattern.price", "pattern.retire"))
TRADED = frozenset(  # what a chain has a part in, if one is set
    ("pattern.preview", "pattern.publish", "pattern.confirm", "pattern.quote", "pattern.use", "pattern.rate")
)


class Declined(click.ClickException):
    """Somebody said no; nothing was changed."""


class ConfirmationNeeded(click.ClickException):
    """There is nobody to ask."""


class BadInput(click.ClickException):
    """Standard input says something that cannot be meant."""


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

    def program(self, command: str) -> str:
        """How the person would type ``command`` for this very folder."""
        return self.data.program(command)


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
            type=click.Path(),
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
        made = shared_options(_with_options(function))
        return (group.command if group is not None else click.command)(**settings)(made)

    return decorate


class Group(click.Group):
    """A group of commands, ours and those that other packages put below ``path`` (dotted; "" at the top)."""

    path = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours, then the others by name."""
        ours = super().list_commands(ctx)
        return [*ours, *(name for name in self.added() if name not in ours)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Ours first: nobody else's command takes the place of one."""
        ours = super().get_command(ctx, name)
        added = self.added()
        if ours is not None or name not in added:
            return ours
        point = added[name]
        if point is None:
            group = Group(name, help=f"Commands of the package {self.package(name)}.")
            group.path = f"{self.path}.{name}" if self.path else name
            return group
        command = point.load()
        assert isinstance(command, click.Command), f"the entry point {point.name} is no click command"
        return command

    def added(self) -> Mapping[str, EntryPoint | None]:
        """What other packages put right below this group."""
        from mycelnode.extensions import found_below

        return found_below(self.path)

    def package(self, name: str) -> str:
        """Whose command ``name`` below this group is."""
        from mycelnode.extensions import COMMANDS, found

        path = f"{self.path}.{name}" if self.path else name
        return next(
            point.module.split(".")[0]
            for name, point in found(COMMANDS).items()
            if name == path or name.startswith(f"{path}.")
        )


def group(name: str, *, path: str = "", **settings: Any) -> Callable[[Callable[..., None]], click.Group]:
    """A group of commands with the shared options; its function gets the `Options` first. ``path``: of a group in a group."""

    def decorate(function: Callable[..., None]) -> click.Group:
        made: Group = click.group(name, cls=Group, **settings)(shared_options(_with_options(function)))
        made.path = path or name
        return made

    return decorate


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapped(*args: Any, **named: Any) -> None:
        function(click.get_current_context().find_root().ensure_object(Options), *args, **named)

    return wrapped


def run_cli(program: click.Group) -> None:
    """Run the command line: exit status 0 done, 1 failed with one sentence, 2 wrong usage, 130 interrupted."""
    as_json = "--json" in sys.argv
    mend_streams()
    try:
        check_arguments()
        status = program(standalone_mode=False, prog_name="mycelnode")
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except click.UsageError as error:
        with to_stderr():
            if as_json:
                _print_error("UsageError", error.format_message())
            else:
                error.show()
        sys.exit(USAGE)
    except Exception as error:
        _fail(first(error), as_json)
    except (click.Abort, KeyboardInterrupt):
        _interrupted()
    except BaseExceptionGroup as several:
        _fail(first(several), as_json)


def _interrupted() -> None:
    """All is put away, and the process is about to end: another Ctrl-C must not change its status, or be shown as an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(INTERRUPTED)


def _fail(error: BaseException, as_json: bool) -> None:
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _interrupted()
    if isinstance(error, BrokenPipeError):  # the reader of our output went away, as `head` does
        drop(sys.stdout)
        sys.exit(FAILED)
    if os.environ.get("MYCEL_DEBUG"):
        raise error
    error = lost_output(error) or error
    if isinstance(error, OutputLost):
        drop(sys.stdout)
    kind = type(error).__name__
    if isinstance(error, click.ClickException):
        message = error.format_message()
    elif isinstance(error, (MycelError, OSError)):
        message = str(error)
    else:
        message = f"something went wrong inside mycelnode ({kind}: {error}); MYCEL_DEBUG=1 shows where"
        kind = "InternalError"
    with to_stderr():
        if as_json:
            _print_error(kind, message)
        else:
            print(f"mycelnode: {message}", file=sys.stderr)
    sys.exit(FAILED)


def _print_error(kind: str, message: str) -> None:
    print(json.dumps({"error": kind, "message": message}), file=sys.stderr)


def show(options: Options, answer: Mapping[str, Any], people: Callable[[Mapping[str, Any]], None]) -> None:
    """The answer as one JSON object, or for people."""
    if options.as_json:
        print(json.dumps(answer), flush=True)
    else:
        people(answer)
        sys.stdout.flush()


def ask(options: Options, kind: str, /, **fields: Any) -> dict[str, Any]:
    """Ask the running node, or else the data folder itself, under its lock."""
    from mycelnode.control import ControlClient

    try:
        client = ControlClient(options.data)
    except NodeNotRunning:
        return ask_offline(options, kind, fields)
    with client:  # a node that stops in the middle may have carried the request out: it is not repeated
        return client.call(kind, **fields)


def ask_offline(
    options: Options, kind: str, fields: Mapping[str, Any], tell: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Carry out a command on the data folder itself; ``tell`` hears the events of one that takes long, as far as it has any here.

    Raises `DataDirBusy` while somebody else uses the folder.
    """
    if kind in READS:
        options.data.check_readable()
    else:
        options.data.check_member()

    import logging
    import sqlite3

    import trio

    from mycelnode import clock
    from mycelnode.commands import MeshCommands
    from mycelnode.mesh import open_mesh
    from mycelnode.schema import translate
    from mycelnode.status import status

    if options.as_json:
        logging.getLogger("mycelnode").addHandler(logging.NullHandler())  # what goes wrong is in the one object

    async def run() -> dict[str, Any]:
        async with open_mesh(options.data, clock=clock.system()) as mesh:
            if kind == "status":
                return status(mesh)
            if kind.startswith("chain.") or kind in ON_CHAIN:
                from mycelnode.market.commands import ask_without_node

                return await ask_without_node(mesh, kind, fields)
            if kind in TRADED and (mesh.settings.get("near.registry") or fields.get("register")):
                from mycelnode.market.trading import ask_without_node as trade_without_node

                return await trade_without_node(mesh, kind, fields)
            if kind == "pattern.extract" or kind.startswith(("budget", "privacy.dictionary", "privacy.statement")):
                from mycelnode.release_commands import carry_out as carry_out_releases

                return await carry_out_releases(mesh, kind, fields, tell)
            if kind.startswith("pattern."):
                from mycelnode.collective.commands import commands_without_node

                return await (await commands_without_node(mesh))[kind](fields)
            if kind.startswith("interactions."):
                from mycelnode.turn_commands import carry_out

                return await carry_out(mesh, kind, fields, tell)
            return await MeshCommands(mesh).table()[kind](fields)

    try:
        return trio.run(run)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # damage in a page that nothing had to read before
        raise translate(error, options.data.database) from error


@contextmanager
def node_client(options: Options) -> Iterator[ControlClient]:
    """A connection to the running node; `NodeNotRunning` if there is none, `NotInitialised` if there could be none."""
    from mycelnode.control import ControlClient

    options.data.check_member()
    try:
        client = ControlClient(options.data)
    except NodeNotRunning:
        raise NodeNotRunning(
            f"no node is running on this data folder: start it with `{options.program('run')}`"
        ) from None
    with client:
        yield client


def parse_since(text: str, now: datetime, option: str = "--since") -> int:
    """A moment in Unix milliseconds, from an RFC 3339 time, a local date and time, or a length of time before ``now``."""
    from mycelnode.config_keys import parse_duration

    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            return int((now.timestamp() - parse_duration(text.strip().removesuffix("ago"))) * 1000)
        except ConfigError:
            raise click.BadParameter(
                f"{text!r} is not a time such as 2026-05-01, '2026-05-01 14:30' or 2h", param_hint=option
            ) from None
    return int((moment if moment.tzinfo else moment.astimezone()).timestamp() * 1000)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Aligned columns."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def local_time(text: str | None) -> str:
    """An RFC 3339 time as a person here reads it."""
    if not text:
        return "-"
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except (OverflowError, OSError):  # the last day that there is, for those who are ahead of Greenwich
        return text
    same_day = moment.date() == datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M")


def short(device: str) -> str:
    """The end of a peer id, by which people tell devices and keys apart."""
    return "…" + device[-SHORT_CHARS:]


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size:,} bytes"


def plural(count: int, noun: str) -> str:
    """``1 entry``, ``2 entries``."""
    many = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else many}"


# --- talking with a person -------------------------------------------------------------------------------------------


def read_secret(prompt: str, variable: str | None = None, *, twice: bool = False) -> str:
    """A secret from the environment, the terminal without echo (``twice``, if it is a new one), or one line of standard input."""
    if variable and os.environ.get(variable):
        return os.environ[variable]
    if sys.stdin.isatty():
        return str(click.prompt(prompt, hide_input=True, confirmation_prompt=twice, err=True))
    return read_stdin().rstrip("\r\n")


def read_stdin(*, whole: bool = False, limit: int = MAX_SECRET_CHARS) -> str:
    """A line of standard input, or all of it, up to ``limit`` characters. Raises `BadInput`."""
    try:
        text = sys.stdin.read(limit) if whole else sys.stdin.readline(limit)
        text.encode()
    except UnicodeError:
        raise BadInput("standard input is not UTF-8 text") from None
    return text


def read_phrase(*, one_line: bool) -> str:
    """The recovery phrase: hidden on a terminal; else a line, or all of standard input. Numbers, as in our grid, are skipped."""
    if one_line or sys.stdin.isatty():
        text = read_secret("Recovery phrase (24 words)")
    else:
        text = read_stdin(whole=True)
    return " ".join(word for word in text.split() if not re.fullmatch(r"\d{1,2}[.)]?", word))


def confirm(options: Options, question: str, yes: bool, explain: Callable[[], None] = lambda: None) -> None:
    """Ask before something that cannot be undone; ``explain`` says on stderr what it would do, unless only a script reads that.

    Raises `Declined`, or `ConfirmationNeeded` where nobody can be asked.
    """
    if yes:
        return
    if sys.stdin.isatty() or not options.as_json:
        explain()
    if not sys.stdin.isatty():
        raise ConfirmationNeeded("this cannot be undone and there is no terminal to ask on; say --yes to go ahead")
    if not click.confirm(question, err=True):
        raise Declined("nothing was changed")


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on the terminal what takes a while; nothing where there is none."""
    if not sys.stderr.isatty():
        yield
        return
    print(f"{what}…", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print(ERASE_LINE, end="", file=sys.stderr, flush=True)
