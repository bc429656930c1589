"""The command line. Light to import: whatever needs trio, libp2p or a database is imported inside the command that needs it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from mycelnode import __version__
from mycelnode.cli._common import shared_options

_BUILT_IN = {  # command → (module, attribute)
    "init": ("mycelnode.cli.membership", "init"),
    "run": ("mycelnode.cli.run", "run"),
    "invite": ("mycelnode.cli.membership", "invite"),
    "join": ("mycelnode.cli.membership", "join"),
    "status": ("mycelnode.cli.status", "status"),
    "sync": ("mycelnode.cli.status", "sync"),
    "devices": ("mycelnode.cli.devices", "devices"),
    "recover": ("mycelnode.cli.membership", "recover"),
    "leave": ("mycelnode.cli.membership", "leave"),
    "config": ("mycelnode.cli.config", "config"),
    "audit": ("mycelnode.cli.audit", "audit"),
    "backup": ("mycelnode.cli.backup", "backup"),
    "completion": ("mycelnode.cli.completion", "completion"),
}


class Commands(click.Group):
    """Our commands, and those that other packages add through the entry points `mycelnode.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours in the order of a first day, then the others by name."""
        return [*_BUILT_IN, *sorted(_added().keys() - _BUILT_IN.keys())]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command when it is asked for."""
        if name in _BUILT_IN:
            return _load(name)
        added = _added()
        if name in added:
            return _as_command(added[name].load())
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List ours with what they do, and the others without importing them: help is quick, whatever else is installed."""
        found = {name: _load(name) for name in _BUILT_IN}
        width = formatter.width - 6 - max(map(len, found))
        rows = [(name, command.get_short_help_str(width)) for name, command in found.items()]
        added = sorted((name, point) for name, point in _added().items() if name not in _BUILT_IN)
        with formatter.section("Commands"):
            formatter.write_dl(
                [*rows, *((name, f"Of the package {point.value.split('.')[0]}.") for name, point in added)]
            )


def _load(name: str) -> click.Command:
    module, attribute = _BUILT_IN[name]
    return _as_command(getattr(import_module(module), attribute))


def _added() -> dict[str, Any]:
    """Commands of other packages; a dotted name such as ``chain.devchain`` belongs under a group and is found there."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="mycelnode.commands") if "." not in point.name}


def _as_command(found: Any) -> click.Command:
    assert isinstance(found, click.Command)
    return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mycelnode")
@shared_options
def cli() -> None:
    """One person's devices as one: a private, paired, offline-first mesh.

    Start with `mycelnode init` on the first device and `mycelnode run` on each; `mycelnode invite` lets the next one in.
    """


def main() -> None:
    """The program `mycelnode`."""
    from mycelnode.cli._common import run_cli

    run_cli(cli)
