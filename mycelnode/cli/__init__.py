"""The command line. Light to import: whatever needs trio, libp2p or a database is imported inside the command that needs it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from mycelnode import __version__
from mycelnode.cli._common import Group, shared_options

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
    "pattern": ("mycelnode.cli.patterns", "pattern"),
    "interactions": ("mycelnode.cli.interactions", "interactions"),
    "budget": ("mycelnode.cli.releases", "budget"),
    "privacy": ("mycelnode.cli.privacy", "privacy"),
    "chain": ("mycelnode.cli.chain", "chain"),
    "audit": ("mycelnode.cli.audit", "audit"),
    "backup": ("mycelnode.cli.backup", "backup"),
    "completion": ("mycelnode.cli.completion", "completion"),
}


class Commands(Group):
    """Our commands, imported when they are asked for, and those of other packages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours in the order of a first day, then the others by name."""
        return [*_BUILT_IN, *(name for name in self.added() if name not in _BUILT_IN)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command when it is asked for."""
        return _load(name) if name in _BUILT_IN else super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List what each does; those of other distributions are not imported for that: help is quick, whatever is installed."""
        added = self.added()
        known = {name: self.get_command(ctx, name) for name in self.list_commands(ctx) if _is_ours(added.get(name))}
        width = formatter.width - 6 - max(map(len, known))
        rows = [(name, command.get_short_help_str(width)) for name, command in known.items() if command is not None]
        others = [(name, f"Of the package {self.package(name)}.") for name in added if name not in known]
        with formatter.section("Commands"):
            formatter.write_dl([*rows, *others])


def _is_ours(point: EntryPoint | None) -> bool:
    return point is None or (point.dist is not None and point.dist.name == "mycelnode")


def _load(name: str) -> click.Command:
    module, attribute = _BUILT_IN[name]
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


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
